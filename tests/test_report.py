"""The report: its numbers, its words, its safety, its size, and that the same run gives the same bytes.

Over 600 lines: one page, whose cases share one set of runs.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from report_pages import (
    LIMIT,
    LITTLE,
    Case,
    args,
    invented,
    judged,
    judged_digits,
    nasty_case,
    numbers,
    read,
    rows_of,
    section,
)
from sightline.base import Finding
from sightline.data import open_images, split_images
from sightline.evaluation import wilson_interval, write_report
from sightline.evaluation.report import _tables
from sightline.records import RunFolder


@pytest.fixture(scope="module")
def digits() -> Case:
    return judged_digits()


@pytest.fixture(scope="module")
def nasty() -> Case:
    return nasty_case()


# -- numbers -------------------------------------------------------------------------------------------


def test_headline_and_key_numbers_are_the_scores(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    scores = judged(digits.images, digits.split, digits.logits, "test").scores
    assert numbers(page.one("h1")) == [scores.top1]
    assert page.one("h1").text == f"{100 * scores.top1:.2f}\u00a0% accuracy"
    assert numbers(page.one("p", cls="lead")) == [*scores.interval, scores.n]
    facts = {fact.one("dt").text: fact.one("dd") for fact in page.one("dl", cls="facts").all("div")}
    wrong = scores.n - int(scores.confusion.trace())
    largest = int(scores.confusion.sum(axis=1).max()) / scores.n
    for label, value in (
        ("Wrong", wrong),
        ("Balanced accuracy", scores.balanced_accuracy),
        ("Top-5 accuracy", scores.top5),
        ("Loss", scores.loss),
        ("Calibration error", scores.ece),
        ("Without a network", largest),
    ):
        assert numbers(facts[label]) == [value], label
    assert facts["Parameters"].text.startswith("61,706")
    assert facts["Training time"].text == "1 min 0 s1500 images a second"


def test_every_percentage_is_its_fraction(nasty: Case, tmp_path: Path) -> None:
    shown = [data for data in read(nasty.write(tmp_path)).all("data") if data.text.endswith("%")]
    assert len(shown) > 200
    for data in shown:
        decimals = len(data.text.split("\u00a0")[0].partition(".")[2])
        assert data.text == f"{100 * float(data.attrs['value'] or 'nan'):.{decimals}f}\u00a0%"


def test_parts_side_by_side_are_the_scores(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    rows = list(section(page, "scores").one("tbody").all("tr"))
    for row, part in zip(rows, ("test", "val"), strict=True):
        scores = judged(digits.images, digits.split, digits.logits, part).scores
        expected = [scores.top1, *scores.interval, scores.balanced_accuracy, scores.macro_f1]
        assert numbers(row) == [*expected, scores.auroc, scores.loss, scores.ece]
        assert ("selected on" in row.text) == (part == "val")


def test_confusion_table_is_the_matrix(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    matrix = judged(digits.images, digits.split, digits.logits, "test").scores.confusion
    rows = rows_of(page.one("table", cls="confusion"))
    assert [row[0] for row in rows] == list(digits.images.classes)
    assert [[int(cell) for cell in row[1:-1]] for row in rows] == matrix.tolist()
    assert [int(row[-1]) for row in rows] == matrix.sum(axis=1).tolist()


def test_class_table_is_the_matrix(digits: Case, tmp_path: Path) -> None:
    evaluation = judged(digits.images, digits.split, digits.logits, "test")
    matrix, probabilities = evaluation.scores.confusion, evaluation.answers.probabilities
    table = section(read(digits.write(tmp_path)), "classes").one("table")
    f1, areas = [], []
    for t, row in enumerate(rows_of(table)):
        right, total, said = int(matrix[t, t]), int(matrix[t].sum()), int(matrix[:, t].sum())
        low, high = wilson_interval(right, total)
        f1.append(2 * right / (total + said))
        areas.append(roc_auc_score(evaluation.answers.targets == t, probabilities[:, t]))
        assert row[:8] == [
            digits.images.classes[t],
            str(total),
            str(right),
            f"{100 * right / said:.1f}\u00a0%",
            f"{100 * right / total:.1f}\u00a0%",
            f"{100 * low:.1f}\u00a0% to {100 * high:.1f}\u00a0%",
            f"{100 * f1[-1]:.1f}\u00a0%",
            f"{areas[-1]:.4f}",
        ]
    means = numbers(table.one("tfoot"))
    precision = np.mean(matrix.diagonal() / matrix.sum(axis=0))
    recall = np.mean(matrix.diagonal() / matrix.sum(axis=1))
    assert means == pytest.approx([precision, recall, np.mean(f1), np.mean(areas)], rel=1e-12)


def test_split_table_counts_every_image(digits: Case, tmp_path: Path) -> None:
    table = section(read(digits.write(tmp_path)), "split").one("table")
    for t, row in enumerate(rows_of(table)):
        counts = [digits.images.counts(digits.split.indices(part))[t] for part in ("train", "val", "test")]
        assert row == [digits.images.classes[t], *map(str, counts), str(sum(counts))]
    totals = [len(digits.split.indices(part)) for part in ("train", "val", "test")]
    shown = [cell.text for cell in table.one("tfoot").all("td")]
    assert shown == [f"{n:,}" for n in (*totals, sum(totals))]


def test_split_of_another_set_shows_totals_only(digits: Case, tmp_path: Path) -> None:
    other = dataclasses.replace(digits.split, parts=digits.split.parts[:-5])
    evaluation = judged(digits.images, digits.split, digits.logits, "test")
    run = RunFolder(tmp_path)
    run.write_args(LITTLE)
    write_report(run.report, run=run, split=other, evaluations=[evaluation])
    found = section(read(run.report), "split")
    assert rows_of(found.one("table")) == []
    assert "only its totals" in found.text
    assert "1,792" in found.text


def test_kept_epoch_is_the_last_one_marked_best(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path, best=20))
    table = section(page, "training").one("table")
    assert [cell.text for cell in table.one("thead").all("th")] == ["Epoch", "1", "20 (kept)", "30"]
    values = {row[0]: row[1:] for row in rows_of(table)}
    assert values["Validation loss"] == [f"{1.9 / e:.4f}" for e in (1, 20, 30)]
    assert values["Validation accuracy"] == [f"{100 * (1 - 0.7 / e):.2f}\u00a0%" for e in (1, 20, 30)]
    assert "Epoch 20 was kept" in page.one("header").text
    plots = list(section(page, "training").all("svg"))
    assert len(plots) == 3
    assert all("kept: 20" in plot.text for plot in plots)


# -- the protocol, the calibration, the text to copy ---------------------------------------------------


def changed(case: Case, **changes: Any) -> dict[str, Any]:
    """A run's record with sections, or parts of them, replaced."""
    record = args(case.images, case.split, 30)
    for name, change in changes.items():
        record[name] = record[name] | change if isinstance(change, dict) else change
    return record


def methods_of(case: Case, folder: Path, recipe: dict[str, Any] | None = None, **more: Any) -> str:
    record = changed(case, recipe=recipe or {})
    text = section(read(case.write(folder, args=more.pop("args", record), **more)), "methods").text
    return text.replace("\u00a0", " ")


def test_the_protocol_is_said(digits: Case, tmp_path: Path) -> None:
    lead = read(digits.write(tmp_path, parts=("test",))).one("p", cls="lead")
    assert "used for neither training nor selection" in lead.text
    assert not list(lead.all("strong"))
    free = read(digits.write(tmp_path / "free", parts=("val",), known={"selected_on": False}))
    assert "by which nothing was selected" in free.one("p", cls="lead").text
    record = changed(digits, recipe={"phases": [{"epochs": 30, "schedule": {"kind": "plateau"}}]})
    watched = digits.write(tmp_path / "watched", parts=("val",), known={"selected_on": False}, args=record)
    assert "by whose scores the learning rate was lowered" in read(watched).one("p", cls="lead").text


def test_what_is_not_known_to_be_unseen_is_said(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path, known={"known_unseen": False, "selected_on": False}))
    assert [badge.text for badge in page.one("p", cls="lead").all("strong")] == ["not known to be unseen"]
    assert "neither training nor selection" not in page.one("body").text
    assert section(page, "scores").text.count("not known to be unseen") == 2
    assert "some may have been trained on: it is not known" in section(page, "methods").text


def test_a_temperature_is_shown_before_and_after(digits: Case, tmp_path: Path) -> None:
    case = dataclasses.replace(digits, temperature=0.5)
    before, after = digits.judged("test").scores.ece, case.judged("test").scores.ece
    found = section(read(case.write(tmp_path)), "calibration")
    assert numbers(found)[:2] == [after, before]
    assert "The temperature, 0.500, was fitted on the validation part." in found.text
    label = found.one("svg").attrs["aria-label"] or ""
    assert f"ECE {100 * after:.2f}\u00a0%, before temperature scaling {100 * before:.2f}\u00a0%" in label
    assert "before it" in found.one("figcaption").text
    bare = section(read(digits.write(tmp_path / "bare")), "calibration")
    assert "No temperature was fitted." in bare.text
    assert not list(bare.all("figcaption"))
    drawn = [len(list(part.one("svg").all("use"))) for part in (found, bare)]
    assert drawn[0] > drawn[1]


def test_the_diagram_is_of_both_sides_of_the_temperature(
    digits: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(_tables, "reliability_figure", lambda label, *bins: drawn.append(bins) or "")
    case = dataclasses.replace(digits, temperature=0.5)
    case.write(tmp_path)
    digits.write(tmp_path / "bare")
    after, before = case.judged("test").scores.reliability, digits.judged("test").scores.reliability
    assert drawn == [(after, before), (before, None)]


def test_a_temperature_fitted_on_the_images_judged_is_said_to_be(digits: Case, tmp_path: Path) -> None:
    case = dataclasses.replace(digits, temperature=0.5)
    page = read(case.write(tmp_path, parts=("val",)))
    for name in ("calibration", "methods"):
        assert "the images judged" in section(page, name).text
        assert "too good" in section(page, name).text
    assert "too good" not in section(read(case.write(tmp_path / "test")), "calibration").text


def test_the_numbers_of_the_methods_are_the_runs(digits: Case, tmp_path: Path) -> None:
    case = dataclasses.replace(digits, temperature=0.5)
    text, scores = methods_of(case, tmp_path), case.judged("test").scores
    low, high = (f"{100 * bound:.2f} %" for bound in scores.interval)
    for said in (
        "1,797 grey-scale images of 10 classes (digits)",
        "1,259 for training, 269 for validation and 269 for testing",
        digits.split.rule,
        "The digest of the split is d16357",
        "No two parts share an image, byte for byte",
        "lenet5 (LeCun 1998), of 61,706 parameters, trained from scratch",
        "32 \u00d7 32 pixels",
        "mapped from 0\u2013255 to 0\u20131 and standardised with mean 0.3 and standard deviation 0.4",
        "shifted by up to 3 pixels in each direction",  # a tenth of 32, in whole pixels
        "trained for 30 epochs with AdamW (Loshchilov and Hutter 2019)",
        "peak learning rate 0.002",
        "weight decay 0.05",
        "batches of at most 32 images",
        "Labels were smoothed by 0.05",
        "highest accuracy on the validation images (epoch 20)",
        "The training seed was 0",
        "Sightline 0.1.0 and PyTorch 2.13.0",
        "on 269 test images, which were used for neither training nor selection",
        f"{scores.confusion.trace()} of 269 were right, an accuracy of {100 * scores.top1:.2f} %",
        f"interval {low} to {high}, Wilson 1927",
        f"balanced accuracy was {100 * scores.balanced_accuracy:.2f} %",
        f"F1 {100 * scores.macro_f1:.2f} %",
        f"AUROC {scores.auroc:.4f}",
        "a temperature of 0.5 (Guo et al. 2017), fitted on the validation images",
        f"{100 * scores.ece_uncalibrated:.2f} % before, {100 * scores.ece:.2f} % after",
    ):
        assert said in text, said


def test_every_part_is_counted_by_itself(digits: Case, tmp_path: Path) -> None:
    parts = list(digits.split.parts)
    for i in digits.split.indices("test")[:20]:
        parts[i] = "train"
    case = dataclasses.replace(digits, split=dataclasses.replace(digits.split, parts=tuple(parts)))
    text = methods_of(case, tmp_path)
    assert "1,279 for training, 269 for validation and 249 for testing" in text
    assert "on 249 test images" in text
    none = tuple("train" if part == "test" else part for part in parts)
    case = dataclasses.replace(digits, split=dataclasses.replace(digits.split, parts=none))
    text = methods_of(case, tmp_path / "none", parts=("val",))
    assert "1,528 for training and 269 for validation, with none for testing" in text
    assert "on 269 validation images, by whose scores the run was selected or stopped" in text


SCHEDULES = [
    (
        {"kind": "one_cycle", "warm_up": 0.25, "start": 0.04, "end": 0.0001},
        "rose along a cosine from 0.04 of its peak over the first 25 % of the steps and then fell along a "
        "cosine to 0.0001 of the peak (one cycle, Smith 2018; the momentum was not cycled).",
    ),
    (
        {"kind": "cosine", "warm_up": 0.0, "start": 0.04, "end": 0.0},
        "the learning rate fell along a cosine to 0 of the peak (Loshchilov and Hutter 2017).",
    ),
    (
        {"kind": "linear", "warm_up": 0.0, "end": 0.01},
        "the learning rate fell in a straight line to 0.01 of the peak.",
    ),
    (
        {"kind": "step", "warm_up": 0.1, "start": 0.5, "milestones": [0.5, 0.75], "drop": 0.2},
        "rose in a straight line from 0.5 of its peak over the first 10 % of the steps and then was "
        "multiplied by 0.2 after 50 % and 75 % of the steps.",
    ),
    (
        {"kind": "plateau", "warm_up": 0.0, "drop": 0.1, "wait": 4, "end": 0.001},
        "was multiplied by 0.1 whenever 4 epochs had passed without a better validation accuracy, down to "
        "0.001 of the peak at the least.",
    ),
    ({"kind": "constant", "warm_up": 0.0}, "the learning rate stayed constant."),
    ({"kind": "tidal", "moon": 3}, "the learning rate followed the schedule tidal (moon 3)."),
    ({"kind": "step", "warm_up": 0.0}, "the learning rate followed the schedule step."),
    ({"kind": "constant", "warm_up": 0.0, "wobble": 0.5}, "stayed constant (wobble 0.5)."),
]


def test_every_schedule_is_told(digits: Case, tmp_path: Path) -> None:
    phases = [{"epochs": 3, "schedule": schedule} for schedule, _ in SCHEDULES]
    text = methods_of(digits, tmp_path, {"phases": phases})
    for place, (_, said) in enumerate(SCHEDULES, start=1):
        told = text[text.index(f"Phase {place} of {len(SCHEDULES)} (3 epochs): ") :]
        assert said in told[: told.index(f"Phase {place + 1}") if place < len(SCHEDULES) else None], said
    alone = methods_of(digits, tmp_path / "alone", {"phases": [{"epochs": 30, "schedule": SCHEDULES[5][0]}]})
    assert "The learning rate stayed constant." in alone


def test_augmentation_is_told_as_it_acts(digits: Case, tmp_path: Path) -> None:
    quiet = {
        "crop": 0.03,
        "flip": "none",
        "rotate": 0.0,
        "colour": 0.4,
        "mixup": 0.0,
    }  # 0.03 of 32 is no pixel
    assert "Training images were not augmented." in methods_of(digits, tmp_path, {"augmentation": quiet})
    loud = {
        "flip": "both", "transpose": True, "rotate": 12.5, "zoom": 0.15, "erase": 0.3, "mixup": 0.2,
        "cutmix": 1.0, "posterise": [3, 4],
    }  # fmt: skip
    text = methods_of(digits, tmp_path / "loud", {"augmentation": loud})
    for said in (
        "mirrored left-right and up-down, each with probability 1/2",
        "transposed",
        "rotated by up to 12.5 degrees either way",
        "between 1/1.15 and 1.15",
        "with probability 0.3 (random erasing",
        "either mixed with another image of its batch in shares drawn from Beta(0.2, 0.2)",
        "Beta(1, 1) (CutMix, Yun et al. 2019), each with probability 1/2",
        "changed by posterise (3, 4)",
    ):
        assert said in text, said


def test_the_rest_of_a_recipe_is_told(digits: Case, tmp_path: Path) -> None:
    sgd = {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}
    recipe = {
        "optimizers": {"main": sgd},
        "phases": [
            {"epochs": 5, "trainable": ["head"], "start": "old.safetensors"},
            {"epochs": 40, "trainable": ["*"], "rates": {"*": 0.1, "head": 1.0}},
        ],
        "balance": "sampling",
        "accumulate": 4,
        "ema_decay": 0.999,
        "clip_norm": 5.0,
        "patience": 10,
        "select": "loss",
        "objective": {"focus": 2.0},
        "dreams": {"of": "<b>sheep</b>"},
        "idle": None,
    }  # fmt: skip
    path = tmp_path / "page"
    text = methods_of(digits, path, recipe)
    for said in (
        "started from the weights of old.safetensors.",
        "trained for 30 epochs of 45 planned with stochastic gradient descent with peak learning rate 0.1, "
        "no weight decay and Nesterov momentum 0.9",
        "each divided into 4 micro-batches",
        "Phase 1 of 2 (5 epochs): it started from the weights of old.safetensors; only head changed",
        "Phase 2 of 2 (40 epochs): the rate was multiplied by 0.1 for all parameters and 1 for head.",
        "each epoch showed every class equally often",
        "exponential moving average of the weights over steps (decay 0.999)",
        "clipped to a norm of 5.",
        "the lowest loss on the validation images",
        "stop after 10 epochs without a better one",
        "Further settings of the recipe: focus 2; dreams of <b>sheep</b>.",
    ):
        assert said in text, said
    assert "idle" not in text
    assert "smoothed" not in text
    assert "<b>sheep" not in (path / "report.html").read_text("utf-8")


def test_methods_of_what_a_run_did_not_record_say_nothing_of_it(digits: Case, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_args(LITTLE)
    write_report(run.report, run=run, split=digits.split, evaluations=[digits.judged("test")])
    text = section(read(run.report), "methods").text
    assert "None" not in text
    assert "none" not in text
    assert "The network was not recorded." in text
    assert "trained for" not in text
    assert "1,259 for training" in text


def test_copies_in_two_parts_are_not_denied(digits: Case, tmp_path: Path) -> None:
    digests = list(digits.images.digests)
    learned, lone, *judged_on = (
        int(digits.split.indices("train")[0]), *map(int, digits.split.indices("test"))
    )  # fmt: skip
    digests[lone] = digests[learned]
    images = dataclasses.replace(digits.images, digests=tuple(digests))
    case = Case(images, digits.split, digits.logits)
    whole = case.judged("test")
    kept = dataclasses.replace(whole, indices=np.array(judged_on, dtype=np.int64))
    run = RunFolder(tmp_path)
    run.write_args(args(images, digits.split, 30))
    write_report(run.report, run=run, split=digits.split, evaluations=[kept])
    text = section(read(run.report), "methods").text
    assert "byte for byte" not in text
    assert "1 further test image was left out, being exact copies of images trained or selected on" in text


def test_the_texts_to_copy_are_selected_whole(digits: Case, tmp_path: Path) -> None:
    path = digits.write(tmp_path)
    assert re.search(r"\.copy \{[^}]*[; ]user-select: all", path.read_text("utf-8"))
    page = read(path)
    assert "copy" in (next(iter(section(page, "methods").all("div", cls="prose"))).attrs["class"] or "")
    table = section(page, "split").one("table")
    lines = section(page, "split").one("pre", cls="copy").children[0]
    assert isinstance(lines, str)
    head, rule, *body = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in lines.splitlines()
    ]
    assert head == ["class", "train", "val", "test", "all"]
    assert set(rule) == {":--", "--:"}
    assert body[:-1] == rows_of(table)
    assert body[-1] == ["all", "1259", "269", "269", "1797"]


def test_class_names_cannot_break_the_table_to_copy(digits: Case, tmp_path: Path) -> None:
    classes = ("a|b", "two\nlines", *digits.images.classes[2:])
    images = dataclasses.replace(digits.images, classes=classes)
    text = (
        section(read(Case(images, digits.split, digits.logits).write(tmp_path)), "split")
        .one("pre")
        .children[0]
    )
    assert isinstance(text, str)
    assert len(text.splitlines()) == 13
    assert "| a\\|b |" in text


def test_the_learning_rate_is_in_figure_and_table(digits: Case, tmp_path: Path) -> None:
    found = section(read(digits.write(tmp_path)), "training")
    assert "Learning rate" in [title.text for title in found.all("b")]
    (row,) = [row for row in rows_of(found.one("table")) if row[0] == "Learning rate"]
    assert row[1:] == [f"{0.002 / epoch:.3g}" for epoch in (1, 20, 30)]


# -- images --------------------------------------------------------------------------------------------


def test_mistakes_are_the_most_confident_wrong_answers(nasty: Case, tmp_path: Path) -> None:
    page = read(nasty.write(tmp_path))
    images, test = nasty.images, nasty.split.indices("test")
    wrong = []
    for i in test:
        weights = np.exp(nasty.logits[i].astype(np.float64))
        said = int(nasty.logits[i].argmax())
        if said != images.targets[i]:
            wrong.append((weights[said] / weights.sum(), int(i), said))
    wrong.sort(key=lambda entry: -entry[0])
    shown = list(section(page, "mistakes").one("ol").all("li"))
    assert len(wrong) > 24
    assert [item.one("code").text for item in shown] == [images.names[i] for _, i, _ in wrong[:24]]
    for item, (probability, i, said) in zip(shown, wrong, strict=False):
        names = [re.sub(r"[ \n]+", " ", images.classes[c]).strip() for c in (images.targets[i], said)]
        assert [name.text for name in item.one("dl").all("bdi")] == names
        assert numbers(item)[1] == pytest.approx(probability, rel=1e-9)


def test_no_mistake_is_said(digits: Case, tmp_path: Path) -> None:
    sure = 50 * np.eye(10, dtype=np.float32)[digits.images.targets]
    page = read(Case(digits.images, digits.split, sure).write(tmp_path))
    assert "None on these 269 images" in section(page, "mistakes").text
    assert page.one("h1").text == "100.00\u00a0% accuracy"


def test_samples_are_marked_as_they_were_answered(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    position = {name: i for i, name in enumerate(digits.images.names)}
    predicted = digits.logits.argmax(axis=1)
    tiles = list(page.all("li", cls="tile"))
    assert len(tiles) == 60
    for tile in tiles:
        i = position[tile.attrs["title"] or ""]
        right = predicted[i] == digits.images.targets[i]
        assert digits.split.parts[i] == "test"
        assert ("right" in (tile.attrs["class"] or "")) == right
        assert ("\u2713" if right else "\u2717") in tile.text
        alt = tile.one("img").attrs["alt"] or ""
        assert (
            alt
            == f"true {digits.images.targets[i]}, predicted {predicted[i]}, {'right' if right else 'wrong'}"
        )


def test_small_images_are_shown_exactly(digits: Case, tmp_path: Path) -> None:
    assert digits.images.pixels is not None
    tile = next(iter(read(digits.write(tmp_path)).all("li", cls="tile")))
    content = base64.b64decode((tile.one("img").attrs["src"] or "").removeprefix("data:image/png;base64,"))
    index = digits.images.names.index(tile.attrs["title"] or "")
    assert (np.asarray(Image.open(io.BytesIO(content))) == digits.images.pixels[index, 0]).all()
    assert tile.one("img").attrs["class"] == "small"


def test_files_lose_their_metadata_and_may_be_gone(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(10):
            exif = Image.Exif()
            exif[0x010F] = "a secret camera"
            pixels = generator.integers(0, 256, (150, 300, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(
                tmp_path / "data" / name / f"{i}.jpg", exif=exif, comment=b"a secret"
            )
    images = open_images(tmp_path / "data")
    case = Case(images, split_images(images), np.zeros((20, 2), dtype=np.float32))
    sources = [img.attrs["src"] or "" for img in read(case.write(tmp_path / "run")).all("img")]
    assert len(sources) == 6  # 2 classes x 2 samples, and the 2 dogs taken for cats
    for source in sources:
        content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert b"secret" not in content
        width, height = Image.open(io.BytesIO(content)).size
        assert (width, height) in ((144, 72), (270, 135))
    for index in case.split.indices("test"):
        images.path(int(index)).unlink()
    page = read(case.write(tmp_path / "again"))
    assert not list(page.all("img"))
    assert page.one("body").text.count("cannot be read any more") == 6


# -- safety --------------------------------------------------------------------------------------------


def test_names_are_escaped(nasty: Case, tmp_path: Path) -> None:
    findings = [Finding(level="error", where="<b>", what="<u>what</u>", why="<s>", do="<em>")]
    path = nasty.write(tmp_path, findings=findings)
    page = read(path)
    assert "<script" not in path.read_text("utf-8").lower()
    tags = Counter(node.tag for node in page.one("body").all())
    assert not tags.keys() & {"script", "u", "s", "em"}
    assert tags["i"] == 2  # the intervals of two parts; every file name holds an <i>
    assert not [b for b in page.all("b") if b.text == "d"]
    assert not [key for node in page.all() for key in node.attrs if key.startswith("on")]
    assert "<img src=x onerror=alert(3)>" in page.one("header").text
    assert "<u>what</u>" in section(page, "findings").text


def test_every_class_is_named(digits: Case, nasty: Case, tmp_path: Path) -> None:
    for case, column in ((digits, 0), (nasty, 1)):
        page = read(case.write(tmp_path / str(column)))
        assert [row[column] for row in rows_of(section(page, "classes").one("table"))] == list(
            case.images.classes
        )
        assert [row[0] for row in rows_of(section(page, "split").one("table"))] == list(case.images.classes)


def test_nothing_is_fetched(nasty: Case, tmp_path: Path) -> None:
    path = nasty.write(tmp_path)
    text = path.read_text("utf-8")
    page = read(path)
    for node in page.all():
        for key in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = node.attrs.get(key)
            assert value is None or value.startswith(("data:image/", "#")), f"{node.tag} {key} {value}"
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    policy = next(m for m in page.all("meta") if m.attrs.get("http-equiv") == "Content-Security-Policy")
    assert (policy.attrs["content"] or "").startswith("default-src 'none'")


def test_ids_are_unique_and_links_lead_somewhere(nasty: Case, tmp_path: Path) -> None:
    path = nasty.write(tmp_path)
    page, text = read(path), path.read_text("utf-8")
    ids = Counter(node.attrs["id"] for node in page.all() if "id" in node.attrs)
    assert set(ids.values()) == {1}
    targets = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    assert any(target.startswith("loss-") for target in targets)
    assert targets <= set(ids)


def test_a_name_that_is_not_utf8_is_written(digits: Case, tmp_path: Path) -> None:
    names = tuple(name + "\udcff" for name in digits.images.names)
    images = dataclasses.replace(digits.images, names=names)
    path = Case(images, digits.split, digits.logits).write(tmp_path)
    assert "\\udcff" in path.read_text("utf-8")


# -- size, sameness, older runs ------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "each", "side"), [(2_500, 3, 8), (1_000, 6, 64), (30, 12, 256)])
def test_is_below_its_size(classes: int, each: int, side: int, tmp_path: Path) -> None:
    case = invented(tuple(f"{i} <{'n' * 115}" for i in range(classes)), each, side)
    path = case.write(tmp_path)
    assert path.stat().st_size < LIMIT
    found = section(read(path), "classes")
    shown = len(rows_of(found.one("table")))
    assert shown == classes or f"The first {shown:,} of {classes:,} classes" in found.text
    assert 0 < sum(1 for _ in read(path).all("li", cls="tile")) <= 120


def test_many_classes_get_a_picture(nasty: Case, tmp_path: Path) -> None:
    found = section(read(nasty.write(tmp_path)), "confusion")
    assert not list(found.all("table"))
    source = found.one("svg").one("image").attrs["href"] or ""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    matrix = judged(nasty.images, nasty.split, nasty.logits, "test").scores.confusion
    assert ((picture[:, :, 3] > 0) == (matrix > 0)).all()


def test_same_inputs_give_the_same_bytes(nasty: Case, tmp_path: Path) -> None:
    first = nasty.write(tmp_path).read_bytes()
    assert nasty.write(tmp_path).read_bytes() == first


def test_one_epoch(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path, parts=("val",), epochs=1, best=1))
    assert len(list(section(page, "training").all("svg"))) == 3
    assert "1 epoch in 2.0 s" in page.one("header").text
    assert page.one("strong", cls="badge").text == "selected on these images: too good"


def test_a_test_score_is_not_called_selected_on(digits: Case, tmp_path: Path) -> None:
    assert not list(read(digits.write(tmp_path, parts=("test",))).all("strong", cls="badge"))


def test_a_run_that_recorded_little(digits: Case, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_args(LITTLE)
    evaluation = judged(digits.images, digits.split, digits.logits, "test")
    write_report(run.report, run=run, split=digits.split, evaluations=[evaluation])
    page = read(run.report)
    assert "no epoch recorded" in page.one("header").text
    assert "there are no curves" in section(page, "training").text


def test_findings_are_shown_once_the_gravest_first(digits: Case, tmp_path: Path) -> None:
    def finding(level: Any, where: str) -> Finding:
        return Finding(level=level, where=where, what="a", why="b", do="c")

    split = dataclasses.replace(digits.split, findings=(finding("warning", "w"),))
    case = Case(digits.images, split, digits.logits)
    page = read(
        case.write(
            tmp_path, findings=[*digits.images.findings, finding("warning", "w"), finding("error", "e")]
        )
    )
    heads = [item.one("p").text for item in page.one("ul", cls="findings").all("li")]
    assert heads == ["error e", "warning w", "info digits"]
    assert "1 error and 1 warning to read" in page.one("header").text


def test_nothing_to_report_is_refused(digits: Case, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_args({})
    with pytest.raises(ValueError, match="evaluations is empty"):
        write_report(run.report, run=run, split=digits.split, evaluations=[])
