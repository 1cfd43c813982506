"""Images by reference, their targets, their ordered classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, did_you_mean
from sightline.data._columns import Strings, taken
from sightline.imaging import Depth, Values

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images by reference, with what is known of each.

    Every array has one entry an image, in the order of `names`, which is sorted: the same folder is the
    same set on every machine. Of many files, `names` and `digests` are columns of bytes that are read like
    tuples.
    """

    source: str
    """What the user called it: a path or an embedded name."""
    names: Strings
    """Relative paths with forward slashes (of images in an array, invented ones); unique."""
    targets: NDArray[np.int64]
    """(N,) indices into `classes`."""
    classes: tuple[str, ...]
    """Class names in order; the order is the network's, and travels with it."""
    channels: int
    """1 if every image is grey, 3 if any is of colour; or how many channels each of them has."""
    sizes: NDArray[np.int32]
    """(N, 2): height and width of each image."""
    digests: Strings
    """Of each image's bytes, to find exact duplicates."""
    parts: tuple[Part | None, ...]
    """The part that the layout puts each image in; None where there is none."""
    root: Path | None = None
    """The folder `names` are relative to; None where images are held in `pixels`."""
    file: Path | None = None
    """What was opened, where it is neither `root` nor embedded: a CSV, or a file or folder of arrays."""
    pixels: Values | None = dataclasses.field(default=None, repr=False)
    """(N, C, H, W) of an embedded set or a file of arrays; None where images are files."""
    depth: Depth = "uint8"
    """How values are kept; the same in every image."""
    pages: str = ""
    """Of files of several pages or frames, which were meant: as of `decode_array`."""
    more_files: tuple[tuple[str, ...], ...] | None = dataclasses.field(default=None, repr=False)
    """Where each channel of an image is a file of its own: the files after the first, which is in `names`."""
    channel_names: tuple[str, ...] = ()
    """What the channels are called, where a CSV names them."""
    groups: tuple[str, ...] | None = None
    """What each image belongs to (a patient, a plate): a split keeps a group together. None of no groups."""
    grouped_by: str | None = None
    """The pattern, or the column, that `groups` were read with."""
    columns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, repr=False)
    """What else a CSV says of each image, by column name: any of it can be its group."""
    findings: tuple[Finding, ...] = ()
    """What was noticed while opening it."""
    left_out: tuple[str, ...] = ()
    """Names of files that could not be read."""

    def __len__(self) -> int:
        return len(self.names)

    def __post_init__(self) -> None:
        counts = {len(self.targets), len(self.sizes), len(self.digests), len(self.parts), len(self.names)}
        counts |= set() if self.groups is None else {len(self.groups)}
        counts |= {len(cells) for cells in self.columns.values()}
        counts |= set() if self.more_files is None else {len(self.more_files)}
        assert len(counts) == 1, f"arrays of different lengths: {counts}"
        assert (self.root is None) != (self.pixels is None)

    @property
    def one_size(self) -> tuple[int, int] | None:
        """(height, width) if all images share it, else None."""
        first = self.sizes[0]
        return (int(first[0]), int(first[1])) if (self.sizes == first).all() else None

    def path(self, index: int) -> Path:
        """The file of an image; of one file a channel, the first."""
        assert self.root is not None
        return self.root / self.names[index]

    def source_of(self, index: int) -> Path | tuple[Path, ...]:
        """What an image is read from: its file, or its files where each channel has one."""
        if self.more_files is None:
            return self.path(index)
        assert self.root is not None
        return (self.path(index), *(self.root / name for name in self.more_files[index]))

    @property
    def location(self) -> str:
        """What opens the same set from any working folder: an absolute path, or an embedded name."""
        opened = self.file or self.root
        return self.source if opened is None else str(opened.resolve())

    def counts(self, indices: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Images of each class, in all or among `indices`."""
        targets = self.targets if indices is None else self.targets[indices]
        return np.bincount(targets, minlength=len(self.classes))

    def subset(self, indices: NDArray[np.int64]) -> ImageSet:
        """Some of the images, in the set's order; classes stay as they are."""
        return dataclasses.replace(
            self,
            names=taken(self.names, indices),
            targets=self.targets[indices],
            sizes=self.sizes[indices],
            digests=taken(self.digests, indices),
            parts=tuple(self.parts[i] for i in indices),
            pixels=None if self.pixels is None else self.pixels[indices],
            groups=None if self.groups is None else tuple(self.groups[i] for i in indices),
            columns={name: tuple(cells[i] for i in indices) for name, cells in self.columns.items()},
            more_files=None if self.more_files is None else tuple(self.more_files[i] for i in indices),
        )

    def with_classes(self, classes: tuple[str, ...]) -> ImageSet:
        """The same images with targets as indices into `classes`, matched by name.

        Raises:
            DataError: if this set has a class that `classes` lacks.
        """
        if classes == self.classes:
            return self
        position = {name: index for index, name in enumerate(classes)}
        present = [self.classes[i] for i in np.flatnonzero(self.counts())]
        unknown = [name for name in present if name not in position]
        if unknown:
            raise DataError(
                f"{self.source} has class {unknown[0]!r}, which the network does not know; "
                f"{did_you_mean(unknown[0], classes)}"
            )
        lookup = np.array([position.get(name, -1) for name in self.classes])
        return dataclasses.replace(self, targets=lookup[self.targets], classes=classes)
