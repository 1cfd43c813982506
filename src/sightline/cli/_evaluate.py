"""`sightline evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.base import ArgumentError
from sightline.cli._console import handled, make_reporter, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.evaluation import ClassificationScores, Comparison, Ensemble, Evaluation

_MOST_CLASSES = 12
"""Of a confusion that is shown whole."""
_MOST_ROWS = 30
"""Classes of a table that has them all; of more, the worst are shown."""
_WORST = 10
_CONFUSIONS = 10
_MISTAKES = 5


@handled
def evaluate(
    model: Annotated[str, typer.Argument(help="A run folder, a model file, NAME@FILE or NAME@public.")],
    data: Annotated[str | None, typer.Argument(help="Images to judge on. Default: the run's own.")] = None,
    crops: Annotated[
        str, typer.Option(help="What is shown of each image: 1, as trained; 10, AlexNet's; dense, VGG's.")
    ] = "1",
    views: Annotated[
        bool, typer.Option("--views", help="Score test-time views too, on a line of their own.")
    ] = False,
    together: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another model: their mean probabilities are judged. Repeatable."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model: which is better on the same images?")
    ] = None,
    allow_unreadable: Annotated[
        bool, typer.Option("--allow-unreadable", help="Leave out unreadable files.")
    ] = False,
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
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Judge a trained network: on the test images if there are any, else on the validation images."""
    from sightline.evaluation import Comparison, Ensemble, compare, evaluate_ensemble
    from sightline.evaluation import evaluate as evaluate_model
    from sightline.inference import check_crops, read_belongings

    reporter = make_reporter()
    belongings = read_belongings(mean, std, classes)
    settings: dict[str, Any] = {
        "allow_unreadable": allow_unreadable,
        "device": device,
        "batch_size": batch_size,
        "crops": check_crops(crops),
        "progress": reporter.progress,
    }
    result: Evaluation | Comparison | Ensemble
    if against is not None:
        _check_against(pages, views, together, belongings.given)
        result = compare(model, against, data, **settings)
    elif together:
        if views:
            raise ArgumentError("--views is of one model; --with judges several")
        settings |= {"pages": pages, "belongings": belongings}
        result = evaluate_ensemble(model, together, data, **settings)
    else:
        result = evaluate_model(model, data, pages=pages, belongings=belongings, views=views, **settings)
    for finding in (result.whole if isinstance(result, Ensemble) else result).findings:
        if finding.level != "info":
            reporter.note(f"{finding.level}: {finding.line()}")
    if json:
        print_json(result.to_dict())
    elif isinstance(result, Comparison):
        _show(result.first)
        _show_comparison(result)
    elif isinstance(result, Ensemble):
        _show_ensemble(result)
    else:
        _show(result)


def _check_against(pages: str | None, views: bool, together: list[str] | None, belongings: bool) -> None:
    """What goes with one model alone, or with several as one."""
    if pages is not None:
        raise ArgumentError("--pages is of one model; --against compares two, on images read as the first's")
    if views:
        raise ArgumentError("--views is of one model; --against compares two")
    if together:
        raise ArgumentError("--with judges models as one, --against compares two; give one of them")
    if belongings:
        raise ArgumentError("--mean, --std and --classes are of one model; --against compares two")


def _show(result: Evaluation) -> None:
    """The scores, each class, what is taken for what, the surest mistakes."""
    print(result.describe())
    print(_score_line(result.scores))
    print(f"protocol: {result.protocol}")
    if result.views is not None:
        print(f"with test-time views, not in the score: {result.views.describe()}")
    _show_published(result)
    _show_classes(result)
    _show_confusion(result.images.classes, result.scores.confusion)
    mistakes = result.mistakes(_MISTAKES)
    if mistakes:
        print(f"the {len(mistakes)} most confident mistakes")
    for one in mistakes:
        print(f"{100 * one.probability:6.1f} % {one.predicted}, but is {one.true}: {one.path}")


def _show_published(result: Evaluation) -> None:
    """What others measured, beside ours; nobody says that both are of the same images."""
    if not result.published:
        return
    from sightline.evaluation import published_line

    top1, top5 = 100 * result.scores.top1, 100 * result.scores.top5
    n = result.scores.n
    print(f"ours: top-1 {top1:.2f} %, top-5 {top5:.2f} % on these {n:,} images, which need not be the same")
    for one in result.published:
        print(f"published: {published_line(one)}")


def _show_ensemble(result: Ensemble) -> None:
    """The ensemble as one network is shown, its members, and what it gains on the first."""
    _show(result.whole)
    for name, one in zip(result.names, result.members, strict=True):
        print(f"{name} alone: {one.describe()}, top-5 {100 * one.scores.top5:.2f} %")
    print(result.against_first.describe())


def _score_line(scores: ClassificationScores) -> str:
    auroc = "" if scores.auroc is None else f"AUROC {scores.auroc:.4f}, "
    before = ""
    if scores.temperature != 1.0:
        before = f" (before temperature {scores.temperature:.3g}: {100 * scores.ece_uncalibrated:.2f} %)"
    return (
        f"top-5 {100 * scores.top5:.2f} %, balanced accuracy {100 * scores.balanced_accuracy:.2f} %, "
        f"macro F1 {100 * scores.macro_f1:.2f} %, {auroc}"
        f"calibration error {100 * scores.ece:.2f} %{before}, loss {scores.loss:.4f}"
    )


def _show_classes(result: Evaluation) -> None:
    """What each class scored; of many that occur, those of lowest F1, of equal ones the first."""
    rows = list(zip(result.images.classes, result.scores.classes, strict=True))
    if len(rows) > _MOST_ROWS:
        by_f1 = sorted((one.f1, place) for place, (_, one) in enumerate(rows) if one.f1 is not None)
        print(f"the {min(_WORST, len(by_f1))} of {len(by_f1)} classes with the lowest F1 (all: --json)")
        rows = [rows[place] for _, place in by_f1[:_WORST]]
    cells = [
        (
            name,
            str(one.n),
            *("-" if x is None else f"{100 * x:.1f} %" for x in (one.precision, one.recall, one.f1)),
        )
        for name, one in rows
    ]
    _print_table(("class", "images", "precision", "recall", "F1"), cells)


def _show_comparison(result: Comparison) -> None:
    print(f"against {result.against}: {result.second.describe()}")
    print(
        f"right: both {result.both_right:,}, only {result.model} {result.only_first:,}, "
        f"only {result.against} {result.only_second:,}, neither {result.neither:,}"
    )
    low, high = (100 * bound for bound in result.balanced_accuracy_interval)
    print(
        f"balanced accuracy: {100 * result.balanced_accuracy_difference:+.2f} points, "
        f"95 % interval {low:+.2f} to {high:+.2f}"
    )
    print(result.describe())


def _show_confusion(classes: tuple[str, ...], confusion: NDArray[np.int64]) -> None:
    if len(classes) > _MOST_CLASSES:
        _show_confusions(classes, confusion)
        return
    print("confusion: true classes down, predicted ones across")
    rows = [
        (name, *(str(count) if count else "." for count in row))
        for name, row in zip(classes, confusion, strict=True)
    ]
    _print_table(("", *classes), rows)


def _show_confusions(classes: tuple[str, ...], confusion: NDArray[np.int64]) -> None:
    """The commonest confusions of many classes; of equal ones, those first in the order of the classes."""
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
    rows = [
        (classes[true], classes[predicted], str(count), str(confusion[true].sum()))
        for count, true, predicted in wrong[:_CONFUSIONS]
    ]
    _print_table(("true", "predicted", "images", "of"), rows, text=2)


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> None:
    """A table whose first `text` columns are words, the others numbers."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for place, name in enumerate(header):
        table.add_column(escape(name), justify="left" if place < text else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
