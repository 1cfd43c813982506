"""Near duplicates on one side of a split: the groups by hand, and through `check` and `train`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sightline.base import DataError
from sightline.cli import app
from sightline.data import group_images, open_images, split_images, together, write_together
from sightline.imaging import photograph

RUNNER = CliRunner()


def test_groups_are_the_connected_ones() -> None:
    groups, chains = together(7, [(1, 4, 0.99), (4, 6, 0.97), (2, 3, 1.0)])
    assert groups.tolist() == [0, 1, 2, 2, 1, 5, 1]
    assert chains == []
    assert together(3, [])[0].tolist() == [0, 1, 2]


def test_a_chain_is_no_group() -> None:
    """11 images each like the next: more than 10, and more than 1 % of 30."""
    chain = [(i, i + 1, 0.99) for i in range(10)]
    groups, chains = together(30, [*chain, (20, 21, 0.99)])
    assert chains == [11]
    assert groups.tolist() == [*range(21), 20, *range(22, 30)]
    assert together(30, chain[:-1])[1] == []
    assert together(1200, chain)[1] == [], "12 are 1 % of them"


def twins(root: Path) -> None:
    """Two classes of patches of two photographs; every fifth comes again, brighter and saved as JPEG."""
    for label in ("china", "flower"):
        (root / label).mkdir(parents=True)
        whole = Image.fromarray(photograph(label))
        for k in range(20):
            patch = whole.crop((25 * k, 150 + 5 * (k % 7), 25 * k + 130, 280 + 5 * (k % 7)))
            patch.save(root / label / f"{k:02d}.png")
            if k % 5 == 0:
                patch.point(lambda v: min(255, round(v * 1.15))).save(root / label / f"{k:02d}-again.jpg")


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    twins(tmp_path / "set")
    listed = tmp_path / "set.csv"
    result = RUNNER.invoke(app, ["check", str(tmp_path / "set"), "--together", str(listed)])
    assert result.exit_code == 0, result.output
    again = RUNNER.invoke(app, ["check", str(tmp_path / "set"), "--together", str(listed)])
    assert again.exit_code == 2
    assert "exists; give a new name" in again.stderr
    with listed.open(newline="") as file:
        listing = [(Path(row["path"]), row) for row in csv.DictReader(file)]
    rows = {f"{path.parent.name}/{path.stem}": row for path, row in listing}
    assert len(rows) == 48
    for label in ("china", "flower"):
        for k in range(0, 20, 5):
            first, second = rows[f"{label}/{k:02d}"], rows[f"{label}/{k:02d}-again"]
            assert first["together"] == second["together"], (label, k)
            assert first["label"] == label
    images = group_images(open_images(listed), "together")
    for seed in range(5):
        parts = dict(zip(images.names, split_images(images, seed).parts, strict=True))
        for name in images.names:
            if name.endswith("-again.jpg"):
                assert parts[name] == parts[name.replace("-again.jpg", ".png")]


def test_a_set_without_files_cannot_be_listed(tmp_path: Path) -> None:
    pairs = [(0, 1, 1.0)]
    with pytest.raises(DataError, match="digits has no files to list"):
        write_together(tmp_path / "x.csv", open_images("digits"), pairs)
    (tmp_path / "set" / " odd").mkdir(parents=True)
    (tmp_path / "set" / "even").mkdir()
    for k, label in enumerate((" odd", "even")):
        Image.fromarray(np.full((4, 4), 9 * k, np.uint8)).save(tmp_path / "set" / label / "0.png")
    with pytest.raises(DataError, match="cannot stand in a CSV"):
        write_together(tmp_path / "x.csv", open_images(tmp_path / "set"), pairs)
    assert not (tmp_path / "x.csv").exists()
