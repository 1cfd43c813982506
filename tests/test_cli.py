"""The command line, as a user meets it: the way through, and every kind of bad input."""

from __future__ import annotations

import csv
import functools
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from sightline.cli import app
from sightline.data import open_images
from sightline.imaging import digits
from sightline.records import read_model_file

MakeFolder = Callable[..., Path]
FAST = ["--model", "mlp", "--epochs", "2", "--precision", "fp32"]


def sightline(*arguments: object, stdin: bytes | str | None = None) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def succeed(*arguments: object, stdin: bytes | str | None = None) -> Result:
    result = sightline(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result


def refuse(code: int, message: str, *arguments: object) -> str:
    """The verb fails with this code and one line that holds this message, without a traceback."""
    result = sightline(*arguments)
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("sightline: ")]
    assert len(lines) == 1, result.stderr
    assert message in lines[0], lines[0]
    assert "Traceback" not in result.output
    return lines[0]


@pytest.fixture
def run(three_classes: Path, in_tmp: Path) -> Path:
    """A small run of three classes."""
    succeed("train", three_classes, *FAST, "--output", "run")
    return Path("run")


# The way through


def test_from_a_folder_to_predictions(three_classes: Path, in_tmp: Path) -> None:
    result = succeed("train", three_classes, "--model", "mlp", "--epochs", "12", "--json")
    trained = json.loads(result.stdout)
    promised = {"run", "model", "metric", "value", "epochs", "seconds", "images_per_second"}
    assert promised <= trained.keys()
    assert (trained["model"], trained["metric"], trained["epochs"]) == ("mlp", "accuracy", 12)
    assert trained["value"] > 0.9, "zero, one and seven are not hard"
    run = Path(trained["run"])
    assert run.as_posix() == "runs/classification/mlp-images"
    for name in (
        "args.yaml",
        "split.csv",
        "results.csv",
        "last.safetensors",
        "best.safetensors",
        "resume",
        "report.html",
        "log.txt",
    ):
        assert (run / name).exists(), name
    assert list(run.glob(".partial*")) == []

    evaluated = json.loads(succeed("evaluate", run, "--json").stdout)
    assert {
        "n",
        "metric",
        "value",
        "interval",
        "top1",
        "top5",
        "balanced_accuracy",
        "ece",
    } <= evaluated.keys()
    assert (evaluated["n"], evaluated["part"], evaluated["selected_on"]) == (18, "test", False)
    assert evaluated["value"] == trained["value"]
    low, high = evaluated["interval"]
    assert low <= evaluated["value"] <= high

    lines = succeed("predict", run, three_classes / "zero", "--json", "--topk", "2").stdout.splitlines()
    predictions = [json.loads(line) for line in lines]
    assert len(predictions) == 40
    assert predictions[0]["path"].endswith("zero/000.png")
    assert predictions[0]["predictions"][0]["class"] == "zero"
    assert len(predictions[0]["predictions"]) == 2
    right = sum(p["predictions"][0]["class"] == "zero" for p in predictions)
    assert right >= 36


def test_the_demo(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortened here; the whole of it is measured by a benchmark."""
    import sightline.training.recipes._choose as choose
    from sightline.training import Recipe
    from sightline.training.recipes import default

    @functools.wraps(default)
    def shorter(**known: Any) -> Recipe:
        return default(**known).with_epochs(3)

    monkeypatch.setitem(choose._RECIPES, "default", shorter)
    result = succeed("demo", "--json")
    shown = json.loads(result.stdout)
    assert (shown["model"], shown["epochs"], shown["part"]) == ("lenet5", 3, "test")
    assert "round(value * 255 / 16)" in result.stderr
    assert "images 8x8x1, resized to 32x32" in result.stderr
    assert (Path(shown["run"]) / "report.html").stat().st_size > 10_000


def test_what_a_run_records(run: Path, three_classes: Path) -> None:
    args = yaml.safe_load((run / "args.yaml").read_text())
    assert args["data"]["classes"] == ["one", "seven", "zero"]
    assert args["plan"]["dtype"] == "fp32"
    assert args["recipe"]["phases"][0]["epochs"] == 2
    assert args["versions"]["torch"] == str(torch.__version__)
    header, _ = read_model_file(run / "best.safetensors")
    assert header.classes == ("one", "seven", "zero")
    assert header.split is not None
    assert header.split.digest == args["split"]["digest"]
    rows = list(csv.DictReader((run / "split.csv").read_text().splitlines()))
    assert len(rows) == 120
    train = [open_images(three_classes).path(i) for i, row in enumerate(rows) if row["part"] == "train"]
    pixels = np.stack([np.asarray(Image.open(path)) for path in train]) / 255
    assert header.preprocessing["mean"] == [pytest.approx(pixels.mean())], "statistics of the training split"


def test_the_number_format_is_what_was_asked_for(three_classes: Path, in_tmp: Path) -> None:
    succeed(
        "train", three_classes, "--model", "mlp", "--epochs", "1", "--precision", "bf16", "--output", "half"
    )
    assert yaml.safe_load(Path("half/args.yaml").read_text())["plan"]["dtype"] == "bf16"


def test_without_a_test_part_the_score_is_labelled(make_folder: MakeFolder, in_tmp: Path) -> None:
    data = make_folder({"train/a": (0, 30), "train/b": (1, 30), "val/a": (0, 10), "val/b": (1, 10)})
    result = succeed("train", data, *FAST, "--output", "run")
    assert "(val, selected on)" in result.stdout
    assert json.loads(succeed("evaluate", "run", "--json").stdout)["selected_on"] is True


def test_training_goes_on_and_on(run: Path) -> None:
    first = (run / "results.csv").read_text().splitlines()
    result = succeed("train", "--resume", run, "--epochs", "4", "--json")
    assert json.loads(result.stdout)["epochs"] == 4
    assert "extended from 2 to 4 epochs" in result.stderr
    assert "of its peak" in result.stderr
    assert "going on exactly as one run would have" in result.stderr
    assert (run / "results.csv").read_text().splitlines()[:3] == first
    refuse(2, "--epochs is 3; the run has done 4 already", "train", "--resume", run, "--epochs", "3")


def test_another_plan_or_version_is_said(run: Path) -> None:
    args = yaml.safe_load((run / "args.yaml").read_text())
    args["versions"]["torch"] = "1.0"
    (run / "args.yaml").write_text(yaml.safe_dump(args))
    result = succeed("train", "--resume", run, "--epochs", "3")
    assert "not exactly as one run would have: torch 1.0 then" in result.stderr


def test_starting_from_weights_says_what_is_new(run: Path, make_folder: MakeFolder) -> None:
    two = make_folder({"two": (2, 30), "three": (3, 30)}, name="two")
    result = succeed("train", two, *FAST, "--weights", run, "--output", "tuned")
    assert "4 tensors kept; new: 5.weight, 5.bias" in result.stderr
    result = succeed("train", two, "--model", f"mlp@{run}", "--epochs", "1", "--output", "tuned2")
    assert "4 tensors kept" in result.stderr


def test_a_users_own_network_and_recipe(three_classes: Path, in_tmp: Path) -> None:
    Path("mine.py").write_text(
        "from torch import nn\n"
        "from sightline.training import Phase, Recipe\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n"
        "def recipe(num_images):\n"
        "    why = f'{num_images} images'\n"
        "    return Recipe(name='mine', why=why, phases=(Phase(epochs=1),), batch_size=16)\n"
    )
    result = succeed(
        "train", three_classes, "--model", "mine.py:Net", "--recipe", "mine.py:recipe", "--output", "run"
    )
    assert "recipe mine: 1 epochs; 84 images" in result.stderr
    refuse(1, "whose code is not in the file and is not run unasked", "evaluate", "run")
    succeed("evaluate", "mine.py:Net@run")
    refuse(2, "add --model mine.py:Net", "train", "--resume", "run", "--epochs", "2")
    succeed("train", "--resume", "run", "--epochs", "2", "--model", "mine.py:Net")


# predict


def test_predict_from_anywhere(run: Path, three_classes: Path) -> None:
    one, two = three_classes / "one" / "000.png", three_classes / "one" / "001.png"
    globbed = succeed("predict", run, three_classes / "one" / "00[01].png").stdout.splitlines()
    named = succeed("predict", run, one, two).stdout.splitlines()
    listed = succeed("predict", run, "-", stdin=f"{one}\n{two}\n").stdout.splitlines()
    assert globbed == named == listed
    assert len(named) == 2
    (piped,) = csv.DictReader(
        succeed("predict", run, "-", "--csv", "--topk", "1", stdin=one.read_bytes()).stdout.splitlines()
    )
    (file,) = csv.DictReader(succeed("predict", run, one, "--csv", "--topk", "1").stdout.splitlines())
    assert piped["path"] == "-"
    assert piped | {"path": ""} == file | {"path": ""}


def test_an_unreadable_image_is_reported_and_the_others_are_predicted(run: Path, three_classes: Path) -> None:
    bad = three_classes / "one" / "bad.png"
    bad.write_bytes(b"no image")
    result = sightline("predict", run, bad, three_classes / "one" / "000.png", "--json")
    assert result.exit_code == 1
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first == {"path": str(bad), "error": "not an image, or its header is broken"}
    assert len(second["predictions"]) == 3
    assert "1 of 2 images could not be read" in result.stderr


def test_an_unreadable_image_has_a_row_of_csv(run: Path, three_classes: Path) -> None:
    bad = three_classes / "one" / "bad.png"
    bad.write_bytes(b"no image")
    result = sightline("predict", run, bad, three_classes / "one" / "000.png", "--csv", "--topk", "2")
    assert result.exit_code == 1
    first, *others = csv.DictReader(result.stdout.splitlines())
    error = "not an image, or its header is broken"
    assert first == {"path": str(bad), "rank": "", "class": "", "probability": "", "error": error}
    assert [(row["rank"], row["error"]) for row in others] == [("1", ""), ("2", "")]


@pytest.mark.parametrize("kind", ["P2", "P5", "P6"])
def test_an_image_that_is_valid_text_is_read_from_standard_input(run: Path, kind: str) -> None:
    """Every byte is an ASCII letter or blank."""
    shape = (8, 8, 3) if kind == "P6" else (8, 8)
    pixels = np.random.default_rng(0).integers(ord("A"), ord("Z"), shape, dtype=np.uint8)
    header = f"{kind}\n# a comment\n8 8\n255\n".encode()
    content = header + (" ".join(map(str, pixels.flat)).encode() if kind == "P2" else pixels.tobytes())
    content.decode("ascii")
    (piped,) = succeed("predict", run, "-", "--json", stdin=content).stdout.splitlines()
    Path("image.ppm").write_bytes(content)
    (file,) = succeed("predict", run, "image.ppm", "--json").stdout.splitlines()
    assert json.loads(piped) == json.loads(file) | {"path": "-"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"P2\n2 2\n65535\n1 2 3 4\n", "16 bits a channel"),
        (b"P5\n8 8\n255\nshort", "broken or truncated"),
        (b"\x89PNG\r\n\x1a\nbroken", "not an image, or its header is broken"),
        (b"\x00\x01\x02", "not an image, or its header is broken"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the image itself"),
    ],
)
def test_an_image_on_standard_input_that_cannot_be_used_is_reported(
    run: Path, content: bytes, error: str
) -> None:
    result = sightline("predict", run, "-", "--json", stdin=content)
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["path"] == "-"
    assert error in json.loads(line)["error"]
    assert "1 of 1 images could not be read" in result.stderr


@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_empty_standard_input_is_an_error(run: Path, content: bytes) -> None:
    result = sightline("predict", run, "-", stdin=content)
    assert result.exit_code == 1
    assert "sightline: standard input is empty; - reads an image, or paths one a line" in result.stderr


def test_predictions_are_shown_in_columns(run: Path, three_classes: Path) -> None:
    short, long = three_classes / "one" / "0.png", three_classes / "seven" / "000.png"
    shutil.copy(three_classes / "one" / "000.png", short)
    rows = succeed("predict", run, short, long, "--topk", "2").stdout.splitlines()
    assert [row.startswith(str(path)) for row, path in zip(rows, (short, long), strict=True)] == [True, True]
    assert len({len(row) for row in rows}) == 1
    percents = [[i for i, c in enumerate(row) if c == "%"] for row in rows]
    assert percents[0] == percents[1]
    assert len(percents[0]) == 2


def test_predictions_do_not_depend_on_the_batch(run: Path, three_classes: Path) -> None:
    def probabilities(size: int) -> list[float]:
        lines = succeed("predict", run, three_classes, "--json", "-b", size).stdout.splitlines()
        return [p["probability"] for line in lines for p in json.loads(line)["predictions"]]

    assert probabilities(1) == pytest.approx(probabilities(64), abs=1e-5)


# evaluate


def test_evaluating_another_folder_maps_classes_by_name(run: Path, make_folder: MakeFolder) -> None:
    other = make_folder({"zero": (0, 60), "seven": (7, 60)}, name="other")
    shutil.rmtree(other / "zero")
    result = succeed("evaluate", run, other, "--json")
    scores = json.loads(result.stdout)
    # The first 40 sevens are the run's own: 28 trained on, 6 selected on, 6 tested on; 20 are new.
    assert (scores["n"], scores["part"], scores["selected_on"]) == (26, "all", False)


def test_images_that_were_trained_on_are_left_out(run: Path, three_classes: Path, in_tmp: Path) -> None:
    new = in_tmp / "new" / "one"
    new.mkdir(parents=True)
    images, targets = digits()
    for i in np.flatnonzero(targets == 1)[50:60]:
        Image.fromarray(images[i, 0]).save(new / f"{i}.png")
    rows = list(csv.DictReader((run / "split.csv").read_text().splitlines()))
    trained = [row["path"] for row in rows if row["part"] == "train" and row["class"] == "one"][:5]
    for path in trained:
        shutil.copy(three_classes / path, new / f"seen-{Path(path).name}")
    result = succeed("evaluate", run, in_tmp / "new", "--json")
    assert json.loads(result.stdout)["n"] == 10
    assert "5 of 15 images are, byte for byte, images the network was trained or selected on" in result.stderr


def test_the_model_file_alone_finds_its_split_again(run: Path, three_classes: Path, in_tmp: Path) -> None:
    shutil.copy(run / "best.safetensors", in_tmp / "alone.safetensors")
    with_run = json.loads(succeed("evaluate", run, "--json").stdout)
    alone = json.loads(succeed("evaluate", in_tmp / "alone.safetensors", three_classes, "--json").stdout)
    assert (alone["n"], alone["part"], alone["value"]) == (18, "test", with_run["value"])
    refuse(2, "does not say which images it is of; give DATA", "evaluate", in_tmp / "alone.safetensors")


# Bad input: one clear line, the right exit code, nothing lost


def test_bad_data(make_folder: MakeFolder, in_tmp: Path) -> None:
    refuse(1, "no such folder: nowhere/at/all", "train", "nowhere/at/all")
    Path("empty").mkdir()
    refuse(1, "empty holds no images", "train", "empty")
    refuse(1, "has only class 'a'", "train", make_folder({"a": (0, 4)}, name="single"))
    lacking = make_folder({"train/a": (0, 9), "train/b": (1, 9), "test/c": (2, 9)}, name="lacking")
    refuse(1, "class 'c' of test is missing from train", "train", lacking)
    broken = make_folder({"a": (0, 20), "b": (1, 20)}, name="broken")
    for path in sorted(broken.rglob("*.png"))[::3]:
        path.write_bytes(path.read_bytes()[:40])
    refuse(1, "14 of 40 files cannot be read (a/000.png: ", "train", broken)
    succeed("train", broken, *FAST, "--allow-unreadable", "--output", "anyway")
    assert "14 of 40 files cannot be read" in Path("anyway/log.txt").read_text()
    assert "a/000.png" in Path("anyway/report.html").read_text()
    refuse(1, "14 of 40 files cannot be read", "evaluate", "anyway")
    succeed("evaluate", "anyway", "--allow-unreadable")
    assert not Path("runs").exists(), "what failed before it began leaves no run"


def test_bad_models(three_classes: Path, in_tmp: Path) -> None:
    refuse(2, "no network named 'lenet'; did you mean lenet5", "train", three_classes, "--model", "lenet")
    Path("text.safetensors").write_text("no model")
    refuse(1, "text.safetensors is not a model file", "evaluate", "text.safetensors", three_classes)
    Path("pickle.pt").write_bytes(pickle.dumps({"a": 1}))
    refuse(1, "pickle.pt is a PyTorch or pickle file", "predict", "pickle.pt", three_classes)
    refuse(1, "lenet5 has no weights", "predict", "lenet5", three_classes)
    refuse(2, "no such file: nothing.safetensors", "predict", "nothing.safetensors", three_classes)
    small = ["--model", "lecture_cnn", "--img-size", "4"]
    message = "lecture_cnn cannot take an input of 1x4x4: layer 12 (MaxPool2d), given 256x1x1"
    refuse(2, message, "train", three_classes, *small)


def test_wrong_channels(in_tmp: Path) -> None:
    for name, colour in (("a", (200, 10, 10)), ("b", (10, 10, 200))):
        Path("colour", name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (32, 32), (*colour[:2], colour[2] + i)).save(f"colour/{name}/{i}.png")
    Path("grey.py").write_text(
        "from torch import nn\n"
        "def net(num_classes):\n"
        "    layers = nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()\n"
        "    return nn.Sequential(*layers, nn.Linear(4, num_classes))\n"
    )
    line = refuse(
        2,
        "net cannot take an input of 3x32x32: layer 0 (Conv2d), given 3x32x32,",
        "train",
        "colour",
        "--model",
        "grey.py:net",
    )
    assert "to have 1 channels, but got 3 channels instead" in line


def test_bad_arguments(three_classes: Path, in_tmp: Path) -> None:
    refuse(2, "give DATA to train on, or --resume RUN", "train")
    refuse(
        2, "--precision is 'fp8'; there are auto, fp32, bf16", "train", three_classes, "--precision", "fp8"
    )
    refuse(2, "--device is 'tpu'; this machine has auto, cpu", "train", three_classes, "--device", "tpu")
    refuse(2, "no recipe named 'defalt'; did you mean default", "train", three_classes, "--recipe", "defalt")
    refuse(2, "select is 'speed'", "train", three_classes, "--select", "speed")
    refuse(2, "--csv and --json exclude each other", "predict", "x", "y", "--csv", "--json")
    assert sightline("train", three_classes, "--epochs", "0").exit_code == 2
    assert sightline("nonsense").exit_code == 2


def test_a_run_folder_that_exists(run: Path, three_classes: Path) -> None:
    before = (run / "best.safetensors").read_bytes()
    refuse(
        2,
        "--output run exists; choose another, or allow it with --exist-ok",
        "train",
        three_classes,
        *FAST,
        "--output",
        run,
    )
    assert (run / "best.safetensors").read_bytes() == before
    succeed("train", three_classes, *FAST, "--output", run, "--exist-ok", "--seed", "5")
    assert (run / "best.safetensors").read_bytes() != before


def test_a_resume_whose_data_changed(run: Path, three_classes: Path) -> None:
    victim = three_classes / "one" / "007.png"
    kept = victim.read_bytes()
    Image.new("L", (8, 8)).save(victim)
    refuse(
        1,
        "is not what it was when the run began: one/007.png has changed",
        "train",
        "--resume",
        run,
        "--epochs",
        "3",
    )
    victim.unlink()
    refuse(1, "one/007.png is gone", "train", "--resume", run, "--epochs", "3")
    victim.write_bytes(kept)
    (three_classes / "one" / "more.png").write_bytes(kept)
    refuse(1, "one/more.png is new", "train", "--resume", run, "--epochs", "3")
    (three_classes / "one" / "more.png").unlink()
    succeed("train", "--resume", run, "--epochs", "3")


def test_settings_cannot_change_on_resume(run: Path) -> None:
    refuse(2, "--lr cannot be changed by --resume", "train", "--resume", run, "--lr", "0.1")
    refuse(1, "is not a run folder", "train", "--resume", run.parent)


def test_read_only_output(three_classes: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root nothing is read-only, so the system's answer is played."""
    real = os.mkdir

    def mkdir(path: Any, *rest: Any, **named: Any) -> None:
        if "readonly" in str(path):
            raise OSError(30, "Read-only file system")
        real(path, *rest, **named)

    monkeypatch.setattr(os, "mkdir", mkdir)
    refuse(
        1,
        "cannot write readonly/run: the file system is read-only",
        "train",
        three_classes,
        *FAST,
        "--output",
        "readonly/run",
    )


FULL_DISK = """
import os, sys, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from sightline.cli import main
sys.argv = ["sightline", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "digits", "--weights", ""], r"an argument is empty: is a variable of the shell not set\?"),
        (["predict", "run", ""], r"an argument is empty: is a variable of the shell not set\?"),
        (["train", "digits", "--epochs", "0"], "Invalid value for '--epochs': .* greater than or equal to 1"),
        (["train", "--epoch", "3"], r"No such option: --epoch.*--epochs\)?"),
        (["trian"], "No such command 'trian'.*"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    from sightline.cli import main

    monkeypatch.setattr(sys, "argv", ["sightline", *arguments])
    for rank, expected in (("0", f"sightline: {said}\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(expected, err), f"{rank}: {err}"


def test_without_a_verb_the_verbs_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.cli import main

    for arguments, status, where in (([], 2, "err"), (["--help"], 0, "out"), (["--version"], 0, "out")):
        monkeypatch.setattr(sys, "argv", ["sightline", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == status
        printed = getattr(capsys.readouterr(), where)
        assert ("evaluate" in printed) is (arguments != ["--version"])


def test_what_a_users_code_prints_is_not_in_the_json(three_classes: Path, in_tmp: Path) -> None:
    Path("mine.py").write_text(
        "from torch import nn\n"
        "from sightline.training import Phase, Recipe\n"
        "def recipe():\n    print('HELLO')\n    return Recipe(phases=(Phase(epochs=1),))\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        print('NET')\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    done = sightline(
        "train",
        three_classes,
        "--model",
        "mine.py:Net",
        "--recipe",
        "mine.py:recipe",
        "--output",
        "run",
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 1
    assert "HELLO" in done.stderr
    assert "NET" in done.stderr
    plain = sightline("summary", "mine.py:Net", "--input", "1,8,8")
    assert "NET" in plain.stdout, "without --json it is as they wrote it"


def test_a_disk_that_is_full(three_classes: Path, in_tmp: Path) -> None:
    """A real refusal by the system: no file may grow beyond 200 kB, and the model is larger."""
    arguments = ["train", str(three_classes), "--model", "lenet5", "--epochs", "1", "--output", "run"]
    command = [sys.executable, "-c", FULL_DISK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "sightline: cannot write run/resume/checkpoint-000000: the file is larger than the system allows"
    ), done.stderr
    assert "Traceback" not in done.stderr
    assert list(Path("run").rglob(".partial*")) == []


def test_a_loss_that_explodes_is_one_line(three_classes: Path, in_tmp: Path) -> None:
    line = refuse(1, "the loss is", "train", three_classes, *FAST, "--lr", "1e30", "--output", "run")
    assert "lower --lr" in line
    assert Path("run/resume").exists()


def test_a_resumed_run_takes_its_own_plan(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's timing would say now: the plan is read, not chosen."""
    import sightline.training._set_up as set_up

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a plan was timed")

    monkeypatch.setattr(set_up, "choose_plan", fail)
    args = yaml.safe_load((run / "args.yaml").read_text())
    args["plan"] |= {"dtype": "bf16", "threads": 1}
    (run / "args.yaml").write_text(yaml.safe_dump(args))
    succeed("train", "--resume", run, "--epochs", "3")
    assert torch.get_num_threads() == 1
    assert yaml.safe_load((run / "args.yaml").read_text())["plan"]["dtype"] == "bf16"


def test_evaluate_shows_the_confusion(run: Path) -> None:
    scores = json.loads(succeed("evaluate", run, "--json").stdout)
    assert scores["classes"] == ["one", "seven", "zero"]
    confusion = np.array(scores["confusion"])
    assert confusion.sum(axis=1).tolist() == [6, 6, 6]
    assert confusion.trace() / 18 == pytest.approx(scores["value"])
    assert "true classes down, predicted ones across" in succeed("evaluate", run).stdout


def test_a_file_name_that_is_no_utf8(run: Path, three_classes: Path) -> None:
    odd = os.fsencode(three_classes / "one") + b"/caf\xe9.png"
    shutil.copy(os.fsencode(three_classes / "one" / "000.png"), odd)
    folder = three_classes / "one"
    lines = [json.loads(line) for line in succeed("predict", run, folder, "--json").stdout.splitlines()]
    assert sum(line["path"].endswith("caf\\xe9.png") for line in lines) == 1
    assert all("predictions" in line for line in lines)


def test_a_folder_of_a_test_part_alone_can_be_judged(run: Path, make_folder: MakeFolder) -> None:
    other = make_folder({"test/six": (6, 5)}, name="other")
    refuse(1, "has class 'six', which the network does not know", "evaluate", run, other)
    shutil.move(other / "test" / "six", other / "test" / "one")
    assert json.loads(succeed("evaluate", run, other, "--json").stdout)["part"] == "test"
