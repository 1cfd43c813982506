"""Feature maps and softmax: by hand, in order, dead ones marked, bad input."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError
from sightline.views import Picture, Subject, View, maps, open_subject, softmax
from sightline.views._maps import stages, strip
from sightline.views._softmax import answer, logits_of
from small_networks import Does, seq


def picture(x: Tensor) -> Picture:
    return Picture(name="x", x=x, pixels=np.zeros((*x.shape[2:], 3), np.uint8))


FOUR = torch.arange(16.0).reshape(1, 1, 4, 4)


def scaled(*factors: float) -> nn.Conv2d:
    """A 1x1 convolution whose maps are the input times these."""
    layer = nn.Conv2d(1, len(factors), 1, bias=False)
    layer.weight.data = torch.tensor(factors, dtype=torch.float32).reshape(-1, 1, 1, 1)
    return layer


def look(network: nn.Module, x: Tensor = FOUR, **options: Any) -> View:
    return maps(Subject.of(network.eval(), tuple(x.shape[1:]), name="net"), picture(x), **options)  # type: ignore[arg-type]


def test_maps_by_hand() -> None:
    """The input times 1, -1, 3, 0 through a ReLU: in the order of their largest, 45, 15, 0, 0; half are 0."""
    view = look(seq(scaled(1, -1, 3, 0), nn.ReLU()), layer="1")
    assert view.figures["units"] == [2, 0, 1, 3]
    assert view.figures["range"] == [0.0, 45.0]
    assert view.figures["never_fire"] == [1, 3]
    assert view.figures["zeros"] == (2 * 16 + 2) / 64  # and the input's own 0, twice
    assert "2 of 4 never fire here: 1, 3" in view.notes[0]
    assert np.array_equal(view.arrays["maps"][2], 3 * FOUR[0, 0].numpy())


def test_a_dead_map_is_blank_and_not_stretched() -> None:
    """Its tile is grey with words; a weak map stays dark on the scale of all."""
    values = np.stack([np.full((4, 4), v, np.float32) for v in (100.0, 1.0, 0.0)])
    values[:, 0, 0] = 0
    panel = strip(values, [0, 1, 2], title="", caption="", columns=3, side=100)
    full, weak, dead = (panel.pixels[50, 60 + 108 * k].astype(int) for k in range(3))
    assert full.sum() > 600
    assert weak.sum() < 40
    corner = panel.pixels[2, 2 + 108 * 2]
    assert tuple(corner) == (236, 238, 241)
    assert dead.max() <= 241
    assert panel.scale is not None
    assert panel.scale.high == 100.0


def test_before_a_relu_it_is_said_what_is_passed_on() -> None:
    view = look(seq(scaled(1, -1), nn.ReLU()), layer="0")
    assert view.notes[-1] == "this is before the ReLU: what is below 0 is not passed on; that is --layer 1"
    assert view.panels[1].scale is not None
    assert view.panels[1].scale.kind == "signed"


def test_rows_of_a_layer_are_of_one_length() -> None:
    """Ten maps are two rows of five, and not eight and two."""
    five, ten = (look(scaled(*range(1, n + 1)), layer="conv1").panels[-1].pixels for n in (5, 10))
    assert five.shape[1] == ten.shape[1]
    assert ten.shape[0] == 2 * five.shape[0] + 8  # a gap


def test_the_title_has_the_files_name_alone() -> None:
    subject = Subject.of(scaled(1.0), (1, 2, 2))
    seen = dataclasses.replace(picture(FOUR), name="/a/long/way/to/ship.png", notes=("its edge is repeated",))
    for view in (maps(subject, seen), maps(subject, seen, layer="conv1")):
        assert "ship.png" in view.title
        assert "/a/long" not in view.title + view.panels[0].title
        assert "its edge is repeated" in view.notes


def test_nothing_to_see_is_said() -> None:
    assert look(seq(scaled(-1, -2), nn.ReLU()), layer="1").findings[0].what == "no unit fires in this image"
    assert (
        look(seq(scaled(-1, 2), nn.ReLU()), layer="1", unit=0)
        .findings[0]
        .what.startswith("unit 0 never fires")
    )
    flat = look(seq(scaled(0, 0), Does(lambda s, x: x + 1)), layer="1")
    assert flat.findings[0].what == "every map is the same everywhere"
    assert look(seq(scaled(1, 2))).findings == ()


def test_the_whole_way_through() -> None:
    """A strip a convolution with what follows it, the input before them and the answer beside it."""
    network = seq(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 5, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(20, 4),
    )  # fmt: skip
    view = look(network)
    assert [stage["layer"] for stage in view.figures["stages"]] == ["2", "5"]
    assert [stage["shape"] for stage in view.figures["stages"]] == [[3, 4, 4], [5, 2, 2]]
    assert [panel.title for panel in view.panels] == [
        "x: 1 x 4 x 4", "its answer: probability in %", "2: 3 maps of 4 x 4", "5: 5 maps of 2 x 2",
    ]  # fmt: skip
    with torch.no_grad():
        assert np.allclose(view.arrays["2"], network[:3](FOUR)[0])
    assert len(look(network[:6]).panels) == 3  # no classes, no answer


def test_branches_put_together_are_one_stage() -> None:
    network = Does(
        lambda s, x: torch.relu(torch.cat([s.a(x), torch.relu(s.b(x))], 1)),
        a=scaled(1.0),
        b=scaled(-1.0, 2.0),
    )
    assert [(s["layer"], s["shape"]) for s in look(network).figures["stages"]] == [(":relu#2", [3, 4, 4])]


def test_deep_networks_show_the_last_of_each_size() -> None:
    assert [node.id for node in stages(open_subject("resnet20").blueprint)] == [
        "layer1.2.relu#2", "layer2.2.relu#2", "layer3.2.relu#2",
    ]  # fmt: skip


def test_a_relu_in_place_and_reused_is_seen_each_time() -> None:
    """What a later call writes over is not what is shown."""
    relu = nn.ReLU(inplace=True)
    network = seq(scaled(1), relu, Does(lambda s, x: x.mul_(-1)), relu)
    assert look(network, layer="1").arrays["maps"].max() == 15
    assert look(network, layer="1#2").arrays["maps"].max() == 0
    assert look(network, layer="0").arrays["maps"].max() == 15


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "relu"}, "no such layer"),
        ({"layer": "0", "unit": 2}, "--unit 2: 0 has units 0 to 1"),
        ({"layer": "2"}, r"its output is \(1, 32\), no maps"),
        ({"unit": 0}, "--unit 0 is of one layer; name it by --layer"),
    ],
)
def test_bad_input(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        look(seq(scaled(1, 2), nn.ReLU(), nn.Flatten()), **options)


def test_other_bad_input() -> None:
    with pytest.raises(ArgumentError, match="no convolution to look at"):
        look(seq(nn.Flatten(), nn.Linear(16, 2)))
    with pytest.raises(DataError, match="not finite"):
        look(seq(scaled(float("inf"))), layer="0")
    five = Subject.of(nn.Conv2d(5, 1, 1), (5, 4, 4))
    with pytest.raises(DataError, match="channels"):
        maps(five, five.picture(np.zeros((4, 4, 3), np.uint8)))


def test_the_answer_of_a_network_that_ends_in_probabilities_is_its_own() -> None:
    """Shares of 0.25 and 0.75 are 25 % and 75 %, not the softmax of these."""
    network = seq(says(math.log(1.0), math.log(3.0)).network, nn.Softmax(1))
    made = Subject.of(network.eval(), (1, 4, 4), name="net")
    given = logits_of(made, picture(FOUR))
    assert given == pytest.approx([0.25, 0.75])
    same = answer(says(math.log(0.25), math.log(0.75)), np.log(given), 400)
    named = dataclasses.replace(made, classes=("class a", "class b"))
    assert np.array_equal(answer(named, given, 400).pixels, same.pixels)


# ---- softmax


def says(*logits: float) -> Subject:
    """A network that answers this, whatever it sees."""
    network = seq(nn.Flatten(), nn.Linear(16, len(logits)))
    network[1].weight.data.zero_()
    network[1].bias.data = torch.tensor(logits)
    return Subject.of(
        network, (1, 4, 4), name="net", classes=[f"class {'abcdef'[k]}" for k in range(len(logits))]
    )


def test_softmax_by_hand() -> None:
    """The lecture's cat, car and frog: 3.2, 5.1, -1.7 are e^ 24.5, 164.0, 0.18: 0.13, 0.87, 0.00."""
    view = softmax(says(3.2, 5.1, -1.7), picture(FOUR))
    assert view.arrays["exponentials"].round(2).tolist() == [24.53, 164.02, 0.18]
    assert view.arrays["probabilities"].round(2).tolist() == [0.13, 0.87, 0.0]
    assert view.figures["sum"] == pytest.approx(24.53 + 164.02 + 0.18, abs=0.01)
    assert [c["class"] for c in view.figures["classes"]] == ["class b", "class a", "class c"]
    assert "86.9 % class b" in view.title


def test_temperature() -> None:
    """At T = 2 logits 2 and 0 are e^1 and e^0."""
    view = softmax(says(2.0, 0.0), picture(FOUR), temperature=2.0)
    assert view.arrays["probabilities"][0] == pytest.approx(math.e / (math.e + 1))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match=r"--temperature is .*; it must be above 0"):
            softmax(says(2.0, 0.0), picture(FOUR), temperature=wrong)


def test_the_models_own_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fitted one is taken unless another is given, and both are said."""

    class Header:
        temperature = 2.0

    subject = dataclasses.replace(says(2.0, 0.0), header=Header())  # type: ignore[arg-type]
    own = softmax(subject, picture(FOUR))
    assert own.figures["temperature"] == 2.0
    assert "the model's own" in own.notes[0]
    given = softmax(subject, picture(FOUR), temperature=1.0)
    assert (given.figures["temperature"], given.figures["fitted_temperature"]) == (1.0, 2.0)
    assert given.notes[-1] == "the model's own fitted temperature is 2"


def test_large_logits_do_not_overflow() -> None:
    view = softmax(says(5000.0, 4999.0), picture(FOUR))
    assert view.arrays["probabilities"][0] == pytest.approx(1 / (1 + math.exp(-1)))
    assert "taken off each exponent" in view.notes[1]


def test_answers_that_say_nothing() -> None:
    assert softmax(says(1.0, 1.0), picture(FOUR)).findings[0].what == "all logits are the same"
    assert (
        softmax(says(0.25, 0.75), picture(FOUR)).findings[0].what.startswith("its outputs are probabilities")
    )
    assert softmax(says(3.0, 1.0), picture(FOUR)).findings == ()


def test_softmax_needs_logits() -> None:
    conv = Subject.of(nn.Conv2d(1, 2, 3), (1, 4, 4), name="net")
    with pytest.raises(
        ArgumentError, match=r"net gives \(1, 2, 2, 2\) for one image; softmax needs \(1, classes\)"
    ):
        softmax(conv, picture(FOUR))
    with pytest.raises(DataError, match="1 of its logits are not finite"):
        softmax(says(float("nan"), 1.0), picture(FOUR))
