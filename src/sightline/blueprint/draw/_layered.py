"""Layered layout: ranks by longest path, few crossings, straight main lines, edges at right angles.

Edges turn only in the gaps between ranks and pass a rank only in a lane of their own, so that none crosses a
box. Source of the steps: Sugiyama, Tagawa, Toda 1981; the positions within a rank are a weighted isotonic
regression (pool adjacent violators).
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools

from sightline.blueprint.draw._canvas import Point

LANE, GAP, TRACK, APART = 8.0, 20.0, 9.0, 12.0
"""Width of a lane, height of a gap without turns, distance of two turns, distance of two boxes."""


@dataclasses.dataclass(slots=True)
class Item:
    """A thing to place; `lane` is a piece of a long edge."""

    width: float
    height: float
    lane: bool = False
    origin: int | None = None
    """Of a lane: what it carries."""
    side_doors: bool = False
    """Whether an edge may come in from the side."""
    wide_doors: bool = False
    """Whether an edge may come and go beside the middle."""
    rank: int = 0
    x: float = 0.0
    """Of its left side."""
    y: float = 0.0


@dataclasses.dataclass(slots=True)
class Edge:
    """From the bottom of an item to the top of a later one; `leaves`, `enters` are from their left sides."""

    source: int
    target: int
    leaves: float
    enters: float
    origin: int
    """Edges of one origin carry the same thing, and may share lines."""
    points: list[Point] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class _Hop:
    """A piece of an edge, from one rank to the next."""

    source: int
    target: int
    leaves: float
    enters: float
    origin: int
    weight: float = 1.0
    track: float | None = None


@dataclasses.dataclass(slots=True)
class Layout:
    """Where the things are; the points of the edges are on the edges."""

    width: float
    height: float


def arrange(
    items: list[Item],
    edges: list[Edge],
    *,
    wrap: float | None = None,
    ports: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset()),
) -> Layout:
    """Place items, top-down, and lead the edges.

    Args:
        items: Their x and y are set.
        edges: From lower to higher item numbers; their points are set.
        wrap: Break into columns so that the whole is no wider than this, in pixels; None for one column.
        ports: Items that belong on the first rank, and on the last.
    """
    if not items:
        return Layout(0.0, 0.0)
    _rank(items, edges, *ports)
    things = list(items)
    lanes: dict[tuple[int, int, int], int] = {}
    known: dict[tuple[int, int, int, float], _Hop] = {}
    chains = [_chain(things, edge, lanes, known) for edge in edges]
    hops = list(known.values())
    ranks = _order(things, hops)
    _straighten(things, hops, ranks, _main_line(items, edges))
    _align_lanes(things, chains, ranks)
    _place(things, ranks)
    _smooth(things, hops)
    levels = _descend(things, hops, ranks)
    columns = _columns(things, hops, ranks, levels, wrap)
    drawn: set[int] = set()
    for edge, chain in zip(edges, chains, strict=True):
        shared = 0  # hops from its start that an edge before has drawn
        while shared + 1 < len(chain) and id(chain[shared]) in drawn:
            shared += 1
        _route(things, edge, chain[shared:], ranks, levels, columns)
        drawn |= {id(hop) for hop in chain}
    width = max((c.x + c.width for c in columns), default=0.0)
    height = max((c.height for c in columns), default=0.0)
    return Layout(width, height)


def _rank(items: list[Item], edges: list[Edge], top: frozenset[int], bottom: frozenset[int]) -> None:
    into: list[list[int]] = [[] for _ in items]
    out: list[list[int]] = [[] for _ in items]
    for edge in edges:
        into[edge.target].append(edge.source)
        out[edge.source].append(edge.target)
    for k, item in enumerate(items):
        item.rank = max((items[s].rank + 1 for s in into[k]), default=0)
    last = max(item.rank for item in items)
    for k in bottom:
        items[k].rank = max(last, *(items[s].rank + 1 for s in into[k])) if into[k] else last
    for k in reversed(range(len(items))):
        if not into[k] and out[k] and k not in top:  # an input or a constant: beside what reads it first
            items[k].rank = min(items[t].rank for t in out[k]) - 1
    lowest = min(item.rank for item in items)
    for item in items:
        item.rank -= lowest


def _chain(
    things: list[Item],
    edge: Edge,
    lanes: dict[tuple[int, int, int], int],
    known: dict[tuple[int, int, int, float], _Hop],
) -> list[_Hop]:
    """The hops of an edge, a lane in each rank that it passes; edges of one origin share them."""
    start, end = things[edge.source].rank, things[edge.target].rank
    stops = [edge.source]
    for rank in range(start + 1, end):
        lane = lanes.setdefault((edge.source, edge.origin, rank), len(things))
        if lane == len(things):
            things.append(Item(LANE, 0.0, lane=True, origin=edge.origin, rank=rank))
        stops.append(lane)
    stops.append(edge.target)
    hops = []
    for a, b in itertools.pairwise(stops):
        leaves = edge.leaves if a == edge.source else LANE / 2
        enters = edge.enters if b == edge.target else LANE / 2
        weight = (
            4.0 if things[a].lane and things[b].lane else 1.0 if things[a].lane or things[b].lane else 2.0
        )
        hop = _Hop(a, b, leaves, enters, edge.origin, weight)
        hops.append(known.setdefault((a, b, edge.origin, enters), hop))
    return hops


def _order(things: list[Item], hops: list[_Hop]) -> list[list[int]]:
    """The order in each rank: of a few sweeps by barycentre, the one with the fewest crossings."""
    ranks: list[list[int]] = [[] for _ in range(max(t.rank for t in things) + 1)]
    for k, thing in enumerate(things):
        ranks[thing.rank].append(k)
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for hop in hops:
        above.setdefault(hop.target, []).append(hop.source)
        below.setdefault(hop.source, []).append(hop.target)
    best, fewest = [list(r) for r in ranks], _crossings(ranks, below)
    for sweep in range(6):
        if fewest == 0:
            break
        near, order = (above, ranks) if sweep % 2 == 0 else (below, ranks[::-1])
        place: dict[int, float] = {k: float(n) for r in ranks for n, k in enumerate(r)}
        for rank in order:
            want = {k: sum(place[o] for o in near[k]) / len(near[k]) if k in near else place[k] for k in rank}
            rank.sort(key=want.__getitem__)
            place.update({k: float(n) for n, k in enumerate(rank)})
        now = _crossings(ranks, below)
        if now < fewest:
            best, fewest = [list(r) for r in ranks], now
    return best


def _crossings(ranks: list[list[int]], below: dict[int, list[int]]) -> int:
    """Pairs of hops that cross, counted with a sorted list."""
    total = 0
    for rank, after in itertools.pairwise(ranks):
        place = {k: n for n, k in enumerate(after)}
        seen: list[int] = []
        for k in rank:
            ends = sorted(place[t] for t in below.get(k, ()))
            total += sum(len(seen) - bisect.bisect_right(seen, end) for end in ends)
            for end in ends:
                bisect.insort(seen, end)
    return total


def _main_line(items: list[Item], edges: list[Edge]) -> set[tuple[int, int]]:
    """Edges of a longest path: what should run straight."""
    into: dict[int, list[int]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge.source)
    k = max(range(len(items)), key=lambda i: (items[i].rank, -i))
    line = set()
    while into.get(k):
        source = max(into[k], key=lambda s: (items[s].rank, -s))
        line.add((source, k))
        k = source
    return line


def _straighten(
    things: list[Item], hops: list[_Hop], ranks: list[list[int]], main: set[tuple[int, int]]
) -> None:
    """Positions within each rank: near the neighbours, the order kept, nothing overlapping."""
    near: dict[int, list[tuple[int, float, float]]] = {}
    for hop in hops:
        weight = 1e5 if (hop.source, hop.target) in main else hop.weight
        near.setdefault(hop.source, []).append((hop.target, hop.enters - hop.leaves, weight))
        near.setdefault(hop.target, []).append((hop.source, hop.leaves - hop.enters, weight))
    for rank in ranks:
        x = 0.0
        for k in rank:
            things[k].x = x
            x += things[k].width + APART
        for k in rank:
            things[k].x -= x / 2
    for sweep in range(14):
        order = ranks if sweep % 2 == 0 else ranks[::-1]
        one_way = sweep < 10
        for rank in order:
            wants, weights = [], []
            for k in rank:
                around = near.get(k, [])
                if one_way and around:
                    step = -1 if sweep % 2 == 0 else 1
                    ahead = [n for n in around if (things[n[0]].rank - things[k].rank) * step > 0]
                    around = ahead
                total = sum(n[2] for n in around)
                wants.append(
                    sum((things[o].x + by) * w for o, by, w in around) / total if total else things[k].x
                )
                weights.append(total or 0.01)
            for k, x in zip(rank, _apart(things, rank, wants, weights), strict=True):
                things[k].x = x


def _apart(things: list[Item], rank: list[int], wants: list[float], weights: list[float]) -> list[float]:
    """Nearest positions, in weighted squares, that keep order and distance: pool adjacent violators."""
    offsets = [0.0]
    for a, b in itertools.pairwise(rank):
        tight = things[a].lane and things[b].lane
        offsets.append(offsets[-1] + things[a].width + (APART / 2 if tight else APART))
    pools: list[list[float]] = []  # value, weight, count
    for want, weight, offset in zip(wants, weights, offsets, strict=True):
        pools.append([want - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            value, w, n = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + value * w) / (last[1] + w)
            last[1], last[2] = last[1] + w, last[2] + n
    values = [value for value, _, n in pools for _ in range(int(n))]
    return [value + offset for value, offset in zip(values, offsets, strict=True)]


def _align_lanes(things: list[Item], chains: list[list[_Hop]], ranks: list[list[int]]) -> None:
    """A long edge runs straight down where its neighbours leave room; the outer ones make room first."""
    place = {k: n for rank in ranks for n, k in enumerate(rank)}
    long = sorted((chain for chain in chains if len(chain) > 2), key=len, reverse=True)
    for _ in range(2):
        for chain in long:
            lanes = [hop.source for hop in chain[1:]]
            lowest, highest = float("-inf"), float("inf")
            for k in lanes:
                rank, n = ranks[things[k].rank], place[k]
                if n > 0:
                    lowest = max(lowest, things[rank[n - 1]].x + things[rank[n - 1]].width + APART / 2)
                if n + 1 < len(rank):
                    highest = min(highest, things[rank[n + 1]].x - APART / 2 - LANE)
            if lowest > highest:
                continue
            xs = sorted(things[k].x for k in lanes)
            x = min(max(xs[len(xs) // 2], lowest), highest)
            for k in lanes:
                things[k].x = x


def _place(things: list[Item], ranks: list[list[int]]) -> None:
    left = min(things[k].x for rank in ranks for k in rank)
    for thing in things:
        thing.x -= left


def _smooth(things: list[Item], hops: list[_Hop]) -> None:
    """A hop that is nearly straight becomes so: it leaves or enters a box beside its middle."""
    into: dict[int, int] = {}
    out: dict[int, int] = {}
    for hop in hops:
        into[hop.target] = into.get(hop.target, 0) + 1
        out[hop.source] = out.get(hop.source, 0) + 1
    for hop in hops:
        by = _from(things, hop) - _to(things, hop)
        if not 0.01 < abs(by) < 14:
            continue
        source, target = things[hop.source], things[hop.target]
        if target.wide_doors and into[hop.target] == 1 and 6 < hop.enters + by < target.width - 6:
            hop.enters += by
        elif source.wide_doors and out[hop.source] == 1 and 6 < hop.leaves - by < source.width - 6:
            hop.leaves -= by


@dataclasses.dataclass(slots=True)
class _Level:
    """A rank's row; the gap with its turns lies below it."""

    top: float
    bottom: float
    gap: float = 0.0


def _descend(things: list[Item], hops: list[_Hop], ranks: list[list[int]]) -> list[_Level]:
    """Rows one below the other, the gaps as high as their turns need."""
    by_rank: dict[int, list[_Hop]] = {}
    for hop in hops:
        by_rank.setdefault(things[hop.source].rank, []).append(hop)
    levels: list[_Level] = []
    y = 0.0
    for r, rank in enumerate(ranks):
        height = max(things[k].height for k in rank)
        for k in rank:
            things[k].y = y + (height - things[k].height) / 2
        tracks = _turns(things, by_rank.get(r, []))
        gap = GAP + TRACK * max(0, tracks - 1)
        if r + 1 == len(ranks):
            gap = 0.0
        elif tracks == 0 and _flat(things, ranks[r + 1]):
            gap = 8.0
        elif tracks == 0 and _flat(things, rank):
            gap = 14.0
        levels.append(_Level(y, y + height, gap))
        y += height + gap
    return levels


def _flat(things: list[Item], rank: list[int]) -> bool:
    return all(things[k].height == 0.0 for k in rank)


def _turns(things: list[Item], hops: list[_Hop]) -> int:
    """Give each net of hops that must move sideways a track of its own where nets would lie on each other."""
    into: dict[int, int] = {}
    for hop in hops:
        into[hop.target] = into.get(hop.target, 0) + 1
    nets: dict[tuple[str, int], list[_Hop]] = {}
    for hop in hops:
        if abs(_from(things, hop) - _to(things, hop)) < 0.5:
            continue
        joins = into[hop.target] > 1 and not things[hop.target].lane
        nets.setdefault(("to", hop.target) if joins else ("from", hop.origin), []).append(hop)
    spans = {}
    for key, net in nets.items():
        xs = [x for hop in net for x in (_from(things, hop), _to(things, hop))]
        spans[key] = (min(xs) - 4, max(xs) + 4)
    tracks: list[list[tuple[str, int]]] = []
    # a net goes above those whose ends lie where it begins
    waiting = sorted(nets, key=lambda key: (key[0] == "to", spans[key]))
    while waiting:
        free = [
            key for key in waiting if not any(_must_wait(things, nets, key, o) for o in waiting if o != key)
        ]
        key = free[0] if free else waiting[0]
        waiting.remove(key)
        lowest = -1
        for n, track in enumerate(tracks):
            for other in track:
                clash = spans[other][0] < spans[key][1] and spans[key][0] < spans[other][1]
                if clash or _must_wait(things, nets, key, other):
                    lowest = max(lowest, n)
        if lowest + 1 == len(tracks):
            tracks.append([])
        tracks[lowest + 1].append(key)
    for n, track in enumerate(tracks):
        for key in track:
            for hop in nets[key]:
                hop.track = (n + 1) / (len(tracks) + 1)
    return len(tracks)


def _must_wait(
    things: list[Item], nets: dict[tuple[str, int], list[_Hop]], key: tuple[str, int], other: tuple[str, int]
) -> bool:
    """Whether a net must lie below another: it ends where the other one begins."""
    ends = [_to(things, hop) for hop in nets[key]]
    starts = [_from(things, hop) for hop in nets[other]]
    return any(abs(a - b) < 3 for a in ends for b in starts)


def _from(things: list[Item], hop: _Hop) -> float:
    return things[hop.source].x + hop.leaves


def _to(things: list[Item], hop: _Hop) -> float:
    return things[hop.target].x + hop.enters


@dataclasses.dataclass(slots=True)
class _Column:
    """Ranks below each other; `x` is where its left side is on the page."""

    ranks: range
    left: float
    width: float
    height: float
    x: float = 0.0


_GUTTER = 34.0


def _columns(
    things: list[Item], hops: list[_Hop], ranks: list[list[int]], levels: list[_Level], wrap: float | None
) -> list[_Column]:
    """Break where one thing only is handed on; as many columns as make the page about as wide as a slide."""
    cuts = [0]
    if wrap is not None:
        crossing: dict[int, set[int]] = {}
        for hop in hops:
            crossing.setdefault(things[hop.source].rank, set()).add(hop.origin)
        cuts += [r + 1 for r in range(len(ranks) - 1) if len(crossing.get(r, ())) <= 1]
    cuts.append(len(ranks))
    goal = 0.0 if wrap is None else 0.62 * wrap
    whole = _column(things, ranks, levels, range(len(ranks)))
    best = [whole]
    for target in sorted({_height(levels, range(a, b)) for a in cuts for b in cuts if a < b}, reverse=True):
        if wrap is None or (best and max(c.height for c in best) <= goal):
            break
        parts, start = [], 0
        for here, after in zip(cuts[1:], [*cuts[2:], None], strict=False):
            if after is None or _height(levels, range(start, after)) > target:
                parts.append(_column(things, ranks, levels, range(start, here)))
                start = here
        wide = sum(p.width for p in parts) + _GUTTER * (len(parts) - 1)
        if wide > wrap:
            break
        if max(p.height for p in parts) < max(c.height for c in best):
            best = parts
    if max(c.height for c in best) > 0.8 * whole.height:  # little gained
        best = [whole]
    x = 0.0
    for column in best:
        column.x = x
        x += column.width + _GUTTER
        for r in column.ranks:
            for k in ranks[r]:
                things[k].x += column.x - column.left
                things[k].y -= levels[column.ranks[0]].top
    for column in best:
        top = levels[column.ranks[0]].top
        for r in column.ranks:
            levels[r].top -= top
            levels[r].bottom -= top
    return best


def _height(levels: list[_Level], ranks: range) -> float:
    return levels[ranks[-1]].bottom - levels[ranks[0]].top


def _column(things: list[Item], ranks: list[list[int]], levels: list[_Level], part: range) -> _Column:
    inside = [things[k] for r in part for k in ranks[r]]
    left, right = min(t.x for t in inside), max(t.x + t.width for t in inside)
    return _Column(part, left, right - left, _height(levels, part))


def _route(
    things: list[Item],
    edge: Edge,
    chain: list[_Hop],
    ranks: list[list[int]],
    levels: list[_Level],
    columns: list[_Column],
) -> None:
    """The points of an edge, hop by hop."""
    first = things[chain[0].source]
    points: list[Point] = [(first.x + chain[0].leaves, first.y + first.height)]
    if first.lane:
        points = [(first.x + chain[0].leaves, levels[first.rank].top)]
    for hop in chain:
        a, b = _from(things, hop), _to(things, hop)
        above, below = levels[things[hop.source].rank], levels[things[hop.target].rank]
        home = next(c for c in columns if things[hop.source].rank in c.ranks)
        if things[hop.target].rank not in home.ranks:  # on to the next column
            gutter = home.x + home.width + _GUTTER / 2
            low, high = above.bottom + 12, below.top - 16
            points += [(a, low), (gutter, low), (gutter, high), (b, high)]
        elif hop.track is not None:
            side = _side_door(things, hop, ranks) if things[hop.source].lane else None
            if side is not None:
                target = things[hop.target]
                middle = target.y + target.height / 2
                points += [(a, above.bottom), (a, middle), (side, middle)]
                edge.points = points
                return
            y = above.bottom + hop.track * above.gap
            points += [(a, y), (b, y)]
        points.append((b, things[hop.target].y if not things[hop.target].lane else below.top))
    edge.points = points


def _side_door(things: list[Item], hop: _Hop, ranks: list[list[int]]) -> float | None:
    """The side of a box where a lane can come in, if nothing stands between."""
    target, x = things[hop.target], _from(things, hop)
    if not target.side_doors or target.x - 6 < x < target.x + target.width + 6:
        return None
    side = target.x if x < target.x else target.x + target.width
    low, high = min(side, x) - 6, max(side, x) + 6
    for k in ranks[target.rank]:
        other = things[k]
        own = other is target or (other.lane and other.origin == hop.origin)
        if not own and other.x < high and other.x + other.width > low:
            return None
    return side
