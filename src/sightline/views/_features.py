"""Images that excite a unit, a channel or a class, by optimisation; beside them, those of a set that do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import INK, SERIES, ArgumentError, DataError, Finding
from sightline.blueprint import Call, Node, execute
from sightline.data import ImageSet, Progress
from sightline.views._colour import plotted
from sightline.views._layers import check_unit, find_layer, last_maps, maps_of
from sightline.views._pass import inputs_of, open_set, set_name, up_to
from sightline.views._pictures import Cell, picture_rows
from sightline.views._registry import How, Request
from sightline.views._search import Found, Moves, Unblocked, image_of, random_spectrum, search
from sightline.views._subject import Subject
from sightline.views._view import Panel, View
from sightline.views._window import checked_at

STEPS = 128
_UNITS = 6
"""Units that are shown where none is chosen."""
_STRONGEST = 6
"""Images of a set that are shown."""
_NOISE = 16
"""Images of noise that the value is compared with."""
_UNBLOCKED = 16
"""Steps in which a ReLU that stops everything lets something through."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Objective:
    """What is to be made large: of each image, one number."""

    subject: Subject
    node: Node | None
    """None for a class."""
    units: tuple[int, ...]
    """One an image; or one for all."""
    at: tuple[int, int] | None
    names: tuple[str, ...]
    """What each unit is called."""
    said: str
    """What the number is."""
    compared: Node | None
    """Whose maps say whether two images are alike; None of one image, or a network without maps."""

    def value(self, x: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        """As `_search.Value`."""
        rules = {"relu": self.unblocked} if 0 <= step < _UNBLOCKED else {}
        network = self.subject.network
        if self.node is not None and self.compared in (None, self.node):
            output = up_to(network, x, self.node.id, rules=rules)
            maps = output if self.compared is not None else None
        else:
            wanted = [node.id for node in (self.node, self.compared) if node is not None]
            run = execute(network, x, capture=wanted, rules=rules)
            output = run.output if self.node is None else run.captured[self.node.id]
            maps = None if self.compared is None else run.captured[self.compared.id]
        return self.chosen(output), maps

    @functools.cached_property
    def in_place(self) -> frozenset[str]:
        """Layers and functions that write into what they are given."""
        return frozenset(node.id for node in self.subject.blueprint.nodes if node.in_place)

    def unblocked(self, call: Call) -> Any:
        """A ReLU that lets something through where it would stop all of an image's gradient."""
        if call.kind != "relu":  # a layer of another kind may be called so
            return call.run()
        given = call.args[0] if call.args else call.kwargs["input"]
        return Unblocked.apply(given, call.id in self.in_place)  # type: ignore[no-untyped-call]

    def chosen(self, output: Tensor) -> Tensor:
        """The number of each image, of the layer's output. -> (N,)."""
        own = torch.tensor(self.units if len(self.units) > 1 else self.units * len(output))
        rows = torch.arange(len(output))
        if output.dim() == 4 and self.at is None:
            return output[rows, own].float().mean((1, 2))
        if output.dim() == 4 and self.at is not None:
            return output[rows, own, self.at[0], self.at[1]].float()
        return output[rows, own].float()

    def every(self, output: Tensor) -> Tensor:
        """The number of each image for each different unit. -> (N, units)."""
        own = torch.tensor(list(dict.fromkeys(self.units)))
        if output.dim() == 4:
            maps = output[:, own].float()
            return maps.mean((2, 3)) if self.at is None else maps[:, :, self.at[0], self.at[1]]
        return output[:, own].float()

    def run(self, x: Tensor) -> Tensor:
        """The output that the number is of, without a gradient."""
        with torch.no_grad():
            network = self.subject.network
            if self.node is None:
                found: Tensor = execute(network, x).output
                return found
            reached: Tensor = up_to(network, x, self.node.id)
            return reached


def features(
    subject: Subject,
    images: ImageSet | None = None,
    *,
    layer: str | None = None,
    unit: int | None = None,
    at: tuple[int, int] | None = None,
    target: str | int | None = None,
    top: int | None = None,
    steps: int = STEPS,
    seed: int = 0,
    moves: Moves | None = Moves(),  # noqa: B008  -- frozen
    progress: Progress | None = None,
) -> View:
    """Images that excite a unit, a channel or a class, found by optimisation.

    Of maps, a unit is a channel, whose mean over its places is made large; with `at`, one place of it. Of a
    class, its logit. Without a unit, each of the first `top` has its own image; with one, `top` images are
    sought that differ in the maps of the layer.

    Args:
        subject: The network; left as it was.
        images: A set of which the images that excite it most are shown beside, and their value compared.
        layer: As `find_layer`; the last maps where neither it nor a class is said.
        unit: A channel of maps, or an output of a vector.
        at: (row, column) of one place in the maps.
        target: A class by name or number, instead of a layer.
        top: How many images; 1 where a unit or a class is said, else 6 units.
        steps: Of the optimisation.
        seed: Of the first image and of how it is moved.
        moves: How far the image is moved at each step; None for not at all.
        progress: Told how far it is.

    Raises:
        ArgumentError: if there is no such layer, unit, place or class, or both a layer and a class are said.
        DataError: if an image of the set cannot be read, or the value is not finite.

    Source:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill.
    """
    if steps < 1 or (top is not None and top < 1):
        raise ArgumentError(f"features: steps {steps} and top {top} must be at least 1")
    objective = _objective(subject, layer, unit, at, target, top)
    count = len(objective.units)
    channels, height, width = subject.input_shape

    noise = _noise(objective, seed)
    if not np.isfinite(noise).all():
        raise DataError(
            f"{subject.name}: {objective.said} is not finite; nothing can be sought that raises it"
        )

    def each(done: int) -> None:
        if progress is not None:
            progress("optimising", done, steps)

    found = search(
        objective.value, subject.preprocessing.normalise, count=count, channels=channels,
        size=(height, width), steps=steps, seed=seed, moves=moves, device=subject.device, each=each,
    )  # fmt: skip
    best = None if images is None else _strongest(objective, images, progress)
    return _view(objective, found, noise, best, images, steps, seed, moves)


def _objective(
    subject: Subject,
    layer: str | None,
    unit: int | None,
    at: tuple[int, int] | None,
    target: str | int | None,
    top: int | None,
) -> _Objective:
    """What is to be made large, after what the user chose."""
    blueprint = subject.blueprint
    if target is not None:
        if layer is not None or unit is not None or at is not None:
            raise ArgumentError("--target is a class; it goes without --layer, --unit and --at")
        with torch.no_grad():
            logits = execute(
                subject.network, torch.zeros((1, *subject.input_shape), device=subject.device)
            ).output
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            raise ArgumentError(
                f"--target: {subject.name} gives no logits of classes; choose a layer by --layer"
            )
        index = subject.class_index(target, logits[0])
        name = subject.class_name(index)
        compared = _compared(subject) if (top or 1) > 1 else None
        return _Objective(
            subject, None, (index,) * (top or 1), None, (name,) * (top or 1), f"the logit of {name}", compared
        )
    node = last_maps(blueprint) if layer is None else find_layer(blueprint, layer)
    shape = node.output_shapes[0]
    if len(shape) not in (2, 4):
        raise ArgumentError(f"--layer {node.id}: its output is {shape}, neither maps nor a vector")
    check_unit(node, unit)
    maps = maps_of(node)
    if at is not None and maps is None:
        raise ArgumentError(f"--at {at[0]},{at[1]}: {node.id} has no maps")
    checked_at(node, at)
    units = tuple(range(min(top or _UNITS, shape[1]))) if unit is None else (unit,) * (top or 1)
    same = len(set(units)) == 1 and len(units) > 1
    compared = (node if maps is not None else _compared(subject, node)) if same else None
    what = "output" if maps is None else "mean over the map" if at is None else f"value at {at[0]},{at[1]}"
    return _Objective(subject, node, units, at, tuple(f"unit {u}" for u in units), f"its {what}", compared)


def _compared(subject: Subject, before: Node | None = None) -> Node | None:
    """The last maps, and if a layer is given those before it."""
    nodes = subject.blueprint.nodes
    end = len(nodes) if before is None else nodes.index(before)
    found = [n for n in nodes[:end] if (m := maps_of(n)) is not None and m[1] * m[2] > 1]
    return found[-1] if found else None


def _noise(objective: _Objective, seed: int) -> NDArray[np.float32]:
    """The value for images of noise with the spectrum of photographs. -> (images, units)."""
    subject = objective.subject
    channels, height, width = subject.input_shape
    generator = torch.Generator().manual_seed(seed + 1)
    found = []
    for _ in range(_NOISE):
        spectrum = random_spectrum(1, channels, (height, width), generator, deviation=1.0).to(subject.device)
        x = subject.preprocessing.normalise(image_of(spectrum, (height, width)))
        found.append(objective.every(objective.run(x))[0].cpu().numpy())
    return np.stack(found)


@dataclasses.dataclass(frozen=True, eq=False)
class _Best:
    """Of a set, the images that excite each different unit most."""

    values: NDArray[np.float32]
    """(units, images), largest first."""
    ids: NDArray[np.int64]
    """Places in the set."""
    seen: int
    """How many images there were."""


def _strongest(objective: _Objective, images: ImageSet, progress: Progress | None) -> _Best:
    """One pass over a set; the strongest so far are kept, so memory is flat."""
    values = np.empty((0, 0), dtype=np.float32)
    ids = np.empty((0, 0), dtype=np.int64)
    every = np.arange(len(images), dtype=np.int64)
    for places, x in inputs_of(objective.subject, images, every, what="looking at images", progress=progress):
        new = objective.every(objective.run(x)).cpu().numpy().T
        new_ids = np.repeat(places[None], len(new), axis=0)
        values = new if not values.size else np.concatenate([values, new], axis=1)
        ids = new_ids if not ids.size else np.concatenate([ids, new_ids], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :_STRONGEST]
        values, ids = np.take_along_axis(values, order, 1), np.take_along_axis(ids, order, 1)
    return _Best(values, ids, len(images))


def _view(
    objective: _Objective,
    found: Found,
    noise: NDArray[np.float32],
    best: _Best | None,
    images: ImageSet | None,
    steps: int,
    seed: int,
    moves: Moves | None,
) -> View:
    subject = objective.subject
    different = list(dict.fromkeys(objective.units))
    loudest = noise.max(axis=0)
    findings, panels, told = [], [], []
    several = len(objective.units) > 1
    rose = [bool(found.reached[k] > loudest[different.index(unit)]) for k, unit in enumerate(objective.units)]
    width = max(130, min(460, 960 // min(len(objective.units), 4) - 20))
    for k, unit in enumerate(objective.units):
        row = different.index(unit)
        caption = f"start {found.start[k]:.4g}, reached {found.reached[k]:.4g}"
        caption += f"\nnoise ≤ {loudest[row]:.4g}"
        caption += "" if best is None else f", set ≤ {best.values[row, 0]:.4g}"
        panels.append(
            Panel(
                pixels=subject.shown(found.images[k]),
                title=objective.names[k] + (f", image {k + 1}" if several and len(different) == 1 else ""),
                caption=caption if rose[k] else f"{caption}: no more than noise",
                width=width,
            )
        )
        told.append(
            {
                "unit": unit,
                "name": objective.names[k],
                "start": float(found.start[k]),
                "reached": float(found.reached[k]),
                "noise": float(loudest[row]),
                "set": None if best is None else float(best.values[row, 0]),
            }
        )
    if not all(rose):
        failed = list(dict.fromkeys(objective.names[k] for k, up in enumerate(rose) if not up))
        findings.append(
            Finding(
                level="warning",
                where=objective.node.id if objective.node is not None else "logits",
                what=f"{', '.join(failed)}: after {steps} steps the value is no larger than that of noise",
                why="nothing was found that excites it: the picture shows the procedure, not the network",
                do="more --steps, another --seed; a unit that never fires has no such image",
            )
        )
    panels.append(plotted(_path(found, objective, noise, best, different), 470, 300))
    if best is not None and images is not None:
        panels.append(_beside(best, images, different, objective))
    where = "logits" if objective.node is None else objective.node.id
    place = "" if objective.at is None else f" at {objective.at[0]},{objective.at[1]}"
    what = objective.names[0] if len(different) == 1 else f"units {different[0]} to {different[-1]}"
    notes = [
        "each picture is an optimum of this procedure, not an image that the network has seen",
        f"{steps} steps of Adam (seed {seed}) on {objective.said}, from grey"
        + (", the image not moved" if moves is None else f"; at each step it is {moves.said()}"),
    ]
    if several and len(different) == 1:
        if objective.compared is None or found.alike is None:
            notes.append("they differ by the seed alone: the network has no maps to compare them by")
        else:
            notes.append(
                f"they were made to differ in the maps of {objective.compared.id}: the cosine between their "
                f"Gram matrices is {found.alike:.2f} in the mean, 1 for no difference"
            )
    if best is not None and images is not None:
        notes.append(f"of the set: of {best.seen} images of {set_name(images)}, those with the largest value")
    numbers: dict[str, NDArray[Any]] = {"images": found.images.cpu().numpy(), "path": found.path.numpy()}
    numbers["noise"] = noise
    if best is not None:
        numbers |= {"set_values": best.values, "set_ids": best.ids}
    shown = what if what.startswith("class ") else f"the class {what}"
    shown = shown if objective.node is None else f"{what} of {where}{place}"
    return View(
        how="features",
        title=f"What excites {shown}, {subject.name}",
        notes=tuple(notes),
        panels=tuple(panels),
        arrays=numbers,
        figures={"layer": where, "steps": steps, "seed": seed, "values": told, "alike": found.alike},
        findings=tuple(findings),
    )


def _path(
    found: Found,
    objective: _Objective,
    noise: NDArray[np.float32],
    best: _Best | None,
    different: list[int],
) -> Callable[[Any], None]:
    """How the value rose."""

    def draw(axes: Any) -> None:
        one = len(different) == 1
        for k, unit in enumerate(objective.units):
            colour = SERIES[k % len(SERIES)]
            label = None if one and len(objective.units) == 1 else f"image {k + 1}" if one else f"unit {unit}"
            axes.plot(found.path[:, k].numpy(), color=colour, linewidth=1.3, label=label)
        if one:
            axes.axhline(float(noise.max()), color=INK, linestyle=":", label=f"most of {len(noise)} of noise")
            if best is not None:
                axes.axhline(float(best.values[0, 0]), color=INK, linestyle="--", label="most of the set")
        axes.set_xlabel("step")
        axes.set_ylabel(objective.said.removeprefix("its "))
        axes.set_title("the value, on the image as it is moved", fontsize=10)
        axes.legend(fontsize=8)

    return draw


def _beside(best: _Best, images: ImageSet, different: list[int], objective: _Objective) -> Panel:
    """The images of a set that excite a unit most, a row each."""
    names = dict(zip(objective.units, objective.names, strict=True))

    rows = [
        [Cell(int(index), f"{value:.4g}") for index, value in zip(ids, values, strict=True)]
        for ids, values in zip(best.ids, best.values, strict=True)
    ]
    panel = picture_rows(images, rows, names=[names[unit] for unit in different])
    return dataclasses.replace(panel, title="of the set")


def _make(subject: Subject, request: Request) -> View:
    images = None if request.image is None else open_set(request.image, subject, request.progress)
    return features(
        subject,
        images,
        layer=request.layer,
        unit=request.unit,
        at=request.at,
        target=request.target,
        top=request.top,
        steps=STEPS if request.steps is None else request.steps,
        seed=request.seed or 0,
        progress=request.progress,
    )


VIEWS = (
    How(
        name="features",
        about="images that excite a unit, a channel or a class, by optimisation; DATA: those that do",
        make=_make,
        needs="data",
        optional=True,
        options=frozenset({"layer", "unit", "at", "target", "top", "steps", "seed"}),
    ),
)
