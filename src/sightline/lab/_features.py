"""What filters learn: a small network trained on the embedded digits, looked at before, while and after."""

from __future__ import annotations

import io
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from sightline.base import Draws
from sightline.data import ImageSet, open_images
from sightline.evaluation import wilson_interval
from sightline.imaging import Preprocessing
from sightline.lab._entry import Cell, Listing, Page, Picture, Setting, Table
from sightline.lab._trials import HOW, SmallSet, learn, small_set
from sightline.views import Subject, View, deconvnet_of_set, kernels, maps, strongest

SIDE = 16
EPOCHS = 8
SHOWN = (0, 1, 2, 4, 8)
"""After which epochs the first kernels are shown; 0 is before."""
LAYERS = ("relu1", "relu2", "relu3")
DIGIT = 7
"""Of the maps."""
_BEST = 9
_CHANCE = 2_000
"""Draws of nine images, for what the share of one class is by chance."""


def network(classes: int) -> nn.Module:
    """Three convolutions with ReLU, two poolings, one fully connected layer.

    Shape:
        (N, 1, 16, 16) -> (N, classes).
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(16, 24, 3, padding=1), relu3=nn.ReLU(),
            flatten=nn.Flatten(), fc=nn.Linear(24 * 4 * 4, classes),
        )
    )  # fmt: skip


def subject_of(built: nn.Module, images: SmallSet) -> Subject:
    """The network as views take it, with the preprocessing it was trained with."""
    preprocessing = Preprocessing(
        size=(SIDE, SIDE),
        fit="none",
        mean=[value / 255 for value in images.mean],
        std=[value / 255 for value in images.deviation],
    )
    return Subject.of(
        built.to(memory_format=torch.contiguous_format).eval(),  # type: ignore[call-overload]
        (1, SIDE, SIDE),
        name="a small network",
        preprocessing=preprocessing,
        classes=images.classes,
    )


def page(setting: Setting) -> Page:
    """Train it, and look."""
    images = small_set("digits", side=SIDE, channels=1, train=1_797, test=1_797)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        built = network(len(images.classes))
    digits = open_images("digits")
    shares_before = one_class(subject_of(built, images), digits)
    kept = {0: _first(built)}
    accuracy = 0.0
    for row in learn(built, images, epochs=EPOCHS, seed=setting.seed, rate=0.03):
        setting.progress("training", int(row["epoch"]), EPOCHS)
        kept[int(row["epoch"])] = _first(built)
        accuracy = float(row["test_accuracy"])
    subject = subject_of(built, images)
    shares = one_class(subject, digits)
    by_chance = chance(digits.targets)
    moved = {epoch: _moved(kept[0], weight) for epoch, weight in kept.items()}
    count = len(images.test_targets)
    low, high = wilson_interval(round(accuracy * count), count)
    rows: list[tuple[Cell, ...]] = [
        (name, units, *(f"{100 * x:.0f} %" for x in (shares_before[name], shares[name], by_chance)))
        for name, units in zip(LAYERS, (8, 16, 24), strict=True)
    ]
    return Page(
        sentences=(
            f"A network of {sum(p.numel() for p in built.parameters()):,} parameters learned "
            f"{len(images.classes)} digits in {EPOCHS} passes ({100 * accuracy:.1f} % of {count} others, "
            f"interval {100 * low:.1f} to {100 * high:.1f}); its first kernels moved by "
            f"{100 * moved[EPOCHS]:.0f} % of their size.",
            f"Of the nine images that excite a unit of the third layer most, {100 * shares['relu3']:.0f} % "
            f"are of one class; before training it was {100 * shares_before['relu3']:.0f} %, and chance is "
            f"{100 * by_chance:.0f} %: random filters are excited by images that are alike too, and what "
            "learning adds must be held against that.",
        ),
        parts=(
            _strip(subject, kept),
            _picture(
                maps(subject, subject.picture(f"digit:{DIGIT}")),
                "One digit, all the way through",
                f"Feature maps of a {digits.classes[int(digits.targets[DIGIT])]} in three layers",
            ),
            _picture(
                deconvnet_of_set(subject, digits, layer="relu3", top=4),
                "What excites a unit",
                "Of four units of the third layer, the nine images that excite each most, and what each "
                "rests on",
            ),
            _picture(
                deconvnet_of_set(subject, digits, layer="relu2", top=2),
                "And a layer before",
                "Of two units of the second layer, the nine images that excite each most, and what each "
                "rests on",
            ),
            Table(
                title="How much a unit is of one class",
                columns=("layer", "units", "before training", "after", "by chance"),
                rows=rows,
                caption="The nine images of all 1,797 that excite a unit most: the share of the class that "
                "most of them are of, mean over the units. By chance: nine images drawn at random.",
            ),
            Listing(title="The network", text=str(built)),
        ),
        numbers={
            "accuracy": accuracy,
            "interval": [low, high],
            "judged_by": count,
            "parameters": sum(p.numel() for p in built.parameters()),
            "moved": [moved[epoch] for epoch in range(EPOCHS + 1)],
            "one_class": shares,
            "one_class_before": shares_before,
            "one_class_by_chance": by_chance,
        },
        notes=(f"Trained just now: {images.said}; {HOW.replace('up to 0.1', 'up to 0.03')}.",),
    )


def one_class(subject: Subject, images: ImageSet) -> dict[str, float]:
    """By layer: of the nine images that excite a unit most, the share of their commonest class; the mean."""
    nodes = [subject.blueprint.nodes[subject.blueprint.index[name]] for name in LAYERS]
    best = strongest(subject, images, nodes, cache=False)
    return {
        name: float(np.mean([_commonest(images.targets[row]) for row in best[name].images]))
        for name in LAYERS
    }


def chance(targets: NDArray[np.int64]) -> float:
    """The share of the commonest class among nine images drawn at random, on average."""
    drawn = Draws(seed=0).uniform("chance", list(range(_CHANCE)), _BEST)
    return float(np.mean([_commonest(targets[row]) for row in (drawn * len(targets)).astype(int)]))


def _commonest(targets: NDArray[np.int64]) -> float:
    return float(np.bincount(targets).max() / len(targets))


def _first(built: nn.Module) -> NDArray[np.float32]:
    """The kernels of the first convolution. -> (8, 1, 5, 5)."""
    weight: NDArray[np.float32] = built.get_parameter("conv1.weight").detach().numpy().copy()
    return weight


def _moved(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


def _strip(subject: Subject, kept: dict[int, NDArray[np.float32]]) -> Picture:
    """The first kernels, a row an epoch, on one scale."""
    most = max(float(np.abs(kept[epoch]).max()) for epoch in SHOWN)
    rows = []
    layer = subject.network.get_submodule("conv1")
    assert isinstance(layer, nn.Conv2d)
    last = layer.weight.detach().clone()
    for epoch in SHOWN:
        layer.weight.data.copy_(torch.from_numpy(kept[epoch]))
        tiles = []
        for unit in range(len(last)):
            panel = kernels(subject, layer="conv1", unit=unit).panels[0]
            assert panel.on_scale is not None
            tiles.append(panel.on_scale(most).pixels)
        rows.append(np.concatenate(tiles, axis=1))
    layer.weight.data.copy_(last)
    return Picture(
        png=_png(_stacked(rows)),
        title="The first kernels, while they learn",
        alt=f"The eight 5x5 kernels after {', '.join(map(str, SHOWN))} epochs, a row each",
        caption=f"A row each: before training, and after {', '.join(map(str, SHOWN[1:]))} passes over the "
        f"images. Orange is positive, blue negative, white 0; one scale for all, to {most:.2f}.",
    )


def _stacked(rows: Sequence[NDArray[np.uint8]], gap: int = 10) -> NDArray[np.uint8]:
    between = np.full((gap, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, between)]
    return np.concatenate(parts[:-1])


def _picture(view: View, title: str, alt: str) -> Picture:
    """A view as it is written to a file, words and all."""
    with tempfile.TemporaryDirectory() as folder:
        path = view.save(Path(folder) / "view.png")
        return Picture(png=path.read_bytes(), title=title, alt=alt)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()
