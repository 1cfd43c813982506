"""What is said of a run before its first step."""

from __future__ import annotations

from sightline.base import duration
from sightline.data import ImageSet, Split
from sightline.imaging import PERCENTILES
from sightline.machine import PlanChoice
from sightline.training._choices import imbalance
from sightline.training._job import Job
from sightline.training._starts import left_out


def announce(job: Job, images: ImageSet, split: Split, choice: PlanChoice, seconds: float) -> None:
    """Say what will happen, and how long it will take, before it does."""
    note, recipe, size = job.reporter.note, job.recipe, job.preprocessing.size
    for finding in (*images.findings, *split.findings, *left_out(images, split, job.before)):
        note(
            f"{finding.where}: {finding.what}"
            if finding.level == "info"
            else f"{finding.level}: {finding.line()}"
        )
    counts = ", ".join(f"{len(split.indices(part))} {part}" for part in ("train", "val", "test"))
    note(f"{images.source}: {len(images)} images, {len(images.classes)} classes; {counts} ({split.rule})")
    canvas, own = job.source.canvas, images.one_size
    stored = f"{canvas.width}x{canvas.height}x{images.channels}"
    if images.depth != "uint8":
        stored = f"{images.depth} {stored}"
    if own != (canvas.height, canvas.width):
        how = "scaled to fit" if canvas.framing == "whole" else "whose centre is scaled to cover"
        stored = f"{f'{own[1]}x{own[0]}' if own else 'of many sizes'}, {how} {stored}"
    elif job.preprocessing.fit == "none":
        stored += ", as they are"
    ways = {"none": "", "pad": ", centred on ", "resize": ", resized to ", "crop": ", of which windows of "}
    given = ways[job.preprocessing.fit]
    given += f"{size[1]}x{size[0]}" if given else ""
    parameters = sum(p.numel() for p in job.network.parameters())
    note(f"{job.architecture.name}: {parameters:,} parameters; images {stored}{given}")
    if images.depth != "uint8":
        pairs = "; ".join(f"{low:g} to {high:g}" for low, high in job.preprocessing.value_range)
        note(f"values: {pairs} become 0 to 1 (percentiles {PERCENTILES[0]} and {PERCENTILES[1]} of train)")
    unequal = imbalance(images, split, recipe)
    if unequal:
        note(unequal)
    long = "" if recipe.probe is not None else f"{recipe.epochs} epochs"
    note(f"recipe {recipe.name}: {'; '.join(filter(None, [long, recipe.why]))}")
    note(f"plan: {choice.describe()}")
    training = f"about {duration(seconds)} of training; " if recipe.probe is None else ""
    note(f"{training}run folder {job.run.path}")
