"""Whether an attribution says something of the network: random weights, deletion and insertion."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import SERIES, ArgumentError, Finding
from sightline.blueprint import in_mode
from sightline.views._colour import plotted, resized
from sightline.views._evidence import (
    NO_EVIDENCE,
    WIDTH,
    Explain,
    Map,
    Score,
    at_a_time,
    heat,
    probabilities,
    scores_of,
)
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel, View

UNCHANGED = 0.5
"""A map has not changed if its mean rank correlation with those of random weights is above.

Counted are the depths at which at most the upper half of the layers is random: all that knows of classes is
gone then, and the lowest layers, which find edges, are still there. A picture of edges survives it.
"""
DEPTHS = (0.0, 0.25, 0.5, 1.0)
"""Shares of the layers, from the last down, that are random; of 0 the last alone."""
DRAWS = 10
"""Of random weights at most, where the map is flat: a class that is silent by them says nothing of a view."""
BLOCKS = 8
"""A side of the image, in what is deleted or inserted at a time, by whatever order."""
LEVELS = 10
"""Steps from the whole image to none."""
BLIND = 0.9
"""An image without content that keeps so much of a class's probability tells no order from another."""
ORDERS = 19
"""Random ones: to be better than each of them by chance has a probability of 1 in 20."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth:
    """The map with some layers' weights random."""

    layer: str
    """This one and all above it."""
    layers: int
    counts: bool
    """Whether it is one of the upper half, by which the verdict is made."""
    correlation: float
    """Spearman's, of the two maps."""
    magnitude: float
    """The same of their magnitudes."""
    map: Map

    @property
    def flat(self) -> bool:
        """Whether the map is the same everywhere: then it is neither like another nor unlike."""
        return float(np.ptp(self.map)) == 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """The class's probability while the image is taken away, or put back."""

    what: str
    """`deletion` or `insertion`."""
    points: NDArray[np.float64]
    """(levels + 1,): probability after each step, in the order of the map."""
    random: NDArray[np.float64]
    """(orders, levels + 1)"""

    @property
    def area(self) -> float:
        """Beneath the curve, over a width of 1."""
        return float(area(self.points))

    @property
    def random_areas(self) -> NDArray[np.float64]:
        """(orders,)."""
        areas: NDArray[np.float64] = area(self.random)
        return areas

    @property
    def blind(self) -> bool:
        """Whether the blurred or blank image alone gives nearly the whole probability."""
        ends = self.points[-1], self.points[0]
        empty, whole = ends if self.what == "deletion" else ends[::-1]
        return bool(empty >= BLIND * whole)

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.better:
            return "better than random"
        return "cannot tell" if self.blind else "no better than random"

    @property
    def better(self) -> bool:
        """Whether it is better than every random order, and than their mean by 0.01."""
        gain = abs(self.area - float(self.random_areas.mean()))
        return self.beaten == len(self.random) and gain >= NO_EVIDENCE

    @property
    def beaten(self) -> int:
        """How many random orders it is better than: below them of deletion, above of insertion."""
        sign = -1 if self.what == "deletion" else 1
        return int((sign * (self.area - self.random_areas) > 0).sum())

    @property
    def line(self) -> str:
        """In words."""
        beaten = f"ahead of {self.beaten} of {len(self.random)}"
        if self.beaten == len(self.random) and not self.better:
            beaten += f" by less than {NO_EVIDENCE:g} in the mean"
        return f"{self.what} is {beaten}: {self.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """For `View.figures`."""
        return {
            "area": self.area,
            "random_mean": float(self.random_areas.mean()),
            "random_deviation": float(self.random_areas.std(ddof=1)),
            "orders": len(self.random),
            "beaten": self.beaten,
            "better": self.better,
            "cannot_tell": self.blind and not self.better,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sanity:
    """What was found of a view."""

    depths: tuple[Depth, ...]
    deletion: Curve
    insertion: Curve

    @property
    def similarity(self) -> float | None:
        """Mean rank correlation over the depths that count; a map that turns about its sign has changed.

        None where every one of these maps is flat.
        """
        found = [depth.correlation for depth in self.depths if depth.counts and not depth.flat]
        return float(np.mean(found)) if found else None

    @property
    def changes(self) -> bool:
        """Whether the view changes with the weights, as far as could be seen."""
        return self.similarity is not None and self.similarity <= UNCHANGED

    @property
    def told(self) -> tuple[Curve, ...]:
        """Of deletion and insertion those that can tell."""
        return tuple(c for c in (self.deletion, self.insertion) if c.better or not c.blind)

    @property
    def line(self) -> str:
        """What random weights did, in words."""
        if self.similarity is None:
            return "not told: the map is flat with each of them"
        verdict = "it changes with them" if self.changes else "IT DOES NOT CHANGE with them"
        said = f"mean rank correlation {self.similarity:.2f} (above {UNCHANGED:g} fails)"
        return f"{said}: {verdict}"

    def to_dict(self) -> dict[str, Any]:
        """For `View.figures`."""
        return {
            "changes_with_weights": self.changes,
            "similarity": self.similarity,
            "depths": [
                {
                    "layer": d.layer,
                    "layers": d.layers,
                    "counts": d.counts,
                    "correlation": d.correlation,
                    "magnitude": d.magnitude,
                    "flat": d.flat,
                }
                for d in self.depths
            ],
            "deletion": self.deletion.to_dict(),
            "insertion": self.insertion.to_dict(),
            "passes": self.changes and bool(self.told) and all(curve.better for curve in self.told),
        }


def with_sanity(
    view: View,
    subject: Subject,
    picture: Picture,
    said: Score,
    explain: Explain,
    order: Map,
    *,
    rough: bool = False,
    seed: int = 0,
) -> View:
    """A view with what was found of it: in words, numbers, curves, and as findings.

    Args:
        view: An attribution.
        subject: Its network.
        picture: Its image.
        said: What it explains.
        explain: Makes the map that is compared, of a network.
        order: The map by which the image is deleted and inserted, largest values first.
        rough: Whether `explain` makes a rougher map than `order`, so that it is asked for that of the network
            as it is, too; else `order` is what the others are compared with.
        seed: Of the weights and orders.

    Raises:
        ArgumentError: if the network cannot be copied, or has no weights.
    """
    if float(np.ptp(order)) == 0.0:
        note = "sanity: not checked; the map is the same everywhere"
        return dataclasses.replace(
            view,
            notes=(*view.notes, note),
            figures={**view.figures, "sanity": {"passes": False, "why": note}},
        )
    found = check(subject, picture, said, explain, order, rough=rough, seed=seed)
    notes = (
        f"sanity 1, random weights down to the middle layer: {found.line}",
        f"sanity 2, against {ORDERS} random orders: {found.deletion.line}; {found.insertion.line}",
    )
    return dataclasses.replace(
        view,
        notes=(*view.notes[:1], *notes, *view.notes[1:]),
        panels=(*view.panels, *_panels(found, signed=order.min() < 0)),
        figures={**view.figures, "sanity": found.to_dict()},
        findings=(*view.findings, *_findings(found, view.how)),
        arrays={
            **view.arrays,
            "deletion": np.vstack([found.deletion.points, found.deletion.random]),
            "insertion": np.vstack([found.insertion.points, found.insertion.random]),
        },
    )


def check(
    subject: Subject,
    picture: Picture,
    said: Score,
    explain: Explain,
    order: Map,
    *,
    rough: bool = False,
    seed: int = 0,
) -> Sanity:
    """Both checks, on a copy of the network. Arguments and errors as `with_sanity`.

    Source: Adebayo et al. 2018, Sanity checks for saliency maps, section 4: cascading randomization. Petsiuk
        et al. 2018, RISE, section 4.2: deletion and insertion; here by blocks.
    """
    network = copied(subject, picture.x)
    original = explain(network) if rough else order
    deletion, insertion = (
        curve(subject, network, picture, said.index, order, what, seed) for what in ("deletion", "insertion")
    )
    random, total = cascade(subject, network, explain, seed)
    depths = tuple(
        Depth(
            layer=layer,
            layers=layers,
            counts=layers <= -(-total // 2),
            correlation=rank_correlation(original, again),
            magnitude=rank_correlation(np.abs(original), np.abs(again)),
            map=again,
        )
        for layer, layers, again in random
    )
    return Sanity(depths=depths, deletion=deletion, insertion=insertion)


def copied(subject: Subject, x: Tensor) -> nn.Module:
    """A copy of a network, its filters stored with channels last where it runs so: a CPU is faster by far.

    Args:
        subject: The network; left as it was.
        x: (1, C, H, W), an image that it takes.

    Raises:
        ArgumentError: if it cannot be copied.
    """
    try:
        network = copy.deepcopy(subject.network)
    except Exception as error:
        raise ArgumentError(f"--sanity: {subject.name} cannot be copied: {error}") from error
    filters = [parameter for parameter in network.parameters() if parameter.dim() == 4]
    try:
        for parameter in filters:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        with in_mode(network, training=False), torch.no_grad():
            network(x.clone())
    except RuntimeError:  # `view` takes no maps that are stored so
        for parameter in filters:
            parameter.data = parameter.data.contiguous()
    return network


def cascade(
    subject: Subject, network: nn.Module, explain: Explain, seed: int
) -> tuple[list[tuple[str, int, Map]], int]:
    """The map while more and more layers, from the last down, have random weights.

    Args:
        subject: Says which layers there are.
        network: A copy of its network; all of its weights are random in the end.
        explain: Makes the map.
        seed: Of the weights.

    Returns:
        The lowest random layer, how many are random, and the map, for each of `DEPTHS` once; and how many
        layers there are. Where a map is flat, all weights that are random by then are drawn again.

    Raises:
        ArgumentError: if it has no weights.
    """
    owners: dict[str, None] = {}
    for node in reversed(subject.blueprint.nodes):
        for name in (*node.parameters, *node.shared):
            owners[name.rpartition(".")[0]] = None
    if not owners:
        raise ArgumentError(f"--sanity: {subject.name} has no weights to make random")
    layers = list(owners)
    stops = {max(1, round(len(layers) * share)) for share in DEPTHS}
    drawn = torch.Generator().manual_seed(seed)
    found, done = [], 0
    for count in sorted(stops):
        for draw in range(DRAWS):
            for layer in layers[0 if draw else done : count]:
                randomise(network.get_submodule(layer), drawn)
            again = explain(network)
            if float(np.ptp(again)) > 0:
                break
        found.append((layers[count - 1] or subject.name, count, again))
        done = count
    return found, len(layers)


def randomise(layer: nn.Module, drawn: torch.Generator) -> None:
    """Random weights in place of a layer's own, as large as they were; what is one a channel is shuffled."""
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            if parameter.dim() >= 2:
                size = parameter.double().square().mean().sqrt().to(parameter)
                new = torch.randn(parameter.shape, generator=drawn).to(parameter) * size
            else:
                order = torch.randperm(parameter.numel(), generator=drawn).to(parameter.device)
                new = parameter.flatten()[order].view_as(parameter)
            parameter.copy_(new)


def rank_correlation(a: Map, b: Map) -> float:
    """Spearman's: of the ranks of the values, ties sharing theirs; 0 where one of the two is flat.

    Example:
        >>> rank_correlation(np.array([[1.0, 2, 3]]), np.array([[10.0, 20, 15]]))
        0.5
    """
    first, second = _ranks(a), _ranks(b)
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return round(float((first * second).sum()) / size, 12) if size > 0 else 0.0


def _ranks(values: Map) -> NDArray[np.float64]:
    _, place, count = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


# ---------------------------------------------------------------- deletion, insertion


def curve(
    subject: Subject, network: nn.Module, picture: Picture, index: int, order: Map, what: str, seed: int
) -> Curve:
    """The probability while blocks go (to the mean of the training images) or come (into a blurred image).

    Args:
        subject: Says how scores become probabilities.
        network: Its network, or a copy of it.
        picture: The image.
        index: Of the class.
        order: The map, of any size: the blocks of the largest mean first.
        what: `deletion` or `insertion`.
        seed: Of the random orders.
    """
    height, width = picture.x.shape[2:]
    drawn = np.random.default_rng(seed)
    means = block_means(order, (height, width))
    by_map = np.lexsort((drawn.random(means.size), -means.ravel()))  # chance between equals
    places = [by_map, *(drawn.permutation(means.size) for _ in range(ORDERS))]
    blank = torch.zeros_like(picture.x) if what == "deletion" else blurred(picture.x)
    masks = np.concatenate([_masks(order_, means.shape, (height, width)) for order_ in places])
    first, last = (picture.x, blank) if what == "deletion" else (blank, picture.x)
    ends = np.stack([np.zeros((height, width), bool), np.ones((height, width), bool)])
    found = _probability(subject, network, first, last, np.concatenate([ends, masks]), index)
    inner = found[2:].reshape(len(places), LEVELS - 1)
    points = np.hstack([np.full((len(places), 1), found[0]), inner, np.full((len(places), 1), found[1])])
    return Curve(what=what, points=points[0], random=points[1:])


def _sides(height: int, width: int) -> tuple[int, int]:
    return -(-height // BLOCKS), -(-width // BLOCKS)


def block_means(values: Map, size: tuple[int, int]) -> Map:
    """A map's mean over each block of an image of a size."""
    spread = values if values.shape == size else resized(values, size).astype(np.float64)
    rows, columns = (np.arange(0, n, side) for n, side in zip(size, _sides(*size), strict=True))
    total = np.add.reduceat(np.add.reduceat(spread, rows, 0), columns, 1)
    heights, widths = np.diff([*rows, size[0]]), np.diff([*columns, size[1]])
    means: Map = total / np.outer(heights, widths)
    return means


def _masks(order: NDArray[np.int64], blocks: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels are in the first blocks of an order, after each step but the last. (levels - 1, H, W)."""
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    sides = _sides(*size)
    each = place.reshape(blocks).repeat(sides[0], 0).repeat(sides[1], 1)[: size[0], : size[1]]
    counts = [round(k * order.size / LEVELS) for k in range(1, LEVELS)]
    return np.stack([each < count for count in counts])


def _probability(
    subject: Subject, network: nn.Module, first: Tensor, last: Tensor, masks: NDArray[np.bool_], index: int
) -> NDArray[np.float64]:
    """Of one image with the masked pixels of another. (N, H, W) -> (N,)."""
    found, many = [], at_a_time(first)
    with in_mode(network, training=False), torch.no_grad():
        for start in range(0, len(masks), many):
            chosen = torch.from_numpy(masks[start : start + many]).to(first.device)[:, None]
            batch = torch.where(chosen, last, first)
            found.append(probabilities(subject, scores_of(subject, network(batch)))[:, index])
    return torch.cat(found).double().cpu().numpy()


def blurred(x: Tensor) -> Tensor:
    """An image with a Gaussian of a twentieth of its side. (1, C, H, W)."""
    deviation = max(1.0, max(x.shape[2:]) / 20)
    reach = min(int(3 * deviation), min(x.shape[2:]) - 1)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-0.5 * (places / deviation) ** 2)
    weights = (weights / weights.sum()).expand(x.shape[1], 1, -1)
    for down in (True, False):
        pad = (0, 0, reach, reach) if down else (reach, reach, 0, 0)
        kernel = weights[..., None] if down else weights[..., None, :]
        x = F.conv2d(F.pad(x, pad, mode="replicate"), kernel, groups=x.shape[1])
    return x


def area(points: NDArray[np.float64]) -> Any:
    """Under curves of evenly spaced points over a width of 1. (..., n) -> (...)."""
    return (points[..., 1:] + points[..., :-1]).sum(-1) / 2 / (points.shape[-1] - 1)


# ---------------------------------------------------------------- told


def _panels(found: Sanity, *, signed: bool) -> list[Panel]:
    """The curves, and the map at each depth."""
    panels = [
        plotted(lambda axes: _draw_curve(axes, found.deletion), 2 * WIDTH + 18, 240),
        plotted(lambda axes: _draw_curve(axes, found.insertion), 2 * WIDTH + 18, 240),
    ]
    kind = "signed" if signed else "positive"
    for depth in found.depths:
        title = f"random: {depth.layer}" + (f" and {depth.layers - 1} above" if depth.layers > 1 else "")
        panel = heat(depth.map, title, kind=kind)
        said = f"rank correlation {depth.correlation:.2f}"
        if kind == "signed":
            said += f", of magnitudes {depth.magnitude:.2f}"
        said = f"flat for each of {DRAWS} draws: it tells nothing" if depth.flat else said
        panels.append(dataclasses.replace(panel, caption=f"{said}\n{panel.caption}"))
    return panels


def _draw_curve(axes: Any, curve_: Curve) -> None:
    share = np.linspace(0, 100, curve_.points.size)
    low, high = curve_.random.min(0), curve_.random.max(0)
    axes.fill_between(
        share, low, high, color=SERIES[6], alpha=0.3, linewidth=0,
        label=f"least to most of {len(curve_.random)} random orders",
    )  # fmt: skip
    mean = f"{curve_.random_areas.mean():.3f} ± {curve_.random_areas.std(ddof=1):.3f}"
    axes.plot(share, curve_.random.mean(0), color=SERIES[6], label=f"their mean, area {mean}")
    axes.plot(share, curve_.points, color=SERIES[1], label=f"order of the map, area {curve_.area:.3f}")
    gone = "set to the mean" if curve_.what == "deletion" else "put into a blurred picture"
    axes.set_xlabel(f"% of the picture {gone}", fontsize=8)
    axes.set_ylabel("probability", fontsize=8)
    axes.set_ylim(-0.02, max(1e-3, float(curve_.points.max()), float(high.max())) * 1.05)
    axes.set_title(f"{curve_.what}: {curve_.verdict}", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, frameon=False)


def _findings(found: Sanity, how: str) -> list[Finding]:
    findings = []
    if found.similarity is None:
        findings.append(
            Finding(
                level="warning",
                where=how,
                what="the check with random weights tells nothing: the map is flat with each of them",
                why="a class that random weights silence shows neither that it changes nor that it does not",
                do="try another class (--target) or other weights (--seed)",
            )
        )
    elif not found.changes:
        findings.append(
            Finding(
                level="warning",
                where=how,
                what=f"fails the check with random weights: rank correlation {found.similarity:.2f}",
                why="it draws much the same whatever the network has learned, as an edge detector would",
                do="look at a view that changes with them: mostly "
                + ("gradcam" if how == "saliency" else "saliency"),
            )
        )
    findings += [_blind(c, how) for c in (found.deletion, found.insertion) if c not in found.told]
    worse = [c for c in found.told if not c.better]
    if worse and len(worse) < len(found.told):
        (better,) = (c for c in found.told if c.better)
        findings.append(
            Finding(
                level="warning",
                where=how,
                what=f"deletion and insertion disagree: by {better.what} it is better than random orders, by "
                f"{worse[0].what} it is not",
                why="an image with blank blocks and one that is half blurred are different questions to a "
                "network, and neither is like what it has learned from",
                do="look at both curves, and at other images, before you rely on the map",
            )
        )
    elif worse:
        named = " and ".join(c.what for c in worse)
        findings.append(
            Finding(
                level="warning",
                where=how,
                what=f"no better than random orders by {named}",
                why="what it marks matters to the class no more than places drawn by lot",
                do="do not take it for where the answer comes from",
            )
        )
    return findings


def _blind(found: Curve, how: str) -> Finding:
    ends = (found.points[-1], found.points[0])
    empty, whole = ends if found.what == "deletion" else ends[::-1]
    picture = "the image set to the mean" if found.what == "deletion" else "the blurred image"
    return Finding(
        level="info",
        where=how,
        what=f"{found.what} cannot tell: {picture} alone has a probability of {empty:.3g}, the whole one "
        f"{whole:.3g}",
        why="whatever the order, nearly nothing is left to lose or to win",
        do="go by the other measure, or look at another class (--target)",
    )
