"""Broken files for `fuzz.py`: the valid ones of `fuzz_seeds.py`, and how they are broken.

A case is a pure function of its kind, its number and the seed: one valid file, or the few files of one set,
of which one is changed one to four times. Half of the changes are in the first 512 bytes, where headers are.
What a checksum would refuse at the door is sealed again half of the time: CRCs of PNG chunks, gzip, the
members of a zip, the length of a model file's header.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fuzz_seeds import Files, sealed_npz, tiff_entries

_HEADER = 512
_ODD = (
    0,
    1,
    2,
    3,
    7,
    8,
    12,
    16,
    32,
    33,
    64,
    255,
    256,
    1000,
    9999,
    30000,
    32767,
    65535,
    65536,
    1 << 20,
    -1,
    -2,
)
_TIFF_NUMBERS = (
    *range(1, 9),
    *(12, 16, 32, 64, 256, 258, 259, 262, 277, 317, 338, 339, 32773, 32946, 34712, 34925, 50000, 50001),
)
"""Tags, types, compressions, photometric interpretations, depths."""
_ODD_NUMBERS = (
    *(b"0 -1 1 2 16 33 255 256 65535 65536 100000 9999999 2147483647 2147483648 4294967295".split()),
    *(b"1e999 nan -inf 0.0 -0.5 1e-300 18446744073709551616 007 0x10".split()),
    b"9" * 30,
    b"9" * 5000,
    "٣".encode(),
    "²".encode(),
)
_ODD_TEXTS = (
    *(
        b'" "" , ; \t \n \r \r\n \0 \xff \xfe\xff \xef\xbb\xbf \x1b[2J ../ / . ~ // \\ : path path:'.split(
            b" "
        )
    ),
    *(b"label split Path train test val null None true NaN [] {} [ { } ] <f8 ' |O <U9".split(b" ")),
    *(b"<M8[s] >c16 <i8 &a *a !!python/none ? -- --- |1,".split(b" ")),
    "\u2028é\u202e\U0001f600".encode(),
    b"\xed\xa0\x80",
    b"[" * 3000,
    b"{" * 500,
    b'{"a":' * 3000,
    b"x" * 70_000,
)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1e308, float("nan"), "", "\x1b\n", "x" * 9999),
    *([], [[]], {}, {"a": 1}, [0, -1]),
)


def _place(rng: np.random.Generator, length: int) -> int:
    """Half of the time in the header."""
    return int(rng.integers(min(length, _HEADER) if rng.random() < 0.5 else length))


def _flip(rng: np.random.Generator, content: bytearray) -> None:
    for _ in range(int(rng.integers(1, 6))):
        content[_place(rng, len(content))] ^= 1 << int(rng.integers(8))


def _integer(rng: np.random.Generator, content: bytearray, at: int | None = None, size: int = 0) -> None:
    at = _place(rng, len(content)) if at is None else min(at, len(content) - 1)
    size = size or int(rng.choice([1, 2, 2, 4, 4, 8]))
    value = int(rng.choice(_ODD)) if rng.random() < 0.8 else int(rng.integers(1 << 62))
    order: Any = "little" if rng.random() < 0.5 else "big"
    content[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)


def _truncate(rng: np.random.Generator, content: bytearray) -> None:
    del content[_place(rng, len(content)) :]


def _delete(rng: np.random.Generator, content: bytearray) -> None:
    at = _place(rng, len(content))
    del content[at : at + int(rng.integers(1, 40))]


def _insert(rng: np.random.Generator, content: bytearray) -> None:
    at, size = _place(rng, len(content)), int(rng.choice([1, 2, 4, 16, 300]))
    content[at:at] = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.choice([0, 255, 32])]) * size


def _repeat(rng: np.random.Generator, content: bytearray) -> None:
    at = _place(rng, len(content))
    content[at:at] = content[at : at + int(rng.integers(1, 200))] * int(rng.choice([1, 1, 2, 30]))


def _overwrite(rng: np.random.Generator, content: bytearray) -> None:
    at, size = _place(rng, len(content)), int(rng.integers(1, 24))
    content[at : at + size] = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.choice([0, 255])]) * size


def _number(rng: np.random.Generator, content: bytearray) -> None:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:4000]))
    if not found:
        return _flip(rng, content)
    match = found[int(rng.integers(len(found)))]
    new = _ODD_NUMBERS[int(rng.integers(len(_ODD_NUMBERS)))]
    if content.startswith(b"SIMPLE"):  # a card keeps its 80 bytes
        new = new[:20].rjust(len(match[0])) if rng.random() < 0.8 else new
    content[match.start() : max(match.end(), match.start() + len(new) * content.startswith(b"SIMPLE"))] = new
    return None


def _text(rng: np.random.Generator, content: bytearray) -> None:
    at = _place(rng, len(content))
    which = int(rng.integers(len(_ODD_TEXTS) - (0 if rng.random() < 0.1 else 4)))
    content[at : at + int(rng.choice([0, 0, 1, 5]))] = _ODD_TEXTS[which]


def _tiff_tag(rng: np.random.Generator, content: bytearray) -> None:
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _integer(rng, content)
    entries = tiff_entries(bytes(content))
    if not entries:
        return _integer(rng, content)
    entry, count, value = entries[int(rng.integers(len(entries)))]
    at, sizes = ((entry, [2]), (entry + 2, [2]), (count, [2, 4]), (value, [1, 2, 4]))[
        int(rng.choice(4, p=[0.1, 0.15, 0.15, 0.6]))
    ]
    order: Any = "big" if content[:2] == b"MM" else "little"
    size = int(rng.choice(sizes))
    tags = (
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        12,
        16,
        32,
        64,
        34712,
        50000,
        32773,
        34925,
        256,
        258,
        259,
        262,
        277,
        317,
        338,
        339,
    )
    number = int(rng.choice(tags if rng.random() < 0.4 else _ODD))
    if at < len(content):
        content[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, order)
    return None


Mutation = Callable[[np.random.Generator, bytearray], None]
_ANY: tuple[Mutation, ...] = (
    *(_flip, _flip, _integer, _integer, _integer),
    *(_truncate, _delete, _insert, _repeat, _overwrite),
)
_TEXTUAL: tuple[Mutation, ...] = (_number, _number, _text, _text, _flip, _truncate, _delete, _insert, _repeat)
_OF_KIND: dict[str, tuple[Mutation, ...]] = {
    "tiff": (*_ANY, *[_tiff_tag] * 8),
    "netpbm": (*_ANY, *[_number] * 5),
    "fits": (*_ANY, *[_number] * 8),
    **dict.fromkeys(("csv", "split", "args", "names"), _TEXTUAL),
}


def _sealed_png(content: bytes) -> bytes:
    """Every chunk with the CRC that it should have."""
    sealed = bytearray(content)
    at = 8
    while at + 12 <= len(sealed):
        end = at + 8 + int.from_bytes(sealed[at : at + 4])
        sealed[end : end + 4] = (
            struct.pack(">I", zlib.crc32(sealed[at + 4 : end])) if end + 4 <= len(sealed) else b""
        )
        at = end + 4
    return bytes(sealed)


def _change(rng: np.random.Generator, content: bytes, mutations: tuple[Mutation, ...], other: bytes) -> bytes:
    """One to four changes; sometimes the head of one file and the tail of another, or next to nothing."""
    changed = bytearray(content)
    if rng.random() < 0.04:
        changed[_place(rng, len(changed) + 1) :] = other[int(rng.integers(len(other) + 1)) :]
    for _ in range(1 + int(rng.choice(4, p=[0.55, 0.25, 0.15, 0.05]))):
        if not changed:
            break
        mutations[int(rng.integers(len(mutations)))](rng, changed)
    return bytes(changed)


def _within(rng: np.random.Generator, name: str, content: bytes, other: bytes) -> bytes | None:
    """A change below a checksum or a length; None where there is none."""
    head = rng.random() < 0.6
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        member = str(rng.choice(list(members)))
        members[member] = _change(rng, members[member], (_number, _text) if head else _ANY, other)
        if rng.random() < 0.05:
            del members[member]
        return sealed_npz(members, rng.random() < 0.5)
    if name.endswith(".gz"):
        return gzip.compress(_change(rng, gzip.decompress(content), _ANY, other), 1, mtime=0)
    if content[8:9] == b"{":  # safetensors
        length = int.from_bytes(content[:8], "little")
        changed = _header_changed(rng, content[8 : 8 + length])
        return len(changed).to_bytes(8, "little") + changed + content[8 + length :]
    return None


def _header_changed(rng: np.random.Generator, content: bytes) -> bytes:
    """The JSON of a model file: as bytes, or a value that stays JSON."""
    header = json.loads(content)
    told = header.get("__metadata__", {}).get("sightline")
    if told is None or rng.random() < 0.25:
        return _change(rng, content, _TEXTUAL, content)
    if rng.random() < 0.3:
        text = _change(rng, told.encode(), _TEXTUAL, told.encode()).decode("utf-8", "replace")
    else:
        fields = json.loads(told)
        holder: Any = fields
        while True:
            place = int(rng.integers(len(holder)))
            key = list(holder)[place] if isinstance(holder, dict) else place
            if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.3:
                break
            holder = holder[key]
        value = _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]
        if isinstance(holder, dict) and rng.random() < 0.15:
            del holder[key]
        else:
            holder[key] = value
        text = json.dumps(fields if rng.random() < 0.95 else value)
    header["__metadata__"]["sightline"] = text
    return json.dumps(header).encode()


def case(kind: str, number: int, seed: int, seeds: list[Files]) -> tuple[Files, np.random.Generator]:
    """The files of one case, and the draws for how it is read.

    Args:
        kind: Of `SEEDS`.
        number: Which case of it.
        seed: Of the whole run.
        seeds: The valid files of the kind.
    """
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    whole = seeds[int(rng.integers(len(seeds)))]
    files = {name.removeprefix("!"): body for name, body in whole.items()}
    name = str(rng.choice([name for name in whole if not name.startswith("!")]))
    donor = seeds[int(rng.integers(len(seeds)))]
    other = donor[next(iter(donor))]
    changed = _within(rng, name, files[name], other) if rng.random() < 0.5 else None
    if changed is None:
        changed = _change(rng, files[name], _OF_KIND.get(kind, _ANY), other)
        if changed.startswith(b"\x89PNG") and rng.random() < 0.6:
            changed = _sealed_png(changed)
    files[name] = changed
    return files, rng
