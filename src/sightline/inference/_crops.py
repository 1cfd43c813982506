"""How an image is shown to a network when it is judged: once, in ten crops, in views; and one answer of all.

A model is judged as it was trained to be used: its own canvas, its own preprocessing, one look. The papers
looked more often, and their figures are of that: AlexNet at ten crops, VGG densely at three scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError
from sightline.blueprint import in_mode
from sightline.data import ImageSet, Progress, open_batches
from sightline.imaging import Canvas, Preprocessing
from sightline.inference._predictor import DEFAULT_BATCH, Predictor
from sightline.records import ModelHeader

Crops = Literal["1", "10", "dense"]
CROPS: tuple[Crops, ...] = ("1", "10", "dense")

LARGER = 256 / 224
"""What a canvas is to a crop, where the model does not say it: the sides of AlexNet's."""
_VIEWS = (((0, 0), 2), ((-1, -1), 1), ((1, 1), 1))
"""Rows and columns an image is moved by, and the view's weight; each is seen mirrored as well."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """One size at which images are shown, as often as it takes."""

    canvas: Canvas
    preprocessing: Preprocessing
    """From that canvas to values a network is given, perhaps larger than its input."""
    answer: Callable[[Tensor], Tensor]
    """(N, C, height, width) of such values -> (N, classes), float64 on the CPU: logs of probabilities."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Showing:
    """All that is shown of an image. Its probabilities are the mean of those of the passes."""

    protocol: str
    """In words."""
    passes: tuple[Pass, ...]


def check_crops(crops: str) -> Crops:
    """Crops as a command line names them.

    Raises:
        ArgumentError: if there are none of this name.
    """
    for known in CROPS:
        if crops == known:
            return known
    raise ArgumentError(f"--crops is {crops!r}; it takes 1, 10 or dense")


def stored_protocol(header: ModelHeader) -> str:
    """What a model is shown of an image by default, in words.

    Args:
        header: Of its model file.
    """
    size = _by(header.preprocessing["size"])
    covers = header.framing_rule == "cover"
    if header.preprocessing["fit"] == "crop":
        return f"1 crop: the centre of a canvas of {_by(header.canvas)}, {_framed(header)}, at {size}"
    return f"1 crop: {'the middle of the image' if covers else 'the whole image'} at {size}"


def enlarged(header: ModelHeader, factor: float) -> tuple[Canvas, Preprocessing]:
    """A model's images at so many times the size that its network takes, framed in the model's own way.

    Args:
        header: What its model file says.
        factor: 1 gives sides of the network's input, and what of the image a whole canvas holds.

    Returns:
        The canvas, and the preprocessing that takes it to the size in whole pixels.
    """
    settings = dict(header.preprocessing)
    fit, window = settings["fit"], settings.pop("window", LARGER**-1)
    size = tuple(max(1, round(side * factor)) for side in settings["size"])
    relative = factor * window if fit == "crop" else factor
    height, width = (max(1, round(side * relative)) for side in header.canvas)
    if fit == "resize":  # the canvas is stored as it is, and brought to any size
        height, width = header.canvas
    canvas = dataclasses.replace(header.framing, height=height, width=width)
    if fit != "pad":
        fit = "none" if (height, width) == size else "resize"
    return canvas, Preprocessing(**(settings | {"size": size, "fit": fit}))


def larger_factor(header: ModelHeader) -> float:
    """How many times the network's input a canvas with room for crops is: the model's own, if it has one."""
    if header.preprocessing["fit"] == "crop":
        window = float(header.preprocessing.get("window", LARGER**-1))
        if window < 1:
            return 1 / window
    return LARGER


def ten_crops(predictor: Predictor) -> Showing:
    """Four corners and the centre, each mirrored; the mean of the ten softmaxes.

    Crops have the size of the network's input. They are cut from the model's own canvas where that holds more
    than the network sees; of any other model the images are framed 256/224 times as large, in its own way.

    Args:
        predictor: The network, with its preprocessing.

    Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural
        networks", section 4.1.
    """
    header = predictor.header
    canvas, preprocessing = enlarged(header, larger_factor(header))
    (height, width), (rows, columns) = preprocessing.size, predictor.preprocessing.size
    down, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]

    def answer(x: Tensor) -> Tensor:
        logs = []
        for top, left in corners:
            crop = x[:, :, top : top + rows, left : left + columns]
            logs += [log_softmax(predictor, predictor.given(seen)) for seen in (crop, crop.flip(-1))]
        return log_mean(torch.stack(logs))

    protocol = (
        f"10 crops: {_by((rows, columns))} at the corners and the centre of {_by((height, width))}, "
        f"{_framed(header)}, each mirrored too; mean of softmaxes"
    )
    return _showing(predictor, protocol, [(canvas, preprocessing, answer)])


def shifted_views(predictor: Predictor) -> Showing:
    """The model's own input as it is, and moved by a pixel up left and down right, each mirrored.

    What moves in is reflected. The mean is of logits: 1/2 of the first and its mirror image, 1/4 of each
    other pair.

    Args:
        predictor: The network, with its preprocessing.

    Raises:
        ArgumentError: if the input is a pixel high or wide, where nothing can be reflected.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), test-time
        augmentation of level 2.
    """
    rows, columns = predictor.preprocessing.size
    if min(rows, columns) < 2:
        raise ArgumentError(f"--views moves an image by a pixel; the network takes {_by((rows, columns))}")

    def answer(x: Tensor) -> Tensor:
        wider = F.pad(x, (1, 1, 1, 1), mode="reflect")
        total, weights = torch.zeros(()), 0
        for (down, right), weight in _VIEWS:
            seen = wider[:, :, 1 - down : 1 - down + rows, 1 - right : 1 - right + columns]
            both = predictor.given(seen).double() + predictor.given(seen.flip(-1)).double()
            total, weights = total + weight * both, weights + 2 * weight
        return log_softmax(predictor, total / weights)

    protocol = (
        f"6 views: {_by((rows, columns))} as it is (weight 1/2), moved by one pixel up left (1/4) and down "
        "right (1/4), each mirrored too; mean of logits"
    )
    own = predictor.preprocessing
    return _showing(predictor, protocol, [(predictor.canvas, own, answer)])


def show(
    predictor: Predictor,
    showing: Showing,
    images: ImageSet,
    indices: NDArray[np.int64],
    *,
    batch_size: int = DEFAULT_BATCH,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """What a network says of images that it is shown so. -> (N, classes), logarithms of probabilities.

    Args:
        predictor: The network.
        showing: Made for it.
        images: The set.
        indices: Which images.
        batch_size: Images at a time.
        progress: Told how far it is.
    """
    predictor.plan.apply()
    order = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    done, total = 0, len(showing.passes) * len(indices)
    logs = []
    for one in showing.passes:
        rows = []
        source = open_batches(images, one.canvas, progress=progress)
        with in_mode(predictor.network, training=False):
            for batch in source.batches(order):
                with torch.inference_mode():
                    rows.append(one.answer(one.preprocessing(batch.images.to(predictor.plan.device))))
                done += len(batch)
                if progress is not None:
                    progress("judging", done, total)
        logs.append(torch.cat(rows))
    return np.asarray(log_mean(torch.stack(logs)).numpy())


def log_softmax(predictor: Predictor, outputs: Tensor) -> Tensor:
    """Logits to logarithms of probabilities, at the model's temperature. (N, classes, ...) -> likewise."""
    return (outputs.double() / (predictor.header.temperature or 1.0)).log_softmax(dim=1)


def log_mean(logs: Tensor) -> Tensor:
    """The logarithm of the mean of numbers given as theirs; of equal ones, it is exactly theirs.

    Shape:
        (K, ...) -> (...).
    """
    most = logs.amax(dim=0)
    most = torch.where(most.isinf(), torch.zeros_like(most), most)
    return (logs - most).exp().mean(dim=0).log() + most


def _showing(
    predictor: Predictor,
    protocol: str,
    passes: Sequence[tuple[Canvas, Preprocessing, Callable[[Tensor], Tensor]]],
) -> Showing:
    """Placed where the network is; a temperature is said."""
    if predictor.header.temperature is not None:
        protocol += f" at temperature {predictor.header.temperature:.4g}"
    return Showing(
        protocol=protocol,
        passes=tuple(
            Pass(canvas=canvas, preprocessing=preprocessing.to(predictor.plan.device), answer=answer)
            for canvas, preprocessing, answer in passes
        ),
    )


def _framed(header: ModelHeader) -> str:
    """The model's own way of bringing an image onto a canvas."""
    return "covered by the image" if header.framing_rule == "cover" else "which holds the whole image"


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
