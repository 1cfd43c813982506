"""The tab Network: any network of the zoo, of the user, or of a line of words, layer by layer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sightline.studio._models import Kept, choices, is_design, model_spec, stamp
from sightline.studio._settings import WORK, Settings

_KEPT = 24


def router(settings: Settings) -> APIRouter:
    """What the tab asks for."""
    routes = APIRouter(prefix="/api/network")
    told: Kept[Any] = Kept(_KEPT)

    def key(what: str, text: str, size: str, *more: object) -> tuple[object, ...]:
        spec = text if is_design(text) else model_spec(settings, text)
        return what, text, spec, stamp(spec), size, *more

    @routes.get("/choices")
    def chooser() -> dict[str, Any]:
        """The zoo, runs, model files."""
        return choices(settings)

    @routes.get("/describe")
    def describe(spec: str, input: str = "", unfold: bool = False) -> dict[str, Any]:  # noqa: A002
        """Totals, drawing, layers."""
        from sightline.studio._described import choose
        from sightline.studio._described import describe as described

        def make() -> Any:
            with WORK:
                return described(choose(settings, spec, input.strip()), unfold=unfold)

        found: dict[str, Any] = told.make(key("describe", spec, input, unfold), make)
        return found

    @routes.get("/findings")
    def findings(spec: str, input: str = "", measured: bool = False) -> dict[str, Any]:  # noqa: A002
        """What is wrong with it, or worth a second look."""
        from sightline.studio._described import choose, findings_of

        def make() -> Any:
            with WORK:
                chosen = choose(settings, spec, input.strip(), numbers=measured)
                return findings_of(chosen, measured=measured)

        return {"findings": told.make(key("findings", spec, input, measured), make)}

    @routes.get("/compare")
    def compare(a: str, b: str, input: str = "") -> dict[str, Any]:  # noqa: A002
        """Two of them, side by side."""
        from sightline.studio._described import choose, side_of
        from sightline.studio._described import compare as compared

        def make() -> Any:
            with WORK:
                return compared([side_of(choose(settings, text, input.strip())) for text in (a, b)])

        found: dict[str, Any] = told.make((key("compare", a, input), key("compare", b, input)), make)
        return found

    @routes.get("/time")
    def time(a: str, b: str, input: str = "") -> dict[str, Any]:  # noqa: A002
        """How long one image takes in each, on this machine, in turns."""
        from sightline.base import ArgumentError
        from sightline.inference import compare_models

        if is_design(a) or is_design(b):
            raise ArgumentError("a design line is not timed; it has no weights")
        specs = [model_spec(settings, text) for text in (a, b)]
        with WORK:
            sides = compare_models(specs, [input] if input else [], measure=True)
        return {"milliseconds": [s.milliseconds for s in sides], "quartiles": [s.spread for s in sides]}

    return routes
