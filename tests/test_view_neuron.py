"""One neuron: sums by hand, the network's own values, every way to write a layer, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError, ModelFileError
from sightline.views import Picture, Subject, View, neuron
from sightline.views._neuron import _added
from small_networks import Does, seq

FOUR = torch.arange(16.0).reshape(1, 1, 4, 4)
"""0 1 2 3 / 4 5 6 7 / 8 9 10 11 / 12 13 14 15."""


def picture(x: Tensor) -> Picture:
    return Picture(name="x", x=x, pixels=np.zeros((*x.shape[2:], 3), np.uint8))


def look(network: nn.Module, x: Tensor = FOUR, **options: Any) -> View:
    subject = Subject.of(network.eval(), tuple(x.shape[1:]))  # type: ignore[arg-type]
    return neuron(subject, picture(x), **options)


def conv(weight: list[Any], bias: float | None = None, **settings: Any) -> nn.Conv2d:
    """A convolution of one filter on one channel."""
    values = torch.tensor(weight)[None, None]
    layer = nn.Conv2d(1, 1, tuple(values.shape[2:]), bias=bias is not None, **settings)  # type: ignore[arg-type]
    layer.weight.data = values
    if bias is not None:
        assert layer.bias is not None
        layer.bias.data = torch.tensor([bias])
    return layer


def test_a_sum_by_hand() -> None:
    """At row 1, column 2: 6 7 / 10 11 by 1 -1 / 0 2 are 6 -7 0 22, their sum 21, with the bias 20.5."""
    view = look(conv([[1.0, -1.0], [0.0, 2.0]], -0.5), at=(1, 2))
    assert view.arrays["patch"].tolist() == [[[6, 7], [10, 11]]]
    assert view.arrays["products"].tolist() == [[[6, -7], [0, 22]]]
    assert (view.figures["sum"], view.figures["bias"], view.figures["value"]) == (21, -0.5, 20.5)
    assert view.figures["network"] == 20.5
    assert view.notes == ("the sum of 4 products is 21 + bias -0.5 = 20.5; the network's own: 20.5",)


def test_the_strongest_where_no_place_is_said() -> None:
    """The sum of the last window is the largest: 10 + 11 + 14 + 15 = 50."""
    view = look(conv([[1.0, 1.0], [1.0, 1.0]]))
    assert (view.figures["at"], view.figures["value"]) == ([2, 2], 50)
    assert "50" in view.title


def test_padding_is_zeros_outside() -> None:
    """At 0,0 with padding 1 a 3x3 window sees 0 0 0 / 0 0 1 / 0 4 5."""
    view = look(conv([[1.0] * 3] * 3, padding=1), at=(0, 0))
    assert view.arrays["patch"].tolist() == [[[0, 0, 0], [0, 0, 1], [0, 4, 5]]]
    assert view.figures["value"] == 10
    assert "padding" in view.panels[-1].caption


def test_stride_and_dilation_by_hand() -> None:
    """Stride 2: the window of 1,1 begins at 2,2. Dilation 2: the window of 1,0 takes 4 6 / 12 14."""
    assert look(conv([[1.0, 0.0], [0.0, 0.0]], stride=2), at=(1, 1)).figures["value"] == 10
    view = look(conv([[1.0, 10.0], [100.0, 1000.0]], dilation=2), at=(1, 0))
    assert view.arrays["patch"].tolist() == [[[4, 6], [12, 14]]]
    assert view.figures["value"] == 4 + 60 + 1200 + 14000


def test_the_whole_depth_column_and_the_rest_said() -> None:
    """Ten channels, each k times 1 at one place: two are written out, the others add 0 + ... + 7 = 28."""
    layer = nn.Conv2d(10, 1, 1, bias=False)
    layer.weight.data = torch.ones(1, 10, 1, 1)
    x = torch.arange(10.0).reshape(1, 10, 1, 1).expand(1, 10, 2, 2)
    view = look(layer, x, at=(0, 0), top=2)
    assert view.figures["channels"] == [9, 8]
    assert view.figures["value"] == 45
    assert view.notes[-1] == "written out below: 2 of 10 inputs, the strongest first"
    assert view.arrays["products"].reshape(-1).tolist() == list(range(10))


def test_a_sum_has_one_sign_a_term_and_ends_as_the_title_says() -> None:
    assert _added([("", -0.5), ("", -0.25), (" (2 other inputs)", 1e-5), (" (bias)", -2.0)]) == (
        "-0.5 - 0.25 + (2 other inputs) 1e-05 - (bias) 2"
    )
    seen = look(nn.Sequential(conv([[1.0, -2.0], [0.0, 0.0]], -3.0), nn.ReLU()), at=(0, 0))
    assert seen.title.endswith(f"is {seen.figures['network']:.4g}, then 0")


def test_large_windows_are_fewer_unless_asked() -> None:
    """Of twelve inputs, as many 5x5 windows as a page holds; eight of one value; all where asked."""
    x = torch.rand((1, 12, 5, 5), generator=torch.Generator().manual_seed(0))
    large, small = nn.Conv2d(12, 1, 5), nn.Conv2d(12, 1, 1)
    assert len(look(large, x).figures["channels"]) == 4
    assert any("--top N writes out more" in note for note in look(large, x).notes)
    assert len(look(small, x).figures["channels"]) == 8
    assert len(look(large, x, top=12).figures["channels"]) == 12


def test_groups_read_their_own_channels() -> None:
    """Unit 1 of two groups reads channels 2 and 3 alone."""
    layer = nn.Conv2d(4, 2, 1, groups=2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 1.0], [10.0, 100.0]]).reshape(2, 2, 1, 1)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1).expand(1, 4, 2, 2)
    view = look(layer, x, unit=1, at=(0, 0))
    assert view.figures["value"] == 430
    assert view.arrays["patch"].reshape(-1).tolist() == [3, 4]


def test_batch_norm_and_relu_are_written_out() -> None:
    """20.5 less 0.5, over sqrt(3.99999 + 1e-5) = 2, times 3, plus 1 is 31; of its negative, ReLU makes 0."""
    norm = nn.BatchNorm2d(1)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(3.99999)
    norm.weight.data.fill_(3.0)
    norm.bias.data.fill_(1.0)
    view = look(seq(conv([[1.0, -1.0], [0.0, 2.0]], -0.5), norm, nn.ReLU()), at=(1, 2))
    steps = view.figures["after"]
    assert [s["kind"] for s in steps] == ["batch_norm", "relu"]
    assert steps[0]["value"] == pytest.approx(31, rel=1e-6)
    assert view.notes[1] == "batch norm: (20.5 - 0.5) / sqrt(3.99999 + 1e-05) * 3 + 1 = 31"
    assert view.notes[2] == "relu: max(0, 31) = 31"
    view = look(seq(conv([[-1.0]]), nn.ReLU()), at=(1, 2))
    assert view.notes[-1] == "relu: max(0, -6) = 0"


def test_max_pooling_names_the_winner() -> None:
    """Of 2 3 / 6 7 it is 7, at the window's lower right; with padding, the corner sees 0 alone."""
    view = look(seq(nn.MaxPool2d(2)), layer="0", at=(0, 1))
    assert view.arrays["patch"].tolist() == [[[2, 3], [6, 7]]]
    assert view.figures["value"] == 7
    assert view.notes == ("the largest of 4 values is 7; the network's own: 7",)
    below = look(seq(nn.MaxPool2d(2, padding=1)), -FOUR - 1, layer="0", at=(0, 0))
    assert (below.figures["value"], below.figures["network"]) == (-1, -1)  # padding is no 0 that wins


def test_average_pooling_by_hand() -> None:
    """Of 10 11 / 14 15 it is 50 / 4; over padding 0 / 4, or 0 / 1 where padding does not count."""
    view = look(seq(nn.AvgPool2d(2)), layer="0", at=(1, 1))
    assert view.notes == ("the sum 50 / 4 = 12.5; the network's own: 12.5",)
    with_padding = look(seq(nn.AvgPool2d(2, padding=1)), layer="0", at=(0, 1))
    assert (with_padding.figures["value"], with_padding.figures["network"]) == (0.75, 0.75)  # 1 + 2 of 4
    without = look(seq(nn.AvgPool2d(2, padding=1, count_include_pad=False)), layer="0", at=(0, 1))
    assert without.figures["value"] == 1.5
    over_the_edge = seq(nn.AvgPool2d(3, stride=2, ceil_mode=True))  # 2 3 / 6 7 / 10 11: 39 by 6, not by 9
    assert look(over_the_edge, layer="0", at=(0, 1)).figures["value"] == 6.5
    assert look(over_the_edge, layer="0", at=(1, 0)).figures["value"] == 66 / 6  # 8 9 10 / 12 13 14
    assert look(seq(nn.AvgPool2d(2, divisor_override=3)), layer="0", at=(1, 1)).figures["value"] == 50 / 3


@pytest.mark.parametrize(
    ("network", "value"),
    [
        (seq(nn.AdaptiveAvgPool2d(1)), 7.5),
        (Does(lambda self, x: x.mean((2, 3))), 7.5),
        (Does(lambda self, x: F.adaptive_max_pool2d(x, 1)), 15),
    ],
)
def test_pooling_to_one_place(network: nn.Module, value: float) -> None:
    """The mean of 0 to 15 is 7.5, the largest 15."""
    subject = Subject.of(network, (1, 4, 4))
    assert neuron(subject, picture(FOUR), layer=subject.blueprint.nodes[0].id).figures["value"] == value


def test_a_linear_layer_on_maps_is_a_window_as_large_as_they() -> None:
    """Weights 0 1 ... 15 on 0 ... 15: the sum of squares, 1240, as one 4x4 patch."""
    linear = nn.Linear(16, 1)
    linear.weight.data = torch.arange(16.0)[None]
    linear.bias.data.fill_(2.0)
    view = look(seq(nn.Flatten(), linear), layer="1")
    assert view.arrays["patch"].shape == (1, 4, 4)
    assert view.figures["value"] == 1242
    second = look(seq(nn.Flatten(), linear, nn.ReLU(), nn.Linear(1, 2)), layer="3", unit=1)
    assert second.arrays["patch"].tolist() == [[[1242]]]


def _in_place(layer: nn.Module, x: Tensor) -> Tensor:
    return F.relu(layer(x), inplace=True)


def _ways(first: nn.Conv2d, second: nn.Conv2d) -> dict[str, nn.Module]:
    """One network in six hands."""
    one = nn.ReLU()
    return {
        "modules": seq(first, nn.ReLU(), second, nn.ReLU()),
        "in place": seq(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True)),
        "reused": seq(first, one, second, one),
        "functions": Does(lambda s, x: F.relu(s.second(F.relu(s.first(x)))), first=first, second=second),
        "functions in place": Does(
            lambda s, x: _in_place(s.second, _in_place(s.first, x)), first=first, second=second
        ),
        "bare": Does(
            lambda s, x: torch.relu_(
                F.conv2d(
                    torch.relu(F.conv2d(x, s.first.weight, s.first.bias, padding=1)),
                    s.second.weight,
                    s.second.bias,
                )
            ),
            first=first,
            second=second,
        ),
    }


def test_of_a_module_it_is_what_can_be_written_out() -> None:
    """Not the ReLU that ends it."""
    network = nn.Sequential()
    network.add_module("stem", seq(conv([[2.0]]), nn.ReLU()))
    assert look(network, layer="stem").figures["layer"] == "stem.0"


def test_one_network_in_six_hands_is_one_view() -> None:
    """The numbers and the pictures of the sum do not know how a ReLU was written."""
    torch.manual_seed(3)
    ways = _ways(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3))
    x = torch.randn(1, 2, 6, 6)
    for layer in ("conv1", "conv2"):
        views = [look(network, x, layer=layer) for network in ways.values()]
        for view in views[1:]:
            assert view.notes == views[0].notes
            for name, array in views[0].arrays.items():
                assert np.array_equal(view.arrays[name], array), name
            for a, b in zip(view.panels, views[0].panels, strict=True):
                assert np.array_equal(a.pixels, b.pixels)
                assert a.caption == b.caption


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_it_is_the_networks_own_value(data: st.DataObject) -> None:
    """Random layers: what is written out is what the network computes, at any place."""
    groups = data.draw(st.sampled_from([1, 2]))
    inputs, outputs = groups * data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    kernel = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    mode = data.draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    layer = nn.Conv2d(
        inputs, outputs, kernel,
        stride=(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))),
        padding=(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))),
        dilation=(data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))),
        groups=groups, bias=data.draw(st.booleans()), padding_mode=mode,
    )  # fmt: skip
    norm = nn.BatchNorm2d(outputs)
    assert norm.running_mean is not None
    norm.running_mean.normal_()
    network = seq(layer, norm, nn.ReLU()).eval()
    x = torch.randn(1, inputs, 7, 8)
    with torch.no_grad():
        before, last = layer(x)[0], network(x)[0]
    unit, row, column = (data.draw(st.integers(0, n - 1)) for n in before.shape)
    view = look(network, x, unit=unit, at=(row, column))
    assert view.figures["value"] == pytest.approx(float(before[unit, row, column]), rel=1e-4, abs=1e-5)
    assert view.figures["after"][-1]["value"] == pytest.approx(
        float(last[unit, row, column]), rel=1e-4, abs=1e-5
    )


def test_a_transposed_convolution_by_hand() -> None:
    """Kernel 1 2 / 3 4, stride 2, on 4x4: row 2, column 5 is of input 1,2 alone, 6 by its upper right, 2;
    with stride 1, row 1, column 1 is 0*4 + 1*3 + 4*2 + 5*1 = 16, by the kernel turned half round."""
    layer = nn.ConvTranspose2d(1, 1, 2, stride=2)
    layer.weight.data = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert layer.bias is not None
    layer.bias.data.fill_(0.5)
    view = look(seq(layer), layer="0", at=(2, 5))
    assert (view.figures["sum"], view.figures["value"], view.figures["network"]) == (12, 12.5, 12.5)
    assert view.arrays["kernel"].tolist() == [[[4, 3], [2, 1]]]
    assert view.arrays["patch"].tolist() == [[[0, 0], [6, 0]]]  # zeros between the values of the input
    assert "turned half round" in view.notes[1]
    close = nn.ConvTranspose2d(1, 1, 2, bias=False)
    close.weight.data = layer.weight.data
    view = look(seq(close), layer="0", at=(1, 1))
    assert view.arrays["products"].tolist() == [[[0, 3], [8, 5]]]
    assert view.figures["value"] == 16
    function = Does(lambda m, x: F.conv_transpose2d(x, m.a.weight, stride=2, padding=1), a=layer)
    view = look(function, layer=":conv_transpose2d", at=(1, 4), moving=True)  # padding 1 moves all by one
    assert view.figures["value"] == 12
    assert len(view.frames) == 6


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_transposed_convolution_is_the_networks_own_value(data: st.DataObject) -> None:
    """Strides, padding beyond the kernel, dilation, groups, output padding; as layer and as function."""
    torch.manual_seed(0)
    groups, stride = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    layer = nn.ConvTranspose2d(
        2 * groups, 3 * groups, (data.draw(st.integers(1, 3)), 2), stride=stride,
        padding=(data.draw(st.integers(0, 2)), 0), dilation=data.draw(st.integers(1, 2)), groups=groups,
        output_padding=data.draw(st.integers(0, stride - 1)), bias=data.draw(st.booleans()),
    )  # fmt: skip
    x = torch.randn(1, 2 * groups, 5, 4)
    own = layer(x)[0].detach()
    unit, row, column = (data.draw(st.integers(0, n - 1)) for n in own.shape)
    value = look(seq(layer), x, layer="0", unit=unit, at=(row, column), moving=True).figures["value"]
    assert value == pytest.approx(float(own[unit, row, column]), rel=1e-4, abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_pooling_is_the_networks_own_value(data: st.DataObject) -> None:
    """Every kind of window, also one that hangs over the edge."""
    kernel = data.draw(st.integers(1, 3))
    shared = {
        "stride": data.draw(st.integers(1, 3)),
        "padding": data.draw(st.integers(0, kernel // 2)),
        "ceil_mode": data.draw(st.booleans()),
    }
    layer: nn.Module = data.draw(
        st.sampled_from(
            [
                nn.MaxPool2d(kernel, **shared),
                nn.AvgPool2d(kernel, **shared),
                nn.AvgPool2d(kernel, **shared, count_include_pad=False),
                nn.AdaptiveAvgPool2d((3, 2)),
                nn.AdaptiveMaxPool2d((2, 5)),
            ]
        )
    )
    torch.manual_seed(0)
    x = torch.randn(1, 2, 7, 8)
    own = layer(x)[0]
    unit, row, column = (data.draw(st.integers(0, n - 1)) for n in own.shape)
    value = look(seq(layer), x, layer="0", unit=unit, at=(row, column)).figures["value"]
    assert value == pytest.approx(float(own[unit, row, column]), rel=1e-4, abs=1e-6)


def test_weights_that_are_made_while_it_runs() -> None:
    """A weight-normalised layer is written out with what it convolves with."""
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 2))
    assert np.allclose(look(layer, unit=1).arrays["kernel"], layer.weight[1].detach().numpy())


def test_what_is_written_over_later_is_seen_as_it_was() -> None:
    """A network that empties what its convolution was given, and changes what it gave."""

    def forward(self: Any, x: Tensor) -> Tensor:
        given = x * 1
        made: Tensor = self.layer(given)
        given.zero_()
        return made.mul_(0) + 1

    view = look(Does(forward, layer=conv([[1.0, 1.0]])), at=(1, 0))
    assert view.arrays["patch"].tolist() == [[[4, 5]]]
    assert view.figures["network"] == 9


def test_a_layer_that_does_otherwise_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the sum were another than the network's, it would be said and not drawn."""
    from sightline.views import _neuron

    real = _neuron.sum_of

    def wrong(*args: Any) -> Any:
        import dataclasses

        done = real(*args)
        return dataclasses.replace(done, total=done.total * 1.001)

    monkeypatch.setattr(_neuron, "sum_of", wrong)
    with pytest.raises(ModelFileError, match=r"written out is .*, and the network says 50"):
        look(conv([[1.0, 1.0], [1.0, 1.0]]))


def test_the_frame_on_the_image_is_what_the_value_sees() -> None:
    """3x3 at a corner with padding 1: 2x2 of it in the image; a linear layer sees all."""
    view = look(conv([[1.0] * 3] * 3, padding=1), at=(0, 0))
    assert view.panels[0].caption == "the frame is all it sees: 3 x 3 pixels, 2 x 2 of them in the image"
    view = look(seq(nn.Flatten(), nn.Linear(16, 2)), layer="1")
    assert view.panels[0].caption == "the frame is all it sees: 4 x 4 pixels"


def test_a_unit_that_never_fires() -> None:
    """It is said, and its least bad place shown."""
    view = look(seq(conv([[-1.0]], -1.0), nn.ReLU()))
    (finding,) = view.findings
    assert finding.what == "unit 0 never fires in this image"
    assert "its largest sum is -1" in finding.why
    assert view.figures["at"] == [0, 0]
    assert look(seq(conv([[-1.0]]))).findings == ()


def test_the_network_is_left_as_it_was() -> None:
    network = seq(conv([[1.0]]), nn.BatchNorm2d(1), nn.ReLU(inplace=True)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    neuron(Subject.of(network, (1, 4, 4)), picture(FOUR))
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_the_window_slides_over_the_row(tmp_path: Path) -> None:
    """A frame a column, saved as an animation; fewer where fewer are wanted; none unless it moves."""
    still, moving = look(conv([[1.0, 1.0]]), at=(1, 0)), look(conv([[1.0, 1.0]]), at=(1, 0), moving=True)
    assert still.frames == ()
    assert [frame.title for frame in moving.frames] == [
        "row 1, column 0",
        "row 1, column 1",
        "row 1, column 2",
    ]
    assert len(look(conv([[1.0, 1.0]]), moving=True, steps=2).frames) == 2
    with Image.open(moving.save(tmp_path / "n.gif")) as animation:
        assert animation.n_frames == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "features"}, "no such layer"),
        ({"layer": "1"}, "1 is relu; what is shown is one value of a convolution"),
        ({"unit": 1}, "--unit 1: 0 has units 0 to 0"),
        ({"at": (3, 0)}, "--at 3,0: the maps of 0 are 3x4: rows 0 to 2, columns 0 to 3"),
        ({"at": (0, 4)}, "columns 0 to 3"),
        ({"at": (-1, 0)}, "--at -1,0: the maps of 0 are 3x4"),
        ({"layer": "conv2"}, "convolutions conv1 to conv1"),
    ],
)
def test_bad_input(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        look(seq(conv([[1.0], [1.0]]), nn.ReLU()), **options)


def test_networks_it_cannot_show() -> None:
    with pytest.raises(ArgumentError, match="no convolution to look at"):
        look(seq(nn.Flatten(), nn.Linear(16, 2)))
    with pytest.raises(DataError, match="not finite"):
        look(seq(nn.ConvTranspose2d(1, 1, 2)), FOUR * float("nan"), layer="0")
    broken = conv([[1.0]])
    broken.weight.data.fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        look(broken)
