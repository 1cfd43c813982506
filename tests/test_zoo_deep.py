"""GoogLeNet, the PReLU networks, ResNet and its plain twins, against their papers and public weights.

That every record's parameters and multiply-adds are what torch counts is tested with the whole zoo; here the
records are held to the published numbers, and what has no record of its own is counted. Networks stand on the
`meta` device wherever nothing needs computing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sightline.base import ArgumentError
from sightline.imaging import photograph
from sightline.zoo import Architecture, get_architecture

# name: depth, parameters, multiply-adds
COUNTS = {
    "googlenet_2014": (22, 6_998_552 + 3_188_840 + 3_190_888, 1_582_671_872),
    "googlenet": (22, 13_004_888, 1_498_376_192),
    "prelunet_a": (19, 178_032_072, 19_058_106_368),
    "prelunet_b": (22, 183_343_048, 23_219_904_512),
    "prelunet_c": (22, 330_623_944, 53_463_130_112),
    "plain18": (18, 11_515_688, 1_794_805_760),
    "plain34": (34, 21_623_848, 3_644_493_824),
    "resnet18_a": (18, 11_515_688, 1_794_805_760),
    "resnet18": (18, 11_689_512, 1_814_073_344),
    "resnet18_c": (18, 12_043_816, 1_878_298_624),
    "resnet34_a": (34, 21_623_848, 3_644_493_824),
    "resnet34": (34, 21_797_672, 3_663_761_408),
    "resnet34_c": (34, 22_716_840, 3_830_747_136),
    "resnet50_v1": (50, 25_557_032, 3_857_973_248),
    "resnet50": (50, 25_557_032, 4_089_184_256),
    "resnet101_v1": (101, 44_549_160, 7_570_194_432),
    "resnet101": (101, 44_549_160, 7_801_405_440),
    "resnet152_v1": (152, 60_192_808, 11_282_415_616),
    "resnet152": (152, 60_192_808, 11_513_626_624),
    "resnet20": (20, 269_722, 40_551_040),
    "resnet32": (32, 464_154, 68_862_592),
    "resnet44": (44, 658_586, 97_174_144),
    "resnet56": (56, 853_018, 125_485_696),
    "resnet110": (110, 1_727_962, 252_887_680),
    "resnet1202": (1202, 19_421_274, 2_829_238_912),
    "plain20": (20, 269_722, 40_551_040),
    "plain32": (32, 464_154, 68_862_592),
    "plain44": (44, 658_586, 97_174_144),
    "plain56": (56, 853_018, 125_485_696),
    "plain110": (110, 1_727_962, 252_887_680),
}


def on_meta(name: str, size: tuple[int, int] | None = None, **arguments: Any) -> nn.Module:
    """A network of the zoo, some of its builder's arguments changed, without memory."""
    architecture = get_architecture(name)
    changed = dataclasses.replace(architecture, arguments={**architecture.arguments, **arguments})
    with torch.device("meta"):
        return changed.build(input_size=size)


def count(module: nn.Module, *shape: int) -> tuple[int, int]:
    """Parameters, and multiply-adds for one input."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module(torch.empty(1, *shape))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2


# The records


@pytest.mark.parametrize("name", COUNTS)
def test_the_record_is_what_is_published(name: str) -> None:
    record = get_architecture(name)
    assert (record.depth, record.parameters, record.macs) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_published_errors_are_fractions(name: str) -> None:
    results = get_architecture(name).results
    unpublished = name == "resnet18_c" or (name.startswith("plain") and COUNTS[name][1] < 2e6)  # only plotted
    assert bool(results) != unpublished
    for result in results:
        errors = [e for e in (result.top5_error, result.top1_error) if e is not None]
        assert errors == sorted(errors)
        assert all(0.03 < e < 0.35 for e in errors)


# What has no record


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [
        ("resnet20", "B", (272_474, 40_813_184)),
        ("resnet32", "B", (466_906, 69_124_736)),
        ("resnet56", "B", (855_770, 125_747_840)),
        ("resnet50_v1", "C", (40_128_552, 6_324_224_000)),
        ("resnet101_v1", "C", (76_981_288, 13_530_300_416)),
    ],
)
def test_other_shortcuts(name: str, option: str, expected: tuple[int, int]) -> None:
    assert count(on_meta(name, shortcut=option).eval(), *get_architecture(name).input_shape) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("resnet20", {"shortcut": "C"}, 283_962),
        ("resnet56", {"shortcut": "C"}, 900_858),
        ("plain20", {"batch_norm": False}, 269_034),
        ("plain56", {"batch_norm": False}, 850_986),
        ("plain34", {"batch_norm": False}, 21_623_848 - 7_616),  # a bias instead of a gain and a shift
    ],
)
def test_parameters_of_other_forms(name: str, arguments: dict[str, Any], parameters: int) -> None:
    assert sum(p.numel() for p in on_meta(name, **arguments).parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "alone", "training"),
    [
        ("googlenet_2014", (6_998_552, 1_582_671_872), (13_378_280, 1_591_044_096)),
        ("googlenet", (6_624_904, 1_498_376_192), (13_004_888, 1_506_748_416)),
    ],
)
def test_auxiliary_heads_count_in_training(
    name: str, alone: tuple[int, int], training: tuple[int, int]
) -> None:
    assert count(on_meta(name).train(), 3, 224, 224) == training
    assert count(on_meta(name, auxiliary_heads=False).eval(), 3, 224, 224) == alone


@pytest.mark.parametrize(("name", "relu"), [("a", 178_017_384), ("b", 183_327_080), ("c", 330_603_368)])
def test_slopes_are_what_prelu_has_more_than_relu(name: str, relu: int) -> None:
    network = on_meta(f"prelunet_{name}")
    slopes = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.PReLU))
    assert slopes == get_architecture(f"prelunet_{name}").parameters - relu


# Row by row


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "resnet34",
            {
                "layer1": ((64, 56), (221_952, 693_633_024)),
                "layer2": ((64, 56), (1_116_416, 873_463_808)),
                "layer3": ((128, 28), (6_822_400, 1_335_885_824)),
                "layer4": ((256, 14), (13_114_368, 642_252_800)),
            },
        ),
        (
            "resnet50",
            {
                "layer1": ((64, 56), (215_808, 667_942_912)),
                "layer2": ((256, 56), (1_219_584, 1_027_604_480)),
                "layer3": ((512, 28), (7_098_368, 1_464_336_384)),
                "layer4": ((1024, 14), (14_964_736, 809_238_528)),
            },
        ),
        (
            "resnet50_v1",
            {
                "layer1": ((64, 56), (215_808, 667_942_912)),
                "layer2": ((256, 56), (1_219_584, 950_534_144)),
                "layer3": ((512, 28), (7_098_368, 1_387_266_048)),
                "layer4": ((1024, 14), (14_964_736, 732_168_192)),
            },
        ),
        (
            "resnet20",
            {
                "conv1": ((3, 32), (432, 442_368)),
                "layer1": ((16, 32), (14_016, 14_155_776)),
                "layer2": ((16, 32), (51_072, 12_976_128)),
                "layer3": ((32, 16), (203_520, 12_976_128)),
            },
        ),
        (
            "googlenet_2014",
            {
                "conv1": ((3, 224), (9_472, 118_013_952)),
                "conv2": ((64, 56), (4_160, 12_845_056)),
                "conv3": ((64, 56), (110_784, 346_816_512)),
                "inception3a": ((192, 28), (163_696, 128_049_152)),
                "inception3b": ((256, 28), (388_736, 304_267_264)),
                "inception4a": ((480, 14), (376_176, 73_608_192)),
                "inception4b": ((512, 14), (449_160, 87_908_352)),
                "inception4c": ((512, 14), (510_104, 99_850_240)),
                "inception4d": ((512, 14), (605_376, 118_515_712)),
                "inception4e": ((528, 14), (868_352, 169_996_288)),
                "inception5a": ((832, 7), (1_043_456, 51_079_168)),
                "inception5b": ((832, 7), (1_444_080, 70_697_984)),
                "aux1": ((512, 14), (3_188_840, 4_169_728)),
                "aux2": ((528, 14), (3_190_888, 4_202_496)),
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_row_of_the_table(name: str, rows: dict[str, tuple[tuple[int, int], tuple[int, int]]]) -> None:
    network = on_meta(name).eval()
    for path, ((channels, side), expected) in rows.items():
        assert count(network.get_submodule(path), channels, side, side) == expected, path


SIDES = {"googlenet": (112, 56, 28, 14, 7), "prelunet": (112, 56, 28, 14), "cifar": (32, 16, 8)}
CHANNELS = {
    "googlenet": (64, 192, 480, 832, 1024),
    "prelunet_a": (96, 256, 512, 512),
    "prelunet_c": (96, 384, 768, 896),
}


@pytest.mark.parametrize("name", [name for name in COUNTS if COUNTS[name][0] <= 101])
def test_stages_are_those_of_the_paper(name: str) -> None:
    record = get_architecture(name)
    family = "cifar" if record.input_shape[1] == 32 else name.partition("_")[0]
    sides = SIDES.get(family, (56, 28, 14, 7))
    usual = (16, 32, 64) if family == "cifar" else (64, 128, 256, 512)
    if record.depth >= 50 and family != "cifar":
        usual = (256, 512, 1024, 2048)
    channels = CHANNELS.get(name, CHANNELS.get(family, CHANNELS["prelunet_a"] if "prelu" in name else usual))
    network = on_meta(name).eval()
    seen: dict[str, Tensor] = {}
    for stage in record.stages:
        network.get_submodule(stage.path).register_forward_hook(
            lambda m, i, o, path=stage.path: seen.update({path: o})
        )
    with torch.device("meta"):
        outputs = network.forward_stages(torch.empty(1, *record.input_shape))
    assert [tuple(o.shape[1:]) for o in outputs] == [(c, s, s) for c, s in zip(channels, sides, strict=True)]
    assert [(s.channels, record.input_shape[1] // s.stride) for s in record.stages] == list(
        zip(channels, sides, strict=True)
    )
    assert all(output is seen[stage.path] for output, stage in zip(outputs, record.stages, strict=True))


# Names and shapes of public weights, in their order

INCEPTIONS = (
    # name, input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool
    ("3a", 192, 64, 96, 128, 16, 32, 32),
    ("3b", 256, 128, 128, 192, 32, 96, 64),
    ("4a", 480, 192, 96, 208, 16, 48, 64),
    ("4b", 512, 160, 112, 224, 24, 64, 64),
    ("4c", 512, 128, 128, 256, 24, 64, 64),
    ("4d", 512, 112, 144, 288, 32, 64, 64),
    ("4e", 528, 256, 160, 320, 32, 128, 128),
    ("5a", 832, 256, 160, 320, 32, 128, 128),
    ("5b", 832, 384, 192, 384, 48, 128, 128),
)
Keys = list[tuple[str, tuple[int, ...]]]


def norm_keys(path: str, channels: int) -> Keys:
    names = ("weight", "bias", "running_mean", "running_var")
    return [*((f"{path}.{name}", (channels,)) for name in names), (f"{path}.num_batches_tracked", ())]


def linear_keys(path: str, *shape: int) -> Keys:
    return [(f"{path}.weight", shape), (f"{path}.bias", shape[:1])]


def googlenet_keys(heads: bool) -> Keys:
    def convolution(path: str, out: int, inputs: int, side: int) -> Keys:
        return [(f"{path}.conv.weight", (out, inputs, side, side)), *norm_keys(f"{path}.bn", out)]

    keys = convolution("conv1", 64, 3, 7) + convolution("conv2", 64, 64, 1) + convolution("conv3", 192, 64, 3)
    for name, inputs, one, three_reduce, three, five_reduce, five, pool in INCEPTIONS:
        path = f"inception{name}.branch"
        keys += convolution(f"{path}1", one, inputs, 1)
        keys += convolution(f"{path}2.0", three_reduce, inputs, 1)
        keys += convolution(f"{path}2.1", three, three_reduce, 3)
        keys += convolution(f"{path}3.0", five_reduce, inputs, 1)
        keys += convolution(f"{path}3.1", five, five_reduce, 3)
        keys += convolution(f"{path}4.1", pool, inputs, 1)
    for path, inputs in (("aux1", 512), ("aux2", 528)) if heads else ():
        keys += convolution(f"{path}.conv", 128, inputs, 1)
        keys += linear_keys(f"{path}.fc1", 1024, 2048) + linear_keys(f"{path}.fc2", 1000, 1024)
    return keys + linear_keys("fc", 1000, 1024)


def resnet_keys(blocks: tuple[int, ...], bottleneck: bool) -> Keys:
    keys: Keys = [("conv1.weight", (64, 3, 7, 7)), *norm_keys("bn1", 64)]
    inputs = 64
    for stage, number in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for block in range(number):
            path = f"layer{stage + 1}.{block}"
            shapes = [(width, inputs, 3, 3), (width, width, 3, 3)]
            if bottleneck:
                shapes = [(width, inputs, 1, 1), (width, width, 3, 3), (out, width, 1, 1)]
            for j, shape in enumerate(shapes, start=1):
                keys += [(f"{path}.conv{j}.weight", shape), *norm_keys(f"{path}.bn{j}", shape[0])]
            if block == 0 and (stage > 0 or inputs != out):
                keys += [(f"{path}.downsample.0.weight", (out, inputs, 1, 1))]
                keys += norm_keys(f"{path}.downsample.1", out)
            inputs = out
    return keys + linear_keys("fc", 1000, inputs)


def cifar_keys(n: int) -> Keys:
    keys: Keys = [("conv1.weight", (16, 3, 3, 3)), *norm_keys("bn1", 16)]
    inputs = 16
    for stage, width in ((1, 16), (2, 32), (3, 64)):
        for block in range(n):
            path = f"layer{stage}.{block}"
            for j, before in ((1, inputs), (2, width)):
                keys += [
                    (f"{path}.conv{j}.weight", (width, before, 3, 3)),
                    *norm_keys(f"{path}.bn{j}", width),
                ]
            inputs = width
    return keys + linear_keys("linear", 10, 64)


def keys_of(network: nn.Module) -> Keys:
    return [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]


def test_names_and_shapes_of_googlenet_are_torchvisions() -> None:
    assert keys_of(on_meta("googlenet")) == googlenet_keys(heads=True)
    assert len(googlenet_keys(heads=True)) == 364
    assert keys_of(on_meta("googlenet", auxiliary_heads=False)) == googlenet_keys(heads=False)
    assert len(googlenet_keys(heads=False)) == 344


@pytest.mark.parametrize(
    ("name", "blocks", "tensors"),
    [
        ("resnet18", (2, 2, 2, 2), 122),
        ("resnet34", (3, 4, 6, 3), 218),
        ("resnet50", (3, 4, 6, 3), 320),
        ("resnet101", (3, 4, 23, 3), 626),
        ("resnet152", (3, 8, 36, 3), 932),
    ],
)
def test_names_and_shapes_of_resnets_are_torchvisions(
    name: str, blocks: tuple[int, ...], tensors: int
) -> None:
    bottleneck = get_architecture(name).depth >= 50
    expected = resnet_keys(blocks, bottleneck)
    assert len(expected) == tensors
    assert keys_of(on_meta(name)) == expected
    if bottleneck:
        assert keys_of(on_meta(f"{name}_v1")) == expected


@pytest.mark.parametrize(("depth", "n"), [(20, 3), (32, 5), (44, 7), (56, 9), (110, 18)])
def test_names_and_shapes_of_cifar_resnets_are_akamasters(depth: int, n: int) -> None:
    assert keys_of(on_meta(f"resnet{depth}")) == cifar_keys(n)
    assert keys_of(on_meta(f"plain{depth}")) == cifar_keys(n)


def test_a_plain_network_has_the_names_of_its_residual_twin() -> None:
    assert keys_of(on_meta("plain34")) == keys_of(on_meta("resnet34_a"))
    assert set(keys_of(on_meta("resnet34_a"))) < set(keys_of(on_meta("resnet34")))
    assert set(keys_of(on_meta("resnet34"))) < set(keys_of(on_meta("resnet34_c")))


# Shortcuts, versions


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("plain34", {"NoneType": 16}),
        ("resnet34_a", {"ShortcutA": 3, "Identity": 13}),
        ("resnet34", {"Sequential": 3, "Identity": 13}),
        ("resnet34_c", {"Sequential": 16}),
        ("resnet50", {"Sequential": 4, "Identity": 12}),
    ],
)
def test_what_is_beside_the_blocks(name: str, kinds: dict[str, int]) -> None:
    network = on_meta(name)
    found: dict[str, int] = {}
    for stage in get_architecture(name).stages:
        for block in network.get_submodule(stage.path):
            kind = type(block.downsample).__name__
            found[kind] = found.get(kind, 0) + 1
    assert found == kinds


@pytest.mark.parametrize("option", ["none", "A", "B", "C"])
def test_a_block_adds_its_shortcut(option: str) -> None:
    """With nothing from its convolutions, a block is the ReLU of what is beside them."""
    architecture = get_architecture("resnet20")
    changed = dataclasses.replace(architecture, arguments={"n": 2, "shortcut": option})
    torch.manual_seed(0)
    network = changed.build().eval()
    x = torch.randn(1, 16, 5, 7)
    for stage, block, channels in ((1, 1, 16), (2, 0, 32)):
        module = network.get_submodule(f"layer{stage}.{block}")
        nn.init.zeros_(module.bn2.weight)
        y = module(x)
        assert y.shape == ((1, 16, 5, 7) if stage == 1 else (1, 32, 3, 4))
        expected = torch.zeros_like(y)
        if option == "C" or (option == "B" and stage == 2):
            expected = module.downsample(x).relu()
            assert module.downsample[0].weight.shape == (channels, 16, 1, 1)
        elif option != "none":
            before = (channels - 16) // 2
            expected[:, before : before + 16] = x[:, :, ::stage, ::stage].relu()
        assert torch.equal(y, expected)


def test_option_a_of_a_bottleneck_also_widens_where_the_size_stays() -> None:
    network = on_meta("resnet50", shortcut="A")
    assert type(network.layer1[0].downsample).__name__ == "ShortcutA"
    with torch.device("meta"):
        assert network.layer1(torch.empty(1, 64, 8, 8)).shape == (1, 256, 8, 8)


@pytest.mark.parametrize(("version", "strides"), [("v1", (2, 1, 1)), ("v1.5", (1, 2, 1))])
@pytest.mark.parametrize("depth", [50, 101, 152])
def test_where_a_bottleneck_halves_the_size(depth: int, version: str, strides: tuple[int, ...]) -> None:
    network = on_meta(f"resnet{depth}" if version == "v1.5" else f"resnet{depth}_v1")
    for stage in (1, 2, 3, 4):
        for number, block in enumerate(network.get_submodule(f"layer{stage}")):
            halves = stage > 1 and number == 0
            found = tuple(conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3))
            assert found == (strides if halves else (1, 1, 1))
            if number == 0:
                assert block.downsample[0].stride == ((2, 2) if halves else (1, 1))


# Sizes


@pytest.mark.parametrize(
    ("name", "smallest", "arguments"),
    [
        ("googlenet_2014", 79, {}),
        ("googlenet_2014", 31, {"auxiliary_heads": False}),
        ("googlenet", 15, {}),
        ("prelunet_a", 15, {}),
        ("resnet18", 1, {}),
        ("plain20", 1, {}),
    ],
)
def test_the_smallest_input(name: str, smallest: int, arguments: dict[str, Any]) -> None:
    network = on_meta(name, (smallest, smallest), **arguments)
    with torch.device("meta"):
        outputs = network.train()(torch.empty(2, 3, smallest, smallest)) if smallest > 1 else ()
        stages = network.eval().forward_stages(torch.empty(1, 3, smallest, smallest))
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        assert output.shape == (2, get_architecture(name).num_classes)
    assert all(stage.numel() > 0 for stage in stages)
    if smallest > 1:
        for size in ((smallest - 1, 300), (300, smallest - 1)):
            text = rf"cannot take an input of {size[0]}x{size[1]} .*; it takes {smallest}x{smallest} and more"
            with pytest.raises(ArgumentError, match=text):
                on_meta(name, size, **arguments)


# How they start

HE_KEEPS, START_KEEPS, NORMAL_LOSES = 1 / 4, 1 / 10, 1e-15
"""Of the deviation behind the first convolution, what 32 layers further is left of it at 224x224.

Measured for three seeds: 0.51 to 0.88 by He's rule that counts inputs, 0.17 to 0.30 as our network starts
(it counts outputs; section 2.2 of the paper: a factor of c_2 / d_L)."""


def test_he_initialisation_carries_a_picture_through_34_plain_layers() -> None:
    """Without batch norm; N(0, 0.01^2), as networks of eight layers start, does not."""
    architecture = get_architecture("plain34")
    arguments = {**architecture.arguments, "batch_norm": False}
    torch.manual_seed(0)
    network = dataclasses.replace(architecture, arguments=arguments).build(num_classes=2).eval()
    image = torch.from_numpy(photograph("china")[100:356, 200:456]).permute(2, 0, 1)[None].float()
    image = F.interpolate(image, (224, 224), mode="area")
    image = (image - image.mean()) / image.std()
    deviations: list[float] = []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions:
        convolution.register_forward_hook(lambda m, i, o: deviations.append(float(o.std())))

    def kept() -> float:
        deviations.clear()
        with torch.no_grad():
            network(image)
        assert len(deviations) == 33
        return deviations[-1] / deviations[0]

    assert START_KEEPS < kept() < 1 / START_KEEPS
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
    assert HE_KEEPS < kept() < 1 / HE_KEEPS
    for convolution in convolutions:
        nn.init.normal_(convolution.weight, std=0.01)
    assert kept() < NORMAL_LOSES


def small_prelunet() -> nn.Module:
    architecture = get_architecture("prelunet_a")
    changed = dataclasses.replace(architecture, arguments={"rows": ((64, 2), (32, 1), (8, 2))})
    return changed.build(num_classes=5, input_size=(32, 32))


def test_prelu_networks_start_by_equation_14() -> None:
    torch.manual_seed(0)
    network = small_prelunet()
    for path, kernel in (("conv2.0", 9 * 64), ("conv2.2", 9 * 64), ("conv3.0", 9 * 32)):
        convolution = network.get_submodule(path)
        expected = (2 / ((1 + 0.25**2) * kernel)) ** 0.5
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.03)
        assert not convolution.bias.any()
    for place, std in ((0, 0.01), (3, 0.01), (6, 0.001)):
        assert network.classifier[place].weight.std().item() == pytest.approx(std, rel=0.03)
    assert all((m.weight == 0.25).all() for m in network.modules() if isinstance(m, nn.PReLU))


def test_the_pyramid_by_hand() -> None:
    pyramid = small_prelunet().spp
    x = torch.arange(14.0 * 14).reshape(1, 1, 14, 14)
    y = pyramid(x)[0]
    assert y.shape == (63,)
    assert y[:49].tolist() == x[0, 0, 1::2, 1::2].flatten().tolist()
    assert y[-5:].tolist() == [
        x[0, 0, i, j].item() for i, j in ((6, 6), (6, 13), (13, 6), (13, 13), (13, 13))
    ]


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [
        ("googlenet_2014", 79, {}),
        ("googlenet", 64, {}),
        ("plain20", 32, {}),
        ("plain18", 64, {}),
        ("resnet18_c", 64, {}),
        ("resnet50", 64, {"blocks": (1, 1, 1, 1)}),
        ("prelunet_a", 32, {"rows": ((64, 2), (32, 1), (8, 2))}),
    ],
)
def test_gradients_reach_every_parameter(name: str, size: int, arguments: dict[str, Any]) -> None:
    architecture = get_architecture(name)
    changed = dataclasses.replace(architecture, arguments={**architecture.arguments, **arguments})
    torch.manual_seed(0)
    network = changed.build(num_classes=5, input_size=(size, size))
    outputs = network(torch.randn(4, 3, size, size))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(heads) == (3 if architecture.auxiliary_heads else 1)
    torch.stack([head.square().mean() for head in heads]).sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_records_of_networks_with_auxiliary_heads() -> None:
    records: list[Architecture] = [get_architecture(name) for name in COUNTS]
    with_heads = [r for r in records if r.auxiliary_heads]
    assert [r.name for r in with_heads] == ["googlenet_2014", "googlenet"]
    assert all(r.objective == "cross_entropy_auxiliary" for r in with_heads)
    assert all(r.objective == "cross_entropy" for r in records if not r.auxiliary_heads)
