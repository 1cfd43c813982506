"""Features of a set in two dimensions: principal components, neighbours, what is measured on whom."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from conftest import MakeFolder
from sightline.base import ArgumentError, DataError
from sightline.data import ImageSet, open_images
from sightline.training import train
from sightline.views import Request, Subject, embedding, open_subject, view
from sightline.views import _neighbours as neighbours_module
from sightline.views._embedding import _COLOURS
from sightline.views._neighbours import (
    directions,
    majority,
    nearest,
    neighbour_map,
    principal,
    separation,
    spread_out,
)
from sightline.views._pass import classifier_layer, up_to
from small_networks import Does, seq


def points(count: int = 60, width: int = 7, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) * np.arange(1, width + 1)).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 7), (20, 40)])
def test_principal_components_against_scikit_learn(shape: tuple[int, int]) -> None:
    from sklearn.decomposition import PCA

    features = points(*shape)
    expected = PCA(n_components=3, svd_solver="full").fit(features)
    found, share = principal(features, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(expected.transform(features)), atol=1e-3)
    np.testing.assert_allclose(share, expected.explained_variance_ratio_, rtol=1e-5)


def test_principal_components_of_many_values_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features = points(80, 30) @ np.diag(0.7 ** np.arange(30)).astype(np.float32)
    exact, share = principal(features, 2)
    monkeypatch.setattr(neighbours_module, "_EXACT", 10)
    found, about = principal(features, 2)
    np.testing.assert_allclose(found, exact, atol=1e-3)
    np.testing.assert_allclose(about, share, rtol=1e-4)


def test_the_sign_of_a_component_is_that_of_its_largest_weight() -> None:
    line = np.outer(np.arange(5.0), [0.1, -2.0, 0.5]).astype(np.float32)
    found, share = principal(line, 1)
    assert (np.diff(found[:, 0]) < 0).all()  # the largest weight counts upwards, and the line goes down in it
    assert share[0] == pytest.approx(1.0)


def test_neighbours_against_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours_module, "_BLOCK", 7)
    features = points(40)
    which, cosines = nearest(features, 5)
    for k in range(40):
        own = [
            (
                -float(features[k] @ features[n] / np.linalg.norm(features[k]) / np.linalg.norm(features[n])),
                n,
            )
            for n in range(40)
            if n != k
        ]
        expected = sorted(own)[:5]
        assert which[k].tolist() == [n for _, n in expected]
        np.testing.assert_allclose(cosines[k], [-c for c, _ in expected], rtol=1e-4, atol=1e-6)


def test_a_point_of_no_length_has_no_direction() -> None:
    np.testing.assert_allclose(directions(np.array([[0.0, 0], [3, 4]], np.float32)), [[0, 0], [0.6, 0.8]])


def test_the_vote_of_neighbours_by_hand() -> None:
    targets = np.array([0, 0, 1, 1, 2])
    votes = np.array([[1, 2, 3], [2, 0, 4], [3, 0, 1], [4, 2, 0], [3, 2, 0]])
    # 0: classes 0 1 1; 1: classes 1 0 2, the closest; 2: 1 0 0; 3: 2 1 0, the closest; 4: 1 1 0
    assert majority(votes, targets, 3).tolist() == [1, 1, 0, 2, 1]
    # 0 1 1 2 0: two of 0 and two of 1, and the closest is of 0, though both of 1 come before its second
    assert majority(np.array([[0, 2, 3, 4, 1]]), targets, 3).tolist() == [0]


def test_how_far_classes_are_apart_against_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    targets = np.repeat(np.arange(3), 20)
    features = points(60) + 8 * np.eye(7, dtype=np.float32)[targets]
    which, _ = nearest(features, 5)
    found = separation(features, targets, 3, which)
    assert found.silhouette == pytest.approx(float(silhouette_score(features, targets, metric="cosine")))
    assert found.silhouette_of == 60
    assert found.chance == pytest.approx(1 / 3)
    # scikit-learn gives a tie to the first class, we to the closest neighbour's
    each = cross_val_score(
        KNeighborsClassifier(5, metric="cosine"), features, targets, cv=LeaveOneOut(), n_jobs=1
    )
    assert found.accuracy == pytest.approx(float(each.mean()), abs=0.04)
    assert 0.5 < (found.accuracy or 0) < 1


def test_images_of_a_class_each_say_nothing_of_classes() -> None:
    which, _ = nearest(points(10), 5)
    found = separation(points(10), np.arange(10), 10, which)
    assert (found.accuracy, found.silhouette) == (None, None)
    alone = separation(points(10), np.zeros(10, np.int64), 1, which)
    assert (alone.accuracy, alone.silhouette) == (None, None)


def test_the_map_of_neighbours_keeps_groups_together_and_is_repeated() -> None:
    groups = np.repeat(np.arange(3), 20)
    features = np.eye(3, 8, dtype=np.float32)[groups] * 10 + points(60, 8) * 0.02
    found = neighbour_map(features, seed=3)
    assert np.array_equal(found, neighbour_map(features, seed=3))
    middle = np.stack([found[groups == g].mean(0) for g in range(3)])
    own = np.linalg.norm(found[:, None] - middle[None], axis=2).argmin(1)
    assert (own == groups).all()


def test_squares_do_not_overlap_and_stay_on_the_page() -> None:
    places = np.random.default_rng(0).normal(size=(300, 2))
    plain = spread_out(places, (200, 300), 20, 100)
    moved = spread_out(places, (200, 300), 20, 100, reach=40)
    assert len(moved) > len(plain) > 10
    low, high = places.min(0), places.max(0)
    for chosen, reach in ((plain, 0), (moved, 40)):
        assert len({k for k, _, _ in chosen}) == len(chosen) <= 100
        for n, (k, top, left) in enumerate(chosen):
            assert 0 <= top <= 180
            assert 0 <= left <= 280
            assert all(abs(top - t) >= 20 or abs(left - x) >= 20 for _, t, x in chosen[:n])
            own = (places[k] - low) / (high - low)
            assert np.hypot(left - own[0] * 280, top - (1 - own[1]) * 180) <= reach + 1


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return seq(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 12),
        nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(12, 10),
    ).eval()  # fmt: skip


def digits_set(count: int = 60) -> ImageSet:
    return open_images("digits").subset(np.arange(count) * 25)


def inputs(images: ImageSet) -> Tensor:
    assert images.pixels is not None
    return torch.from_numpy(images.pixels.astype(np.float32)) / 255


def test_features_are_the_input_of_the_last_layer() -> None:
    subject, images = Subject.of(network(), (1, 8, 8)), digits_set()
    seen = embedding(subject, images)
    with torch.no_grad():
        expected = subject.network[:7](inputs(images))  # type: ignore[index]
    np.testing.assert_allclose(seen.arrays["features"], expected, atol=1e-6)
    assert seen.figures["layer"] == "7"
    which, cosines = nearest(seen.arrays["features"], 7)
    assert np.array_equal(seen.arrays["neighbours"], which)
    np.testing.assert_allclose(seen.arrays["cosines"], cosines)
    assert seen.arrays["names"].tolist() == list(images.names)
    np.testing.assert_allclose(seen.arrays["pca"], principal(seen.arrays["features"])[0], atol=1e-5)
    assert "all 60 images; it learned from none" in seen.figures["measured_on"]


def test_a_convolution_that_makes_classes_is_found_and_its_maps_averaged() -> None:
    torch.manual_seed(0)
    net = seq(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    subject, images = Subject.of(net.eval(), (1, 8, 8)), digits_set(10)
    seen = embedding(subject, images)
    with torch.no_grad():
        expected = net[:2](inputs(images)).mean((2, 3))
    np.testing.assert_allclose(seen.arrays["features"], expected, atol=1e-6)
    assert "maps averaged over their places" in seen.notes[0]
    chosen = embedding(subject, images, layer="3")
    with torch.no_grad():
        np.testing.assert_allclose(chosen.arrays["features"], net[:4](inputs(images)).mean((2, 3)), atol=1e-6)


def test_however_the_network_is_written_the_features_are_the_same() -> None:
    torch.manual_seed(2)
    layers = {"first": nn.Conv2d(1, 4, 3), "last": nn.Linear(144, 3)}

    def modules(net: Any, x: Tensor) -> Any:
        return net.last(net.relu(net.first(x)).flatten(1))

    def functions(net: Any, x: Tensor) -> Any:
        return F.linear(torch.flatten(F.relu(net.first(x)), 1), net.last.weight, net.last.bias)

    def in_place(net: Any, x: Tensor) -> Any:
        return net.last(net.first(x).relu_().reshape(len(x), -1))

    found = [
        embedding(Subject.of(Does(way, relu=nn.ReLU(), **layers).eval(), (1, 8, 8)), digits_set(20))
        for way in (modules, functions, in_place)
    ]
    for seen in found[1:]:
        np.testing.assert_array_equal(seen.arrays["features"], found[0].arrays["features"])
    assert np.ptp(found[0].arrays["features"]) > 0


def test_the_pass_stops_before_the_classifier() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("what comes later need not run")

    whole = seq(nn.Flatten(), nn.Linear(64, 5))
    assert classifier_layer(Subject.of(whole, (1, 8, 8)).blueprint).id == "1"
    net = seq(nn.Flatten(), nn.Linear(64, 5), Never())
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(up_to(net, x, "1", before=True), x.flatten(1))
    assert torch.equal(up_to(net, x, "1"), net[1](x.flatten(1)))


def test_the_most_confused_images_come_first() -> None:
    subject, images = Subject.of(network(), (1, 8, 8)), digits_set()
    seen = embedding(subject, images, top=4)
    other = (images.targets[seen.arrays["neighbours"]] != images.targets[:, None])[:, :4]
    rows = [list(images.names).index(row["image"]) for row in seen.figures["rows"]]
    five = images.targets[nearest(seen.arrays["features"], 5)[0]] != images.targets[:, None]
    shares = five.mean(1)
    assert [shares[k] for k in rows] == sorted(shares, reverse=True)[:4]
    first = seen.figures["rows"][0]
    assert [n["class"] != first["class"] for n in first["neighbours"]] == other[rows[0]].tolist()
    assert len(first["neighbours"]) == 4


def test_neighbours_of_an_image_and_of_a_class() -> None:
    subject, images = Subject.of(network(), (1, 8, 8)), digits_set()
    of_image = embedding(subject, images, of=images.names[7])
    assert [row["image"] for row in of_image.figures["rows"]] == [images.names[7]]
    of_class = embedding(subject, images, of="3")
    assert {row["class"] for row in of_class.figures["rows"]} == {"3"}
    with pytest.raises(ArgumentError, match="--target ten: neither a class of the set nor one of its images"):
        embedding(subject, images, of="ten")


def test_a_network_that_says_one_thing_of_all_is_a_finding() -> None:
    net = network()
    with torch.no_grad():
        net[4].weight.zero_()
    seen = embedding(Subject.of(net, (1, 8, 8)), digits_set(12))
    assert [f.what for f in seen.findings] == ["the features of all images are the same"]


def test_the_test_images_of_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train("digits", model="lenet5", epochs=1, output=tmp_path / "run")
    subject, images = open_subject(str(tmp_path / "run")), open_images("digits")
    seen = embedding(subject, images)
    with (tmp_path / "run" / "split.csv").open() as file:
        rows = list(csv.reader(file))
    tested = sorted(row[0] for row in rows[1:] if "test" in row)
    assert sorted(seen.arrays["names"].tolist()) == tested
    assert seen.figures["measured_on"] == f"{len(tested)} test images of its own set"
    (tmp_path / "run" / "split.csv").unlink()  # the model file alone says the same
    again = embedding(open_subject(str(tmp_path / "run" / "best.safetensors")), images)
    assert again.arrays["names"].tolist() == seen.arrays["names"].tolist()


def test_the_test_part_of_a_folder(make_folder: MakeFolder) -> None:
    layout = {f"{part}/{name}": (d, 6) for part in ("train", "test") for name, d in (("a", 1), ("b", 7))}
    subject = Subject.of(network(), (1, 8, 8))
    seen = embedding(subject, open_images(make_folder(layout), training=False))
    assert seen.figures["measured_on"] == "12 test images"
    assert all(name.startswith("test/") for name in seen.arrays["names"])


def test_it_is_found_by_name_and_written(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder({f"class{k}": (k, 4) for k in range(9)})
    subject = Subject.of(network(), (1, 8, 8))
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    done: list[str] = []
    request = Request(image=str(folder), top=3, seed=1, progress=lambda what, d, n: done.append(what))
    seen = view("embedding", subject, request)
    assert {"looking at images", "laying neighbours beside each other"} <= set(done)
    assert all(torch.equal(v, before[k]) for k, v in subject.network.state_dict().items())
    assert not any(m._forward_hooks for m in subject.network.modules())
    assert seen.save(tmp_path / "e.png").stat().st_size > 10_000
    with np.load(seen.save(tmp_path / "e.npz")) as saved:
        assert saved["features"].shape == (36, 12)
        assert saved["tsne"].shape == saved["pca"].shape == (36, 2)


def test_many_classes_are_not_told_apart_by_colour(make_folder: MakeFolder) -> None:
    folder = make_folder({f"class{k:02d}": (k % 10, 1) for k in range(44)})
    seen = embedding(Subject.of(network(), (1, 8, 8)), open_images(folder))
    assert seen.figures["neighbour_accuracy"] is None
    assert "no class has two images" in " ".join(seen.notes)
    assert seen.panels[-1].title == "the images that are closest to their neighbours"


def test_a_folder_of_images_alone_is_a_set_without_classes(make_folder: MakeFolder, tmp_path: Path) -> None:
    """The same images in a class folder give the same features; no class is spoken of."""
    folder = make_folder({"x": (3, 8)})
    subject = Subject.of(network(), (1, 8, 8))
    alone = view("embedding", subject, Request(image=str(folder / "x")))
    within = view("embedding", subject, Request(image=str(folder)))
    assert alone.arrays["names"].tolist() == [Path(n).name for n in within.arrays["names"]]
    np.testing.assert_array_equal(alone.arrays["features"], within.arrays["features"])
    assert alone.figures["neighbour_accuracy"] is None
    assert alone.notes[1] == "the images have no classes: whether neighbours share one cannot be said"
    assert within.notes[1] == "all images are of one class: neighbours cannot tell it from another"
    assert "orange" not in alone.panels[-1].caption
    assert alone.title == "8 images of x by their last features, Sequential"
    assert alone.save(tmp_path / "e.png").stat().st_size > 5000
    name = alone.arrays["names"][2]
    (row,) = view("embedding", subject, Request(image=str(folder / "x"), target=str(name))).figures["rows"]
    assert (row["image"], row["class"]) == (name, "")


def test_images_alone_are_a_set_only_where_classes_are_not_needed(tmp_path: Path) -> None:
    for name in ("b", "a"):
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    found = open_images(tmp_path, training=False, labelled=False)
    assert (found.classes, tuple(found.names), found.targets.tolist()) == (("",), ("a.png", "b.png"), [0, 0])
    for labelled, training in ((True, False), (True, True), (False, True)):
        with pytest.raises(DataError):
            open_images(tmp_path, training=training, labelled=labelled)


def test_frames_are_seen_on_white_and_on_black() -> None:
    """Every colour of a class has a contrast of 1.7 at least with both (WCAG 2's ratio)."""
    for colour in _COLOURS:
        shares = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        light = linear @ (0.2126, 0.7152, 0.0722)
        assert 1.05 / (light + 0.05) > 1.7, colour
        assert (light + 0.05) / 0.05 > 1.7, colour


def test_what_is_wrong_with_a_folder_of_images_alone(tmp_path: Path) -> None:
    subject = Subject.of(network(), (1, 8, 8))
    for name in ("a", "z"):
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b.png: is 16-bit with 1 channel, and most images .* are 8-bit"):
        view("embedding", subject, Request(image=str(tmp_path)))
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(DataError, match=r"1 of 3 files cannot be read \(b.png: not an image"):
        view("embedding", subject, Request(image=str(tmp_path)))
    (tmp_path / "b.png").unlink()
    (tmp_path / "deeper").mkdir()  # a folder that has folders is one of classes
    Image.new("L", (8, 8)).save(tmp_path / "deeper" / "c.png")
    with pytest.raises(DataError, match="lies in no class folder"):
        view("embedding", subject, Request(image=str(tmp_path)))


def test_features_of_one_value_have_a_map_too() -> None:
    net = seq(nn.Flatten(), nn.Linear(64, 1), nn.Linear(1, 3)).eval()
    for count in (4, 20):
        seen = embedding(Subject.of(net, (1, 8, 8)), digits_set(count))
        assert seen.arrays["tsne"].shape == seen.arrays["pca"].shape == (count, 2)
        assert not seen.arrays["pca"][:, 1].any()


def test_bad_input(make_folder: MakeFolder) -> None:
    subject = Subject.of(network(), (1, 8, 8))
    with pytest.raises(DataError, match="an embedding needs 3 at least"):
        embedding(subject, digits_set(2))
    with pytest.raises(ArgumentError, match="--layer 9: Sequential has no such layer"):
        embedding(subject, digits_set(5), layer="9")
    with pytest.raises(ArgumentError, match="has no linear layer or convolution"):
        embedding(Subject.of(seq(nn.AvgPool2d(2), nn.Flatten()), (1, 8, 8)), digits_set(5))
    with pytest.raises(ArgumentError, match="view embedding needs a set of images"):
        view("embedding", subject, Request())
    many = Subject.of(seq(nn.Conv2d(5, 2, 3), nn.Flatten(), nn.Linear(72, 2)), (5, 8, 8))
    with pytest.raises(DataError, match="images of 1 channels, and Sequential takes 5"):
        view("embedding", many, Request(image=str(make_folder({"a": (1, 3), "b": (2, 3)}))))
    broken = network()
    with torch.no_grad():
        broken[4].bias.fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        embedding(Subject.of(broken, (1, 8, 8)), digits_set(5))
