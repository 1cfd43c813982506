"""What a network is shown of an image when it is judged: one crop, ten, densely, in views."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from report_pages import judged_digits, read, section
from sightline.base import ArgumentError
from sightline.cli import app
from sightline.data import ImageSet, open_images
from sightline.evaluation import evaluate, judge, published_of
from sightline.imaging import digits
from sightline.inference import (
    Predictor,
    Showing,
    check_crops,
    dense,
    enlarged,
    log_mean,
    shifted_views,
    show,
    ten_crops,
)
from sightline.machine import Plan
from sightline.records import ArchitectureReference, ModelHeader, read_model_file, save_model_file
from sightline.zoo import get_architecture
from test_evaluate import make_run

# Networks that can be worked out by hand


class Constant(nn.Module):
    """The same logits whatever it sees."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Mean(nn.Module):
    """Logits (mean of what it sees, 0)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == self.size
        return torch.stack([x.mean((1, 2, 3)), torch.zeros(len(x))], dim=1)


class Left(nn.Module):
    """Logits (the leftmost column's mean, the top row's mean, 0): it tells left from right, up from down."""

    def forward(self, x: Tensor) -> Tensor:
        left, top = x[..., 0].mean((1, 2)), x[..., 0, :].mean((1, 2))
        return torch.stack([left, top, torch.zeros(len(x))], dim=1)


def header_of(
    size: tuple[int, int],
    canvas: tuple[int, int],
    classes: int = 2,
    fit: str = "none",
    *,
    channels: int = 1,
    temperature: float | None = None,
    **preprocessing: Any,
) -> ModelHeader:
    """Values 0 to 255 are given as they are: range, mean and deviation change nothing."""
    same = {"mean": [0.0] * channels, "std": [1.0] * channels, "value_range": [0.0, 1.0]}
    reference = ArchitectureReference(name="net", num_classes=classes, in_channels=channels, input_size=size)
    return ModelHeader(
        architecture=reference,
        classes=tuple(f"class {k}" for k in range(classes)),
        canvas=canvas,
        preprocessing={"size": list(size), "fit": fit, **same, **preprocessing},
        objective="cross_entropy",
        objective_settings={},
        temperature=temperature,
    )


def predictor_of(network: nn.Module, header: ModelHeader) -> Predictor:
    return Predictor(network, header, Plan(device="cpu", threads=1))


@pytest.fixture
def images_of(tmp_path: Path) -> Callable[..., ImageSet]:
    """A set of hand-made images, in PNG files of its classes."""

    def make(*pixels: Any, classes: int = 2) -> ImageSet:
        for k in range(max(classes, len(pixels))):
            folder = tmp_path / "set" / f"class {k % classes}"
            folder.mkdir(parents=True, exist_ok=True)
            values = np.asarray(pixels[k % len(pixels)], dtype=np.uint8)
            Image.fromarray(values).save(folder / f"{k}.png")
        return open_images(str(tmp_path / "set"), training=False)

    return make


def said(predictor: Predictor, showing: Showing, images: ImageSet) -> Any:
    """(N, classes) probabilities."""
    return np.exp(show(predictor, showing, images, np.arange(len(images)), batch_size=2))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


# Means


def test_the_mean_of_equal_logarithms_is_exactly_theirs() -> None:
    logs = torch.randn(3, 5, dtype=torch.float64).log_softmax(1)
    assert torch.equal(log_mean(torch.stack([logs] * 10)), logs)


def test_the_mean_of_logarithms_by_hand() -> None:
    """(1 + 1/4) / 2 = 5/8; a probability of zero is one like others, and so are zeros alone."""
    logs = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.5, 0.0]], dtype=torch.float64).log()
    assert log_mean(logs).exp().tolist() == pytest.approx([0.625, 0.25, 0.0])


# Ten crops


def test_ten_crops_of_a_constant_network_are_exact(images_of: Callable[..., ImageSet]) -> None:
    images = images_of(np.arange(64 * 48).reshape(64, 48) % 251, classes=3)
    predictor = predictor_of(Constant([3.0, -1.5, 0.25]), header_of((8, 8), (8, 8), 3))
    expected = torch.tensor([3.0, -1.5, 0.25], dtype=torch.float64).log_softmax(0).tolist()
    got = show(predictor, ten_crops(predictor), images, np.arange(len(images)))
    assert got.tolist() == [expected] * len(images)


def test_ten_crops_by_hand(images_of: Callable[..., ImageSet]) -> None:
    """Windows of 2x2 at the corners and the centre of 4x4, by a network that returns their mean.

    Means are (0 + 1 + 4 + 5) / 4 = 2.5 at the top left, then 4.5, 10.5, 12.5, and 7.5 at the centre; mirrored
    they are the same.
    """
    pixels = np.arange(16).reshape(4, 4)
    images = images_of(pixels)
    predictor = predictor_of(Mean((2, 2)), header_of((2, 2), (4, 4), fit="crop", window=0.5))
    expected = sigmoid([2.5, 4.5, 10.5, 12.5, 7.5]).mean()
    got = said(predictor, ten_crops(predictor), images)
    assert got == pytest.approx(np.array([[expected, 1 - expected]] * 2), abs=1e-7)


def test_each_crop_is_mirrored_left_to_right_alone(images_of: Callable[..., ImageSet]) -> None:
    """Against a loop that is written out: which window, which side is left, which row is top."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 5, (6, 5))
    header = header_of((3, 2), (6, 4), 3, fit="crop", window=0.5)
    images = images_of(pixels[:, :4], classes=3)
    predictor = predictor_of(Left(), header)
    probabilities = []
    for top, left in ((0, 0), (0, 2), (3, 0), (3, 2), (1, 1)):
        window = pixels[top : top + 3, left : left + 2].astype(np.float64)
        for seen in (window, window[:, ::-1]):
            z = np.exp([seen[:, 0].mean(), seen[0].mean(), 0.0])
            probabilities.append(z / z.sum())
    got = said(predictor, ten_crops(predictor), images)
    assert got == pytest.approx(np.array([np.mean(probabilities, axis=0)] * 3), abs=1e-7)


def test_each_softmax_is_at_the_models_temperature(images_of: Callable[..., ImageSet]) -> None:
    images = images_of(np.arange(16).reshape(4, 4))
    header = header_of((2, 2), (4, 4), fit="crop", window=0.5, temperature=4.0)
    predictor = predictor_of(Mean((2, 2)), header)
    expected = sigmoid(np.array([2.5, 4.5, 10.5, 12.5, 7.5]) / 4).mean()
    showing = ten_crops(predictor)
    assert said(predictor, showing, images)[:, 0] == pytest.approx(expected, abs=1e-7)
    assert showing.protocol.endswith("at temperature 4")


@pytest.mark.parametrize(
    ("fit", "size", "canvas", "window", "factor", "expected"),
    [
        ("crop", (224, 224), (256, 256), 0.875, 256 / 224, ((256, 256), (256, 256), "none")),
        ("crop", (224, 224), (256, 256), 0.875, 288 / 224, ((288, 288), (288, 288), "none")),
        ("crop", (224, 224), (256, 256), 0.875, 1.0, ((224, 224), (224, 224), "none")),
        ("none", (32, 32), (32, 32), None, 256 / 224, ((37, 37), (37, 37), "none")),
        ("pad", (32, 32), (28, 28), None, 256 / 224, ((32, 32), (37, 37), "pad")),
        ("resize", (32, 32), (64, 48), None, 256 / 224, ((64, 48), (37, 37), "resize")),
        ("crop", (32, 32), (64, 64), 0.875, 256 / 224, ((64, 64), (37, 37), "resize")),
        ("none", (64, 32), (64, 32), None, 288 / 224, ((82, 41), (82, 41), "none")),
    ],
)
def test_larger_images_are_framed_in_the_models_own_way(
    fit: str, size: Any, canvas: Any, window: float | None, factor: float, expected: Any
) -> None:
    more = {} if window is None else {"window": window}
    header = header_of(size, canvas, fit=fit, **more)
    framed, preprocessing = enlarged(header, factor)
    assert ((framed.height, framed.width), preprocessing.size, preprocessing.fit) == expected
    assert framed.framing == header.framing_rule


def test_the_centre_crop_is_the_models_own_crop() -> None:
    header = header_of((224, 224), (256, 256), fit="crop", window=0.875)
    x = torch.rand(1, 1, 256, 256)
    predictor = predictor_of(Constant([0.0, 0.0]), header)
    seen = []
    predictor.given = lambda inputs, run=None: seen.append(inputs) or torch.zeros(1, 2)  # type: ignore
    (one,) = ten_crops(predictor).passes
    one.answer(one.preprocessing(x))
    assert torch.equal(seen[8], predictor.preprocessing(x))
    assert [tuple(s.shape[2:]) for s in seen] == [(224, 224)] * 10


# Views


def test_views_by_hand(images_of: Callable[..., ImageSet]) -> None:
    """A network that returns the mean: of 3x3, moved with reflection.

    0 1 2 / 3 4 5 / 6 7 8 has the mean 4. A pixel up left is 4 3 4 / 1 0 1 / 4 3 4, mean 24/9; down right is
    4 5 4 / 7 8 7 / 4 5 4, mean 48/9. Mirrored they are the same: 4/2 + 24/36 + 48/36 = 4.
    """
    pixels = np.arange(9).reshape(3, 3)
    images = images_of(pixels)
    predictor = predictor_of(Mean((3, 3)), header_of((3, 3), (3, 3)))
    got = said(predictor, shifted_views(predictor), images)
    assert got[:, 0] == pytest.approx(sigmoid(4 / 2 + 24 / 36 + 48 / 36), abs=1e-7)


def test_views_move_and_mirror_each_side(images_of: Callable[..., ImageSet]) -> None:
    """By a network of the left column and the top row; logits are averaged, at the model's temperature.

    Of the same image: left columns 0 3 6 and, mirrored, 2 5 8: 3 and 5; moved 4 1 4 and 4 1 4: 3 and 3; and
    4 7 4, 4 7 4: 5 and 5. Top rows: 1, 1; 11/3, 11/3; 13/3, 13/3.
    """
    images = images_of(np.arange(9).reshape(3, 3), classes=3)
    predictor = predictor_of(Left(), header_of((3, 3), (3, 3), 3, temperature=2.0))
    z = np.array([(3 + 5) / 4 + (3 + 3) / 8 + (5 + 5) / 8, 1 / 2 + 11 / 12 + 13 / 12, 0.0]) / 2
    got = said(predictor, shifted_views(predictor), images)
    assert got == pytest.approx(np.array([np.exp(z) / np.exp(z).sum()] * 3), abs=1e-7)


def test_views_leave_the_headline_as_it_is(in_tmp: Path) -> None:
    make_run("digits", Path("run"), steps=20)
    plain, with_views = evaluate("run"), evaluate("run", views=True)
    assert with_views.views is not None
    assert plain.describe() == with_views.describe()
    shown = with_views.to_dict()
    views = shown.pop("views")
    assert shown == plain.to_dict()
    assert set(views) == {"protocol", "accuracy", "interval", "top5"}
    assert views["accuracy"] != shown["value"]
    assert with_views.views.answers.logits.tolist() != with_views.answers.logits.tolist()


def test_the_command_line_has_views_on_a_line_of_their_own(in_tmp: Path) -> None:
    make_run("digits", Path("run"), steps=20)
    plain, views = (CliRunner().invoke(app, ["evaluate", "run", *more]) for more in ([], ["--views"]))
    assert plain.exit_code == views.exit_code == 0
    extra = [line for line in views.stdout.splitlines() if line not in plain.stdout.splitlines()]
    assert len(extra) == 1
    assert extra[0].startswith("with test-time views, not in the score: accuracy ")


# Dense


def test_dense_averages_places_mirrors_and_scales(images_of: Callable[..., ImageSet]) -> None:
    """Logits (a weighted sum of 7x7 pixels, 0), written out for every window, mirror image and scale.

    There are 1, 4 and 9 places at the three scales; each scale counts a third.
    """

    class Pixel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 1, 1, bias=False), nn.Linear(49, 2)
            with torch.no_grad():
                self.conv.weight.fill_(1.0)
                self.linear.weight.copy_(torch.stack([torch.arange(49.0) / 1000, torch.zeros(49)]))
                self.linear.bias.zero_()

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.conv(x).flatten(1))  # type: ignore[no-any-return]

    network = Pixel()
    pixels = np.random.default_rng(1).integers(0, 6, (7, 7))
    images = images_of(pixels)
    predictor = predictor_of(network, header_of((7, 7), (7, 7)))
    showing = dense(predictor)
    assert [one.preprocessing.size for one in showing.passes] == [(7, 7), (8, 8), (9, 9)]
    scales = []
    for one in showing.passes:
        canvas = images_canvas(images, one)
        kernel = (np.arange(49.0) / 1000).reshape(7, 7)
        places = []
        for seen in (canvas, canvas[:, ::-1]):
            for i in range(len(canvas) - 6):
                for j in range(len(canvas) - 6):
                    places.append(sigmoid((seen[i : i + 7, j : j + 7] * kernel).sum()))
        scales.append(np.mean(places))
    assert said(predictor, showing, images)[:, 0] == pytest.approx(np.mean(scales), abs=1e-6)


def images_canvas(images: ImageSet, one: Any) -> Any:
    """The first image on the canvas of a pass, as numbers."""
    from sightline.data import open_batches

    (batch,) = open_batches(images, one.canvas).batches([np.array([0])])
    return one.preprocessing(batch.images)[0, 0].double().numpy()


# The way through


def test_judging_by_ten_crops_is_in_the_scores_and_the_json(in_tmp: Path) -> None:
    make_run("digits", Path("run"), steps=40, temperature=1.5)
    ten, one = evaluate("run", crops="10"), evaluate("run")
    assert one.protocol == "1 crop: the whole image at 8x8"
    assert ten.protocol == (
        "10 crops: 8x8 at the corners and the centre of 9x9, which holds the whole image, each mirrored too; "
        "mean of softmaxes at temperature 1.5"
    )
    assert one.describe().endswith("(test), 1 crop")
    assert ten.describe().endswith("(test), 10 crops")
    assert ten.indices.tolist() == one.indices.tolist() == ten.answers.ids.tolist()
    assert ten.answers.targets.tolist() == one.answers.targets.tolist()
    assert ten.scores.top1 != one.scores.top1
    result = CliRunner().invoke(app, ["evaluate", "run", "--crops", "10", "--json"])
    shown = json.loads(result.stdout)
    assert (shown["protocol"], shown["value"]) == (ten.protocol, ten.scores.top1)


def test_the_report_says_the_protocol(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    known = {"protocol": "1 crop: all of it at 8x8"}
    path = judged_digits().write(tmp_path / "run", ("test",), known=known)
    methods = section(read(path), "methods").text
    assert "Of each image the network was shown 1 crop, all of it at 8x8." in methods


def test_what_is_judged_once_is_shown_the_same_images(images_of: Callable[..., ImageSet]) -> None:
    """Of a network that sees the whole canvas alike, ten crops and dense give the softmax of one."""
    images = images_of(np.full((8, 8), 3), np.full((8, 8), 5))
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    predictor = predictor_of(body, header_of((8, 8), (8, 8)))
    plain, ten, whole = (
        judge(predictor, images, np.arange(2), "all", crops=crops) for crops in ("1", "10", "dense")
    )
    assert ten.answers.probabilities == pytest.approx(plain.answers.probabilities, abs=1e-6)
    assert whole.answers.probabilities == pytest.approx(plain.answers.probabilities, abs=1e-6)
    assert whole.protocol == "dense: at 8x8, 9x9 and 10x10, each mirrored too; mean of softmaxes"


@pytest.mark.parametrize(("flip", "said"), [("none", True), ("horizontal", False), (None, False)])
def test_a_network_that_never_saw_a_mirrored_image_is_said(in_tmp: Path, flip: Any, said: bool) -> None:
    make_run("digits", Path("run"), **({} if flip is None else {"augmentation": {"flip": flip}}))

    def warned(result: Any) -> bool:
        return any("trained on no mirrored image" in finding.what for finding in result.findings)

    assert warned(evaluate("run", crops="10")) is said
    assert warned(evaluate("run", views=True)) is said
    assert not warned(evaluate("run"))


def refuse(code: int, text: str, *arguments: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == code, result.output
    assert text in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_bad_input(in_tmp: Path) -> None:
    make_run("digits", Path("run"))
    refuse(2, "--crops is '11'; it takes 1, 10 or dense", "run", "--crops", "11")
    refuse(2, "--crops dense: mlp cannot be applied to larger images: 0 flattens", "run", "--crops", "dense")
    refuse(2, "--views is of one model; --against compares two", "run", "--views", "--against", "run")
    with pytest.raises(ArgumentError, match="--crops is '144'"):
        check_crops("144")


def test_views_need_two_pixels() -> None:
    predictor = predictor_of(Constant([0.0, 1.0]), header_of((1, 4), (1, 4)))
    with pytest.raises(ArgumentError, match="--views moves an image by a pixel; the network takes 1x4"):
        shifted_views(predictor)


# What is published


def test_published_figures_are_beside_ours_with_their_protocol(in_tmp: Path) -> None:
    run = make_run("digits", Path("run"))
    header, _ = read_model_file(run / "best.safetensors")
    built = dataclasses.replace(header.architecture, name="lenet5_1998", input_size=(32, 32))
    preprocessing = header.preprocessing | {"size": [32, 32], "fit": "resize"}
    weights = get_architecture("lenet5_1998").build().state_dict()
    lenet = dataclasses.replace(header, architecture=built, preprocessing=preprocessing)
    save_model_file(Path("lenet.safetensors"), weights, lenet)
    pixels, targets = digits()
    for digit in range(10):
        Path("mnist", str(digit)).mkdir(parents=True)
        Image.fromarray(pixels[targets == digit][0, 0]).save(f"mnist/{digit}/one.png")
    lines = CliRunner().invoke(app, ["evaluate", "lenet.safetensors", "mnist"]).stdout.splitlines()
    scores = evaluate("lenet.safetensors", "mnist").scores
    assert lines[2:5] == [
        "protocol: 1 crop: the whole image at 32x32",
        f"ours: top-1 {100 * scores.top1:.2f} %, top-5 {100 * scores.top5:.2f} % on these 10 images, "
        "which need not be the same",
        "published: top-1 99.05 % on MNIST test (trained on 60,000 images for 20 passes; section III.B)",
    ]
    shown = evaluate("lenet.safetensors", "mnist").to_dict()["published"][0]
    assert (shown["data"], shown["top1"], shown["top5"]) == ("MNIST test", 0.9905, None)
    assert "published" not in evaluate("lenet.safetensors", "digits").to_dict()


@pytest.mark.parametrize(
    ("name", "source", "classes", "expected"),
    [
        ("resnet20", "/data/cifar10-jpg/test", 10, {"CIFAR-10 test"}),
        ("resnet20", "/data/CIFAR_10", 10, {"CIFAR-10 test"}),
        ("resnet20", "/data/cifar100", 10, set()),
        ("resnet20", "/data/cifar10-jpg", 2, set()),
        ("squeezenet1_0", "imagenet-sample-200.csv", 1000, {"ImageNet val"}),
        ("squeezenet1_0", "photographs", 1000, set()),
        ("lenet5_1998", "mnist-png", 10, {"MNIST test"}),
        ("lenet5_1998", "fashion-mnist-png", 10, set()),
        ("lenet5_1998", "digits", 10, set()),
    ],
)
def test_published_results_are_of_the_set_by_its_name(
    name: str, source: str, classes: int, expected: set[str]
) -> None:
    found = published_of(get_architecture(name), source, [str(k) for k in range(classes)])
    assert {result.data for result in found} == expected
