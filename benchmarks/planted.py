"""Planted faults in real images: which of them `check` tells, and what it tells beside.

    python benchmarks/planted.py DATA [--each 15] [--seed 0]

DATA has `<class>/` folders, or `train/<class>/` and `val/<class>/`, of photographs. All are linked into a
folder that is divided into train and test, every fifth to test; DATA is not changed. Into it are planted,
`--each` times a kind of copy and place: byte for byte, at two thirds of the size, saved again, brighter,
cut by 3 % and 5 %; within the class, under another class, in the other part. Told means: the copy and an
image that is the same as its original stand in one case under the heading of their place. Pairs that are
told of the images alone are natural ones; what is told beside these and is not of a copy and its kin is
wrong. Then the same images under names of patients, whom the parts divide: the groups that are told.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from sightline.data import examine_images

ENDINGS = (".jpg", ".jpeg", ".png")
PLACES = {"within": ("Exact duplicates", "Near duplicates"), "class": ("Label faults",), "part": ("Leaks",)}


def saved(change: str, image: Image.Image, path: Path) -> None:
    width, height = image.size
    if change == "smaller":
        image = image.resize((max(1, 2 * width // 3), max(1, 2 * height // 3)), Image.Resampling.LANCZOS)
    elif change == "brighter":
        image = image.point([min(255, round(1.3 * level)) for level in range(256)] * len(image.getbands()))
    elif change.startswith("cut"):
        x, y = (round(float(change[3:]) * side) for side in image.size)
        image = image.crop((x, y, width - x, height - y))
    image.save(path, quality=85)


CHANGES = ("exact", "smaller", "again", "brighter", "cut0.03", "cut0.05")


def files_of(data: Path) -> list[tuple[str, Path]]:
    """(class, file) of every image."""
    found = [path for path in sorted(data.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file()]
    return [(path.parent.name, path) for path in found]


def divided(files: list[tuple[str, Path]], folder: Path) -> list[tuple[str, str, Path]]:
    """Link all, every fifth to test. Returns (part, class, link) of each."""
    out = []
    for i, (name, path) in enumerate(files):
        part = "test" if i % 5 == 0 else "train"
        link = folder / part / name / f"{i:05d}{path.suffix.lower()}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
        out.append((part, name, link))
    return out


def pairs(folder: Path) -> set[tuple[str, frozenset[str]]]:
    """(heading, the two images) of every pair that is told."""
    cases = examine_images(folder).cases
    kinds = {kind for kinds in PLACES.values() for kind in kinds}
    return {(one.kind, frozenset(one.names)) for one in cases if one.kind in kinds and len(one.names) == 2}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--each", type=int, default=15, help="copies of each kind in each place")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = files_of(options.data)
    classes = sorted({name for name, _ in files})
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain")
        divided(files, plain)
        natural = {names for _, names in pairs(plain)}
        twins = {
            name: {name} for name in (str(p.relative_to(plain)) for p in plain.rglob("*") if p.is_file())
        }
        for names in natural:
            for name in names:
                twins[name] |= names
        folder = Path(scratch, "planted")
        links = divided(files, folder)
        generator = random.Random(options.seed)
        planted: dict[str, tuple[str, str, str]] = {}
        originals = generator.sample(links, min(len(links), options.each * len(CHANGES) * len(PLACES)))
        wanted = [(c, p) for _ in range(options.each) for c in CHANGES for p in PLACES]
        for number, ((change, place), (part, name, link)) in enumerate(zip(wanted, originals, strict=False)):
            to_part = {"part": {"train": "test", "test": "train"}[part]}.get(place, part)
            to_class = classes[(classes.index(name) + 1) % len(classes)] if place == "class" else name
            copy = folder / to_part / to_class / f"copy{number:05d}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if change == "exact":
                shutil.copy(link, copy)
            else:
                with Image.open(link) as image:
                    saved(change, image.convert("RGB"), copy)
            planted[str(copy.relative_to(folder))] = change, place, str(link.relative_to(folder))
        began = time.perf_counter()
        told = pairs(folder)
        seconds = time.perf_counter() - began
    hits: dict[tuple[str, str], list[bool]] = {}
    for copy_name, (change, place, original) in planted.items():
        same = twins[original]
        hit = any(copy_name in names and names & same and kind in PLACES[place] for kind, names in told)
        hits.setdefault((change, place), []).append(hit)
    kin = {copy_name: twins[original] for copy_name, (_, _, original) in planted.items()}
    wrong = [
        names
        for _, names in told
        if names not in natural
        and not any(
            one in kin and (other in kin[one] or (other in kin and kin[other] & kin[one]))
            for one in names
            for other in names - {one}
        )
    ]
    print(f"{options.data.name}: {len(files)} images, {len(planted)} planted, {seconds:.1f} s")
    for change in CHANGES:
        row = {place: hits.get((change, place), []) for place in PLACES}
        print(f"  {change:<9}" + "  ".join(f"{place} {sum(h)} of {len(h)}" for place, h in row.items()))
    right = sum(map(sum, hits.values()))
    print(
        f"  recall {right / len(planted):.3f}; pairs told beside: {len(natural)} natural, {len(wrong)} wrong;"
    )
    print(f"  precision {1 - len(wrong) / max(1, len(told)):.3f} of {len(told)} pairs")
    with tempfile.TemporaryDirectory() as scratch:
        for i, (name, path) in enumerate(files):
            part = "test" if i % 5 == 0 else "train"
            link = Path(scratch) / part / name / f"patient{i % 23:02d}_image{i:05d}{path.suffix.lower()}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        found = [one.finding for one in examine_images(Path(scratch)).cases if one.kind == "Groups"]
        print(f"  23 patients: {[f'{one.level}: {one.what} -> {one.do}' for one in found] or 'not told'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
