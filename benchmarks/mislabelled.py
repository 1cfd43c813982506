"""Swapped labels in class folders: how many are told after `train --folds`, and how many told wrongly.

    python benchmarks/mislabelled.py DATA [--share 0.05] [--seed 0] [--folds 3] [--epochs 10] [--img-size 48]

The files are linked into a folder of their own, a share of them (drawn by the seed, evenly over all images)
under another class drawn evenly; DATA is not changed. One series of folds is trained on that folder, and what
it says of the labels is compared with what was swapped. Recall is the share of the swapped images that are
told; precision the share of those told that were swapped. Images that DATA itself has under a wrong class
count against precision. Beside it, the plain rule: every image that its network answers otherwise than filed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

ENDINGS = (".jpg", ".jpeg", ".png")


def link_with_swaps(data: Path, target: Path, share: float, seed: int) -> dict[str, tuple[str, str]]:
    """Link every image, some under another class. Returns {name in the set: (true class, given class)}."""
    files = sorted(path for path in data.glob("*/*") if path.suffix.lower() in ENDINGS)
    classes = sorted({path.parent.name for path in files})
    generator = np.random.default_rng(seed)
    swapped = set(generator.choice(len(files), round(share * len(files)), replace=False).tolist())
    found = {}
    for i, path in enumerate(files):
        true = given = path.parent.name
        if i in swapped:
            given = classes[(classes.index(true) + int(generator.integers(1, len(classes)))) % len(classes)]
        name = f"{given}/{i:06d}{path.suffix}"
        (target / given).mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(path.resolve())
        found[name] = true, given
    return found


def line(rule: str, told: set[str], swapped: set[str]) -> str:
    hits = len(told & swapped)
    return (
        f"{rule}: {len(told)} told, {hits} of {len(swapped)} swapped; "
        f"recall {hits / len(swapped):.3f}, precision {hits / max(1, len(told)):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=0.05, help="of the images that are swapped")
    parser.add_argument("--seed", type=int, default=0, help="of the swaps")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--img-size", type=int, default=48)
    parser.add_argument("--keep", type=Path, help="a folder for the run, which is thrown away otherwise")
    options = parser.parse_args()

    import sightline
    from sightline.training import SilentReporter

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch, "images")
        labels = link_with_swaps(options.data, images, options.share, options.seed)
        swapped = {name for name, (true, given) in labels.items() if true != given}
        print(f"{options.data.name}: {len(labels)} images, {len(swapped)} under another class", flush=True)
        result = sightline.train(
            str(images),
            model=options.model,
            folds=options.folds,
            epochs=options.epochs,
            img_size=options.img_size,
            output=options.keep or Path(scratch, "series"),
            reporter=SilentReporter(),
        )
    print(result.describe())
    assert result.labels is not None
    review = result.labels.review
    names = [review.images.names[i] for i in review.indices.tolist()]
    told = [issue.name for issue in review.issues]
    right = sum(labels[issue.name][0] == issue.suggested for issue in review.issues if issue.name in swapped)
    wrong = review.probabilities.argmax(axis=1) != review.images.targets[review.indices]
    print(line("confident learning", set(told), swapped))
    print(f"  true class suggested: {right} of {len(set(told) & swapped)}")
    told_wrongly = len(set(told) - swapped)
    print(f"  labels wrong with every suggestion taken: {len(swapped) - right + told_wrongly}")
    for count in (50, len(swapped)):
        print(line(f"  first {count}", set(told[:count]), swapped))
    every = {names[row] for row in np.flatnonzero(wrong).tolist()}
    print(line("every wrong answer", every, swapped))
    print(f"{result.seconds:.0f} s of training, {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
