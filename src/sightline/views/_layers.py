"""Finding a layer: by its name, by part of it, or by what a view needs."""

from __future__ import annotations

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint import Blueprint, Node

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")


def maps_of(node: Node) -> tuple[int, int, int] | None:
    """(channels, height, width) of a node's output, if it is maps of one image; else None."""
    shape = node.output_shapes[0] if node.output_shapes else ()
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 and shape[0] == 1 else None


def convolutions(blueprint: Blueprint) -> list[Node]:
    """Its convolutions over images, in the order they run.

    Raises:
        ArgumentError: if there is none.
    """
    found = [node for node in blueprint.nodes if node.kind == "conv2d"]
    if not found:
        kinds = ", ".join(dict.fromkeys(node.kind for node in blueprint.nodes))
        raise ArgumentError(f"{blueprint.name} has no convolution to look at; its layers are {kinds}")
    return found


def find_layer(blueprint: Blueprint, name: str, *, needs: str = "") -> Node:
    """The layer or function of a name.

    Args:
        blueprint: The network.
        name: A node's id, as `summary` prints it; a module that holds several, of which the last that gives
            maps is taken; or `conv3`, the third convolution, where nothing is called so.
        needs: `maps` where the output must be (1, C, H, W).

    Raises:
        ArgumentError: if there is none, or it does not give what is needed; it names close ones.
    """
    nodes = {node.id: node for node in blueprint.nodes}
    node = nodes.get(name)
    if node is None:
        inside = [n for n in blueprint.nodes if n.id.startswith((f"{name}.", f"{name}:", f"{name}#"))]
        with_maps = [n for n in inside if maps_of(n) is not None]
        chosen = with_maps if with_maps or needs == "maps" else inside
        node = chosen[-1] if chosen else None
    if node is None and name.startswith("conv") and name[4:].isdecimal():
        numbered = convolutions(blueprint)
        if not 1 <= int(name[4:]) <= len(numbered):
            last = f"conv{len(numbered)}"
            raise ArgumentError(f"--layer {name}: {blueprint.name} has convolutions conv1 to {last}")
        node = numbered[int(name[4:]) - 1]
    if node is None:
        hint = did_you_mean(name, nodes)
        raise ArgumentError(f"--layer {name}: {blueprint.name} has no such layer; {hint}")
    if needs == "maps" and maps_of(node) is None:
        raise ArgumentError(f"--layer {name}: its output is {node.output_shapes[0]}, no maps of an image")
    return node


def last_maps(blueprint: Blueprint) -> Node:
    """The last node whose maps still have places to tell apart, before they are pooled to one: for Grad-CAM.

    Raises:
        ArgumentError: if there is none.
    """
    convolutions(blueprint)
    found = [
        node
        for node in blueprint.nodes
        if (maps := maps_of(node)) is not None and maps[1] * maps[2] > 1 and -1 not in node.sources
    ]
    if not found:
        raise ArgumentError(f"{blueprint.name} has no layer whose output is maps with more than one place")
    return found[-1]


def check_unit(node: Node, unit: int | None) -> None:
    """Whether a layer has a unit (a channel of maps, or an output of a vector).

    Raises:
        ArgumentError: if not.
    """
    if unit is None:
        return
    shape = node.output_shapes[0]
    count = shape[1] if len(shape) > 1 else 0
    if not 0 <= unit < count:
        raise ArgumentError(f"--unit {unit}: {node.id} has units 0 to {count - 1}")
