"""`design`: the lecture's networks by hand, against torch, and what is wrong said so."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sightline.base import ArgumentError
from sightline.cli import app
from sightline.reference import Design, design, keras_source, torch_source

LENET = "conv:6,k5 tanh avgpool:2 tanh conv:16,k5 tanh avgpool:2 tanh flatten fc:120 tanh fc:84 tanh fc:10"
ALEXNET = (
    "conv:96,k11,s4 relu pool:3,s2 lrn conv:256,k5,p2 relu pool:3,s2 lrn conv:384,p1 relu conv:384,p1 relu "
    "conv:256,p1 relu pool:3,s2 flatten fc:4096 relu dropout fc:4096 relu dropout fc:1000"
)
VGG16 = " pool:2 ".join(
    " ".join([f"conv:{filters},p1 relu"] * times)
    for filters, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
) + " pool:2 flatten fc:4096 relu fc:4096 relu fc:1000"  # fmt: skip
LECTURE_CNN = (
    "conv:64,k7,psame relu pool:2 conv:128,psame relu*1 conv:128,psame relu pool:2 conv:256,psame relu "
    "conv:256,psame relu pool:2 flatten fc:128 relu dropout fc:64 relu dropout fc:10 softmax"
)
NETWORKS = [
    ("32x32x3", "conv:10,k5,p2 relu pool:2 flatten fc:10"),
    ("32x32x1", LENET),
    ("28x28x1", LECTURE_CNN),
    ("40x1", "conv:15,s2 relu conv:15,s2 relu conv:15,s2 relu flatten fc:10"),
    (
        "32x32x3",
        "conv:10,k5,s2,p_ bn relu pool:3,s2,p0/1 lrn depthwise:k3x5,psame silu conv:8,k1,g2,nobias gap fc:4",
    ),
    (
        "1,40",
        "conv:15,k4,psame bn tanh pool:3,s2,ceil avgpool:2,p1 tconv:3,k4,s2,p1 sigmoid gap dropout:0.3 fc:4",
    ),
    (
        "3,20,31",
        "conv:8,k3x5,s2x1,p1/2x2 gelu pool:3,s2,ceil,p1 tconv:4,s2,p1,o1 relu avgpool:3x2,s2,p1 fc:7,nobias",
    ),
    ("33x47x2", "pool:3,s2,psame avgpool:2,p0/1 conv:4,d2,p2 relu depthwise:2,d2,s1 conv:6,k4,s3,p1/0"),
    ("784", "fc:300 relu bn fc:100 relu dropout fc:10"),
]


def built(network: Design) -> nn.Sequential:
    names: dict[str, Any] = {"__name__": "made"}
    exec(torch_source(network), names)
    made: nn.Sequential = names["network"]
    return made.eval()


def test_the_example_by_hand() -> None:
    network = design("32x32x3", "conv:10,k5,p2 relu pool:2 flatten fc:10")
    conv, relu, pool, flatten, fc = network.layers
    assert conv.sums["height"] == conv.sums["width"] == "(32 + 2*2 - 5)/1 + 1 = 32"
    assert conv.sums["parameters"] == "(5*5*3 + 1)*10 = 760"
    assert conv.sums["macs"] == "5*5*3*10*32*32 = 768,000"
    assert conv.sums["receptive_field"] == "1 + (5 - 1)*1 = 5"
    assert conv.sums["memory"] == "32*32*10 = 10,240 values, 10240*4 = 40,960 bytes"
    assert [layer.output_shape for layer in network.layers] == [
        (10, 32, 32), (10, 32, 32), (10, 16, 16), (2560,), (10,)
    ]  # fmt: skip
    assert (relu.parameters, relu.receptive_field) == (0, (5, 5))
    assert (pool.receptive_field, pool.jump) == ((6, 6), (2.0, 2.0))
    assert flatten.sums["flatten"] == "16*16*10 = 2,560"
    assert fc.sums["parameters"] == "(2560 + 1)*10 = 25,610"
    assert (network.parameters, network.macs) == (760 + 25_610, 768_000 + 25_600)
    assert network.memory == {"input_bytes": 12_288, "output_bytes": 102_440, "parameter_bytes": 105_480}


@pytest.mark.parametrize(
    ("shape", "layers", "parameters", "macs"),
    [  # published, or counted from the papers' tables
        ("32x32x1", LENET, 61_706, 416_520),
        ("227x227x3", ALEXNET, 62_378_344, 1_135_256_096),
        ("224x224x3", VGG16, 138_357_544, 15_470_264_320),
        ("28x28x1", LECTURE_CNN, 1_413_834, 89_466_496),
        ("40x1", "conv:15,s2 relu conv:15,s2 relu conv:15,s2 relu flatten fc:10 softmax", 2_050, 10_230),
        ("784", "fc:300 relu fc:100 relu fc:10", 266_610, 266_200),
    ],
    ids=["lenet", "alexnet", "vgg16", "lecture_cnn", "mnist1d", "mlp"],
)
def test_totals_of_known_networks(shape: str, layers: str, parameters: int, macs: int) -> None:
    network = design(shape, layers)
    assert (network.parameters, network.macs) == (parameters, macs)


def test_fields_of_known_networks() -> None:
    """LeNet-5's C5 sees all 32 rows; of VGG-16 the last pooling sees 212, the first fc 404 with padding."""
    by_name = {layer.layer: layer.receptive_field for layer in design("32x32x1", LENET).layers}
    assert by_name["fc:120"] == (32, 32)
    vgg = design("224x224x3", VGG16).layers
    assert [layer.receptive_field for layer in vgg if layer.kind == "pool"][-1] == (212, 212)
    assert next(layer for layer in vgg if layer.kind == "fc").receptive_field == (404, 404)


@pytest.mark.parametrize(("shape", "layers"), NETWORKS)
def test_the_torch_program_is_the_same_network(shape: str, layers: str) -> None:
    network = design(shape, layers)
    module = built(network)
    assert sum(p.numel() for p in module.parameters()) == network.parameters
    x = torch.rand(1, *network.input_shape)
    shapes = []
    for layer in module:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    remaining = iter(shapes)
    for layer_ in network.layers:  # every computed shape comes by, in this order
        assert layer_.output_shape in remaining, layer_.layer


@pytest.mark.parametrize(("shape", "layers"), NETWORKS)
def test_macs_are_those_torch_counts(shape: str, layers: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = design(shape, layers)
    module = built(network)
    with FlopCounterMode(display=False) as counter:
        module(torch.rand(1, *network.input_shape))
    assert 2 * network.macs == counter.get_total_flops()


def test_the_field_behind_a_transposed_convolution_is_what_gradients_reach() -> None:
    network = design("1,24,24", "conv:1,k3,s2,p1 tconv:1,k4,s2,p1 conv:1,k3,p1")
    module = built(network)
    for p in module.parameters():
        nn.init.ones_(p)
    most = 0
    for row in range(24):
        x = torch.ones(1, 1, 24, 24, requires_grad=True)
        module(x)[0, 0, row, 12].backward()
        assert x.grad is not None
        rows = torch.nonzero(x.grad[0, 0].abs().sum(1)).flatten()
        most = max(most, int(rows[-1] - rows[0]) + 1)
    assert network.layers[-1].receptive_field[0] == most
    assert network.layers[1].jump == (1.0, 1.0)


def test_shapes_are_read_both_ways() -> None:
    assert design("32x20x3", "relu").input_shape == design("3,32,20", "relu").input_shape == (3, 32, 20)
    assert design("40x1", "relu").input_shape == design("1,40", "relu").input_shape == (1, 40)
    assert design("32x20x3", "relu").shape.reading == "height 32, width 20, 3 channels"


def solved(layers: str, shape: str = "32x32x3") -> str:
    return design(shape, layers).layers[0].solved


def test_paddings_are_solved_for() -> None:
    assert solved("conv:10,k5,p?=32") == "padding 2 (the only one that fits)"
    assert solved("conv:10,k5,p_") == "padding 0 (also fit: 1, 2, 3, 4)"
    assert solved("conv:10,k3,s3,p_", "7x7x3") == "padding 1 (the only one that fits)"
    one_sided = design("32x32x3", "conv:10,k5,s2,p?")
    assert one_sided.layers[0].padding == ((0, 1), (0, 1))
    assert one_sided.layers[0].solved.startswith("padding 0/1 (also fit: 1/2, 2/3, 3/4); before/after")
    assert not [f for f in one_sided.findings if "does not fit" in f.what]
    resnet = design("224x224x3", "conv:64,k7,s2,p_=112").layers[0]
    assert resnet.output_shape == (64, 112, 112)
    assert "PyTorch's habit: 3, which gives it by rounding down" in resnet.solved


def test_kernels_strides_and_inputs_are_solved_for() -> None:
    assert solved("conv:10,k_=28") == "kernel 5 (the only one that fits)"
    assert solved("pool:_=16") == "kernel 17 (the only one that fits)"  # at stride 1
    assert solved("conv:10,s_=3", "7x7x3") == "stride 2 (the only one that fits)"
    assert solved("conv:10,k3,s_", "7x7x3") == "stride 1 (also fit: 2)"
    features = ALEXNET[: ALEXNET.index(" flatten")]
    alexnet = design("?x?x3", features + "=6")
    assert alexnet.input_shape == (3, 227, 227)
    assert alexnet.solved == "input size 227"


def test_an_input_that_is_solved_for_leaves_nothing_over() -> None:
    network = design("_x_x3", "conv:8,k5,s3 relu pool:3,s2")
    assert network.input_shape == (3, 11, 11)
    assert network.solved.startswith("input size 11 (also fit: 17, 23")
    assert not [f for f in network.findings if "does not fit" in f.what]


def whats(layers: str, shape: str = "32x32x3", strict: bool = False) -> list[tuple[str, str]]:
    return [(f.level, f.what) for f in design(shape, layers, strict=strict).findings]


def test_a_stride_that_does_not_fit_says_what_is_lost_and_what_to_do() -> None:
    (finding,) = design("7x7x3", "conv:1,s3").findings
    assert finding.level == "warning"
    assert finding.what == (
        "(7 + 2*0 - 3)/3 + 1 = 2.33 -> 2: the stride does not fit, and row and column 6 (of 0 to 6) are lost"
    )
    assert finding.do == "use an input of 6 or 9 instead of 7, or padding 1"
    assert whats("conv:1,s3", "7x7x3", strict=True)[0][0] == "error"
    only_padding = whats("conv:8,k7,s2,p3", "224x224x3")[0]
    assert only_padding[0] == "info"
    assert "nothing but padding is lost" in only_padding[1]
    assert whats("conv:1,s2", "7x7x3", strict=True) == []
    rows, columns = whats("conv:1,s3", "7x8x3")
    assert "row 6 (of 0 to 6) is lost" in rows[1]
    assert "columns 6, 7 (of 0 to 7) are lost" in columns[1]


@pytest.mark.parametrize(
    ("has", "has_not", "what"),
    [
        ("pool:2,s5", "pool:2,s2", "18 of 32 rows and columns are in no window"),
        ("conv:2,k1,p1", "conv:2,k3,p1", "the padding 1 is not smaller than the kernel 1"),
        ("fc:4", "flatten fc:4", "takes a map; flattened first: 32*32*3 = 3,072"),
        ("flatten fc:9 fc:4", "flatten fc:9 relu fc:4", "nothing that is not linear lies between"),
        ("conv:4 gap fc:2", "conv:4 relu gap fc:2", "nothing that is not linear lies between"),
        ("relu softmax", "softmax relu", "the network ends in a softmax"),
        ("conv:4 bn", "conv:4,nobias bn", "has a bias, and batch norm follows"),
        ("tconv:4,k3,s2", "tconv:4,k4,s2", "the stride 2 does not divide the kernel 3"),
        ("conv:4 relu fc:10", "conv:4 relu conv:4 relu conv:4", "holds 36,010 of 36,122 parameters, 100 %"),
    ],
)
def test_each_finding_is_there_and_is_not(has: str, has_not: str, what: str) -> None:
    assert any(what in found for _, found in whats(has)), whats(has)
    key = what.split(" of ")[0] if "parameters" not in what else "holds"
    assert not any(key in found for _, found in whats(has_not)), whats(has_not)


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ("32x32x3", "cnv:2", r"layer 'cnv:2': there is no 'cnv'; did you mean conv or tconv\?"),
        ("4x4x3", "relu conv:2,k5", r"layer 2, conv:2,k5: .* \(4 \+ 2\*0 - 5\)/1 \+ 1 = 0; use padding 1"),
        ("32x32x3", "conv:3,k0", "'0' must be a whole number from 1"),
        ("32x32x3", "conv:3,k-1", "'-1' must be a whole number"),
        ("32x32x3", "conv:3,kab", "'ab' must be a whole number"),
        ("32x32x3", "conv:3,p1.5", "'1.5' must be a whole number from 0"),
        ("32x32x3", "conv:nan", "'nan' is not understood; it is conv:FILTERS"),
        ("32x32x3", "conv", "the number of filters is missing"),
        ("32x32x3", "conv:4,g2", "2 groups must divide the channels, 3 in and 4 out"),
        ("32x32x3", "fc:3 conv:3", "layer 2, conv:3: it takes a map, and gets a vector of 3 values"),
        ("32x32x3", "conv:3,k5=30", r"and 30 is wanted; padding 1 or kernel 3 gives it"),
        ("32x32x3", "conv:?", "its filters cannot be solved for"),
        ("32x32x3", "conv:3,k?,p?", "only one of its numbers"),
        ("32x32x3", "pool:2,p2", "a pooling of 2 takes 1 or less"),
        ("32x32x3", "tconv:3,s2,o2", "an output padding of 2 must be smaller than the stride"),
        ("32x32x3", "relu:3", "relu takes nothing"),
        ("32x32x3", "relu=3", "a wanted size"),
        ("32x32x3", "dropout:1", "must be a rate from 0 to below 1"),
        ("32x32x3", "relu*0", "the repetition of"),
        ("32x32x3", "", "there is no layer"),
        ("40x1", "conv:3,k3x3", "the kernel has 2 numbers; a signal has one axis"),
        ("axb", "relu", "SHAPE is 'axb'; it must be like 32x32x3"),
        ("0x3x3", "relu", "SHAPE '0x3x3': '0' must be a whole number from 1"),
        ("-3x3x3", "relu", "SHAPE is '-3x3x3'"),
        ("32x32x?", "relu", "the channels must be given"),
        ("?x32x3", "relu", r"\? is solved for a square"),
        ("?x?x3", "conv:3,p?", "not both"),
        ("200000x2x3", "relu", "a side can be 100,000 at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_line(shape: str, layers: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        design(shape, layers)
    assert "\n" not in str(caught.value)


def test_keras_pads_by_layers_where_its_words_do_not_reach() -> None:
    text = keras_source(design("32x32x3", "conv:8,k5,p2 relu conv:8,k3,s2,p1 pool:3,s2,p1 lrn flatten fc:10"))
    assert "keras.Input((32, 32, 3))," in text
    assert 'layers.Conv2D(8, 5, padding="same"),  # -> 32,32,8' in text
    assert "layers.ZeroPadding2D(1),\n        layers.Conv2D(8, 3, strides=2),  # -> 16,16,8" in text
    assert "Pad([(1, 1), (1, 1)]),\n        layers.MaxPooling2D(3, strides=2),  # -> 8,8,8" in text
    assert "class Pad(layers.Layer)" in text
    assert "class LocalResponseNorm(layers.Layer)" in text
    compile(text, "made", "exec")
    plain = keras_source(design("784", "fc:10"))
    assert "class" not in plain
    with pytest.raises(ArgumentError, match="Keras has no convolution with both a stride and a dilation"):
        keras_source(design("32x32x3", "conv:8,d2,s2"))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["design", *arguments])


def test_the_table_and_its_arithmetic() -> None:
    result = run("32x32x3", "conv:10,k5,p2", "relu", "pool:2", "flatten", "fc:10")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("input 32x32x3: height 32, width 32, 3 channels")
    assert any(line.split()[:4] == ["1", "conv:10,k5,p2", "32x32x10", "760"] for line in lines)
    assert "     size        (32 + 2*2 - 5)/1 + 1 = 32" in lines
    assert "     parameters  (5*5*3 + 1)*10 = 760" in lines
    assert "793,600 macs (multiply-adds, without bias) = 1,587,200 flops for one image" in lines
    assert max(map(len, lines)) <= 100


def test_json_is_one_object() -> None:
    content = json.loads(run("3,7,7", "conv:4,s3", "relu", "--json").stdout)
    assert content["input"] == [3, 7, 7]
    conv = content["layers"][0]
    assert conv["output_shape"] == [4, 2, 2]
    assert (conv["kernel_size"], conv["stride"], conv["padding"]) == ([3, 3], [3, 3], [0, 0])
    assert (conv["parameters"], conv["macs"], conv["receptive_field"], conv["jump"]) == (
        112,
        432,
        [3, 3],
        [3, 3],
    )
    assert (conv["lost_rows"], conv["lost_columns"], conv["output_bytes"]) == ([6], [6], 64)
    assert (content["parameters"], content["macs"], content["flops"]) == (112, 432, 864)
    assert content["findings"][0]["level"] == "warning"


def test_strict_fails_after_the_table() -> None:
    assert run("7x7x3", "conv:1,s3").exit_code == 0
    strict = run("7x7x3", "conv:1,s3", "--strict")
    assert strict.exit_code == 1
    assert "error: layer 1" in strict.stdout
    assert run("7x7x3", "conv:1,s2", "--strict").exit_code == 0


def test_misuse_is_one_line_and_exit_2() -> None:
    for arguments in (["32x32x3", "cnv:2"], ["32x32x3", "relu", "--torch", "--json"], ["x", "relu"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("sightline: ")
        assert result.stderr.count("\n") == 1


def test_the_programs_are_printed() -> None:
    assert run("784", "fc:10", "--torch").stdout == torch_source(design("784", "fc:10"))
    assert run("784", "fc:10", "--keras").stdout == keras_source(design("784", "fc:10"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["design", "32x32x3", "conv:10,k5,p2", "relu", "fc:10", "--torch"],
        ["convolve", "lecture-5x5", "--step"],
        ["convolve", "china", "sobel-x"],
        ["filter", "china", "sobel-x", "-o", "out.png"],
        ["filter", "digit:3", "lecture", "-o", "out.png"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded(arguments: list[str], in_tmp: Any) -> None:
    code = (
        "import sys\nfrom sightline.cli import app\n"
        f"try: app({arguments})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
