"""`sightline exercise`: sheets that mark themselves, one a student, and their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli._console import handled, print_json


@handled
def exercise(
    topic: Annotated[
        str | None, typer.Argument(help="What to practise, or all; without, the topics are listed.")
    ] = None,
    count: Annotated[int, typer.Option("-n", help="How many questions, 1 to 200.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draw: one for each student.")] = 0,
    gift: Annotated[
        bool, typer.Option("--gift", help="Write GIFT, for a question bank of Moodle, in place of a sheet.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file: sheet.html; with --gift, quiz.gift.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output, with all answers.")
    ] = False,
) -> None:
    """Draw exercises with their answers: a self-marking HTML sheet, and a key beside it.

    The same topic, -n, seed and version of Sightline make the same sheet, on every machine.
    """
    from sightline.base import ArgumentError
    from sightline.lab import TOPICS, make_exercises, write_gift, write_sheet

    if topic is None:
        if gift or output is not None:
            raise ArgumentError("--gift and -o are of a TOPIC, and none is given")
        _list(json)
        return
    sheet = make_exercises(topic, count, seed)
    path = output if output is not None else Path("quiz.gift" if gift else "sheet.html")
    key = (write_gift if gift else write_sheet)(path, sheet)
    if json:
        print_json(
            {
                "topic": topic,
                "seed": seed,
                "n": count,
                "version": sheet.version,
                "file": str(path),
                "key": str(key),
                "questions": [one.to_dict() for one in sheet.exercises],
            }
        )
        return
    about = "all topics" if topic not in TOPICS else topic.replace("-", " ")
    print(f"written: {path} ({count} question{'s' if count > 1 else ''}, {about}, seed {seed})")
    print(f"written: {key} (answers and sums, for whoever teaches)")


def _list(json: bool) -> None:
    from sightline.lab import TOPICS

    if json:
        print_json([{"topic": name, "about": about} for name, about in TOPICS.items()])
        return
    width = max(map(len, TOPICS))
    for name, about in TOPICS.items():
        print(f"{name:<{width}}  {about}")
    print(f"{'all':<{width}}  Some of each.")
    print("\nas: sightline exercise sizes -n 20 --seed 1 -o sheet.html")
