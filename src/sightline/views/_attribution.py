"""What a score rests on, pixel by pixel: gradients, guided, averaged over noise, integrated along a path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint import Call, in_mode
from sightline.views._evidence import (
    Map,
    Rule,
    Score,
    as_map,
    check_picture,
    flat,
    gradient_and_score,
    heat,
    input_gradient,
    overlay,
    pixel_panels,
    score,
    scores_of,
    shown_picture,
)
from sightline.views._registry import How, Request
from sightline.views._sanity import with_sanity
from sightline.views._subject import Picture, Subject
from sightline.views._view import View

Baseline = Literal["mean", "black", "white"]

COMPLETE = 1e-3
"""Integrated gradients add up to the difference of the scores within so much of it, or of 1 if it is less."""
_STEPS, _MOST = 32, 512
"""Steps of a path to begin with, and gradients at most; a step that does not add up is halved."""
_SMALL = 0.01
"""A share of the difference that is good to know where it is missing; more is a warning."""
_BATCH = 16
_NOISE = 0.15
_SAMPLES = 50
_ROUGH = 16
"""Steps and samples at most, of the maps by which networks with random weights are compared."""
_RECTIFIERS = frozenset(
    {
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
    }
)
_CLAMPS = frozenset({"clamp", "clamp_min", "clip"})


def saliency(
    subject: Subject,
    picture: Picture,
    *,
    target: str | int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """The derivative of a class's score with respect to every pixel.

    Args:
        subject: The network.
        picture: The image.
        target: A class by name or number; the most probable where None.
        sanity: Check it against random weights and by deletion and insertion.
        seed: Of what is random in that.

    Raises:
        ArgumentError: if there is no such class, or the network gives no score a class.

    Source: Simonyan, Vedaldi, Zisserman 2013, Deep inside convolutional networks, section 3.
    """
    said = score(subject, picture, target)

    def explain(network: nn.Module) -> Tensor:
        return input_gradient(network, picture.x, said.index)[0]

    note = "the derivative of the score: what changes it most when moved a little, not what made it"
    values = explain(subject.network)
    view = _of_gradient(subject, picture, said, "saliency", "Gradient", values, note)
    return _checked(view, subject, picture, said, explain, seed) if sanity else view


def guided(
    subject: Subject,
    picture: Picture,
    *,
    target: str | int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """Guided backpropagation: the gradient, of which every rectifier lets only what is positive back through.

    Rectifiers are met as they run, be they layers, functions, written in place or used twice.

    Arguments as `saliency`.

    Raises:
        ArgumentError: as `saliency`, and if the network has no rectifier.

    Source: Springenberg et al. 2014, Striving for simplicity, section 3.4. It fails `sanity`, as Adebayo et
        al. 2018 found.
    """
    said = score(subject, picture, target)
    met: dict[str, None] = {}

    def explain(network: nn.Module) -> Tensor:
        return input_gradient(network, picture.x, said.index, guide(met))[0]

    values = explain(subject.network)
    if not met:
        kinds = ", ".join(dict.fromkeys(node.kind for node in subject.blueprint.nodes))
        raise ArgumentError(
            f"view guided guides at rectifiers, and {subject.name} has none; its layers are {kinds}"
        )
    note = (
        f"at each {' or '.join(met)} only positive gradients go back: the derivative of nothing, and known "
        "to draw edges whatever the weights are (--sanity)"
    )
    view = _of_gradient(subject, picture, said, "guided", "Guided gradient", values, note)
    return _checked(view, subject, picture, said, explain, seed) if sanity else view


def guide(met: dict[str, None]) -> dict[str, Rule]:
    """Rules of guided backpropagation for `execute`.

    Args:
        met: Kinds of the rectifiers that ran are added.
    """

    def rule(call: Call) -> Any:
        output = call.run()
        if call.kind not in _RECTIFIERS and not (call.kind in _CLAMPS and _is_relu(call)):
            return output  # a rule is met by name, too: a convolution may be called relu
        if isinstance(output, Tensor) and output.requires_grad:
            met[call.kind] = None
            output.register_hook(_positive)  # type: ignore[no-untyped-call]
        return output

    return dict.fromkeys((*_RECTIFIERS, *_CLAMPS), rule)


def _positive(gradient: Tensor) -> Tensor:
    return gradient.clamp(min=0)


def _is_relu(call: Call) -> bool:
    """Whether a clamp is from 0 up."""
    given = dict(zip(("x", "min", "max"), call.args, strict=False)) | dict(call.kwargs)
    low, high = given.get("min"), given.get("max")
    return high is None and isinstance(low, int | float) and low == 0


def smoothgrad(
    subject: Subject,
    picture: Picture,
    *,
    target: str | int | None = None,
    samples: int = _SAMPLES,
    noise: float = _NOISE,
    seed: int = 0,
    sanity: bool = False,
) -> View:
    """The mean of the gradients of noisy copies of an image.

    Args:
        subject: The network.
        picture: The image.
        target: As of `saliency`.
        samples: Copies.
        noise: Standard deviation, as a share of the range of the input's values.
        seed: Of the noise.
        sanity: As of `saliency`.

    Raises:
        ArgumentError: as `saliency`, and if there are no samples.

    Source: Smilkov et al. 2017, SmoothGrad, equation 1; 50 samples, 10 to 20 % of noise.
    """
    if samples < 1:
        raise ArgumentError(f"--steps {samples}: smoothgrad takes at least one sample")
    said = score(subject, picture, target)
    deviation = noise * float(picture.x.max() - picture.x.min())

    def explain(network: nn.Module, many: int) -> Tensor:
        drawn = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(picture.x[0], dtype=torch.float64)
        for start in range(0, many, _BATCH):
            count = min(_BATCH, many - start)
            shape = (count, *picture.x.shape[1:])
            moved = (
                torch.randn(shape, generator=drawn, dtype=picture.x.dtype).to(picture.x.device) * deviation
            )
            total += input_gradient(network, picture.x + moved, said.index).double().sum(0)
        return total / many

    note = (
        f"mean gradient of {samples} copies with noise of deviation {deviation:.3g}, {noise:.0%} of the "
        f"range of the input; seed {seed}"
    )
    values = explain(subject.network, samples)
    view = _of_gradient(subject, picture, said, "smoothgrad", "SmoothGrad", values, note)
    view = dataclasses.replace(
        view, figures={**view.figures, "samples": samples, "noise": deviation, "seed": seed}
    )
    if not sanity:
        return view
    few = min(samples, _ROUGH)
    return _checked(view, subject, picture, said, lambda n: explain(n, few), seed, rough=few < samples)


def integrated(
    subject: Subject,
    picture: Picture,
    *,
    target: str | int | None = None,
    baselines: tuple[Baseline, ...] = ("mean", "black"),
    steps: int | None = None,
    sanity: bool = False,
    seed: int = 0,
) -> View:
    """Gradients integrated along the straight path from a baseline: they add up to the score's difference.

    Args:
        subject: The network.
        picture: The image.
        target: As of `saliency`.
        baselines: Images without content: `mean` of the training images (0 after normalisation), `black`,
            `white`. Those that are the same input are taken once.
        steps: Equal steps, whose midpoints are taken; where None 32, halved where they do not add up.
        sanity: As of `saliency`; of the first baseline.
        seed: As of `saliency`.

    Raises:
        ArgumentError: as `saliency`, and if there are no steps or no baselines.

    Source: Sundararajan, Taly, Yan 2017, Axiomatic attribution, equation 3.
    """
    if steps is not None and steps < 1:
        raise ArgumentError(f"--steps {steps}: the path takes at least one")
    if not baselines:
        raise ArgumentError("baselines: there must be one at least")
    said = score(subject, picture, target)
    paths = {
        name: _path(subject, subject.network, picture, said, start, steps)
        for name, start in _starts(subject, picture, baselines)
    }
    panels, notes = [shown_picture(picture)], [said.note, *picture.notes]
    arrays: dict[str, Map] = {}
    findings: list[Finding] = []
    for name, path in paths.items():
        values = as_map(path.values)
        total: Map = values.sum(0)
        arrays |= {f"values.{name}": values, f"map.{name}": total}
        panels += [
            heat(
                total,
                f"from {name}: orange adds, blue takes away",
                least=said.worth,
                unit=f"of the {said.kind}, a pixel",
            ),
            overlay(picture, total, f"over the picture, from {name}", least=said.worth),
        ]
        notes.append(
            f"from {name}: {path.before:.4g} to {path.after:.4g}, a difference of {path.difference:.4g}; in "
            f"{path.steps} steps the map adds up to {path.sum:.4g}, an error of {path.error:.2g}"
        )
        findings += path.findings(name)
        findings += flat(float(np.abs(total).sum()), said, f"all of the map from {name} together")
    first = next(iter(paths))
    view = View(
        how="integrated",
        title=f"Integrated gradients for {said.title}, {subject.name}",
        notes=tuple(notes),
        panels=tuple(panels),
        arrays=arrays,
        figures={
            **said.to_dict(),
            "baselines": {name: path.to_dict() for name, path in paths.items()},
            "range": _range(arrays[f"map.{first}"]),
        },
        findings=tuple(findings),
    )
    if not sanity:
        return view
    start = dict(_starts(subject, picture, baselines))[first]

    def explain(network: nn.Module) -> Map:
        path = _path(subject, network, picture, said, start, min(paths[first].steps, _ROUGH))
        total: Map = as_map(path.values).sum(0)
        return total

    return with_sanity(view, subject, picture, said, explain, arrays[f"map.{first}"], rough=True, seed=seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Path:
    """Gradients along one path."""

    values: Tensor
    """(C, H, W)"""
    before: float
    after: float
    steps: int
    adaptive: bool
    """Whether they were halved where they had to be, up to the limit."""

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def sum(self) -> float:
        return float(self.values.double().sum())

    @property
    def error(self) -> float:
        return abs(self.sum - self.difference)

    @property
    def complete(self) -> bool:
        return self.error <= COMPLETE * max(1.0, abs(self.difference))

    def findings(self, name: str) -> list[Finding]:
        if self.complete:
            return []
        share = self.error / max(abs(self.difference), 1e-12)
        part = f" ({share:.1%} of it)" if share <= 1 else ""
        return [
            Finding(
                level="info" if share <= _SMALL else "warning",
                where=f"baseline {name}",
                what=f"the map adds up to {self.sum:.4g}, not {self.difference:.4g}: "
                f"{self.error:.2g}{part} is in no pixel",
                why=f"{self.steps} {'steps, the most taken' if self.adaptive else 'equal steps'}, are too "
                "coarse for the bends of this network",
                do=f"take more, equal ones: --steps {4 * _MOST}"
                if self.adaptive
                else "leave --steps out: the path is then halved where it bends",
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "before": self.before, "after": self.after, "difference": self.difference, "sum": self.sum,
            "error": self.error, "steps": self.steps, "complete": self.complete,
        }  # fmt: skip


def _path(
    subject: Subject, network: nn.Module, picture: Picture, said: Score, start: Tensor, steps: int | None
) -> _Path:
    """Along the way from a baseline: in equal steps, or in ever smaller ones where it does not add up."""
    index = said.index
    way = (picture.x - start).double()

    def at(places: list[float]) -> Tensor:
        share = torch.tensor(places, dtype=torch.float64, device=way.device).view(-1, 1, 1, 1)
        return (start.double() + share * way).to(picture.x.dtype)

    def scores(places: list[float]) -> list[float]:
        with in_mode(network, training=False), torch.no_grad():
            return [float(v) for v in scores_of(subject, network(at(places)))[:, index].double()]

    before, after = scores([0.0, 1.0])
    total = torch.zeros_like(way[0])
    if steps is not None:
        middles = [(k + 0.5) / steps for k in range(steps)]
        for k in range(0, steps, _BATCH):
            total += input_gradient(network, at(middles[k : k + _BATCH]), index).double().sum(0) / steps
        return _Path(values=way[0] * total, before=before, after=after, steps=steps, adaptive=False)
    count, allowed = 0, COMPLETE * max(1.0, abs(after - before))
    taken = _STEPS
    edges = [k / taken for k in range(taken + 1)]
    inner = [v for k in range(1, taken, _BATCH) for v in scores(edges[k : min(k + _BATCH, taken)])]
    known = [before, *inner, after]
    parts = list(zip(edges, edges[1:], known, known[1:], strict=False))
    while parts:
        slopes, halfway = [], []
        for k in range(0, len(parts), _BATCH):
            middles = [(a + b) / 2 for a, b, _, _ in parts[k : k + _BATCH]]
            gradients, values = gradient_and_score(network, at(middles), index)
            slopes += list(gradients)
            halfway += values.double().tolist()
        along = [float((way[0] * slope.double()).sum()) for slope in slopes]
        missing = [
            abs(high - low - slope * (b - a)) for (a, b, low, high), slope in zip(parts, along, strict=True)
        ]
        room = max(0, (_MOST - taken) // 2)
        again = []
        for place, k in enumerate(sorted(range(len(parts)), key=missing.__getitem__)):
            a, b, low, high = parts[k]
            if missing[k] <= allowed or len(parts) - place > room:  # the worst are halved, as many as may be
                allowed -= missing[k]
                total += slopes[k].double() * (b - a)
                count += 1
            else:
                middle = (a + b) / 2
                again += [(a, middle, low, halfway[k]), (middle, b, halfway[k], high)]
        taken += len(again)
        parts = again
    return _Path(values=way[0] * total, before=before, after=after, steps=count, adaptive=True)


def _starts(subject: Subject, picture: Picture, names: tuple[Baseline, ...]) -> list[tuple[str, Tensor]]:
    """Baselines as inputs, each once."""
    found: list[tuple[str, Tensor]] = []
    for name in names:
        if name == "mean":
            x = torch.zeros_like(picture.x)
        elif name in ("black", "white"):
            scaled = torch.full_like(picture.x, float(name == "white"))
            x = subject.preprocessing.normalise(scaled).to(picture.x.dtype)
        else:
            raise ArgumentError(f"baselines: {name!r} is none; there are mean, black, white")
        if not any(torch.equal(x, other) for _, other in found):
            found.append((name, x))
    return found


def _of_gradient(
    subject: Subject,
    picture: Picture,
    said: Score,
    how: str,
    name: str,
    values: Tensor,
    note: str,
) -> View:
    """A view of one gradient of the image, (C, H, W)."""
    worth = float(values.double().abs().sum())
    least = said.worth / values[0].numel() if worth < said.worth else 0.0
    panels, size, total = pixel_panels(picture, values, least=least)
    span = _range(as_map(values))
    return View(
        how=how,
        title=f"{name} for {said.title}, {subject.name}",
        notes=(
            said.note,
            f"{note}; in units of the {said.kind} for a pixel moved by one standard deviation of the input",
            *picture.notes,
        ),
        panels=panels,
        arrays={"values": as_map(values), "magnitude": size, "map": total},
        figures={**said.to_dict(), "range": span, "worth": worth},
        findings=flat(worth, said, "what all pixels moved by a deviation could do"),
    )


def _checked(
    view: View,
    subject: Subject,
    picture: Picture,
    said: Score,
    explain: Callable[[nn.Module], Tensor],
    seed: int,
    *,
    rough: bool = False,
) -> View:
    """`with_sanity` by the magnitude of a gradient, (C, H, W), largest channel."""

    def size(network: nn.Module) -> Map:
        found: Map = np.abs(as_map(explain(network))).max(0)
        return found

    order = view.arrays["magnitude"]
    return with_sanity(view, subject, picture, said, size, order, rough=rough, seed=seed)


def _range(values: Map) -> list[float]:
    return [float(values.min()), float(values.max())]


def _asked(request: Request) -> dict[str, Any]:
    return {"target": request.target, "sanity": request.sanity, "seed": request.seed or 0}


def _saliency(subject: Subject, request: Request) -> View:
    return saliency(subject, _picture(subject, request), **_asked(request))


def _guided(subject: Subject, request: Request) -> View:
    return guided(subject, _picture(subject, request), **_asked(request))


def _smoothgrad(subject: Subject, request: Request) -> View:
    samples = _SAMPLES if request.steps is None else request.steps
    return smoothgrad(subject, _picture(subject, request), samples=samples, **_asked(request))


def _integrated(subject: Subject, request: Request) -> View:
    return integrated(subject, _picture(subject, request), steps=request.steps, **_asked(request))


def _picture(subject: Subject, request: Request) -> Picture:
    assert request.image is not None
    picture = subject.picture(request.image)
    check_picture(subject, picture)
    return picture


_COMMON = frozenset({"target", "sanity", "seed"})
VIEWS = (
    How(
        name="saliency",
        about="the derivative of a class's score, pixel by pixel",
        make=_saliency,
        needs="image",
        options=_COMMON,
    ),
    How(
        name="guided",
        about="guided backpropagation: sharp, and known to be an edge detector",
        make=_guided,
        needs="image",
        options=_COMMON,
    ),
    How(
        name="integrated",
        about="gradients along the way from a baseline, which add up to the score's difference",
        make=_integrated,
        needs="image",
        options=_COMMON | {"steps"},
    ),
    How(
        name="smoothgrad",
        about="the mean gradient of noisy copies of the image",
        make=_smoothgrad,
        needs="image",
        options=_COMMON | {"steps"},
    ),
)
