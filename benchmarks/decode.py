"""Images a second of one core, from JPEG file to what a network is given, against Pillow's usual way.

    python benchmarks/decode.py DATA [--pairs 7] [--images 192] [--size 224] [--mosaics 2 4 8]

One process, one thread, batches of 64, files in the operating system's cache, freed memory kept by the
allocator for both. In each round ours and the peer take the same files, and who begins alternates; ratios
are taken round by round.

Ours, as in training: a worker's part (`WorkerBatches` in this process: decode, a JPEG at a reduced scale
where that is allowed, and frame the whole image on the canvas) and the batch's part (range, the default
recipe's augmentation, mean and deviation, as in the training loop). A set within `--cache-mb` is decoded but
once: its batches come out of an array, here in memory (`MemoryBatches`), which is a line of its own.

The peer, written out from the usual transforms, one image after the other: `Image.open`, `convert("RGB")`,
a random box of 8 to 100 % of the area and an aspect of 3/4 to 4/3, `resize` of that box (bilinear,
antialiased), mirror, a float CHW tensor / 255, mean and deviation; then `torch.stack`.

What differs: the peer resizes a part of the image, on average half of it, to the full square, and changes
nothing else but its side. Ours keeps the whole image, fits it (500x375 becomes 224x168, its edge repeated),
turns and zooms it as well, and gives each image's matrix. Of the peer's work all is a worker's; of ours the
batch's part is the main process's, on the device. So there is a line for the whole of both, for decoding to
pixels alone, for the rest alone, and for what a worker does.

`--mosaics K` adds sizes: pages of K x K of the photographs, each 500x375, saved at quality 90.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sightline.base import Draws
from sightline.data import BatchSource, ImageSet, open_batches
from sightline.imaging import Canvas, Preprocessing, augment
from sightline.machine import keep_freed_memory
from sightline.training.recipes import default

BATCH = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOGRAPH = (500, 375)


def jpegs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def image_set(files: Sequence[Path]) -> ImageSet:
    """Files as a set of one class, without opening them as a user's set is."""
    sizes = [Image.open(file).size for file in files]
    root = Path(os.path.commonpath([file.parent for file in files]))
    return ImageSet(
        source=str(root),
        names=tuple(file.relative_to(root).as_posix() for file in files),
        targets=np.zeros(len(files), dtype=np.int64),
        classes=("any",),
        channels=3,
        sizes=np.array([(height, width) for width, height in sizes], dtype=np.int32),
        digests=("",) * len(files),
        parts=(None,) * len(files),
        root=root,
    )


class Ours:
    """What training does with an image."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.images = image_set(files)
        self.canvas = Canvas(size, size, 3)
        self.settings = default(num_images=20_000, channels=3, size=(size, size)).augmentation
        self.preprocessing = Preprocessing(size=(size, size), fit="none", mean=MEAN, std=STD)
        self.order = np.array_split(np.arange(len(files)), -(-len(files) // BATCH))
        self.worker = open_batches(self.images, self.canvas, path="workers", workers=0)
        self.stored = [batch.images for batch in self.worker.batches(self.order, training=True)]
        self.cached = open_batches(
            dataclasses.replace(
                self.images, root=None, pixels=np.concatenate([one.numpy() for one in self.stored])
            ),
            self.canvas,
        )

    def batch_part(self, stored: Tensor, ids: NDArray[np.int64]) -> Tensor:
        x = self.preprocessing.scale(stored)
        x, _ = augment(x, self.settings, Draws(0), ids)
        return self.preprocessing.normalise(x)

    def decoded(self) -> None:
        for _ in self.worker.batches(self.order, training=True):
            pass

    def batched(self) -> None:
        for stored, ids in zip(self.stored, self.order, strict=True):
            self.batch_part(stored, ids)

    def _through(self, source: BatchSource) -> None:
        for batch in source.batches(self.order, training=True):
            self.batch_part(batch.images, batch.ids)

    def whole(self) -> None:
        self._through(self.worker)

    def from_memory(self) -> None:
        self._through(self.cached)


class Peer:
    """The usual transforms of an image, each image alone."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self.files, self.size = files, size
        self.random = random.Random(0)
        self.mean = torch.tensor(MEAN).view(3, 1, 1)
        self.std = torch.tensor(STD).view(3, 1, 1)
        self.resized = [self.decode(file) for file in files]

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """As torchvision's RandomResizedCrop draws it; the whole where ten draws do not fit."""
        for _ in range(10):
            area = width * height * self.random.uniform(0.08, 1.0)
            aspect = math.exp(self.random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = self.random.randint(0, width - w), self.random.randint(0, height - h)
                return left, top, left + w, top + h
        return 0, 0, width, height

    def decode(self, file: Path) -> Image.Image:
        image = Image.open(file).convert("RGB")
        box = self.box(*image.size)
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)

    def tensor(self, image: Image.Image) -> Tensor:
        if self.random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()  # h w c -> c h w
        return x.float().div_(255).sub_(self.mean).div_(self.std)

    def decoded(self) -> None:
        for file in self.files:
            self.decode(file)

    def batched(self) -> None:
        for start in range(0, len(self.files), BATCH):
            torch.stack([self.tensor(image) for image in self.resized[start : start + BATCH]])

    def whole(self) -> None:
        for start in range(0, len(self.files), BATCH):
            torch.stack([self.tensor(self.decode(file)) for file in self.files[start : start + BATCH]])


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def spread(values: Sequence[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def compare(what: str, files: Sequence[Path], size: int, pairs: int) -> None:
    """Print the rates of one group of files, and the ratios of each part."""
    megapixels = statistics.median(math.prod(Image.open(file).size) / 1e6 for file in files)
    kilobytes = statistics.median(len(file.read_bytes()) / 1e3 for file in files)  # and into the file cache
    print(f"{what}: {len(files)} files, median {megapixels:.2f} megapixels, {kilobytes:.0f} kB")
    ours, peer = Ours(files, size), Peer(files, size)
    parts: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "whole": (ours.whole, peer.whole),
        "decode and frame | decode, crop, resize": (ours.decoded, peer.decoded),
        "batch's part | tensor, normalise, stack": (ours.batched, peer.batched),
        "worker's part | whole": (ours.decoded, peer.whole),
        "whole, decoded before | whole": (ours.from_memory, peer.whole),
    }
    for name, (one, two) in parts.items():
        one()  # a warm-up
        two()
        rates: list[tuple[float, float]] = []
        for pair in range(pairs):
            if pair % 2:
                other, own = seconds(two), seconds(one)
            else:
                own, other = seconds(one), seconds(two)
            rates.append((len(files) / own, len(files) / other))
        ratios = [own / other for own, other in rates]
        own_rates, other_rates = zip(*rates, strict=True)
        print(
            f"  {name:<40} ours {spread(own_rates, 0)} images/s, peer {spread(other_rates, 0)}, "
            f"ratio {spread(ratios, 2)}",
            flush=True,
        )


def mosaics(files: Sequence[Path], k: int, folder: Path, count: int) -> list[Path]:
    """Pages of k x k photographs, as a camera of more pixels would give."""
    width, height = PHOTOGRAPH
    made = []
    for number in range(count):
        page = Image.new("RGB", (width * k, height * k))
        for place in range(k * k):
            photograph = Image.open(files[(number * k * k + place) % len(files)]).convert("RGB")
            corner = (place % k * width, place // k * height)
            page.paste(photograph.resize(PHOTOGRAPH, Image.Resampling.BICUBIC), corner)
        made.append(folder / f"{k}-{number}.jpg")
        page.save(made[-1], quality=90)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--mosaics", type=int, nargs="*", default=[2, 4, 8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    files = jpegs(options.data)
    assert files, f"{options.data} holds no JPEG files"
    step = max(1, len(files) // options.images)
    compare(str(options.data), files[::step][: options.images], options.size, options.pairs)
    for k in options.mosaics:
        with tempfile.TemporaryDirectory() as folder:
            pages = mosaics(files, k, Path(folder), max(8, options.images // (k * k)))
            compare(f"mosaics of {k} x {k}", pages, options.size, options.pairs)
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}, torch {torch.__version__}, Pillow {PIL.__version__}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
