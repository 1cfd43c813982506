"""A network as it answers at every place of a larger image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.inference import Dense
from sightline.zoo import get_architecture


def toy() -> nn.Module:
    """No padding, strides 2 and 2; two fully connected layers over a map of 3x2. For images of 13x11."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2),  # 13x11 -> 6x5
        nn.ReLU(),
        nn.MaxPool2d(2, 2),  # -> 3x2
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(24, 7),
        nn.ReLU(inplace=True),
        nn.Linear(7, 3),
    )


def test_dense_is_sliding_crops_where_nothing_is_padded() -> None:
    """Every place of the map is the network on its window, four pixels from the last."""
    network = toy().eval()
    form = Dense(network, (1, 13, 11), "toy")
    x = torch.randn(2, 1, 13 + 8, 11 + 12)
    with torch.inference_mode():
        got = form(x)
        assert got.shape == (2, 3, 3, 4)
        for i in range(3):
            for j in range(4):
                window = x[:, :, 4 * i : 4 * i + 13, 4 * j : 4 * j + 11]
                torch.testing.assert_close(got[:, :, i, j], network(window), atol=1e-5, rtol=0)


def vgg_like() -> nn.Module:
    """Padded convolutions, an adaptive pool that changes nothing, a head with functions and batch norm."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            )  # fmt: skip
            self.pool = nn.AdaptiveAvgPool2d((4, 4))
            self.linear = nn.Linear(128, 10)
            self.norm = nn.BatchNorm1d(10)
            self.weight = nn.Parameter(torch.randn(5, 10))

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.body(x)).view(x.size(0), -1)
            x = functional.relu_(self.norm(self.linear(x)))
            return functional.linear(functional.dropout(x, training=self.training), self.weight) / 9

    torch.manual_seed(2)
    network = Network()
    network(torch.randn(8, 3, 16, 16))  # running statistics that are not 0 and 1
    return network.eval()


def test_dense_at_the_trained_size_is_the_plain_forward() -> None:
    network = vgg_like()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    form = Dense(network, (3, 16, 16), "toy")
    x = torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        got = form(x)
        assert form(torch.randn(1, 3, 24, 28)).shape == (1, 5, 3, 4)
    torch.testing.assert_close(got[..., 0, 0], network(x), atol=1e-5, rtol=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_dense_of_global_pooling_is_the_network_itself() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    x = torch.randn(2, 1, 15, 12)
    form = Dense(body.eval(), (1, 9, 9), "toy")
    assert torch.equal(form(x)[..., 0, 0], body(x))


def test_a_side_branch_with_global_pooling_is_left_alone() -> None:
    """Squeeze and excitation: its fully connected layers read one vector whatever the image's size."""

    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4 * 9, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x = x * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None]
            return self.linear(x.flatten(1))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    network = Excited().eval()
    form = Dense(network, (1, 5, 5), "toy")
    x = torch.randn(2, 1, 6, 5)
    maps = network.conv(x)
    gated = maps * network.gate(maps.mean((2, 3))).sigmoid()[:, :, None, None]
    expected = [network.linear(gated[:, :, i : i + 3].flatten(1)) for i in (0, 1)]
    torch.testing.assert_close(form(x), torch.stack(expected, 2)[..., None])


@pytest.mark.parametrize("name", ["lenet5", "lecture_cnn", "resnet20", "airbench94", "squeezenet1_0"])
def test_networks_of_the_zoo_go_densely(name: str) -> None:
    architecture = get_architecture(name)
    size = (64, 64) if name == "squeezenet1_0" else architecture.input_shape[1:]
    torch.manual_seed(0)
    network = architecture.build(input_size=size).eval()
    shape = (architecture.input_shape[0], *size)
    form = Dense(network, shape, name)
    x = torch.rand(2, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(form(x)[..., 0, 0], network(x), atol=1e-4, rtol=1e-4)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attention = nn.Conv2d(1, 4, 4, 4), nn.MultiheadAttention(4, 1, batch_first=True)
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)
        return self.linear(self.attention(x, x, x, need_weights=False)[0].mean(1))  # type: ignore


class Batched(nn.Module):
    """Batch norm without running statistics: an answer depends on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)
        self.linear = nn.Linear(4 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.conv(x)).flatten(1))  # type: ignore[no-any-return]


class Positioned(nn.Module):
    """A vector added to the flattened map, by place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 2)
        self.place = nn.Parameter(torch.randn(4 * 36))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).flatten(1) + self.place)  # type: ignore[no-any-return]


class Reshaped(nn.Module):
    """The flattened map through a fully connected layer, and back to a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 36)
        self.last = nn.Linear(36, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(self.conv(x).flatten(1)).view(-1, 1, 6, 6)
        return self.last((x * 2).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 2)),
            "0 flattens the image itself; there is no",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()),
            "neither a fully connected layer to convert nor",
        ),
        (Attending(), "attention is attention, over as many places as it was trained on"),
        (Batched(), "its answer to an image depends on the others of its batch"),
        (Positioned(), "images of another size do not go through"),
        (Reshaped(), r":view \(view\) mixes the vector it flattens its map to"),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(18, 2)),
            "1 changes its map from 6x6 to 3x3, whatever the image's size",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(6, 2), nn.Flatten()),
            "1 is fully connected over",
        ),
    ],
)
def test_networks_that_do_not_go_densely_are_refused_in_one_line(network: nn.Module, why: str) -> None:
    with pytest.raises(ArgumentError, match=why) as caught:
        Dense(network, (1, 8, 8), "net")
    text = str(caught.value)
    assert text.startswith("--crops dense: net cannot be applied to larger images: ")
    assert "\n" not in text
