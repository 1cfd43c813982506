"""How long a summary takes: ResNet-152 from name to table beside torchinfo, and the verbs as whole processes.

    python benchmarks/summary_speed.py [--strangers-python PYTHON] [--rounds 7] [--only table|processes]

PYTHON belongs to an environment with the same torch, torchvision and torchinfo. In each round everything runs
once, in turn, after one round that is not counted; ratios are taken round by round.

- table: one process a round and side, the packages imported and one small network summarised first; then,
  timed, the network built from its name, read for one image of 3x224x224, and its table made as text.
  Ours builds on `meta`. torchinfo: `torchvision.models.resnet152()`, `summary(..., verbose=0)`, `str`; said
  beside it, its time without the building.
- processes: `sightline summary resnet152` against `python -c "import torch"`, and the verbs that never import
  torch. A verb that fails is said, and the script ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

NAME = "resnet152"
SOURCE = Path(__file__).resolve().parents[1] / "src"
DESIGN = "32x32x3 conv:10,k5,p2 relu pool:2 flatten fc:10"


# ---------------------------------------------------------------- in process


def our_table(name: str) -> str:
    """From the name to the text of the table."""
    from sightline.blueprint import record, summarize
    from sightline.inference import network_at

    there = network_at(name)
    return summarize(record(there.network, *there.inputs, name=name)).text()


def their_table(name: str, timed: dict[str, float]) -> str:
    """The same with torchvision and torchinfo; `timed` receives what the reading alone took."""
    import torchinfo
    import torchvision

    network = torchvision.models.get_model(name, weights=None)
    started = time.perf_counter()
    text = str(torchinfo.summary(network, input_size=(1, 3, 224, 224), verbose=0))
    timed["reading alone"] = time.perf_counter() - started
    return text


def child(side: str) -> None:
    """Be one side: import, warm up, time, print one line of JSON."""
    timed: dict[str, float] = {}
    if side == "theirs":
        import torch

        library = torch.library.Library("torchvision", "DEF")  # wheels for another torch lack their operators
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        their_table("resnet18", {})
        started = time.perf_counter()
        text = their_table(NAME, timed)
    else:
        our_table("resnet18")
        started = time.perf_counter()
        text = our_table(NAME)
    timed["seconds"] = time.perf_counter() - started
    print(json.dumps(timed | {"lines": text.count("\n") + 1}))


def table_seconds(python: str, side: str) -> dict[str, float]:
    """Of one fresh process."""
    command = [python, "-W", "ignore", __file__, "--child", side]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"the process of {side} failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tables(strangers_python: str, rounds: int) -> None:
    """Both sides in turn; medians and ratios."""
    sides: dict[str, list[float]] = {"sightline": [], "torchinfo": [], "torchinfo, reading alone": []}
    for round_ in range(rounds + 1):
        ours = table_seconds(sys.executable, "ours")
        theirs = table_seconds(strangers_python, "theirs")
        if round_:
            sides["sightline"].append(ours["seconds"])
            sides["torchinfo"].append(theirs["seconds"])
            sides["torchinfo, reading alone"].append(theirs["reading alone"])
    print(f"{NAME}, from name to table, in process, n={rounds}")
    for name, seconds in sides.items():
        print(f"  {name:<48} {spread(seconds)} s")
    for name in ("torchinfo", "torchinfo, reading alone"):
        print(f"  {name + ' / sightline':<48} {spread(ratios(sides[name], sides['sightline']))}")


# ---------------------------------------------------------------- whole processes


def processes(rounds: int, folder: Path) -> list[str]:
    """Every verb in turn; the names of those that failed."""
    sightline = str(Path(sys.executable).parent / "sightline")
    commands = {
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        f"sightline summary {NAME}": [sightline, "summary", NAME],
        f"sightline design {DESIGN}": [sightline, "design", *DESIGN.split()],
        "sightline convolve lecture-5x5": [sightline, "convolve", "lecture-5x5"],
        "sightline filter china sharpen": [
            sightline, "filter", "china", "sharpen", "-o", str(folder / "filtered.png")
        ],
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    failed: dict[str, str] = {}
    for round_ in range(rounds + 1):
        for name, command in commands.items():
            if name in failed:
                continue
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                failed[name] = f"ended with {done.returncode}: {lines[-1] if lines else ''}"
            elif round_:
                seconds[name].append(time.perf_counter() - started)
    print(f"whole processes, n={rounds}")
    for name in commands:
        print(f"  {name:<72} {failed[name] if name in failed else spread(seconds[name]) + ' s'}")
    importing, summary = list(commands)[:2]
    if summary not in failed:
        print(f"  {'summary / import torch':<72} {spread(ratios(seconds[summary], seconds[importing]))}")
    return list(failed)


def spread(values: Sequence[float]) -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strangers-python", help="Python of the environment with torchvision and torchinfo")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("table", "processes"))
    parser.add_argument("--child", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; it is {options.rounds}")
    failed: list[str] = []
    if options.only != "table":
        with tempfile.TemporaryDirectory() as folder:
            failed = processes(options.rounds, Path(folder))
    if options.only != "processes":
        if options.strangers_python:
            tables(options.strangers_python, options.rounds)
        else:
            print("left out, for want of --strangers-python: the table beside torchinfo")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
