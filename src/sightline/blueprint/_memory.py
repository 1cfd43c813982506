"""Memory a network takes: its weights, the peak of a forward pass, the peak of a training step."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint._calls import tensors_in, unwrapped
from sightline.blueprint._graph import Blueprint
from sightline.blueprint._record import attributes_kept
from sightline.blueprint._shortcuts import run
from sightline.blueprint._walk import in_mode

OPTIMIZER_STATE = {"none": 0, "sgd": 0, "sgd_momentum": 1, "rmsprop": 1, "adam": 2, "adamw": 2, "nadam": 2}
"""Numbers an optimizer keeps for each parameter."""
_MADE_IN_STEP = {"rmsprop": 1, "adam": 2, "adamw": 2, "nadam": 2}
"""Tensors as large as a parameter that an optimizer makes while it steps it, one parameter after another."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceMemory:
    """Bytes of a forward pass without gradients."""

    parameters: int
    buffers: int
    inputs: int
    activations: int
    """The most that tensors made by layers take at one time."""
    at: str
    """The node at which they do."""

    @property
    def peak(self) -> int:
        """All of it."""
        return self.parameters + self.buffers + self.inputs + self.activations


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes of one training step: forward, loss, backward, and the optimizer's update."""

    batch: int
    optimizer: str
    parameters: int
    buffers: int
    inputs: int
    gradients: int
    optimizer_state: int
    saved: int
    """Activations alive when the forward pass ends: what the backward pass will need."""
    update: int
    """The most alive while the optimizer steps; 0 without one. Nothing that was saved is left by then."""
    peak: int
    """The most that is alive at one time, everything counted."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)


def inference_memory(blueprint: Blueprint) -> InferenceMemory:
    """The peak of a forward pass: a tensor lives from its making to its last reading.

    Args:
        blueprint: Of one recorded pass; its batch is the batch.
    """
    values, operations = blueprint.values, blueprint.operations
    kept = {values[v].storage for v in blueprint.inputs}
    kept |= {value.storage for value in values if value.parameter}
    last: dict[int, int] = {}
    for k, operation in enumerate(operations):
        for v in (*operation.inputs, *operation.outputs):
            last[values[v].storage] = k
    for v in blueprint.outputs:
        last[values[v].storage] = len(operations)
    ends: dict[int, list[int]] = {}
    for storage, k in last.items():
        ends.setdefault(k, []).append(storage)
    alive: dict[int, int] = {}
    now = most = 0
    at = ""
    for k, operation in enumerate(operations):
        for v in operation.outputs:
            value = values[v]
            if value.storage not in kept and value.storage not in alive:
                alive[value.storage] = value.storage_bytes
                now += value.storage_bytes
        if now > most:
            most, at = now, blueprint.nodes[operation.node].id if operation.node >= 0 else ""
        for storage in ends.get(k, ()):
            now -= alive.pop(storage, 0)
    return InferenceMemory(
        parameters=blueprint.parameter_bytes, buffers=blueprint.buffer_bytes,
        inputs=sum(values[v].num_bytes for v in blueprint.inputs), activations=most, at=at,
    )  # fmt: skip


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors alive while it is entered, on any device, `meta` among them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.most = 0
        self._known: set[int] = set()

    def hold(self, tensor: Tensor) -> None:
        """Count a tensor that was there before; a memory once."""
        self._add(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch's compiler would be imported to be told to look away: seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = run(func, args, kwargs or {})
        for tensor in tensors_in(output):
            self._add(tensor)
        return output

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, key, size).atexit = False

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def training_memory(
    network: nn.Module, *inputs: Tensor | tuple[int, ...], optimizer: str = "adamw"
) -> TrainingMemory:
    """Bytes of a training step, from a step run on `meta`: every tensor counted from its making to its end.

    The loss is the cross entropy of the first output over its second axis. The optimizer is not run: it keeps
    the state named, and steps one parameter after another, as PyTorch does on the CPU. What operations
    allocate inside themselves is not seen: on the CPU, copies that a convolution makes of what it reads and
    writes in a layout of its own; `measure_training` has them.

    Args:
        network: Any module; it is left as it was.
        inputs: Tensors or shapes with the batch, as for `record`.
        optimizer: One of `OPTIMIZER_STATE`.

    Raises:
        ArgumentError: if the optimizer is unknown, or a training step cannot be run without numbers.
    """
    if optimizer not in OPTIMIZER_STATE:
        raise ArgumentError(f"optimizer is {optimizer!r}; {did_you_mean(optimizer, OPTIMIZER_STATE)}")
    network = unwrapped(network)
    stand_ins: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name, p in network.named_parameters():
        stand_ins[id(p)] = state[name] = _on_meta(p).requires_grad_(p.requires_grad)
    for name, b in network.named_buffers():
        state[name] = _on_meta(b)
    given = [torch.empty(tuple(x.shape if isinstance(x, Tensor) else x), device="meta",
                         dtype=x.dtype if isinstance(x, Tensor) else None) for x in inputs]  # fmt: skip
    parameters = sum(t.numel() * t.element_size() for t in stand_ins.values())
    buffers = sum(b.numel() * b.element_size() for b in network.buffers())
    bytes_in = sum(x.numel() * x.element_size() for x in given)
    trained = [t.numel() * t.element_size() for t in stand_ins.values() if t.requires_grad]
    fixed = OPTIMIZER_STATE[optimizer] * sum(trained)
    live = LiveBytes()
    for tensor in (*state.values(), *given):
        live.hold(tensor)
    try:
        with (
            in_mode(network, training=True), attributes_kept(network), torch.random.fork_rng(devices=[]),
            torch.enable_grad(), live,
        ):  # fmt: skip
            output = torch.func.functional_call(network, state, tuple(given))
            loss = training_loss(output)
            del output
            saved = live.now - parameters - buffers - bytes_in
            loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # the network may be a user's, and fail in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArgumentError(
            f"a training step of {type(network).__name__} cannot be followed: {reason}"
        ) from error
    gradients = sum(t.grad.numel() * t.grad.element_size() for t in stand_ins.values() if t.grad is not None)
    update = 0
    if optimizer != "none":
        made = _MADE_IN_STEP.get(optimizer, 0) * max(trained, default=0)
        update = parameters + buffers + bytes_in + gradients + fixed + made
    return TrainingMemory(
        batch=int(given[0].shape[0]) if given and given[0].dim() else 1, optimizer=optimizer,
        parameters=parameters, buffers=buffers, inputs=bytes_in, gradients=gradients, optimizer_state=fixed,
        saved=saved, update=update, peak=max(live.most + fixed, update),
    )  # fmt: skip


def _on_meta(like: Tensor) -> Tensor:
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")


def training_loss(output: Any) -> Tensor:
    """A loss that needs every floating output, and most of all the first."""
    parts = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
    if not parts:
        raise ArgumentError("no output asks for a gradient")
    first, *others = parts
    if first.dim() >= 2:
        classes = torch.zeros((first.shape[0], *first.shape[2:]), dtype=torch.long, device=first.device)
        loss = F.cross_entropy(first, classes)
    else:
        loss = first.sum()
    for other in others:
        loss = loss + other.sum()
    return loss
