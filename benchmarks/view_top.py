"""The nine strongest images of every unit of five layers: seconds, and memory as the set grows.

    python benchmarks/view_top.py DATA [--model resnet20@FILE] [--counts 1000 10000] [--repeats 3]

DATA is a set with as many images as the largest count (cifar10-jpg/test). Each measurement is a process of
its own with an empty cache. Memory is the most at one time, sampled 20 times a second: anonymous memory of
the process; the same with the processes that decode (which are started for sets of some thousand images, and
end before the network runs); and Pss of all (with files mapped into memory, as of the decoded images, which
the system takes back when it needs the room). Linux only.
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

from process_memory import tree, tree_megabytes


def child(data: str, model: str, count: int) -> None:
    """Make the view twice, and say how long each took."""
    import numpy as np
    import torch

    from sightline.data import open_images
    from sightline.machine import usable_cores
    from sightline.views import deconvnet_of_set, open_subject

    torch.set_num_threads(usable_cores())
    subject = open_subject(model)
    images = open_images(data, training=False)
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
    images = images.subset(chosen)
    print(json.dumps({"ready": len(images)}), flush=True)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        deconvnet_of_set(subject, images)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"first_s": seconds[0], "second_s": seconds[1]}), flush=True)


def anonymous_megabytes(pids: list[int]) -> float:
    """Memory that is not of files, of some processes together."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:  # it ended
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    return total / 1e6


def measured(data: str, model: str, count: int) -> dict[str, float]:
    """One process."""
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, SIGHTLINE_CACHE=cache)
        process = subprocess.Popen(
            [sys.executable, __file__, data, "--model", model, "--child", str(count)],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        most_alone = most_held = most_pss = 0.0
        while process.poll() is None:
            most_alone = max(most_alone, anonymous_megabytes([process.pid]))
            most_held = max(most_held, anonymous_megabytes(tree(process.pid)))
            most_pss = max(most_pss, tree_megabytes(process.pid)[0])
            time.sleep(0.05)
        told: dict[str, float] = json.loads(process.stdout.read())
    return told | {"own_mb": most_alone, "with_decoders_mb": most_held, "pss_mb": most_pss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=int)
    options = parser.parse_args()
    if options.child:
        child(options.data, options.model, options.child)
        return
    for count in options.counts:
        every = [measured(options.data, options.model, count) for _ in range(options.repeats)]
        said = ", ".join(
            f"{name} {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            for name in every[0]
            if (values := [one[name] for one in every])
        )
        print(f"{count} images, n={options.repeats}: {said}", flush=True)


if __name__ == "__main__":
    main()
