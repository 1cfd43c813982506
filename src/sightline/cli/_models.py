"""`sightline models`: the architectures, as a table, as JSON, as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from sightline.zoo import Architecture, PublishedResult


@handled
def models(
    pattern: Annotated[str | None, typer.Argument(help="Of names, as resnet* or vgg.")] = None,
    plot: Annotated[
        str | None, typer.Option(help="Two of depth, parameters, macs, year, top1, top5: X,Y.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Of --plot: a PNG or SVG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: a list.")] = False,
) -> None:
    """List the networks: paper, parameters, multiply-adds, input, published errors."""
    from sightline.base import ArgumentError, did_you_mean
    from sightline.zoo import list_architectures

    every = list_architectures()
    chosen = [a for a in every if pattern is None or _matches(a.name, pattern)]
    if not chosen:
        assert pattern is not None
        raise ArgumentError(
            f"no network matches {pattern!r}; {did_you_mean(pattern, [a.name for a in every])}"
        )
    if plot is not None:
        _plot(chosen, plot, output or Path("models.png"))
    elif output is not None:
        raise ArgumentError("--output is of --plot")
    elif json:
        print_json([a.to_dict() for a in chosen])
    else:
        _table(chosen)


def _matches(name: str, pattern: str) -> bool:
    import fnmatch

    return fnmatch.fnmatchcase(name, pattern) or pattern in name


def _table(chosen: list[Architecture]) -> None:
    """A line a network, its first published error behind it; of one network, all that its record says."""
    rows = [
        ("network", "paper", "input", "parameters", "multiply-adds", "top-1", "top-5", "published errors")
    ]
    for a in chosen:
        shape = ",".join(map(str, a.input_shape))
        first = a.results[0] if a.results else None
        rows.append((a.name, _short(a.paper), shape, f"{a.parameters:,}", f"{a.macs:,}", *_errors(first)))
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    for row in rows:
        cells = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join([*cells, row[7]]).rstrip())
    if len(chosen) == 1:
        _record(chosen[0])
    print("errors are published ones, by others, under the protocols named; none was measured here")


def _record(architecture: Architecture) -> None:
    print(f"paper: {architecture.paper}")
    for result in architecture.results[1:]:
        top1, top5, how = _errors(result)
        print(f"published: top-1 {top1 or '-'}, top-5 {top5 or '-'}: {how}")
    for deviation in architecture.deviations:
        print(f"deviation: {deviation}")


def _short(paper: str) -> str:
    """The first author and the year."""
    found = re.match(r"(.*?)(\d{4}|$)", paper)
    assert found is not None  # it matches anything
    authors, year = found.groups()
    first, *more = authors.strip().split(", ")
    return f"{first}{' et al.' if more else ''} {year}".strip()


def _errors(result: PublishedResult | None) -> tuple[str, str, str]:
    if result is None:
        return "", "", ""
    shown = ["" if e is None else f"{100 * e:.2f} %" for e in (result.top1_error, result.top5_error)]
    return shown[0], shown[1], f"{result.data}: {result.protocol}"


def _plot(chosen: list[Architecture], axes: str, path: Path) -> None:
    """One quantity against another, every network a named point; of published errors, the first."""
    from sightline.base import SERIES, ArgumentError

    names = axes.split(",")
    known = ("depth", "parameters", "macs", "year", "top1", "top5")
    if len(names) != 2 or any(name not in known for name in names):
        raise ArgumentError(f"--plot is {axes!r}; it takes two of {', '.join(known)}, as depth,top5")
    if path.suffix.lower() not in (".png", ".svg"):
        raise ArgumentError(f"--output {path} must end in .png or .svg")
    from matplotlib.figure import Figure

    points = [(a.name, _quantity(a, names[0]), _quantity(a, names[1])) for a in chosen]
    shown = [(name, x, y) for name, x, y in points if x is not None and y is not None]
    if not shown:
        raise ArgumentError(f"none of {len(chosen)} networks has both {names[0]} and {names[1]}")
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    ax = figure.subplots()
    ax.scatter([x for _, x, _ in shown], [y for _, _, y in shown], color=SERIES[0], s=22, zorder=2)
    for names_there, x, y in _together(shown):
        ax.annotate(names_there, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7.5)
    words = {
        "depth": "layers with weights", "parameters": "parameters", "macs": "multiply-adds", "year": "year",
        "top1": "top-1 error, % (published)", "top5": "top-5 error, % (published)",
    }  # fmt: skip
    ax.set(xlabel=words[names[0]], ylabel=words[names[1]])
    for axis, name in ((ax.xaxis, names[0]), (ax.yaxis, names[1])):
        if name in ("parameters", "macs"):
            axis.set_major_formatter("{x:.3g}")
    if names[0] != "year":
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    if names[1] in ("parameters", "macs"):
        ax.set_yscale("log")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    from sightline.base import write_with

    write_with(path, lambda partial: figure.savefig(partial, dpi=150, format=path.suffix.lower()[1:]))
    print(f"{len(shown)} networks in {path}; {len(points) - len(shown)} lack one of the two")


def _quantity(architecture: Architecture, name: str) -> float | None:
    if name in ("top1", "top5"):
        errors = [getattr(result, f"{name}_error") for result in architecture.results]
        found = [error for error in errors if error is not None]
        return 100 * found[0] if found else None
    return float(getattr(architecture, name)) or None


def _together(points: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Points above each other, so close that their names would lie on each other, under one label."""
    span = max(p[2] for p in points) - min(p[2] for p in points)
    groups: list[list[tuple[str, float, float]]] = []
    for point in sorted(points, key=lambda p: (p[2], p[1])):
        for group in groups:
            _, x, y = group[0]
            if point[1] == x and abs(point[2] - y) < 0.02 * span:
                group.append(point)
                break
        else:
            groups.append([point])
    return [(", ".join(sorted(p[0] for p in group)), *group[0][1:]) for group in groups]
