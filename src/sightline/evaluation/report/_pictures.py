"""Images in the page: samples of each class, and the most confident mistakes."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from sightline.data import ImageSet, picture_of
from sightline.evaluation._evaluation import Evaluation
from sightline.imaging import UnreadableImageError

MAX_MISTAKES = 24
"""Mistakes shown."""
MAX_SAMPLES = 120
"""Sample images shown, of all classes together."""
SAMPLES_A_CLASS = 6
SAMPLE_BYTES = 500_000
"""Of all sample images, before base64."""


def samples(evaluation: Evaluation) -> dict[str, Any]:
    """A few images of each class, evenly spaced; of many classes, those that do worst."""
    answers, classes = evaluation.answers, evaluation.images.classes
    predicted, probabilities = answers.predicted, answers.probabilities
    right = predicted == answers.targets
    matrix = evaluation.scores.confusion
    totals = matrix.sum(axis=1)
    present = np.flatnonzero(totals)
    recall = matrix.diagonal()[present] / totals[present]
    chosen = np.sort(present[np.argsort(recall, kind="stable")[:MAX_SAMPLES]])
    each = max(1, min(SAMPLES_A_CLASS, MAX_SAMPLES // len(chosen)))
    cap = min(7_000, SAMPLE_BYTES // (each * len(chosen)))
    groups = []
    for t in chosen:
        mine = np.flatnonzero(answers.targets == t)
        places = mine[np.unique(np.linspace(0, len(mine) - 1, min(each, len(mine))).round().astype(int))]
        tiles = [
            {
                "image": thumbnail(evaluation.images, int(answers.ids[i]), box=96, cap=cap),
                "predicted": classes[predicted[i]],
                "probability": float(probabilities[i, predicted[i]]),
                "right": bool(right[i]),
                "name": evaluation.images.names[answers.ids[i]],
            }
            for i in places
        ]
        groups.append(
            {"name": classes[t], "right": int(right[mine].sum()), "total": len(mine), "tiles": tiles}
        )
    images = [tile["image"] for group in groups for tile in group["tiles"] if tile["image"]]
    wide = max(map(len, classes)) > 8 or not all(image["small"] for image in images)
    return {
        "groups": groups,
        "each": each,
        "chosen": len(chosen),
        "present": len(present),
        "tile": 6.0 if wide else 4.1,
        "high": max((image["height"] for image in images), default=64),
    }


def mistakes(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The wrong answers of highest confidence, the most confident first."""
    answers = evaluation.answers
    place = {int(index): i for i, index in enumerate(answers.ids)}
    probabilities = answers.probabilities
    return [
        {
            "image": thumbnail(evaluation.images, mistake.index, box=180, cap=12_000),
            "name": mistake.path,
            "true": mistake.true,
            "predicted": mistake.predicted,
            "probability": mistake.probability,
            "true_probability": float(probabilities[i, answers.targets[i]]),
        }
        for mistake in evaluation.mistakes(MAX_MISTAKES)
        for i in (place[mistake.index],)
    ]


def thumbnail(images: ImageSet, index: int, box: int, cap: int) -> dict[str, Any] | None:
    """An image as a data URI.

    Args:
        images: The set.
        index: Which image.
        box: Side of the square it is shown in, in CSS pixels.
        cap: Largest number of bytes of its file.

    Returns:
        None if its file cannot be read any more.
    """
    try:
        image = picture_of(images, index, at_least=(2 * box, 2 * box))
    except UnreadableImageError:
        return None
    small = max(image.size) <= 64
    if not small:
        image.thumbnail((3 * box // 2, 3 * box // 2))
    image = Image.fromarray(np.asarray(image))  # leaves EXIF, comments and profiles behind
    factor = (2 * box // 3 if small else box) / max(image.size)
    if small:
        factor = max(1, round(factor))
    width, height = (max(1, round(side * factor)) for side in image.size)
    return {"uri": _encode(image, small, cap), "width": width, "height": height, "small": small}


def _encode(image: Image.Image, exact: bool, cap: int) -> str:
    """A PNG where it is to be exact and fits, else a JPEG as good as fits."""
    settings: list[dict[str, Any]] = [{"format": "PNG", "optimize": True}] if exact else []
    settings += [{"format": "JPEG", "quality": quality} for quality in (85, 70, 50, 30, 10)]
    for setting in settings:
        out = io.BytesIO()
        image.save(out, **setting)
        if out.tell() <= cap:
            break
    return f"data:image/{setting['format'].lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
