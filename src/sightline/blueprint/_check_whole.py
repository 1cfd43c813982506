"""What is wrong, or worth a second look, in a network as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from sightline.base import ArgumentError, Finding
from sightline.blueprint._check_graph import (
    ACTIVATIONS,
    AVERAGES,
    CENTRING,
    MAXIMA,
    PASSING,
    RESHAPING,
    Graph,
    Level,
    Notes,
    finding,
    named,
)
from sightline.blueprint._field import fields
from sightline.blueprint._graph import Blueprint
from sightline.blueprint._record import record

SMALL_FIELD = 0.5
"""Of the input's side: a feature that sees less never sees an object that fills the image."""
LARGE_FIELD = 4.0
"""Of the input's side: three quarters and more of such a field are padding."""
MOST = 0.5
"""Share of the parameters from which one layer is said to hold most."""
_SMALL: dict[str, tuple[Level, str]] = {
    "averaged": ("warning", "no feature sees an object that fills the image"),
    "output": ("info", "no output sees more of the image than that: texture, not large objects"),
    "joined": ("info", "nothing but the fully connected layer behind it sees an object as a whole"),
}
"""What a small field means, by what becomes of the map."""
_INSIDE = {"cross_entropy": "softmax", "cross_entropy_auxiliary": "softmax", "": "softmax"}
"""Objectives whose loss has a softmax inside; where none is known, a classifier's is supposed."""


def whole_findings(graph: Graph, network: nn.Module, objective: str) -> Iterator[Finding]:
    """Look at the network as one.

    Args:
        graph: Of a network recorded in evaluation mode.
        network: The module, recorded again in training mode if something was not read.
        objective: How it is trained, as the zoo names it; empty if nobody says.
    """
    yield from _output(graph, objective)
    yield from _field(graph)
    yield from _largest(graph)
    yield from _unread(graph, network)
    yield from _dead_branches(graph)
    yield from _shared(graph)
    yield from _frozen(graph.blueprint)
    yield from _deciding(graph.blueprint)


def _output(graph: Graph, objective: str) -> Iterator[Finding]:
    for end in graph.ends:
        k: int | None = end
        if graph.nodes[end].kind in PASSING | RESHAPING | AVERAGES:
            k = graph.before(end, PASSING | RESHAPING | AVERAGES)
        if k is None:
            continue
        node = graph.nodes[k]
        if node.kind == "softmax" and objective in _INSIDE:
            yield finding(
                "warning", node.id, "the network ends in a softmax",
                "cross_entropy has one inside and would apply it twice: the loss cannot come near 0, and "
                "gradients are small", "return what comes before it",
            )  # fmt: skip
        elif node.kind == "log_softmax" and objective in _INSIDE:
            yield finding(
                "info", node.id, "the network ends in a log_softmax",
                "nll_loss wants that; cross_entropy has one inside, where a second changes nothing",
                "return what comes before it, and use cross_entropy",
            )  # fmt: skip
        elif node.kind == "sigmoid" and objective in _INSIDE:
            yield finding(
                "info", node.id, "the network ends in a sigmoid",
                "binary_cross_entropy_with_logits and cross_entropy have theirs inside, and are exact where "
                "a sigmoid rounds to 0 or 1", "return what comes before it, if a loss on logits follows",
            )  # fmt: skip
        elif node.kind in ("relu", "relu6"):
            yield finding(
                "info", node.id, f"the network ends in a {node.kind}",
                "no output is negative, and an output that is 0 for every image gets no gradient",
                "leave it out, unless the outputs are meant to be so",
            )  # fmt: skip


def _field(graph: Graph) -> Iterator[Finding]:
    """Of the last map: what is read by a fully connected layer, is averaged, or goes out."""
    blueprint = graph.blueprint
    if not blueprint.inputs or len(blueprint.input_shapes[0]) < 3:
        return
    sizes = blueprint.input_shapes[0][2:]
    seen = fields(blueprint)
    averaged = _globally_averaged(graph)
    last = None
    for k in sorted(graph.alive & seen.keys()):
        sizes_there = graph.nodes[k].output_shapes[0][2:]
        if len(sizes_there) == len(sizes) and (max(sizes_there) > 1 or k not in averaged):
            last = k
    field = seen[last] if last is not None else None
    if last is None or field is None:
        return
    node = graph.nodes[last]
    if any(a > b for a, b in zip(node.output_shapes[0][2:], sizes, strict=True)):
        return  # it draws rather than looks
    size, shown = "x".join(map(str, field.size)), "x".join(map(str, sizes))
    small = [d for d in range(len(sizes)) if field.size[d] < SMALL_FIELD * sizes[d] and field.jump[d]]
    what = f"the last map sees {size} of {shown} pixels"
    fate = _fate(graph, last)
    if len(small) == len(sizes):
        if fate in _SMALL:
            yield finding(
                _SMALL[fate][0], node.id, what, _SMALL[fate][1],
                "more layers, stride or dilation before it, or smaller images",
            )  # fmt: skip
    elif all(field.size[d] > LARGE_FIELD * sizes[d] for d in range(len(sizes))):
        yield finding(
            "info", node.id, what,
            "most of it is padding; what counts is the effective field, which is smaller and grows only with "
            "the root of the depth (Luo et al. 2016)",
            "nothing, or fewer layers, or larger images",
        )  # fmt: skip


def _globally_averaged(graph: Graph) -> set[int]:
    """The nodes behind a global average, itself included."""
    found: set[int] = set()
    for k, node in enumerate(graph.nodes):
        whole = node.kind in AVERAGES and (
            len(node.output_shapes[0]) < len(node.input_shapes[0])
            or max(node.output_shapes[0][2:], default=0) == 1
        )
        if whole or found.intersection(node.sources):
            found.add(k)
    return found


def _fate(graph: Graph, k: int) -> str:
    """What becomes of a map: `averaged`, `joined` by a linear layer, the `output`; empty if nobody says."""
    through = PASSING | RESHAPING | ACTIVATIONS | CENTRING | AVERAGES | MAXIMA | {"local_response_norm"}
    while k not in graph.ends:
        shape = graph.nodes[k].output_shapes[0]
        following = graph.next(k, ())
        if following is None:
            return ""
        node, k = graph.nodes[following], following
        if node.kind in AVERAGES | MAXIMA:
            made = node.output_shapes[0]
            if len(made) < len(shape) or max(made[2:], default=1) == 1:
                return "averaged"
        elif node.kind == "linear":
            return "joined" if len(shape) == 2 else ""
        elif node.kind not in through:
            return ""
    return "output"


def _largest(graph: Graph) -> Iterator[Finding]:
    total = graph.blueprint.num_parameters
    weighted = [node for node in graph.nodes if node.num_parameters]
    if len(weighted) < 2:
        return
    node = max(weighted, key=lambda n: n.num_parameters)
    if node.num_parameters <= MOST * total:
        return
    yield finding(
        "info", node.id,
        f"holds {node.num_parameters:,} of {total:,} parameters, {100 * node.num_parameters / total:.0f} %",
        "that is where the network is large, and where it overfits first",
        "make its input smaller: a pooling, or a global average in place of flatten"
        if node.kind == "linear" else "fewer filters, a smaller kernel, or groups",
    )  # fmt: skip


def _unread(graph: Graph, network: nn.Module) -> Iterator[Finding]:
    blueprint = graph.blueprint
    unread = blueprint.unread
    if not unread:
        return
    missing = set(unread)
    try:
        inputs = [(2, *shape[1:]) for shape in blueprint.input_shapes]
        if all(blueprint.values[v].dtype.is_floating_point for v in blueprint.inputs):
            missing &= set(record(network, *inputs, training=True).unread)
    except ArgumentError:  # it cannot be trained on two such inputs; what was seen in evaluation stands
        pass
    sizes = blueprint.parameters
    later = [name for name in unread if name not in missing]
    if later:
        yield finding(
            "info", named(_layers(later)),
            f"{sum(sizes[n] for n in later):,} of {blueprint.num_parameters:,} parameters are read in "
            "training alone",
            "they cost nothing in use, but lie in the file", "leave them out of what is shipped",
        )  # fmt: skip
    never = [name for name in unread if name in missing]
    if never:
        yield finding(
            "warning", named(_layers(never)),
            f"{sum(sizes[n] for n in never):,} of {blueprint.num_parameters:,} parameters are never read",
            "they get no gradient and change nothing; in distributed training they are an error",
            "use them in forward, or leave them out",
        )  # fmt: skip


def _dead_branches(graph: Graph) -> Iterator[Finding]:
    """Chains whose outcome no output depends on."""
    if not graph.ends or graph.blueprint.data_dependent:  # what was taken out as a number is not followed
        return
    dead = [k for k in range(len(graph.nodes)) if k not in graph.alive]
    notes = Notes("warning", "it costs time, and learns nothing", "use its outcome, or leave it out")
    for k in dead:
        if graph.blueprint.readers[k]:
            continue
        branch, waiting = {k}, [k]
        while waiting:
            for source in graph.nodes[waiting.pop()].sources:
                if source >= 0 and source not in graph.alive and source not in branch:
                    branch.add(source)
                    waiting.append(source)
        nodes = [graph.nodes[n] for n in branch]
        if not any(n.num_parameters or n.macs or n.is_module or n.kind in ACTIVATIONS for n in nodes):
            continue  # a view or a sum, for a size or a check
        parameters, macs = sum(n.num_parameters for n in nodes), sum(n.macs for n in nodes)
        layers = "1 layer" if len(nodes) == 1 else f"{len(nodes)} layers"
        what = f"no output depends on it: {layers}, {parameters:,} parameters, {macs:,} multiply-adds"
        notes.add(graph.nodes[k].id, what)
    yield from notes.findings()


def _shared(graph: Graph) -> Iterator[Finding]:
    owner = {name: node.id for node in graph.nodes for name in node.parameters}
    norms = Notes(
        "warning", "its running statistics are of both places at once, and fit neither",
        "give each place a norm of its own",
    )  # fmt: skip
    weights = Notes("info", "they are counted, and trained, once", "nothing, if it is meant")
    for node in graph.nodes:
        again = [name for name in node.shared if owner.get(name) not in (None, node.id)]
        if not again:
            continue
        first = owner[again[0]]
        if node.kind == "batch_norm":
            norms.add(node.id, f"the same batch norm as {first}")
        else:
            weights.add(node.id, f"reads {named(again)} again, as {first}")
    yield from norms.findings()
    yield from weights.findings()


def _frozen(blueprint: Blueprint) -> Iterator[Finding]:
    frozen = [name for name in blueprint.parameters if name not in blueprint.trainable]
    if frozen:
        yield finding(
            "info", named(_layers(frozen)),
            f"{sum(blueprint.parameters[n] for n in frozen):,} of {blueprint.num_parameters:,} parameters "
            "ask for no gradient",
            "they stay as they are in training", "nothing, if it is meant; else requires_grad_(True)",
        )  # fmt: skip


def _deciding(blueprint: Blueprint) -> Iterator[Finding]:
    if blueprint.data_dependent:
        yield finding(
            "info", named(blueprint.data_dependent),
            "what comes out of it decides what runs next, or how large it is",
            "one branch was seen, and the others were not checked", "nothing, or check with other inputs",
        )  # fmt: skip


def _layers(names: Sequence[str]) -> list[str]:
    """The layers that parameters belong to, by the outermost module that all of it shares."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
