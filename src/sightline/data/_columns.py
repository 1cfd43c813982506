"""Long columns of text, kept as bytes: names and digests of a million images in tens of megabytes.

A Python string costs 49 bytes before its first letter, and its place in a tuple 8 more. Here each is made
when it is asked for. A column is read like a tuple, equals the tuple of the same strings, and never changes.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, Self, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
"""How many strings at a time are there as such, where a column is gone through."""

_DIGEST_BYTES = 16


class Column(Sequence[str]):
    """Strings that are read like a tuple of them."""

    __slots__ = ()

    @abstractmethod
    def take(self, indices: NDArray[np.int64]) -> Self:
        """Those at these places, which are not negative, in this order."""

    @abstractmethod
    def _part(self, start: int, stop: int) -> Self:
        """Those from `start` to `stop`."""

    @abstractmethod
    def _strings(self) -> list[str]:
        """All of them: asked of a block."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | Self:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._part(start, max(start, stop))
            return self.take(np.array(range(start, stop, step), dtype=np.int64))
        place = index.__index__()
        if not -len(self) <= place < len(self):
            raise IndexError(f"place {place} of {len(self)}")
        place %= len(self)
        return self._part(place, place + 1)._strings()[0]

    def blocks(self) -> Iterator[list[str]]:
        """All strings, some at a time."""
        for start in range(0, len(self), BLOCK):
            yield self._part(start, min(start + BLOCK, len(self)))._strings()

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield from block

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | Column):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 3)))
        return f"<{len(self)}: {shown}{', ...' if len(self) > 3 else ''}>"


class Texts(Column):
    """Any strings, in one run of UTF-8.

    Args:
        content: All of them, one after the other; a lone surrogate is three bytes, as others of its range.
        bounds: (N + 1,) where each begins, and the last ends.

    Example:
        >>> names = Texts.of(["cat/1.png", "dog/2.png"])
        >>> names[1], names[:1] == ("cat/1.png",)
        ('dog/2.png', True)
    """

    __slots__ = ("bounds", "content")

    def __init__(self, content: bytes, bounds: NDArray[Any]) -> None:
        self.content = content
        self.bounds = bounds.astype(np.uint32 if len(content) < 2**32 else np.int64, copy=False)

    @classmethod
    def of(cls, strings: Iterable[str]) -> Texts:
        """The column of these strings; a column of texts is itself."""
        if isinstance(strings, Texts):
            return strings
        contents: list[bytes] = []
        lengths: list[NDArray[np.int64]] = []
        rest = iter(strings)
        while block := list(islice(rest, BLOCK)):
            content = "".join(block)
            if content.isascii():
                contents.append(content.encode())
                lengths.append(np.fromiter(map(len, block), dtype=np.int64, count=len(block)))
            else:
                encoded = [string.encode("utf-8", "surrogatepass") for string in block]
                contents.append(b"".join(encoded))
                lengths.append(np.fromiter(map(len, encoded), dtype=np.int64, count=len(block)))
        return cls(b"".join(contents), _bounds(lengths))

    @classmethod
    def joined(cls, columns: Sequence[Texts]) -> Texts:
        """Columns one after the other."""
        lengths = [column._lengths() for column in columns]
        return cls(b"".join(column.content for column in columns), _bounds(lengths))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return self.content == other.content and np.array_equal(self.bounds, other.bounds)
        return super().__eq__(other)

    __hash__ = Column.__hash__

    def _lengths(self) -> NDArray[np.int64]:
        bounds: NDArray[np.int64] = self.bounds.astype(np.int64, copy=False)
        return bounds[1:] - bounds[:-1]

    def take(self, indices: NDArray[np.int64]) -> Texts:
        starts, stops = self.bounds[indices], self.bounds[1:][indices]
        contents = []
        for i in range(0, len(indices), BLOCK):
            places = zip(starts[i : i + BLOCK].tolist(), stops[i : i + BLOCK].tolist(), strict=True)
            contents.append(b"".join([self.content[start:stop] for start, stop in places]))
        return Texts(b"".join(contents), _bounds([self._lengths()[indices]]))

    def _part(self, start: int, stop: int) -> Texts:
        bounds = self.bounds[start : stop + 1]
        return Texts(self.content[bounds[0] : bounds[-1]], bounds - bounds[0])

    def _strings(self) -> list[str]:
        bounds = self.bounds.tolist()
        if self.content.isascii():
            text = self.content.decode()
            return [text[start:stop] for start, stop in pairwise(bounds)]
        return [self.content[i:j].decode("utf-8", "surrogatepass") for i, j in pairwise(bounds)]


class Digests(Column):
    """BLAKE2b-128 digests, 16 bytes each, read as hexadecimal; "" is 16 zeros, which no file has.

    Args:
        content: (N, 16).
    """

    __slots__ = ("content",)

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self.content = np.ascontiguousarray(content)

    @classmethod
    def of(cls, digests: Iterable[str]) -> Digests:
        """The column of these digests, in lower case; a column of digests is itself."""
        if isinstance(digests, Digests):
            return digests
        content = b"".join([bytes.fromhex(digest) or bytes(_DIGEST_BYTES) for digest in digests])
        return cls(np.frombuffer(content, dtype=np.uint8).reshape(-1, _DIGEST_BYTES))

    def __len__(self) -> int:
        return len(self.content)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Digests):
            return np.array_equal(self.content, other.content)
        return super().__eq__(other)

    __hash__ = Column.__hash__

    def take(self, indices: NDArray[np.int64]) -> Digests:
        return Digests(self.content[indices])

    def _part(self, start: int, stop: int) -> Digests:
        return Digests(self.content[start:stop])

    def _strings(self) -> list[str]:
        text, width = self.content.tobytes().hex(), 2 * _DIGEST_BYTES
        strings = [text[i : i + width] for i in range(0, len(text), width)]
        for i in np.flatnonzero(~self.content.any(axis=1)).tolist():
            strings[i] = ""
        return strings


def _bounds(lengths: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *lengths]))


Strings = tuple[str, ...] | Column
"""A column, or where there are few a tuple."""


def taken(strings: Strings, indices: NDArray[np.int64]) -> Strings:
    """Those at some places: of a column a column, of a tuple a tuple."""
    if isinstance(strings, Column):
        return strings.take(indices)
    return tuple(strings[i] for i in indices.tolist())


def first_alike(strings: Strings) -> NDArray[np.int64]:
    """For each, the place of the first that equals it. -> (N,)."""
    if not isinstance(strings, Digests):
        first: dict[str, int] = {}
        places = (first.setdefault(string, i) for i, string in enumerate(strings))
        return np.fromiter(places, dtype=np.int64, count=len(strings))
    order = hash_order(strings.content)
    sorted_halves = strings.content.view(np.uint64)[order]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (sorted_halves[1:] != sorted_halves[:-1]).any(axis=1)
    firsts = np.empty(len(order), dtype=np.int64)
    firsts[order] = order[begins][np.cumsum(begins) - 1]  # the order is stable: the first of equals is first
    return firsts


def hash_order(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The stable order of hashes, as their bytes say. (N, 16) -> (N,) places."""
    halves = hashes.view(">u8").astype(np.uint64)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def keyed_hashes(key: str, strings: Sequence[str]) -> NDArray[np.uint8]:
    """BLAKE2b-128 of the key, a separator and each string, in UTF-8. -> (N, 16)."""
    hashes = bytearray()
    rest, start = iter(strings), f"{key}\x1f"
    while block := [
        hashlib.blake2b((start + string).encode(), digest_size=_DIGEST_BYTES).digest()
        for string in islice(rest, BLOCK)
    ]:
        hashes += b"".join(block)
    return np.frombuffer(hashes, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
