"""Sets whose images lie in arrays: what the files of arrays have in common, and NumPy's `.npz`.

Images are of one size and depth, and held in memory; deeper ones keep their depth, as in files. An image is
named by its part and its place in the file, so that names stay as they are when labels are mended.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding
from sightline.data._image_set import PARTS, ImageSet, Part
from sightline.data._places import Place, check_classes, natural
from sightline.imaging import UnreadableImageError, Values, depth_of, narrowed

MAX_BYTES = 4_000_000_000
"""An array larger than this is not held in memory."""

MAX_CHANNELS = 16
"""An axis of images as long as this at most may be their channels."""

_SPELLINGS: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Images and labels as one file holds them."""

    where: str
    """The file, or the array, for messages."""
    part: Part | None
    prefix: str
    """Before the number in an image's name."""
    pixels: Values
    """(N, C, H, W)."""
    labels: Sequence[str]
    """N class names."""


def array_set(
    source: str, path: Path, stored: Sequence[Stored], training: bool, findings: Sequence[Finding] = ()
) -> ImageSet:
    """One set of what several files hold.

    Args:
        source: What the user called it.
        path: What was opened.
        stored: At least one, with different prefixes. All have a part, or none has.
        training: As of `open_images`.
        findings: What was noticed while reading.

    Raises:
        DataError: if images and labels differ in number, images in size, or it cannot be trained on.
    """
    for one in stored:
        if len(one.pixels) != len(one.labels):
            raise DataError(f"{one.where}: {len(one.pixels)} images and {len(one.labels)} labels")
        if one.pixels.dtype != stored[0].pixels.dtype:
            raise DataError(
                f"{one.where} holds {one.pixels.dtype} images, and {stored[0].where} {stored[0].pixels.dtype}"
            )
        if one.pixels.shape[1:] != stored[0].pixels.shape[1:]:
            raise DataError(
                f"{one.where}: images are {_size(one)}, and those of {stored[0].where} {_size(stored[0])}"
            )
    stored = sorted((one for one in stored if len(one.pixels)), key=lambda one: one.prefix)
    if not stored:
        raise DataError(f"{source} holds no images")
    placed: list[Place] = [(one.part, label) for one in stored for label in one.labels]
    classes = tuple(sorted({label for _, label in placed}, key=natural))
    if training:
        check_classes(source, classes, list(dict.fromkeys(placed)), [])
    position = {name: index for index, name in enumerate(classes)}
    pixels = stored[0].pixels if len(stored) == 1 else np.concatenate([one.pixels for one in stored])
    channels, height, width = pixels.shape[1:]
    return ImageSet(
        source=source,
        file=path,
        names=tuple(f"{one.prefix}/{index:06d}" for one in stored for index in range(len(one.pixels))),
        targets=np.array([position[label] for _, label in placed], dtype=np.int64),
        classes=classes,
        channels=channels,
        depth=depth_of(pixels),
        sizes=np.tile(np.array([[height, width]], dtype=np.int32), (len(pixels), 1)),
        digests=tuple(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in pixels),
        parts=tuple(part for part, _ in placed),
        pixels=np.ascontiguousarray(pixels),
        findings=tuple(findings),
    )


def _size(stored: Stored) -> str:
    channels, height, width = stored.pixels.shape[1:]
    return f"{width}x{height}x{channels}"


def images_first(where: str, array: NDArray[Any]) -> Values:
    """Images as (N, C, H, W), of (N, H, W), (N, H, W, C) or (N, C, H, W).

    C is 1 or 3; else the last axis, or the second, whichever alone is at most `MAX_CHANNELS`.

    Raises:
        DataError: if an array has another shape.
    """
    shape = array.shape
    if len(shape) not in (3, 4):
        raise DataError(f"{where} has shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if len(shape) == 3:
        array = array[:, None]
    else:
        few = [axis for axis in (3, 1) if shape[axis] in (1, 3)]
        few = few or [axis for axis in (3, 1) if shape[axis] <= MAX_CHANNELS]
        if len(few) != 1 and shape[3] not in (1, 3):
            raise DataError(
                f"{where} has shape {shape}; which axis is the channels cannot be told: one of the second "
                f"and the last must be 1 or 3, or alone be at most {MAX_CHANNELS}"
            )
        if few[0] == 3:
            array = array.transpose(0, 3, 1, 2)  # n h w c -> n c h w
    if 0 in array.shape[1:]:
        raise DataError(f"{where} has shape {shape}: images without a pixel")
    try:
        return narrowed(array)
    except UnreadableImageError as error:
        raise DataError(f"{where}: {error}") from error


def class_names(where: str, labels: NDArray[Any], names: Sequence[str] | None) -> list[str]:
    """The class name of each label.

    Args:
        where: The file, for messages.
        labels: (N,) whole numbers from 0, or names.
        names: By number; None where the numbers are the names.

    Raises:
        DataError: if a label has no name.
    """
    if names is None or labels.dtype.kind not in "iu":
        return [str(label) for label in labels.tolist()]
    bad = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(bad):
        raise DataError(
            f"{where}: label {labels[bad[0]]} of image {bad[0]} has no name; there are {len(names)} names"
        )
    return [names[label] for label in labels.tolist()]


def check_size(where: str, count: int) -> None:
    """Refuse an array of more than `MAX_BYTES`.

    Raises:
        DataError: if it is.
    """
    if count > MAX_BYTES:
        claimed = min(count, 10**18) / 1e9  # an integer may be too large for a float
        raise DataError(
            f"{where} claims {claimed:,.1f} GB; at most {MAX_BYTES / 1e9:g} GB are held in memory: "
            f"store the images as files"
        )


def open_npz(source: str, path: Path, training: bool) -> ImageSet:
    """Open an `.npz`; arguments as of `open_images`.

    Its arrays are `x_train` and `y_train`, or `train_images` and `train_labels`, and so for val and test; or
    `images` and `labels`. `classes`, if it is there, names the classes by number.

    Raises:
        DataError: if it is no such file, or as `array_set`.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (
        OSError,
        ValueError,
        OverflowError,
        RuntimeError,  # a compression or encryption that Python does not know
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(f"{source} is not an .npz, or it is broken: {str(error)[:200]}") from error
    with archive:
        there = {name.removesuffix(".npy"): name for name in archive.namelist()}
        pairs = _pairs(source, list(there))
        names = None
        used = {name for _, images, labels in pairs for name in (images, labels)}
        if "classes" in there:
            used.add("classes")
            array = _read_array(source, archive, there["classes"])
            if array.ndim != 1 or array.dtype.kind != "U" or len(set(array.tolist())) != len(array):
                raise DataError(f"{source}: classes must be a list of different names")
            names = _printable(f"{source}: classes", "name", array)
        stored = [
            Stored(
                where=f"{source}: {images}",
                part=part,
                prefix=part or "images",
                pixels=_pixels(source, archive, images, there[images]),
                labels=_labels(source, archive, labels, there[labels], names),
            )
            for part, images, labels in pairs
        ]
    unread = sorted(there.keys() - used)
    findings = []
    if unread:
        listed = ", ".join(map(ascii, unread[:4]))
        what = f"{len(unread)} arrays are neither images nor labels by name ({listed})"
        findings.append(
            Finding(level="info", where=source, what=what, why="they are passed over", do="nothing")
        )
    return array_set(source, path, stored, training, findings)


def _pairs(source: str, there: list[str]) -> list[tuple[Part | None, str, str]]:
    """Which arrays are images and labels, and of what part; train first."""
    found: list[tuple[Part | None, str, str]] = []
    for part in PARTS:
        options = [
            pair
            for word in _SPELLINGS[part]
            for pair in ((f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels"))
            if pair[0] in there
        ]
        if len(options) > 1:
            raise DataError(f"{source}: {options[0][0]} and {options[1][0]} are both {part} images; keep one")
        found += [(part, *options[0])] if options else []
    if "images" in there:
        if found:
            raise DataError(f"{source}: images beside {found[0][1]}; all images have a part, or none has")
        found.append((None, "images", "labels"))
    if not found:
        listed = ", ".join(map(ascii, there[:8])) or "none"
        raise DataError(
            f"{source} holds no images by name; expected x_train and y_train (and x_val, x_test), "
            f"train_images and train_labels, or images and labels; its arrays are {listed}"
        )
    for _, images, labels in found:
        if labels not in there:
            raise DataError(f"{source}: {images} without {labels}")
    return found


def _pixels(source: str, archive: zipfile.ZipFile, name: str, member: str) -> Values:
    array = _read_array(source, archive, member)
    if array.dtype.kind not in "buif":
        raise DataError(f"{source}: {name} holds {array.dtype}; images are numbers")
    return images_first(f"{source}: {name}", array)


def _labels(
    source: str, archive: zipfile.ZipFile, name: str, member: str, names: Sequence[str] | None
) -> list[str]:
    where = f"{source}: {name}"
    array = _read_array(source, archive, member)
    if array.dtype.kind not in "iuU":
        raise DataError(f"{where} holds {array.dtype}; labels are whole numbers or text")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where} has shape {array.shape}; labels are one for each image: (N,)")
    if array.dtype.kind == "U":
        _printable(where, "label of image", array)
    return class_names(where, array, names)


def _printable(where: str, what: str, array: NDArray[Any]) -> list[str]:
    texts: list[str] = array.tolist()
    bad = next((i for i, text in enumerate(texts) if not text or not text.isprintable()), None)
    if bad is not None:
        raise DataError(f"{where}: the {what} {bad} is empty or holds a control character")
    return texts


def _read_array(source: str, archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    """One array, of which the header is judged before anything is made as large as it says."""
    where = f"{source}: {member.removesuffix('.npy')}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with archive.open(member) as file:
                shape, dtype = _header(file)
            if dtype.hasobject:
                raise DataError(f"{where} holds Python objects (pickle), which are never loaded")
            claimed = math.prod(shape) * dtype.itemsize
            check_size(where, claimed)
            if min(shape, default=0) < 0 or claimed > archive.getinfo(member).file_size:
                raise DataError(f"{where} is broken: its header claims shape {shape}")
            with archive.open(member) as file:
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            if dtype.kind == "U":
                array.tolist()  # fails where a number is no letter
    except DataError:
        raise
    except Exception as error:  # a broken archive fails in any way: zlib, struct, tokenize, encryption...
        said = " ".join(str(error).split())[:200]  # some of NumPy's words are of several lines
        raise DataError(f"{where} is broken ({type(error).__name__}: {said})") from error
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"format {version[0]}.{version[1]}")
    shape, _, dtype = read(file)
    return shape, dtype
