"""A sequence of layers: what it leaves of an image, and what comes out on the way."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import output_shape

_LARGE = 512
"""A side that every network takes."""


def features_shape(
    make: Callable[[], nn.Module], in_channels: int, input_size: tuple[int, int], what: str
) -> tuple[int, int, int]:
    """(C, H, W) that some layers leave of an image.

    Args:
        make: Makes the layers; they are made on the `meta` device, where nothing is computed.
        in_channels: Channels of an image.
        input_size: (height, width) of an image.
        what: The network as the user calls it, for the message.

    Raises:
        ArgumentError: if nothing is left; it names the layer, and the smallest input that leaves something.
    """
    with torch.device("meta"):
        layers = make()
    try:
        return _shape(layers, in_channels, input_size, what)
    except ArgumentError as error:
        height = _least(lambda side: _goes_through(layers, in_channels, (side, _LARGE)))
        width = _least(lambda side: _goes_through(layers, in_channels, (_LARGE, side)))
        raise ArgumentError(f"{error}; it takes {height}x{width} (height x width) and more") from error


def _shape(
    layers: nn.Module, in_channels: int, input_size: tuple[int, int], what: str
) -> tuple[int, int, int]:
    shape = (in_channels, *input_size)
    channels, height, width = output_shape(layers, shape, what)
    if min(height, width) < 1:
        raise ArgumentError(
            f"{what} cannot take an input of {'x'.join(map(str, shape))}: nothing is left of it"
        )
    return channels, height, width


def _goes_through(layers: nn.Module, in_channels: int, input_size: tuple[int, int]) -> bool:
    try:
        _shape(layers, in_channels, input_size, "")
    except ArgumentError:
        return False
    return True


def _least(goes_through: Callable[[int], bool]) -> int:
    """The smallest side that goes through; every larger one does, too."""
    return 1 + bisect.bisect_left(range(1, _LARGE), True, key=goes_through)


def outputs_at(layers: nn.Sequential, x: Tensor, places: Iterable[int]) -> list[Tensor]:
    """The outputs of some layers of a sequence, in order.

    Args:
        layers: The sequence.
        x: Its input.
        places: Which layers, from 0; layers behind the last of them are not run.
    """
    wanted = set(places)
    return [y for place, y in enumerate(_run(layers, x, max(wanted))) if place in wanted]


def _run(layers: nn.Sequential, x: Tensor, last: int) -> Iterator[Tensor]:
    for layer in itertools.islice(layers, last + 1):
        x = layer(x)
        yield x
