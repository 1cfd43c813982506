"""Opening a folder of many small images, with an empty cache and again: seconds and memory.

    python benchmarks/open_images.py DATA [--n 3]

A pair is two processes: one with an empty cache (fingerprints and headers of all files are read, the split
made, every image decoded into the array on disk), and one that finds that cache. Each ends with one batch
of 128 images read. All files were read once before, so that both find them in the operating system's file
cache: no disk is measured. Seconds begin after the imports. Memory is the largest sum of Pss over the
process and its workers (a shared page counts once), sampled four times a second, and the exact high-water
mark (VmHWM) of the process itself, each with the pages of the mapped array that were touched.
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
from pathlib import Path

SAMPLE_SECONDS = 0.25
PARTS = ("open", "split", "decode", "one batch")


def child(data: str) -> dict[str, float]:
    """Open, split, decode, read a batch; in this process."""
    import numpy as np

    from sightline.data import open_batches, open_images, split_images
    from sightline.imaging import Canvas

    imported = own_megabytes("VmRSS")
    moments = [time.perf_counter()]
    images = open_images(data)
    moments.append(time.perf_counter())
    split = split_images(images)
    moments.append(time.perf_counter())
    assert images.one_size is not None, f"{data} has images of many sizes"
    source = open_batches(images, Canvas(*images.one_size, images.channels))
    moments.append(time.perf_counter())
    chosen = np.random.default_rng(0).choice(split.indices("train"), 128, replace=False)
    (batch,) = source.batches([chosen])
    assert len(batch) == 128
    moments.append(time.perf_counter())
    assert source.path == "memory", source.path
    found = {part: moments[i + 1] - moments[i] for i, part in enumerate(PARTS)}
    found |= {"all": moments[-1] - moments[0], "imported_mb": imported}
    return found | {"own_mb": own_megabytes("VmHWM")}


def own_megabytes(what: str) -> float:
    """Of this process: VmRSS is what it holds, VmHWM the most that it ever held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


def run_child(data: str, cache: Path) -> dict[str, float]:
    """Run it in a process of its own, and watch its memory and that of its workers."""
    from process_memory import tree_megabytes

    environment = os.environ | {"SIGHTLINE_CACHE": str(cache)}
    command = [sys.executable, __file__, data, "--child"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_megabytes(process.pid)[0])
        time.sleep(SAMPLE_SECONDS)
    assert process.returncode == 0, f"the child ended with {process.returncode}"
    assert process.stdout is not None
    found: dict[str, float] = json.loads(process.stdout.read())
    return found | {"tree_mb": peak}


def read_all(data: str) -> tuple[int, int]:
    """Read every file once. Returns how many there are, and their bytes."""
    sizes = [len(path.read_bytes()) for path in Path(data).rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--n", type=int, default=3, help="pairs of processes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.data)))
        return
    files, size = read_all(options.data)
    print(f"{options.data}: {files} files, {size / 1e6:.1f} MB, read once: the file cache is warm throughout")
    found: dict[str, list[dict[str, float]]] = {"empty": [], "again": []}
    for i in range(options.n):
        with tempfile.TemporaryDirectory() as folder:
            for cache, results in found.items():
                results.append(run_child(options.data, Path(folder)))
                print(f"  pair {i + 1}, cache {cache}: {results[-1]['all']:.2f} s", flush=True)
    for cache, results in found.items():
        print(f"cache {cache}: {spread([r['all'] for r in results], 's')}, n={options.n}")
        for part in PARTS:
            print(f"  {part:<10} {spread([r[part] for r in results], 's')}")
        print(f"  memory: {spread([r['tree_mb'] for r in results], 'MB')} with workers, Pss, sampled")
        print(f"  memory: {spread([r['own_mb'] for r in results], 'MB')} of the process itself, VmHWM")
        print(f"  memory: {spread([r['imported_mb'] for r in results], 'MB')} of it when all was imported")
    pairs = list(zip(found["empty"], found["again"], strict=True))
    ratios = [one["all"] / two["all"] for one, two in pairs]
    print(f"empty / again {spread(ratios, 'times')}")
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
