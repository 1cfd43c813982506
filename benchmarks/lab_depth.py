"""Record the curves of the lab's stop `depth`: what `sightline lab depth --live` trains.

    python benchmarks/lab_depth.py [--seed 0] [--output FILE.csv]

Plain and residual networks of 20 and 56 layers on 512 embedded digits, 80 steps of 32. `depth.py` trains the
same four on CIFAR-10 for as long as one has; its CSV can take the place of this one.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import torch

import sightline
from sightline.lab import Setting
from sightline.lab._curves import write_curves
from sightline.lab._depth_page import live
from sightline.machine import device_name

COLUMNS = ("model", "epoch", "steps", "train_accuracy", "val_accuracy", "batch")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    file = Path(sightline.__file__).parent / "lab" / "curves" / "depth.csv"
    parser.add_argument("--output", type=Path, default=file)
    options = parser.parse_args()
    learned = live(Setting(live=True, seed=options.seed))
    rows = [
        dict(zip(COLUMNS, (name, k, steps, 1 - train, 1 - test, learned.batch), strict=True))
        for name, epochs in learned.errors.items()
        for k, (steps, train, test) in enumerate(epochs, 1)
    ]
    threads = torch.get_num_threads()
    machine = f"{device_name(torch.device('cpu'))}, {threads} {'core' if threads == 1 else 'cores'}, float32"
    versions = f"sightline {sightline.__version__}, torch {torch.__version__}"
    command = f"python benchmarks/lab_depth.py --seed {options.seed}"
    about = (command, versions, machine, datetime.date.today().isoformat())
    write_curves(options.output, about, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
