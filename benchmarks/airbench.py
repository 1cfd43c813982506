"""airbench94 by our recipe against the original script, on the same JPEG copies of CIFAR-10.

    python benchmarks/airbench.py DATA --original airbench94.py --what accuracy [--seeds 3] [--of ours]
    python benchmarks/airbench.py DATA --original airbench94.py --what speed [--rounds 5]
        [--precision bf16] [--schedule 9.9]

DATA has `train/<class>/` and `test/<class>/`; the script is legacy/airbench94.py of KellerJordan's
cifar10-airbench, read from where `--original` says. It is run as it stands but for what a CPU and this data
need: no torchvision, images from the folder, float32 weights under bf16 autocast instead of float16 ones
(without autocast with `--precision fp32`, for a processor that has no bf16), a clock instead of CUDA events.
Both are judged in fp32 on all test images; accuracy is that of single views, and the script's six views are
told beside it. `--schedule` is how many epochs the whole schedule of both is squeezed into. `speed` times one
epoch of each in turn, or `--steps` steps, in processes of their own: seconds in the training loop alone, for
the script as it counts them itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH = 1024
TRAIN_IMAGES = 50_000
USUAL = 9.9
"""Epochs of the script's schedule."""

PRELUDE = """
import time
class Clock:
    def record(self): self.at = time.perf_counter()
    def elapsed_time(self, other): return 1e3 * (other.at - self.at)
class Normalize:
    def __init__(self, mean, std): self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
    def __call__(self, x): return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
"""

CHANGES = (
    ("import torchvision\nimport torchvision.transforms as T\n", PRELUDE),
    ("map_location=torch.device(gpu)", 'map_location="cpu"'),
    ("(self.images.half() / 255)", "(self.images.float() / 255)"),
    ("T.Normalize(", "Normalize("),
    ("net = net.half().cuda()", "net = net"),
    (
        "            outputs = model(inputs)\n",
        '            with torch.autocast("cpu", torch.bfloat16):\n'
        "                outputs = model(inputs)\n            outputs = outputs.float()\n",
    ),
    ("starter = torch.cuda.Event(enable_timing=True)", "starter = Clock()"),
    ("ender = torch.cuda.Event(enable_timing=True)", "ender = Clock()"),
)


def port(original: Path) -> str:
    """The script for this machine; a change that finds nothing to change is an error."""
    code = original.read_text()
    for old, new in CHANGES:
        if code.count(old) != 1:
            raise SystemExit(
                f"{original} is not the script that is meant: {old!r} is there {code.count(old)}x"
            )
        code = code.replace(old, new)
    return code.replace("torch.cuda.synchronize()", "pass")


def prepare(data: Path, folder: Path) -> None:
    """The images as the script keeps them."""
    import numpy as np
    import torch
    from PIL import Image

    for part in ("train", "test"):
        if (folder / f"{part}.pt").exists():
            continue
        classes = sorted(path.name for path in (data / part).iterdir() if path.is_dir())
        files = [
            (path, i) for i, name in enumerate(classes) for path in sorted((data / part / name).iterdir())
        ]
        images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
        labels = torch.tensor([label for _, label in files])
        torch.save(
            {"images": torch.from_numpy(images), "labels": labels, "classes": classes}, folder / f"{part}.pt"
        )


def original_child(options: argparse.Namespace) -> dict[str, Any]:
    """One run of the script: accuracy of single and of six views, seconds as it counts them."""
    import torch

    code = port(options.original)
    if options.precision == "fp32":
        code = code.replace('torch.autocast("cpu", torch.bfloat16)', 'torch.autocast("cpu", enabled=False)')
    code = code.replace("CifarLoader('cifar10'", f"CifarLoader({str(options.cache)!r}")
    code = code.replace("'train_epochs': 9.9", f"'train_epochs': {1 if options.steps else options.schedule}")
    if options.steps:
        code = code.replace("val_acc = evaluate(", "val_acc = 0.0 and evaluate(")
        code = code.replace("tta_val_acc = evaluate(", "tta_val_acc = 0.0 and evaluate(")
    told: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__name__": "original"}
    exec(compile(code, str(options.original), "exec"), namespace)  # a script, to be run as it stands
    namespace["print_training_details"] = lambda found, is_final_entry: told.update(
        single=found["val_acc"], views=found.get("tta_val_acc"), seconds=found["total_time_seconds"],
        steps=found["current_steps"],
    )  # fmt: skip
    torch.manual_seed(options.seed)
    if options.steps:
        namespace["CifarLoader"] = first_images(namespace["CifarLoader"], options.steps * BATCH)
    namespace["main"](0)
    return told | {"how": f"torch {torch.__version__}, {torch.get_num_threads()} threads"}


def first_images(loader: Any, count: int) -> Any:
    """The script's loader, whose epoch is so many images: it augments all of them before the first step."""

    class Short(loader):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.images, self.labels = self.images[:count], self.labels[:count]

    return Short


def ours_child(options: argparse.Namespace) -> dict[str, Any]:
    """Our recipe: a whole run by the command line, or some steps of its loop."""
    if not options.steps:
        command = [
            *(sys.executable, "-m", "sightline", "train", str(options.data.resolve()), "--json"),
            *("--model", "airbench94", "--recipe", "airbench94", "--seed", str(options.seed)),
            *("--precision", options.precision),
        ]
        if options.schedule != USUAL:
            command += ["--epochs", f"{options.schedule:g}"]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        return {"single": found["value"], "seconds": found["seconds"], "how": "sightline train"}
    import torch

    from sightline import __version__
    from sightline.training import Options, SilentReporter, set_up
    from throughput import whole

    with tempfile.TemporaryDirectory() as folder:
        chosen = Options(
            data=str(options.data), model="airbench94", recipe="airbench94", output=Path(folder) / "run",
            precision=options.precision,
        )  # fmt: skip
        job = set_up(chosen, SilentReporter()).job
        job = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, max_steps=None))
        seconds = whole(job, options.steps)
        how = f"sightline {__version__}, torch {torch.__version__}, {job.plan.describe()}"
        return {"seconds": seconds, "steps": options.steps, "how": how}


def run_child(which: str, options: argparse.Namespace, seed: int, steps: int) -> dict[str, Any]:
    command = [
        *(sys.executable, __file__, str(options.data), "--original", str(options.original)),
        *("--cache", str(options.cache), "--child", which, "--seed", str(seed), "--steps", str(steps)),
        *("--precision", options.precision, "--schedule", str(options.schedule)),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def accuracy(options: argparse.Namespace) -> None:
    for which in options.of:
        found = []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            began = time.perf_counter()
            one = run_child(which, options, seed, 0)
            found.append(one)
            views = f", six views {100 * one['views']:.2f} %" if "views" in one else ""
            print(
                f"{which} seed {seed}: {100 * one['single']:.2f} %{views}, {one['seconds']:.0f} s of "
                f"training, {time.perf_counter() - began:.0f} s in all ({one['how']})",
                flush=True,
            )
        values = [100 * one["single"] for one in found]
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{which}: mean {statistics.mean(values):.2f} % of {len(values)} ({spread})")


def speed(options: argparse.Namespace) -> None:
    ratios = []
    for number in range(options.rounds):
        order = ("ours", "original") if number % 2 == 0 else ("original", "ours")
        found = {which: run_child(which, options, 0, options.steps) for which in order}
        each = {which: one["seconds"] / one["steps"] for which, one in found.items()}
        ratios.append(each["original"] / each["ours"])
        print(
            f"round {number + 1}: ours {1e3 * each['ours']:.0f} ms a step, original "
            f"{1e3 * each['original']:.0f} ms, {ratios[-1]:.2f} x as fast ({found['ours']['how']})",
            flush=True,
        )
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"ratio: median {statistics.median(ratios):.2f} ({spread}), n={len(ratios)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--what", choices=("accuracy", "speed"), default="accuracy")
    parser.add_argument("--of", nargs="+", choices=("ours", "original"), default=("ours", "original"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cache", type=Path, help="where decoded images are kept; a temporary folder if not given"
    )
    parser.add_argument("--child", choices=("ours", "original"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--schedule", type=float, default=USUAL, help="epochs of the whole schedule")
    parser.add_argument("--steps", type=int, default=TRAIN_IMAGES // BATCH, help="to be timed in each round")
    options = parser.parse_args()
    if options.child:
        sys.stdout, real = sys.stderr, sys.stdout
        found = (ours_child if options.child == "ours" else original_child)(options)
        print(json.dumps(found), file=real)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.cache = options.cache or Path(folder)
        options.cache.mkdir(parents=True, exist_ok=True)
        prepare(options.data, options.cache)
        (accuracy if options.what == "accuracy" else speed)(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
