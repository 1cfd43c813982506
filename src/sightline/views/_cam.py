"""Where in the last features a class's evidence lies: Grad-CAM, Grad-CAM++, LayerCAM."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint import Node, execute
from sightline.views._evidence import (
    Map,
    Score,
    as_map,
    check_picture,
    chosen,
    flat,
    gradient_of,
    heat,
    overlay,
    scores_of,
    shown_picture,
)
from sightline.views._layers import find_layer, last_maps
from sightline.views._registry import How, Request
from sightline.views._sanity import with_sanity
from sightline.views._subject import Picture, Subject
from sightline.views._view import View

Combine = Callable[[Tensor, Tensor], Tensor]
"""Features and the score's gradients at them, (C, h, w) each -> the map before its rectifier, (h, w)."""


def gradcam(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    target: str | int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """The features of a layer, weighted by the mean gradient of a class's score, as a map.

    Args:
        subject: The network.
        picture: The image.
        layer: As of `find_layer`; the last features before the classifier where None.
        target: A class by name or number; the most probable where None.
        sanity: Check it against random weights and by deletion and insertion.
        seed: Of what is random in that.

    Raises:
        ArgumentError: if there is no such layer or class, the network has no convolutions, or it gives no
            score a class.

    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2.
    """
    note = "each map of the layer times the mean of the score's gradient over it, summed"
    return _cam(subject, picture, "gradcam", "Grad-CAM", note, combine_gradcam, layer, target, sanity, seed)


def gradcam_plus_plus(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    target: str | int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """Grad-CAM whose weights count each place where the gradient is positive alike, however small its object.

    Arguments and errors as `gradcam`.

    Source: Chattopadhay et al. 2018, Grad-CAM++, equations 5 and 19; of exp(score), whose factor is left out.
    """
    note = "each map of the layer times the weighted sum of the score's positive gradients over it, summed"
    return _cam(
        subject, picture, "gradcam++", "Grad-CAM++", note, combine_plus_plus, layer, target, sanity, seed
    )


def layercam(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    target: str | int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """The features of a layer, each value weighted by its own positive gradient; of use at early layers, too.

    Arguments and errors as `gradcam`.

    Source: Jiang et al. 2021, LayerCAM, equations 6 and 7.
    """
    note = "each value of the layer times its own gradient where that is positive, summed over maps"
    return _cam(subject, picture, "layercam", "LayerCAM", note, combine_layercam, layer, target, sanity, seed)


def combine_gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM before its rectifier. (C, h, w) each -> (h, w)."""
    return (gradients.mean((1, 2), keepdim=True) * features).sum(0)


def combine_plus_plus(features: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ before its rectifier. (C, h, w) each -> (h, w)."""
    square, cube = gradients**2, gradients**3
    below = 2 * square + features.sum((1, 2), keepdim=True) * cube
    share = torch.where(below != 0, square / torch.where(below != 0, below, 1), 0)
    weights = (share * gradients.clamp(min=0)).sum((1, 2), keepdim=True)
    return (weights * features).sum(0)


def combine_layercam(features: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM before its rectifier. (C, h, w) each -> (h, w)."""
    return (gradients.clamp(min=0) * features).sum(0)


def features_and_gradients(
    network: nn.Module, x: Tensor, layer: str, index: Callable[[Tensor], int], subject: Subject
) -> tuple[Tensor, Tensor]:
    """What a layer gives for an image, and the score's gradient there; the network is left as it was.

    Args:
        network: The network of `subject`, or a copy with other weights.
        x: (1, C, H, W).
        layer: A node's id.
        index: Given the scores (1, classes), says which output is meant.
        subject: For what is said of errors.

    Returns:
        (C, h, w) each.
    """
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        run = execute(network, leaf.clone(), capture=[layer])
        scores = scores_of(subject, run.output)
        features: Tensor = run.captured[layer]
        gradients = gradient_of(scores[0, index(scores)], features)
    return features.detach()[0], gradients[0]


def _cam(
    subject: Subject,
    picture: Picture,
    how: str,
    name: str,
    note: str,
    combine: Combine,
    layer: str | None,
    target: str | int | None,
    sanity: bool,
    seed: int,
) -> View:
    check_picture(subject, picture)
    node = _layer(subject, layer)
    said: list[Score] = []

    def index(scores: Tensor) -> int:
        if not said:
            said.append(chosen(subject, scores, target))
        return said[0].index

    def explain(network: nn.Module) -> Map:
        return as_map(combine(*features_and_gradients(network, picture.x, node.id, index, subject)))

    before = explain(subject.network)
    after: Map = np.maximum(before, 0)
    worth = float(np.abs(before).sum())
    least = said[0].worth if worth < said[0].worth else 0.0
    findings = flat(worth, said[0], "all of the map together")
    if not findings and after.sum() < said[0].worth:
        findings = (_against(said[0], before),)
        least = float(np.abs(before).max())
    found = "the last features before the classifier, found by itself" if layer is None else "as asked for"
    size = f"{before.shape[0]}x{before.shape[1]}"
    view = View(
        how=how,
        title=f"{name} of {node.id} for {said[0].title}, {subject.name}",
        notes=(
            said[0].note,
            f"layer: {node.id}, {found}; {node.output_shapes[0][1]} maps of {size}",
            f"{note}; the method keeps what is positive",
            *picture.notes,
        ),
        panels=(
            shown_picture(picture),
            heat(before, f"{name}, signed", least=least),
            heat(after, "what is positive", kind="positive", least=least),
            overlay(picture, after, "over the picture", kind="positive", least=least),
        ),
        arrays={"signed": before, "map": after},
        figures={
            **said[0].to_dict(),
            "layer": node.id,
            "layer_found": layer is None,
            "size": list(before.shape),
            "range": [float(before.min()), float(before.max())],
            "worth": worth,
        },
        findings=findings,
    )
    if not sanity:
        return view
    return with_sanity(view, subject, picture, said[0], lambda n: np.maximum(explain(n), 0), after, seed=seed)


def _layer(subject: Subject, layer: str | None) -> Node:
    if layer is None:
        return last_maps(subject.blueprint)
    node = find_layer(subject.blueprint, layer, needs="maps")
    _, height, width = node.output_shapes[0][1:]
    if height * width == 1:
        raise ArgumentError(f"--layer {layer}: {node.id} gives maps of one place; there is no where in them")
    return node


def _against(said: Score, before: Map) -> Finding:
    return Finding(
        level="warning",
        where=f"'{said.name}'",
        what=f"no evidence for it: nothing in the map is positive; it goes down to {before.min():.3g}",
        why="the layer speaks against this class everywhere, and the map of the method is empty",
        do="look at the signed map, or at the class the network answers",
    )


def _maker(view: Callable[..., View]) -> Callable[[Subject, Request], View]:
    def make(subject: Subject, request: Request) -> View:
        assert request.image is not None
        return view(
            subject,
            subject.picture(request.image),
            layer=request.layer,
            target=request.target,
            sanity=request.sanity,
            seed=request.seed or 0,
        )

    return make


_OPTIONS = frozenset({"layer", "target", "sanity", "seed"})
VIEWS = (
    How(
        name="gradcam",
        about="where in the last features the evidence for a class lies",
        make=_maker(gradcam),
        needs="image",
        options=_OPTIONS,
    ),
    How(
        name="gradcam++",
        about="the same, with weights that count small objects alike",
        make=_maker(gradcam_plus_plus),
        needs="image",
        options=_OPTIONS,
    ),
    How(
        name="layercam",
        about="the same, place by place: of use at early layers, too",
        make=_maker(layercam),
        needs="image",
        options=_OPTIONS,
    ),
)
