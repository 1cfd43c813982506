"""What images show, each and as a set: empty, unusual, saturated, of many sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sightline.data._doctor_case import Case, capped, make_case
from sightline.data._doctor_pass import Looks
from sightline.data._image_set import ImageSet
from sightline.data._index import read_records

_ONE_COLOUR = 1.5
_FAR = 7.0
_SATURATED = 0.01


def plain_images(images: ImageSet, looks: Looks) -> NDArray[np.bool_]:
    """Which images show nothing: nearly of one colour; deeper ones, of one value in each channel. -> (N,)."""
    if looks.thumbs.dtype == np.uint8:
        empty = looks.deviations <= _ONE_COLOUR
    else:
        empty = looks.constant == (1 << min(images.channels, 62)) - 1
    return np.asarray(empty & ~np.isnan(looks.means))


def one_colour(images: ImageSet, plain: NDArray[np.bool_]) -> list[Case]:
    """Images of which `plain_images` says that there is nothing in them."""
    what = "is of one colour"
    return capped(
        make_case(
            "Empty images",
            "warning",
            images.names[i],
            what,
            "there is nothing in it to learn from",
            "remove it, or look why it is empty",
            names=(images.names[i],),
            quarantine=((images.names[i], what),),
        )
        for i in np.flatnonzero(plain).tolist()
    )


def outliers(images: ImageSet, looks: Looks, seen: NDArray[np.bool_]) -> list[Case]:
    """Images far from the set's middle: by robust deviations of shape, size, brightness, contrast."""
    if seen.sum() < 20:
        return []
    height, width = images.sizes[:, 0].astype(float), images.sizes[:, 1].astype(float)
    area = np.sqrt(height * width)
    shown = "" if images.depth == "uint8" else " in the range of the set"

    def size(i: int) -> str:
        return f"{images.sizes[i, 0]}x{images.sizes[i, 1]}"

    measures: tuple[tuple[str, NDArray[np.float64], float, Callable[[int], str]], ...] = (
        ("its shape", np.log2(width / height), 1.0, size),
        ("its size", np.log2(area), 2.0, size),
        ("its brightness", looks.means, 40.0, lambda i: f"mean {looks.means[i]:.0f} of 255{shown}"),
        (
            "its contrast",
            np.log2(looks.deviations + 1),
            1.0,
            lambda i: f"deviation {looks.deviations[i]:.1f}",
        ),
    )
    cases = []
    for what, values, least, said in measures:
        middle = float(np.median(values[seen]))
        spread = max(1.4826 * float(np.median(np.abs(values[seen] - middle))), least / _FAR)
        far = np.abs(values - middle) / spread
        typical = said(int(np.flatnonzero(seen)[np.abs(values[seen] - middle).argmin()]))
        for i in np.flatnonzero(seen & (far > _FAR)).tolist():
            text = f"stands out by {what}: {said(i)}, where {typical} is usual"
            cases.append(
                make_case(
                    "Unusual images",
                    "info",
                    images.names[i],
                    text,
                    "it may not belong to the set",
                    "look at it",
                    names=(images.names[i],),
                )
            )
    return capped(cases)


def mixture(images: ImageSet) -> Iterator[Case]:
    """Sizes and channels that differ."""
    if images.one_size is None:
        areas = images.sizes.astype(np.int64).prod(axis=1)
        small, large = images.sizes[areas.argmin()], images.sizes[areas.argmax()]
        sizes = len(np.unique(images.sizes, axis=0))
        yield make_case(
            "The set",
            "info",
            images.source,
            f"{sizes} sizes, from {small[0]}x{small[1]} to {large[0]}x{large[1]} (height x width)",
            "all are brought to one size, and the large lose most detail",
            "choose --img-size by what must be seen",
        )
    if images.channels == 3 and images.root is not None and images.more_files is None:
        grey = [name for name, c in zip(images.names, _channels(images), strict=True) if c == 1]
        if grey and len(grey) < len(images):
            yield make_case(
                "The set",
                "info",
                grey[0],
                f"{len(grey)} of {len(images)} images are grey (this is the first)",
                "their three channels are equal; where one class has more of them, colour tells the class",
                "nothing, or make all grey",
                names=tuple(grey[:8]),
            )


def _channels(images: ImageSet) -> list[int]:
    assert images.root is not None
    records = read_records(images.root, images.names, listed_in=images.file, pages=images.pages)
    return [int(c) for c in records.channels]


# -- values ----------------------------------------------------------------------------------------------


def saturated(images: ImageSet, looks: Looks, seen: NDArray[np.bool_]) -> Iterator[Case]:
    """Images with many pixels at the largest value there is: of 8 bits 255, of deeper ones the set's own."""
    if not seen.any():
        return
    largest = 255.0 if images.depth == "uint8" else float(looks.largest[seen].max())
    found = np.flatnonzero(seen & (looks.largest == largest) & (looks.at_largest > _SATURATED))
    if not len(found):
        return
    worst = found[np.argsort(-looks.at_largest[found], kind="stable")].tolist()
    deep = images.depth != "uint8"
    yield make_case(
        "Saturation",
        "warning" if deep else "info",
        images.names[worst[0]],
        f"{len(found)} of {len(images)} images have more than {_SATURATED:.0%} of their pixels at "
        f"{largest:,g}, the largest value (this one {looks.at_largest[worst[0]]:.0%})",
        "whatever was brighter was cut there, and nothing can be learned from it",
        "expose less next time; look whether one class has more of it"
        if deep
        else "nothing, where white is the background; else look whether one class has more of it",
        names=tuple(images.names[i] for i in worst[:8]),
    )


def values_in_use(images: ImageSet, looks: Looks, seen: NDArray[np.bool_]) -> Iterator[Case]:
    """What deeper values come to, so that a person knows the range."""
    if images.depth == "uint8" or not seen.any():
        return
    largest = float(looks.largest[seen].max())
    if images.depth == "uint16":
        used = int(np.bitwise_or.reduce(looks.bits[seen]))
        needed = max(1, int(largest).bit_length())
        unused = (used & -used).bit_length() - 1 if used else 0
        what = f"values reach {largest:,g} of 65,535, which is {needed} bits in 16"
        if unused:
            what += f"; the lowest {unused} bit{'s are' if unused > 1 else ' is'} never used"
    else:
        what = f"values are in floating point and reach {largest:g}"
    yield make_case(
        "The set",
        "info",
        images.source,
        what,
        "values are kept as stored; what becomes 0 and 1 is measured on the training images",
        "nothing, if that is what the instrument gives",
    )


def constant_channels(images: ImageSet, looks: Looks, seen: NDArray[np.bool_]) -> Iterator[Case]:
    """Channels of one value, in every image or in some."""
    if images.channels == 1 or not seen.any():
        return
    always = int(np.bitwise_and.reduce(looks.constant[seen]))
    for c in (c for c in range(min(images.channels, 62)) if always >> c & 1):
        named = f" ({images.channel_names[c]})" if images.channel_names else ""
        yield make_case(
            "Constant channels",
            "warning",
            images.source,
            f"channel {c + 1} of {images.channels}{named} is of one value in every image",
            "nothing can be learned from it",
            "leave it out, or look why it is empty",
        )
    some = np.flatnonzero(seen & (looks.constant & ~always != 0)).tolist()
    if some:
        yield make_case(
            "Constant channels",
            "info",
            images.names[some[0]],
            f"{len(some)} of {len(images)} images have a channel of one value that others have not "
            "(this is the first)",
            "a channel that was not recorded looks like one in which nothing is",
            "look whether it is missing",
            names=tuple(images.names[i] for i in some[:8]),
        )
