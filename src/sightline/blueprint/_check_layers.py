"""What is wrong, or worth a second look, in one layer or in two that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sightline.base import Finding
from sightline.blueprint._check_graph import (
    ACTIVATIONS,
    AVERAGES,
    CENTRING,
    CONVOLUTIONS,
    DROPOUTS,
    LINEAR,
    MAXIMA,
    NORMS,
    PASSING,
    POSITIVE,
    RESHAPING,
    TRANSPOSED,
    Graph,
    Notes,
    per_image,
)
from sightline.blueprint._graph import Node

_STATISTICS = {"aten.native_batch_norm": 5, "aten._native_batch_norm_legit": 5, "aten.cudnn_batch_norm": 5}
"""Operations that normalise a batch, and which argument says whether by its own statistics."""
_DRAWING = frozenset({"aten.bernoulli_", "aten.native_dropout", "aten.bernoulli"})
_SOFTMAXES = frozenset({"softmax", "log_softmax"})
_SAME_CHANNELS = PASSING | ACTIVATIONS | CENTRING | AVERAGES | MAXIMA
"""What never mixes one channel with another."""


def layer_findings(graph: Graph) -> Iterator[Finding]:
    """Look at every layer and at its neighbours.

    Args:
        graph: Of a network recorded in evaluation mode.
    """
    for check in _CHECKS:
        yield from check(graph)


def _bias_before_norm(graph: Graph) -> Iterator[Finding]:
    notes = Notes(
        "info",
        "the norm subtracts each channel's mean, and the bias with it: it is trained for nothing",
        "build the layer with bias=False",
    )
    for k, norm in graph.pairs(LINEAR, CENTRING, frozenset({"identity"})):
        bias = graph.bias(k)
        if bias:
            what = f"{graph.nodes[k].kind} has a bias, and {_plain(graph.nodes[norm])} follows: "
            notes.add(graph.nodes[k].id, what, bias, lambda n: f"{n:,} parameters without effect")
    yield from notes.findings()


def _linear_in_a_row(graph: Graph) -> Iterator[Finding]:
    """Two layers with weights and nothing but linear ones between.

    Left out is what people build so on purpose: grouped convolutions beside others (separable convolutions),
    and a first layer narrower than both sides, which saves parameters (a low rank, a linear bottleneck).
    """
    notes = Notes(
        "warning", "two linear layers in a row compute no more than one", "put an activation between them"
    )
    between = PASSING | RESHAPING | AVERAGES | {"batch_norm"}
    for k, other in graph.pairs(LINEAR, LINEAR, between):
        first, second = graph.nodes[k], graph.nodes[other]
        if any(node.settings.get("groups", 1) > 1 for node in (first, second)):
            continue
        middle = per_image(first.output_shapes[0])
        if middle >= min(per_image(first.input_shapes[0]), per_image(second.output_shapes[0])):
            notes.add(second.id, f"nothing that is not linear lies between it and {first.id}")
    yield from notes.findings()


def _norms_and_dropout(graph: Graph) -> Iterator[Finding]:
    notes = Notes("warning", "the second undoes what the first learned to scale and shift", "leave one out")
    for k, other in graph.pairs(NORMS, NORMS):
        if graph.nodes[k].kind == graph.nodes[other].kind:
            notes.add(graph.nodes[other].id, f"{_plain(graph.nodes[other])} follows {graph.nodes[k].id}")
    yield from notes.findings()

    notes = Notes(  # Li et al. 2019, "Understanding the disharmony between dropout and batch normalization"
        "warning",
        "dropout changes the variance in training alone, and the running variance does not fit evaluation",
        "move the dropout behind the last batch norm",
    )
    for k, node in enumerate(graph.nodes):
        if node.kind not in DROPOUTS or k not in graph.alive or not getattr(graph.module(k), "p", 0.5):
            continue
        norm = graph.next(k, DROPOUTS | RESHAPING | {"identity"} | LINEAR)
        if norm is not None and graph.nodes[norm].kind == "batch_norm":
            notes.add(node.id, f"dropout before batch norm {graph.nodes[norm].id}")
    yield from notes.findings()


def _activations_in_a_row(graph: Graph) -> Iterator[Finding]:
    idle = Notes("info", "what it is given is never negative, so it changes nothing", "leave it out")
    squeezed = Notes(
        "warning", "half of what the second can say is never used", "keep one of the two activations"
    )
    for k, node in enumerate(graph.nodes):
        if node.kind not in ACTIVATIONS or k not in graph.alive:
            continue
        source = graph.before(k, PASSING | MAXIMA | AVERAGES | RESHAPING)
        if source is None or graph.nodes[source].kind not in ACTIVATIONS | {"softmax"}:
            continue
        before = graph.nodes[source]
        if node.kind == "relu":
            if before.kind in POSITIVE:
                idle.add(node.id, f"relu after {before.id}, a {before.kind}")
        elif before.kind in POSITIVE and node.kind in ("sigmoid", "tanh") and _only_reader(graph, source):
            squeezed.add(node.id, f"{node.kind} after {before.id}, a {before.kind}")
    yield from idle.findings()
    yield from squeezed.findings()


def _groups_in_a_row(graph: Graph) -> Iterator[Finding]:
    notes = Notes(
        "info",
        "what one group sees never reaches the others in between",
        "put a 1x1 convolution or a channel shuffle between them, or nothing if it is meant",
    )
    for k, other in graph.pairs(CONVOLUTIONS, CONVOLUTIONS, _SAME_CHANNELS):
        groups = [graph.nodes[n].settings.get("groups", 1) for n in (k, other)]
        if min(groups) > 1:
            what = f"groups={groups[1]} after groups={groups[0]} of {graph.nodes[k].id}"
            notes.add(graph.nodes[other].id, what)
    yield from notes.findings()


def _windows(graph: Graph) -> Iterator[Finding]:
    padded = Notes(
        "warning", "the outermost windows see padding alone", "use a padding smaller than the kernel reaches"
    )
    board = Notes(  # Odena et al. 2016, "Deconvolution and checkerboard artifacts"
        "warning",
        "some outputs are sums of more products than others: a checkerboard",
        "use a kernel that is a multiple of the stride, or resize and convolve",
    )
    idle = Notes(
        "warning",
        "the map is smaller than the kernel: these weights are multiplied by nothing but padding, and get no "
        "gradient",
        "use a larger input, less stride before it, or a smaller kernel",
    )
    for node in (graph.nodes[k] for k in sorted(graph.alive)):
        if "kernel_size" not in node.settings or not node.input_shapes:
            continue
        kernel, stride = node.settings["kernel_size"], node.settings["stride"]
        dilation = node.settings["dilation"]
        if node.kind in TRANSPOSED:
            uneven = [d for d in range(len(kernel)) if _uneven(kernel[d], stride[d], dilation[d])]
            if uneven:
                d = uneven[0]
                board.add(node.id, f"the stride {stride[d]} does not divide the kernel {kernel[d]}")
            continue
        pads = [_both(p) for p in node.settings["padding"]]
        reaches = [dilation[d] * (kernel[d] - 1) + 1 for d in range(len(kernel))]
        large = [d for d in range(len(kernel)) if max(pads[d]) >= reaches[d]]
        if large:
            d = large[0]
            padded.add(node.id, f"the padding {max(pads[d])} is not smaller than the {reaches[d]} it reaches")
        elif node.kind in CONVOLUTIONS:
            taps = [_used_taps(node, d, pads[d]) for d in range(len(kernel))]
            used, total = _product(taps), _product(kernel)
            if used < total:
                size = "x".join(map(str, node.input_shapes[0][-len(kernel) :]))
                what = f"{total - used} of {total} weights of each filter never meet the {size} map"
                idle.add(node.id, what)
    for notes in (padded, board, idle):
        yield from notes.findings()


def _gaps(graph: Graph) -> Iterator[Finding]:
    """Places of a map that none of its readers looks at, because each strides over them."""
    notes = Notes(
        "warning",
        "they are computed and thrown away",
        "use a kernel of the stride or more, or stride in the layer before",
    )
    for k, node in enumerate(graph.nodes):
        readers = [r for r in graph.blueprint.readers[k] if r in graph.alive]
        if k not in graph.alive or k in graph.ends or not readers:
            continue
        if any(not _strides_over(graph.nodes[r]) for r in readers):
            continue
        shape = node.output_shapes[0]
        masks = [_looked_at(graph.nodes[r], shape) for r in readers]
        axes = len(masks[0])
        total = _product(shape[-axes:])
        if axes != len(shape) - 2 or any(len(m) != axes for m in masks):
            continue
        seen = {place for mask in masks for place in _places(mask)}
        ids = [graph.nodes[r].id for r in readers]
        share = 100 * (1 - len(seen) / total)
        kernel = "x".join(map(str, graph.nodes[readers[0]].settings["kernel_size"]))
        stride = "x".join(map(str, graph.nodes[readers[0]].settings["stride"]))
        if len(seen) < total:
            what = f"{share:.0f} % of what it is given is in no window of {kernel}, stride {stride}"
            notes.add(" + ".join(ids), what)
    yield from notes.findings()


def _modes(graph: Graph) -> Iterator[Finding]:
    """What does in evaluation what only training should."""
    batch = Notes(
        "warning",
        "what it says of an image depends on the others of its batch, in evaluation, too",
        "keep running statistics (track_running_stats=True, training=self.training)",
    )
    drops = Notes(
        "warning",
        "the network gives another answer each time it is asked",
        "write F.dropout(x, p, training=self.training), or nn.Dropout",
    )
    for k, node in enumerate(graph.nodes):
        ran = graph.operations(k)
        if node.kind in DROPOUTS and any(o.name in _DRAWING for o in ran):
            drops.add(node.id, "drops in evaluation mode")
        if node.kind != "batch_norm":
            continue
        for operation in ran:
            position = _STATISTICS.get(operation.name)
            if position is not None and operation.arguments[position] is True:
                batch.add(node.id, "uses the statistics of the batch in evaluation mode")
    yield from batch.findings()
    yield from drops.findings()

    blueprint = graph.blueprint
    buffers = {v.storage: v.parameter for v in blueprint.values if v.parameter in blueprint.buffers}
    written = dict.fromkeys(
        buffers[blueprint.values[o].storage]
        for operation in blueprint.operations
        if operation.mutates
        for o in operation.outputs
        if blueprint.values[o].storage in buffers
    )
    changed = Notes(
        "warning",
        "the network does not give the same answer twice",
        "change buffers only where self.training is true",
    )
    for name in written:
        changed.add(name, "a buffer is changed in evaluation mode")
    yield from changed.findings()


def _softmax_axis(graph: Graph) -> Iterator[Finding]:
    notes = Notes(
        "warning",
        "what it says of an image depends on the others of its batch",
        "name the axis of the classes: softmax(x, dim=1)",
    )
    for k, node in enumerate(graph.nodes):
        shape = node.output_shapes[0] if node.output_shapes else ()
        if node.kind not in _SOFTMAXES or len(shape) < 2 or shape[0] != graph.blueprint.batch:
            continue
        for operation in graph.operations(k):
            axis = operation.arguments[1] if len(operation.arguments) > 1 else None
            if "softmax" in operation.name and isinstance(axis, int) and axis in (0, -len(shape)):
                notes.add(node.id, f"{node.kind} runs over the batch (dim=0)")
    yield from notes.findings()


_CHECKS: tuple[Callable[[Graph], Iterator[Finding]], ...] = (
    _bias_before_norm, _linear_in_a_row, _norms_and_dropout, _activations_in_a_row, _groups_in_a_row,
    _windows, _gaps, _modes, _softmax_axis,
)  # fmt: skip


def _plain(node: Node) -> str:
    return node.kind.replace("_", " ")


def _only_reader(graph: Graph, k: int) -> bool:
    return len(graph.blueprint.readers[k]) == 1 and k not in graph.ends


def _both(padding: Any) -> tuple[int, int]:
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


def _product(numbers: Any) -> int:
    found = 1
    for n in numbers:
        found *= n
    return found


def _uneven(kernel: int, stride: int, dilation: int) -> bool:
    """Whether some outputs of a transposed convolution get more products than others."""
    counts = [sum((j * dilation) % stride == r for j in range(kernel)) for r in range(stride)]
    return len(set(counts)) > 1


def _used_taps(node: Node, axis: int, pads: tuple[int, int]) -> int:
    """How many of a kernel's rows ever lie on the map."""
    kernel, stride, dilation = (node.settings[s][axis] for s in ("kernel_size", "stride", "dilation"))
    axes = len(node.settings["kernel_size"])
    size, made = node.input_shapes[0][-axes + axis], node.output_shapes[0][-axes + axis]
    return sum(
        any(0 <= o * stride - pads[0] + tap * dilation < size for o in range(made)) for tap in range(kernel)
    )


def _strides_over(node: Node) -> bool:
    settings = node.settings
    if "kernel_size" not in settings or "transposed" in settings or len(node.sources) != 1:
        return False
    return any(
        (k - 1) * d + 1 < s
        for k, s, d in zip(settings["kernel_size"], settings["stride"], settings["dilation"], strict=True)
    )


def _looked_at(node: Node, shape: tuple[int, ...]) -> list[set[int]]:
    """Rows in some window, for each spatial axis."""
    settings, found = node.settings, []
    axes = len(settings["kernel_size"])
    for d in range(axes):
        kernel, stride, dilation = (settings[s][d] for s in ("kernel_size", "stride", "dilation"))
        before, made = _both(settings["padding"][d])[0], node.output_shapes[0][-axes + d]
        rows = {o * stride - before + t * dilation for o in range(made) for t in range(kernel)}
        found.append(rows.intersection(range(shape[-axes + d])))
    return found


def _places(mask: list[set[int]]) -> set[tuple[int, ...]]:
    found: set[tuple[int, ...]] = {()}
    for rows in mask:
        found = {(*place, row) for place in found for row in rows}
    return found
