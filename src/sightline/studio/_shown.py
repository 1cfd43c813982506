"""A view as JSON: pictures as PNG, scales with their colours, numbers that JSON has."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightline.views import Panel, Scale, View

_RAMP = 33
"""Colours of a scale that are told; between them it is straight."""


def png(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W, 3) as an address that holds them."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def scale_json(scale: Scale | None) -> dict[str, Any] | None:
    """A scale with its colours, from the first value to the last."""
    if scale is None:
        return None
    from sightline.views import paint

    ramp = paint(np.linspace(scale.low, scale.high, _RAMP)[None], scale)[0]
    colours = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in ramp.tolist()]
    return {"kind": scale.kind, "low": scale.low, "high": scale.high, "colours": colours}


def panel_json(panel: Panel) -> dict[str, Any]:
    """A panel."""
    height, width = panel.pixels.shape[:2]
    return {
        "png": png(panel.pixels),
        "title": panel.title.strip(),
        "caption": panel.caption,
        "size": [height, width],
        "width": panel.width,
        "smooth": panel.smooth,
        "scale": scale_json(panel.scale),
    }


def view_json(view: View) -> dict[str, Any]:
    """A view without its arrays."""
    told = view.to_dict()
    findings = told.pop("findings")
    known = ("how", "title", "notes")
    return {
        **{key: told[key] for key in known},
        "figures": plain({key: value for key, value in told.items() if key not in known}),
        "findings": findings,
        "panels": [panel_json(panel) for panel in view.panels],
        "columns": view.columns,
    }


def numbers(values: NDArray[Any]) -> Any:
    """An array as lists of numbers in six digits."""
    rounded = [float(f"{v:.6g}") for v in np.asarray(values, dtype=np.float64).ravel().tolist()]
    return np.array(rounded).reshape(values.shape).tolist()


def plain(content: Any) -> Any:
    """As JSON has it: what is not finite is none, arrays are lists."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.ndarray):
        return plain(content.tolist())
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
