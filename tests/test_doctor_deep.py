"""The data doctor on deep images: 16 bits, floats, channels, pages; and before training."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import sightline.data._doctor_pass as looking
from conftest import MakeFolder
from sightline.cli import app
from sightline.data import Examination, Part, examine_before_training, examine_images, open_images
from sightline.data._doctor_look import Way, format_of, look_at_values
from sightline.data._doctor_pass import look_at_set
from sightline.imaging import photograph
from sightline.training import train

SIDE = 64
DEEP = Way(channels=1, depth="uint16", pages="", value_range=((0.0, 4095.0),))


class Said:
    """A reporter that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, *_: object, **__: object) -> None: ...

    def epoch(self, *_: object, **__: object) -> None: ...

    def close(self) -> None: ...


def patches() -> list[NDArray[np.float64]]:
    """Distinct grey 64x64 pieces of the two embedded photographs, 0 to 1."""
    found = []
    for name in ("china", "flower"):
        grey = np.asarray(Image.fromarray(photograph(name)).convert("L"), dtype=float) / 255
        for y in range(0, grey.shape[0] - SIDE, SIDE):
            found += [grey[y : y + SIDE, x : x + SIDE] for x in range(0, grey.shape[1] - SIDE, SIDE)]
    return [piece for piece in found if piece.std() > 0.05]


def write_deep(root: Path, per_class: int = 12, scale: float = 3000.0) -> Path:
    """Two classes of 16-bit micrographs, as far as a computer can tell."""
    pieces = iter(patches())
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for k in range(per_class):
            values = np.rint(200 + scale * next(pieces)).astype(np.uint16)
            tifffile.imwrite(root / label / f"{label}{k}x{k * 7919 % 101}.tif", values)
    return root


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    return write_deep(tmp_path / "deep")


def read(root: Path, number: int, label: str = "a") -> NDArray[np.uint16]:
    values: NDArray[np.uint16] = tifffile.imread(sorted((root / label).iterdir())[number])
    return values


def told(found: Examination, kind: str) -> list[tuple[str, ...]]:
    return [case.names or (case.finding.where,) for case in found.cases if case.kind == kind]


def what(found: Examination, kind: str) -> list[str]:
    return [case.finding.what for case in found.cases if case.kind == kind]


# -- one look ----------------------------------------------------------------------------------------------


def test_a_look_at_twelve_bits_by_hand() -> None:
    """A step from 0 to 4095: grey is 0 and 255, and the hash has one bit a row."""
    values = np.zeros((64, 72, 1), dtype=np.uint16)
    values[:, 32:] = 4095
    look = look_at_values(values, DEEP)
    assert look.hash == int("00010000" * 8, 2)
    assert look.thumb.dtype == np.float32
    assert look.thumb[0, 0] == 0
    assert look.thumb[0, -1] == pytest.approx(255)
    assert (look.largest, look.at_largest) == (4095, 40 / 72)
    assert (look.constant, look.bits) == (0, 4095)


def test_low_bits_are_in_the_grey_pixels() -> None:
    """A step of 3 of 4095 is a step of 3/4095 * 255 = 0.187, which 8 bits would not have."""
    values = np.full((64, 64, 1), 1000, dtype=np.uint16)
    values[:, 32:] += 3
    thumb = look_at_values(values, DEEP).thumb
    assert thumb[0, -1] - thumb[0, 0] == pytest.approx(3 / 4095 * 255, rel=1e-4)


def test_channels_are_averaged_each_in_its_own_range() -> None:
    """Two channels, at half and at a quarter of their ranges: (127.5 + 63.75) / 2; the second is constant."""
    way = Way(channels=2, depth="float32", pages="", value_range=((0.0, 1.0), (0.0, 1000.0)))
    values = np.full((32, 32, 2), (0.5, 250.0), dtype=np.float32)
    values[:4, :, 0] = 0.0
    look = look_at_values(values, way)
    assert look.thumb[-1, 0] == pytest.approx((127.5 + 63.75) / 2)
    assert look.constant == 0b10


def test_a_hot_pixel_does_not_rule() -> None:
    """It counts for at most twice the range: 510 of the 4 pixels in its place, beside three at 0."""
    values = np.zeros((64, 64, 1), dtype=np.uint16)
    values[0, 0] = 65535
    assert look_at_values(values, DEEP).thumb[0, 0] == pytest.approx(510 / 4)


@pytest.mark.parametrize(
    ("start", "expected"),
    [(b"SIMPLE  =      T", "FITS"), (b"Pf\n64 64\n-1.0", "PFM"), (b"PF 3 3 1.0", "PFM"), (b"Pfoo", "")],
)
def test_formats_of_deep_files(start: bytes, expected: str) -> None:
    assert format_of(start) == expected


# -- copies ------------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[NDArray[np.uint16]], NDArray[np.floating]]] = {
    "brighter": lambda v: v * 1.25,
    "offset": lambda v: v + 150.0,
    "smaller": lambda v: np.asarray(Image.fromarray(v.astype("f4")).resize((48, 48), Image.Resampling.BOX)),
    "cropped": lambda v: v[2:-2, 2:-2].astype(float),
    "noisy": lambda v: v + np.random.default_rng(0).normal(0, 12, v.shape),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_duplicates_of_sixteen_bits_are_found_and_nothing_else(change: str, deep: Path) -> None:
    planted = set()
    for number, original in enumerate(sorted((deep / "a").iterdir())[:6]):
        values = CHANGES[change](tifffile.imread(original))
        tifffile.imwrite(deep / "a" / f"copy{number}.tif", np.rint(values).astype(np.uint16))
        planted.add(frozenset((f"a/{original.name}", f"a/copy{number}.tif")))
    found = {frozenset(names) for names in told(examine_images(deep), "Near duplicates")}
    assert found <= planted
    assert len(found) >= 4  # two of the first six are too smooth for a crop to be told


def of_one_scene(low_bits: bool) -> NDArray[np.uint16]:
    """A scene of 16 bits and its twin: with another pattern in the low bits, or with other noise."""
    scene = np.rint(60_000 * np.kron(patches()[40], np.ones((2, 2)))).astype(float)
    y, x = np.mgrid[:128, :128] / 128
    pattern = (
        90 * np.sin(2 * np.pi * 2 * x) * np.sin(2 * np.pi * 3 * y)
    )  # of 65,535: under half a step of 8 bits
    added = pattern if low_bits else np.random.default_rng(1).normal(0, 90, scene.shape)
    return np.rint(np.clip(scene + added, 0, 65_535)).astype(np.uint16)


@pytest.mark.parametrize("low_bits", [True, False])
def test_images_that_differ_in_low_bits_alone_are_two_images(low_bits: bool, tmp_path: Path) -> None:
    root = write_deep(tmp_path / "set", scale=60_000.0)
    scene = np.rint(60_000 * np.kron(patches()[40], np.ones((2, 2)))).astype(np.uint16)
    tifffile.imwrite(root / "a" / "one.tif", scene)
    tifffile.imwrite(root / "b" / "two.tif", of_one_scene(low_bits))
    found = examine_images(root)
    assert told(found, "Label faults") == ([] if low_bits else [("a/one.tif", "b/two.tif")])


def test_files_of_channels_are_compared_as_one_image(tmp_path: Path) -> None:
    """Two channels an image, each a file: a copy is told by both, and shown on the page."""
    rows = ["path:red,path:green,label"]
    pieces = patches()
    for k in range(10):
        for c, channel in enumerate(("red", "green")):
            piece = pieces[2 * (k if k < 9 else 0) + c]
            scaled = np.rint(1000 + 3000 * piece * (1.2 if k == 9 else 1)).astype(np.uint16)
            tifffile.imwrite(tmp_path / f"{k}-{channel}.tif", scaled)
        rows.append(f"{k}-red.tif,{k}-green.tif,{'ab'[k % 2] if k < 9 else 'a'}")
    (tmp_path / "set.csv").write_text("\n".join(rows) + "\n")
    found = examine_images(tmp_path / "set.csv")
    assert told(found, "Near duplicates") == [("0-red.tif", "9-red.tif")]
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["check", str(tmp_path / "set.csv"), "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert page.read_text().split("<h2>Near")[1].count("<img ") >= 2


# -- what values say ---------------------------------------------------------------------------------------


def test_values_in_use_are_told(deep: Path) -> None:
    assert "values reach 3," in "".join(what(examine_images(deep), "The set"))
    for path in deep.rglob("*.tif"):
        tifffile.imwrite(path, tifffile.imread(path) << np.uint16(4))
    text = "".join(what(examine_images(deep), "The set"))
    assert "which is 16 bits in 16; the lowest 4 bits are never used" in text


@pytest.mark.parametrize(("share", "expected"), [(0.03, 1), (0.005, 0)])
def test_saturation_is_told_from_one_percent(share: float, expected: int, deep: Path) -> None:
    path = sorted((deep / "b").iterdir())[3]
    values = tifffile.imread(path)
    values.ravel()[: int(share * values.size)] = 4095
    tifffile.imwrite(path, values)
    found = examine_images(deep)
    assert told(found, "Saturation") == [(f"b/{path.name}",)] * expected
    assert all("pixels at 4,095" in text for text in what(found, "Saturation"))


def test_constant_channels_are_told(tmp_path: Path) -> None:
    pieces = iter(patches())
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for k in range(10):
            values = np.stack(
                [next(pieces), np.full((SIDE, SIDE), 0.3), np.zeros((SIDE, SIDE)), next(pieces)]
            )
            if (label, k) == ("b", 2):
                values[3] = 0.0
            tifffile.imwrite(
                tmp_path / label / f"{k * 7919 % 101}.tif",
                np.rint(4000 * values).astype(np.uint16).transpose(1, 2, 0),
                photometric="minisblack",
                planarconfig="contig",
            )
    found = examine_images(tmp_path)
    texts = what(found, "Constant channels")
    assert [text.split(" is")[0] for text in texts[:2]] == ["channel 2 of 4", "channel 3 of 4"]
    assert texts[2].startswith("1 of 20 images have a channel of one value")
    assert len(texts) == 3


def test_an_empty_deep_image_is_one_of_one_value(deep: Path) -> None:
    """Noise of a few steps is no emptiness: in deep images it may be all there is."""
    tifffile.imwrite(deep / "a" / "flat.tif", np.full((SIDE, SIDE), 700, np.uint16))
    noise = np.random.default_rng(0).integers(700, 704, (SIDE, SIDE)).astype(np.uint16)
    tifffile.imwrite(deep / "a" / "noise.tif", noise)
    assert told(examine_images(deep), "Empty images") == [("a/flat.tif",)]


# -- files that are not of the set -------------------------------------------------------------------------


def test_mixed_depth_and_channels_are_kinds_of_their_own(deep: Path) -> None:
    grey = (255 * patches()[50]).astype(np.uint8)
    Image.fromarray(grey).save(deep / "a" / "shallow.png")
    tifffile.imwrite(
        deep / "b" / "two.tif", np.zeros((SIDE, SIDE, 2), np.uint16), photometric="minisblack",
        planarconfig="contig",
    )  # fmt: skip
    found = examine_images(deep)
    assert what(found, "Mixed depth") == ["is 8-bit, and most images of the set are 16-bit"]
    assert what(found, "Mixed channels") == ["has 2 channels, and most images of the set have 1"]
    assert told(found, "Unreadable files") == []
    assert [name for name, _ in found.quarantine] == ["a/shallow.png", "b/two.tif"]


def test_files_of_several_pages_are_told_with_the_option(deep: Path) -> None:
    stack = np.stack([read(deep, 0), read(deep, 1)[::-1], read(deep, 2)[:, ::-1]])
    tifffile.imwrite(deep / "a" / "stack.tif", stack, photometric="minisblack", metadata=None)
    found = examine_images(deep)
    assert told(found, "Several pages") == [("a/stack.tif",)]
    case = next(case for case in found.cases if case.kind == "Several pages")
    assert "3 pages" in case.finding.what
    assert "--pages first, max" in case.finding.do
    again = examine_images(deep, pages="max")
    assert told(again, "Several pages") == []
    assert again.images is not None
    assert "a/stack.tif" in again.images.names
    done = CliRunner().invoke(app, ["check", str(deep), "--pages", "median"])
    assert (done.exit_code, "--pages is 'median'" in done.stderr) == (2, True)


def test_decompression_bombs_are_a_kind(deep: Path) -> None:
    header = b"IHDR" + (60_000).to_bytes(4) * 2 + b"\x08\0\0\0\0"
    chunks = [header, b"IDAT" + zlib.compress(bytes(100))]
    parts = [(len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) for chunk in chunks]
    (deep / "a" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    found = examine_images(deep)
    assert told(found, "Decompression bombs") == [("a/bomb.png",)]
    assert "a/bomb.png" in dict(found.quarantine)


def test_missing_files_of_a_list_are_named(tmp_path: Path) -> None:
    """The paths are relative to the CSV's folder, and one that is not there is no bad name."""
    rows = ["path,label"]
    for k, piece in enumerate(patches()[:20]):
        Image.fromarray((255 * piece).astype(np.uint8)).save(tmp_path / f"{k}.png")
        rows.append(f"{k}.png,{'ab'[k % 2]}")
    (tmp_path / "empty.png").touch()
    (tmp_path / "list.csv").write_text("\n".join([*rows, "gone.png,a", "empty.png,b"]) + "\n")
    found = examine_images(tmp_path / "list.csv")
    assert found.cases[0].kind == "Refused"
    assert [(c.finding.where, c.finding.what) for c in found.cases if c.kind == "Unreadable files"] == [
        ("empty.png", "cannot be read: the file is empty"),
        ("gone.png", "cannot be read: no such file"),
    ]


# -- what was seen is kept ---------------------------------------------------------------------------------


def test_looks_are_recalled_by_content(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_images(deep)
    first = look_at_set(images)
    assert first is not None
    calls = []
    real = looking.read_look
    monkeypatch.setattr(looking, "read_look", lambda *given: calls.append(given) or real(*given))
    again = look_at_set(images)
    assert again is not None
    assert calls == []
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    path = images.path(3)
    tifffile.imwrite(path, tifffile.imread(path)[::-1])
    look_at_set(open_images(deep))
    assert len(calls) == len(images)


def test_looking_is_left_out_where_it_takes_too_long(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_TRIED_SECONDS", 0.0)
    monkeypatch.setattr(looking, "_CHUNK", 4)
    tifffile.imwrite(deep / "a" / "new.tif", read(deep, 0)[::-1])  # so that nobody has looked at this set yet
    images = open_images(deep)
    assert look_at_set(images, seconds=0.0) is None
    lines = examine_before_training(images, ("train",) * len(images), seconds=0.0)
    assert lines[-1].endswith(f"run `sightline check {deep}` for near duplicates")
    assert look_at_set(images) is not None
    assert look_at_set(images, seconds=0.0) is not None, "what is known takes no time"


# -- before training ---------------------------------------------------------------------------------------


def before(source: Path | str, test: int = 0) -> list[str]:
    """What is said where the last so many images are test, and the others train."""
    images = open_images(source)
    parts: tuple[Part, ...] = (*["train"] * (len(images) - test), *["test"] * test)  # type: ignore[assignment]
    return examine_before_training(images, parts, seconds=60)


def test_near_duplicates_on_two_sides_of_our_split_are_warned_of(deep: Path) -> None:
    """Within a class and on one side they are mere repeats, of which training says nothing."""
    first = sorted((deep / "b").iterdir())[0]
    tifffile.imwrite(deep / "b" / "z.tif", np.rint(tifffile.imread(first) * 1.2).astype(np.uint16))
    assert before(deep) == []
    (line,) = before(deep, test=3)
    assert line.startswith(f"warning: b/{first.name}: is nearly the same as b/z.tif")
    assert "remove one of the two" in line


def test_groups_that_our_split_divides_are_warned_of(tmp_path: Path) -> None:
    pieces = patches()
    for k in range(24):
        folder = tmp_path / "set" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * pieces[k]).astype(np.uint8)).save(folder / f"patient_{k // 4:02d}_{k % 4}.png")
    (line,) = before(tmp_path / "set")
    assert "names suggest 6 groups" in line
    (line,) = before(tmp_path / "set", test=3)
    assert line.startswith("warning: ")
    assert "are in two parts or more" in line
    assert line.endswith(r"--group-by '(patient_\d+)'")


def test_warnings_before_training_are_few_and_say_where_the_rest_is(deep: Path) -> None:
    assert before(deep) == []
    for number in range(5):
        tifffile.imwrite(
            deep / "b" / f"filed{number}.tif", np.rint(read(deep, number) * 1.2).astype(np.uint16)
        )
    tifffile.imwrite(deep / "a" / "flat.tif", np.full((SIDE, SIDE), 700, np.uint16))
    lines = before(deep)
    assert len(lines) == 3
    assert any("filed under 'a' and 'b' (and 4 more like it)" in line for line in lines)
    assert any(line.startswith("warning: a/flat.tif: is of one colour") for line in lines)
    assert lines[-1] == f"6 findings about the images in all; `sightline check {deep}` shows them"


def test_embedded_sets_are_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "read_look", None)
    assert before("digits") == []


@pytest.mark.parametrize("folds", [None, 2])
def test_training_warns_once(folds: int | None, make_folder: MakeFolder, in_tmp: Path) -> None:
    root = make_folder({"one": (1, 24), "zero": (0, 8)})
    said = Said()
    train(str(root), model="lenet5", epochs=1, folds=folds, reporter=said, output="run")
    assert sum("class 'zero' has 8 images" in line for line in said.lines) == 1
