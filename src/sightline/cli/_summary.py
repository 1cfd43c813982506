"""`sightline summary`: a network as a table."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli._console import handled, print_json, uncollected

if TYPE_CHECKING:
    from sightline.base import Finding
    from sightline.blueprint import EffectiveField, Measured, Summary, TrainingMemory
    from sightline.inference import NetworkAt


_NOISE = 4
"""Images to measure fields on: quantiles change by a percent or two with more."""


@handled
@uncollected
def summary(
    model: Annotated[str, typer.Argument(help="A zoo name, FILE.py:NAME, a run folder, or a model file.")],
    input: Annotated[  # noqa: A002  -- the name of the option
        list[str] | None,
        typer.Option(help="3,224,224 or 224x224x3; one an argument of forward; :int behind integers."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, help="Fold modules deeper than this; 0 is one row.")
    ] = None,
    arithmetic: Annotated[bool, typer.Option("--arithmetic", help="Write the sums under each row.")] = False,
    slide: Annotated[
        bool,
        typer.Option("--slide", help="The lecture's lines: memory in values, parameters without biases."),
    ] = False,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", "-b", min=1, help="Images of the training step whose memory is told."),
    ] = 32,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run a real step, and tell the memory the allocator saw.")
    ] = False,
    effective: Annotated[
        bool, typer.Option("--effective", help="Measure by gradients how far the middle unit of maps sees.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="The lecture's rule: pixels that are lost are an error.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: one object.")] = False,
) -> None:
    """Every layer of a network: size, parameters, multiply-adds, memory, receptive field; and totals."""
    from sightline.base import ArgumentError
    from sightline.blueprint import PassError, megabytes, record, slide_text, summarize
    from sightline.inference import network_at

    if slide + json + arithmetic > 1:
        raise ArgumentError("--slide, --json and --arithmetic exclude each other; give one")
    there = network_at(model, input or [])
    try:
        blueprint = record(there.network, *there.inputs, name=there.name)
    except PassError as error:
        if error.blueprint.nodes and not json:
            print(summarize(error.blueprint).text(depth, arithmetic=arithmetic, totals=False))
            sys.stdout.flush()
        raise
    fields = _effective(model, input or [], summarize(blueprint), depth) if effective else None
    told = summarize(blueprint, training=_training(there, batch_size), effective=fields)
    losses = _losses(there, told, strict=strict)
    measured = _measured(model, input or [], batch_size) if measure else {}
    if json:
        found: dict[str, Any] = {"findings": [finding.to_dict() for finding in losses]}
        if measured:
            found["measured"] = {name: m.to_dict() for name, m in measured.items()}
        print_json(told.to_dict() | found)
    elif slide:
        print(slide_text(blueprint))
    else:
        print(told.text(depth, arithmetic=arithmetic))
        for name, m in measured.items():
            resident = f", the process {megabytes(m.resident)}" if m.resident is not None else ""
            print(f"measured {name}, batch {m.batch}: {megabytes(m.peak)} at its peak{resident}")
        for finding in losses:
            print(textwrap.fill(f"{finding.level}: {finding.line()}", 110, subsequent_indent="  "))
        _siblings(there)
    if any(finding.level == "error" for finding in losses):
        raise typer.Exit(1)


def _training(there: NetworkAt, images: int) -> TrainingMemory | None:
    from sightline.base import ArgumentError
    from sightline.blueprint import training_memory

    try:
        return training_memory(there.network, *there.batch(images))
    except ArgumentError:  # it reads its numbers, or has nothing to train: the table is told without
        return None


def _effective(spec: str, inputs: list[str], told: Summary, depth: int | None) -> dict[str, EffectiveField]:
    """Fields measured on noise, at the end of each row of the table that has a map of its own."""
    import torch

    from sightline.base import ArgumentError
    from sightline.blueprint import effective_fields
    from sightline.inference import network_at

    there = network_at(spec, inputs, numbers=True)
    if len(there.inputs) != 1 or there.inputs[0].dim() < 3 or not there.inputs[0].is_floating_point():
        raise ArgumentError("--effective is of networks that take one image")
    nodes = told.ends_of_rows(depth)
    print(f"measuring {len(nodes)} fields on {_NOISE} images of noise", file=sys.stderr)
    shape = (_NOISE, *there.inputs[0].shape[1:])
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return effective_fields(there.network, images, nodes)


def _measured(spec: str, inputs: list[str], images: int) -> dict[str, Measured]:
    """What a real forward pass, and a real training step, take."""
    from sightline.blueprint import measure_inference, measure_training
    from sightline.inference import network_at

    there = network_at(spec, inputs, numbers=True)
    return {
        "inference": measure_inference(there.network, *there.inputs),
        "training": measure_training(there.network, *there.batch(images)),
    }


def _losses(there: NetworkAt, told: Summary, *, strict: bool) -> list[Finding]:
    """What is lost, with the sizes that lose nothing."""
    from sightline.blueprint import lost_findings, nearest_lossless

    if not told.lost.any:
        return []
    nearest = nearest_lossless(there.network, told.blueprint, build=there.rebuild)
    return lost_findings(told.blueprint, nearest, strict=strict)


def _siblings(there: NetworkAt) -> None:
    """Networks of the same name by another hand, where they are many."""
    from sightline.zoo import list_architectures

    name = there.model.architecture.name
    if there.model.architecture.source:
        return
    stem = name.split("_")[0]
    others = [a.name for a in list_architectures() if a.name != name and a.name.split("_")[0] == stem]
    if others:
        print(f"siblings: {', '.join(others)} (`sightline models {stem}` tells them apart)")
