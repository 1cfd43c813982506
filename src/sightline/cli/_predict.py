"""`sightline predict`."""

from __future__ import annotations

import csv
import dataclasses
import glob
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from sightline.imaging import Source

_IMAGE_TEXT = re.compile(rb"version https://git-lfs|P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s")
"""How files begin that can be valid text: a Git LFS pointer; PBM, PGM and PPM with their width and height."""
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""Control characters that no list of paths has."""


@handled
def predict(
    model: Annotated[str, typer.Argument(help="A run folder, a model file, NAME@FILE or NAME@public.")],
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, globs, or a CSV with a column path or one path:NAME a channel; - reads an "
            "image, or paths a line, from standard input."
        ),
    ],
    topk: Annotated[int, typer.Option("--topk", min=1, help="Classes to give for each image.")] = 5,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output.")] = False,
    pages: Annotated[
        str | None,
        typer.Option(help="Of files of several pages: first, max, channels, a number. Default: as trained."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, mps.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Images at a time.")] = 128,
    mean: Annotated[
        str | None, typer.Option(help="Of weights that came alone: per channel, of values in [0, 1].")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Likewise: a file with their class names, one a line.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each image.")] = False,
) -> None:
    """Say what a trained network sees in images."""
    from sightline.base import ArgumentError, DataError
    from sightline.imaging import check_pages
    from sightline.inference import load_predictor, read_belongings
    from sightline.machine import Plan, choose_device, usable_cores

    if as_csv and json:
        raise ArgumentError("--csv and --json exclude each other")
    plan = Plan(device=str(choose_device(device)), threads=usable_cores())
    predictor = load_predictor(model, plan, read_belongings(mean, std, classes))
    sources = list(_sources(paths, predictor.header.channel_names))
    if pages is not None:
        check_pages(pages)
        predictor.canvas = dataclasses.replace(predictor.canvas, pages=pages)
    if json:
        write = _json_writer()
    elif as_csv:
        write = _csv_writer()
    else:
        write = _table_writer([name for name, _ in sources], predictor.classes)
    unreadable = 0
    for prediction in predictor.predict(sources, batch_size):
        unreadable += bool(prediction.error)
        if prediction.error and not json:
            print(f"sightline: {prediction.path}: {prediction.error}", file=sys.stderr)
        write(prediction, topk)
    if unreadable:
        raise DataError(f"{unreadable} of {len(sources)} images could not be read")


def _sources(paths: list[str], channels: tuple[str, ...]) -> Iterator[tuple[str, Source]]:
    """Each image a user names, in order; folders in the order of their names."""
    from sightline.base import DataError, shown
    from sightline.data import listed_sources

    for name in paths:
        if name == "-":
            yield from _standard_input(channels)
            continue
        path = Path(name)
        if path.is_dir():
            yield from _in_folder(path)
        elif path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
            yield from listed_sources(name, channels)
        elif path.exists():
            yield shown(name), path
        else:
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  -- absolute patterns too
            if not found:
                raise DataError(f"no such image: {name}")
            for one in found:
                if Path(one).is_dir():
                    yield from _in_folder(Path(one))
                else:
                    yield shown(one), Path(one)


def _in_folder(folder: Path) -> Iterator[tuple[str, Source]]:
    from sightline.base import DataError, shown
    from sightline.imaging import EXTENSIONS

    found = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in EXTENSIONS and p.is_file()]
    if not found:
        raise DataError(f"no image in {folder}")
    for path in found:
        yield shown(str(path)), path


def _standard_input(channels: tuple[str, ...]) -> Iterator[tuple[str, Source]]:
    """One image's bytes, or paths, one a line."""
    from sightline.base import DataError

    content = sys.stdin.buffer.read()
    if not content.strip():
        raise DataError("standard input is empty; - reads an image, or paths one a line")
    lines = [] if _is_image(content) else _text_lines(content)
    if not lines:
        yield "-", content
    for line in lines:
        yield from _sources([line], channels)


def _is_image(content: bytes) -> bool:
    """Whether bytes are an image, even if one that cannot be used: some are valid text, too."""
    from sightline.imaging import UnreadableImageError, decode_any

    try:
        decode_any(content)
    except UnreadableImageError:
        return _IMAGE_TEXT.match(content) is not None
    return True


def _text_lines(content: bytes) -> list[str]:
    """Lines of text that are not blank; none if it is no text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return []
    if _NO_TEXT.search(text):
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json_writer() -> Any:
    def write(prediction: Any, topk: int) -> None:
        line: dict[str, Any] = {"path": prediction.path}
        if prediction.error:
            line["error"] = prediction.error
        else:
            line["predictions"] = [{"class": name, "probability": p} for name, p in prediction.top(topk)]
        print_json(line)

    return write


def _csv_writer() -> Any:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "rank", "class", "probability", "error"])

    def write(prediction: Any, topk: int) -> None:
        if prediction.error:
            writer.writerow([prediction.path, "", "", "", prediction.error])
        for rank, (name, p) in enumerate(prediction.top(topk), start=1):
            writer.writerow([prediction.path, rank, name, f"{p:.6f}", ""])
        sys.stdout.flush()

    return write


def _table_writer(paths: list[str], classes: tuple[str, ...]) -> Any:
    """A row an image, as it comes: its path, then its most probable classes, in columns."""
    from rich.cells import cell_len

    def padded(text: str, width: int) -> str:
        return text + " " * (width - cell_len(text))

    path_width = max(map(cell_len, paths), default=0)
    class_width = max(map(cell_len, classes))

    def write(prediction: Any, topk: int) -> None:
        if prediction.error:
            row = "cannot be read"
        else:
            row = "   ".join(
                f"{padded(name, class_width)} {100 * p:5.1f} %" for name, p in prediction.top(topk)
            )
        print(f"{padded(prediction.path, path_width)}   {row}", flush=True)

    return write
