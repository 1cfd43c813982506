"""The first stops of the lab: nutshell, why-cnns, invariance, tasks, softmax."""

from __future__ import annotations

import functools
import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sightline.imaging import digits
from sightline.lab import Setting, find_entry, run_entry
from sightline.lab import _certainty as sure
from sightline.lab import _moving as moving
from sightline.lab import _nutshell as nut
from sightline.lab import _questions as questions
from sightline.lab import _shifted as shifted
from sightline.lab._curves import recorded
from sightline.lab._digits import count_parameters, digit_parts, logits_of, seeded, train
from sightline.reference import cross_entropy, design, kernel, softmax


def ran(name: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """An entry's page as HTML is written, and its numbers as they are in the file."""
    page, path = run_entry(find_entry(name), Setting(), folder)
    assert path.read_text().count("<section>") >= len(page.parts)
    return page, json.loads(path.with_name("numbers.json").read_text())


# -- nutshell ------------------------------------------------------------------------------------------

LINE = nut.Points(np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 7.0]))


def test_the_best_line_is_that_of_numpy() -> None:
    slope, offset = np.polyfit(LINE.x, LINE.y, 1)
    assert nut.least_squares(LINE) == pytest.approx([offset, slope])
    assert nut.line_gradient(nut.least_squares(LINE), LINE) == pytest.approx([0, 0], abs=1e-12)


def test_the_gradient_of_a_line_by_hand() -> None:
    # predictions 1, 2, 4; r = 0, 0, -3: L = 9, dL/dphi0 = 2 * -3, dL/dphi1 = 2 * 3 * -3
    line = np.array([1.0, 1.0])
    assert nut.squared_error(line, LINE) == 9
    assert nut.line_gradient(line, LINE).tolist() == [-6, -18]


def test_steps_above_two_over_the_larger_curvature_run_away_and_smaller_ones_arrive() -> None:
    points = nut.Points(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    curvatures = nut.line_curvatures(points)  # of 2 * [[2, 1], [1, 1]]
    assert curvatures == pytest.approx([3 - math.sqrt(5), 3 + math.sqrt(5)])
    for share, arrives in ((1.9, True), (2.1, False)):
        path = nut.descend_line(points, (1.0, 0.0), share / curvatures[1], 300)
        assert (nut.squared_error(path[-1], points) < 1e-6) is arrives
    even = nut.standardised(LINE)
    path = nut.descend_line(even, (5.0, -5.0), 1 / nut.line_curvatures(even)[1], 1)
    assert path[1] == pytest.approx(nut.least_squares(even))


def test_the_magnitude_by_two_units() -> None:
    """a[x] + a[-x] = |x|: four weights, two hidden units, one joint at 0."""
    layers = ((np.array([[1.0], [-1.0]]), np.zeros(2)), (np.array([[1.0, 1.0]]), np.zeros(1)))
    assert nut.predict(layers, np.array([-2.0, 0.0, 3.0])).tolist() == [2, 0, 3]
    assert nut.unit_joints(layers).tolist() == [0, 0]
    assert nut.joints_between(layers, -1, 2) == pytest.approx([0])
    points = nut.Points(np.array([-2.0]), np.array([0.0]))
    (theta, theta0), (phi, phi0) = nut.gradients(layers, points)  # L = (2 - 0)^2, dL/df = 4
    assert phi0.tolist() == [4]
    assert phi.tolist() == [[0, 8]]
    assert theta.tolist() == [[0], [-8]]
    assert theta0.tolist() == [0, 4]


@pytest.mark.parametrize("widths", [(1, 3, 1), (1, 4, 3, 1)])
def test_gradients_are_finite_differences(widths: tuple[int, ...]) -> None:
    layers = tuple((w, b + 0.1) for w, b in nut.start_layers(widths, seed=3))  # no unit is at its joint
    points = nut.Points(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9) ** 2)
    step = 1e-6
    for depth, pair in enumerate(nut.gradients(layers, points)):
        for which, found in enumerate(pair):
            for place in np.ndindex(found.shape):
                losses = []
                for sign in (1, -1):
                    changed = [[w.copy(), b.copy()] for w, b in layers]
                    changed[depth][which][place] += sign * step
                    losses.append(nut.mean_squared_error(tuple((w, b) for w, b in changed), points))
                assert found[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-7)


def test_side_by_side_is_each_by_itself() -> None:
    points = nut.columns_of_china(16)
    networks = [nut.start_layers((1, 3, 1), seed) for seed in range(3)]
    together = nut.learn(nut.side_by_side(networks), points, steps=20, rate=0.05)[20]
    for k, network in enumerate(networks):
        alone = nut.learn(network, points, steps=20, rate=0.05)[20]
        for (w, b), (w_alone, b_alone) in zip(nut.one_of(together, k), alone, strict=True):
            assert np.allclose(w, w_alone)
            assert np.allclose(b, b_alone)


def test_a_step_with_momentum_takes_a_share_of_the_last_again() -> None:
    points = nut.columns_of_china(16)
    start = nut.start_layers((1, 3, 1), 0)
    kept = nut.learn(start, points, steps=2, rate=0.1, momentum=0.5, keep=(0, 1))
    bias = [kept[step][1][1][0] for step in (0, 1, 2)]
    slopes = [nut.gradients(kept[step], points)[1][1][0] for step in (0, 1)]
    assert bias[1] - bias[0] == pytest.approx(-0.1 * slopes[0])
    assert bias[2] - bias[1] == pytest.approx(-0.1 * slopes[1] + 0.5 * (bias[1] - bias[0]))


@pytest.mark.parametrize("units", [1, 3, 10])
def test_a_shallow_network_has_3d_plus_1_parameters_and_at_most_d_plus_1_regions(units: int) -> None:
    layers = nut.start_layers((1, units, 1), seed=units)
    assert nut.count_parameters(layers) == 3 * units + 1
    assert nut.joints_between(layers, -9, 9) == pytest.approx(np.sort(nut.unit_joints(layers)))
    assert len(nut.joints_between(layers, -9, 9)) == units


def test_between_its_joints_a_deep_network_is_straight() -> None:
    layers = nut.start_layers((1, 6, 6, 1), seed=1)
    ends = np.array([-1.0, *nut.joints_between(layers, -1, 1), 1.0])
    assert len(ends) > 2 + 6 / 2
    for share in (0.25, 0.5, 0.75):
        inside = ends[:-1] + share * np.diff(ends)
        at_ends = nut.predict(layers, ends)
        straight = at_ends[:-1] + share * np.diff(at_ends)
        assert nut.predict(layers, inside) == pytest.approx(straight)


def test_the_page_of_the_nutshell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.import_module("sightline.lab.entries._nutshell")
    monkeypatch.setattr(entry, "STEPS", 60)
    monkeypatch.setattr(entry, "SHOWN", (0, 60))
    monkeypatch.setattr(entry, "WIDTHS", ((1, 3, 1), (1, 4, 1)))
    page, numbers = ran("nutshell", tmp_path)
    assert numbers["three_units_parameters"] == 10
    assert numbers["three_units_regions"] <= 4
    assert numbers["descent_gap"] < 1e-3
    assert numbers["standardised_gap_after_one_step"] < 1e-12
    assert numbers["three_units_rms_best"] < numbers["three_units_rms_worst"]
    _, _, terms, total = page.parts[4].text.splitlines()[-1].split("=")
    assert sum(float(term) for term in terms.split()) == pytest.approx(float(total), abs=0.0025)


# -- why CNNs ------------------------------------------------------------------------------------------


def test_a_digit_moved_by_eight_pixels_is_whole_and_where_it_should_be() -> None:
    images = torch.from_numpy(digits()[0][:5]).float()
    for down, right in ((0, 0), (8, 0), (-8, 0), (0, 8), (3, -8)):
        canvas = shifted.on_canvas(images, down, right)
        assert canvas.shape == (5, 1, 24, 24)
        assert torch.equal(canvas[:, :, 8 + down : 16 + down, 8 + right : 16 + right], images)
        assert canvas.sum() == images.sum()


def test_random_moves_belong_to_the_image_and_reach_every_distance() -> None:
    images = torch.ones(400, 1, 8, 8)
    ids = np.arange(400)
    moves = shifted.moved_at_random(images, ids, epoch=1, seed=0)
    assert torch.equal(moves[7:9], shifted.moved_at_random(images[:2], ids[7:9], epoch=1, seed=0))
    assert not torch.equal(moves, shifted.moved_at_random(images, ids, epoch=2, seed=0))
    assert moves.sum() == images.sum()
    tops = {int(canvas[0].any(dim=1).nonzero()[0]) for canvas in moves}
    assert tops == set(range(17))


def test_the_stride_1_network_does_not_see_where_a_digit_is() -> None:
    network = seeded(shifted.cnn_stride_1, 1)
    images = digit_parts()[2].images[:20]
    still = logits_of(network, shifted.on_canvas(images))
    for by in (1, 2, 3, 5):
        for way in ((by, 0), (0, -by), (by, by)):
            assert torch.allclose(logits_of(network, shifted.on_canvas(images, *way)), still, atol=1e-6)
    flat = seeded(shifted.cnn, 1)
    there, here = (logits_of(flat, shifted.on_canvas(images, right=by)) for by in (4, 0))
    assert not torch.allclose(there, here, atol=1e-3)


def test_a_convolution_is_a_fully_connected_layer_of_nine_numbers() -> None:
    matrix, gap = shifted.as_fully_connected(8)
    assert matrix.shape == (36, 64)
    assert ((matrix != 0).sum(axis=1) == 9).all()
    assert len(np.unique(matrix[matrix != 0])) == 9
    assert gap < 1e-12


def test_answers_are_counted_at_each_distance() -> None:
    """A network that says 1 if the ink is right of the middle, of images whose class is 1."""

    class Side(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x[..., :12].sum(dim=(1, 2, 3)), x[..., 12:].sum(dim=(1, 2, 3))
            return torch.stack([left + 0.5, right], dim=1)

    part = shifted.Part(torch.ones(3, 1, 8, 8), torch.ones(3, dtype=torch.int64), np.arange(3))
    counts = shifted.right_by_shift(Side(), part)
    assert counts[0] == (0, 3)  # as much on the left; the half point decides
    assert counts[1:] == [(3, 12)] * 8  # only of the four that is moved right


def test_seeds_are_put_together() -> None:
    rows = [
        dict(zip(shifted.COLUMNS, (name, how, seed, 1, shift, shift + seed, 10), strict=True))
        for name in shifted.NETWORKS
        for how in shifted.TRAINED
        for seed in (0, 1)
        for shift in range(9)
    ]
    found = shifted.accuracies(rows)
    assert found["MLP", "moved"] == pytest.approx([(2 * k + 1) / 20 for k in range(9)])


def test_the_recorded_curves_are_of_these_networks() -> None:
    curves = recorded("why-cnns")
    assert curves.command.startswith("python benchmarks/lab_shifts.py --seeds")
    seeds = {row["seed"] for row in curves.rows}
    keys = {(row["network"], row["trained"], row["seed"], int(row["shift"])) for row in curves.rows}
    expected = {
        (name, how, seed, shift)
        for name in shifted.NETWORKS
        for how in shifted.TRAINED
        for seed in seeds
        for shift in range(9)
    }
    assert keys == expected
    assert len(curves.rows) == len(expected)
    held = sum(len(part.ids) for part in digit_parts()[1:])
    for row in curves.rows:
        assert int(row["parameters"]) == count_parameters(shifted.NETWORKS[row["network"]]())
        assert 0 <= int(row["right"]) <= int(row["judged"]) == held * (1 if row["shift"] == "0" else 4)


def test_the_page_of_why_cnns(tmp_path: Path) -> None:
    page, numbers = ran("why-cnns", tmp_path)
    assert numbers["convolution_parameters"] == 6 * (5 * 5 * 3 + 1) == 456
    assert numbers["fully_connected_parameters"] == (32 * 32 * 3 + 1) * 28 * 28 * 6 == 14_455_392
    assert numbers["zero_weights"] == pytest.approx(1 - 75 / 3072)
    assert "456" in page.sentences[0]
    assert "14,455,392" in page.sentences[0]
    right = {(c["network"], c["trained"]): c["right"] for c in numbers["curves"]}
    still = right["CNN, stride 1, pooled", "centred"]
    assert max(still) - min(still) < 0.02
    for name in ("MLP", "CNN, flattened"):  # neither is invariant by itself
        assert right[name, "centred"][0] > 0.9
        assert right[name, "centred"][4] < 0.3
    pooled = right["CNN, pooled", "centred"]
    assert pooled[4] > pooled[3]  # its strides multiply to 4
    assert pooled[4] > pooled[5]
    assert right["CNN, flattened", "moved"][8] > right["MLP", "moved"][8]


def test_live_curves_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(shifted.Part(p.images[:40], p.targets[:40], p.ids[:40]) for p in digit_parts())
    monkeypatch.setattr(shifted, "digit_parts", lambda: few)
    monkeypatch.setattr(shifted, "EPOCHS", 1)
    monkeypatch.setattr(shifted, "NETWORKS", {"MLP": shifted.mlp, "CNN, flattened": shifted.cnn})
    told: list[tuple[int, int]] = []
    rows = shifted.try_all(0, lambda what, done, total: told.append((done, total)))
    assert told == [(k, 4) for k in (1, 2, 3, 4)]
    assert len(rows) == 2 * 2 * 9
    assert {row["judged"] for row in rows} == {80, 320}
    assert rows == shifted.try_all(0, lambda *_: None)


# -- equivariance --------------------------------------------------------------------------------------


def test_the_layers_are_those_of_torch() -> None:
    pictures = moving.moved(moving.scene(), 2)
    weight = torch.from_numpy(np.stack([kernel(name).matrix for name in moving.KERNELS]))[:, None].double()
    x = torch.from_numpy(pictures)
    around = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight, stride=2).relu().numpy()
    zeros = F.conv2d(x, weight, padding=1).relu().numpy()
    assert np.array_equal(moving.convolution(stride=2)(pictures), around)
    assert np.array_equal(moving.convolution(padding="zeros")(pictures), zeros)


def test_errors_of_a_layer_that_does_nothing_and_of_one_that_knows_its_place() -> None:
    pictures = moving.moved(np.eye(4), 3)
    assert moving.equivariance_error(lambda x: x, pictures) == [0, 0, 0, 0]
    # no pixel stays: ||t[x] - x|| = sqrt(8), ||x|| = 2
    assert moving.invariance_error(lambda x: x, pictures)[1:] == pytest.approx([math.sqrt(2)] * 3)
    # what is always in the first column: moved after the layer, four cells of 1 lie in another
    always = np.broadcast_to(1.0 * (np.arange(4) == 0), (4, 1, 4, 4))
    assert moving.equivariance_error(lambda x: always, pictures)[1:] == pytest.approx([math.sqrt(2)] * 3)


def test_the_page_of_invariance(tmp_path: Path) -> None:
    _, numbers = ran("invariance", tmp_path)
    equivariance, invariance = numbers["equivariance"], numbers["invariance"]
    assert set(equivariance["stride 1, circular padding"]) == {0.0}
    assert set(invariance["global mean, stride 1, circular"]) == {0.0}
    assert min(equivariance["stride 1, zero padding"][1:]) > 0.1
    assert numbers["zero_padding_error_inside"] == 0
    for stride in (2, 4):
        errors = equivariance[f"stride {stride}, circular"]
        assert [e == 0 for e in errors] == [by % stride == 0 for by in range(17)]
    at_1 = [invariance[name][1] for name in ("the maps, stride 1", "max pool 2", "max pool 4", "max pool 8")]
    assert at_1 == sorted(at_1, reverse=True)
    assert at_1[-1] > 0.1


# -- tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_boxes_and_mask_of_a_scene_are_those_of_its_ink(seed: int) -> None:
    scene = questions.scene(seed)
    inside = np.zeros(scene.image.shape, bool)
    for digit, (left, top, right, bottom) in zip(scene.classes, scene.boxes, strict=True):
        box = scene.mask[top:bottom, left:right]
        assert set(np.unique(box)) <= {-1, digit}
        for edge in (box[0], box[-1], box[:, 0], box[:, -1]):
            assert (edge == digit).any()
        inside[top:bottom, left:right] = True
    assert ((scene.mask >= 0) == (scene.image > 0)).all()
    assert not scene.image[~inside].any()


def test_psnr_by_hand() -> None:
    clean = np.zeros((2, 2))
    assert questions.psnr(clean + 1, clean) == pytest.approx(20 * math.log10(255))
    assert questions.psnr(clean + 255, clean) == 0


def test_generated_digits_are_not_stored_ones_and_keep_their_empty_corners() -> None:
    made = questions.generated(0)
    images, targets = digits()
    for digit in range(10):
        own = images[targets == digit, 0]
        always = (own == 0).all(axis=0)
        assert always.any()
        assert np.abs(made[digit][:, always]).max() < 1e-3
        assert (np.abs(made[digit][:, None] - own).max(axis=(2, 3)) > 1).all()


def test_the_page_of_tasks(tmp_path: Path) -> None:
    _, numbers = ran("tasks", tmp_path)
    assert numbers["outputs"] == {
        "classification": [10],
        "detection": [2 * 5 + 20, 8, 8],
        "segmentation": [21, 64, 64],
        "generation": [3, 16, 16],
        "restoration": [3, 64, 64],
    }
    assert numbers["tasks"]["classification"] is True
    source = Path(questions.__file__).parent.parent / "tasks"
    assert numbers["tasks"] == {name: (source / name).is_dir() for name in numbers["tasks"]}
    assert numbers["linear_right"] > 0.9 * numbers["linear_judged"]
    assert numbers["psnr_noisy"] == pytest.approx(20 * math.log10(255 / questions.NOISE), abs=0.2)
    assert numbers["psnr_learned"] > numbers["psnr_noisy"] + 2


# -- softmax -------------------------------------------------------------------------------------------


@functools.cache
def trained() -> sure.Trained:
    return sure.train_and_judge(0)


def test_the_temperature_changes_no_answer_and_makes_the_network_less_sure() -> None:
    found = trained()
    assert found.judged.logits.shape == (1797 - sure.LEARNED - found.fitted_on, 10)
    assert len(set(found.judged.ids.tolist())) == len(found.judged.ids)
    assert found.before.top1 == found.after.top1
    assert found.temperature > 1
    assert found.after.loss < found.before.loss
    assert found.after.ece < found.before.ece


def test_the_sum_is_written_out() -> None:
    lines = sure.written_out(np.log([1.0, 3.0, 4.0])).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["2", "1", "0", "sum"]
    assert [line.split()[2] for line in lines[1:4]] == ["4", "3", "1"]
    assert [line.split()[3] for line in lines[1:4]] == ["50.000", "37.500", "12.500"]
    assert lines[-1].split()[1:3] == ["8", "100.000"]


def test_the_loss_and_its_gradient_are_written_out() -> None:
    lines = sure.loss_written_out(np.log([1.0, 3.0, 4.0]), 1).splitlines()
    assert lines[0] == f"loss = -ln p[1] = -ln 0.3750 = {-math.log(0.375):.4f} nats"
    assert [line.split()[1:] for line in lines[3:]] == [
        ["0.1250", "0", "+0.1250"],
        ["0.3750", "1", "-0.6250"],
        ["0.5000", "0", "+0.5000"],
    ]


def test_without_the_largest_taken_off_there_is_no_number() -> None:
    lines = sure.no_overflow().splitlines()
    assert "nan" in lines[2]
    assert f"{1 / (1 + math.exp(-1)):.4f}" in lines[4]


def test_the_page_of_softmax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sure, "train_and_judge", lambda seed: trained())
    page, numbers = ran("softmax", tmp_path)
    logits = np.array(numbers["logits"])
    powers = [math.exp(z) for z in logits]
    assert numbers["sum"] == pytest.approx(sum(powers))
    assert numbers["probabilities"] == pytest.approx([p / sum(powers) for p in powers])
    assert abs(max(numbers["probabilities"]) - sure.UNSURE) < 0.05
    loss = cross_entropy(trained().judged.logits, trained().judged.targets)
    assert numbers["loss"] == pytest.approx(loss)
    confident = softmax(trained().judged.logits.astype(np.float64)).max(axis=1).mean()
    assert numbers["confidence"] == pytest.approx(confident)
    assert f"{100 * numbers['ece']:.1f} %" in page.sentences[1]


# -- the loop ------------------------------------------------------------------------------------------


def test_the_loop_repeats_itself_and_leaves_torch_as_it_was() -> None:
    learned, val, test = digit_parts()
    assert len(learned.ids) > 1200
    assert len(set(np.concatenate([p.ids for p in (learned, val, test)]).tolist())) == 1797
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    said = []
    for _ in range(2):
        network = seeded(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), 3)
        train(network, learned.images[:200], learned.targets[:200], epochs=2, rate=0.01, seed=3)
        assert not network.training
        said.append(logits_of(network, test.images))
    assert torch.equal(*said)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["nutshell", "why-cnns", "invariance", "tasks", "softmax"])
def test_designs_among_the_commands_are_designs(name: str) -> None:
    for command in find_entry(name).commands:
        words = command.split()
        assert words[0] == "sightline"
        if words[1] == "design":
            assert design(words[2], words[3:]).parameters > 0
