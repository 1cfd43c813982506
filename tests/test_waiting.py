"""How much of training waits for data: counted by a clock that only the tests move, told in the log."""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.data import Batch, BatchSource
from sightline.imaging import Canvas
from sightline.records import RunFolder
from sightline.training import Job, SilentReporter, fit
from sightline.training._logged import LoggedReporter
from sightline.training._waiting import Waits, timed, waited
from toy_runs import PulledPlugError, StopAt, Tiny, make_job, one_phase, outcome, pull_plug

STEP = 1.0
"""Seconds of a step without its waiting."""
WAITS = (0.04, 0.06, 1.0, 0.0)
"""Of the four steps of an epoch: of 1.04, 1.06, 2 and 1 seconds, so that the second and third waited."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A source whose batches take their time: of each epoch's, these seconds in turn."""

    path = "memory"

    def __init__(self, inner: BatchSource, clock: Clock, waits: Sequence[float], first: int = 0) -> None:
        self.inner, self.clock, self.waits, self.first = inner, clock, waits, first
        self.canvas = inner.canvas

    def batches(self, order: Sequence[NDArray[np.int64]], *, training: bool = False) -> Iterator[Batch]:
        waits = itertools.islice(itertools.cycle(self.waits), self.first, None)
        self.first = 0
        for batch, wait in zip(self.inner.batches(order, training=training), waits, strict=False):
            self.clock.now += wait
            yield batch


class Working(Tiny):
    """Each forward pass takes its time, in training or not."""

    def __init__(self, clock: Clock, seconds: float = STEP) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += self.seconds
        return super().forward(x)


class Noting(SilentReporter):
    def __init__(self) -> None:
        self.noted: list[str] = []
        self.kept: list[str] = []

    def note(self, text: str) -> None:
        self.noted.append(text)

    def keep(self, text: str) -> None:
        self.kept.append(text)


def slow_job(folder: Path, waits: Sequence[float] = WAITS, first: int = 0, **changes: Any) -> Job:
    """Two epochs of four steps."""
    clock = Clock()
    recipe = changes.pop("recipe", one_phase(epochs=2))
    seconds = STEP / recipe.accumulate
    torch.manual_seed(0)
    job = make_job(folder, recipe, Working(clock, seconds), clock=clock, **changes)
    return dataclasses.replace(job, source=Slow(job.source, clock, waits, first))


def test_waiting_worked_by_hand(tmp_path: Path) -> None:
    reporter = Noting()
    position = fit(slow_job(tmp_path / "run", reporter=reporter))
    assert (position.waits_ever, position.steps_ever) == (4, 8)
    assert position.waiting_ever == pytest.approx(2 * 1.1)
    assert (position.waits, position.waiting) == (0, 0.0)
    assert [row["seconds"] for row in position.rows] == pytest.approx([5.1, 5.1])  # validation is not in it
    shares = (
        "waited for data (over 5 % of a step) in 50 % of its steps, 22 % of the time"  # 1.1 of 5.1 seconds
    )
    assert reporter.kept == [f"epoch 1 {shares}", f"epoch 2 {shares}", f"training {shares}"]
    assert len(reporter.noted) == 1
    assert reporter.noted[0].startswith("more than a third of the steps waited for data: reading decoded")


def test_a_run_that_does_not_wait_has_one_line(tmp_path: Path) -> None:
    reporter = Noting()
    fit(slow_job(tmp_path / "run", waits=(0.05, 0.0), reporter=reporter))
    assert reporter.kept == [
        "training waited for data (over 5 % of a step) in 0 % of its steps, 2 % of the time"
    ]  # 0.1 of 4.1
    assert reporter.noted == []


def test_micro_batches_are_waited_for_together(tmp_path: Path) -> None:
    """Two of 0.03 s each are under a twentieth of the step, and 0.06 s are not."""
    position = fit(slow_job(tmp_path / "run", waits=(0.03,), recipe=one_phase(epochs=1, accumulate=2)))
    assert (position.waits_ever, position.steps_ever) == (4, 4)
    assert position.waiting_ever == pytest.approx(4 * 0.06)


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_a_resumed_run_has_waited_as_long(tmp_path: Path, stop: int) -> None:
    whole = slow_job(tmp_path / "whole")
    expected = fit(whole)
    broken = slow_job(tmp_path / "broken", reporter=StopAt(stop, pull_plug), checkpoint_steps=1)
    with pytest.raises(PulledPlugError):
        fit(broken)
    first = (stop - 1) % 4  # the checkpoint is of the step before
    reporter = Noting()
    position = fit(slow_job(tmp_path / "broken", first=first, reporter=reporter), resume=True)
    assert position.waits_ever == expected.waits_ever
    assert position.waiting_ever == pytest.approx(expected.waiting_ever)
    assert (
        reporter.kept[-1]
        == "training waited for data (over 5 % of a step) in 50 % of its steps, 22 % of the time"
    )
    assert outcome(broken) == outcome(whole)


def test_a_finished_run_says_it_once(tmp_path: Path) -> None:
    fit(slow_job(tmp_path / "run"))
    reporter = Noting()
    fit(slow_job(tmp_path / "run", reporter=reporter), resume=True)
    assert reporter.kept == []


def test_a_checkpoint_without_counts_is_gone_on_with(tmp_path: Path, monkeypatch: Any) -> None:
    """A run begun before waiting was counted."""
    from sightline.training import _state

    fit(slow_job(tmp_path / "run"))

    def older(folder: Path) -> tuple[dict[str, Any], Path]:
        state, found = load(folder)
        names = ("waits", "waiting", "waits_ever", "waiting_ever")
        state["position"] = {k: v for k, v in state["position"].items() if k not in names}
        return state, found

    load = _state.load_checkpoint
    monkeypatch.setattr(_state, "load_checkpoint", older)
    position = fit(slow_job(tmp_path / "run", recipe=one_phase(epochs=3)), resume=True)
    assert (position.waits_ever, position.steps_ever) == (2, 12)


def test_the_log_keeps_what_the_screen_is_spared(tmp_path: Path) -> None:
    seen = Noting()
    run = RunFolder(tmp_path / "run")
    (tmp_path / "run").mkdir()
    fit(slow_job(tmp_path / "run", waits=(0.0, 0.0, 0.0, 9.0), reporter=LoggedReporter(seen, run)))
    log = run.log.read_text().splitlines()
    shares = "waited for data (over 5 % of a step) in 25 % of its steps, 69 % of the time"  # 9 of 13 seconds
    assert [line for line in log if "waited" in line] == [
        f"epoch 1 {shares}",
        f"epoch 2 {shares}",
        f"training {shares}",
    ]
    assert (seen.noted, seen.kept) == ([], [])


def test_the_columns_of_results_stay(tmp_path: Path) -> None:
    headers = []
    for name, waits in (("waiting", WAITS), ("not", (0.0,))):
        job = slow_job(tmp_path / name, waits=waits)
        fit(job)
        headers.append(list(job.run.read_results()[0]))
    assert headers[0] == headers[1]
    assert not [column for column in headers[0] if "wait" in column]


def waits(waits: int, steps: int, waiting: float, seconds: float) -> Waits:
    return Waits(waits=waits, steps=steps, waiting=waiting, seconds=seconds)


def test_an_epoch_is_worth_a_line_from_a_twentieth_of_its_steps() -> None:
    assert waits(1, 20, 0.0, 10.0).many
    assert not waits(1, 21, 9.0, 10.0).many


def test_the_line_says_what_waiting_is() -> None:
    shares = "in 12 % of its steps, 7 % of the time"  # 1 of 8 is 12.5, to the even number
    assert (
        waits(1, 8, 0.7, 10.0).describe("epoch 3") == f"epoch 3 waited for data (over 5 % of a step) {shares}"
    )
    assert waits(0, 8, 0.0, 0.0).describe("it").endswith("in 0 % of its steps, 0 % of the time")


def test_a_step_waited_from_more_than_a_twentieth_of_it() -> None:
    assert [waited(wait, 2.0) for wait in (0.0, 0.1, 0.125, 2.0)] == [False, False, True, True]
    assert not waited(0.0, 0.0)


def test_what_to_do_is_said_of_a_third_of_the_steps_and_a_tenth_of_the_time() -> None:
    workers: Any = types.SimpleNamespace(path="workers", canvas=Canvas(224, 224, 3))
    assert waits(1, 3, 9.0, 10.0).advice(workers, 1000) == ""
    assert waits(3, 3, 1.0, 10.0).advice(workers, 1000) == ""
    said = waits(34, 100, 1.01, 10.0).advice(workers, 1000)
    assert "--cache-mb above 151 (" in said  # 1000 * 3 * 224 * 224 = 150,528,000 bytes
    deep: Any = types.SimpleNamespace(path="workers", canvas=Canvas(100, 50, 2, "uint16"))
    assert "--cache-mb above 20 (" in waits(1, 1, 9.0, 10.0).advice(deep, 1000)  # 1000 * 2 * 100 * 50 * 2


def test_timing_keeps_items_and_ends_with_them() -> None:
    clock = Clock()

    def items() -> Iterator[str]:
        for letter, seconds in (("a", 1.0), ("b", 2.5)):
            clock.now += seconds
            yield letter

    found = []
    for item in timed(items(), clock):
        clock.now += 100.0  # using an item is not waiting for one
        found.append(item)
    assert found == [("a", 1.0), ("b", 2.5)]
