"""What is done with any network: evaluated, exported, laid out otherwise, trained a step. One a family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sightline.base import ArgumentError, Draws
from sightline.cli import app
from sightline.data import Batch
from sightline.inference import create_model
from sightline.tasks import make_objective
from sightline.zoo import get_architecture, list_architectures

SIZES = {
    "airbench94": (3, 32), "googlenet": (3, 64), "lecture_cnn": (1, 28), "lenet5": (1, 32),
    "lenet5_1998": (1, 32), "mlp": (1, 28), "plain20": (3, 32), "resnet18_c": (3, 48), "resnet20": (3, 32),
    "resnet34_a": (3, 48), "resnet50_v1": (3, 48), "squeezenet1_1": (3, 64),
}  # fmt: skip
small = pytest.mark.parametrize("name", SIZES)


def made(name: str, num_classes: int = 4) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    channels, side = SIZES[name]
    network = create_model(name, num_classes=num_classes, in_channels=channels, input_size=(side, side))
    return network, torch.randn(4, channels, side, side)


@small
def test_evaluation_is_deterministic_and_says_nothing_of_the_batch(name: str) -> None:
    network, x = made(name)
    network.eval()
    with torch.no_grad():
        whole, again, alone = network(x), network(x), network(x[:1])
    assert torch.equal(whole, again)
    assert whole.shape == (4, 4)
    assert torch.allclose(whole[:1], alone, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


@small
def test_another_memory_layout_gives_the_same(name: str) -> None:
    network, x = made(name)
    network.eval()
    with torch.no_grad():
        expected = network(x)
        given = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))  # type: ignore[call-overload]
    assert torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@small
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_it_can_be_exported(name: str) -> None:
    network, x = made(name)
    network.eval()
    exported = torch.export.export(network, (x,))
    with torch.no_grad():
        assert torch.allclose(exported.module()(x), network(x), rtol=1e-3, atol=1e-5)


@small
def test_a_step_lowers_the_loss(name: str) -> None:
    """Of its own objective, on the batch it was taken on, without dropout."""
    network, x = made(name)
    objective = make_objective(get_architecture(name).objective, {})
    batch = Batch(
        images=x, targets=torch.arange(4), ids=np.arange(4), sizes=torch.zeros(4, 2),
        transforms=torch.zeros(4, 3, 3),
    )  # fmt: skip
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-5)

    def loss() -> torch.Tensor:
        ((_, value, _),) = objective.losses(network, batch, Draws(0))
        return value

    before = loss()
    before.backward()
    optimizer.step()
    assert loss().item() < before.item()


def test_what_cannot_be_built_says_why() -> None:
    for name in ("lenet5", "resnet20"):
        for wrong in (0, -1):
            with pytest.raises(ArgumentError, match=f"num_classes must be at least 1; it is {wrong}"):
                create_model(name, num_classes=wrong)
    with pytest.raises(ArgumentError, match="in_channels must be at least 1; it is 0"):
        create_model("resnet20", in_channels=0)
    with pytest.raises(ArgumentError, match="did you mean vgg16"):
        create_model("vgg_16")


def test_every_named_network_is_there() -> None:
    names = {architecture.name for architecture in list_architectures()}
    wanted = """
        lenet5_1998 lenet5 alexnet_lecture alexnet_2012 alexnet zfnet vgg11 vgg13 vgg16 vgg19
        vgg11_bn vgg13_bn vgg16_bn vgg19_bn vgg_a vgg_a_lrn vgg_b vgg_c vgg_d vgg_e googlenet_2014
        googlenet prelunet_a prelunet_b prelunet_c plain18 plain34 resnet18 resnet34 resnet34_a
        resnet34_c resnet50 resnet50_v1 resnet101 resnet152 plain20 plain32 plain44 plain56 resnet20
        resnet32 resnet44 resnet56 resnet110 resnet1202 squeezenet1_0 squeezenet1_1 airbench94
        lecture_cnn lecture_cnn_2 mlp
    """
    assert set(wanted.split()) <= names


# On the command line


def listed(*arguments: str) -> Any:
    import json

    outcome = CliRunner().invoke(app, ["models", *arguments, "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_models_as_json() -> None:
    every = listed()
    assert len(every) == len(list_architectures())
    (plain,) = [one for one in every if one["name"] == "plain34"]
    assert plain["parameters"] == 21_623_848
    assert plain["macs"] == 3_644_493_824
    assert plain["depth"] == 34
    assert {"paper", "year", "input_shape", "deviations", "published"} <= plain.keys()
    assert plain["published"][0]["top5_error"] == pytest.approx(0.1002)
    assert [one["name"] for one in listed("vgg16*")] == ["vgg16", "vgg16_bn"]


def test_models_as_a_table() -> None:
    outcome = CliRunner().invoke(app, ["models", "resnet34*"])
    assert outcome.exit_code == 0
    assert "none was measured here" in outcome.stdout
    wrong = CliRunner().invoke(app, ["models", "vgg17"])
    assert wrong.exit_code == 2
    assert "did you mean" in wrong.stderr


def test_models_as_a_picture(in_tmp: Path) -> None:
    outcome = CliRunner().invoke(app, ["models", "--plot", "depth,top5", "-o", "depth.png"])
    assert outcome.exit_code == 0, outcome.stderr
    assert Path("depth.png").read_bytes().startswith(b"\x89PNG")
    for wrong in (
        ["--plot", "depth"],
        ["--plot", "depth,speed"],
        ["--plot", "depth,top5", "-o", "x.pdf"],
        ["-o", "x.png"],
    ):
        assert CliRunner().invoke(app, ["models", *wrong]).exit_code == 2, wrong
