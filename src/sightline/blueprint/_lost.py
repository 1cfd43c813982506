"""Rows and columns of the input that never reach the output, and the nearest sizes that lose none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint._graph import Blueprint, Node
from sightline.blueprint._reach import reach
from sightline.blueprint._record import record
from sightline.reference import window_lost

_MOST_RUNS = 4


@dataclasses.dataclass(frozen=True)
class LostPixels:
    """What of the first input's pixels no output depends on."""

    rows: tuple[tuple[int, ...], ...]
    """For each spatial axis (height, width), the indices lost altogether."""
    exact: bool
    """False where an operation was not followed; then more may be lost than is said."""

    @property
    def any(self) -> bool:
        """Whether anything is lost."""
        return any(self.rows)


def lost_in(node: Node) -> tuple[tuple[int, ...], ...]:
    """For each spatial axis, which rows of a window's input it does not cover.

    Args:
        node: Any; one that slides no window covers all.
    """
    settings = node.settings
    if "kernel_size" not in settings or "transposed" in settings or not node.input_shapes:
        return ()
    kernel = settings["kernel_size"]
    sizes = node.input_shapes[0][-len(kernel) :]
    return tuple(
        window_lost(
            sizes[k], kernel[k], settings["stride"][k], settings["padding"][k], settings["dilation"][k],
            ceil=settings.get("ceil_mode", False),
        )
        for k in range(len(kernel))
    )  # fmt: skip


def lost_pixels(blueprint: Blueprint) -> LostPixels:
    """Rows and columns of the first input that reach no output, branches and skips counted.

    Args:
        blueprint: Of one recorded pass.
    """
    if not blueprint.inputs or len(blueprint.input_shapes[0]) < 3:
        return LostPixels((), True)
    found = reach(blueprint)
    mask = found.masks[blueprint.inputs[0]]
    rows = []
    for dim in range(2, mask.ndim):
        seen = np.asarray(mask.any(axis=tuple(d for d in range(mask.ndim) if d != dim)))
        rows.append(tuple(int(i) for i in range(len(seen)) if not seen[i]))
    return LostPixels(tuple(rows), found.exact)


def nearest_lossless(
    network: nn.Module,
    blueprint: Blueprint,
    within: int = 32,
    *,
    build: Callable[[int], nn.Module] | None = None,
) -> tuple[int | None, int | None]:
    """The nearest square input sizes, below and above, of which every pixel reaches the output.

    Args:
        network: Recorded again at each size.
        blueprint: Of it; its first input is an image, its only one.
        within: Pixels to look, at either side.
        build: Gives the network for a size, where it depends on it; `network` serves all sizes if None.

    Returns:
        The largest below and the smallest above; None where there is none near.
    """
    shape = blueprint.input_shapes[0]
    size = max(shape[2:])

    def loses_none(candidate: int) -> bool:
        try:
            there = record(
                network if build is None else build(candidate),
                torch.empty((*shape[:2], *(candidate,) * len(shape[2:])), device="meta"),
            )
            return not lost_pixels(there).any
        except ArgumentError:
            return False

    below = next((s for s in range(size - 1, max(size - within, 1) - 1, -1) if loses_none(s)), None)
    above = next((s for s in range(size + 1, size + within + 1) if loses_none(s)), None)
    return below, above


def lost_findings(
    blueprint: Blueprint, nearest: tuple[int | None, int | None] = (None, None), *, strict: bool = False
) -> list[Finding]:
    """What the whole network loses, as a finding; none where all is seen.

    Args:
        blueprint: Of one recorded pass.
        nearest: Sizes that lose nothing, from `nearest_lossless`.
        strict: Make it an error, as the lecture does, rather than a warning.
    """
    found = []
    lost = lost_pixels(blueprint)
    if lost.any:
        sizes = " or ".join(str(s) for s in nearest if s is not None)
        found.append(
            Finding(
                level="error" if strict else "warning",
                where=f"{blueprint.name}, input {'x'.join(map(str, blueprint.input_shapes[0][2:]))}",
                what="; ".join(
                    _never(axis, rows)
                    for axis, rows in zip(axis_names(len(lost.rows)), lost.rows, strict=True)
                    if rows
                ),
                why="a window that does not fit drops the border it cannot cover",
                do=f"images of {sizes} pixels lose none" if sizes else "pad, or change a stride",
            )
        )
    return found


def _never(axis: str, rows: tuple[int, ...]) -> str:
    if len(rows) == 1:
        return f"{axis[:-1]} {rows[0]} never reaches the output"
    return f"{axis} {ranges(rows)} never reach the output"


def axis_names(count: int) -> tuple[str, ...]:
    """What the spatial axes are called."""
    return {1: ("positions",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}.get(
        count, ("rows",) * count
    )


def ranges(numbers: tuple[int, ...]) -> str:
    """Numbers as runs, or how many there are where that would be long.

    Example:
        >>> ranges((0, 1, 2, 7)), ranges(tuple(range(1, 56, 2)))
        ('0-2, 7', '1, 3, ..., 55 (28 of them)')
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    if len(runs) > _MOST_RUNS:
        return f"{numbers[0]}, {numbers[1]}, ..., {numbers[-1]} ({len(numbers)} of them)"
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
