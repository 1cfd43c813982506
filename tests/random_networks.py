"""Random branched networks, and what their outputs depend on, by gradient alone.

A dependence must not hide behind a number that happens to be 0. So weights and inputs are positive, and where
gradients are asked for (`smooth`) every operation whose gradient vanishes here or there (the largest of a
window, a normalisation, a softmax) stands aside for a sum over the very elements that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

Step = Callable[..., Tensor]
"""(smooth, *tensors) -> tensor."""


class Network(nn.Module):
    """Steps that read tensors made before, by number; the last is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = False
        self.layers = nn.ModuleList()
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        self.told: list[str] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        there = list(inputs)
        for step, sources in self.steps:
            there.append(step(self.smooth, *(there[s] for s in sources)))
        return there[-1] * 1.5

    def __repr__(self) -> str:
        return "; ".join(self.told)


def depends_on(network: Network, inputs: list[Tensor], unit: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """For each input, which elements the gradient of a unit reaches.

    Args:
        network: In `float64`, its weights positive.
        inputs: Positive.
        unit: Index in the output, without the batch.
    """
    given = [x.detach().clone().requires_grad_() for x in inputs]
    network.smooth = True
    output = network(*given)
    network.smooth = False
    if not output.requires_grad:
        return [np.zeros(tuple(x.shape), bool) for x in given]
    gradients = torch.autograd.grad(output[(slice(None), *unit)].sum(), given, allow_unused=True)
    there = [torch.zeros_like(x) if g is None else g.abs() for x, g in zip(given, gradients, strict=True)]
    most = max(float(g.max()) for g in there)
    return [(g > most * 1e-13).numpy() for g in there]


def positive(module: nn.Module, seed: int) -> nn.Module:
    """A layer with positive weights that keep numbers near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
                tensor /= max(tensor[0].numel(), 1) if tensor.dim() > 1 else 1
    return module.double().eval()


def window_sums(x: Tensor, like: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Tensor:
    """What a window reads, summed; of the size of `like`."""
    axes = x.dim() - 2
    widths = [p for k in reversed(range(axes)) for p in (padding[k], padding[k] + stride[k] + kernel[k])]
    ones = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
    slide = (F.conv1d, F.conv2d)[axes - 1]
    found = slide(F.pad(x, widths), ones, None, stride, 0, dilation, x.shape[1])
    return found[(..., *(slice(0, n) for n in like.shape[2:]))]


class Builder:
    """Draws a network step by step, running it as it grows."""

    def __init__(
        self,
        random: Random,
        inputs: list[Tensor],
        *,
        most: int = 700,
        least: int = 1,
        phases: int | None = None,
    ) -> None:
        self.random = random
        self.most, self.least = most, least  # elements of a tensor; rows of it
        self.phases = phases  # what the upsampling factors multiplied must divide
        self.network = Network().eval()
        self.there = list(inputs)

    # ------------------------------------------------------------------ drawing

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def each(self, axes: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.number(low, high) for _ in range(axes))

    def layer(self, module: nn.Module) -> nn.Module:
        self.network.layers.append(positive(module, len(self.network.layers)))
        return self.network.layers[-1]

    def grow(self, steps: tuple[str, ...]) -> None:
        """Add one of these steps, if it fits where it is put."""
        last = len(self.there) - 1
        source = last if self.number(0, 3) else self.number(0, last)
        name = self.pick(*steps)
        made = getattr(self, name)(self.there[source])
        if made is None:
            return
        step, more, told = made if isinstance(made, tuple) else (made, (), "")
        sources = (source, *more)
        try:
            output = step(False, *(self.there[s] for s in sources))
        except RuntimeError:  # a size that does not fit
            return
        fits = 0 < output.numel() <= self.most and output.dim() <= 5
        if fits and min((self.least, *output.shape[2:])) >= self.least:
            self.network.steps.append((step, sources))
            self.network.told.append(f"{name}{sources} {told} -> {tuple(output.shape)}")
            self.there.append(output)

    def refined(self, factor: int) -> bool:
        """Whether an upsampling by a factor is allowed still."""
        if self.phases is None:
            return True
        if self.phases % factor:
            return False
        self.phases //= factor
        return True

    # ------------------------------------------------------------------ windows

    def conv(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        groups = self.pick(*(g for g in (1, 2, 3, x.shape[1]) if x.shape[1] % g == 0))
        kind = (nn.Conv1d, nn.Conv2d)[axes - 1]
        mode = self.pick("zeros", "zeros", "reflect", "replicate")
        settings = {
            "kernel_size": self.each(axes, 1, 4), "stride": self.each(axes, 1, 3),
            "padding": self.each(axes, 0, 2), "dilation": self.each(axes, 1, 2),
        }  # fmt: skip
        module = self.layer(
            kind(x.shape[1], groups * self.number(1, 2), groups=groups, padding_mode=mode, **settings)
        )
        return (lambda smooth, y: module(y)), (), f"{settings} {mode} {groups}"

    def transposed(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        groups = self.pick(*(g for g in (1, 2, x.shape[1]) if x.shape[1] % g == 0))
        kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[axes - 1]
        settings = {
            "kernel_size": self.each(axes, 1, 4), "stride": self.each(axes, 1, 3),
            "padding": self.each(axes, 0, 1), "dilation": self.each(axes, 1, 2),
        }  # fmt: skip
        if not self.refined(math.lcm(*settings["stride"])):
            return None
        more = tuple(
            self.number(0, max(s, d) - 1)
            for s, d in zip(settings["stride"], settings["dilation"], strict=True)
        )
        module = self.layer(
            kind(x.shape[1], groups * self.number(1, 2), groups=groups, output_padding=more, **settings)
        )
        return (lambda smooth, y: module(y)), (), f"{settings} {more} {groups}"

    def max_pool(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        kernel, stride, dilation = self.each(axes, 1, 3), self.each(axes, 1, 3), self.each(axes, 1, 2)
        padding = tuple(self.number(0, k // 2) for k in kernel)
        ceil = self.pick(False, True)
        pool = (F.max_pool1d, F.max_pool2d)[axes - 1]

        def step(smooth: bool, y: Tensor) -> Tensor:
            found = pool(y, kernel, stride, padding, dilation, ceil)
            return window_sums(y, found, kernel, stride, padding, dilation) if smooth else found

        return step, (), f"{kernel} {stride} {padding} {dilation} {ceil}"

    def avg_pool(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        kernel, stride = self.each(axes, 1, 3), self.each(axes, 1, 3)
        padding = tuple(self.number(0, k // 2) for k in kernel)
        more = (self.pick(False, True), self.pick(False, True))
        pool = (F.avg_pool1d, F.avg_pool2d)[axes - 1]
        return (lambda smooth, y: pool(y, kernel, stride, padding, *more)), (), f"{kernel} {stride} {padding}"

    def adaptive(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        size = self.each(axes, 1, 5)
        average = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)[axes - 1]
        largest = (F.adaptive_max_pool1d, F.adaptive_max_pool2d)[axes - 1]
        pool = self.pick(average, largest)
        return (lambda smooth, y: (average if smooth else pool)(y, size)), (), f"{size}"

    # ------------------------------------------------------------------ sizes

    def resize(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        smooth_kinds = (("linear",), ("bilinear", "bicubic"))[axes - 1]
        mode = self.pick("nearest", "nearest-exact", *smooth_kinds)
        align = self.pick(False, True) if "linear" in mode or "cubic" in mode else None
        if self.phases is not None or self.pick(False, True):
            factor = self.pick(2, 3, 5)
            if not self.refined(factor):
                return None
            align = align if self.phases is None or align is None else False
            return (
                (lambda smooth, y: F.interpolate(y, scale_factor=factor, mode=mode, align_corners=align)),
                (), f"{factor} {mode} {align}",
            )  # fmt: skip
        size = self.each(axes, 1, 9)
        anti = mode in ("bilinear", "bicubic") and not align and self.pick(False, True)
        return (
            (lambda smooth, y: F.interpolate(y, size, mode=mode, align_corners=align, antialias=anti)),
            (), f"{size} {mode} {align} {anti}",
        )  # fmt: skip

    def pad(self, x: Tensor) -> Any:
        axes = x.dim() - 2
        if axes not in (1, 2):
            return None
        mode = self.pick("constant", "reflect", "replicate")
        low = -1 if mode == "constant" else 0
        amounts = self.each(2 * axes, low, 2)
        return (lambda smooth, y: F.pad(y, amounts, mode=mode)), (), f"{amounts} {mode}"

    def cut(self, x: Tensor) -> Any:
        dim = self.number(1, x.dim() - 1)
        start, step = self.number(-2, 2), self.number(1, 3)
        stop = self.pick(None, -1, 3)
        place = (slice(None),) * dim + (slice(start, stop, step),)
        return (lambda smooth, y: y[place]), (), f"{dim} {start}:{stop}:{step}"

    def halves(self, x: Tensor) -> Any:
        dim, count = self.number(1, x.dim() - 1) if self.phases is None else 1, self.number(2, 3)
        return (lambda smooth, y: torch.cat(y.chunk(count, dim)[::-1], dim)), (), f"{dim} {count}"

    def one_half(self, x: Tensor) -> Any:
        dim, size = self.number(1, x.dim() - 1), self.number(1, 3)
        return (lambda smooth, y: y.split(size, dim)[-1]), (), f"{dim} {size}"

    def unbound(self, x: Tensor) -> Any:
        dim, other = self.number(1, x.dim() - 1), self.number(1, x.dim() - 1)
        if x.dim() < 3:
            return None
        return (lambda smooth, y: torch.stack(y.unbind(dim)[::-1], other)), (), f"{dim} {other}"

    def selected(self, x: Tensor) -> Any:
        if x.dim() < 3:
            return None
        dim, index = self.number(1, x.dim() - 1), self.number(-1, 0)
        return (lambda smooth, y: y.select(dim, index)), (), f"{dim} {index}"

    # ------------------------------------------------------------------ axes

    def permuted(self, x: Tensor) -> Any:
        order = (0, *self.random.sample(range(1, x.dim()), x.dim() - 1))
        return (lambda smooth, y: y.permute(order)), (), f"{order}"

    def flattened(self, x: Tensor) -> Any:
        if x.dim() < 3:
            return None
        first = self.number(1, x.dim() - 2)
        last = self.number(first + 1, x.dim() - 1)
        return (lambda smooth, y: y.flatten(first, last)), (), f"{first} {last}"

    def viewed(self, x: Tensor) -> Any:
        dim = self.number(1, x.dim() - 1)
        factors = [f for f in (2, 3, 4) if x.shape[dim] % f == 0]
        if not factors:
            return None
        factor = self.pick(*factors)
        turn = self.pick(False, True)

        def step(smooth: bool, y: Tensor) -> Tensor:
            split = y.reshape(*y.shape[:dim], factor, y.shape[dim] // factor, *y.shape[dim + 1 :])
            return split.transpose(dim, dim + 1).reshape(y.shape) if turn else split

        return step, (), f"{dim} {factor} {turn}"

    def shuffled(self, x: Tensor) -> Any:
        shuffle = self.pick(F.pixel_shuffle, F.pixel_unshuffle)
        return None if x.dim() != 4 else (lambda smooth, y: shuffle(y, 2))

    def turned(self, x: Tensor) -> Any:
        dim, by = self.number(1, x.dim() - 1), self.number(-2, 2)
        if by:
            return (lambda smooth, y: y.roll(by, dim)), (), f"roll {by} {dim}"
        return (lambda smooth, y: y.flip(dim)), (), f"flip {dim}"

    def expanded(self, x: Tensor) -> Any:
        dim = self.number(1, x.dim())
        return lambda smooth, y: y.unsqueeze(dim).expand(*y.shape[:dim], 2, *y.shape[dim:])

    # ------------------------------------------------------------------ element by element, and over axes

    def activation(self, x: Tensor) -> Any:
        kind = self.pick(F.leaky_relu, F.softplus, torch.square, nn.LeakyReLU(inplace=True))
        if isinstance(kind, nn.Module):
            return lambda smooth, y: kind(y * 2.0)
        return lambda smooth, y: kind(y)

    def mean(self, x: Tensor) -> Any:
        dims = tuple(d for d in range(1, x.dim()) if self.pick(False, True))
        keep = self.pick(False, True)
        kind = self.pick(torch.mean, torch.sum, torch.amax, torch.logsumexp)
        if not dims or (len(dims) == x.dim() - 1 and not keep):
            return None
        return (lambda smooth, y: (torch.mean if smooth else kind)(y, dims, keepdim=keep)), (), f"{dims}"

    def softmax(self, x: Tensor) -> Any:
        dim = self.number(1, x.dim() - 1)
        return lambda smooth, y: y + y.mean(dim, keepdim=True) if smooth else F.softmax(y, dim)

    def batch_norm(self, x: Tensor) -> Any:
        if x.dim() not in (3, 4):
            return None
        module = self.layer((nn.BatchNorm1d, nn.BatchNorm2d)[x.dim() - 3](x.shape[1]))
        return lambda smooth, y: module(y)

    def group_norm(self, x: Tensor) -> Any:
        if x.dim() < 3 or x.shape[0] * math.prod(x.shape[1:]) == x.shape[1]:
            return None
        groups = self.pick(*(g for g in (1, 2, 3, x.shape[1]) if x.shape[1] % g == 0))
        module = self.layer(nn.GroupNorm(groups, x.shape[1]))

        def step(smooth: bool, y: Tensor) -> Tensor:
            if not smooth:
                return module(y)
            parts = y.reshape(y.shape[0], groups, -1)
            return (parts + parts.mean(-1, keepdim=True)).reshape(y.shape)

        return step, (), f"{groups}"

    def instance_norm(self, x: Tensor) -> Any:
        if x.dim() not in (3, 4) or math.prod(x.shape[2:]) == 1:
            return None
        dims = tuple(range(2, x.dim()))
        return lambda smooth, y: y + y.mean(dims, keepdim=True) if smooth else F.instance_norm(y)

    def layer_norm(self, x: Tensor) -> Any:
        count = self.number(1, x.dim() - 1)
        module = self.layer(nn.LayerNorm(x.shape[-count:]))
        dims = tuple(range(-count, 0))
        return lambda smooth, y: y + y.mean(dims, keepdim=True) if smooth else module(y)

    def linear(self, x: Tensor) -> Any:
        module = self.layer(nn.Linear(x.shape[-1], self.number(1, 4), bias=self.pick(False, True)))
        return lambda smooth, y: module(y)

    def attention(self, x: Tensor) -> Any:
        if x.dim() not in (3, 4):
            return None
        query, key, value = (self.layer(nn.Linear(x.shape[-1], 2)) for _ in range(3))
        causal = self.pick(False, False, True)

        def step(smooth: bool, y: Tensor) -> Tensor:
            q, k, v = query(y), key(y), value(y)
            if not smooth:
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            scores = q @ k.transpose(-1, -2)
            return (scores.tril() if causal else scores) @ v

        return step, (), "causal" if causal else ""

    def gated(self, x: Tensor) -> Any:
        """Squeeze and excite: every pixel weighted by its channel's mean."""
        if x.dim() not in (3, 4):
            return None
        module = self.layer(nn.Linear(x.shape[1], x.shape[1]))
        dims = tuple(range(2, x.dim()))
        return lambda smooth, y: y * module(y.mean(dims))[(..., *(None for _ in dims))]

    # ------------------------------------------------------------------ two tensors

    def joined(self, x: Tensor) -> Any:
        other = self.number(0, len(self.there) - 1)
        a, b = x.shape, self.there[other].shape
        kind = self.pick(torch.add, torch.mul, torch.maximum)
        if len(a) != len(b):
            return None
        unlike = [d for d in range(len(a)) if a[d] != b[d]]
        if len(unlike) <= 1 and self.pick(False, True):
            dim = unlike[0] if unlike else 1 if self.phases else self.number(1, len(a) - 1)
            if self.phases and dim > 1:
                return None
            return (lambda smooth, y, z: torch.cat([y, z], dim)), (other,), f"cat {dim}"
        if all(1 in (a[d], b[d]) for d in unlike):
            return (lambda smooth, y, z: (torch.add if smooth else kind)(y, z)), (other,), kind.__name__
        if self.phases is not None and any(
            abs(p - q) > 0.1 * min(p, q) for p, q in zip(a[2:], b[2:], strict=True)
        ):
            return None  # of another scale
        least = (slice(None), *(slice(0, min(p, q)) for p, q in zip(a[1:], b[1:], strict=True)))
        return (lambda smooth, y, z: y[least] + z[least]), (other,), "cropped"

    def product(self, x: Tensor) -> Any:
        if x.dim() not in (3, 4):
            return None
        return lambda smooth, y: (y @ y.transpose(-1, -2)) @ y


WINDOWS = ("conv", "conv", "transposed", "max_pool", "avg_pool", "adaptive", "resize", "pad")
AXES = (
    "cut", "halves", "one_half", "unbound", "selected", "permuted", "flattened", "viewed", "shuffled",
    "turned", "expanded",
)  # fmt: skip
OTHERS = (
    "activation", "mean", "softmax", "batch_norm", "group_norm", "instance_norm", "layer_norm", "linear",
    "attention", "gated", "joined", "joined", "joined", "product",
)  # fmt: skip


def draw_network(random: Random) -> tuple[Network, list[Tensor], tuple[int, ...]]:
    """A network, its inputs, and a unit of its output."""
    axes = random.randint(1, 2)
    shape = (random.randint(1, 2), random.choice((1, 2, 4)), *(random.randint(1, 11) for _ in range(axes)))
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
        for _ in range(random.choice((1, 1, 2)))
    ]
    builder = Builder(random, inputs)
    for _ in range(random.randint(2, 9)):
        builder.grow(random.choice((WINDOWS, AXES, OTHERS)))
    shape = tuple(builder.there[-1].shape)
    unit = tuple(random.randrange(n) for n in shape[1 : 1 + random.choice((9, 9, 9, 2, 1, 0))])
    return builder.network, inputs, unit
