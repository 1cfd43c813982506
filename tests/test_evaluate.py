"""Which images a network is judged by, and what is said of them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as functional
from PIL import Image
from typer.testing import CliRunner

from sightline.base import DataError, ModelFileError
from sightline.cli import app
from sightline.data import (
    ImageSet,
    Part,
    Split,
    open_batches,
    open_images,
    recorded_split,
    split_images,
)
from sightline.evaluation import Evaluation, evaluate, judged_images, reliability
from sightline.imaging import Canvas, digits
from sightline.inference import load_predictor, resolve
from sightline.records import ArchitectureReference, ModelHeader, RunFolder, SplitReference, save_model_file
from sightline.zoo import get_architecture

MakeFolder = Callable[..., Path]
PARTED = {
    f"{part}/{name}": (digit, count)
    for part, count in (("train", 20), ("val", 6), ("test", 8))
    for name, digit in (("one", 1), ("seven", 7))
}


def make_run(
    data: Path | str,
    folder: Path,
    *,
    steps: int = 0,
    split_seed: int = 0,
    temperature: float | None = None,
    **recipe: Any,
) -> Path:
    """The run folder of a network that took a few steps, or none, as `train` leaves one."""
    images = open_images(data)
    split = split_images(images, split_seed)
    torch.manual_seed(0)
    built = {"num_classes": len(images.classes), "in_channels": images.channels, "input_size": (8, 8)}
    mean = [0.5] * images.channels
    preprocessing = {"size": [8, 8], "fit": "none", "mean": mean, "std": mean}
    run = RunFolder.create("classification", "run", folder)
    split.save(run.split, images)
    network = get_architecture("mlp").build(**built)
    (batch,) = open_batches(images, Canvas(8, 8, images.channels)).batches([split.indices("train")])
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network((batch.images / 255 - 0.5) / 0.5), batch.targets).backward()
        optimizer.step()
    header = ModelHeader(
        architecture=ArchitectureReference(name="mlp", **built),
        classes=images.classes,
        canvas=(8, 8),
        preprocessing=preprocessing,
        objective="cross_entropy",
        objective_settings={},
        temperature=temperature,
        split=SplitReference(digest=split.digest(images), seed=split.seed, rule=split.rule),
    )
    save_model_file(run.best, network.state_dict(), header)
    location = str(images.root.resolve()) if images.root else images.source
    run.write_args(
        {
            "sightline": "0",
            "data": {"source": images.source, "location": location},
            "model": {},
            "preprocessing": preprocessing,
            "recipe": {"select": "accuracy", "patience": None} | recipe,
            "seed": 0,
            "split_seed": split_seed,
            "plan": {},
        }
    )
    return folder


@pytest.fixture
def run(three_classes: Path, in_tmp: Path) -> Path:
    """A run of three classes: 28 + 6 + 6 images of each, without parts."""
    return make_run(three_classes, Path("run"))


@pytest.fixture
def parted(make_folder: MakeFolder) -> Path:
    """A folder with parts: 40, 12 and 16 images of two classes."""
    return make_folder(PARTED, name="parted")


def rows_of(run: Path, part: str) -> list[str]:
    rows = csv.DictReader((run / "split.csv").read_text().splitlines())
    return [row["path"] for row in rows if row["part"] == part]


def write_new(folder: Path, digit: int, count: int, start: int = 100) -> None:
    """Digits that no fixture uses."""
    images, targets = digits()
    folder.mkdir(parents=True, exist_ok=True)
    for i in np.flatnonzero(targets == digit)[start : start + count]:
        Image.fromarray(images[i, 0]).save(folder / f"new-{i}.png")


def names(result: Evaluation) -> list[str]:
    return [result.images.names[i] for i in result.indices]


def warnings(result: Evaluation) -> list[str]:
    return [finding.what for finding in result.findings if finding.level == "warning"]


# The set the network was trained on


def test_of_its_own_set_the_recorded_part_is_judged(run: Path, three_classes: Path) -> None:
    result = evaluate(str(run), str(three_classes))
    assert names(result) == rows_of(run, "test")
    assert (result.part, result.selected_on, result.known_unseen) == ("test", False, True)
    assert warnings(result) == []


def test_its_own_set_is_known_again_where_it_was_moved_to(run: Path, three_classes: Path) -> None:
    moved = three_classes.rename(three_classes.with_name("moved"))
    result = evaluate(str(run), str(moved))
    assert (names(result), result.part) == (rows_of(run, "test"), "test")
    with pytest.raises(DataError, match=r"the images of run are no longer at .*images; give DATA"):
        evaluate(str(run))


def test_a_file_that_training_left_out_does_not_stop_the_run_from_being_judged(
    three_classes: Path, in_tmp: Path
) -> None:
    (three_classes / "one" / "broken.png").write_bytes(b"not an image")
    run = make_run(three_classes, in_tmp / "run")
    assert names(evaluate(str(run))) == rows_of(run, "test")
    recorded = rows_of(run, "test")[0]
    (three_classes / recorded).write_bytes(b"no longer an image")
    with pytest.raises(DataError, match=r"1 of 120 files|cannot be read|unreadable"):
        evaluate(str(run))


def test_what_is_gone_of_its_own_set_is_counted(run: Path, three_classes: Path) -> None:
    first, *others = rows_of(run, "test")
    (three_classes / first).unlink()
    result = evaluate(str(run))
    assert names(result) == others
    assert warnings(result) == [f"1 of the run's 18 test images are not there ({first})"]


@pytest.mark.parametrize(
    ("recipe", "selected_on"),
    [
        ({}, True),
        ({"select": None}, False),
        ({"select": None, "patience": 3}, True),
    ],
)
def test_selected_on_is_said_of_a_run_that_was_selected(
    make_folder: MakeFolder, in_tmp: Path, recipe: dict[str, Any], selected_on: bool
) -> None:
    data = make_folder({k: v for k, v in PARTED.items() if not k.startswith("test")}, name="no-test")
    run = make_run(data, Path("run"), **recipe)
    result = evaluate(str(run))
    assert (result.part, result.scores.n, result.selected_on) == ("val", 12, selected_on)
    assert ("(val, selected on)" in result.describe()) is selected_on


def test_a_copy_in_train_keeps_an_image_from_being_judged(parted: Path, in_tmp: Path) -> None:
    """The copy's name comes last, so that by digest alone the part `test` would have won."""
    for i in range(3):
        shutil.copy(parted / "train" / "one" / f"{i:03d}.png", parted / "test" / "one" / f"z{i}.png")
    shutil.copy(parted / "val" / "one" / "000.png", parted / "test" / "one" / "z3.png")
    run = make_run(parted, Path("run"))
    result = evaluate(str(run))
    assert result.scores.n == 16
    assert not any("/z" in name for name in names(result))
    assert warnings(result) == ["4 of 20 test images are, byte for byte, in train or val too"]
    alone = evaluate(shutil.copy(run / "best.safetensors", "alone.safetensors"), str(parted))
    assert (names(alone), alone.known_unseen) == (names(result), True)


def test_a_copy_in_test_does_not_keep_a_train_image_among_the_judged(parted: Path, in_tmp: Path) -> None:
    run = make_run(parted, Path("run"))
    rows = (run / "split.csv").read_text().splitlines()
    (train,) = (row for row in rows if row.startswith("train/one/000.png,"))
    copy = train.replace("train/one/000.png", "zz/one/000.png").replace(",train,", ",test,")
    (run / "split.csv").write_text("\n".join([*rows, copy]) + "\n")
    result = evaluate(str(run))
    assert (result.part, result.scores.n) == ("test", 16)
    assert all(name.startswith("test/") for name in names(result))


def test_nothing_left_to_judge_is_an_error(parted: Path, in_tmp: Path) -> None:
    run = make_run(parted, Path("run"))
    shutil.rmtree(parted / "test")
    shutil.rmtree(parted / "val")
    with pytest.raises(DataError, match=r"every image of .*parted was trained on; none is left to judge by"):
        evaluate(str(run), str(parted))


def test_judged_images_agree_of_a_split_and_of_its_record(parted: Path, in_tmp: Path) -> None:
    shutil.copy(parted / "train" / "one" / "000.png", parted / "val" / "one" / "z.png")
    run = make_run(parted, Path("run"))
    images = open_images(parted)
    split: Split = split_images(images)
    parts: tuple[Part, ...] = ("train", "val", "test")
    for part, count in zip(parts, (40, 12, 16), strict=True):
        indices, findings = judged_images(images, split, part)
        again, _ = judged_images(images, recorded_split(run / "split.csv"), part)
        assert indices.tolist() == again.tolist()
        assert len(indices) == count
        assert [f.what for f in findings] == (
            ["1 of 13 val images are, byte for byte, in train too"] if part == "val" else []
        )


def test_train_and_evaluate_judge_the_same_images(parted: Path, in_tmp: Path) -> None:
    from sightline.training import train

    shutil.copy(parted / "train" / "one" / "000.png", parted / "test" / "one" / "z.png")
    trained = train(str(parted), model="mlp", epochs=1, precision="fp32", output=Path("run"))
    judged = evaluate("run")
    assert judged.scores.n == trained.evaluations[0].scores.n == 16
    assert judged.scores.top1 == trained.value
    assert [e.selected_on for e in trained.evaluations] == [False, True]


# Without DATA


def test_a_run_finds_its_images_from_any_folder(
    three_classes: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("images", Path("run")).resolve()
    elsewhere = in_tmp / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = evaluate(str(run))
    assert (result.scores.n, result.part, result.images.source) == (18, "test", "images")


def test_a_run_of_the_embedded_digits(in_tmp: Path) -> None:
    run = make_run("digits", Path("run"))
    result = evaluate(str(run))
    assert (names(result), result.images.source) == (rows_of(run, "test"), "digits")


def test_images_that_changed_since_are_said(run: Path, three_classes: Path) -> None:
    write_new(three_classes / "one", 1, 5)
    result = evaluate(str(run))
    assert (result.scores.n, result.part) == (18 + 5, "all")
    assert warnings(result) == [
        "the images are not those of the run: some are new, or have changed",
        "102 of 125 images are, byte for byte, images the network was trained or selected on",
    ]


# Another set


def test_a_set_that_overlaps_in_part_is_judged_whole(run: Path, three_classes: Path, in_tmp: Path) -> None:
    write_new(in_tmp / "new" / "one", 1, 60)
    shutil.copy(three_classes / rows_of(run, "test")[0], in_tmp / "new" / "one" / "copy.png")
    result = evaluate(str(run), "new")
    assert (result.scores.n, result.part, result.selected_on) == (61, "all", False)
    assert warnings(result) == []


def test_what_was_learned_from_is_left_out_of_another_set(
    run: Path, three_classes: Path, in_tmp: Path
) -> None:
    write_new(in_tmp / "new" / "one", 1, 10)
    for i, path in enumerate(rows_of(run, "train")[:3] + rows_of(run, "val")[:2]):
        shutil.copy(three_classes / path, in_tmp / "new" / "one" / f"seen-{i}.png")
    result = evaluate(str(run), "new")
    assert result.scores.n == 10
    assert warnings(result) == [
        "5 of 15 images are, byte for byte, images the network was trained or selected on"
    ]
    for path in (in_tmp / "new" / "one").glob("new-*"):
        path.unlink()
    with pytest.raises(DataError, match="every image of new was trained or selected on"):
        evaluate(str(run), "new")


def test_an_image_with_another_name_is_not_the_runs_own(run: Path, three_classes: Path) -> None:
    """Same images, another path: which part the run put it in is still known by its digest."""
    train, val, test = (rows_of(run, part)[0] for part in ("train", "val", "test"))
    for path in (train, val, test):
        (three_classes / path).rename((three_classes / path).with_name(f"renamed-{Path(path).name}"))
    result = evaluate(str(run), str(three_classes))
    assert (result.scores.n, result.part) == (18, "all")


def test_another_sets_own_parts_are_used_and_its_val_is_not_selected_on(run: Path, in_tmp: Path) -> None:
    for part, count in (("train", 9), ("val", 7), ("test", 5)):
        write_new(in_tmp / "new" / part / "one", 1, count, start={"train": 60, "val": 80, "test": 100}[part])
    assert (evaluate(str(run), "new").part, evaluate(str(run), "new").scores.n) == ("test", 5)
    shutil.rmtree("new/test")
    result = evaluate(str(run), "new")
    assert (result.part, result.scores.n, result.selected_on) == ("val", 7, False)
    assert "(val)" in result.describe()


# A model file alone


def test_a_model_file_alone_says_what_it_does_not_know(run: Path, in_tmp: Path) -> None:
    write_new(in_tmp / "new" / "one", 1, 12)
    write_new(in_tmp / "new" / "seven", 7, 12)
    write_new(in_tmp / "new" / "zero", 0, 12)
    alone = shutil.copy(run / "best.safetensors", "alone.safetensors")
    result = evaluate(alone, "new")
    assert (result.part, result.scores.n) == ("all", 36)
    assert (result.selected_on, result.known_unseen) == (False, False)
    assert "(all, not known to be unseen)" in result.describe()
    assert result.to_dict()["known_unseen"] is False
    assert warnings(result) == ["whether the network was trained on some of these images is not known"]


def test_a_model_file_alone_of_its_own_set_knows_val_was_selected_on(
    make_folder: MakeFolder, in_tmp: Path
) -> None:
    data = make_folder({k: v for k, v in PARTED.items() if not k.startswith("test")}, name="no-test")
    alone = shutil.copy(make_run(data, Path("run")) / "best.safetensors", "alone.safetensors")
    result = evaluate(alone, str(data))
    assert (result.part, result.selected_on, result.known_unseen) == ("val", True, True)


def test_a_model_file_alone_of_data_that_cannot_be_trained_on(run: Path, in_tmp: Path) -> None:
    """A class is only in test, which no split allows; it need not be one."""
    write_new(in_tmp / "new" / "train" / "one", 1, 6)
    write_new(in_tmp / "new" / "test" / "seven", 7, 6)
    alone = shutil.copy(run / "best.safetensors", "alone.safetensors")
    result = evaluate(alone, "new")
    assert (result.part, result.scores.n, result.known_unseen) == ("test", 6, False)


# NAME@FILE


def test_bare_weights_are_judged_with_what_is_assumed(three_classes: Path, in_tmp: Path) -> None:
    """Against the network itself, given each digit as Pillow enlarges it."""
    torch.manual_seed(3)
    network = get_architecture("mlp").build(num_classes=3, in_channels=1, input_size=(28, 28))
    safetensors.torch.save_file(network.state_dict(), "bare.safetensors")
    images = open_images(three_classes)
    result = evaluate("mlp@bare.safetensors", str(three_classes))
    assert (result.part, result.scores.n, result.known_unseen) == ("all", 120, False)
    assert "the weights came without classes and preprocessing" in warnings(result)[0]

    large = [
        Image.open(images.path(i)).resize((28, 28), Image.Resampling.BILINEAR) for i in range(len(images))
    ]
    x = (torch.from_numpy(np.stack([np.asarray(i) for i in large])).float()[:, None] / 255 - 0.5) / 0.5
    with torch.inference_mode():
        predicted = network.eval()(x).argmax(dim=1).numpy()
    assert result.answers.predicted.tolist() == predicted.tolist()
    assert result.scores.top1 == pytest.approx((predicted == images.targets).mean())


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_only_weights_without_a_header_are_bare(in_tmp: Path, kind: str) -> None:
    state = get_architecture("mlp").build(num_classes=3, in_channels=1, input_size=(28, 28)).state_dict()
    path = Path(f"bare.{kind}")
    if kind == "pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    resolved = resolve(f"mlp@{path}")
    assert resolved.header is None
    assert resolved.weights is not None


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"format": 99, "versions": {"sightline": "9"}}', "was written by a newer Sightline"),
        ("{broken", "its header is broken"),
        ('{"format": 1}', "its header is broken"),
    ],
)
def test_a_broken_or_newer_model_file_is_not_read_as_bare_weights(
    in_tmp: Path, header: str, message: str
) -> None:
    state = get_architecture("mlp").build(num_classes=3, in_channels=1, input_size=(28, 28)).state_dict()
    safetensors.torch.save_file(state, "file.safetensors", metadata={"sightline": header})
    with pytest.raises(ModelFileError, match=message):
        resolve("mlp@file.safetensors")


# Colour and grey


def colour_copy(folder: Path, to: Path) -> Path:
    """The same images with an edge of red."""
    for path in sorted(folder.rglob("*.png")):
        image = Image.open(path).convert("RGB")
        image.putpixel((0, 0), (255, 0, 0))
        (to / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        image.save(to / path.relative_to(folder))
    return to


def test_another_number_of_channels_is_said(run: Path, three_classes: Path, in_tmp: Path) -> None:
    colour = colour_copy(three_classes, in_tmp / "colour")
    grey_on_colour = warnings(evaluate(str(run), str(colour)))
    assert grey_on_colour == ["120 images of a colour set are converted to grey (ITU-R 601 luma)"]
    colour_run = make_run(colour, Path("colour-run"))
    assert warnings(evaluate(str(colour_run))) == []
    colour_on_grey = warnings(evaluate(str(colour_run), str(three_classes)))
    assert colour_on_grey == ["120 grey images are repeated in three channels"]


# Temperature, mistakes, each class


def test_reported_probabilities_are_those_of_predict(three_classes: Path, in_tmp: Path) -> None:
    run = make_run(three_classes, Path("run"), steps=8, temperature=2.0)
    result = evaluate(str(run))
    assert (result.answers.temperature, result.scores.temperature) == (2.0, 2.0)
    paths = [(name, three_classes / name) for name in names(result)]
    predictions = list(load_predictor(str(run)).predict(paths))
    probabilities = np.stack([prediction.probabilities for prediction in predictions])
    assert result.answers.probabilities == pytest.approx(probabilities, abs=1e-6)
    right = probabilities.argmax(axis=1) == result.answers.targets
    bins = reliability(probabilities.max(axis=1), right)
    assert result.scores.ece == pytest.approx(sum(n * abs(a - c) for n, c, a in bins) / len(right), abs=1e-6)
    assert result.scores.ece_uncalibrated != pytest.approx(result.scores.ece, abs=1e-3)
    plain = evaluate(str(make_run(three_classes, Path("plain"), steps=8)))
    assert (plain.scores.temperature, plain.scores.ece) == (1.0, result.scores.ece_uncalibrated)
    assert plain.scores.top1 == result.scores.top1


def test_the_json_has_each_class_and_24_mistakes(in_tmp: Path) -> None:
    result = evaluate(str(make_run("digits", Path("run"))))
    shown = json.loads(json.dumps(result.to_dict()))
    assert shown["classes"] == list("0123456789")
    assert [one["class"] for one in shown["per_class"]] == shown["classes"]
    confusion = np.array(shown["confusion"])
    for k, one in enumerate(shown["per_class"]):
        assert set(one) == {"class", "n", "right", "precision", "recall", "f1", "auroc", "interval"}
        assert (one["n"], one["right"]) == (confusion[k].sum(), confusion[k, k])
    assert np.mean([one["f1"] for one in shown["per_class"]]) == pytest.approx(shown["macro_f1"])
    assert np.mean([one["auroc"] for one in shown["per_class"]]) == pytest.approx(shown["auroc"])
    assert len(shown["mistakes"]) == 24 < confusion.sum() - confusion.trace()
    assert shown["mistakes"][0] == result.mistakes(1)[0].to_dict()
    assert set(shown["mistakes"][0]) == {"path", "class", "predicted", "probability"}


# What the command line shows


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table, row by row, without the header."""
    rows = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_text_says_what_was_scored(in_tmp: Path) -> None:
    run = make_run("digits", Path("run"), steps=5, temperature=1.25)
    scores = evaluate(str(run)).scores
    result = CliRunner().invoke(app, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    headline, second, *_ = result.stdout.splitlines()
    assert headline == evaluate(str(run)).describe()
    assert scores.auroc is not None
    assert second == (
        f"top-5 {100 * scores.top5:.2f} %, balanced accuracy {100 * scores.balanced_accuracy:.2f} %, "
        f"macro F1 {100 * scores.macro_f1:.2f} %, AUROC {scores.auroc:.4f}, "
        f"calibration error {100 * scores.ece:.2f} % "
        f"(before temperature 1.25: {100 * scores.ece_uncalibrated:.2f} %), loss {scores.loss:.4f}"
    )
    rows = table_rows(result.stdout)
    assert [row[0] for row in rows] == [*"0123456789"] * 2
    for row, one in zip(rows[:10], scores.classes, strict=True):
        shown = ["-" if x is None else f"{100 * x:.1f} %" for x in (one.precision, one.recall, one.f1)]
        assert row[1:] == [str(one.n), *shown]
    assert [[int(c.replace(".", "0")) for c in row[1:]] for row in rows[10:]] == scores.confusion.tolist()
    mistakes = evaluate(str(run)).mistakes(5)
    assert f"the {len(mistakes)} most confident mistakes" in result.stdout
    for one in mistakes:
        line = f"{100 * one.probability:6.1f} % {one.predicted}, but is {one.true}: {one.path}"
        assert line in result.stdout.splitlines()


def test_without_a_temperature_none_is_said(run: Path) -> None:
    assert "before temperature" not in CliRunner().invoke(app, ["evaluate", str(run)]).stdout


def test_of_many_classes_the_worst_are_shown(in_tmp: Path) -> None:
    images, targets = digits()
    for digit in range(10):
        for turns in range(4):
            folder = Path("many", f"{digit}-{turns}")
            folder.mkdir(parents=True)
            for i in np.flatnonzero(targets == digit)[:30]:
                Image.fromarray(np.rot90(images[i, 0], turns).copy()).save(folder / f"{i}.png")
    run = make_run("many", Path("run"), steps=25)
    result = CliRunner().invoke(app, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    scores = evaluate(str(run)).scores
    f1 = sorted(one.f1 for one in scores.classes if one.f1 is not None)
    assert f"the 10 of {len(f1)} classes with the lowest F1 (all: --json)" in result.stdout
    shown = [float(row[4].removesuffix(" %")) for row in table_rows(result.stdout) if len(row) == 5]
    assert shown == pytest.approx([100 * x for x in f1[:10]], abs=0.051)
    assert f1[10] > f1[0], "there are better ones"


def test_warnings_are_shown_and_the_contract_is_kept(run: Path, in_tmp: Path) -> None:
    write_new(in_tmp / "new" / "one", 1, 12)
    shutil.copy(run / "best.safetensors", "alone.safetensors")
    result = CliRunner().invoke(app, ["evaluate", "alone.safetensors", "new", "--json"])
    assert result.exit_code == 0, result.output
    assert "warning: new: whether the network was trained on some of these images" in result.stderr
    shown = json.loads(result.stdout)
    wanted = {"n", "metric", "value", "interval", "top1", "top5", "balanced_accuracy", "ece"}
    assert wanted | {"part", "selected_on", "known_unseen"} <= shown.keys()


def test_of_many_classes_the_commonest_confusions_are_shown(in_tmp: Path) -> None:
    images, targets = digits()
    for digit in range(10):
        for half in (0, 1):
            folder = Path("many", f"{digit}-[{half}]")
            folder.mkdir(parents=True)
            for i in np.flatnonzero(targets == digit)[half * 10 : half * 10 + 10]:
                Image.fromarray(images[i, 0]).save(folder / f"{i}.png")
    run = make_run("many", Path("run"))
    result = CliRunner().invoke(app, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    confusion = np.array(evaluate(str(run)).scores.confusion)
    np.fill_diagonal(confusion, 0)
    assert f"the 10 commonest of {(confusion > 0).sum()} confusions" in result.stdout
    cells = [row for row in table_rows(result.stdout) if len(row) == 4]
    assert len(cells) == 10
    assert [int(row[2]) for row in cells] == sorted(confusion[confusion > 0].tolist(), reverse=True)[:10]
    classes: ImageSet = open_images("many")
    for true, predicted, count, _ in cells:
        assert confusion[classes.classes.index(true), classes.classes.index(predicted)] == int(count)
