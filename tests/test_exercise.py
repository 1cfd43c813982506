"""Exercises: questions are read as a student reads them, and answered by torch and by counting."""

from __future__ import annotations

import ast
import functools
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sightline.lab import TOPICS, Exercise, make_exercises, sheet_page
from sightline.lab._exercise import Dice, _makers


@functools.cache
def all_of(topic: str, n: int = 60, seed: int = 11) -> tuple[Exercise, ...]:
    return make_exercises(topic, n, seed).exercises


def numbers(exercise: Exercise) -> list[Any]:
    assert isinstance(exercise.answer, Mapping)
    return list(exercise.answer.values())


# Draws


def test_dice_are_digests_of_key_and_count() -> None:
    dice = Dice("sizes", 7)
    for thrown in range(20):
        word = int.from_bytes(blake2b(f"sizes\x1f7\x1f{thrown}".encode(), digest_size=8).digest(), "big")
        assert dice.below(6) == word * 6 // 2**64
    thrown_often = [Dice("fair", i).between(1, 6) for i in range(600)]
    assert all(60 < thrown_often.count(face) < 140 for face in range(1, 7))
    assert sorted(Dice("all").some(5, range(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("topic", TOPICS)
def test_no_question_comes_twice_and_every_kind_comes(topic: str) -> None:
    exercises = all_of(topic, 200)
    assert len({(one.text, one.given) for one in exercises}) == 200
    assert len({one.id for one in exercises}) == 200
    for index, maker in enumerate(_makers(topic)):  # a sheet as long as there are kinds has one of each
        one = all_of(topic, len(_makers(topic)))[index]
        again = (maker(Dice(11, topic, index, 0, attempt)) for attempt in range(200))
        assert one.sum == next(made.sum for made in again if made is not None)


def test_all_topics_share_a_sheet() -> None:
    topics = [one.topic for one in all_of("all", 20)]
    assert sorted(topics, key=list(TOPICS).index) == topics
    assert {topics.count(topic) for topic in TOPICS} == {3, 4}


def test_seeds_differ_and_one_seed_is_one_sheet() -> None:
    sheets = [make_exercises("all", 12, seed) for seed in range(20)]
    assert len({sheet_page(sheet) for sheet in sheets}) == 20
    assert sheets[3] == make_exercises("all", 12, 3)


def test_another_process_makes_the_same_bytes_without_torch() -> None:
    code = (
        "import sys, hashlib, sightline.lab as lab\n"
        "from sightline.cli import app\n"
        "try: app(['exercise'])\n"
        "except SystemExit: pass\n"
        "sheet = lab.make_exercises('all', 30, 5)\n"
        "text = lab.sheet_page(sheet) + lab.key_page(sheet) + lab.gift_text(sheet)\n"
        "heavy = [name for name in ('torch', 'matplotlib', 'sklearn') if name in sys.modules]\n"
        "print(hashlib.sha256(text.encode()).hexdigest(), heavy)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert outputs.pop().split()[-1] == "[]"


# Questions, read as text

LAYER = re.compile(
    r"convolution, (?P<filters>\d+) filters? of (?P<kernel>[\dx]+), stride (?P<stride>\d+), "
    r"padding (?P<padding>[\dx]+)(?:, dilation (?P<dilation>\d+))?(?:, (?P<groups>\d+) groups)?"
    r"(?P<nobias>, without bias)?"
)
POOLING = re.compile(r"(?P<kind>max|average) pooling (?P<kernel>\d+)x\d+, stride (?P<stride>\d+)")


def axes(text: str) -> tuple[int, ...]:
    sides = tuple(map(int, text.split("x")))
    return sides if len(sides) > 1 else sides * 2


def layer_of(text: str, shape: torch.Size) -> list[nn.Module]:
    """One line of a question as PyTorch layers."""
    if found := LAYER.search(text):
        layers: list[nn.Module] = [
            nn.Conv2d(
                shape[1],
                int(found["filters"]),
                axes(found["kernel"]),  # type: ignore[arg-type]
                int(found["stride"]),
                axes(found["padding"]),  # type: ignore[arg-type]
                int(found["dilation"] or 1),
                int(found["groups"] or 1),
                bias=not found["nobias"],
            )
        ]
    elif found := POOLING.search(text):
        kind = nn.MaxPool2d if found["kind"] == "max" else nn.AvgPool2d
        layers = [kind(int(found["kernel"]), int(found["stride"]))]
    elif "flatten" in text:
        layers = [nn.Flatten()]
    elif found := re.search(r"fully connected, (\d+) outputs", text):
        layers = [nn.Linear(shape[1], int(found[1]))]
    else:
        assert "batch norm" in text, text
        layers = [nn.BatchNorm2d(shape[1])]
    return [*layers, nn.ReLU()] if "ReLU" in text else layers


def network_of(text: str) -> tuple[torch.Tensor, nn.Sequential, torch.Tensor]:
    """The network of a question: its input, itself, its output."""
    found = re.search(r"(?:input is|input of|network takes) (\d+)x(\d+)x(\d+)", text)
    assert found is not None, text
    height, width, channels = map(int, found.groups())
    given = torch.zeros(1, channels, height, width)
    lines = re.findall(r"^\(\d+\) (.*)$", text, re.MULTILINE) or [text]
    layers: list[nn.Module] = []
    here = given
    for line in lines:
        made = layer_of(line, here.shape)
        here = nn.Sequential(*made)(here)
        layers += made
    return given, nn.Sequential(*layers), here


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """As PyTorch has it; 0 where nothing fits."""
    if size + 2 * padding < dilation * (kernel - 1) + 1:
        return 0
    given = torch.zeros(1, 1, size, 1)
    layer = nn.Conv2d(1, 1, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
    return layer(given).shape[2]  # type: ignore[no-any-return]


def windows(size: int, kernel: int, stride: int, padding: int) -> list[range]:
    """Every position of a window over a padded line, counted."""
    end = size + padding
    return [range(start, start + kernel) for start in range(-padding, end - kernel + 1, stride)]


def test_sizes_are_torchs() -> None:
    asked = 0
    for one in all_of("sizes", 66):
        if "How large is the output?" in one.text:
            _, channels, height, width = network_of(one.text)[2].shape
            assert one.answer == {"height": height, "width": width, "channels": channels}, one.text
            asked += 1
        elif "How many values" in one.text:
            assert numbers(one) == [network_of(one.text)[2].shape[1]], one.text
            asked += 1
    assert asked == 30


def test_what_fits_and_what_is_lost_is_counted() -> None:
    verdicts = []
    for one in all_of("sizes", 66):
        found = re.match(
            r"(Does )?a (\d+)x\d+ window with stride (\d+) and padding (\d+)", one.text, re.IGNORECASE
        )
        if found is None:
            continue
        kernel, stride, padding = (int(found[i]) for i in (2, 3, 4))
        if "How large is the input" in one.text:
            wanted = int(re.search(r"output is (\d+)x", one.text)[1])  # type: ignore[index]
            fitting = [
                size
                for size in range(kernel, 200)
                if (at := windows(size, kernel, stride, padding))
                and len(at) == wanted
                and at[-1][-1] == size + padding - 1
            ]
            assert fitting == numbers(one), one.text
            continue
        size = int(re.search(r"input of (\d+)x", one.text)[1])  # type: ignore[index]
        at = windows(size, kernel, stride, padding)
        if one.kind == "choice":
            assert one.answer == ("yes" if at[-1][-1] == size + padding - 1 else "no"), one.text
            verdicts.append(one.answer)
        else:
            covered = {row for window in at for row in window}
            assert numbers(one) == [len(at), len(set(range(size)) - covered)], one.text
    assert {"yes", "no"} <= set(verdicts)


def test_what_is_solved_for_is_the_only_answer() -> None:
    asked = 0
    for one in all_of("sizes", 66):
        if found := re.search(
            r"keeps (\d+)x.* window is (\d+)x\d+ with stride 1(?: and dilation (\d+))?", one.text
        ):
            size, kernel, dilation = int(found[1]), int(found[2]), int(found[3] or 1)
            good = [p for p in range(40) if output_size(size, kernel, 1, p, dilation) == size]
        elif found := re.search(
            r"makes (\d+)x\d+ of (\d+)x\d+, if the window is (\d+)x\d+ with stride (\d+)", one.text
        ):
            wanted, size, kernel, stride = map(int, found.groups())
            good = [p for p in range(kernel) if output_size(size, kernel, stride, p) == wanted]
        elif found := re.search(r"padding (\d+) makes (\d+)x\d+ of (\d+)x", one.text):
            padding, wanted, size = map(int, found.groups())
            good = [k for k in range(1, size + 1) if output_size(size, k, 1, padding) == wanted]
        else:
            continue
        assert numbers(one) == good, one.text
        asked += 1
    assert asked == 18


# Parameters and multiply-adds


def learned(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiplied(given: torch.Tensor, network: nn.Module) -> int:
    """How many products there are: with ones everywhere, padding too, it is what all outputs add up to."""
    count, here = 0, given
    for layer in network if isinstance(network, nn.Sequential) else [network]:
        ones = torch.ones(here.shape, dtype=torch.float64)
        weight = getattr(layer, "weight", torch.zeros(0))
        if isinstance(layer, nn.Conv2d):
            rows, columns = layer.padding
            padded = F.pad(ones, (int(columns), int(columns), int(rows), int(rows)), value=1.0)
            products = F.conv2d(
                padded, torch.ones_like(weight, dtype=torch.float64), stride=layer.stride, groups=layer.groups
            )
            count += int(products.sum())
        elif isinstance(layer, nn.Linear):
            count += int((ones @ torch.ones_like(weight, dtype=torch.float64).T).sum())
        here = layer(here)
    return count


def pairs_of(text: str) -> tuple[torch.Tensor, tuple[nn.Module, nn.Module]]:
    """Two networks that a question compares."""
    found = re.search(r"input is (\d+)x(\d+)x(\d+)", text)
    assert found is not None
    height, width, channels = map(int, found.groups())
    given = torch.zeros(1, channels, height, width)

    def conv(outputs: int, kernel: int, groups: int = 1) -> nn.Conv2d:
        return nn.Conv2d(channels, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)

    if stacked := re.search(r"one convolution of (\d+)x\d+ with (two|three|four) of 3x3", text):
        times = {"two": 2, "three": 3, "four": 4}[stacked[2]]
        return given, (
            conv(channels, int(stacked[1])),
            nn.Sequential(*(conv(channels, 3) for _ in range(times))),
        )
    if separable := re.search(r"the output \d+x\d+x(\d+), .*convolution of (\d+)x\d+ with a depthwise", text):
        outputs, kernel = int(separable[1]), int(separable[2])
        return given, (
            conv(outputs, kernel),
            nn.Sequential(conv(channels, kernel, channels), conv(outputs, 1)),
        )
    layer = layer_of(text, given.shape)[0]
    return given, (
        layer,
        nn.Sequential(nn.Flatten(), nn.Linear(given.numel(), layer(given).numel())),
    )


def test_parameters_are_torchs() -> None:
    for one in all_of("parameters", 60):
        if found := re.search(r"(\d+)x\d+ over (\d+) channel.* has ([\d,]+) parameters", one.text):
            kernel, channels, total = (int(text.replace(",", "")) for text in found.groups())
            fitting = [m for m in range(1, 100) if learned(nn.Conv2d(channels, m, kernel)) == total]
            assert numbers(one) == fitting, one.text
        elif found := re.search(r"with (\d+) channel.* (\d+) filters of length (\d+)", one.text):
            inputs, outputs, kernel = map(int, found.groups())
            assert numbers(one) == [learned(nn.Conv1d(inputs, outputs, kernel))], one.text
        elif len(numbers(one)) == 2:
            assert numbers(one) == [learned(network) for network in pairs_of(one.text)[1]], one.text
        else:
            assert numbers(one) == [learned(network_of(one.text)[1])], one.text


def test_macs_are_torchs() -> None:
    for one in all_of("macs", 50):
        if "Compare" in one.text:
            given, networks = pairs_of(one.text)
            assert numbers(one) == [multiplied(given, network) for network in networks], one.text
            continue
        given, network, _ = network_of(one.text)
        macs = multiplied(given, network)
        assert numbers(one) == ([macs, 2 * macs] if "flops" in one.text else [macs]), one.text


# Receptive fields


def steps_of(text: str) -> list[tuple[tuple[int, int], int, int]]:
    """(kernel, stride, dilation) of every layer of a question."""
    found = re.findall(
        r"^\(\d+\) (?:convolution|(?:max|average) pooling) ([\dx]+), stride (\d+)(?:, dilation (\d+))?$",
        text,
        re.MULTILINE,
    )
    return [(axes(kernel), int(stride), int(dilation or 1)) for kernel, stride, dilation in found]  # type: ignore[misc]


def seen(steps: list[tuple[tuple[int, int], int, int]], axis: int, position: int = 0) -> set[int]:
    """Which input rows one output row sees: taken back layer by layer."""
    rows = {position}
    for kernel, stride, dilation in reversed(steps):
        rows = {row * stride + tap * dilation for row in rows for tap in range(kernel[axis])}
    return rows


def width(rows: set[int]) -> int:
    return max(rows) - min(rows) + 1


def test_fields_are_counted() -> None:
    for one in all_of("receptive-fields", 64):
        if found := re.search(r"How many convolutions of (\d+)x.* sees (\d+)x", one.text):
            kernel, wanted = map(int, found.groups())
            least = next(n for n in range(1, 99) if width(seen([((kernel, kernel), 1, 1)] * n, 0)) >= wanted)
            assert numbers(one) == [least], one.text
            continue
        steps = steps_of(one.text)
        assert len(steps) == one.text.count("\n("), one.text
        if "jump" in one.text:
            jump = min(seen(steps, 0, 1)) - min(seen(steps, 0, 0))
            assert numbers(one) == [width(seen(steps, 0)), jump], one.text
        elif "how many columns" in one.text:
            assert numbers(one) == [width(seen(steps, 0)), width(seen(steps, 1))], one.text
        elif "behind each" in one.text:
            assert numbers(one) == [width(seen(steps[: i + 1], 0)) for i in range(len(steps))], one.text
        else:
            assert numbers(one) == [width(seen(steps, 0))], one.text


# Matrices


def grids(exercise: Exercise) -> list[torch.Tensor]:
    return [torch.tensor(grid.rows, dtype=torch.float64)[None, None] for grid in exercise.given]


def rows_of(result: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, result[0, 0].tolist()))


def test_pooling_is_torchs() -> None:
    for one in all_of("pooling", 64):
        maps = grids(one)
        if "Global" in one.text:
            assert numbers(one) == [channel.mean().item() for channel in maps]
            continue
        if "backwards" in one.text:
            source = maps[0].requires_grad_()
            F.max_pool2d(source, 2).backward(maps[1])
            assert source.grad is not None
            assert one.answer == rows_of(source.grad)
            continue
        found = re.match(r"(Max|Average) pooling with a window of (\w+) and stride (\w+)", one.text)
        assert found is not None
        pool: Any = F.max_pool2d if found[1] == "Max" else F.avg_pool2d
        expected = pool(maps[0], axes(found[2]), axes(found[3]))
        assert one.answer == rows_of(expected), one.text
        size, window, stride = maps[0].shape[2:], axes(found[2]), axes(found[3])
        unfit = any((size[a] - window[a]) % stride[a] for a in (0, 1))
        assert ("does not fit" in one.text) == unfit


def test_convolution_is_torchs() -> None:
    for one in all_of("convolution", 66):
        maps = grids(one)
        if "two channels" in one.text:
            bias = torch.tensor([float(re.search(r"bias (-?\d+)", one.text)[1])], dtype=torch.float64)  # type: ignore[index]
            expected = F.conv2d(torch.cat(maps[:2], 1), torch.cat(maps[2:], 1), bias)
        elif "ReLU" in one.text:
            expected = F.max_pool2d(F.conv2d(maps[0], maps[1]).relu(), 2)
        else:
            weight = maps[1].flip(2, 3) if "true convolution" in one.text else maps[1]
            stride, padding, dilation = (
                int(found[1]) if (found := re.search(rf"{word} (\d)", one.text)) else default
                for word, default in (("stride", 1), ("padding", 0), ("dilation", 1))
            )
            expected = F.conv2d(maps[0], weight, None, stride, padding, dilation)
        if found := re.search(r"in row (\d+), column (\d+)", one.text):
            assert numbers(one) == [expected[0, 0, int(found[1]) - 1, int(found[2]) - 1].item()]
        else:
            assert one.answer == rows_of(expected), one.text


def test_named_kernels_are_the_lectures() -> None:
    sharpen = next(one for one in all_of("convolution", 200) if "sharpen" in one.text)
    assert sharpen.given[1].rows == ((0, -1, 0), (-1, 5, -1), (0, -1, 0))


# Sums

OPERATIONS = {
    ast.Add: float.__add__,
    ast.Sub: float.__sub__,
    ast.Mult: float.__mul__,
    ast.Div: float.__truediv__,
}


def worked_out(text: str) -> float:
    def value(node: ast.AST) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](value(node.left), value(node.right))  # type: ignore[index]
        if isinstance(node, ast.UnaryOp):
            return -value(node.operand)
        assert isinstance(node, ast.Constant)
        return float(node.value)  # type: ignore[arg-type]

    return value(ast.parse(text.strip(), mode="eval").body)


def equations(text: str) -> Iterator[tuple[str, str]]:
    """Left and right of every sum in a text, separators taken out."""
    for line in re.split(r"[\n;]", text.replace(",", "")):
        found = re.search(
            r"((?:\(|-?\d|max\()[-+*/() \d.]*) = (-?[\d.]+(?: -> \d+)?)",
            re.sub(r"^\(\d+\) ", "", re.sub(r"^[a-z\d ]+: (?:\(\d\) )?", "", line)),
        )
        if found and not found[1].startswith("max"):
            yield found[1], found[2]


@pytest.mark.parametrize("topic", TOPICS)
def test_sums_come_out_and_hold_the_answer(topic: str) -> None:
    checked = 0
    for one in all_of(topic, 100):
        for left, right in equations(one.sum):
            shown, _, rounded = right.partition(" -> ")
            value = worked_out(left)
            assert math.isclose(value, float(shown), abs_tol=0.006 if rounded else 1e-9), (one.text, one.sum)
            assert not rounded or math.floor(value) == int(rounded)
            checked += 1
        figures = set(re.findall(r"-?\d+(?:\.\d+)?", one.sum.replace(",", "")))
        if topic != "pooling" and one.kind != "choice" and "lost rows" not in str(one.answer):
            assert {answer for _, answer in one.blanks} <= figures, (one.answer, one.sum)
    assert checked >= 40
