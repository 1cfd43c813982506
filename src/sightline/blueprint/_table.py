"""The table as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.blueprint._graph import Shape

if TYPE_CHECKING:
    from sightline.blueprint._field import Field
    from sightline.blueprint._summary import Layer, Summary

_MOST_ROWS = 80
"""Of a table nobody asked to see in full."""
_HEAD = ("layer", "kind", "output", "parameters", "multiply-adds", "bytes", "field", "jump")


def table_text(summary: Summary, depth: int | None, *, arithmetic: bool, totals: bool) -> str:
    """The table with its totals. Arguments as `Summary.text`."""
    b = summary.blueprint
    chosen = depth if depth is not None else fitting_depth(summary)
    layers = summary.rows(chosen)
    lines = [f"{b.name}: {', '.join(shape_text(s[1:]) for s in b.input_shapes)}, batch {b.batch}", ""]
    lines += _rows(layers, arithmetic=arithmetic)
    if depth is None and chosen is not None:
        lines.append(f"({len(summary.layers)} layers folded into {len(layers)} rows; --depth N unfolds)")
    return "\n".join([*lines, "", *_totals(summary)] if totals else lines)


def fitting_depth(summary: Summary) -> int | None:
    """The deepest fold of at most 80 rows; None where every node fits."""
    if len(summary.layers) <= _MOST_ROWS:
        return None
    deepest = max((c.depth for c in summary.blueprint.calls), default=0)
    fitting = [d for d in range(1, deepest + 1) if len(summary.rows(d)) <= _MOST_ROWS]
    return fitting[-1] if fitting else 1


def _rows(layers: Sequence[Layer], *, arithmetic: bool) -> list[str]:
    measured = any(r.effective is not None for r in layers)
    head = (*_HEAD, "effective") if measured else _HEAD
    cells = [
        (
            r.name or "(itself)",
            r.kind + _settings_text(r.settings) + (f" ({r.nodes})" if r.nodes > 1 else ""),
            shape_text(r.output_shape), f"{r.parameters:,}" + ("*" if r.shared else ""), f"{r.macs:,}",
            f"{r.output_bytes:,}", _field_text(r.field), _jump_text(r.field),
            *([_effective_text(r.effective)] if measured else []),
        )
        for r in layers
    ]  # fmt: skip
    widths = [max(len(row[k]) for row in [head, *cells]) for k in range(len(head))]
    widths[0], widths[1] = min(widths[0], 44), min(widths[1], 34)

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            _shortened(text, width).ljust(width) if k < 3 else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()

    lines = [line(head), "  ".join("-" * w for w in widths)]
    for layer, row in zip(layers, cells, strict=True):
        lines.append(line(row))
        if arithmetic:
            lines += [f"    {_WORDS.get(name, name)}: {text}" for name, text in layer.sums.items()]
        if any(layer.lost):
            lines.append(f"    loses {_lost_text(layer.lost)} of its input")
    if any(layer.shared for layer in layers):
        lines.append("* reads parameters counted in an earlier row")
    return lines


_WORDS = {"macs": "multiply-adds", "receptive_field": "field"}


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[-(width - 3) :]


def _settings_text(settings: Any) -> str:
    """Kernel, stride and the like, in a few signs.

    Example:
        >>> _settings_text({"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "groups": 32})
        ' 3x3 /2 p1 g32'
    """
    if "kernel_size" not in settings:
        return ""
    text = f" {'x'.join(map(str, settings['kernel_size']))}"
    for sign, name, plain in (("/", "stride", 1), ("p", "padding", 0), ("d", "dilation", 1)):
        entries = settings.get(name, ())
        if any(e != plain for e in entries):
            text += f" {sign}{entries[0] if len(set(entries)) == 1 else 'x'.join(map(str, entries))}"
    if settings.get("groups", 1) != 1:
        text += f" g{settings['groups']}"
    return text + (" ceil" if settings.get("ceil_mode") else "")


def _lost_text(lost: tuple[tuple[int, ...], ...]) -> str:
    from sightline.blueprint._lost import axis_names, ranges

    names = axis_names(len(lost))
    return " and ".join(
        f"{name[:-1] if len(rows) == 1 else name} {ranges(rows)}"
        for name, rows in zip(names, lost, strict=True)
        if rows
    )


def shape_text(shape: Shape) -> str:
    """A shape as `64x112x112`.

    Example:
        >>> shape_text((64, 112, 112)), shape_text(())
        ('64x112x112', 'one number')
    """
    return "x".join(map(str, shape)) or "one number"


def _field_text(field: Field | None) -> str:
    if field is None:
        return "-"
    return str(field.size[0]) if len(set(field.size)) == 1 else "x".join(map(str, field.size))


def _effective_text(size: tuple[float, ...] | None) -> str:
    if size is None:
        return ""
    rounded = [f"{n:.0f}" for n in size]
    return rounded[0] if max(size) - min(size) < 0.05 * max(size) else "x".join(rounded)


def _jump_text(field: Field | None) -> str:
    if field is None:
        return "-"
    return str(field.jump[0]) if len(set(field.jump)) == 1 else "x".join(map(str, field.jump))


def megabytes(count: float) -> str:
    """Bytes for people; MB are 10^6.

    Example:
        >>> megabytes(553_430_176), megabytes(4_096)
        ('553.4 MB', '4.1 kB')
    """
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _totals(summary: Summary) -> list[str]:
    b, i, t = summary.blueprint, summary.inference, summary.training
    frozen = b.num_parameters - sum(n for name, n in b.parameters.items() if name in b.trainable)
    lines = [
        (
            "parameters",
            f"{b.num_parameters:,}"
            + (f", {frozen:,} of them frozen" if frozen else "")
            + f" ({megabytes(b.parameter_bytes)})"
            + (f"; {sum(b.buffers.values()):,} in buffers" if b.buffers else ""),
        ),
        ("multiply-adds", f"{b.macs:,} without bias; flops = 2 * macs = {b.flops:,}"),
    ]  # fmt: skip
    kinds = b.macs_by_kind
    if len(kinds) > 1:
        shares = (f"{kind} {100 * n / b.macs:.1f} %" for kind, n in kinds.items() if n / b.macs >= 0.0005)
        lines.append(("", ", ".join(shares)))
    lines.append((
        "inference",
        f"{megabytes(i.peak)} at its peak, at {i.at or 'the network itself'}: parameters and buffers "
        f"{megabytes(i.parameters + i.buffers)}, input {megabytes(i.inputs)}, "
        f"activations {megabytes(i.activations)}",
    ))  # fmt: skip
    if t is not None:
        lines.append((
            "training",
            f"{megabytes(t.peak)} at its peak, batch {t.batch}: parameters and buffers "
            f"{megabytes(t.parameters + t.buffers)}, gradients {megabytes(t.gradients)}, {t.optimizer} "
            f"{megabytes(t.optimizer_state)}, saved activations {megabytes(t.saved)}",
        ))  # fmt: skip
    if summary.field is not None:
        lines.append(("receptive field", f"{_field_text(summary.field)} pixels, of the first output"))
    if b.uncounted:
        lines.append(("not counted", ", ".join(b.uncounted)))
    if b.unread:
        names = ", ".join(b.unread[:4]) + (f" and {len(b.unread) - 4} more" if len(b.unread) > 4 else "")
        lines.append(("not read", f"parameters {names} ({sum(b.parameters[n] for n in b.unread):,} numbers)"))
    if b.how == "real":
        lines.append(("recorded", f"with numbers, because: {b.why_real}"))
    if b.data_dependent:
        lines.append(("", f"one branch seen: the numbers decide at {', '.join(b.data_dependent)}"))
    width = max(len(name) for name, _ in lines)
    return [
        wrapped
        for name, text in lines
        for wrapped in textwrap.wrap(
            text, 110, initial_indent=name.ljust(width + 2), subsequent_indent=" " * (width + 2),
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip
