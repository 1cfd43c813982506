"""How long the command line and the package take to start, beside torch.

    python benchmarks/startup.py [--n 15]

Whole processes, in turn, after one of each that is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

PYTHON = sys.executable
COMMANDS = {
    "python -c pass": [PYTHON, "-c", "pass"],
    "sightline --help": [str(Path(PYTHON).parent / "sightline"), "--help"],
    "sightline train --help": [str(Path(PYTHON).parent / "sightline"), "train", "--help"],
    "import sightline": [PYTHON, "-c", "import sightline"],
    "import torch": [PYTHON, "-c", "import torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=15)
    n = parser.parse_args().n
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for i in range(n + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if i:
                seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<24} {middle:.3f} s ({low:.3f} to {high:.3f}), n={n}")


if __name__ == "__main__":
    main()
