"""What belongs to weights that came without it: class names and preprocessing, given or assumed, and said."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightline.base import ArgumentError, DataError, Finding, ModelFileError
from sightline.inference._resolve import ResolvedModel
from sightline.records import ArchitectureReference, ModelHeader
from sightline.zoo import IMAGENET_MEAN, IMAGENET_STD, find_translation, public_weights

_IMAGENET = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
_CENTRED = {"mean": [0.5], "std": [0.5]}
_CROP, _COVERED = 224, 256
"""ImageNet papers cut a window of the first side out of an image whose shorter side is the second."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Belongings:
    """What a user says of weights that say nothing themselves."""

    mean: tuple[float, ...] | None = None
    """Per channel, of values scaled to [0, 1]."""
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    """In the order of the outputs."""

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return self.mean is not None or self.std is not None or self.classes is not None


def read_belongings(mean: str | None, std: str | None, classes: Path | None) -> Belongings:
    """Belongings as they are written on a command line.

    Args:
        mean: Numbers with commas between, one a channel.
        std: Likewise.
        classes: A text file, one name a line, in the order of the outputs.

    Raises:
        ArgumentError: if they are not numbers, or a deviation is not positive.
        DataError: if the file cannot be read, it has no name, or one is there twice or holds a control
            character.
    """
    values = {"mean": _numbers("mean", mean), "std": _numbers("std", std)}
    if values["std"] is not None and not all(value > 0 for value in values["std"]):
        raise ArgumentError(f"--std must be positive; it is {std}")
    names = None
    if classes is not None:
        try:
            lines = [line.strip() for line in classes.read_text("utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--classes {classes} cannot be read: {error}") from error
        names = tuple(line for line in lines if line)
        if not names:
            raise DataError(f"--classes {classes} holds no name; it takes one a line")
        odd = next((name for name in names if not name.isprintable()), None)
        if odd is not None:
            raise DataError(f"--classes {classes}: the name {odd[:200]!a} holds a control character")
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise DataError(f"--classes {classes} has {twice[:200]!r} twice")
    return Belongings(mean=values["mean"], std=values["std"], classes=names)


def assumed_header(
    resolved: ResolvedModel, belongings: Belongings, classes: Sequence[str] | None = None
) -> tuple[ModelHeader, tuple[Finding, ...]]:
    """A header for weights that came alone, and what had to be assumed.

    Weights of a network of this package for the 1000 classes of ImageNet see images as in its papers: the
    shorter side becomes 256 for an input of 224, and the window of 224 at the centre is cut out; of other
    inputs in proportion. Any other weights see whole images at their input's size.

    Args:
        resolved: Weights without a header.
        belongings: What the user says of them.
        classes: The classes of the images at hand, if nobody says those of the weights.

    Raises:
        ModelFileError: if there are no weights, or nothing says what their classes are called.
        ArgumentError: if as many numbers as channels are not given.
    """
    if resolved.weights is None:
        raise ModelFileError(f"{resolved.spec} has no weights; give a run folder, a model file, or NAME@FILE")
    channels, height, width = resolved.architecture.input_shape
    names = belongings.classes or (tuple(classes) if classes is not None else None)
    if names is None:
        raise ModelFileError(
            f"{resolved.spec} does not say what its classes are called; give --classes FILE, a name a line"
        )
    known = _known_preprocessing(resolved)
    settings = dict(known or (_IMAGENET if channels == 3 else _CENTRED))
    for key in ("mean", "std"):
        given = getattr(belongings, key)
        if given is not None and len(given) not in (1, channels):
            takes = f"{resolved.architecture.name} takes {channels} channels"
            raise ArgumentError(f"--{key} has {len(given)} numbers; {takes}")
        if given is not None:
            settings[key] = list(given) * (channels // len(given))
    canvas = height, width
    fitting: dict[str, Any] = {"fit": "none"}
    covers = _is_of_imagenet(resolved, len(names))
    if covers:
        canvas = round(height * _COVERED / _CROP), round(width * _COVERED / _CROP)
        fitting = {"fit": "crop", "window": height / canvas[0]}
    header = ModelHeader(
        architecture=ArchitectureReference(
            name=resolved.architecture.name,
            num_classes=len(names),
            in_channels=channels,
            input_size=(height, width),
            arguments=dict(resolved.architecture.arguments),
            source=resolved.architecture.source,
            source_digest=resolved.architecture.source_digest,
        ),
        classes=names,
        canvas=canvas,
        framing_rule="cover" if covers else "whole",
        preprocessing={"size": [height, width], **fitting, **settings},
        objective=resolved.architecture.objective,
        objective_settings={},
    )
    return header, _assumptions(resolved, belongings, header, known is not None)


def _is_of_imagenet(resolved: ResolvedModel, num_classes: int) -> bool:
    """Whether weights are, by all that can be told, of a network of the zoo trained on ImageNet."""
    architecture = resolved.architecture
    channels, height, width = architecture.input_shape
    of_zoo = not architecture.source
    return of_zoo and architecture.num_classes == num_classes == 1000 and channels == 3 and height == width


def _known_preprocessing(resolved: ResolvedModel) -> dict[str, Any] | None:
    """Of weights whose origin is known."""
    assert resolved.weights is not None
    translation = find_translation(resolved.architecture.name, resolved.weights)
    if translation is not None:
        return dict(translation.preprocessing)
    name, _, file = resolved.spec.rpartition("@")
    return dict(public_weights(name).preprocessing) if file == "public" else None


def _assumptions(
    resolved: ResolvedModel, belongings: Belongings, header: ModelHeader, known: bool
) -> tuple[Finding, ...]:
    taken = []
    if belongings.classes is None:
        first, last = header.classes[0], header.classes[-1]
        taken.append(f"{len(header.classes)} classes from {first} to {last}")
    if not known and (belongings.mean is None or belongings.std is None):
        settings = header.preprocessing
        taken.append(f"mean {settings['mean']}, std {settings['std']}")
    if not taken:
        return ()
    return (
        Finding(
            level="warning",
            where=str(resolved.path),
            what=f"the weights came without classes and preprocessing; taken: {', '.join(taken)}",
            why="if they were trained otherwise, the scores are too low",
            do="say it with --mean, --std and --classes, or use a model file, which carries all of it",
        ),
    )


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentError(f"--{name} is {text!r}; it takes numbers with commas between") from error
