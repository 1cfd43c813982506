"""Two networks on the same images: the arithmetic, which images, and what is said of them."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner, Result

from sightline.base import ArgumentError, DataError
from sightline.cli import app
from sightline.data import ImageSet, open_images
from sightline.evaluation import Comparison, Evaluation, compare, compare_answers, evaluate, score
from sightline.records import read_model_file, save_model_file
from sightline.tasks.classification import Answers
from sightline.zoo import get_architecture
from test_evaluate import make_run, rows_of, warnings, write_new

# The arithmetic


def said(images: ImageSet, indices: NDArray[np.int64], right: NDArray[np.bool_]) -> Evaluation:
    """An evaluation with exactly these answers right; a wrong one is the next class."""
    targets = images.targets[indices]
    predicted = np.where(right, targets, (targets + 1) % len(images.classes))
    answers = Answers(np.eye(len(images.classes), dtype=np.float32)[predicted], targets, indices)
    return Evaluation(
        images=images, indices=indices, part="test", selected_on=False, answers=answers, scores=score(answers)
    )


def compared(both: int, only_first: int, only_second: int, neither: int) -> Comparison:
    """A comparison with these counts, on shuffled digits."""
    images = open_images("digits")
    counts = (both, only_first, only_second, neither)
    indices = np.random.default_rng(0).permutation(len(images))[: sum(counts)]
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    return compare_answers("A", said(images, indices, first), "B", said(images, indices, second))


def test_counts_and_difference() -> None:
    result = compared(200, 12, 5, 7)
    assert (result.n, result.both_right, result.only_first, result.only_second, result.neither) == (
        224, 200, 12, 5, 7,
    )  # fmt: skip
    assert result.difference == pytest.approx(7 / 224)
    assert result.difference == pytest.approx(result.first.scores.top1 - result.second.scores.top1)
    first, second = (e.answers for e in (result.first, result.second))
    theirs = [balanced_accuracy_score(a.targets, a.predicted) for a in (first, second)]
    assert result.balanced_accuracy_difference == pytest.approx(theirs[0] - theirs[1])


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (6, 1, 16 / 128),  # 2 (1 + 7) / 2^7, by hand
        (1, 6, 16 / 128),
        (5, 0, 2 / 32),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert compared(80, only_first, only_second, 3).p_value == pytest.approx(p)


def resampled(result: Comparison, count: int = 4_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % intervals of both differences, image by image and score by score."""
    rng = np.random.default_rng(5)
    first, second = result.first.answers, result.second.answers
    values = []
    for _ in range(count):
        i = rng.integers(0, result.n, result.n)
        right = [a.predicted[i] == a.targets[i] for a in (first, second)]
        classes = [first.targets[i] == c for c in np.unique(first.targets[i])]
        recall = [np.mean([r[mine].mean() for mine in classes]) for r in right]
        values.append((right[0].mean() - right[1].mean(), recall[0] - recall[1]))
    ends = np.quantile(np.array(values), (0.025, 0.975), axis=0)
    return ends[:, 0], ends[:, 1]


@pytest.mark.parametrize("counts", [(150, 30, 14, 6), (18, 4, 1, 2)], ids=["200 images", "25 images"])
def test_intervals_against_resampling_image_by_image(counts: tuple[int, int, int, int]) -> None:
    result = compared(*counts)
    accuracy, balanced = resampled(result)
    width = accuracy[1] - accuracy[0]
    assert result.interval == pytest.approx(accuracy, abs=0.05 * width + 1 / result.n)
    assert result.balanced_accuracy_interval == pytest.approx(balanced, abs=0.06 * width)


def test_balanced_accuracy_is_of_classes_of_any_size() -> None:
    """The first is better on the rare class alone: of 1 of 20 images, but of half of what is balanced."""
    images = open_images("digits")
    common, rare = (np.flatnonzero(images.targets == digit) for digit in (0, 1))
    indices = np.concatenate([common[:171], rare[:9]])
    second = np.arange(180) < 171
    result = compare_answers("A", said(images, indices, second | True), "B", said(images, indices, second))
    assert (result.difference, result.balanced_accuracy_difference) == (0.05, 0.5)
    assert result.interval[1] < 0.1
    assert result.balanced_accuracy_interval == (0.5, 0.5)


def test_a_resampling_without_a_class_is_balanced_over_the_others() -> None:
    """Of ones the first has all three right, the second none; the one zero, both. Without the zero, as in
    (3/4)^4 = 32 % of resamplings, the difference is 1, else 1/2, but for one in 256 without a one."""
    images = open_images("digits")
    indices = np.concatenate(
        [np.flatnonzero(images.targets == 1)[:3], np.flatnonzero(images.targets == 0)[:1]]
    )
    second = np.array([False, False, False, True])
    result = compare_answers("A", said(images, indices, second | True), "B", said(images, indices, second))
    assert result.balanced_accuracy_difference == 0.5
    assert result.balanced_accuracy_interval == (0.5, 1.0)


def test_the_interval_is_drawn_in_parts_and_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compared(150, 30, 14, 6)
    again = compared(150, 30, 14, 6)
    assert (again.interval, again.balanced_accuracy_interval) == (
        whole.interval,
        whole.balanced_accuracy_interval,
    )
    monkeypatch.setattr("sightline.evaluation._compare._CELLS_AT_ONCE", 999)
    parted = compared(150, 30, 14, 6)
    assert (parted.interval, parted.balanced_accuracy_interval) == (
        whole.interval,
        whole.balanced_accuracy_interval,
    )


def test_two_that_agree_on_every_image() -> None:
    result = compared(90, 0, 0, 10)
    assert (result.difference, result.interval, result.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert result.describe() == (
        "A and B are equally accurate, 95 % interval of the difference +0.00 to +0.00, McNemar p = 1: "
        "no difference shown on 100 images"
    )


def test_the_sentence() -> None:
    better, worse, unclear = compared(900, 60, 20, 20), compared(900, 20, 60, 20), compared(900, 12, 8, 80)
    low, high = (100 * bound for bound in better.interval)
    assert better.describe() == (
        f"A is 4.00 points better than B, 95 % interval of the difference {low:+.2f} to {high:+.2f}, "
        "McNemar p < 0.001: a difference is shown on 1,000 images"
    )
    assert 0 < low < 4 < high
    assert worse.describe().startswith("A is 4.00 points worse than B, 95 % interval of the difference -")
    assert "McNemar p = 0.5: no difference shown on 1,000 images" in unclear.describe()


def test_the_sentence_says_its_doubts() -> None:
    result = compared(80, 6, 1, 3)
    first = dataclasses.replace(result.first, selected_on=True)
    second = dataclasses.replace(result.second, selected_on=True, known_unseen=False)
    assert (
        dataclasses.replace(result, first=first, second=second)
        .describe()
        .endswith(
            "on 90 images (A was selected on them; B was selected on them; B is not known to be new to them)"
        )
    )


def test_other_images_cannot_be_compared() -> None:
    images = open_images("digits")
    right = np.ones(10, dtype=bool)
    with pytest.raises(ValueError, match="not of the same images"):
        compare_answers(
            "A", said(images, np.arange(10), right), "B", said(images, np.arange(10)[::-1], right)
        )


# Which images


@pytest.fixture
def good(in_tmp: Path) -> Path:
    """A run of the digits that was trained."""
    return make_run("digits", Path("good"), steps=60)


@pytest.fixture
def bad(in_tmp: Path) -> Path:
    """Another, of the same split, that hardly was."""
    return make_run("digits", Path("bad"), steps=4)


def digests_of(run: Path, *parts: str) -> set[str]:
    rows = csv.DictReader((run / "split.csv").read_text().splitlines())
    return {row["digest"] for row in rows if row["part"] in parts}


def test_two_runs_of_one_split_are_compared_on_its_test_part(good: Path, bad: Path) -> None:
    result = compare("good", "bad")
    alone = [evaluate("good"), evaluate("bad")]
    assert result.n == len(rows_of(good, "test"))
    for judged, evaluated in zip((result.first, result.second), alone, strict=True):
        assert judged.indices.tolist() == evaluated.indices.tolist()
        assert judged.answers.logits.tolist() == evaluated.answers.logits.tolist()
        assert (judged.selected_on, judged.known_unseen, warnings(judged)) == (False, True, [])
    one, two = (e.answers.predicted == e.answers.targets for e in alone)
    cells = [0, 0, 0, 0]
    for a, b in zip(one, two, strict=True):
        cells[2 * (not a) + (not b)] += 1
    assert [result.both_right, result.only_first, result.only_second, result.neither] == cells
    assert result.difference > 0.05 > result.p_value
    assert result.interval[0] > 0
    turned = compare("bad", "good")
    assert (turned.difference, turned.p_value) == (-result.difference, result.p_value)
    assert (turned.only_first, turned.only_second) == (result.only_second, result.only_first)


def test_what_the_other_learned_from_is_left_out(good: Path, in_tmp: Path) -> None:
    other = make_run("digits", Path("other"), steps=4, split_seed=1)
    result = compare("good", "other")
    own, learned = evaluate("good"), digests_of(other, "train", "val")
    kept = [i for i in own.indices if own.images.digests[i] not in learned]
    assert 10 < len(kept) < len(own.indices) / 2
    assert result.first.indices.tolist() == result.second.indices.tolist() == kept
    assert result.first.scores.n == result.second.scores.n == result.n == len(kept)
    left_out = f"{len(own.indices) - len(kept)} of {len(own.indices)} images are, byte for byte, "
    assert warnings(result.first) == [f"{left_out}images other was trained or selected on"]
    assert (result.second.known_unseen, result.second.selected_on) == (True, False)


def test_a_val_part_that_nothing_was_selected_on_is_not_left_out(good: Path, in_tmp: Path) -> None:
    other = make_run("digits", Path("other"), split_seed=1, select=None)
    learned = digests_of(other, "train")
    own = evaluate("good")
    kept = [i for i in own.indices if own.images.digests[i] not in learned]
    assert compare("good", "other").first.indices.tolist() == kept
    assert digests_of(other, "val") & {own.images.digests[i] for i in kept}, "some are of its val part"


def test_where_both_were_selected_on_the_images_both_say_so(three_classes: Path, in_tmp: Path) -> None:
    """Neither has a test part, and leaving out what the other was selected on would leave nothing."""
    for part in ("train", "val"):
        (three_classes / part).mkdir()
    for name in ("one", "seven", "zero"):
        shutil.copytree(three_classes / name, three_classes / "val" / name)
        for path in sorted((three_classes / "val" / name).iterdir())[:30]:
            path.unlink()
        (three_classes / name).rename(three_classes / "train" / name)
        for path in sorted((three_classes / "train" / name).iterdir())[30:]:
            path.unlink()
    make_run(three_classes, Path("a"), steps=4)
    make_run(three_classes, Path("b"))
    result = compare("a", "b")
    assert (result.n, result.first.part) == (30, "val")
    assert (result.first.selected_on, result.second.selected_on) == (True, True)
    assert "(a was selected on them; b was selected on them)" in result.describe()
    make_run(three_classes, Path("c"), select=None)
    half = compare("a", "c")
    assert (half.n, half.first.selected_on, half.second.selected_on) == (30, True, False)
    with pytest.raises(
        DataError, match=r"a was trained or selected on every image of .* that c can be judged by"
    ):
        compare("c", "a")


def test_nothing_is_known_of_a_model_file_alone(good: Path, bad: Path, in_tmp: Path) -> None:
    shutil.copy(bad / "best.safetensors", "alone.safetensors")
    for digit in (1, 7):
        write_new(in_tmp / "new" / str(digit), digit, 12)
    result = compare("good", "alone.safetensors", "new")
    # The good run's own are left out, train and val; what the other was trained on nobody says.
    assert result.n == evaluate("good", "new").scores.n
    assert (result.first.known_unseen, result.second.known_unseen) == (True, False)
    assert result.to_dict()["against"]["known_unseen"] is False
    (finding,) = result.second.findings
    assert finding.where == "alone.safetensors"
    assert finding.what == "whether the network was trained on some of these images is not known"
    assert finding in result.findings
    known = compare("good", "alone.safetensors")
    assert known.second.known_unseen, "its split is that of these images"


# Each as it is


def test_classes_are_matched_by_name(good: Path) -> None:
    """The same network with its outputs in another order gives the same answers."""
    header, weights = read_model_file(good / "best.safetensors")
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    classes = tuple(header.classes[i] for i in order)
    weights |= {name: weights[name][order].contiguous() for name in ("5.weight", "5.bias")}
    save_model_file(Path("shuffled.safetensors"), weights, dataclasses.replace(header, classes=classes))
    result = compare("good", "shuffled.safetensors")
    assert (result.only_first, result.only_second, result.difference) == (0, 0, 0.0)
    assert 0 < result.neither < result.both_right
    assert result.second.images.classes == classes
    assert result.second.scores.balanced_accuracy == pytest.approx(result.first.scores.balanced_accuracy)
    turned = compare("shuffled.safetensors", "good", "digits")
    assert (turned.both_right, turned.neither) == (result.both_right, result.neither)


def test_each_keeps_its_own_canvas_and_temperature(three_classes: Path, in_tmp: Path) -> None:
    """The same network for images enlarged twofold: its first layer takes the mean of each four pixels."""
    run = make_run(three_classes, Path("run"), steps=8)
    header, weights = read_model_file(run / "best.safetensors")
    w = weights["1.weight"].reshape(-1, 8, 8).repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
    weights["1.weight"] = w.reshape(-1, 256).contiguous()
    large = dataclasses.replace(
        header,
        architecture=dataclasses.replace(header.architecture, input_size=(16, 16)),
        canvas=(16, 16),
        preprocessing=header.preprocessing | {"size": [16, 16]},
        temperature=3.0,
    )
    save_model_file(Path("large.safetensors"), weights, large)
    result = compare("run", "large.safetensors")
    for judged, alone in (
        (result.first, ("run",)),
        (result.second, ("large.safetensors", str(three_classes))),
    ):
        assert judged.answers.logits.tolist() == evaluate(*alone).answers.logits.tolist()
    assert (result.first.scores.temperature, result.second.scores.temperature) == (1.0, 3.0)
    assert (result.both_right, result.n) == (18, 18)


def test_bare_weights_are_taken_to_know_the_same_classes(three_classes: Path, in_tmp: Path) -> None:
    make_run(three_classes, Path("run"))
    network = get_architecture("mlp").build(num_classes=3, in_channels=1, input_size=(28, 28))
    torch.save(network.state_dict(), "bare.pt")
    result = compare("run", "mlp@bare.pt")
    assert result.n == 18
    assert {finding.where for finding in result.second.findings} == {"mlp@bare.pt"}
    assert "taken: 3 classes from one to zero, mean [0.5], std [0.5]" in warnings(result.second)[0]
    assert not result.second.known_unseen


# The command line


def sightline(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def refuse(code: int, message: str, *arguments: object) -> None:
    result = sightline(*arguments)
    assert result.exit_code == code, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("sightline: "))
    assert message in line, line
    assert "Traceback" not in result.output


def test_the_json_is_that_of_evaluate_with_against(good: Path, bad: Path) -> None:
    plain = json.loads(sightline("good", "--json").stdout)
    shown = json.loads(sightline("good", "--against", "bad", "--json").stdout)
    against: dict[str, Any] = shown.pop("against")
    assert shown == plain
    result = compare("good", "bad")
    assert against == {
        "model": "bad",
        "n": result.n,
        "value": evaluate("bad").scores.top1,
        "difference": result.difference,
        "interval": list(result.interval),
        "p_value": result.p_value,
        "both_right": result.both_right,
        "only_first": result.only_first,
        "only_second": result.only_second,
        "neither": result.neither,
        "balanced_accuracy_difference": result.balanced_accuracy_difference,
        "balanced_accuracy_interval": list(result.balanced_accuracy_interval),
        "known_unseen": True,
        "selected_on": False,
    }
    assert against["value"] + against["difference"] == pytest.approx(plain["value"])


def test_the_text_ends_with_the_comparison(good: Path, bad: Path) -> None:
    lines = sightline("good", "--against", "bad").stdout.splitlines()
    result = compare("good", "bad")
    assert lines[0] == result.first.describe()
    assert lines[-4:] == [
        f"against bad: {result.second.describe()}",
        f"right: both {result.both_right}, only good {result.only_first}, only bad {result.only_second}, "
        f"neither {result.neither}",
        lines[-2],
        result.describe(),
    ]
    assert lines[-2].startswith(
        f"balanced accuracy: {100 * result.balanced_accuracy_difference:+.2f} points, "
    )
    assert not any(line.startswith("against") for line in sightline("good").stdout.splitlines())


def test_what_is_left_out_is_said(good: Path) -> None:
    make_run("digits", Path("other"), split_seed=1)
    result = sightline("good", "--against", "other", "--json")
    assert "images other was trained or selected on" in result.stderr
    assert any("images other was trained" in f["what"] for f in json.loads(result.stdout)["findings"])


def test_bad_input(good: Path, three_classes: Path) -> None:
    refuse(2, "no network named 'nothing'", "good", "--against", "nothing")
    refuse(2, "no such file: nothing.safetensors", "good", "--against", "nothing.safetensors")
    refuse(1, "mlp has no weights", "good", "--against", "mlp")
    Path("text.safetensors").write_text("no model")
    refuse(1, "text.safetensors is not a model file", "good", "--against", "text.safetensors")
    make_run(three_classes, Path("three"))
    refuse(2, "--against three knows class 'one', which good does not", "good", "--against", "three")
    shutil.copytree(three_classes, "two")
    shutil.rmtree("two/zero")
    make_run("two", Path("fewer"))
    refuse(2, "--against fewer lacks class 'zero', which three knows", "three", "--against", "fewer")
    refuse(2, "--against three knows class 'zero', which fewer does not", "fewer", "--against", "three")
    shutil.copytree(good, "seen")
    rows = (good / "split.csv").read_text().replace(",test,", ",train,")
    Path("seen/split.csv").write_text(rows)
    refuse(1, "seen was trained or selected on every image of digits that good", "good", "--against", "seen")
    with pytest.raises(ArgumentError, match="no network named 'lenet'; did you mean lenet5"):
        compare("good", "lenet")
