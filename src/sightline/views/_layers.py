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
    """The last convolutional features before they are pooled away, flattened or classified: for Grad-CAM.

    All of the network passes through them: of a residual block it is the sum, of a fire or an inception
    module the joined maps. A last convolution that makes a map of each class is the classifier.

    Raises:
        ArgumentError: if there is none.

    Source: Selvaraju et al. 2017, Grad-CAM, section 3: the last convolutional layer.
    """
    convolutions(blueprint)
    places = {k for k, node in enumerate(blueprint.nodes) if _has_places(node)}
    after_input = [k for k in sorted(places) if _follows(blueprint, k, "conv2d")]
    if not after_input:
        raise ArgumentError(f"{blueprint.name} has no layer whose output is maps with more than one place")
    head = max((k for k, node in enumerate(blueprint.nodes) if node.macs), default=-1)
    narrow = _passages(blueprint)
    of_classes = {k for k in after_input if k >= head} if head in places else set()
    for candidates in (
        [k for k in after_input if k in narrow and k not in of_classes],
        [k for k in after_input if k not in of_classes],
        after_input,
    ):
        if candidates:
            return blueprint.nodes[_unpooled(blueprint, candidates[-1], candidates)]
    raise AssertionError("there is one at least")


_PASSING = frozenset(
    {
        "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "lp_pool2d",
        "fractional_max_pool2d", "dropout", "dropout2d", "alpha_dropout", "feature_dropout", "identity",
        "contiguous", "clone",
    }
)  # fmt: skip
"""What makes no features of its own."""


def _has_places(node: Node) -> bool:
    maps = maps_of(node)
    return maps is not None and maps[1] * maps[2] > 1


def _follows(blueprint: Blueprint, index: int, kind: str) -> bool:
    """Whether a node is, or depends on, one of a kind."""
    seen, waiting = set(), [index]
    while waiting:
        k = waiting.pop()
        if k < 0 or k in seen:
            continue
        seen.add(k)
        if blueprint.nodes[k].kind == kind:
            return True
        waiting += blueprint.nodes[k].sources
    return False


def _passages(blueprint: Blueprint) -> set[int]:
    """Nodes that every way from the input to the output leads through."""
    count = len(blueprint.nodes)
    ahead: set[int] = set()  # what the input reaches
    for k, node in enumerate(blueprint.nodes):
        if any(source < 0 or source in ahead for source in node.sources):
            ahead.add(k)
    ends = {k for k, node in enumerate(blueprint.nodes) if set(node.outputs) & set(blueprint.outputs)}
    useful: set[int] = set()  # what reaches the output
    for k in reversed(range(count)):
        if k in ends or any(reader in useful for reader in blueprint.readers[k]):
            useful.add(k)
    farthest = max((k for k in useful if any(s < 0 for s in blueprint.nodes[k].sources)), default=-1)
    narrow: set[int] = set()
    for k in sorted(ahead & useful):  # `farthest` is where edges lead that began before it
        if farthest <= k:
            narrow.add(k)
        farthest = max([farthest, *(reader for reader in blueprint.readers[k] if reader in useful)])
    return narrow


def _unpooled(blueprint: Blueprint, index: int, candidates: list[int]) -> int:
    """Back from poolings and what changes nothing, to what made the features."""
    while blueprint.nodes[index].kind in _PASSING:
        before = [source for source in blueprint.nodes[index].sources if source in candidates]
        if not before:
            break
        index = before[-1]
    return index


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
