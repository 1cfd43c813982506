"""Pictures of networks: against the papers' numbers, and by geometry: nothing overlaps or is cut off.

Over 600 lines: one drawing's geometry, whose cases share one set of readers.
"""

from __future__ import annotations

import itertools
import math
import re
import runpy
import xml.etree.ElementTree as ET
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont
from torch import Tensor, nn
from typer.testing import CliRunner

from sightline.base import ArgumentError
from sightline.blueprint import Blueprint, record
from sightline.blueprint.draw import COLOURS, STYLES, draw, repr_svg
from sightline.cli._draw import draw as verb
from sightline.zoo import get_architecture

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SVG = "{http://www.w3.org/2000/svg}"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
Rect = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Branched(nn.Module):
    """Two inputs, two outputs, a layer called twice, branches of different length."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.c, self.d = nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Conv2d(16, 8, 1)
        self.f, self.g = nn.Linear(8, 3), nn.Linear(4, 8)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.a(x))
        z = torch.cat([torch.relu(self.b(x)), self.c(x)], 1)
        z = self.b(self.d(z) + x + self.g(y)[:, :, None, None])
        return self.f(z.mean((2, 3))), torch.sigmoid(z)


def by_hand(name: str) -> Blueprint:
    if name == "unet":
        with torch.device("meta"):
            network = runpy.run_path(str(BENCHMARKS / "unet.py"))["UNet"]()
        return record(network, (1, 1, 572, 572))
    if name == "branched":
        return record(Branched(), (1, 3, 16, 16), (1, 4))
    if name == "transformer":
        return record(nn.Transformer(32, 4, 2, 2, 64, batch_first=True), (1, 10, 32), (1, 7, 32))
    if name == "volume":
        layers = nn.Conv3d(1, 8, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(8 * 7**3, 5)
        return record(nn.Sequential(*layers), (1, 1, 16, 16, 16))
    if name == "signal":
        layers = nn.Conv1d(1, 15, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(285, 10)
        return record(nn.Sequential(*layers), (1, 1, 40))
    assert name == "nothing"
    return record(nn.Sequential(), (1, 3))


BY_HAND = ("unet", "branched", "transformer", "volume", "signal", "nothing")
ZOO = ("lenet5", "lenet5_1998", "alexnet", "alexnet_2012", "lecture_cnn", "vgg16", "mlp", "squeezenet1_0")
ZOO += ("googlenet", "resnet18", "resnet34", "resnet50", "resnet34_a", "plain34", "resnet110")


@cache
def blueprint(name: str, *, training: bool = False) -> Blueprint:
    if name in BY_HAND:
        return by_hand(name)
    architecture = get_architecture(name)
    with torch.device("meta"):
        network = architecture.build()
    return record(network, (1, *architecture.input_shape), name=name, training=training)


def elements(svg: str, tag: str, name: str = "") -> list[ET.Element]:
    """Elements of a tag that have a class."""
    found = ET.fromstring(svg).iter(SVG + tag)
    return [e for e in found if not name or name in e.get("class", "").split()]


def words(svg: str) -> list[str]:
    return [e.text or "" for e in elements(svg, "text")]


def rect(element: ET.Element) -> Rect:
    x, y, w, h = (float(element.get(key, "nan")) for key in ("x", "y", "width", "height"))
    return x, y, x + w, y + h


def text_rect(element: ET.Element) -> Rect:
    """Where a text is, in DejaVu Sans, which is wider than Helvetica and Arial."""
    size = float(element.get("font-size", "nan"))
    file = "DejaVuSans-Bold.ttf" if element.get("font-weight") else "DejaVuSans.ttf"
    width = (
        font(file).getlength(element.text or "") * size / 100 * 0.93
    )  # to about Verdana's condensed widths
    x, y = float(element.get("x", "nan")), float(element.get("y", "nan"))
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
    return left, y - 0.72 * size, left + width, y + 0.2 * size


@cache
def font(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / file), 100)


def overlap(a: Rect, b: Rect, least: float = 0.2) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > least and min(a[3], b[3]) - max(a[1], b[1]) > least


def inside(a: Rect, b: Rect, slack: float = 0.2) -> bool:
    return a[0] >= b[0] - slack and a[1] >= b[1] - slack and a[2] <= b[2] + slack and a[3] <= b[3] + slack


def segments(path: str) -> list[Rect]:
    """The straight parts of a path, as thin boxes."""
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [
        (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        for a, b in itertools.pairwise(points)
    ]


def check_geometry(svg: str) -> None:
    """What holds for every picture."""
    root = ET.fromstring(svg)
    x, y, w, h = map(float, root.get("viewBox", "").split())
    page = (x, y, x + w, y + h)
    texts = [text_rect(e) for e in elements(svg, "text")]
    for e in elements(svg, "text"):
        assert inside(text_rect(e), page), f"{e.text} leaves the page"
    for (m, a), (n, b) in itertools.combinations(enumerate(texts), 2):
        assert not overlap(a, b), f"{words(svg)[m]!r} lies on {words(svg)[n]!r}"
    boxes = [rect(e) for e in elements(svg, "rect", "box")]
    frames = [rect(e) for e in elements(svg, "rect") if e.get("class") in ("frame", "repeat")]
    for e, text in zip(elements(svg, "text"), texts, strict=True):
        for box in boxes:
            assert not overlap(text, box) or inside(text, box), f"{e.text} does not fit its box"
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b), f"boxes {a} and {b} overlap"
    for box in (*boxes, *frames):
        assert inside(box, page)
        assert all(not overlap(box, f) or inside(box, f) or inside(f, box) for f in frames)
    for edge in elements(svg, "path", "edge"):
        for part in segments(edge.get("d", "")):
            thin = (part[0] - 0.3, part[1] - 0.3, part[2] + 0.3, part[3] + 0.3)
            assert all(not overlap(thin, box, 0.7) for box in boxes), f"edge {part} crosses a box"


@pytest.mark.parametrize("name", [*ZOO, *BY_HAND])
@pytest.mark.parametrize("unfold", [False, True], ids=["folded", "unfolded"])
def test_nothing_overlaps_and_nothing_is_cut_off(name: str, unfold: bool) -> None:
    if unfold and name == "resnet110":
        pytest.skip("much the same, and slow")
    check_geometry(draw(blueprint(name), unfold=unfold))


@pytest.mark.parametrize("name", ["lenet5", "vgg16", "alexnet", "unet", "resnet34"])
def test_blocks_are_clean_where_they_are_not_the_first_choice(name: str) -> None:
    check_geometry(draw(blueprint(name), style="blocks", width=600))
    check_geometry(draw(blueprint(name), depth=1))


@pytest.mark.parametrize("name", [*ZOO, *BY_HAND])
def test_a_picture_is_one_file_for_any_reader(name: str) -> None:
    svg = draw(blueprint(name))
    root = ET.fromstring(svg)
    assert root.tag == SVG + "svg"
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        "svg", "title", "desc", "style", "g", "rect", "polygon", "path", "text",
    }  # fmt: skip
    assert svg.count("http") == 1, "the name space alone"
    assert "url(" not in svg
    assert " id=" not in svg, "two pictures on one page would share it"
    assert (root[0].tag, root[1].tag) == (SVG + "title", SVG + "desc")
    assert blueprint(name).name in (root[0].text or "")
    assert f"{blueprint(name).num_parameters:,} parameters" in " ".join(words(svg))
    assert f"{blueprint(name).macs:,} multiply-adds" in " ".join(words(svg))
    assert repr_svg(blueprint(name)) == svg == draw(blueprint(name))


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "vgg16", "unet"])
def test_a_page_finds_the_layers_of_a_picture(name: str) -> None:
    """Every group names nodes of the recording, none of them twice; a whole chain has all with weights."""
    recorded = blueprint(name)
    groups = list(ET.fromstring(draw(recorded)).iter(SVG + "g"))
    held = [node for group in groups for node in (group.get("data-holds") or "").split()]
    assert groups
    assert len(held) == len(set(held))
    assert set(held) <= set(recorded.index)
    for group in groups:
        node = group.get("data-node") or ""
        assert node in recorded.index or node in {call.id for call in recorded.calls}
        assert group[0].tag != SVG + "text", "the shape comes first, its words are on it"
    if name == "lenet5":
        assert {n.id for n in recorded.nodes if n.parameters} <= set(held)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def mixed(colour: str, paper: str, part: float) -> str:
    both = [(int(colour[k : k + 2], 16), int(paper[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(part * a + (1 - part) * b):02x}" for a, b in both)


@pytest.mark.parametrize("text", ["ink", "dim"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_can_be_read_on_every_box_on_light_and_dark(text: str, dark: bool) -> None:
    """Contrast by WCAG 2.1, success criterion 1.4.3: 4.5 to 1."""
    svg = draw(blueprint("resnet34"))
    if dark:
        rules = dict(re.findall(r"\.sightline-drawing \.(\w+)\{fill:(#\w{6})\}", svg))
        assert "@media (prefers-color-scheme:dark)" in svg
        paper, letters = rules["paper"], rules[text]
    else:
        paper = elements(svg, "rect", "paper")[0].get("fill", "")
        letters = elements(svg, "text", text)[0].get("fill", "")
    for colour in COLOURS.values():
        ground = mixed(colour, paper, 0.2)
        low, high = sorted((luminance(letters), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


# ---------------------------------------------------------------------- volumes


def test_lenet_as_in_its_paper() -> None:
    svg = draw(blueprint("lenet5"))
    found = words(svg)
    assert found[: found.index("lenet5")] == [
        "input", "1@32x32", "conv 5x5", "6@28x28", "ReLU", "max pool 2x2", "stride 2", "6@14x14",
        "conv 5x5", "16@10x10", "ReLU", "max pool 2x2", "stride 2", "16@5x5",
        "fc", "120", "ReLU", "fc", "84", "ReLU", "fc", "10",
    ]  # fmt: skip
    assert len(elements(svg, "polygon", "window")) == 4
    assert len(elements(svg, "path", "pyramid")) == 16


def fronts(svg: str) -> list[tuple[float, float]]:
    """Width and height of the front of each volume."""
    found = []
    for face in elements(svg, "polygon", "front"):
        points = [tuple(map(float, p.split(","))) for p in face.get("points", "").split()]
        found.append((points[1][0] - points[0][0], points[2][1] - points[1][1]))
    return found


def test_volumes_are_to_scale() -> None:
    svg = draw(blueprint("lenet5"))
    assert "side of a map drawn in proportion to its size" in " ".join(words(svg))
    assert "thickness to the square root of the number of maps" in " ".join(words(svg))
    sizes = fronts(svg)
    for (_, tall), side in zip(sizes, (32, 28, 14, 10, 5), strict=True):
        assert tall / sizes[0][1] == pytest.approx(side / 32, abs=0.002)
    for (thick, _), maps in zip(sizes, (1, 6, 6, 16, 16), strict=True):
        assert thick / sizes[-1][0] == pytest.approx(math.sqrt(maps / 16), abs=0.005)
    bars = [rect(e) for e in elements(svg, "rect", "bar")]
    for bar, units in zip(bars, (120, 84, 10), strict=True):
        assert (bar[3] - bar[1]) / (bars[0][3] - bars[0][1]) == pytest.approx(
            math.sqrt(units / 120), abs=0.005
        )


def test_large_maps_are_drawn_by_square_roots_and_the_caption_says_so() -> None:
    svg = draw(blueprint("vgg16"))
    assert "in proportion to the square root of its size" in " ".join(words(svg))
    tall = [h for _, h in fronts(svg)]
    assert tall[-1] / tall[0] == pytest.approx(math.sqrt(7 / 224), abs=0.002)


def test_vgg16_has_its_thirteen_convolutions_in_groups_of_one_size() -> None:
    svg = draw(blueprint("vgg16"))
    assert len(elements(svg, "polygon", "front")) == 1 + 13 + 5
    assert len(elements(svg, "rect", "bar")) == 3
    repeats = [int(w.split(" ")[0]) for w in words(svg) if w.endswith("x conv 3x3")]
    assert repeats == [2, 2, 3, 3, 3]
    assert "ReLU after 13 of 13 conv and 2 of 3 fc" in " ".join(words(svg))


def test_maps_of_one_and_three_axes() -> None:
    assert {"conv 3x3x3", "8@14x14x14", "8@7x7x7"} <= set(words(draw(blueprint("volume"))))
    assert {"conv 3", "15@19"} <= set(words(draw(blueprint("signal"))))


# ---------------------------------------------------------------------- blocks


def repeats(svg: str) -> list[int]:
    return [int(w[2:]) for w in words(svg) if re.fullmatch(r"x \d+", w)]


def test_resnet34_has_the_published_blocks() -> None:
    """He et al. 2015, table 1: 3, 4, 6, 3; the first of stages 2 to 4 has a projection, and stands alone."""
    svg = draw(blueprint("resnet34"))
    assert repeats(svg) == [3, 3, 5, 2]
    assert [w.split(": ")[1] for w in words(svg) if "BasicBlock" in w] == [
        "3 x BasicBlock", "4 x BasicBlock", "6 x BasicBlock", "3 x BasicBlock",
    ]  # fmt: skip
    assert len(elements(svg, "path", "projection")) == 3
    assert len(elements(svg, "path", "skip")) == 4
    assert len(elements(svg, "rect", "repeat")) == 4


@pytest.mark.parametrize(
    ("name", "skips", "projections"),
    [("resnet34", 13, 3), ("resnet34_a", 16, 0), ("resnet50", 12, 4), ("plain34", 0, 0), ("resnet18", 5, 3)],
)
def test_a_skip_for_every_residual_addition(name: str, skips: int, projections: int) -> None:
    svg = draw(blueprint(name), unfold=True)
    assert len(elements(svg, "path", "skip")) == skips
    assert len(elements(svg, "path", "projection")) == projections
    assert all(e.get("stroke-dasharray") for e in elements(svg, "path", "projection"))
    assert sum(node.kind == "add" for node in blueprint(name).nodes) == skips + projections
    assert repeats(svg) == []


def test_resnet_words_are_those_of_the_paper() -> None:
    found = words(draw(blueprint("resnet34")))
    for each in ("conv 7x7, 64, /2", "max pool 3x3, /2", "conv 3x3, 128, /2", "global avg pool", "fc, 1000"):
        assert each in found
    assert "BN, ReLU \u2192 112x112" in found


def test_googlenet_has_nine_modules_of_four_branches() -> None:
    svg = draw(blueprint("googlenet"))
    assert [w for w in words(svg) if w.startswith("inception")] == [
        f"inception{n}" for n in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ]
    merges = [rect(e) for e in elements(svg, "rect", "merge")]
    assert len(merges) == words(svg).count("concat") == 9
    ends = [segments(e.get("d", ""))[-1] for e in elements(svg, "path", "edge")]
    for merge in merges:
        arriving = [e for e in ends if merge[0] < e[0] < merge[2] and abs(e[3] - merge[1]) < 0.2]
        assert len(arriving) == 4


def test_googlenet_in_training_has_its_auxiliary_heads() -> None:
    svg = draw(blueprint("googlenet", training=True))
    found = words(svg)
    assert {"aux1", "aux2", "output 1", "output 2", "output 3"} <= set(found)
    assert found.count("fc, 1000") == 3
    check_geometry(svg)


def test_blocks_are_folded_only_where_they_are_equal_and_follow_each_other() -> None:
    def block(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 4))

    svg = draw(record(nn.Sequential(block(8), block(8), block(9), block(8)), (1, 4)), style="blocks")
    assert repeats(svg) == [2]
    assert words(svg).count("fc, 8") == 2
    assert words(svg).count("fc, 9") == 1


class Steps(nn.Module):
    """Three equal blocks; what becomes of their results is the test's."""

    def __init__(self, join: Callable[[list[Tensor]], Tensor | list[Tensor]]) -> None:
        super().__init__()
        self.join = join
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        maps = []
        for step in self.steps:
            x = step(x)
            maps.append(x)
        return self.join(maps)


def test_a_block_read_from_afar_is_not_folded_away() -> None:
    last = draw(record(Steps(lambda maps: maps[-1]), (1, 4, 8, 8)), style="blocks")
    every = draw(record(Steps(lambda maps: maps), (1, 4, 8, 8)))
    around = draw(record(Steps(lambda maps: maps[-1] + maps[1]), (1, 4, 8, 8)))
    assert (repeats(last), repeats(every), repeats(around)) == ([3], [], [2])
    assert {"output 1", "output 2", "output 3"} <= set(words(every))
    assert len(elements(around, "path", "skip")) == 1


def test_modules_of_one_kind_are_framed_alike() -> None:
    """Unfolded, the third stage is too long for a frame: none has one, and all 16 blocks have."""
    found = words(draw(blueprint("resnet34"), unfold=True))
    assert [w for w in found if w.startswith("layer")] == [
        f"layer{stage}.{block}" for stage, blocks in enumerate((3, 4, 6, 3), 1) for block in range(blocks)
    ]


def test_a_layer_called_twice_says_so() -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1)
    assert (
        words(draw(record(nn.Sequential(layer, layer), (1, 4, 8, 8)), style="blocks")).count("(same weights)")
        == 1
    )


def test_depth_folds_modules() -> None:
    svg = draw(blueprint("resnet34"), depth=1)
    assert len(elements(svg, "rect", "module")) == 4
    assert words(svg).count("Sequential, 64") == 1
    assert "layer3 \u2192 14x14" in words(svg)


def test_large_graphs_are_folded_until_they_can_be_read() -> None:
    class Wide(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(n))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([layer(x) for layer in self.layers]).sum(0)

    network = nn.Sequential(*(Wide(n) for n in range(20, 26)))
    svg = draw(record(network, (1, 4)))
    assert len(elements(svg, "rect", "module")) == 6
    check_geometry(svg)


# ---------------------------------------------------------------------- the U


def test_the_u_net_as_in_its_paper() -> None:
    """Ronneberger et al. 2015, figure 1: sizes and numbers of maps, four grey arrows."""
    svg = draw(blueprint("unet"))
    found = words(svg)
    assert len(elements(svg, "path", "skip")) == 4
    sizes = [int(w.split("x")[0]) for w in found if re.fullmatch(r"(\d+)x\1", w)]
    assert sizes == [
        572, 570, 568, 284, 282, 280, 140, 138, 136, 68, 66, 64, 32, 30, 28,
        56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388, 388,
    ]  # fmt: skip
    maps = [int(w) for w in found if w.isdigit()]
    assert maps == [
        1, 64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512, 1024, 1024,
        1024, 512, 512, 512, 256, 256, 256, 128, 128, 128, 64, 64, 2,
    ]  # fmt: skip
    assert "31,030,658 parameters" in " ".join(found)
    assert "150,428,424,448 multiply-adds" in " ".join(found)
    assert {"conv 3x3, ReLU", "max pool 2x2", "up-conv 2x2", "conv 1x1"} <= set(found)
    assert "skip: copy and crop, concat" in found
    for skip in elements(svg, "path", "skip"):
        (part,) = segments(skip.get("d", ""))
        assert part[1] == part[3], "level"


def test_a_small_u() -> None:
    """Padded, a convolution a level and none at the bottom, joined by addition: no room between the arms."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 8), (8, 8)))
            self.up = nn.ModuleList(nn.ConvTranspose2d(8, 8, 2, stride=2) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            top = self.down[0](x)
            middle = self.down[1](nn.functional.max_pool2d(top, 2))
            low = nn.functional.max_pool2d(middle, 2)
            return self.up[1](self.up[0](low) + middle) + top

    svg = draw(record(Small(), (1, 1, 32, 32)))
    assert len(elements(svg, "path", "skip")) == 2
    assert "skip: copy, add" in words(svg)
    assert [w for w in words(svg) if "x" in w and w.replace("x", "").isdigit()] == [
        "32x32", "32x32", "16x16", "16x16", "8x8", "16x16", "32x32",
    ]  # fmt: skip
    check_geometry(svg)


def test_a_u_that_resizes_and_convolves_on_its_way_up() -> None:
    class Resizing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [
                nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(5)
            ]
            self.layers = nn.ModuleList(layers)
            self.join = nn.ModuleList(nn.Conv2d(8, 4, 3, padding=1) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            a, b, c, d, e = self.layers
            top = a(x)
            middle = b(nn.functional.max_pool2d(top, 2))
            x = c(nn.functional.max_pool2d(middle, 2))
            x = self.join[0](torch.cat([middle, d(nn.functional.interpolate(x, scale_factor=2))], 1))
            return self.join[1](torch.cat([top, e(nn.functional.interpolate(x, scale_factor=2))], 1))

    svg = draw(record(Resizing(), (1, 4, 32, 32)))
    assert len(elements(svg, "path", "skip")) == 2
    assert "upsample + conv 3x3, BN, ReLU" in words(svg)
    assert [w for w in words(svg) if w in ("4", "8")] == list("4444448484")
    check_geometry(svg)


def test_what_is_nearly_a_u_is_drawn_as_blocks() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5))
            self.join = nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b, c, d, e = self.convolutions
            top = a(x)
            middle = b(nn.functional.max_pool2d(top, 2))
            low = c(nn.functional.max_pool2d(middle, 2))
            low = low + d(low)
            up = nn.functional.interpolate(low, scale_factor=2)
            up = self.join(torch.cat([middle, up], 1))
            return self.join(torch.cat([top, nn.functional.interpolate(e(up), scale_factor=2)], 1))

    svg = draw(record(Residual(), (1, 4, 32, 32)))
    assert len(elements(svg, "path", "skip")) == 3
    assert "graph of blocks" in svg
    check_geometry(svg)


# ---------------------------------------------------------------------- any network, any words


def test_names_are_escaped() -> None:
    name = 'A<B> & "C"\x07'
    network = nn.Sequential(
        OrderedDict({"<x>&": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "y": nn.ReLU()})
    )
    svg = draw(record(network, (1, 2), name=name), style="blocks")
    assert 'A<B> & "C" ' in words(svg)
    assert "<x>&" in words(svg)
    assert ET.fromstring(svg).get("aria-label", "").startswith('A<B> & "C"')


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_graphs_are_drawn_clean(data: st.DataObject) -> None:
    """Operations over any earlier results: the geometry holds, and every operation is there."""
    steps: list[tuple[str, tuple[int, ...]]] = []
    for k in range(data.draw(st.integers(1, 14), label="steps")):
        kind = data.draw(st.sampled_from(["conv", "add", "cat", "square"]))
        count = data.draw(st.integers(2, 3)) if kind in ("add", "cat") else 1
        steps.append((kind, tuple(data.draw(st.integers(0, k)) for _ in range(count))))
    ends = data.draw(st.sets(st.integers(1, len(steps)), min_size=1, max_size=3))

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.LazyConv2d(4, 3, padding=1) for _ in steps)

        def forward(self, x: Tensor) -> list[Tensor]:
            made = [x]
            for (kind, sources), layer in zip(steps, self.layers, strict=True):
                given = [made[s] for s in sources]
                if kind == "conv":
                    made.append(layer(given[0]))
                elif kind == "square":
                    made.append(torch.square(given[0]))
                else:
                    joined = (
                        torch.cat([g[:, :2] for g in given], 1)
                        if kind == "cat"
                        else sum(g[:, :2] for g in given)
                    )
                    made.append(torch.nn.functional.pad(joined, (0, 0, 0, 0, 0, 6))[:, :4])
            return [made[k] for k in ends]

    network = Graph()
    network(torch.zeros(1, 4, 6, 6))
    for layer in network.layers:
        if isinstance(layer, nn.LazyConv2d):
            layer.initialize_parameters(torch.zeros(1, 4, 6, 6))
    svg = draw(record(network, (1, 4, 6, 6)), style="blocks")
    check_geometry(svg)
    assert len(elements(svg, "rect", "convolution")) == sum(kind == "conv" for kind, _ in steps)
    assert words(svg).count("square") == sum(kind == "square" for kind, _ in steps)


# ---------------------------------------------------------------------- what is refused, and the verb


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match="style is 'volume'; did you mean volumes"):
        draw(blueprint("lenet5"), style="volume")
    with pytest.raises(
        ArgumentError, match=r"volumes is for chains of layers, and resnet34 is none: .* 2 things"
    ):
        draw(blueprint("resnet34"), style="volumes")
    with pytest.raises(ArgumentError, match="Branched is none: it has 2 inputs; use blocks"):
        draw(blueprint("branched"), style="volumes")
    with pytest.raises(ArgumentError, match="width must be at least 200 pixels, not 50"):
        draw(blueprint("lenet5"), width=50)
    with pytest.raises(ArgumentError, match="depth must be at least 1, not 0"):
        draw(blueprint("lenet5"), depth=0)
    assert STYLES == ("auto", "volumes", "blocks")


@pytest.fixture
def run() -> Callable[..., tuple[int, str]]:
    app = typer.Typer()
    app.command()(verb)

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        return result.exit_code, " ".join(result.output.split())

    return call


def test_the_verb_writes_a_file(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "lenet.svg"
    assert run("lenet5", "-o", path) == (0, f"lenet5 in {path}")
    assert path.read_text() == draw(blueprint("lenet5"))
    assert run("resnet18", "-o", path, "--input", "3,64,64", "--unfold", "--style", "blocks")[0] == 0
    assert "input 3x64x64" in words(path.read_text())
    assert repeats(path.read_text()) == []


def test_the_verb_refuses(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    assert run("lenet5", "-o", tmp_path / "a.png") == (
        2,
        f"sightline: --output {tmp_path / 'a.png'} must end in .svg",
    )
    assert run("lenet5", "-o", path, "--style", "block") == (
        2,
        "sightline: --style is 'block'; did you mean blocks?",
    )
    code, said = run("resnet18", "-o", path, "--style", "volumes")
    assert code == 2
    assert "use blocks" in said
    assert run("lenet55", "-o", path)[0] == 2
    assert not path.exists()
