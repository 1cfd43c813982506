"""What is remembered of files: the same as reading them, whatever happened to folder or index since."""

from __future__ import annotations

import dataclasses
import json
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


def without_a_column(index: dict[str, Any]) -> None:
    del index["widths"]


def with_a_short_column(index: dict[str, Any]) -> None:
    index["digests"].pop()


def with_a_number_too_large(index: dict[str, Any]) -> None:
    index["heights"][0] = 2**40


def with_a_word_for_a_number(index: dict[str, Any]) -> None:
    index["modified_ns"][0] = "now"


def with_nothing(index: dict[str, Any]) -> None:
    index.clear()


def of_format_2(index: dict[str, Any]) -> None:
    """As it was before it had columns: a list a file."""
    columns = [index.pop(name) for name in ("bytes", "modified_ns", "widths", "heights", "channels")]
    columns += [["0" * 32] * len(columns[0]), [""] * len(columns[0])]
    index["files"] = dict(zip(index.pop("names"), map(list, zip(*columns, strict=True)), strict=True))
    index["format"] = 2


@pytest.mark.parametrize(
    "damage",
    [
        without_a_column,
        with_a_short_column,
        with_a_number_too_large,
        with_a_word_for_a_number,
        with_nothing,
        of_format_2,
    ],
)
def test_an_index_that_cannot_be_used_is_made_anew(
    mixed: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    read, whole = opened(mixed), index_file().read_text()
    index = json.loads(whole)
    damage(index)
    index_file().write_text(json.dumps(index))
    assert opened(mixed) == read
    assert index_file().read_text() == whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe\x00"])
def test_a_file_that_is_no_index_is_replaced(mixed: Path, content: bytes) -> None:
    read, whole = opened(mixed), index_file().read_bytes()
    index_file().write_bytes(content)
    assert opened(mixed) == read
    assert index_file().read_bytes() == whole


def test_the_index_is_believed(mixed: Path) -> None:
    """So that the tests above are of what is recalled, and not of files read again."""
    opened(mixed)
    index = json.loads(index_file().read_text())
    index["heights"][index["names"].index("a/002.png")] = 11
    index_file().write_text(json.dumps(index))
    assert [11, 8] in opened(mixed)["sizes"][1]
