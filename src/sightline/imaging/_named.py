"""A picture by what a user calls it: a file, or one that comes with scikit-learn, which is not imported."""

from __future__ import annotations

import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.base import ArgumentError, DataError, did_you_mean
from sightline.imaging._decode import decode_array
from sightline.imaging._faults import UnreadableImageError

_PHOTOGRAPHS = ("china", "flower")


def named_picture(text: str) -> NDArray[np.uint8]:
    """An image file, or `china`, `flower`, `digit:0` to `digit:1796`.

    Returns:
        (H, W) of a grey one, or (H, W, 3).

    Raises:
        ArgumentError: if there is none of that name.
        DataError: if it cannot be read.
    """
    path = Path(text)
    if text in _PHOTOGRAPHS and not path.exists():
        path = _sklearn_file(f"datasets/images/{text}.jpg")
    elif text.startswith("digit") and not path.exists():
        return _digit(text)
    if not path.exists():
        names = [*_PHOTOGRAPHS, "digit:0"]
        raise ArgumentError(f"IMAGE {text} is no file, nor an embedded picture; {did_you_mean(text, names)}")
    if path.is_dir():
        raise ArgumentError(f"IMAGE {text} is a folder; give one image")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {text}: {error.strerror or error}") from error
    return picture_pixels(content, text)


def picture_pixels(content: bytes, said: str) -> NDArray[np.uint8]:
    """The pixels of an image file's content, as `named_picture`.

    Raises:
        DataError: if it cannot be read; `said` is what it is called.
    """
    try:
        pixels = decode_array(content, 1 if _is_grey(content) else 3, "uint8")
    except (UnreadableImageError, OSError) as error:
        raise DataError(f"cannot read {said}: {getattr(error, 'strerror', None) or error}") from error
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _is_grey(content: bytes) -> bool:
    """By its header; what is broken is said when it is decoded."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.mode in ("1", "L", "LA", "La")
    except Exception:  # a broken header fails in any way
        return False


def _digit(text: str) -> NDArray[np.uint8]:
    """A handwritten digit, 8x8, its 17 levels spread over 0 to 255."""
    number = text.removeprefix("digit").removeprefix(":") or "0"
    with gzip.open(_sklearn_file("datasets/data/digits.csv.gz"), "rt") as file:
        lines = file.read().splitlines()
    if not number.isdecimal() or int(number) >= len(lines):
        raise ArgumentError(f"IMAGE is {text!r}; digits are digit:0 to digit:{len(lines) - 1}")
    levels = np.array([float(value) for value in lines[int(number)].split(",")[:64]])
    return np.rint(levels * (255 / 16)).astype(np.uint8).reshape(8, 8)


def _sklearn_file(name: str) -> Path:
    """A file inside scikit-learn: importing it takes longer than what is done with the picture."""
    found = importlib.util.find_spec("sklearn")
    path = Path(found.origin or "").parent / name if found is not None else Path(name)
    if not path.is_file():
        raise DataError(f"the embedded picture {Path(name).name} is not there; install scikit-learn")
    return path
