"""The plan: number format, memory layout, threads and compilation, chosen by timing this machine."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import pydantic
import torch
from torch import nn

from sightline.base import StorageError, cache_folder, write_json
from sightline.machine._device import device_name
from sightline.machine._memory import keep_freed_memory
from sightline.machine._threads import usable_cores

Precision = Literal["fp32", "bf16"]
MemoryFormat = Literal["contiguous", "channels_last"]
Layers = TypeVar("Layers", bound=nn.Module)

MARGIN = 0.10
"""Another number format must be this much faster, so that noise does not choose."""

THREADS_MARGIN = 1 / 3
"""Several threads must save this much of the time of one: they hold every core, and where another program
takes one of them, each waits for the slowest at every operation."""

LAYOUT_MARGIN = 0.02
"""Another memory layout, which costs no precision, must be this much faster."""

_PROBE_SIDE, _EMULATED = 192, 8.0
"""Rows of the matrices whose product tells whether bf16 is emulated; so many times as slow it is then."""

_PASSES, _ROUNDS, _BUDGET_SECONDS = 3, 3, 20.0

_SHORT_STEP = 0.05
"""Seconds of a step below which several threads may not pay; in longer ones they always did."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is computed. Weights are always kept in fp32; `dtype` is what is multiplied."""

    device: str = "cpu"
    """A torch device."""
    dtype: Precision = "fp32"
    """fp32, or bf16 under autocast."""
    memory_format: MemoryFormat = "contiguous"
    """Order of an image batch in memory: NCHW, or NHWC (`channels_last`)."""
    threads: int = 1
    """Threads of one operation."""
    compile: bool = False
    """Whether the forward pass goes through `torch.compile`."""

    def describe(self) -> str:
        """One line for people, e.g. `bf16, channels_last, 2 threads, cpu`."""
        plural = "" if self.threads == 1 else "s"
        compiled = ", compiled" if self.compile else ""
        return f"{self.dtype}, {self.memory_format}, {self.threads} thread{plural}, {self.device}{compiled}"

    def short(self) -> str:
        """The same in a word or two, for a list of timings, e.g. `bf16 channels_last x2`."""
        return f"{self.dtype} {self.memory_format} x{self.threads}{' compiled' if self.compile else ''}"

    def apply(self) -> None:
        """Set this process to the plan's threads, and its allocator to keep what a step frees."""
        torch.set_num_threads(self.threads)
        if self.device == "cpu":
            keep_freed_memory()

    def place(self, network: Layers) -> Layers:
        """The network on the plan's device, in its memory format; weights stay fp32."""
        placed: Layers = network.to(device=self.device).to(memory_format=self._torch_format())  # type: ignore[call-overload]
        return placed

    def place_images(self, images: torch.Tensor) -> torch.Tensor:
        """A batch of images on the plan's device, in its memory format. (N, C, H, W) -> the same."""
        return images.to(self.device, non_blocking=True).contiguous(memory_format=self._torch_format())

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context a forward pass runs in."""
        if self.dtype == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def forward_of(self, network: nn.Module) -> nn.Module:
        """The module to call: the network, or its compiled form, which shares its weights."""
        if not self.compile:
            return network
        compiled = torch.compile(network)
        assert isinstance(compiled, nn.Module)  # a module compiles to a module
        return compiled

    def _torch_format(self) -> torch.memory_format:
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanChoice:
    """A plan, and how it came to be."""

    plan: Plan
    origin: Literal["measured", "cached", "not timed"]
    seconds_per_step: dict[str, float]
    """Of a step under each candidate: the shortest of several, since other work only ever adds."""

    def describe(self) -> str:
        """One line for people: the plan, what else was timed, and where it comes from."""
        others = ", ".join(f"{name} {1e3 * s:.1f} ms" for name, s in self.seconds_per_step.items())
        return f"{self.plan.describe()} ({self.origin}{': ' + others if others else ''})"


def choose_plan(
    network: nn.Module,
    make_step: Callable[[nn.Module, Plan], Callable[[], object]],
    *,
    key: str,
    device: torch.device,
    precision: str = "auto",
    threads: int | None = None,
    use_cache: bool = True,
    fresh_pace: bool = False,
) -> PlanChoice:
    """Time one step under each candidate and take the fastest, plainer ones first.

    Args:
        network: The network; a copy of it is timed, it is not changed.
        make_step: Given a copy of the network and a plan, returns the step to time.
        key: What the step is (network, batch shape, optimizer); with the machine's name and torch's
            version it says when a stored choice may be used again.
        device: Where to compute.
        precision: `auto` to choose by timing, else the number format to use.
        threads: Threads to use; None to choose by timing.
        use_cache: Whether a choice stored earlier may be taken.
        fresh_pace: Whether the plan of a stored choice is timed again: what it took then, it takes on a
            machine as busy as it was then.
    """
    signature = [
        key,
        device_name(device),
        str(device),
        str(torch.__version__),
        usable_cores(),
        precision,
        threads,
    ]
    digest = hashlib.blake2b(json.dumps(signature).encode(), digest_size=12).hexdigest()
    path = cache_folder("plans") / f"{digest}.json"
    found = None
    if use_cache:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            stored = json.loads(path.read_text())
            found = PlanChoice(
                plan=Plan(**stored["plan"]), origin="cached", seconds_per_step=stored["seconds"]
            )
    if found is not None and fresh_pace:
        now = _time_steps(network, make_step, [found.plan])[found.plan]
        found = dataclasses.replace(
            found, seconds_per_step=found.seconds_per_step | {found.plan.short(): now}
        )
    if found is not None:
        return found

    cores = threads or usable_cores()
    formats = [f for f in get_args(Precision) if precision in ("auto", f)]
    assert formats, f"unknown precision {precision}"
    if precision == "auto" and _emulated(device):
        formats = ["fp32"]
    candidates = [
        Plan(device=str(device), dtype=dtype, memory_format=layout, threads=cores)
        for dtype in formats
        for layout in get_args(MemoryFormat)
    ]
    seconds = _time_steps(network, make_step, candidates)
    best = _plainest_fast(
        [
            _plainest_fast([plan for plan in candidates if plan.dtype == dtype], seconds, LAYOUT_MARGIN)
            for dtype in formats
        ],
        seconds,
        MARGIN,
    )
    if threads is None and cores > 1 and device.type == "cpu" and seconds[best] < _SHORT_STEP:
        alone = dataclasses.replace(best, threads=1)
        for plan, value in _time_steps(network, make_step, [alone, best]).items():
            seconds[plan] = min(value, seconds.get(plan, value))
        best = _plainest_fast([alone, best], seconds, THREADS_MARGIN)
    names = {plan.short(): value for plan, value in seconds.items()}
    best.apply()
    with contextlib.suppress(StorageError):  # a cache that cannot be written is only slower next time
        write_json(path, {"plan": dataclasses.asdict(best), "seconds": names})
    return PlanChoice(plan=best, origin="measured", seconds_per_step=names)


def _emulated(device: torch.device) -> bool:
    """Whether a product in bf16 takes many times as long as in fp32.

    It does where the processor has no instructions for it; a single step would then take minutes.
    """
    taken: list[float] = []
    for dtype in (torch.float32, torch.bfloat16):
        factor = torch.ones(_PROBE_SIDE, _PROBE_SIDE, device=device, dtype=dtype)
        float((factor @ factor)[0, 0])  # a warm-up; and what makes an accelerator finish
        rounds = []
        for _ in range(_ROUNDS):
            before = time.perf_counter()
            float((factor @ factor)[0, 0])
            rounds.append(time.perf_counter() - before)
        taken.append(min(rounds))
    return taken[1] > _EMULATED * taken[0]


def _plainest_fast(candidates: list[Plan], seconds: dict[Plan, float], margin: float) -> Plan:
    """The first candidate, unless a later one is faster by the margin; and so on down the list."""
    best = candidates[0]
    for candidate in candidates[1:]:
        if seconds[candidate] < (1 - margin) * seconds[best]:
            best = candidate
    return best


def _time_steps(
    network: nn.Module, make_step: Callable[[nn.Module, Plan], Callable[[], object]], plans: list[Plan]
) -> dict[Plan, float]:
    """Seconds of a step under each plan: the shortest of several passes over all, while there is time."""
    seconds = dict.fromkeys(plans, math.inf)
    began = time.perf_counter()
    for _ in range(_PASSES):
        for plan in plans:
            plan.apply()
            step = make_step(plan.place(copy.deepcopy(network)), plan)
            step()  # a warm-up
            for _ in range(_ROUNDS):
                before = time.perf_counter()
                step()
                if plan.device != "cpu":
                    torch.accelerator.synchronize()
                seconds[plan] = min(seconds[plan], time.perf_counter() - before)
                if time.perf_counter() - began > _BUDGET_SECONDS / 3:
                    break  # steps are long: one of each will do
        if time.perf_counter() - began > _BUDGET_SECONDS / 2:
            break
    return seconds
