"""The table of a network, its totals, the lecture's slide, comparison, and the verbs that print them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sightline.blueprint import PassError, record, slide_text, summarize, training_memory
from sightline.cli import app
from sightline.inference import compare_models, create_model, layer_differences, network_at, record_model
from sightline.records import save_model_file

RUN = CliRunner()

# The lecture's slide "VGGNet", sizes, memory in values as rounded there, parameters without biases.
VGG_SLIDE = (
    ("INPUT", "224x224x3", "150K", None),
    ("CONV3-64", "224x224x64", "3.2M", 1_728),
    ("CONV3-64", "224x224x64", "3.2M", 36_864),
    ("POOL2", "112x112x64", "800K", None),
    ("CONV3-128", "112x112x128", "1.6M", 73_728),
    ("CONV3-128", "112x112x128", "1.6M", 147_456),
    ("POOL2", "56x56x128", "400K", None),
    ("CONV3-256", "56x56x256", "800K", 294_912),
    ("CONV3-256", "56x56x256", "800K", 589_824),
    ("CONV3-256", "56x56x256", "800K", 589_824),
    ("POOL2", "28x28x256", "200K", None),
    ("CONV3-512", "28x28x512", "400K", 1_179_648),
    ("CONV3-512", "28x28x512", "400K", 2_359_296),
    ("CONV3-512", "28x28x512", "400K", 2_359_296),
    ("POOL2", "14x14x512", "100K", None),
    ("CONV3-512", "14x14x512", "100K", 2_359_296),
    ("CONV3-512", "14x14x512", "100K", 2_359_296),
    ("CONV3-512", "14x14x512", "100K", 2_359_296),
    ("POOL2", "7x7x512", "25K", None),
    ("FC", "1x1x4096", "4096", 102_760_448),
    ("FC", "1x1x4096", "4096", 16_777_216),
    ("FC", "1x1x1000", "1000", 4_096_000),
)


def verb(*arguments: str) -> Any:
    return RUN.invoke(app, list(arguments))


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_classes=2, in_channels=3):\n"
        "        super().__init__(nn.Conv2d(in_channels, 8, 3, stride=3), nn.ReLU(), nn.Flatten(),\n"
        "                         nn.Linear(8 * 4, num_classes))\n"
        "class Two(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.words, self.conv = nn.Embedding(10, 4), nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x, i):\n"
        "        return self.conv(x).mean((2, 3)) + self.words(i).mean(1)\n"
        "class Decides(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x * 2 if x.sum() > 0 else x\n"
        "def scripted():\n"
        "    import warnings\n"
        "    with warnings.catch_warnings():\n"
        "        warnings.simplefilter('ignore')\n"
        "        return torch.jit.trace(nn.Conv2d(3, 2, 1), torch.zeros(1, 3, 4, 4))\n"
    )
    return path


# ---------------------------------------------------------------------- the lecture's slide


def test_the_vgg_slide_line_by_line() -> None:
    lines = slide_text(record_model("vgg16")).splitlines()
    for line, (kind, size, values, weights) in zip(lines, VGG_SLIDE, strict=False):
        assert line.startswith(f"{kind}: ")
        assert f"[{size}]" in line
        assert f"{values} " in line.split("memory: ")[1]
        assert line.endswith(f"= {weights:,}" if weights else "params: 0")
    assert "7*7*512*4096 = 102,760,448" in lines[19]
    assert len(VGG_SLIDE) == lines.index("")


def test_the_vgg_slide_says_which_total_is_wrong() -> None:
    *_, memory, parameters, word = slide_text(record_model("vgg16")).splitlines()
    assert memory.startswith("TOTAL memory: 15,237,608 values; in float32, 4 bytes each: 61.0 MB an image")
    assert parameters == (
        "TOTAL params: 138,344,128 without biases, 138,357,544 with 13,416 biases: 553.4 MB"
    )
    assert "24M values, 93 MB" in word
    assert "24M" not in slide_text(record_model("vgg11"))


# ---------------------------------------------------------------------- rows and totals


def test_rows_of_lenet_carry_their_sums() -> None:
    told = summarize(record_model("lenet5"))
    conv = told.layers[0]
    assert (conv.name, conv.kind, conv.output_shape, conv.parameters, conv.macs) == (
        "features.0", "conv2d", (6, 28, 28), 156, 117_600,
    )  # fmt: skip
    assert dict(conv.sums) == {
        "size": "(32 + 2*0 - 5)/1 + 1 = 28",
        "parameters": "(5*5*1 + 1)*6 = 156",
        "macs": "5*5*1*6*28*28 = 117,600",
        "receptive_field": "1 + (5 - 1)*1 = 5",
    }
    linear = next(layer for layer in told.layers if layer.kind == "linear")
    assert dict(linear.sums) == {
        "parameters": "(400 + 1)*120 = 48,120",
        "macs": "400*120 = 48,000",
    }
    assert told.field is not None
    assert told.field.size == (32, 32)


def test_json_has_the_fields_of_the_design() -> None:
    told = json.loads(verb("summary", "lenet5", "--json").stdout)
    assert {"name", "inputs", "parameters", "macs", "flops", "memory", "uncounted", "layers"} <= told.keys()
    assert (told["parameters"], told["macs"], told["flops"]) == (61_706, 416_520, 833_040)
    assert told["inputs"] == [[1, 32, 32]]
    layer = told["layers"][0]
    wanted = {
        "name", "kind", "input_shape", "output_shape", "kernel_size", "stride", "padding", "parameters",
        "macs", "output_bytes", "receptive_field", "jump", "lost_rows", "lost_columns",
    }  # fmt: skip
    assert wanted <= layer.keys()
    assert (layer["input_shape"], layer["output_shape"]) == ([1, 32, 32], [6, 28, 28])
    assert (layer["kernel_size"], layer["stride"], layer["padding"]) == ([5, 5], [1, 1], [0, 0])
    assert layer["output_bytes"] == 6 * 28 * 28 * 4
    assert (layer["receptive_field"], layer["jump"]) == ([5, 5], [1, 1])
    assert sum(row["parameters"] for row in told["layers"]) == 61_706
    assert sum(row["macs"] for row in told["layers"]) == 416_520


def test_memory_of_vgg_is_that_of_its_numbers() -> None:
    told = summarize(record_model("vgg16"))
    memory = told.memory()
    assert memory["parameter_bytes"] == 4 * 138_357_544
    first = 64 * 224 * 224 * 4  # two maps of the first block are alive at one time
    assert memory["inference_peak_bytes"] == memory["parameter_bytes"] + 4 * 150_528 + 2 * first


def test_transposed_and_grouped_sums() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), nn.Conv2d(6, 6, 3, groups=3))
    up, grouped = summarize(record(network, (1, 4, 5, 5))).layers
    assert up.sums["size"] == "(5 - 1)*2 - 2*1 + (4 - 1) + 0 + 1 = 10"
    assert up.sums["macs"] == "4*4*4*6*5*5 = 9,600"
    assert up.macs == 9_600
    assert grouped.sums["parameters"] == "(3*3*6/3 + 1)*6 = 114"
    assert grouped.macs == 3 * 3 * 2 * 6 * 8 * 8


def test_sums_of_axes_that_differ_are_told_apart() -> None:
    layer = summarize(record(nn.Conv2d(1, 1, (3, 5), stride=(1, 2)), (1, 1, 8, 9))).layers[0]
    assert layer.sums["height"] == "(8 + 2*0 - 3)/1 + 1 = 6"
    assert layer.sums["width"] == "(9 + 2*0 - 5)/2 + 1 = 3"


def test_folding_keeps_the_totals() -> None:
    told = summarize(record_model("resnet18"))
    for depth in range(5):
        rows = told.rows(depth)
        assert sum(row.parameters for row in rows) == 11_689_512
        assert sum(row.macs for row in rows) == told.blueprint.macs
    assert len(told.rows(0)) == 1
    assert [row.name for row in told.rows(1)][4:8] == ["layer1", "layer2", "layer3", "layer4"]
    assert told.rows(None) == list(told.layers)


def test_a_long_table_is_folded_and_says_so() -> None:
    told = summarize(record_model("resnet50"))
    assert f"({len(told.layers)} layers folded into" in told.text()
    assert "folded" not in told.text(depth=9)
    assert "layer3.5.conv3" in told.text(depth=9)


def test_a_shared_layer_is_counted_once_and_marked() -> None:
    shared = nn.Linear(4, 4)
    text = summarize(record(nn.Sequential(shared, nn.ReLU(), shared), (1, 4))).text()
    assert "0*" in text
    assert "* reads parameters counted in an earlier row" in text
    assert any(line.split()[:2] == ["parameters", "20"] for line in text.splitlines())


def test_what_was_not_read_or_counted_is_said() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(self.used(x))

    told = summarize(record(Net(), (2, 4)))
    assert "not counted" in told.text()
    assert "idle.weight, idle.bias (20 numbers)" in told.text()
    assert any("fft" in name for name in told.to_dict()["uncounted"])
    assert told.to_dict()["unread_parameters"] == ["idle.weight", "idle.bias"]


def test_training_memory_is_told_where_it_is_known() -> None:
    there = network_at("lenet5")
    told = summarize(
        record(there.network, *there.inputs), training=training_memory(there.network, *there.batch(32))
    )
    assert told.memory()["training"]["gradients"] == 4 * 61_706
    assert "training" in told.text()
    assert "training" not in summarize(told.blueprint).text()


def test_html_is_escaped() -> None:
    blueprint = record(nn.Sequential(nn.Linear(2, 2)), (1, 2), name="a<b")
    assert "a&lt;b" in summarize(blueprint)._repr_html_()
    assert blueprint._repr_svg_().startswith("<svg")


# ---------------------------------------------------------------------- the verb


def test_the_verb_prints_table_totals_and_siblings() -> None:
    done = verb("summary", "alexnet")
    assert done.exit_code == 0
    assert "features.0    conv2d 11x11 /4 p2" in done.stdout
    assert "61,100,840 (244.4 MB)" in done.stdout
    assert "siblings: alexnet_2012, alexnet_lecture" in done.stdout


def test_arithmetic_is_printed_under_the_rows() -> None:
    lines = verb("summary", "lenet5", "--arithmetic").stdout.splitlines()
    assert "    multiply-adds: 5*5*1*6*28*28 = 117,600" in lines


def test_what_is_lost_is_said_and_strict_makes_it_an_error(net_file: Path) -> None:
    spec = f"{net_file}:Net"
    done = verb("summary", spec, "--input", "3,8,8")
    assert done.exit_code == 0
    assert "loses rows 6-7 and columns 6-7 of its input" in done.stdout
    assert "warning: Net, input 8x8: rows 6-7 never reach the output" in done.stdout
    assert "images of 6 pixels lose none" in " ".join(done.stdout.split())
    assert verb("summary", spec, "--input", "3,8,8", "--strict").exit_code == 1
    assert verb("summary", spec, "--input", "3,6,6", "--strict").exit_code == 0


def test_a_shape_error_shows_the_table_up_to_it(net_file: Path) -> None:
    done = verb("summary", f"{net_file}:Net", "--input", "3,12,12")
    assert done.exit_code == 2
    assert "2      flatten" in done.stdout
    assert "parameters " not in done.stdout.splitlines()[-1]
    assert done.stderr.splitlines() == [
        "sightline: Net cannot take an input of 1x3x12x12: layer 3 (Linear) given 1x128 failed: it takes 32 "
        "numbers and is given 128; nn.Linear(128, 2) fits this input"
    ]


def test_several_inputs_and_integers(net_file: Path) -> None:
    done = verb("summary", f"{net_file}:Two", "--input", "3,8,8", "--input", "7:int", "--json")
    assert json.loads(done.stdout)["inputs"] == [[3, 8, 8], [7]]


def test_a_network_that_decides_says_that_one_branch_was_seen(net_file: Path) -> None:
    text = verb("summary", f"{net_file}:Decides", "--input", "3,4,4").stdout
    assert "one branch seen" in text
    assert "with numbers, because" in text


def test_shapes_are_read_both_ways() -> None:
    first, lecture = (
        verb("summary", "lenet5", "--input", s, "--json").stdout for s in ("1,32,32", "32x32x1")
    )
    assert json.loads(first) == json.loads(lecture)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet999"], "no network named 'resnet999'; did you mean"),
        (["lenet5", "--input", "a,b"], "--input is 'a,b'; it must be like 32x32x3"),
        (["lenet5", "--input", "0,4,4"], "--input '0,4,4': '0' must be a whole number from 1"),
        (["lenet5", "--input", "3,?,4"], "--input is '3,?,4'"),
        (["lenet5", "--json", "--slide"], "exclude each other"),
        (["missing.py:Net"], "no such file: missing.py"),
        (["NET:Nett"], "has no 'Nett'; did you mean Net?"),
        (["NET:scripted"], "is a scripted or traced module; give the Python module"),
        (["NET:Two", "--input", "3,8,8"], "failed: "),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, net_file: Path) -> None:
    done = verb("summary", *(a.replace("NET", str(net_file)) for a in arguments))
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.parametrize("name", ["resnet18", "lenet5", "vgg11"])
def test_a_summary_does_not_import_a_compiler(name: str) -> None:
    """Their import takes longer than all the rest; every operation of these networks has a shortcut."""
    code = (
        "import sys\nfrom sightline.cli import app\n"
        f"try: app(['summary', '{name}'])\nexcept SystemExit: pass\n"
        "print([m for m in ('sympy', 'torch._dynamo', 'pydantic_core', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] in ("[]", "['pydantic_core']")  # typer may bring the last one


def test_the_collector_is_left_as_it_was() -> None:
    import gc

    assert verb("summary", "lenet5").exit_code == 0
    assert gc.isenabled()
    assert verb("summary", "lenet6").exit_code == 2
    assert gc.isenabled()


def test_a_model_file_is_described_for_what_it_was_trained_on(tmp_path: Path) -> None:
    from test_models import header

    network = create_model("lenet5", num_classes=3)
    save_model_file(tmp_path / "model.safetensors", network.state_dict(), header())
    told = json.loads(verb("summary", str(tmp_path / "model.safetensors"), "--json").stdout)
    assert (told["inputs"], told["outputs"]) == ([[1, 32, 32]], [[3]])


# ---------------------------------------------------------------------- side by side


def test_networks_side_by_side() -> None:
    sides = compare_models(["resnet18", "resnet34"], measure=False)
    assert [side.summary.blueprint.num_parameters for side in sides] == [11_689_512, 21_797_672]
    assert [side.layers for side in sides] == [18 + 3, 34 + 3]  # with the projections
    assert sides[0].published[0].startswith("top-1 30.24 %")
    assert sides[0].milliseconds is None


def test_the_verb_marks_what_differs() -> None:
    lines = verb("compare", "lenet5", "mlp", "--no-measure").stdout.splitlines()
    assert any(line.startswith("*  parameters") and "4.32 x" in line for line in lines)
    told = json.loads(verb("compare", "lenet5", "lenet5", "--no-measure", "--json").stdout)
    assert told["differences"] == []
    assert [side["macs"] for side in told["models"]] == [416_520, 416_520]


def test_scores_of_a_model_file_stand_beside_what_was_published(tmp_path: Path) -> None:
    from test_models import header

    path = tmp_path / "model.safetensors"
    save_model_file(path, create_model("lenet5", num_classes=3).state_dict(), header())
    lines = verb("compare", str(path), "vgg16", "--no-measure").stdout.splitlines()
    assert [line.split()[1:] for line in lines if " accuracy " in line] == [["accuracy", "0.3000", "-"]]
    assert any(line.split()[1:4] == ["published", "-", "top-1"] for line in lines)


def test_times_are_measured_in_turns() -> None:
    sides = compare_models(["lenet5", "lenet5"], batch=2)
    for side in sides:
        assert side.milliseconds is not None
        assert side.spread is not None
        quartiles = (side.spread[0], side.milliseconds, side.spread[1])
        assert quartiles == tuple(sorted(quartiles))


def test_layers_that_part_are_shown() -> None:
    first, second = (
        summarize(record(nn.Sequential(nn.Conv2d(1, 2, k), nn.ReLU()), (1, 1, 8, 8))) for k in (3, 5)
    )
    lines = layer_differences(first, second)
    assert any(line.startswith("-conv2d") and "kernel_size=3x3" in line for line in lines)
    assert any(line.startswith("+conv2d") and "kernel_size=5x5" in line for line in lines)
    assert layer_differences(first, first) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lenet5"], "takes two models or more; it was given 1"),
        (["lenet5", "vgg16", "resnet18", "--layers"], "--layers shows two networks; 3 were given"),
        (["lenet5", "lenet6"], "did you mean lenet5"),
    ],
)
def test_bad_comparisons_are_one_line(arguments: list[str], words: str) -> None:
    done = verb("compare", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_an_input_one_of_them_cannot_take() -> None:
    with pytest.raises(PassError, match="cannot take an input of 1x3x32x32"):
        compare_models(["alexnet_lecture", "vgg16"], ["3,32,32"], measure=False)


# ---------------------------------------------------------------------- building for a description


def test_a_users_own_defaults_stand(net_file: Path) -> None:
    there = network_at(f"{net_file}:Net")
    assert there.inputs[0].shape == (1, 3, 224, 224)
    assert there.network.get_parameter("3.weight").shape == (2, 32)
    assert all(p.is_meta for p in there.network.parameters())


def test_numbers_when_asked_for() -> None:
    assert not any(p.is_meta for p in network_at("lenet5", numbers=True).network.parameters())
    light = network_at("resnet18").network
    assert all(t.is_meta for t in (*light.parameters(), *light.buffers()))
