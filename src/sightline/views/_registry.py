"""Every view by its name, with what it needs and which options it reads."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sightline.base import ArgumentError, did_you_mean
from sightline.data import Progress
from sightline.views._against import side_by_side
from sightline.views._subject import Subject, open_subject
from sightline.views._view import View

Needs = Literal["nothing", "image", "data"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user can choose of a view; None where nothing was said. Each view reads some of it."""

    image: str | None = None
    """A file, `china`, `flower`, `digit:N`; or a set of images, for views that need one."""
    layer: str | None = None
    unit: int | None = None
    at: tuple[int, int] | None = None
    """(row, column) of a position."""
    target: str | None = None
    """A class, by name or number."""
    top: int | None = None
    """How many of the strongest."""
    steps: int | None = None
    size: int | None = None
    """Side of a patch, or of a grid."""
    temperature: float | None = None
    against: str | None = None
    """Another model, seen the same way beside the first."""
    input_size: tuple[int, int] | None = None
    """(height, width) of the other model's input, where it adapts."""
    classes: tuple[str, ...] | None = None
    """Names of the outputs of the other model, if its weights came alone."""
    seed: int | None = None
    sanity: bool = False
    device: str = "auto"
    output: Path | None = None
    """Where it will be written: a view that moves makes frames only for a `.gif`."""
    progress: Progress | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """One view."""

    name: str
    about: str
    """What it shows, in a line."""
    make: Callable[[Subject, Request], View]
    needs: Needs
    optional: bool = False
    """Whether it also works without what it needs."""
    options: frozenset[str] = frozenset()
    """Fields of `Request` it reads, beside `image`. Every view takes `against`; who names it joins both."""


HOWS: dict[str, str] = {
    "kernels": "_kernels",
    "maps": "_maps",
    "neuron": "_neuron",
    "deconvnet": "_deconvnet",
    "saliency": "_attribution",
    "guided": "_attribution",
    "integrated": "_attribution",
    "smoothgrad": "_attribution",
    "gradcam": "_cam",
    "gradcam++": "_cam",
    "layercam": "_cam",
    "occlusion": "_occlusion",
    "field": "_field",
    "features": "_features",
    "shift": "_shift",
    "softmax": "_softmax",
    "embedding": "_embedding",
    "compare": "_compare",
}
"""The module that has each view, by name, in the order they are told."""


def find_view(name: str) -> How:
    """A view by its name.

    Raises:
        ArgumentError: if there is none; it names close ones.
    """
    if name not in HOWS:
        close = did_you_mean(name, HOWS)
        close = f"; {close}" if close.startswith("did") else ""
        raise ArgumentError(f"HOW is {name!r}; there are {', '.join(HOWS)}{close}")
    module = importlib.import_module(f"sightline.views.{HOWS[name]}")
    table: tuple[How, ...] = module.VIEWS
    return next(how for how in table if how.name == name)


def view(how: str, subject: Subject, request: Request) -> View:
    """Make a view by its name.

    Args:
        how: As in `HOWS`.
        subject: The network.
        request: What to look at. What was chosen and the view does not read is an error.

    Raises:
        ArgumentError: if there is no such view, it needs an image or a set and none is given, or an option is
            not one of its own.
    """
    found = find_view(how)
    if found.needs != "nothing" and request.image is None and not found.optional:
        wanted = "an image: a file, china, flower or digit:0" if found.needs == "image" else "a set of images"
        raise ArgumentError(f"view {how} needs {wanted}")
    if found.needs == "nothing" and request.image is not None:
        raise ArgumentError(f"view {how} is of the network alone; it takes no image")
    everywhere = {"image", "against", "input_size", "classes", "device", "output", "progress"}
    for field in dataclasses.fields(Request):
        chosen = getattr(request, field.name) not in (None, False)
        if chosen and field.name not in found.options | everywhere:
            takes = ", ".join(f"--{name}" for name in sorted({"against", *found.options}))
            raise ArgumentError(f"--{field.name} is not for view {how}, whose options are {takes}")
    if request.against is None or "against" in found.options:
        return found.make(subject, request)
    other = open_subject(
        request.against,
        device=request.device,
        classes=request.classes or (),
        input_size=request.input_size,
    )
    alone = dataclasses.replace(request, against=None)
    first = found.make(subject, alone)
    target, said = _same_class(subject, other, first) if "target" in found.options else (None, "")
    second = found.make(other, alone if target is None else dataclasses.replace(alone, target=target))
    both = side_by_side(subject, other, first, second)
    return dataclasses.replace(both, notes=(said, *both.notes)) if said else both


def _same_class(subject: Subject, other: Subject, first: View) -> tuple[str | None, str]:
    """The class of the first model as the other calls it, and what is to be said; None of no class."""
    index = first.figures.get("target_index")
    if index is None:
        return None, ""
    name = subject.class_name(index)
    if subject.classes and other.classes:
        if name in other.classes:
            return name, f"both explain '{name}'"
        return None, f"each explains a class of its own: the second model has no '{name}'"
    outputs = other.blueprint.nodes[-1].output_shapes[0] if other.blueprint.nodes else ()
    if len(outputs) == 2 and index < outputs[1]:
        return str(index), f"both explain output {index}: they do not both say what it is called"
    return None, f"each explains a class of its own: the second model has no output {index}"
