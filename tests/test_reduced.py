"""The quicker ways of training: reduced decoding, resizing by torch, edges, grids."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sightline.imaging import Canvas, Preprocessing, UnreadableImageError, frame, photograph, read_framed
from sightline.imaging._augment import _affine_grid
from sightline.imaging._decode import decode_fitted, fitted_size


def jpeg(width: int, height: int, orientation: int = 1, mode: str = "RGB", quality: int = 95) -> bytes:
    """A part of a photograph, as stored; how it is shown is the orientation's."""
    image = Image.fromarray(photograph("china")).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.convert(mode).save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_image_lies_where_the_whole_does(orientation: int) -> None:
    """At 1/8, 641x425 becomes 81x54, the last column and row of which lie 7/8 beyond the image."""
    content, canvas = jpeg(641, 425, orientation), Canvas(32, 32, 3)
    whole, reduced = (read_framed(content, canvas, reduced=r) for r in (False, True))
    assert reduced.size == whole.size == ((425, 641) if orientation < 5 else (641, 425))
    assert np.array_equal(reduced.transform, whole.transform)
    wrong = np.abs(reduced.pixels.astype(int) - whole.pixels)
    assert 0 < wrong.mean() < 1.0


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_fits_is_what_is_shown(orientation: int) -> None:
    """640x424 is shown upright where EXIF says so, and fits a low box by its height."""
    shown = (640, 424) if orientation == 1 else (424, 640)
    image, whole = decode_fitted(jpeg(640, 424, orientation), 3, (64, 24))
    assert whole == shown
    assert image.size == ((36, 24) if orientation == 1 else (16, 24))


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((399, 300), False), ((400, 300), True), ((400, 100), True), ((300, 400), True), ((300, 399), False)],
)
def test_a_jpeg_is_reduced_from_twice_what_fits(size: tuple[int, int], reduced: bool) -> None:
    """400x100 fits 100x100 as 100x25: its sides are both four times that, though one is below 200."""
    image, whole = decode_fitted(jpeg(*size), 3, (100, 100))
    assert whole == size
    assert image.size == (fitted_size(size, (100, 100)) if reduced and max(size) >= 200 else size)


def test_each_scale_is_the_smallest_that_is_twice_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import JpegImagePlugin

    sides = {100: 100, 199: 199, 200: 100, 399: 200, 400: 100, 801: 101}
    files = {side: jpeg(side, side) for side in sides}
    decoded = []
    load = JpegImagePlugin.JpegImageFile.load

    def loaded(image: Image.Image) -> object:
        decoded.append(image.size)
        return load(image)  # type: ignore[arg-type]

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", loaded)
    for side, expected in sides.items():
        decoded.clear()
        decode_fitted(files[side], 3, (50, 50))
        assert decoded[0] == (expected, expected)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_are_reduced_too(mode: str) -> None:
    content = jpeg(640, 480, mode=mode)
    for channels in (1, 3):
        whole, reduced = (
            read_framed(content, Canvas(64, 64, channels), reduced=r).pixels.astype(int)
            for r in (False, True)
        )
        assert 0 < np.abs(whole - reduced).mean() < 1.5


def test_a_truncated_file_is_named_when_reduced() -> None:
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_framed(jpeg(640, 480)[:5000], Canvas(32, 32, 3), reduced=True)


def test_what_is_no_jpeg_is_never_reduced() -> None:
    file = io.BytesIO()
    Image.fromarray(photograph("flower")).save(file, "PNG")
    image, whole = decode_fitted(file.getvalue(), 3, (32, 32))
    assert image.size == whole == (640, 427)
    assert np.array_equal(np.asarray(image), photograph("flower"))


@pytest.mark.parametrize("side", [37, 64, 224])
def test_torch_resizes_as_pillow_does(side: int) -> None:
    for name in ("china", "flower"):
        image, canvas = Image.fromarray(photograph(name)), Canvas(side, side, 3)
        exact, quick = (frame(image, canvas, quickly=q).pixels.astype(int) for q in (False, True))
        wrong = np.abs(exact - quick)
        assert wrong.max() <= 1
        assert (wrong > 0).mean() < 0.005


def test_only_training_is_quick() -> None:
    """What is not reduced is Pillow's pixels, value for value."""
    content = jpeg(300, 200)
    image = Image.open(io.BytesIO(content)).resize((96, 64), Image.Resampling.BILINEAR)
    expected = np.pad(np.asarray(image).transpose(2, 0, 1), ((0, 0), (16, 16), (0, 0)), mode="edge")
    assert np.array_equal(read_framed(content, Canvas(96, 96, 3)).pixels, expected)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (32, 32), (33, 1), (1, 33), (500, 3)])
def test_edges_are_those_of_numpy(size: tuple[int, int]) -> None:
    image, canvas = Image.fromarray(photograph("china")).resize(size), Canvas(32, 32, 3)
    width, height = fitted_size(size, (32, 32))
    inside = (
        image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    )
    top, left = (32 - height) // 2, (32 - width) // 2
    around = ((0, 0), (top, 32 - height - top), (left, 32 - width - left))
    expected = np.pad(np.asarray(inside).transpose(2, 0, 1), around, mode="edge")
    assert np.array_equal(frame(image, canvas).pixels, expected)


def test_the_grid_is_that_of_torch() -> None:
    theta = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = F.affine_grid(theta, [5, 3, 7, 12], align_corners=False)
    torch.testing.assert_close(_affine_grid(theta, 7, 12), expected, rtol=1e-6, atol=1e-6)


def test_normalising_changes_no_input() -> None:
    module = Preprocessing(size=(4, 4), fit="none", mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    assert torch.equal(module.normalise(x), (before - module.mean) / module.std)
    assert torch.equal(x, before)
