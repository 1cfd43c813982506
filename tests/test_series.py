"""Folds, repeats, groups: several runs that are one experiment, and the splits they stand on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sightline
from sightline.base import ArgumentError, DataError, Interrupted
from sightline.cli import app
from sightline.data import ImageSet, fold_images, group_images, open_images, split_images
from sightline.evaluation import mean_interval, wilson_interval
from sightline.records import RunFolder, read_model_file
from sightline.training import SilentReporter

MakeFolder = Callable[..., Path]


def train(data: Path | str, **options: Any) -> sightline.training.TrainingResult:
    defaults: dict[str, Any] = {
        "model": "mlp",
        "epochs": 1,
        "precision": "fp32",
        "reporter": SilentReporter(),
    }
    return sightline.train(str(data), **(defaults | options))


# The folds of a set


@pytest.mark.parametrize("count", [2, 5, 10])
def test_each_image_is_in_the_test_part_of_one_fold(count: int) -> None:
    images = open_images("digits")
    splits = [split_images(images, 0, (number, count)) for number in range(1, count + 1)]
    tested = np.concatenate([split.indices("test") for split in splits])
    assert sorted(tested) == list(range(len(images)))
    sizes = [len(split.indices("test")) for split in splits]
    assert max(sizes) - min(sizes) <= 1, "folds are as equal as can be"
    by_class = np.array([images.counts(split.indices("test")) for split in splits])
    assert (by_class.max(axis=0) - by_class.min(axis=0)).max() <= 1, "and so are their classes"
    for split in splits:
        assert 0.08 < len(split.indices("val")) / (len(images) - len(split.indices("test"))) < 0.12
        assert f"of {count}" in split.rule


def test_folds_depend_on_the_split_seed_alone() -> None:
    images = open_images("digits")
    one, same, other = (split_images(images, seed, (1, 5)).parts for seed in (0, 0, 1))
    assert one == same != other


def test_duplicates_are_in_one_fold(three_classes: Path) -> None:
    for number in range(6):
        shutil.copy(three_classes / "one" / "000.png", three_classes / "one" / f"copy{number}.png")
    images = open_images(str(three_classes))
    copies = {i for i, name in enumerate(images.names) if "copy" in name or name == "one/000.png"}
    for number in range(1, 5):
        inside = copies & set(split_images(images, 0, (number, 4)).indices("test").tolist())
        assert inside in (set(), copies)


def test_a_class_of_one_image_cannot_be_folded(make_folder: MakeFolder, in_tmp: Path) -> None:
    folder = make_folder({"one": (1, 20), "seven": (7, 1)}, name="rare")
    with pytest.raises(DataError, match="'seven' has no image left to train on"):
        train(folder, folds=4)
    assert not Path("runs").exists(), "it is found before anything is trained"


def test_a_folders_own_test_images_are_in_no_fold(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {"train/a": (1, 20), "train/b": (7, 20), "test/a": (2, 5), "test/b": (3, 5)}, name="own"
    )
    images = fold_images(open_images(str(folder)))
    assert len(images) == 40
    assert any("10 test images are in no fold" in finding.what for finding in images.findings)
    assert sum(len(split_images(images, 0, (number, 4)).indices("test")) for number in range(1, 5)) == 40


# Groups


def of_patients(make_folder: MakeFolder, patients: int, each: int) -> ImageSet:
    folder = make_folder({"one": (1, patients * each), "seven": (7, patients * each)}, name="patients")
    for name in ("one", "seven"):
        for i in range(patients * each):
            (folder / name / f"{i:03d}.png").rename(folder / name / f"p{i // each:02d}_{i % each}.png")
    return open_images(str(folder))


def test_a_group_is_never_divided(make_folder: MakeFolder) -> None:
    images = group_images(of_patients(make_folder, 12, 5), r"(p\d+)_")
    assert images.groups is not None
    assert len(set(images.groups)) == 12, "one patient's images of both classes are one group"
    split = split_images(images)
    for group in set(images.groups):
        parts = {part for part, own in zip(split.parts, images.groups, strict=True) if own == group}
        assert len(parts) == 1, group
    counts = [len(split.indices(part)) for part in ("train", "val", "test")]
    assert counts == [80, 20, 20]
    assert images.grouped_by == r"(p\d+)_"
    assert split.rule.endswith(f"groups of {images.grouped_by!r} kept together")


def test_groups_in_folds(make_folder: MakeFolder) -> None:
    images = group_images(of_patients(make_folder, 12, 5), r"(p\d+)_")
    assert images.groups is not None
    seen: list[int] = []
    for number in range(1, 5):
        test = split_images(images, 0, (number, 4)).indices("test")
        assert len({images.groups[i] for i in test}) == 3
        assert images.counts(test).tolist() == [15, 15]
        seen += test.tolist()
    assert sorted(seen) == list(range(120))


def test_groups_of_unequal_classes_are_spread(make_folder: MakeFolder) -> None:
    """Groups of one class each: without stratification a fold could miss a class."""
    images = of_patients(make_folder, 8, 4)
    grouped = group_images(images, r"^(\w+)/(p\d+)_")
    assert grouped.groups is not None
    assert len(set(grouped.groups)) == 16
    for number in range(1, 5):
        assert grouped.counts(split_images(grouped, 3, (number, 4)).indices("test")).tolist() == [8, 8]


def test_few_groups_still_leave_something_to_judge_by(make_folder: MakeFolder) -> None:
    images = group_images(of_patients(make_folder, 3, 5), r"(p\d+)_")
    split = split_images(images)
    assert [len(split.indices(part)) for part in ("train", "val", "test")] == [10, 10, 10]


def test_duplicates_tie_groups_together(make_folder: MakeFolder) -> None:
    images = of_patients(make_folder, 6, 4)
    folder = Path(images.source)
    shutil.copy(folder / "one" / "p00_0.png", folder / "one" / "p01_9.png")
    grouped = group_images(open_images(str(folder)), r"(p\d+)_")
    split = split_images(grouped)
    of = dict(zip(grouped.names, split.parts, strict=True))
    assert len({part for name, part in of.items() if "p00" in name or "p01" in name}) == 1


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("[", ArgumentError, "is no regular expression"),
        ("nothing", DataError, "matches no image"),
        ("png", DataError, "into one group"),
    ],
)
def test_patterns_that_group_nothing(
    make_folder: MakeFolder, pattern: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        group_images(of_patients(make_folder, 2, 2), pattern)


def test_images_without_a_match_are_named(make_folder: MakeFolder) -> None:
    images = group_images(of_patients(make_folder, 3, 2), r"(p0[01])_")
    assert images.groups is not None
    assert len(set(images.groups)) == 2 + 4
    assert images.findings[-1].what.startswith("4 of 12 images do not match")


def test_parts_that_divide_a_group_are_a_finding(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {"train/a": (1, 20), "train/b": (7, 20), "test/a": (2, 5), "test/b": (3, 5)}, name="own"
    )
    images = group_images(open_images(str(folder)), r"(\d\d\d)\.png")
    split = split_images(images)
    (found,) = [f for f in split.findings if "groups are in train and in" in f.what]
    parts: dict[str, set[str]] = {}
    for part, group in zip(split.parts, images.groups or (), strict=True):
        parts.setdefault(group, set()).add(part)
    divided = sum("train" in of and len(of) > 1 for of in parts.values())
    assert found.what.startswith(f"{divided} groups")
    assert 0 < divided <= 5


def test_a_grouped_run_goes_on_with_its_groups(make_folder: MakeFolder, in_tmp: Path) -> None:
    images = of_patients(make_folder, 12, 5)
    train(images.source, group_by=r"(p\d+)_", output="run")
    sightline.resume("run", epochs=2, reporter=SilentReporter())
    header, _ = read_model_file(Path("run/best.safetensors"))
    assert header.split is not None
    assert header.split.group_by == r"(p\d+)_"
    alone = shutil.copy("run/best.safetensors", "alone.safetensors")
    assert sightline.evaluate(alone, images.source).part == "test", (
        "its split is found again from the file alone"
    )


# Series


@pytest.fixture
def folds(three_classes: Path, in_tmp: Path) -> sightline.training.TrainingResult:
    return train(three_classes, folds=3, epochs=2, output="series", lr=0.003)


def test_folds(folds: sightline.training.TrainingResult, three_classes: Path) -> None:
    assert [run.run.name for run in folds.runs] == ["fold-1", "fold-2", "fold-3"]
    (pooled,) = folds.evaluations
    assert pooled.scores.n == 120, "every image, once"
    right = sum(round(run.value * run.evaluations[0].scores.n) for run in folds.runs)
    assert folds.value == pytest.approx(right / 120)
    assert folds.interval == wilson_interval(right, 120)
    content = folds.to_dict()
    assert content["run"] == "series"
    assert [run["run"] for run in content["runs"]] == [f"series/fold-{k}" for k in (1, 2, 3)]
    assert json.loads(Path("series/summary.json").read_text()) == json.loads(json.dumps(content))
    assert Path("series/report.html").is_file()
    assert all(Path("series", f"fold-{k}", "report.html").is_file() for k in (1, 2, 3))
    assert sightline.evaluate("series/fold-2").scores.n == 40


def test_repeats(three_classes: Path, in_tmp: Path) -> None:
    result = train(three_classes, repeat=3, seed=7, output="series")
    assert [run.run.name for run in result.runs] == ["run-1", "run-2", "run-3"]
    values = [run.value for run in result.runs]
    mean, interval = mean_interval(values)
    assert (result.value, result.interval) == (mean, interval)
    args = [RunFolder(run.run).read_args() for run in result.runs]
    assert [one["seed"] for one in args] == [7, 8, 9]
    assert len({one["split"]["digest"] for one in args}) == 1, "the same test images"
    weights = [read_model_file(run.run / "best.safetensors")[1]["1.weight"] for run in result.runs]
    assert not (weights[0] == weights[1]).all()
    alone = train(three_classes, seed=8, output="alone")
    (_, second), (_, same) = (
        read_model_file(r / "best.safetensors") for r in (result.runs[1].run, alone.run)
    )
    assert all((second[name] == same[name]).all() for name in same), "a repeat is the run of its seed"


class StopAfter(SilentReporter):
    """Raise what a signal raises, when an epoch of a run has ended."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch(self, rows: Any, total: int, seconds_left: float, select: str | None) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted("asked to stop", 15)


@pytest.mark.parametrize("epochs", [1, 3, 4, 6])
def test_a_series_that_was_stopped_goes_on(
    folds: sightline.training.TrainingResult, three_classes: Path, epochs: int
) -> None:
    with pytest.raises(Interrupted, match="go on with: sightline train --resume again") as caught:
        train(three_classes, folds=3, epochs=2, output="again", lr=0.003, reporter=StopAfter(epochs))
    assert caught.value.exit_code == 143
    result = sightline.resume("again", reporter=SilentReporter())
    assert result.value == folds.value
    for k in (1, 2, 3):
        (_, whole), (_, resumed) = (
            read_model_file(Path(folder, f"fold-{k}", "best.safetensors")) for folder in ("series", "again")
        )
        assert all((whole[name] == resumed[name]).all() for name in whole), k


def test_every_run_of_a_series_has_the_recipe_of_the_first(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, folds=3, epochs=None, minutes=0.01, output="series")
    recipes = [RunFolder(Path("series", f"fold-{k}")).read_args()["recipe"] for k in (1, 2, 3)]
    assert recipes[0] == recipes[1] == recipes[2]


def test_a_users_own_network_in_a_series_is_named_again(three_classes: Path, in_tmp: Path) -> None:
    Path("net.py").write_text(
        "from torch import nn\n"
        "def net(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    with pytest.raises(Interrupted):
        train(three_classes, model="net.py:net", folds=2, output="series", reporter=StopAfter(1))
    with pytest.raises(ArgumentError, match=re.escape("add --model net.py:net")):
        sightline.resume("series", reporter=SilentReporter())
    assert len(sightline.resume("series", model="net.py:net", reporter=SilentReporter()).runs) == 2


def test_replacing_a_series(folds: sightline.training.TrainingResult, three_classes: Path) -> None:
    with pytest.raises(ArgumentError, match="exists"):
        train(three_classes, folds=2, output="series")
    train(three_classes, folds=2, output="series", exist_ok=True)
    assert sorted(path.name for path in Path("series").iterdir() if path.is_dir()) == ["fold-1", "fold-2"]
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    with pytest.raises(ArgumentError, match="no series of ours"):
        train(three_classes, folds=2, output="mine", exist_ok=True)
    assert Path("mine/thesis.txt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "--folds must be at least 2; it is 1"),
        ({"repeat": 0}, "--repeat must be at least 2; it is 0"),
        ({"folds": 2, "repeat": 2}, "--folds and --repeat exclude each other"),
        ({"folds": 2, "symmetry": "round"}, "--symmetry is 'round'"),
        ({"folds": 2, "model": "lenet6"}, "lenet5"),
    ],
)
def test_wrong_choices_of_a_series(
    three_classes: Path, in_tmp: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(three_classes, **options)
    assert not Path("runs").exists()


def test_a_series_is_no_run(folds: sightline.training.TrainingResult) -> None:
    outcome = CliRunner().invoke(app, ["evaluate", "series"])
    assert outcome.exit_code in (1, 2)
    assert "series" in outcome.stderr
    assert "fold-1" in outcome.stderr
    extended = CliRunner().invoke(app, ["train", "--resume", "series", "--epochs", "9"])
    assert extended.exit_code == 2
    assert "extend each" in extended.stderr


def test_folds_on_the_command_line(three_classes: Path, in_tmp: Path) -> None:
    arguments = ["train", str(three_classes), "--model", "mlp", "--epochs", "1", "--folds", "2"]
    outcome = CliRunner().invoke(app, [*arguments, "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    content = json.loads(outcome.stdout)
    assert content["run"] == "runs/classification/mlp-images-folds"
    assert len(content["runs"]) == 2
    assert content["interval"][0] < content["value"] < content["interval"][1] or content["value"] in (0, 1)
    shown = CliRunner().invoke(app, arguments)
    assert "fold-1: accuracy" in shown.stdout
    assert "on 120 images" in shown.stdout
    assert "runs/classification/mlp-images-folds-2/report.html" in shown.stdout
