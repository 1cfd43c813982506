"""How a signal goes through a network, layer by layer, forward and backward: measured on one batch.

The signal of a layer is what differs between images: the standard deviation over the batch at each place of
its output, as a root mean square over all places. What is the same for every image (biases, the border that
padding makes) is none. The pass runs as training would, batch norms with the batch's statistics, from a fixed
seed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint._calls import Call, Walk, tensors_in, unwrapped
from sightline.blueprint._check_graph import LINEAR, NORMS, Notes, finding, named
from sightline.blueprint._record import attributes_kept
from sightline.blueprint._walk import in_mode

DIES = 1e-3
"""Of the first layer's signal: ten layers that halve it. He et al. 2015 could not train past such a loss."""
EXPLODES = 1e3
"""Times the first layer's signal: ten layers that double it."""
GRADIENT_DIES = 1e-4
"""First layer's gradient by the last's. A global average alone takes a factor of 7 to 14, and is no fault."""
GRADIENT_EXPLODES = 1e4
"""Likewise. Norms do not prevent it: without skips they bring it about (Yang et al. 2019)."""
DEAD = 0.75
"""Share of silent units from which a layer is told. Half of a fresh layer's are silent where all images look
alike to it, as they do to deep layers without norms."""
LEAST_UNITS = 8
"""Fewer than that say little of a share."""
SATURATED = 0.5
"""Share of a sigmoid's or tanh's outputs at their ends from which a layer is told."""
_NEAR_END = 0.99
"""tanh beyond it, where its slope is below 0.02; a sigmoid is a tanh of half the argument, in [0, 1]."""
_CONSTANT = 1e-6
"""Of an output's size: float32 keeps no smaller difference."""
RECTIFIERS = frozenset({"relu", "relu6"})
SIGMOIDS = frozenset({"sigmoid", "tanh"})
_WATCHED = LINEAR | NORMS | RECTIFIERS | SIGMOIDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LayerSignal:
    """What one layer did with a batch."""

    id: str
    """As in the blueprint."""
    kind: str
    signal: float
    """Deviation between images, root mean square over places; NaN where the first axis is not the batch."""
    gradient: float | None
    """Norm of the gradient by its output, the batch together; None where none came."""
    finite: bool
    units: int
    """Channels, or outputs of a fully connected layer."""
    silent: int
    """Units of a ReLU that gave 0 everywhere, for every image; 0 for other kinds."""
    saturated: float
    """Share of a sigmoid's or tanh's outputs at their ends; 0 for other kinds."""
    weights_zero: bool
    """Whether all its weights are 0, as some start their last layer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signal:
    """What a network did with a batch."""

    images: int
    layers: tuple[LayerSignal, ...]
    """In the order they ran: convolutions, fully connected layers, norms, ReLUs, sigmoids, tanhs."""
    output_signal: float
    """Deviation of the first output between images."""
    output_size: float
    """Its root mean square."""
    input_finite: bool
    weights_not_finite: tuple[str, ...]
    no_gradient: tuple[str, ...]
    """Trainable parameters that the output does not depend on, in a way that can be differentiated."""
    zero_gradient: tuple[str, ...]
    """Trainable parameters whose gradient is 0 in every element."""
    starts_at_zero: bool
    """Whether a trainable tensor, biases apart, is all 0: others may get no gradient in the first step."""

    def weighted(self) -> list[LayerSignal]:
        """The layers with weights."""
        return [layer for layer in self.layers if layer.kind in LINEAR]


def measure_signal(network: nn.Module, *images: Tensor, seed: int = 0) -> Signal:
    """Run a batch forward and a gradient of unit scale back, and measure at each layer.

    The gradient at each output is standard normal noise: it stands for any loss. The network is left as it
    was: mode, buffers, gradients, the global random state.

    Args:
        network: Any module, with numbers.
        images: A preprocessed batch for each argument of its `forward`, on its device; 2 or more images.
        seed: Of the gradient, and of what drops in training.

    Raises:
        ArgumentError: if there are fewer than 2 images, or the network is scripted, has no numbers, or was
            made in inference mode.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
        >>> with torch.no_grad():
        ...     _ = network[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> layers = measure_signal(network, torch.tensor([[1.0, 0.0], [3.0, 0.0]])).layers
        >>> [(layer.id, round(layer.signal, 3), layer.silent) for layer in layers]
        [('0', 1.0, 0), ('1', 0.707, 1)]
    """
    network = unwrapped(network)
    if not images or images[0].dim() < 2 or len(images[0]) < 2:
        raise ArgumentError("a signal is measured on a batch of 2 or more images")
    if any(t.is_meta for t in (*network.parameters(), *network.buffers())):
        raise ArgumentError(f"{type(network).__name__} has no numbers to measure with: it is on meta")
    if any(t.is_inference() for t in (*network.parameters(), *network.buffers())):
        raise ArgumentError(f"{type(network).__name__} has no gradients: it was made in inference mode")
    watcher = _Watcher(len(images[0]))
    devices = [images[0].device] if images[0].is_cuda else []
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    with (
        torch.inference_mode(False),
        torch.random.fork_rng(devices=devices),
        torch.enable_grad(),
        in_mode(network, training=True),
        attributes_kept(network),
    ):
        torch.manual_seed(seed)
        given = [x.detach().clone() for x in images]
        with Walk(network, watcher).watching():
            output = network(*given)
        outputs = [t for t in tensors_in(output) if t.is_floating_point()]
        gradients: dict[str, Tensor | None] = dict.fromkeys(trainable)
        deep = [t for t in outputs if t.requires_grad]
        if deep and trainable:
            noise = [torch.randn_like(t) for t in deep]
            found = torch.autograd.grad(deep, list(trainable.values()), noise, allow_unused=True)
            gradients = dict(zip(trainable, found, strict=True))
    with torch.no_grad():
        signal, size = _deviation(outputs[0].detach(), len(images[0]))[:2] if outputs else (math.nan, 0.0)
        return Signal(
            images=len(images[0]),
            layers=tuple(watcher.layers()),
            output_signal=signal,
            output_size=size,
            input_finite=all(bool(torch.isfinite(x).all()) for x in images),
            weights_not_finite=tuple(
                n for n, t in network.state_dict().items() if t.is_floating_point() and not t.isfinite().all()
            ),
            no_gradient=tuple(n for n, g in gradients.items() if g is None),
            zero_gradient=tuple(n for n, g in gradients.items() if g is not None and not g.any()),
            starts_at_zero=any(not p.any() for n, p in trainable.items() if not n.endswith("bias")),
        )


class _Watcher:
    """Measures each layer as it runs."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._layers: dict[str, dict[str, Any]] = {}
        self._gradients: dict[str, float] = {}
        self._last_weighted = ""

    def enter(self, path: str, id: str, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: A002
        """Nothing is done for modules that hold others."""

    def leave(self, output: Any) -> None:
        """Nothing, either."""

    def taken_out(self, args: tuple[Any, ...]) -> None:
        """Nor here."""

    def visit(self, call: Call) -> Any:
        """Run a call, and measure what it returns."""
        output = call.run()
        if call.kind not in _WATCHED:
            return output
        result = next(tensors_in(output), None)
        if result is not None and result.is_floating_point():
            if call.kind in LINEAR:
                self._last_weighted = call.kind
            with torch.no_grad():
                self._layers[call.id] = self._measured(call, result.detach())
            if result.requires_grad:
                result.register_hook(  # type: ignore[no-untyped-call]
                    functools.partial(self._gradient, call.id)
                )
        return output

    def _measured(self, call: Call, x: Tensor) -> dict[str, Any]:
        signal, _, finite = _deviation(x, self._batch)
        axis = x.dim() - 1 if self._last_weighted == "linear" or x.dim() < 3 else 1
        silent, saturated = 0, 0.0
        if call.kind in RECTIFIERS:
            others = [d for d in range(x.dim()) if d != axis]
            silent = int((x <= 0).all(dim=tuple(others)).sum()) if others else 0
        elif call.kind in SIGMOIDS:
            moved = 2 * x - 1 if call.kind == "sigmoid" else x
            saturated = float((moved.abs() > _NEAR_END).float().mean())
        weight = getattr(call.module, "weight", None)
        return {
            "kind": call.kind, "signal": signal, "finite": finite, "units": x.shape[axis] if x.dim() else 1,
            "silent": silent, "saturated": saturated,
            "weights_zero": isinstance(weight, Tensor) and not bool(weight.any()),
        }  # fmt: skip

    def _gradient(self, key: str, gradient: Tensor) -> None:
        with torch.no_grad():
            largest = float(gradient.abs().max()) if gradient.numel() else 0.0
            scaled = gradient / largest if 0 < largest < math.inf else gradient
            self._gradients[key] = float(scaled.norm()) * (largest if 0 < largest < math.inf else 1.0)

    def layers(self) -> Iterator[LayerSignal]:
        """What was measured, in the order it ran."""
        for key, measured in self._layers.items():
            yield LayerSignal(id=key, gradient=self._gradients.get(key), **measured)


def _deviation(x: Tensor, batch: int) -> tuple[float, float, bool]:
    """Deviation between images, root mean square, whether all is finite; scaled, lest a square overflows."""
    x = x.float()
    largest = float(x.abs().max()) if x.numel() else 0.0
    if not math.isfinite(largest):
        return math.nan, math.nan, False
    if largest == 0 or x.dim() == 0:
        return 0.0, largest, True
    x = x / largest
    size = float(x.square().mean().sqrt()) * largest
    if len(x) != batch:
        return math.nan, size, True
    return float(x.var(0, unbiased=False).mean().sqrt()) * largest, size, True


def signal_findings(signal: Signal, on: str) -> Iterator[Finding]:
    """What a measured signal says against a network.

    Args:
        signal: From `measure_signal`.
        on: What it was measured on, as `8 images of noise`.
    """
    broken = list(_not_finite(signal))
    yield from broken
    dead = list(_silent(signal, on))
    yield from dead
    yield from _saturated(signal, on)
    if not broken:
        yield from _forward(signal, on)
        yield from _constant(signal, on)
        if not any(f.level == "error" for f in dead):
            yield from _backward(signal, on)
    yield from _no_gradient(signal, told=bool(broken) or any(f.level == "error" for f in dead))


def _not_finite(signal: Signal) -> Iterator[Finding]:
    why = "every loss is NaN from there on"
    do = "load good weights, or train again with a smaller learning rate"
    if signal.weights_not_finite:
        yield finding("error", named(signal.weights_not_finite), "weights that are not finite", why, do)
        return
    if not signal.input_finite:
        do = "mend the images or their preprocessing"
        yield finding("error", "input", "values that are not finite", why, do)
        return
    layer = next((layer for layer in signal.layers if not layer.finite), None)
    if layer is not None:
        yield finding(
            "error", layer.id, "its output is not finite, and is the first", why,
            "initialise with a smaller deviation, add norms, or look for a division by 0 before it",
        )  # fmt: skip


def _forward(signal: Signal, on: str) -> Iterator[Finding]:
    layers = [layer for layer in signal.weighted() if not math.isnan(layer.signal)]
    if len(layers) < 2 or not layers[0].signal:
        return
    first = layers[0]
    ratios = [layer.signal / first.signal for layer in layers]
    judged = ratios[:-1] if len(ratios) > 2 else ratios  # the last layer may start small on purpose
    high = next((k for k, r in enumerate(ratios) if r > EXPLODES), None)
    if high is not None:
        last = f"{ratios[-1]:.3g}"
        yield finding(
            "warning", layers[high].id,
            f"the signal has grown {ratios[high]:.3g} times since {first.id}, {last} times at the last layer "
            f"({on})",
            "outputs and gradients of that size make the first steps blow up",
            "initialise by He et al. 2015, or add norms",
        )  # fmt: skip
    if judged[-1] < DIES:
        low = next(k for k in range(len(judged)) if max(judged[k:]) < DIES)
        yield finding(
            "warning", layers[low].id,
            f"the signal is down to {ratios[low]:.2g} of what it is at {first.id}, {judged[-1]:.2g} at "
            f"{layers[len(judged) - 1].id} ({on})",
            "images look alike to the layers behind it, and the first steps learn next to nothing",
            "initialise by He et al. 2015, or add norms or skips",
        )  # fmt: skip


def _constant(signal: Signal, on: str) -> Iterator[Finding]:
    layers = signal.weighted()
    if math.isnan(signal.output_signal) or not layers or any(layer.weights_zero for layer in layers):
        return
    if signal.output_signal <= _CONSTANT * signal.output_size:
        yield finding(
            "error", "output", f"it is the same for all images ({on})",
            "the network does not look at what it is given",
            "look for the first layer whose signal dies, or a ReLU whose units are all silent",
        )  # fmt: skip


def _backward(signal: Signal, on: str) -> Iterator[Finding]:
    layers = [layer for layer in signal.weighted() if layer.gradient]
    if len(layers) < 2:
        return
    first, last = layers[0], layers[-1]
    assert first.gradient is not None
    assert last.gradient is not None
    ratio = first.gradient / last.gradient
    told = f"its gradient is {ratio:.2g} of that of {last.id} ({on})"
    if ratio < GRADIENT_DIES:
        yield finding(
            "warning", first.id, told, "the first layers learn much more slowly than the last",
            "initialise by He et al. 2015, add norms or skips, or replace sigmoids",
        )  # fmt: skip
    elif ratio > GRADIENT_EXPLODES or not math.isfinite(ratio):
        yield finding(
            "warning", first.id, told, "steps that suit the last layers are far too large for the first",
            "add skips, initialise by He et al. 2015, or clip gradients and warm up",
        )  # fmt: skip


def _silent(signal: Signal, on: str) -> Iterator[Finding]:
    some = Notes(
        "warning", "such units give nothing and get no gradient", "a smaller learning rate, or other biases"
    )  # fmt: skip
    for layer in signal.layers:
        if layer.kind not in RECTIFIERS or not layer.units or not layer.finite:
            continue
        if layer.silent == layer.units:
            yield finding(
                "error", layer.id, f"all of its {layer.units} units are silent for all of {on}",
                "nothing gets past it, and no gradient back",
                "a smaller learning rate, or other weights and biases in the layer before",
            )  # fmt: skip
        elif layer.units >= LEAST_UNITS and layer.silent > DEAD * layer.units:
            share = f"{100 * layer.silent / layer.units:.0f} %"
            some.add(layer.id, f"{layer.silent} of {layer.units} units, {share}, are silent for all of {on}")
    yield from some.findings()


def _saturated(signal: Signal, on: str) -> Iterator[Finding]:
    notes = Notes(
        "warning", "there the slope is next to 0, and no gradient gets past",
        "smaller weights before it, a norm, or a ReLU",
    )  # fmt: skip
    for layer in signal.layers:
        if layer.saturated > SATURATED:
            share = f"{100 * layer.saturated:.0f} %"
            notes.add(layer.id, f"{share} of its outputs are at the ends of {layer.kind} ({on})")
    yield from notes.findings()


def _no_gradient(signal: Signal, *, told: bool) -> Iterator[Finding]:
    if signal.no_gradient:
        yield finding(
            "warning", named(signal.no_gradient), "no gradient comes back to it",
            "it stays as it is in training",
            "look for detach, no_grad, argmax or comparisons on the way, or an outcome nobody reads",
        )  # fmt: skip
    if signal.zero_gradient and not told and not signal.starts_at_zero:
        yield finding(
            "warning", named(signal.zero_gradient), "its gradient is 0 in every element",
            "it stays as it is in training",
            "look for rounding, signs, clamps or units that are silent on the way",
        )  # fmt: skip
