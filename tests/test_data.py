"""Opening, splitting, batching: nothing lost, nothing moved, both paths alike."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sightline.base import DataError
from sightline.data import (
    ImageSet,
    MemoryBatches,
    WorkerBatches,
    channel_statistics,
    choose_sizes,
    open_batches,
    open_images,
    recorded_split,
    split_images,
)
from sightline.imaging import Canvas, photograph

MakeFolder = Callable[..., Path]


def test_a_flat_folder(three_classes: Path) -> None:
    images = open_images(three_classes)
    assert len(images) == 120
    assert images.classes == ("one", "seven", "zero")
    assert images.counts().tolist() == [40, 40, 40]
    assert (images.channels, images.one_size) == (1, (8, 8))
    assert images.names[0] == "one/000.png"


def test_numbered_classes_are_in_the_order_of_numbers(make_folder: MakeFolder) -> None:
    root = make_folder({"10": (1, 2), "9": (2, 2), "a": (3, 2)})
    assert open_images(root).classes == ("9", "10", "a")


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_a_folder_with_parts(make_folder: MakeFolder, val: str) -> None:
    root = make_folder({"train/a": (0, 5), "train/b": (1, 5), f"{val}/a": (0, 2), "test/b": (1, 3)})
    images = open_images(root)
    split = split_images(images)
    assert [len(split.indices(part)) for part in ("train", "val", "test")] == [10, 2, 3]


def test_without_val_a_tenth_of_train_is_carved(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a": (0, 50), "train/b": (1, 30), "test/a": (0, 4), "test/b": (1, 4)})
    images = open_images(root)
    split = split_images(images)
    assert images.counts(split.indices("val")).tolist() == [5, 3]
    assert images.counts(split.indices("test")).tolist() == [4, 4]
    assert all(images.names[i].startswith("train/") for i in split.indices("val"))


def test_a_class_folder_named_like_a_part_is_a_class(make_folder: MakeFolder) -> None:
    root = make_folder({"test": (0, 5), "control": (1, 5)})
    assert open_images(root).classes == ("control", "test")


def test_train_that_holds_images_itself_is_a_class(make_folder: MakeFolder) -> None:
    images = open_images(make_folder({"train": (0, 3), "car": (1, 3), "test": (2, 3)}))
    assert images.classes == ("car", "test", "train")
    assert set(images.parts) == {None}


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("training", [True, False])
def test_a_folder_beside_train_must_be_a_part(make_folder: MakeFolder, train: str, training: bool) -> None:
    layout = {f"{train}/a": (0, 5), f"{train}/b": (1, 5), "test/a": (0, 3), "test/b": (1, 3)}
    root = make_folder(layout | {"unlabelled": (2, 4)})
    with pytest.raises(
        DataError,
        match=f"images/unlabelled holds images, and .*images/{train} has class folders.*; allowed are test, "
        "train, training, val, valid, validation; move unlabelled out",
    ):
        open_images(root, training=training)
    shutil.rmtree(root / "unlabelled")
    (root / "unlabelled").mkdir()
    (root / "unlabelled" / "notes.txt").write_text("no image")
    assert open_images(root).classes == ("a", "b")


def test_parts_without_train_are_no_classes(make_folder: MakeFolder) -> None:
    root = make_folder({"test/a": (0, 2), "test/b": (1, 2), "val/a": (0, 2), "val/b": (1, 2)})
    with pytest.raises(DataError, match=r"has test and val but no train; to open one .*/images/test"):
        open_images(root)


@pytest.mark.parametrize("part", ["", "train/"])
def test_the_first_folder_is_the_class(make_folder: MakeFolder, part: str) -> None:
    folders = {"a/x": (0, 3), "a/y/z": (1, 2), "a": (4, 1), "b/x": (2, 3), "c": (3, 4)}
    images = open_images(
        make_folder({f"{part}{folder}": count for folder, count in reversed(folders.items())})
    )
    assert images.classes == ("a", "b", "c")
    assert images.counts().tolist() == [6, 3, 4]
    (finding,) = images.findings
    assert (finding.level, finding.where) == ("info", f"{part}a/x/000.png")
    assert finding.what == "8 of 13 images lie in sub-folders of a class folder"
    assert "the first folder is the class" in finding.why


def test_one_folder_too_high_says_which_to_open(make_folder: MakeFolder) -> None:
    root = make_folder({"pets/cat": (0, 2), "pets/dog": (1, 2)})
    with pytest.raises(DataError, match=r"only class 'pets'.*; if the folders .* open .*images/pets"):
        open_images(root)


def test_a_class_that_cannot_be_read_does_not_vanish(make_folder: MakeFolder) -> None:
    root = make_folder({"a": (0, 170), "b": (1, 170)})
    (root / "c").mkdir()
    for i in range(3):
        (root / "c" / f"{i}.png").write_bytes(b"")
    expected = r"class 'c' has no readable image \(3 files, none readable\): c/0.png: the file is empty"
    with pytest.raises(DataError, match=expected):
        open_images(root)
    with pytest.raises(DataError, match="none may be"):
        open_images(root, training=False)
    for training in (True, False):
        images = open_images(root, training=training, allow_unreadable=True)
        assert images.classes == ("a", "b")
        warnings = [finding for finding in images.findings if "class 'c'" in finding.what]
        assert [finding.level for finding in warnings] == ["warning"]


def test_a_class_that_cannot_be_read_in_one_part_does_not_vanish(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a": (0, 99), "train/b": (1, 99), "test/a": (0, 50)})
    (root / "test" / "b").mkdir()
    (root / "test" / "b" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class 'b' of test has no readable image \(1 file, none readable\)"):
        open_images(root)


@pytest.mark.parametrize("training", [True, False])
def test_a_folder_without_images_is_named(make_folder: MakeFolder, training: bool) -> None:
    root = make_folder({"a": (0, 3), "b": (1, 3)})
    for folder in ("empty", "text", ".hidden"):
        (root / folder).mkdir()
    (root / "text" / "x.txt").write_text("x")
    warnings = [f for f in open_images(root, training=training).findings if f.level == "warning"]
    assert [f.where for f in warnings] == ["empty", "text"]
    assert "a class without images is left out" in warnings[0].why


def test_a_part_without_images_is_named(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a": (0, 3), "train/b": (1, 3), "test/a": (0, 3)})
    for folder in ("test/b", "val", "docs", "docs/a"):
        (root / folder).mkdir()
    findings = open_images(root).findings
    assert [(f.level, f.where) for f in findings] == [("warning", "test/b"), ("warning", "val")]


def test_no_folder_is_entered_twice(make_folder: MakeFolder) -> None:
    root = make_folder({"b": (0, 3), "c/deep": (1, 3)})
    before = open_images(root)
    (root / "b" / "up").symlink_to(root, target_is_directory=True)
    (root / "b" / "other").symlink_to(root / "c" / "deep", target_is_directory=True)
    images = open_images(root)
    assert images.names == before.names
    assert images.counts().tolist() == [3, 3]
    (finding,) = (f for f in images.findings if "entered" in f.what)
    assert (finding.level, finding.where) == ("info", "b/other")
    assert finding.what.startswith("2 folders")
    assert finding.what.endswith("(b/other, b/up)")


def test_linked_folders_are_classes(make_folder: MakeFolder) -> None:
    store = make_folder({"x": (0, 3), "y": (1, 2)}, name="store")
    root = store.parent / "links"
    root.mkdir()
    for name, target in (("one", "x"), ("two", "y")):
        (root / name).symlink_to(store / target, target_is_directory=True)
    images = open_images(root)
    assert images.names == ("one/000.png", "one/001.png", "one/002.png", "two/000.png", "two/001.png")
    assert images.findings == ()


def test_a_folder_that_cannot_be_listed_is_named(
    three_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's refusal is played, since root is refused nothing."""
    real = os.scandir

    def scandir(path):  # type: ignore[no-untyped-def]
        if os.fspath(path).rstrip("/").endswith("seven"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"the folder .*images/seven cannot be listed: Permission denied"):
        open_images(three_classes)


def test_other_files_are_said_and_passed_over(three_classes: Path) -> None:
    (three_classes / "one" / "notes.txt").write_text("x")
    (three_classes / "one" / ".DS_Store").write_text("x")
    images = open_images(three_classes)
    assert len(images) == 120
    assert [f.where for f in images.findings] == ["one/notes.txt"]


def test_unreadable_files_are_named_counted_and_left_out(make_folder: MakeFolder) -> None:
    root = make_folder({"a": (0, 100), "b": (1, 100)})
    (root / "a" / "bad.png").write_bytes(b"no image")
    images = open_images(root)
    assert len(images) == 200
    assert images.left_out == ("a/bad.png",)
    assert "1 of 201 files cannot be read (a/bad.png: not an image" in images.findings[0].what
    with pytest.raises(ValueError, match="none may be without --allow-unreadable"):
        open_images(root, training=False)
    for i in range(5):
        (root / "b" / f"bad{i}.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"6 of 206 files cannot be read .*; and 3 more.*; at most 1% may be"
    ):
        open_images(root)
    assert len(open_images(root, allow_unreadable=True)) == 200


def test_what_cannot_be_opened_says_why(tmp_path: Path, make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="no such folder: digit; of the embedded sets, did you mean digits"):
        open_images("digit")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        open_images(tmp_path / "empty")
    with pytest.raises(ValueError, match="has only class 'a'; a classifier needs at least two"):
        open_images(make_folder({"a": (0, 3)}, name="single"))
    odd = make_folder({"a": (0, 3), "new\nline": (1, 3)}, name="odd")
    with pytest.raises(ValueError, match=r"the class name 'new\\nline' holds a control character; rename it"):
        open_images(odd)
    assert len(open_images(odd, training=False)) == 6
    lacking = make_folder({"train/a": (0, 3), "train/b": (1, 3), "test/bb": (2, 3)}, name="lacking")
    with pytest.raises(ValueError, match="class 'bb' of test is missing from train; did you mean b"):
        open_images(lacking)
    loose = make_folder({"a": (0, 2)}, name="loose")
    shutil.copy(loose / "a" / "000.png", loose / "x.png")
    with pytest.raises(ValueError, match=r"x.png lies in no class folder; expected .*/<class>/<image>"):
        open_images(loose)


def test_classes_are_mapped_by_name(three_classes: Path) -> None:
    images = open_images(three_classes)
    mapped = images.with_classes(("zero", "eight", "seven", "one"))
    assert [mapped.classes[t] for t in mapped.targets] == [images.classes[t] for t in images.targets]
    with pytest.raises(
        ValueError, match="has class 'zero', which the network does not know; did you mean zeros"
    ):
        images.with_classes(("one", "seven", "zeros"))


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(
    three_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sightline.data._index as index

    before = open_images(three_classes)
    read: list[Path] = []
    real = index.read_record
    monkeypatch.setattr(index, "read_record", lambda path, pages: read.append(path) or real(path))
    assert open_images(three_classes).digests == before.digests
    assert read == []
    changed = three_classes / "one" / "000.png"
    Image.new("L", (9, 9)).save(changed)
    after = open_images(three_classes)
    assert read == [changed]
    assert after.digests[0] != before.digests[0]
    assert after.one_size is None


def read_by(monkeypatch: pytest.MonkeyPatch, images: Path) -> list[str]:
    """Open a set; names of the files that were read for it."""
    import sightline.data._index as index

    read: list[str] = []
    with monkeypatch.context() as patch:
        real = index.read_record
        patch.setattr(index, "read_record", lambda path, pages: read.append(path.name) or real(path))
        open_images(images, allow_unreadable=True)
    return read


def test_what_the_system_refused_is_asked_again(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": (0, 2), "b": (1, 2)})
    (root / "a" / "broken.png").write_bytes(b"no image")
    (root / "b" / "locked.png").write_bytes((root / "b" / "000.png").read_bytes())
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        assert open_images(root, allow_unreadable=True).left_out == ("a/broken.png", "b/locked.png")
    assert read_by(monkeypatch, root) == ["locked.png"]
    assert read_by(monkeypatch, root) == []
    assert open_images(root, allow_unreadable=True).left_out == ("a/broken.png",)


def test_what_another_version_said_is_not_believed(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import PIL

    import sightline.data._index as index

    root = make_folder({"a": (0, 2), "b": (1, 2)})
    assert len(read_by(monkeypatch, root)) == 4
    assert read_by(monkeypatch, root) == []
    with monkeypatch.context() as patch:
        patch.setattr(PIL, "__version__", "0.0")
        assert len(read_by(monkeypatch, root)) == 4
    assert len(read_by(monkeypatch, root)) == 4
    monkeypatch.setattr(index, "_FORMAT", index._FORMAT + 1)
    assert len(read_by(monkeypatch, root)) == 4
    assert read_by(monkeypatch, root) == []


# Splits


def test_flat_folders_are_divided_70_15_15_in_each_class(three_classes: Path) -> None:
    images = open_images(three_classes)
    split = split_images(images)
    for part, count in (("train", 28), ("val", 6), ("test", 6)):
        assert images.counts(split.indices(part)).tolist() == [count] * 3


def test_a_split_is_the_same_anywhere_and_another_seed_is_another(
    three_classes: Path, tmp_path: Path
) -> None:
    images = open_images(three_classes)
    moved = tmp_path / "elsewhere"
    shutil.copytree(three_classes, moved)
    split = split_images(images)
    assert split_images(open_images(moved)).table(images) == split.table(images)
    assert split_images(images, seed=1).parts != split.parts


def test_the_split_is_pinned() -> None:
    """Recorded with version 0.1.0: `split_images(open_images("digits")).digest(...)`. A change loses every
    user's test set; bump the model file's format if it must be."""
    images = open_images("digits")
    split = split_images(images)
    assert [len(split.indices(p)) for p in ("train", "val", "test")] == [1259, 269, 269]
    assert split.digest(images) == "5e982d7ce0ad2373f2ddd2e068523f56"


def made(targets: NDArray[np.int64], digests: list[str], groups: NDArray[np.int64] | None = None) -> ImageSet:
    """An image set without images."""
    return ImageSet(
        source="made",
        root=Path(),
        names=tuple(f"{i:03d}" for i in range(len(targets))),
        targets=targets,
        classes=tuple(str(target) for target in range(max(targets) + 1)),
        channels=1,
        sizes=np.ones((len(targets), 2), np.int32),
        digests=tuple(digests),
        parts=(None,) * len(targets),
        groups=None if groups is None else tuple(map(str, groups)),
        grouped_by=None if groups is None else "x",
    )


@pytest.mark.parametrize(
    ("num_groups", "fold", "digest"),
    [(90, None, "f02ecf91da39ab4e77fd86f0c0ab7bb4"), (31, (1, 3), "f03c909976553bb8f120cafd5c976724")],
)
def test_the_split_of_groups_is_pinned(num_groups: int, fold: tuple[int, int] | None, digest: str) -> None:
    """Recorded with version 0.1.0 by `Split.digest`, of sets where the order of a sum decides."""
    i = np.arange(300)
    images = made((i * i + i // 3) % 16, [f"{k:03d}" for k in i], i % num_groups)
    assert split_images(images, fold=fold).digest(images) == digest


def test_one_more_image_moves_at_most_one_in_a_class(three_classes: Path) -> None:
    images = open_images(three_classes)
    before = dict(zip(images.names, split_images(images).parts, strict=True))
    shutil.copy(three_classes / "one" / "003.png", three_classes / "one" / "new.png")
    with Image.open(three_classes / "one" / "new.png") as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(three_classes / "one" / "new.png")
    images = open_images(three_classes)
    after = dict(zip(images.names, split_images(images).parts, strict=True))
    assert sum(after[name] != part for name, part in before.items()) <= 2


def test_exact_duplicates_stay_on_one_side(three_classes: Path) -> None:
    for i in range(0, 40, 2):
        shutil.copy(three_classes / "one" / f"{i:03d}.png", three_classes / "one" / f"copy{i}.png")
        shutil.copy(three_classes / "one" / f"{i:03d}.png", three_classes / "seven" / f"wrong{i}.png")
    images = open_images(three_classes)
    split = split_images(images)
    sides: dict[str, set[str]] = {}
    for digest, part in zip(images.digests, split.parts, strict=True):
        sides.setdefault(digest, set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert all(len(split.indices(part)) > 0 for part in ("train", "val", "test"))
    assert "20 images are filed under two classes, byte for byte" in split.findings[0].what


def test_a_leak_in_a_given_split_is_found_and_not_moved(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a": (0, 20), "train/b": (1, 20), "val/a": (0, 3), "test/b": (1, 3)})
    shutil.copy(root / "train" / "a" / "004.png", root / "val" / "a" / "leak.png")
    images = open_images(root)
    split = split_images(images)
    assert split.parts[images.names.index("val/a/leak.png")] == "val"
    assert "1 images of train are also in val or test, byte for byte" in split.findings[0].what
    assert "val/a/leak.png" in split.findings[0].what


def test_tiny_classes_keep_something_to_train_on(make_folder: MakeFolder) -> None:
    images = open_images(make_folder({"a": (0, 1), "b": (1, 3), "c": (2, 30)}))
    split = split_images(images)
    assert (images.counts(split.indices("train")) > 0).all()


def test_the_table_can_be_read_back(three_classes: Path, tmp_path: Path) -> None:
    images = open_images(three_classes)
    split = split_images(images)
    split.save(tmp_path / "split.csv", images)
    recorded = recorded_split(tmp_path / "split.csv")
    assert [recorded[name][0] for name in images.names] == list(split.parts)
    assert [recorded[name][1] for name in images.names] == list(images.digests)


def one_by_one(images: ImageSet, seed: int, shares: dict[str, float]) -> list[str]:
    """The rule of a split as it is told: class by class, image by image, in the order of the hashes."""
    hashes = [
        hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=16).hexdigest() for name in images.names
    ]
    place = [
        min(h for h, other in zip(hashes, images.digests, strict=True) if other == d) for d in images.digests
    ]
    decided: dict[str, str] = {}
    for target in range(len(images.classes)):
        mine = sorted((i for i, t in enumerate(images.targets) if t == target), key=lambda i: (place[i], i))
        lacking = {part: int(len(mine) * share + 0.5) for part, share in shares.items()}
        while sum(lacking.values()) >= len(mine) and any(lacking.values()):
            lacking[max(lacking, key=lambda part: lacking[part])] -= 1
        lacking = {"train": len(mine) - sum(lacking.values())} | lacking
        for i in mine:
            if images.digests[i] in decided:
                lacking[decided[images.digests[i]]] -= 1
        early = set(decided)
        for digest in dict.fromkeys(images.digests[i] for i in mine):
            if digest not in early:
                part = next((part for part, count in lacking.items() if count > 0), "train")
                decided[digest] = part
                lacking[part] -= sum(images.digests[i] == digest for i in mine)
    return [decided[digest] for digest in images.digests]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=12, max_size=60),
    st.integers(0, 5),
)
def test_a_split_is_what_its_rule_says(drawn: list[tuple[int, int]], seed: int) -> None:
    images = made(np.array([target for target, _ in drawn]), [f"{content:032x}" for _, content in drawn])
    expected = one_by_one(images, seed, {"val": 0.15, "test": 0.15})
    try:
        assert list(split_images(images, seed).parts) == expected
    except DataError:  # a class without training images, or nothing to validate on
        of_train = {t for t, part in zip(images.targets.tolist(), expected, strict=True) if part == "train"}
        assert len(of_train) < len(images.classes) or "val" not in expected


# Batches

ORDER = [np.array([5, 0, 119]), np.array([7]), np.array([100, 3])]


def test_both_paths_give_the_same_batches(three_classes: Path) -> None:
    images = open_images(three_classes)
    canvas = Canvas(8, 8, 1)
    memory, workers = open_batches(images, canvas), WorkerBatches(images, canvas, 2)
    assert memory.path == "memory"
    for left, right in zip(memory.batches(ORDER), workers.batches(ORDER), strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.targets, right.targets)
        assert torch.equal(left.transforms, right.transforms)
        assert torch.equal(left.sizes, right.sizes)
        assert (left.ids == right.ids).all()
    # The workers live on; another epoch is another order.
    again = list(workers.batches(ORDER[::-1]))
    assert [b.ids.tolist() for b in again] == [o.tolist() for o in ORDER[::-1]]


def test_images_of_many_sizes_are_framed_alike_on_both_paths(tmp_path: Path) -> None:
    china = Image.fromarray(photograph("china"))
    for name, size in (
        ("a/1.png", (60, 40)),
        ("a/2.png", (30, 50)),
        ("b/1.png", (7, 7)),
        ("b/2.png", (90, 13)),
    ):
        (tmp_path / "many" / name).parent.mkdir(parents=True, exist_ok=True)
        china.resize(size).save(tmp_path / "many" / name)
    images = open_images(tmp_path / "many")
    canvas, size = choose_sizes(images, (32, 32), "adapts")
    assert (canvas, size) == (Canvas(32, 32, 3), (32, 32))
    order = [np.arange(4)]
    (memory,), (workers,) = (
        open_batches(images, canvas).batches(order),
        WorkerBatches(images, canvas, 1).batches(order),
    )
    assert torch.equal(memory.images, workers.images)
    assert torch.equal(memory.transforms, workers.transforms)
    assert memory.sizes.tolist() == [[40, 60], [50, 30], [7, 7], [13, 90]]


def test_beyond_the_budget_images_are_decoded_as_needed(three_classes: Path) -> None:
    images = open_images(three_classes)
    assert open_batches(images, Canvas(8, 8, 1), budget_mb=0).path == "workers"


def test_decoded_pixels_are_kept_by_content(three_classes: Path, tmp_path: Path) -> None:
    images = open_images(three_classes)
    open_batches(images, Canvas(8, 8, 1))
    kept = set((Path(os.environ["SIGHTLINE_CACHE"]) / "pixels").iterdir())
    moved = tmp_path / "moved"
    shutil.copytree(three_classes, moved, copy_function=shutil.copy)
    open_batches(open_images(moved), Canvas(8, 8, 1))
    assert set((Path(os.environ["SIGHTLINE_CACHE"]) / "pixels").iterdir()) == kept
    Image.new("L", (8, 8)).save(moved / "one" / "000.png")
    (batch,) = open_batches(open_images(moved), Canvas(8, 8, 1)).batches([np.array([0])])
    assert not batch.images.any()


def test_a_file_that_is_gone_is_named(three_classes: Path) -> None:
    images = open_images(three_classes)
    workers = WorkerBatches(images, Canvas(8, 8, 1), 1)
    (three_classes / "one" / "005.png").unlink()
    with pytest.raises(ValueError, match=r"one/005.png can no longer be read: No such file"):
        list(workers.batches(ORDER))


def test_statistics_are_of_the_training_split_only(three_classes: Path) -> None:
    images = open_images(three_classes)
    source = open_batches(images, Canvas(8, 8, 1))
    train = split_images(images).indices("train")
    pixels = np.stack([np.asarray(Image.open(images.path(i))) for i in train]) / 255
    mean, std = channel_statistics(source, train)
    assert mean == [pytest.approx(pixels.mean(), abs=1e-12)]
    assert std == [pytest.approx(pixels.std(), abs=1e-9)]
    assert mean != channel_statistics(source, np.arange(len(images)))[0]
    assert (mean, std) == channel_statistics(source, train[::-1])


def embedded(size: tuple[int, int]) -> ImageSet:
    images = open_images("digits")
    assert images.pixels is not None
    sizes = np.tile(np.array(size, np.int32), (len(images), 1))
    import dataclasses

    return dataclasses.replace(images, sizes=sizes, pixels=None, root=Path())


@pytest.mark.parametrize(
    ("own", "paper", "adapts", "img_size", "canvas", "size"),
    [
        ((28, 28), (32, 32), "fixed", None, (28, 28), (32, 32)),  # MNIST in LeNet-5: centred
        ((8, 8), (32, 32), "fixed", None, (8, 8), (32, 32)),
        ((28, 28), (28, 28), "adapts", None, (28, 28), (28, 28)),
        ((128, 128), (224, 224), "adapts", None, (128, 128), (128, 128)),
        ((128, 128), (32, 32), "adapts", None, (32, 32), (32, 32)),
        ((100, 60), (224, 224), "adapts", None, (100, 60), (100, 60)),
        ((20, 40), (64, 64), "fixed", None, (64, 64), (64, 64)),  # enlarging must not stretch
        ((128, 128), (224, 224), "adapts", 96, (96, 96), (96, 96)),
    ],
)
def test_sizes(own, paper, adapts, img_size, canvas, size) -> None:  # type: ignore[no-untyped-def]
    chosen, given = choose_sizes(embedded(own), paper, adapts, img_size)
    assert ((chosen.height, chosen.width), given) == (canvas, size)


def test_embedded_pixels_need_no_decoding() -> None:
    images = open_images("digits")
    source = open_batches(images, Canvas(8, 8, 1))
    assert isinstance(source, MemoryBatches)
    (batch,) = source.batches([np.array([0, 3])])
    assert images.pixels is not None
    assert torch.equal(batch.images, torch.from_numpy(images.pixels[[0, 3]]))
