"""The words of `design`: a shape and layers, as text, read into records.

A shape is `32x32x3` (height x width x channels), `3,32,32` (channels first), `40x1` or `1,40` (a signal of
length 40 with one channel), or `784` (a vector). A layer is `kind:main,option...`, with `=28` or `=28x28`
behind it for the size wanted and `*2` for a repetition; `?` or `_` stands for a number to be solved for.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sightline.base import ArgumentError, did_you_mean

LARGEST = 1_000_000
"""The largest number a shape or a layer may have."""

LARGEST_SIDE = 100_000
"""The largest height, width or length, anywhere in a network."""

Axis = int | None
"""A number of one axis; None is to be solved for."""
Pad = tuple[int, int] | None
"""Before and after, of one axis; None is to be solved for."""


@dataclass(frozen=True)
class Kind:
    """What one kind of layer takes."""

    main: str = ""
    """What its first number is: `filters`, `kernel`, `outputs`, `multiplier`, `rate`, `channels`, or none."""
    options: str = ""
    """Letters of its other numbers: k(ernel), s(tride), p(adding), d(ilation), g(roups), o(utput padding)."""
    flags: tuple[str, ...] = ()


KINDS = {
    "conv": Kind("filters", "kspdg", ("nobias",)),
    "depthwise": Kind("multiplier", "kspd", ("nobias",)),
    "tconv": Kind("filters", "kspdgo", ("nobias",)),
    "pool": Kind("kernel", "kspd", ("ceil",)),
    "avgpool": Kind("kernel", "ksp", ("ceil",)),
    "gap": Kind(),
    "relu": Kind(),
    "sigmoid": Kind(),
    "tanh": Kind(),
    "gelu": Kind(),
    "silu": Kind(),
    "softmax": Kind(),
    "dropout": Kind("rate"),
    "lrn": Kind("channels"),
    "bn": Kind(),
    "flatten": Kind(),
    "fc": Kind("outputs", "", ("nobias",)),
}
WINDOWS = ("conv", "depthwise", "tconv", "pool", "avgpool")
LINEAR = ("conv", "depthwise", "tconv", "fc")
"""Layers with weights that multiply."""


@dataclass(frozen=True)
class Shape:
    """The shape of the input."""

    channels: int
    size: tuple[Axis, ...]
    """Height and width, or length; empty of a vector."""
    channels_first: bool
    """Whether it was written so."""

    @property
    def reading(self) -> str:
        """What was understood, in words."""
        if not self.size:
            return f"a vector of {self.channels:,} values"
        names = ("height", "width") if len(self.size) == 2 else ("length",)
        size = ", ".join(f"{n} {'?' if v is None else v}" for n, v in zip(names, self.size, strict=True))
        return f"{size}, {self.channels} channel{'s' if self.channels != 1 else ''}"


@dataclass(frozen=True)
class Word:
    """One layer as written, its numbers one an axis or one for all."""

    text: str
    kind: str
    main: float = 0
    kernel: tuple[Axis, ...] = (3,)
    stride: tuple[Axis, ...] = (1,)
    padding: tuple[Pad, ...] | None = ((0, 0),)
    """None is `same`."""
    dilation: tuple[int, ...] = (1,)
    groups: int = 1
    output_padding: tuple[int, ...] = (0,)
    bias: bool = True
    ceil: bool = False
    wanted: tuple[int, ...] | None = None


def read_shape(text: str) -> Shape:
    """Read the shape of an input.

    Raises:
        ArgumentError: if it is none.

    Example:
        >>> read_shape("32x32x3").reading
        'height 32, width 32, 3 channels'
        >>> read_shape("1,40").reading
        'length 40, 1 channel'
    """
    first = "," in text
    parts = text.lower().split("," if first else "x")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"\d+|[?_]", part.strip()) for part in parts):
        raise ArgumentError(
            f"SHAPE is {text!r}; it must be like 32x32x3 (height x width x channels), 3,32,32 (channels "
            "first), 40x1 or 1,40 (a signal), or 784 (a vector)"
        )
    numbers: list[Axis] = [
        None if part.strip() in ("?", "_") else _whole(part.strip(), f"SHAPE {text!r}") for part in parts
    ]
    channels, *size = numbers if first or len(parts) == 1 else [numbers[-1], *numbers[:-1]]
    if channels is None:
        raise ArgumentError(f"SHAPE is {text!r}; the channels must be given, ? is for height and width")
    if None in size and any(side is not None for side in size):
        raise ArgumentError(f"SHAPE is {text!r}; ? is solved for a square: ?x?x{channels}")
    if any(side is not None and side > LARGEST_SIDE for side in size):
        raise ArgumentError(f"SHAPE is {text!r}; a side can be {LARGEST_SIDE:,} at most")
    return Shape(channels, tuple(size), first)


def read_layers(texts: Sequence[str]) -> list[Word]:
    """Read layers; each text may hold several, with blanks between.

    Raises:
        ArgumentError: if one is not understood, or there is none.

    Example:
        >>> [word.kind for word in read_layers(["conv:10,k5", "relu*2"])]
        ['conv', 'relu', 'relu']
    """
    words: list[Word] = []
    for text in " ".join(texts).split():
        one, star, times = text.partition("*")
        repeat = _whole(times, f"the repetition of {text!r}") if star else 1
        if repeat > 1000 or len(words) + repeat > 10_000:
            raise ArgumentError(f"{text!r} makes too many layers; a layer may be repeated 1,000 times")
        words += [_read_layer(one)] * repeat
    if not words:
        raise ArgumentError("there is no layer; give some, as conv:10,k5,p2 relu pool:2 fc:10")
    return words


def _read_layer(text: str) -> Word:
    body, equals, wish = text.partition("=")
    name, _, rest = body.lower().partition(":")
    name = {"maxpool": "pool"}.get(name, name)
    if name not in KINDS:
        raise ArgumentError(f"layer {text!r}: there is no {name!r}; {did_you_mean(name, KINDS)}")
    kind, where = KINDS[name], f"layer {text!r}"
    values: dict[str, str] = {}
    flags: set[str] = set()
    for position, part in enumerate(rest.split(",") if rest else []):
        if part in kind.flags:
            flags.add(part)
        elif position == 0 and kind.main and re.match(r"[\d?_.-]", part):
            values["main"] = part
        elif part[:1] and part[0] in kind.options and part[0] not in values:
            values[part[0]] = part[1:]
        else:
            raise ArgumentError(f"{where}: {part!r} is not understood; {_usage(name)}")
    if equals and name not in WINDOWS:
        raise ArgumentError(f"{where}: a wanted size (=28) is for {', '.join(WINDOWS)}")
    if kind.main in ("filters", "outputs") and "main" not in values:
        raise ArgumentError(f"{where}: the number of {kind.main} is missing; {_usage(name)}")
    word = _filled(text, name, values, flags, where)
    wanted = _numbers(wish.removeprefix(">"), f"{where}, the wanted size") if equals else None
    unknown = sum(any(n is None for n in part) for part in (word.kernel, word.stride, word.padding or ()))
    if unknown > 1:
        raise ArgumentError(f"{where}: only one of its numbers can be solved for")
    return dataclasses.replace(word, wanted=wanted)


def _filled(text: str, name: str, values: dict[str, str], flags: set[str], where: str) -> Word:
    """A word with its numbers read, and those of its kind where none was given."""
    pooling = name in ("pool", "avgpool")
    main: float = {"multiplier": 1, "rate": 0.5, "channels": 5}.get(KINDS[name].main, 0)
    if "main" in values and not pooling:
        if values["main"] in ("?", "_"):
            raise ArgumentError(f"{where}: its {KINDS[name].main} cannot be solved for; k, s and p can")
        main = (
            _fraction(values["main"], where)
            if KINDS[name].main == "rate"
            else _whole(values["main"], f"{where}, its {KINDS[name].main}")
        )
    if pooling and "main" in values and "k" in values:
        raise ArgumentError(f"{where}: the kernel is given twice")
    kernel_text = values.get("k", values.get("main", "2") if pooling else "3")
    kernel = _axes(kernel_text, f"{where}, k")
    stride = _axes(values["s"], f"{where}, s") if "s" in values else kernel if pooling else (1,)
    if None in stride and "s" not in values:
        stride = (1,)
    return Word(
        text=text,
        kind=name,
        main=main,
        kernel=kernel,
        stride=stride,
        padding=_padding(values.get("p", "0"), name, where),
        dilation=_numbers(values.get("d", "1"), f"{where}, d"),
        groups=_whole(values.get("g", "1"), f"{where}, g"),
        output_padding=_numbers(values.get("o", "0"), f"{where}, o", least=0),
        bias="nobias" not in flags,
        ceil="ceil" in flags,
    )


def _padding(text: str, name: str, where: str) -> tuple[Pad, ...] | None:
    if text == "same":
        if name == "tconv":
            raise ArgumentError(f"{where}: psame is not for tconv; give a number")
        return None
    if text == "valid":
        return ((0, 0),)
    pads: list[Pad] = []
    for part in text.split("x"):
        if part in ("?", "_"):
            pads.append(None)
            continue
        sides = [_whole(side, f"{where}, p", least=0) for side in part.split("/")]
        if len(sides) > 2 or (len(sides) == 2 and name == "tconv"):
            raise ArgumentError(f"{where}: p{text} is not understood; {_usage(name)}")
        pads.append((sides[0], sides[-1]))
    if len(pads) > 2 or (None in pads and len(pads) > 1):
        raise ArgumentError(f"{where}: p{text} is not understood; {_usage(name)}")
    return tuple(pads)


def _axes(text: str, where: str) -> tuple[Axis, ...]:
    return (None,) if text in ("?", "_") else _numbers(text, where)


def _numbers(text: str, where: str, least: int = 1) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) > 2:
        raise ArgumentError(f"{where} is {text!r}; it takes one number, or two as 3x5")
    return tuple(_whole(part, where, least=least) for part in parts)


def _whole(text: str, where: str, *, least: int = 1) -> int:
    if not re.fullmatch(r"-?\d{1,12}", text) or not least <= int(text) <= LARGEST:
        raise ArgumentError(f"{where}: {text!r} must be a whole number from {least} to {LARGEST:,}")
    return int(text)


def _fraction(text: str, where: str) -> float:
    if not re.fullmatch(r"\d*\.?\d+", text) or not 0 <= float(text) < 1:
        raise ArgumentError(f"{where}: {text!r} must be a rate from 0 to below 1")
    return float(text)


def _usage(name: str) -> str:
    kind = KINDS[name]
    letters = {"k": "kK", "s": "sS", "p": "pP", "d": "dD", "g": "gG", "o": "oO"}
    main = {"kernel": "K", "filters": "FILTERS", "outputs": "N"}.get(kind.main, kind.main.upper())
    options = [letters[o] for o in kind.options if not (o == "k" and kind.main == "kernel")]
    parts = ([main] if main else []) + [f"[{o}]" for o in [*options, *kind.flags]]
    return f"it is {name}:{','.join(parts)}" if parts else f"{name} takes nothing"
