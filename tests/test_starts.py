"""Weights that a run starts from: whether they fit, and what they have learned from."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

import sightline
from sightline.base import ArgumentError, DataError, ModelFileError
from sightline.data import open_images, read_learned
from sightline.evaluation import compare, evaluate
from sightline.training import SilentReporter, TrainingResult
from sightline.views import open_subject
from sightline.views._pass import unseen


class Noting(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def train(data: Path | str, output: str, **options: Any) -> TrainingResult:
    defaults = {"model": "mlp", "epochs": 1, "precision": "fp32", "reporter": SilentReporter()}
    return sightline.train(str(data), output=output, **(defaults | options))


def of(run: str, *parts: str) -> set[str]:
    """Digests of a run's images of some parts."""
    with Path(run, "split.csv").open(newline="") as file:
        return {row["digest"] for row in csv.DictReader(file) if row["part"] in parts}


def judged(result: Any, data: Path) -> set[str]:
    images = open_images(str(data))
    return {images.digests[int(index)] for index in result.indices}


def what(result: Any) -> list[str]:
    return [finding.what for finding in result.findings]


SEEN = "are, byte for byte, images that the weights it started from were trained or selected on"


def test_what_the_weights_have_learned_from_is_not_judged_by(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    noting = Noting()
    result = train(three_classes, "second", weights="first", split_seed=1, reporter=noting)
    learned, test = of("first", "train", "val"), of("second", "test")
    seen = len(test & learned)
    assert 0 < seen < len(test)

    own, val = result.evaluations
    assert (own.part, own.scores.n, own.known_unseen) == ("test", len(test - learned), True)
    assert f"{seen} of {len(test)} test images {SEEN}" in what(own)
    assert any(f"{seen} of {len(test)} test images {SEEN}" in note for note in noting.notes), "told at once"
    assert val.scores.n == len(of("second", "val") - of("first", "train")), "what it was selected by may be"

    again = evaluate("second")
    assert judged(again, three_classes) == test - learned
    assert what(again) == what(own)
    assert read_learned(Path("second/before.csv")) == {
        (part, digest) for part in ("train", "val") for digest in of("first", part)
    }


def test_of_the_same_division_nothing_is_lost(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    result = train(three_classes, "second", weights="first")
    assert [one.scores.n for one in result.evaluations] == [18, 18]
    assert not any(SEEN in word for one in result.evaluations for word in what(one))


def test_it_goes_on_through_several_runs(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    train(three_classes, "second", weights="first", split_seed=1)
    train(three_classes, "third", weights="second/last.safetensors", split_seed=2, epochs=2)
    before = {digest for _, digest in read_learned(Path("third/before.csv"))}
    assert before == of("first", "train", "val") | of("second", "train", "val")
    resumed = sightline.resume("third", epochs=3, reporter=SilentReporter())
    left = {part: of("third", part) for part in ("test", "val")}
    left["test"] -= before
    left["val"] -= of("first", "train") | of("second", "train")
    assert left["val"], "else all of it is judged, and called known"
    for one in resumed.evaluations:
        assert judged(one, three_classes) == left[one.part]
    assert not train(three_classes, "fresh").run.joinpath("before.csv").exists()


def test_another_set_is_judged_without_them(three_classes: Path, make_folder: Any, in_tmp: Path) -> None:
    train(three_classes, "first")
    other = make_folder({"one": (1, 60), "seven": (7, 60), "zero": (0, 60)}, name="other")  # with those 40
    train(three_classes, "second", weights="first", split_seed=1)
    learned = of("first", "train", "val") | of("second", "train", "val")
    result = evaluate("second", str(other))
    images = open_images(str(other))
    assert judged(result, other) == set(images.digests) - learned


def test_another_network_is_compared_without_them(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    train(three_classes, "second", weights="first", split_seed=1)
    train(three_classes, "fresh", split_seed=1)
    left = of("fresh", "test") - of("first", "train", "val")
    assert len(left) < 18
    assert compare("fresh", "second").second.scores.n == len(left)


def test_a_model_file_alone_does_not_claim_what_it_cannot_know(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    train(three_classes, "second", weights="first", split_seed=1)
    shutil.copy("first/best.safetensors", "one.safetensors")
    shutil.copy("second/best.safetensors", "two.safetensors")
    assert evaluate("one.safetensors", str(three_classes)).known_unseen
    result = evaluate("two.safetensors", str(three_classes))
    assert (result.part, result.known_unseen) == ("test", False)
    assert judged(result, three_classes) == of("second", "test"), "of its own division it still knows"
    assert "that only the run folder names" in result.findings[-1].why

    first, second = Noting(), Noting()
    train(three_classes, "of-one", weights="one.safetensors", split_seed=1, reporter=first)
    assert read_learned(Path("of-one/before.csv")) == read_learned(Path("second/before.csv"))
    assert not any("is not known" in note for note in first.notes)
    train(three_classes, "of-two", weights="two.safetensors", reporter=second)
    assert "whether the weights from two.safetensors learned from some of these images is not known" in [
        note.replace(f"{in_tmp}/", "") for note in second.notes
    ]


def test_folds_from_weights_that_saw_the_images(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    with pytest.raises(ArgumentError, match=r"have learned from 102 of 120 images of .*; start from others"):
        train(three_classes, "folds", weights="first", folds=3)
    assert not Path("folds").exists()
    digits = train("digits", "strangers")
    assert train(three_classes, "folds", weights=str(digits.run), folds=3).value >= 0


def test_views_do_not_take_them_for_new(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    train(three_classes, "second", weights="first", split_seed=1)
    images = open_images(str(three_classes))
    indices, said = unseen(open_subject("second"), images)
    left = of("second", "test") - of("first", "train", "val")
    assert {images.digests[int(index)] for index in indices} == left
    assert said == f"{len(left)} test images of its own set"


def test_a_record_that_cannot_be_read_is_one_line(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, "first")
    train(three_classes, "second", weights="first", split_seed=1)
    Path("second/before.csv").write_text("digest\nx\n")
    with pytest.raises(DataError, match=r"before.csv does not say what the run's weights come from"):
        evaluate("second")


@pytest.mark.parametrize("recipe", ["default", "linear_probe"])
def test_weights_that_do_not_fit_replace_nothing(three_classes: Path, in_tmp: Path, recipe: str) -> None:
    train(three_classes, "lenet", model="lenet5")
    train(three_classes, "kept")
    before = {path: path.read_bytes() for path in Path("kept").rglob("*") if path.is_file()}
    options: dict[str, Any] = {"weights": "lenet", "recipe": recipe}
    options |= {"epochs": None} if recipe == "linear_probe" else {}
    with pytest.raises(ModelFileError, match="mlp"):
        train(three_classes, "kept", exist_ok=True, **options)
    assert {path: path.read_bytes() for path in Path("kept").rglob("*") if path.is_file()} == before
    with pytest.raises(ModelFileError, match="mlp"):
        train(three_classes, "new", **options)
    assert not Path("new").exists()
