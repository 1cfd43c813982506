"""Which size images are kept at, and which a network is given."""

from __future__ import annotations

from typing import Literal

from sightline.data._image_set import ImageSet
from sightline.imaging import Canvas, Framing, choose_fit


def choose_sizes(
    images: ImageSet,
    input_size: tuple[int, int],
    input_sizes: Literal["fixed", "adapts"],
    img_size: int | None = None,
    *,
    ratio: float = 1.0,
    framing: Framing = "whole",
) -> tuple[Canvas, tuple[int, int]]:
    """The canvas of a set, and the (height, width) a network is given.

    A network that adapts is given images of one size as they are, if that is no larger than its paper's
    input; any other is given its paper's size, or `img_size`. Images no larger than that are kept as they
    are and enlarged for the network; larger ones, and those of many sizes, are framed to it. Where windows
    are cut, images are framed to `ratio` times the network's sides, and those of one size no larger than
    that are kept as they are.

    Args:
        images: The set.
        input_size: (height, width) of the architecture's paper.
        input_sizes: Whether the architecture can be built for another size.
        img_size: The user's choice of a square.
        ratio: Sides of the canvas as a multiple of the network's: 256 / 224 for 256 and 224.
        framing: How images lie on the canvas.
    """
    own = images.one_size
    size = input_size
    if img_size is not None:
        size = (img_size, img_size)
    elif input_sizes == "adapts" and own is not None and own[0] <= size[0] and own[1] <= size[1]:
        size = own
    keeps_shape = own is not None and (
        choose_fit(own, size) != "resize" or own[0] * size[1] == own[1] * size[0]
    )
    largest = round(ratio * size[0]), round(ratio * size[1])
    kept = own is not None and own[0] <= largest[0] and own[1] <= largest[1] and keeps_shape
    height, width = own if own is not None and kept else largest
    return Canvas(height, width, images.channels, images.depth, images.pages, framing), size
