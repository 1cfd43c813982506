"""Sets of up to a million files: seconds and memory of opening, splitting and decoding as needed.

    python benchmarks/million.py [N] [--distinct] [--seconds 20]

Makes a set of N tiny files (JPEG and PNG, 32x32) in 200 class folders of a temporary place, by hard links to
300 different images, each under its own name; `--distinct` writes N files that differ instead, so that no
two have one digest. It measures 10^4, 10^5, ... up to N images, each step in a new process:

- first: `open_images` with an empty cache; every file is read;
- again: `open_images` with what the first left;
- split: `split_images`, and its digest, after opening again;
- check: `open_images(training=False, allow_unreadable=True)`, as checking does;
- workers: the worker path after opening again: its first training batch of 128, then its rate.

Seconds begin after the imports, which import torch. Files are in the operating system's cache. Memory is the
high-water mark (VmHWM) of the process itself, and of each of the processes it started the same, summed
(sampled four times a second; what they share with each other counts in each). Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_SECONDS = 0.25
CLASSES = 200
DIFFERENT = 300
BATCH = 128
STEPS = ("first", "again", "split", "check", "workers")


def make(root: Path, count: int, distinct: bool) -> None:
    """A set of so many files: number i is always the same."""
    import io

    import numpy as np
    from PIL import Image

    from sightline.imaging import photograph

    whole = photograph("china")
    contents = []
    for i in range(DIFFERENT):
        draw = np.random.default_rng(i)
        top, left = (int(draw.integers(0, length - 32)) for length in whole.shape[:2])
        file = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(whole[top : top + 32, left : left + 32]))
        image.save(file, "JPEG" if i % 2 else "PNG", **({"quality": 80} if i % 2 else {}))
        contents.append(file.getvalue())
    originals = root.with_name(f"{root.name}-originals")
    originals.mkdir(parents=True)
    for i, content in enumerate(contents):
        (originals / str(i)).write_bytes(content)
    folders = [root / f"class_{label:03d}" for label in range(CLASSES)]
    for folder in folders:
        folder.mkdir(parents=True)
    for i in range(count):
        which = i % DIFFERENT
        path = f"{folders[i * CLASSES // count]}/image_{i:07d}.{'jpg' if which % 2 else 'png'}"
        if distinct:
            with open(path, "wb") as file:  # noqa: PTH123  -- a million times
                file.write(contents[which] + i.to_bytes(8, "big"))  # decoders stop at the image's end
        else:
            os.link(f"{originals}/{which}", path)


def child(step: str, data: str, seconds: float) -> dict[str, float]:
    """One step, in this process."""
    import numpy as np
    import torch  # noqa: F401  -- so that importing it counts in no step

    from sightline.data import WorkerBatches, open_batches, open_images, split_images
    from sightline.imaging import Canvas

    found = {"imported_mb": own_megabytes("VmHWM")}
    started = time.perf_counter()
    if step == "check":
        images = open_images(data, training=False, allow_unreadable=True)
    else:
        images = open_images(data)
    found["seconds"] = time.perf_counter() - started
    found["opened_mb"] = own_megabytes("VmHWM")
    if step == "split":
        started = time.perf_counter()
        split = split_images(images)
        found["seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        split.digest(images)
        found["digest_s"] = time.perf_counter() - started
    if step == "workers":
        source = open_batches(images, Canvas(32, 32, images.channels), path="workers")
        assert isinstance(source, WorkerBatches)
        order = np.array_split(np.random.default_rng(0).permutation(len(images)), len(images) // BATCH)
        started = time.perf_counter()
        batches = source.batches(order, training=True)
        len(next(batches))
        found["seconds"] = time.perf_counter() - started
        started, decoded = time.perf_counter(), 0
        for batch in batches:
            decoded += len(batch)
            if time.perf_counter() - started > seconds:
                break
        found["rate"] = decoded / (time.perf_counter() - started)
    return found | {"own_mb": own_megabytes("VmHWM"), "held_mb": own_megabytes("VmRSS")}


def own_megabytes(what: str) -> float:
    """Of this process: VmRSS is what it holds, VmHWM the most that it ever held."""
    return megabytes(Path("/proc/self/status").read_text(), what)


def megabytes(status: str, what: str) -> float:
    return next(
        (int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith(what)), 0
    )


def run_child(step: str, data: Path, cache: Path, seconds: float) -> dict[str, float]:
    """Run a step in a process of its own, and watch what that starts."""
    from process_memory import tree

    command = [sys.executable, __file__, str(data), "--step", step, "--seconds", str(seconds)]
    environment = os.environ | {"SIGHTLINE_CACHE": str(cache)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    most: dict[int, float] = {}
    while process.poll() is None:
        for pid in tree(process.pid)[1:]:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:  # it ended
                continue
            most[pid] = max(most.get(pid, 0.0), megabytes(status, "VmHWM"))
        time.sleep(SAMPLE_SECONDS)
    assert process.returncode == 0, f"the child ended with {process.returncode}"
    assert process.stdout is not None
    found: dict[str, float] = json.loads(process.stdout.read())
    return found | {"children_mb": sum(most.values()), "children": len(most)}


def measure(count: int, distinct: bool, seconds: float, steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, cache = Path(folder) / "set", Path(folder) / "cache"
        started = time.perf_counter()
        make(data, count, distinct)
        print(f"{count} files made in {time.perf_counter() - started:.1f} s", flush=True)
        for step in steps:
            found = run_child(step, data, cache, seconds)
            more = f", {count / found['seconds']:,.0f} files/s" if step != "workers" else ""
            if "digest_s" in found:
                more += f"; its digest {found['digest_s']:.2f} s"
            if "rate" in found:
                more += f" for the first batch, then {found['rate']:,.0f} images/s"
            print(
                f"{count:>8} {step:<8} {found['seconds']:8.2f} s{more}; process {found['own_mb']:.0f} MB "
                f"({found['imported_mb']:.0f} once imported, {found['opened_mb']:.0f} once opened, "
                f"{found['held_mb']:.0f} held at the end), "
                f"{found['children']:.0f} others {found['children_mb']:.0f} MB",
                flush=True,
            )
        index = sum(path.stat().st_size for path in (cache / "index").iterdir())
        print(f"{count:>8} index    {index / 1e6:.1f} MB on disk", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", nargs="?", default="1000000", help="the largest set")
    parser.add_argument("--distinct", action="store_true", help="files that all differ, not links")
    parser.add_argument("--seconds", type=float, default=20, help="how long the worker path is timed")
    parser.add_argument("--only", action="store_true", help="only a set of N, not those of 10^4, 10^5, ...")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(child(options.step, options.n, options.seconds)))
        return
    largest = int(float(options.n))
    counts = [10**power for power in range(4, 10) if 10**power < largest and not options.only] + [largest]
    for count in counts:
        measure(count, options.distinct, options.seconds, list(STEPS))
    python = ".".join(map(str, sys.version_info[:3]))
    print(
        f"Python {python}, {os.cpu_count()} cores; "
        f"{'files that differ' if options.distinct else 'hard links'}"
    )


if __name__ == "__main__":
    main()
