"""The memory estimate against the allocator's trace of a step that was run, and against resident memory.

    python benchmarks/memory.py [--strangers-python PYTHON] [--only TEXT] [--autocast] [--json FILE]

PYTHON belongs to an environment that holds the same torch, and torchinfo.

Each network runs in a process of its own: two steps of forward, cross entropy, backward and AdamW in fp32,
the second of which is measured, then two forward passes without gradients. `estimate` is what
`training_memory` (`inference_memory`) says without running; `measured` the most bytes alive at one time by
PyTorch's profiler, which notes each allocation and each release; `at` the part of the step where that was;
`process` the most physical memory of the process during the step, of which Python, PyTorch, the network that
was copied and freed memory that was kept have some. `torchinfo` is its "Estimated Total Size" of the same
network and batch. MB are 10^6 bytes. Ends with 1 if a training estimate is more than 10 % off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CASES = (
    ("vgg16", (8, 3, 224, 224)),
    ("resnet50", (8, 3, 224, 224)),
    ("unet", (1, 1, 572, 572)),
    ("resnet18", (8, 3, 224, 224)),
    ("lecture_cnn", (128, 1, 28, 28)),
)
LIMIT = 0.10


def built(name: str) -> Any:
    """A network of the zoo, or the U-Net beside this file."""
    import torch

    torch.manual_seed(0)
    if name == "unet":
        from unet import UNet

        return UNet()
    from sightline.zoo import get_architecture

    return get_architecture(name).build()


def ours(name: str, shape: tuple[int, ...], *, autocast: bool) -> dict[str, Any]:
    """Estimated and measured, both ways."""
    import torch

    from sightline.blueprint import (
        inference_memory,
        measure_inference,
        measure_training,
        record,
        training_memory,
    )

    network = built(name)
    context: Any = torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext()
    with context:
        training = measure_training(network, shape)
        inference = measure_inference(network, shape)
    return {
        "training": training.to_dict(),
        "inference": inference.to_dict(),
        "training_estimate": training_memory(network, shape).to_dict(),
        "inference_estimate": inference_memory(record(network, shape)).peak,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def theirs(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """What torchinfo says of the same network."""
    import torchinfo

    seen = torchinfo.summary(built(name), input_size=shape, verbose=0)
    total = seen.total_input + seen.total_output_bytes + seen.total_param_bytes
    return {"torchinfo": total, "torchinfo_version": torchinfo.__version__}


def from_child(python: str, what: str, name: str) -> dict[str, Any]:
    """One case in a fresh process; a failure is its last line."""
    source = str(Path(__file__).resolve().parents[1] / "src")
    done = subprocess.run(
        [python, "-W", "ignore", __file__, "--child", what, "--only", name],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": source},
    )  # fmt: skip
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def printed(row: dict[str, Any]) -> None:
    """Both lines of a case."""
    name = f"{row['name']}, {'x'.join(map(str, row['shape']))}"
    if "failed" in row:
        print(f"| {name} | failed: {row['failed']} |", flush=True)
        return
    training, inference = row["training"], row["inference"]
    parts = {part: training[part] for part in ("forward", "backward", "update")}
    beside = megabytes(row["torchinfo"]) if row.get("torchinfo") else "-"
    for what, estimate, measured, at in (
        ("training", row["training_estimate"]["peak"], training, max(parts, key=lambda p: parts[p])),
        ("inference", row["inference_estimate"], inference, "forward"),
    ):
        print(
            f"| {name}, {what} | {megabytes(estimate)} | {megabytes(measured['peak'])} | {at} "
            f"| {estimate / measured['peak']:.3f} | {megabytes(measured['resident'])} | {beside} |",
            flush=True,
        )
    estimated = row["training_estimate"]["saved"]
    print(
        "    training: "
        + ", ".join(f"{part} {megabytes(most)}" for part, most in parts.items())
        + f"; saved for backward {megabytes(training['saved'])}, estimated {megabytes(estimated)}"
        + f"; process before it {megabytes(training['resident_before'])}",
        flush=True,
    )
    if "autocast" in row:
        under = row["autocast"]
        said = under.get("failed") or ", ".join(
            f"{what} {megabytes(under[what]['peak'])}" for what in ("training", "inference")
        )
        print(f"    under bf16 autocast, measured alone: {said}", flush=True)
    if "torchinfo_failed" in row:
        print(f"    torchinfo: {row['torchinfo_failed']}", flush=True)


def megabytes(size: int | None) -> str:
    """As people read it."""
    return "-" if size is None else f"{size / 1e6:,.1f}"


def main() -> None:
    """Print the table, or be the child that measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strangers-python", help="Python of the environment with torchinfo")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--autocast", action="store_true", help="measure under bf16 autocast, too")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    parser.add_argument("--child", choices=("ours", "autocast", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, shape = next(case for case in CASES if case[0] == options.only)
        row = (
            theirs(name, shape)
            if options.child == "theirs"
            else ours(name, shape, autocast=options.child == "autocast")
        )
        print(json.dumps(row))
        return
    print("| network, batch, pass | estimate MB | measured MB | at | ratio | process MB | torchinfo MB |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for name, shape in CASES:
        if options.only not in name:
            continue
        row: dict[str, Any] = {"name": name, "shape": shape} | from_child(sys.executable, "ours", name)
        if options.autocast:
            row["autocast"] = from_child(sys.executable, "autocast", name)
        if options.strangers_python:
            beside = from_child(options.strangers_python, "theirs", name)
            row |= {"torchinfo_failed": beside["failed"]} if "failed" in beside else beside
        rows.append(row)
        printed(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    off = [
        row["name"]
        for row in rows
        if "failed" in row or abs(row["training_estimate"]["peak"] / row["training"]["peak"] - 1) > LIMIT
    ]
    if off:
        sys.exit(f"more than {LIMIT:.0%} off, or failed: {', '.join(off)}")


if __name__ == "__main__":
    main()
