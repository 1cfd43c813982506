"""One scene and what each task asks of it; a small answer where one is cheap."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sightline.base import SERIES, Draws
from sightline.imaging import digits, photograph
from sightline.lab._digits import digit_parts, logits_of, seeded, train
from sightline.lab._drawn import Drawing, grey
from sightline.reference import softmax

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SCENE = (24, 44)
"""Rows and columns."""
PLACES = ((3, 4), (12, 18), (5, 32))
"""Top left of each digit."""
NOISE = 25.0
"""Standard deviation of what is added before it is restored, in grey levels."""
WINDOW = 5
"""Side of the filter that restores."""


# -- one scene -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Digits put down at known places, so that every answer is known."""

    image: Bytes
    """(H, W)."""
    classes: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    """xyxy in pixels, around the ink."""
    mask: NDArray[np.int64]
    """(H, W): the class of each pixel with ink, -1 of the others."""


def scene(seed: int) -> Scene:
    """Three of the embedded digits on black."""
    images, targets = digits()
    chosen = Draws(seed).permutation("scene", np.arange(len(images)))[: len(PLACES)]
    image = np.zeros(SCENE, np.uint8)
    mask = np.full(SCENE, -1, np.int64)
    boxes = []
    for k, (top, left) in zip(chosen, PLACES, strict=True):
        ink = images[k, 0]
        image[top : top + 8, left : left + 8] = ink
        rows, columns = np.nonzero(ink)
        mask[top + rows, left + columns] = targets[k]
        boxes.append(
            (
                int(left + columns.min()), int(top + rows.min()),
                int(left + columns.max() + 1), int(top + rows.max() + 1),
            )
        )  # fmt: skip
    return Scene(image, tuple(int(targets[k]) for k in chosen), tuple(boxes), mask)


def answers_drawn(of: Scene) -> str:
    """The scene, and what is to be said of it: names, boxes, a class for each pixel."""
    drawing, scale = Drawing(), 8
    height, width = of.image.shape
    coloured = np.zeros((height, width, 3), np.uint8)
    for k, digit in enumerate(of.classes):
        colour = SERIES[(1, 2, 5)[k]]
        coloured[of.mask == digit] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    names = ", ".join(map(str, of.classes))
    tiles = (
        ("the image", of.image, "pixels"),
        ("classification", of.image, f"which digits? {names}"),
        ("detection", of.image, "which, and where? a box each"),
        ("segmentation", coloured, "which, of every pixel?"),
    )
    for k, (title, pixels, under) in enumerate(tiles):
        left, top = k % 2 * (width * scale + 28), k // 2 * (height * scale + 66)
        drawing.words(left, top + 15, title, size=16, bold=True)
        drawing.picture(left, top + 24, width * scale, pixels)
        drawing.box(left, top + 24, width * scale, height * scale, line="rule")
        if title == "detection":
            for digit, (x0, y0, x1, y1) in zip(of.classes, of.boxes, strict=True):
                drawing.box(
                    left + x0 * scale, top + 24 + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale,
                    line="wrong", thickness=3,
                )  # fmt: skip
                drawing.words(left + x0 * scale, top + 18 + y0 * scale, f"{digit}", size=15, tone="wrong")
        drawing.words(left, top + 24 + height * scale + 19, under, size=14, tone="soft")
    return drawing.svg(
        f"One scene of the digits {names} four times: as it is, with their names, with a box each, and with "
        "every pixel coloured by its digit"
    )


# -- classification ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Said:
    """What a linear classifier said of one test digit, and how often it is right."""

    place: int
    """Among the 1,797."""
    target: int
    probabilities: Array
    right: int
    judged: int


def classify(seed: int) -> Said:
    """Softmax regression, trained on the train part; the digit shown is of the test part."""
    learned, _, test = digit_parts()
    network = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), seed)
    train(network, learned.images, learned.targets, epochs=15, rate=0.03, seed=seed)
    logits = logits_of(network, test.images).numpy().astype(np.float64)
    targets = test.targets.numpy()
    k = int(Draws(seed).permutation("shown", np.arange(len(targets)))[0])
    right = int((logits.argmax(axis=1) == targets).sum())
    return Said(int(test.ids[k]), int(targets[k]), softmax(logits[k]), right, len(targets))


def said_drawn(said: Said) -> str:
    """The digit, and a bar a class."""
    drawing = Drawing()
    drawing.picture(0, 4, 176, digits()[0][said.place, 0])
    drawing.box(0, 4, 176, 176, line="rule")
    drawing.words(0, 202, f"digit:{said.place}, a {said.target}", size=14, tone="soft")
    for k, share in enumerate(said.probabilities):
        y = 4 + 20 * k
        drawing.words(216, y + 14, str(k), size=15, anchor="end", bold=k == said.target)
        drawing.box(226, y + 2, max(1.0, 380 * float(share)), 14, fill="right")
        drawing.words(234 + 380 * float(share), y + 14, f"{100 * share:.1f} %", size=14, tone="soft")
    return drawing.svg(f"A digit {said.target} and the probability of each class")


# -- generation ----------------------------------------------------------------------------------------


def generated(seed: int, each: int = 4) -> Array:
    """New digits from the simplest generator: of each class, a normal distribution of its 64 pixels.

    -> (10, each, 8, 8) grey levels.
    """
    images, targets = digits()
    made = np.empty((10, each, 8, 8))
    for digit in range(10):
        own = images[targets == digit].reshape(-1, 64).astype(np.float64)
        spread, turned = np.linalg.eigh(np.cov(own.T))
        z = Draws(seed).normal("generate", [10 * digit + k for k in range(each)], 64)
        drawn = own.mean(axis=0) + (z * np.sqrt(np.maximum(spread, 0))) @ turned.T
        made[digit] = np.clip(drawn, 0, 255).reshape(each, 8, 8)
    return made


def generated_drawn(made: Array) -> str:
    """Ten columns, a class each."""
    drawing, side = Drawing(), 60
    for digit, column in enumerate(made):
        drawing.words(digit * (side + 8) + side / 2, 15, str(digit), size=15, anchor="middle", tone="soft")
        for k, image in enumerate(column):
            pixels = np.rint(image).astype(np.uint8)
            drawing.picture(digit * (side + 8), 22 + k * (side + 8), side, pixels)
    return drawing.svg("Digits drawn at random from a normal distribution of pixels, of each class")


# -- restoration ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Restored:
    """A picture, what was done to it, and what two filters made of that. (H, W) each."""

    clean: Array
    noisy: Array
    blurred: Array
    restored: Array


def restore(seed: int) -> Restored:
    """Noise on `china`, taken off by a filter that was learned on `flower`, by least squares."""
    learned = grey(photograph("flower"))[150:278, 200:328].astype(np.float64)
    clean = grey(photograph("china"))[120:248, 130:258].astype(np.float64)

    def noise(stream: str) -> Array:
        return NOISE * Draws(seed).normal(stream, list(range(128)), 128)

    noisy = clean + noise("noise of china")
    windows, wanted = _windows(learned + noise("noise of flower")), learned.ravel()
    weights = np.linalg.lstsq(windows, wanted, rcond=None)[0]
    box = np.pad(noisy, 1, mode="edge")
    blurred = np.mean([box[r : r + 128, c : c + 128] for r in range(3) for c in range(3)], axis=0)
    return Restored(clean, noisy, blurred, (_windows(noisy) @ weights).reshape(clean.shape))


def _windows(image: Array) -> Array:
    """The 5x5 pixels around each, and a 1. (H, W) -> (H * W, 26)."""
    padded = np.pad(image, WINDOW // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW))
    return np.concatenate([windows.reshape(-1, WINDOW**2), np.ones((image.size, 1))], axis=1)


def psnr(image: Array, clean: Array) -> float:
    """Peak signal-to-noise ratio of 8-bit grey levels, decibels: 10 log10(255^2 / mean squared error)."""
    return float(10 * np.log10(255**2 / ((image - clean) ** 2).mean()))


def restored_drawn(of: Restored) -> str:
    """The four pictures."""
    drawing, side = Drawing(), 230
    named = (
        ("as it was", of.clean), ("with noise", of.noisy),
        ("mean of 3x3", of.blurred), ("learned 5x5", of.restored),
    )  # fmt: skip
    for k, (title, image) in enumerate(named):
        left = k * (side + 12)
        said = title if k == 0 else f"{title}: {psnr(image, of.clean):.1f} dB"
        drawing.words(left, 15, said, size=15)
        drawing.picture(left, 22, side, np.clip(np.rint(image), 0, 255).astype(np.uint8))
    return drawing.svg(
        "A part of china, the same with noise, blurred by 3x3, and restored by a learned filter"
    )


# -- what there is -------------------------------------------------------------------------------------


def available() -> dict[str, bool]:
    """Which tasks this version has."""
    names = ("classification", "detection", "segmentation", "generation", "restoration")
    return {name: find_spec(f"sightline.tasks.{name}") is not None for name in names}
