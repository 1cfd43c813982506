"""Every architecture: its record recomputed, its gradients, its errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sightline.blueprint import output_shape
from sightline.inference import create_model
from sightline.zoo import (
    Architecture,
    foreign_architecture,
    get_architecture,
    list_architectures,
    load_weights,
    register,
)

ALL = list_architectures()
UNPADDED = ("lenet5", "lecture_cnn_2", "alexnet", "zfnet", "squeezenet", "airbench")
"""Networks whose maps shrink beyond their stride."""
by_name = pytest.mark.parametrize("architecture", ALL, ids=lambda a: a.name)


def test_names() -> None:
    names = [a.name for a in ALL]
    assert names == sorted(set(names))
    assert {"lecture_cnn", "lecture_cnn_2", "lenet5", "mlp", "resnet18", "resnet20"} <= set(names)


@by_name
def test_counts_are_those_of_torch(architecture: Architecture) -> None:
    with torch.device("meta"):
        network = architecture.build().eval()
        assert sum(p.numel() for p in network.parameters()) == architecture.parameters
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, *architecture.input_shape))
    assert counter.get_total_flops() == 2 * architecture.macs


@by_name
def test_stem_head_and_stages_are_where_the_record_says(architecture: Architecture) -> None:
    with torch.device("meta"):
        network = architecture.build(num_classes=7, in_channels=2)
    head, stem = network.get_submodule(architecture.head), network.get_submodule(architecture.stem)
    if architecture.name != "lenet5_1998":  # its head is a table of codes
        assert getattr(head, "out_features", None) == 7 or head.out_channels == 7
    assert getattr(stem, "in_channels", None) == 2 or stem.in_features % 2 == 0
    height, width = architecture.input_shape[1:]
    seen = {}
    for stage in architecture.stages:
        module = network.get_submodule(stage.path)
        module.register_forward_hook(lambda m, i, o, path=stage.path: seen.update({path: o.shape}))
    network.eval()(torch.zeros(1, 2, height, width, device="meta"))
    for stage in architecture.stages:
        assert seen[stage.path][1] == stage.channels
        if not architecture.name.startswith(UNPADDED):
            assert seen[stage.path][2] == height // stage.stride


@pytest.mark.parametrize(
    "architecture", [a for a in ALL if a.macs < 1e8 or a.name == "resnet18"], ids=lambda a: a.name
)
def test_every_parameter_gets_a_gradient(architecture: Architecture) -> None:
    """Of what is small; larger families have tests of their own."""
    torch.manual_seed(0)
    size = (64, 64) if architecture.name == "resnet18" else architecture.input_shape[1:]
    network = architecture.build(num_classes=5, input_size=size)
    network(torch.randn(4, architecture.input_shape[0], *size)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
def test_stages_of_a_backbone(name: str) -> None:
    network = create_model(name).eval()
    outputs = network.forward_stages(torch.zeros(1, 3, 64, 64))
    assert [tuple(o.shape[1:3]) for o in outputs] == [
        (s.channels, 64 // s.stride) for s in get_architecture(name).stages
    ]


def test_residual_shortcut_a_by_hand() -> None:
    block = create_model("resnet20").layer2[0].downsample
    x = torch.arange(16 * 4 * 4, dtype=torch.float32).reshape(1, 16, 4, 4)
    y = block(x)
    assert y.shape == (1, 32, 2, 2)
    assert torch.equal(y[0, 8:24], x[0, :, ::2, ::2])
    assert not y[0, :8].any()
    assert not y[0, 24:].any()


def test_too_small_an_input_names_the_layer() -> None:
    with pytest.raises(
        ValueError, match=r"lecture_cnn cannot take an input of 1x4x4: layer 12 \(MaxPool2d\), given 256x1x1,"
    ):
        create_model("lecture_cnn", input_size=(4, 4))


def test_wrong_channels_name_the_layer() -> None:
    with pytest.raises(
        ValueError, match=r"layer features.0 \(Conv2d\), given 3x32x32, failed: .*to have 1 channels"
    ):
        output_shape(create_model("lenet5"), (3, 32, 32), "lenet5")


def test_looking_at_a_network_leaves_it_as_it_was() -> None:
    network = create_model("resnet20")
    network.layer1.eval()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    output_shape(network, (3, 32, 32), "resnet20")
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_an_unknown_name_gets_close_ones() -> None:
    with pytest.raises(ValueError, match="no network named 'lenet'; did you mean lenet5"):
        create_model("lenet")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="lenet5 is registered twice"):
        register(get_architecture("lenet5"))


def test_weights_with_another_head_keep_the_rest() -> None:
    torch.manual_seed(0)
    source, target = create_model("lenet5"), create_model("lenet5", num_classes=3)
    loaded = load_weights(target, source.state_dict(), get_architecture("lenet5"), adapt=True, origin="x")
    assert loaded.new == ("classifier.5.weight", "classifier.5.bias")
    assert torch.equal(target.features[0].weight, source.features[0].weight)
    with pytest.raises(
        ValueError,
        match=r"x does not fit lenet5: 2 of another shape \(classifier.5.weight is 10x84, the network's is",
    ):
        load_weights(target, source.state_dict(), get_architecture("lenet5"), adapt=False, origin="x")


def test_a_network_of_the_users(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "def small(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
        "def odd(depth): return nn.Identity()\n"
        "number = 3\n"
    )
    architecture = foreign_architecture(f"{file}:small")
    assert architecture.build(num_classes=4)[1].out_features == 4
    assert len(architecture.source_digest) == 32
    with pytest.raises(ValueError, match="has no 'smal'; did you mean small"):
        foreign_architecture(f"{file}:smal")
    with pytest.raises(
        ValueError, match="needs 'depth'; it may need only num_classes, in_channels, input_size"
    ):
        foreign_architecture(f"{file}:odd")
    with pytest.raises(ValueError, match="is int; expected a class or function"):
        foreign_architecture(f"{file}:number")
    file.write_text("1 / 0\n")
    with pytest.raises(ValueError, match="fails: ZeroDivisionError: division by zero"):
        foreign_architecture(f"{file}:small")
