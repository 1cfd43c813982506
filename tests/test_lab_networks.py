"""LeNet, AlexNet, VGG, the revolution of depth and the two Keras programs: numbers by hand and by formula."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lab_pages import made
from sightline.lab import Listing, Setting, Table, _networks, find_entry
from sightline.lab._networks import learned
from sightline.lab.entries import _alexnet, _keras, _lenet, _revolution


def numbers(name: str) -> Any:
    return made(name)[0].numbers


def part(name: str, title: str) -> Any:
    (found,) = [one for one in made(name)[0].parts if one.title == title]
    return found


def convolution(side: int, in_maps: int, out_maps: int, out_side: int, groups: int = 1) -> tuple[int, int]:
    """Parameters with biases, and multiply-adds."""
    weights = side * side * in_maps // groups * out_maps
    return weights + out_maps, weights * out_side**2


def full(inputs: int, outputs: int) -> tuple[int, int]:
    return (inputs + 1) * outputs, inputs * outputs


# LeNet

BY_HAND = (
    # layer, output, parameters, connections, multiply-adds, field
    ("C1", "6x28x28", 156, 122_304, 117_600, 5),
    ("S2", "6x14x14", 12, 5_880, 0, 6),
    ("C3", "16x10x10", 1_516, 151_600, 150_000, 14),
    ("S4", "16x5x5", 32, 2_000, 0, 16),
    ("C5", "120x1x1", 48_120, 48_120, 48_000, 32),
    ("F6", "84", 10_164, 10_164, 10_080, 32),
    ("output", "10", 0, 840, 0, 32),
)


def test_lenet_is_counted_as_by_hand() -> None:
    layers = _lenet.count_layers(_lenet.connection_table())
    keys = ("layer", "output", "parameters", "connections", "macs", "field")
    assert [tuple(one[key] for key in keys) for one in layers] == list(BY_HAND)
    assert sum(row[2] for row in BY_HAND) == 60_000
    assert sum(row[3] for row in BY_HAND) == 340_908


@pytest.mark.parametrize("what", ["parameters", "connections"])
def test_the_sums_shown_come_to_what_is_said(what: str) -> None:
    for one in _lenet.count_layers(_lenet.connection_table()):
        told = one[f"{what}_sum"].partition(";")[0].replace(",", "")
        assert re.fullmatch(r"[\d\s()+*]+", told), told
        assert eval(told) == one[what], (one["layer"], told)


def test_the_table_of_c3_follows_the_papers_rule() -> None:
    table = [set(maps) for maps in _lenet.connection_table()]
    rows = range(6)
    assert table[:6] == [{k, (k + 1) % 6, (k + 2) % 6} for k in rows], "every contiguous triple"
    assert table[6:12] == [{(k + j) % 6 for j in range(4)} for k in rows], "every contiguous four"
    assert [len(maps) for maps in table[12:]] == [4, 4, 4, 6]
    for maps in table[12:15]:
        assert maps not in table[6:12], "not contiguous"
    assert set(Counter(k for maps in table for k in maps).values()) == {10}


def test_the_drawn_table_has_a_mark_for_each_connection() -> None:
    drawn = part("lenet", "C3's table")
    assert drawn.svg.count('<use href="#c3-') == 6 * 3 + 9 * 4 + 6
    assert "1,516 parameters; a dense layer has 2,416" in drawn.caption


def test_lenet_learns_the_digits() -> None:
    found = numbers("lenet")
    assert found["test_images"] == 269
    for name in ("", "_today"):
        low, high = found[f"interval{name}"]
        assert low <= found[f"accuracy{name}"] <= high
        assert found[f"accuracy{name}"] > 0.85
    assert (found["parameters"], found["connections"], found["macs"]) == (60_000, 340_908, 325_680)
    assert (found["parameters_today"], found["macs_today"]) == (61_706, 416_520)


def test_lenet_of_today_stands_beside_the_paper() -> None:
    rows = part("lenet", "1998 and today").rows
    assert [row[5] for row in rows] == [156, 0, 2_416, 0, 48_120, 10_164, 850, 61_706]
    assert [row[6] for row in rows] == [117_600, 0, 240_000, 0, 48_000, 10_080, 840, 416_520]
    assert rows[-1][2:4] == (60_000, 325_680)


# AlexNet


def alexnet(filters: tuple[int, ...], groups: int) -> list[tuple[int, int]]:
    """Parameters and multiply-adds of conv1 to fc8, by formula."""
    sides, outs = (11, 5, 3, 3, 3), (55, 27, 13, 13, 13)
    halves = (1, groups, 1, groups, groups)
    made_of = [convolution(sides[k], (3, *filters)[k], filters[k], outs[k], halves[k]) for k in range(5)]
    return [*made_of, full(6 * 6 * filters[-1], 4096), full(4096, 4096), full(4096, 1000)]


@pytest.mark.parametrize(
    ("name", "filters", "groups", "parameters", "macs"),
    [
        ("alexnet_lecture", (96, 256, 384, 384, 256), 1, 62_378_344, 1_135_256_096),
        ("alexnet_2012", (96, 256, 384, 384, 256), 2, 60_965_224, 724_406_816),
        ("alexnet", (64, 192, 384, 256, 256), 1, 61_100_840, 714_188_480),
    ],
)
def test_each_alexnet_by_formula(
    name: str, filters: tuple[int, ...], groups: int, parameters: int, macs: int
) -> None:
    wanted = alexnet(filters, groups)
    layers = [one for one in numbers("alexnet")["layers"][name] if one["parameters"]]
    assert [one["layer"] for one in layers] == list(_alexnet.NAMES)
    assert [(one["parameters"], one["macs"]) for one in layers] == wanted
    assert (sum(p for p, _ in wanted), sum(m for _, m in wanted)) == (parameters, macs)
    assert numbers("alexnet")[f"parameters_{name}"] == parameters
    assert numbers("alexnet")[f"macs_{name}"] == macs


def test_the_order_of_pooling_and_normalisation() -> None:
    rows = dict(part("alexnet", "The order of layers").rows)
    assert rows["the lecture"].startswith("conv1 pool norm conv2 pool norm conv3")
    assert rows["the paper"].startswith("conv1 norm pool conv2 norm pool conv3")
    assert "norm" not in rows["torchvision"]


def test_what_becomes_of_227_and_224() -> None:
    rows = part("alexnet", "227 or 224").rows
    assert [row[3] for row in rows] == [55, 54, 55, 55]
    assert [row[4] for row in rows] == ["none", "223", "none", "none"]
    assert "54.25" in rows[1][2]
    for row, side, pad in zip(rows[:3], (227, 224, 224), (0, 0, 2), strict=True):
        with torch.device("meta"):
            layer = torch.nn.Conv2d(3, 96, 11, stride=4, padding=pad)
            assert layer(torch.empty(1, 3, side, side)).shape[-1] == row[3]


def test_the_order_matters_and_alpha_is_five_times_the_papers() -> None:
    found = numbers("alexnet")
    assert found["values_normalised_before"] == 96 * 55 * 55
    assert found["values_normalised_after"] == 96 * 27 * 27
    assert found["formula_largest_difference"] < 1e-5
    assert found["alpha_taken_literally"] > 0.01
    assert 0 < found["order_largest_difference"] < 1
    assert 0 < found["order_share_different"] <= 1


def test_what_the_ensembles_compare() -> None:
    found = numbers("alexnet")["ensembles"]
    alone = [one["top5_error"] for one in found if not one["more_images"]]
    assert alone == [0.182, 0.164]
    from sightline.zoo import get_architecture

    assert get_architecture("alexnet_2012").results[0].top5_error == alone[0]


# VGG

VGG_16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Filters by hand, 0 for a pooling."""


def test_the_memory_table_by_hand() -> None:
    side, maps = 224, 3
    values, weights = [224 * 224 * 3], [0]
    for filters in VGG_16:
        if filters:
            weights.append(9 * maps * filters)
            maps = filters
        else:
            weights.append(0)
            side //= 2
        values.append(side * side * maps)
    values += [4096, 4096, 1000]
    weights += [7 * 7 * 512 * 4096, 4096 * 4096, 4096 * 1000]
    found = numbers("vgg")
    assert [one["values"] for one in found["lines"]] == values
    assert [one["weights"] for one in found["lines"]] == weights
    assert (found["values"], found["weights"]) == (sum(values), sum(weights)) == (15_237_608, 138_344_128)
    assert found["bytes"] == 60_950_432
    assert (found["biases"], found["parameters"]) == (13_416, 138_357_544)
    assert round(found["parameter_bytes"] / 1e6, 1) == 553.4
    total = part("vgg", "VGG-16 as on the slide").rows[-1]
    assert total == ("total", "", 15_237_608, 60_950_432, "", 138_344_128, 13_416)


BLOCKS = {
    # convolutions of each block; a 1 behind stands for a 1x1
    "A": ("3", "3", "33", "33", "33"),
    "A-LRN": ("3", "3", "33", "33", "33"),
    "B": ("33", "33", "33", "33", "33"),
    "C": ("33", "33", "331", "331", "331"),
    "D": ("33", "33", "333", "333", "333"),
    "E": ("33", "33", "3333", "3333", "3333"),
}


@pytest.mark.parametrize("letter", BLOCKS)
def test_a_column_of_table_1_by_formula(letter: str) -> None:
    layers, maps, side = [], 3, 224
    for block, filters in zip(BLOCKS[letter], (64, 128, 256, 512, 512), strict=True):
        for kernel in block:
            layers.append(convolution(int(kernel), maps, filters, side))
            maps = filters
        side //= 2
    layers += [full(7 * 7 * 512, 4096), full(4096, 4096), full(4096, 1000)]
    found = numbers("vgg")["columns"][letter]
    assert found["parameters"] == sum(p for p, _ in layers)
    assert found["macs"] == sum(m for _, m in layers)
    assert round(found["parameters"] / 1e6) == found["printed_millions"], "table 2 of the paper"


def test_the_columns_are_the_papers_not_the_slides_garbled_ones() -> None:
    table = part("vgg", "A to E, side by side")
    assert table.columns[1:] == tuple(BLOCKS)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["56x56"][3:] == ("2 x conv3-256, 1 x conv1-256", "3 x conv3-256", "4 x conv3-256")
    assert rows["224x224"][1] == "1 x conv3-64, LRN"
    assert rows["weight layers"] == ("11", "11", "13", "16", "16", "19")


def test_stacks_see_as_much_with_fewer_parameters() -> None:
    two, five, three, seven = numbers("vgg")["stacks"]
    assert (two["field"], five["field"], three["field"], seven["field"]) == (5, 5, 7, 7)
    assert two["macs"] * 25 == five["macs"] * 18
    assert three["macs"] * 49 == seven["macs"] * 27
    assert two["parameters"] == 2 * (9 * 64 + 1) * 64
    assert seven["parameters"] == (49 * 64 + 1) * 64


def test_b_with_a_5x5_for_each_pair() -> None:
    layers = [
        convolution(5, maps, filters, 224 >> block)
        for block, (maps, filters) in enumerate([(3, 64), (64, 128), (128, 256), (256, 512), (512, 512)])
    ]
    layers += [full(25088, 4096), full(4096, 4096), full(4096, 1000)]
    assert numbers("vgg")["shallow_parameters"] == sum(p for p, _ in layers) == 134_503_528
    assert numbers("vgg")["shallow_macs"] == sum(m for _, m in layers) == 9_356_017_664


def test_neither_pooling_nor_strides_change_a_convolution() -> None:
    pooled, strided, neither = part("vgg", "Pooling or strides").rows
    assert pooled[1] == strided[1] == neither[1] == (9 * 64 + 1) * 128
    assert pooled[3] == strided[3] == (28 * 28 * 128 + 1) * 10
    assert neither[3] == (56 * 56 * 128 + 1) * 10
    assert pooled[2] == neither[2] == 4 * strided[2]


# The revolution of depth


def test_table_3_is_the_lectures_and_the_registrys() -> None:
    rows = numbers("revolution")["table_3"]
    assert len(rows) == 10
    assert all(one["agrees"] for one in rows)
    by_name = {one["printed"]: one for one in rows}
    assert (by_name["VGG-16"]["top1"], by_name["VGG-16"]["top5"]) == (28.07, 9.33)
    assert by_name["GoogLeNet"]["top1"] is None
    assert (by_name["ResNet-152"]["top1"], by_name["ResNet-152"]["top5"]) == (21.43, 5.71)
    assert by_name["plain-34"]["macs"] == by_name["ResNet-34 A"]["macs"] == 3_644_493_824


def test_a_row_that_differs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_revolution, "TABLE_3", [("VGG-16", "vgg16", 28.07, 9.34)])
    (row,) = _revolution.table_3()
    assert row["agrees"] is False


def test_billions_and_millions_are_kept_apart() -> None:
    found = numbers("revolution")
    assert found["macs_plain34"] == 3_644_493_824
    assert found["macs_vgg19"] == 19_632_062_464
    assert found["parameters_resnet34"] == 21_797_672
    assert found["parameters_vgg19"] == 143_667_240
    assert found["largest_resnet_parameters"] < found["parameters_vgg19"]
    assert f"{found['macs_plain34']:,}" in find_entry("revolution").corrections[0].fact


def test_resnet_152_with_projections_everywhere() -> None:
    """The number of a correction, from the network: a 1x1 convolution and its norm in each block."""
    from sightline.zoo import get_architecture

    architecture = get_architecture("resnet152_v1")
    option_b = architecture.parameters
    blocks, added = (3, 8, 36, 3), 0
    for stage, count in enumerate(blocks):
        width = 256 << stage
        added += (count - 1) * (width * width + 2 * width)
    told = find_entry("revolution").corrections[2].fact
    assert f"{option_b + added:,}" in told
    assert 1 + 3 * sum((3, 4, 23, 3)) + 1 == get_architecture("resnet101").depth == 101


def test_depth_grows_and_error_falls() -> None:
    won = numbers("revolution")["winners"]
    assert [one["depth"] for one in won] == [0, 0, 8, 8, 19, 22, 152]
    errors = [one["top5_error"] for one in won]
    assert errors == sorted(errors, reverse=True)
    single = numbers("revolution")["single_networks"]
    assert [one["depth"] for one in single] == [8, 8, 19, 22, 152]
    assert all(one["top5_error"] is not None for one in single)


# The Keras programs


def keras_formula(program: str) -> int:
    if program == "first":
        layers = [
            convolution(7, 1, 64, 28), convolution(3, 64, 128, 14), convolution(3, 128, 128, 14),
            convolution(3, 128, 256, 7), convolution(3, 256, 256, 7),
            full(3 * 3 * 256, 128), full(128, 64), full(64, 10),
        ]  # fmt: skip
    else:
        layers = [
            convolution(3, 1, 32, 26),
            convolution(3, 32, 64, 11),
            full(5 * 5 * 64, 1024),
            full(1024, 10),
        ]
    return sum(p for p, _ in layers)


@pytest.mark.parametrize(("program", "parameters"), [("first", 1_413_834), ("second", 1_668_490)])
def test_a_keras_program_and_ours_layer_by_layer(program: str, parameters: int) -> None:
    from sightline.lab._curves import recorded

    ours, theirs = _keras.our_layers(program), _keras.keras_layers(recorded("keras"), program)
    keys = ("kind", "output", "parameters")
    assert [tuple(one[k] for k in keys) for one in ours] == [tuple(one[k] for k in keys) for one in theirs]
    assert sum(one["parameters"] for one in theirs) == parameters == keras_formula(program)
    found = numbers("keras")
    assert found[f"parameters_{program}"] == parameters
    assert found[f"layers_agree_{program}"] is True
    assert 0 < found[f"largest_difference_{program}"] < 1e-6


def test_the_shapes_of_the_second_program_are_those_of_valid() -> None:
    sizes = [one["output"] for one in numbers("keras")["layers"]["second"]]
    assert sizes == ["26x26x32", "13x13x32", "11x11x64", "5x5x64", "1600", "1024", "10"]


def test_what_keras_said_is_shown() -> None:
    page, _ = made("keras")
    texts = [part.text for part in page.parts if isinstance(part, Listing)]
    told = "\n".join(texts)
    for message in (
        "TypeError: Conv2D.__init__() missing 1 required positional argument: 'kernel_size'",
        "ValueError: Unrecognized keyword arguments passed to Conv2D: {'filter_size': 3}",
        "isn't built",
        "ValueError: You must call `compile()` before using the model.",
    ):
        assert message in told
    for correction in find_entry("keras").corrections[:1]:
        assert correction.evidence.partition(" (Keras")[0] in told
    assert "Keras 3.15.1" in page.notes[0]
    assert "benchmarks/keras_transcript.py" in page.notes[0]


def test_the_printed_programs_are_the_lectures_and_the_repairs_are_small() -> None:
    from sightline.lab._keras_programs import PRINTED_FIRST, PRINTED_SECOND, REPAIRED

    assert PRINTED_SECOND.count("filter_size=3") == 2
    for printed, program in ((PRINTED_FIRST, "first"), (PRINTED_SECOND, "second")):
        compile(printed, program, "exec")
        compile(REPAIRED[program], program, "exec")
        assert "model.compile(" in REPAIRED[program]
        assert "Input((28, 28, 1))" in REPAIRED[program]
        same = set(printed.splitlines()) & set(REPAIRED[program].splitlines())
        assert len(same) >= len(set(printed.splitlines())) - 3
    assert "filter_size" not in REPAIRED["second"]


@pytest.mark.parametrize("program", ["first", "second"])
def test_the_source_shown_builds_a_network_of_as_many_parameters(program: str) -> None:
    space: dict[str, Any] = {"__name__": "shown"}
    exec(part("keras", f"The {program} program in PyTorch").text, space)
    assert sum(p.numel() for p in space["network"].parameters()) == keras_formula(program)


def test_without_images_the_smaller_network_is_trained_and_it_is_said() -> None:
    page, _ = made("keras")
    (one,) = page.numbers["trained"]
    assert one["network"] == "lecture_cnn_2"
    assert one["parameters"] == 1_668_490
    assert one["accuracy"] > 0.8
    assert "Without --data PATH" in page.notes[1]


def test_with_images_ours_are_trained_on_them(three_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both, for as long as is said; here the smaller one stands in for both, for an epoch."""
    asked: list[dict[str, Any]] = []

    def shorter(model: str, data: str, **how: Any) -> Any:
        asked.append({"model": model, **how})
        return learned("lecture_cnn_2", data, **how | {"epochs": 1, "minutes": None})

    monkeypatch.setattr(_networks, "learned", shorter)
    told: list[str] = []
    trained, where = _keras._training(
        Setting(data=three_classes, seed=3, progress=lambda what, done, total: told.append(what))
    )
    assert [how["model"] for how in asked] == ["lecture_cnn", "lecture_cnn_2"]
    for program, how, one in zip(("first", "second"), asked, trained, strict=True):
        assert (how["epochs"], how["minutes"]) == (None, _keras.MINUTES[program])
        assert (how["seed"], how["img_size"]) == (3, 28)
        assert one["network"] == how["model"]
        assert (one["classes"], one["train_images"]) == (3, 84)
        assert one["parameters"] == 1_668_490 - 7 * 1025
        low, high = one["interval"]
        assert low <= one["accuracy"] <= high
    assert where.endswith("shown at 28x28")
    assert "images" in where
    assert set(told) == {"training lecture_cnn_2"}


def test_the_recipe_of_a_short_time_is_that_of_few_epochs(three_classes: Path) -> None:
    """As many as fit, and not a long recipe cut short: so short a one shifts no images."""
    with learned("mlp", str(three_classes), seed=0, progress=lambda *_: None, minutes=1e-3) as one:
        recipe = yaml.safe_load((one.run / "args.yaml").read_text())["recipe"]
    assert one.epochs == recipe["phases"][0]["epochs"] == 1
    assert recipe["augmentation"]["crop"] == 0


def test_a_network_that_had_no_time_to_learn_is_said_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = numbers("keras")["trained"]
    guessing = dict(one) | {"accuracy": 0.1, "interval": [0.07, 0.15], "epochs": 1, "text": "10.0 %"}
    monkeypatch.setattr(_keras, "_training", lambda setting: ([guessing], "digits"))
    said = [note for note in _keras._run(Setting(live=True)).notes if "guessing" in note]
    assert said == [
        "lecture_cnn_2 had time for 1 epoch and is no better than guessing yet; "
        "sightline train gives it as long as it needs."
    ]
    assert not [note for note in made("keras")[0].notes if "guessing" in note]


def test_tables_add_up() -> None:
    """A row named total is the sum of the numbers above it."""
    for name in ("lenet", "alexnet", "vgg", "keras"):
        for one in made(name)[0].parts:
            if isinstance(one, Table) and one.rows[-1][0] == "total":
                for k, last in enumerate(one.rows[-1]):
                    if not isinstance(last, str):
                        above = [row[k] for row in one.rows[:-1]]
                        assert math.fsum(v for v in above if not isinstance(v, str)) == last, (one.title, k)
