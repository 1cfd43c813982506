"""Runs by the recipes of papers: an epoch of each on few images, and what a user chooses instead."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import sightline
from sightline.base import ArgumentError, ModelFileError
from sightline.evaluation import evaluate
from sightline.imaging import Augmentation, Canvas, photograph
from sightline.records import read_model_file
from sightline.training import Phase, Recipe, SilentReporter
from sightline.training.recipes import choose_recipe

MakeFolder = Callable[..., Path]


def run(data: Path, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"precision": "fp32", "output": "run", "reporter": SilentReporter()}
    sightline.train(str(data), **(defaults | options))
    return yaml.safe_load(Path(options.get("output", "run"), "args.yaml").read_text())  # type: ignore[no-any-return]


NETWORK = """
from torch import nn
def small(num_classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(16, num_classes))
"""


@pytest.mark.parametrize(
    "recipe",
    [
        "lenet_1998",
        "alexnet-2012",
        "vgg_2014",
        "googlenet_2014",
        "prelu_2015",
        "resnet_2015",
        "airbench94",
        "modern",
    ],
)
def test_an_epoch_of_each(three_classes: Path, in_tmp: Path, recipe: str) -> None:
    Path("net.py").write_text(NETWORK)
    args = run(three_classes, model="net.py:small", recipe=recipe, epochs=1)
    assert args["recipe"]["name"] == recipe.replace("-", "_")
    assert "instead, 1 epochs" in args["recipe"]["why"]
    _, state = read_model_file(Path("run/last.safetensors"))
    assert all(tensor.isfinite().all() for tensor in state.values())


CANVASES = {
    "alexnet_2012": 82, "vgg_2014": 165, "googlenet_2014": 82, "prelu_2015": 165, "resnet_2015": 154,
    "modern": 75,
}  # fmt: skip
"""Of an input of 72 pixels: windows of 224 out of 256, 512, 256, 512, 480; of 233 for `modern`."""


@pytest.mark.parametrize("recipe", CANVASES)
def test_an_epoch_of_the_forms_for_large_images(in_tmp: Path, recipe: str) -> None:
    Path("net.py").write_text(NETWORK)
    for name in ("china", "flower"):
        Path("photos", name).mkdir(parents=True)
        picture = Image.fromarray(photograph(name))
        for i in range(8):
            picture.crop((9 * i, 9 * i, 9 * i + 200, 9 * i + 160)).save(f"photos/{name}/{i}.jpg")
    args = run(Path("photos"), model="net.py:small", recipe=recipe, epochs=1, img_size=72)
    settings = args["recipe"]
    assert settings["framing"] == "cover"
    assert (settings["augmentation"]["scale"] or settings["augmentation"]["area"]) is not None
    assert args["model"]["input_size"] == [72, 72]
    assert args["data"]["canvas"] == [CANVASES[recipe]] * 2


def test_airbench_to_its_end_on_small_colour_images(in_tmp: Path) -> None:
    Path("net.py").write_text(NETWORK)
    draws = np.random.default_rng(0)
    for name in ("china", "flower"):
        picture = Image.fromarray(photograph(name))
        for part, count in (("train", 60), ("test", 20)):
            Path("patches", part, name).mkdir(parents=True)
            for i in range(count):
                x, y = draws.integers(0, [picture.width - 64, picture.height - 64])
                patch = picture.crop((x, y, x + 64, y + 64)).resize((32, 32))
                patch.save(f"patches/{part}/{name}/{i}.png")
    args = run(Path("patches"), model="net.py:small", recipe="airbench94", epochs=None)
    recipe = args["recipe"]
    assert (recipe["batch_size"], recipe["phases"][0]["epochs"], recipe["holdout"]) == (64, 60, False)
    assert recipe["augmentation"]["flip"] == "alternating"
    assert recipe["lookahead"] is not None
    judged = evaluate("net.py:small@run")
    assert (judged.part, judged.scores.n) == ("test", 40)
    assert judged.scores.interval[0] > 0.5, "better than chance, beyond doubt"


def test_airbenchs_own_network_learns_digits(three_classes: Path, in_tmp: Path) -> None:
    args = run(three_classes, model="airbench94", recipe="airbench94", epochs=1, img_size=16)
    assert args["recipe"]["max_steps"] is None
    first, last = (read_model_file(Path(f"run/{name}.safetensors"))[1] for name in ("last", "best"))
    assert all(torch.equal(first[f"features.group1.norm{i}.weight"], torch.ones(64)) for i in (1, 2))
    assert first["features.group1.norm1.bias"].abs().max() > 0
    assert last.keys() == first.keys()


def test_fine_tuning_from_a_run(three_classes: Path, make_folder: MakeFolder, in_tmp: Path) -> None:
    run(three_classes, model="resnet20", epochs=1, output="first")
    two = make_folder({"two": (2, 20), "six": (6, 20)}, name="two")
    args = run(two, model="resnet20", weights="first", epochs=3)
    assert args["recipe"]["name"] == "fine_tune"
    assert [phase["epochs"] for phase in args["recipe"]["phases"]] == [1, 2]
    assert args["recipe"]["phases"][1]["rates"]["layer3"] == pytest.approx(0.1)
    assert args["recipe"]["phases"][1]["rates"]["conv1"] == pytest.approx(0.1 / 2.6**2)


def test_to_select_images_are_held_out(three_classes: Path, in_tmp: Path) -> None:
    Path("net.py").write_text(NETWORK)
    args = run(three_classes, model="net.py:small", recipe="airbench94", epochs=2, select="accuracy")
    assert args["recipe"]["holdout"] is True
    assert "images are held out to select by accuracy" in args["recipe"]["why"]


def test_no_change_along_the_axes_of_colour_of_grey_images(three_classes: Path, in_tmp: Path) -> None:
    Path("net.py").write_text(NETWORK)
    recipe = choose_recipe("alexnet_2012", num_images=84, channels=3, size=(224, 224), epochs=1)
    colourful = dataclasses.replace(recipe, augmentation=Augmentation(pca=0.1), window=None, framing="whole")
    args = run(three_classes, model="net.py:small", recipe=colourful)
    assert args["recipe"]["augmentation"]["pca"] == 0.0
    assert "no change along the axes of colour" in args["recipe"]["why"]


def test_other_batches_are_taken_for_whole_epochs(three_classes: Path, in_tmp: Path) -> None:
    Path("net.py").write_text(NETWORK)
    recipe = choose_recipe("resnet_2015", num_images=84, channels=1, size=(8, 8))
    short = dataclasses.replace(
        recipe, max_steps=2, phases=(dataclasses.replace(recipe.phases[0], epochs=2),)
    )
    args = run(three_classes, model="net.py:small", recipe=short, batch_size=20)
    assert args["recipe"]["max_steps"] is None


def windowed(epochs: int = 2) -> Recipe:
    """Windows of 24 out of 30 in training, the central 0.8 in judging, of an image's central square."""
    return Recipe(
        name="windowed",
        phases=(Phase(epochs=epochs),),
        batch_size=16,
        augmentation=Augmentation(scale=(1.25, 1.25), pca=0.1, fill="mean", crop=0.1),
        window=0.8,
        framing="cover",
    )


@pytest.fixture
def photographs(in_tmp: Path) -> Path:
    """Two classes of 20 pieces of 48x36, sky and grass of two photographs."""
    for name in ("china", "flower"):
        (in_tmp / "photographs" / name).mkdir(parents=True)
        pixels = photograph(name)
        for k in range(20):
            top, left = 8 * k, 12 * k
            piece = Image.fromarray(pixels[top : top + 36, left : left + 48])
            piece.save(in_tmp / "photographs" / name / f"{k:02d}.png")
    return in_tmp / "photographs"


def test_windows_of_the_central_square_from_training_to_judging(photographs: Path) -> None:
    Path("net.py").write_text(NETWORK)
    args = run(photographs, model="net.py:small", recipe=windowed(), img_size=24)
    assert (args["data"]["canvas"], args["data"]["framing"]) == ([30, 30], "cover")
    assert (args["preprocessing"]["fit"], args["preprocessing"]["window"]) == ("crop", 0.8)
    axes = np.array(args["recipe"]["augmentation"]["pca_axes"])
    assert axes.shape == (3, 3)
    assert (np.diff(np.linalg.norm(axes, axis=1)) <= 0).all(), "the widest first"
    header, _ = read_model_file(Path("run/best.safetensors"))
    assert header.framing == Canvas(30, 30, 3, framing="cover")
    shown = sightline.evaluate("net.py:small@run")
    assert "the centre of a canvas of 30x30" in shown.protocol
    path = photographs / "china/00.png"
    predictor = sightline.load_predictor("net.py:small@run")
    (by_file,) = predictor.predict([("", path)])
    cut = np.asarray(Image.open(path))[:, 6:42]  # what is beyond the central square counts for nothing
    wider = np.concatenate([np.zeros((36, 6, 3), np.uint8), cut, np.full((36, 6, 3), 255, np.uint8)], axis=1)
    Image.fromarray(wider).save("other_edges.png")
    (by_centre,) = predictor.predict([("", Path("other_edges.png"))])
    assert by_file.probabilities == pytest.approx(by_centre.probabilities, abs=0.02)


def test_a_windowed_run_is_extended_on_the_same_canvas(photographs: Path) -> None:
    Path("net.py").write_text(NETWORK)
    Path("recipe.py").write_text(
        "from sightline.imaging import Augmentation\nfrom sightline.training import Phase, Recipe\n"
        "def windowed():\n    return Recipe(phases=(Phase(epochs=1),), batch_size=16, window=0.8,\n"
        "        framing='cover', augmentation=Augmentation(scale=(1.25, 1.25)))\n"
    )
    first = run(photographs, model="net.py:small", recipe="recipe.py:windowed", img_size=24)
    sightline.resume("run", epochs=2, model="net.py:small", reporter=SilentReporter())
    again = yaml.safe_load(Path("run/args.yaml").read_text())
    assert {**again, "recipe": None} == {**first, "recipe": None}
    header, _ = read_model_file(Path("run/last.safetensors"))
    assert (header.epoch, header.framing) == (2, Canvas(30, 30, 3, framing="cover"))


def test_nothing_is_held_out_and_nothing_selected(make_folder: MakeFolder, in_tmp: Path) -> None:
    data = make_folder({f"{part}/{d}": (d, n) for part, n in (("train", 30), ("test", 10)) for d in (1, 7)})
    Path("net.py").write_text(NETWORK)
    recipe = Recipe(phases=(Phase(epochs=2),), batch_size=16, holdout=False, select=None)
    args = run(data, model="net.py:small", recipe=recipe)
    assert {part: args["split"][part] for part in ("train", "val", "test")} == {
        "train": 60,
        "val": 0,
        "test": 20,
    }
    header, _ = read_model_file(Path("run/best.safetensors"))
    assert (header.epoch, header.temperature, header.scores) == (2, None, {})
    judged = sightline.evaluate("net.py:small@run")
    assert (judged.part, judged.scores.n) == ("test", 20)
    shutil.copy("run/best.safetensors", "alone.safetensors")
    alone = sightline.evaluate("net.py:small@alone.safetensors", str(data))
    assert alone.known_unseen, "the split is found again without anything held out"
    with pytest.raises(ArgumentError, match=r"holds nothing out, and .* has no images to judge by"):
        run(make_folder({"train/1": (1, 9), "train/7": (7, 9)}, "only"), recipe=recipe, output="second")


def test_some_layers_are_taken_from_another_network(three_classes: Path, in_tmp: Path) -> None:
    Path("net.py").write_text(
        NETWORK + "def deep(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(),\n"
        "                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes))\n"
    )
    run(three_classes, model="net.py:small", epochs=1, output="shallow")
    taken = {"0": "0", "6": "4"}
    recipe = Recipe(
        phases=(Phase(epochs=1, start="shallow", taken=taken, frozen_after={"*": 0}),), select=None
    )
    with pytest.raises(ArgumentError, match="leaves nothing to train"):
        run(three_classes, model="net.py:deep", recipe=recipe, output="none")
    recipe = Recipe(phases=(Phase(epochs=1, start="shallow", taken=taken, trainable=("2",)),), select=None)
    run(three_classes, model="net.py:deep", recipe=recipe, output="deep")
    _, shallow = read_model_file(Path("shallow/best.safetensors"))
    _, deep = read_model_file(Path("deep/best.safetensors"))
    for mine, theirs in taken.items():
        assert torch.equal(deep[f"{mine}.weight"], shallow[f"{theirs}.weight"])
    wrong = dataclasses.replace(recipe, phases=(dataclasses.replace(recipe.phases[0], taken={"2": "9"}),))
    with pytest.raises(ModelFileError, match=r"shallow.* has no 9, which 2 is to be taken from"):
        run(three_classes, model="net.py:deep", recipe=wrong, output="wrong")
