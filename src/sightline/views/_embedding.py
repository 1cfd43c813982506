"""The last hidden features of a set of images in two dimensions, with the images, and their neighbours."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sightline.base import INK, SERIES, ArgumentError, DataError, Finding, did_you_mean
from sightline.data import ImageSet, Progress
from sightline.views._colour import plotted
from sightline.views._layers import find_layer
from sightline.views._neighbours import (
    Features,
    Separation,
    nearest,
    neighbour_map,
    plane,
    separation,
    spread_out,
)
from sightline.views._pass import as_vectors, classifier_layer, inputs_of, open_set, set_name, unseen, up_to
from sightline.views._pictures import Cell, picture_rows, thumbnail
from sightline.views._registry import How, Request
from sightline.views._subject import Subject
from sightline.views._view import Panel, Pixels, View

_VOTES = 5
_ROWS = 4
_SHOWN = 7
_MAPPED = 2000
_LEAST = 3
_PAGE = (560, 960)
_THUMBS = 240
_SIDE = 38
_REACH = 3
"""Sides by which a picture may lie beside its place."""
_COLOURS = (*SERIES, "#7B52C7", "#B5446E", "#8A6D1F")
"""Each is seen on white and on black: frames lie about images of either."""
_MARKERS = ("o", "s", "^", "D")
_NAMED = len(_COLOURS) * len(_MARKERS)

_Style = tuple[str, str]
"""Colour and marker of a class."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Points:
    """The features of some images."""

    images: ImageSet
    indices: NDArray[np.int64]
    """Places in the set."""
    features: Features
    layer: str
    how: str
    """How the features are called: the input of what, and over what they were averaged."""
    kind: str
    """In short."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) classes."""
        return self.images.targets[self.indices]

    @property
    def named(self) -> bool:
        """Whether the images have classes."""
        return any(self.images.classes)

    def class_of(self, k: int) -> str:
        """The class's name; empty where the images have none."""
        name: str = self.images.classes[self.images.targets[self.indices[k]]]
        return name

    def cell(self, k: int, styles: dict[int, _Style], **more: str) -> Cell:
        """An image in a row of them."""
        return Cell(int(self.indices[k]), frame=self.frame(k, styles), **more)

    def frame(self, k: int, styles: dict[int, _Style]) -> str:
        """The colour of an image's class; empty where the images have none."""
        return styles[int(self.targets[k])][0] if self.named else ""


def embedding(
    subject: Subject,
    images: ImageSet,
    *,
    layer: str | None = None,
    of: str | None = None,
    top: int = _SHOWN,
    seed: int = 0,
    progress: Progress | None = None,
) -> View:
    """What a network makes of a set of images just before it names them, in two dimensions.

    The features are the input of the classifier, which is found: the last linear layer or convolution. They
    are shown by their two principal directions and by t-SNE, with the images on it, and some images with
    their nearest neighbours by the cosine. How well the neighbours tell the class is counted, each image left
    out of its own vote.

    Args:
        subject: The network; left as it was.
        images: The set; of it, the images that the network did not learn from, as far as that is known.
        layer: The layer whose output is taken instead; maps are averaged over their places.
        of: An image of the set by its name, or a class, whose neighbours are shown; else those images whose
            neighbours are most of another class.
        top: Neighbours an image.
        seed: Of t-SNE, and of which images are drawn.
        progress: Told how far it is.

    Raises:
        ArgumentError: if there is no such layer, or no such image or class.
        DataError: if there are fewer than three images, or one cannot be read.

    Source:
        Krizhevsky, Sutskever, Hinton 2012, section 6.1 (neighbours); van der Maaten and Hinton 2008 (t-SNE).
    """
    indices, said = unseen(subject, images)
    if len(indices) < _LEAST:
        raise DataError(f"{images.source}: {said}; an embedding needs {_LEAST} at least")
    points = _points(subject, images, indices, layer, progress)
    neighbours, cosines = nearest(points.features, max(_VOTES, top))
    told = separation(points.features, points.targets, len(images.classes), neighbours[:, :_VOTES], seed)
    flat, share = plane(points.features, seed)
    drawn = np.arange(len(indices))
    if len(drawn) > _MAPPED:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, _MAPPED, replace=False))
    varied = bool(np.ptp(points.features, axis=0).max() > 0)
    if progress is not None:
        progress("laying neighbours beside each other", 0, 1)
    beside = neighbour_map(points.features[drawn], seed) if varied else flat[drawn]
    if progress is not None:
        progress("laying neighbours beside each other", 1, 1)
    rows, why = _rows(points, neighbours, cosines, of)
    return _view(
        subject,
        points,
        said,
        flat,
        share,
        drawn,
        beside,
        neighbours[:, :top],
        cosines,
        rows,
        why,
        told,
        varied,
        seed,
    )


def _points(
    subject: Subject,
    images: ImageSet,
    indices: NDArray[np.int64],
    layer: str | None,
    progress: Progress | None,
) -> _Points:
    """One pass; only the features are kept."""
    blueprint = subject.blueprint
    node = classifier_layer(blueprint) if layer is None else find_layer(blueprint, layer)
    found: list[Features] = []
    averaged = False
    for _, x in inputs_of(subject, images, indices, what="looking at images", progress=progress):
        with torch.no_grad():
            output = up_to(subject.network, x, node.id, before=layer is None)
        averaged = getattr(output, "ndim", 0) > 2
        found.append(as_vectors(output, node.id).cpu().numpy())
    what = f"the input of {node.id}, the classifier" if layer is None else f"the output of {node.id}"
    how = f"{what}: {found[0].shape[1]} values" + (", maps averaged over their places" if averaged else "")
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise DataError(f"{what} is not finite for some images; nothing can be said of their neighbours")
    kind = "their last features" if layer is None else f"the output of {node.id}"
    return _Points(images, indices, features, node.id, how, kind)


def _rows(
    points: _Points, neighbours: NDArray[np.int64], cosines: NDArray[np.float32], of: str | None
) -> tuple[NDArray[np.int64], str]:
    """The images whose neighbours are shown, and why they are."""
    names = [points.images.names[i] for i in points.indices]
    if of is not None and of in names:
        return np.array([names.index(of)]), f"the nearest to {of}"
    votes = neighbours[:, :_VOTES]
    others = (points.targets[votes] != points.targets[:, None]).mean(axis=1)
    order = np.lexsort((-cosines[:, :_VOTES].mean(axis=1), -others))
    if of is not None:
        if of not in points.images.classes:
            near = difflib.get_close_matches(of, names, 3)
            close = did_you_mean(of, [*near, *points.images.classes])
            raise ArgumentError(f"--target {of}: neither a class of the set nor one of its images; {close}")
        own = points.targets[order] == points.images.classes.index(of)
        if not own.any():
            raise ArgumentError(f"--target {of}: no image of that class is among those looked at")
        return order[own][:_ROWS], f"the images of {of} with most neighbours of another class"
    if len(np.unique(points.targets)) in (1, len(points.targets)):
        return order[:_ROWS], "the images that are closest to their neighbours"
    return order[:_ROWS], "the images with most neighbours of another class, those closest to theirs first"


def _view(
    subject: Subject,
    points: _Points,
    said: str,
    flat: Features,
    share: NDArray[np.float64],
    drawn: NDArray[np.int64],
    beside: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    cosines: NDArray[np.float32],
    rows: NDArray[np.int64],
    why: str,
    told: Separation,
    varied: bool,
    seed: int,
) -> View:
    classes = np.unique(points.targets)
    styles = _styles(classes)
    scatters = plotted(
        _scatters(points, flat, share, drawn, beside, styles), 960, 470 + _legend_height(classes), columns=2
    )
    findings = []
    if not varied:
        findings.append(
            Finding(
                level="warning",
                where=points.layer,
                what="the features of all images are the same",
                why="there is nothing to lay apart: the network gives every image one answer",
                do="train it, or choose an earlier layer by --layer",
            )
        )
    notes = [f"{points.how}; {said}"]
    if told.accuracy is not None and told.chance is not None:
        text = (
            f"the class of most of the {min(_VOTES, len(points.indices) - 1)} nearest others (cosine) is the "
            f"image's own for {told.accuracy:.1%} of {len(points.indices)}; "
            f"the largest class is {told.chance:.1%}"
        )
        if told.silhouette is not None:
            text += f"; silhouette {told.silhouette:.3f} (-1 to 1), of {told.silhouette_of}"
        notes.append(text)
    elif not points.named:
        notes.append("the images have no classes: whether neighbours share one cannot be said")
    elif len(classes) == 1:
        notes.append("all images are of one class: neighbours cannot tell it from another")
    else:
        notes.append("no class has two images: whether neighbours share a class cannot be said")
    some = "" if len(drawn) == len(points.indices) else f", of {len(drawn)} images drawn at random"
    notes.append(
        f"t-SNE{some}: who lies beside whom can be read; how far groups are apart, and how wide, cannot"
    )
    numbers: dict[str, NDArray[Any]] = {
        "features": points.features,
        "indices": points.indices,
        "targets": points.targets,
        "names": np.array([points.images.names[i] for i in points.indices]),
        "pca": flat,
        "tsne": beside,
        "tsne_of": drawn,
        "neighbours": neighbours,
        "cosines": cosines[:, : neighbours.shape[1]],
    }
    confused = [
        {
            "image": points.images.names[points.indices[k]],
            "class": points.class_of(int(k)),
            "neighbours": [
                {
                    "image": points.images.names[points.indices[n]],
                    "class": points.class_of(int(n)),
                    "cosine": float(cosines[k, place]),
                }
                for place, n in enumerate(neighbours[k])
            ],
        }
        for k in rows
    ]
    return View(
        how="embedding",
        title=f"{len(points.indices)} images of {set_name(points.images)} by {points.kind}, {subject.name}",
        notes=tuple(notes),
        panels=(
            scatters,
            _pictures(points, drawn, beside, styles, seed),
            _neighbour_rows(points, rows, neighbours, cosines, styles, why),
        ),
        columns=1,
        arrays=numbers,
        figures={
            "layer": points.layer,
            "values": int(points.features.shape[1]),
            "images": len(points.indices),
            "measured_on": said,
            "neighbour_accuracy": told.accuracy,
            "largest_class": told.chance,
            "silhouette": told.silhouette,
            "silhouette_of": told.silhouette_of,
            "pca_variance": [float(value) for value in share],
            "rows": confused,
        },
        findings=tuple(findings),
    )


def _styles(classes: NDArray[np.int64]) -> dict[int, _Style]:
    """A colour and a marker each, as long as they can be told apart; else the same for all."""
    if len(classes) > _NAMED:
        return {int(c): (SERIES[0], "o") for c in classes}
    many = len(_COLOURS)
    return {int(c): (_COLOURS[k % many], _MARKERS[k // many]) for k, c in enumerate(classes)}


def _legend_height(classes: NDArray[np.int64]) -> int:
    return 30 if len(classes) > _NAMED else 18 + 20 * math.ceil(len(classes) / 5)


def _scatters(
    points: _Points,
    flat: Features,
    share: NDArray[np.float64],
    drawn: NDArray[np.int64],
    beside: NDArray[np.float32],
    styles: dict[int, _Style],
) -> Callable[[Any], None]:
    """Both kinds of points, with a legend below."""

    def draw(grid: Any) -> None:
        left, right = grid
        size = 22 if len(drawn) < 500 else 9
        for c, (colour, marker) in styles.items():
            own = points.targets == c
            name = points.images.classes[c][:22]
            shown = {"s": size, "color": colour, "marker": marker, "alpha": 0.75, "linewidths": 0}
            left.scatter(flat[own, 0], flat[own, 1], label=name, **shown)
            there = own[drawn]
            right.scatter(beside[there, 0], beside[there, 1], **shown)
        left.set_title("principal components", fontsize=10)
        left.set_xlabel(f"first: {share[0]:.1%} of the variance", fontsize=9)
        left.set_ylabel(f"second: {share[1]:.1%}", fontsize=9)
        right.set_title("t-SNE", fontsize=10)
        right.set_xticks([])
        right.set_yticks([])
        left.tick_params(labelsize=8)
        if len(styles) > _NAMED:
            left.figure.supxlabel(f"{len(styles)} classes: too many for colours", fontsize=9, color=INK)
        elif points.named:
            left.figure.legend(
                *left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8
            )

    return draw


def _pictures(
    points: _Points,
    drawn: NDArray[np.int64],
    beside: NDArray[np.float32],
    styles: dict[int, _Style],
    seed: int,
) -> Panel:
    """The images where t-SNE puts them, as many as have room."""
    page = Image.new("RGB", (_PAGE[1], _PAGE[0]), (255, 255, 255))
    order = np.random.default_rng(seed).permutation(len(drawn))
    spots = spread_out(beside[order], _PAGE, _SIDE, _THUMBS, _REACH * _SIDE)
    for place, top, left in spots:
        k = int(drawn[order[place]])
        picture = thumbnail(points.images, int(points.indices[k]), _SIDE, points.frame(k, styles))
        page.paste(picture, (left, top))
    pixels: Pixels = np.asarray(page)
    return Panel(
        pixels=pixels,
        title=f"where t-SNE puts the images, within {_REACH * _SIDE} pixels ({len(spots)} of {len(drawn)})",
        width=_PAGE[1],
    )


def _neighbour_rows(
    points: _Points,
    rows: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    cosines: NDArray[np.float32],
    styles: dict[int, _Style],
    why: str,
) -> Panel:
    """A row an image: itself, then its neighbours with class and cosine."""
    shown = []
    for k in rows:
        cells = [points.cell(int(k), styles)]
        for n, cosine in zip(neighbours[k], cosines[k], strict=False):
            ink = SERIES[1] if points.targets[n] != points.targets[k] else "black"
            cells.append(points.cell(int(n), styles, below=f"{cosine:.3f}", ink=ink))
        shown.append(cells)
    panel = picture_rows(points.images, shown, apart=0.25)
    caption = "first of a row the image, then its neighbours with their cosine"
    caption += "; another class in orange" if points.named else ""
    return dataclasses.replace(panel, title=why, caption=caption)


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    return embedding(
        subject,
        open_set(request.image, subject, request.progress),
        layer=request.layer,
        of=request.target,
        top=_SHOWN if request.top is None else request.top,
        seed=request.seed or 0,
        progress=request.progress,
    )


VIEWS = (
    How(
        name="embedding",
        about="the last features of a set in two dimensions (PCA, t-SNE), the images, their neighbours",
        make=_make,
        needs="data",
        options=frozenset({"layer", "target", "top", "seed"}),
    ),
)
