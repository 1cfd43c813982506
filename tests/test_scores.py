"""Scores: by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score

from sightline.evaluation import reliability, score, wilson_interval
from sightline.tasks.classification import Answers, better


def random_answers(n: int = 400, classes: int = 8) -> Answers:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), targets] += 1.5
    return Answers(logits, targets, np.arange(n))


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
    old = {"accuracy": 0.9, "loss": 0.5, "balanced_accuracy": 0.9}
    assert better("accuracy", old | {"accuracy": 0.91, "loss": 9.0}, old)
    assert better("accuracy", old | {"loss": 0.4}, old), "a tie goes to the lower loss"
    assert not better("accuracy", old, old)
    assert better("loss", old | {"loss": 0.4}, old)
    assert not better("loss", old | {"loss": float("nan")}, old)
    assert better("accuracy", old, None)
    with pytest.raises(ValueError, match="did you mean accuracy"):
        better("acuracy", old, None)
