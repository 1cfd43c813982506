"""The data doctor: planted faults are found, and what is sound is not accused."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from sightline.base import DataError
from sightline.cli import app
from sightline.data import Examination, examine_images, group_images, open_images
from sightline.data._doctor_look import Look, format_of, look_at
from sightline.data._doctor_looks import near_pairs
from sightline.data._doctor_pass import Looks
from sightline.imaging import photograph

SIDE = 64


def patches() -> list[Image.Image]:
    """Distinct 64x64 pieces of the two embedded photographs."""
    found = []
    for name in ("china", "flower"):
        whole = Image.fromarray(photograph(name))
        found += [
            whole.crop((x, y, x + SIDE, y + SIDE))
            for y in range(0, whole.height - SIDE, SIDE)
            for x in range(0, whole.width - SIDE, SIDE)
        ]
    textured = [image for image in found if np.asarray(image.convert("L")).std() > 12]
    assert len(textured) >= 36
    return textured


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A folder with train and test, two classes, 9 images each; nothing is wrong with it but its size."""
    root = tmp_path / "sound"
    images = iter(patches())
    for part in ("train", "test"):
        for label in ("a", "b"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for i in range(9):
                next(images).save(folder / f"{part}{label}{i}x{i * 7919 % 101}.png")
    return root


def image_of(root: Path, number: int, folder: str) -> Path:
    return sorted((root / folder).iterdir())[number]


def told(found: Examination, kind: str) -> list[tuple[str, ...]]:
    return [case.names or (case.finding.where,) for case in found.cases if case.kind == kind]


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BILINEAR),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "cropped": lambda image: image.crop((2, 2, SIDE - 2, SIDE - 2)),
    "grey": lambda image: image.convert("L"),
}


def test_a_sound_set_has_no_copies_leaks_or_faults(sound: Path) -> None:
    found = examine_images(sound)
    kinds = {case.kind for case in found.cases}
    assert kinds == {"Classes"} or kinds == set(), found.findings
    assert found.quarantine == []


@pytest.mark.parametrize("change", CHANGES)
def test_near_duplicates_are_found_and_nothing_else(change: str, sound: Path) -> None:
    planted = set()
    for number in range(6):
        original = image_of(sound, number, "train/a")
        copy = original.with_name(f"copy{number}.jpg")
        with Image.open(original) as image:
            CHANGES[change](image).save(copy, quality=80)
        planted.add(frozenset(f"train/a/{path.name}" for path in (original, copy)))
    found = {frozenset(names) for names in told(examine_images(sound), "Near duplicates")}
    assert found <= planted
    assert len(found) >= 5


def test_exact_duplicates_are_told_by_what_they_do(sound: Path) -> None:
    within, leaked, filed = (image_of(sound, number, "train/a") for number in (0, 1, 2))
    shutil.copy(within, within.with_name("again.png"))
    shutil.copy(leaked, sound / "test/a/leaked.png")
    shutil.copy(filed, sound / "train/b/filed.png")
    found = examine_images(sound)
    assert told(found, "Exact duplicates") == [("train/a/again.png", f"train/a/{within.name}")]
    assert told(found, "Leaks") == [(f"train/a/{leaked.name}", "test/a/leaked.png")]
    assert told(found, "Label faults") == [(f"train/a/{filed.name}", "train/b/filed.png")]
    assert told(found, "Near duplicates") == []
    levels = {case.kind: case.finding.level for case in found.cases}
    assert (levels["Leaks"], levels["Label faults"], levels["Exact duplicates"]) == (
        "error",
        "warning",
        "info",
    )
    assert dict(found.quarantine) == {
        f"train/a/{within.name}": "copy of train/a/again.png",
        f"train/a/{leaked.name}": "copy of test/a/leaked.png of test",
        f"train/a/{filed.name}": "the same image is filed under a and b",
        "train/b/filed.png": "the same image is filed under a and b",
    }


def test_near_copies_across_parts_and_classes_are_warnings(sound: Path) -> None:
    leaked, filed = (image_of(sound, number, "train/a") for number in (1, 2))
    with Image.open(leaked) as image:
        image.save(sound / "test/b/leaked.jpg", quality=70)
    with Image.open(filed) as image:
        image.save(sound / "train/b/filed.jpg", quality=70)
    found = examine_images(sound)
    assert told(found, "Leaks") == [(f"train/a/{leaked.name}", "test/b/leaked.jpg")]
    assert told(found, "Label faults") == [(f"train/a/{filed.name}", "train/b/filed.jpg")]
    assert {case.finding.level for case in found.cases if case.names} == {"warning"}
    leak = next(case.finding for case in found.cases if case.kind == "Leaks")
    assert "their classes differ, 'a' and 'b'" in leak.what


def test_a_set_alike_by_nature_is_not_one_lump() -> None:
    """60 pictures of one pattern with noise: each pair agrees, which says nothing of copies."""
    noise = np.random.default_rng(0)
    base = np.asarray(patches()[40].convert("L").resize((32, 32)), dtype=float)
    images = [
        Image.fromarray((base + noise.normal(0, 2.5, base.shape)).clip(0, 255).astype("u1"))
        for _ in range(60)
    ]
    images.append(images[0].copy())
    looks = Looks.blank(np.full((len(images), 2), 32, dtype=np.int32), np.uint8)
    for i, image in enumerate(images):
        looks.put(i, "", Look(*look_at(image), largest=0, at_largest=0, constant=0, bits=0, noise=0))
    found = near_pairs(looks, np.ones(len(images), dtype=bool))
    assert found.strict
    assert [pair[:2] for pair in found.pairs] == [(0, 60)]


def test_the_hash_by_hand() -> None:
    """Grey that rises to the right sets every bit, grey that falls none; a step sets one bit a row."""
    rising = np.tile(np.arange(0, 90, 10, dtype=np.uint8), (8, 1))
    step = np.zeros((8, 9), dtype=np.uint8)
    step[:, 4:] = 200
    assert look_at(Image.fromarray(rising))[0] == 2**64 - 1
    assert look_at(Image.fromarray(rising[:, ::-1].copy()))[0] == 0
    assert look_at(Image.fromarray(step))[0] == int("00010000" * 8, 2)


def test_candidates_are_all_pairs_that_banding_promises() -> None:
    """With 8 bands, two hashes 7 bits apart or less share one: against every pair compared."""
    from sightline.data._doctor_looks import _candidates

    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 2**64, 60, dtype=np.uint64)
    flipped = hashes ^ np.array(
        [sum(1 << int(b) for b in draw.choice(64, 7, replace=False)) for _ in hashes], dtype=np.uint64
    )
    every = np.concatenate([hashes, flipped])
    pairs, skipped = _candidates(every)
    apart = np.bitwise_count(every[:, None] ^ every)
    expected = {(i, j) for i in range(120) for j in range(i + 1, 120) if apart[i, j] <= 7}
    assert len(expected) >= 60
    assert expected <= set(map(tuple, pairs.tolist()))
    assert all(apart[i, j] <= 10 for i, j in pairs.tolist())
    assert skipped == 0


def test_files_that_cannot_be_read_are_named_with_their_reason(sound: Path) -> None:
    folder = sound / "train/a"
    whole = image_of(sound, 0, "train/b").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "lfs.tif").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    (folder / "annex.png").write_text("../.git/annex/objects/q5/WJ/MD5E-s5--7.png/MD5E-s5--7.png")
    (folder / "linked.png").symlink_to("../.git/annex/objects/q5/WJ/none.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "page.jpg").write_text("<!doctype html><title>Not found</title>")
    (folder / "notes.txt").write_text("cut.png is bad")
    found = examine_images(sound)
    reasons = {case.finding.where: case.finding for case in found.cases if case.kind == "Unreadable files"}
    expected = {
        "cut.png": ("broken or truncated", "mend or remove"),
        "empty.jpg": ("the file is empty", "mend or remove"),
        "lfs.tif": ("a Git LFS pointer", "`git lfs pull`"),
        "annex.png": ("a git-annex pointer", "`git annex get`"),
        "linked.png": ("a git-annex pointer", "`git annex get`"),
        "gone.png": ("a link to a file that is not there", "mend or remove"),
        "page.jpg": ("a web page or XML", "download it again"),
    }
    assert set(reasons) == {f"train/a/{name}" for name in expected}
    for name, (what, do) in expected.items():
        assert what in reasons[f"train/a/{name}"].what
        assert do in reasons[f"train/a/{name}"].do
    assert {name for name, _ in found.quarantine} == set(reasons)
    assert found.cases[0].kind == "Refused"  # training would not take so many


def test_a_set_of_nothing_but_pointers_is_diagnosed(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "0.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    found = examine_images(tmp_path / "set")
    assert found.images is None
    assert [finding.level for finding in found.findings] == ["error", "warning", "warning"]
    assert [name for name, _ in found.quarantine] == ["a/0.png", "b/0.png"]


def test_endings_and_formats(sound: Path) -> None:
    with Image.open(image_of(sound, 0, "train/b")) as image:
        small = image.resize((64, 64)).rotate(90)
        small.save(sound / "train/b/wrong.png", "BMP")
        small.rotate(90).save(sound / "train/b/stray.gif")
        small.rotate(180).save(sound / "train/b/hidden.dat", "JPEG")
    found = examine_images(sound)
    wrong = {c.finding.where: c.finding.what for c in found.cases if c.kind == "Wrong endings"}
    assert set(wrong) == {"train/b/wrong.png", "train/b/hidden.dat"}
    assert "is a BMP file by its content" in wrong["train/b/wrong.png"]
    assert "is a JPEG image by its content" in wrong["train/b/hidden.dat"]
    stray = {c.finding.where: c.finding.what for c in found.cases if c.kind == "Unusual images"}
    assert "is the only GIF among 36 PNG files" in stray["train/b/stray.gif"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"), (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"), (b"RIFF\0\0\0\0WAVE", ""),
        (b"P6\n3 3", "PNM"), (b"P9\n", ""), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"", ""),
    ],
)  # fmt: skip
def test_formats_by_their_first_bytes(start: bytes, expected: str) -> None:
    assert format_of(start) == expected


def test_outliers_and_empty_images(sound: Path) -> None:
    folder = sound / "train/a"
    Image.new("RGB", (SIDE, SIDE), (0, 0, 0)).save(folder / "black.png")
    strip = patches()[-1].resize((SIDE * 8, SIDE // 4))
    strip.save(folder / "strip.png")
    found = examine_images(sound)
    assert told(found, "Empty images") == [("train/a/black.png",)]
    assert ("train/a/strip.png",) in told(found, "Unusual images")
    assert len(told(found, "Unusual images")) <= 2
    assert ("train/a/black.png", "is of one colour") in found.quarantine


@pytest.mark.parametrize(
    ("name_of", "groups", "short"),
    [
        (lambda i: f"patient_{i // 4:02d}_slice{i % 4}.png", 5, r"(patient_\d+)"),
        (lambda i: f"plate{i // 5}-B0{i % 5 + 1}-site.png", 4, r"(plate\d+)"),
        (lambda i: f"screen_{'ABCDE'[i // 4]}0{i // 4 + 1}_w{i % 4}.png", 5, None),
        (lambda i: f"x{i // 4}q_{i % 4}.png", 5, r"(x\d+q)"),
        (lambda i: f"{'patient' if i < 12 else 'subject'}{i // 4}_{i % 4}.png", 5, None),
    ],
)
def test_likely_groups_come_with_a_pattern_that_keeps_them(
    name_of: Callable[[int], str], groups: int, short: str | None, tmp_path: Path
) -> None:
    images = patches()
    for i in range(20):
        folder = tmp_path / "set" / ("a" if i % 4 < 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        images[i].save(folder / name_of(i))
    found = [case.finding for case in examine_images(tmp_path / "set").cases if case.kind == "Groups"]
    assert len(found) == 1
    assert f"{groups} groups" in found[0].what
    pattern = found[0].do.split("--group-by '")[1].rstrip("'")
    assert short in (None, pattern)
    grouped = group_images(open_images(tmp_path / "set"), pattern)
    assert grouped.groups is not None
    assert len(set(grouped.groups)) == groups


@pytest.mark.parametrize(
    "name_of", [lambda i: f"{i:03d}.png", lambda i: f"img_{i:04d}.png", lambda i: f"a_{i}.png"]
)
def test_numbering_is_no_group(name_of: Callable[[int], str], tmp_path: Path) -> None:
    images = patches()
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(10):
            images.pop().save(tmp_path / "set" / label / name_of(i))
    assert told(examine_images(tmp_path / "set"), "Groups") == []


def test_a_class_that_cannot_be_trained_is_an_error(sound: Path) -> None:
    for part in ("train", "test"):
        (sound / part / "a").rename(sound / part / "tab\there")
    found = [case.finding for case in examine_images(sound).cases if "control" in case.finding.what]
    assert [(one.level, one.what) for one in found] == [
        ("error", "the class name 'tab\\there' holds a control character; rename it")
    ]


def test_a_rare_class_is_a_warning(sound: Path) -> None:
    for folder in ("train/b", "test/b"):
        for path in sorted((sound / folder).iterdir())[3:]:
            path.unlink()
    warnings = [f for f in examine_images(sound).findings if f.where == "b"]
    assert [f.what for f in warnings] == ["class 'b' has 6 images"]


def test_many_cases_are_capped_with_their_total(sound: Path) -> None:
    for i in range(130):
        (sound / "train/a" / f"empty{i:03d}.png").touch()
    found = examine_images(sound)
    unreadable = [case.finding for case in found.cases if case.kind == "Unreadable files"]
    assert len(unreadable) == 101
    assert "this and 29 more, 130 in all" in unreadable[-1].what
    assert len(found.quarantine) == 130


# -- the command -------------------------------------------------------------------------------------------


def content(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_command_writes_a_page_and_a_list_and_changes_nothing(sound: Path, in_tmp: Path) -> None:
    leaked = image_of(sound, 1, "train/a")
    shutil.copy(leaked, sound / "test/a/<b>leaked.png")
    before = content(sound)
    arguments = ["check", str(sound), "--json", "--report", "page.html", "--quarantine", "list.csv"]
    for _ in range(2):  # its own files are replaced
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 1, done.stderr
    assert content(sound) == before
    answer = json.loads(done.stdout)
    assert set(answer) == {"findings"}
    assert all(set(finding) == {"level", "where", "what", "why", "do"} for finding in answer["findings"])
    assert answer["findings"][0]["level"] == "error"
    with Path("list.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], [f"train/a/{leaked.name}", "copy of test/a/<b>leaked.png of test"]]
    page = Path("page.html").read_text()
    leaks = page.split("<h2>Leaks")[1].split("<h2>")[0]
    assert leaks.count("<img ") == 2
    assert page.count('<img class="sheet"') == 1
    assert "&lt;b&gt;leaked" in page
    assert "<b>leaked" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "prefers-color-scheme: dark" in page


def test_the_command_without_errors_is_0(sound: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(sound)])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{sound}: 36 images")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "page.htm"], "--report page.htm must end in .html"),
        (["--quarantine", "list.txt"], "--quarantine list.txt must end in .csv"),
        (["--quarantine", "labels.csv"], "--quarantine labels.csv exists and was not written by check"),
        (["--input", "3,8,8"], "--input is for networks"),
        (["--strict"], "--strict is for networks"),
        (["-b", "0"], "--batch-size is for networks"),
    ],
)
def test_bad_arguments_are_2(arguments: list[str], message: str, sound: Path, in_tmp: Path) -> None:
    Path("labels.csv").write_text("path,label\n")
    done = CliRunner().invoke(app, ["check", str(sound), *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert Path("labels.csv").read_text() == "path,label\n"


def test_options_of_data_are_not_for_networks(in_tmp: Path) -> None:
    done = CliRunner().invoke(app, ["check", "lenet5", "--report", "page.html"])
    assert done.exit_code == 2
    assert "--report is for data" in done.stderr


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        examine_images(tmp_path)
