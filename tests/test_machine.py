"""The plan, devices, cores, being asked to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sightline.machine import Plan, StopRequest, choose_device, choose_plan, usable_cores


class Clock:
    """A clock that each candidate's step moves by what it is said to take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
        import sightline.machine._plan as module

        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def make_step(self, network: nn.Module, plan: Plan) -> Callable[[], None]:
        def step() -> None:
            self.now += self.seconds.get(plan.short(), 1.0)

        return step


def choose(clock: Clock, **options: object) -> object:
    options = {"key": "k", "device": torch.device("cpu"), "threads": 2, "use_cache": False} | options
    return choose_plan(nn.Linear(2, 2), clock.make_step, **options)  # type: ignore[arg-type]


def test_the_fastest_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, {"fp32 channels_last x2": 0.8, "bf16 channels_last x2": 0.4})
    choice = choose(clock)
    assert choice.plan.short() == "bf16 channels_last x2"
    assert choice.seconds_per_step["bf16 channels_last x2"] == pytest.approx(0.4)
    assert "bf16, channels_last, 2 threads, cpu (measured: fp32 contiguous x2 1000.0 ms," in choice.describe()


@pytest.mark.parametrize(("seconds", "chosen"), [(0.91, "fp32"), (0.89, "bf16")])
def test_precision_is_given_up_only_for_ten_percent(
    monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: str
) -> None:
    clock = Clock(monkeypatch, {"bf16 contiguous x2": seconds})
    assert choose(clock).plan.dtype == chosen


@pytest.mark.parametrize(("seconds", "chosen"), [(0.99, "contiguous"), (0.97, "channels_last")])
def test_a_layout_costs_nothing_and_needs_less(
    monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: str
) -> None:
    clock = Clock(monkeypatch, {"fp32 channels_last x2": seconds})
    assert choose(clock, precision="fp32").plan.memory_format == chosen


KEPT_PAGES = """
import sys, torch
from sightline.machine import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def mapped():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0])
before = mapped()
tensor = torch.ones(12_000_000)
held = mapped()
del tensor
print(held - before, mapped() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of glibc")
def test_freed_memory_is_kept() -> None:
    """Counted in pages of address space: which of them are resident is the kernel's affair."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC", "GLIBC", "LD_PRE"))}

    def pages(how: str) -> tuple[int, int]:
        printed = subprocess.check_output([sys.executable, "-c", KEPT_PAGES, how], env=environment)
        held, kept = map(int, printed.split())
        return held, kept

    size = 48_000_000 // 4096 - 16  # a few pages may have been free before
    held, kept = pages("keep")
    assert held >= size
    assert kept == held
    held, kept = pages("return")
    assert held >= size
    assert kept <= held - size
    refused = environment | {"MALLOC_TRIM_THRESHOLD_": "1"}
    code = "from sightline.machine import keep_freed_memory; print(keep_freed_memory())"
    assert subprocess.check_output([sys.executable, "-c", code], env=refused, text=True).strip() == "False"


def test_several_threads_must_save_a_third(monkeypatch: pytest.MonkeyPatch) -> None:
    import sightline.machine._plan as module

    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    seconds = {f"{d} {m} x2": 0.02 for d in ("fp32", "bf16") for m in ("contiguous", "channels_last")}
    for alone, threads in ((0.01, 1), (0.029, 1), (0.031, 2)):
        clock = Clock(monkeypatch, seconds | {"fp32 contiguous x1": alone})
        assert choose(clock, threads=None).plan.threads == threads, alone
    long = Clock(monkeypatch, {"fp32 contiguous x1": 0.5})
    assert choose(long, threads=None).plan.threads == 2, "a long step is not even timed with one"
    assert "x1" not in choose(long, threads=None).describe()


def test_a_choice_is_remembered_and_can_be_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Clock(monkeypatch, {"bf16 contiguous x2": 0.1})
    assert choose(fast, use_cache=True, key="remembered").origin == "measured"
    slow = Clock(monkeypatch, {})
    again = choose(slow, use_cache=True, key="remembered")
    assert (again.origin, again.plan.dtype) == ("cached", "bf16")
    assert choose(slow, use_cache=True, key="another").plan.dtype == "fp32"
    assert choose(slow, use_cache=True, key="remembered", precision="fp32").plan.dtype == "fp32"


def test_a_number_format_that_is_emulated_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.machine import _plan

    clock = Clock(monkeypatch, {"bf16 contiguous x2": 0.1})
    monkeypatch.setattr(_plan, "_emulated", lambda device: True)
    choice = choose(clock)
    assert choice.plan.dtype == "fp32"
    assert not any("bf16" in name for name in choice.seconds_per_step)
    assert choose(clock, precision="bf16").plan.dtype == "bf16", "but it is used where it is asked for"


@pytest.mark.parametrize(("slower", "emulated"), [(7.0, False), (9.0, True)])
def test_a_format_is_emulated_if_its_product_takes_eight_times_as_long(
    monkeypatch: pytest.MonkeyPatch, slower: float, emulated: bool
) -> None:
    from sightline.machine import _plan

    now, real = 0.0, torch.ones

    def ones(*size: int, dtype: torch.dtype, **options: Any) -> Any:
        class Factor:
            def __matmul__(self, other: Any) -> torch.Tensor:
                nonlocal now
                now += slower if dtype == torch.bfloat16 else 1.0
                return real(2, 2)

        return Factor()

    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(_plan.time, "perf_counter", lambda: now)
    assert _plan._emulated(torch.device("cpu")) is emulated


def test_the_pace_of_a_remembered_plan_is_that_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Clock(monkeypatch, {"bf16 contiguous x2": 0.8})
    choose(busy, use_cache=True, key="busy")
    idle = Clock(monkeypatch, {"bf16 contiguous x2": 0.25, "fp32 contiguous x2": 0.1})
    again = choose(idle, use_cache=True, key="busy", fresh_pace=True)
    assert (again.origin, again.plan.short()) == ("cached", "bf16 contiguous x2")
    assert again.seconds_per_step["bf16 contiguous x2"] == pytest.approx(0.25)
    assert again.seconds_per_step["fp32 contiguous x2"] == pytest.approx(1.0), "not timed again"
    later = choose(idle, use_cache=True, key="busy")
    assert later.seconds_per_step["bf16 contiguous x2"] == pytest.approx(0.8), "not asked for"


def test_timing_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def make_step(copy: nn.Module, plan: Plan) -> Callable[[], object]:
        optimizer = torch.optim.SGD(copy.parameters(), lr=0.1)

        def step() -> None:
            with plan.autocast():
                copy(torch.ones(2, 1, 8, 8)).sum().backward()
            optimizer.step()

        return step

    choose_plan(network, make_step, key="x", device=torch.device("cpu"), use_cache=False)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_weights_stay_fp32_under_bf16() -> None:
    plan = Plan(dtype="bf16", memory_format="channels_last", threads=1)
    network = plan.place(nn.Conv2d(3, 4, 3))
    assert network.weight.dtype == torch.float32
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    with plan.autocast():
        out = network(plan.place_images(torch.zeros(1, 3, 8, 8)))
    assert out.dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it loads its compiler
def test_a_compiled_plan_shares_its_weights() -> None:
    network = nn.Linear(2, 2)
    forward = Plan(compile=True).forward_of(network)
    assert next(forward.parameters()) is network.weight
    assert Plan().forward_of(network) is network


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    for wanted in ("tpu", "cuda:99", "nonsense"):
        if wanted == "cuda:99" and torch.cuda.is_available():
            continue
        with pytest.raises(ValueError, match=f"--device is '{wanted}'; this machine has auto, cpu"):
            choose_device(wanted)


def test_cores_are_those_the_container_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000")
    assert usable_cores(quota) == 1
    quota.write_text("max 100000")
    assert usable_cores(quota) == len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_a_second_signal_acts() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[bool] = []

    def work() -> None:
        with StopRequest():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
