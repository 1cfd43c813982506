"""The command line: one verb, one public function."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from sightline._version import __version__
from sightline.cli._check import check
from sightline.cli._compare import compare
from sightline.cli._convolve import convolve
from sightline.cli._design import design
from sightline.cli._draw import draw
from sightline.cli._evaluate import evaluate
from sightline.cli._exercise import exercise
from sightline.cli._fetch import fetch
from sightline.cli._filter import filter_
from sightline.cli._lab import lab
from sightline.cli._models import models
from sightline.cli._predict import predict
from sightline.cli._studio import studio
from sightline.cli._summary import summary
from sightline.cli._train import demo, train
from sightline.cli._view import view

VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "check": check,
    "models": models,
    "summary": summary,
    "compare": compare,
    "draw": draw,
    "view": view,
    "design": design,
    "convolve": convolve,
    "filter": filter_,
    "exercise": exercise,
    "lab": lab,
    "studio": studio,
    "fetch": fetch,
}

app = typer.Typer(
    name="sightline",
    help="From a folder of images to a network that is designed, trained, measured and understood.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sightline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="The version."),
) -> None:
    pass


def main() -> None:
    """Run the command line; what is wrong with it is one line, as everything else."""
    if "" in sys.argv[1:]:
        _refuse("an argument is empty: is a variable of the shell not set?")
    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        _refuse("interrupted", 130)
    except Exception as error:  # Click's own lie within Typer, or beside it: they are known by what they have
        if not hasattr(error, "format_message"):
            raise
        text, status = error.format_message(), int(getattr(error, "exit_code", 2))
        if type(error).__name__ == "NoArgsIsHelpError":
            print(text, file=sys.stderr)
        else:
            _refuse(" ".join(text.split()), status)
    sys.exit(status or 0)


def _refuse(why: str, status: int = 2) -> NoReturn:
    if os.environ.get("RANK", "0") == "0":  # under torchrun, the first process speaks for all
        print(f"sightline: {why}", file=sys.stderr)
    sys.exit(status)
