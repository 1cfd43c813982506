"""Exercises as a GIFT file, which Moodle and others import into a question bank.

One number is a numerical question; yes or no a choice; several numbers, and matrices, are short answers in a
form the question states, with the usual ways to write it accepted, so that a question stays one question.
GIFT has no fields within a text.

Source: docs.moodle.org, "GIFT format": the escapes, `[html]`, `####` before the feedback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from sightline.base import write_text
from sightline.lab._exercise import RULES, Exercise, Grid, Sheet, plain
from sightline.lab._exercise_page import check_file, key_beside, key_page, title

_FORM = {
    "matrix": "Write the numbers of a row with a blank between them, the rows with a semicolon between "
    "them, as 1 2; 3 4.",
    "numbers": "Write the numbers alone, in this order, with a comma and a blank between them: ",
}
_WITHIN_AND_BETWEEN_ROWS = ((" ", "; "), (" ", ";"), (",", ";"), (",", "; "), (", ", "; "), (" ", " ; "))
_BETWEEN = (", ", ",", " ", "; ", ";", "x", " x ")


def write_gift(path: Path, sheet: Sheet) -> Path:
    """Write the questions as GIFT, and their key beside it.

    Args:
        path: Ends in `.gift` or `.txt`. A file written here is replaced, another is not.
        sheet: From `make_exercises`.

    Returns:
        The key: `quiz-key.html` for `quiz.gift`.

    Raises:
        ArgumentError: if the ending is another, or another file would be replaced.
        StorageError: if the disk refuses.
    """
    check_file(path, (".gift", ".txt"), "; a sheet in HTML is written without --gift")
    key = key_beside(path)
    write_text(path, gift_text(sheet))
    write_text(key, key_page(sheet))
    return key


def gift_text(sheet: Sheet) -> str:
    """The questions as GIFT: a category for each topic, the sum as feedback."""
    blocks = [f"// {sheet.command}, Sightline {sheet.version}"]
    topic = ""
    for number, exercise in enumerate(sheet.exercises, 1):
        if exercise.topic != topic:
            topic = exercise.topic
            blocks.append(f"$CATEGORY: Sightline/{title(topic)}")
        name = _escaped(f"{title(topic)}, seed {sheet.seed}, {number:03}")
        question, feedback = _escaped(_question(exercise)), _escaped(_html(exercise.sum))
        blocks.append(f"::{name}::[html]{question}{{{_answer(exercise)}####{feedback}}}")
    return "\n\n".join(blocks) + "\n"


def _question(exercise: Exercise) -> str:
    parts = [f"<p>{_html(exercise.text)}</p>"]
    parts += [_table(grid) for grid in exercise.given]
    if exercise.kind == "matrix":
        parts.append(f"<p>{_FORM['matrix']}</p>")
    elif len(exercise.blanks) > 1:
        labels = ", ".join(label for label, _ in exercise.blanks)
        parts.append(f"<p>{_FORM['numbers']}{escape(labels)}.</p>")
    elif exercise.kind == "numbers":
        parts.append("<p>Write the number without separators.</p>")
    parts.append(f"<p><small>{escape(' '.join(RULES[exercise.topic]))}</small></p>")
    return "".join(parts)


def _answer(exercise: Exercise) -> str:
    answers = [answer for _, answer in exercise.blanks]
    if exercise.kind == "choice":
        return " ".join(f"{'=' if option == answers[0] else '~'}{option}" for option in ("yes", "no"))
    if exercise.kind == "numbers" and len(answers) == 1:
        return f"#{answers[0]}:0"
    return " ".join(f"={_escaped(form)}" for form in _forms(exercise, answers))


def _forms(exercise: Exercise, answers: Sequence[str]) -> list[str]:
    """The ways to write an answer that are accepted, the one asked for first."""
    if isinstance(exercise.answer, tuple):
        rows = [[plain(value) for value in row] for row in exercise.answer]
        found = [outer.join(inner.join(row) for row in rows) for inner, outer in _WITHIN_AND_BETWEEN_ROWS]
    else:
        found = [between.join(answers) for between in _BETWEEN]
    return list(dict.fromkeys(found))


def _table(grid: Grid) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{plain(value)}</td>' for value in row)}</tr>" for row in grid.rows)
    return f'<p>{escape(grid.title)}:</p><table border="1" cellpadding="6"><tbody>{rows}</tbody></table>'


def _html(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _escaped(text: str) -> str:
    r"""With a backslash before what GIFT reads as its own: ~ = # { } : and the backslash itself."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", text)
