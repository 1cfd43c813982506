"""Broken files of every kind: named in one line, never a traceback, a crash, a hang or a gigabyte.

`benchmarks/fuzz.py` does the same with 10^5 cases; `SIGHTLINE_FUZZ=N` raises the number here. What it has
found is below, each fault by a file of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tifffile
from PIL import Image

from sightline.base import DataError, ModelFileError
from sightline.data import open_images
from sightline.imaging import UnreadableImageError, decode_array, narrowed, picture, read_record
from sightline.inference import read_belongings
from sightline.records import read_header, read_model_file, read_weights

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
KINDS = (
    *["png", "apng", "jpeg", "gif", "bmp", "webp", "tiff", "netpbm", "jpeg2000", "fits"],
    *["csv", "idx", "cifar", "npz", "index", "split", "model", "weights", "args", "names"],
)
deep = importlib.import_module("sightline.imaging._deep")
decoding = importlib.import_module("sightline.imaging._decode")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("fuzz")
    cases = os.environ.get("SIGHTLINE_FUZZ", "4000")
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), "--cases", cases]
    command += ["--keep", str(folder / "kept"), "--json", str(folder / "told.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_broken_files_are_read_or_named(fuzzed: dict[str, Any], kind: str) -> None:
    if kind not in fuzzed["rows"]:
        pytest.skip("needs the extra science")
    row = fuzzed["rows"][kind]
    assert {cause: found for cause, found in fuzzed["causes"].items() if cause.startswith(f"{kind}:")} == {}
    assert row["cases"] == row["read"] + row["named"] > 10
    assert row["read"] > 0
    assert row["named"] > 0


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fuzz")


def test_what_is_wrong_is_seen(fuzz: Any) -> None:
    """The checks themselves: two lines, a control character, no words, memory that was refused."""
    fuzz.check_message(ValueError("one line"))
    refused = ValueError("out of it")
    refused.__cause__ = MemoryError()
    for wrong in (
        ValueError("two\nlines"),
        ValueError("\x1b[2J"),
        ValueError(),
        ValueError("\u2028"),
        refused,
    ):
        with pytest.raises(fuzz.WrongError):
            fuzz.check_message(wrong)
    for values in (np.zeros((2, 2)), np.zeros((2, 2, 1)), np.full((1, 1, 1), np.nan, np.float32)):
        with pytest.raises(fuzz.WrongError):
            fuzz.check_values(values, "")


def test_a_case_is_a_function_of_its_number(fuzz: Any) -> None:
    for kind in ("png", "tiff", "csv", "npz"):
        seeds = fuzz.valid(kind)
        assert seeds == fuzz.valid(kind)
        first, again, other = (fuzz.case(kind, number, 0, seeds)[0] for number in (7, 7, 8))
        assert first == again
        assert first != other


# -- images ------------------------------------------------------------------------------------------------


def refused(content: bytes, pages: str = "") -> str:
    with pytest.raises(UnreadableImageError) as refusal:
        decode_array(content, pages=pages)
    assert str(refusal.value).isprintable()
    return str(refusal.value)


def tiff(values: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return file.getvalue()


def png(width: int, height: int, colour: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pages_that_go_round_are_named(bigtiff: bool, byteorder: Any) -> None:
    values = np.zeros((3, 9, 7), np.uint16)
    settings = {"bigtiff": bigtiff, "byteorder": byteorder, "metadata": None, "photometric": "minisblack"}
    content = bytearray(tiff(values, **settings))
    assert decode_array(bytes(content), pages="channels").shape == (9, 7, 3)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        first, *_, last = (page.aspage() for page in file.pages)
    size, counts, entry, letter = (8, 8, 20, "Q") if bigtiff else (4, 2, 12, "I")
    at = last.offset + counts + entry * len(last.tags)
    content[at : at + size] = struct.pack(byteorder + letter, first.offset)
    for pages in ("", "first", "max", "channels"):
        assert "circle" in refused(bytes(content), pages)


def test_counting_pages_says_nothing_by_itself() -> None:
    file = io.BytesIO()
    page = Image.new("RGB", (9, 7))
    page.save(file, "TIFF", save_all=True, append_images=[page], compression="packbits")
    content = bytearray(file.getvalue())
    start = int.from_bytes(content[4:8], "little")
    after = start + 2 + 12 * int.from_bytes(content[start : start + 2], "little")
    second = int.from_bytes(content[after : after + 4], "little")
    content[second : second + 2] = b"\xff\x00"  # more tags than there are
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with contextlib.suppress(UnreadableImageError):
            decode_array(bytes(content), pages="max")
    assert [str(warning.message) for warning in heard] == []


def test_memory_is_counted_before_it_is_taken() -> None:
    deep.check_memory(bytes(10), 474_999_995)
    with pytest.raises(UnreadableImageError, match=r"takes 1\.0 GB to read, and 0\.95 are"):
        deep.check_memory(bytes(10), 474_999_996)
    tracemalloc.start()
    try:
        assert "bomb" in refused(png(13_000, 13_000, 2))  # 4 bytes a pixel, twice: 1.35 GB
        assert "bomb" in refused(png(11_000, 11_000, 3))  # of a palette, which becomes as large
        assert "truncated" in refused(png(3_000, 3_000, 2))
        large = bytearray(tiff(np.zeros((9, 7)), compression=None, photometric="minisblack"))
        with tifffile.TiffFile(io.BytesIO(large)) as file:
            places = {tag.code: tag.valueoffset for tag in file.pages[0].aspage().tags}
        for tag, number in ((256, 10_000), (257, 10_000)):  # doubles, and what becomes of them: 2.4 GB
            large[places[tag] : places[tag] + 2] = struct.pack("<H", number)
        assert "takes 2.4 GB" in refused(bytes(large))
        tiles = bytearray(tiff(np.zeros((9, 7), np.uint16), tile=(16, 16), photometric="minisblack"))
        with tifffile.TiffFile(io.BytesIO(tiles)) as file:
            places = {tag.code: tag.valueoffset for tag in file.pages[0].aspage().tags}
        for tag in (322, 323):  # a tile that is far larger than its image
            tiles[places[tag] : places[tag] + 2] = struct.pack("<H", 60_000)
        assert "takes 7.2 GB" in refused(bytes(tiles))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_fits_of_too_many_axes_is_named() -> None:
    pytest.importorskip("astropy")
    cards = ("SIMPLE  = T", "BITPIX  = 8", f"NAXIS   = {'9' * 20}", "END")
    content = "".join(card.ljust(80) for card in cards).encode().ljust(2880)
    assert "NAXIS is over 999" in refused(content)


def test_a_large_file_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2_000_000_000)  # takes no room
    assert "a file of 2.0 GB" in read_record(tmp_path / "large.png").error
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in read_record(tmp_path / "pipe.png").error
    with pytest.raises(UnreadableImageError, match="pipe"):
        picture(tmp_path / "pipe.png")


def test_large_images_are_converted_in_strips_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the whole at once, by Pillow's own composition on white."""
    rng = np.random.default_rng(0)
    images = []
    for transparency in (None, 3, bytes(range(256)), b"\x00\x80"):
        indexed = Image.fromarray(rng.integers(0, 256, (30, 40), dtype=np.uint8)).convert("P")
        indexed.putpalette(rng.bytes(768))
        images.append(indexed)
        if transparency is not None:
            indexed.info["transparency"] = transparency
    pixels = Image.fromarray(rng.integers(0, 256, (30, 40, 4), dtype=np.uint8))
    images += [pixels, pixels.convert("LA"), pixels.convert("PA")]
    monkeypatch.setattr(decoding, "_STRIP", 300)  # 7 rows
    for image in images:
        layer = image.convert("RGBA")
        whole = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        for mode in ("RGB", "L"):
            wanted = np.asarray(whole.convert(mode))
            assert (np.asarray(decoding.flat(image, mode)) == wanted).all()
            assert (decoding._flat_array(image, mode).squeeze() == wanted).all()
        assert decoding.is_grey(image) == (image.mode == "LA")
    grey = Image.fromarray(rng.integers(0, 9, (30, 40), dtype=np.uint8)).convert("P")
    grey.putpalette([k // 3 for k in range(27)] + [1, 2, 3])  # a colour that no pixel has
    assert decoding.is_grey(grey)


def test_a_number_that_signals_is_named_without_a_warning() -> None:
    values = np.zeros((2, 2, 1))
    values.view(np.uint64)[0, 0] = 0x7FF0_0000_0000_0001  # a NaN that the processor reports
    with pytest.raises(UnreadableImageError, match="1 of 4 values"):
        narrowed(values)


def test_values_are_judged_in_blocks_as_a_whole() -> None:
    values = np.zeros((3000, 1000, 1))
    values[-1, -1] = np.nan  # in the last of two blocks
    with pytest.raises(UnreadableImageError, match="1 of 3000000 values"):
        narrowed(values)
    whole = np.zeros((3000, 1000, 1), np.int32)
    whole[-1, -1] = 2**24 + 1
    with pytest.raises(UnreadableImageError, match="does not hold"):
        narrowed(whole)
    whole[-1, -1] = 2**24
    assert narrowed(whole)[-1, -1, 0] == 2**24


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"P5\n11 9\n65535", "broken"),
        (b"P2 2 1 65535 7 65536", "65536 is no value"),
        (b"P2 2 1 4095 7 12x", "'x' is no value"),
        (b"P2 2 1 4095 7", "too few"),
        (b"P2 2 1 4095 ", "too few"),
    ],
)
def test_a_netpbm_that_ends_or_overflows_is_named(content: bytes, said: str) -> None:
    assert said in refused(content)


def test_a_netpbm_in_words_is_read_to_its_last_value() -> None:
    content = b"P2 3 2 4095\n1 2 3 # a word: 9\n\t4095 5\r\n6 what follows is not looked at"
    assert decode_array(content)[:, :, 0].tolist() == [[1, 2, 3], [4095, 5, 6]]


# -- sets --------------------------------------------------------------------------------------------------


def not_opened(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        open_images(path)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 1000
    return str(refusal.value)


def test_a_csv_with_odd_letters_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text('path\tlabel\na.png\t"cat"x\n')
    assert r"line 2: '\t' expected" in not_opened(path)
    path.write_text("path,label\na\u2028.png,cat\n", encoding="utf-8")
    assert "control character" in not_opened(path)


def idx(
    folder: Path, head: bytes, body: bytes = b"", names: bytes = b"cat\ndog\n", packed: bool = False
) -> Path:
    folder.mkdir(exist_ok=True)
    whole = head + body
    name = "train-images-idx3-ubyte" + ".gz" * packed
    (folder / name).write_bytes(gzip.compress(whole) if packed else whole)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x02\0\1")
    (folder / "classes.txt").write_bytes(names)
    return folder


def test_an_idx_that_claims_too_much_is_named(tmp_path: Path) -> None:
    good = b"\0\0\x08\x03" + struct.pack(">3I", 2, 8, 8)
    assert len(open_images(idx(tmp_path / "0", good, bytes(128)))) == 2
    assert "255 dimensions" in not_opened(idx(tmp_path / "1", b"\0\0\x08\xff" + b"\xff" * 1020))
    assert "70 dimensions" in not_opened(idx(tmp_path / "2", b"\0\0\x08\x46" + b"\0\0\0\x01" * 70, bytes(1)))
    assert "GB" in not_opened(idx(tmp_path / "3", b"\0\0\x0e\x04" + b"\xff" * 16))
    claims = b"\0\0\x08\x03" + struct.pack(">3I", 2, 30_000, 60_000)
    assert "truncated" in not_opened(idx(tmp_path / "4", claims, bytes(9), packed=True))
    assert "holds a control character" in not_opened(idx(tmp_path / "5", good, bytes(128), b"cat\ndo\x07g\n"))
    assert "must be different" in not_opened(idx(tmp_path / "6", good, bytes(128), b"cat\n\ndog\n"))


@pytest.mark.parametrize("member", ["classes", "labels"])
def test_letters_that_are_none_are_named(tmp_path: Path, member: str) -> None:
    arrays: dict[str, Any] = {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.arange(2)}
    arrays[member] = np.frombuffer(struct.pack("<2I", 0x110000, 0x61), dtype="<U1")
    np.savez(tmp_path / "set.npz", **arrays)
    assert f"{member} is broken" in not_opened(tmp_path / "set.npz")
    np.savez(tmp_path / "set.npz", **{**arrays, member: np.array(["a\x1b", "b"])})
    assert "control character" in not_opened(tmp_path / "set.npz")


def test_what_a_broken_zip_says_is_kept_short(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=np.zeros((2, 64, 64), np.uint8), labels=np.arange(2))
    content = bytearray(path.read_bytes())
    content[26:28] = struct.pack("<H", 5000)  # the length of a member's name
    path.write_bytes(content)
    assert "images is broken (BadZipFile: File name" in not_opened(path)


# -- models ------------------------------------------------------------------------------------------------


def test_class_names_are_read_without_the_mark_of_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffcat\r\n\r\n dög \r\n".encode())
    assert read_belongings(None, None, path).classes == ("cat", "dög")
    odd = {b"\n \n": "holds no name", b"a\nb\x1b[2J": "control character", b"a\na": "twice"}
    for content, said in odd.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=said) as refusal:
            read_belongings(None, None, path)
        assert str(refusal.value).isprintable()


@pytest.fixture
def header(fuzz: Any) -> dict[str, Any]:
    told: dict[str, Any] = importlib.import_module("fuzz_seeds").model_header()
    return told


def model_file(path: Path, told: Any) -> Path:
    text = told if isinstance(told, str) else json.dumps(told)
    path.write_bytes(safetensors.numpy.save({"w": np.ones(3, np.float32)}, {"sightline": text}))
    return path


def test_a_header_that_cannot_be_is_named(tmp_path: Path, header: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors"
    assert read_header(model_file(path, header)).classes == ("cat", "dog")
    built = header["architecture"]
    wrong: list[Any] = ["[]", '"x"', "1e9", "null", '{"a":' * 3000, "[" * 9000, "9" * 5000]
    norm = header["preprocessing"]
    wrong += [{**header, "preprocessing": {**norm, "mean": odd}} for odd in (None, "x", [None], [1e308])]
    own = (("canvas", [0, 8]), ("classes", []), ("classes", ["\n", "b"]))
    wrong += [{**header, key: value} for key, value in own]
    odd = (("num_classes", 2**70), ("in_channels", -1), ("input_size", [8, 1 << 20]), ("name", "x" * 9999))
    wrong += [{**header, "architecture": {**built, key: value}} for key, value in odd]
    wrong += [{**header, "format": 9, "versions": {"x\n": "y" * 9999}}]
    for told in wrong:
        with pytest.raises(ModelFileError) as refusal:
            read_header(model_file(path, told))
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 500


def test_weights_that_are_broken_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    np.savez(path.with_suffix(".npz"), w=np.ones((3, 4)), b=np.arange(3))
    whole = path.with_suffix(".npz").read_bytes()
    path.write_bytes(whole)
    shapes = {name: tuple(tensor.shape) for name, tensor in read_weights(path).items()}
    assert shapes == {"w": (3, 4), "b": (3,)}
    directory, inside = whole.index(b"PK\x01\x02"), whole.index(b"}") + 60
    broken = [whole[:directory] + b"PX" + whole[directory + 2 :], b"XX" + whole[2:]]
    broken.append(whole[:inside] + b"\xff" + whole[inside + 1 :])  # its checksum is another
    broken.append(b"\x80\x02X" + struct.pack("<I", 4_000_000_000) + b"abc")  # a text of 4 GB
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }\n"
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    broken.append(file.getvalue())
    tensors = b'{"w":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}'
    broken.append(struct.pack("<Q", len(tensors)) + tensors + bytes(3))
    named = b'{"w":{"dtype":"' + b"9\\n" * 5000 + b'","shape":[2],"data_offsets":[0,8]}}'
    broken.append(struct.pack("<Q", len(named)) + named + bytes(8))
    tracemalloc.start()
    try:
        for content in broken:
            path.write_bytes(content)
            with pytest.raises(ModelFileError) as refusal:
                read_weights(path)
            assert str(refusal.value).isprintable()
            assert len(str(refusal.value)) < 500
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_pickle_is_still_read_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(ModelFileError, match="could run code"):
        read_weights(path)


def test_tensors_that_torch_has_not_are_named(tmp_path: Path, header: dict[str, Any]) -> None:
    entries = {"w": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}
    told = json.dumps({"__metadata__": {"sightline": json.dumps(header)}, **entries}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(told)) + told + bytes(3))
    assert read_header(path).classes == ("cat", "dog")
    with pytest.raises(ModelFileError):
        read_model_file(path)
