"""Depth: what reaches the network is what other readers say is in the file, or the file is named."""

from __future__ import annotations

import importlib
import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sightline.base import ArgumentError, DataError
from sightline.data import channel_statistics, open_batches, open_images, picture_of, value_ranges
from sightline.imaging import (
    EXTENSIONS,
    Canvas,
    Preprocessing,
    UnreadableImageError,
    check_pages,
    decode_array,
    display,
    frame,
    picture,
    read_framed,
    read_record,
)
from sightline.imaging._faults import broken

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path.home() / ".cache/sightline-data"))


def values16(channels: int = 1, seed: int = 0, size: tuple[int, int] = (9, 7)) -> NDArray[np.uint16]:
    """(H, W, C), over the whole range."""
    values = np.random.default_rng(seed).integers(0, 65536, (*size, channels), dtype=np.uint16)
    values[0, 0], values[-1, -1] = 0, 65535
    return values


def tiff(values: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return file.getvalue()


def refused(content: bytes, pages: str = "") -> str:
    with pytest.raises(UnreadableImageError) as refusal:
        decode_array(content, pages=pages)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# -- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}, {"rowsperstrip": 2}],
    ids=["plain", "zlib", "tiled", "strips"],
)
def test_sixteen_bits_of_a_tiff_are_as_written(byteorder: str, settings: dict[str, Any]) -> None:
    if "compression" in settings:
        pytest.importorskip("imagecodecs")
    for channels in (1, 3):
        values = values16(channels, size=(40, 33))
        photometric = "rgb" if channels == 3 else "minisblack"
        content = tiff(values.squeeze(), byteorder=byteorder, photometric=photometric, **settings)
        read = decode_array(content)
        assert read.dtype == np.uint16
        assert (read == values).all()


@pytest.mark.parametrize("codec", ["lzw", "zstd", "packbits", "lzma"])
def test_compressions_of_the_extra_are_read_or_named(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs")
    values = values16(1, size=(40, 33))
    content = tiff(values[:, :, 0], compression=codec)
    assert (decode_array(content) == values).all()
    rgb = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    assert (decode_array(tiff(rgb, photometric="rgb", compression=codec)) == rgb).all()


def test_what_only_the_extra_reads_names_it_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Any:
        raise ImportError(name)

    content = png16(values16(3))
    path = tmp_path / "colour.png"
    path.write_bytes(content)
    monkeypatch.setattr(importlib, "import_module", nothing)
    assert refused(content) == ("a 16-bit colour PNG is read by the extra: pip install 'sightline[science]'")
    assert read_record(path).digest == "", "so that the index does not keep it"
    assert "a FITS file is read by the extra" in refused(fits(np.zeros((3, 4), ">i2")))


def png16(values: NDArray[np.uint16], kind: int | None = None, chunks: bytes = b"") -> bytes:
    """A PNG of 16 bits by hand: no filter, one IDAT. (W3C PNG, 5 and 9.)"""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if kind is None else kind
    rows = np.concatenate(
        [np.zeros((height, 1), np.uint8), values.astype(">u2").view(np.uint8).reshape(height, -1)], axis=1
    )

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([16, kind, 0, 0, 0])
    body = chunk(b"IHDR", header) + (chunk(b"tRNS", chunks) if chunks else b"")
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")


def test_a_sixteen_bit_png_is_not_cut_to_eight() -> None:
    assert (decode_array(png16(values16(1))) == values16(1)).all()
    pytest.importorskip("imagecodecs")
    content = png16(values16(3))
    assert Image.open(io.BytesIO(content)).mode == "RGB", "what Pillow makes of it, without a word"
    read = decode_array(content)
    assert read.dtype == np.uint16
    assert (read == values16(3)).all()


def test_what_is_transparent_in_sixteen_bits_is_laid_on_white() -> None:
    pytest.importorskip("imagecodecs")
    values = np.array([[[1000, 2000, 3000, 65535], [1000, 2000, 3000, 0]]], np.uint16)
    half = np.array([[[0, 0, 0, 32768], [60000, 0, 65535, 32768]]], np.uint16)
    assert decode_array(png16(values)).tolist() == [[[1000, 2000, 3000], [65535, 65535, 65535]]]
    # 65535 * (1 - 32768 / 65535) = 32767 shows through, and 60000 * 32768 / 65535 = 30000.5 is added to it
    assert decode_array(png16(half)).tolist() == [[[32767, 32767, 32767], [62767, 32767, 65535]]]
    grey = np.array([[[500, 65535], [500, 0]]], np.uint16)
    assert decode_array(png16(grey)).tolist() == [[[500], [65535]]]
    keyed = np.array([[[7], [8]]], np.uint16)
    assert decode_array(png16(keyed, chunks=(7).to_bytes(2))).tolist() == [[[65535], [8]]]


def test_twelve_bits_in_sixteen_stay_as_they_are() -> None:
    values = np.array([[0, 1, 2048, 4095]], np.uint16)
    assert decode_array(tiff(values))[:, :, 0].tolist() == values.tolist()
    pgm = b"P5\n# a comment\n4 1\n4095\n" + values.astype(">u2").tobytes()
    assert int(np.asarray(Image.open(io.BytesIO(pgm))).max()) == 65535, "Pillow stretches it"
    assert decode_array(pgm)[:, :, 0].tolist() == values.tolist()
    assert decode_array(b"P2 4 1 4095 0 1 2048 # last\n 4095\n")[:, :, 0].tolist() == values.tolist()
    assert decode_array(b"P3 1 1 65535\n1 2 65535")[0, 0].tolist() == [1, 2, 65535]
    assert "too few" in refused(pgm[:-1])
    assert "too few" in refused(b"P2 4 1 4095 0 1 2048")
    assert "no value" in refused(b"P2 4 1 4095 0 1 x 3")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_stay_floats(dtype: str) -> None:
    values = np.linspace(-3, 7, 60).reshape(6, 10).astype(dtype)
    read = decode_array(tiff(values))
    assert read.dtype == np.float32
    assert (read[:, :, 0] == values.astype(np.float32)).all()
    bad = values.copy()
    bad[2, 3], bad[0, 0] = np.nan, np.inf
    assert refused(tiff(bad)) == "2 of 60 values are no finite numbers (NaN, or too large)"


def test_wide_whole_numbers_are_exact_or_refused() -> None:
    exact = np.array([[-(2**24), -1, 0, 2**24]], np.int32)
    assert decode_array(tiff(exact)).ravel().tolist() == exact.ravel().tolist()
    assert decode_array(tiff(exact.astype(np.int16) * 0 - 7)).ravel().tolist() == [-7.0] * 4
    assert "float32 does not hold them all" in refused(tiff(exact + 1))
    assert "float32 does not hold them all" in refused(tiff(np.array([[2**32 - 1]], np.uint32)))


def test_a_tiff_whose_zero_is_white_is_turned() -> None:
    values = np.array([[0, 1, 65535]], np.uint16)
    assert decode_array(tiff(values, photometric="miniswhite")).ravel().tolist() == [65535, 65534, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4, 5, 7])
def test_any_number_of_channels(dtype: str, planar: str, channels: int) -> None:
    values = (values16(channels) // (257 if dtype == "uint8" else 1)).astype(dtype)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    content = tiff(
        stored, photometric="minisblack", planarconfig=planar, extrasamples=["unspecified"] * (channels - 1)
    )
    read = decode_array(content)
    assert read.dtype == values.dtype
    assert (read == values).all()
    with pytest.raises(UnreadableImageError, match=f"has {channels} channels, and 3 are expected"):
        decode_array(content, 3)


def test_a_fourth_channel_without_a_meaning_is_kept_and_alpha_is_not() -> None:
    values = values16(4) // np.uint16(257)
    values = values.astype(np.uint8)
    meaningless = tiff(values, photometric="rgb", extrasamples=["unspecified"])
    assert Image.open(io.BytesIO(meaningless)).mode == "RGB", "Pillow drops it"
    assert (decode_array(meaningless) == values).all()
    alpha = tiff(values16(4), photometric="rgb", extrasamples=["unassalpha"])
    read = decode_array(alpha)
    assert read.shape == (9, 7, 3)
    exact = values16(4).astype(np.float64)
    share = exact[:, :, 3:] / 65535
    assert np.abs(read - (exact[:, :, :3] * share + 65535 * (1 - share))).max() <= 0.5


def fits(values: NDArray[Any], **more: Any) -> bytes:
    """A FITS file by hand (FITS standard 4.0, 3 and 4): big-endian, blocks of 2,880 bytes."""
    bitpix = {"i2": 16, "i4": 32, "f4": -32, "f8": -64, "u1": 8}[values.dtype.str[1:]]
    cards = {"SIMPLE": "T", "BITPIX": bitpix, "NAXIS": values.ndim}
    cards |= {f"NAXIS{k + 1}": n for k, n in enumerate(values.shape[::-1])} | more
    header = "".join(f"{key:<8}= {value!s:>20}".ljust(80) for key, value in cards.items()) + "END".ljust(80)
    body = values.astype(values.dtype.newbyteorder(">")).tobytes()
    return blocks(header.encode(), b" ") + blocks(body, b"\0")


def blocks(content: bytes, fill: bytes) -> bytes:
    return content.ljust(-(-len(content) // 2880) * 2880, fill)


def test_fits_keeps_rows_and_values() -> None:
    pytest.importorskip("astropy")
    values = values16(1)[:, :, 0]
    shifted = (values.astype(np.int32) - 32768).astype(np.int16)  # how FITS writes 16 bits without a sign
    read = decode_array(fits(shifted, BZERO=32768))
    assert read.dtype == np.uint16
    assert (read[:, :, 0] == values).all()
    floats = np.linspace(0, 1, 12).reshape(3, 4).astype(np.float32)
    assert (decode_array(fits(floats))[:, :, 0] == floats).all()
    assert decode_array(fits(np.array([[-5, 7]], np.int16))).ravel().tolist() == [-5.0, 7.0]
    cube = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert "has 2 pages" in refused(fits(cube))
    assert (decode_array(fits(cube), pages="channels") == cube.transpose(1, 2, 0)).all()
    assert (decode_array(fits(cube), pages="2")[:, :, 0] == cube[1]).all()
    assert "broken or truncated" in refused(fits(values16(1, size=(60, 60))[:, :, 0].view(np.int16))[:4000])
    assert "without an image" in refused(fits(np.zeros(0, np.int16)))


def test_truncated_tiffs_are_named_not_filled_with_zeros() -> None:
    whole = tiff(values16(1, size=(64, 64))[:, :, 0], rowsperstrip=8)
    for kept in (len(whole) - 1, len(whole) // 2, 200, 12):
        assert "broken" in refused(whole[:kept])
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        at = file.pages[0].tags["StripByteCounts"].valueoffset
    sparse = bytearray(whole)
    sparse[at : at + 4] = bytes(4)
    assert "a strip or tile is missing" in refused(bytes(sparse))


def test_a_claim_of_many_pixels_is_refused_before_they_are_made() -> None:
    content = bytearray(tiff(values16(1)[:, :, 0]))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        tags = file.pages[0].tags
        for name in ("ImageWidth", "ImageLength"):
            at, wide = tags[name].valueoffset, tags[name].dtype
            content[at : at + 4] = (60_000).to_bytes(4 if wide == 4 else 2, "little").ljust(4, b"\0")
    assert "bomb" in refused(bytes(content)) or "claims" in refused(bytes(content))
    pytest.importorskip("astropy")
    claim = fits(np.zeros((2, 2), np.int16), NAXIS1=900_000_000)
    assert "claims" in refused(claim)


# -- pages -----------------------------------------------------------------------------------------------


def animated(format_name: str, frames: list[Image.Image]) -> bytes:
    file = io.BytesIO()
    settings = {"lossless": True} if format_name == "WEBP" else {}
    frames[0].save(file, format_name, save_all=True, append_images=frames[1:], **settings)
    return file.getvalue()


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pages_none_is_taken_in_silence(format_name: str) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.integers(0, 2, (8, 9), dtype=np.uint8) * 255 for _ in range(3)]
    content = animated(format_name, [Image.fromarray(a) for a in arrays])
    assert refused(content) == (
        "has 3 pages or frames; say which by --pages first, max, channels or a number"
    )
    for pages, wanted in (
        ("first", arrays[0][:, :, None]),
        ("2", arrays[1][:, :, None]),
        ("max", np.max(arrays, axis=0)[:, :, None]),
        ("channels", np.stack(arrays, axis=2)),
    ):
        assert (decode_array(content, pages=pages) == wanted).all(), pages
    assert refused(content, "4") == "has 3 pages; --pages says 4"
    assert refused(tiff(arrays[0]), "2") == "has 1 page; --pages says 2"


def test_pages_of_deep_tiffs() -> None:
    stack = values16(4, size=(5, 6)).transpose(2, 0, 1)
    content = tiff(stack, photometric="minisblack", metadata=None)
    assert "has 4 pages" in refused(content)
    assert (decode_array(content, pages="max")[:, :, 0] == stack.max(axis=0)).all()
    assert (decode_array(content, pages="channels") == stack.transpose(1, 2, 0)).all()
    assert (decode_array(content, pages="3")[:, :, 0] == stack[2]).all()


def test_pages_that_a_file_calls_channels_are_channels() -> None:
    stack = values16(6, size=(5, 6)).transpose(2, 0, 1)
    for settings in ({"imagej": True}, {"ome": True}):
        channels = tiff(stack[:3], metadata={"axes": "CYX"}, photometric="minisblack", **settings)
        assert (decode_array(channels) == stack[:3].transpose(1, 2, 0)).all(), settings
        deeper = tiff(
            stack.reshape(2, 3, 5, 6), metadata={"axes": "ZCYX"}, photometric="minisblack", **settings
        )
        assert "has 2 pages" in refused(deeper)
        assert (decode_array(deeper, pages="2") == stack[3:].transpose(1, 2, 0)).all()
        highest = np.maximum(stack[:3], stack[3:]).transpose(1, 2, 0)
        assert (decode_array(deeper, pages="max") == highest).all()
        assert decode_array(deeper, pages="channels").shape == (5, 6, 6)


def test_a_preview_is_no_page() -> None:
    values = values16(1, size=(32, 32))[:, :, 0]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(values, metadata=None)
        writer.write(values[::4, ::4], subfiletype=1, metadata=None)
    assert (decode_array(file.getvalue())[:, :, 0] == values).all()


def test_pages_of_unlike_size_go_by_number_alone() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for side in (6, 9):
            writer.write(np.full((side, side), side, np.uint16), metadata=None)
    content = file.getvalue()
    assert decode_array(content, pages="2").shape == (9, 9, 1)
    assert "page 2 is 9x9x1 uint16, the first 6x6x1" in refused(content, "max")


def test_a_choice_of_pages_is_checked() -> None:
    for good in ("", "first", "max", "channels", "1", "12"):
        check_pages(good)
    for bad in ("0", "last", "-1", "²", "1.5", "9" * 40):
        with pytest.raises(ArgumentError, match="allowed are first, max, channels or a number from 1"):
            check_pages(bad)


# -- orientation, framing, display -----------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_files_as_pillow_turns_shallow_ones(orientation: int) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    tag = [(274, "H", 1, orientation, True)]
    from PIL import ImageOps

    shallow = Image.open(io.BytesIO(tiff(values, extratags=tag)))
    turned = np.asarray(ImageOps.exif_transpose(shallow))
    assert (decode_array(tiff(values.astype(np.uint16), extratags=tag))[:, :, 0] == turned).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_framing_of_deep_images_is_that_of_shallow_ones_but_for_rounding(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    shallow = frame(Image.fromarray(values), Canvas(24, 24, 3))
    deep = frame(values.astype(dtype), Canvas(24, 24, 3, dtype))  # type: ignore[arg-type]
    assert deep.pixels.dtype == dtype
    assert np.abs(shallow.pixels - deep.pixels.astype(np.float64)).max() <= 1.0
    assert (deep.transform == shallow.transform).all()
    assert deep.size == shallow.size
    same = frame(values, Canvas(24, 24, 3))
    assert (same.pixels == shallow.pixels).all()


def test_low_bits_live_through_a_resize() -> None:
    values = np.full((64, 64, 1), 40_000, np.uint16)
    values[:, 32:] += 1
    small = frame(values, Canvas(8, 8, 1, "uint16")).pixels[0]
    assert small[:, :3].tolist() == [[40_000] * 3] * 8
    assert small[:, 5:].tolist() == [[40_001] * 3] * 8


def test_a_large_picture_is_stretched_part_by_part_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 40, 30), dtype=np.uint16)
    whole = {count: display(values[:count]) for count in (1, 2, 3, 5)}
    for block in (1, 7, 100, 1000):
        monkeypatch.setattr("sightline.imaging._display._BLOCK", block)
        for count, pixels in whole.items():
            assert (display(values[:count]) == pixels).all()


def test_what_a_codec_says_is_shown_without_control_characters() -> None:
    said = str(broken(ValueError("a\nb\x00\x1b[31mc")))
    assert said == "broken or truncated (ValueError: a b??[31mc)"


def test_the_display_stretch_by_hand() -> None:
    values = np.array([[[100.0, 160.0], [200.0, 300.0]]], np.float32)
    assert display(values, [(100, 200)])[:, :, 0].tolist() == [[0, 153], [255, 255]]
    shallow = np.array([[[3, 200]]], np.uint8)
    assert display(shallow).tolist() == [[[3] * 3, [200] * 3]]
    constant = np.full((1, 2, 2), 7, np.uint16)
    assert display(constant).max() == 0
    two = np.array([[[255, 0]], [[0, 255]]], np.uint8)
    assert display(two).tolist() == [[[0, 255, 0], [255, 0, 255]]], "green and magenta"
    five = np.zeros((5, 1, 1), np.uint8)
    assert display(five).shape == (1, 1, 3)


def test_a_picture_of_anything(tmp_path: Path) -> None:
    ramp = np.arange(1000, 2000, dtype=np.uint16).reshape(25, 40)
    shown = picture(tiff(ramp))
    assert shown.mode == "L"
    assert shown.getextrema() == (0, 255)
    frames = animated("GIF", [Image.new("L", (4, 4), v) for v in (10, 200)])
    assert picture(frames).getpixel((0, 0)) == 10


# -- sets ------------------------------------------------------------------------------------------------


def write_set(root: Path, low: int, difference: int, count: int = 40) -> None:
    """Two classes that differ by `difference` in a patch, over noise of the same few counts."""
    rng = np.random.default_rng(0)
    for label, sign in (("dim", 0), ("lit", 1)):
        (root / label).mkdir(parents=True)
        for k in range(count):
            values = (low + rng.integers(0, 4, (16, 16))).astype(np.uint16)
            values[4:12, 4:12] += np.uint16(sign * difference)
            tifffile.imwrite(root / label / f"{k:03d}.tif", values)


def test_full_depth_reaches_the_network(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 30_000, 3)
    images = open_images(tmp_path / "set")
    assert (images.depth, images.channels) == ("uint16", 1)
    canvas = Canvas(16, 16, 1, "uint16")
    everything = np.arange(len(images))
    memory = open_batches(images, canvas, path="memory")
    workers = open_batches(images, canvas, path="workers", workers=0)
    of_memory, of_workers = (next(iter(s.batches([everything]))).images for s in (memory, workers))
    assert of_memory.dtype == of_workers.dtype
    assert (of_memory == of_workers).all()
    for index in (0, 41, 79):
        assert (of_memory[index, 0].numpy() == tifffile.imread(images.path(index))).all()
    ranges = value_ranges(memory, everything)
    stored = np.sort(np.concatenate([tifffile.imread(images.path(int(i))).ravel() for i in everything]))
    below = [stored[int(np.ceil(share / 100 * len(stored))) - 1] for share in (0.1, 99.9)]
    assert ranges == [(float(below[0]), float(below[1]))]
    mean, std = channel_statistics(memory, everything, ranges)
    inputs = Preprocessing(size=(16, 16), fit="none", mean=mean, std=std, value_range=ranges)(of_memory)
    assert inputs.mean().abs() < 1e-3
    assert abs(inputs.std().item() - 1) < 1e-3
    again = Preprocessing(size=(16, 16), fit="none", mean=mean, std=std, value_range=ranges).settings()
    assert Preprocessing(**again)(of_memory).equal(inputs)


def test_ranges_are_a_channels_own_and_of_floats_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for k in range(3):
            values = rng.normal((0, 1000), (1, 50), (20, 20, 2)).astype(np.float32)
            name = tmp_path / "set" / label / f"{k}.tif"
            tifffile.imwrite(name, values, photometric="minisblack", planarconfig="contig")
    images = open_images(tmp_path / "set")
    assert (images.depth, images.channels) == ("float32", 2)
    source = open_batches(images, Canvas(20, 20, 2, "float32"))
    everything = np.arange(6)
    stored = np.stack([tifffile.imread(images.path(k)) for k in range(6)]).reshape(-1, 2)
    wanted = np.percentile(stored, (0.1, 99.9), axis=0).T
    assert np.allclose(value_ranges(source, everything), wanted, rtol=1e-6)


def test_an_image_of_another_depth_is_named_and_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 500, 3, count=60)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "set/dim/stray.png")
    images = open_images(tmp_path / "set")
    assert images.left_out == ("dim/stray.png",)
    assert "is 8-bit with 1 channel, and most images of the set are 16-bit" in images.findings[0].what
    for k in range(10):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"set/dim/stray{k}.png")
    with pytest.raises(DataError, match=r"11 of 131 files cannot be read .*is 8-bit.*at most 1%"):
        open_images(tmp_path / "set")


def test_one_file_a_channel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["path:dapi,path:gfp,label"]
    stacks = []
    for k in range(8):
        stack = rng.integers(0, 65536, (2, 6, 5), dtype=np.uint16)
        for name, plane in zip(("dapi", "gfp"), stack, strict=True):
            tifffile.imwrite(tmp_path / f"{k}-{name}.tif", plane)
        rows.append(f"{k}-dapi.tif,{k}-gfp.tif,{'ab'[k % 2]}")
        stacks.append(stack)
    (tmp_path / "set.csv").write_text("\n".join(rows))
    images = open_images(tmp_path / "set.csv")
    assert (images.channels, images.depth, images.channel_names) == (2, "uint16", ("dapi", "gfp"))
    assert images.names[3] == "3-dapi.tif"
    assert images.source_of(3) == (tmp_path / "3-dapi.tif", tmp_path / "3-gfp.tif")
    for path in ("memory", "workers"):
        source = open_batches(images, Canvas(6, 5, 2, "uint16"), path=path, workers=0)
        read = next(iter(source.batches([np.arange(8)]))).images.numpy()
        assert (read == np.stack(stacks)).all()
    assert picture_of(images, 0).size == (5, 6)
    assert images.subset(np.array([2])).source_of(0) == images.source_of(2)
    tifffile.imwrite(tmp_path / "4-gfp.tif", np.zeros((6, 4), np.uint16))
    with pytest.raises(DataError, match=r"4-gfp.tif is 4x6, 4-dapi.tif 5x6"):
        open_images(tmp_path / "set.csv")
    assert len(open_images(tmp_path / "set.csv", allow_unreadable=True)) == 7
    (tmp_path / "4-gfp.tif").unlink()
    with pytest.raises(DataError, match=r"line 6: no such file: 4-gfp.tif"):
        open_images(tmp_path / "set.csv")


def test_micrographs_are_read_as_tifffile_reads_them() -> None:
    folder = DATA / "microscopy-16bit"
    if not folder.is_dir():
        pytest.skip("data/microscopy-16bit is not unpacked here")
    compared = 0
    for path in sorted(folder.rglob("*.[tT][iI][fF]")):
        record = read_record(path)
        assert not record.error, path.name
        if record.depth == "uint16":
            pixels = read_framed(path, Canvas(record.height, record.width, record.channels, "uint16")).pixels
            assert (pixels[0] == tifffile.imread(path)).all(), path.name
            compared += 1
    assert compared >= 8


def test_odd_files_are_read_or_named() -> None:
    folder = DATA / "odd-images"
    if not folder.is_dir():
        pytest.skip("data/odd-images is not unpacked here")
    read = named = 0
    for path in sorted(folder.rglob("*.*")):
        if path.is_file() and path.suffix.lower() in EXTENSIONS:
            record = read_record(path)
            assert "\n" not in record.error
            assert bool(record.error) != bool(record.width), path.name
            read, named = read + (not record.error), named + bool(record.error)
    assert read > 25
    assert named > 15
