"""What the tables of a report say."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from sightline.base import LEVELS, Finding
from sightline.data import PARTS, ImageSet
from sightline.evaluation._evaluation import Evaluation
from sightline.evaluation._scores import ECE_BINS, ClassificationScores, reliability
from sightline.evaluation.report._figures import Bins, confusion_figure, reliability_figure
from sightline.evaluation.report._words import percent
from sightline.tasks.classification import Answers

MAX_TABLE_CLASSES = 20
"""Classes of a confusion matrix that is a table; a larger one is a picture."""
MAX_PICTURE_CLASSES = 1_000
TABLE_BYTES = 800_000
"""Of all tables of classes; of more classes the first are shown."""
_ROW_BYTES, _COLUMN_BYTES, _NAMES = 660, 20, 5
"""Of one class: markup in all tables, that of a column of the split, and how often its name is said."""


def rows_that_fit(classes: Sequence[str], columns: int = len(PARTS)) -> int:
    """How many classes the tables name, where the split has so many columns."""
    mean = sum(len(escape(name).encode(errors="replace")) for name in classes) / len(classes)
    return min(len(classes), int(TABLE_BYTES / (_ROW_BYTES + _COLUMN_BYTES * columns + _NAMES * mean)))


def placed(scores: Sequence[ClassificationScores]) -> dict[str, Any]:
    """Each accuracy and its interval on one scale that holds them all."""
    low = math.floor(10 * min(s.interval[0] for s in scores)) / 10
    high = math.ceil(10 * max(s.interval[1] for s in scores)) / 10

    def place(fraction: float) -> str:
        return f"{100 * (fraction - low) / (high - low):.2f}"

    bars = [
        {"left": place(s.interval[0]), "middle": place(s.top1), "right": place(s.interval[1])} for s in scores
    ]
    return {"bars": bars, "low": low, "high": high}


def gather_findings(*sources: Sequence[Finding]) -> list[Finding]:
    """Every finding once, the gravest first."""
    found = [finding for source in sources for finding in source]
    order = ("error", "warning", "info")
    assert set(order) == set(LEVELS)
    return sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.level))


# -- classes -------------------------------------------------------------------------------------------


def confusion(evaluation: Evaluation) -> dict[str, Any]:
    """The matrix as a table or a picture, and the commonest confusions."""
    matrix, classes = evaluation.scores.confusion, evaluation.images.classes
    totals = matrix.sum(axis=1)
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:5]
    pairs = [divmod(int(flat), len(classes)) for flat in order]
    shown: dict[str, Any] = {
        "commonest": [
            {"true": classes[t], "predicted": classes[p], "count": int(off[t, p]), "of": int(totals[t])}
            for t, p in pairs
            if off[t, p] > 0
        ],
        "largest": {"name": classes[int(totals.argmax())], "count": int(totals.max())},
        "rows": None,
        "picture": None,
        "upright": any(len(name) > 4 for name in classes),
        "classes": classes,
    }
    if len(classes) <= MAX_TABLE_CLASSES:
        shown["rows"] = [
            {
                "name": classes[t],
                "total": int(totals[t]),
                "cells": [
                    {"count": int(count), "share": f"{count / max(1, totals[t]):.3f}", "right": p == t}
                    for p, count in enumerate(matrix[t])
                ],
            }
            for t in range(len(classes))
        ]
    elif len(classes) <= MAX_PICTURE_CLASSES:
        shown["picture"] = confusion_figure(matrix)
    return shown


def class_table(evaluation: Evaluation) -> dict[str, Any]:
    """What each class scored, and the means."""
    scores, classes = evaluation.scores, evaluation.images.classes
    rows = []
    for t, name in enumerate(classes[: rows_that_fit(classes)]):
        wrong = scores.confusion[t].copy()
        wrong[t] = 0
        rows.append(
            {
                "number": t,
                "name": name,
                "scores": scores.classes[t],
                "taken_for": classes[int(wrong.argmax())] if wrong.any() else None,
                "taken_count": int(wrong.max()),
            }
        )
    occurring = [one for one in scores.classes if one.n]
    return {
        "rows": rows,
        "total": len(classes),
        "numbered": MAX_TABLE_CLASSES < len(classes) <= MAX_PICTURE_CLASSES,
        "mean": {
            "precision": statistics.fmean(one.precision or 0.0 for one in occurring),
            "recall": scores.balanced_accuracy,
            "f1": scores.macro_f1,
            "auroc": scores.auroc,
        },
        "never_said": sum(one.precision is None for one in occurring),
    }


def split_table(
    images: ImageSet, columns: Sequence[tuple[str, NDArray[np.int64]]], *, own: bool = True
) -> dict[str, Any]:
    """Images of each class and part, as a table and as text.

    Args:
        images: The set.
        columns: What is counted: a title, and the images.
        own: Whether `columns` are of `images`; else only their totals can be given.
    """
    titles = [title for title, _ in columns]
    totals = [len(indices) for _, indices in columns]
    rows: list[dict[str, Any]] = []
    if own:
        counts = np.stack([images.counts(indices) for _, indices in columns], axis=1)
        rows = [
            {"name": name, "counts": [int(n) for n in counts[t]], "total": int(counts[t].sum())}
            for t, name in enumerate(images.classes[: rows_that_fit(images.classes, len(columns))])
        ]
    table = [["class", *titles, "all"]]
    table += [[_cell(row["name"]), *map(str, row["counts"]), str(row["total"])] for row in rows]
    table += [["all", *map(str, totals), str(sum(totals))]]
    table.insert(1, [":--", *["--:"] * (len(titles) + 1)])
    return {
        "titles": titles,
        "rows": rows,
        "own": own,
        "totals": totals,
        "total": len(images.classes),
        "text": "\n".join(f"| {' | '.join(row)} |" for row in table),
    }


def _cell(name: str) -> str:
    """A class name that cannot end its cell of a Markdown table."""
    return " ".join(name.split()).replace("\\", "\\\\").replace("|", "\\|")


# -- calibration ---------------------------------------------------------------------------------------


def calibration(evaluation: Evaluation, members: Sequence[Evaluation] = ()) -> dict[str, Any]:
    """How far the probabilities can be believed.

    Args:
        evaluation: What was answered.
        members: Where it is pooled, what it is pooled of, each with a temperature of its own.
    """
    scores = evaluation.scores
    temperatures = [one.scores.temperature for one in members or [evaluation]]
    scaled = any(temperature != 1.0 for temperature in temperatures)
    before = _bins_before([one.answers for one in members or [evaluation]]) if scaled else None
    confidence = sum(count * mean for count, mean, _ in scores.reliability) / scores.n
    label = f"Reliability diagram: accuracy against confidence in {ECE_BINS} bins; ECE {percent(scores.ece)}"
    if before is not None:
        label += f", before temperature scaling {percent(scores.ece_uncalibrated)}"
    return {
        "plot": reliability_figure(label, scores.reliability, before),
        "confidence": confidence,
        "points": 100 * (confidence - scores.top1),
        "temperatures": (min(temperatures), max(temperatures)) if scaled else None,
        "fitted_here": scaled and evaluation.part == "val",
        "pooled": bool(members),
        "bins": ECE_BINS,
    }


def _bins_before(every: Sequence[Answers]) -> Bins:
    """The reliability of what was said before any temperature."""
    bare = [dataclasses.replace(answers, temperature=1.0) for answers in every]
    confidence = np.concatenate([answers.probabilities.max(axis=1) for answers in bare])
    right = np.concatenate([answers.predicted == answers.targets for answers in bare])
    return reliability(confidence, right)
