"""Several networks judged as one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.cli import app
from sightline.data import open_images
from sightline.evaluation import Evaluation, combine, evaluate, evaluate_ensemble, score
from sightline.records import read_model_file, save_model_file
from sightline.tasks.classification import Answers
from sightline.zoo import get_architecture
from test_compare import digests_of
from test_crops import refuse
from test_evaluate import make_run, warnings


def said(probabilities: Any, targets: list[int], classes: tuple[str, ...] = ("a", "b")) -> Evaluation:
    """What a network said of the first digits, as if they were of other classes."""
    images = open_images("digits")
    n = len(targets)
    images = dataclasses.replace(images, classes=classes, targets=np.zeros(len(images), dtype=np.int64))
    answers = Answers(np.log(np.array(probabilities)), np.array(targets), np.arange(n))
    return Evaluation(
        images=images, indices=np.arange(n), part="all", selected_on=False, answers=answers,
        scores=score(answers), protocol="1 crop: the whole image at 8x8",
    )  # fmt: skip


def test_an_ensemble_of_a_model_with_itself_is_the_model(in_tmp: Path) -> None:
    make_run("digits", Path("run"), steps=20, temperature=1.5)
    alone, both = evaluate("run"), evaluate_ensemble("run", ["run"])
    assert both.whole.indices.tolist() == alone.indices.tolist()
    assert both.whole.answers.probabilities == pytest.approx(alone.answers.probabilities, abs=1e-12)
    assert both.whole.answers.predicted.tolist() == alone.answers.predicted.tolist()
    for field in ("top1", "top5", "interval", "balanced_accuracy"):
        assert getattr(both.whole.scores, field) == getattr(alone.scores, field)
    assert both.whole.scores.loss == pytest.approx(alone.scores.loss)
    assert (both.against_first.difference, both.against_first.p_value) == (0.0, 1.0)


def test_two_with_opposite_answers_average_to_a_half() -> None:
    first = said([[0.9, 0.1], [0.25, 0.75]], [0, 1])
    second = said([[0.1, 0.9], [0.75, 0.25]], [0, 1])
    got = combine(["one", "two"], [first, second])
    assert got.whole.answers.probabilities == pytest.approx(np.full((2, 2), 0.5))
    assert got.whole.protocol == (
        "1 crop of each of 2 networks: mean of probabilities (1 crop: the whole image at 8x8)"
    )


def test_it_is_probabilities_that_are_averaged() -> None:
    """0.9 and 0.2 average to 0.55; logits would to 0.6, and votes to a tie."""
    got = combine(["one", "two"], [said([[0.9, 0.1]], [0]), said([[0.2, 0.8]], [0])])
    assert got.whole.answers.probabilities.tolist() == [pytest.approx([0.55, 0.45])]


def test_classes_in_another_order_are_mapped() -> None:
    first = said([[0.7, 0.2, 0.1]], [0], ("a", "b", "c"))
    second = said([[0.3, 0.6, 0.1]], [1], ("c", "a", "b"))  # c 0.3, a 0.6, b 0.1
    got = combine(["one", "two"], [first, second])
    assert got.whole.answers.probabilities.tolist() == [pytest.approx([0.65, 0.15, 0.2])]
    assert got.whole.images.classes == ("a", "b", "c")


def test_members_of_other_images_or_classes_are_not_combined() -> None:
    first = said([[0.7, 0.3]], [0])
    with pytest.raises(ValueError, match="not of the same images and classes"):
        combine(["one", "two"], [first, said([[0.7, 0.3]] * 2, [0, 1])])
    with pytest.raises(ValueError, match="not of the same images and classes"):
        combine(["one", "two"], [first, said([[0.7, 0.3]], [0], ("a", "z"))])


def test_a_model_file_whose_classes_are_in_another_order(in_tmp: Path) -> None:
    """The same network with its outputs turned round is the same member."""
    run = make_run("digits", Path("run"), steps=20)
    header, weights = read_model_file(run / "best.safetensors")
    last = max(name for name in weights if name.endswith("weight"))
    turned = {
        name: value.flip(0) if name in (last, last.replace("weight", "bias")) else value
        for name, value in weights.items()
    }
    turned = {name: value.contiguous() for name, value in turned.items()}
    save_model_file(
        Path("turned.safetensors"), turned, dataclasses.replace(header, classes=header.classes[::-1])
    )
    alone, both = evaluate("run"), evaluate_ensemble("run", ["turned.safetensors"])
    assert both.members[1].images.classes == alone.images.classes[::-1]
    assert both.whole.answers.probabilities == pytest.approx(alone.answers.probabilities, abs=1e-6)
    assert both.whole.answers.targets.tolist() == alone.answers.targets.tolist()


def test_no_image_that_a_member_learned_from_is_judged(in_tmp: Path) -> None:
    runs = [make_run("digits", Path(f"run{k}"), steps=4, split_seed=k) for k in range(3)]
    got = evaluate_ensemble("run0", ["run1", "run2"])
    learned = set[str]().union(*(digests_of(run, "train", "val") for run in runs))
    judged = [got.whole.images.digests[i] for i in got.whole.indices]
    assert judged
    assert set(judged) == {d for d in digests_of(runs[0], "test") if d not in learned}
    for one in got.members:
        assert one.indices.tolist() == got.whole.indices.tolist()
        assert one.known_unseen
        assert not one.selected_on
    counted = [what for what in warnings(got.whole) if "was trained or selected on" in what]
    assert len(counted) == 2
    assert {what.partition("images run")[2][0] for what in counted} == {"1", "2"}


def test_each_member_keeps_its_own_crops_and_temperature(in_tmp: Path) -> None:
    make_run("digits", Path("one"), steps=20, temperature=2.0)
    make_run("digits", Path("two"), steps=40)
    got = evaluate_ensemble("one", ["two"], crops="10")
    alone = [evaluate(name, crops="10") for name in ("one", "two")]
    mean = np.mean([one.answers.probabilities for one in alone], axis=0)
    assert got.whole.answers.probabilities == pytest.approx(mean, abs=1e-9)
    assert got.whole.protocol.startswith("10 crops of each of 2 networks: mean of probabilities (10 crops: ")
    assert "at temperature 2" in got.whole.protocol


def test_the_json_and_the_text(in_tmp: Path) -> None:
    make_run("digits", Path("one"), steps=20)
    make_run("digits", Path("two"), steps=40)
    got = evaluate_ensemble("one", ["two"])
    result = CliRunner().invoke(app, ["evaluate", "one", "--with", "two", "--json"])
    shown = json.loads(result.stdout)
    assert shown["value"] == got.whole.scores.top1
    assert shown["protocol"] == got.whole.protocol
    assert [(m["model"], m["value"]) for m in shown["members"]] == [
        (name, evaluate(name).scores.top1) for name in ("one", "two")
    ]
    told = shown["against_first"]
    assert told["model"] == "one"
    assert told["difference"] == pytest.approx(shown["value"] - shown["members"][0]["value"])
    lines = CliRunner().invoke(app, ["evaluate", "one", "--with", "two"]).stdout.splitlines()
    assert lines[0] == got.describe()
    assert lines[2] == f"protocol: {got.whole.protocol}"
    assert lines[-3].startswith(f"one alone: {got.members[0].describe()}, top-5 ")
    assert lines[-2].startswith(f"two alone: {got.members[1].describe()}, top-5 ")
    assert lines[-1] == got.against_first.describe()
    assert lines[-1].startswith("the ensemble of 2 ")
    assert " one, 95 % interval of the difference" in lines[-1]


def test_all_are_checked_before_any_is_judged(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes densely, the second does not; nothing is judged for nothing."""
    make_run("digits", Path("run"))
    header, _ = read_model_file(Path("run/best.safetensors"))
    built = dataclasses.replace(header.architecture, name="lenet5", input_size=(32, 32))
    preprocessing = header.preprocessing | {"size": [32, 32], "fit": "resize"}
    weights = get_architecture("lenet5").build(num_classes=10).state_dict()
    lenet = dataclasses.replace(header, architecture=built, preprocessing=preprocessing)
    save_model_file(Path("lenet.safetensors"), weights, lenet)
    monkeypatch.setattr("sightline.evaluation._evaluation.show", lambda *_, **__: pytest.fail("judged"))
    for option in ("--with", "--against"):
        refuse(
            2, "--crops dense: mlp cannot", "lenet.safetensors", "digits", option, "run", "--crops", "dense"
        )


def test_a_comparison_shows_both_in_the_same_crops(in_tmp: Path) -> None:
    make_run("digits", Path("one"), steps=20)
    make_run("digits", Path("two"), steps=40)
    result = CliRunner().invoke(app, ["evaluate", "one", "--against", "two", "--crops", "10", "--json"])
    shown = json.loads(result.stdout)
    assert shown["value"] == evaluate("one", crops="10").scores.top1
    assert shown["against"]["value"] == evaluate("two", crops="10").scores.top1


def test_bad_input(in_tmp: Path, three_classes: Path) -> None:
    make_run("digits", Path("run"))
    make_run(three_classes, Path("three"))
    refuse(2, "--with three knows class 'one', which run does not", "run", "--with", "three")
    refuse(1, "mlp has no weights", "run", "--with", "mlp")
    refuse(2, "no network named 'nothing'", "run", "--with", "nothing")
    refuse(2, "--views is of one model; --with judges several", "run", "--with", "run", "--views")
    refuse(2, "give one of them", "run", "--with", "run", "--against", "run")
    refuse(2, "carry their own classes", "run", "--with", "run", "--mean", "0.5")
    refuse(2, "--crops is '11'", "run", "--with", "mlp", "--crops", "11")
    refuse(2, "--crops dense: mlp cannot", "run", "--with", "run", "--crops", "dense")
