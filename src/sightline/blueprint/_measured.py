"""Memory a network really takes: a pass or a training step is run, and the allocator asked."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile, record_function

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint._calls import unwrapped
from sightline.blueprint._memory import training_loss
from sightline.blueprint._record import _given, _numbers

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer] | None] = {
    "none": None,
    "sgd": torch.optim.SGD,
    "sgd_momentum": lambda parameters: torch.optim.SGD(parameters, momentum=0.9),
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
}
_MARK = "sightline memory "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Bytes as the allocator gave them out; each of a phase is the most at one time, everything counted."""

    device: str
    batch: int
    optimizer: str
    """The optimizer that stepped; empty for a pass without gradients."""
    before: int
    """There before the pass: parameters, buffers, inputs, the optimizer's state."""
    forward: int
    """The forward pass, with the loss where there is one."""
    saved: int
    """Alive when the forward pass ends, beyond what was there before."""
    backward: int
    """The backward pass; 0 without one."""
    update: int
    """The optimizer's step; 0 without one."""
    resident_before: int | None
    """The whole process in physical memory, Python and PyTorch in it, before the pass; Linux and CPU only."""
    resident: int | None
    """The most of it up to the end. Freed memory that was kept from earlier work is in it."""

    @property
    def peak(self) -> int:
        """The most alive at one time."""
        return max(self.forward, self.backward, self.update)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self) | {"peak": self.peak}


def measure_training(
    network: nn.Module, *inputs: Tensor | Sequence[int], optimizer: str = "adamw"
) -> Measured:
    """Bytes of a training step that was run: forward, loss, backward, update, as `training_memory` has them.

    A copy of the network takes two steps on the device of its parameters, and the second is measured: by then
    the optimizer has its state. On the CPU the bytes are those of each allocation and each release that
    PyTorch's profiler saw; on CUDA they are the caching allocator's own account. What operations allocate
    inside themselves is in both.

    Args:
        network: Any module with numbers, on the CPU or CUDA; it is left as it was.
        inputs: Tensors or shapes with the batch, as for `record`; a shape is filled with noise.
        optimizer: One of `none, sgd, sgd_momentum, rmsprop, adam, adamw, nadam`, with PyTorch's defaults.

    Raises:
        ArgumentError: if the optimizer is unknown, the network is without numbers or on another device,
            or the step fails.

    Example:
        >>> measured = measure_training(nn.Linear(100, 10), (8, 100), optimizer="sgd")
        >>> measured.before  # (100 x 10 + 10) weights and 8 x 100 inputs of 4 bytes
        7240
    """
    if optimizer not in _OPTIMIZERS:
        raise ArgumentError(f"optimizer is {optimizer!r}; {did_you_mean(optimizer, _OPTIMIZERS)}")

    def step(own: nn.Module, given: list[Tensor], memory: _Memory) -> None:
        own.train()
        trained = [p for p in own.parameters() if p.requires_grad]
        make = _OPTIMIZERS[optimizer]
        stepped = make(trained) if make is not None and trained else None
        for phase in (_unnamed, memory.phase):
            own.zero_grad(set_to_none=True)
            with phase("forward"):
                loss = training_loss(own(*given))
            with phase("backward"):
                loss.backward()  # type: ignore[no-untyped-call]
            del loss
            if stepped is not None:
                with phase("update"):
                    stepped.step()

    return _measured(network, inputs, step, optimizer)


def measure_inference(network: nn.Module, *inputs: Tensor | Sequence[int]) -> Measured:
    """Bytes of a forward pass without gradients that was run, in evaluation mode.

    Args:
        network: As for `measure_training`.
        inputs: As for `measure_training`.

    Raises:
        ArgumentError: if the network is without numbers or on another device, or the pass fails.

    Example:
        >>> measure_inference(nn.Linear(100, 10), (8, 100)).peak  # its 7240 bytes, and 8 x 10 outputs
        7560
    """

    def forward(own: nn.Module, given: list[Tensor], memory: _Memory) -> None:
        own.eval()
        for phase in (_unnamed, memory.phase):
            with phase("forward"):
                output = own(*given)
            del output

    return _measured(network, inputs, forward, "")


def _measured(
    network: nn.Module,
    inputs: Sequence[Any],
    run: Callable[[nn.Module, list[Tensor], _Memory], None],
    optimizer: str,
) -> Measured:
    """Run on a copy of the network and the inputs, under a watch of its device's memory."""
    network = unwrapped(network)
    name = type(network).__name__
    state = [*network.parameters(), *network.buffers()]
    device = state[0].device if state else torch.device("cpu")
    if device.type not in ("cpu", "cuda"):
        why = "it has no numbers" if device.type == "meta" else f"it is on {device}"
        raise ArgumentError(f"memory is measured of networks on cpu or cuda, and of {name} it is not: {why}")
    given = [_given(x, network) for x in inputs]
    memory: _Memory = _CpuMemory() if device.type == "cpu" else _CudaMemory(device)
    devices = [device] if device.type == "cuda" else []
    try:
        with (
            torch.inference_mode(False), torch.set_grad_enabled(bool(optimizer)),
            torch.random.fork_rng(devices=devices), memory.watched(),
        ):  # fmt: skip
            own = copy.deepcopy(network)
            placed = [_numbers(x, device) if x.is_meta else x.detach().to(device, copy=True) for x in given]
            run(own, placed, memory)
            del own, placed
    except Exception as error:  # the network may be a user's, and fail in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        what = "a training step" if optimizer else "a forward pass"
        raise ArgumentError(f"{what} of {name} cannot be measured: {reason}") from error
    phases = memory.phases()
    forward = phases["forward"]
    return Measured(
        device=str(device), batch=int(given[0].shape[0]) if given and given[0].dim() else 1,
        optimizer=optimizer, before=forward.first, forward=forward.most, saved=forward.last - forward.first,
        backward=phases["backward"].most if "backward" in phases else 0,
        update=phases["update"].most if "update" in phases else 0,
        resident_before=memory.resident_before, resident=memory.resident,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Phase:
    """Bytes alive as a part of the step begins, at most, and as it ends."""

    first: int
    most: int
    last: int


class _Memory(Protocol):
    """A device's memory, watched."""

    resident_before: int | None
    resident: int | None

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Entered before the first tensor is made, left after the last is gone."""

    def phase(self, name: str) -> contextlib.AbstractContextManager[None]:
        """A part of the step."""

    def phases(self) -> dict[str, _Phase]:
        """What was seen, afterwards."""


@contextlib.contextmanager
def _unnamed(name: str) -> Iterator[None]:
    """A part of a step that is not measured."""
    yield


class _CpuMemory:
    """Each allocation and each release, as PyTorch's profiler notes them, between marks of its own."""

    def __init__(self) -> None:
        self.resident_before: int | None = None
        self.resident: int | None = None
        self._events: list[tuple[int, int, str, int]] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        with _quiet(), profile(profile_memory=True) as trace:
            yield
        for event in trace.kineto_results.events():
            name = event.name()
            if name == "[memory]" and event.device_type().name == "CPU":
                self._events.append((event.start_ns(), 1, "", event.nbytes()))
            elif name.startswith(_MARK):
                called = name.removeprefix(_MARK)
                self._events.append((event.start_ns(), 0, called, 0))
                self._events.append((event.start_ns() + event.duration_ns(), 2, called, 0))
        self._events.sort(key=lambda event: event[:2])

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if self.resident_before is None:
            self.resident_before = _status("VmRSS") if _forget_most() else None
        with record_function(_MARK + name):
            yield
        if self.resident_before is not None:
            self.resident = _status("VmHWM")

    def phases(self) -> dict[str, _Phase]:
        found: dict[str, _Phase] = {}
        now = 0
        inside = ""
        for _, kind, name, size in self._events:
            now += size
            if kind == 0:
                inside = name
                found[name] = _Phase(now, now, now)
            elif inside:
                phase = found[inside]
                found[inside] = _Phase(phase.first, max(phase.most, now), now)
            if kind == 2:
                inside = ""
        return found


class _CudaMemory:
    """The account that PyTorch's caching allocator keeps of a device, beyond what is there already."""

    def __init__(self, device: torch.device) -> None:
        self.resident_before: int | None = None
        self.resident: int | None = None
        self._device = device
        self._there = 0
        self._found: dict[str, _Phase] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        self._there = torch.cuda.memory_allocated(self._device)
        yield

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        first = torch.cuda.memory_allocated(self._device) - self._there
        torch.cuda.reset_peak_memory_stats(self._device)
        yield
        most = torch.cuda.max_memory_allocated(self._device) - self._there
        last = torch.cuda.memory_allocated(self._device) - self._there
        self._found[name] = _Phase(first, most, last)

    def phases(self) -> dict[str, _Phase]:
        return self._found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that the profiler's library writes; it reads this once, when it is first used."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "6")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


def _status(name: str) -> int:
    """A line of this process's status, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # Linux writes it
    return 1024 * int(found[1])


def _forget_most() -> bool:
    """Let the system measure the most of this process anew; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
