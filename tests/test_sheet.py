"""How a resize is shown: the detail it loses, the findings, the sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from sightline.base import DataError
from sightline.cli import app
from sightline.data import ImageSet, InputView, examine_images, input_view, open_batches, open_images
from sightline.data._detail import Detail
from sightline.data._sheet import draw_sheet
from sightline.data._sizes_lost import judge_sizes
from sightline.imaging import Canvas, Preprocessing, photograph
from sightline.records import ArchitectureReference, ModelHeader, save_model_file
from sightline.training import Options, SilentReporter, set_up
from sightline.zoo import get_architecture

Grey = NDArray[np.float32]


def waves(period: float, side: int = 256) -> Grey:
    """Upright waves of so many pixels."""
    row = 128 + 60 * np.sin(2 * np.pi * (np.arange(side) + 0.5) / period)
    return np.tile(row.astype(np.float32), (side, 1))


def discs(side: int, diameter: float, noise: float = 0.0, seed: int = 0) -> Grey:
    """One bright disc somewhere on an even slope."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    cy, cx = draw.uniform(diameter, side - diameter, 2)
    image = 100 + 30 * x / side + 60 * (np.hypot(y - cy, x - cx) < diameter / 2)
    return np.asarray(image + draw.normal(0, noise, image.shape), dtype=np.float32)


def write(root: Path, sides: tuple[int, int], diameter: float, count: int = 6) -> Path:
    """Two classes of discs on a ground, in images of (height, width)."""
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for k in range(count):
            image = discs(max(sides), diameter, 4.0, k + 100 * (label == "b"))[: sides[0], : sides[1]]
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / label / f"{k * 7919 % 101}.png")
    return root


def view_of(images: ImageSet, side: int = 224, img_size: int | None = None) -> InputView:
    return input_view(images, "net", (side, side), "adapts", img_size)


def detail_of(grey: Grey) -> Detail:
    found = Detail.of(grey)
    assert found is not None
    return found


# -- detail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [(1.0, 0, 0), (0.5, 0, 0.02), (0.25, 0, 0.15), (1 / 16, 0.95, 1.05)],
    ids=["as it is", "8 pixels a wave", "4 pixels a wave", "1 pixel a wave"],
)
def test_a_wave_is_kept_where_it_has_pixels(scale: float, low: float, high: float) -> None:
    """Sampling: a wave of 16 pixels needs more than 2 of the smaller image."""
    assert low <= detail_of(waves(16)).lost(scale) <= high


def test_the_smaller_the_more_is_lost() -> None:
    photo = np.asarray(Image.fromarray(photograph("china")).convert("L"), dtype=np.float32)
    lost = [detail_of(photo).lost(scale) for scale in (1, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05)]
    assert lost == sorted(lost)
    assert lost[0] == 0
    assert lost[-1] > 0.5


def test_noise_is_no_detail() -> None:
    """The share lost of a disc is the same with noise as without; of noise alone nothing can be lost."""
    for scale in (0.5, 0.2, 0.1):
        clean, noisy = (detail_of(discs(512, 40, noise)).lost(scale) for noise in (0, 6))
        assert noisy == pytest.approx(clean, abs=0.06)
    noise = np.random.default_rng(0).normal(128, 10, (512, 512)).astype(np.float32)
    alone = Detail.of(noise)
    assert alone is None or alone.blocks.astype(bool).mean() < 0.01


def test_an_even_slope_and_a_tiny_image_hold_no_detail() -> None:
    assert Detail.of(np.tile(np.linspace(0, 255, 256, dtype=np.float32), (256, 1))) is None
    assert Detail.of(waves(8, 24)) is None


@pytest.mark.parametrize("diameter", [20, 40])
def test_the_typical_structure_is_about_as_large_as_the_disc(diameter: int) -> None:
    assert 0.6 * diameter < detail_of(discs(1024, diameter, 3.0)).typical() < 1.2 * diameter


def test_most_detail_is_where_the_disc_is() -> None:
    image = discs(512, 30, 3.0)
    row, column = detail_of(image).centre()
    y, x = np.nonzero(image > 160)
    assert np.hypot(row - y.mean(), column - x.mean()) < 30


# -- findings ----------------------------------------------------------------------------------------------


def sized(images: ImageSet, view: InputView) -> list[tuple[str, str, str]]:
    found = [case.finding for case in judge_sizes(images, view)]
    return [(finding.level, finding.what, finding.do) for finding in found]


def test_a_small_object_in_a_large_image_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    """1,000 pixels to 112: a factor of 8.9, so that 30 pixels become 3.4."""
    images = open_images(write(tmp_path / "set", (1000, 1000), 16))
    ((level, what, do),) = sized(images, view_of(images, 112))
    assert level == "warning"
    assert "images become 8.9 times smaller, a 30-pixel object 3.4 pixels" in what
    assert "tiles of" in do
    proposed = int(do.split("--img-size ")[1].split()[0])
    assert proposed % 32 == 0
    assert 224 <= proposed <= 800
    again = sized(images, view_of(images, 112, proposed))
    assert all(level == "info" for level, _, _ in again)


def test_large_objects_are_no_warning(tmp_path: Path) -> None:
    images = open_images(write(tmp_path / "set", (800, 800), 200))
    ((level, what, _),) = sized(images, view_of(images))
    assert level == "info"
    assert "3.6 times smaller" in what


def test_enlarging_and_repeated_edges_are_told(tmp_path: Path) -> None:
    images = open_images(write(tmp_path / "set", (40, 160), 20))
    found = sized(images, view_of(images, 224, 224))
    assert [level for level, _, _ in found] == ["info", "info"]
    assert "enlarged, 1.4 times" in found[0][1]
    assert "75% of what net is given is repeated edge" in found[1][1]


def test_images_as_they_are_have_no_finding(tmp_path: Path) -> None:
    images = open_images(write(tmp_path / "set", (128, 128), 20))
    assert sized(images, view_of(images)) == []


# -- what the network sees ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(200, 300), (32, 32), (28, 28)])
@pytest.mark.parametrize("deep", [False, True])
def test_the_view_is_what_training_gives(sides: tuple[int, int], deep: bool, tmp_path: Path) -> None:
    """Against the batches and the preprocessing of a run, value for value."""
    root = write(tmp_path / "set", sides, 12, 2)
    if deep:
        for path in sorted(root.rglob("*.png")):
            with Image.open(path) as image:
                tifffile.imwrite(path.with_suffix(".tif"), np.asarray(image).astype(np.uint16) * 16)
            path.unlink()
    images = open_images(root)
    view = view_of(images, 32)
    (batch,) = open_batches(images, view.canvas).batches([np.arange(4)])
    given = view.preprocessing.scale(batch.images)
    for index in range(4):
        seen, transform = view.see(images, index)
        assert (torch.from_numpy(seen) == given[index]).all()
        assert transform[0, 0] == pytest.approx(view.scales(images)[index], rel=0.05)


@pytest.mark.parametrize("sides", [(28, 28), (40, 60)])
def test_canvas_and_size_are_those_of_a_run(sides: tuple[int, int], tmp_path: Path) -> None:
    """Against a run that is set up: 28x28 is centred on 32x32, and many sizes are framed to it."""
    root = write(tmp_path / "set", sides, 12, 8)
    options = Options(data=str(root), model="lenet5", output=tmp_path / "run", examine=False)
    job = set_up(options, SilentReporter()).job
    architecture = get_architecture("lenet5")
    images = open_images(root)
    view = input_view(images, "lenet5", architecture.input_shape[1:], architecture.input_sizes)
    assert view.canvas == job.source.canvas
    assert (view.size, view.preprocessing.fit) == (job.preprocessing.size, job.preprocessing.fit)
    assert view.preprocessing.value_range == job.preprocessing.value_range


def test_the_sheet_shows_the_very_pixels(tmp_path: Path) -> None:
    """Of an input of 224 pixels, which are shown one to one: left as stored, right as given."""
    root = write(tmp_path / "set", (224, 448), 40, 2)
    images = open_images(root)
    view = view_of(images)
    sheet = np.asarray(draw_sheet(images, view))
    top = 16 + 3 * 20  # below the title
    for index in range(2):
        seen, _ = view.see(images, index)
        shown = sheet[top : top + 224, 256 : 256 + 224]
        np.testing.assert_array_equal(shown[..., 1], np.rint(255 * seen[0]))
        stored, given = sheet[top : top + 224, 496 : 496 + 224, 0], sheet[top : top + 224, 736 : 736 + 224, 0]
        assert (np.diff(stored.astype(int), axis=1) != 0).any(axis=0).sum() == 47  # 48 pixels, each enlarged
        assert (np.diff(given.astype(int), axis=1) != 0).any(axis=0).sum() in (23, 24)
        top += 224 + 20 + 16


def test_an_image_of_another_depth_than_the_network_takes_is_named(tmp_path: Path) -> None:
    images = open_images(write(tmp_path / "set", (64, 64), 20))
    preprocessing = Preprocessing(size=(32, 32), fit="none", mean=[0.0], std=[1.0], value_range=(0.0, 4095.0))
    view = InputView(
        name="net", canvas=Canvas(32, 32, 1, "uint16"), preprocessing=preprocessing, trained=True
    )
    with pytest.raises(DataError, match=r"a/\d+\.png: holds 8 bits a channel, and 9 to 16 bits"):
        draw_sheet(images, view)


# -- the command -------------------------------------------------------------------------------------------


def check(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_writes_a_sheet_and_replaces_its_own(tmp_path: Path, in_tmp: Path) -> None:
    root = str(write(tmp_path / "set", (300, 300), 20))
    for _ in range(2):
        code, out, err = check(root, "--sheet", "sheet.png", "--img-size", "64", "--json")
        assert (code, "written: sheet.png" in err) == (0, True)
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 4 * 240 + 16
    assert any("64x64 pixels: images become 4.7 times" in f["what"] for f in json.loads(out)["findings"])
    Image.new("L", (9, 9)).save("mine.png")
    code, _, err = check(root, "--sheet", "mine.png")
    assert (code, "--sheet mine.png exists and was not written by check" in err) == (2, True)
    with Image.open("mine.png") as mine:
        assert mine.size == (9, 9)


def test_the_canvas_is_that_of_the_network_named(tmp_path: Path, in_tmp: Path) -> None:
    """A zoo name as training would choose; a model file by its own canvas, which is not to be changed."""
    root = str(write(tmp_path / "set", (300, 300), 20))
    assert "lenet5 is given 32x32 pixels" in check(root, "--model", "lenet5")[1]
    header = ModelHeader(
        architecture=ArchitectureReference(name="lenet5", num_classes=2, in_channels=1, input_size=(48, 48)),
        classes=("a", "b"), canvas=(48, 48), preprocessing={"size": [48, 48], "fit": "none", "mean": [0.3],
                                                            "std": [0.4], "value_range": [0, 255]},
        objective="cross_entropy", objective_settings={},
    )  # fmt: skip
    network = get_architecture("lenet5").build(num_classes=2, in_channels=1, input_size=(48, 48))
    save_model_file(in_tmp / "model.safetensors", network.state_dict(), header)
    _, out, _ = check(root, "--model", "model.safetensors")
    assert "lenet5 is given 48x48 pixels: images become 6.2 times smaller" in out
    assert "train again: --img-size" in out
    code, _, err = check(root, "--model", "model.safetensors", "--img-size", "64")
    assert (code, "--img-size is for a network that is not trained yet" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet5", "--sheet", "x.png"], "--sheet is for data"),
        (["lenet5", "--img-size", "32"], "--img-size is for data"),
        (["lenet5", "--pages", "max"], "--pages is for data"),
        (["digits", "--sheet", "x.jpg"], "--sheet x.jpg must end in .png"),
        (["digits", "--model", "lenet6"], "did you mean lenet5"),
        (["digits", "--img-size", "0"], "Invalid value for '--img-size'"),
    ],
)
def test_bad_arguments_are_2(arguments: list[str], message: str, in_tmp: Path) -> None:
    code, _, err = check(*arguments)
    assert code == 2
    assert message in err


def test_embedded_images_have_a_sheet_too() -> None:
    found = examine_images("digits", view_of=lambda images: view_of(images, 32), sheet=True)
    assert found.sheet is not None
    assert found.sheet.width == 2 * 240 + 16, "nothing becomes smaller, so that no piece is shown"
