"""The tab Image: a picture through a model of the user, every number live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from sightline.base import ArgumentError
from sightline.studio._jobs import Job, Jobs
from sightline.studio._models import Kept, Opened, choices, is_design, model_spec, stamp
from sightline.studio._settings import WORK, RefusedError, Settings

_KEPT = 48
_NAME = 120
"""Letters of the name of a picture that was sent."""


class Both(BaseModel):
    """A model and a picture."""

    spec: str
    image: str = ""
    classes: str = ""
    """Of weights that came alone: a file with the names of the outputs, one a line."""


Given = Annotated[Both, Depends()]


class Asked(Both):
    """An attribution that is wanted."""

    how: str
    target: str = ""
    sanity: bool = False


def router(settings: Settings) -> APIRouter:
    """What the tab asks for."""
    routes = APIRouter(prefix="/api/image")
    opened, jobs = Opened(settings), Jobs()
    told: Kept[Any] = Kept(_KEPT)
    passes: Kept[float] = Kept(_KEPT)
    found: Kept[Job] = Kept(_KEPT)

    def key(both: Both, *more: object) -> tuple[object, ...]:
        if is_design(both.spec):
            raise ArgumentError("a design line has no weights to see an image with; train it, or name a run")
        known = model_spec(settings, both.spec)
        names = (both.classes, _stamp_of(settings, both.classes)) if both.classes else ()
        sent = not both.image or both.image.startswith("sent:")
        picture = () if sent else _stamp_of(settings, both.image)
        return known, stamp(known), names, both.image, picture, *more

    def look(both: Both, what: str, make: Callable[..., Any], *more: Any) -> dict[str, Any]:
        def work() -> Any:
            with WORK:
                subject = opened.subject(both.spec, both.classes)
                return make(subject, opened.picture(subject, both.image), *more)

        seen: dict[str, Any] = told.make(key(both, what, *more), work)
        return seen

    @routes.get("/choices")
    def chooser() -> dict[str, Any]:
        """Models, and pictures that need no file."""
        return {
            **choices(settings),
            "images": ["china", "flower", "digit:0"],
            "attributions": _attributions(),
        }

    @routes.post("/upload")
    async def upload(request: Request, name: str = "picture") -> dict[str, Any]:
        """Keep a picture in memory; its content is the body."""
        from starlette.concurrency import run_in_threadpool

        content = await request.body()
        said = unquote(name)[:_NAME]
        if not content:
            raise ArgumentError(f"{said} is empty")
        if not said.isprintable():
            said = "picture"
        return {"image": await run_in_threadpool(opened.receive, said, content), "name": said}

    @routes.get("/open")
    def open_both(both: Given) -> dict[str, Any]:
        """A model with a picture, one to begin with where none is named; and what it answers."""
        from sightline.studio._seen import ATTRIBUTIONS, expected_seconds, opening

        if not both.image:
            key(both)
            with WORK:
                grey = opened.subject(both.spec, both.classes).input_shape[0] == 1
            both = both.model_copy(update={"image": "digit:3" if grey else "flower"})
        seen = look(both, "open", opening)
        took = passes.keep(model_spec(settings, both.spec), seen["pass_seconds"])
        return {
            **seen,
            "image_name": both.image,
            "expected": {
                how: {
                    "map": expected_seconds(how, took, sanity=False),
                    "sanity": expected_seconds(how, took, sanity=True),
                }
                for how in ATTRIBUTIONS
            },
        }

    @routes.get("/through")
    def through(both: Given) -> dict[str, Any]:
        """The strongest maps of every stage."""
        from sightline.studio._seen import through as make

        return look(both, "through", make)

    @routes.get("/layer")
    def layer(both: Given, layer: str, top: int = 0) -> dict[str, Any]:
        """The maps of a layer."""
        from sightline.studio._seen import of_layer

        if top < 0:
            raise ArgumentError(f"top is {top}; it must be 0 or more")
        return look(both, "layer", of_layer, layer, top)

    @routes.get("/map")
    def one_map(both: Given, layer: str, unit: int) -> dict[str, Any]:
        """One map with its numbers."""
        from sightline.studio._seen import one_map as make

        return look(both, "map", make, layer, unit)

    @routes.get("/unit/{what}")
    def unit(what: str, both: Given, layer: str, unit: int, at: str = "") -> dict[str, Any]:
        """One unit: its neuron, its field, its projection."""
        from sightline.studio import _seen

        makers = {"neuron": _seen.neuron_of, "field": _seen.field_of, "deconvnet": _seen.projection_of}
        if what not in makers:
            raise RefusedError(404, f"a unit has {', '.join(makers)}; there is no {what}")
        return look(both, what, makers[what], layer, unit, _position(at))

    @routes.post("/attribution")
    def attribute(asked: Asked) -> dict[str, Any]:
        """Begin an attribution; `/job` tells how it goes. One that was made before is there at once."""
        from sightline.studio._seen import attribution, expected_seconds

        name = key(asked, asked.how, asked.target, asked.sanity)
        made = found.find(name)
        if made is not None and made.state == "done":
            return made.to_dict()
        with WORK:
            subject = opened.subject(asked.spec, asked.classes)
            picture = opened.picture(subject, asked.image)
        work = attribution(asked.how, picture, asked.target, sanity=asked.sanity)
        took = passes.find(model_spec(settings, asked.spec)) or 0.0
        what = f"{asked.how} of {picture.title}" + (" with its verdict" if asked.sanity else "")
        job = jobs.start(what, expected_seconds(asked.how, took, sanity=asked.sanity), subject, work)
        found.keep(name, job)
        return job.to_dict()

    @routes.get("/job/{number}")
    def job(number: int) -> dict[str, Any]:
        """How it goes."""
        return _job(jobs, number).to_dict()

    @routes.post("/job/{number}/stop")
    def stop(number: int) -> dict[str, Any]:
        """It is no longer wanted."""
        jobs.stop(number)
        return _job(jobs, number).to_dict()

    return routes


def _attributions() -> list[dict[str, str]]:
    from sightline.studio._seen import ATTRIBUTIONS
    from sightline.views import find_view

    return [{"name": name, "about": find_view(name).about} for name in ATTRIBUTIONS]


def _job(jobs: Jobs, number: int) -> Job:
    found = jobs.find(number)
    if found is None:
        raise RefusedError(404, f"there is no job {number}")
    return found


def _stamp_of(settings: Settings, image: str) -> tuple[int, int]:
    """Of a file: when it was written, and its size."""
    from sightline.studio._settings import confined

    path = confined(settings, image)
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else (0, 0)


def _position(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    row, comma, column = text.partition(",")
    if not (comma and row.isdecimal() and column.isdecimal()):
        raise ArgumentError(f"at is {text!r}; it takes ROW,COLUMN, each from 0")
    return int(row), int(column)
