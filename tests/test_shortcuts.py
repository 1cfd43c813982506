"""Every shortcut of shapes against PyTorch's own `meta` kernel: what it returns, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from sightline.blueprint._shortcuts import _SHORTCUTS, run

A = torch.ops.aten
FLOATS = (torch.float32, torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16)
ALL = (*FLOATS, torch.int64, torch.bool)
TRIED = 60
"""Random arguments for each operation."""


class Draw:
    """Random tensors on `meta`: now and then of another type or layout, or without elements."""

    def __init__(self, seed: int, *, plain: bool = False) -> None:
        self.random = Random(seed)
        self.dtype = self.random.choice(FLOATS)
        self.plain = plain

    def rarely(self) -> bool:
        return not self.plain and self.random.random() < 0.12

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def shape(self, low: int = 0, high: int = 4) -> list[int]:
        return [0 if self.rarely() else self.number(1, 5) for _ in range(self.number(low, high))]

    def tensor(self, shape: list[int] | tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        dtype = self.random.choice(ALL) if self.rarely() else dtype or self.dtype
        made = torch.empty(tuple(shape), dtype=dtype, device="meta")
        if self.rarely() and made.dim() > 1:
            made = made.transpose(0, 1).contiguous().transpose(0, 1)
        if self.rarely() and made.dim() == 4:
            made = made.contiguous(memory_format=torch.channels_last)
        if self.rarely() and made.dim():
            made = made[..., :1].expand(made.shape)
        return made

    def like(self, shape: list[int]) -> list[int]:
        """A shape that goes with another: the same, broadcast, or, rarely, one that does not."""
        found = [1 if self.random.random() < 0.2 else n for n in shape][
            self.number(0, 1) * self.number(0, len(shape)) :
        ]
        return [n + 1 for n in found] if self.rarely() else found

    def off(self, n: int) -> int:
        """A size, or, rarely, another."""
        return max(n + self.number(-1, 2), 0) if self.rarely() else n

    def each(self, low: int, high: int) -> list[int]:
        """A setting for two axes, at times given once; rarely one that is not allowed."""
        found = [self.number(low, high) for _ in range(self.number(1, 2))]
        return [self.number(-1, 0), *found[1:]] if self.rarely() else found

    def optional(self, shape: list[int]) -> Tensor | None:
        return None if self.random.random() < 0.3 else self.tensor([self.off(n) for n in shape])


def one(d: Draw) -> tuple[Any, ...]:
    return (d.tensor(d.shape()),)


def with_number(d: Draw) -> tuple[Any, ...]:
    return (d.tensor(d.shape()), d.random.choice((2, 0.5, True)))


def two(d: Draw) -> tuple[Any, ...]:
    shape = d.shape()
    second = d.random.choice((2, 0.5)) if d.rarely() else d.tensor(d.like(shape))
    return (d.tensor(shape), second) if d.number(0, 1) else (d.tensor(d.like(shape)), d.tensor(shape))


def in_place(d: Draw) -> tuple[Any, ...]:
    shape = d.shape()
    return d.tensor(shape), d.tensor(d.like(shape))


def gradient(*more: Any) -> Callable[[Draw], tuple[Any, ...]]:
    def draw(d: Draw) -> tuple[Any, ...]:
        shape = d.shape(1)
        return (d.tensor(shape), d.tensor(shape), *more)

    return draw


def convolution(d: Draw) -> tuple[Any, ...]:
    axes, groups, transposed = d.number(1, 3), d.number(1, 2), bool(d.number(0, 1))
    ins, outs = groups * d.number(1, 3), groups * d.number(1, 3)
    settings = [[d.number(low, high) for _ in range(axes)] for low, high in ((1, 3), (0, 2), (1, 2))]
    if d.rarely():
        settings[d.number(0, 2)] = [d.number(-1, 0)] * axes
    kernel = [d.number(1, 3) for _ in range(axes)]
    front = (ins, outs // groups) if transposed else (outs, ins // groups)
    image = d.tensor([0 if d.rarely() else 2, d.off(ins), *(d.number(1, 7) for _ in range(axes))])
    more = [d.number(0, 1) if transposed else 0 for _ in range(axes)]
    return (image, d.tensor([*front, *kernel]), d.optional([outs]), *settings, transposed, more, groups)


def valid(draw: Callable[[Draw], tuple[Any, ...]], forward: Any, d: Draw) -> tuple[tuple[Any, ...], Any]:
    """Arguments that PyTorch takes, and what it makes of them: a gradient has been through a forward pass."""
    while True:
        given = draw(d)
        try:
            return given, forward(*given)
        except (RuntimeError, ZeroDivisionError):
            d = Draw(d.number(0, 10**6), plain=d.plain)


def convolution_backward(d: Draw) -> tuple[Any, ...]:
    given, output = valid(convolution, A.convolution.default, d)
    wanted = [bool(d.number(0, 1)) for _ in range(3)]
    bias = None if given[2] is None else [output.shape[1]]
    wanted[2] = wanted[2] and bias is not None
    return (output, *given[:2], bias, *given[3:], wanted)


def pooling(d: Draw) -> tuple[Any, ...]:
    image = d.tensor([d.number(1, 2), 0 if d.rarely() else 3, *(d.number(1, 9) for _ in range(2))])
    stride = [] if d.number(0, 2) == 0 else d.each(1, 3)
    return image, d.each(1, 3), stride, d.each(0, 1)


def max_pool(d: Draw) -> tuple[Any, ...]:
    return (*pooling(d), d.each(1, 2), bool(d.number(0, 1)))[: d.number(2, 6)]


def average_pool(d: Draw) -> tuple[Any, ...]:
    return (*pooling(d), bool(d.number(0, 1)), bool(d.number(0, 1)), None)[: d.number(2, 7)]


def max_pool_backward(d: Draw) -> tuple[Any, ...]:
    given, (output, places) = valid(lambda d: (*pooling(d), [1], False), A.max_pool2d_with_indices.default, d)
    return output, *given, places


def average_pool_backward(d: Draw) -> tuple[Any, ...]:
    given, output = valid(lambda d: (*pooling(d), False, True, None), A.avg_pool2d.default, d)
    return output, *given


def adaptive_backward(d: Draw) -> tuple[Any, ...]:
    return d.tensor([2, 3, 1, 1]), d.tensor([2, 3, d.number(1, 5), d.number(1, 5)])


def batch_norm(d: Draw) -> tuple[Any, ...]:
    shape = [0 if d.rarely() else 2, 3, *d.shape(0, 3)]
    weight, bias, mean, var = (d.optional([3]) for _ in range(4))
    return d.tensor(shape), weight, bias, mean, var, True, 0.1, 1e-5


def batch_norm_backward(d: Draw) -> tuple[Any, ...]:
    given = d.tensor([2, 3, *d.shape(0, 3)])
    statistics = [d.tensor([3]) for _ in range(4)]
    wanted = [True, *(bool(d.number(0, 1)) for _ in range(2))]
    return torch.empty_like(given), given, d.tensor([3]), *statistics, True, 1e-5, wanted


def layer_norm(d: Draw) -> tuple[Any, ...]:
    shape = d.shape(1)
    normal = [d.off(n) for n in shape[d.number(0, len(shape)) :]]
    return d.tensor(shape), normal, d.optional(normal), d.optional(normal), 1e-5


def reduction(d: Draw) -> tuple[Any, ...]:
    shape = d.shape()
    dims = d.random.sample(range(-len(shape), len(shape)), d.number(0, len(shape)))
    if d.rarely():
        dims = [*dims, 7]
    given = (d.tensor(shape), dims, bool(d.number(0, 1)))
    return given[: d.number(2, 3)]


def joined(d: Draw) -> tuple[Any, ...]:
    shape, dim = d.shape(), d.number(-4, 4)
    several = []
    for _ in range(d.number(1, 3)):
        other = list(shape)
        if -len(shape) <= dim < len(shape):
            other[dim] = d.number(1, 4)
        several.append(d.tensor(d.like(other) if d.rarely() else other))
    return (several, dim)[: d.number(1, 2)]


def product(d: Draw) -> tuple[Any, ...]:
    n, m, k = (d.number(1, 5) for _ in range(3))
    return d.tensor([n, m]), d.tensor([d.off(m), k])


def added_product(d: Draw) -> tuple[Any, ...]:
    first, second = product(d)
    return d.tensor(d.like([first.shape[0], second.shape[1]])), first, second


def batched(d: Draw) -> tuple[Any, ...]:
    b, n, m, k = (d.number(1, 5) for _ in range(4))
    return d.tensor([b, n, m]), d.tensor([d.off(b), d.off(m), k])


def softmax(d: Draw) -> tuple[Any, ...]:
    return d.tensor(d.shape()), d.number(-4, 4), d.rarely()


def softmax_backward(d: Draw) -> tuple[Any, ...]:
    shape = d.shape(1)
    given = d.tensor(shape)
    return torch.empty_like(given), given, d.number(-len(shape), len(shape) - 1), given.dtype


def nll_loss(d: Draw) -> tuple[Any, ...]:
    n, c = d.number(1, 4), d.number(1, 4)
    target = torch.empty([d.off(n)], dtype=torch.int64, device="meta")
    return d.tensor([n, c]), target, d.tensor([c]) if d.rarely() else None, d.number(0, 2), -100


def nll_loss_backward(d: Draw) -> tuple[Any, ...]:
    given, (output, total) = valid(nll_loss, A.nll_loss_forward.default, d)
    return output, *given, total


DRAWN: dict[Any, Callable[[Draw], tuple[Any, ...]]] = {
    A.convolution.default: convolution, A.convolution_backward.default: convolution_backward,
    A.native_batch_norm.default: batch_norm, A.native_batch_norm_backward.default: batch_norm_backward,
    A._adaptive_avg_pool2d.default: lambda d: (d.tensor([2, *d.shape(2, 3)]), d.each(1, 3)),
    A._adaptive_avg_pool2d_backward.default: adaptive_backward,
    A.native_layer_norm.default: layer_norm, A.max_pool2d_with_indices.default: max_pool,
    A.max_pool2d_with_indices_backward.default: max_pool_backward, A.avg_pool2d.default: average_pool,
    A.avg_pool2d_backward.default: average_pool_backward, A.mean.dim: reduction,
    A.sum.dim_IntList: reduction, A.cat.default: joined, A.mm.default: product,
    A.addmm.default: added_product,
    A.bmm.default: batched, A._softmax.default: softmax, A._log_softmax.default: softmax,
    A._softmax_backward_data.default: softmax_backward,
    A._log_softmax_backward_data.default: softmax_backward,
    A.nll_loss_forward.default: nll_loss, A.nll_loss_backward.default: nll_loss_backward,
    A.threshold_backward.default: gradient(0), A.hardtanh_backward.default: gradient(-1, 1),
    A.silu_backward.default: gradient(), A.gelu_backward.default: gradient(),
    A.leaky_relu_backward.default: gradient(0.1, False), A.sigmoid_backward.default: gradient(),
    A.tanh_backward.default: gradient(), A.bernoulli_.float: lambda d: (*one(d), 0.5),
    A.pow.Tensor_Scalar: with_number, A.fill_.Scalar: with_number,
    **dict.fromkeys((A.add.Scalar, A.mul.Scalar, A.div.Scalar), with_number),
    **dict.fromkeys((A.add_.Scalar, A.mul_.Scalar, A.div_.Scalar), with_number),
    **dict.fromkeys((A.add.Tensor, A.sub.Tensor, A.mul.Tensor, A.div.Tensor), two),
    **dict.fromkeys((A.add_.Tensor, A.sub_.Tensor, A.mul_.Tensor, A.div_.Tensor), in_place),
}  # fmt: skip
"""How the arguments of an operation are drawn; of one tensor where it is not named."""


def told(output: Any, given: list[Tensor]) -> Any:
    """What there is to know of a result: shapes, types, layouts; which argument it is, if it is one."""
    if isinstance(output, Tensor):
        same = [k for k, t in enumerate(given) if t is output]
        steps = [step for step, n in zip(output.stride(), output.shape, strict=True) if n != 1]
        return tuple(output.shape), output.dtype, steps, output.device, same
    return [told(item, given) for item in output] if isinstance(output, list | tuple) else output


def refused(found: Any) -> bool:
    return isinstance(found, tuple) and isinstance(found[0], type)


def on_a_processor(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.zeros_like(a, device="cpu") if isinstance(a, Tensor) else a for a in args)


def as_the_processor_likes(name: str, args: tuple[Any, ...]) -> bool:
    """Whether only some processors refuse it: unlike types, where there are no kernels for bfloat16."""
    types = {t.dtype for t in args if isinstance(t, Tensor)}
    if name != "convolution" or len(types) == 1 or torch.bfloat16 not in types:
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


STRICTER = ("convolution", "mm", "addmm", "_softmax", "_log_softmax")
"""Where arguments that PyTorch refuses with numbers, and lets through on `meta`, are refused."""


def outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    given = [t for t in args if isinstance(t, Tensor)]
    try:
        return told(function(*args), given)
    except Exception as error:  # whatever PyTorch raises
        return type(error), str(error)


def function_of(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(A, packet), overload or "default")


@pytest.mark.parametrize("name", _SHORTCUTS)
def test_a_shortcut_says_what_pytorch_says(name: str) -> None:
    function = function_of(name)
    outcomes = []
    for seed in range(TRIED):
        args = DRAWN.get(function, one)(Draw(seed, plain=seed % 2 == 0))
        expected, found = outcome(function, args), outcome(lambda *a: run(function, a, {}), args)
        if name in STRICTER and refused(found) and not refused(expected):
            if as_the_processor_likes(name, args):
                continue
            assert refused(outcome(function, on_a_processor(args))), (seed, args)
            continue
        both = name in STRICTER and refused(found) and refused(expected)
        assert both or found == expected, (seed, args)
        outcomes.append(expected)
    assert sum(not refused(o) for o in outcomes) >= TRIED // 3


@pytest.mark.parametrize("name", STRICTER)
def test_what_a_processor_refuses_is_refused(name: str) -> None:
    """PyTorch's `meta` kernels let some of it through: unlike types, channels of a transposed convolution."""
    function = function_of(name)
    met = 0
    for seed in range(4 * TRIED):
        args = DRAWN[function](Draw(seed))
        if any(isinstance(t, Tensor) and not t.is_floating_point() for t in args) or args[-1] is True:
            continue  # no number format of a network, or another one out than in, as a GPU has it
        if as_the_processor_likes(name, args):
            continue
        expected = outcome(function, on_a_processor(args))
        found = outcome(lambda *a: run(function, a, {}), args)
        empty = any(isinstance(t, Tensor) and not t.numel() for t in args)
        if empty or (not refused(found) and 0 in found[0]):
            continue  # without elements, one number format refuses what another takes
        assert refused(found) == refused(expected), (seed, args, expected)
        met += refused(expected)
    assert met > TRIED // 4


@pytest.mark.parametrize("name", _SHORTCUTS)
def test_a_shortcut_is_taken(name: str) -> None:
    """Or the test above would compare PyTorch with itself."""
    function = function_of(name)
    taken = 0
    for seed in range(0, TRIED, 2):
        args = DRAWN.get(function, one)(Draw(seed, plain=True))
        found = outcome(_SHORTCUTS[name], args)
        taken += found is not None and not refused(found)
    assert taken >= TRIED // 10


# ------------------------------------------------ where a processor says otherwise than `meta`


@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_batch_norm_is_as_a_processor_does_it(axes: int) -> None:
    """No statistics are kept in evaluation, and no gradient is made that nobody wants."""

    def shapes(device: str, wanted: list[bool]) -> Any:
        x, three = torch.ones(2, 3, *(4,) * axes, device=device), torch.ones(3, device=device)
        forward = (x, three, three, three, three, False, 0.1, 1e-5)
        backward = (x, x, three, three, three, three, three, True, 1e-5, wanted)
        found = [
            *run(A.native_batch_norm.default, forward, {}),
            *run(A.native_batch_norm_backward.default, backward, {}),
        ]
        return [None if t is None else (tuple(t.shape), t.dtype, t.stride()) for t in found]

    for wanted in ([True, True, True], [False, True, True]):
        assert shapes("meta", wanted) == shapes("cpu", wanted)


def test_batch_norm_without_statistics_is_refused_by_pytorch() -> None:
    x = torch.ones(2, 3, 4, device="meta")
    args = (x, None, None, None, None, False, 0.1, 1e-5)
    expected = outcome(A.native_batch_norm.default, args)
    assert isinstance(expected[0], type)
    assert outcome(lambda *a: run(A.native_batch_norm.default, a, {}), args) == expected


@pytest.mark.parametrize("keywords", [{"dtype": torch.float64}, {"memory_format": torch.channels_last}])
def test_keywords_that_ask_for_something_go_to_pytorch(keywords: dict[str, Any]) -> None:
    x = torch.ones(2, 3, 4, 5, device="meta")
    expected = A.empty_like.default(x, **keywords)
    assert told(run(A.empty_like.default, (x,), keywords), []) == told(expected, [])


def test_numbers_are_computed_by_pytorch() -> None:
    assert run(A.relu.default, (torch.tensor([-1.0, 2.0]),), {}).tolist() == [0.0, 2.0]
