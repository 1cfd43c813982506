"""What a file, or a folder without images by name, is: a CSV, an `.npz`, MNIST's idx or CIFAR's binary files.

Sources: LeCun, Cortes, Burges, "The MNIST database", file formats; Krizhevsky, "The CIFAR-10 and CIFAR-100
datasets", binary version.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, shown
from sightline.data._arrays import (
    Stored,
    array_set,
    check_size,
    class_names,
    images_first,
    open_npz,
)
from sightline.data._csv import open_csv
from sightline.data._image_set import ImageSet, Part
from sightline.data._index import Progress

_CSV_ENDINGS = (".csv", ".tsv")
_IDX = re.compile(r"(?P<prefix>.*?)images(?P<sep>[-.])idx[34]-ubyte(\.gz)?", re.IGNORECASE)
_CIFAR = re.compile(r"(data_batch_\d+|test_batch|train|test)\.bin")
_PICKLED = re.compile(r"(.*/)?(data_batch_\d+|test_batch|cifar-10.*python.*)")
_PARTS: dict[str, Part] = {
    "train": "train",
    "t10k": "test",
    "test": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of an idx file, and the type of value that it means."""
_GZIP_MOST = 1100
"""No byte of a gzip file becomes more bytes than these: 1032, and something for its start."""
_CIFAR_PIXELS = 3 * 32 * 32


def open_file(
    source: str, path: Path, training: bool, allow_unreadable: bool, pages: str, progress: Progress | None
) -> ImageSet:
    """Open a set that is one file; arguments as of `open_images`.

    Raises:
        DataError: if it is of no known layout, or what it holds cannot be used.
    """
    ending = path.suffix.lower()
    if path.is_file():
        if ending in _CSV_ENDINGS:
            return open_csv(source, path, training, allow_unreadable, pages, progress)
        if ending == ".npz":
            return open_npz(source, path, training)
        if _IDX.fullmatch(path.name) or _CIFAR.fullmatch(path.name):
            stored = _stored(source, path.parent, [path.name], in_folder=False)
            return array_set(source, path, stored, training)
    raise DataError(
        f"{source} is a file of no known layout; allowed are a .csv or .tsv with columns path and "
        f"label, an .npz, idx images (train-images-idx3-ubyte) and CIFAR's binary files (data_batch_1.bin)"
    )


def open_folder_of_arrays(source: str, root: Path, names: list[str], training: bool) -> ImageSet | None:
    """Open a folder of idx or CIFAR binary files; None if it has none.

    Args:
        source: What the user called it.
        root: The folder.
        names: Of the files in it.
        training: As of `open_images`.

    Raises:
        DataError: if what they hold cannot be used.
    """
    idx = [name for name in names if _IDX.fullmatch(name)]
    cifar = [name for name in names if _CIFAR.fullmatch(name)]
    if idx and cifar:
        raise DataError(
            f"{source} holds {idx[0]} and {cifar[0]}, which are of different sets; name one of them"
        )
    if not idx and not cifar:
        return None
    return array_set(source, root, _stored(source, root, idx or cifar, in_folder=True), training)


def other_layouts(source: str, names: list[str]) -> str:
    """What could be opened instead of a folder without images, as the end of a message.

    Args:
        source: What the user called the folder.
        names: Paths of all files below it.
    """
    for name in names:
        path = Path(name)
        if path.suffix.lower() in (*_CSV_ENDINGS, ".npz"):
            return f"; to open {shown(name)}, name it: {source}/{shown(name)}"
        if "/" in name and (_IDX.fullmatch(path.name) or _CIFAR.fullmatch(path.name)):
            inside = shown(path.parent.as_posix())
            return f"; to open {shown(path.name)}, name its folder: {source}/{inside}"
    if any(_PICKLED.fullmatch(name) for name in names):
        return "; CIFAR's Python version is pickled, which is never loaded: take its binary version"
    return ""


def _stored(source: str, root: Path, names: list[str], *, in_folder: bool) -> list[Stored]:
    """What files of arrays hold, train first; the parts are those of their names if it is a folder."""
    read = _read_idx if _IDX.fullmatch(names[0]) else _read_cifar
    shown_in = source if in_folder else str(Path(source).parent)
    stored = [read(str(Path(shown_in) / name), root, name, in_folder) for name in sorted(names)]
    prefixes: dict[str, str] = {}
    for one in stored:
        if one.prefix in prefixes:
            raise DataError(f"{one.where} and {prefixes[one.prefix]} are both {one.prefix} images; keep one")
        prefixes[one.prefix] = one.where
    if len({one.part is None for one in stored}) == 2:
        one = next(one for one in stored if one.part is None)
        raise DataError(f"{one.where} says no part, and others do; expected train, val or test in its name")
    return stored


def _read_idx(where: str, root: Path, name: str, in_folder: bool) -> Stored:
    match = _IDX.fullmatch(name)
    assert match
    words = re.split(r"[-_.]", match["prefix"].lower().rstrip("-_."))
    part = _PARTS.get(words[-1])
    wanted = f"{match['prefix']}labels{match['sep']}idx1-ubyte"
    labels = next((root / n for n in (wanted, f"{wanted}.gz") if (root / n).is_file()), None)
    if labels is None:
        raise DataError(f"{where}: no labels beside it; expected {wanted} or {wanted}.gz")
    pixels = images_first(where, _idx_array(where, root / name))
    of = f"{Path(where).parent / labels.name}"
    numbers = _idx_array(of, labels)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise DataError(
            f"{of} holds {numbers.dtype} of shape {numbers.shape}; labels are whole numbers, one for each "
            "image: (N,)"
        )
    return Stored(
        where=where,
        part=part if in_folder else None,
        prefix=part or (match["prefix"].rstrip("-_.") or "images"),
        pixels=pixels,
        labels=class_names(of, numbers, _names_beside(root, "classes.txt")),
    )


def _idx_array(where: str, path: Path) -> NDArray[Any]:
    """The array of an idx file, gzipped or not."""
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or not head[3]:
                raise DataError(f"{where} is not an idx file: it begins with {head!r}")
            if head[2] not in _IDX_TYPES:
                raise DataError(f"{where} holds values of unknown type {head[2]:#x}")
            if head[3] > 4:
                raise DataError(f"{where} has {head[3]} dimensions; images have 3 or 4, labels 1")
            dtype = np.dtype(_IDX_TYPES[head[2]])
            sides = file.read(4 * head[3])
            shape = tuple(int(side) for side in np.frombuffer(sides[: len(sides) // 4 * 4], dtype=">u4"))
            count = math.prod(shape) * dtype.itemsize
            check_size(where, count)
            if count > path.stat().st_size * (_GZIP_MOST if is_gzip else 1):
                raise DataError(f"{where} is truncated: its header says {shape}, {count} bytes")
            content = file.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    if len(shape) != head[3] or len(content) != count:
        state = "is truncated" if len(content) < count or len(shape) != head[3] else "goes on after its end"
        raise DataError(f"{where} {state}: its header says {shape}, {count} bytes")
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def _read_cifar(where: str, root: Path, name: str, in_folder: bool) -> Stored:
    """Records of a label, 1024 red, 1024 green and 1024 blue values; of CIFAR-100 a coarse label first."""
    hundred = name in ("train.bin", "test.bin")
    record = 1 + hundred + _CIFAR_PIXELS
    path = root / name
    try:
        check_size(where, path.stat().st_size)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}") from error
    if not content or len(content) % record:
        raise DataError(
            f"{where} is {len(content)} bytes; CIFAR-{100 if hundred else 10} has {record} for each image"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    names = _names_beside(root, "fine_label_names.txt" if hundred else "batches.meta.txt")
    part: Part = "test" if name.startswith("test") else "train"
    return Stored(
        where=where,
        part=part if in_folder else None,
        prefix=Path(name).stem,
        pixels=records[:, 1 + hundred :].reshape(-1, 3, 32, 32),
        labels=class_names(where, _checked(where, records[:, int(hundred)], 100 if hundred else 10), names),
    )


def _checked(where: str, labels: NDArray[Any], count: int) -> NDArray[Any]:
    bad = np.flatnonzero(labels >= count)
    if len(bad):
        raise DataError(
            f"{where}: image {bad[0]} has label {labels[bad[0]]}; CIFAR-{count} has 0 to {count - 1}"
        )
    return labels


def _names_beside(root: Path, name: str) -> Sequence[str] | None:
    """Class names by number, one a line of a text file; None where there is no such file."""
    path = root / name
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as class names, one a line: {error}") from error
    names = [line.strip() for line in text.strip().splitlines()]
    if not all(names) or len(set(names)) < len(names) or len(names) > 10_000:
        raise DataError(f"{path}: class names must be different, one a line, none empty")
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise DataError(f"{path}: the class name {odd[:200]!a} holds a control character")
    return names
