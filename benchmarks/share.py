"""How much of the machine's matrix-product rate whole training steps reach.

    python benchmarks/share.py [--models lecture_cnn resnet20 resnet18 vgg16] [--rounds 5] [--seconds 6]
        [--layers] [--precision bf16]

In turn, in one process: products of two matrices of 2048 x 2048, and whole training steps (forward, loss,
backward, optimizer, on one batch in memory) of each network in channels last at its usual batch, 128 for
small images and 16 at 224; both in bf16, or in fp32 where the processor has no bf16. A step counts three
times its forward multiply-adds: one pass forward, two backward. Prints GFLOP/s and the share of the
product's rate in the same round, median and range; `--layers` says for each kind of layer how long it
takes in forward and backward passes by itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sightline import create_model, record, summarize
from sightline.machine import Plan, usable_cores
from sightline.zoo import get_architecture

SIDE = 2048
WARM_UP = 2


def rate(step: Callable[[], object], seconds: float, operations: float) -> float:
    """Operations a second of something that is done again and again for some seconds."""
    for _ in range(WARM_UP):
        step()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds or done < 3:
        step()
        done += 1
    return operations * done / (time.perf_counter() - began)


def matrix_product(device: str, precision: str) -> Callable[[], object]:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))

    def step() -> None:
        torch.mm(a, b)
        synchronise(device)

    return step


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def training_step(name: str, plan: Plan, batch: int) -> tuple[Callable[[], object], float]:
    """A step of a network, and its floating-point operations."""
    architecture = get_architecture(name)
    network = plan.place(create_model(name)).train()
    shape = architecture.input_shape
    images = plan.place_images(torch.randn(batch, *shape))
    targets = torch.randint(0, architecture.num_classes, (batch,), device=plan.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, fused=True)

    def step() -> None:
        with plan.autocast():
            logits = network(images)
        F.cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        synchronise(plan.device)

    return step, 3 * 2 * architecture.macs * batch


def layers(name: str, plan: Plan, batch: int) -> list[tuple[str, float, float, float]]:
    """Each kind of layer: its share of the time of all, of the multiply-adds of all, and its GFLOP/s."""
    network = plan.place(create_model(name)).train()
    shape = get_architecture(name).input_shape
    recorded = record(create_model(name), torch.zeros(1, *shape))
    macs = {row.name: row.macs for row in summarize(recorded).layers}
    inputs: dict[str, torch.Tensor] = {}

    def keep(path: str) -> Callable[..., None]:
        return lambda module, given: inputs.setdefault(path, given[0].detach())

    leaves = {path: module for path, module in network.named_modules() if not list(module.children())}
    hooks = [module.register_forward_pre_hook(keep(path)) for path, module in leaves.items()]
    with torch.no_grad(), plan.autocast():
        network(plan.place_images(torch.randn(batch, *shape)))
    for hook in hooks:
        hook.remove()
    taken: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for path, module in leaves.items():
        if path not in inputs:
            continue
        seconds = alone(module, inputs[path], plan)
        kind = said(module)
        taken[kind][0] += seconds
        taken[kind][1] += 3 * 2 * macs.get(path, 0) * batch
    whole, operations = (sum(each) for each in zip(*taken.values(), strict=True))
    return sorted(
        ((kind, s / whole, o / operations, o / s / 1e9) for kind, (s, o) in taken.items()),
        key=lambda row: -row[1],
    )


def alone(module: nn.Module, given: torch.Tensor, plan: Plan) -> float:
    """Seconds of a layer forward and backward, the shortest of three."""
    found = []
    for _ in range(4):
        x = given.clone(memory_format=torch.preserve_format).requires_grad_(given.is_floating_point())
        began = time.perf_counter()
        with plan.autocast():
            out = module(x)
        out.backward(torch.ones_like(out))
        synchronise(plan.device)
        found.append(time.perf_counter() - began)
    return min(found[1:])


def said(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return f"{module.kernel_size[0]}x{module.kernel_size[1]} convolution, {module.in_channels} channels"
    return type(module).__name__


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["lecture_cnn", "resnet20", "resnet18", "vgg16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options = parser.parse_args()
    dtype, threads = options.precision, usable_cores()
    plan = Plan(device=options.device, dtype=dtype, memory_format="channels_last", threads=threads)
    plan.apply()
    print(f"torch {torch.__version__}, {plan.describe()}, n={options.rounds} rounds of {options.seconds:g} s")
    product = matrix_product(options.device, options.precision)
    products = []
    shares: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for name in options.models:
            small = max(get_architecture(name).input_shape[1:]) <= 64
            step, operations = training_step(name, plan, 128 if small else 16)
            products.append(rate(product, options.seconds / 2, 2 * SIDE**3))
            rates[name].append(rate(step, options.seconds, operations))
            shares[name].append(rates[name][-1] / products[-1])
    print(f"{options.precision} product of {SIDE}x{SIDE}: {told([x / 1e9 for x in products])} GFLOP/s")
    for name in options.models:
        print(
            f"{name}: {told([x / 1e9 for x in rates[name]])} GFLOP/s, "
            f"{told([100 * x for x in shares[name]])} % of the product"
        )
        if options.layers:
            small = max(get_architecture(name).input_shape[1:]) <= 64
            for kind, share, work, speed in layers(name, plan, 128 if small else 16)[:8]:
                of = f"{100 * share:5.1f} % of the time, {100 * work:5.1f} % of the work"
                print(f"    {of}, {speed:6.0f} GFLOP/s: {kind}")
    return 0


def told(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    sys.exit(main())
