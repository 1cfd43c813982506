"""What a unit can see and what it does see: closed formulas for linear layers, and the picture's honesty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.views import Request, Subject, View, effective_weights, field, view
from sightline.views._field import quantile_width
from sightline.views._window import FRAME, Window, outlined
from small_networks import Does, conv, seq


def subject_of(network: nn.Module, channels: int = 1, side: int = 16) -> Subject:
    return Subject.of(network.eval(), (channels, side, side), name="small")


def picture_of(subject: Subject, values: Tensor | None = None) -> Any:
    channels, height, width = subject.input_shape
    stored = np.full((channels, height, width), 128, dtype=np.uint8)
    return subject.given(stored, "grey")


def ones(*layers: nn.Module) -> nn.Sequential:
    """Every weight 1, every bias 0."""
    for layer in layers:
        for name, parameter in layer.named_parameters():
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    return seq(*layers)


def the(made: View) -> dict[str, Any]:
    (layer,) = made.figures["layers"]
    return dict(layer)


def test_two_box_filters_see_a_triangle() -> None:
    """Box * box along an axis is 1, 2, 3, 2, 1 ninths; of both axes, their product."""
    subject = subject_of(ones(conv(1, 1), conv(1, 1)))
    made = field(subject, picture_of(subject), layer="1", unit=0, at=(7, 9))
    row = np.zeros(16)
    row[5:10] = np.array([1, 2, 3, 2, 1]) / 9
    column = np.zeros(16)
    column[7:12] = np.array([1, 2, 3, 2, 1]) / 9
    assert_allclose(made.arrays["1.effective"], np.outer(row, column), atol=1e-7)
    told = the(made)
    assert told["size"] == [5, 5]
    assert told["jump"] == [1.0, 1.0]
    assert told["window"] == [5, 7, 10, 12]
    assert told["pixels"] == 25
    assert told["share_within_half"] == pytest.approx((7 / 9) ** 2)  # the middle 3 of 5
    assert told["pixels_within_half"] == pytest.approx(9 / 25)
    # quantiles 0.0228 and 0.9772 lie 0.0228 / (1/9) rows within each end
    assert told["effective_size"] == pytest.approx([5 - 2 * 0.0228 * 9] * 2, rel=1e-6)


def test_a_mean_sees_all_pixels_alike() -> None:
    subject = subject_of(ones(conv(1, 2, 1), nn.AvgPool2d(8)))
    told = the(field(subject, picture_of(subject), layer="1", unit=1, at=(1, 0)))
    assert told["window"] == [8, 0, 16, 8]
    assert told["jump"] == [8.0, 8.0]
    assert told["share_within_half"] == pytest.approx(told["pixels_within_half"])
    assert told["pixels_within_half"] == pytest.approx(16 / 64)
    assert told["effective_size"] == pytest.approx([8 * (1 - 2 * 0.0228)] * 2)


def test_the_width_between_quantiles() -> None:
    assert quantile_width(np.full(10, 0.1)) == pytest.approx(10 * (1 - 2 * 0.0228))
    assert quantile_width(np.array([0.0, 0, 1, 0])) == pytest.approx(1 - 2 * 0.0228)
    assert quantile_width(np.zeros(4)) == 0


def test_at_the_border_the_field_is_cut_and_said_so() -> None:
    subject = subject_of(ones(conv(1, 1), conv(1, 1)))
    made = field(subject, picture_of(subject), layer="1", at=(0, 0))
    told = the(made)
    assert told["size"] == [5, 5]
    assert told["window"] == [0, 0, 3, 3]
    assert "can see 5x5 pixels, 3x3 of them in the image" in made.panels[0].caption


def test_a_field_larger_than_the_image_is_framed_where_it_lies() -> None:
    """9x9 pixels about row 1, column 6 of an 8x8 image: rows -3 to 5, columns 2 to 10."""
    subject = subject_of(ones(conv(1, 1, 9)), side=8)
    made = field(subject, picture_of(subject), layer="0", at=(1, 6))
    told = the(made)
    assert told["window"] == [0, 2, 6, 8]
    assert told["pixels"] == 36
    assert "can see 9x9 pixels, 6x6 of them in the image" in made.panels[0].caption
    assert told["pixels_within_half"] == pytest.approx(4 * 4 / 36)  # rows 0 to 3, columns 4 to 7


def test_holes_are_not_seen_and_counted() -> None:
    subject = subject_of(ones(conv(1, 1, dilation=3, padding=3)))
    made = field(subject, picture_of(subject), layer="0")
    assert the(made)["pixels"] == 9
    assert "40 inside the frame do not reach it" in made.panels[0].caption
    mask = np.zeros((16, 16), bool)
    mask[5:12:3, 5:12:3] = True
    assert_array_equal(made.arrays["0.theoretical"], mask)
    assert not made.arrays["0.effective"][~mask].any()
    left = made.panels[0].pixels[..., 2].astype(int)  # each pixel 19x19
    assert left.shape == (304, 304)
    assert left[6 * 19 + 9, 6 * 19 + 9] > 128  # dimmed towards white
    assert left[8 * 19 + 9, 8 * 19 + 9] == 128


def test_a_channel_of_joined_branches_sees_its_own_and_all_together_see_all() -> None:
    network = Does(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(1, 1, 1), b=conv(1, 1, 5))
    subject = subject_of(network)
    picture = picture_of(subject)
    assert the(field(subject, picture, layer=":cat", unit=0))["pixels"] == 1
    assert the(field(subject, picture, layer=":cat", unit=1))["pixels"] == 25
    together = the(field(subject, picture, layer=":cat"))
    assert together["pixels"] == 25
    assert together["window"] == [6, 6, 11, 11]


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    network = seq(conv(2, 3), nn.Tanh(), conv(3, 2, stride=2), nn.Tanh()).double().eval()
    x = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    weights, value = effective_weights(network, x, "3", unit=1, at=(2, 1))
    step = 1e-6
    expected = np.zeros((9, 9))
    with torch.no_grad():
        assert value == pytest.approx(float(network(x)[0, 1, 2, 1]))
        for c, i, j in np.ndindex(2, 9, 9):
            ends = []
            for sign in (1, -1):
                moved = x.clone()
                moved[0, c, i, j] += sign * step
                ends.append(float(network(moved)[0, 1, 2, 1]))
            expected[i, j] += abs(ends[0] - ends[1]) / (2 * step) / 2
    assert_allclose(weights, expected / expected.sum(), atol=1e-8)
    assert weights.sum() == pytest.approx(1)


def test_mixtures_hold_every_channel_and_are_the_same_each_time() -> None:
    torch.manual_seed(0)
    network = Does(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(1, 1, 1), b=conv(1, 1, 5)).eval()
    x = torch.randn(1, 1, 9, 9)
    first, _ = effective_weights(network, x, ":cat", unit=None, at=(4, 4))
    again, _ = effective_weights(network, x, ":cat", unit=None, at=(4, 4))
    other, _ = effective_weights(network, x, ":cat", unit=None, at=(4, 4), seed=1)
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first > 0).sum() == 25


WRITTEN: dict[str, Callable[[], nn.Module]] = {
    "modules": lambda: seq(conv(1, 4), nn.ReLU(), conv(4, 2), nn.ReLU()),
    "in place": lambda: seq(conv(1, 4), nn.ReLU(True), conv(4, 2), nn.ReLU(True)),
    "functions": lambda: Does(
        lambda m, x: torch.relu(m.b(torch.relu_(m.a(x)))), a=conv(1, 4), b=conv(4, 2)),
}  # fmt: skip


def test_however_it_is_written_it_is_the_same() -> None:
    found = []
    for name, last in (("modules", "3"), ("in place", "3"), ("functions", ":relu#2")):
        torch.manual_seed(0)
        subject = subject_of(WRITTEN[name]())
        made = field(subject, picture_of(subject), layer=last)
        found.append(made.arrays[f"{last}.effective"])
    assert found[0].any()
    assert_array_equal(found[1], found[0])
    assert_array_equal(found[2], found[0])


def test_a_unit_that_does_not_fire_is_a_finding() -> None:
    network = ones(conv(1, 2), nn.ReLU())
    with torch.no_grad():
        network[0].bias[1] = -100.0  # type: ignore[index,union-attr]
    subject = subject_of(network)
    made = field(subject, picture_of(subject), layer="1", unit=1)
    (finding,) = made.findings
    assert "unit 1 has no gradient at 8,8 on this image; the unit is 0" in finding.what
    assert "nothing to see" in made.panels[1].caption
    assert (made.panels[1].pixels == 128).all()  # the image, and no colour
    assert field(subject, picture_of(subject), layer="1", unit=0).findings == ()


def test_a_gradient_that_is_no_number_is_said() -> None:
    network = ones(conv(1, 2))
    with torch.no_grad():
        network[0].weight[1, 0, 0, 0] = torch.nan  # type: ignore[index]
    subject = subject_of(network)
    with pytest.raises(DataError, match="0: its gradient on the pixels is not finite"):
        field(subject, picture_of(subject), layer="0")


def test_the_network_is_left_as_it_was() -> None:
    network = seq(conv(1, 4), nn.BatchNorm2d(4), nn.ReLU(True), nn.Dropout(), conv(4, 3))
    subject = subject_of(network)
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    field(subject, picture_of(subject))
    for name, tensor in network.state_dict().items():
        assert_array_equal(tensor, before[name])
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(m.training for m in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_without_a_layer_all_are_on_one_page(tmp_path: Path) -> None:
    network = seq(
        conv(1, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)
    )
    subject = Subject.of(network.eval(), (1, 8, 8), name="small")
    made = view("field", subject, Request(image="digit:4"))
    assert [layer["layer"] for layer in made.figures["layers"]] == ["1", "4"]
    assert [layer["size"] for layer in made.figures["layers"]] == [[3, 3], [8, 8]]
    assert len(made.panels) == 6
    for ending in (".png", ".html", ".npz"):
        assert made.save(tmp_path / f"page{ending}").stat().st_size > 1000
    whole = the(view("field", subject, Request(image="digit:4", layer="6", unit=1)))
    assert whole["window"] == [0, 0, 8, 8]
    assert whole["jump"] == [0.0, 0.0]


def test_bad_input_is_named() -> None:
    subject = Subject.of(seq(conv(1, 4), nn.ReLU()).eval(), (1, 8, 8), name="small")

    def refused(match: str, **chosen: Any) -> None:
        with pytest.raises(ArgumentError, match=match):
            view("field", subject, Request(**({"image": "digit:0"} | chosen)))

    refused(r"--layer relu: small has no such layer", layer="relu")
    refused(r"--unit 4: 1 has units 0 to 3", layer="1", unit=4)
    refused(r"--at 0,8: the maps of 1 are 8x8", layer="1", at=(0, 8))
    refused(r"--at is of one layer; say which by --layer", at=(0, 0))
    refused(r"--unit is of one layer; say which by --layer", unit=0)
    refused(r"view field needs an image", image=None)
    refused(r"--top 3 is how many layers are shown; it goes without --layer", layer="1", top=3)
    refused(r"--steps is not for view field", steps=3)
    plain = Subject.of(seq(nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8), name="plain")
    with pytest.raises(ArgumentError, match=r"plain has no convolution to look at"):
        field(plain, plain.picture("digit:0"))


def test_top_is_how_many_layers() -> None:
    net = seq(*(part for k in range(4) for part in (conv(1 if k == 0 else 4, 4), nn.ReLU())))
    subject = Subject.of(net.eval(), (1, 8, 8), name="small")
    every = [layer["layer"] for layer in field(subject, subject.picture("digit:4")).figures["layers"]]
    two = view("field", subject, Request(image="digit:4", top=2))
    assert [layer["layer"] for layer in two.figures["layers"]] == [every[0], every[-1]]
    assert len(every) == 4
    assert len(two.panels) == 6


def test_the_frame_hides_no_pixel_of_a_small_picture() -> None:
    """A window in the middle has its line outside; one at the border, just inside the picture."""
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    mask = np.ones((4, 4), bool)
    drawn = outlined(pixels, Window(1, 1, 2, 2, mask, True), 40)
    assert drawn.shape == (40, 40, 3)
    assert_array_equal(drawn[5::10, 5::10], pixels)
    assert_array_equal(drawn[10:30:5, 10:30:5], pixels.repeat(10, 0).repeat(10, 1)[10:30:5, 10:30:5])
    framed = (drawn == FRAME).all(-1)
    assert framed[8:10, 8:32].all()
    assert framed[8:32, 30:32].all()
    assert framed.sum() == 24 * 24 - 20 * 20
    drawn = outlined(pixels, Window(-1, 0, 6, 4, mask, True), 40)
    assert_array_equal(drawn[5::10, 5::10], pixels)
    assert (drawn == FRAME).all(-1).sum() == 40 * 40 - 36 * 36
