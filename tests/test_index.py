"""What is remembered of files: the same as reading them, whatever happened to folder or index since."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sightline.base import cache_folder
from sightline.data import ImageSet, open_images
from sightline.imaging import photograph, read_record

MakeFolder = Callable[..., Path]
Change = Callable[[Path], None]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mixed(make_folder: MakeFolder) -> Path:
    """Grey and colour, two sizes, a duplicate, broken files, a name beyond ASCII."""
    root = make_folder({"a": (0, 6), "b": (1, 5)})
    Image.fromarray(photograph("china")).resize((30, 20)).save(root / "b" / "colour é.png")
    shutil.copy(root / "a" / "000.png", root / "a" / "same.png")
    (root / "a" / "broken.png").write_bytes(b"no image")
    (root / "b" / "empty.png").write_bytes(b"")
    return root


def fields(images: ImageSet) -> dict[str, Any]:
    """Everything in a set, arrays with their types."""
    found = {field.name: getattr(images, field.name) for field in dataclasses.fields(images)}
    return {
        name: (value.dtype, value.tolist()) if isinstance(value, np.ndarray) else value
        for name, value in found.items()
    }


def opened(root: Path) -> dict[str, Any]:
    return fields(open_images(root, allow_unreadable=True))


def index_file() -> Path:
    (path,) = cache_folder("index").iterdir()
    return path


def remove(root: Path) -> None:
    (root / "a" / "001.png").unlink()


def add(root: Path) -> None:
    Image.new("L", (9, 7)).save(root / "a" / "0000.png")


def change(root: Path) -> None:
    Image.new("RGB", (9, 7)).save(root / "b" / "002.png")


def mend(root: Path) -> None:
    Image.new("L", (8, 8), 7).save(root / "a" / "broken.png")


def exchange(root: Path) -> None:
    (root / "a" / "003.png").rename(root / "x")
    (root / "b" / "colour é.png").rename(root / "a" / "003.png")
    (root / "x").rename(root / "b" / "colour é.png")


def nothing(root: Path) -> None:
    pass


@pytest.mark.parametrize("happened", [nothing, remove, add, change, mend, exchange])
def test_what_is_recalled_is_what_reading_says(
    mixed: Path, happened: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(mixed)
    happened(mixed)
    recalled = [opened(mixed), opened(mixed)]
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "other"))
    read = opened(mixed)
    assert recalled == [read, read]
    assert read["left_out"] == (("b/empty.png",) if happened is mend else ("a/broken.png", "b/empty.png"))


def test_a_set_holds_what_each_file_says(mixed: Path) -> None:
    for _ in range(2):
        images = open_images(mixed, allow_unreadable=True)
        records = [read_record(mixed / name) for name in images.names]
        assert images.digests == tuple(record.digest for record in records)
        assert images.sizes.tolist() == [[record.height, record.width] for record in records]
        assert images.channels == max(record.channels for record in records) == 3
        assert [images.classes[t] for t in images.targets] == [name[0] for name in images.names]


def test_a_changed_file_of_the_same_size_is_noticed(mixed: Path) -> None:
    path = mixed / "a" / "0.bmp"
    found = []
    for moment in (1, 2):  # nanoseconds
        Image.new("L", (8, 8), moment).save(path)
        os.utime(path, ns=(0, moment))
        found.append((path.stat().st_size, opened(mixed)["digests"][0]))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


Columns = dict[str, Any]


def read_index() -> Columns:
    with np.load(index_file()) as columns:
        return dict(columns)


def write_index(columns: Columns) -> None:
    with index_file().open("wb") as file:
        np.savez(file, **columns)


def place_of(name: str) -> int:
    columns = read_index()
    text, bounds = columns["names"].tobytes(), columns["name_bounds"].tolist()
    return [text[i:j].decode() for i, j in itertools.pairwise(bounds)].index(name)


def without_a_column(index: Columns) -> None:
    del index["facts"]


def with_a_short_column(index: Columns) -> None:
    index["facts"] = index["facts"][:-1]


def with_fewer_names(index: Columns) -> None:
    index["name_bounds"] = index["name_bounds"][:-1]


def with_names_that_go_back(index: Columns) -> None:
    index["name_bounds"][1] = index["name_bounds"][3]


def with_words_for_numbers(index: Columns) -> None:
    index["name_bounds"] = index["name_bounds"].astype(str)


def with_objects(index: Columns) -> None:
    index["error_rows"] = index["error_rows"].astype(object)


def with_an_error_of_no_file(index: Columns) -> None:
    index["error_rows"][-1] = len(index["facts"])


def with_a_table_for_a_column(index: Columns) -> None:
    index["facts"] = index["facts"][None]


def with_other_facts(index: Columns) -> None:
    index["facts"] = index["facts"]["modified_ns"]


def with_nothing(index: Columns) -> None:
    index.clear()


@pytest.mark.parametrize(
    "damage",
    [
        without_a_column,
        with_a_short_column,
        with_fewer_names,
        with_names_that_go_back,
        with_words_for_numbers,
        with_objects,
        with_an_error_of_no_file,
        with_a_table_for_a_column,
        with_other_facts,
        with_nothing,
    ],
)
def test_an_index_that_cannot_be_used_is_made_anew(mixed: Path, damage: Callable[[Columns], None]) -> None:
    read, whole = opened(mixed), index_file().read_bytes()
    index = read_index()
    damage(index)
    write_index(index)
    assert opened(mixed) == read
    assert index_file().read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe\x00", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_index_is_replaced(mixed: Path, content: bytes) -> None:
    read, whole = opened(mixed), index_file().read_bytes()
    index_file().write_bytes(content)
    assert opened(mixed) == read
    assert index_file().read_bytes() == whole


def test_a_changed_or_lost_byte_of_the_index_never_changes_the_set(mixed: Path) -> None:
    read, whole = opened(mixed), index_file().read_bytes()
    for at in range(0, len(whole), 97):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]):
            index_file().write_bytes(damaged)
            assert opened(mixed) == read, at


def test_the_index_is_believed(mixed: Path) -> None:
    """So that the tests above are of what is recalled, and not of files read again."""
    opened(mixed)
    row, index = place_of("a/002.png"), read_index()
    index["facts"]["height"][row] = 11
    write_index(index)
    assert [11, 8] in opened(mixed)["sizes"][1]


def test_errors_are_recalled_of_the_right_files(mixed: Path) -> None:
    """Rows move where files come and go before them."""
    said = {name: read_record(mixed / name).error for name in ("a/broken.png", "b/empty.png")}
    for happened in (nothing, add, remove):
        happened(mixed)
        (finding,) = (f for f in open_images(mixed, allow_unreadable=True).findings if "cannot" in f.what)
        told = "; ".join(f"{name}: {error}" for name, error in said.items())
        assert f"({told})" in finding.what


def test_an_interrupted_reading_goes_on_where_it_was(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sightline.data._index as index

    root = make_folder({"a": (0, 20), "b": (1, 20)})
    monkeypatch.setattr(index, "CHUNK", 8)
    read: list[str] = []
    real = index.read_record
    monkeypatch.setattr(index, "read_record", lambda path, pages: read.append(path.name) or real(path, pages))

    def interrupt(what: str, done: int, total: int) -> None:
        if (done, total) == (24, 40):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(root, progress=interrupt)
    assert len(read) == 24
    assert len(open_images(root)) == 40
    assert len(read) == 40
    assert [path.suffix for path in cache_folder("index").iterdir()] == [".npz"]
