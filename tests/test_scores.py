"""Scores and calibration: by hand, and against scikit-learn and SciPy."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from numpy.typing import NDArray
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from sightline.base import ArgumentError, Finding
from sightline.data import Batch, open_images
from sightline.evaluation import (
    Evaluation,
    fit_temperature,
    mean_interval,
    pool,
    reliability,
    score,
    wilson_interval,
)
from sightline.tasks.classification import (
    SELECTORS,
    Answers,
    ClassificationMetric,
    ClassificationTask,
    better,
    check_selector,
)


def random_answers(n: int = 400, classes: int = 8, margin: float = 1.5) -> Answers:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), targets] += margin
    return Answers(logits, targets, np.arange(n))


def odd_answers() -> Answers:
    """Class 2 is never true but said, class 3 has no right answer, class 4 is never said; ties abound."""
    rng = np.random.default_rng(1)
    targets = rng.choice([0, 1, 3, 4], 300)
    logits = rng.normal(size=(300, 5)).round(1).astype(np.float32)
    logits[np.arange(300), targets] += 1.0
    logits[targets == 3, 3] = -9.0
    logits[:, 4] = -8.0
    return Answers(logits, targets, np.arange(300))


def test_against_scikit_learn() -> None:
    answers = random_answers()
    scores = score(answers)
    assert scores.top1 == pytest.approx((answers.logits.argmax(1) == answers.targets).mean())
    assert scores.top5 == pytest.approx(top_k_accuracy_score(answers.targets, answers.logits, k=5))
    assert scores.balanced_accuracy == pytest.approx(
        balanced_accuracy_score(answers.targets, answers.predicted)
    )
    assert scores.loss == pytest.approx(log_loss(answers.targets, answers.probabilities))
    assert (scores.confusion == confusion_matrix(answers.targets, answers.predicted)).all()


@pytest.mark.parametrize("answers", [random_answers(), odd_answers()], ids=["random", "odd"])
def test_f1_against_scikit_learn(answers: Answers) -> None:
    classes = answers.logits.shape[1]
    present = np.unique(answers.targets)
    theirs = f1_score(
        answers.targets, answers.predicted, labels=range(classes), average=None, zero_division=0.0
    )
    assert answers.f1_by_class()[present] == pytest.approx(theirs[present])
    assert np.isnan(np.delete(answers.f1_by_class(), present)).all()
    assert answers.macro_f1() == score(answers).macro_f1 == pytest.approx(theirs[present].mean())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_auroc_against_scikit_learn(temperature: float) -> None:
    answers = dataclasses.replace(random_answers(), temperature=temperature)
    theirs = roc_auc_score(answers.targets, answers.probabilities, multi_class="ovr", average="macro")
    assert answers.auroc() == score(answers).auroc == pytest.approx(theirs, abs=1e-12)


def test_auroc_of_ties_and_of_classes_that_do_not_occur() -> None:
    answers = odd_answers()
    answers = dataclasses.replace(answers, logits=answers.logits.round(0))
    assert len(np.unique(answers.probabilities[:, 0])) < 200, "there are ties"
    present = np.unique(answers.targets)
    theirs = [roc_auc_score(answers.targets == c, answers.probabilities[:, c]) for c in present]
    assert answers.auroc_by_class[present] == pytest.approx(theirs, abs=1e-12)
    assert np.isnan(answers.auroc_by_class[2])
    assert answers.auroc() == pytest.approx(np.mean(theirs), abs=1e-12)


def test_auroc_by_hand() -> None:
    """Class 1 at 0.9, 0.4 and 0.4 against 0.4 and 0.1: of 6 pairs, 4 are right and 2 are ties."""
    one = np.array([0.9, 0.4, 0.4, 0.4, 0.1])
    answers = Answers(np.log(np.stack([1 - one, one], axis=1)), np.array([1, 1, 1, 0, 0]), np.arange(5))
    assert answers.auroc_by_class.tolist() == pytest.approx([5 / 6, 5 / 6])


def test_auroc_of_many_classes_is_ranked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = random_answers().auroc_by_class
    monkeypatch.setattr("sightline.tasks.classification._metric._RANKED_AT_ONCE", 3 * 400 + 1)
    assert random_answers().auroc_by_class.tolist() == whole.tolist()


def test_of_one_class_there_is_no_auroc() -> None:
    answers = Answers(np.eye(3, dtype=np.float32)[[0, 1, 0]], np.array([0, 0, 0]), np.arange(3))
    assert answers.auroc() is None
    scores = score(answers)
    assert scores.auroc is None
    assert scores.to_dict()["auroc"] is None
    assert [one.auroc for one in scores.classes] == [None] * 3


@pytest.mark.parametrize(("targets", "defined"), [([0, 1, 1], True), ([1, 1, 1], False)])
def test_the_metric_computes_every_selector_that_is_defined(targets: list[int], defined: bool) -> None:
    metric = ClassificationMetric()
    logits = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 2.0]])
    batch = Batch(
        images=torch.zeros(3, 1, 1, 1, dtype=torch.uint8),
        targets=torch.tensor(targets),
        ids=np.arange(3),
        sizes=torch.ones(3, 2, dtype=torch.int32),
        transforms=torch.eye(3).expand(3, 3, 3),
    )
    metric.update(logits, batch)
    scores = metric.compute()
    assert set(scores) == set(SELECTORS) - (set() if defined else {"auroc"})
    assert scores["macro_f1"] == pytest.approx(
        f1_score(targets, [0, 0, 1], labels=sorted({*targets}), average="macro")
    )
    if defined:
        assert scores["auroc"] == pytest.approx(1.0)


def test_check_selector() -> None:
    task = ClassificationTask()
    for metric in SELECTORS:
        task.check_selector(metric, np.array([0, 1]))
    for metric in set(SELECTORS) - {"auroc"}:
        check_selector(metric, np.array([1, 1]))
    with pytest.raises(ArgumentError, match=r"--select is 'aurok'; did you mean auroc\?"):
        task.check_selector("aurok", np.array([0, 1]))
    with pytest.raises(ArgumentError, match="--select auroc needs validation images of two classes or more"):
        task.check_selector("auroc", np.array([1, 1]))


def test_scores_of_each_class_against_scikit_learn() -> None:
    answers = odd_answers()
    classes = score(answers).classes
    labels = list(range(5))
    precision = precision_score(
        answers.targets, answers.predicted, labels=labels, average=None, zero_division=np.nan
    )
    recall = recall_score(
        answers.targets, answers.predicted, labels=labels, average=None, zero_division=np.nan
    )
    as_none = [
        [None if math.isnan(x) else pytest.approx(x) for x in values] for values in (precision, recall)
    ]
    assert [one.precision for one in classes] == as_none[0]
    assert [one.recall for one in classes] == as_none[1]
    assert as_none[0][4] is None
    assert as_none[1][2] is None
    assert [one.n for one in classes] == np.bincount(answers.targets, minlength=5).tolist()
    assert (classes[3].right, classes[3].f1) == (0, 0.0)
    assert (classes[2].f1, classes[2].interval, classes[2].auroc) == (None, None, None)
    assert classes[0].interval == wilson_interval(classes[0].right, classes[0].n)
    assert classes[1].auroc == pytest.approx(roc_auc_score(answers.targets == 1, answers.probabilities[:, 1]))
    assert set(classes[0].to_dict()) == {"n", "right", "recall", "precision", "f1", "interval", "auroc"}


def test_a_temperature_divides_logits_and_changes_no_answer() -> None:
    cold = random_answers()
    warm = dataclasses.replace(cold, temperature=2.5)
    assert warm.probabilities == pytest.approx(scipy.special.softmax(cold.logits.astype(float) / 2.5, axis=1))
    assert warm.loss() == pytest.approx(log_loss(warm.targets, warm.probabilities))
    before, after = score(cold), score(warm)
    assert (after.top1, after.top5, after.macro_f1) == (before.top1, before.top5, before.macro_f1)
    assert (after.temperature, after.ece_uncalibrated, after.loss_uncalibrated) == (
        2.5,
        before.ece,
        before.loss,
    )
    assert (before.temperature, before.ece_uncalibrated, before.loss_uncalibrated) == (
        1.0,
        before.ece,
        before.loss,
    )
    assert after.ece != before.ece
    assert after.reliability != before.reliability
    shown = after.to_dict()
    assert [shown[key] for key in ("macro_f1", "auroc", "temperature", "ece", "ece_uncalibrated")] == [
        after.macro_f1, after.auroc, 2.5, after.ece, before.ece,
    ]  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        dataclasses.replace(random_answers(), temperature=temperature)


def test_calibration_by_hand() -> None:
    confidence = np.array([0.95, 0.93, 0.55, 0.51])
    right = np.array([True, False, True, False])
    table = reliability(confidence, right, bins=10)
    assert table[9] == (2, pytest.approx(0.94), 0.5)
    assert table[5] == (2, pytest.approx(0.53), 0.5)
    assert sum(count for count, _, _ in table) == 4


def test_ece_is_the_weighted_gap() -> None:
    logits = np.log(np.array([[0.9, 0.1]] * 10, dtype=np.float32))
    answers = Answers(logits, np.array([0] * 6 + [1] * 4), np.arange(10))
    assert score(answers).ece == pytest.approx(0.3, abs=1e-6)


def test_a_bin_holds_its_upper_edge() -> None:
    table = reliability(np.array([0.5, 1.0]), np.array([True, True]), bins=2)
    assert [count for count, _, _ in table] == [1, 1]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (0, 10, 0.0, 0.2775),  # z^2 / (n + z^2), by hand
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(k, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_refuses_no_trials() -> None:
    with pytest.raises(ValueError, match="trials must be positive; it is 0"):
        wilson_interval(0, 0)


def test_top5_counts_ties_against_the_network() -> None:
    flat = Answers(np.zeros((1, 10), np.float32), np.array([0]), np.array([0]))
    assert score(flat).top5 == 0.0
    few = Answers(np.zeros((1, 4), np.float32), np.array([3]), np.array([0]))
    assert score(few).top5 == 1.0


def test_better() -> None:
    old = {"accuracy": 0.9, "loss": 0.5, "balanced_accuracy": 0.9, "macro_f1": 0.9, "auroc": 0.9}
    assert better("accuracy", old | {"accuracy": 0.91, "loss": 9.0}, old)
    assert better("accuracy", old | {"loss": 0.4}, old), "a tie goes to the lower loss"
    assert not better("accuracy", old, old)
    assert better("loss", old | {"loss": 0.4}, old)
    assert not better("loss", old | {"loss": float("nan")}, old)
    assert better("accuracy", old, None)
    for metric in ("macro_f1", "auroc"):
        assert better(metric, old | {metric: 0.91}, old)
        assert not better(metric, old | {metric: 0.89}, old)
    with pytest.raises(ValueError, match="did you mean accuracy"):
        better("acuracy", old, None)


# Mistakes


def judged(answers: Answers) -> Evaluation:
    """An evaluation of the digits with some answers."""
    return Evaluation(
        images=open_images("digits"),
        indices=answers.ids,
        part="test",
        selected_on=False,
        answers=answers,
        scores=score(answers),
    )


def digit_answers(n: int = 60) -> Answers:
    """Of every thirtieth digit."""
    ids = np.arange(0, 30 * n, 30)
    rng = np.random.default_rng(0)
    targets = open_images("digits").targets[ids]
    logits = rng.normal(size=(n, 10)).astype(np.float32)
    logits[np.arange(n), targets] += 1.5
    return Answers(logits, targets, ids)


def test_mistakes_are_the_most_confident() -> None:
    answers = dataclasses.replace(digit_answers(), temperature=2.0)
    result = judged(answers)
    wrong = sorted(
        (-float(p.max()), result.images.names[i], str(p.argmax()))
        for p, i, t in zip(answers.probabilities, answers.ids, answers.targets, strict=True)
        if p.argmax() != t
    )
    assert len(wrong) > 10
    assert [(-m.probability, m.path, m.predicted) for m in result.mistakes(10)] == wrong[:10]
    assert len(result.mistakes(1_000)) == len(wrong)
    for mistake in result.mistakes(10):
        assert mistake.path == result.images.names[mistake.index]
        assert mistake.path.startswith(f"{mistake.true}/")


def test_of_equally_confident_mistakes_the_path_decides() -> None:
    answers = digit_answers()
    order = np.random.default_rng(3).permutation(60)
    flat = Answers(np.zeros((60, 10), np.float32), answers.targets[order], answers.ids[order])
    result = judged(flat)
    wrong = (i for i in answers.ids if result.images.targets[i] != 0)
    assert [m.path for m in result.mistakes(60)] == sorted(result.images.names[i] for i in wrong)


# Several runs


def fold_of(whole: Answers, places: slice, temperature: float) -> Evaluation:
    """Some of the answers, as one network's own."""
    return judged(Answers(whole.logits[places], whole.targets[places], whole.ids[places], temperature))


def test_pooled_folds_score_as_one() -> None:
    whole = digit_answers()
    folds = [fold_of(whole, slice(1, None, 3), 2.0), fold_of(whole, slice(0, None, 3), 0.5)]
    folds.append(fold_of(whole, slice(2, None, 3), 1.0))
    pooled = pool(folds, "out of fold")
    assert (pooled.part, pooled.indices.tolist()) == ("out of fold", whole.ids.tolist())
    assert pooled.answers.ids.tolist() == whole.ids.tolist()
    assert pooled.scores.confusion.tolist() == whole.confusion().tolist()
    for fold, start in zip(folds, (1, 0, 2), strict=True):
        assert pooled.answers.probabilities[start::3] == pytest.approx(fold.answers.probabilities, abs=1e-12)
    assert pooled.scores.temperature == 1.0
    assert pooled.scores.loss == pytest.approx(np.mean([fold.scores.loss for fold in folds]))
    assert pooled.scores.loss_uncalibrated == pytest.approx(whole.loss())
    assert pooled.scores.ece_uncalibrated == pytest.approx(score(whole).ece)
    assert pooled.scores.ece != pytest.approx(score(whole).ece, abs=1e-3)


def test_pooling_keeps_every_doubt() -> None:
    whole = digit_answers()
    finding = Finding(level="warning", where="x", what="y", why="z", do="w")
    one = dataclasses.replace(fold_of(whole, slice(0, 9), 1.0), findings=(finding,))
    two = dataclasses.replace(fold_of(whole, slice(9, 18), 1.0), findings=(finding,))
    pooled = pool([one, two], "all")
    assert (pooled.selected_on, pooled.known_unseen, pooled.findings) == (False, True, (finding,))
    pooled = pool([one, dataclasses.replace(two, selected_on=True, known_unseen=False)], "all")
    assert (pooled.selected_on, pooled.known_unseen) == (True, False)


def test_what_cannot_be_pooled() -> None:
    whole = digit_answers()
    one = fold_of(whole, slice(0, 9), 1.0)
    with pytest.raises(ValueError, match="nothing to pool"):
        pool([], "all")
    with pytest.raises(ValueError, match="evaluations share images"):
        pool([one, fold_of(whole, slice(8, 18), 1.0)], "all")
    two = fold_of(whole, slice(9, 18), 1.0)
    others = (dataclasses.replace(two.images, classes=tuple("abcdefghij")),)
    others += (dataclasses.replace(two.images, digests=two.images.digests[::-1]),)
    for images in others:
        with pytest.raises(ValueError, match="of different image sets"):
            pool([one, dataclasses.replace(two, images=images)], "all")


def test_mean_interval_against_scipy() -> None:
    values = [0.91, 0.95, 0.90, 0.97, 0.93]
    mean, interval = mean_interval(values)
    theirs = scipy.stats.t.interval(0.95, df=4, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert mean == pytest.approx(0.932)
    assert interval == pytest.approx(theirs)
    assert mean_interval([0.5, 0.5]) == (0.5, (0.5, 0.5))


@pytest.mark.parametrize("values", [[], [0.9]])
def test_one_run_has_no_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match=f"values must be two or more; there are {len(values)}"):
        mean_interval(values)


# Calibration


def drawn_from(logits: NDArray[np.float64], temperature: float, seed: int = 0) -> Answers:
    """Answers whose targets are drawn with the probabilities of the logits at a temperature."""
    rng = np.random.default_rng(seed)
    p = scipy.special.softmax(logits / temperature, axis=1)
    targets = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=p.shape[1] - 1)
    return Answers(logits.astype(np.float32), targets, np.arange(len(p)))


def normal_logits(n: int, classes: int = 5, scale: float = 3.0, seed: int = 1) -> NDArray[np.float64]:
    return scale * np.random.default_rng(seed).normal(size=(n, classes))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0, 6.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    """To 5 %: some four standard errors of these 20,000 images where they say least."""
    answers = drawn_from(normal_logits(20_000, scale=3 * temperature), temperature)
    assert fit_temperature(answers) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_helps_on_other_images() -> None:
    fitted = fit_temperature(drawn_from(normal_logits(300), 2.5))
    other = drawn_from(normal_logits(5_000, seed=2), 2.5, seed=3)
    scores = score(dataclasses.replace(other, temperature=fitted))
    assert scores.loss < scores.loss_uncalibrated - 0.1
    assert scores.ece < scores.ece_uncalibrated / 3


def brute_force(answers: Answers) -> float:
    """The cost as it is written down, at every temperature of a fine grid."""
    grid = np.exp(np.linspace(math.log(0.05), math.log(20), 4001))
    n = len(answers.targets)
    costs = [
        n * dataclasses.replace(answers, temperature=float(t)).loss() + math.log(t) ** 2 / (2 * 0.5**2)
        for t in grid
    ]
    return float(grid[np.argmin(costs)])


@pytest.mark.parametrize(
    "answers",
    [
        drawn_from(normal_logits(40), 2.0),
        drawn_from(normal_logits(7), 0.5),
        random_answers(30, margin=9.0),
        Answers(np.array([[0.02, 0.0]] * 60, np.float32), np.zeros(60, np.int64), np.arange(60)),
        Answers(np.array([[0.05, 0.0]] * 60, np.float32), np.zeros(60, np.int64), np.arange(60)),
    ],
    ids=["some", "few", "all right", "two minima, right of them", "two minima, left of them"],
)
def test_the_cost_is_at_its_least(answers: Answers) -> None:
    assert fit_temperature(answers) == pytest.approx(brute_force(answers), rel=3e-3)


def test_few_images_or_no_mistakes_leave_the_temperature_near_one() -> None:
    ten = random_answers(10, margin=4.0)
    assert (ten.predicted == ten.targets).all()
    assert 0.5 < fit_temperature(ten) < 1.0
    for seed in range(20):
        assert 0.5 < fit_temperature(drawn_from(normal_logits(10, seed=seed), 1.0, seed)) < 2.0
    sure = Answers(np.eye(4, dtype=np.float32)[[0, 1, 2, 3]] * 50, np.arange(4), np.arange(4))
    assert fit_temperature(sure) == pytest.approx(1.0, abs=1e-3)
    many = Answers(
        np.eye(2, dtype=np.float32)[np.arange(5_000) % 2] * 8, np.arange(5_000) % 2, np.arange(5_000)
    )
    assert 0.3 < fit_temperature(many) < 1.0, "separable: without the prior it would be the least allowed"


def test_what_is_no_number_has_no_say_in_the_temperature() -> None:
    answers = drawn_from(normal_logits(200), 2.0)
    broken = answers.logits.copy()
    broken[::10] = np.nan
    kept = np.arange(200) % 10 > 0
    finite = Answers(answers.logits[kept], answers.targets[kept], answers.ids[kept])
    assert fit_temperature(dataclasses.replace(answers, logits=broken)) == fit_temperature(finite)
    nothing = dataclasses.replace(answers, logits=np.full_like(answers.logits, np.nan))
    assert fit_temperature(nothing) == pytest.approx(1.0, abs=1e-4)


def test_a_temperature_that_is_there_already_is_not_looked_at() -> None:
    answers = drawn_from(normal_logits(100), 2.0)
    assert fit_temperature(dataclasses.replace(answers, temperature=7.0)) == fit_temperature(answers)
