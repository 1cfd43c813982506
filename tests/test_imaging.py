"""Decoding, framing, preprocessing, augmentation: by hand and by property."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline.base import ArgumentError, Draws
from sightline.data._batches import _fit_transforms
from sightline.imaging import (
    Augmentation,
    Canvas,
    Preprocessing,
    UnreadableImageError,
    augment,
    choose_fit,
    decode,
    decode_array,
    digits,
    frame,
    geometry,
    photograph,
    read_framed,
    read_record,
    warp,
)
from sightline.imaging._decode import _jpeg2000_bits


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_grey_colour_palette_one_bit_and_alpha(tmp_path: Path) -> None:
    china = Image.fromarray(photograph("china")).resize((60, 40))
    grey = china.convert("L")
    cases = {
        "grey.png": (grey, 1),
        "colour.png": (china, 3),
        "palette.png": (china.convert("P"), 3),
        "grey_palette.png": (grey.convert("P"), 1),
        "bits.png": (grey.convert("1"), 1),
        "cmyk.jpg": (china.convert("CMYK"), 3),
    }
    for name, (image, channels) in cases.items():
        record = read_record(save(tmp_path / name, image))
        assert (record.width, record.height, record.channels, record.error) == (60, 40, channels, ""), name
    assert set(np.unique(decode_array(tmp_path / "bits.png", 1))) == {0, 255}
    assert (decode_array(tmp_path / "colour.png", 3) == np.asarray(china)).all()
    assert (decode_array(tmp_path / "grey.png", 3)[:, :, 0] == np.asarray(grey)).all()


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    pixels = decode_array(save(tmp_path / "a.png", image), 3)
    assert pixels[0].tolist() == [[255, 255, 255], [10, 20, 30]]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("L", (3, 2))
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    path = save(tmp_path / "turned.png", image, exif=exif)
    record = read_record(path)
    assert (record.width, record.height) == (2, 3)
    assert decode_array(path, 1)[0, 1, 0] == 255


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("size", [(1023, 1020), (1020, 1023), (640, 427)])
def test_the_sides_are_exchanged_by_exif_alone(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    """A drafted JPEG is no witness: an eighth of 1023x1020 is square."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", size)
    path = save(tmp_path / "x.jpg", image, **({"exif": exif} if orientation else {}))
    record = read_record(path)
    assert (record.width, record.height) == decode(path, 3).size
    assert (record.width, record.height) == (size[::-1] if orientation >= 5 else size)
    small = decode(path, 3, (100, 60))
    assert (small.width > small.height) == (record.width > record.height) or size != (640, 427)


def test_a_broken_exif_exchanges_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "x.jpg", Image.new("RGB", (64, 40)), exif=exif)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"MM\0*", b"MM??").replace(b"II*\0", b"II??"))
    assert path.read_bytes() != content
    record = read_record(path)
    assert (record.width, record.height, record.error) == (64, 40, "")
    assert decode(path, 3, (32, 20)).size == (32, 20)


def test_a_lack_of_memory_is_not_held_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x.png", Image.new("L", (4, 4)))

    def load(self: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    record = read_record(path)
    assert "MemoryError" in record.error
    assert record.digest == ""


def test_a_jpeg_may_be_read_small_for_training_only(tmp_path: Path) -> None:
    path = save(tmp_path / "china.jpg", Image.fromarray(photograph("china")))
    assert decode(path, 3).size == (640, 427)
    assert decode(path, 3, (80, 53)).size == (80, 54)
    record = read_record(path)
    assert (record.width, record.height) == (640, 427)
    whole, reduced = (
        read_framed(path, Canvas(32, 32, 3), reduced=r).pixels.astype(int) for r in (False, True)
    )
    assert 0 < np.abs(whole - reduced).mean() < 3


def deep_files(folder: Path) -> dict[str, Path]:
    values = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    import tifffile

    files = {
        "16-bit grey PNG": save(folder / "grey.png", Image.fromarray(values)),
        "16-bit TIFF": save(folder / "grey.tif", Image.fromarray(values)),
        "float TIFF": save(folder / "float.tif", Image.fromarray(values.astype(np.float32))),
    }
    colour = folder / "colour.tif"
    tifffile.imwrite(colour, np.stack([values] * 3, axis=-1), photometric="rgb")
    pnm = folder / "colour.ppm"
    pnm.write_bytes(b"P6\n# made by hand\n2 1\n65535\n" + bytes(12))
    return files | {"16-bit RGB TIFF": colour, "16-bit PPM": pnm}


def test_deep_files_are_refused_where_8_bits_are_wanted_not_cut(tmp_path: Path) -> None:
    for what, path in deep_files(tmp_path).items():
        with pytest.raises(UnreadableImageError, match="and 8 bits are expected; no value is changed"):
            decode(path, 1)
        record = read_record(path)
        assert (record.error, record.depth) == ("", "float32" if "float" in what else "uint16"), what


def jpeg2000(no_jp2: bool, image: Image.Image | None = None) -> bytearray:
    file = BytesIO()
    image = image or Image.fromarray(photograph("china")).resize((40, 30))
    image.save(file, "JPEG2000", no_jp2=no_jp2)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("no_jp2", [True, False])
def test_jpeg_2000_keeps_its_depth_where_pillow_cuts_it(tmp_path: Path, no_jp2: bool) -> None:
    values = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    colour = jpeg2000(no_jp2)
    (tmp_path / "8.jp2").write_bytes(colour)
    record = read_record(tmp_path / "8.jp2")
    assert (record.width, record.height, record.channels, record.error) == (40, 30, 3, "")
    grey = bytes(jpeg2000(no_jp2, Image.fromarray(values)))
    assert (decode_array(grey)[:, :, 0] == values).all()
    imagecodecs = pytest.importorskip("imagecodecs")
    three = np.stack([values, values + 1, values[::-1]], axis=2)
    deep = imagecodecs.jpeg2k_encode(three, level=0, reversible=True, codecformat="j2k" if no_jp2 else "jp2")
    assert Image.open(BytesIO(deep)).mode == "RGB"  # what Pillow makes of it
    assert (decode_array(deep) == three).all()


def test_the_depth_of_jpeg_2000_is_that_of_its_codestream_and_its_boxes() -> None:
    stream = jpeg2000(no_jp2=True)
    siz = stream.index(b"\xff\x4f\xff\x51")
    assert stream[siz + 42 : siz + 51 : 3] == bytes([7, 7, 7])
    assert _jpeg2000_bits(stream) == 8
    for at, value, bits in ((45, 11, 12), (42, 0x80 | 15, 16)):  # the second of three; a signed one
        deep = stream.copy()
        deep[siz + at] = value
        assert _jpeg2000_bits(deep) == bits
    content = jpeg2000(no_jp2=False)
    ihdr = content.index(b"ihdr") + 4
    assert content[ihdr + 10] == 7
    deep = content.copy()
    deep[ihdr + 10] = 9
    assert _jpeg2000_bits(deep) == 10
    # Depths that differ: 255 in ihdr, and a box that lists them.
    jp2h = content.index(b"jp2h") - 4
    differ = content.copy()
    differ[ihdr + 10] = 255
    assert _jpeg2000_bits(differ) == 8
    for depths, bits in ((b"\x07\x07\x07", 8), (b"\x07\x0b\x07", 12)):
        box = (8 + 3).to_bytes(4) + b"bpcc" + depths
        listed = differ[: ihdr + 14] + box + differ[ihdr + 14 :]
        listed[jp2h : jp2h + 4] = (int.from_bytes(content[jp2h : jp2h + 4]) + len(box)).to_bytes(4)
        assert _jpeg2000_bits(listed) == bits
    # The box of the codestream may say its length in eight bytes, or not at all.
    jp2c = deep.index(b"jp2c") - 4
    signature = content[:jp2c]
    stream = content[jp2c + 8 :]
    stream[42] = 9
    for head in (
        b"\0\0\0\0jp2c",
        b"\0\0\0\1jp2c" + (16 + len(stream)).to_bytes(8),
    ):
        assert _jpeg2000_bits(signature + head + stream) == 10


def test_broken_files_say_why(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", Image.fromarray(photograph("flower"))).read_bytes()
    frames = [Image.new("L", (4, 4), v) for v in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    cases = {
        "empty.png": (b"", "the file is empty"),
        "text.png": (b"hello", "not an image, or its header is broken"),
        "half.png": (whole[: len(whole) // 2], "broken or truncated"),
        "lfs.png": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        "moving.gif": ((tmp_path / "moving.gif").read_bytes(), "has 2 pages or frames"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert reason in read_record(tmp_path / name).error, name
    assert read_record(tmp_path / "gone.png").error == "No such file or directory"


def test_digits_keep_all_seventeen_levels() -> None:
    images, targets = digits()
    assert images.shape == (1797, 1, 8, 8)
    assert len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_framing_keeps_everything_and_says_where_it_went() -> None:
    image = Image.fromarray(photograph("china"))  # 640x427
    framed = frame(image, Canvas(64, 64, 3))
    assert framed.pixels.shape == (3, 64, 64)
    assert framed.size == (427, 640)
    corner = framed.transform @ np.array([640, 427, 1])
    assert corner[:2].tolist() == pytest.approx([64, 10 + 43])
    assert (framed.transform @ np.array([0, 0, 1]))[:2].tolist() == [0, 10]
    assert (framed.pixels[:, 0] == framed.pixels[:, 10]).all(), "beyond the image its edge is repeated"
    assert (framed.pixels[:, 10] != framed.pixels[:, 11]).any()


def test_framing_the_canvas_size_changes_nothing() -> None:
    image = Image.fromarray(photograph("flower"))
    framed = frame(image, Canvas(427, 640, 3))
    assert (framed.pixels == photograph("flower").transpose(2, 0, 1)).all()
    assert (framed.transform == np.eye(3)).all()


def test_a_canvas_is_covered_by_the_centre() -> None:
    """As the papers on ImageNet: shorter side to 64, then the central square; Pillow does the same."""
    image = Image.fromarray(photograph("china"))  # 640x427
    framed = frame(image, Canvas(64, 64, 3, framing="cover"))
    assert framed.size == (427, 640)
    expected = image.resize((96, 64), Image.Resampling.BILINEAR).crop((16, 0, 80, 64))
    assert (framed.pixels == np.asarray(expected).transpose(2, 0, 1)).all()
    np.testing.assert_allclose(framed.transform, [[96 / 640, 0, -16], [0, 64 / 427, 0], [0, 0, 1]], rtol=1e-6)
    assert (framed.transform @ [320, 213.5, 1])[:2].tolist() == pytest.approx([32, 32], abs=1e-4)
    upright = frame(image.rotate(90, expand=True), Canvas(64, 64, 3, framing="cover"))
    np.testing.assert_allclose(upright.transform[:2, 2], [0, -16])
    deep = np.arange(6 * 9, dtype=np.uint16).reshape(6, 9, 1) * 900
    cut = frame(deep, Canvas(6, 6, 1, "uint16", framing="cover"))
    assert (cut.pixels[0] == deep[:, 1:7, 0]).all(), "of three columns too many one is cut on the left"
    assert cut.transform.tolist() == [[1, 0, -1], [0, 1, 0], [0, 0, 1]]


def test_only_what_is_shown_of_a_covering_image_is_computed() -> None:
    strip = Image.fromarray(photograph("china")[200:204])  # 640x4
    with pytest.MonkeyPatch.context() as patch:
        sizes: list[tuple[int, int]] = []
        resize = Image.Image.resize
        patch.setattr(
            Image.Image,
            "resize",
            lambda self, size, *a, **k: (sizes.append(size), resize(self, size, *a, **k))[1],
        )
        cover = Canvas(64, 64, 3, framing="cover")
        found = [frame(strip, cover), frame(strip, cover, quickly=True), frame(np.asarray(strip), cover)]
    assert sizes == [(64, 64)] * 5
    expected = strip.resize((10240, 64), Image.Resampling.BILINEAR).crop((5088, 0, 5152, 64))
    for framed in found:
        assert np.abs(framed.pixels - np.asarray(expected, dtype=int).transpose(2, 0, 1)).max() <= 1
        np.testing.assert_allclose(framed.transform, [[16, 0, -5088], [0, 16, 0], [0, 0, 1]])
    portrait = Image.fromarray(photograph("china")).rotate(90, expand=True)
    exact, quick = (frame(portrait, cover, quickly=q).pixels.astype(int) for q in (False, True))
    assert np.abs(exact - quick).max() <= 1


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300), st.sampled_from(["whole", "cover"]))
def test_where_an_image_lies_is_known_without_it(width: int, height: int, side: int, framing: str) -> None:
    canvas = Canvas(side, 40, 1, framing=framing)  # type: ignore[arg-type]
    framed = frame(np.zeros((height, width, 1), dtype=np.uint8), canvas)
    assert framed.pixels.shape == (1, side, 40)
    told = _fit_transforms(np.array([[height, width]], dtype=np.int32), canvas)[0]
    assert (told == framed.transform).all()
    corners = framed.transform @ np.array([[0, width], [0, height], [1, 1]])
    outside = framing == "cover"
    assert (corners[:2, 0] <= 0).all() if outside else (corners[:2, 0] >= 0).all()
    shown = corners[:2, 1] / np.array([40, side])
    assert (shown >= 1 - 1e-3).all() if outside else (shown <= 1 + 1e-3).all()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1023, 640), (640, 1021), (1024, 1024), (200, 130)])
def test_a_covered_canvas_may_be_read_small_too(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(photograph("china")).resize(size)
    path = save(tmp_path / "x.jpg", image, exif=exif, quality=95)
    for canvas in (Canvas(36, 36, 3, framing="cover"), Canvas(30, 50, 1, framing="cover")):
        exact, reduced = (read_framed(path, canvas, reduced=r) for r in (False, True))
        assert exact.size == reduced.size
        assert (exact.transform == reduced.transform).all()
        assert np.abs(exact.pixels.astype(int) - reduced.pixels).mean() < 2.5
        of_content = read_framed(path.read_bytes(), canvas, reduced=True)
        assert (of_content.pixels == reduced.pixels).all()
    file = save(tmp_path / "x.png", image)
    for r in (False, True):
        assert read_framed(file, Canvas(36, 36, 3, framing="cover"), reduced=r).size == (size[1], size[0])
    seen: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        load = Image.Image.resize
        patch.setattr(
            Image.Image, "resize", lambda self, *a, **k: (seen.append(self.size), load(self, *a, **k))[1]
        )
        read_framed(path, Canvas(36, 36, 3, framing="cover"), reduced=True)
    if min(size) >= 8 * 36:
        assert max(seen[0]) < max(size) / 2, "decoded at a fraction of its size"


def test_what_names_a_cache_tells_framings_apart_and_is_as_ever_for_whole_ones() -> None:
    whole, cover = Canvas(8, 8, 3), Canvas(8, 8, 3, framing="cover")
    assert repr(whole) == "Canvas(height=8, width=8, channels=3, depth='uint8', pages='')"
    assert repr(cover) == "Canvas(height=8, width=8, channels=3, depth='uint8', pages='', framing='cover')"
    assert whole != cover


@pytest.mark.parametrize(
    ("canvas", "size", "fit"),
    [((28, 28), (32, 32), "pad"), ((8, 8), (32, 32), "resize"), ((32, 32), (32, 32), "none"),
     ((16, 16), (32, 32), "resize"), ((17, 17), (32, 32), "pad"), ((40, 40), (32, 32), "resize")],
)  # fmt: skip
def test_how_a_canvas_becomes_an_input(canvas: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    assert choose_fit(canvas, size) == fit


def test_preprocessing_by_hand() -> None:
    module = Preprocessing(size=(4, 4), fit="pad", mean=[0.5], std=[0.25])
    image = torch.tensor([[[[0, 255], [51, 102]]]], dtype=torch.uint8)
    out = module(image)[0, 0]
    row0, row1 = [-2.0, -2.0, 2.0, 2.0], [-1.2, -1.2, -0.4, -0.4]
    assert torch.allclose(out, torch.tensor([row0, row0, row1, row1]))
    assert module.transform(2, 2).tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 1]]


def test_preprocessing_comes_back_from_its_settings_and_holds_no_weights() -> None:
    module = Preprocessing(size=(5, 7), fit="resize", mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0])
    again = Preprocessing(**module.settings())
    image = torch.arange(3 * 4 * 4, dtype=torch.uint8).reshape(1, 3, 4, 4)
    assert torch.equal(module(image), again(image))
    assert module(image).shape == (1, 3, 5, 7)
    assert dict(module.state_dict()) == {}
    assert list(module.parameters()) == []


def test_a_window_of_the_canvas_by_hand() -> None:
    module = Preprocessing(size=(2, 2), fit="crop", window=0.5, mean=[0.0], std=[1.0])
    image = torch.arange(0, 160, 10, dtype=torch.uint8).reshape(1, 1, 4, 4)
    assert (module(image)[0, 0] * 255).round().tolist() == [[50, 60], [90, 100]]
    assert torch.equal(module(image), image[:, :, 1:3, 1:3] * torch.tensor(1 / 255)), (
        "cut out, not interpolated"
    )
    assert module.transform(4, 4).tolist() == [[1, 0, -1], [0, 1, -1], [0, 0, 1]]
    assert torch.equal(module.values(image), image * torch.tensor(1 / 255)), (
        "augmentation cuts its own windows"
    )
    large = Preprocessing(size=(4, 6), fit="crop", window=0.5, mean=[0.0], std=[1.0])
    wide = torch.rand(1, 1, 8, 8, generator=torch.manual_seed(0)) * 255
    expected = F.interpolate(
        wide[:, :, 2:6, 2:6] * torch.tensor(1 / 255), (4, 6), mode="bilinear", antialias=True
    )
    assert torch.equal(large(wide), expected)
    assert large.transform(8, 8).tolist() == [[1.5, 0, -3], [0, 1, -2], [0, 0, 1]]


def test_the_papers_window_is_224_of_256() -> None:
    module = Preprocessing(size=(224, 224), fit="crop", mean=[0.0] * 3, std=[1.0] * 3)
    image = torch.randint(256, (1, 3, 256, 256), dtype=torch.uint8, generator=torch.manual_seed(0))
    assert torch.equal(module(image), image[:, :, 16:240, 16:240] * torch.tensor(1 / 255))


def test_the_window_is_said_only_where_one_is_cut() -> None:
    cut = Preprocessing(size=(3, 3), fit="crop", window=0.75, mean=[0.1], std=[1.0])
    assert cut.settings()["window"] == 0.75
    again = Preprocessing(**cut.settings())
    image = torch.randint(256, (1, 1, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(1))
    assert torch.equal(again(image), cut(image))
    assert not torch.equal(Preprocessing(**(cut.settings() | {"window": 0.5}))(image), cut(image))
    assert "window" not in Preprocessing(size=(3, 3), fit="resize", mean=[0.1], std=[1.0]).settings()
    for window in (0.0, 1.1):
        with pytest.raises(ArgumentError, match="above 0 to 1"):
            Preprocessing(size=(3, 3), fit="crop", window=window, mean=[0.1], std=[1.0])


EVERYTHING = Augmentation(crop=0.2, flip="both", rotate=30, zoom=0.2, colour=0.3, erase=0.5)


def some_images(n: int = 12, channels: int = 3, size: int = 16) -> torch.Tensor:
    flower = torch.from_numpy(photograph("flower")).permute(2, 0, 1).float() / 255
    return torch.stack([flower[:channels, 20 * i : 20 * i + size, 30 * i : 30 * i + size] for i in range(n)])


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_is_an_images_own_affair(channels: int) -> None:
    """Whatever batch an image is in, it is changed alike: a wrong design draws per batch."""
    images, ids, draws = some_images(channels=channels), np.arange(12) + 100, Draws(4, 7)
    whole, matrices = augment(images, EVERYTHING, draws, ids)
    for rows in ([5], [11, 2, 7]):
        part, part_matrices = augment(images[rows], EVERYTHING, draws, ids[rows])
        assert torch.allclose(part, whole[rows], atol=1e-6)
        assert (part_matrices == matrices[rows]).all()
    other, _ = augment(images, EVERYTHING, Draws(4, 8), ids)
    assert not torch.allclose(other, whole)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1


def test_nothing_chosen_changes_nothing() -> None:
    images = some_images()
    out, matrices = augment(images, Augmentation(), Draws(0), np.arange(12))
    assert torch.equal(out, images)
    assert (matrices == np.eye(3)).all()


def test_whole_pixel_moves_are_exact_and_agree_with_interpolation() -> None:
    images = some_images()
    settings = Augmentation(crop=0.25, flip="both")
    matrices = geometry(settings, (16, 16), Draws(1), np.arange(12))
    exact, blended = warp(images, matrices, whole_pixels=True), warp(images, matrices)
    assert torch.allclose(exact, blended, atol=1e-5)
    assert set(exact.flatten().tolist()) <= set(images.flatten().tolist())
    assert not torch.equal(exact, images)


def test_a_shift_by_hand() -> None:
    image = torch.arange(9, dtype=torch.float32).reshape(1, 1, 3, 3)
    right = np.array([[[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]])
    expected = torch.tensor([[0.0, 0, 1], [3, 3, 4], [6, 6, 7]])
    assert torch.equal(warp(image, right, whole_pixels=True)[0, 0], expected)


def test_points_go_where_pixels_go() -> None:
    """A bright pixel is found where its matrix says: what a box or a mask would rely on."""
    image = torch.zeros(40, 1, 33, 33)
    image[:, :, 10:13, 20:23] = 1.0
    settings = Augmentation(crop=0.1, flip="both", rotate=45, zoom=0.2)
    moved, matrices = augment(image, settings, Draws(2), np.arange(40))
    for i in range(40):
        x, y, _ = matrices[i] @ np.array([21.5, 11.5, 1.0])
        if 3 < x < 30 and 3 < y < 30:
            weights = moved[i, 0] / moved[i, 0].sum()
            centre = torch.arange(33) + 0.5
            assert float((weights.sum(0) * centre).sum()) == pytest.approx(x, abs=0.1)
            assert float((weights.sum(1) * centre).sum()) == pytest.approx(y, abs=0.1)


def test_half_of_all_images_are_mirrored_and_shifts_reach_both_ends() -> None:
    matrices = geometry(Augmentation(crop=0.125, flip="horizontal"), (32, 32), Draws(0), np.arange(4000))
    mirrored = matrices[:, 0, 0] < 0
    assert 0.46 < mirrored.mean() < 0.54
    assert set(matrices[~mirrored, 0, 2]) == set(range(-4, 5))
    assert (matrices[:, 1, 1] == 1).all()


def test_erasing_paints_the_mean_of_about_as_many_as_asked() -> None:
    images = some_images().repeat(50, 1, 1, 1)
    out, _ = augment(images, Augmentation(erase=0.5), Draws(0), np.arange(600))
    changed = (out != images).flatten(1).any(dim=1)
    assert 0.42 < float(changed.float().mean()) < 0.58
    first = int(changed.nonzero()[0])
    mean = images[first].mean(dim=(1, 2))
    painted = (out[first] != images[first]).any(dim=0)
    assert torch.allclose(out[first][:, painted], mean[:, None].expand(-1, int(painted.sum())))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="less than 1"):
        Augmentation(crop=1.5)
