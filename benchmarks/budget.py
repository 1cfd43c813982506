"""A set larger than the memory it may use: does memory stay where it is, epoch after epoch?

    python benchmarks/budget.py [--cache-mb 512] [--epochs 4] [--images 7500]

Makes the set in a temporary folder: JPEGs of 160x160x3, which are 576 MB decoded at 7,500, random cuts of
scikit-learn's two photographs in three classes (as it is, upside down, negative). Being larger than
`--cache-mb`, it must be decoded by workers as it is needed, which is asserted. Memory is the sum of Pss
over the process and all its workers (a page that is shared counts once), taken at the end of each epoch,
validation included, and as a high-water mark four times a second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

HERE = Path(__file__).resolve()
SIDE, QUALITY = 160, 90
CLASSES = ("as it is", "upside down", "negative")
SAMPLE_SECONDS = 0.25


class SmallNetwork(nn.Module):
    """A first convolution of stride 4, so that decoding, not the network, is what is waited for."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 16, 7, stride=4, padding=3), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class Watch:
    """A reporter that looks at the memory of this process and its workers at the end of each epoch."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []
        self.peak = 0.0
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def note(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def progress(self, what: str, done: int, total: int, detail: Callable[[], str] | None = None) -> None:
        """Nothing."""

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        from process_memory import tree_megabytes

        row, (megabytes, processes) = rows[-1], tree_megabytes(os.getpid())
        self.megabytes.append(megabytes)
        print(
            f"  epoch {row['epoch']}: {megabytes:.1f} MB in {processes} processes, "
            f"{row['images_per_second']:.0f} images/s, validation accuracy {row['val_accuracy']:.4f}",
            flush=True,
        )

    def end(self) -> None:
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        from process_memory import tree_megabytes

        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, tree_megabytes(os.getpid())[0])


def make(job: tuple[str, int, int]) -> None:
    """Some of the images: number i is always the same."""
    from PIL import Image

    from sightline.imaging import photograph

    root, first, last = job
    photographs = [photograph(name) for name in ("china", "flower")]
    for i in range(first, last):
        draw = np.random.default_rng(i)
        whole = photographs[draw.integers(2)]
        side = int(draw.integers(SIDE // 2, 2 * SIDE))
        top, left = (int(draw.integers(0, length - side + 1)) for length in whole.shape[:2])
        cut = whole[top : top + side, left : left + side]
        kind = i % len(CLASSES)
        cut = (cut, cut[::-1], 255 - cut)[kind]
        image = Image.fromarray(np.ascontiguousarray(cut)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        image.save(Path(root) / CLASSES[kind] / f"{i:05d}.jpg", quality=QUALITY)


def make_all(root: Path, images: int) -> None:
    for name in CLASSES:
        (root / name).mkdir(parents=True)
    jobs = [(str(root), first, min(first + 250, images)) for first in range(0, images, 250)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(make, jobs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache-mb", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=7500)
    options = parser.parse_args()

    import torch
    import yaml

    from sightline import __version__
    from sightline.training import train

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images"
        started = time.perf_counter()
        make_all(data, options.images)
        on_disk = sum(path.stat().st_size for path in data.rglob("*.jpg")) / 1e6
        decoded = options.images * SIDE * SIDE * 3 / 1e6
        print(
            f"{options.images} JPEGs of {SIDE}x{SIDE}x3, {on_disk:.0f} MB, {decoded:.0f} MB decoded, made in "
            f"{time.perf_counter() - started:.0f} s; {options.cache_mb} MB may be kept"
        )
        watch = Watch()
        result = train(
            str(data), model=f"{HERE}:SmallNetwork", img_size=SIDE, epochs=options.epochs,
            cache_mb=options.cache_mb, output=Path(folder) / "run", reporter=watch,
        )  # fmt: skip
        watch.end()
        path = yaml.safe_load((result.run / "args.yaml").read_text())["data"]["path"]
    print(f"data path: {path}")
    assert path == "workers", f"the set was to be larger than the budget, yet its path is {path}"
    print(f"memory at the ends of epochs: {', '.join(f'{m:.1f}' for m in watch.megabytes)} MB")
    print(f"memory at most: {watch.peak:.1f} MB (sampled, opening and judging included)")
    if len(watch.megabytes) > 2:
        second, last = watch.megabytes[1], watch.megabytes[-1]
        growth = last - second
        print(f"growth from epoch 2 to {options.epochs}: {growth:+.1f} MB ({100 * growth / second:+.2f} %)")
    print(f"{result.images_per_second:.0f} images/s in training, test accuracy {result.value:.4f}")
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"sightline {__version__}, torch {torch.__version__}, Python {python}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
