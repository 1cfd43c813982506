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
    decode_array,
    digits,
    frame,
    of_channels,
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
    notes: tuple[str, ...] = ()
    """What was done to the image for it to fit, a sentence each: its edge repeated, its colour dropped."""

    @property
    def title(self) -> str:
        """Its name without folders."""
        return self.name.rpartition("/")[2] or self.name


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
                coloured = _coloured(values)
                if values.shape[2] != self.canvas.channels:
                    values = of_channels(values, self.canvas.channels)
                framed = frame(values, self.canvas)
            else:
                framed = read_framed(source, self.canvas)
                coloured = self.canvas.channels == 1 and _coloured(source)
        except UnreadableImageError as error:
            raise DataError(f"{name or said}: {error}") from error
        notes = self.repeated(framed.size)
        if self.canvas.channels == 1 and coloured:
            notes = (*notes, f"the colour of the image is dropped: {self.name} takes grey ones")
        return dataclasses.replace(self.given(framed.pixels, name or said), notes=notes)

    def repeated(self, size: tuple[int, int]) -> tuple[str, ...]:
        """Which rows and columns of the input repeat the edge of an image, in words; empty where none do.

        Args:
            size: (height, width) of the image.
        """
        width, height = self.canvas.scaled_size((size[1], size[0]))
        to_input = self.preprocessing.transform(self.canvas.height, self.canvas.width)
        said = []
        for axis, own, whole, names in (
            (1, height, self.canvas.height, ("rows", "top", "bottom")),
            (0, width, self.canvas.width, ("columns", "left", "right")),
        ):
            first = (whole - own) // 2
            side = self.input_shape[2 - axis]
            low, high = (to_input[axis, axis] * k + to_input[axis, 2] for k in (first, first + own))
            before, after = max(0, round(low)), max(0, side - round(high))
            if before or after:
                said.append(f"of {side} {names[0]} {before} at the {names[1]} and {after} at the {names[2]}")
        if not said:
            return ()
        return (f"the image is {size[0]}x{size[1]}: {', '.join(said)} repeat its edge",)

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
        number = str(target)
        if number.isascii() and number.isdecimal() and len(number) < 20:
            if int(number) < count:
                return int(number)
            raise ArgumentError(f"--target {target}: no such class; they are numbered 0 to {count - 1}")
        if not self.classes:
            raise ArgumentError(
                f"--target {target}: no such class; {self.name} does not say what they are called (--classes "
                f"FILE does), and they are numbered 0 to {count - 1}"
            )
        raise ArgumentError(f"--target {target}: no such class; {did_you_mean(number, self.classes)}")

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
        ArgumentError: if it names nothing, or its model file says another input.
        ModelFileError: if its file cannot be used.
    """
    model = resolve(spec)
    header = model.header
    names = tuple(classes)
    torch.manual_seed(0)
    if header is not None:
        built = header.architecture
        shape = (built.in_channels, *built.input_size)
        if input_size is not None and input_size != tuple(built.input_size):
            asked, own = (f"{h}x{w}" for h, w in (input_size, built.input_size))
            raise ArgumentError(f"--input is {asked}; {spec} was trained on {own} and is seen with that")
        network = model.build()
        preprocessing, canvas = Preprocessing(**header.preprocessing), header.framing
        names = header.classes
    else:
        shape = model.architecture.input_shape
        if len(shape) != 3:
            raise ArgumentError(f"{spec} takes inputs of shape {shape}; views are of images")
        if input_size is not None:
            shape = (shape[0], *input_size)
        network = model.build(num_classes=len(names) or None, input_size=input_size)
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


def snapshot(subject: Subject, file: Path) -> Subject:
    """The network of a run as a snapshot of it has it.

    Args:
        subject: From the run.
        file: The snapshot.
    """
    source = "" if subject.header is None else subject.header.architecture.source
    return open_subject(f"{source}@{file}" if source else str(file), device=str(subject.device))


def _named(image: str) -> Source | Values:
    """A file, or an embedded picture."""
    path = Path(image)
    if path.is_dir():
        raise ArgumentError(f"IMAGE {image} is a folder; give one image in it")
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
    embedded = [*EMBEDDED, "digit:0 to digit:1796"]
    raise ArgumentError(f"IMAGE {image} is no file, nor an embedded picture; {did_you_mean(image, embedded)}")


def _coloured(image: Source | Values) -> bool:
    """Whether an image of 8 bits has any colour: three channels that are not alike."""
    if not isinstance(image, np.ndarray):
        if not isinstance(image, Path | bytes):
            return False
        try:
            image = decode_array(image, 3, "uint8")
        except UnreadableImageError:  # of another depth, or of several pages
            return False
    return image.shape[2] == 3 and bool((image != image[:, :, :1]).any())
