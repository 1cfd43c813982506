"""What the tab Image asks of a model and a picture: the answer, maps, one neuron, attributions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.base import ArgumentError
from sightline.studio._shown import numbers, plain, png, scale_json, view_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightline.blueprint import Blueprint, Node
    from sightline.views import Picture, Scale, Subject, View

ATTRIBUTIONS = (
    "saliency", "guided", "integrated", "smoothgrad", "gradcam", "gradcam++", "layercam", "occlusion",
)  # fmt: skip
_PASSES: Mapping[str, int] = {
    "saliency": 3, "guided": 4, "gradcam": 3, "gradcam++": 3, "layercam": 3, "integrated": 300,
    "smoothgrad": 150, "occlusion": 260,
}  # fmt: skip
"""About how long each takes, in forward passes of one image; a gradient is two more."""
_OF_SANITY, _DEPTHS, _ROUGH = 370, 5, 48
"""Passes of deletion and insertion, maps of networks with random weights, passes of a rough map at most."""
_CLASSES, _A_STAGE, _A_LAYER = 10, 12, 64
_WRITTEN = frozenset(
    {"conv2d", "conv_transpose2d", "linear", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
     "adaptive_max_pool2d"}
)  # fmt: skip
"""Kinds of layers of which one value can be written out."""


def opening(subject: Subject, picture: Picture) -> dict[str, Any]:
    """A model with a picture: what it is given, its layers, what it answers, and how long a pass takes."""
    import torch

    from sightline.blueprint import in_mode
    from sightline.views import softmax

    layers = [
        {"id": node.id, "kind": node.kind, "shape": list(node.output_shapes[0][1:])}
        for node in subject.blueprint.nodes
        if node.output_shapes and len(node.output_shapes[0]) in (2, 4)
    ]
    with in_mode(subject.network, training=False), torch.no_grad():
        subject.network(picture.x.clone())  # the first one prepares
        began = time.perf_counter()
        subject.network(picture.x.clone())
        took = time.perf_counter() - began
    answer: dict[str, Any] = {"classes": None, "why": ""}
    try:
        view = softmax(subject, picture, top=_CLASSES)
        answer = {"classes": view.figures["classes"], "temperature": view.figures["temperature"],
                  "fitted": view.figures["fitted_temperature"], "why": ""}  # fmt: skip
        logits = view.arrays["logits"]
        order = np.argsort(-logits, kind="stable")[:_CLASSES].tolist()
        for told, index in zip(answer["classes"], order, strict=True):
            told["index"] = index
    except ArgumentError as error:  # it gives no number a class
        answer["why"] = str(error)
    return {
        "name": subject.name,
        "trained": subject.trained,
        "named": bool(subject.classes),
        "input_shape": list(subject.input_shape),
        "image": {"title": picture.title, "png": png(picture.pixels), "notes": list(picture.notes),
                  "size": list(picture.pixels.shape[:2])},
        "answer": plain(answer),
        "layers": layers,
        "pass_seconds": took,
    }  # fmt: skip


# ---------------------------------------------------------------------- maps


def through(subject: Subject, picture: Picture) -> dict[str, Any]:
    """The strongest maps of every stage."""
    from sightline.views import maps

    view = maps(subject, picture, top=_A_STAGE)
    strips = [panel for panel in view.panels if panel.scale is not None]
    stages = []
    told = zip(view.figures["stages"], view.arrays.values(), strips, strict=True)
    for stage, values, panel in told:
        assert panel.scale is not None
        stages.append(_strip(stage, values, panel.scale, panel.caption))
    return {"stages": stages, "notes": list(view.notes), "findings": [f.to_dict() for f in view.findings]}


def of_layer(subject: Subject, picture: Picture, layer: str, top: int) -> dict[str, Any]:
    """The strongest maps of one layer, or the strongest values of a vector."""
    node = _node(subject.blueprint, layer)
    if len(node.output_shapes[0]) == 2:
        return _vector(subject, picture, node, top)
    from sightline.views import maps

    view = maps(subject, picture, layer=node.id, top=top or _A_LAYER)
    scale = view.panels[-1].scale
    assert scale is not None
    strip = _strip(view.figures, view.arrays["maps"], scale, view.notes[0])
    return {
        **strip,
        "notes": list(view.notes),
        "findings": [f.to_dict() for f in view.findings],
    }


def _strip(
    told: Mapping[str, Any], values: NDArray[np.float32], scale: Scale, caption: str
) -> dict[str, Any]:
    """Maps under each other in one picture, each with its range."""
    from sightline.views import paint

    units = told["units"]
    chosen = values[units]
    return {
        "layer": told["layer"],
        "shape": list(values.shape),
        "units": units,
        "lows": numbers(chosen.min(axis=(1, 2))),
        "highs": numbers(chosen.max(axis=(1, 2))),
        "silent": [not bool(own.any()) for own in chosen],
        "range": plain(told["range"]),
        "zeros": plain(told["zeros"]),
        "never_fire": told["never_fire"],
        "caption": caption,
        "scale": scale_json(scale),
        "png": png(np.concatenate([paint(own, scale) for own in chosen])),
    }


def _vector(subject: Subject, picture: Picture, node: Node, top: int) -> dict[str, Any]:
    import torch

    from sightline.blueprint import execute

    with torch.no_grad():
        values = (
            execute(subject.network, picture.x, capture=[node.id]).captured[node.id][0].double().cpu().numpy()
        )
    order = np.argsort(-values, kind="stable")[: top or _A_LAYER]
    last = node.id == subject.blueprint.nodes[-1].id
    return {
        "layer": node.id,
        "shape": [len(values)],
        "units": order.tolist(),
        "values": numbers(values[order]),
        "names": [subject.class_name(int(k)) for k in order] if last and subject.classes else None,
        "range": [float(values.min()), float(values.max())],
        "zeros": float((values == 0).mean()),
    }


def one_map(subject: Subject, picture: Picture, layer: str, unit: int) -> dict[str, Any]:
    """One map with its numbers, and where it is largest."""
    from sightline.views import maps

    node = _node(subject.blueprint, layer)
    if len(node.output_shapes[0]) == 2:
        return {"layer": node.id, "unit": unit, "values": None, "at": [0, 0]}
    view = maps(subject, picture, layer=node.id, unit=unit)
    values = view.arrays["maps"][0]
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return {
        "layer": node.id,
        "unit": unit,
        "title": view.panels[-1].title,
        "caption": view.panels[-1].caption,
        "values": numbers(values),
        "at": [int(row), int(column)],
        "scale": scale_json(view.panels[-1].scale),
        "findings": [f.to_dict() for f in view.findings],
    }


def _node(blueprint: Blueprint, layer: str) -> Node:
    from sightline.base import did_you_mean

    if layer not in blueprint.index:
        raise ArgumentError(
            f"{blueprint.name} has no layer {layer!r}; {did_you_mean(layer, blueprint.index)}"
        )
    return blueprint.nodes[blueprint.index[layer]]


# ---------------------------------------------------------------------- one unit


def written_layer(blueprint: Blueprint, layer: str, unit: int) -> tuple[str, int, str]:
    """The layer whose sum makes a value of another, the unit there, and what is to be said of the way.

    What works on each value alone is gone back through, of joined maps to the branch that has the unit.

    Args:
        blueprint: The network.
        layer: A node's id.
        unit: Its channel.

    Raises:
        ArgumentError: if no layer on the way is one that can be written out.
    """
    first = node = _node(blueprint, layer)
    said = ""
    while node.kind not in _WRITTEN:
        shape = node.output_shapes[0]
        if not 0 <= unit < shape[1]:
            raise ArgumentError(f"unit {unit}: {first.id} has units 0 to {first.output_shapes[0][1] - 1}")
        sources = [(s, given) for s, given in zip(node.sources, node.input_shapes, strict=False) if s >= 0]
        found = None
        if node.kind == "cat":
            start = 0
            for s, given in sources:
                if start <= unit < start + given[1]:
                    found, unit = s, unit - start
                    break
                start += given[1]
        else:
            alike = [s for s, given in sources if given == shape]
            found = alike[0] if alike else None
            if len(alike) > 1:
                said = f"{node.id} adds {len(alike)} maps; what is written out is the first of them"
        if found is None:
            raise ArgumentError(
                f"{first.id} is {first.kind}; what is written out is a sum or a window, and none is before it"
            )
        node = blueprint.nodes[found]
    return node.id, unit, said


def neuron_of(
    subject: Subject, picture: Picture, layer: str, unit: int, at: tuple[int, int] | None
) -> dict[str, Any]:
    """One value written out: window, kernel, products, sum, bias, and what follows, as numbers."""
    from sightline.views import neuron

    name, own, said = written_layer(subject.blueprint, layer, unit)
    view = neuron(subject, picture, layer=name, unit=own, at=at)
    figures = view.figures
    shown = figures["channels"]
    patch, products = view.arrays["patch"], view.arrays["products"]
    kernel = view.arrays.get("kernel")
    sums = products.sum(axis=(1, 2))
    rest = len(products) - len(shown)
    rows = [
        {
            "input": name_of,
            "patch": numbers(patch[k]),
            "kernel": None if kernel is None else numbers(kernel[k]),
            "products": None if kernel is None else numbers(products[k]),
            "sum": float(sums[k]),
        }
        for k, name_of in zip(shown, figures["inputs"], strict=True)
    ]
    return {
        "title": view.title,
        "notes": ([said] if said else []) + list(view.notes),
        "figures": plain(dict(figures)),
        "findings": [f.to_dict() for f in view.findings],
        "rows": rows,
        "outside": view.arrays["outside"].tolist(),
        "rest": {"inputs": rest, "sum": float(sums.sum() - sums[shown].sum())},
        "scales": {
            "patch": _about(patch),
            "kernel": None if kernel is None else _about(kernel, always=True),
            "products": None if kernel is None else _about(products, always=True),
        },
    }


def _about(values: NDArray[Any], *, always: bool = False) -> dict[str, Any] | None:
    """A scale for some numbers: about 0 where any is below it, or always."""
    from sightline.views import Scale

    most = float(np.abs(values).max(initial=0.0))
    if always or values.min() < 0:
        return scale_json(Scale("signed", -most, most))
    return scale_json(Scale("positive", 0.0, most))


def field_of(
    subject: Subject, picture: Picture, layer: str, unit: int, at: tuple[int, int] | None
) -> dict[str, Any]:
    """What a unit can see, and does see."""
    from sightline.views import field

    return view_json(field(subject, picture, layer=layer, unit=unit, at=at))


def projection_of(
    subject: Subject, picture: Picture, layer: str, unit: int, at: tuple[int, int] | None
) -> dict[str, Any]:
    """What its activation rests on."""
    from sightline.views import deconvnet

    return view_json(deconvnet(subject, picture, layer=layer, unit=unit, at=at))


# ---------------------------------------------------------------------- attributions


def expected_seconds(how: str, pass_seconds: float, *, sanity: bool) -> float:
    """About how long an attribution takes.

    Args:
        how: Its name.
        pass_seconds: Of one image through the network.
        sanity: With its verdict.
    """
    passes = _PASSES[how]
    if sanity:
        passes += _OF_SANITY + _DEPTHS * min(passes, _ROUGH)
    return passes * pass_seconds


def attribution(how: str, picture: Picture, target: str | None, *, sanity: bool) -> Callable[[Subject], Any]:
    """The work of a job: one attribution, as JSON.

    Raises:
        ArgumentError: if there is no such attribution.
    """
    from sightline import views
    from sightline.base import did_you_mean

    makers: Mapping[str, Callable[..., View]] = {
        "saliency": views.saliency, "guided": views.guided, "integrated": views.integrated,
        "smoothgrad": views.smoothgrad, "gradcam": views.gradcam, "gradcam++": views.gradcam_plus_plus,
        "layercam": views.layercam, "occlusion": views.occlusion,
    }  # fmt: skip
    if how not in makers:
        raise ArgumentError(f"there is no attribution {how!r}; {did_you_mean(how, makers)}")
    return lambda subject: view_json(makers[how](subject, picture, target=target or None, sanity=sanity))
