"""Whole training against Keras 3 on three backends and a plain PyTorch loop, in rounds of processes.

    python benchmarks/peers.py DATA --model lecture_cnn --keras-python PYTHON [--rounds 5] [--steps 60]
        [--batch 128] [--mixed] [--where]

Each process is one framework, with its own threads and its own defaults. It has the same images in memory
as bytes, warms up (plan timing, tracing, compilation), and then times one epoch of `--steps` steps: order
drawn, random crop (the edge repeated, whole pixels, a tenth of the side) and mirror, the same network,
cross entropy, AdamW, the epoch's mean loss; no validation. Said of each:

- sightline: its real loop (`fit`), which also writes two model files, a checkpoint and results.csv, under
  the plan that it measured, anew in each round. Where that is bf16, the peers below still compute in fp32,
  as they do unasked.
- keras-tensorflow: `model.fit`, `jit_compile="auto"` (on a CPU: no XLA, which is slower here), NHWC, a
  `tf.data` pipeline on images in memory.
- keras-jax, keras-torch: the same, compiled and eager by "auto", fed by a `PyDataset` that crops and mirrors
  a batch by one numpy index. torch is given NCHW. On each backend the other pipeline was no faster.
- plain-contiguous, plain-channels-last: the loop a good user writes; fp32, fused AdamW.

`--mixed` adds the peers in bf16: Keras's `mixed_bfloat16`, and the plain loop under autocast. `--where`
says in which part of sightline's loop the time goes that a bare step does not take.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CROP = 0.1
WARM_UP = 5
LR, WEIGHT_DECAY = 1e-3, 0.01
KERAS = ("keras-tensorflow", "keras-jax", "keras-torch")
PLAIN = ("plain-contiguous", "plain-channels-last")
MIXED = (*(f"{name}-bf16" for name in KERAS), "plain-channels-last-bf16")


def sightline_job(options: argparse.Namespace, folder: str) -> Any:
    """A run that does what the peers do, on the images that they have."""
    from sightline.imaging import Augmentation
    from sightline.training import Optimizer, Options, Phase, Recipe, SilentReporter, set_up

    recipe = Recipe(
        phases=(Phase(epochs=1),),
        optimizers={"main": Optimizer(kind="adamw", lr=LR, weight_decay=WEIGHT_DECAY, decay_all=True)},
        batch_size=options.batch,
        augmentation=Augmentation(crop=CROP, flip="horizontal"),
    )
    chosen = Options(data=options.data, model=options.model, recipe=recipe, output=Path(folder) / "run")
    job = set_up(chosen, SilentReporter()).job
    return dataclasses.replace(job, train=some_of(job.train, options))


def sightline_child(options: argparse.Namespace) -> dict[str, Any]:
    """Time `fit`, as throughput.py does; with `--where`, its parts."""
    import torch

    from sightline import __version__
    from sightline.base import Draws
    from sightline.training import epoch_steps, prepare
    from throughput import bare, whole

    with tempfile.TemporaryDirectory() as folder:
        job = sightline_job(options, folder)
        whole(job, WARM_UP)
        seconds = whole(job, options.steps)
        how = f"sightline {__version__}, torch {torch.__version__}, {job.plan.describe()}"
        found: dict[str, Any] = {"seconds": seconds, "how": how}
        if options.where:
            draws = Draws(job.seed)
            order = epoch_steps(job.train, draws, options.batch)
            started = time.perf_counter()
            loaded = list(job.source.batches(order, training=True))
            loading = time.perf_counter() - started
            started = time.perf_counter()
            for stored in loaded:
                prepare(stored, job, draws)
            preparing = time.perf_counter() - started
            step = bare(job, options.steps)
            rest = seconds - step - loading - preparing
            found["where"] = {"bare step": step, "load": loading, "prepare": preparing, "rest": rest}
        return found


def plain_child(options: argparse.Namespace) -> dict[str, Any]:
    """The loop a good user writes. The network is the zoo's, an ordinary module."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from sightline.inference import create_model

    data = dict(np.load(options.data))
    images, targets = torch.from_numpy(data["images"]), torch.from_numpy(data["targets"])  # n h w c
    mean, std = (torch.from_numpy(data[name])[None, :, None, None] for name in ("mean", "std"))
    height, width = images.shape[1:3]
    last, mixed = "channels-last" in options.child, options.child.endswith("bf16")
    layout = torch.channels_last if last else torch.contiguous_format
    network = create_model(options.model).to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True)

    def augmented(ids: torch.Tensor) -> torch.Tensor:
        n = len(ids)
        rows = torch.arange(height) + torch.randint(-int(CROP * height), int(CROP * height) + 1, (n, 1))
        columns = torch.arange(width) + torch.randint(-int(CROP * width), int(CROP * width) + 1, (n, 1))
        columns = torch.where(torch.rand(n, 1) < 0.5, width - 1 - columns, columns).clamp_(0, width - 1)
        rows = rows.clamp_(0, height - 1)
        x = images[ids[:, None, None], rows[:, :, None], columns[:, None, :]]  # n h w c
        x = x.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
        return x.contiguous(memory_format=layout)

    def epoch(steps: int) -> float:
        network.train()
        total = torch.zeros(())
        order = torch.randperm(len(images))[: steps * options.batch]
        for ids in order.split(options.batch):  # type: ignore[no-untyped-call]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
                logits = network(augmented(ids))
            loss = F.cross_entropy(logits.float(), targets[ids])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach()
        return float(total) / steps

    epoch(WARM_UP)
    started = time.perf_counter()
    epoch(options.steps)
    return {"seconds": time.perf_counter() - started, "how": f"torch {torch.__version__}"}


def keras_child(options: argparse.Namespace) -> dict[str, Any]:
    """`model.fit` of Keras 3; the backend is in the environment."""
    import importlib

    import keras  # type: ignore[import-not-found,unused-ignore]
    import numpy as np

    from keras_parts import build, numpy_batches, tf_batches

    backend = keras.backend.backend()
    if options.child.endswith("bf16"):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if backend == "torch":
        keras.config.set_image_data_format("channels_first")
    data = dict(np.load(options.data))
    model = build(options.model)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=LR, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile="auto",
    )
    batches = tf_batches if backend == "tensorflow" else numpy_batches
    short = batches(data, min(WARM_UP, options.steps), options.batch, CROP)
    model.fit(short, shuffle=False, verbose=0)
    timed = batches(data, options.steps, options.batch, CROP)
    started = time.perf_counter()
    model.fit(timed, shuffle=False, verbose=0)  # the batches come shuffled
    seconds = time.perf_counter() - started
    version = importlib.import_module(backend).__version__
    jit = "jit" if getattr(model, "jit_compile", False) else "no jit"
    return {"seconds": seconds, "how": f"keras {keras.__version__}, {backend} {version}, {jit}"}


def export(options: argparse.Namespace, path: Path) -> None:
    """The images that sightline's child trains on, for the others."""
    import numpy as np

    from sightline.data import channel_statistics, open_batches, open_images, split_images
    from sightline.imaging import Canvas

    images = open_images(options.data)
    assert images.one_size is not None, f"{options.data} has images of many sizes"
    train = split_images(images).indices("train")
    source = open_batches(images, Canvas(*images.one_size, images.channels))
    mean, std = (np.array(values, dtype=np.float32) for values in channel_statistics(source, train))
    (batch,) = source.batches([some_of(train, options)])
    pixels = batch.images.permute(0, 2, 3, 1).contiguous().numpy()
    np.savez(path, images=pixels, targets=batch.targets.numpy(), mean=mean, std=std)


def some_of(train: Any, options: argparse.Namespace) -> Any:
    """As many training images as an epoch here has, of any class."""
    import numpy as np

    wanted = options.steps * options.batch
    assert len(train) >= wanted, f"{wanted} images wanted, {len(train)} to train on"
    return np.random.default_rng(0).permutation(train)[:wanted]


def run_child(name: str, options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """One framework in a process of its own; its last line of output is its answer."""
    python = options.keras_python if name.startswith("keras") else sys.executable
    command = [python, __file__, options.data if name == "sightline" else str(data), "--child", name]
    command += ["--model", options.model, "--steps", str(options.steps), "--batch", str(options.batch)]
    command += ["--where"] * options.where
    backend = name.split("-")[1] if name.startswith("keras") else ""
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    shutil.rmtree(Path(os.environ["SIGHTLINE_CACHE"]) / "plans", ignore_errors=True)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["speed"] = options.steps * options.batch / found["seconds"]
    return found


def spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def report(found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    ours = [one["speed"] for one in found["sightline"]]
    for name, results in found.items():
        speeds = [one["speed"] for one in results]
        ratios = [mine / theirs for mine, theirs in zip(ours, speeds, strict=True)]
        how = " | ".join(sorted({one["how"] for one in results}))
        beside = "" if name == "sightline" else f", sightline / it {spread(ratios, 3)}"
        print(f"{name:<26} {spread(speeds, 0)} images/s{beside}  [{how}]")
    for what, peers in (("fp32", (*KERAS, *PLAIN)), ("bf16", MIXED)):
        if peers[0] not in found:
            continue
        best = max(peers, key=lambda name: statistics.median(one["speed"] for one in found[name]))
        ratios = [mine / found[best][i]["speed"] for i, mine in enumerate(ours)]
        hard = [mine / max(found[name][i]["speed"] for name in peers) for i, mine in enumerate(ours)]
        print(f"sightline / {best}, the fastest {what} peer: {spread(ratios, 3)}, n={options.rounds} rounds")
        print(f"sightline / whichever {what} peer was fastest in its round: {spread(hard, 3)}")
    if options.where:
        seconds = [one["seconds"] for one in found["sightline"]]
        print(f"where: an epoch of {options.steps} steps took {spread(seconds, 2)} s, of which")
        for part in found["sightline"][0]["where"]:
            shares = [100 * one["where"][part] / one["seconds"] for one in found["sightline"]]
            print(f"  {part:<10} {spread(shares, 1)} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder of class folders, 28x28 grey or 32x32 colour")
    parser.add_argument("--model", choices=("lecture_cnn", "resnet20"), default="lecture_cnn")
    parser.add_argument("--keras-python", help="a Python with keras, tensorflow, jax and torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind = options.child.split("-")[0]
        child = {"sightline": sightline_child, "plain": plain_child, "keras": keras_child}[kind]
        print(json.dumps(child(options)))
        return
    names = ["sightline", *KERAS, *PLAIN, *(MIXED if options.mixed else ())]
    if not options.keras_python:
        print("without --keras-python: no Keras")
        names = [name for name in names if not name.startswith("keras")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SIGHTLINE_CACHE"] = f"{folder}/cache"  # its own, so that each round times its own plan
        data = Path(folder) / "images.npz"
        export(options, data)
        print(f"{options.model} on {options.data}, {options.steps} steps of {options.batch}", end="; ")
        print(f"{os.cpu_count()} cores", flush=True)
        for i in range(options.rounds):
            for name in names:
                found[name].append(run_child(name, options, data))
                print(f"  round {i + 1}: {name} {found[name][-1]['speed']:.0f} images/s", flush=True)
    report(found, options)


if __name__ == "__main__":
    main()
