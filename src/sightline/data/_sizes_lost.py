"""What a resize does to the images of a set: findings, measured on some of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sightline.data._detail import Detail
from sightline.data._doctor_case import Case, make_case
from sightline.data._doctor_look import Item, Way, read_grey
from sightline.data._image_set import ImageSet
from sightline.data._index import Progress
from sightline.imaging import UnreadableImageError

if TYPE_CHECKING:
    from sightline.data._input_view import InputView

_MEASURED = 16
"""Images that are measured, evenly over the classes."""

_SEARCHED = 6
"""Of them, those of which it is found out which size would do."""

_FEWEST_PIXELS = 3.5
"""Pixels of the network's input that the structures with half of the detail should have across. Photographs
of 500 pixels have 4 to 5 at 224, blood cells 8; a 30-pixel disc on 2,000 pixels has 3."""

_KEPT = 0.06
"""The share of detail that may go at a size that is proposed."""

_LARGEST = 3_072
"""Side in pixels of what is measured of an image: of a larger one its middle."""

_MUCH_SMALLER = 2.0
_MUCH_LARGER = 1.25
_MUCH_EDGE = 0.4
_MANY_TIMES = 4
_STEP = 32
_OBJECT = 30


def judge_sizes(images: ImageSet, view: InputView, progress: Progress | None = None) -> Iterator[Case]:
    """What bringing the images to a network's size does: detail that is lost, enlargement, repeated edges.

    Args:
        images: The set.
        view: How the network is given them.
        progress: Told how far measuring is.
    """
    scales = view.scales(images)
    middle = float(np.median(scales))
    chosen = _evenly(images, _MEASURED)
    if (scales[chosen] < 1).any():
        details = _details(images, chosen[scales[chosen] < 1], progress)
        yield from _smaller(images, view, scales, details)
    if middle > _MUCH_LARGER and not _as_they_are(images, view):
        yield make_case(
            "Size",
            "info",
            images.source,
            f"{view.name} is given {_said(view)}: most images are enlarged, {middle:.1f} times in the middle",
            "that adds work, not detail",
            "nothing, or a smaller --img-size" if not view.trained else "nothing",
        )
    edge = float(np.median(_edges(images, view)))
    if edge > _MUCH_EDGE:
        yield make_case(
            "Size",
            "info",
            images.source,
            f"{edge:.0%} of what {view.name} is given is repeated edge, in the middle of the set",
            "images keep their shape, and what the square has beyond them says nothing",
            "nothing, or cut the images into pieces that are nearer to square",
        )


@dataclasses.dataclass(frozen=True)
class _Measured:
    index: int
    detail: Detail


def _smaller(
    images: ImageSet, view: InputView, scales: NDArray[np.float64], details: Iterator[_Measured]
) -> Iterator[Case]:
    lost: list[float] = []
    coarse: list[float] = []
    kept: list[_Measured] = []
    for one in details:
        scale = float(scales[one.index])
        lost.append(one.detail.lost(scale))
        coarse.append(one.detail.lost(scale / _FEWEST_PIXELS))
        if len(kept) < _SEARCHED and coarse[-1] > 0.5:
            kept.append(one)
    middle = float(np.median(scales))
    text = (
        f"{view.name} is given {_said(view)}: images become {1 / middle:.1f} times smaller, "
        f"a {_OBJECT}-pixel object {_OBJECT * middle:.1f} pixels"
    )
    if lost and float(np.median(coarse)) > 0.5 and kept:
        typical = float(np.median([one.detail.typical() for one in kept]))
        at = float(np.median([scales[one.index] for one in kept]))
        yield make_case(
            "Size",
            "warning",
            images.source,
            f"{text}; half of what there is to see is in structures of about {typical:.0f} pixels, which "
            f"become {typical * at:.1f}",
            "what is a few pixels across cannot be told from another thing, whatever the network",
            _advice(images, view, kept, scales),
            names=tuple(images.names[one.index] for one in kept),
        )
    elif middle < 1 / _MUCH_SMALLER:
        share = f"; {np.median(lost):.0%} of their detail goes" if lost else ""
        yield make_case(
            "Size",
            "info",
            images.source,
            text + share,
            "small things in large images are lost first",
            "look at them as the network does: --sheet FILE.png",
        )


def _advice(images: ImageSet, view: InputView, kept: list[_Measured], scales: NDArray[np.float64]) -> str:
    """The smallest input that keeps most detail; and tiles, where that is much larger."""
    side = max(view.size)
    needed = [_side_that_keeps(one.detail, int(images.sizes[one.index].max()), side) for one in kept]
    wanted = int(np.ceil(np.median(needed) / _STEP) * _STEP)
    larger = f"--img-size {wanted} ({(wanted / side) ** 2:.1f} times the work) keeps {1 - _KEPT:.0%} of it"
    if view.trained:
        larger = f"train again: {larger}"
    longest = float(np.median(images.sizes.max(axis=1)))
    if longest <= _MANY_TIMES * side:
        return larger
    tile = max(_STEP, int(longest * side / wanted) // _STEP * _STEP)
    return f"{larger}; or cut copies of the images into tiles of {tile} pixels"


def _side_that_keeps(detail: Detail, longest: int, side: int) -> int:
    """The smallest multiple of 32, up to the image's own side, at which little is lost."""
    low, high = side // _STEP, -(-longest // _STEP)  # in steps; `low` loses too much
    while high - low > 1:
        middle = (low + high) // 2
        if detail.lost(middle * _STEP / longest) > _KEPT:
            low = middle
        else:
            high = middle
    return high * _STEP


def _details(images: ImageSet, chosen: NDArray[np.int64], progress: Progress | None) -> Iterator[_Measured]:
    way = Way.of(images)
    for done, index in enumerate(chosen.tolist(), start=1):
        item: Item = images.pixels[index] if images.pixels is not None else images.source_of(index)
        try:
            detail = Detail.of(_middle(read_grey(item, way)))
        except UnreadableImageError:  # it could be read a moment ago
            detail = None
        if progress is not None:
            progress("measuring detail", done, len(chosen))
        if detail is not None:
            yield _Measured(index, detail)


def _middle(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    top, left = (max(0, (side - _LARGEST) // 2) for side in grey.shape)
    return grey[top : top + _LARGEST, left : left + _LARGEST]


def _evenly(images: ImageSet, count: int) -> NDArray[np.int64]:
    """So many images, evenly over the classes. -> indices."""
    order = np.argsort(images.targets, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, count).round().astype(np.int64))
    return np.asarray(order[places], dtype=np.int64)


def _as_they_are(images: ImageSet, view: InputView) -> bool:
    """Whether every pixel of every image is given unchanged, with or without an edge."""
    return images.one_size == (view.canvas.height, view.canvas.width) and view.preprocessing.fit in (
        "none",
        "pad",
    )


def _edges(images: ImageSet, view: InputView) -> NDArray[np.float64]:
    """The share of the canvas that is no image. -> (N,)."""
    if view.canvas.framing == "cover":
        return np.zeros(len(images))
    height, width = images.sizes.astype(np.float64).T
    scale = np.minimum(view.canvas.height / height, view.canvas.width / width)
    return np.asarray(1 - (height * scale) * (width * scale) / (view.canvas.height * view.canvas.width))


def _said(view: InputView) -> str:
    return f"{view.size[1]}x{view.size[0]} pixels"
