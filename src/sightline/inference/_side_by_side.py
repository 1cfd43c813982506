"""Networks side by side: what they cost, what they see, what they scored; and where their layers part."""

from __future__ import annotations

import dataclasses
import difflib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sightline.base import ArgumentError
from sightline.blueprint import Summary, in_mode, megabytes, record, summarize, training_memory
from sightline.inference._describe import NetworkAt, network_at

_SECONDS = 0.5
"""Of timing a network, at least."""
_MOST_PASSES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One network of a comparison."""

    name: str
    summary: Summary
    layers: int
    """Convolutions, transposed or not, and linear layers; projections of shortcuts among them."""
    milliseconds: float | None
    """Median for one image, fp32, on this machine's CPU; None if it was not timed."""
    spread: tuple[float, float] | None
    """Quartiles of the same."""
    scores: dict[str, float]
    """Of the run or model file it is from, as fractions."""
    published: tuple[str, ...]
    """Errors others measured, with their protocol."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        b = self.summary.blueprint
        field = self.summary.field
        return {
            "name": self.name,
            "input_shape": list(b.input_shapes[0][1:]),
            "parameters": b.num_parameters,
            "macs": b.macs,
            "flops": b.flops,
            "layers": self.layers,
            "memory": self.summary.memory(),
            "receptive_field": None if field is None else list(field.size),
            "lost": [len(rows) for rows in self.summary.lost.rows],
            "milliseconds": self.milliseconds,
            "milliseconds_quartiles": None if self.spread is None else list(self.spread),
            "scores": self.scores,
            "published": list(self.published),
        }


def compare_models(
    specs: Sequence[str], inputs: Sequence[str] = (), *, measure: bool = True, batch: int = 32
) -> list[Side]:
    """Record networks for the same input, time them in turns, and gather what is known of their scores.

    Args:
        specs: Two or more, each as for `resolve`.
        inputs: As for `network_at`; each model's own input where there is none.
        measure: Time them: one image at a time, alternating.
        batch: Images of the training step whose memory is told.

    Raises:
        ArgumentError: if there are fewer than two, one names nothing, or the input does not go through one.
    """
    if len(specs) < 2:
        raise ArgumentError(f"compare takes two models or more; it was given {len(specs)}")
    described = [_describe(network_at(spec, inputs), batch) for spec in specs]
    timed = _time([network_at(spec, inputs, numbers=True) for spec in specs]) if measure else None
    sides = []
    for k, (there, told) in enumerate(described):
        header = there.model.header
        times = timed[k] if timed is not None else None
        quartiles = statistics.quantiles(times, n=4) if times is not None and len(times) > 1 else None
        sides.append(
            Side(
                name=there.name,
                summary=told,
                layers=sum(node.kind.startswith(("conv", "linear")) for node in told.blueprint.nodes),
                milliseconds=None if times is None else statistics.median(times),
                spread=None if quartiles is None else (quartiles[0], quartiles[2]),
                scores=dict(header.scores) if header is not None else {},
                published=tuple(
                    f"top-1 {100 * r.top1_error:.2f} %: {r.data}, {r.protocol}"
                    for r in there.model.architecture.results
                    if r.top1_error is not None
                )[:1],
            )
        )
    return sides


def _describe(there: NetworkAt, batch: int) -> tuple[NetworkAt, Summary]:
    blueprint = record(there.network, *there.inputs, name=there.name)
    try:
        training = training_memory(there.network, *there.batch(batch))
    except ArgumentError:
        training = None
    return there, summarize(blueprint, training=training)


def _time(networks: Sequence[NetworkAt]) -> list[list[float]]:
    """Milliseconds of each pass of each network, in turns."""
    generator = torch.Generator().manual_seed(0)
    given = [tuple(_numbers(x, generator) for x in there.inputs) for there in networks]
    found: list[list[float]] = [[] for _ in networks]
    began = time.perf_counter()
    with torch.inference_mode():
        for turn in range(_MOST_PASSES + 1):
            for k, there in enumerate(networks):
                with in_mode(there.network, training=False):
                    start = time.perf_counter()
                    there.network(*given[k])
                    passed = time.perf_counter() - start
                if turn:  # the first warms up
                    found[k].append(1000 * passed)
            if turn > 2 and time.perf_counter() - began > _SECONDS * len(networks):
                break
    return found


def _numbers(like: Tensor, generator: torch.Generator) -> Tensor:
    if like.is_floating_point():
        return torch.randn(like.shape, generator=generator)
    return torch.zeros_like(like, device="cpu")


ComparisonRow = tuple[str, list[str], list[float] | None]
"""What it is, its text for each network, and its number for each where there is one."""


def comparison_rows(sides: Sequence[Side]) -> list[ComparisonRow]:
    """What is compared, a row each.

    Args:
        sides: The networks, in the order of the columns.
    """

    def counted(
        name: str, number: Callable[[Side], float], text: Callable[[float], str] = "{:,}".format
    ) -> ComparisonRow:
        numbers = [number(side) for side in sides]
        return name, [text(n) for n in numbers], numbers

    rows: list[ComparisonRow] = [
        ("input", ["x".join(map(str, s.summary.blueprint.input_shapes[0][1:])) for s in sides], None),
        counted("parameters", lambda s: s.summary.blueprint.num_parameters),
        counted("multiply-adds", lambda s: s.summary.blueprint.macs),
        counted("convolutions and linears", lambda s: s.layers),
        counted("inference memory", lambda s: s.summary.inference.peak, megabytes),
    ]
    if all(s.summary.training is not None for s in sides):
        trained = [s.summary.training for s in sides]
        peaks = [float(t.peak) for t in trained if t is not None]
        batch = next(t.batch for t in trained if t is not None)
        rows.append((f"training memory, batch {batch}", [megabytes(p) for p in peaks], peaks))
    fields = [s.summary.field for s in sides]
    rows.append(("receptive field", ["-" if f is None else "x".join(map(str, f.size)) for f in fields], None))
    lost = [
        "none" if not s.summary.lost.any else "x".join(str(len(r)) for r in s.summary.lost.rows)
        for s in sides
    ]
    rows.append(("rows x columns lost", lost, None))
    times = [s.milliseconds for s in sides if s.milliseconds is not None]
    if len(times) == len(sides):
        texts = [
            f"{s.milliseconds:.1f} ({s.spread[0]:.1f} to {s.spread[1]:.1f})"
            if s.spread
            else f"{s.milliseconds:.1f}"
            for s in sides
        ]
        rows.append(("ms an image (quartiles)", texts, times))
    for name in dict.fromkeys(name for s in sides for name in s.scores):
        values = [s.scores.get(name) for s in sides]
        rows.append((name, ["-" if v is None else f"{v:.4f}" for v in values], None))
    if any(s.published for s in sides):
        rows.append(
            ("published", [s.published[0].split(":")[0] if s.published else "-" for s in sides], None)
        )
    return rows


def layer_differences(first: Summary, second: Summary) -> list[str]:
    """Where the layers of two networks part: lines that begin with ` `, `-` (the first) or `+` (the second).

    Names are left out of the comparison: layers are alike that do the same with the same sizes.

    Args:
        first: One network's.
        second: The other's.
    """
    a, b = (
        [_line(r.kind, dict(r.settings), r.input_shape, r.output_shape) for r in s.layers]
        for s in (first, second)
    )
    return [
        line for line in difflib.unified_diff(a, b, lineterm="", n=1) if not line.startswith(("---", "+++"))
    ]


def _line(kind: str, settings: dict[str, Any], given: Sequence[int], made: Sequence[int]) -> str:
    extra = " ".join(
        f"{name}={'x'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in settings.items()
        if name in ("kernel_size", "stride", "padding", "dilation", "groups", "bias")
    )
    return f"{kind:<20} {'x'.join(map(str, given)):>14} -> {'x'.join(map(str, made)):<14} {extra}".rstrip()
