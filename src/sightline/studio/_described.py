"""A network as the tab Network tells it: totals, drawing, every layer with its sums, findings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.base import ArgumentError, Finding
from sightline.studio._models import is_design, model_spec
from sightline.studio._settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sightline.blueprint import Blueprint, Layer, Summary
    from sightline.inference import NetworkAt, Side
    from sightline.reference import Design

_BATCH, _MEASURED, _WIDE = 32, 8, 680
"""Images of the training step whose memory is told, images of noise to measure with, pixels of a drawing."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What a text of the browser names: a model with its input, or a design line."""

    name: str
    network: nn.Module
    """On `meta`: nothing of it has numbers."""
    inputs: tuple[Tensor, ...]
    there: NetworkAt | None = None
    design: Design | None = None

    def record(self) -> Blueprint:
        """One pass through it."""
        from sightline.blueprint import record

        return record(self.network, *self.inputs, name=self.name)


def choose(settings: Settings, text: str, size: str = "", *, numbers: bool = False) -> Chosen:
    """Build what the browser names, for the input it names.

    Args:
        settings: Have the folders.
        text: As of `model_spec`, or a design line, as `32x32x3 conv:10,k5,p2 relu fc:10`.
        size: A shape, or the side of a square image; the model's own where empty.
        numbers: With its weights, or fresh ones.

    Raises:
        RefusedError: as `model_spec`.
        ArgumentError: if it names nothing, or the input does not go through.
    """
    if is_design(text):
        return _designed(text, size, numbers=numbers)
    from sightline.inference import network_at

    spec = model_spec(settings, text)
    there = network_at(spec, [_shape(spec, size)] if size else [], numbers=numbers)
    return Chosen(name=text, network=there.network, inputs=there.inputs, there=there)


def _shape(spec: str, size: str) -> str:
    """An input as `network_at` reads it; a side alone is a square of the channels it has."""
    if not size.isascii() or not size.isdecimal():
        return size
    from sightline.inference import network_at

    first = network_at(spec).inputs[0].shape[1:]
    return ",".join(map(str, (first[0], *[int(size)] * (len(first) - 1))))


def _designed(line: str, size: str, *, numbers: bool) -> Chosen:
    import torch

    from sightline.reference import design, torch_source

    shape, *words = line.split()
    made = design(_of_side(shape, size) if size else shape, words)
    space: dict[str, Any] = {"__name__": "design"}
    with torch.device("cpu" if numbers else "meta"):  # the program is ours: numbers in a fixed set of words
        exec(compile(torch_source(made), "<design>", "exec"), space)
    example = torch.empty((1, *made.input_shape), device="meta")
    return Chosen(name=line, network=space["network"], inputs=(example,), design=made)


def _of_side(shape: str, size: str) -> str:
    if not (size.isascii() and size.isdecimal()):
        return size
    from sightline.reference import read_shape

    read = read_shape(shape)
    return ",".join(map(str, (read.channels, *[int(size)] * len(read.size))))


# ---------------------------------------------------------------------- telling it


def summary_of(chosen: Chosen) -> Summary:
    """All that the table says, with the memory of a training step where there is one."""
    import torch

    from sightline.blueprint import summarize, training_memory

    many = tuple(torch.empty((_BATCH, *x.shape[1:]), dtype=x.dtype, device="meta") for x in chosen.inputs)
    try:
        training = training_memory(chosen.network, *many)
    except ArgumentError:  # it reads its numbers, or has nothing to train
        training = None
    return summarize(chosen.record(), training=training)


def describe(chosen: Chosen, *, unfold: bool = False) -> dict[str, Any]:
    """Totals, the drawing, every layer.

    Args:
        chosen: From `choose`.
        unfold: Draw each of the equal blocks.
    """
    from sightline.blueprint import megabytes
    from sightline.blueprint.draw import draw

    told = summary_of(chosen)
    whole = told.to_dict()
    whole.pop("layers")
    blueprint = told.blueprint
    memory = whole["memory"]
    training = told.training
    whole["memory_text"] = {
        "parameters": megabytes(memory["parameter_bytes"]),
        "activations": megabytes(memory["activation_bytes"]),
        "inference": megabytes(memory["inference_peak_bytes"]),
        "training": None if training is None else f"{megabytes(training.peak)}, batch {training.batch}",
    }
    return {
        **whole,
        "svg": without_sheet(draw(blueprint, width=_WIDE, unfold=unfold)),
        "layers": [_layer(layer, blueprint) for layer in told.layers],
        **_origin(chosen),
    }


def _layer(layer: Layer, blueprint: Blueprint) -> dict[str, Any]:
    """A row, with its sums, and what its field is of the input."""
    from sightline.blueprint import megabytes

    sides = blueprint.input_shapes[0][2:]
    field = layer.field
    same = field is not None and len(field.size) == len(sides) and bool(sides)
    parameters = blueprint.num_parameters
    return {
        **layer.to_dict(),
        "depth": layer.depth,
        "sums": dict(layer.sums),
        "output_text": megabytes(layer.output_bytes),
        "parameter_share": layer.parameters / parameters if parameters else 0.0,
        "mac_share": layer.macs / blueprint.macs if blueprint.macs else 0.0,
        "field_share": [size / side for size, side in zip(field.size, sides, strict=True)]
        if same and field is not None
        else None,
    }


def _origin(chosen: Chosen) -> dict[str, Any]:
    """Paper, published errors, scores; of a design line, its programs and what was solved."""
    if chosen.design is not None:
        from sightline.reference import keras_source, torch_source

        made = chosen.design
        try:
            keras = keras_source(made)
        except ArgumentError as error:  # what Keras has no layer for
            keras = f"# {error}\n"
        solved = [("input", made.solved)] if made.solved else []
        solved += [(layer.layer, layer.solved) for layer in made.layers if layer.solved]
        return {
            "origin": "design",
            "solved": [{"where": where, "what": what} for where, what in solved],
            "programs": {"PyTorch": torch_source(made), "Keras": keras},
            "reading": made.shape.reading,
        }
    assert chosen.there is not None
    model = chosen.there.model
    header = model.header
    architecture = model.architecture
    told = {} if architecture.source else architecture.to_dict()
    return {
        "origin": "run" if header is not None else "network",
        "architecture": told,
        "scores": {} if header is None else dict(header.scores),
        "classes": [] if header is None else list(header.classes),
        "has_weights": header is not None or model.path is not None,
        "siblings": _siblings(architecture.name) if told and header is None else [],
    }


def _siblings(name: str) -> list[str]:
    """Networks of the same name by another hand."""
    from sightline.zoo import list_architectures

    stem = name.split("_")[0]
    return [a.name for a in list_architectures() if a.name != name and a.name.split("_")[0] == stem]


def without_sheet(svg: str) -> str:
    """A drawing without its style sheet, which a page that allows none would refuse; the page has its own."""
    return re.sub(r"<style>.*?</style>\n?", "", svg, flags=re.DOTALL)


def findings_of(chosen: Chosen, *, measured: bool) -> list[dict[str, Any]]:
    """What `check` says of it, each with the layers it is of; the worst first.

    Args:
        chosen: From `choose`; with numbers, if it shall be measured.
        measured: Send a batch through it, too.
    """
    from sightline.blueprint import check_network

    there = chosen.there
    found = check_network(
        chosen.network,
        *chosen.inputs,
        name=chosen.name,
        objective="" if there is None else there.model.architecture.objective,
        batch_size=_MEASURED if measured else 0,
        rebuild=None if there is None else there.rebuild,
    )
    ids = [node.id for node in chosen.record().nodes]
    told = [f.to_dict() | {"layers": layers_of(f, ids)} for f in found]
    if chosen.design is not None:
        said = {f.what for f in found}
        told += [f.to_dict() | {"layers": []} for f in chosen.design.findings if f.what not in said]
    return told


def layers_of(finding: Finding, ids: Sequence[str]) -> list[str]:
    """Which layers a finding is of: those it names, or those of the modules that it names."""
    named = [word.strip(",;") for word in re.split(r" and | to |, | ", finding.where)]
    return [
        node
        for node in ids
        if any(
            node == name or node.startswith((f"{name}.", f"{name}:", f"{name}#")) for name in named if name
        )
    ]


def _within(module: str) -> tuple[str, ...]:
    return tuple(f"{module}{mark}" for mark in ".:#")


# ---------------------------------------------------------------------- side by side


def side_of(chosen: Chosen) -> Side:
    """A network as one of a comparison, not timed."""
    from sightline.inference import Side

    told = summary_of(chosen)
    header = None if chosen.there is None else chosen.there.model.header
    results = () if chosen.there is None else chosen.there.model.architecture.results
    published = [
        f"top-1 {100 * r.top1_error:.2f} %: {r.data}, {r.protocol}"
        for r in results
        if r.top1_error is not None
    ]
    return Side(
        name=chosen.name,
        summary=told,
        layers=sum(node.kind.startswith(("conv", "linear")) for node in told.blueprint.nodes),
        milliseconds=None,
        spread=None,
        scores={} if header is None else dict(header.scores),
        published=tuple(published[:1]),
    )


def compare(sides: Sequence[Side]) -> dict[str, Any]:
    """Two networks, row by row, and where their layers part."""
    from sightline.inference import comparison_rows, layer_differences

    rows = []
    for name, texts, values in comparison_rows(sides):
        ratios = None
        if values and values[0] and len(set(texts)) > 1:
            ratios = [value / values[0] for value in values]
        rows.append({"name": name, "texts": texts, "ratios": ratios, "differs": len(set(texts)) > 1})
    differences = layer_differences(sides[0].summary, sides[1].summary)
    return {
        "names": [side.name for side in sides],
        "rows": rows,
        "differences": differences,
        "published": [{"name": s.name, "text": text} for s in sides for text in s.published],
    }
