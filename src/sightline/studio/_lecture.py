"""The tab Lecture."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sightline.studio._settings import Settings


def router(settings: Settings) -> APIRouter:
    """What the tab asks for."""
    routes = APIRouter(prefix="/api/lecture")

    @routes.get("")
    def syllabus() -> dict[str, Any]:
        from sightline.lab import syllabus as every

        return {"entries": [{"name": e.name, "title": e.title, "slides": e.slides} for e in every()]}

    return routes
