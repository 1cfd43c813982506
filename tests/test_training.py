"""Setting up, ending and going on: what a user does around the loop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import sightline
from sightline.base import ArgumentError, DataError, SightlineError
from sightline.imaging import Augmentation, photograph
from sightline.records import read_model_file
from sightline.training import Phase, PlainReporter, Recipe, SilentReporter

MakeFolder = Callable[..., Path]
NETWORK = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_classes))
def raising(num_classes): raise KeyError("oops")
def leaving(num_classes): raise SystemExit(3)
class Failing(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Linear(1, num_classes)
    def forward(self, x): return {}["missing"]
def normed(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes), nn.BatchNorm1d(num_classes))
"""


def train(data: Path | str, **options: Any) -> sightline.training.TrainingResult:
    defaults: dict[str, Any] = {
        "model": "mlp",
        "epochs": 1,
        "precision": "fp32",
        "reporter": SilentReporter(),
    }
    return sightline.train(str(data), **(defaults | options))


@pytest.fixture
def own(in_tmp: Path) -> Path:
    Path("net.py").write_text(NETWORK)
    return in_tmp


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "--lr must be above 0; it is -1.0"),
        ({"model": "net.py:raising"}, "net.py:raising fails: KeyError: 'oops'"),
        ({"model": "net.py:leaving"}, "net.py:leaving fails: SystemExit: 3"),
        ({"model": "left.py:net"}, "left.py fails: SystemExit: 3"),
        ({"recipe": "recipes.py:leaving"}, "recipes.py:leaving fails: SystemExit: 3"),
        ({"recipe": "empty.py:any"}, "empty.py has no 'any'; there is none"),
        ({"model": "net.py:Failing"}, r"Failing cannot take an input of 1x8x8: .*failed: 'missing'"),
        ({"model": "net.py:normed", "batch_size": 1}, r"1 images of 1x8x8: layer 2 \(BatchNorm1d\).* than 1"),
        ({"weights": "nowhere"}, "no weights named 'nowhere'"),
        ({"recipe": "recipes.py:broken"}, r"recipes.py:broken fails: ValidationError: .*epochs"),
        ({"recipe": Recipe(phases=(Phase(epochs=1, trainable=("headd",)),))}, "'headd' names no parameter"),
        ({"recipe": Recipe(phases=(Phase(epochs=1),), objective={"smooth": 1})}, "no argument 'smooth'; "),
        ({"recipe": Recipe(phases=(Phase(epochs=1),), objective={"label_smoothing": "x"})}, "right kind"),
        ({"select": "acuracy"}, "--select is 'acuracy'; did you mean accuracy"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_no_run(
    three_classes: Path, own: Path, options: dict[str, Any], message: str
) -> None:
    Path("recipes.py").write_text(
        "from sightline.training import Phase, Recipe\n"
        "def broken(): return Recipe(phases=(Phase(epochs=0),))\n"
        "def leaving(): raise SystemExit(3)\n"
    )
    Path("left.py").write_text("raise SystemExit(3)\n")
    Path("empty.py").write_text("")
    with pytest.raises(SightlineError, match=message) as caught:
        train(three_classes, output="run", **options)
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


def test_augmentation_with_a_typing_error_is_refused() -> None:
    with pytest.raises(ValueError, match="rotation"):
        Augmentation(rotation=30)  # type: ignore[call-arg]


def test_a_run_of_another_program_is_not_resumed(in_tmp: Path) -> None:
    Path("theirs").mkdir()
    Path("theirs/args.yaml").write_text("task: detect\nepochs: 100\n")
    with pytest.raises(SightlineError, match="is not what a run of Sightline writes"):
        sightline.resume("theirs")


def test_a_checkpoint_of_another_network_is_one_line(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run", model="lenet5")
    args = Path("run/args.yaml")
    args.write_text(args.read_text().replace("name: lenet5", "name: mlp"))
    with pytest.raises(DataError, match=r"the checkpoint of run is not one of mlp, which its args\.yaml"):
        sightline.resume("run", epochs=2)


def test_a_run_without_its_checkpoint_says_what_can_be_done(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run")
    shutil.rmtree("run/resume")
    with pytest.raises(DataError, match=r"no checkpoint left to go on from; start anew .*: --weights run"):
        sightline.resume("run", epochs=2, reporter=SilentReporter())
    train(three_classes, output="again", weights="run")


def test_a_run_does_not_go_into_its_images(three_classes: Path, in_tmp: Path) -> None:
    for options in ({}, {"exist_ok": True}, {"folds": 2, "exist_ok": True}):
        with pytest.raises(SightlineError, match="is the folder of the images; give the run one of its own"):
            train(three_classes, output=three_classes, **options)
    assert sorted(path.name for path in three_classes.iterdir()) == ["one", "seven", "zero"]


# Replacing, starting, ending


def test_images_are_counted_as_far_as_training_went(three_classes: Path, in_tmp: Path) -> None:
    recipe = Recipe(phases=(Phase(epochs=2),), batch_size=32, max_steps=4)  # of 3 an epoch
    result = train(three_classes, recipe=recipe, epochs=None, output="run")
    assert result.images_per_second == round(84 * 4 / 3 / result.seconds, 1)


def test_a_run_can_start_from_the_run_it_replaces(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run")
    _, first = read_model_file(Path("run/best.safetensors"))
    lines: list[str] = []

    class Noting(SilentReporter):
        def note(self, text: str) -> None:
            lines.append(text)

    train(three_classes, output="run", exist_ok=True, weights="run", lr=1e-9, reporter=Noting())
    assert any("6 tensors kept" in line for line in lines)
    _, second = read_model_file(Path("run/best.safetensors"))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
    assert Path("run/log.txt").read_text().count("recipe default") == 1, "the old run's log is gone"


def test_a_failed_replacement_leaves_the_old_run(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run")
    before = {p.name: p.read_bytes() for p in Path("run").iterdir() if p.is_file()}
    with pytest.raises(SightlineError):
        train(three_classes, output="run", exist_ok=True, weights="nowhere")
    assert {p.name: p.read_bytes() for p in Path("run").iterdir() if p.is_file()} == before


def test_editing_the_network_while_it_trains_loses_nothing(three_classes: Path, own: Path) -> None:
    class Editing(SilentReporter):
        def epoch(self, rows: Any, total: int, seconds_left: float, select: str | None) -> None:
            Path("net.py").write_text("this is no Python")

    result = train(three_classes, model="net.py:Net", output="run", reporter=Editing())
    assert result.evaluations[0].scores.n == 18
    assert Path("run/report.html").exists()


def test_another_head_on_a_users_own_network(three_classes: Path, own: Path, make_folder: MakeFolder) -> None:
    train(three_classes, model="net.py:Net", output="run")
    two = make_folder({"two": (2, 20), "six": (6, 20)}, name="two")
    train(two, model="net.py:Net", weights="run", output="tuned", lr=1e-9)
    _, before = read_model_file(Path("run/best.safetensors"))
    _, after = read_model_file(Path("tuned/best.safetensors"))
    assert torch.allclose(before["1.weight"], after["1.weight"], atol=1e-5)
    assert after["3.weight"].shape[0] == 2


def test_a_path_is_as_good_as_text(three_classes: Path, in_tmp: Path) -> None:
    assert train(three_classes, output=Path("one")).run == Path("one")
    assert train(three_classes, output="two").run == Path("two")


def test_half_written_files_are_swept_when_a_run_goes_on(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run")
    for folder in ("run", "run/resume"):
        Path(folder, ".partial-last.safetensors-abcd").write_bytes(b"half")
    sightline.resume("run", epochs=2, reporter=SilentReporter())
    assert list(Path("run").rglob(".partial*")) == []


# Going on elsewhere


def test_a_run_goes_on_without_the_device_it_had(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="run")
    args = yaml.safe_load(Path("run/args.yaml").read_text())
    args["plan"]["device"] = "cuda:7"
    Path("run/args.yaml").write_text(yaml.safe_dump(args))
    lines: list[str] = []

    class Noting(SilentReporter):
        def note(self, text: str) -> None:
            lines.append(text)

    sightline.resume("run", epochs=2, device="cpu", reporter=Noting())
    assert any("not exactly as one run would have: device cuda:7 then, cpu now" in line for line in lines)


# Signals to all processes, as a terminal, `timeout` or a scheduler sends them


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="groups of processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_whole_group_saves_the_run(
    tmp_path: Path, in_tmp: Path, number: signal.Signals, code: int
) -> None:
    for name in ("china", "flower"):
        Path("photos", name).mkdir(parents=True)
        for i in range(40):
            piece = photograph(name)[i : i + 64, 2 * i : 2 * i + 64]
            Image.fromarray(piece).save(f"photos/{name}/{i}.jpg")
    command = [
        sys.executable, "-m", "sightline", "train", "photos", "--model", "mlp", "--cache-mb", "0",
        "--epochs", "500", "-b", "8", "--precision", "fp32", "--output", "run",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stderr is not None
    seen = ""
    for line in child.stderr:
        seen += line
        if line.startswith("epoch"):
            break
    os.killpg(child.pid, number)
    rest = child.communicate(timeout=60)[1]
    assert child.returncode == code, seen + rest
    assert "Traceback" not in rest
    assert re.search(
        r"sightline: stopped at epoch \d+, step \d+; go on with: sightline train --resume run", rest
    )
    assert yaml.safe_load(Path("run/args.yaml").read_text())["data"]["path"] == "workers"
    (state,) = Path("run/resume").glob("checkpoint-*")
    assert state.name != "checkpoint-000000"


# What is said


def test_on_a_terminal_a_line_moves_and_the_cursor_comes_back() -> None:
    import io

    from rich.console import Console

    from sightline.cli._console import TerminalReporter

    stream = io.StringIO()
    reporter = TerminalReporter(Console(file=stream, force_terminal=True, width=80))
    reporter.progress("reading images", 1, 10)
    reporter.note("a [note] of the run")
    reporter.progress("epoch 1", 2, 10, lambda: "loss 0.7")
    reporter._progress.refresh()  # it moves ten times a second, and the next line stops it
    row = {"epoch": 1, "train_loss": 0.5, "images_per_second": 9.0, "best": 1}
    reporter.epoch([row], 2, 61.0, "accuracy")
    reporter.close()
    shown = stream.getvalue()
    assert "reading images" in shown
    assert "loss 0.7" in shown
    assert "a [note] of the run" in shown
    assert "epoch 1/2  loss 0.5000  9 images/s  1 min 1 s left" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2, "the cursor is hidden and shown again"


def test_off_a_terminal_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = PlainReporter()
    reporter.progress("reading", 1, 2)
    reporter.note("one line")
    assert capsys.readouterr().err == "one line\n"


FLAGS = {
    "train": "--model --recipe --weights --epochs --minutes --batch-size -b --lr --img-size --imgsz "
    "--group-by --folds --repeat --balance --select --symmetry --seed --split-seed --allow-unreadable "
    "--pages --device --precision --output --exist-ok --cache-mb --resume --json",
    "demo": "--output --json",
    "evaluate": "--crops --views --with --against --allow-unreadable --pages --device --batch-size -b --mean "
    "--std --classes --json",
    "predict": "--topk --csv --pages --device --batch-size -b --mean --std --classes --json",
    "models": "--plot --output -o --json",
    "design": "--torch --keras --strict --json",
    "convolve": "--stride --pad --dilation --pool --step --true --output -o --json",
    "filter": "--output -o --pad --true --signed --sheet --list --json",
    "summary": "--input --depth --arithmetic --slide --batch-size -b --measure --effective --strict --json",
    "check": "--input --data --model --img-size --sheet --pages --report --quarantine --together "
    "--batch-size -b --strict --json",
    "compare": "--input --measure --layers --batch-size -b --json",
    "draw": "--output -o --style --input --depth --unfold",
    "fetch": "--list --for --to --json",
    "lab": "--live --data --seed --output -o --json",
    "exercise": "-n --seed --gift --output -o --json",
    "studio": "--port --no-browser --device",
    "view": "--layer --unit --at --target --top --steps --size --temperature --against --seed --sanity "
    "--classes --input --device --output -o --json",
}


def test_no_flag_is_added_without_a_thought() -> None:
    """A recipe is Python: a new choice belongs there, unless this list is changed as well."""
    import typer.main

    from sightline.cli import app

    group = typer.main.get_command(app)
    found = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    assert found == {name: set(flags.split()) for name, flags in FLAGS.items()}


def test_threads_are_as_many_as_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.machine import usable_cores

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores() == 1


def test_stopping_from_another_thread_is_not_needed(three_classes: Path, in_tmp: Path) -> None:
    """Training outside the main thread works; signals are then the program's own affair."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(train(three_classes, output="run")))
    thread.start()
    thread.join(60)
    assert results[0].epochs == 1
    assert np.isfinite(results[0].value)
    with pytest.raises(ArgumentError):
        train(three_classes, output="run")


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        (8, {}, "images 8x8x1, as they are"),
        (20, {"img_size": 16}, "images 20x20, scaled to fit 16x16x1"),
        (28, {"model": "lenet5"}, "images 28x28x1, centred on 32x32"),
    ],
)
def test_what_becomes_of_the_images_size_is_said(
    make_folder: MakeFolder, in_tmp: Path, size: int, options: dict[str, Any], said: str
) -> None:
    data = make_folder({"one": (1, 20), "two": (2, 20)}, size=size)
    train(data, output="run", **options)
    assert f"{said}\n" in Path("run/log.txt").read_text()
