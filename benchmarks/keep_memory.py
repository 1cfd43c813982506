"""What keeping freed memory is worth: training steps with and without it, in pairs of processes.

python benchmarks/keep_memory.py [--model lecture_cnn] [--pairs 7] [--steps 20]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time


def child(model: str, steps: int, keep: bool) -> None:
    """Time bf16, channels-last steps at batch 128 in this process."""
    import torch
    import torch.nn.functional as F

    from sightline.inference import create_model
    from sightline.machine import keep_freed_memory, usable_cores
    from sightline.zoo import get_architecture

    if keep:
        assert keep_freed_memory()
    torch.set_num_threads(usable_cores())
    network = create_model(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(128, *get_architecture(model).input_shape).to(memory_format=torch.channels_last)
    targets = torch.randint(0, 10, (128,))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    faults, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - started
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    print(json.dumps({"images_per_second": 128 * steps / seconds, "faults": faults / steps}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lecture_cnn")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--child", choices=("keep", "return"))
    options = parser.parse_args()
    if options.child:
        child(options.model, options.steps, options.child == "keep")
        return
    command = [sys.executable, __file__, "--model", options.model, "--steps", str(options.steps), "--child"]
    found: dict[str, list[dict[str, float]]] = {"keep": [], "return": []}
    for _ in range(options.pairs):
        for how in found:
            found[how].append(json.loads(subprocess.check_output([*command, how])))
    for how, results in found.items():
        speeds = [r["images_per_second"] for r in results]
        faults = statistics.median(r["faults"] for r in results)
        print(
            f"{options.model} {how}: {statistics.median(speeds):.0f} images/s "
            f"({min(speeds):.0f} to {max(speeds):.0f}), {faults:.0f} page faults a step"
        )
    ratios = [
        one["images_per_second"] / two["images_per_second"]
        for one, two in zip(found["keep"], found["return"], strict=True)
    ]
    print(
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), n={options.pairs}"
    )


if __name__ == "__main__":
    main()
