"""What an answer loses when a part of the image is covered."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from sightline.base import SERIES, ArgumentError, Finding
from sightline.blueprint import Call, execute, in_mode
from sightline.data import Progress
from sightline.views._colour import rgb
from sightline.views._evidence import (
    NO_EVIDENCE,
    WIDTH,
    Map,
    as_map,
    at_a_time,
    check_picture,
    chosen,
    heat,
    overlay,
    probabilities,
    scores_of,
    shown_picture,
)
from sightline.views._layers import check_unit, find_layer, last_maps
from sightline.views._registry import How, Request
from sightline.views._render import font_of
from sightline.views._sanity import with_sanity
from sightline.views._subject import Picture, Subject
from sightline.views._view import Panel, View

_POSITIONS, _ROUGH = 16, 8
"""Along the longer side; of the maps by which networks with random weights are compared, at most."""
_SHARE = 4
_NAMED = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Occluded:
    """What the network gave for every place of the square."""

    probability: Map
    """(rows, columns): of the class."""
    answer: NDArray[np.int64]
    """(rows, columns): the most probable class."""
    activation: Map | None
    """(rows, columns): the sum of one feature map; None where no layer was watched."""


def occlusion(
    subject: Subject,
    picture: Picture,
    *,
    layer: str | None = None,
    unit: int | None = None,
    target: str | int | None = None,
    size: int | None = None,
    positions: int | None = None,
    sanity: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> View:
    """A grey square over every place of an image: what a probability, the answer and a feature map do.

    The square is the mean of the training images, which is 0 after normalisation. Its centre stands in the
    middle of each cell of the map; at the border a part of it lies outside.

    Args:
        subject: The network.
        picture: The image.
        layer: Of the feature map; the last features before the classifier where None.
        unit: Which feature map; that with the largest sum on the uncovered image where None.
        target: A class by name or number; the most probable where None.
        size: Side of the square in pixels of the input; a quarter of its shorter side where None.
        positions: Along the longer side; 16, or as many as there are pixels, where None.
        sanity: Check it against random weights and by deletion and insertion.
        seed: Of what is random in that.
        progress: Told how far it is.

    Raises:
        ArgumentError: if there is no such class, layer or unit, the square is larger than the image, or there
            are no convolutions.

    Source: Zeiler, Fergus 2013, Visualizing and understanding convolutional networks, section 4.2, figure 7
        b, d, e. Size and step are not given there.
    """
    check_picture(subject, picture)
    height, width = picture.x.shape[2:]
    side = max(1, min(height, width) // _SHARE) if size is None else size
    if not 1 <= side <= min(height, width):
        raise ArgumentError(
            f"--size {side}: a square on {height}x{width} has a side of 1 to {min(height, width)}"
        )
    places = min(_POSITIONS, max(height, width)) if positions is None else positions
    if not 1 <= places <= max(height, width):
        raise ArgumentError(
            f"--steps {places}: an image of {height}x{width} has 1 to {max(height, width)} positions"
        )
    step = -(-max(height, width) // places)
    node = (
        last_maps(subject.blueprint) if layer is None else find_layer(subject.blueprint, layer, needs="maps")
    )
    check_unit(node, unit)
    with torch.no_grad():
        run = execute(subject.network, picture.x.clone(), capture=[node.id])
    said = chosen(subject, scores_of(subject, run.output), target)
    sums = run.captured[node.id][0].sum((1, 2))
    strongest = int(sums.argmax()) if unit is None else unit
    found = occlude(
        subject, subject.network, picture.x, said.index, side, step, (node.id, strongest), progress=progress
    )
    assert found.activation is not None
    least_p, most_p = float(found.probability.min()), float(found.probability.max())
    drop: Map = said.probability - found.probability
    moved = float(np.abs(drop).max())
    findings = () if moved > NO_EVIDENCE else (_flat(said.name, moved, side),)
    why = "the strongest on the uncovered image" if unit is None else "as asked for"
    view = View(
        how="occlusion",
        title=f"Occlusion for {said.title}, {subject.name}",
        notes=(
            said.note,
            f"a square of {side}x{side} pixels, the mean of the training images (0 after normalisation), "
            f"centred on every {step} pixels: a cell for each of {drop.size} covered images",
            f"uncovered the probability is {said.probability:.3g}, and the sum of map {strongest} of "
            f"{node.id}, {why}, {float(sums[strongest]):.4g}",
            *picture.notes,
        ),
        panels=(
            shown_picture(picture),
            heat(drop, "probability lost", least=NO_EVIDENCE),
            overlay(picture, drop, "lost, over the picture", least=NO_EVIDENCE),
            _probability_panel(found.probability, said.name),
            heat(found.activation, f"b: sum of map {strongest}", kind=_kind(found.activation)),
            *_answers(subject, found.answer, picture),
        ),
        arrays={
            "map": drop,
            "probability": found.probability,
            "activation": found.activation,
            "answer": found.answer,
        },
        figures={
            **said.to_dict(),
            "size": side,
            "step": step,
            "layer": node.id,
            "unit": strongest,
            "probability_range": [least_p, most_p],
            "largest_change": moved,
            "activation_range": [float(found.activation.min()), float(found.activation.max())],
            "activation_uncovered": float(sums[strongest]),
            "answers": {
                subject.class_name(k): n / found.answer.size
                for k, n in Counter(found.answer.ravel().tolist()).most_common()
            },
        },
        findings=findings,
    )
    if not sanity:
        return view
    wide = max(step, -(-max(height, width) // _ROUGH))

    def explain(network: nn.Module) -> Map:
        with in_mode(network, training=False), torch.no_grad():
            alone = probabilities(subject, scores_of(subject, network(picture.x.clone())))[0, said.index]
        return float(alone) - occlude(subject, network, picture.x, said.index, side, wide).probability

    return with_sanity(view, subject, picture, said, explain, drop, rough=True, seed=seed)


def squares(height: int, width: int, side: int, step: int) -> list[tuple[int, int, int, int]]:
    """Where the square lies, row by row of the map: (top, bottom, left, right) within the image.

    Example:
        >>> squares(4, 4, 2, 2)
        [(0, 2, 0, 2), (0, 2, 2, 4), (2, 4, 0, 2), (2, 4, 2, 4)]
    """
    tops, lefts = ([k + step // 2 - side // 2 for k in range(0, n, step)] for n in (height, width))
    return [
        (max(0, top), min(height, top + side), max(0, left), min(width, left + side))
        for top in tops
        for left in lefts
    ]


def occlude(
    subject: Subject,
    network: nn.Module,
    x: Tensor,
    index: int,
    side: int,
    step: int,
    watched: tuple[str, int] | None = None,
    *,
    value: float = 0.0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Occluded:
    """Cover every place of an image in turn; the network is left as it was.

    Args:
        subject: Says how scores become probabilities.
        network: Its network, or a copy of it.
        x: (1, C, H, W).
        index: Of the class whose probability is wanted.
        side: Of the square.
        step: From one centre to the next.
        watched: A node's id and a channel whose sum is wanted.
        value: Of the square.
        batch_size: Images at a time; as of `at_a_time` where None.
        progress: Told how far it is.
    """
    height, width = x.shape[2:]
    where = squares(height, width, side, step)
    shape = (-(-height // step), -(-width // step))
    batch = x.repeat(min(batch_size or at_a_time(x), len(where)), 1, 1, 1)
    probability, answer, activation = [], [], []

    def watch(call: Call) -> object:
        output = call.run()
        assert watched is not None
        activation.append(output[:, watched[1]].sum((1, 2)).cpu())
        return output

    with in_mode(network, training=False), torch.no_grad():
        for start in range(0, len(where), len(batch)):
            here = where[start : start + len(batch)]
            for k, (top, bottom, left, right) in enumerate(here):
                batch[k, :, top:bottom, left:right] = value
            given, version = batch[: len(here)], batch._version
            output = execute(network, given, rules={watched[0]: watch}).output if watched else network(given)
            found = probabilities(subject, scores_of(subject, output))
            probability.append(found[:, index].cpu())
            answer.append(found.argmax(1).cpu())
            if batch._version != version:  # the network writes into what it is given
                batch = x.repeat(len(batch), 1, 1, 1)
            else:  # only the square is put back
                for k, (top, bottom, left, right) in enumerate(here):
                    batch[k, :, top:bottom, left:right] = x[0, :, top:bottom, left:right]
            if progress is not None:
                progress("covering", start + len(here), len(where))
    return Occluded(
        probability=as_map(torch.cat(probability)).reshape(shape),
        answer=torch.cat(answer).numpy().reshape(shape),
        activation=as_map(torch.cat(activation)).reshape(shape) if watched else None,
    )


def _kind(values: Map) -> str:
    return "signed" if values.min() < 0 else "positive"


def _probability_panel(values: Map, name: str) -> Panel:
    """(d): on the whole scale of a probability, so that what hardly changes looks so."""
    panel = heat(values, f"d: probability of '{name}'", kind="positive", least=1.0)
    return dataclasses.replace(panel, smooth=False)


def _answers(subject: Subject, answer: NDArray[np.int64], picture: Picture) -> tuple[Panel, Panel]:
    """(e): regions by the most probable class, and their names."""
    counted = Counter(answer.ravel().tolist()).most_common()
    shown = [index for index, _ in counted[:_NAMED]]
    colours = {index: rgb(SERIES[k]) for k, index in enumerate(shown)}
    rest = rgb(SERIES[6])
    pixels = np.array([[colours.get(int(k), rest) for k in row] for row in answer], dtype=np.uint8)
    regions = Panel(
        pixels=pixels,
        title="e: most probable class",
        caption=f"{len(counted)} classes over {answer.size} places",
        smooth=False,
        width=WIDTH,
    )
    lines = [
        (colours[index], f"{n / answer.size:4.0%}  {subject.class_name(index)}")
        for index, n in counted[:_NAMED]
    ]
    if len(counted) > _NAMED:
        others = sum(n for _, n in counted[_NAMED:]) / answer.size
        lines.append((rest, f"{others:4.0%}  {len(counted) - _NAMED} other classes"))
    return regions, _legend(lines)


def _legend(lines: list[tuple[tuple[int, int, int], str]]) -> Panel:
    """Squares of colour and what they stand for."""
    row = 26
    page = Image.new("RGB", (WIDTH, row * len(lines) + 4), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for k, (colour, text) in enumerate(lines):
        draw.rectangle((2, k * row + 5, 18, k * row + 21), fill=colour)
        while draw.textlength(text, font=font_of(14)) > WIDTH - 26:
            text = text.rstrip("…")[:-1] + "…"
        draw.text((26, k * row + 4), text, fill=(28, 32, 38), font=font_of(14))
    return Panel(pixels=np.array(page), title="e: legend, by share of places", width=WIDTH)


def _flat(name: str, moved: float, side: int) -> Finding:
    return Finding(
        level="warning",
        where=f"'{name}'",
        what=f"no evidence: covering any place moves its probability by at most {moved:.2g}",
        why=f"nothing that a square of {side} pixels hides decides; the map is drawn flat, not stretched",
        do="take a larger square (--size), or look at another class (--target)",
    )


def _make(subject: Subject, request: Request) -> View:
    assert request.image is not None
    return occlusion(
        subject,
        subject.picture(request.image),
        layer=request.layer,
        unit=request.unit,
        target=request.target,
        size=request.size,
        positions=request.steps,
        sanity=request.sanity,
        seed=request.seed or 0,
        progress=request.progress,
    )


VIEWS = (
    How(
        name="occlusion",
        about="what the answer loses when a grey square covers each place",
        make=_make,
        needs="image",
        options=frozenset({"layer", "unit", "target", "size", "steps", "sanity", "seed"}),
    ),
)
