"""A feature while the network learns: at each snapshot of a run, what its strongest activation comes back as.

Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", figure 4.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.blueprint import Node
from sightline.data import ImageSet, Progress
from sightline.views._drawn import labelled
from sightline.views._kernels import snapshots
from sightline.views._shown import Shown, strongest_shown
from sightline.views._strongest import strongest
from sightline.views._subject import Subject, snapshot
from sightline.views._view import Panel, Pixels
from sightline.views._window import Windows, signal_picture, spread_evenly

_EPOCHS = 8
"""As many as in the paper."""
_SIDE = 112


@dataclasses.dataclass(frozen=True, eq=False)
class Learned:
    """A unit over the snapshots of a run."""

    panel: Panel
    note: str
    arrays: dict[str, NDArray[Any]]
    figures: list[dict[str, Any]]


def learned(
    subject: Subject, images: ImageSet, node: Node, unit: int, progress: Progress | None = None
) -> Learned | None:
    """The strongest activation of a unit over a set, at each of some snapshots.

    Args:
        subject: From a run.
        images: The set.
        node: The unit's layer.
        unit: Its channel, or its place in a vector.
        progress: Told how far each snapshot is.

    Returns:
        None where the run kept fewer than two snapshots, or the network is of no run.
    """
    files = spread_evenly(snapshots(subject), _EPOCHS)
    if len(files) < 2:
        return None
    found: list[_Epoch] = []
    for name, file in files:
        then = snapshot(subject, file)
        index = strongest(then, images, [node], progress=progress)[node.id]
        best = strongest_shown(then, images, Windows(then.blueprint), node, unit, index, most=1)
        found.append((name, float(index.values[unit, 0]), best[0] if best else None))
    pixels = labelled([*map(_back, found), *map(_patch, found)], _SIDE, len(files), smooth=False)
    blank = np.zeros(subject.input_shape, np.float32)
    projections = [blank if shown is None else shown.pixels for *_, shown in found]
    return Learned(
        panel=Panel(
            pixels=pixels,
            title=f"unit {unit} of {node.id} while it learned",
            caption="above, what the strongest activation of that epoch comes back as, and its value; below, "
            "what the unit saw",
            smooth=False,
            width=pixels.shape[1],
        ),
        note=f"while it learned: at each of {len(files)} snapshots the image in which the unit was strongest "
        "then; a jump from one to the next is mostly another image",
        arrays={
            f"{node.id}.{unit}.epochs.projections": np.stack(projections),
            f"{node.id}.{unit}.epochs.values": np.array([value for _, value, _ in found]),
        },
        figures=[
            {
                "epoch": epoch,
                "value": value,
                "image": None if s is None else s.picture.name,
                "at": None if s is None else list(s.at),
            }
            for epoch, value, s in found
        ],
    )


_Epoch = tuple[str, float, Shown | None]
"""What it is called, the unit's largest value, and that activation; None where it never fires."""


def _back(epoch: _Epoch) -> tuple[Pixels | str, str]:
    name, value, shown = epoch
    line = f"{name}: {value:.3g}"
    if shown is None:
        return "never fires", line
    return ("nothing comes back" if shown.nothing else signal_picture(shown.crop(), shown.most())), line


def _patch(epoch: _Epoch) -> tuple[Pixels | str, str]:
    shown = epoch[2]
    return ("", "") if shown is None else (shown.patch(), Path(shown.picture.name).name)
