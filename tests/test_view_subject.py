"""Networks and images as views are given them: what is said of an image, of classes, and of two networks."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from sightline.base import ArgumentError, did_you_mean
from sightline.imaging import Canvas, Preprocessing
from sightline.records import ArchitectureReference, ModelHeader, save_model_file
from sightline.views import Picture, Request, Subject, open_subject, saliency, view
from sightline.views._against import labels, on_one_scale
from sightline.views._evidence import heat, overlay
from small_networks import seq


def network(outputs: int = 3, channels: int = 1, side: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return seq(nn.Flatten(), nn.Linear(channels * side * side, outputs)).eval()


def subject(**more: Any) -> Subject:
    return Subject.of(network(channels=more.pop("channels", 1)), (more.pop("planes", 1), 8, 8), **more)


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# ---------------------------------------------------------------- what is said of an image


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((8, 8), ()),
        ((16, 16), ()),
        ((4, 8), ("the image is 4x8: of 8 rows 2 at the top and 2 at the bottom repeat its edge",)),
        ((8, 3), ("the image is 8x3: of 8 columns 2 at the left and 3 at the right repeat its edge",)),
        ((6, 4), ("the image is 6x4: of 8 columns 1 at the left and 2 at the right repeat its edge",)),
    ],
)
def test_edges_that_are_repeated_are_said(size: tuple[int, int], said: tuple[str, ...]) -> None:
    made = subject()
    picture = made.picture(noise(*size))
    if size != (6, 4):  # 5 columns of 8: which side has the odd one is the framing's affair
        assert picture.notes == said
    rows = picture.x[0, 0]
    same = [bool((rows[k] == rows[k + 1]).all()) for k in range(7)]
    if size == (4, 8):
        assert same == [True, True, False, False, False, True, True]
    if not said:
        assert not any(same)


def test_the_repeated_edge_is_counted_in_the_networks_own_pixels() -> None:
    """A canvas of 16 with a window of half its sides at its centre."""
    plain = subject()
    crop = Preprocessing(size=(8, 8), fit="crop", window=0.5, mean=[0.0], std=[1.0])
    made = dataclasses.replace(plain, canvas=Canvas(16, 16, 1), preprocessing=crop)
    assert made.picture(noise(8, 16)).notes == ()
    (note,) = made.picture(noise(4, 16)).notes  # 6 rows of 16 to a side, of which 4 are cut off
    assert note == "the image is 4x16: of 8 rows 2 at the top and 2 at the bottom repeat its edge"
    covered = dataclasses.replace(made, canvas=Canvas(16, 16, 1, framing="cover"))
    assert covered.picture(noise(4, 16)).notes == ()


def test_a_digit_that_is_padded_says_so() -> None:
    made = subject()
    padded = Preprocessing(size=(8, 8), fit="pad", mean=[0.0], std=[1.0])
    made = dataclasses.replace(made, canvas=Canvas(6, 6, 1), preprocessing=padded)
    (note,) = made.picture(noise(6, 6)).notes
    assert "of 8 rows 1 at the top and 1 at the bottom, of 8 columns 1 at the left and 1 at the right" in note


def test_colour_that_is_dropped_is_said(tmp_path: Path) -> None:
    made = subject(name="net")
    said = "the colour of the image is dropped: net takes grey ones"
    assert made.picture(noise(8, 8, 3)).notes == (said,)
    assert made.picture(noise(8, 8).repeat(3).reshape(8, 8, 3)).notes == ()  # grey, stored as colour
    file = tmp_path / "a.png"
    Image.fromarray(noise(8, 8, 3)).save(file)
    assert made.picture(str(file)).notes == (said,)
    content = io.BytesIO()
    Image.fromarray(noise(8, 8)).save(content, format="PNG")
    assert made.picture(content.getvalue()).notes == ()
    in_colour = Subject.of(network(channels=3), (3, 8, 8))
    assert in_colour.picture(str(file)).notes == ()
    assert in_colour.picture(noise(8, 8, 3)).notes == ()
    assert said in saliency(made, made.picture(str(file))).notes
    assert made.picture(str(file)).title == "a.png"


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("classes", "target", "said"),
    [
        (tuple("0123456789"), "10", "they are numbered 0 to 9"),
        ((), "10", "they are numbered 0 to 9"),
        ((), "dog", "--classes FILE"),
        (("cat", "dog", *"01234567"), "dogs", "did you mean dog?"),
    ],
)
def test_a_class_there_is_not(classes: tuple[str, ...], target: str, said: str) -> None:
    made = Subject.of(network(10), (1, 8, 8), classes=classes)
    with pytest.raises(ArgumentError, match=said.replace("?", r"\?")):
        made.class_index(target, torch.zeros(10))


def test_many_names_are_cut_and_numbers_are_in_order() -> None:
    said = did_you_mean("zebra", [str(k) for k in range(1000)])
    assert said == "there are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 988 more"
    assert did_you_mean("zebra", [str(k) for k in range(12)]).endswith("9, 10, 11")
    assert did_you_mean("q", ["b", "10", "a", "9", "²", "9" * 5000]).startswith("there are: 9, 10, 9999")


def test_names_of_classes_from_a_file(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sightline.cli import app

    weights, names = tmp_path / "w.safetensors", tmp_path / "names.txt"
    save_file(open_subject("lenet5").network.state_dict(), weights)
    names.write_text("".join(f"number {k}\n" for k in range(10)))
    spec, out = f"lenet5@{weights}", str(tmp_path / "x.png")
    run = CliRunner().invoke(
        app,
        ["view", "saliency", spec, "digit:3", "--target", "number 3", "--classes", str(names), "-o", out],
    )
    assert run.exit_code == 0, run.output
    assert "'number 3'" in run.output


# ---------------------------------------------------------------- two networks


def linear(rows: list[list[float]], classes: tuple[str, ...]) -> nn.Module:
    made = seq(nn.Flatten(), nn.Linear(64, len(rows), bias=False)).eval()
    with torch.no_grad():
        made[1].weight.copy_(torch.tensor(rows).repeat_interleave(64, 1) / 64)
    return made


@pytest.mark.parametrize(
    ("first", "second", "targets", "said"),
    [
        (("a", "b", "c"), ("c", "a", "b"), (0, 1), "both explain 'a'"),
        ((), ("c", "a", "b"), (0, 0), "both explain output 0"),
        (("a", "b", "c"), ("x", "y", "z"), (0, 2), "each explains a class of its own"),
    ],
)
def test_both_explain_the_class_of_the_first(
    first: tuple[str, ...],
    second: tuple[str, ...],
    targets: tuple[int, int],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The one answers its output 0, the other its output 2."""
    one = Subject.of(linear([[3.0], [2.0], [1.0]], first), (1, 8, 8), classes=first)
    other = Subject.of(linear([[1.0], [2.0], [3.0]], second), (1, 8, 8), classes=second)
    monkeypatch.setattr("sightline.views._registry.open_subject", lambda *_, **__: other)
    file = tmp_path / "a.png"
    Image.fromarray(noise(8, 8)).save(file)
    seen = view("saliency", one, Request(image=str(file), against="other"))
    assert tuple(each["target_index"] for each in seen.figures["each"]) == targets
    assert seen.notes[0].startswith(said)
    asked = view("saliency", one, Request(image=str(file), against="other", target="1"))
    assert asked.figures["each"][0]["target_index"] == 1


def test_another_input_than_a_run_was_trained_on_is_refused(tmp_path: Path) -> None:
    own = open_subject("lenet5")
    header = ModelHeader(
        architecture=ArchitectureReference(
            name="lenet5", num_classes=10, in_channels=1, input_size=(32, 32), arguments={}
        ),
        classes=tuple("0123456789"),
        canvas=(32, 32),
        preprocessing=own.preprocessing.settings(),
        objective="single-label",
        objective_settings={},
    )
    file = tmp_path / "model.safetensors"
    save_model_file(file, own.network.state_dict(), header)
    with pytest.raises(ArgumentError, match=r"--input is 64x64; .* was trained on 32x32"):
        open_subject(str(file), input_size=(64, 64))
    assert open_subject(str(file), input_size=(32, 32)).input_shape == (1, 32, 32)


def test_a_shared_scale_ends_at_the_largest_value_of_both() -> None:
    """Alone, colours end where most values do; side by side neither may be beyond the scale."""
    values = noise(80, 80) / 255.0
    few = values * 0.5
    few[3, 4] = -7.0
    a, b = on_one_scale(heat(values, "a"), heat(few, "b"))
    assert a.scale == b.scale
    assert a.scale is not None
    assert a.scale.high == 7.0
    alone = heat(few, "b").scale
    assert alone is not None
    assert alone.high < 1
    over = on_one_scale(*(overlay(_blank(80), v, "", kind="positive") for v in (values, few)))
    assert [p.scale.high for p in over if p.scale is not None] == [1.0, 1.0]


def _blank(side: int) -> Picture:
    return Picture(name="a", x=torch.zeros(1, 1, side, side), pixels=np.zeros((side, side, 3), np.uint8))


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (("net@/far/away/one.npz", "net@/far/away/two.npz"), ("net@one.npz", "net@two.npz")),
        (("runs/a/best", "runs/b/best"), ("runs/a/best", "runs/b/best")),
        (("net@x", "net@x"), ("net (1)", "net (2)")),
    ],
)
def test_models_of_one_name_are_told_apart_by_their_files(
    specs: tuple[str, str], told: tuple[str, str]
) -> None:
    plain = subject(name="net")
    model = open_subject("lenet5").model
    assert model is not None
    both = [dataclasses.replace(plain, model=dataclasses.replace(model, spec=spec)) for spec in specs]
    assert labels(both[0], both[1]) == told
