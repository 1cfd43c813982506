"""`sightline evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, make_reporter, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.evaluation import Evaluation

_MOST_CLASSES = 12
_CONFUSIONS = 10


@handled
def evaluate(
    model: Annotated[str, typer.Argument(help="A run folder, a model file, or NAME@FILE.")],
    data: Annotated[str | None, typer.Argument(help="Images to judge on. Default: the run's own.")] = None,
    allow_unreadable: Annotated[
        bool, typer.Option("--allow-unreadable", help="Leave out unreadable files.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, mps.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Images at a time.")] = 128,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Judge a trained network: on the test images if there are any, else on the validation images."""
    from sightline.evaluation import evaluate as evaluate_model

    reporter = make_reporter()
    result = evaluate_model(
        model,
        data,
        allow_unreadable=allow_unreadable,
        device=device,
        batch_size=batch_size,
        progress=reporter.progress,
    )
    for finding in result.findings:
        if finding.level != "info":
            reporter.note(f"{finding.level}: {finding.line()}")
    if json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: Evaluation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    scores = result.scores
    print(result.describe())
    print(
        f"top-5 {100 * scores.top5:.2f} %, balanced accuracy {100 * scores.balanced_accuracy:.2f} %, "
        f"calibration error {100 * scores.ece:.2f} %, loss {scores.loss:.4f}"
    )
    classes = result.images.classes
    if len(classes) > _MOST_CLASSES:
        _show_confusions(classes, scores.confusion)
        return
    print("confusion: true classes down, predicted ones across")
    table = Table()
    table.add_column("")
    for name in classes:
        table.add_column(escape(name), justify="right")
    for name, row in zip(classes, scores.confusion, strict=True):
        table.add_row(escape(name), *(str(count) if count else "." for count in row))
    Console().print(table)


def _show_confusions(classes: tuple[str, ...], confusion: NDArray[np.int64]) -> None:
    """The commonest confusions of many classes; of equal ones, those first in the order of the classes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    wrong = [
        (int(count), true, predicted)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    if not wrong:
        print(f"no confusion among {len(classes)} classes")
        return
    wrong.sort(key=lambda one: -one[0])
    print(f"the {min(_CONFUSIONS, len(wrong))} commonest of {len(wrong)} confusions (all: --json)")
    table = Table("true", "predicted")
    table.add_column("images", justify="right")
    table.add_column("of", justify="right")
    for count, true, predicted in wrong[:_CONFUSIONS]:
        total = int(confusion[true].sum())
        table.add_row(escape(classes[true]), escape(classes[predicted]), str(count), str(total))
    Console().print(table)
