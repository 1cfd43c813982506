"""What the papers do to training images: by hand, by formula, against Pillow, by property."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageOps

from sightline.base import ArgumentError, Draws
from sightline.data import choose_sizes, open_batches, open_images
from sightline.imaging import Augmentation, Canvas, augment, colour_axes, geometry, photograph, warp
from sightline.imaging._trivial import (
    OPERATIONS,
    STRENGTHS,
    choose_operations,
    colour_operations,
    move_matrices,
)
from sightline.inference import Belongings, Predictor, assumed_header, create_model, resolve
from sightline.records import ModelHeader, read_header, save_model_file

ALEXNET = (256 / 224, 256 / 224)
VGG = (256 / 224, 512 / 224)


def crops(n: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    china = torch.from_numpy(photograph("china")).permute(2, 0, 1).float() / 255
    return torch.stack(
        [china[:channels, 11 * i : 11 * i + height, 17 * i : 17 * i + width] for i in range(n)]
    )


def shift(x: float) -> np.ndarray:
    return np.array([[[1.0, 0, x], [0, 1, 0], [0, 0, 1]]])


ROW = torch.tensor([[[[0.0, 1, 2, 3]] * 4]])


# -- beyond the border ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "by_two", "by_a_half"),
    [("edge", [0, 0, 0, 1], [0, 0.5, 1.5, 2.5]), ("mean", [9, 9, 0, 1], [4.5, 0.5, 1.5, 2.5]),
     ("reflect", [2, 1, 0, 1], [0.5, 0.5, 1.5, 2.5])],
)  # fmt: skip
def test_what_lies_beyond_the_border_by_hand(fill: str, by_two: list[int], by_a_half: list[float]) -> None:
    for whole_pixels in (True, False):
        moved = warp(ROW, shift(2), whole_pixels=whole_pixels, fill=fill, mean=[9.0])  # type: ignore[arg-type]
        torch.testing.assert_close(moved, torch.tensor([[[by_two] * 4]]).float(), rtol=0, atol=1e-5)
    half = warp(ROW, shift(0.5), fill=fill, mean=torch.tensor([9.0]))  # type: ignore[arg-type]
    torch.testing.assert_close(half, torch.tensor([[[by_a_half] * 4]]), rtol=0, atol=1e-5)


def test_a_reflection_is_numpys_however_far() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    far = np.pad(image[0, 0].numpy(), ((7, 7), (9, 9)), mode="reflect")
    for x, y in ((5, -4), (-9, 7), (3, 3)):
        matrix = np.array([[[1.0, 0, x], [0, 1, y], [0, 0, 1]]])
        for whole_pixels in (True, False):
            moved = warp(image, matrix, whole_pixels=whole_pixels, fill="reflect")[0, 0]
            expected = torch.from_numpy(far[7 - y : 10 - y, 9 - x : 13 - x])
            torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4)
    one = torch.tensor([[[[5.0]]]])
    assert warp(one, shift(3), whole_pixels=True, fill="reflect").item() == 5.0


def test_the_mean_is_zero_once_normalised_and_must_be_there() -> None:
    images, mean = crops(8, 12, 12), torch.tensor([0.3, 0.5, 0.7]).view(1, 3, 1, 1)
    settings, draws, ids = Augmentation(crop=0.25, fill="mean"), Draws(0), np.arange(8)
    moved, matrices = augment(images, settings, draws, ids, mean=mean)
    padded = F.pad(images - mean, (3, 3, 3, 3))  # as in the papers
    for i in range(8):
        x, y = (3 - int(matrices[i, axis, 2]) for axis in (0, 1))
        expected = padded[i, :, y : y + 12, x : x + 12]
        torch.testing.assert_close(moved[i] - mean[0], expected, rtol=0, atol=1e-6)
    with pytest.raises(ArgumentError, match="no mean of the training images is given"):
        augment(images, settings, draws, ids)


# -- mirrors -------------------------------------------------------------------------------------------


def test_alternating_flips_are_random_once_and_then_opposite() -> None:
    settings, ids = Augmentation(flip="alternating"), np.arange(2000)
    mirrored = [
        geometry(settings, (8, 8), Draws(5, epoch), ids)[:, 0, 0] < 0 for epoch in range(4)
    ]  # fmt: skip
    assert 0.45 < mirrored[0].mean() < 0.55
    for before, after in itertools.pairwise(mirrored):
        assert (after == ~before).all()
    some = [1999, 3, 700]
    assert (geometry(settings, (8, 8), Draws(5, 1), np.array(some))[:, 0, 0] < 0).tolist() == mirrored[1][
        some
    ].tolist()
    other = geometry(settings, (8, 8), Draws(6, 0), ids)[:, 0, 0] < 0
    assert 0.4 < (other == mirrored[0]).mean() < 0.6
    images = crops(4, 8, 8)
    seen = [augment(images, settings, Draws(5, epoch), ids[:4])[0] for epoch in (0, 1)]
    assert torch.equal(seen[0], seen[1].flip(3))
    assert (geometry(settings, (8, 8), Draws(5, 0), ids)[:, 1, 1] > 0).all()


# -- windows -------------------------------------------------------------------------------------------


def test_alexnets_windows_are_pieces_of_the_canvas() -> None:
    images, ids = crops(1, 8, 8).expand(600, 3, 8, 8), np.arange(600)
    settings = Augmentation(scale=(8 / 6, 8 / 6))
    cut, matrices = augment(images, settings, Draws(1), ids, size=(6, 6))
    assert cut.shape == (600, 3, 6, 6)
    seen = set()
    for i in range(600):
        x, y = -int(matrices[i, 0, 2]), -int(matrices[i, 1, 2])
        assert torch.equal(cut[i], images[i, :, y : y + 6, x : x + 6]), "to the bit: nothing is interpolated"
        assert matrices[i].tolist() == [[1, 0, -x], [0, 1, -y], [0, 0, 1]]
        seen.add((x, y))
    assert seen == {(x, y) for x in range(3) for y in range(3)}


def test_alexnets_own_sizes_need_no_interpolation() -> None:
    image = crops(2, 256, 256)
    cut, matrices = augment(
        image, Augmentation(scale=ALEXNET, flip="horizontal"), Draws(3), np.arange(2), size=(224, 224)
    )
    assert set(np.abs(matrices[:, :2, :2]).flatten()) == {0.0, 1.0}
    assert set(cut[0].flatten().tolist()) <= set(image[0].flatten().tolist())
    places = geometry(Augmentation(scale=ALEXNET), (256, 256), Draws(0), np.arange(6000), given=(224, 224))
    assert set(places[:, 0, 2]) == set(range(-32, 1)), "33 places, as many as there are"


def test_scale_jitter_is_an_enlarged_image_cut() -> None:
    images, ids = crops(30, 16, 16), np.arange(30)
    cut, matrices = augment(images, Augmentation(scale=(1.0, 2.0)), Draws(2), ids, size=(16, 16))
    sides = 16 * matrices[:, 0, 0]
    assert len(set(sides.round())) > 10
    for i in range(30):
        side, x, y = round(sides[i]), -round(matrices[i, 0, 2]), -round(matrices[i, 1, 2])
        assert np.allclose(matrices[i], [[side / 16, 0, -x], [0, side / 16, -y], [0, 0, 1]])
        large = F.interpolate(images[i : i + 1], (side, side), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(cut[i], large[:, y : y + 16, x : x + 16], rtol=0, atol=1e-5)


def test_the_shorter_side_is_drawn_evenly_between_both_ends() -> None:
    matrices = geometry(Augmentation(scale=VGG), (512, 512), Draws(0), np.arange(20_000), given=(224, 224))
    sides = 512 * matrices[:, 0, 0]
    assert (sides.min(), sides.max()) == pytest.approx((256, 512), abs=1e-9)
    assert np.histogram(sides, 8, (256, 512))[0] == pytest.approx(2500, abs=250)
    inside = -matrices[:, 0, 2] / np.maximum(sides - 224, 1)
    assert (inside.min(), inside.max()) == pytest.approx((0, 1), abs=0.01)
    assert abs(np.corrcoef(matrices[:, 0, 2] / sides, matrices[:, 1, 2] / sides)[0, 1]) < 0.5
    wide = geometry(Augmentation(scale=(1.0, 1.0)), (6, 9), Draws(0), np.arange(99), given=(4, 4))
    assert np.allclose(wide[:, 0, 0], 6 / 9)
    assert np.allclose(wide[:, 1, 1], 4 / 6)
    assert set(wide[:, 0, 2]) == {0, -1, -2}
    assert set(wide[:, 1, 2]) == {0}


def test_googlenets_windows_have_the_areas_and_ratios_asked_for() -> None:
    settings, ids = Augmentation(area=(0.08, 1.0)), np.arange(20_000)
    matrices = geometry(settings, (256, 256), Draws(0), ids, given=(224, 224))
    wide, high = 224 / matrices[:, 0, 0], 224 / matrices[:, 1, 1]
    share = wide * high / 256**2
    assert np.histogram(share, 4, (0.08, 1))[0] == pytest.approx(5000, abs=300), "those cut at a side too"
    ratio = np.log(wide / high)
    assert np.abs(ratio).max() <= math.log(4 / 3) + 1e-9
    small = ratio[share < 0.7]  # fits whatever its ratio
    assert np.histogram(small, 4, (-math.log(4 / 3), math.log(4 / 3)))[0] == pytest.approx(
        len(small) / 4, rel=0.08
    )
    for axis, side in ((0, wide), (1, high)):
        start = -matrices[:, axis, 2] / matrices[:, axis, axis]
        assert start.min() >= 0
        assert (start + side).max() <= 256 + 1e-9
        free = 256 - side > 1
        assert np.mean(start[free] / (256 - side[free])) == pytest.approx(0.5, abs=0.02)
    whole = geometry(Augmentation(area=(1.0, 1.0), aspect=3.0), (6, 9), Draws(0), ids[:50], given=(4, 4))
    assert np.allclose(whole, np.diag([4 / 9, 4 / 6, 1])), "the whole image, whatever ratio was drawn"
    square = geometry(Augmentation(area=(0.25, 0.25), aspect=1.0), (8, 8), Draws(0), ids[:9], given=(4, 4))
    assert np.allclose(square[:, [0, 1], [0, 1]], 1.0)


def test_a_window_shows_what_its_matrix_says() -> None:
    """Of a picture of its own coordinates bilinear interpolation gives the coordinates back."""
    x = torch.arange(32.0).expand(32, 32) + 0.5
    images = torch.stack([x, x.T]).expand(20, 2, 32, 32)
    for settings in (
        Augmentation(area=(0.3, 0.9), flip="both"),
        Augmentation(scale=(1.1, 1.4), rotate=20, flip="alternating"),
    ):
        cut, matrices = augment(images, settings, Draws(4), np.arange(20), size=(24, 24))
        columns, rows = np.meshgrid(np.arange(24) + 0.5, np.arange(24) + 0.5)
        points = np.stack([columns, rows, np.ones_like(rows)])
        sources = np.einsum("nij,jhw->nihw", np.linalg.inv(matrices), points)[:, :2]
        inside = ((sources > 0.5) & (sources < 31.5)).all(axis=1, keepdims=True).repeat(2, 1)
        assert inside.mean() > 0.7
        assert np.abs(cut.numpy() - sources)[inside].max() < 1e-3


def test_what_shrinks_is_averaged_first_each_image_for_itself() -> None:
    board = torch.tensor([[0.0, 1], [1, 0]]).repeat(4, 4)[None, None]
    small, matrices = augment(board, Augmentation(), Draws(0), np.arange(1), size=(4, 4))
    assert torch.equal(small, torch.full((1, 1, 4, 4), 0.5))
    assert np.allclose(matrices, np.diag([0.5, 0.5, 1]))
    image = crops(1, 12, 12)
    third = augment(image, Augmentation(), Draws(0), np.arange(1), size=(4, 4))[0]
    torch.testing.assert_close(third, F.avg_pool2d(image, 3), rtol=0, atol=1e-6)
    barely = augment(crops(1, 10, 10), Augmentation(), Draws(0), np.arange(1), size=(7, 7))[0]
    plain = warp(crops(1, 10, 10), np.diag([0.7, 0.7, 1])[None], size=(7, 7))
    assert torch.equal(barely, plain), "10 to 7 is less than 1.5"
    half = augment(crops(1, 12, 12), Augmentation(), Draws(0), np.arange(1), size=(8, 8))[0]
    assert not torch.equal(half, warp(crops(1, 12, 12), np.diag([2 / 3, 2 / 3, 1])[None], size=(8, 8)))


NEW = (
    Augmentation(crop=0.2, flip="alternating", fill="reflect"),
    Augmentation(scale=(1.0, 4.0), rotate=5, fill="mean", erase=0.3),
    Augmentation(scale=(4.0, 4.0), flip="horizontal"),
    Augmentation(area=(0.08, 1.0), flip="horizontal", colour=0.2, pca=0.1, pca_axes=((0.2, 0.1, 0.1),) * 3),
    Augmentation(area=(0.5, 1.0), trivial=True, fill="mean"),
)


@pytest.mark.parametrize("settings", NEW)
def test_whatever_is_new_is_an_images_own_affair_too(settings: Augmentation) -> None:
    """Whatever batch an image is in, it is changed alike: which images shrink in it, too."""
    images, ids, draws = crops(24, 32, 32), np.arange(24) * 5 + 2, Draws(4, 3)
    size = (8, 8)
    whole, matrices = augment(images, settings, draws, ids, size=size, mean=[0.5] * 3)
    assert whole.shape == (24, 3, *size)
    for rows in ([5], [23, 2, 7]):
        part, part_matrices = augment(images[rows], settings, draws, ids[rows], size=size, mean=[0.5] * 3)
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=2e-6)
        assert (part_matrices == matrices[rows]).all()


def test_settings_that_contradict_themselves_are_refused() -> None:
    for wrong, said in (
        ({"scale": (1.0, 2.0), "area": (0.1, 1.0)}, "exclude each other"),
        ({"scale": (0.9, 2.0)}, "from 1 on"),
        ({"scale": (2.0, 1.5)}, "from 1 on"),
        ({"area": (0.0, 1.0)}, "shares above 0"),
        ({"area": (0.5, 1.1)}, "shares above 0"),
        ({"aspect": 0.5}, "greater than or equal to 1"),
        ({"fill": "zeros"}, "'edge', 'mean' or 'reflect'"),
        ({"pca": -0.1}, "greater than or equal to 0"),
    ):
        with pytest.raises(ValueError, match=said):
            Augmentation(**wrong)  # type: ignore[arg-type]


# -- colour --------------------------------------------------------------------------------------------


def test_the_axes_of_colours_by_hand() -> None:
    """Red varies by 0.04 alone; green and blue together, by 0.01 each: 0.02 along their diagonal."""
    red = torch.tensor([0.1, 0.5, 0.1, 0.5])
    green = torch.tensor([0.4, 0.4, 0.6, 0.6])
    axes = colour_axes([torch.stack([red, green, green]).reshape(1, 3, 2, 2)])
    half = math.sqrt(0.5)
    expected = [[0.04, 0, 0], [0, 0.02 * half, 0.02 * half], [0, 0, 0]]
    np.testing.assert_allclose(axes, expected, atol=1e-8)


def test_the_axes_of_colours_do_not_depend_on_batches_and_are_numpys() -> None:
    images = crops(12, 16, 20)
    one = np.array(colour_axes([images]))
    np.testing.assert_allclose(one, colour_axes(images.split(5)), rtol=0, atol=1e-12)
    pixels = images.permute(1, 0, 2, 3).reshape(3, -1).double().numpy()
    lengths = np.linalg.norm(one, axis=1)
    assert lengths[0] > lengths[1] > lengths[2] > 0
    np.testing.assert_allclose(
        np.cov(pixels, ddof=0), (one / lengths[:, None]).T @ np.diag(lengths) @ (one / lengths[:, None]),
        rtol=0, atol=1e-9,
    )  # fmt: skip
    for wrong, said in ((crops(1, 4, 4, channels=1), "RGB"), (images[0], "RGB")):
        with pytest.raises(ArgumentError, match=said):
            colour_axes([wrong])
    with pytest.raises(ArgumentError, match="no images"):
        colour_axes([])


def test_pca_adds_one_colour_to_each_image_and_clamps_nothing() -> None:
    images, ids, draws = crops(20, 2, 2).repeat(25, 1, 1, 1), np.arange(500), Draws(0)
    axes = ((1.0, 2.0, 3.0), (0.0, 1.0, 0.0), (0.5, 0.0, -0.5))
    out, _ = augment(images, Augmentation(pca=0.1, pca_axes=axes), draws, ids)
    added = (out - images).double()
    assert float(added.std(dim=(2, 3)).max()) < 1e-6
    amounts = np.linalg.solve(np.array(axes).T, added.mean((2, 3)).numpy().T).T
    np.testing.assert_allclose(amounts, 0.1 * draws.normal("pca", ids, 3), atol=1e-5)
    assert amounts.std(axis=0) == pytest.approx(0.1, abs=0.01)
    assert float(out.max()) > 1.0
    assert float(out.min()) < 0.0
    grey = images[:, :1]
    assert torch.equal(augment(grey, Augmentation(pca=0.1), draws, ids)[0], grey)
    with pytest.raises(ArgumentError, match="needs the three pca_axes of the training colours; it has 0"):
        augment(images, Augmentation(pca=0.1), draws, ids)


# -- TrivialAugment ------------------------------------------------------------------------------------


def test_every_operation_and_strength_is_as_likely_as_another() -> None:
    chosen, strengths = choose_operations(Draws(0), np.arange(42_000))
    assert np.bincount(chosen, minlength=14) == pytest.approx(3000, abs=200)
    bins = np.rint(np.abs(strengths) * 30)
    assert np.abs(bins / 30 - np.abs(strengths)).max() < 1e-12
    assert np.bincount(bins.astype(int)) == pytest.approx(42_000 / STRENGTHS, rel=0.15)
    assert np.mean(strengths[strengths != 0] < 0) == pytest.approx(0.5, abs=0.02)


def test_moves_by_hand() -> None:
    chosen = np.arange(5)
    full, less = (move_matrices(chosen, np.full(5, s), (10, 20)) for s in (1.0, -1 / 30))
    assert full[0].tolist() == [[1, 0.99, 0], [0, 1, 0], [0, 0, 1]]
    assert full[1].tolist() == [[1, 0, 0], [0.99, 1, 0], [0, 0, 1]]
    assert full[2].tolist() == [[1, 0, 32], [0, 1, 0], [0, 0, 1]]
    assert full[3].tolist() == [[1, 0, 0], [0, 1, 32], [0, 0, 1]]
    assert less[2].tolist() == [[1, 0, -1], [0, 1, 0], [0, 0, 1]], "whole pixels: 1.07 are 1"
    centre = full[4] @ [10, 5, 1]
    assert centre == pytest.approx([10, 5, 1])
    assert (full[4] @ [11, 5, 1])[:2] - centre[:2] == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)])


def pillow(name: str, strength: float, image: Image.Image) -> Image.Image:
    """The operation as Pillow has it."""
    factor = 1 + 0.99 * strength
    if name in ("brightness", "saturation", "contrast", "sharpness"):
        kind = {"brightness": "Brightness", "saturation": "Color"}.get(name, name.title())
        return getattr(ImageEnhance, kind)(image).enhance(factor)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(6 * abs(strength)))
    if name == "solarize":
        return ImageOps.solarize(image, 255 - 255 * abs(strength))
    return {"autocontrast": ImageOps.autocontrast, "equalize": ImageOps.equalize}[name](image)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", OPERATIONS[5:-1])
def test_colours_are_pillows(name: str, mode: str) -> None:
    strengths = np.array([-1, -0.5, -1 / 30, 0, 0.2, 13 / 30, 1.0])
    pictures = [
        Image.fromarray(photograph("china")[30 * k : 30 * k + 40, 200:248]).convert(mode) for k in range(7)
    ]
    stored = np.stack([np.asarray(p).reshape(40, 48, -1) for p in pictures])
    images = torch.from_numpy(stored).permute(0, 3, 1, 2).float() / 255
    chosen = np.full(7, OPERATIONS.index(name))
    out = colour_operations(images, chosen, strengths).permute(0, 2, 3, 1).numpy() * 255
    assert (images.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8).tolist() == stored.tolist()
    tolerance = {"posterize": 1e-3, "solarize": 1e-3, "equalize": 1e-3, "sharpness": 2.0}.get(name, 1.51)
    for k, picture in enumerate(pictures):
        expected = np.asarray(pillow(name, strengths[k], picture)).reshape(40, 48, -1)
        if name == "saturation" and mode == "L":
            expected = stored[k]
        assert np.abs(out[k] - expected).max() < tolerance, strengths[k]
    # What must change, does.
    if name != "saturation" or mode == "RGB":
        assert np.abs(out[-1] - stored[-1]).max() > 5


@pytest.mark.parametrize("place", range(5))
def test_moves_are_pillows(place: int) -> None:
    picture = Image.fromarray(photograph("flower")[100:164, 200:264])
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    for strength in (-1.0, 0.4):
        matrices = move_matrices(np.array([place]), np.array([strength]), (64, 64))
        inverse = np.linalg.inv(matrices[0])[:2].flatten().tolist()
        expected = np.asarray(picture.transform((64, 64), Image.Transform.AFFINE, inverse, Image.BILINEAR))
        moved = warp(image, matrices, fill="mean", mean=[0.0] * 3)[0].permute(1, 2, 0).numpy() * 255
        inner = warp(torch.ones_like(image), matrices, fill="mean", mean=[0.0] * 3)[0, 0].numpy() > 0.999
        assert inner.sum() > 500
        assert np.abs(moved - expected)[inner].max() < 1.5


def test_one_operation_an_image_and_only_what_makes_sense_of_it() -> None:
    ids = np.arange(280)
    chosen, strengths = choose_operations(Draws(9), ids)
    images = (0.1 + 0.8 * torch.rand(1, 3, 16, 16, generator=torch.manual_seed(0))).expand(280, 3, 16, 16)
    out, matrices = augment(images, Augmentation(trivial=True), Draws(9), ids)
    assert torch.equal(images[0], images[1]), "what came in is left as it was"
    moves = (matrices != np.eye(3)).any(axis=(1, 2))
    assert (moves <= (chosen < 5)).all()
    torch.testing.assert_close(out[chosen == 13], images[chosen == 13], rtol=0, atol=1e-5)
    assert float(out.min()) >= 0.0
    assert float(out.max()) <= 1.0
    strong = (np.abs(strengths) > 0.3) | np.isin(chosen, (11, 12))
    changed = (out - images).abs().amax((1, 2, 3)).numpy() > 1e-3
    assert changed[strong & (chosen != 13)].all()
    five = torch.rand(280, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 3 - 1
    out, _ = augment(five, Augmentation(trivial=True), Draws(9), ids)
    torch.testing.assert_close(out[chosen >= 5], five[chosen >= 5], rtol=0, atol=1e-5)
    flat = torch.full((14, 3, 4, 4), 0.25)
    out = colour_operations(flat, np.arange(14), np.zeros(14))
    assert np.abs(out.numpy() - 0.25).max() < 1 / 255, "one colour has no contrast to stretch"


# -- what was there before -----------------------------------------------------------------------------


def test_old_settings_give_what_they_gave() -> None:
    """Recorded with the code before any of this (commit 73037b8), whole pixels only: no rounding differs."""
    images = torch.arange(24 * 3 * 12 * 12).reshape(24, 3, 12, 12).float() / 4096
    out, matrices = augment(
        images, Augmentation(crop=0.25, flip="both", transpose=True), Draws(3, 2), np.arange(24) * 7 + 3
    )
    digest = hashlib.blake2b(out.numpy().tobytes() + matrices.tobytes(), digest_size=8).hexdigest()
    assert digest == "7339891fafa6a3b3"


def test_what_is_new_draws_from_streams_of_its_own() -> None:
    old = Augmentation(crop=0.2, flip="both", rotate=20, zoom=0.1)
    ids = np.arange(50)
    before = geometry(old, (16, 16), Draws(1), ids)
    with_windows = Augmentation(crop=0.2, flip="both", rotate=20, zoom=0.1, scale=(1.0, 1.0))
    assert (geometry(with_windows, (16, 16), Draws(1), ids) == before).all()
    images = crops(20, 16, 16)
    plain = augment(images, Augmentation(colour=0.3), Draws(1), ids[:20])[0]
    axes = ((0.1, 0.0, 0.0),) * 3
    shifted = augment(images, Augmentation(colour=0.3, pca=0.1, pca_axes=axes), Draws(1), ids[:20])[0]
    torch.testing.assert_close(shifted[:, 1:], plain[:, 1:], rtol=0, atol=0)
    grey = augment(torch.full((20, 3, 1, 1), 0.2), Augmentation(colour=0.3), Draws(1), ids[:20])[0]
    brightness = 1.3 ** (
        2 * Draws(1).uniform("colour", ids[:20], 1)[:, 0] - 1
    )  # a grey pixel has nothing else
    np.testing.assert_allclose(grey[:, 0, 0, 0], 0.2 * brightness, rtol=1e-5)


# -- canvases of sets and of weights -------------------------------------------------------------------


def pictures(folder: Path, sizes: list[tuple[int, int]]) -> str:
    for k, size in enumerate(sizes):
        for label in "ab":
            (folder / label).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(photograph("china")).resize(size)
            picture.save(folder / label / f"{k}.png")
    return str(folder)


@pytest.mark.parametrize(
    ("sizes", "ratio", "canvas"),
    [([(50, 40), (90, 60)], 1.0, 28), ([(50, 40), (90, 60)], 8 / 7, 32), ([(80, 80)] * 2, 8 / 7, 32),
     ([(30, 30)] * 2, 8 / 7, 30), ([(30, 30)] * 2, 1.0, 28), ([(33, 33)] * 2, 8 / 7, 32),
     ([(14, 14)] * 2, 8 / 7, 14)],
)  # fmt: skip
def test_the_canvas_is_larger_than_the_network_where_windows_are_cut(
    tmp_path: Path, sizes: list[tuple[int, int]], ratio: float, canvas: int
) -> None:
    images = open_images(pictures(tmp_path, sizes))
    chosen, size = choose_sizes(images, (28, 28), "fixed", ratio=ratio, framing="cover")
    assert (chosen, size) == (Canvas(canvas, canvas, 3, framing="cover"), (28, 28))
    if ratio == 1.0:
        assert choose_sizes(images, (28, 28), "fixed") == (Canvas(canvas, canvas, 3), (28, 28))


def test_batches_know_where_images_lie_on_a_covered_canvas_and_keep_both_apart(tmp_path: Path) -> None:
    images = open_images(pictures(tmp_path, [(50, 40), (31, 66)]))
    order = [np.arange(len(images))]
    found = {}
    for framing in ("whole", "cover"):
        canvas = Canvas(20, 24, 3, framing=framing)  # type: ignore[arg-type]
        memory, workers = (
            next(iter(open_batches(images, canvas, path=path, workers=0).batches(order)))
            for path in ("memory", "workers")
        )
        assert torch.equal(memory.images, workers.images)
        assert torch.equal(memory.transforms, workers.transforms)
        found[framing] = memory
    assert not torch.equal(found["whole"].images, found["cover"].images)
    # 50x40 covers 24x20 at a half: one of 25 columns is left over, and cut off on the right
    assert found["cover"].transforms[0].tolist() == [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]]


def header_of(name: str, num_classes: int, tmp_path: Path) -> ModelHeader:
    file = tmp_path / f"{name}.pt"
    torch.save(create_model(name, num_classes=num_classes).state_dict(), file)
    names = [str(k) for k in range(num_classes)]
    return assumed_header(resolve(f"{name}@{file}"), Belongings(), names)[0]


def test_networks_of_imagenet_see_what_their_papers_show_them(tmp_path: Path) -> None:
    header = header_of("squeezenet1_1", 1000, tmp_path)
    assert header.framing == Canvas(256, 256, 3, framing="cover")
    assert (header.preprocessing["fit"], header.preprocessing["window"]) == ("crop", 224 / 256)
    predictor = Predictor(create_model("squeezenet1_1"), header)
    image = torch.randint(256, (1, 3, 256, 256), dtype=torch.uint8, generator=torch.manual_seed(0))
    given = predictor.preprocessing.scale(image)
    assert torch.equal(given, image[:, :, 16:240, 16:240] * torch.tensor(1 / 255))


def test_other_weights_see_whole_images(tmp_path: Path) -> None:
    for name, classes, side in (("resnet20", 10, 32), ("squeezenet1_1", 7, 224)):
        header = header_of(name, classes, tmp_path)
        assert header.framing == Canvas(side, side, 3)
        assert header.preprocessing["fit"] == "none"
        assert "window" not in header.preprocessing


def test_a_model_file_remembers_its_framing_and_older_ones_are_whole(tmp_path: Path) -> None:
    header = header_of("resnet20", 10, tmp_path)
    path = tmp_path / "model.safetensors"
    for rule in ("whole", "cover"):
        framed = dataclasses.replace(header, framing_rule=rule)
        save_model_file(path, {"a": torch.zeros(1)}, framed)
        assert read_header(path).framing == Canvas(32, 32, 3, framing=rule)  # type: ignore[arg-type]
    fields = json.loads(json.dumps(dataclasses.asdict(header)))
    del fields["framing_rule"]
    assert ModelHeader(**fields).framing == Canvas(32, 32, 3)
    with pytest.raises(ValueError, match="'whole' or 'cover'"):
        ModelHeader(**(fields | {"framing_rule": "stretched"}))


def test_settings_come_back_from_json_and_older_ones_load() -> None:
    settings = Augmentation(
        fill="reflect", flip="alternating", scale=VGG, pca=0.1, pca_axes=((0.1, 0.2, 0.3),) * 3, trivial=True
    )
    assert Augmentation(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings
    older = {"crop": 0.1, "flip": "both", "transpose": False, "rotate": 5.0, "zoom": 0.1, "colour": 0.2}
    older |= {"erase": 0.1, "mixup": 0.2, "cutmix": 0.0}
    loaded = dataclasses.asdict(Augmentation(**older))
    assert {key: loaded.pop(key) for key in older} == older
    assert loaded == {
        "fill": "edge", "scale": None, "area": None, "aspect": 4 / 3, "trivial": False, "pca": 0.0,
        "pca_axes": (),
    }  # fmt: skip
