"""The weights that a run starts from: whether they fit, and what they have learned from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sightline.base import ArgumentError, DataError, Finding
from sightline.data import ImageSet, Learned, Part, Split, learned_from
from sightline.evaluation import history_of, judged_images
from sightline.inference import file_header, starting_weights
from sightline.records import RunFolder
from sightline.training._recipe import Recipe
from sightline.zoo import Architecture, load_weights

Starts = Mapping[str, tuple[Mapping[str, Tensor], str]]
"""Weights by what the user called them, each with where they are from."""


def read_starts(recipe: Recipe) -> Starts:
    """The weights that the phases of a recipe start from.

    Raises:
        ArgumentError: if one names nothing, or only a network.
        ModelFileError: if a file cannot be read as weights.
    """
    return {phase.start: starting_weights(phase.start) for phase in recipe.phases if phase.start is not None}


def check_starts(network: nn.Module, architecture: Architecture, recipe: Recipe, starts: Starts) -> None:
    """Bring the weights into a copy of the network.

    Raises:
        ModelFileError: if they do not fit.
    """
    for phase in recipe.phases:
        if phase.start is not None:
            weights, origin = starts[phase.start]
            trial = copy.deepcopy(network)
            load_weights(trial, weights, architecture, adapt=True, origin=origin, taken=phase.taken)


def learned_before(starts: Starts, images: ImageSet) -> tuple[Learned, tuple[str, ...]]:
    """What the weights come from, as far as their runs or their files say it; and where they do not.

    Of weights that are not ours nothing is said: nobody could know.
    """
    found: Learned = frozenset()
    unknown = []
    for spec, (_, origin) in starts.items():
        file = Path(origin)
        header = file_header(file) if file.is_file() else None
        if header is None:
            continue
        run = RunFolder(file.parent)
        try:
            history = history_of(images, header, run if run.args.is_file() else None)
        except DataError:
            history = None
        if history is None or not history.whole:
            unknown.append(f"whether the weights from {spec} learned from some of these images is not known")
        if history is not None:
            found |= learned_from(history.recorded) | history.before
    return found, tuple(unknown)


def check_folds(images: ImageSet, before: Learned) -> None:
    """Folds judge every image by a network that did not see it: the weights they start from must not have.

    Raises:
        ArgumentError: if they have seen some.
    """
    learned = {digest for _, digest in before}
    count = sum(digest in learned for digest in images.digests) if learned else 0
    if count:
        raise ArgumentError(
            f"--folds judges every image by a network that did not see it, and the weights they start from "
            f"have learned from {count} of {len(images)} images of {images.source}; start from others"
        )


def left_out(images: ImageSet, split: Split, before: Learned) -> list[Finding]:
    """That images of a run will not be judged by, since the weights it starts from have learned from them."""
    judged: tuple[Part, ...] = ("val", "test")
    found: list[Finding] = []
    for part in judged if before else ():
        _, alike = judged_images(images, split, part)
        _, all_of_them = judged_images(images, split, part, before)
        found += [finding for finding in all_of_them if finding not in alike]
    return found
