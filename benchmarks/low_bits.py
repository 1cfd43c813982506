"""Whether all of 16 bits reach the network: crops in two classes that differ in low bits alone.

    python benchmarks/low_bits.py FOLDER [--count 600] [--epochs 6] [--seeds 3]

FOLDER holds 16-bit TIFF files (`microscopy-16bit`). Each crop is used once. Half of them keep their values;
in the others, bits 0 to 4 carry stripes of 4 pixels: no value changes by 32 or more, and bits 5 to 15 are
equal. Two controls: the high byte alone, as a program that cuts 16 bits to 8 sees it, where the classes
are the same to the last bit; and 0 to 65535 stretched to 8 bits.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from sightline.training import SilentReporter, train

SIDE = 32


def crops(folder: Path, count: int) -> list[np.ndarray]:
    """Different crops of the 16-bit files of a folder, evenly from each."""
    files = [tifffile.imread(path) for path in sorted(folder.rglob("*.[tT][iI][fF]"))]
    files = [values for values in files if values.dtype == np.uint16 and values.ndim == 2]
    places = [
        (values, y, x)
        for values in files
        for y in range(0, values.shape[0] - SIDE + 1, SIDE)
        for x in range(0, values.shape[1] - SIDE + 1, SIDE)
    ]
    chosen = np.random.default_rng(0).permutation(len(places))[:count]
    return [
        places[i][0][places[i][1] : places[i][1] + SIDE, places[i][2] : places[i][2] + SIDE] for i in chosen
    ]


def striped(values: np.ndarray) -> np.ndarray:
    """The values with stripes in their five lowest bits."""
    stripes = (np.arange(SIDE) // 4 % 2 * 31).astype(np.uint16)
    return (values & np.uint16(0xFFE0)) | stripes[None, :]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found = crops(arguments.folder, arguments.count)
    ways = {
        "16 bits as stored": lambda values: values,
        "the high byte": lambda values: (values >> 8).astype(np.uint8),
        "0 to 65535 stretched to 8 bits": lambda values: np.rint(values / 257).astype(np.uint8),
    }
    print(f"{len(found)} crops of {SIDE}x{SIDE}, {arguments.epochs} epochs, {arguments.seeds} seeds")
    for name, way in ways.items():
        with tempfile.TemporaryDirectory() as place:
            for k, values in enumerate(found):
                label = ("plain", "striped")[k % 2]
                path = Path(place) / "set" / label / f"{k:04d}"
                path.parent.mkdir(parents=True, exist_ok=True)
                written = way(striped(values) if k % 2 else values)
                if written.dtype == np.uint16:
                    tifffile.imwrite(path.with_suffix(".tif"), written)
                else:
                    Image.fromarray(written).save(path.with_suffix(".png"))
            scores = [
                train(
                    str(Path(place) / "set"), model="resnet20", epochs=arguments.epochs, seed=seed,
                    symmetry="none", output=Path(place) / f"run-{seed}", reporter=SilentReporter(),
                )
                for seed in range(arguments.seeds)
            ]  # fmt: skip
        accuracies = [100 * result.value for result in scores]
        n = len(scores[0].evaluations[0].indices)
        print(
            f"{name}: {np.median(accuracies):.1f} % ({min(accuracies):.1f} to {max(accuracies):.1f}) "
            f"of {n} test images"
        )


if __name__ == "__main__":
    main()
