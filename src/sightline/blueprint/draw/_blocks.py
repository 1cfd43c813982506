"""A network as a graph of blocks: a frame a module, each laid out within itself, then with its neighbours."""

from __future__ import annotations

import dataclasses
import itertools

from sightline.base import INK
from sightline.blueprint.draw._boxes import Box, Sketch, shortcuts
from sightline.blueprint.draw._canvas import SMALL, TITLE, Canvas, Point, shortened, text_width
from sightline.blueprint.draw._kinds import COLOURS, by_x
from sightline.blueprint.draw._layered import Edge, Item, Layout, arrange

_FRAME_LIMIT = 14
"""Boxes above which a module gets no frame, but the modules within it do."""
_WIDEST = 240.0
"""Pixels a box may be wide; longer words are shortened."""
_PAD, _HEADING = 10.0, 18.0


@dataclasses.dataclass(slots=True)
class _Cluster:
    """Boxes and smaller clusters, laid out together."""

    members: list[_Cluster | int]
    keys: frozenset[int]
    title: str = ""
    repeat: int = 1
    framed: bool = False
    # set by the layout, from its own corner
    width: float = 0.0
    height: float = 0.0
    items: list[Item] = dataclasses.field(default_factory=list)
    edges: list[tuple[Edge, int, int]] = dataclasses.field(default_factory=list)
    """With the source box and the reader, or the source again where it leaves the cluster."""
    inlets: dict[int, float] = dataclasses.field(default_factory=dict)
    outlets: dict[int, float] = dataclasses.field(default_factory=dict)
    nested: frozenset[int] = frozenset()
    """Items that are clusters, which lead a line on."""

    @property
    def first(self) -> int:
        return min(self.keys)


def draw_blocks(canvas: Canvas, found: Sketch, width: float) -> list[str]:
    """Draw the boxes of a network; returns what the caption should say of it.

    Args:
        canvas: Drawn on from (0, 0).
        found: Boxes.
        width: Pixels that columns of boxes may take together.
    """
    root = _Cluster(_members(found, 0 if found.blueprint.calls else -1, False), frozenset(found.boxes))
    kinds = shortcuts(found)
    _lay_out(found, root, width)
    _paint(canvas, found, root, 0.0, 0.0, kinds)
    notes = []
    if any(kind == "projection" for kind in kinds.values()):
        notes.append("dashed: a shortcut with an operation of its own")
    if found.repeats:
        notes.append("x n: n equal blocks, one after the other, drawn once")
    return notes


# ---------------------------------------------------------------------- what is framed


def _members(found: Sketch, c: int, framed: bool) -> list[_Cluster | int]:
    """Boxes and clusters of a module call, in order."""
    calls = found.blueprint.calls
    if c < 0:
        return list(found.boxes)
    first, last = calls[c].nodes
    mine = [key for key in found.boxes if first <= key < last or c == 0]
    members: list[_Cluster | int] = []
    taken: set[int] = set()
    children = {child: _inside(mine, call.nodes) for child, call in enumerate(calls) if call.parent == c}
    large = {calls[child].type for child, keys in children.items() if len(keys) > _FRAME_LIMIT}
    for child, keys in children.items():
        if keys:
            taken |= keys
            members += _cluster(found, child, keys, framed, may_frame=calls[child].type not in large)
    members += [key for key in mine if key not in taken]
    return sorted(members, key=lambda m: m if isinstance(m, int) else m.first)


def _inside(keys: list[int], nodes: tuple[int, int]) -> frozenset[int]:
    return frozenset(key for key in keys if nodes[0] <= key < nodes[1])


def _cluster(
    found: Sketch, c: int, keys: frozenset[int], framed: bool, *, may_frame: bool
) -> list[_Cluster | int]:
    """A module as one cluster; or as what it is made of, where a frame would tell nothing."""
    repeat = found.repeats.get(c, 1)
    frame = repeat > 1 or (may_frame and not framed and len(keys) > 1)
    members = _members(found, c, framed or frame)
    only = members[0]
    if frame and repeat == 1 and len(members) == 1 and isinstance(only, _Cluster) and only.repeat > 1:
        only.title = _heading(found, c, 1)
        return [only]
    branches = any(isinstance(m, int) and len(found.boxes[m].sources) > 1 for m in members)
    if not frame and not branches:
        return members
    return [_Cluster(members, keys, _heading(found, c, repeat) if frame else "", repeat, frame)]


def _heading(found: Sketch, c: int, repeat: int) -> str:
    calls = found.blueprint.calls
    path = calls[c].path
    if repeat > 1:
        last = found.last_paths[c]
        return path if last == path else f"{path} .. {last.rsplit('.', 1)[-1]}"
    children = [call for call in calls if call.parent == c and call.nodes[0] < call.nodes[1]]
    inside = sum(call.nodes[1] - call.nodes[0] for call in children)
    alike = {call.type for call in children}
    if len(children) > 1 and len(alike) == 1 and inside == calls[c].nodes[1] - calls[c].nodes[0]:
        kind = alike.pop()
        if kind != "Sequential":
            return f"{path}: {len(children)} x {kind}"
    return path


# ---------------------------------------------------------------------- where things are


def _box_size(box: Box) -> tuple[float, float]:
    title = text_width(box.title, TITLE)
    if box.group == "merge":
        words = ", ".join([box.title, *box.notes])
        return min(_WIDEST, text_width(words, SMALL) + 18), 20.0
    small = text_width(box.small_print, SMALL)
    return max(72.0, min(_WIDEST, max(title, small) + 14)), 36.0 if box.small_print else 24.0


def _lay_out(found: Sketch, cluster: _Cluster, wrap: float | None = None) -> None:
    """Set sizes and places within a cluster, the inner ones first."""
    root = wrap is not None
    for member in cluster.members:
        if isinstance(member, _Cluster):
            _lay_out(found, member)
    outside = _entries(found, cluster)
    exits = _exits(found, cluster)
    items: list[Item] = []
    inlet: dict[int, int] = {}
    for s in outside:
        inlet[s] = len(items)
        items.append(Item(_input_width(found, s), 24.0, wide_doors=True) if root else Item(2.0, 0.0))
    home: dict[int, int] = {}  # key of a box -> item it is in
    for member in cluster.members:
        keys = [member] if isinstance(member, int) else member.keys
        home.update(dict.fromkeys(keys, len(items)))
        if isinstance(member, int):
            box = found.boxes[member]
            two = box.group == "merge" and len(box.sources) == 2
            items.append(Item(*_box_size(box), side_doors=two, wide_doors=True))
        else:
            items.append(Item(member.width, member.height))
    outlet: dict[int, int] = {}
    for key in exits:
        outlet[key] = len(items)
        items.append(Item(_output_width(found, key), 24.0, wide_doors=True) if root else Item(2.0, 0.0))
    edges = _edges(found, cluster, items, inlet, home, outlet)
    ports = (
        (frozenset(inlet.values()), frozenset(outlet.values()))
        if not root
        else (frozenset[int](), frozenset[int]())
    )
    layout = arrange(items, [e for e, _, _ in edges], wrap=wrap, ports=ports)
    cluster.nested = frozenset(home[m.first] for m in cluster.members if isinstance(m, _Cluster))
    _frame(cluster, items, edges, layout)
    if not root:
        cluster.inlets = {s: items[k].x + 1.0 for s, k in inlet.items()}
        cluster.outlets = {key: items[k].x + 1.0 for key, k in outlet.items()}
        if cluster.framed:
            wide = text_width(cluster.title, SMALL)
            cluster.width += max(0.0, wide + 1 - _heading_place(cluster)[1])


def _entries(found: Sketch, cluster: _Cluster) -> list[int]:
    """What a cluster reads from outside, in order."""
    every = (s for key in sorted(cluster.keys) for s in found.boxes[key].sources)
    outside = dict.fromkeys(s for s in every if s not in cluster.keys)
    outside.update(dict.fromkeys(k for k in found.outputs if k < 0 and len(cluster.keys) == len(found.boxes)))
    return list(outside)


def _exits(found: Sketch, cluster: _Cluster) -> list[int]:
    """Boxes of a cluster that are read outside; of the whole network, the outputs where there are several."""
    if len(cluster.keys) == len(found.boxes):
        return list(found.outputs) if len(found.outputs) > 1 else []
    readers = found.readers()
    several = len(found.outputs) > 1
    return [
        key
        for key in sorted(cluster.keys)
        if any(r not in cluster.keys for r in readers[key]) or (several and key in found.outputs)
    ]


def _edges(
    found: Sketch,
    cluster: _Cluster,
    items: list[Item],
    inlet: dict[int, int],
    home: dict[int, int],
    outlet: dict[int, int],
) -> list[tuple[Edge, int, int]]:
    members = {home[m if isinstance(m, int) else m.first]: m for m in cluster.members}

    def leaves(item: int, key: int) -> float:
        member = members.get(item)
        return member.outlets[key] if isinstance(member, _Cluster) else items[item].width / 2

    def enters(item: int, key: int) -> float:
        member = members.get(item)
        return member.inlets[key] if isinstance(member, _Cluster) else items[item].width / 2

    edges: dict[tuple[int, int], tuple[Edge, int, int]] = {}
    for key in sorted(cluster.keys):
        for s in found.boxes[key].sources:
            a, b = inlet[s] if s not in cluster.keys else home[s], home[key]
            if a != b and (s, b) not in edges:
                edges[s, b] = (Edge(a, b, leaves(a, s), enters(b, s), s), s, key)
    for key, item in outlet.items():
        a = home[key] if key in home else inlet[key]
        edges[key, item] = (Edge(a, item, leaves(a, key), items[item].width / 2, key), key, key)
    return list(edges.values())


def _frame(cluster: _Cluster, items: list[Item], edges: list[tuple[Edge, int, int]], layout: Layout) -> None:
    """Room for the heading, and nothing to the left of the corner."""
    xs = [x for e, _, _ in edges for x, _ in e.points]
    left = min([0.0, *(x - 4 for x in xs)])
    right = max([layout.width, *(x + 4 for x in xs)])
    pad, above = (_PAD, _HEADING) if cluster.framed else (0.0, 0.0)
    dx, dy = pad - left, above
    for item in items:
        item.x += dx
        item.y += dy
    height = layout.height + above + (pad / 2 if cluster.framed else 0.0)
    for edge, _, _ in edges:
        edge.points = [(x + dx, y + dy) for x, y in edge.points]
        at_port = edge.points[0][1] == items[edge.source].y
        if cluster.framed and items[edge.source].height == 0.0 and at_port:
            edge.points[0] = (edge.points[0][0], 0.0)
        if cluster.framed and items[edge.target].height == 0.0:
            edge.points[-1] = (edge.points[-1][0], height)
    cluster.items, cluster.edges = items, edges
    cluster.width = right - left + 2 * pad
    cluster.height = height


def _input_words(found: Sketch, source: int) -> str:
    shapes = found.blueprint.input_shapes
    shape = shapes[-1 - source] if -1 - source < len(shapes) else ()
    number = f" {-source}:" if len(shapes) > 1 else ""
    return f"input{number} {by_x(shape[1:])}".strip()


def _output_words(found: Sketch, key: int) -> str:
    n = found.outputs.index(key)
    return f"output {n + 1}" if len(found.outputs) > 1 else "output"


def _input_width(found: Sketch, source: int) -> float:
    return min(_WIDEST, text_width(_input_words(found, source), TITLE) + 20)


def _output_width(found: Sketch, key: int) -> float:
    return text_width(_output_words(found, key), TITLE) + 20


# ---------------------------------------------------------------------- the drawing


def _paint(
    canvas: Canvas, found: Sketch, cluster: _Cluster, x: float, y: float, kinds: dict[tuple[int, int], str]
) -> None:
    if cluster.framed:
        name = "repeat" if cluster.repeat > 1 else "frame"
        canvas.rect(
            x,
            y,
            cluster.width,
            cluster.height,
            INK,
            name=name,
            radius=8,
            solid=0.06,
            dashed=cluster.repeat > 1,
        )
        at, room = _heading_place(cluster)
        canvas.text(x + at, y + 12.5, shortened(cluster.title, SMALL, room), SMALL, anchor="start", dim=True)
        if cluster.repeat > 1:
            canvas.text(x + cluster.width - 7, y + 13, f"x {cluster.repeat}", TITLE, anchor="end", bold=True)
    drawn: dict[tuple[int, float], float] = {}  # how far down the line of an origin has been drawn
    for edge, source, reader in sorted(cluster.edges, key=lambda e: -e[0].points[1][1]):
        points = [(px + x, py + y) for px, py in edge.points]
        start = edge.origin, points[0][1]
        if len(points) > 2 and points[1][1] <= drawn.get(start, float("-inf")):
            points = points[1:]
        drawn.setdefault(start, points[1][1])
        _paint_edge(canvas, cluster, edge, points, kinds, source, reader)
    own = len(cluster.items) - len(cluster.members)
    ports = len(_entries(found, cluster))
    root = len(cluster.keys) == len(found.boxes) and not cluster.framed
    for n, item in enumerate(cluster.items):
        if ports <= n < len(cluster.items) - (own - ports):
            member = cluster.members[n - ports]
            if isinstance(member, int):
                box = found.boxes[member]
                with canvas.node(box.path, box.holds(found.blueprint)):
                    _paint_box(canvas, box, x + item.x, y + item.y, item)
            else:
                _paint(canvas, found, member, x + item.x, y + item.y, kinds)
        elif root and item.height:
            if n < ports:
                words = _input_words(found, _entries(found, cluster)[n])
            else:
                words = _output_words(found, _exits(found, cluster)[n - len(cluster.items) + own - ports])
            canvas.rect(
                x + item.x, y + item.y, item.width, item.height, COLOURS["input"], name="box input", radius=12
            )
            canvas.text(x + item.x + item.width / 2, y + item.y + 16, shortened(words, TITLE, item.width - 8))


def _heading_place(cluster: _Cluster) -> tuple[float, float]:
    """Where a heading begins, and its room: beside the lines that come in."""
    stops = [0.0, *sorted(cluster.inlets.values()), cluster.width - (24 if cluster.repeat > 1 else 0)]
    spaces = [(a + 6, b - a - 12) for a, b in itertools.pairwise(stops)]
    wide = text_width(cluster.title, SMALL)
    return next((space for space in spaces if space[1] >= wide), spaces[-1])


def _paint_edge(
    canvas: Canvas, cluster: _Cluster, edge: Edge, points: list[Point],
    kinds: dict[tuple[int, int], str], source: int, reader: int,
) -> None:  # fmt: skip
    kind = kinds.get((source, reader), "")
    direct = reader in cluster.members  # the box itself is here, not in a cluster further in
    within = kind in ("skip", "projection") and direct
    name = f"edge {kind}".strip() if within else "edge"
    dashed = kind in ("projection", "toward")
    on_box = cluster.items[edge.target].height > 0.0 and edge.target not in cluster.nested
    canvas.line(points, name=name, dashed=dashed, arrow=on_box, thick=1.6 if within else 1.3)


def _paint_box(canvas: Canvas, box: Box, x: float, y: float, item: Item) -> None:
    colour = COLOURS[box.group]
    merge = box.group == "merge"
    hint = f"{box.path}: {' '.join([box.title, *box.notes])}, makes {by_x(box.shape)}"
    if box.num_parameters:
        hint += f", {box.num_parameters:,} parameters"
    canvas.rect(
        x, y, item.width, item.height, colour, name=f"box {box.group}", radius=10 if merge else 4, hint=hint
    )
    middle, room = x + item.width / 2, item.width - 8
    if merge:
        words = ", ".join([box.title, *box.notes])
        canvas.text(middle, y + 13.5, shortened(words, SMALL, room), SMALL)
        return
    small = box.small_print
    title = shortened(box.title, TITLE, room)
    canvas.text(middle, y + (15 if small else 16), title, TITLE)
    if small:
        canvas.text(middle, y + 29, shortened(small, SMALL, room), SMALL, dim=True)


def paint_legend(canvas: Canvas, groups: list[tuple[str, str]], x: float, y: float, room: float) -> float:
    """Small squares with words, in rows; returns the y below them.

    Args:
        canvas: Where.
        groups: Colour and word.
        x: Left side.
        y: Top.
        room: Pixels a row may be long.
    """
    at = x
    for colour, word in groups:
        wide = text_width(word, SMALL) + 30
        if at > x and at + wide > x + room:
            at, y = x, y + 16
        canvas.rect(at, y, 10, 10, colour, name="legend", radius=2)
        canvas.text(at + 14, y + 9, word, SMALL, anchor="start", dim=True)
        at += wide
    return y + 16
