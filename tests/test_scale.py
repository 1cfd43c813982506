"""Sets of very many files: columns of bytes read like tuples, and memory stays a few bytes an image."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sightline.data._ahead as ahead
import sightline.data._columns as columns
import sightline.data._index as index
import sightline.data._open as opening
import sightline.data._split as splitting
from sightline.base import cache_folder
from sightline.data import ImageSet, WorkerBatches, open_batches, open_images, split_images
from sightline.data._columns import Column, Digests, Texts, first_alike, hash_order, keyed_hashes, taken
from sightline.imaging import Canvas, ImageRecord

MakeFolder = Callable[..., Path]

characters = st.characters(max_codepoint=0x24F) | st.sampled_from("/\0é日𝄞\ud800\udc80\udcff")
texts = st.lists(st.text(characters, max_size=6) | st.text("abc/.", max_size=9), max_size=20)
some_digests = [hashlib.blake2b(bytes([i]), digest_size=16).hexdigest() for i in range(4)]
some_digests += ["0" * 31 + "1", "1" + "0" * 31, "f" * 32]
digests = st.lists(st.sampled_from(["", *some_digests]) | st.binary(min_size=16, max_size=16).map(bytes.hex))
digests = digests.filter(lambda found: "0" * 32 not in found)  # which stands for none
kinds = st.one_of(st.tuples(st.just(Texts), texts), st.tuples(st.just(Digests), digests))


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """So that a few strings are several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK", 3)
        patch.setattr(splitting, "BLOCK", 3)
        yield


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


# Columns, against plain tuples


@given(kinds, st.data())
def test_a_column_is_read_like_a_tuple(
    made: tuple[type[Texts] | type[Digests], list[str]], data: Any
) -> None:
    kind, strings = made
    column, plain = kind.of(iter(strings)), tuple(strings)
    assert len(column) == len(plain)
    assert tuple(column) == plain
    assert [s for block in column.blocks() for s in block] == list(plain)
    assert [column[np.int64(i)] for i in range(-len(plain), len(plain))] == list(plain + plain)
    for outside in (len(plain), -len(plain) - 1):
        with pytest.raises(IndexError, match=f"place {outside} of {len(plain)}"):
            column[outside]
    part = data.draw(st.slices(len(plain)))
    assert tuple(column[part]) == plain[part]
    assert column[part] == plain[part]
    assert tuple(reversed(column)) == plain[::-1]
    for string in (*plain[:2], "not in it"):
        assert (string in column, column.count(string)) == (string in plain, plain.count(string))


@given(kinds, st.data())
def test_some_of_a_column_are_some_of_the_tuple(made: tuple[Any, list[str]], data: Any) -> None:
    kind, strings = made
    places = st.integers(0, len(strings) - 1) if strings else st.nothing()
    indices = np.array(data.draw(st.lists(places)), dtype=np.int64)
    chosen = taken(kind.of(strings), indices)
    assert isinstance(chosen, kind)
    assert tuple(chosen) == taken(tuple(strings), indices) == tuple(strings[i] for i in indices)


@given(kinds, kinds)
def test_columns_are_equal_where_their_tuples_are(
    one: tuple[Any, list[str]], two: tuple[Any, list[str]]
) -> None:
    (kind, strings), (other, others) = one, two
    first, second, equal = kind.of(strings), other.of(others), strings == others
    assert (first == second) is (first == tuple(others)) is (tuple(strings) == second) is equal
    assert first == kind.of(strings) == tuple(strings)
    assert hash(first) == hash(tuple(strings))
    assert first != [*strings]  # as a tuple is no list
    again = pickle.loads(pickle.dumps(first[1:]))
    assert again == first[1:]
    assert type(again) is kind


@given(st.lists(texts, max_size=4))
def test_columns_are_joined(parts: list[list[str]]) -> None:
    assert tuple(Texts.joined([Texts.of(part) for part in parts])) == tuple(s for part in parts for s in part)


def test_bounds_of_more_than_four_gigabytes_are_longer_numbers() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 2**32

    bounds = np.array([0, 2, 2**32])
    assert Texts(Long(b"abcd"), bounds).bounds.tolist() == bounds.tolist()
    assert Texts(b"abcd", np.array([0, 4])).bounds.dtype == np.uint32


def test_a_short_part_of_a_long_column_is_sent_alone() -> None:
    names = Texts.of(f"class/{i:06d}.png" for i in range(5000))
    hashes = Digests(keyed_hashes("0", names))
    assert len(pickle.dumps(names)) > 80_000 < len(pickle.dumps(hashes)) + 10_000
    assert len(pickle.dumps(names[10:12])) < 500
    assert len(pickle.dumps(hashes[10:12])) < 500


@given(digests)
def test_the_first_alike(strings: list[str]) -> None:
    naive = [strings.index(string) for string in strings]
    assert first_alike(Digests.of(strings)).tolist() == naive
    assert first_alike(tuple(strings)).tolist() == naive


@given(st.lists(st.integers(0, 9)))
def test_numbers_in_order_of_their_first_appearance(values: list[int]) -> None:
    seen = list(dict.fromkeys(values))
    found = splitting._numbered(np.array(values, dtype=np.int64))
    assert found.tolist() == [seen.index(value) for value in values]


@given(st.integers(0, 99), st.lists(st.text("ab/é.", max_size=5), max_size=12))
def test_hashes_and_their_order(seed: int, names: list[str]) -> None:
    naive = [hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=16).digest() for name in names]
    hashes = keyed_hashes(str(seed), Texts.of(names))
    assert [row.tobytes() for row in hashes] == naive
    assert hash_order(hashes).tolist() == sorted(range(len(names)), key=naive.__getitem__)


# Listing


folders = st.lists(st.sampled_from(["a", "a-b", "a.b", "a0", "b", "a b"]), max_size=3)
listings = st.dictionaries(
    folders.map(lambda parts: "".join(f"{part}/" for part in parts)),
    st.sets(st.text("ab-.0 ", min_size=1, max_size=3), min_size=1),
)


@given(listings)
def test_names_of_all_folders_are_in_order(listed: dict[str, set[str]]) -> None:
    whole = {prefix: sorted(prefix + name for name in names) for prefix, names in listed.items()}
    expected = sorted(name for names in whole.values() for name in names)
    assert list(opening._in_order({prefix: Texts.of(names) for prefix, names in whole.items()})) == expected


def test_a_tree_is_listed_in_order(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for name in (
        "a/1.png",
        "a/b/2.png",
        "a/b.png",
        "a-b/3.png",
        "a/b0/é.png",
        "c.txt",
        "a/x.txt",
        "a0/4.PNG",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    Path(os.fsdecode(bytes(root / "a" / "b") + b"/\xff.png")).touch()
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    images, others, _, _ = opening._list_files("tree", root)
    assert list(images) == [name for name in found if not name.endswith("txt")]
    assert list(others) == ["a/x.txt", "c.txt"]


# The index


names_of_files = st.sets(st.text("ab/é\udcff", min_size=1, max_size=4), max_size=12)


@given(names_of_files, names_of_files, st.randoms())
def test_rows_of_names_in_any_order(one: set[str], two: set[str], random: Any) -> None:
    known, names = sorted(one), sorted(two)
    if random.random() < 0.5:
        random.shuffle(known)
        random.shuffle(names)
    rows = index._rows(Texts.of(known), Texts.of(names)).tolist()
    assert rows == [known.index(name) if name in known else -1 for name in names]


@settings(max_examples=25)
@given(names_of_files, st.data())
def test_the_index_is_read_as_it_was_written(tmp_path_factory: Any, names: set[str], data: Any) -> None:
    facts = np.zeros(len(names), dtype=index._FACTS)
    numbers = st.lists(st.integers(1, 2**31 - 1), min_size=len(names), max_size=len(names))
    for field in ("bytes", "modified_ns", "height", "width", "channels"):
        facts[field] = data.draw(numbers)
    read = np.array(data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))), dtype=bool)
    facts["digest"][read] = 7
    rows = data.draw(st.sets(st.sampled_from(range(len(names))))) if names else set()
    whole = index._Index(Texts.of(sorted(names)), facts, {row: f"é {row}" for row in rows})
    path = tmp_path_factory.mktemp("index") / "x.npz"
    index._save(path, whole)
    again = index._load(path)
    kept = np.flatnonzero(read).tolist()
    assert list(again.names) == [whole.names[i] for i in kept]
    assert again.facts.tobytes() == facts[kept].tobytes()
    assert again.errors == {kept.index(row): f"é {row}" for row in rows if row in kept}
    assert [p.name for p in path.parent.iterdir()] == ["x.npz"]


# Memory


def simulated(root: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of so many empty files, each taken for an image of its own."""

    def record(path: Path, pages: str) -> ImageRecord:
        digest = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
        return ImageRecord(32, 32, 3, digest, "")

    monkeypatch.setattr(index, "read_record", record)
    monkeypatch.setattr(index, "_PARALLEL_FROM", count + 1)
    monkeypatch.setattr(columns, "BLOCK", 1000)
    monkeypatch.setattr(splitting, "BLOCK", 1000)
    for label in range(20):
        folder = root / f"class_{label:03d}"
        folder.mkdir(parents=True)
        for i in range(label, count, 20):
            os.close(os.open(f"{folder}/image_{i:07d}.jpg", os.O_CREAT))
    return root


def measured(work: Callable[[], Any], count: int) -> tuple[Any, float, float]:
    """What it makes, and bytes an image: held afterwards, and at most on the way.

    The least of two times: Python's table of strings is of the whole process, and may double in either.
    """
    told = []
    for _ in range(2):
        tracemalloc.start()
        try:
            made = work()
            told.append(tracemalloc.get_traced_memory())
        finally:
            tracemalloc.stop()
    held, peak = (min(column) for column in zip(*told, strict=True))
    return made, held / count, peak / count


def test_bytes_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tuple of names alone would be 84 bytes an image, of digests 89; all that is kept here is 71."""
    count = 20_000
    root = simulated(tmp_path / "set", count, monkeypatch)
    open_images(root)  # imports what it needs

    def open_first() -> ImageSet:
        for path in cache_folder("index").iterdir():
            path.unlink()
        return open_images(root)

    for way in (open_first, lambda: open_images(root)):
        images, held, peak = measured(way, count)
        assert held < 100
        assert peak < 220
    split, held, peak = measured(lambda: split_images(images), count)
    assert held < 20
    assert peak < 140
    _, held, peak = measured(lambda: split.digest(images), count)
    assert peak < 60


def test_workers_are_told_of_no_image_before_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = open_images(simulated(tmp_path / "set", 2000, monkeypatch))
    source = open_batches(images, Canvas(8, 8, 3), path="workers", workers=2)
    assert isinstance(source, WorkerBatches)
    order, loader = source._start(training=True)
    assert len(pickle.dumps(loader.dataset)) < 1000
    order.batches = [np.array([3, 1]), np.array([1999])]
    assert [files.names for files in order] == [
        (images.names[3], images.names[1]),
        (images.names[1999],),
    ]


def test_only_a_few_jobs_are_there_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def jobs() -> Iterator[int]:
        nonlocal asked
        for i in range(60):
            asked += 1
            yield -i

    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)
    used = 0
    for used, result in enumerate(ahead.mapped(abs, jobs(), parallel=True), start=1):
        assert result == used - 1
        assert asked - used < 2 * ahead._AHEAD
    assert used == asked == 60


# The split


def made(targets: list[int], strings: list[str], parts: list[Any]) -> ImageSet:
    """A set without images, as plain tuples."""
    return ImageSet(
        source="made",
        root=Path(),
        names=tuple(f"{i:03d}, é" for i in range(len(targets))),
        targets=np.array(targets),
        classes=("a", "b", "c"),
        channels=1,
        sizes=np.ones((len(targets), 2), np.int32),
        digests=tuple(strings),
        parts=tuple(parts),
    )


def naive_leaks(images: ImageSet) -> list[tuple[str, str]]:
    """For each content in train and elsewhere: its first of train, and its first elsewhere."""
    found = []
    for digest in dict.fromkeys(images.digests):
        same = [i for i in range(len(images)) if images.digests[i] == digest]
        train = [i for i in same if images.parts[i] == "train"]
        if train and len(train) < len(same):
            other = next(i for i in same if i not in train)
            found.append((images.names[train[0]], images.names[other]))
    return found


rows = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(some_digests), st.sampled_from(["train", "val", "test"])),
    max_size=25,
)


@given(rows)
def test_findings_of_repeats(found: list[tuple[int, str, str]]) -> None:
    found += [(label, f"{label:032x}", part) for label in (7, 8, 9) for part in ("train", "val")]
    images = made([row[0] % 3 for row in found], [row[1] for row in found], [row[2] for row in found])
    column = dataclasses.replace(images, names=Texts.of(images.names), digests=Digests.of(images.digests))
    split = split_images(images)
    assert split.findings == split_images(column).findings
    told = {finding.what.split(" images ")[1][:8]: finding for finding in split.findings}
    leaks = naive_leaks(images)
    assert len(leaks) >= 3
    assert told["of train"].what.startswith(f"{len(leaks)} ")
    assert (told["of train"].where, f"(this one is {leaks[0][1]})" in told["of train"].what) == (
        leaks[0][0],
        True,
    )
    first = [list(images.digests).index(digest) for digest in images.digests]
    twice = [(one, two) for two, one in enumerate(first) if images.targets[one] != images.targets[two]]
    assert ("are file" in told) is bool(twice)
    if twice:
        assert told["are file"].what.startswith(f"{len(twice)} ")
        assert told["are file"].where == images.names[twice[0][0]]
        assert f"(this one is also {images.names[twice[0][1]]})" in told["are file"].what


@given(rows, st.integers(0, 5), st.sampled_from([None, (2, 3)]))
def test_a_column_is_split_as_a_tuple_is(
    found: list[tuple[int, str, str]], seed: int, fold: tuple[int, int] | None
) -> None:
    found += [(label % 3, f"{label:032x}", "") for label in range(100, 160)]
    images = made([row[0] for row in found], [row[1] for row in found], [None] * len(found))
    column = dataclasses.replace(images, names=Texts.of(images.names), digests=Digests.of(images.digests))
    split = split_images(images, seed, fold)
    assert split.parts == split_images(column, seed, fold).parts
    assert split.digest(images) == split.digest(column)
    part_of: dict[str, str] = {}
    for digest, part in zip(images.digests, split.parts, strict=True):
        assert part_of.setdefault(digest, part) == part
    chosen = np.flatnonzero(np.arange(len(images)) % 2)
    for part in (images.subset(chosen), column.subset(chosen)):
        assert part.names == tuple(images.names[i] for i in chosen)
        assert part.digests == tuple(images.digests[i] for i in chosen)
    assert isinstance(column.subset(chosen).names, Column)


def test_the_table_is_written_as_it_is_hashed(three_classes: Path, tmp_path: Path) -> None:
    images = open_images(three_classes)
    split = split_images(images)
    path = tmp_path / "split" / "split.csv"
    split.save(path, images)
    assert path.read_bytes().decode() == split.table(images)
    assert split.digest(images) == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    labels = [images.classes[target] for target in images.targets]
    assert header == ["path", "class", "part", "digest"]
    assert rows == [list(r) for r in zip(images.names, labels, split.parts, images.digests, strict=True)]
    short = dataclasses.replace(split, parts=split.parts[:-1])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="shorter"):
        short.save(path, images)
    assert [p.name for p in path.parent.iterdir()] == ["split.csv"]
    assert path.read_bytes() == before


# How far it is


def test_every_long_step_says_how_far_it_is(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder({f"{folder}/{label}": (label, 5) for folder in ("train", "val") for label in (0, 1)})
    for module in (opening, index):
        monkeypatch.setattr(module, "LONG", 1)
    monkeypatch.setattr(index, "CHUNK", 8)
    told: list[tuple[str, int, int]] = []
    for whats in (
        ["listing folders", "looking at files", "reading images"],
        ["listing folders", "looking at files"],
    ):
        told.clear()
        open_images(root, progress=lambda *step: told.append(step))
        assert list(dict.fromkeys(what for what, _, _ in told)) == whats
        for what in whats:
            steps = [(done, total) for name, done, total in told if name == what]
            assert steps == sorted(steps)
            assert all(done <= total for done, total in steps)
            assert steps[-1] == ((7, 7) if what == "listing folders" else (20, 20))
            assert len(steps) > 2
            assert all(done < total for done, total in steps[:-1])
    told.clear()
    monkeypatch.setattr(opening, "LONG", 100)
    monkeypatch.setattr(index, "LONG", 100)
    open_images(root, progress=lambda *step: told.append(step))
    assert told == []
