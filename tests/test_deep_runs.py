"""Sixteen-bit and many-channel sets through the whole of it: train, resume, evaluate, predict, report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from sightline.cli import app
from sightline.records import read_header

RUNNER = CliRunner()


def run(*arguments: object) -> list[str]:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def refuse(code: int, *arguments: object) -> str:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture(scope="module")
def low_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes whose high bytes are the same: stripes of 24 in 65,536, across or down."""
    root = tmp_path_factory.mktemp("low") / "set"
    rng = np.random.default_rng(0)
    stripes = (np.arange(16) // 2 % 2 * 24).astype(np.uint16)
    for k in range(120):
        values = (0x6400 + rng.integers(0, 40, (16, 16))).astype(np.uint16)
        values += stripes[None, :] if k % 2 else stripes[:, None]
        assert (values >> 8 == 0x64).all()
        path = root / ("down" if k % 2 else "across") / f"{k:03d}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, values, compression=None, byteorder=">" if k % 3 else "<")
    return root


@pytest.fixture(scope="module")
def trained(low_bits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run("train", low_bits, "--model", "lenet5", "--epochs", 25, "--lr", 0.003, "--symmetry", "none",
        "--output", folder)  # fmt: skip
    return folder


def test_a_difference_in_low_bits_is_learned(trained: Path) -> None:
    scored = json.loads("".join(run("evaluate", trained, "--json")))
    assert scored["n"] == 18
    assert scored["top1"] >= 0.9


def test_the_range_is_recorded_and_told(trained: Path, low_bits: Path) -> None:
    header = read_header(trained / "best.safetensors")
    assert header.depth == "uint16"
    low, high = header.preprocessing["value_range"]
    assert 0x6400 <= low < high < 0x6440 + 24
    told = (trained / "log.txt").read_text()
    assert f"values: {low:g} to {high:g} become 0 to 1 (percentiles 0.1 and 99.9 of train)" in told
    assert f"mapped from {low:g}–{high:g} to 0–1" in (trained / "report.html").read_text()  # noqa: RUF001


def test_predictions_are_the_evaluations(trained: Path, low_bits: Path) -> None:
    lines = [json.loads(line) for line in run("predict", trained, low_bits, "--json")]
    right = [Path(line["path"]).parent.name == line["predictions"][0]["class"] for line in lines]
    assert len(right) == 120
    assert np.mean(right) > 0.9


def test_an_image_of_another_depth_is_named(trained: Path, low_bits: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 100, np.uint8)).save(tmp_path / "cut.png")
    said = refuse(1, "predict", trained, tmp_path / "cut.png")
    assert "cut.png: holds 8 bits a channel, and 9 to 16 bits are expected; no value is changed" in said
    for label in ("across", "down"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for k in range(4):
            Image.fromarray(np.full((16, 16), 100 + k, np.uint8)).save(tmp_path / "set" / label / f"{k}.png")
    said = refuse(1, "evaluate", trained, tmp_path / "set")
    assert "holds uint8 images, and the network was trained on uint16 ones" in said


def test_it_resumes_as_one_run(low_bits: Path, tmp_path: Path) -> None:
    common = ("--model", "mlp", "--precision", "fp32", "--device", "cpu")
    run("train", low_bits, *common, "--epochs", 2, "--output", tmp_path / "run")
    run("train", "--resume", tmp_path / "run", "--epochs", 3)
    assert len((tmp_path / "run/results.csv").read_text().splitlines()) == 4
    assert "going on exactly as one run would have" in (tmp_path / "run/log.txt").read_text()


def channels_csv(folder: Path) -> Path:
    """Three files an image; the class is in the second alone."""
    rng = np.random.default_rng(1)
    rows = ["path:dapi,path:gfp,path:red,label"]
    for k in range(60):
        planes = rng.integers(90, 400, (3, 12, 12), dtype=np.uint16)
        planes[1, 3:9, 3:9] += np.uint16(k % 2 * 300)
        names = [f"{k:02d}-{name}.tif" for name in ("dapi", "gfp", "red")]
        for name, plane in zip(names, planes, strict=True):
            tifffile.imwrite(folder / name, plane)
        rows.append(",".join([*names, ("off", "on")[k % 2]]))
    path = folder / "plates.csv"
    path.write_text("\n".join(rows))
    return path


def test_one_file_a_channel_is_trained_judged_and_predicted(tmp_path: Path) -> None:
    listed = channels_csv(tmp_path)
    result = json.loads("".join(run(
        "train", listed, "--model", "lenet5", "--epochs", 8, "--output", tmp_path / "run", "--json"
    )))  # fmt: skip
    assert result["value"] >= 0.8
    header = read_header(tmp_path / "run/best.safetensors")
    assert header.channel_names == ("dapi", "gfp", "red")
    assert len(header.preprocessing["value_range"]) == 3
    unlabelled = tmp_path / "new.csv"
    unlabelled.write_text("path:dapi,path:gfp,path:red\n" + "\n".join(
        line.rpartition(",")[0] for line in listed.read_text().splitlines()[1:9]
    ))  # fmt: skip
    lines = [json.loads(line) for line in run("predict", tmp_path / "run", unlabelled, "--json")]
    assert [line["path"] for line in lines][:2] == ["00-dapi.tif", "01-dapi.tif"]
    told = [line["predictions"][0]["class"] for line in lines]
    assert sum(a == b for a, b in zip(told, ["off", "on"] * 4, strict=True)) >= 7
    said = refuse(1, "predict", tmp_path / "run", tmp_path / "00-dapi.tif")
    assert "has 1 channel, and the network takes 3 (dapi, gfp, red): list their files" in said


def test_channels_go_by_their_names_not_their_order(tmp_path: Path) -> None:
    listed = channels_csv(tmp_path)
    run("train", listed, "--model", "lenet5", "--epochs", 8, "--output", tmp_path / "run")
    turned = tmp_path / "turned.csv"
    rows = [line.split(",") for line in listed.read_text().splitlines()]
    turned.write_text("\n".join(",".join([gfp, red, dapi, label]) for dapi, gfp, red, label in rows))
    given, again = (run("predict", tmp_path / "run", path, "--csv") for path in (listed, turned))
    of = [dict(line.split(",", 1) for line in sorted(lines)) for lines in (given, again)]
    assert len(of[0]) == 61
    pairs = zip(sorted(given), sorted(line.replace("-gfp", "-dapi") for line in again), strict=True)
    assert all(a == b for a, b in pairs)
    assert "give its columns in that order" in refuse(1, "evaluate", tmp_path / "run", turned)
    rows[0][2] = "path:blue"
    turned.write_text("\n".join(map(",".join, rows)))
    assert "has channels dapi, gfp, blue; the network takes dapi, gfp, red" in refuse(
        1, "predict", tmp_path / "run", turned
    )


def test_pages_are_said_and_travel_with_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for k in range(40):
        stack = rng.integers(0, 200, (3, 10, 10), dtype=np.uint16)
        stack[2] += np.uint16(k % 2 * 4000)
        path = tmp_path / "set" / ("dark", "light")[k % 2] / f"{k}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, stack, photometric="minisblack", metadata=None)
    said = refuse(1, "train", tmp_path / "set", "--epochs", 1)
    assert "has 3 pages or frames; say which by --pages first, max, channels or a number" in said
    assert "--pages is 'last'" in refuse(2, "train", tmp_path / "set", "--pages", "last")
    for pages, learned in (("3", True), ("max", True)):
        folder = tmp_path / f"run-{pages}"
        run("train", tmp_path / "set", "--pages", pages, "--model", "mlp", "--epochs", 6, "--output", folder)
        scored = json.loads("".join(run("evaluate", folder, "--json")))
        assert (scored["top1"] > 0.9) == learned
        assert read_header(folder / "best.safetensors").pages == pages
        lines = [json.loads(line) for line in run("predict", folder, tmp_path / "set", "--json")]
        assert np.mean([Path(x["path"]).parent.name == x["predictions"][0]["class"] for x in lines]) > 0.9
    other = run("predict", tmp_path / "run-3", tmp_path / "set", "--json", "--pages", "1")
    lines = [json.loads(line) for line in other]
    assert np.mean([Path(x["path"]).parent.name == x["predictions"][0]["class"] for x in lines]) < 0.8
