"""Record the curves of the lab's trials: thin networks, few images, a few seeds, on real photographs.

    python benchmarks/lab_curves.py CIFAR [--only kernel-sizes strides-pooling] [--images 4000] [--test 2000]
        [--epochs 8] [--seeds 3] [--output FOLDER]

CIFAR has `train/<class>/` and `test/<class>/` of 32x32 images; any folder of images does. Writes
`<entry>.csv` into FOLDER, by default where the lab reads it, a row an epoch, after each seed anew.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import torch

import sightline
from sightline.lab import _kernel_sizes, _strides_pooling
from sightline.lab._curves import write_curves
from sightline.lab._trials import COLUMNS, Row, small_set, try_all
from sightline.machine import device_name

TRIALS = {"kernel-sizes": _kernel_sizes.trials, "strides-pooling": _strides_pooling.trials}
CURVES = Path(sightline.__file__).parent / "lab" / "curves"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=CURVES)
    options = parser.parse_args()
    images = small_set(options.data, train=options.images, test=options.test)
    threads = torch.get_num_threads()
    machine = f"{device_name(torch.device('cpu'))}, {threads} {'core' if threads == 1 else 'cores'}, float32"
    versions = f"sightline {sightline.__version__}, torch {torch.__version__}"
    rows: dict[str, list[Row]] = {name: [] for name in options.only}
    for seed in range(options.seeds):
        for name in options.only:
            trials = TRIALS[name]()
            rows[name] += try_all(
                trials, images, epochs=options.epochs, seeds=[seed], progress=lambda *_: None
            )
            command = (
                f"python benchmarks/lab_curves.py CIFAR --only {name} --images {options.images} "
                f"--test {options.test} --epochs {options.epochs} --seeds {seed + 1}"
            )
            about = (command, versions, machine, datetime.date.today().isoformat())
            write_curves(options.output / f"{name}.csv", about, COLUMNS, rows[name])
            for row in rows[name][-len(trials) * options.epochs :]:
                if row["epoch"] == options.epochs:
                    accuracy = 100 * float(row["test_accuracy"])
                    print(f"{name}, seed {seed}: {row['model']} {accuracy:.2f} %", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
