"""A network ready to be looked at, and images as it is given them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError, ModelFileError, did_you_mean
from sightline.blueprint import Blueprint, record
from sightline.imaging import (
    Canvas,
    Preprocessing,
    Source,
    UnreadableImageError,
    Values,
    choose_fit,
    digits,
    frame,
    photograph,
    read_framed,
    widened,
)
from sightline.inference import Belongings, ResolvedModel, assumed_header, resolve
from sightline.machine import choose_device
from sightline.records import ModelHeader
from sightline.views._view import Pixels

EMBEDDED = ("china", "flower")
"""Names of pictures that need no file; `digit:0` to `digit:1796` are others."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An image as a network is given it."""

    name: str
    x: Tensor
    """(1, C, H, W) float32: the network's input, preprocessed, on its device."""
    pixels: Pixels
    """(H, W, 3): the same before mean and deviation, as it is shown beneath a map."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network, how images become its input, and what its outputs are called.

    Made by `open_subject` of what a user calls a model, or by `Subject.of` of a module.
    """

    name: str
    network: nn.Module
    """In evaluation mode; views leave it as it was."""
    input_shape: tuple[int, int, int]
    """(C, H, W) of its input."""
    preprocessing: Preprocessing
    canvas: Canvas
    classes: tuple[str, ...] = ()
    """What the outputs are called; empty where nobody says."""
    trained: bool = False
    """Whether it has weights that were learned, as far as is known."""
    model: ResolvedModel | None = None
    """What it was read from; None of a module."""
    header: ModelHeader | None = None
    """What its model file says, if it came from one."""

    @classmethod
    def of(
        cls,
        network: nn.Module,
        input_shape: tuple[int, int, int],
        *,
        name: str = "",
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] = (),
    ) -> Subject:
        """Any module that takes one batch of images.

        Args:
            network: The module.
            input_shape: (C, H, W).
            name: What to call it; its class where empty.
            preprocessing: How stored values become its input; 0 to 255 to 0 to 1 where None.
            classes: Names of its outputs.
        """
        channels, height, width = input_shape
        plain = Preprocessing(size=(height, width), fit="none", mean=[0.0] * channels, std=[1.0] * channels)
        return cls(
            name=name or type(network).__name__,
            network=network,
            input_shape=input_shape,
            preprocessing=preprocessing or plain,
            canvas=Canvas(height, width, channels),
            classes=tuple(classes),
        )

    @functools.cached_property
    def blueprint(self) -> Blueprint:
        """Its layers, by the names that `execute` knows, for one image."""
        first = next(self.network.parameters(), None)
        dtype = torch.float32 if first is None else first.dtype
        x = torch.empty((1, *self.input_shape), device="meta", dtype=dtype)
        return record(self.network, x, name=self.name)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        first = next(self.network.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def picture(self, image: str | Source | Values, name: str = "") -> Picture:
        """An image as the network is given it.

        Args:
            image: A file, its content, `china`, `flower`, `digit:N`, or stored values (H, W) or (H, W, C).
            name: What to call it, if not by its name.

        Raises:
            ArgumentError: if there is no such image.
            DataError: if it cannot be read, or has other channels or another depth.
        """
        source: Source | Values = image if not isinstance(image, str) else _named(image)
        said = str(image) if isinstance(image, str | Path) else "image"
        try:
            if isinstance(source, np.ndarray):
                values = source[:, :, None] if source.ndim == 2 else source
                if values.shape[2] != self.canvas.channels:
                    values = _in_channels(values, self.canvas.channels)
                framed = frame(values, self.canvas)
            else:
                framed = read_framed(source, self.canvas)
        except UnreadableImageError as error:
            raise DataError(f"{name or said}: {error}") from error
        return self.given(framed.pixels, name or said)

    def given(self, stored: Values, name: str) -> Picture:
        """Values that are on the canvas already. (C, H, W), as stored."""
        batch = torch.from_numpy(widened(stored))[None].to(self.device)
        scaled = self.preprocessing.scale(batch)
        return Picture(name=name, x=self.preprocessing.normalise(scaled), pixels=self.shown(scaled[0]))

    def shown(self, scaled: Tensor) -> Pixels:
        """A (C, H, W) input in [0, 1], before mean and deviation, as pixels (H, W, 3)."""
        from sightline.imaging import display

        values = (scaled.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        return display(values.numpy())

    def class_index(self, target: str | int | None, logits: Tensor) -> int:
        """The output that is meant: a class by name or number; of None the most probable.

        Args:
            target: What the user calls it.
            logits: (classes,) of the image at hand.

        Raises:
            ArgumentError: if there is no such class.
        """
        count = logits.numel()
        if target is None:
            return int(logits.argmax())
        if target in self.classes:
            return self.classes.index(str(target))
        if str(target).isdecimal() and int(target) < count:
            return int(target)
        names = self.classes or tuple(str(k) for k in range(count))
        raise ArgumentError(f"--target {target}: no such class; {did_you_mean(str(target), names)}")

    def class_name(self, index: int) -> str:
        """What an output is called."""
        return self.classes[index] if index < len(self.classes) else f"class {index}"


def open_subject(
    spec: str,
    *,
    device: str = "auto",
    classes: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
) -> Subject:
    """A network from what a user calls a model, with weights if it has any.

    A name alone has fresh weights (seed 0): what is seen in them is chance, and `trained` says so.

    Args:
        spec: As of `resolve`.
        device: Where to compute.
        classes: Names of the outputs of weights that came alone.
        input_size: (height, width), for a network that adapts; its own where None.

    Raises:
        ArgumentError: if it names nothing.
        ModelFileError: if its file cannot be used.
    """
    model = resolve(spec)
    header = model.header
    names = tuple(classes)
    torch.manual_seed(0)
    if header is not None:
        built = header.architecture
        shape = (built.in_channels, *built.input_size)
        network = model.build()
        preprocessing, canvas = Preprocessing(**header.preprocessing), header.framing
        names = header.classes
    else:
        shape = model.architecture.input_shape
        if len(shape) != 3:
            raise ArgumentError(f"{spec} takes inputs of shape {shape}; views are of images")
        if input_size is not None:
            shape = (shape[0], *input_size)
        network = model.build(input_size=input_size)
        if model.weights is not None:
            numbers = [str(k) for k in range(model.architecture.num_classes)]
            assumed, _ = assumed_header(model, Belongings(classes=names or None), numbers)
            preprocessing = Preprocessing(**(assumed.preprocessing | {"size": list(shape[1:])}))
            sides = zip(assumed.canvas, shape[1:], assumed.architecture.input_size, strict=True)
            height, width = (round(side * asked / own) for side, asked, own in sides)
            canvas = dataclasses.replace(assumed.framing, height=height, width=width)
        else:
            half = [0.5] * shape[0]
            fit = choose_fit(shape[1:], shape[1:])
            preprocessing = Preprocessing(size=shape[1:], fit=fit, mean=half, std=half)
            canvas = Canvas(shape[1], shape[2], shape[0])
    if len(shape) != 3:
        raise ModelFileError(f"{spec} takes inputs of shape {shape}; views are of images")
    where = choose_device(device)
    return Subject(
        name=model.architecture.name if header is not None or model.weights is not None else spec,
        network=network.to(where).eval(),
        input_shape=(shape[0], shape[1], shape[2]),
        preprocessing=preprocessing.to(where),
        canvas=canvas,
        classes=names,
        trained=model.weights is not None,
        model=model,
        header=header,
    )


def _named(image: str) -> Source | Values:
    """A file, or an embedded picture."""
    path = Path(image)
    if path.is_dir():
        raise ArgumentError(f"IMAGE {image} is a folder; give one image")
    if path.exists():
        return path
    if image in EMBEDDED:
        return photograph(image)
    if image.startswith("digit:"):
        number = image.removeprefix("digit:")
        pixels, _ = digits()
        if not number.isdecimal() or int(number) >= len(pixels):
            raise ArgumentError(f"IMAGE is {image!r}; digits are digit:0 to digit:{len(pixels) - 1}")
        digit: Values = pixels[int(number)].transpose(1, 2, 0)
        return digit
    raise ArgumentError(
        f"IMAGE {image} is no file, nor an embedded picture; {did_you_mean(image, [*EMBEDDED, 'digit:0'])}"
    )


def _in_channels(values: Values, channels: int) -> Values:
    from sightline.imaging import of_channels

    return of_channels(values, channels)
