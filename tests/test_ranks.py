"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sightline.base import ArgumentError
from sightline.data import Batch
from sightline.imaging import Augmentation
from sightline.machine import ALONE, Ranks, choose_device, ranks_here, usable_cores
from sightline.tasks.classification import ClassificationMetric
from sightline.training import Phase, Recipe, SilentReporter, resume, train

RECIPE = """
from sightline.imaging import Augmentation
from sightline.training import Optimizer, Phase, Recipe, Schedule

def plain():
    return Recipe(
        phases=(Phase(epochs=3, schedule=Schedule(kind="constant", warm_up=0.0)),),
        optimizers={"main": Optimizer(kind="sgd", lr=0.005)},
        batch_size=64,
        augmentation=Augmentation(crop=0.1, rotate=10.0),  # drawn for each image, whoever has it
    )
"""

TRAIN = """
import os, signal
import sightline.training._fit as loop
from sightline.training import SilentReporter, resume, train

step, steps = loop.take_step, 0

def dies_once(*args, **kwargs):
    global steps
    steps += 1
    if steps == 30 and os.environ["RANK"] == os.environ.get("DIES") and not int(os.environ["RESTARTS"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **kwargs)

os.environ["RESTARTS"] = os.environ["TORCHELASTIC_RESTART_COUNT"]
loop.take_step = dies_once
train("digits", model="lenet5", recipe="recipe.py:plain", precision="fp32", output="run", checkpoint_steps=7)
for task in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ():
    with open(f"/proc/self/task/{task}/comm") as file:
        assert "gloo" not in (name := file.read()), f"{name} goes on while the interpreter ends"
"""


def torchrun(
    folder: Path, *what: str, restarts: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, f"--max-restarts={restarts}", *what],
        cwd=folder,
        env=os.environ | {"SIGHTLINE_CACHE": str(folder / "cache")} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, which two processes trained."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "train.py").write_text(TRAIN)
    done = torchrun(folder, "train.py")
    assert done.returncode == 0, done.stderr
    assert "2 processes share the images of each step" in done.stderr
    assert done.stderr.count("epoch 3/3") == 1, "one of them speaks"
    return folder


def test_two_processes_equal_one(together: Path, tmp_path: Path) -> None:
    train(
        "digits", model="lenet5", recipe=f"{together / 'recipe.py'}:plain", precision="fp32",
        output=tmp_path / "one",
    )  # fmt: skip
    for one, two in zip(rows(tmp_path / "one"), rows(together / "run"), strict=True):
        for column in ("train_loss", "val_loss"):
            assert float(one[column]) == pytest.approx(float(two[column]), rel=1e-3), column
    first, second = (load_file(run / "last.safetensors") for run in (tmp_path / "one", together / "run"))
    assert first.keys() == second.keys()
    largest = max(float((first[name] - second[name]).abs().max()) for name in first)
    assert 0.0 < largest < 1e-3, "the sums are added in another order, and nothing else differs"
    assert (tmp_path / "one/split.csv").read_text() == (together / "run/split.csv").read_text()


def test_a_killed_process_is_restarted_and_the_run_is_what_it_would_have_been(
    together: Path, tmp_path: Path
) -> None:
    for name in ("recipe.py", "train.py"):
        (tmp_path / name).write_text((together / name).read_text())
    done = torchrun(tmp_path, "train.py", restarts=1, DIES="0")
    assert done.returncode == 0, done.stderr
    assert "going on exactly as one run would have" in done.stderr
    whole, again = (load_file(folder / "run/last.safetensors") for folder in (together, tmp_path))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    losses = [[row["val_loss"] for row in rows(folder / "run")] for folder in (together, tmp_path)]
    assert losses[0] == losses[1]
    assert not list((tmp_path / "cache/processes").iterdir()), "nothing is left of the restart"


def test_one_process_goes_on_with_a_run_of_two_and_says_that_it_differs(
    together: Path, tmp_path: Path
) -> None:
    shutil.copytree(together / "run", tmp_path / "run")
    (tmp_path / "recipe.py").write_text(RECIPE)
    resume(tmp_path / "run", epochs=4, reporter=SilentReporter())
    assert "going on, but not exactly as one run would have: " in (tmp_path / "run/log.txt").read_text()
    assert "processes 2 then, 1 now" in (tmp_path / "run/log.txt").read_text()
    assert len(rows(tmp_path / "run")) == 4


def test_a_process_that_dies_alone_is_told_in_one_line(together: Path, tmp_path: Path) -> None:
    for name in ("recipe.py", "train.py"):
        (tmp_path / name).write_text((together / name).read_text())
    done = torchrun(tmp_path, "train.py", DIES="1")
    assert done.returncode != 0
    assert "another process of this training is gone" in done.stderr


def test_being_asked_to_stop_saves_and_the_run_goes_on(together: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(RECIPE.replace("epochs=3", "epochs=2000"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = ["digits", "--model=lenet5", "--recipe=recipe.py:plain", "--precision=fp32", "--output=run"]
    process = subprocess.Popen(
        [*command, "-m", "sightline", "train", *arguments],
        cwd=tmp_path,
        env=os.environ | {"SIGHTLINE_CACHE": str(tmp_path / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/results.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=120)
    assert printed.count("go on with: sightline train --resume run") == 2, printed
    done = len(rows(tmp_path / "run"))
    again = torchrun(tmp_path, "-m", "sightline", "train", "--resume=run", f"--epochs={done + 2}")
    assert again.returncode == 0, again.stderr
    assert len(rows(tmp_path / "run")) == done + 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits", "--folds=2"], "--folds trains one network after another; do so without torchrun"),
        (["digits", "--batch-size=1"], "a step has 1 images; 2 processes cannot share them"),
    ],
)
def test_what_cannot_be_shared_is_refused(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = torchrun(tmp_path, "-m", "sightline", "train", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "exitcode  : 2" in done.stderr
    assert "sightline/cli" not in done.stderr, "no traceback of ours"


def test_every_image_of_a_step_is_one_process_s() -> None:
    ids = np.array([5, 3, 9, 1, 7])
    shares = [Ranks(rank, 3).share(ids).tolist() for rank in range(3)]
    assert shares == [[5, 1], [3, 7], [9]]
    parts = [Ranks(rank, 3).part(ids).tolist() for rank in range(3)]
    assert parts == [[5, 3], [9, 1], [7]], "in order, so that all together are as of one"


def test_a_merged_metric_is_that_of_all() -> None:
    generator = np.random.default_rng(0)
    batches = [
        Batch(
            images=torch.zeros(n, 1, 1, 1),
            targets=torch.from_numpy(generator.integers(0, 3, n)),
            ids=np.arange(start, start + n),
            sizes=torch.zeros(n, 2, dtype=torch.int32),
            transforms=torch.zeros(n, 3, 3),
        )
        for start, n in ((0, 5), (5, 7), (12, 4))
    ]
    logits = [torch.from_numpy(generator.normal(size=(len(batch), 3))) for batch in batches]
    whole, first, second = (ClassificationMetric() for _ in range(3))
    for batch, given in zip(batches, logits, strict=True):
        whole.update(given, batch)
    first.update(logits[0], batches[0])
    for batch, given in zip(batches[1:], logits[1:], strict=True):
        second.update(given, batch)
    merged = ClassificationMetric()
    merged.merge([first, second])
    assert merged.compute() == whole.compute()
    assert merged.answers().ids.tolist() == list(range(16))


def test_cores_are_shared_and_the_one_of_torchrun_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    nowhere = Path("nowhere")
    for wanted, cores in (("1", 4), ("2", 2), ("8", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert usable_cores(nowhere) == cores
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores(nowhere) == 1


@pytest.mark.parametrize(
    ("network", "mixup", "said"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), 0.0, "add up gradients"),
        (
            nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()),
            0.2,
            "add up gradients; batch norm's statistics, dropout's masks, the images that are mixed are each "
            "process's own, so results are not those of one",
        ),
    ],
)
def test_why_two_processes_may_differ_from_one_is_said(network: nn.Module, mixup: float, said: str) -> None:
    from sightline.training import _together

    notes: list[str] = []
    recipe = Recipe(phases=(Phase(epochs=1),), augmentation=Augmentation(mixup=mixup))
    setup: Any = SimpleNamespace(
        job=SimpleNamespace(network=network, recipe=recipe), log=SimpleNamespace(note=notes.append)
    )
    _together._announce(setup, Ranks(rank=0, count=2))
    assert notes == [f"2 processes share the images of each step, and {said}"]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks_here() == ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert ranks_here() == Ranks(1, 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(choose_device("cpu")) == "cpu"
    with pytest.raises(ArgumentError, match="--device is 'nonsense'"):
        choose_device("nonsense")
