"""Random numbers as a pure function of (seed, epoch, id, stream).

A draw belongs to an image, not to a moment: whatever batch, order, process or resumed run asks for the
numbers of image 17 in epoch 3, it gets the same ones. The generator is Philox4x32-10, which turns a key
and a counter into four random words; the key is made of (seed, epoch, stream), the counter of the id.

Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counters: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Args:
        counters: The counters.
        key: Two 32-bit words.

    Shape:
        counters (N, 4) -> (N, 4) random words.
    """
    c0, c1, c2, c3 = (counters[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0 = (product1 >> _HALF) ^ c1 ^ np.uint64(k0)
        c2 = (product0 >> _HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = product1 & _LOW, product0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _digest(*parts: object) -> int:
    """64 bits that depend on every part."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one epoch of one seed.

    Example:
        >>> draws = Draws(seed=0, epoch=3)
        >>> bool((draws.uniform("crop", [4, 9], 2)[1] == draws.uniform("crop", [9], 2)[0]).all())
        True
    """

    seed: int
    """The training seed. Any integer."""
    epoch: int = 0
    """The pass over the data the numbers are for, from 0."""

    def words(self, stream: str, ids: NDArray[np.int64] | list[int], count: int) -> NDArray[np.uint32]:
        """Random 32-bit words.

        Args:
            stream: What the numbers are for; two streams are independent.
            ids: The images (or other things) they belong to.
            count: How many each.

        Shape:
            (len(ids), count).
        """
        ids = np.asarray(ids, dtype=np.int64).astype(np.uint64)
        blocks = -(-count // 4)
        counters = np.zeros((len(ids), blocks, 4), dtype=np.uint32)
        counters[:, :, 0] = (ids & _LOW).astype(np.uint32)[:, None]
        counters[:, :, 1] = (ids >> _HALF).astype(np.uint32)[:, None]
        counters[:, :, 2] = np.arange(blocks, dtype=np.uint32)[None]
        key = _digest(self.seed, self.epoch, stream)
        words = philox4x32(counters.reshape(-1, 4), (key & 0xFFFFFFFF, key >> 32))
        return words.reshape(len(ids), blocks * 4)[:, :count]

    def uniform(self, stream: str, ids: NDArray[np.int64] | list[int], count: int) -> NDArray[np.float64]:
        """Numbers in [0, 1), evenly spread. Arguments and shape as `words`."""
        return self.words(stream, ids, count).astype(np.float64) * 2.0**-32

    def normal(self, stream: str, ids: NDArray[np.int64] | list[int], count: int) -> NDArray[np.float64]:
        """Standard normal numbers (Box-Muller). Arguments and shape as `words`."""
        pairs = -(-count // 2)
        u = self.uniform(stream, ids, 2 * pairs)
        radius = np.sqrt(-2.0 * np.log1p(-u[:, :pairs]))
        angle = 2.0 * np.pi * u[:, pairs:]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]

    def permutation(self, stream: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids in a random order; which ids there are does not change how two of them compare."""
        words = self.words(stream, ids, 2).astype(np.uint64)
        return ids[np.lexsort((ids, words[:, 0] << _HALF | words[:, 1]))]

    def torch_seed(self, step: int, rank: int = 0) -> int:
        """The seed torch is given before a step (dropout and the like), in [0, 2**63)."""
        return _digest(self.seed, self.epoch, "torch", step, rank) >> 1
