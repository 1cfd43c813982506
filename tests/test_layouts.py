"""Sets that a CSV lists or that files of arrays hold: the same images, parts and words as in folders.

Over 600 lines: each layout has its table of broken files, spelled out.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import sightline.training
from sightline.base import ArgumentError, DataError
from sightline.data import ImageSet, choose_sizes, group_images, open_batches, open_images, split_images
from sightline.evaluation import evaluate
from sightline.imaging import Canvas, digits, photograph, read_framed
from sightline.records import read_model_file
from sightline.training import SilentReporter, TrainingResult

MakeFolder = Callable[..., Path]
Arrays = dict[str, NDArray[Any]]


def refuse(path: Path, *words: str, training: bool = True) -> None:
    """Opening is refused in one line that has all the words."""
    with pytest.raises(DataError) as caught:
        open_images(path, training=training)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def csv_of(root: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def idx(array: NDArray[Any], kind: int = 8) -> bytes:
    """An idx file, as its format says: two zero bytes, type, dimensions, sides, values in big-endian."""
    sides = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, kind, array.ndim)) + sides + array.tobytes()


def real(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Digits, (N, 8, 8), and their targets."""
    images, targets = digits()
    return images[:count, 0], targets[:count]


def mnist(root: Path, train: int = 60, test: int = 20) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A folder as of MNIST, of which one file is gzipped; what it holds, train first."""
    root.mkdir(exist_ok=True)
    images, targets = real(train + test)
    with gzip.open(root / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(idx(images[:train]))
    (root / "train-labels-idx1-ubyte").write_bytes(idx(targets[:train].astype(np.uint8)))
    (root / "t10k-images-idx3-ubyte").write_bytes(idx(images[train:]))
    (root / "t10k-labels-idx1-ubyte").write_bytes(idx(targets[train:].astype(np.uint8)))
    return images, targets


def cifar(labels: list[int], coarse: bool = False) -> bytes:
    """Records of two crops of a real photograph in turn, channel after channel."""
    planes = photograph("china")[:32, :64].transpose(2, 0, 1)
    crops = [planes[:, :, :32].tobytes(), planes[:, :, 32:].tobytes()]
    return b"".join(bytes([0] * coarse + [label]) + crops[i % 2] for i, label in enumerate(labels))


def facts(images: ImageSet) -> list[tuple[str, str, str, Any]]:
    """What a set says of each image, by name."""
    return [
        (name, images.classes[target], digest, part)
        for name, target, digest, part in zip(
            images.names, images.targets, images.digests, images.parts, strict=True
        )
    ]


# A CSV


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_is_the_folder_it_lists(three_classes: Path, separator: str, encoding: str, end: str) -> None:
    folder = open_images(three_classes)
    rows = [f"{name.split('/')[0]}{separator}{name}" for name in reversed(folder.names)]
    listed = open_images(csv_of(three_classes, end.join([f"label{separator}path", *rows]), "x.tsv", encoding))
    assert facts(listed) == facts(folder)
    assert listed.classes == folder.classes
    assert split_images(listed).table(listed) == split_images(folder).table(folder)
    assert listed.location == str((three_classes / "x.tsv").resolve())


def test_quotes_spaces_and_blank_lines(three_classes: Path) -> None:
    shutil.copy(three_classes / "one" / "000.png", three_classes / 'a, "b".png')
    text = 'path , label\n\n"a, ""b"".png", the one \n./zero/../zero/000.png,zero\n,\n'
    images = open_images(csv_of(three_classes, text))
    assert images.names == ('a, "b".png', "zero/000.png")
    assert [images.classes[t] for t in images.targets] == ["the one", "zero"]


def test_paths_from_elsewhere(three_classes: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    text = (
        f"path,label\n../images/one/000.png,1\n{three_classes}/zero/000.png,0\n..\\images\\one\\001.png,1\n"
    )
    images = open_images(csv_of(tmp_path / "lists", text))
    assert images.names == ("../images/one/000.png", "../images/one/001.png", "../images/zero/000.png")
    assert images.classes == ("0", "1")
    assert images.path(2).samefile(three_classes / "zero" / "000.png")


def test_a_split_column_is_kept(three_classes: Path) -> None:
    rows = [
        f"{label}/{i:03d}.png,{label},{part}"
        for label in ("one", "zero")
        for i, part in enumerate(["train", "Validation", "test", "train"])
    ]
    images = open_images(csv_of(three_classes, "\n".join(["path,label,split", *rows])))
    assert images.parts == ("train", "val", "test", "train") * 2
    assert split_images(images).parts == images.parts


def test_a_column_of_groups_is_never_divided(three_classes: Path) -> None:
    rows = [f"{label}/{i:03d}.png,{label},p{i // 4}" for label in ("one", "zero") for i in range(40)]
    images = open_images(csv_of(three_classes, "\n".join(["path,label,patient", *rows])))
    assert "patient" in images.findings[0].what
    grouped = group_images(images, "patient")
    split = split_images(grouped)
    assert grouped.grouped_by == "patient"
    sides: dict[str, set[str]] = {}
    for name, part in zip(images.names, split.parts, strict=True):
        sides.setdefault(f"p{int(name[-7:-4]) // 4}", set()).add(part)
    assert len(sides) == 10
    assert all(len(parts) == 1 for parts in sides.values())
    some = images.subset(np.array([0, 79]))
    assert some.columns == {"patient": ("p0", "p9")}


def test_a_pattern_still_groups_a_csv_and_an_empty_cell_is_alone(three_classes: Path) -> None:
    text = "path,label,well\none/000.png,one,\none/001.png,one,A1\nzero/000.png,zero,A1\nzero/001.png,zero,\n"
    images = open_images(csv_of(three_classes, text))
    assert group_images(images, r"00\d").groups == ("group 000", "group 001", "group 000", "group 001")
    grouped = group_images(images, "well")
    assert grouped.groups == ("image one/000.png", "group A1", "group A1", "image zero/001.png")
    assert grouped.findings[-1].what == "2 of 4 images have no well"
    with pytest.raises(DataError, match="nor is it one of the columns well"):
        group_images(images, "wells")
    with pytest.raises(ArgumentError, match="no regular expression"):
        group_images(images, "(")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["must name the columns path and label; it names none"]),
        ("filepath,label\none/000.png,one\n", ["it names filepath, label"]),
        ("path,class\none/000.png,one\n", ["no column label", "class"]),
        ("path,labels\none/000.png,one\n", ["no column label; did you mean labels?"]),
        ("path\none/000.png\n", ["no column label; there is only path"]),
        ("path,label,Split\none/000.png,one,train\n", ["column Split must be written split"]),
        ("path,label,path\n", ["two columns are called path"]),
        ("path:dapi,path:gfp,label\na,b,c\n", ["line 2: no such file: a;"]),
        ("path:dapi,path,label\na,b,c\n", ["columns path and path:dapi; keep path, or one a channel"]),
        ("path:,label\na,b\n", ["column path: names no channel"]),
        ("path:a,path:b,label\none/000.png,one/000.png,one\n", ["line 2", "is more than one channel"]),
        ("path,label\n", ["lists no images"]),
        ("path,label\none/000.png,one\n,zero\n", ["line 3: no path"]),
        ("path,label\none/000.png,one\nzero/000.png, \n", ["line 3: zero/000.png has no label"]),
        ("path,label\n\none/000.png,one\none/x.png,one\n", ["line 4: no such file: one/x.png;"]),
        ("path,label\nx.png,one\ny.png,zero\n", ["line 2: no such file: x.png; 2 of 2 are missing"]),
        ("path,label\none/000.png,one\none,zero\n", ["line 3: no such file: one;"]),
        ("path,label\n/dev/zero,one\none/000.png,zero\n", ["line 2: no such file"]),
        ("path,label\none/000.png,one\n./one/000.png,one\n", ["line 3: one/000.png", "line 2"]),
        ("path,label\none/000.png,one,more\n", ["line 2: 3 cells, and the header has 2"]),
        ("path,label\none/000.png,on\0e\n", ["line 2", "control character"]),
        ("path,label\none/0\x0000.png,one\n", ["line 2", "control character"]),
        ('path,label\n"one/000.png,one\n', ["unexpected end of data"]),
        ("path,label\n" + "x" * 200_000 + ",one\n", ["line 2", "field larger than field limit"]),
        (
            "path,label,split\none/000.png,one,trian\n",
            ["line 2: split 'trian'; allowed are train, val, test"],
        ),
        ("path,label,split\none/000.png,one,train\nzero/000.png,zero,\n", ["line 3: no split"]),
        ("path,label\none/000.png,one\none/001.png,one\n", ["only class 'one'"]),
        (
            "path,label,split\none/000.png,one,train\nzero/000.png,zero,train\nseven/000.png,seven,val\n",
            ["class 'seven' of val is missing from train"],
        ),
        ("path,label,split\none/000.png,one,val\nzero/000.png,zero,val\n", ["has val images but no train"]),
    ],
)
def test_a_wrong_row_is_one_line_with_its_number(three_classes: Path, text: str, words: list[str]) -> None:
    refuse(csv_of(three_classes, text), "labels.csv", *words)


def test_text_that_is_not_utf8_is_said_with_its_line(three_classes: Path) -> None:
    refuse(csv_of(three_classes, "path,label\na,b\nx,ä\n", encoding="latin-1"), "line 3: not UTF-8")


def test_unreadable_and_missing_files_are_named_and_left_out_on_request(three_classes: Path) -> None:
    (three_classes / "one" / "000.png").write_bytes(b"not an image")
    names = [f"{label}/{i:03d}.png" for label in ("one", "zero") for i in range(20)]
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    path = csv_of(three_classes, "\n".join(["path,label", *rows]))
    refuse(path, "1 of 40 files cannot be read", "one/000.png (line 2)", "--allow-unreadable")
    path.write_text(f"{path.read_text()}\ngone.png,zero\n")
    images = open_images(path, allow_unreadable=True)
    assert len(images) == 39
    assert images.left_out == ("gone.png", "one/000.png")
    assert "gone.png (line 42): no such file" in images.findings[0].what


def test_two_lists_of_one_folder_keep_an_index_each(
    three_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sightline.data._index as index

    one = csv_of(three_classes, "path,label\none/000.png,one\nzero/000.png,zero\n", "one.csv")
    two = csv_of(three_classes, "path,label\none/001.png,one\nzero/001.png,zero\n", "two.csv")
    opened = [facts(open_images(path)) for path in (one, two)]
    read: list[Path] = []
    monkeypatch.setattr(index, "read_record", read.append)
    assert [facts(open_images(path)) for path in (one, two)] == opened
    assert read == []


# idx


def test_idx_files_are_mnist(tmp_path: Path) -> None:
    pixels, targets = mnist(tmp_path)
    images = open_images(tmp_path)
    assert images.pixels is not None
    assert images.classes == tuple("0123456789")
    assert (images.channels, images.one_size) == (1, (8, 8))
    assert images.names[0] == "test/000000"
    assert list(images.names) == sorted(images.names)
    order = [*range(60, 80), *range(60)]  # test comes before train
    assert np.array_equal(images.pixels[:, 0], pixels[order])
    assert images.targets.tolist() == targets[order].tolist()
    split = split_images(images)
    assert split.parts[:20] == ("test",) * 20
    assert len(split.indices("val")) > 0
    assert images.location == str(tmp_path.resolve())


def test_one_idx_file_has_no_parts_but_the_same_names(tmp_path: Path) -> None:
    mnist(tmp_path)
    whole = open_images(tmp_path)
    one = open_images(tmp_path / "t10k-images-idx3-ubyte")
    assert one.names == whole.names[:20]
    assert one.digests == whole.digests[:20]
    assert set(one.parts) == {None}


def test_names_of_classes_come_from_a_text_file(tmp_path: Path) -> None:
    mnist(tmp_path)
    words = ["nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    (tmp_path / "classes.txt").write_text("\n".join(words) + "\n")
    images = open_images(tmp_path)
    assert images.classes == tuple(sorted(words))
    assert images.classes[images.targets[0]] == words[real(61)[1][60]]
    (tmp_path / "classes.txt").write_text("\n".join(words[:9]))
    refuse(tmp_path, "t10k-labels-idx1-ubyte: label 9 of image 9 has no name; there are 9 names")
    (tmp_path / "classes.txt").write_text("one\none\n")
    refuse(tmp_path, "classes.txt", "different")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-images-idx3-ubyte.gz", b"", ["is not an idx file"]),
        ("train-images-idx3-ubyte.gz", b"\x89PNG\r\n", ["is not an idx file"]),
        ("train-images-idx3-ubyte.gz", idx(real(60)[0])[:-1], ["is truncated", "(60, 8, 8), 3840 bytes"]),
        ("train-images-idx3-ubyte.gz", idx(real(60)[0])[:9], ["is truncated"]),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(real(60)[0]), mtime=0)[:99], ["cannot be read"]),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(real(60)[0])[:99], mtime=0), ["is truncated"]),
        ("train-images-idx3-ubyte.gz", idx(real(60)[0]) + b"1", ["goes on after its end"]),
        ("train-images-idx3-ubyte.gz", idx(real(60)[0].astype(">u2"), 0x0A), ["values of unknown type 0xa"]),
        ("train-labels-idx1-ubyte", idx(real(60)[1].astype(">f4"), 0x0D), ["labels are whole numbers"]),
        ("train-images-idx3-ubyte.gz", idx(real(59)[0]), ["59 images and 60 labels"]),
        ("train-images-idx3-ubyte.gz", idx(np.zeros((60, 4, 4), np.uint8)), ["4x4x1", "8x8x1"]),
        ("train-images-idx3-ubyte.gz", idx(np.zeros((60, 0, 4), np.uint8)), ["without a pixel"]),
        ("train-images-idx3-ubyte.gz", idx(np.zeros((60, 2, 2, 2), np.uint8)), ["has shape (60, 2, 2, 2)"]),
        ("train-images-idx3-ubyte.gz", b"\0\0\x08\x03" + b"\xff" * 12, ["GB", "as files"]),
        ("train-labels-idx1-ubyte", idx(np.zeros((60, 2), np.uint8)), ["one for each image"]),
        ("train-images-idx3-ubyte", idx(real(60)[0]), ["are both train images"]),
        ("images-idx3-ubyte", idx(real(60)[0]), ["no labels beside it; expected labels-idx1-ubyte"]),
        ("data_batch_1.bin", b"", ["of different sets"]),
    ],
)
def test_a_broken_idx_set_is_one_line(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    mnist(tmp_path)
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path, *words)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(real(60)[0]) + bytes(50_000_000)))
    refuse(tmp_path, "goes on after its end")


def test_only_the_test_part_cannot_be_trained_on(tmp_path: Path) -> None:
    mnist(tmp_path)
    for path in tmp_path.glob("train*"):
        path.unlink()
    refuse(tmp_path, "has test images but no train")
    assert set(open_images(tmp_path, training=False).parts) == {"test"}


# CIFAR


def test_cifar_10_records(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(cifar([3, 5] * 10))
    (tmp_path / "test_batch.bin").write_bytes(cifar([3, 5]))
    (tmp_path / "readme.html").write_text("")
    images = open_images(tmp_path)
    assert images.classes == ("3", "5")
    assert images.names[:2] == ("data_batch_1/000000", "data_batch_1/000001")
    assert images.parts == ("train",) * 20 + ("test",) * 2
    assert images.pixels is not None
    assert np.array_equal(images.pixels[21].transpose(1, 2, 0), photograph("china")[:32, 32:64])
    words = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(words) + "\n\n")
    assert open_images(tmp_path).classes == ("cat", "dog")
    assert set(open_images(tmp_path / "data_batch_1.bin").parts) == {None}


def test_cifar_100_has_its_fine_labels(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(cifar([12, 99], coarse=True))
    (tmp_path / "test.bin").write_bytes(cifar([99], coarse=True))
    images = open_images(tmp_path)
    assert [images.classes[t] for t in images.targets] == ["99", "12", "99"]
    assert images.names == ("test/000000", "train/000000", "train/000001")


def test_a_broken_cifar_set_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(cifar([1, 2])[:-1])
    refuse(tmp_path, "is 6145 bytes; CIFAR-10 has 3073 for each image")
    path.write_bytes(b"")
    refuse(tmp_path, "is 0 bytes")
    path.write_bytes(cifar([1, 10]))
    refuse(tmp_path, "image 1 has label 10; CIFAR-10 has 0 to 9")


def test_what_could_be_opened_instead_is_said(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    mnist(tmp_path / "raw")
    refuse(tmp_path, f"name its folder: {tmp_path}/raw")
    (tmp_path / "list.csv").write_text("")
    refuse(tmp_path, f"name it: {tmp_path}/list.csv")
    other = tmp_path / "python"
    other.mkdir()
    (other / "data_batch_1").write_bytes(b"\x80")
    refuse(other, "pickled, which is never loaded: take its binary version")
    (other / "notes.doc").write_text("")
    refuse(other / "notes.doc", "a file of no known layout; allowed are", ".npz")


# .npz


def npz_of(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_npz_with_parts_is_the_idx_set(tmp_path: Path, names: tuple[str, ...]) -> None:
    x, y = mnist(tmp_path / "idx")
    of = dict(zip(names, (x[:60], y[:60, None], x[60:, :, :, None], y[60:]), strict=True))
    images, same = open_images(npz_of(tmp_path / "a.npz", of)), open_images(tmp_path / "idx")
    assert facts(images) == facts(same)
    assert split_images(images).table(images) == split_images(same).table(same)


def test_npz_without_parts_and_with_names(tmp_path: Path) -> None:
    x, y = real(40)
    colour = np.stack([x, x // 2, x // 4], axis=-1)
    words = np.array([f"class {c}" for c in "jihgfedcba"])
    last = open_images(npz_of(tmp_path / "a.npz", {"images": colour, "labels": y, "classes": words}))
    first = open_images(
        npz_of(tmp_path / "b.npz", {"images": colour.transpose(0, 3, 1, 2), "labels": words[y], "more": y})
    )
    assert facts(last) == facts(first)
    assert (last.channels, last.classes[0], last.names[0]) == (3, "class a", "images/000000")
    assert last.classes[last.targets[0]] == "class j"
    assert set(last.parts) == {None}
    assert "'more'" in first.findings[0].what


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": real(4)[0], "y": real(4)[1]}, ["expected x_train and y_train", "its arrays are 'x', 'y'"]),
        ({"images": real(4)[0]}, ["images without labels"]),
        ({"images": real(4)[0], "labels": real(3)[1]}, ["4 images and 3 labels"]),
        ({"images": real(4)[0], "labels": real(4)[1], "x_train": real(4)[0]}, ["all images have a part"]),
        ({"x_train": real(4)[0], "train_images": real(4)[0]}, ["x_train and train_images are both train"]),
        (
            {"images": real(4)[0].astype(np.complex64), "labels": real(4)[1]},
            ["complex64; images are numbers"],
        ),
        ({"images": real(4)[0] * np.nan, "labels": real(4)[1]}, ["values are no finite numbers"]),
        ({"images": np.zeros((4, 9, 8, 12), np.uint8), "labels": real(4)[1]}, ["which axis is the channels"]),
        ({"images": real(4)[0], "labels": real(4)[1].astype(float)}, ["labels holds float64"]),
        ({"images": real(4)[0], "labels": np.eye(4, dtype=np.int64)}, ["labels has shape (4, 4)"]),
        ({"images": real(4)[0], "labels": np.array(["a", "b", "", "c"])}, ["label of image 2 is empty"]),
        ({"images": real(4)[0], "labels": np.array([None] * 4)}, ["pickle", "never loaded"]),
        (
            {"images": real(4)[0], "labels": real(4)[1] - 1, "classes": np.array(["a"])},
            ["label -1 of image 0"],
        ),
        ({"images": real(4)[0], "labels": real(4)[1], "classes": np.array(["a", "a"])}, ["different names"]),
        ({"images": real(0)[0], "labels": real(0)[1]}, ["holds no images"]),
        ({"images": np.uint8(3), "labels": real(4)[1]}, ["images has shape ()"]),
    ],
)
def test_a_wrong_npz_is_one_line(tmp_path: Path, arrays: Arrays, words: list[str]) -> None:
    refuse(npz_of(tmp_path / "a.npz", arrays), "a.npz", *words)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((41, 8, 8), "images is broken"),
        ((10**6, 8, 8), "its header claims shape"),
        ((-1, 8, 8), "its header claims shape"),
        ((44_000_000, 99), "images claims 4.4 GB; at most 4 GB are held in memory"),
    ],
)
def test_a_header_that_lies_makes_nothing_large(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    npz_of(tmp_path / "a.npz", {"labels": real(40)[1]})
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as lying:
        lying.writestr("images.npy", head.getvalue() + real(40)[0].tobytes())
    refuse(tmp_path / "a.npz", words)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    refuse(tmp_path / "a.npz", "is not an .npz, or it is broken")


# Beyond opening


def test_arrays_are_framed_as_files_are(tmp_path: Path) -> None:
    photo = np.stack([photograph("china")[:60, 50 * i : 50 * i + 40] for i in range(4)])
    images = open_images(npz_of(tmp_path / "a.npz", {"images": photo, "labels": np.array([0, 1, 0, 1])}))
    canvas, size = choose_sizes(images, (32, 32), "adapts")
    assert ((canvas.height, canvas.width, canvas.channels), size) == ((32, 32, 3), (32, 32))
    Image.fromarray(photo[2]).save(tmp_path / "2.png")
    for canvas in (
        Canvas(32, 32, 3),
        Canvas(32, 32, 1),
        Canvas(60, 40, 1),
        Canvas(60, 40, 3),
        Canvas(99, 99, 3),
    ):
        expected = read_framed(tmp_path / "2.png", canvas)
        for budget in (0, 100):
            (batch,) = open_batches(images, canvas, budget_mb=budget).batches([np.array([1, 2])])
            assert np.array_equal(batch.images[1].numpy(), expected.pixels)
            assert batch.images.is_contiguous()
            assert np.allclose(batch.transforms[1], torch.from_numpy(expected.transform))


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=60), at=st.integers(0, 300), name=st.sampled_from(["csv", "npz", "idx", "gz"])
)
def test_no_bytes_make_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, name: str
) -> None:
    """Real files with some bytes overwritten open, or are refused in one line."""
    root = tmp_path_factory.mktemp("fuzz")
    x, y = mnist(root)
    (root / "a").write_bytes(b"")
    good = {
        "csv": b"path,label\na,one\na,two\n" * 10,
        "npz": npz_of(root / "good.npz", {"images": x, "labels": y}).read_bytes(),
        "idx": idx(x[:60]),
        "gz": gzip.compress(idx(x[:60])),
    }[name]
    file = root / {"csv": "x.csv", "npz": "x.npz"}.get(name, "train-images-idx3-ubyte.gz")
    file.write_bytes(good[:at] + content + good[at + len(content) :])
    try:
        said = open_images(file, training=False).source
    except DataError as error:
        said = str(error)
    assert not re.search(r"[\r\n]", said)


# Runs


def train(data: Path, folder: Path, **options: Any) -> TrainingResult:
    return sightline.training.train(
        str(data), model="lenet5", epochs=1, output=str(folder), reporter=SilentReporter(), **options
    )


def test_a_run_on_idx_files_is_the_run_on_the_same_images_as_files(in_tmp: Path) -> None:
    x, y = mnist(in_tmp / "idx", 200, 40)
    rows = ["path,label,split"]
    for part, start, stop in (("train", 0, 200), ("test", 200, 240)):
        (in_tmp / part).mkdir()
        for number, index in enumerate(range(start, stop)):
            Image.fromarray(x[index]).save(in_tmp / part / f"{number:06d}", format="png")
            rows.append(f"{part}/{number:06d},{y[index]},{part}")
    one = train(in_tmp / "idx", in_tmp / "one")
    two = train(csv_of(in_tmp, "\n".join(rows)), in_tmp / "two")
    states = [read_model_file(in_tmp / run / "last.safetensors")[1] for run in ("one", "two")]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    assert one.value == two.value
    judged = evaluate(str(in_tmp / "one"), str(in_tmp / "labels.csv"))
    assert (judged.part, judged.scores.n, judged.scores.top1) == ("test", 40, one.value)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_run_finds_its_file_again_from_anywhere(
    in_tmp: Path, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    x, y = mnist(in_tmp / "idx", 200, 40)
    (in_tmp / "data").mkdir()
    if kind == "npz":
        npz_of(in_tmp / "data" / "set.npz", {"images": x, "labels": y})
    rows = ["path,label,writer"]
    for i, pixels in enumerate(x):
        Image.fromarray(pixels).save(in_tmp / "data" / f"{i:03d}.png")
        rows.append(f"{i:03d}.png,{y[i]},w{i // 5}")
    csv_of(in_tmp / "data", "\n".join(rows), "set.csv")
    data = Path("data") / f"set.{kind}"
    run = in_tmp / "run"
    first = train(data, run, group_by="writer" if kind == "csv" else None)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    judged = evaluate(str(run))
    assert (judged.part, judged.scores.top1) == ("test", first.value)
    assert judged.findings == evaluate(str(run), str(in_tmp / data)).findings
    again = sightline.training.resume(run, epochs=2, reporter=SilentReporter())
    assert again.epochs == 2


def test_folds_of_a_csv(in_tmp: Path) -> None:
    x, y = real(120)
    rows = ["path,label"]
    for i, pixels in enumerate(x):
        Image.fromarray(pixels).save(in_tmp / f"{i:03d}.png")
        rows.append(f"{i:03d}.png,{y[i]}")
    train(csv_of(in_tmp, "\n".join(rows)), in_tmp / "series", folds=2)
    assert evaluate(str(in_tmp / "series" / "fold-1")).scores.n == 60


# Depth


@pytest.mark.parametrize(("dtype", "kind"), [(">i2", 0x0B), (">i4", 0x0C), (">f4", 0x0D), (">f8", 0x0E)])
def test_deeper_idx_images_keep_their_values(tmp_path: Path, dtype: str, kind: int) -> None:
    mnist(tmp_path)
    shallow = open_images(tmp_path)
    assert shallow.pixels is not None
    deep = shallow.pixels.astype(np.int32) * 100 - 1000
    for name, part in (("train", "train"), ("t10k", "test")):
        for path in tmp_path.glob(f"{name}-images*"):
            path.unlink()
        of_part = deep[[own == part for own in shallow.parts], 0]
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(of_part.astype(dtype), kind))
    images = open_images(tmp_path)
    assert images.depth == "float32"
    assert (images.pixels == deep.astype(np.float32)).all()


def test_a_deep_npz_and_its_channels(tmp_path: Path) -> None:
    pixels, labels = real(40)
    deep = pixels.astype(np.uint16) * 257
    five = np.stack([deep] * 5, axis=1)
    for name, stored, shape in (
        ("grey", deep, (1, 8, 8)),
        ("first", np.repeat(np.repeat(five, 4, axis=2), 4, axis=3), (5, 32, 32)),
        ("last", np.repeat(np.repeat(five, 4, axis=2), 4, axis=3).transpose(0, 2, 3, 1), (5, 32, 32)),
    ):
        np.savez(tmp_path / f"{name}.npz", images=stored, labels=labels)
        images = open_images(tmp_path / f"{name}.npz")
        assert images.depth == "uint16"
        assert images.pixels is not None
        assert images.pixels.shape[1:] == shape
        assert images.channels == shape[0]
        assert (images.pixels[:, -1, :: shape[1] // 8, :: shape[2] // 8] == deep).all()
