"""From logits to probabilities, with the exponentials and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.base import SERIES, ArgumentError, DataError, Finding
from sightline.blueprint import execute
from sightline.views._colour import plotted
from sightline.views._evidence import probabilities
from sightline.views._registry import How, Request
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel, View

_SHOWN = 10
_LARGEST = 700.0
"""Of an exponent in double precision."""
_INK, _PALE = "#1c2026", "#60686f"


def softmax(
    subject: Subject, picture: Picture, *, temperature: float | None = None, top: int = _SHOWN
) -> View:
    """Logits to probabilities: each divided by the temperature, its exponential, and its share of their sum.

    Args:
        subject: A classifier that gives one logit a class.
        picture: What it sees.
        temperature: What the logits are divided by; None for the model's own, fitted one, or 1.
        top: Classes written out, the most probable.

    Raises:
        ArgumentError: if the temperature is not above 0, or the output is not one number a class.
        DataError: if a logit is not finite.

    Example:
        >>> import numpy as np, torch
        >>> from sightline.views import Subject
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 2, bias=False))
        >>> network[1].weight.data = torch.tensor([[1.0], [0.0]])
        >>> subject = Subject.of(network, (1, 1, 1))
        >>> view = softmax(subject, subject.picture(np.full((1, 1), 255, np.uint8)))  # e^1 / (e^1 + e^0)
        >>> view.arrays["probabilities"].round(3).tolist()
        [0.731, 0.269]
    """
    fitted = None if subject.header is None else subject.header.temperature
    chosen = temperature if temperature is not None else fitted if fitted is not None else 1.0
    if not (np.isfinite(chosen) and chosen > 0):
        raise ArgumentError(f"--temperature is {chosen:g}; it must be above 0")
    logits = logits_of(subject, picture)
    scaled = logits / chosen
    shift = float(scaled.max()) if np.abs(scaled).max() > _LARGEST else 0.0
    exponentials = np.exp(scaled - shift)
    total = float(exponentials.sum())
    shares = exponentials / total
    order = np.argsort(-shares, kind="stable")[:top]
    best = int(order[0])
    whose = "given" if temperature is not None else "none was fitted"
    if temperature is None and fitted is not None:
        whose = "the model's own, fitted on validation images"
    notes = [
        f"probability = e^(z/T) / sum; the sum over all {len(logits):,} classes is {total:.6g}; "
        f"T = {chosen:g} ({whose})"
    ]
    if shift:
        notes.append(f"the largest z/T, {shift:.6g}, was taken off each exponent: no share changes by it")
    if fitted is not None and temperature is not None:
        notes.append(f"the model's own fitted temperature is {fitted:g}")
    notes += picture.notes
    table = _table(subject, order, logits, scaled, exponentials, shares, chosen)
    return View(
        how="softmax",
        title=f"Softmax of {subject.name} for {picture.title}: "
        f"{100 * shares[best]:.1f} % {subject.class_name(best)}",
        notes=tuple(notes),
        panels=(table, _by_temperature(subject, order[:5], logits, chosen, fitted)),
        arrays={"logits": logits, "exponentials": exponentials, "probabilities": shares},
        figures={
            "temperature": chosen,
            "fitted_temperature": fitted,
            "sum": total,
            "classes": [
                {
                    "class": subject.class_name(int(k)),
                    "logit": float(logits[k]),
                    "exponential": float(exponentials[k]),
                    "probability": float(shares[k]),
                }
                for k in order
            ],
        },
        findings=_faults(subject, logits),
    )


def logits_of(subject: Subject, picture: Picture) -> NDArray[np.float64]:
    """What a classifier says of an image, in double precision. -> (classes,).

    Raises:
        ArgumentError: if its output is not one number a class.
        DataError: if one is not finite.
    """
    with torch.no_grad():
        output = execute(subject.network, picture.x).output
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if (
        not isinstance(output, torch.Tensor)
        or output.dim() != 2
        or output.shape[0] != 1
        or output.shape[1] < 2
    ):
        raise ArgumentError(
            f"{subject.name} gives {shape} for one image; softmax needs (1, classes), a logit each"
        )
    logits: NDArray[np.float64] = output[0].double().cpu().numpy()
    if not np.isfinite(logits).all():
        raise DataError(f"{subject.name}: {int((~np.isfinite(logits)).sum())} of its logits are not finite")
    return logits


def shares_of(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return shares


def answer(subject: Subject, logits: NDArray[np.float64], width: int, count: int = 5) -> Panel:
    """The most probable classes as bars.

    Args:
        subject: The network.
        logits: (classes,), what it gave: probabilities already, where it ends in a softmax.
        width: In pixels.
        count: Of classes.
    """
    shares = probabilities(subject, torch.from_numpy(logits)[None])[0].numpy()
    best = [int(k) for k in np.argsort(-shares, kind="stable")[:count]]

    def draw(axes: Any) -> None:
        axes.barh(range(len(best)), 100 * shares[best], color=SERIES[0])
        for y, k in enumerate(best):
            axes.text(100 * shares[k] + 1, y, f"{100 * shares[k]:.1f} %", va="center", fontsize=9)
        axes.set_yticks(range(len(best)), labels=[cut(subject.class_name(k), 24) for k in best])
        axes.invert_yaxis()
        axes.set_xlim(0, 118)
        axes.set_xticks([0, 50, 100])
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)

    panel = plotted(draw, width, 40 + 34 * len(best))
    return Panel(pixels=panel.pixels, width=panel.width, title="its answer: probability in %")


def _table(
    subject: Subject, order: Sequence[int] | NDArray[np.int64], logits: NDArray[np.float64],
    scaled: NDArray[np.float64], exponentials: NDArray[np.float64], shares: NDArray[np.float64],
    temperature: float,
) -> Panel:  # fmt: skip
    """The sum, a class a row, with bars."""
    rest = len(logits) - len(order)
    rows = len(order) + (1 if rest else 0) + 1

    def draw(axes: Any) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 100)
        axes.set_ylim(rows + 0.6, -0.9)
        places = (38, 50, 66, 76)
        heads = ("logit z", f"z / {temperature:g}", "e^(z/T)", "share")
        for x, text in zip(places, heads, strict=True):
            axes.text(x, -0.4, text, ha="right", color=_PALE, fontsize=10)
        for y, k in enumerate(order):
            axes.text(0, y + 0.5, cut(subject.class_name(int(k))), va="center", color=_INK, fontsize=11)
            values = (
                f"{logits[k]:.3f}", f"{scaled[k]:.3f}", f"{exponentials[k]:.4g}",
                f"{100 * shares[k]:.2f} %",
            )  # fmt: skip
            for x, text in zip(places, values, strict=True):
                axes.text(x, y + 0.5, text, ha="right", va="center", color=_INK, fontsize=11)
            axes.barh(y + 0.5, 22 * shares[k], left=78, height=0.62, color=SERIES[0])
        y = len(order)
        if rest:
            others = np.setdiff1d(np.arange(len(logits)), order)
            axes.text(0, y + 0.5, f"{rest:,} other classes", va="center", color=_PALE, fontsize=11)
            share = float(shares[others].sum())
            sums = f"{exponentials[others].sum():.4g}"
            axes.text(places[2], y + 0.5, sums, ha="right", va="center", color=_PALE, fontsize=11)
            axes.text(
                places[3], y + 0.5, f"{100 * share:.2f} %", ha="right", va="center", color=_PALE, fontsize=11
            )
            axes.barh(y + 0.5, 22 * share, left=78, height=0.62, color=SERIES[6])
            y += 1
        axes.plot((0, 100), (y + 0.05, y + 0.05), color=_PALE, linewidth=0.8)
        axes.text(0, y + 0.5, "sum", va="center", color=_INK, fontsize=11, weight="bold")
        total = f"{exponentials.sum():.4g}"
        axes.text(places[2], y + 0.5, total, ha="right", va="center", color=_INK, fontsize=11, weight="bold")
        axes.text(
            places[3], y + 0.5, "100 %", ha="right", va="center", color=_INK, fontsize=11, weight="bold"
        )

    return plotted(draw, 940, 70 + 30 * rows)


def _by_temperature(
    subject: Subject, order: Sequence[int] | NDArray[np.int64], logits: NDArray[np.float64], chosen: float,
    fitted: float | None,
) -> Panel:  # fmt: skip
    """What other temperatures would say."""
    temperatures = np.geomspace(min(0.25, chosen / 2), max(8.0, chosen * 2), 120)
    shares = shares_of(logits[None] / temperatures[:, None])

    def draw(axes: Any) -> None:
        for colour, k in zip(SERIES, order, strict=False):
            axes.plot(
                temperatures, 100 * shares[:, k], color=colour, label=cut(subject.class_name(int(k)), 24)
            )
        axes.axvline(chosen, color=_PALE, linestyle="--", linewidth=1)
        if fitted is not None and fitted != chosen:
            axes.axvline(fitted, color=_PALE, linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_xticks([0.25, 0.5, 1, 2, 4, 8], labels=["0.25", "0.5", "1", "2", "4", "8"])
        axes.minorticks_off()
        axes.set_ylim(0, 101)
        axes.set_xlabel("temperature T")
        axes.set_ylabel("probability in %")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))

    panel = plotted(draw, 940, 300)
    caption = (
        "a low temperature makes the answer surer, a high one less sure; no order changes. Dashed: T as above"
    )
    if fitted is not None and fitted != chosen:
        caption += "; dotted: the model's own"
    return Panel(pixels=panel.pixels, width=panel.width, caption=caption)


def cut(name: str, length: int = 30) -> str:
    """A name, or its beginning."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _faults(subject: Subject, logits: NDArray[np.float64]) -> tuple[Finding, ...]:
    if logits.min() >= 0 and abs(logits.sum() - 1) < 1e-4:
        return (
            Finding(
                level="warning",
                where=subject.name,
                what="its outputs are probabilities already: none is negative and they add up to 1",
                why="a softmax of them is nearly the same for every class",
                do="look at the layer before its last",
            ),
        )
    if logits.max() - logits.min() < 1e-6 * max(1.0, float(np.abs(logits).max())):
        return (
            Finding(
                level="info",
                where=subject.name,
                what="all logits are the same",
                why="the network has nothing to say of this image: every class is as likely",
                do="train it, or look at another image",
            ),
        )
    return ()


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    top = _SHOWN if request.top is None else request.top
    return softmax(subject, subject.picture(request.image), temperature=request.temperature, top=top)


VIEWS = (
    How(
        name="softmax",
        about="logits to probabilities, with the exponentials and their sum; temperature",
        make=_make,
        needs="image",
        options=frozenset({"temperature", "top"}),
    ),
)
