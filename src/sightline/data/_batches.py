"""Batches of a set, by either of two paths behind one interface.

A set whose framed images fit a budget of memory is decoded once into one raw array on disk, mapped into
memory, keyed by the content of its files and shared by every process that uses it: a batch is an index
operation. Any other set is decoded by worker processes as it is needed. On both paths the order of images
is given from outside, so that stopping and going on at any batch is the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sightline.base import (
    DataError,
    StorageError,
    allocate,
    cache_folder,
    storage_errors,
    sweep_abandoned,
)
from sightline.data._ahead import CHUNK, PARALLEL_FROM, mapped
from sightline.data._batch import Batch
from sightline.data._columns import Digests, taken
from sightline.data._image_set import ImageSet
from sightline.data._index import Progress
from sightline.imaging import (
    Canvas,
    Source,
    UnreadableImageError,
    Values,
    frame,
    of_channels,
    read_framed,
    widened,
)
from sightline.machine import START_METHOD, serve_parent, starting_workers, usable_cores

DEFAULT_BUDGET_MB = 2048
"""Framed images up to this many megabytes (10^6 bytes) are kept decoded."""

_PARALLEL_FROM = PARALLEL_FROM


class BatchSource(Protocol):
    """Where batches come from."""

    path: str
    """`memory` or `workers`, for the record."""
    canvas: Canvas

    def batches(self, order: Sequence[NDArray[np.int64]], *, training: bool = False) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            order: The image indices of each batch, in order.
            training: Whether a JPEG may be decoded at a reduced scale.

        Raises:
            DataError: if a file can no longer be read.
        """
        ...


def open_batches(
    images: ImageSet,
    canvas: Canvas,
    *,
    budget_mb: int = DEFAULT_BUDGET_MB,
    path: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> BatchSource:
    """Choose the path for a set.

    Args:
        images: The set.
        canvas: What its images are framed to.
        budget_mb: How many megabytes of decoded images may be kept; 0 for none.
        path: `memory` or `workers` to take that path whatever the budget (memory only where there is room
            on the disk); None to choose.
        workers: Decoding processes where images are decoded as needed; None for one a core, 0 to decode in
            this one.
        progress: Told how far decoding is.
    """
    cell = canvas.channels * canvas.height * canvas.width * np.dtype(canvas.depth).itemsize
    if images.pixels is not None and (images.channels, *images.pixels.shape[2:]) == (
        canvas.channels,
        canvas.height,
        canvas.width,
    ):
        return MemoryBatches(images, canvas, images.pixels)
    fits = len(images) * cell <= budget_mb * 1_000_000
    if images.root is not None and (path == "memory" or (path is None and fits)):
        with contextlib.suppress(StorageError):  # no room for the array: decode as needed instead
            return MemoryBatches(images, canvas, _decoded(images, canvas, progress))
    if images.pixels is not None:
        framed = _FramedArray(images.pixels, canvas)
        return MemoryBatches(images, canvas, framed[np.arange(len(images))] if fits else framed)
    return WorkerBatches(images, canvas, usable_cores() if workers is None else workers)


class MemoryBatches:
    """Batches out of one array that is already decoded.

    Args:
        images: The set.
        canvas: What `pixels` is framed to.
        pixels: (N, C, H, W) of the canvas's depth, or what gives it by index.
    """

    path = "memory"

    def __init__(self, images: ImageSet, canvas: Canvas, pixels: Values | _FramedArray) -> None:
        self.canvas = canvas
        self._images = images
        self._pixels = pixels

    def batches(self, order: Sequence[NDArray[np.int64]], *, training: bool = False) -> Iterator[Batch]:
        """As `BatchSource.batches`."""
        for ids in order:
            sizes = self._images.sizes[ids]
            yield Batch(
                images=torch.from_numpy(widened(self._pixels[ids])),
                targets=torch.from_numpy(self._images.targets[ids]),
                ids=ids,
                sizes=torch.from_numpy(sizes),
                transforms=torch.from_numpy(_fit_transforms(sizes, self.canvas)),
            )


class _FramedArray:
    """Images of an array, framed to a canvas as they are asked for.

    Args:
        pixels: (N, C, H, W), of the canvas's depth.
        canvas: What each is framed to; a colour image becomes grey, and a grey one colour, as in `decode`.
    """

    def __init__(self, pixels: Values, canvas: Canvas) -> None:
        self._pixels, self._canvas = pixels, canvas

    def __getitem__(self, ids: NDArray[np.int64]) -> Values:
        c = self._canvas
        framed = np.empty((len(ids), c.channels, c.height, c.width), dtype=c.depth)
        for row, index in enumerate(ids):
            image = of_channels(self._pixels[index].transpose(1, 2, 0), c.channels)
            framed[row] = frame(image, c).pixels
        return framed


class WorkerBatches:
    """Batches decoded and framed by worker processes, a few ahead of their use.

    Args:
        images: The set, of files.
        canvas: What each image is framed to.
        workers: How many processes; 0 for this one.
    """

    path = "workers"

    def __init__(self, images: ImageSet, canvas: Canvas, workers: int) -> None:
        self.canvas = canvas
        self._images = images
        self._workers = workers
        self._loaders: dict[bool, tuple[_Order, DataLoader[Any]]] = {}

    def batches(self, order: Sequence[NDArray[np.int64]], *, training: bool = False) -> Iterator[Batch]:
        """As `BatchSource.batches`."""
        if training not in self._loaders:
            self._loaders[training] = self._start(training)
        current, loader = self._loaders[training]
        current.batches = order
        with starting_workers():
            decoded = iter(loader)  # the workers begin here, the first time
        for ids, (pixels, transforms, error) in zip(order, decoded, strict=True):
            if error:
                raise DataError(error)
            yield Batch(
                images=pixels,
                targets=torch.from_numpy(self._images.targets[ids]),
                ids=ids,
                sizes=torch.from_numpy(self._images.sizes[ids]),
                transforms=transforms,
            )

    def _start(self, training: bool) -> tuple[_Order, DataLoader[Any]]:
        assert self._images.root is not None
        order = _Order(self._images)
        loader: DataLoader[Any] = DataLoader(
            _FramedFiles(self.canvas, training),
            sampler=order,  # each item of the "set" is a whole batch
            batch_size=None,
            num_workers=self._workers,
            multiprocessing_context=START_METHOD if self._workers else None,
            worker_init_fn=serve_parent,
            persistent_workers=self._workers > 0,
        )
        return order, loader


class _Order:
    """The epoch's batches, changed from outside while the workers live on.

    A worker is told the files of each batch, and holds nothing of the set: of a million images every worker
    would hold a million names.
    """

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self.batches: Sequence[NDArray[np.int64]] = ()

    def __iter__(self) -> Iterator[_Files]:
        return (_Files.of(self._images, ids) for ids in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclasses.dataclass(frozen=True)
class _Files:
    """The files of some images, as workers are told of them."""

    root: str
    names: tuple[str, ...]
    more: tuple[tuple[str, ...], ...] | None
    """Where each channel is a file: those after the first."""

    @classmethod
    def of(cls, images: ImageSet, ids: NDArray[np.int64]) -> _Files:
        return cls(
            root=str(images.root),
            names=tuple(taken(images.names, ids)),
            more=None if images.more_files is None else tuple(images.more_files[i] for i in ids),
        )

    def __len__(self) -> int:
        return len(self.names)

    def source(self, index: int) -> Source:
        path = Path(self.root) / self.names[index]
        if self.more is None:
            return path
        return (path, *(Path(self.root) / name for name in self.more[index]))

    def said(self, index: int, error: UnreadableImageError) -> str:
        return f"{self.root}/{self.names[index]} can no longer be read: {error}"


class _FramedFiles(Dataset[tuple[Tensor, Tensor, str]]):
    """Framed batches of files. A file that fails is reported by name; the parent raises."""

    def __init__(self, canvas: Canvas, reduced: bool) -> None:
        self._canvas, self._reduced = canvas, reduced

    def __getitem__(self, files: _Files) -> tuple[Tensor, Tensor, str]:
        c = self._canvas
        dtype = torch.uint8 if c.depth == "uint8" else torch.float32
        pixels = torch.empty((len(files), c.channels, c.height, c.width), dtype=dtype)
        transforms = torch.empty((len(files), 3, 3))
        for row in range(len(files)):
            try:
                framed = read_framed(files.source(row), c, reduced=self._reduced)
            except UnreadableImageError as error:
                return pixels, transforms, files.said(row, error)
            pixels.numpy()[row] = framed.pixels
            transforms.numpy()[row] = framed.transform
        return pixels, transforms, ""


def _fit_transforms(sizes: NDArray[np.int32], canvas: Canvas) -> NDArray[np.float32]:
    """The matrices that `frame` makes for images of these sizes. (N, 2) -> (N, 3, 3)."""
    height, width = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    if canvas.framing == "cover":
        scale = np.maximum(canvas.width / width, canvas.height / height)
        new_width = np.maximum(np.rint(width * scale), canvas.width)
        new_height = np.maximum(np.rint(height * scale), canvas.height)
    else:
        scale = np.minimum(canvas.width / width, canvas.height / height)
        new_width = np.clip(np.rint(width * scale), 1, canvas.width)
        new_height = np.clip(np.rint(height * scale), 1, canvas.height)
    matrices = np.zeros((len(sizes), 3, 3), dtype=np.float32)
    matrices[:, 0, 0], matrices[:, 0, 2] = new_width / width, np.trunc((canvas.width - new_width) / 2)
    matrices[:, 1, 1], matrices[:, 1, 2] = new_height / height, np.trunc((canvas.height - new_height) / 2)
    matrices[:, 2, 2] = 1
    return matrices


def _decoded(images: ImageSet, canvas: Canvas, progress: Progress | None) -> Values:
    """The set as one array mapped from the cache; made there first if it is not."""
    assert images.root is not None
    key = hashlib.blake2b(repr(canvas).encode(), digest_size=16)
    if isinstance(images.digests, Digests):
        key.update(images.digests.content.tobytes())
    else:
        for digest in images.digests:
            key.update(bytes.fromhex(digest))
    path = cache_folder("pixels") / f"{key.hexdigest()}.npy"
    shape = (len(images), canvas.channels, canvas.height, canvas.width)
    with contextlib.suppress(OSError, ValueError):
        stored: Values = np.load(path, mmap_mode="r+")
        if stored.shape == shape and stored.dtype == canvas.depth:
            return stored
    partial = path.with_name(f"{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.partial")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(path.parent)
        try:
            np.lib.format.open_memmap(partial, mode="w+", dtype=np.dtype(canvas.depth), shape=shape).flush()
            with partial.open("r+b") as file:
                allocate(file, partial.stat().st_size)
            _fill(images, canvas, partial, progress)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    result: Values = np.load(path, mmap_mode="r+")
    return result


def _fill(images: ImageSet, canvas: Canvas, array: Path, progress: Progress | None) -> None:
    total = len(images)
    jobs = (
        (array, _Files.of(images, np.arange(start, min(start + CHUNK, total))), canvas, start)
        for start in range(0, total, CHUNK)
    )
    done = 0
    with contextlib.closing(mapped(_fill_part, jobs, parallel=total >= _PARALLEL_FROM)) as parts:
        for count, error in parts:
            if error:
                raise DataError(error)
            done += count
            if progress is not None:
                progress("decoding images", done, total)


def _fill_part(job: tuple[Path, _Files, Canvas, int]) -> tuple[int, str]:
    array, files, canvas, start = job
    pixels = np.load(array, mmap_mode="r+")
    for row in range(len(files)):
        try:
            pixels[start + row] = read_framed(files.source(row), canvas).pixels
        except UnreadableImageError as error:
            return 0, files.said(row, error)
    pixels.flush()
    return len(files), ""
