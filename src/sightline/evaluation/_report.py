"""The report of a run: one HTML file that needs nothing else, not even a network.

What people read is here in percent; each number carries its fraction beside it in a `<data value>`. The
page has no script and no date, so that the same run gives the same bytes.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.style
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from sightline.base import INK, LEVELS, SERIES, Finding, duration, write_text
from sightline.data import PARTS, ImageSet, Split
from sightline.evaluation._evaluate import Evaluation
from sightline.evaluation._scores import ECE_BINS, wilson_interval
from sightline.imaging import UnreadableImageError, decode
from sightline.records import RunFolder

MAX_MISTAKES = 24
"""Mistakes shown."""
MAX_SAMPLES = 120
"""Sample images shown, of all classes together."""
SAMPLES_A_CLASS = 6
MAX_TABLE_CLASSES = 20
"""Classes of a confusion matrix that is a table; a larger one is a picture."""
MAX_PICTURE_CLASSES = 1_000
TABLE_BYTES = 800_000
"""Of both tables of classes; of more classes the first are shown."""
SAMPLE_BYTES = 500_000
"""Of all sample images, before base64."""

_RIGHT, _WRONG = SERIES[0], SERIES[1]
_VARIABLES = {_RIGHT: "var(--right)", _WRONG: "var(--wrong)", INK: "var(--plot-text)"}
"""Colours of plots that the page chooses, for light and for dark."""
_PART_WORDS = {"test": "test part", "val": "validation part", "all": "whole set"}
_PLOT_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
}


def write_report(
    path: Path,
    *,
    run: RunFolder,
    split: Split,
    evaluations: Sequence[Evaluation],
    findings: Sequence[Finding] = (),
) -> None:
    """Write the report of a finished classification run: one HTML file, below 2 MB.

    Args:
        path: The file to write.
        run: The run; its `args.yaml` and `results.csv` are read.
        split: What each image was for.
        evaluations: The first is the headline, others are shown beside it.
        findings: Shown with those of the split and of the evaluations.

    Raises:
        ValueError: if there is no evaluation.
        DataError: if `args.yaml` cannot be read.
        StorageError: if the disk refuses; an older report is untouched.
    """
    if not evaluations:
        raise ValueError("evaluations is empty; a report needs at least one")
    args, rows, headline = _recorded(run.read_args()), run.read_results(), evaluations[0]
    all_findings = _all_findings(split, evaluations, findings)
    page = _template().render(
        css=Markup(resources.files(__package__).joinpath("report.css").read_text("utf-8")),
        colours={"right": _RIGHT, "wrong": _WRONG} | LEVELS,
        dark_colours={"right": SERIES[5], "wrong": SERIES[4], "info": SERIES[5]},
        run=run.path.as_posix(),
        args=args,
        headline=headline,
        part=_PART_WORDS.get(headline.part, headline.part),
        training=_training(args, rows),
        comparison=_comparison(evaluations),
        curves=_curves(rows),
        confusion=_confusion(headline),
        classes=_class_rows(headline),
        calibration=_calibration(headline),
        samples=_samples(headline),
        mistakes=_mistakes(headline),
        split=_split_table(split, headline.images),
        findings=all_findings,
        counts={level: sum(f.level == level for f in all_findings) for level in LEVELS},
        left_out=args["data"]["left_out"] or list(headline.images.left_out),
        shown_classes=_rows_that_fit(headline.images.classes),
        bins=ECE_BINS,
    )
    write_text(path, page.encode(errors="backslashreplace").decode())


def _percent(fraction: float, decimals: int = 2) -> str:
    return f"{100 * fraction:.{decimals}f}\u00a0%"


class _Recorded(dict[str, Any]):
    """A part of `args.yaml`; what a run did not record is None."""

    def __missing__(self, key: str) -> None:
        return None


def _recorded(args: Mapping[str, Any]) -> _Recorded:
    """`args.yaml` with every section there, and every one a mapping."""
    sections = {
        key: _Recorded(args[key]) if isinstance(args.get(key), dict) else _Recorded()
        for key in ("data", "model", "preprocessing", "recipe", "split", "plan", "versions", "machine")
    }
    return _Recorded({**args, **sections})


def _number(row: Mapping[str, str], column: str) -> float:
    """A cell of `results.csv`; NaN where there is no number."""
    try:
        return float(row.get(column) or "nan")
    except ValueError:
        return math.nan


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": "{:,}".format,
        "duration": duration,
        "percent": lambda x, n=2: Markup('<data value="{}">{}</data>').format(repr(float(x)), _percent(x, n)),
        "percent_text": _percent,
    }
    return environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))


# -- scores --------------------------------------------------------------------------------------------


def _training(args: _Recorded, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """How long it trained, how fast, and which epoch was kept."""
    seconds = np.array([_number(row, "seconds") for row in rows])
    pace = np.array([_number(row, "images_per_second") for row in rows])
    timed = np.isfinite(seconds)
    known = timed & np.isfinite(pace)
    total = float(seconds[known].sum())
    return {
        "epochs": len(rows),
        "planned": sum(int(phase.get("epochs", 0)) for phase in args["recipe"]["phases"] or ()),
        "seconds": float(seconds[timed].sum()) if timed.any() else None,
        "images_per_second": float((seconds * pace)[known].sum()) / total if total > 0 else None,
        "kept": _kept_epoch(rows),
    }


def _kept_epoch(rows: Sequence[Mapping[str, str]]) -> int | None:
    """The epoch whose weights are `best`, from 1."""
    marked = [row for row in rows if row.get("best") == "1"]
    return int(marked[-1]["epoch"]) if marked else None


def _comparison(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Scores side by side, each interval drawn on one scale."""
    low = math.floor(10 * min(e.scores.interval[0] for e in evaluations)) / 10
    high = math.ceil(10 * max(e.scores.interval[1] for e in evaluations)) / 10

    def place(fraction: float) -> str:
        return f"{100 * (fraction - low) / (high - low):.2f}"

    rows = [
        {
            "part": _PART_WORDS.get(e.part, e.part),
            "source": e.images.source,
            "selected_on": e.selected_on,
            "scores": e.scores,
            "left": place(e.scores.interval[0]),
            "middle": place(e.scores.top1),
            "right": place(e.scores.interval[1]),
        }
        for e in evaluations
    ]
    return {"rows": rows, "low": low, "high": high}


def _all_findings(
    split: Split, evaluations: Sequence[Evaluation], findings: Sequence[Finding]
) -> list[Finding]:
    """Every finding once, the gravest first."""
    found = [*findings, *split.findings]
    for evaluation in evaluations:
        found += [*evaluation.findings, *evaluation.images.findings]
    order = ("error", "warning", "info")
    return sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.level))


def _confusion(headline: Evaluation) -> dict[str, Any]:
    """The matrix as a table or a picture, and the commonest confusions."""
    matrix, classes = headline.scores.confusion, headline.images.classes
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
        shown["picture"] = _plot(
            "confusion",
            f"Confusion matrix of {len(classes)} classes: rows true, columns predicted",
            (6.4, 6.0),
            lambda figure: _draw_confusion(figure, matrix),
        )
    return shown


def _class_rows(headline: Evaluation) -> list[dict[str, Any]]:
    """What each class scored."""
    matrix, classes = headline.scores.confusion, headline.images.classes
    rows = []
    for t, name in enumerate(classes[: _rows_that_fit(classes)]):
        total, said, right = int(matrix[t].sum()), int(matrix[:, t].sum()), int(matrix[t, t])
        others = matrix[t].copy()
        others[t] = 0
        rows.append(
            {
                "number": t,
                "name": name,
                "total": total,
                "right": right,
                "recall": right / total if total else None,
                "interval": wilson_interval(right, total) if total else None,
                "precision": right / said if said else None,
                "taken_for": classes[int(others.argmax())] if others.any() else None,
                "taken_count": int(others.max()),
            }
        )
    return rows


def _rows_that_fit(classes: Sequence[str]) -> int:
    """How many classes the tables name: 450 bytes of markup each, and four times the name."""
    mean = sum(len(escape(name).encode(errors="replace")) for name in classes) / len(classes)
    return min(len(classes), int(TABLE_BYTES / (450 + 4 * mean)))


def _calibration(headline: Evaluation) -> dict[str, Any]:
    scores = headline.scores
    confidence = sum(count * mean for count, mean, _ in scores.reliability) / scores.n
    plot = _plot(
        "reliability",
        f"Reliability diagram: accuracy against confidence in {ECE_BINS} bins; ECE {_percent(scores.ece)}",
        (4.6, 4.4),
        lambda figure: _draw_reliability(figure, scores.reliability),
    )
    return {"plot": plot, "confidence": confidence, "points": 100 * (confidence - scores.top1)}


# -- images --------------------------------------------------------------------------------------------


def _samples(headline: Evaluation) -> dict[str, Any]:
    """A few images of each class, evenly spaced; of many classes, those that do worst."""
    answers, classes = headline.answers, headline.images.classes
    predicted, probabilities = answers.predicted, answers.probabilities
    right = predicted == answers.targets
    matrix = headline.scores.confusion
    totals = matrix.sum(axis=1)
    present = np.flatnonzero(totals)
    recall = matrix.diagonal()[present] / totals[present]
    chosen = np.sort(present[np.argsort(recall, kind="stable")[:MAX_SAMPLES]])
    each = max(1, min(SAMPLES_A_CLASS, MAX_SAMPLES // len(chosen)))
    cap = min(7_000, SAMPLE_BYTES // (each * len(chosen)))
    groups = []
    for t in chosen:
        mine = np.flatnonzero(answers.targets == t)
        places = mine[np.unique(np.linspace(0, len(mine) - 1, min(each, len(mine))).round().astype(int))]
        tiles = [
            {
                "image": _thumbnail(headline.images, int(answers.ids[i]), box=96, cap=cap),
                "predicted": classes[predicted[i]],
                "probability": float(probabilities[i, predicted[i]]),
                "right": bool(right[i]),
                "name": headline.images.names[answers.ids[i]],
            }
            for i in places
        ]
        groups.append(
            {"name": classes[t], "right": int(right[mine].sum()), "total": len(mine), "tiles": tiles}
        )
    images = [tile["image"] for group in groups for tile in group["tiles"] if tile["image"]]
    wide = max(map(len, classes)) > 8 or not all(image["small"] for image in images)
    return {
        "groups": groups,
        "each": each,
        "chosen": len(chosen),
        "present": len(present),
        "tile": 6.0 if wide else 4.1,
        "high": max((image["height"] for image in images), default=64),
    }


def _mistakes(headline: Evaluation) -> list[dict[str, Any]]:
    """The wrong answers of highest confidence, the most confident first."""
    answers, images = headline.answers, headline.images
    predicted, probabilities = answers.predicted, answers.probabilities
    wrong = np.flatnonzero(predicted != answers.targets)
    order = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:MAX_MISTAKES]
    return [
        {
            "image": _thumbnail(images, int(answers.ids[i]), box=180, cap=12_000),
            "name": images.names[answers.ids[i]],
            "true": images.classes[answers.targets[i]],
            "predicted": images.classes[predicted[i]],
            "probability": float(probabilities[i, predicted[i]]),
            "true_probability": float(probabilities[i, answers.targets[i]]),
        }
        for i in order
    ]


def _thumbnail(images: ImageSet, index: int, box: int, cap: int) -> dict[str, Any] | None:
    """An image as a data URI.

    Args:
        images: The set.
        index: Which image.
        box: Side of the square it is shown in, in CSS pixels.
        cap: Largest number of bytes of its file.

    Returns:
        None if its file cannot be read any more.
    """
    if images.pixels is not None:
        array = images.pixels[index].transpose(1, 2, 0)
        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else np.ascontiguousarray(array))
    else:
        try:
            image = decode(images.path(index), images.channels, at_least=(2 * box, 2 * box))
        except UnreadableImageError:
            return None
    small = max(image.size) <= 64
    if not small:
        image.thumbnail((3 * box // 2, 3 * box // 2))
    image = Image.fromarray(np.asarray(image))  # leaves EXIF, comments and profiles behind
    factor = (2 * box // 3 if small else box) / max(image.size)
    if small:
        factor = max(1, round(factor))
    width, height = (max(1, round(side * factor)) for side in image.size)
    return {"uri": _encode(image, small, cap), "width": width, "height": height, "small": small}


def _encode(image: Image.Image, exact: bool, cap: int) -> str:
    """A PNG where it is to be exact and fits, else a JPEG as good as fits."""
    settings: list[dict[str, Any]] = [{"format": "PNG", "optimize": True}] if exact else []
    settings += [{"format": "JPEG", "quality": quality} for quality in (85, 70, 50, 30, 10)]
    for setting in settings:
        out = io.BytesIO()
        image.save(out, **setting)
        if out.tell() <= cap:
            break
    return f"data:image/{setting['format'].lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def _split_table(split: Split, images: ImageSet) -> dict[str, Any]:
    """Images of each class and part; only the totals where other images were judged."""
    own = len(split.parts) == len(images)
    counts = np.stack([images.counts(split.indices(part)) for part in PARTS]) if own else None
    return {
        "rule": split.rule,
        "seed": split.seed,
        "totals": [len(split.indices(part)) for part in PARTS],
        "rows": None
        if counts is None
        else [
            {"name": name, "counts": [int(n) for n in counts[:, t]], "total": int(counts[:, t].sum())}
            for t, name in enumerate(images.classes[: _rows_that_fit(images.classes)])
        ],
    }


# -- plots ---------------------------------------------------------------------------------------------


def _plot(name: str, label: str, inches: tuple[float, float], draw: Callable[[Figure], None]) -> Markup:
    """A figure as an SVG element to stand in the page.

    Args:
        name: Unique on the page; begins its ids.
        label: What it shows, for those who cannot see it.
        inches: Width and height, which fix how large text is beside it.
        draw: Draws it.
    """
    with matplotlib.style.context(["default", _PLOT_STYLE | {"svg.hashsalt": f"sightline-{name}"}]):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _as_element(out.getvalue(), name, label)


def _as_element(svg: str, name: str, label: str) -> Markup:
    """An SVG file of ours as an element of a page: the page's colours, ids that nothing else has."""
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert box is not None
    body = svg[svg.index(">", box.end()) + 1 :].replace("xlink:href", "href")
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', body))
    body = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(|href=")#', rf"\1#{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(f": {colour.lower()}", f": {variable}")
    return Markup('<svg class="plot" viewBox="{}" role="img" aria-label="{}">').format(
        box[1], label
    ) + Markup(body)


def _curves(rows: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """How the run went, epoch by epoch."""
    if not rows:
        return None
    columns = {name: np.array([_number(row, name) for row in rows]) for name in rows[0]}
    epochs = columns.get("epoch", np.arange(1.0, len(rows) + 1))
    kept = _kept_epoch(rows)
    phases = columns.get("phase", np.zeros(len(rows)))
    starts = [float(epochs[i]) for i in range(1, len(rows)) if phases[i] != phases[i - 1]]
    rates = [name for name in columns if name.startswith("lr_")]
    panels = [
        ("loss", "Loss, nats", [("train", "train_loss"), ("validation", "val_loss")], False),
        ("accuracy", "Accuracy", [("train", "train_accuracy"), ("validation", "val_accuracy")], True),
        ("rate", "Learning rate, last step", [(name.removeprefix("lr_"), name) for name in rates], False),
    ]
    figures = []
    for name, title, wanted, percent in panels:
        lines = [
            (label, columns[column], _line_style(label, i))
            for i, (label, column) in enumerate(wanted)
            if column in columns and np.isfinite(columns[column]).any()
        ]
        if lines:
            label = f"{title} of each of {len(rows)} epochs" + (f"; epoch {kept} was kept" if kept else "")
            draw = functools.partial(_draw_lines, epochs, lines, kept, starts, percent)
            keys = [(label, style) for label, _, style in lines]
            figures.append({"title": title, "keys": keys, "plot": _plot(name, label, (4.4, 2.9), draw)})
    table = [
        {"epoch": int(epochs[i]), "kept": epochs[i] == kept}
        | {name: float(values[i]) for name, values in columns.items() if name.startswith(("train_", "val_"))}
        for i in sorted({0, len(rows) - 1} | set(np.flatnonzero(epochs == kept).tolist()))
    ]
    return {"figures": figures, "table": table, "phases": len(starts) + 1}


def _line_style(label: str, index: int) -> dict[str, str]:
    """Training is dashed, so that it is told from validation without colour."""
    colour = {"train": _WRONG, "validation": _RIGHT}.get(label, SERIES[(2 + index) % len(SERIES)])
    return {
        "colour": colour,
        "variable": _VARIABLES.get(colour, colour),
        "line": "dashed" if label == "train" else "solid",
    }


def _draw_lines(
    epochs: NDArray[np.float64],
    lines: Iterable[tuple[str, NDArray[np.float64], Mapping[str, str]]],
    kept: int | None,
    starts: Sequence[float],
    percent: bool,
    figure: Figure,
) -> None:
    axes = figure.add_subplot()
    for _, values, style in lines:
        marker = "o" if len(epochs) < 4 else ""
        axes.plot(epochs, values, color=style["colour"], linestyle=style["line"], marker=marker)
        if kept is not None:
            axes.plot(kept, values[epochs == kept], "o", color=style["colour"], markersize=5)
    for start in starts:
        axes.axvline(start - 0.5, color=INK, linewidth=0.8)
    if kept is not None:
        axes.axvline(kept, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
        axes.annotate(
            f"kept: {kept}", (kept, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="right" if kept > epochs.mean() else "left", annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(_percent_ticks() if percent else FuncFormatter(lambda y, _: f"{y:.4g}"))


def _percent_ticks() -> FuncFormatter:
    return FuncFormatter(lambda fraction, _: f"{100 * fraction:.4g} %")


def _draw_confusion(figure: Figure, matrix: NDArray[np.int64]) -> None:
    """Shares of each row; a mistake is drawn stronger than its share, so that one is seen."""
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    picture = np.zeros((*matrix.shape, 4))
    picture[:, :, :3] = to_rgb(_WRONG)
    picture[:, :, 3] = np.where(matrix > 0, 0.3 + 0.7 * np.sqrt(shares), 0.0)
    diagonal = np.arange(len(matrix))
    picture[diagonal, diagonal, :3] = to_rgb(_RIGHT)
    picture[diagonal, diagonal, 3] = shares.diagonal()
    axes = figure.add_subplot()
    axes.grid(visible=False)
    axes.imshow(picture, interpolation="none")
    axes.set(xlabel="predicted (number of the class)", ylabel="true (number of the class)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def _draw_reliability(figure: Figure, bins: Sequence[tuple[int, float, float]]) -> None:
    """Accuracy against confidence with 95 % intervals, over how many images there are of each."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    assert isinstance(upper, Axes)
    assert isinstance(lower, Axes)
    filled = [(count, confidence, accuracy) for count, confidence, accuracy in bins if count]
    x = np.array([confidence for _, confidence, _ in filled])
    y = np.array([accuracy for _, _, accuracy in filled])
    ends = np.array([wilson_interval(round(count * accuracy), count) for count, _, accuracy in filled])
    reach = np.maximum(0.0, np.stack([y - ends[:, 0], ends[:, 1] - y]))
    upper.plot([0, 1], [0, 1], color=INK, linestyle="dashed", linewidth=1)
    upper.errorbar(x, y, yerr=reach, color=_RIGHT, elinewidth=1, capsize=2, marker="o", linestyle="none")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(-0.02, 1.02))
    edges = (np.arange(len(bins)) + 0.5) / len(bins)
    lower.bar(edges, [count for count, _, _ in bins], width=0.9 / len(bins), color=_RIGHT, alpha=0.7)
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_formatter(_percent_ticks())
