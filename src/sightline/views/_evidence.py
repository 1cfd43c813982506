"""What attributions share: the score they explain, when a map is flat, and how it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint import Call, execute, in_mode
from sightline.views._colour import over, positive, resized, signed
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel

Map = NDArray[np.float64]
"""(rows, columns): positive speaks for the class."""

Rule = Callable[[Call], Any]
"""As of `execute`."""
Explain = Callable[[nn.Module], Map]
"""The same map of a network with other weights."""

NO_EVIDENCE = 0.01
"""A map that could not move the probability of its class by so much shows nothing."""
WIDTH = 227
"""Of a panel, so that four stand beside each other."""
_ENDS = 0.995
_AT_A_TIME = 32
_VALUES = 2**20
_SHARP_BELOW = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """What is explained: one output for one image."""

    index: int
    name: str
    """Of the class."""
    value: float
    """As the network gives it: its logit."""
    probability: float
    asked: bool
    """Whether the user chose the class; else it is the most probable."""
    kind: str
    """`logit`, or `probability` where the network ends in a softmax or a sigmoid."""
    temperature: float = 1.0
    """What a logit is divided by before it becomes a probability."""

    @property
    def worth(self) -> float:
        """What `NO_EVIDENCE` is of the score: a logit moved by `d` moves a probability by `d / 4` at most."""
        return NO_EVIDENCE if self.kind == "probability" else 4 * self.temperature * NO_EVIDENCE

    @property
    def title(self) -> str:
        """The class with its probability."""
        return f"'{self.name}' ({self.probability:.3g})"

    @property
    def note(self) -> str:
        """What the score is, in a sentence."""
        why = "as asked for" if self.asked else "the most probable class"
        own = f"; probabilities at the model's own temperature, {self.temperature:.3g}"
        return f"score: the {self.kind} of '{self.name}', {self.value:.4g}, {why}" + (
            own if self.temperature != 1 else ""
        )

    def to_dict(self) -> dict[str, object]:
        """For `View.figures`."""
        return {
            "target": self.name,
            "target_index": self.index,
            "score": self.value,
            "score_is": self.kind,
            "probability": self.probability,
        }


def check_picture(subject: Subject, picture: Picture) -> None:
    """Whether an image is of the shape that a network takes.

    Raises:
        ArgumentError: if not.
    """
    given = tuple(picture.x.shape)
    if given != (1, *subject.input_shape):
        raise ArgumentError(
            f"{picture.name} is {_by_x(given[1:])}; {subject.name} takes {_by_x(subject.input_shape)}"
        )


def scores_of(subject: Subject, output: object) -> Tensor:
    """A network's output as scores, (N, classes).

    Raises:
        ArgumentError: if it is anything else.
    """
    if isinstance(output, Tensor) and output.dim() == 2 and output.is_floating_point():
        return output
    came = _by_x(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
    raise ArgumentError(f"{subject.name} gives {came} for an image; an attribution is of one score a class")


def probabilities(subject: Subject, scores: Tensor) -> Tensor:
    """Scores as probabilities: those the network ends with, else the softmax; of one output the sigmoid.

    Logits are divided by the model's own temperature, if one was fitted, as `predict` does.

    Args:
        subject: The network.
        scores: (N, classes).
    """
    if score_kind(subject) == "probability":
        return scores
    scores = scores / own_temperature(subject)
    return scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(1)


def own_temperature(subject: Subject) -> float:
    """What was fitted on validation images, else 1."""
    fitted = None if subject.header is None else subject.header.temperature
    return 1.0 if fitted is None else fitted


def score_kind(subject: Subject) -> str:
    """What its outputs are: `logit` or `probability`."""
    last = subject.blueprint.nodes[-1].kind if subject.blueprint.nodes else ""
    return "probability" if last in ("softmax", "sigmoid") else "logit"


def chosen(subject: Subject, scores: Tensor, target: str | int | None) -> Score:
    """The class that is explained.

    Args:
        subject: The network.
        scores: (1, classes) of the image.
        target: As of `Subject.class_index`.

    Raises:
        ArgumentError: if there is no such class, or the scores are not finite.
    """
    if not bool(scores.isfinite().all()):
        raise ArgumentError(f"{subject.name} gives scores that are not finite; there is nothing to explain")
    index = subject.class_index(target, scores[0].detach())
    return Score(
        index=index,
        name=subject.class_name(index),
        value=float(scores[0, index].detach()),
        probability=float(probabilities(subject, scores.detach())[0, index]),
        asked=target is not None,
        kind=score_kind(subject),
        temperature=own_temperature(subject),
    )


def score(subject: Subject, picture: Picture, target: str | int | None) -> Score:
    """As `chosen`, of an image."""
    check_picture(subject, picture)
    with in_mode(subject.network, training=False), torch.no_grad():
        output = subject.network(picture.x.clone())
    return chosen(subject, scores_of(subject, output), target)


def at_a_time(x: Tensor) -> int:
    """How many copies of an image to run at once: on a CPU no more than a million values, which stay at hand.

    Args:
        x: (N, C, H, W).
    """
    most = _AT_A_TIME if x.device.type != "cpu" else _VALUES // max(1, x[0].numel())
    return max(1, min(_AT_A_TIME, most))


def input_gradient(
    network: nn.Module, x: Tensor, index: int, rules: Mapping[str, Rule] | None = None
) -> Tensor:
    """The derivative of each image's score with respect to the image; the network is left as it was.

    Args:
        network: Gives (N, classes).
        x: (N, C, H, W).
        index: Of the score.
        rules: As of `execute`.

    Raises:
        ArgumentError: if no gradient comes back.
    """
    return gradient_and_score(network, x, index, rules)[0]


def gradient_and_score(
    network: nn.Module, x: Tensor, index: int, rules: Mapping[str, Rule] | None = None
) -> tuple[Tensor, Tensor]:
    """As `input_gradient`, and the scores themselves.

    Returns:
        (N, C, H, W) and (N,).
    """
    gradients, scores = [], []
    with torch.enable_grad(), in_mode(network, training=False):
        for start in range(0, len(x), at_a_time(x)):
            leaf = x[start : start + at_a_time(x)].detach().clone().requires_grad_()
            # a copy, so that a network may write into what it is given
            output = execute(network, leaf.clone(), rules=rules).output if rules else network(leaf.clone())
            gradients.append(gradient_of(output[:, index].sum(), leaf))
            scores.append(output[:, index].detach())
    return torch.cat(gradients), torch.cat(scores)


def gradient_of(total: Tensor, of: Tensor) -> Tensor:
    """Its derivative with respect to a tensor; zeros where it does not depend on it."""
    if not total.requires_grad:
        raise ArgumentError(
            "no gradient comes back from the score: the network cuts it (no_grad, detach, data)"
        )
    (found,) = torch.autograd.grad(total, of, allow_unused=True)
    return torch.zeros_like(of) if found is None else found.detach()


def as_map(values: Tensor) -> Map:
    """On this side, in double precision."""
    array: Map = values.detach().double().cpu().numpy()
    return array


# ---------------------------------------------------------------- nothing to see


def flat(worth: float, said: Score, what: str) -> tuple[Finding, ...]:
    """The finding that a map holds no evidence, if so.

    Args:
        worth: All of the map together, in units of the score.
        said: The class.
        what: How `worth` is reckoned, for the sentence.
    """
    if worth >= said.worth:
        return ()
    return (
        Finding(
            level="warning",
            where=f"'{said.name}'",
            what=f"no evidence: {what} is {worth:.2g} of the {said.kind}, less than {said.worth:g}",
            why=f"it could not move the probability by {NO_EVIDENCE:g}; it is drawn flat, not stretched",
            do="look at another class (--target) or layer (--layer), or train the network",
        ),
    )


# ---------------------------------------------------------------- pictures


def shown_picture(picture: Picture, title: str = "") -> Panel:
    """The image as the network is given it."""
    height, width = picture.pixels.shape[:2]
    return Panel(
        pixels=picture.pixels,
        title=title or picture.title,
        caption=f"as the network sees it, {height}x{width}",
        smooth=min(height, width) >= _SHARP_BELOW,
        width=WIDTH,
    )


def heat(values: Map, title: str, *, kind: str = "signed", least: float = 0.0, unit: str = "") -> Panel:
    """A map alone, with its raw range and what the last colour means.

    Args:
        values: The map.
        title: Above it.
        kind: `signed` or `positive`.
        least: The last colour is never a smaller value: what is flat looks flat.
        unit: What the numbers are.
    """
    top = _last_colour(values, least)
    return _heat(values, title, kind, unit, top)


def _heat(values: Map, title: str, kind: str, unit: str, top: float) -> Panel:
    pixels, scale = signed(values, top) if kind == "signed" else positive(values, top)
    low, high = float(values.min()), float(values.max())
    beyond = f"; colours end at {top:.3g}" if max(-low, high) > top else ""
    return Panel(
        pixels=pixels,
        title=title,
        caption=f"{low:.3g} to {high:.3g}{' ' + unit if unit else ''}{beyond}",
        scale=scale,
        smooth=min(values.shape) >= _SHARP_BELOW,
        width=WIDTH,
        largest=max(abs(low) if kind == "signed" else 0.0, high),
        on_scale=lambda most: _heat(values, title, kind, unit, most),
    )


def overlay(picture: Picture, values: Map, title: str, *, kind: str = "signed", least: float = 0.0) -> Panel:
    """A map over the image it is of, on the same colours as alone.

    Args:
        picture: The image.
        values: The map, of any size; it is spread over the whole image.
        title: Above it.
        kind: As of `heat`.
        least: As of `heat`.
    """
    top = _last_colour(values, least)
    return _overlay(picture, values, title, kind, top)


def _overlay(picture: Picture, values: Map, title: str, kind: str, top: float) -> Panel:
    height, width = picture.pixels.shape[:2]
    spread = values if values.shape == (height, width) else resized(values, (height, width))
    colours, scale = signed(spread, top) if kind == "signed" else positive(spread, top)
    size = np.abs(spread) if kind == "signed" else np.maximum(spread, 0)
    share = size / top if top > 0 else np.zeros_like(size)
    return Panel(
        pixels=over(picture.pixels, colours, share),
        title=title,
        caption="grey: where the map is 0",
        scale=scale,
        smooth=min(height, width) >= _SHARP_BELOW,
        width=WIDTH,
        largest=float(size.max(initial=0.0)),
        on_scale=lambda most: _overlay(picture, values, title, kind, most),
    )


def _last_colour(values: Map, least: float) -> float:
    """The largest magnitude; of a map of pixels, whose few outliers would leave the rest dark, almost."""
    size = np.abs(values)
    top = float(size.max(initial=0.0))
    if min(values.shape) >= _SHARP_BELOW and top > 0:
        top = float(np.quantile(size, _ENDS)) or top
    return max(top, least)


def pixel_panels(
    picture: Picture, values: Tensor, *, least: float = 0.0
) -> tuple[tuple[Panel, ...], Map, Map]:
    """Picture, magnitude, signed sum and overlay of a gradient; and the two maps.

    Args:
        picture: The image.
        values: (C, H, W).
        least: As of `heat`.
    """
    both = as_map(values)
    size: Map = np.abs(both).max(0)
    total: Map = both.sum(0)
    panels = (
        shown_picture(picture),
        heat(size, "magnitude, largest channel", kind="positive", least=least, unit="per deviation"),
        heat(total, "signed, sum of channels", least=least, unit="per deviation"),
        overlay(picture, size, "magnitude, over the picture", kind="positive", least=least),
    )
    return panels, size, total


def _by_x(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
