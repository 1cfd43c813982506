"""What looking costs: Grad-CAM beside a forward and backward pass, occlusion beside plain inference.

    python benchmarks/views.py [--rounds 9] [--models squeezenet1_0 resnet18] [--only gradcam|occlusion]

Fresh weights, one image (`china`) of the network's own size, in one process; in each round both sides run
once, in turn, after one round that is not counted; ratios are taken round by round.

- gradcam: `gradcam(subject, picture)`, all of it: layer by itself, map, pictures (not the file). Against: the
  forward pass of that image and the backward pass of its largest logit to all weights. Said beside it: the
  first call, which records the network.
- occlusion: images/s of covered images, a square of 56 pixels at every 28, with the probability, the answer
  and the watched map of each. Against: the same network on as many uncovered images in batches of the same
  size, made beforehand.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from sightline.views import Picture, Subject, gradcam, open_subject
from sightline.views._layers import last_maps
from sightline.views._occlusion import BATCH, occlude

SIDE, STEP, PLACES = 56, 28, 64


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def paired(
    ours: Callable[[], object], plain: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of both, in turn."""
    both: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 1):
        for run, taken in zip((ours, plain), both, strict=True):
            found = seconds(run)
            if round_:
                taken.append(found)
    return both


def of_gradcam(subject: Subject, picture: Picture, rounds: int) -> None:
    def plain() -> None:
        subject.network.zero_grad(set_to_none=True)
        subject.network(picture.x).max().backward()

    plain()
    first = seconds(lambda: gradcam(subject, picture))
    ours, theirs = paired(lambda: gradcam(subject, picture), plain, rounds)
    subject.network.zero_grad(set_to_none=True)
    print(f"{subject.name}, Grad-CAM of one image, n={rounds}")
    print(f"  {'gradcam':<40} {spread(ours)} s; the first, which records the network, {first:.3f} s")
    print(f"  {'forward and backward':<40} {spread(theirs)} s")
    print(f"  {'ratio (target at most 3)':<40} {spread(ratios(ours, theirs))}")


def of_occlusion(subject: Subject, picture: Picture, rounds: int) -> None:
    batch = picture.x.repeat(BATCH, 1, 1, 1)
    watched = (last_maps(subject.blueprint).id, 0)

    def plain() -> None:
        with torch.no_grad():
            for _ in range(PLACES // BATCH):
                subject.network(batch)

    def ours() -> None:
        occlude(subject, subject.network, picture.x, 0, SIDE, STEP, watched)

    taken, theirs = paired(ours, plain, rounds)
    print(f"{subject.name}, occlusion at {PLACES} places in batches of {BATCH}, n={rounds}")
    print(f"  {'occlusion':<40} {spread([PLACES / t for t in taken])} images/s")
    print(f"  {'plain inference':<40} {spread([PLACES / t for t in theirs])} images/s")
    print(f"  {'ratio of rates (target at least 0.7)':<40} {spread(ratios(theirs, taken))}")


def spread(values: Sequence[float]) -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=["squeezenet1_0", "resnet18"])
    parser.add_argument("--only", choices=("gradcam", "occlusion"))
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; it is {options.rounds}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in options.models:
        subject = open_subject(name, device="cpu")
        picture = subject.picture("china")
        if options.only != "occlusion":
            of_gradcam(subject, picture, options.rounds)
        if options.only != "gradcam":
            of_occlusion(subject, picture, options.rounds)


if __name__ == "__main__":
    main()
