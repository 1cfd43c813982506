"""Accuracies that are runs: the command line trains and judges, and what its JSON says is printed.

    python benchmarks/accuracy.py --what digits_folds
    python benchmarks/accuracy.py FASHION --what fashion
    python benchmarks/accuracy.py MNIST --what mnist

FASHION and MNIST are folders with `train/<class>/` and `test/<class>/`. The runs are made in a temporary
folder; how they go is on standard error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARGUMENTS = {
    "digits_folds": ["--model", "lenet5", "--folds", "5"],
    "fashion": ["--model", "lecture_cnn", "--epochs", "5", "--repeat", "3"],
    "mnist": ["--model", "lenet5", "--epochs", "5", "--repeat", "3"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="the folder; not for digits_folds")
    parser.add_argument("--what", choices=tuple(ARGUMENTS), required=True)
    options = parser.parse_args()
    if (options.data is None) != (options.what == "digits_folds"):
        parser.error(f"{options.what} {'needs its folder' if options.data is None else 'takes no folder'}")
    data = "digits" if options.data is None else str(Path(options.data).resolve())
    command = [sys.executable, "-m", "sightline", "train", data, *ARGUMENTS[options.what], "--json"]
    print(f"sightline {' '.join(command[3:])}", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        print(f"it ended with {done.returncode}")
        return 1
    found: dict[str, Any] = json.loads(done.stdout)
    runs: list[Any] = found.get("runs", [])
    for run in runs:
        print(f"  {run if isinstance(run, str) else json.dumps(run)}")
    low, high = found["interval"]
    print(
        f"{options.what}: {found['metric']} {100 * found['value']:.2f} % "
        f"({100 * low:.2f} to {100 * high:.2f}), {len(runs)} runs, {seconds:.0f} s in all"
    )
    print(json.dumps({name: value for name, value in found.items() if name != "runs"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
