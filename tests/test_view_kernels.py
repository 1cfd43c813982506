"""Filters as images: by hand, as computed, while they learn; two networks side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from sightline.base import ArgumentError
from sightline.cli import app
from sightline.training import train
from sightline.views import (
    HOWS,
    Panel,
    Request,
    Scale,
    Subject,
    compare,
    epochs,
    find_view,
    kernels,
    open_subject,
    view,
)
from sightline.views._against import on_one_scale
from sightline.views._colour import signed
from sightline.views._kernels import grid
from small_networks import Does, seq
from toy_runs import one_phase


def of(network: nn.Module, shape: tuple[int, int, int] = (3, 12, 12)) -> Subject:
    return Subject.of(network, shape, name="net")


def filled(layer: nn.Conv2d, value: float) -> nn.Conv2d:
    layer.weight.data.fill_(value)
    return layer


def test_a_filter_by_hand() -> None:
    """Weights 1 -2 / 0 2: orange, full blue, white, full orange; a cell of each is a framed square."""
    layer = nn.Conv2d(1, 1, 2, bias=False)
    layer.weight.data = torch.tensor([[[[1.0, -2.0], [0.0, 2.0]]]])
    seen = kernels(of(layer, (1, 4, 4)))
    pixels = seen.panels[0].pixels
    side = (pixels.shape[0] - 6) // 2
    middle = [
        tuple(pixels[1 + r * side + side // 2, 1 + c * side + side // 2]) for r in (0, 1) for c in (0, 1)
    ]
    expected = signed(np.array([[1.0, -2.0], [0.0, 2.0]]), 2.0)[0].reshape(-1, 3)
    assert middle == [tuple(colour) for colour in expected]
    assert seen.panels[0].scale == Scale("signed", -2.0, 2.0)
    assert seen.figures["range"] == [-2.0, 2.0]


def test_three_inputs_are_colours_about_mid_grey() -> None:
    """Red +1, green 0, blue -1 of most 1 is (255, 128, 0)."""
    layer = nn.Conv2d(3, 1, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    pixels = kernels(of(layer)).panels[0].pixels
    assert tuple(pixels[12, 12]) == (255, 128, 0)


def test_shapes_in_both_conventions() -> None:
    seen = kernels(of(nn.Conv2d(3, 64, 7)))
    assert "64x3x7x7 (Keras 7x7x3x64)" in seen.title
    assert seen.figures["keras_shape"] == [7, 7, 3, 64]
    assert seen.arrays["weight"].shape == (64, 3, 7, 7)


@pytest.mark.parametrize(
    ("inputs", "unit", "title"),
    [
        (3, None, "filters 0 to 4"),
        (3, 2, "filter 2"),
        (1, None, "filters 0 to 4"),
        (4, None, "filters 0 to 4, a row each; input channels 0 to 3"),
        (4, 1, "input channels 0 to 3"),
    ],
)
def test_what_lies_on_the_page(inputs: int, unit: int | None, title: str) -> None:
    assert kernels(of(nn.Conv2d(inputs, 5, 3), (inputs, 8, 8)), unit=unit).panels[0].title == title


def test_top_says_what_is_left_out() -> None:
    assert "4 of 9 filters" in kernels(of(nn.Conv2d(3, 9, 3)), top=4).notes[0]


@pytest.mark.parametrize(("count", "shown"), [(96, 96), (128, 128), (130, 64)])
def test_all_are_shown_while_they_have_room(count: int, shown: int) -> None:
    (note,) = kernels(of(nn.Conv2d(3, count, 3))).notes
    assert note.startswith(f"{shown} of {count} filters")
    assert ("--top N shows more" in note) == (shown < count)
    (asked,) = kernels(of(nn.Conv2d(3, count, 3)), top=5).notes
    assert asked.startswith(f"5 of {count} filters")
    assert "--top" not in asked


def test_filters_with_a_row_each_are_fewer() -> None:
    (note,) = kernels(of(nn.Conv2d(5, 40, 3), (5, 12, 12))).notes
    assert note.startswith("24 of 40 filters, 5 of 5 input channels; --top N shows more")


def test_layers_by_name_module_and_number() -> None:
    """A module means its last convolution, though a ReLU follows it there."""
    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 4, 3))
    network.add_module("body", seq(nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 3), nn.ReLU()))
    names = {
        layer: kernels(of(network), layer=layer).figures["layer"] for layer in (None, "stem", "body", "conv2")
    }
    assert names == {None: "stem", "stem": "stem", "body": "body.1", "conv2": "body.0"}
    with pytest.raises(ArgumentError, match=r"body\.2 is relu; filters are those of a convolution"):
        kernels(of(network), layer="body.2")
    with pytest.raises(ArgumentError, match=r"no such layer; did you mean .*stem"):
        kernels(of(network), layer="stm")
    with pytest.raises(ArgumentError, match="--unit 4: stem has filters 0 to 3"):
        kernels(of(network), unit=4)
    with pytest.raises(ArgumentError, match="no convolution to look at"):
        kernels(of(seq(nn.Flatten(), nn.Linear(432, 2))))


def test_filters_are_those_it_convolves_with() -> None:
    """Normalised and computed weights are shown as they come out, not as they are stored."""
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    assert np.allclose(kernels(of(normed)).arrays["weight"], normed.weight.detach().numpy())
    double = Does(
        lambda self, x: nn.functional.conv2d(x, 2 * self.layer.weight), layer=filled(nn.Conv2d(3, 2, 1), 0.5)
    )
    assert np.allclose(kernels(of(double)).arrays["weight"], 1.0)


def test_a_dead_layer_is_said() -> None:
    (finding,) = kernels(of(filled(nn.Conv2d(3, 2, 3), 0.0))).findings
    assert finding.what == "every weight is 0"


def test_the_grid_is_within_its_width() -> None:
    tiles = [np.zeros((3, 3, 3), np.uint8)] * 64
    for columns in (None, 32):
        assert grid(tiles, columns, 960).shape[1] <= 966


# ---- two networks


def test_two_are_on_one_scale() -> None:
    """Weights of 1 beside weights of 2: both go to 2, and the first is half as strong."""
    one, two = (of(filled(nn.Conv2d(1, 1, 1), v), (1, 4, 4)) for v in (1.0, 2.0))
    a, b = on_one_scale(*(kernels(s).panels[0] for s in (one, two)))
    assert a.scale == b.scale == Scale("signed", -2.0, 2.0)
    half, full = (tuple(p.pixels[10, 10]) for p in (a, b))
    assert half == tuple(signed(np.array([[1.0]]), 2.0)[0][0, 0])
    assert full == tuple(signed(np.array([[2.0]]), 2.0)[0][0, 0])


def test_far_apart_scales_are_kept_and_said() -> None:
    one, two = (of(filled(nn.Conv2d(1, 1, 1), v), (1, 4, 4)) for v in (1.0, 50.0))
    a, b = on_one_scale(*(kernels(s).panels[0] for s in (one, two)))
    assert a.scale is not None
    assert b.scale is not None
    assert (a.scale.high, b.scale.high) == (1.0, 50.0)
    assert "on its own scale" in a.caption
    assert "on its own scale" in b.caption


def test_scales_of_other_kinds_are_left_alone() -> None:
    plain = np.zeros((2, 2, 3), np.uint8)
    panels = (
        Panel(pixels=plain, scale=Scale("signed", -1, 1)),
        Panel(pixels=plain, scale=Scale("positive", 0, 3)),
    )
    assert on_one_scale(*panels) == panels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs on digits, each kept."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train("digits", model="lenet5", recipe=one_phase(3, snapshot_every=1), output=str(folder))
    return folder


def test_filters_while_they_learn(run: Path, tmp_path: Path) -> None:
    """A row an epoch, from the very files; as frames too, all on one scale."""
    seen = kernels(open_subject(str(run)))
    assert seen.figures["epochs"] == ["epoch 1", "epoch 2", "epoch 3"]
    for k in (1, 2, 3):
        stored = load_file(run / "snapshots" / f"epoch-{k}.safetensors")["features.0.weight"]
        assert np.array_equal(seen.arrays[f"epoch_{k}"], stored.numpy())
    assert "While they learn" in seen.panels[1].title
    most = max(float(np.abs(seen.arrays[f"epoch_{k}"]).max()) for k in (1, 2, 3))
    assert all(frame.scale is not None and frame.scale.high == most for frame in seen.frames)
    with Image.open(seen.save(tmp_path / "k.gif")) as animation:
        assert animation.n_frames == 3  # type: ignore[attr-defined]


def test_a_run_while_it_learned(run: Path) -> None:
    """Its answers and maps of each epoch are those of that epoch's network."""
    subject = open_subject(str(run))
    picture = subject.picture("digit:7")
    seen = epochs(subject, picture)
    assert seen.arrays["logits"].shape == (3, 10)
    for k in (1, 3):
        then = open_subject(str(run / "snapshots" / f"epoch-{k}.safetensors"))
        with torch.no_grad():
            assert np.allclose(seen.arrays["logits"][k - 1], then.network(picture.x)[0].numpy(), atol=1e-5)
    assert seen.figures["maps_of"] == "features.4"
    assert not np.array_equal(seen.arrays["maps"][0], seen.arrays["maps"][2])


def test_two_networks_on_one_page(run: Path) -> None:
    """Filters, maps of the first and last stage, answers: in pairs, each with whose it is."""
    first, second = open_subject(str(run)), open_subject("lenet5")
    seen = compare(first, second, "digit:7")
    assert len(seen.panels) == 8
    assert [panel.title.split(": ")[0] for panel in seen.panels] == [run.name, "lenet5"] * 4
    assert any("lenet5 has fresh weights" in note for note in seen.notes)
    assert np.array_equal(seen.arrays["1.weight"], kernels(first).arrays["weight"])
    assert np.array_equal(seen.arrays["2.weight"], kernels(second).arrays["weight"])
    assert len(compare(first, second).panels) == 2


def test_compare_needs_something_to_compare(run: Path) -> None:
    with pytest.raises(
        ArgumentError, match="needs --against MODEL, or a run that kept snapshots, and of lenet5 there are 0"
    ):
        view("compare", open_subject("lenet5"), Request(image="digit:7"))


def test_every_view_of_one_picture_takes_against(run: Path, in_tmp: Path) -> None:
    """From the command line: both models are named, and what is fresh is said."""
    for how, image in (
        ("kernels", ()),
        ("maps", ("digit:3",)),
        ("softmax", ("digit:3",)),
        ("neuron", ("digit:3",)),
    ):
        arguments = ["view", how, str(run), *image, "--against", "lenet5", "-o", f"{how}.png", "--json"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        assert len(told["each"]) == 2
        assert told["each"][0] != told["each"][1]
        assert any("fresh weights" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["neuron", "lenet5", "digit:0", "--at", "3"], "--at is '3'; it takes ROW,COLUMN"),
        (
            ["neuron", "lenet5", "digit:0", "--at", "99,0"],
            "--at 99,0: the maps of features.0 are 28x28",
        ),
        (["maps", "lenet5", "digit:0", "--layer", "feature.0"], "no such layer; did you mean"),
        (["maps", "lenet5"], "view maps needs an image"),
        (["kernels", "lenet5", "-o", "k.gif"], "train it with a recipe that sets snapshot_every=1"),
        (["maps", "lenet5", "digit:0", "-o", "k.gif"], "this view does not move"),
        (["kernels", "lenet5", "--against", "lenet6"], "lenet5"),
        (["compare", "lenet5"], "needs --against MODEL"),
        (["softmax", "lenet5", "digit:0", "--temperature", "0"], "it must be above 0"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, in_tmp: Path) -> None:
    result = CliRunner().invoke(app, ["view", *arguments])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(in_tmp.iterdir()) == []


def test_every_view_is_found_by_its_name() -> None:
    for name in HOWS:
        assert find_view(name).name == name
    with pytest.raises(ArgumentError, match=r"did you mean .*kernels"):
        find_view("kernel")


def test_what_a_view_does_not_read_is_an_error() -> None:
    subject = open_subject("lenet5")
    with pytest.raises(ArgumentError, match="--temperature is not for view kernels"):
        view("kernels", subject, Request(temperature=2.0))
    with pytest.raises(ArgumentError, match="it takes no image"):
        view("kernels", subject, Request(image="china"))
    with pytest.raises(ArgumentError, match="view maps needs an image"):
        view("maps", subject, Request())
