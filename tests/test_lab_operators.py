"""The stops of the lab that need no network: by hand, by formula, against SciPy, torch and the zoo."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sightline.blueprint import lost_pixels, record
from sightline.cli import app
from sightline.imaging import photograph
from sightline.lab import Entry, Page, Picture, Plot, find_entry
from sightline.lab._drawn import Drawing, Frame, map_levels, shades_of
from sightline.lab.entries import _kernels, _neuron, _one_dimension, _padding, _stride
from sightline.reference import LECTURE_KERNELS, design, kernel, slide_kernel, slide_pool
from sightline.zoo import get_architecture

NAMES = (
    "convolution",
    "kernels",
    "padding",
    "pooling",
    "one-dimension",
    "stride",
    "sizes",
    "neuron",
    "filter-shapes",
)
RUN = f"""
import pickle, sys
from sightline.lab import Setting, find_entry
pages = {{name: find_entry(name).run(Setting()) for name in {NAMES}}}
print("torch" in sys.modules)
pickle.dump(pages, open(sys.argv[1], "wb"))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Page], bool]:
    """Every page, and whether making them took torch."""
    path = tmp_path_factory.mktemp("lab") / "pages"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages: dict[str, Page] = pickle.loads(path.read_bytes())
    return pages, done.stdout.strip() == "True"


@pytest.fixture
def numbers(made: tuple[dict[str, Page], bool]) -> Any:
    """Of a page, its numbers, as programs read them."""
    return lambda name: json.loads(json.dumps(made[0][name].numbers))


def entries() -> list[Entry]:
    return [find_entry(name) for name in NAMES]


# -- all of them ---------------------------------------------------------------------------------------


def test_no_torch(made: tuple[dict[str, Page], bool]) -> None:
    assert not made[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole(name: str, made: tuple[dict[str, Page], bool]) -> None:
    page = made[0][name]
    assert all(re.search(r"\d", page.sentences[k]) for k in (0,))
    assert all(sentence.endswith(".") for sentence in page.sentences)
    assert len({part.title for part in page.parts}) == len(page.parts)
    for part in page.parts:
        if isinstance(part, Plot):
            root = ET.fromstring(part.svg)
            assert root.get("aria-label")
            assert not [one for one in root.iter() if one.get("id")]  # several stand on one page
            left, top, width, height = map(float, str(root.get("viewBox")).split())
            for one in root.iter("text"):
                assert left <= float(str(one.get("x"))) <= left + width
                assert top <= float(str(one.get("y"))) <= top + height
        elif isinstance(part, Picture):
            assert part.png.startswith(b"\x89PNG")
            assert part.alt


@pytest.mark.parametrize("entry", entries(), ids=NAMES)
def test_what_can_be_played_with_can_be_computed(entry: Entry) -> None:
    assert entry.plays
    for play in entry.plays:
        given = json.loads(json.dumps(dict(play.given)))
        if play.kind == "slide":
            stride = (given["stride"],) * 2
            slide = slide_kernel(
                np.array(given["input"]), np.array(given["kernel"]), stride=stride, padding=given["pad"]
            )
            assert slide.output().size
        elif play.kind == "pool":
            pooled = slide_pool(
                np.array(given["input"]), given["pool"], (given["size"],) * 2, (given["stride"],) * 2
            )
            assert pooled.output().size
        elif play.kind == "filter":
            assert given["image"] in ("china", "flower")
            assert kernel(given["kernel"]).matrix.size
        else:
            assert play.kind == "design"
            shape, line = given["line"].split(" ", 1)
            assert design(shape, line).layers


@pytest.mark.parametrize("entry", entries(), ids=NAMES)
def test_commands_work_as_typed(entry: Entry, in_tmp: Path) -> None:
    """Those that are quick; `filter` and others are tested where they are at home."""
    assert entry.commands
    for command in entry.commands:
        program, verb, *arguments = shlex.split(command)
        assert program == "sightline"
        if verb in ("design", "convolve"):
            done = CliRunner().invoke(app, [verb, *arguments])
            assert done.exit_code == (1 if "--strict" in arguments else 0), done.output


# -- one by one ----------------------------------------------------------------------------------------


def test_convolution(numbers: Any) -> None:
    found = numbers("convolution")
    assert found["output"] == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert found["differs_when_turned"] == 0
    impulse, counting = np.zeros((5, 5)), np.arange(1, 10).reshape(3, 3)
    impulse[2, 2] = 1
    assert found["impulse_correlated"] == scipy.signal.correlate2d(impulse, counting, "valid").tolist()
    assert found["impulse_convolved"] == scipy.signal.convolve2d(impulse, counting, "valid").tolist()
    assert found["impulse_convolved"] == counting.tolist()
    assert found["edge_correlated"] == [9, 9, 0, -9, -9]
    assert found["edge_convolved"] == [-9, -9, 0, 9, 9]
    assert found["filter_weights"] == 16
    assert found["shifted_by_2"] == found["by_the_formula_with_2p"] != found["by_the_printed_formula"]
    assert found["shifted_by_2"][0][0] == found["by_the_printed_formula"][0][0]
    assert found["neurons_the_printed_formula_gets_right"] == 1
    assert found["valid_8x8"] == [[0, 0, 27, 27, 0, 0]] * 6
    assert found["answers_on_nines"] == {"the slide's": 45, "a vertical edge": 0, "box blur, 1/9": 9}


def test_kernels(numbers: Any) -> None:
    found = numbers("kernels")
    pixels = np.asarray(
        Image.fromarray(photograph("flower")).resize((400, 267), Image.Resampling.LANCZOS)
    ).astype(float)
    for name in LECTURE_KERNELS:
        weights = kernel(name).matrix[:, :, None]
        answers = scipy.ndimage.correlate(pixels, weights, mode="mirror")
        assert found["ranges"][name] == pytest.approx([answers.min(), answers.max()], abs=1e-3)
    assert list(found["sums"].values()) == [1, 0, 0, 0, 1, 1, 1]
    assert found["edge_rows"]["-1 0 1"]["a step"] == [0, 0, 9, 9, 0, 0]
    assert found["edge_rows"]["-1 1"]["a ramp"] == [0, 3, 3, 3, 0, 0, 0]
    assert found["edge_rows"]["1 -2 1"]["a line"] == [0, 9, -18, 9, 0, 0]
    assert (found["edge_1_on_a_straight_edge"], found["edge_1_at_a_corner"]) == (0, 9)
    assert found["same_when_turned"] == 7
    assert found["china_kernel_macs"] == 427 * 639 * 2
    assert found["china_matrix_macs"] == 427 * 640 * 427 * 639
    assert set(_kernels.LABELS) == set(LECTURE_KERNELS)


def test_padding(numbers: Any) -> None:
    found = numbers("padding")
    assert found["shrinking"] == [32, 28, 24, 20, 16, 12, 8, 4]
    for size in _padding.SIZES:
        for k in _padding.KERNELS:
            side = (k - 1) // 2
            touched, zeros = (found[name][str(size)][str(k)] for name in _SHARES)
            assert touched == pytest.approx(1 - ((size - 2 * side) / size) ** 2)
            assert zeros == pytest.approx(1 - (1 - side * (side + 1) / (size * k)) ** 2)
    by_layer = [1 - ((32 - 2 * layers) / 32) ** 2 for layers in range(1, 17)]
    assert found["share_touched_by_layer"] == pytest.approx(by_layer)
    assert (found["even_kernel_paddings"], found["stride_2_output"]) == ([], 16)
    assert found["modes"] == {
        "zeros": [0, 0, 1, 2, 3, 4, 5, 0, 0],
        "reflect": [3, 2, 1, 2, 3, 4, 5, 4, 3],
        "replicate": [1, 1, 1, 2, 3, 4, 5, 5, 5],
        "circular": [4, 5, 1, 2, 3, 4, 5, 1, 2],
    }
    china = np.asarray(Image.fromarray(photograph("china")).convert("L"), float)
    theirs = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "wrap"}
    for mode, name in theirs.items():
        mean = scipy.ndimage.uniform_filter(china, 5, mode=name)[0, 2:-2].mean()
        assert found["top_row_by_mode"][mode] == pytest.approx(mean, rel=1e-5)


_SHARES = ("share_touched", "share_of_zero_products")


def test_pooling(numbers: Any) -> None:
    found = numbers("pooling")
    assert found["max"] == [[4, 8], [6, 9]]
    assert found["average"] == [[2.75, 4.5], [5, 5]]
    assert found["overlapping"] == [[5, 8], [9, 9]]
    gradients = found["gradients"]
    assert gradients["max, 2x2"] == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]]
    assert gradients["average, 2x2"] == [[0.25] * 4] * 4
    assert gradients["max, 3x3 at stride 1"] == [[0] * 4, [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 2, 0]]
    assert found["share_with_gradient"] == {
        "max, 2x2": 1 / 4, "average, 2x2": 1, "max, 3x3 at stride 1": 3 / 16
    }  # fmt: skip
    for size, (two, down, up) in found["sizes"].items():
        x = torch.zeros(1, 1, int(size), 3)
        sides = [F.max_pool2d(x, (2, 1)), F.max_pool2d(x, (3, 1), (2, 1))]
        sides.append(F.max_pool2d(x, (3, 1), (2, 1), ceil_mode=True))
        assert [two, down, up] == [side.shape[2] for side in sides]
    assert found["unseen_rows"] == {"55": [], "27": [], "13": [], "112": [111], "7": [], "28": [27]}
    body = 28 * 16 + 145 * 32
    assert {tuple(counts[:2]) for counts in found["parameters"].values()} == {(body, body + 330)}
    assert [counts[2] - body for counts in found["parameters"].values()] == [
        (32 * side * side + 1) * 10 for side in (32, 8, 8)
    ]
    assert found["photograph_mean_after_average"] == pytest.approx(1)


def test_pooling_says_what_it_computes(numbers: Any) -> None:
    found, corrections = numbers("pooling"), find_entry("pooling").corrections
    ink = found["ink"]
    for name in ("bright", "bright, pooled", "dark, pooled"):
        assert f"{100 * ink[name]:.0f} %" in corrections[1].evidence
    assert f"{found['parameters']['nothing'][0]:,}" in corrections[0].evidence


def test_one_dimension(numbers: Any) -> None:
    found = numbers("one-dimension")
    assert (found["shared_parameters"], found["free_parameters"]) == (4, 110)
    assert found["zeros_of_the_matrix"] == 100 - 28
    assert max(found["largest_differences"].values()) < 1e-14
    assert found["receptive_fields"] == [3, 5, 7]
    assert found["mnist1d_positions"] == [19, 9, 4]
    assert (found["mnist1d_conv_parameters"], found["mnist1d_conv_macs"]) == (2050, 10230)
    assert (found["mnist1d_dense_parameters"], found["mnist1d_dense_macs"]) == (59065, 58575)


def test_bands_are_those_of_the_definition() -> None:
    """W[i, s*i + d*j - p] = w_j, where there is such a column."""
    size, weights = _one_dimension.INPUTS, _one_dimension.KERNEL
    for how in ({"padding": 1}, {"padding": 1, "stride": 2}, {"padding": 2, "dilation": 2}, {"padding": 0}):
        stride, dilation = how.get("stride", 1), how.get("dilation", 1)
        rows = (size + 2 * how["padding"] - 2 * dilation - 1) // stride + 1
        expected = np.zeros((rows, size))
        for i in range(rows):
            for j, weight in enumerate(weights):
                column = stride * i + dilation * j - how["padding"]
                if 0 <= column < size:
                    expected[i, column] = weight
        assert np.array_equal(_one_dimension._band(weights, **how), expected)


def test_stride(numbers: Any) -> None:
    found = numbers("stride")
    assert found["outputs"] == {
        "1": {"floor": 5, "same": 7, "ceil": 5, "lost": []},
        "2": {"floor": 3, "same": 4, "ceil": 3, "lost": []},
        "3": {"floor": 2, "same": 3, "ceil": 3, "lost": [6]},
    }
    assert found["share_unseen_at_stride_3"] == pytest.approx(13 / 49)
    assert found["fitting_sizes"] == [6, 9]
    assert found["difference_to_every_second_value"] == 0
    assert found["unseen_by_1x1_at_stride_2"] == [1, 3, 5, 7]


@pytest.mark.parametrize("name", _stride.NETWORKS)
def test_the_zoo_loses_the_same_rows(name: str, numbers: Any) -> None:
    architecture = get_architecture(name)
    with torch.device("meta"):
        network, image = architecture.build(), torch.empty((1, *architecture.input_shape))
    assert (
        list(lost_pixels(record(network, image)).rows[-1]) == numbers("stride")["networks"][name]["lost_rows"]
    )


def test_neuron(numbers: Any) -> None:
    found = numbers("neuron")
    image = torch.from_numpy(_neuron._patch())[None]
    weights, biases = torch.from_numpy(_neuron._filters(0)), torch.tensor(_neuron.BIASES, dtype=torch.float64)
    maps = F.conv2d(image, weights, biases)[0]
    assert maps.shape == (5, 28, 28)
    here = maps[:, found["row"], found["column"]]
    assert list(found["five_neurons"].values()) == pytest.approx(here.tolist())
    assert here[_neuron.WRITTEN] == maps[_neuron.WRITTEN].max()
    assert found["value_by_hand"] == pytest.approx(found["value_of_the_layer"])
    assert found["products"] == 75
    assert list(found["share_above_0"].values()) == pytest.approx((maps > 0).double().mean((1, 2)).tolist())
    assert (found["neurons"], found["shared_parameters"]) == (3920, 380)
    assert (found["local_parameters"], found["fully_connected_parameters"]) == (3920 * 76, 3920 * 3073)
    with torch.device("meta"):
        paper = get_architecture("alexnet_2012").build()
    sizes = [m.weight.numel() for m in paper.modules() if isinstance(m, nn.Conv2d) and m.groups == 2]
    assert [one["weights"] for one in found["grouped"].values()] == sizes
    assert found["grouped"]["conv2"] == {
        "channels": 96, "depth": 48, "weights": 307200, "at_full_depth": 614400
    }  # fmt: skip
    assert found["grouped_against_two_halves"] == 0


def test_filter_shapes(numbers: Any) -> None:
    found = numbers("filter-shapes")
    layers = [nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 32, 1)]
    keras = [[3, 3, 1, 32], [3, 3, 32, 64], [1, 1, 64, 32]]
    for layer, shape, one in zip(layers, keras, found["shapes"].values(), strict=True):
        assert one == {"keras": shape, "pytorch": list(layer.weight.shape), "weights": layer.weight.numel()}
    assert found["weights_of_a_filter_of_the_second_layer"] == 288
    assert found["transposed_difference"] == 0
    assert found["reshaped_share_wrong"] > 0.9
    assert found["one_by_one_difference"] < 1e-12
    assert found["one_by_one_macs"] == 56 * 56 * 64 * 32


def test_sizes(numbers: Any) -> None:
    found = numbers("sizes")
    assert [one["output"] for one in found["exercises"]] == [
        "28x28x1", "28x28x6", "5x5x1", "3x3x1", "2x2x1", "7x7x1", "32x32x1", "32x32x1", "24x24x10", "6x6x1",
        "32x32x10", "56x56x32",
    ]  # fmt: skip
    assert found["exercises"][10]["parameters"] == 760
    assert found["lost_rows"] == [6]


# -- drawings ------------------------------------------------------------------------------------------


def test_a_drawing_says_its_words_and_holds_what_it_draws() -> None:
    drawing = Drawing()
    right, bottom = drawing.matrix(
        5, 0, [[1, -2.5], [0, 40]], side=20, title="a < b", shades=shades_of([[1, -2], [0, 4]]),
        frames=[Frame(0, 0, 1, 3)], hatched={(1, 1)},
    )  # fmt: skip
    assert (right, bottom) == (45, 61)
    root = ET.fromstring(drawing.svg('"quoted"'))
    assert [one.text for one in root.iter("text")] == ["a < b", "1", "-2.5", "0", "40"]
    assert root.get("aria-label") == '"quoted"'
    left, _, width, _ = map(float, str(root.get("viewBox")).split())
    assert left + width >= 5 + 3 * 20  # the frame reaches beyond the cells
    shades = [(one.get("fill"), one.get("fill-opacity")) for one in root.iter("rect")][:3]
    assert [opacity for _, opacity in shades] == ["0.15", "0.3", "0.6"]
    assert ["wrong" in str(fill) for fill, _ in shades] == [False, True, False]


def test_hatching_stays_in_its_box() -> None:
    drawing = Drawing()
    drawing.hatch(10, 20, 30, 18)
    path = next(ET.fromstring(drawing.svg("x")).iter("path")).get("d")
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", str(path))]
    assert points
    assert all(10 <= x <= 40 and 20 <= y <= 38 for x, y in points)


def test_map_levels() -> None:
    assert map_levels(np.array([[0.0, 1.0, 2.0]])).tolist() == [[0, 128, 255]]
    assert map_levels(np.array([[-2.0, 0.0, 1.0]])).tolist() == [[1, 128, 192]]
    assert map_levels(np.zeros((1, 2))).tolist() == [[0, 0]]
