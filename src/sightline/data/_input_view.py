"""How a network is given the images of a set: the canvas, the size, the range."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.data._image_set import ImageSet
from sightline.data._pictures import display_range
from sightline.data._sizes import choose_sizes
from sightline.imaging import Canvas, Preprocessing, choose_fit, frame, of_channels, read_framed, widened


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class InputView:
    """What stands between an image of a set and a network."""

    name: str
    """The network."""
    canvas: Canvas
    preprocessing: Preprocessing
    """Of which range and size are used; not mean and deviation."""
    trained: bool = False
    """Whether the network's size is settled, for it has been trained."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) the network is given."""
        return self.preprocessing.size

    def scales(self, images: ImageSet) -> NDArray[np.float64]:
        """How many pixels of the input one pixel of each image becomes, the less of both ways. -> (N,)."""
        height, width = images.sizes.astype(np.float64).T
        nearer = np.maximum if self.canvas.framing == "cover" else np.minimum
        framed = nearer(self.canvas.height / height, self.canvas.width / width)
        if self.preprocessing.fit in ("none", "pad"):
            return np.asarray(framed)
        share = self.preprocessing.window if self.preprocessing.fit == "crop" else 1.0
        resized = min(self.size[0] / self.canvas.height, self.size[1] / self.canvas.width)
        return np.asarray(framed * resized / share)

    def see(self, images: ImageSet, index: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """An image as the network is given it, but for mean and deviation.

        Args:
            images: The set.
            index: Which image.

        Returns:
            (C, height, width) from 0 to 1 in the range; and the matrix (3, 3) that takes (x, y, 1) of the
            image there.

        Raises:
            UnreadableImageError: if it cannot be read, or is not of the canvas's depth and channels.
        """
        if images.pixels is not None:
            framed = frame(
                of_channels(images.pixels[index].transpose(1, 2, 0), self.canvas.channels), self.canvas
            )
        else:
            framed = read_framed(images.source_of(index), self.canvas)
        with torch.no_grad():
            given = self.preprocessing.scale(torch.from_numpy(widened(framed.pixels))[None])[0]
        after = self.preprocessing.transform(self.canvas.height, self.canvas.width)
        return given.numpy(), after @ framed.transform.astype(np.float64)


def input_view(
    images: ImageSet,
    name: str,
    input_size: tuple[int, int],
    input_sizes: Literal["fixed", "adapts"],
    img_size: int | None = None,
) -> InputView:
    """How training would give a set's images to a network; by the same choices.

    Deeper values than 8 bits are shown by the range of some of the images: training measures it on all of
    train.

    Args:
        images: The set.
        name: What the network is called.
        input_size: As of `choose_sizes`, like the rest.
        input_sizes: Whether the architecture can be built for another size.
        img_size: The user's choice of a square.
    """
    canvas, size = choose_sizes(images, input_size, input_sizes, img_size)
    fit = choose_fit((canvas.height, canvas.width), size)
    ones = [1.0] * images.channels
    value_range = display_range(images) or (0.0, 255.0)
    preprocessing = Preprocessing(size=size, fit=fit, mean=ones, std=ones, value_range=value_range)
    return InputView(name=name, canvas=canvas, preprocessing=preprocessing)
