"""What the data doctor found, as one HTML page with thumbnails and as a list of files to set aside."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from html import escape
from pathlib import Path
from typing import Literal

from PIL import Image

from sightline.base import LEVELS, ArgumentError, write_text
from sightline.data._doctor import Examination
from sightline.data._doctor_case import Case
from sightline.data._image_set import PARTS, ImageSet
from sightline.data._pictures import picture_of
from sightline.data._sheet import SHEET_MARK
from sightline.imaging import UnreadableImageError

Level = Literal["error", "warning", "info"]

_THUMB = 128
_SHOWN = 40
_MARK = '<meta name="generator" content="sightline check">'
_HEADER = ("path", "reason")
_STYLE = """
:root { --page: #fff; --text: #1b2028; --soft: #5a6470; --rule: #d8dde3; --faint: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --text: #e6e9ec; --soft: #9aa4af; --rule: #323941; --faint: #1d2126; }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 5rem; overflow-wrap: anywhere;
  background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: clamp(1.75rem, 5vw, 2.75rem); line-height: 1.15; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .25rem; border-top: 2px solid var(--text); padding-top: .5rem; }
p { margin: 0 0 .75rem; max-width: 50rem; }
.soft, td small { color: var(--soft); font-size: .875rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; font-weight: 400;
  border-bottom: 1px solid var(--rule); }
td.number, th.number { text-align: right; }
.level { display: inline-block; border-left: .5rem solid; padding-left: .4rem; font-weight: 600; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; padding: 0; }
.cases li { list-style: none; background: var(--faint); padding: .75rem; font-size: .875rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: .5rem; }
.pictures img { max-width: 8rem; max-height: 8rem; border: 1px solid var(--rule); }
.sheet { max-width: 100%; height: auto; }
"""


def write_examination(path: Path, examination: Examination) -> None:
    """Write what was found as one HTML file that needs nothing else.

    Args:
        path: Ends in `.html`. A page of this kind is replaced, anything else is not.
        examination: What the data doctor found.

    Raises:
        ArgumentError: if the ending is another, or the file is not such a page.
        StorageError: if it cannot be written.
    """
    check_output("--report", path, ".html")
    write_text(path, _page(examination))


def write_quarantine(path: Path, examination: Examination) -> None:
    """Write the files to set aside as CSV: path, relative to the set, and reason. Nothing is moved.

    Args:
        path: Ends in `.csv`. A list of this kind is replaced, anything else is not.
        examination: What the data doctor found.

    Raises:
        ArgumentError: if the ending is another, or the file is not such a list.
        StorageError: if it cannot be written.
    """
    check_output("--quarantine", path, ".csv")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(examination.quarantine)
    write_text(path, text.getvalue())


def check_output(option: str, path: Path, ending: str) -> None:
    """Refuse an output that is no such file, or would replace a file of the user.

    Raises:
        ArgumentError: says which option, and why.
    """
    if path.suffix.lower() != ending:
        raise ArgumentError(f"{option} {path} must end in {ending}")
    if path.is_dir():
        raise ArgumentError(f"{option} {path} is a folder; give a file")
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            start = file.read(512).decode("utf-8", "replace")
    except OSError:
        start = ""
    marks = {".html": _MARK in start, ".png": SHEET_MARK in start}
    ours = marks.get(ending, start.startswith(",".join(_HEADER) + "\n"))
    if not ours:
        raise ArgumentError(f"{option} {path} exists and was not written by check; give another name")


def _page(examination: Examination) -> str:
    kinds: dict[str, list[Case]] = {}
    for case in examination.cases:
        kinds.setdefault(case.kind, []).append(case)
    name = escape(examination.source)
    parts = [
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_MARK}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Check of {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        f"<h1>{name}</h1>\n",
        f"<p>{_summary(examination)}</p>\n",
    ]
    if examination.images is not None:
        parts.append(_classes(examination.images))
    if examination.sheet is not None:
        parts.append(_sheet(examination.sheet))
    place = {} if examination.images is None else {n: i for i, n in enumerate(examination.images.names)}
    parts += [_section(examination.images, place, kind, cases) for kind, cases in kinds.items()]
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _summary(examination: Examination) -> str:
    levels = Counter(finding.level for finding in examination.findings)
    words: dict[Level, str] = {"error": "errors", "warning": "warnings", "info": "notes"}
    counts = ", ".join(
        f"{levels[level]} {word[:-1] if levels[level] == 1 else word}"
        for level, word in words.items()
        if levels[level]
    )
    images = examination.images
    size = "" if images is None else f"{len(images):,} images of {len(images.classes)} classes. "
    return (
        f"{size}{counts or 'Nothing was found'}. {len(examination.quarantine)} files are proposed to be set "
        "aside. No file was changed."
    )


def _classes(images: ImageSet) -> str:
    used = [part for part in PARTS if part in images.parts]
    counts = Counter(zip(images.targets.tolist(), images.parts, strict=True))
    head = "".join(f'<th class="number">{escape(title)}</th>' for title in [*used, "images"])
    rows = []
    for target, total in sorted(enumerate(images.counts().tolist()), key=lambda pair: pair[1])[:_SHOWN]:
        cells = [*(counts[target, part] for part in used), total]
        numbers = "".join(f'<td class="number">{cell:,}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(images.classes[target])}</td>{numbers}</tr>\n")
    more = len(images.classes) - len(rows)
    note = f'<p class="soft">and {more} larger classes</p>\n' if more else ""
    return f"<table>\n<tr><th>class</th>{head}</tr>\n{''.join(rows)}</table>\n{note}"


def _sheet(sheet: Image.Image) -> str:
    return (
        "<h2>As a network sees them</h2>\n"
        "<p>Some images of each class, as they are stored and as the network is given them.</p>\n"
        f'<img class="sheet" alt="images as stored and as given" src="{_inline(sheet)}">\n'
    )


def _section(images: ImageSet | None, place: dict[str, int], kind: str, cases: list[Case]) -> str:
    items = "".join(_item(images, place, case) for case in cases[:_SHOWN])
    more = len(cases) - _SHOWN
    note = f'<p class="soft">and {more} more</p>\n' if more > 0 else ""
    title = f'<h2>{escape(kind)} <small class="soft">{len(cases)}</small></h2>'
    return f'{title}\n<ul class="cases">\n{items}</ul>\n{note}'


def _item(images: ImageSet | None, place: dict[str, int], case: Case) -> str:
    finding = case.finding
    pictures = "" if images is None else "".join(_picture(images, place[name]) for name in case.names)
    row = f'<div class="pictures">{pictures}</div>' if pictures else ""
    colour = LEVELS[finding.level]
    return (
        f'<li>{row}<span class="level" style="border-color: {colour}">{finding.level}</span> '
        f"<b>{escape(finding.where)}</b> {escape(finding.what)}"
        f'<br><span class="soft">{escape(finding.why)}; {escape(finding.do)}</span></li>\n'
    )


def _picture(images: ImageSet, index: int) -> str:
    """A thumbnail that stands in the page; nothing where the image cannot be read any more."""
    name = images.names[index]
    try:
        image = picture_of(images, index, (_THUMB, _THUMB))
    except UnreadableImageError:
        return ""
    image.thumbnail((_THUMB, _THUMB), Image.Resampling.BOX)
    return f'<img alt="{escape(name)}" title="{escape(name)}" src="{_inline(image)}">'


def _inline(image: Image.Image) -> str:
    """A picture as a URL that holds it."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
