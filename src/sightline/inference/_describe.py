"""A network and what it is given, from what a user calls a model and its input: to be recorded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sightline.base import ArgumentError
from sightline.blueprint import Blueprint, record
from sightline.inference._resolve import ResolvedModel, resolve
from sightline.reference import read_shape


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkAt:
    """A network with its inputs."""

    name: str
    network: nn.Module
    inputs: tuple[Tensor, ...]
    """On `meta`, with a batch of one."""
    model: ResolvedModel
    rebuild: Callable[[int], nn.Module]
    """The network for square images of another size."""

    def batch(self, images: int) -> tuple[Tensor, ...]:
        """The inputs for several images."""
        return tuple(torch.empty((images, *x.shape[1:]), dtype=x.dtype, device="meta") for x in self.inputs)


def network_at(spec: str, inputs: Sequence[str] = (), *, numbers: bool = False) -> NetworkAt:
    """Build what a user calls a model, for the input they name.

    A network of the zoo that adapts to its images is built for the input. Without `numbers` it is built on
    `meta` where that works: nothing is initialised, and no weight is kept.

    Args:
        spec: As for `resolve`.
        inputs: A shape for each argument of its `forward`: `3,224,224` or `224x224x3`, `1,40`, `784`; with
            `:int` behind it, of integers. The model's own where there is none.
        numbers: Build it with its weights, or fresh ones.

    Raises:
        ArgumentError: if it names nothing, a shape cannot be read, or the network cannot be built for it.
        ModelFileError: if its file is not what it should be.
    """
    model = resolve(spec)
    if not numbers:
        model = dataclasses.replace(model, weights=None)
    shape: tuple[int, ...] = model.architecture.input_shape
    if model.header is not None:
        built = model.header.architecture
        shape = (built.in_channels, *built.input_size)
    given = [_read(text) for text in inputs] or [(shape, torch.float32)]
    first = given[0][0]
    adapts = model.header is None and model.architecture.input_sizes == "adapts" and len(first) == len(shape)

    def build(size: tuple[int, ...]) -> nn.Module:
        asked = inputs or size != shape[1:]  # else its own defaults
        wanted: dict[str, Any] = {"in_channels": first[0], "input_size": size} if adapts and asked else {}
        if not numbers:
            try:
                with torch.device("meta"), _Uninitialised():
                    return model.build(**wanted)
            except Exception:  # code that needs numbers; what is wrong with it is told below
                return model.build(**wanted)
        return model.build(**wanted)

    return NetworkAt(
        name=model.architecture.name if model.architecture.source else spec,
        network=build(first[1:]),
        inputs=tuple(torch.empty((1, *s), dtype=d, device="meta") for s, d in given),
        model=model,
        rebuild=lambda size: build((size,) * (len(first) - 1)),
    )


def record_model(spec: str, inputs: Sequence[str] = ()) -> Blueprint:
    """Record what a user calls a model. Arguments and errors as `network_at` and `record`."""
    there = network_at(spec, inputs)
    return record(there.network, *there.inputs, name=there.name)


def _read(text: str) -> tuple[tuple[int, ...], torch.dtype]:
    """A shape without the batch, channels first, and its type."""
    plain = re.sub(r":int(64)?$", "", text)
    if re.fullmatch(r"\d+(,\d+){3}", plain):  # channels, depth, height, width
        shape: tuple[int, ...] = tuple(map(int, plain.split(",")))
    else:
        try:
            read = read_shape(plain)
        except ArgumentError as error:
            raise ArgumentError(str(error).replace("SHAPE", "--input", 1)) from None
        sizes = [n for n in read.size if n is not None]
        if len(sizes) != len(read.size):
            raise ArgumentError(f"--input is {text!r}; every number must be given")
        shape = (read.channels, *sizes)
    if 0 in shape:
        raise ArgumentError(f"--input is {text!r}; every number must be 1 or more")
    return shape, torch.float32 if plain == text else torch.long


_FILLING = frozenset(
    {"normal_", "uniform_", "trunc_normal_", "fill_", "zero_", "random_", "bernoulli_", "exponential_",
     "erfinv_", "clamp_", "mul_", "add_", "copy_", "constant_", "kaiming_uniform_", "kaiming_normal_",
     "xavier_uniform_", "xavier_normal_"}
)  # fmt: skip
"""Of `torch.nn.init`, and what its functions are made of. On `meta` PyTorch does some of them through its
compiler, whose import alone takes longer than all the rest."""


class _Uninitialised(TorchFunctionMode):
    """Leaves out the initialisation of weights, which have no numbers anyway."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        filled = args[0] if args else kwargs.get("tensor")  # as functions of `torch.nn.init` hand it on
        if getattr(func, "__name__", "") in _FILLING and filled is not None and filled.is_meta:
            return filled
        return func(*args, **kwargs)
