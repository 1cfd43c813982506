"""Every recipe to its end on real data, at a small scale.

    python benchmarks/recipes.py --flowers FLOWERS --cifar CIFAR [--only NAME...] [--csv runs.csv]
        [--img-size 96]

FLOWERS and CIFAR are folders of class folders, flowers at 128 pixels and CIFAR-10 (a JPEG copy will do). Each
run is one command; what it says of itself as JSON is printed, and with `--csv` a row is added to that file:
what, command, accuracy with its interval, epochs, seconds, machine, date. The scale is
far from the papers': what the figures show is that a recipe trains the network it was written for, not what
the paper reached.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COLUMNS = (
    "what", "command", "metric", "value", "low", "high", "epochs", "seconds", "images_per_second", "machine",
    "torch", "date",
)  # fmt: skip

# What is trained on what, and how long: a minute to some on two cores.
RUNS: dict[str, list[str]] = {
    "lenet_1998": ["digits", "--model", "lenet5_1998", "--recipe", "lenet_1998"],
    "alexnet_2012": ["FLOWERS", "--model", "alexnet", "--recipe", "alexnet_2012", "--epochs", "20"],
    "vgg_2014": ["FLOWERS", "--model", "vgg11", "--recipe", "vgg_2014", "--epochs", "5"],
    "googlenet_2014": ["FLOWERS", "--model", "googlenet", "--recipe", "googlenet_2014", "--epochs", "10"],
    "prelu_2015": ["FLOWERS", "--model", "prelunet_a", "--recipe", "prelu_2015", "--epochs", "2"],
    "resnet_2015": ["FLOWERS", "--model", "resnet18", "--recipe", "resnet_2015", "--epochs", "10"],
    "modern": ["FLOWERS", "--model", "resnet18", "--recipe", "modern", "--epochs", "15"],
    "default": ["FLOWERS", "--model", "resnet20", "--recipe", "default", "--epochs", "20"],
    "airbench94": ["CIFAR", "--model", "airbench94", "--recipe", "airbench94", "--epochs", "2"],
}
SIZE = {
    "alexnet_2012": "96",
    "vgg_2014": "96",
    "googlenet_2014": "96",
    "prelu_2015": "64",
    "resnet_2015": "96",
    "modern": "96",
    "default": "32",
}
CONTINUED = {
    "fine_tune": ["FLOWERS", "--model", "resnet20", "--recipe", "fine_tune", "--img-size", "32"],
    "linear_probe": ["FLOWERS", "--model", "resnet20", "--recipe", "linear_probe"],
}
"""These start from weights (`--weights`), of ResNet-20 on CIFAR-10."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowers", type=Path, required=True)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument(
        "--weights", type=Path, help="of ResNet-20 on CIFAR-10, for fine_tune and linear_probe"
    )
    parser.add_argument("--only", nargs="+", choices=(*RUNS, *CONTINUED))
    parser.add_argument("--img-size", type=int, help="instead of 96 and 64, for less time")
    parser.add_argument("--repeat", type=int, help="so many runs of each, with other seeds")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    folders = {"FLOWERS": str(options.flowers.resolve()), "CIFAR": str(options.cifar.resolve())}
    failed = 0
    for name in options.only or (*RUNS, *(CONTINUED if options.weights else ())):
        command = list(RUNS.get(name) or CONTINUED[name])
        large = name in SIZE and name != "default"
        size = str(options.img_size) if options.img_size and large else SIZE.get(name)
        command += ["--img-size", size] if size else []
        if name in CONTINUED:
            command += ["--weights", str(options.weights.resolve())]
        if options.repeat:
            command += ["--repeat", str(options.repeat)]
        found = run([folders.get(word, word) for word in command])
        if found is None:
            failed += 1
            continue
        low, high = found.get("interval") or (None, None)
        spread = "" if low is None else f" ({100 * low:.2f} to {100 * high:.2f})"
        print(
            f"{name}: {found['metric']} {100 * found['value']:.2f} %{spread}, {found['epochs']} epochs, "
            f"{found['seconds']:.0f} s of training, {found['whole']:.0f} s in all",
            flush=True,
        )
        if options.csv is not None:
            add(options.csv, name, command, found, low, high)
    return 1 if failed else 0


def run(arguments: list[str]) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "sightline", "train", *arguments, "--json"]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(command[3:])} ended with {done.returncode}", flush=True)
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"whole": time.perf_counter() - began}


def add(path: Path, name: str, command: list[str], found: dict[str, Any], low: Any, high: Any) -> None:
    import torch

    from sightline.machine import choose_device, device_name, usable_cores

    kept = ["WEIGHTS" if "/" in word else word for word in command]
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(
            [
                name, f"sightline train {' '.join(kept)}", found["metric"], found["value"], low, high,
                found["epochs"], round(found["seconds"], 1), found.get("images_per_second"),
                f"{device_name(choose_device('auto'))}, {usable_cores()} cores, {platform.system()}",
                torch.__version__, datetime.date.today().isoformat(),
            ]
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
