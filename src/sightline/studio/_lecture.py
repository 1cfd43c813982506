"""The tab Lecture: the syllabus, its entries run, their plays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from sightline.base import ArgumentError, duration
from sightline.studio._filtering import Uploads, filter_values, kernel_list, picture_of
from sightline.studio._plays import design_values, pool_values, slide_values, softmax_values
from sightline.studio._running import Progress, Runner
from sightline.studio._settings import RefusedError, Settings, confined

if TYPE_CHECKING:
    from sightline.lab import Entry

Given = Annotated[dict[str, Any], Body()]

_AT_ONCE = 20
"""Seconds that an entry may take to be run for its export alone."""
_PLAYS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "slide": slide_values,
    "pool": pool_values,
    "design": design_values,
    "softmax": softmax_values,
}


def router(settings: Settings) -> APIRouter:
    """What the tab asks for."""
    routes = APIRouter(prefix="/api/lecture")
    runner, uploads = Runner(), Uploads()

    @routes.get("")
    def syllabus() -> dict[str, Any]:
        from sightline.lab import syllabus as every

        return {
            "entries": [
                {
                    "name": e.name,
                    "title": e.title,
                    "slides": e.slides,
                    "ran": runner.result(e.name) is not None,
                }
                for e in every()
            ]
        }

    @routes.get("/plays/kernels")
    def kernels() -> dict[str, Any]:
        return {"kernels": kernel_list()}

    @routes.post("/plays/upload")
    async def upload(request: Request, name: str = "your image") -> dict[str, Any]:
        content = await request.body()
        key = uploads.add(content, name[-80:])
        picture_of(settings, uploads, key)
        return {"image": key}

    @routes.post("/plays/{kind}")
    def play(kind: str, given: Given) -> dict[str, Any]:
        if kind == "filter":
            return filter_values(settings, uploads, given)
        if kind not in _PLAYS:
            raise RefusedError(404, f"there is no play {kind!r}")
        return _PLAYS[kind](given)

    @routes.get("/{name}")
    def entry(name: str) -> dict[str, Any]:
        return entry_dict(_found(name)) | {"page": runner.result(name)}

    @routes.post("/{name}/run")
    def run(name: str, given: Given) -> dict[str, Any]:
        found = _found(name)
        live, data, seed = bool(given.get("live")), str(given.get("data") or ""), given.get("seed") or 0
        if live and found.live_seconds is None:
            raise ArgumentError(f"live: {name} always computes everything")
        if data and not found.takes_data:
            raise ArgumentError(f"data: {name} uses no images of yours")
        if not isinstance(seed, int) or seed < 0:
            raise ArgumentError(f"seed is {seed!r}; it is a whole number of 0 or more")
        path = confined(settings, data) if data else None
        if path is not None and not path.exists():
            raise RefusedError(404, f"data: there is no {data!r}")

        def work(progress: Progress) -> dict[str, Any]:
            from sightline.lab import Setting

            return _run(found, Setting(live=live, data=path, seed=seed, progress=progress))

        runner.start(name, work)
        return runner.state(name)

    @routes.get("/{name}/run")
    def running(name: str) -> dict[str, Any]:
        return runner.state(_found(name).name)

    @routes.post("/{name}/stop")
    def stop(name: str) -> dict[str, Any]:
        state = runner.state(_found(name).name)
        if state["state"] == "running":
            runner.stop()
        return state

    @routes.get("/{name}/export")
    def export(name: str) -> Response:
        from sightline.lab import Setting
        from sightline.studio._export import export_page

        found = _found(name)
        page = runner.result(name)
        if page is None:
            if found.seconds > _AT_ONCE:
                raise ArgumentError(f"run it first: it takes about {duration(found.seconds)}")
            page = runner.finish(name, lambda progress: _run(found, Setting(progress=progress)))
        text = export_page(entry_dict(found), page, lambda given: filter_values(settings, uploads, given))
        attached = {"Content-Disposition": f'attachment; filename="{name}.html"'}
        return Response(text, media_type="text/html", headers=attached)

    return routes


def entry_dict(entry: Entry) -> dict[str, Any]:
    """An entry as the page draws it, with its neighbours."""
    from sightline.lab import syllabus

    every = syllabus()
    place = every.index(entry)
    near = {"before": every[place - 1] if place else None}
    near["after"] = every[place + 1] if place + 1 < len(every) else None
    live = entry.live_seconds
    return {
        **entry.to_dict(),
        "number": place + 1,
        "of": len(every),
        **{key: one and {"name": one.name, "title": one.title} for key, one in near.items()},
        "takes": duration(entry.seconds),
        "live_takes": None if live is None else duration(live),
    }


def _found(name: str) -> Entry:
    from sightline.lab import find_entry

    try:
        return find_entry(name)
    except ArgumentError as error:
        raise RefusedError(404, str(error)) from None


def _run(entry: Entry, setting: Any) -> dict[str, Any]:
    from sightline.lab import page_dict

    found: dict[str, Any] = _finite(page_dict(entry.run(setting)))
    return found


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor a number that is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
