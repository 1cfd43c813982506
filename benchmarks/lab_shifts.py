"""Record the curves of `sightline lab why-cnns`: a fully connected network and three others on moved digits.

    python benchmarks/lab_shifts.py [--seeds 1] [--output FILE]

Writes FILE, by default where the lab reads it, after each seed anew.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import torch

import sightline
from sightline.lab._curves import write_curves
from sightline.lab._shifted import COLUMNS, Row, try_all
from sightline.machine import device_name

CURVES = Path(sightline.__file__).parent / "lab" / "curves" / "why-cnns.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=CURVES)
    options = parser.parse_args()
    threads = torch.get_num_threads()
    machine = f"{device_name(torch.device('cpu'))}, {threads} {'core' if threads == 1 else 'cores'}, float32"
    versions = f"sightline {sightline.__version__}, torch {torch.__version__}"
    rows: list[Row] = []
    for seed in range(options.seeds):
        rows += try_all(seed, lambda *_: None)
        command = f"python benchmarks/lab_shifts.py --seeds {seed + 1}"
        about = (command, versions, machine, datetime.date.today().isoformat())
        write_curves(options.output, about, COLUMNS, rows)
        for row in rows[-8 * 9 :: 4]:
            print(*row.values(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
