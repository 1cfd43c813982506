"""Runs by the recipes of papers: an epoch of each on few images, and what a user chooses instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import sightline
from sightline.imaging import Augmentation, photograph
from sightline.records import read_model_file
from sightline.training import SilentReporter
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


@pytest.mark.parametrize("recipe", ["vgg_2014", "googlenet_2014", "modern"])
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
    assert args["data"]["canvas"] == {"vgg_2014": [165] * 2, "googlenet_2014": [82] * 2}.get(recipe, [75] * 2)


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
