"""Numbers to colours, on scales that say what they mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.base import SERIES
from sightline.views._view import Panel, Pixels, Scale

FLAT = 1e-6
"""A map whose largest value is below this share of what it could be is flat: there is nothing to see."""


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour written `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


_NEGATIVE, _ZERO, _POSITIVE = (
    np.array(c, dtype=np.float64) for c in (rgb(SERIES[0]), (255,) * 3, rgb(SERIES[1]))
)
_STOPS = np.array(
    [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]], dtype=np.float64
)
"""Of the positive scale: dark to light, of even steps in lightness."""


def signed(values: NDArray[np.floating], most: float | None = None) -> tuple[Pixels, Scale]:
    """Blue below zero, white at zero, orange above, alike on both sides.

    Args:
        values: (H, W).
        most: The value of the last colour; None for the largest magnitude there is.
    """
    most = float(np.abs(values).max(initial=0.0)) if most is None else most
    x = np.clip(values / most, -1.0, 1.0)[..., None] if most > 0 else np.zeros((*values.shape, 1))
    colours = _ZERO + np.where(x < 0, -x * (_NEGATIVE - _ZERO), x * (_POSITIVE - _ZERO))
    return np.rint(colours).astype(np.uint8), Scale("signed", -most, most)


def positive(values: NDArray[np.floating], high: float | None = None) -> tuple[Pixels, Scale]:
    """From dark at zero to light at `high`; what is negative is as zero.

    Args:
        values: (H, W).
        high: The value of the last colour; None for the largest there is.
    """
    high = float(values.max(initial=0.0)) if high is None else high
    x = np.clip(values / high, 0.0, 1.0) if high > 0 else np.zeros(values.shape)
    places = np.linspace(0, 1, len(_STOPS))
    colours = np.stack([np.interp(x, places, _STOPS[:, c]) for c in range(3)], axis=-1)
    return np.rint(colours).astype(np.uint8), Scale("positive", 0.0, max(high, 0.0))


def grey(
    values: NDArray[np.floating], low: float | None = None, high: float | None = None
) -> tuple[Pixels, Scale]:
    """Black at `low`, white at `high`; the least and the largest value where they are None. (H, W)."""
    low = float(values.min(initial=np.inf)) if low is None else low
    high = float(values.max(initial=-np.inf)) if high is None else high
    x = np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.full(values.shape, 0.5)
    pixels = np.repeat(np.rint(255 * x).astype(np.uint8)[..., None], 3, axis=-1)
    return pixels, Scale("grey", low, high)


def over(image: Pixels, heat: Pixels, strength: NDArray[np.floating]) -> Pixels:
    """Colours over a picture.

    Args:
        image: The picture, shown in grey beneath.
        heat: Colours of the same size.
        strength: (H, W), 0 where the picture is seen alone, 1 where the colour is.
    """
    luma = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    share = np.clip(strength, 0.0, 1.0)[..., None] * 0.75
    mixed: Pixels = np.rint(luma * (1 - share) + heat * share).astype(np.uint8)
    return mixed


def resized(
    values: NDArray[np.floating], size: tuple[int, int], *, smooth: bool = True
) -> NDArray[np.float32]:
    """A map (h, w) at another (height, width): bilinear, or by repeating what is nearest."""
    from PIL import Image

    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((size[1], size[0]), how))


def plotted(draw: object, width: int, height: int, *, rows: int = 1, columns: int = 1) -> Panel:
    """A plot as a panel.

    Args:
        draw: Given a matplotlib `Axes`, draws on it; of several, given the array of them.
        width: In pixels.
        height: In pixels.
        rows: Of plots.
        columns: Of plots.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    assert callable(draw)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots(rows, columns))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    pixels = np.array(Image.open(file).convert("RGB"))
    return Panel(pixels=pixels, width=width)
