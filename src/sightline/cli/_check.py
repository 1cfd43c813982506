"""`sightline check`: findings about a network, or about a set of images."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sightline.base import Finding
    from sightline.data import Examination, ImageSet, InputView
    from sightline.imaging import Canvas, Preprocessing
    from sightline.inference import NetworkAt

_TITLES = {"error": "errors", "warning": "warnings", "info": "good to know"}
_SHOWN = 4
_MOST_CLASSES = 20


@handled
def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="DATA|MODEL",
            help="A folder of class folders; or a zoo name, FILE.py:NAME, NAME@FILE, a run folder or a model "
            "file.",
        ),
    ],
    input: Annotated[  # noqa: A002  -- the name of the option
        list[str] | None,
        typer.Option("--input", help="A shape, as 3,224,224 or 224x224x3; once for each input."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Images to measure with, a folder or a file; noise without.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=0, help="Images to measure with; 0 measures nothing.")
    ] = 8,
    network: Annotated[
        str | None,
        typer.Option(
            "--model", help="Of data: whose input the images are judged for; what train would take."
        ),
    ] = None,
    img_size: Annotated[
        int | None,
        typer.Option("--img-size", min=1, help="Of data: side of the square the network is given."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Of data: images as stored and as the network will see them, FILE.png."),
    ] = None,
    pages: Annotated[
        str, typer.Option(help="Of data: which pages of files are meant: first, max, channels or a number.")
    ] = "",
    report: Annotated[Path | None, typer.Option(help="Of data: a page with thumbnails, FILE.html.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Of data: the files to set aside, FILE.csv; none is moved.")
    ] = None,
    together: Annotated[
        Path | None,
        typer.Option(
            help="Of data: FILE.csv, for train with --group-by together: near duplicates on one side."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Pixels that never reach the output are an error.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Look for faults in a set of images; or in a network: its structure, and what a batch does in it."""
    from sightline.base import ArgumentError

    if _is_data(model):
        of_networks = {"--input": input, "--data": data, "--strict": strict, "--batch-size": batch_size != 8}
        for option, wrong in of_networks.items():
            if wrong:
                raise ArgumentError(f"{option} is for networks, and {model} is data")
        outputs = {
            "--sheet": sheet, "--report": report, "--quarantine": quarantine, "--together": together,
        }  # fmt: skip
        _check_data(model, network, img_size, pages, outputs, json=json)
        return
    of_data = {
        "--model": network, "--img-size": img_size, "--pages": pages, "--sheet": sheet, "--report": report,
        "--quarantine": quarantine, "--together": together,
    }  # fmt: skip
    for option, given in of_data.items():
        if given:
            raise ArgumentError(f"{option} is for data, and {model} is not a folder of images")
    if batch_size == 1:
        raise ArgumentError("--batch-size is 1; give 0 to measure nothing, or 2 or more")
    if data is not None and not batch_size:
        raise ArgumentError("--data is to measure with, and --batch-size 0 measures nothing")
    _check_model(model, tuple(input or ()), data, batch_size, strict=strict, json=json)


def _is_data(spec: str) -> bool:
    """Whether an argument is images rather than a model: an embedded set, or a path that is no model's."""
    from sightline.data import EMBEDDED
    from sightline.imaging import EXTENSIONS

    path = Path(spec)
    if spec in EMBEDDED:
        return True
    if path.is_dir():
        of_runs = ("*.safetensors", "args.yaml", "*/args.yaml")
        return not any(True for pattern in of_runs for _ in path.glob(pattern))
    return path.is_file() and path.suffix.lower() in {*EXTENSIONS, ".csv", ".npz"}


def _check_data(
    source: str,
    network: str | None,
    img_size: int | None,
    pages: str,
    outputs: dict[str, Path | None],
    *,
    json: bool,
) -> None:
    from sightline.base import ArgumentError
    from sightline.cli._console import make_reporter
    from sightline.data import (
        check_output,
        examine_images,
        write_examination,
        write_quarantine,
        write_sheet,
        write_together,
    )

    endings = {"--sheet": ".png", "--report": ".html", "--quarantine": ".csv", "--together": ".csv"}
    wanted = {option: path for option, path in outputs.items() if path is not None}
    for option, path in wanted.items():
        if option == "--together" and path.exists():
            raise ArgumentError(f"--together {path} exists; give a new name")
        check_output(option, path, endings[option])
    reporter = make_reporter()
    view_of = _view_of(network, img_size)
    drawn = "--sheet" in wanted or "--report" in wanted
    examination = examine_images(
        source, pages=pages, view_of=view_of, sheet=drawn, progress=reporter.progress
    )
    for option, path in wanted.items():
        if option == "--sheet":
            if examination.sheet is None:
                print(f"not written: {path}, for the set cannot be opened", file=sys.stderr)
                continue
            write_sheet(path, examination.sheet)
        elif option == "--together":
            if examination.images is None:
                print(f"not written: {path}, for the set cannot be opened", file=sys.stderr)
                continue
            write_together(path, examination.images, examination.near)
        elif option == "--report":
            write_examination(path, examination)
        else:
            write_quarantine(path, examination)
        print(f"written: {path}", file=sys.stderr)
    found = examination.findings
    if json:
        print_json({"findings": [f.to_dict() for f in found]})
    else:
        _print_of_data(examination)
    if any(f.level == "error" for f in found):
        raise typer.Exit(1)


def _view_of(network: str | None, img_size: int | None) -> Callable[[ImageSet], InputView]:
    """How a network will be given the images of a set: as trained, or as `train` would give them."""
    from sightline.base import ArgumentError
    from sightline.data import InputView, input_view
    from sightline.imaging import Preprocessing
    from sightline.inference import resolve
    from sightline.training import default_model

    model = None if network is None else resolve(network)
    header = None if model is None else model.header
    if header is not None and img_size is not None:
        raise ArgumentError(
            f"--img-size is for a network that is not trained yet, and {network} has its size"
        )

    def view_of(images: ImageSet) -> InputView:
        if model is not None and header is not None:
            preprocessing = Preprocessing(**header.preprocessing)
            name = model.architecture.name
            return InputView(name=name, canvas=header.framing, preprocessing=preprocessing, trained=True)
        named = model or resolve(default_model(images))
        of = named.architecture
        return input_view(images, of.name, of.input_shape[1:], of.input_sizes, img_size)

    return view_of


def _print_of_data(examination: Examination) -> None:
    """The classes; findings alike together: a few of each, what it means and what to do once."""
    from sightline.data import PARTS

    images, found = examination.images, examination.findings
    if images is not None:
        print(f"{examination.source}: {len(images)} images, {len(images.classes)} classes")
        parts = [part for part in (*PARTS, None) if part in images.parts]
        counts = Counter(zip(images.targets.tolist(), images.parts, strict=True))
        table = [("class", *(part or "images" for part in parts))]
        for k, label in enumerate(images.classes[:_MOST_CLASSES]):
            table.append((label, *(str(counts[k, part]) for part in parts)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for label, *numbers in table:
            cells = [n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True)]
            print("  ".join(["", label.ljust(widths[0]), *cells]))
        if len(images.classes) > _MOST_CLASSES:
            print(f"  and {len(images.classes) - _MOST_CLASSES} more classes")
    for level, title in _TITLES.items():
        alike: dict[tuple[str, str], list[Finding]] = {}
        for finding in found:
            if finding.level == level:
                alike.setdefault((finding.why, finding.do), []).append(finding)
        if alike:
            print(f"{title}:")
        for (why, do), findings in alike.items():
            for finding in findings[:_SHOWN]:
                print(f"  {finding.where}: {finding.what}")
            if len(findings) > _SHOWN:
                print(f"  and {len(findings) - _SHOWN} more (--json, --report)")
            print(f"      {why}; {do}")
    print(f"{examination.source}: {_counts(found) or 'no findings'}")


def _counts(found: list[Finding]) -> str:
    return ", ".join(
        f"{n} {level if n == 1 or level == 'info' else level + 's'}"
        for level in _TITLES
        if (n := sum(f.level == level for f in found))
    )


def _check_model(
    model: str, inputs: tuple[str, ...], data: Path | None, batch_size: int, *, strict: bool, json: bool
) -> None:
    from sightline.blueprint import check_network
    from sightline.inference import network_at

    there = network_at(model, inputs, numbers=bool(batch_size))
    images = None if data is None else _images(there, data, batch_size)
    measured = _measured(there, images, batch_size)
    if measured:
        print(f"measuring on {measured}, forward and back (--batch-size 0 leaves it out)", file=sys.stderr)
    found = check_network(
        there.network,
        *there.inputs,
        name=there.name,
        objective=there.model.architecture.objective,
        images=images,
        batch_size=batch_size,
        strict=strict,
        rebuild=there.rebuild,
    )
    if json:
        print_json({"findings": [f.to_dict() for f in found], "measured_on": measured})
    else:
        _print(there.name, found, measured)
    if any(f.level == "error" for f in found):
        raise typer.Exit(1)


def _measured(there: NetworkAt, images: Tensor | None, batch_size: int) -> str:
    """What was measured on; empty where nothing was."""
    if not batch_size or (images is None and not all(x.is_floating_point() for x in there.inputs)):
        return ""
    weights = "its own weights" if there.model.weights is not None else "fresh weights"
    if images is not None:
        return f"{len(images)} images, {weights}"
    return f"{batch_size} images of noise, {weights}"


def _print(name: str, found: list[Finding], measured: str) -> None:
    for level, title in _TITLES.items():
        group = [f for f in found if f.level == level]
        if group:
            print(f"{title}:")
        for finding in group:
            print(f"  {finding.where}: {finding.what}")
            print(f"      {finding.why}; {finding.do}")
    basis = f"measured on {measured}" if measured else "nothing measured"
    print(f"{name}: {_counts(found) or 'no findings'}; {basis}")


def _images(there: NetworkAt, data: Path, count: int) -> Tensor:
    """Images of a folder, evenly taken, as the model's own preprocessing gives them to the network.

    A model without one takes them at its input's size, each channel to mean 0 and deviation 1.
    """
    import numpy as np
    import torch

    from sightline.base import ArgumentError, DataError
    from sightline.imaging import EXTENSIONS, Canvas, UnreadableImageError, read_framed

    shape = tuple(there.inputs[0].shape[1:])
    if len(there.inputs) > 1 or len(shape) != 3 or shape[0] not in (1, 3):
        raise ArgumentError(
            f"--data is for a network of one input of 1 or 3 channels; {there.name} has another"
        )
    if data.is_dir():
        files = [p for p in sorted(data.rglob("*")) if p.suffix.lower() in EXTENSIONS and p.is_file()]
    else:
        files = [data] if data.is_file() else []
    if len(files) < 2:
        what = "no such file or folder" if not data.exists() else f"images in it: {len(files)}"
        raise DataError(f"--data {data} must be a folder of 2 or more images; {what}")
    chosen = files if len(files) <= count else [files[k * len(files) // count] for k in range(count)]
    own = _own_preprocessing(there)
    canvas = Canvas(*shape[1:], shape[0]) if own is None else own[1]
    framed = []
    for file in chosen:
        try:
            framed.append(read_framed(file, canvas).pixels)
        except UnreadableImageError as error:
            raise DataError(f"--data {data}: {file.name} cannot be read: {error}") from error
    pixels = torch.from_numpy(np.stack(framed))
    if own is not None:
        preprocessing: Preprocessing = own[0]
        return preprocessing.normalise(preprocessing.scale(pixels))
    scaled = pixels.float()
    deviation, mean = torch.std_mean(scaled, dim=(0, 2, 3), keepdim=True)
    return (scaled - mean) / torch.where(deviation > 0, deviation, 1.0)


def _own_preprocessing(there: NetworkAt) -> tuple[Preprocessing, Canvas] | None:
    """The preprocessing of a model's weights, and the canvas before it; None of a network alone."""
    from sightline.imaging import Preprocessing
    from sightline.inference import Belongings, assumed_header

    model = there.model
    header = model.header
    if header is None and model.weights is not None:
        names = [str(k) for k in range(model.architecture.num_classes)]
        header, _ = assumed_header(model, Belongings(), names)
    if header is None:
        return None
    return Preprocessing(**header.preprocessing), header.framing
