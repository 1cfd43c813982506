"""The classic architectures against their papers: counts, sizes, names, formulas, starts.

Over 600 lines: most are the papers' tables, spelled out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sightline.base import Draws
from sightline.data import Batch
from sightline.imaging import Mixture
from sightline.tasks import make_objective
from sightline.zoo import get_architecture
from sightline.zoo._lenet import TABLE_1, PartialConvolution, SubSampling

# Worked out from the papers' tables; the records repeat them, torch recounts them.
COUNTS = (
    # name, parameters, multiply-adds, layers with weights
    ("airbench94", 1_972_792, 118_147_360, 8),
    ("airbench95", 4_606_520, 301_560_864, 8),
    ("alexnet", 61_100_840, 714_188_480, 8),
    ("alexnet_2012", 60_965_224, 724_406_816, 8),
    ("alexnet_lecture", 62_378_344, 1_135_256_096, 8),
    ("lenet5", 61_706, 416_520, 5),
    ("lenet5_1998", 60_000, 325_680, 7),
    ("mlp", 266_610, 266_200, 3),
    ("mlp_512_512", 669_706, 668_672, 3),
    ("mnist1d_conv", 2_050, 10_230, 4),
    ("mnist1d_mlp", 59_065, 58_575, 4),
    ("softmax_regression", 7_850, 7_840, 1),
    ("squeezenet1_0", 1_248_424, 818_924_576, 18),
    ("squeezenet1_1", 1_235_496, 349_151_936, 18),
    ("vgg11", 132_863_336, 7_609_090_048, 11),
    ("vgg11_bn", 132_868_840, 7_609_090_048, 11),
    ("vgg13", 133_047_848, 11_308_466_176, 13),
    ("vgg13_bn", 133_053_736, 11_308_466_176, 13),
    ("vgg16", 138_357_544, 15_470_264_320, 16),
    ("vgg16_bn", 138_365_992, 15_470_264_320, 16),
    ("vgg19", 143_667_240, 19_632_062_464, 19),
    ("vgg19_bn", 143_678_248, 19_632_062_464, 19),
    ("vgg_a", 132_863_336, 7_609_090_048, 11),
    ("vgg_a_lrn", 132_863_336, 7_609_090_048, 11),
    ("vgg_b", 133_047_848, 11_308_466_176, 13),
    ("vgg_c", 133_638_952, 11_770_888_192, 16),
    ("vgg_d", 138_357_544, 15_470_264_320, 16),
    ("vgg_e", 143_667_240, 19_632_062_464, 19),
    ("zfnet", 62_357_608, 1_168_032_896, 8),
)
NAMES = [row[0] for row in COUNTS]
BACKBONES = [name for name in NAMES if not name.startswith(("lenet5", "ml", "mn", "so"))] + ["lenet5_1998"]


def on_meta(name: str, **changes: Any) -> nn.Module:
    """The network where only shapes exist, which costs nothing."""
    with torch.device("meta"):
        return get_architecture(name).build(**changes).eval()


def outputs_of(network: nn.Module, kinds: tuple[type[nn.Module], ...], shape: tuple[int, ...]) -> list[Any]:
    """Each layer of some kinds with the shape of its output, in the order they ran."""
    seen: list[Any] = []
    handles = [
        module.register_forward_hook(lambda m, i, o: seen.append((m, tuple(o.shape[1:]))))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    with torch.device("meta"):
        network(torch.empty(1, *shape))
    for handle in handles:
        handle.remove()
    return seen


# Every one of them


@pytest.mark.parametrize(("name", "parameters", "macs", "depth"), COUNTS, ids=NAMES)
def test_counts_are_the_papers(name: str, parameters: int, macs: int, depth: int) -> None:
    architecture, network = get_architecture(name), on_meta(name)
    assert (architecture.parameters, architecture.macs, architecture.depth) == (parameters, macs, depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *architecture.input_shape))
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize("name", NAMES)
def test_other_classes_and_channels(name: str) -> None:
    architecture, network = get_architecture(name), on_meta(name, num_classes=7, in_channels=2)
    head, stem = network.get_submodule(architecture.head), network.get_submodule(architecture.stem)
    assert getattr(head, "out_features", None) == 7 or getattr(head, "out_channels", None) == 7
    per_channel = math.prod(architecture.input_shape[1:])
    assert getattr(stem, "in_channels", None) == 2 or getattr(stem, "in_features", None) == 2 * per_channel
    with torch.device("meta"):
        assert network(torch.empty(3, 2, *architecture.input_shape[1:])).shape == (3, 7)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str) -> None:
    network, shape = on_meta(name), get_architecture(name).input_shape
    with torch.device("meta"):
        network(torch.empty(2, *shape)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5_1998", (32, 32)),
        ("airbench94", (16, 16)),
        ("squeezenet1_1", (33, 33)),
        ("mnist1d_conv", (1, 40)),
        ("mnist1d_mlp", (1, 40)),
        ("softmax_regression", (8, 8)),
    ],
)
def test_gradients_of_small_networks_are_not_zero(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    architecture = get_architecture(name)
    network = architecture.build(num_classes=5, input_size=size)
    network(torch.randn(8, architecture.input_shape[0], *size)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("name", BACKBONES)
def test_stages_are_what_comes_out_at_their_paths(name: str) -> None:
    architecture, network = get_architecture(name), on_meta(name)
    with torch.device("meta"):
        stages = [
            tuple(y.shape[1:]) for y in network.forward_stages(torch.empty(1, *architecture.input_shape))
        ]
    ends = tuple(network.get_submodule(stage.path) for stage in architecture.stages)
    seen = outputs_of(network, (nn.Module,), architecture.input_shape)
    assert stages == [shape for module, shape in seen if module in ends]
    assert [shape[0] for shape in stages] == [stage.channels for stage in architecture.stages]


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("airbench94", 9, 9),
        ("alexnet", 63, 63),
        ("alexnet_2012", 67, 67),
        ("alexnet_lecture", 67, 67),
        ("mnist1d_conv", 1, 15),
        ("squeezenet1_0", 21, 21),
        ("squeezenet1_1", 17, 17),
        ("vgg11_bn", 32, 32),
        ("vgg_a_lrn", 32, 32),
        ("vgg_e", 32, 32),
        ("zfnet", 47, 47),
    ],
)
def test_the_smallest_input_is_named(name: str, height: int, width: int) -> None:
    network, channels = on_meta(name, input_size=(height, width)), get_architecture(name).input_shape[0]
    with torch.device("meta"):
        assert network(torch.empty(1, channels, height, width)).ndim == 2
    with pytest.raises(
        ValueError,
        match=rf"cannot take an input of {channels}x{height}x{width - 1}: .*; it takes {height}x{width} ",
    ):
        on_meta(name, input_size=(height, width - 1))


def test_an_input_of_another_size_than_1998() -> None:
    with pytest.raises(ValueError, match=r"lenet5_1998 takes 32x32 images, .* not 28x30"):
        on_meta("lenet5_1998", input_size=(28, 30))


# Sizes: the outputs of convolutions and poolings, as the papers print them


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("alexnet_2012", "96x55 96x27 256x27 256x13 384x13 384x13 256x13 256x6"),
        ("alexnet_lecture", "96x55 96x27 256x27 256x13 384x13 384x13 256x13 256x6"),
        ("alexnet", "64x55 64x27 192x27 192x13 384x13 256x13 256x13 256x6"),
        ("zfnet", "96x110 96x55 256x26 256x13 384x13 384x13 256x13 256x6"),
        (
            "vgg_c",
            "64x224 64x224 64x112 128x112 128x112 128x56 256x56 256x56 256x56 256x28 "
            "512x28 512x28 512x28 512x14 512x14 512x14 512x14 512x7",
        ),
        (
            "airbench94",
            "24x31 64x31 64x15 64x15 256x15 256x7 256x7 256x7 256x3 256x3",
        ),
    ],
)
def test_sizes_are_the_papers(name: str, sizes: str) -> None:
    seen = outputs_of(on_meta(name), (nn.Conv2d, nn.MaxPool2d), get_architecture(name).input_shape)
    assert [f"{c}x{h}" for _, (c, h, w) in seen if h == w] == sizes.split()


def test_kernels_of_vgg_c_are_the_papers() -> None:
    kernels = [m.kernel_size[0] for m in on_meta("vgg_c").modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]


def test_two_gpus_are_two_groups() -> None:
    for name, groups in (("alexnet_2012", [1, 2, 1, 2, 2]), ("alexnet_lecture", [1] * 5)):
        convolutions = [m for m in on_meta(name).modules() if isinstance(m, nn.Conv2d)]
        assert [m.groups for m in convolutions] == groups
    assert [sum(p.numel() for p in m.parameters()) for m in convolutions] == [
        34_944, 614_656, 885_120, 1_327_488, 884_992,
    ]  # fmt: skip


def test_the_order_of_normalisation_and_pooling() -> None:
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.LocalResponseNorm: "norm", nn.MaxPool2d: "pool"}

    def order(name: str) -> str:
        return " ".join(kinds[type(layer)] for layer in on_meta(name).features)

    norm_first, pool_first = "conv relu norm pool", "conv relu pool norm"
    rest = "conv relu conv relu conv relu pool"
    assert order("alexnet_2012") == f"{norm_first} {norm_first} {rest}"
    assert order("alexnet_lecture") == order("zfnet") == f"{pool_first} {pool_first} {rest}"
    assert order("vgg_a_lrn").startswith("conv relu norm pool conv relu pool")


@pytest.mark.parametrize(("name", "place"), [("alexnet_2012", 2), ("zfnet", 3), ("vgg_a_lrn", 2)])
def test_normalisation_is_alexnets_formula(name: str, place: int) -> None:
    a = 20 * torch.randn(2, 9, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.empty_like(a)
    for i in range(9):
        neighbours = a[:, max(0, i - 2) : min(8, i + 2) + 1]
        expected[:, i] = a[:, i] / (2 + 1e-4 * neighbours.square().sum(dim=1)) ** 0.75
    assert torch.allclose(on_meta(name).features[place](a), expected, rtol=1e-10)


# Names: what public weights are called


def named_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def layer(path: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": shape, f"{path}.bias": shape[:1]}


def test_names_of_alexnet_are_torchvisions() -> None:
    assert list(named_shapes(on_meta("alexnet")).items()) == list(
        {
            **layer("features.0", 64, 3, 11, 11),
            **layer("features.3", 192, 64, 5, 5),
            **layer("features.6", 384, 192, 3, 3),
            **layer("features.8", 256, 384, 3, 3),
            **layer("features.10", 256, 256, 3, 3),
            **layer("classifier.1", 4096, 9216),
            **layer("classifier.4", 4096, 4096),
            **layer("classifier.6", 1000, 4096),
        }.items()
    )


VGG_FILTERS = {
    "vgg11": (64, 128, 256, 256, 512, 512, 512, 512),
    "vgg13": (64, 64, 128, 128, 256, 256, 512, 512, 512, 512),
    "vgg16": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
    "vgg19": (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512),
}


@pytest.mark.parametrize(
    ("name", "tensors", "places"),
    [
        ("vgg11", 22, (0, 3, 6, 8, 11, 13, 16, 18)),
        ("vgg13", 26, (0, 2, 5, 7, 10, 12, 15, 17, 20, 22)),
        ("vgg16", 32, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
        ("vgg19", 38, (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)),
        ("vgg11_bn", 62, (0, 4, 8, 11, 15, 18, 22, 25)),
        ("vgg13_bn", 76, (0, 3, 7, 10, 14, 17, 21, 24, 28, 31)),
        ("vgg16_bn", 97, (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)),
        ("vgg19_bn", 118, (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49)),
    ],
)
def test_names_of_vgg_are_torchvisions(name: str, tensors: int, places: tuple[int, ...]) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    channels = 3
    for place, filters in zip(places, VGG_FILTERS[name.removesuffix("_bn")], strict=True):
        expected |= layer(f"features.{place}", filters, channels, 3, 3)
        if name.endswith("_bn"):
            norm = f"features.{place + 1}"
            expected |= layer(norm, filters)
            expected |= {f"{norm}.running_mean": (filters,), f"{norm}.running_var": (filters,)}
            expected |= {f"{norm}.num_batches_tracked": ()}
        channels = filters
    expected |= layer("classifier.0", 4096, 25088)
    expected |= layer("classifier.3", 4096, 4096)
    expected |= layer("classifier.6", 1000, 4096)
    assert list(named_shapes(on_meta(name)).items()) == list(expected.items())
    assert len(expected) == tensors


@pytest.mark.parametrize(
    ("letter", "number"), [("vgg_a", "vgg11"), ("vgg_b", "vgg13"), ("vgg_d", "vgg16"), ("vgg_e", "vgg19")]
)
def test_a_letter_and_a_number_are_one_network(letter: str, number: str) -> None:
    one, other = get_architecture(letter), get_architecture(number)
    assert (one.builder, one.arguments, one.results) == (other.builder, other.arguments, other.results)
    assert named_shapes(on_meta(letter)) == named_shapes(on_meta(number))


def test_published_errors_of_vgg_16() -> None:
    results = {r.protocol: (r.top1_error, r.top5_error) for r in get_architecture("vgg16").results}
    assert results["centre crop; torchvision's weights vgg16-397923af"] == (0.28408, 0.09618)
    assert results["several sizes, dense; table 4, trained at 256 to 512"] == (0.248, 0.075)
    assert len(get_architecture("vgg16_bn").results) == 1


@pytest.mark.parametrize(
    ("name", "stem", "places"),
    [
        ("squeezenet1_0", (96, 3, 7, 7), (3, 4, 5, 7, 8, 9, 10, 12)),
        ("squeezenet1_1", (64, 3, 3, 3), (3, 4, 6, 7, 9, 10, 11, 12)),
    ],
)
def test_names_of_squeezenet_are_torchvisions(
    name: str, stem: tuple[int, int, int, int], places: tuple[int, ...]
) -> None:
    expected = layer("features.0", *stem)
    channels = stem[0]
    squeezed = (16, 16, 32, 32, 48, 48, 64, 64)
    for place, few in zip(places, squeezed, strict=True):
        expected |= layer(f"features.{place}.squeeze", few, channels, 1, 1)
        expected |= layer(f"features.{place}.expand1x1", 4 * few, few, 1, 1)
        expected |= layer(f"features.{place}.expand3x3", 4 * few, few, 3, 3)
        channels = 8 * few
    expected |= layer("classifier.1", 1000, 512, 1, 1)
    assert list(named_shapes(on_meta(name)).items()) == list(expected.items())


def test_a_fire_module_puts_1x1_before_3x3() -> None:
    torch.manual_seed(0)
    fire = get_architecture("squeezenet1_0").build(num_classes=2).features[3]
    x = torch.randn(1, 96, 4, 4)
    squeezed = F.relu(F.conv2d(x, fire.squeeze.weight))
    one = F.relu(F.conv2d(squeezed, fire.expand1x1.weight))
    three = F.relu(F.conv2d(squeezed, fire.expand3x3.weight, padding=1))
    assert torch.allclose(fire(x), torch.cat([one, three], dim=1), atol=1e-6)
    assert fire.squeeze.bias.abs().max() == 0


# Starts


def test_alexnet_starts_as_its_paper_says() -> None:
    torch.manual_seed(0)
    network = get_architecture("alexnet_2012").build(num_classes=3, input_size=(67, 67))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [m.bias.unique().tolist() for m in layers] == [[0], [1], [0], [1], [1], [1], [1], [0]]
    for one in layers:
        assert one.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert abs(one.weight.mean()) < 1e-3


def test_vgg_starts_as_torchvisions() -> None:
    from sightline.zoo._vgg import _initialise

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(200, 300))
    _initialise(network)
    assert network[0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.03)
    assert network[1].weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert not any(module.bias.any() for module in network)


# LeNet-5 of 1998


def test_the_table_of_c3() -> None:
    assert [len(maps) for maps in TABLE_1] == [3] * 6 + [4] * 9 + [6]
    assert len({frozenset(maps) for maps in TABLE_1}) == 16
    assert np.bincount(list(itertools.chain(*TABLE_1))).tolist() == [10] * 6
    for maps in TABLE_1[:12]:
        assert all((b - a) % 6 == 1 for a, b in itertools.pairwise(maps)), "contiguous"
    for maps in TABLE_1[12:15]:
        assert any((b - a) % 6 > 1 for a, b in itertools.pairwise(maps)), "not contiguous"


def test_c3_is_a_convolution_that_sees_the_tables_maps_only() -> None:
    torch.manual_seed(0)
    c3 = PartialConvolution(TABLE_1, 5)
    assert sum(p.numel() for p in c3.parameters()) == 1_516
    kernels: Iterator[Tensor] = (kernel for conv in c3.convolutions for kernel in conv.weight)
    dense = torch.zeros(16, 6, 5, 5)
    for i, (maps, kernel) in enumerate(zip(TABLE_1, kernels, strict=True)):
        dense[i, list(maps)] = kernel.detach()
    bias = torch.cat([conv.bias for conv in c3.convolutions])
    x = torch.randn(2, 6, 14, 14)
    assert torch.allclose(c3(x), F.conv2d(x, dense, bias), atol=1e-5)


def test_sub_sampling_by_hand() -> None:
    layer = SubSampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, -1.0]))
        layer.bias.copy_(torch.tensor([1.0, 5.0]))
    x = torch.tensor([[[[1.0, 2, 0, 0], [3, 4, 0, 1]], [[1.0, 1, 1, 1], [1, 1, 1, -2]]]])
    assert layer(x).tolist() == [[[[21.0, 3.0]], [[1.0, 4.0]]]]


def test_squashing_is_1_at_1() -> None:
    squash = on_meta("lenet5_1998").c1[1]
    assert squash(torch.tensor([-1.0, 0.0, 1.0])).tolist() == pytest.approx([-1, 0, 1], abs=1e-4)
    assert squash(torch.tensor(0.3)).item() == pytest.approx(1.7159 * math.tanh(0.2), rel=1e-6)


def test_the_published_number_of_connections() -> None:
    connections = 10 * 84  # the output
    for module, shape in outputs_of(on_meta("lenet5_1998"), (nn.Conv2d, nn.Linear, SubSampling), (1, 32, 32)):
        inputs = 4 if isinstance(module, SubSampling) else module.weight[0].numel()
        connections += math.prod(shape) * (inputs + 1)
    assert connections == 340_908


def test_every_parameter_of_1998_starts_between_its_bounds() -> None:
    torch.manual_seed(0)
    network = get_architecture("lenet5_1998").build()
    for module in network.modules():
        fan_in = 4 if isinstance(module, SubSampling) else None
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
        if fan_in is not None:
            assert module.weight.abs().max() <= 2.4 / fan_in
            assert module.bias.abs().max() <= 2.4 / fan_in
            assert module.weight.abs().max() > 0.7 * 2.4 / fan_in


def test_output_codes_are_far_apart_and_fixed() -> None:
    network = get_architecture("lenet5_1998").build(num_classes=84)
    codes = network.output.codes
    assert codes.unique().tolist() == [-1, 1]
    assert torch.equal(codes @ codes.T, 84 * torch.eye(84)), "each two differ in 42 places of 84"
    assert "output.codes" in network.state_dict()
    assert "output.codes" not in dict(network.named_parameters())
    with pytest.raises(ValueError, match="output codes for 84 classes; there are 85"):
        on_meta("lenet5_1998", num_classes=85)


def test_outputs_are_minus_squared_distances() -> None:
    network = get_architecture("lenet5_1998").build()
    x = torch.randn(3, 84, generator=torch.Generator().manual_seed(0))
    codes, given = network.output.codes.numpy(), x.numpy()
    expected = [[-sum((given[n] - codes[i]) ** 2) for i in range(10)] for n in range(3)]
    assert torch.allclose(network.output(x), torch.tensor(np.array(expected)), rtol=1e-5)
    assert network.output(network.output.codes).argmax(dim=1).tolist() == list(range(10))
    assert network.output(network.output.codes).diagonal().tolist() == [0.0] * 10


# Its losses


def penalties(*shape: int) -> Tensor:
    """Squared distances of some images to the codes of some classes, of very unequal size."""
    return 30 * torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 2


def batch_of(outputs: Tensor, targets: list[int], mixed: Mixture | None = None) -> Batch:
    n = len(targets)
    return Batch(
        images=outputs, targets=torch.tensor(targets), ids=np.arange(n), sizes=torch.zeros(n, 2),
        transforms=torch.zeros(n, 3, 3), mixed=mixed,
    )  # fmt: skip


def rbf_loss(settings: dict[str, Any], batch: Batch) -> float:
    ((name, loss, logs),) = make_objective("rbf", settings).losses(nn.Identity(), batch, Draws(0))
    assert name == "main"
    assert logs["loss"] == loss
    return float(loss)


def test_the_loss_of_equation_8() -> None:
    y = penalties(3, 4)
    expected = (y[0, 2] + y[1, 0] + y[2, 3]).item() / 3
    assert rbf_loss({"criterion": "mle"}, batch_of(-y, [2, 0, 3])) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("j", [0.1, 5.0, 42.0])
def test_the_loss_of_equation_9(j: float) -> None:
    y, right = penalties(3, 4), [2, 0, 3]
    expected = sum(
        y[n, d].item() + math.log(math.exp(-j) + sum(math.exp(-v) for v in y[n].tolist()))
        for n, d in enumerate(right)
    )
    assert rbf_loss({"rubbish": j}, batch_of(-y, right)) == pytest.approx(expected / 3, rel=1e-5)
    assert expected > 0, "as the paper says"


def test_rubbish_keeps_far_classes_from_being_pushed_further() -> None:
    pushes = {}
    for j in (2.0, 60.0):
        outputs = torch.tensor([[-18.0, -20.0]], requires_grad=True)
        objective = make_objective("rbf", {"rubbish": j})
        ((_, loss, _),) = objective.losses(nn.Identity(), batch_of(outputs, [0]), Draws(0))
        loss.backward()
        pushes[j] = outputs.grad[0, 1].item()
    assert pushes[2.0] < 1e-6 < 0.1 < pushes[60.0]


def test_smoothed_mixed_and_weighted_losses() -> None:
    y, right = penalties(3, 4), [2, 0, 3]
    plain = [rbf_loss({}, batch_of(-y[n : n + 1], [right[n]])) for n in range(3)]
    weights = [1.0, 5.0, 0.5, 2.0]
    expected = sum(weights[d] * loss for d, loss in zip(right, plain, strict=True)) / 3
    assert rbf_loss({"class_weights": weights}, batch_of(-y, right)) == pytest.approx(expected, rel=1e-5)

    smoothed = [
        sum((0.8 * (k == d) + 0.05) * rbf_loss({}, batch_of(-y[n : n + 1], [k])) for k in range(4))
        for n, d in enumerate(right)
    ]
    assert rbf_loss({"label_smoothing": 0.2}, batch_of(-y, right)) == pytest.approx(
        sum(smoothed) / 3, rel=1e-5
    )

    mixture = Mixture(partners=torch.tensor([1, 2, 0]), own=torch.tensor([0.7, 0.2, 1.0]))
    other = [rbf_loss({}, batch_of(-y[n : n + 1], [right[p]])) for n, p in enumerate([1, 2, 0])]
    expected = sum(own * a + (1 - own) * b for own, a, b in zip((0.7, 0.2, 1.0), plain, other, strict=True))
    assert rbf_loss({}, batch_of(-y, right, mixture)) == pytest.approx(expected / 3, rel=1e-5)


def test_probabilities_are_largest_where_the_penalty_is_smallest() -> None:
    y = penalties(5, 4)
    probabilities = make_objective("rbf", {}).decode(-y, batch_of(-y, [0] * 5))
    assert torch.equal(probabilities.argmax(dim=1), y.argmin(dim=1))
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1.0] * 5)


def test_settings_of_rbf_come_back() -> None:
    settings = {
        "criterion": "mle", "rubbish": 3.0, "label_smoothing": 0.1, "class_weights": [1.0, 2.0],
    }  # fmt: skip
    assert make_objective("rbf", settings).settings() == settings
    default = make_objective("rbf", {}).settings()
    assert make_objective("rbf", default).settings() == default
    assert get_architecture("lenet5_1998").objective == "rbf"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "mse"}, "criterion must be 'mle' or 'map'; it is 'mse'"),
        ({"rubbish": 0}, "rubbish must be above 0; it is 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\); it is 1.0"),
        ({"class_weights": [1.0, 0.0]}, "class_weights must be above 0"),
        ({"temperature": 2}, "objective rbf: .*temperature"),
    ],
)
def test_settings_rbf_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_objective("rbf", settings)


def test_1998_learns_its_codes() -> None:
    torch.manual_seed(0)
    network = get_architecture("lenet5_1998").build(num_classes=3)
    batch = batch_of(torch.randn(12, 1, 32, 32), [0, 1, 2] * 4)
    objective = make_objective("rbf", {})
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(50):
        ((_, loss, logs),) = objective.losses(network, batch, Draws(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1
    assert logs["accuracy"] == 1


# airbench


def test_whitening_makes_patches_white() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1_100, 3, 6, 6, generator=generator).cumsum(dim=3) * torch.tensor(
        [1.0, 3, 0.2]
    ).view(1, 3, 1, 1)
    network = get_architecture("airbench94").build()
    network.initialise(images)
    whiten = network.features.whiten
    assert not whiten.bias.any()
    assert torch.equal(whiten.weight[:12], -whiten.weight[12:])

    patches = np.lib.stride_tricks.sliding_window_view(images.double().numpy(), (2, 2), axis=(2, 3))
    patches = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    variances = np.linalg.eigvalsh(patches.T @ patches / len(patches))[::-1]
    with torch.no_grad():
        seen = whiten(images)[:, :12].transpose(0, 1).reshape(12, -1).double()
    moments = (seen @ seen.T / seen.shape[1]).numpy()
    assert np.allclose(moments, np.diag(variances / (variances + 5e-4)), atol=1e-3)


def test_airbench_starts_as_shortcuts() -> None:
    torch.manual_seed(0)
    group = get_architecture("airbench94").build().features.group1
    x = torch.randn(1, 24, 5, 5)
    assert torch.allclose(group.conv1(x)[:, :24], x, atol=1e-6)
    assert not torch.allclose(group.conv1(x)[:, 24:48], x, atol=1e-2)
    y = torch.randn(1, 64, 5, 5)
    assert torch.allclose(group.conv2(y), y, atol=1e-6)


def test_airbench_takes_other_images_and_divides_by_9() -> None:
    torch.manual_seed(0)
    network = get_architecture("airbench94").build(num_classes=4, in_channels=1, input_size=(20, 28)).eval()
    assert network.features.whiten.out_channels == 8
    x = torch.randn(2, 1, 20, 28)
    last = network.forward_stages(x)[-1]
    assert torch.allclose(network(x), network.head(last.amax(dim=(2, 3))) / 9, atol=1e-6)


def test_what_the_airbench_script_freezes() -> None:
    frozen = ("whiten.weight", "norm1.weight", "norm2.weight")
    moving = [p for n, p in on_meta("airbench94").named_parameters() if not n.endswith(frozen)]
    assert sum(p.numel() for p in moving) == 1_971_352
    norms = [m for m in on_meta("airbench94").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-12, 0.4)}


# One dimension, and none


def test_a_convolution_along_a_row_is_one_of_one_dimension() -> None:
    torch.manual_seed(0)
    network = get_architecture("mnist1d_conv").build()
    x = torch.randn(3, 1, 40)
    y = x
    for place, positions in ((0, 19), (2, 9), (4, 4)):
        convolution = network[place]
        y = F.relu(F.conv1d(y, convolution.weight[:, :, 0], convolution.bias, stride=2))
        assert y.shape == (3, 15, positions)
    expected = F.linear(y.flatten(1), network[7].weight)
    assert torch.allclose(network(x[:, :, None]), expected, atol=1e-6)


def test_mlp_of_colour_images() -> None:
    network = on_meta("mlp_512_512", in_channels=3, input_size=(32, 32))
    assert sum(p.numel() for p in network.parameters()) == 1_841_162
