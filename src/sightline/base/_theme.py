"""Colours shared by plots and pages, chosen to be told apart in light, in dark, and without colour vision.

Source of the categorical colours: Okabe and Ito 2008, "Color universal design".
"""

from __future__ import annotations

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
"""Line colours, in the order they are used."""

INK = "#7d8590"
"""Axes and labels of a plot: readable on white and on near-black."""

LEVELS = {"info": "#0072B2", "warning": "#E69F00", "error": "#D55E00"}
"""Findings by level."""
