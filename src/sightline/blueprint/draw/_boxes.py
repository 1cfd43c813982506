"""From nodes to boxes: what belongs together in one, which modules are folded, which blocks repeat."""

from __future__ import annotations

import dataclasses

from sightline.blueprint._graph import Blueprint, Node, Shape
from sightline.blueprint.draw._kinds import (
    by_x,
    channels,
    group,
    in_shape,
    is_passed,
    name_words,
    num_outputs,
    out_shape,
    short_word,
    spatial,
    step_words,
)


@dataclasses.dataclass(slots=True)
class Box:
    """One operation with the normalisation and activation around it, or a folded module."""

    key: int
    """Index of its first node; boxes are ordered by it."""
    nodes: list[int]
    group: str
    name: str
    steps: list[str]
    num_outputs: int
    notes: list[str]
    """Short words of what follows within: `BN`, `ReLU`."""
    sources: list[int]
    """Keys of the boxes it reads; -1 - k for input k."""
    cropped: set[int]
    """Those of `sources` that are cut to a smaller size on the way."""
    shape_in: Shape
    shape: Shape
    path: str
    shared: bool
    num_parameters: int
    inside: tuple[object, ...] = ()
    """Of a folded module, what it is made of: only equal ones may stand for each other."""

    @property
    def title(self) -> str:
        """As `conv 3x3, 64, /2`."""
        counts = [str(self.num_outputs)] if self.num_outputs else []
        return ", ".join([self.name, *counts, *self.steps])

    def holds(self, blueprint: Blueprint) -> list[str]:
        """Ids of its nodes."""
        return [blueprint.nodes[k].id for k in self.nodes]

    @property
    def small_print(self) -> str:
        """What follows within, the size where it changes."""
        words = ", ".join(self.notes)
        now = spatial(self.shape)
        if now and now != spatial(self.shape_in) and self.group not in ("merge", "linear"):
            words += f" \u2192 {by_x(now)}"
        if self.shared:
            words += " (same weights)"
        return words.strip()


@dataclasses.dataclass(slots=True)
class Sketch:
    """What will be drawn of a blueprint."""

    blueprint: Blueprint
    boxes: dict[int, Box]
    outputs: list[int]
    """Keys of the boxes that make the outputs; -1 - k for an input handed through."""
    repeats: dict[int, int] = dataclasses.field(default_factory=dict)
    """How often a module call stands for itself and those behind it, by index of the call."""
    last_paths: dict[int, str] = dataclasses.field(default_factory=dict)
    """Path of the last module that a repeated call stands for."""

    def readers(self) -> dict[int, list[int]]:
        """Keys of the boxes that read each box or input, in order."""
        found: dict[int, list[int]] = {key: [] for key in self.boxes}
        for key, box in self.boxes.items():
            for source in box.sources:
                found.setdefault(source, []).append(key)
        return found


def sketch(
    blueprint: Blueprint, *, depth: int | None = None, unfold: bool = False, limit: int = 110
) -> Sketch:
    """Boxes of a blueprint, folded.

    Args:
        blueprint: What was recorded.
        depth: Modules at this depth are one box each; None for as deep as stays readable.
        unfold: Draw every block of a repeat.
        limit: Boxes above which modules are folded where `depth` is None.
    """
    deepest = max((call.depth for call in blueprint.calls), default=0)
    wanted = deepest + 1 if depth is None else depth
    while True:
        found = _fused(blueprint)
        _collapse(found, wanted)
        if not unfold:
            _fold(found)
        if depth is not None or wanted <= 1 or len(found.boxes) <= limit:
            return found
        wanted -= 1


def _fused(blueprint: Blueprint) -> Sketch:
    """Each operation with the normalisation and activation around it in one box."""
    nodes = blueprint.nodes
    real, cropped = _producers(nodes)
    sources = [list(dict.fromkeys(real[s] if s >= 0 else s for s in node.sources)) for node in nodes]
    readers: dict[int, set[int]] = {}
    for k in range(len(nodes)):
        if real[k] == k:
            for s in sources[k]:
                readers.setdefault(s, set()).add(k)
    made_by = {value: k for k, node in enumerate(nodes) for value in node.outputs}
    made_by.update({value: -1 - k for k, value in enumerate(blueprint.inputs)})
    outputs = [made_by[value] for value in blueprint.outputs if value in made_by]
    ends = list(dict.fromkeys(real[k] if k >= 0 else k for k in outputs))
    within_call = [0] * len(nodes)
    for c, call in enumerate(blueprint.calls):
        within_call[slice(*call.nodes)] = [c] * (call.nodes[1] - call.nodes[0])
    boxes: dict[int, Box] = {}
    home: dict[int, int] = {}  # node -> key of its box
    for k, node in enumerate(nodes):
        if real[k] != k:
            continue
        what = group(node)
        before = sources[k][0] if len(sources[k]) == 1 else -1
        box = boxes.get(home.get(before, -1))
        if box is not None and box.nodes[-1] == before and readers[before] == {k} and before not in ends:
            within = box.group != "merge" or within_call[before] == within_call[k]
            normed = any(group(nodes[n]) == "norm" for n in box.nodes)
            if within and (what == "activation" or (what == "norm" and not normed)):
                box.nodes.append(k)
                box.notes.append(short_word(node))
                box.shape = out_shape(node) or box.shape
                box.num_parameters += node.num_parameters
                home[k] = box.key
                continue
            if what in ("convolution", "linear", "pooling") and box.group in ("norm", "activation"):
                behind = _box(k, node, what, box.sources, box.cropped)
                behind.key, behind.nodes, behind.shape_in = box.key, [*box.nodes, k], box.shape_in
                behind.notes = [", ".join([box.name, *box.notes]) + " before"]
                behind.num_parameters += box.num_parameters
                boxes[box.key] = behind
                home[k] = box.key
                continue
        keys = [home[s] if s >= 0 else s for s in sources[k]]
        cut = {home[real[s]] if real[s] >= 0 else real[s] for s in node.sources if s >= 0 and s in cropped}
        boxes[k] = _box(k, node, what, list(dict.fromkeys(keys)), cut)
        home[k] = k
    return Sketch(blueprint, boxes, [home[k] if k >= 0 else k for k in ends])


def _box(key: int, node: Node, what: str, sources: list[int], cut: set[int]) -> Box:
    return Box(
        key=key, nodes=[key], group=what, name=name_words(node), steps=step_words(node),
        num_outputs=num_outputs(node), notes=[], sources=list(sources), cropped=set(cut),
        shape_in=in_shape(node), shape=out_shape(node), path=node.id, shared=bool(node.shared),
        num_parameters=node.num_parameters,
    )  # fmt: skip


def _producers(nodes: tuple[Node, ...]) -> tuple[list[int], set[int]]:
    """For each node the one that made what it hands on; and the nodes that hand on less than they got."""
    real: list[int] = []
    cropped: set[int] = set()
    for k, node in enumerate(nodes):
        origins = list(dict.fromkeys(real[s] if s >= 0 else s for s in node.sources))
        if not is_passed(node) or len(origins) != 1:
            real.append(k)
            continue
        real.append(origins[0])
        given, made = in_shape(node), out_shape(node)
        smaller = len(given) == len(made) > 2 and any(m < g for g, m in zip(given, made, strict=True))
        if smaller or any(s in cropped for s in node.sources):
            cropped.add(k)
    return real, cropped


def _collapse(found: Sketch, depth: int) -> None:
    """Modules at a depth become one box each."""
    for call in found.blueprint.calls:
        if call.depth != depth or depth < 1:
            continue
        first, last = call.nodes
        inside = [key for key in found.boxes if first <= key < last]
        if len(inside) < 2:
            continue
        members = [found.boxes[key] for key in inside]
        outer = [s for box in members for s in box.sources if s not in inside]
        nodes = [k for box in members for k in box.nodes]
        shape = call.output_shapes[0] if call.output_shapes else members[-1].shape
        whole = Box(
            key=inside[0], nodes=nodes, group="module", name=call.type, steps=[],
            num_outputs=channels(shape) if len(shape) > 2 else shape[-1] if shape else 0,
            notes=[call.path], sources=list(dict.fromkeys(outer)), cropped=set(),
            shape_in=call.input_shapes[0] if call.input_shapes else members[0].shape_in, shape=shape,
            path=call.id, shared=any(box.shared for box in members),
            num_parameters=sum(box.num_parameters for box in members),
            inside=_looks(members, inside),
        )  # fmt: skip
        _replace(found, set(inside), whole.key)
        found.boxes[whole.key] = whole
        found.boxes = dict(sorted(found.boxes.items()))


def _replace(found: Sketch, old: set[int], new: int) -> None:
    """Take boxes out; what read them reads `new`."""
    for key in old:
        del found.boxes[key]
    for box in found.boxes.values():
        box.sources = list(dict.fromkeys(new if s in old else s for s in box.sources))
        if box.cropped & old:
            box.cropped = (box.cropped - old) | {new}
    found.outputs = list(dict.fromkeys(new if k in old else k for k in found.outputs))


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """A module call seen from outside: one way in, one way out, and all that is drawn of it."""

    call: int
    keys: tuple[int, ...]
    entry: int
    exit: int
    looks: tuple[object, ...]


def _fold(found: Sketch) -> None:
    """Modules that follow each other and look alike become one, with a count; the innermost first."""
    calls = found.blueprint.calls
    by_parent: dict[int, list[int]] = {}
    for c, call in enumerate(calls):
        by_parent.setdefault(call.parent, []).append(c)
    for siblings in sorted(by_parent.values(), key=lambda group: -calls[group[0]].depth):
        readers = found.readers()
        run: list[_Block] = []
        for c in siblings:
            block = _block(found, c, readers)
            follows = (
                block is not None
                and run
                and block.looks == run[-1].looks
                and block.entry == run[-1].exit
                and run[-1].exit not in found.outputs
                and all(key in block.keys or key in run[-1].keys for key in readers[run[-1].exit])
            )
            if not follows:
                _merge_run(found, run)
                run = []
            if block is not None:
                run.append(block)
        _merge_run(found, run)


def _merge_run(found: Sketch, run: list[_Block]) -> None:
    if len(run) < 2:
        return
    kept = run[0]
    gone = {key for block in run[1:] for key in block.keys}
    _replace(found, gone, kept.exit)
    found.repeats[kept.call] = len(run)
    found.last_paths[kept.call] = found.blueprint.calls[run[-1].call].path


def _block(found: Sketch, c: int, readers: dict[int, list[int]]) -> _Block | None:
    call = found.blueprint.calls[c]
    first, last = call.nodes
    keys = tuple(key for key in found.boxes if first <= key < last)
    inside = set(keys)
    entries = list(dict.fromkeys(s for k in keys for s in found.boxes[k].sources if s not in inside))
    exits = [k for k in keys if k in found.outputs or any(r not in inside for r in readers.get(k, []))]
    if len(entries) != 1 or len(exits) != 1:
        return None
    looks = _looks([found.boxes[key] for key in keys], list(keys))
    inner = [
        found.repeats.get(k, 1)
        for k, other in enumerate(found.blueprint.calls)
        if _within(other.nodes, call.nodes)
    ]
    return _Block(c, keys, entries[0], exits[0], (call.type, *looks, tuple(inner[1:])))


def _looks(boxes: list[Box], keys: list[int]) -> tuple[object, ...]:
    """All that tells a group of boxes from another that might stand for it."""
    place = {key: n for n, key in enumerate(keys)}
    return tuple(
        (
            box.group,
            box.title,
            () if box.group == "module" else tuple(box.notes),
            box.inside,
            box.shape,
            box.shape_in,
            box.shared,
            tuple(place.get(s, -1) for s in box.sources),
        )
        for box in boxes
    )


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and inner[0] < inner[1]


def shortcuts(found: Sketch) -> dict[tuple[int, int], str]:
    """Edges that go round other boxes: `skip` unchanged, `projection` through one box of their own.

    Returns:
        What each is, by (source, reader). The edge that leads into a projection is `toward`.
    """
    bit = {key: 1 << n for n, key in enumerate(found.boxes)}
    for k in range(len(found.blueprint.inputs)):
        bit[-1 - k] = 1 << (len(found.boxes) + k)
    before: dict[int, int] = {-1 - k: 0 for k in range(len(found.blueprint.inputs))}
    for key, box in found.boxes.items():
        before[key] = 0
        for s in box.sources:
            before[key] |= before.get(s, 0) | bit.get(s, 0)
    edges: dict[tuple[int, int], str] = {}
    for key, box in found.boxes.items():
        if box.group != "merge" or len(box.sources) < 2:
            continue
        plain = [
            s for s in box.sources if any(before.get(o, 0) & bit.get(s, 0) for o in box.sources if o != s)
        ]
        for s in plain:
            edges[s, key] = "skip"
        if plain or box.name != "add":
            continue
        single = [
            s
            for s in box.sources
            if s >= 0
            and len(found.boxes[s].sources) == 1
            and all(before.get(o, 0) & bit.get(found.boxes[s].sources[0], 0) for o in box.sources if o != s)
        ]
        if single and found.boxes[min(single)].group != "module":
            s = min(single, key=lambda k: (found.boxes[k].num_parameters, k))
            edges[s, key] = "projection"
            edges[found.boxes[s].sources[0], s] = "toward"
    return edges
