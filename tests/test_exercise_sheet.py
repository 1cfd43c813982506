"""Sheets of exercises: the page in a browser, the key, GIFT read back, the verb."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import sightline
from sightline.base import ArgumentError
from sightline.cli import app
from sightline.lab import (
    TOPICS,
    Exercise,
    Sheet,
    gift_text,
    key_page,
    make_exercises,
    sheet_page,
    write_gift,
    write_sheet,
)

CHROMIUM = Path("/usr/bin/chromium")


def numbers(exercise: Exercise) -> list[Any]:
    assert isinstance(exercise.answer, Mapping)
    return list(exercise.answer.values())


# The page


def fnv(text: str) -> str:
    def one_way(data: bytes) -> int:
        value = 2166136261
        for byte in data:
            value = ((value ^ byte) * 16777619) % 2**32
        return value

    return f"{one_way(text.encode()):08x}{one_way(text.encode()[::-1]):08x}"


class Reader(HTMLParser):
    """What a page holds: tags with attributes, text that is seen."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.unlabelled = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag == "input" and "label" not in self.open and "aria-label" not in named:
            self.unlabelled += 1
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_the_sheet_needs_nothing_and_hides_its_answers() -> None:
    sheet = make_exercises("all", 30, 4)
    page = sheet_page(sheet)
    read = Reader(page)
    assert not read.open
    assert not read.unlabelled
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bsrc=|\bfetch\(|XMLHttp|localStorage", page)
    assert f"Seed 4, 30 questions, Sightline {sightline.__version__}" in read.text
    assert sheet.command in read.text
    boxes = [named for tag, named in read.tags if tag == "fieldset"]
    hashes = [named["data-hash"] for _, named in read.tags if "data-hash" in named]
    assert [box["id"] for box in boxes] == [one.id for one in sheet.exercises]
    expected = []
    for box, one in zip(boxes, sheet.exercises, strict=True):
        salt = box["data-salt"]
        assert salt
        expected += [fnv(f"{salt}/{place}/{answer}") for place, (_, answer) in enumerate(one.blanks)]
        hidden = base64.b64decode(box["data-sum"] or "")
        assert bytes(a ^ b for a, b in zip(hidden, cycle(salt.encode()), strict=False)).decode() == one.sum
        assert one.sum.splitlines()[-1] not in html.unescape(page)
        for line in one.text.splitlines():
            assert line in read.text
    assert hashes == expected
    assert len({box["data-salt"] for box in boxes}) == 30


def test_the_key_tells_everything() -> None:
    sheet = make_exercises("all", 30, 4)
    read = Reader(key_page(sheet))
    assert "seed 4, for whoever teaches" in read.text
    for one in sheet.exercises:
        assert one.text.splitlines()[0] in read.text
        assert one.sum in read.text
        if isinstance(one.answer, Mapping):
            for label, answer in one.blanks:
                assert f"{label}: {answer}" in read.text
    assert "script" not in {tag for tag, _ in read.tags}


def test_files_are_written_replaced_and_not_mistaken(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sheet.html"
    key = write_sheet(path, make_exercises("sizes", 3, 1))
    assert key == tmp_path / "deep" / "sheet-key.html"
    first = path.read_text()
    write_sheet(path, make_exercises("sizes", 3, 2))
    assert path.read_text() != first
    assert write_gift(tmp_path / "quiz.gift", make_exercises("sizes", 3, 1)).name == "quiz-key.html"
    write_gift(tmp_path / "quiz.gift", make_exercises("sizes", 3, 2))
    key.write_text("my notes")
    with pytest.raises(ArgumentError, match=r"sheet-key.html exists and was not written by exercise"):
        write_sheet(path, make_exercises("sizes", 3, 1))
    assert key.read_text() == "my notes"


# GIFT


def read_gift(text: str) -> list[dict[str, Any]]:
    """A small reader of GIFT: blocks between empty lines, a backslash before what is meant literally."""
    questions, category = [], ""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line for line in block.split("\n") if not line.startswith("//")]
        if not lines:
            continue
        if lines[0].startswith("$CATEGORY:"):
            assert len(lines) == 1
            category = lines[0].removeprefix("$CATEGORY:").strip()
            continue
        # Every escaped sign becomes one of a private area, so that what is left is GIFT's own.
        bare = re.sub(r"\\([\\~=#{}:])", lambda found: chr(0xE000 + ord(found[1])), "\n".join(lines))
        found = re.fullmatch(r"::([^:]*)::\[html\]([^{}~=#:]*)\{([^{}]*)\}", bare)
        assert found is not None, block
        answers, _, feedback = found[3].partition("####")
        assert not set(feedback) & set("{}~=#:")

        def meant(part: str) -> str:
            return re.sub(r"[\ue000-\ue0ff]", lambda sign: chr(ord(sign[0]) - 0xE000), part).strip()

        if answers.startswith("#"):
            number, _, tolerance = answers[1:].partition(":")
            kind, accepted, others = "numerical", [float(number)], []
            assert float(tolerance) == 0
        else:
            accepted = [meant(part) for part in re.findall(r"=([^=~]*)", answers)]
            others = [meant(part) for part in re.findall(r"~([^=~]*)", answers)]
            kind = "choice" if others else "short"
            assert not any(c in answer for answer in accepted for c in "*")
        questions.append(
            {
                "category": category,
                "name": meant(found[1]),
                "text": html.unescape(meant(found[2]).replace("<br>", "\n")),
                "kind": kind,
                "accepted": accepted,
                "others": others,
                "feedback": html.unescape(meant(feedback).replace("<br>", "\n")),
            }
        )
    return questions


def test_gift_reads_back() -> None:
    sheet = make_exercises("all", 60, 2)
    questions = read_gift(gift_text(sheet))
    assert len(questions) == 60
    assert len({question["name"] for question in questions}) == 60
    assert {question["kind"] for question in questions} == {"numerical", "choice", "short"}
    for question, one in zip(questions, sheet.exercises, strict=True):
        assert question["category"] == f"Sightline/{one.topic.replace('-', ' ').capitalize()}"
        assert one.text in question["text"]
        assert question["feedback"] == one.sum
        for grid in one.given:
            cells = "".join(f"<td>{value}</td>" for value in grid.rows[-1])
            assert f"{cells}</tr></tbody></table>" in question["text"]
        if one.kind == "choice":
            assert {*question["accepted"], *question["others"]} == {"yes", "no"}
            assert question["accepted"] == [one.answer]
        elif one.kind == "matrix":
            for form in question["accepted"]:
                rows = tuple(tuple(map(float, re.split(r"[ ,]+", row.strip()))) for row in form.split(";"))
                assert rows == one.answer
        elif question["kind"] == "numerical":
            assert question["accepted"] == numbers(one)
        else:
            for form in question["accepted"]:
                assert [float(part) for part in re.split(r"[ ,;x]+", form)] == numbers(one)


def test_gift_escapes_its_own_signs() -> None:
    odd = Exercise(
        id="sizes-0-001",
        topic="sizes",
        text="a = {b} ~ #c: \\d \\= \\\\{ <e> & f",
        answer={"x": -3},
        sum="1 -> {2}\n= 3",
    )
    question = read_gift(gift_text(Sheet(topic="sizes", seed=0, exercises=(odd,))))[0]
    assert "a = {b} ~ #c: \\d \\= \\\\{ <e> & f" in question["text"]
    assert question["feedback"] == "1 -> {2}\n= 3"
    assert question["accepted"] == [-3.0]


# The verb


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["exercise", *map(str, arguments)])


def test_without_a_topic_the_topics_are_listed() -> None:
    result = run()
    assert result.exit_code == 0
    assert all(topic in result.stdout for topic in [*TOPICS, "all"])
    assert [one["topic"] for one in json.loads(run("--json").stdout)] == list(TOPICS)


def test_the_verb_writes_a_sheet_and_its_key(in_tmp: Path) -> None:
    result = run("pooling", "-n", 5, "--seed", 3, "--json")
    told = json.loads(result.stdout)
    sheet = make_exercises("pooling", 5, 3)
    assert {name: told[name] for name in ("topic", "seed", "n", "file", "key", "version")} == {
        "topic": "pooling", "seed": 3, "n": 5, "file": "sheet.html", "key": "sheet-key.html",
        "version": sightline.__version__,
    }  # fmt: skip
    assert told["questions"] == json.loads(json.dumps([one.to_dict() for one in sheet.exercises]))
    assert Path("sheet.html").read_text() == sheet_page(sheet)
    assert Path("sheet-key.html").read_text() == key_page(sheet)
    assert run("all", "--gift", "-n", 7).exit_code == 0
    assert Path("quiz.gift").read_text() == gift_text(make_exercises("all", 7, 0))
    said = run("macs", "-n", 1, "-o", "one.html").stdout
    assert said.splitlines()[0] == "written: one.html (1 question, macs, seed 0)"


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "TOPIC 'receptive_field' is not known; did you mean receptive-fields?", "receptive_field"),
        (2, "-n is 0; a sheet has 1 to 200 questions", "sizes -n 0"),
        (2, "-n is 201; a sheet has 1 to 200 questions", "sizes -n 201"),
        (2, "--seed is -1; it must be 0 or more", "sizes --seed -1"),
        (2, "-o x.pdf must end in .html; for a GIFT file, add --gift", "sizes -o x.pdf"),
        (2, "-o x.html must end in .gift or .txt; a sheet in HTML is", "all --gift -o x.html"),
        (2, "-o folder.html is a folder; give a file", "sizes -o folder.html"),
        (2, "-o mine.html exists and was not written by exercise; give", "sizes -o mine.html"),
        (2, "--gift and -o are of a TOPIC, and none is given", "--gift"),
        (1, "cannot write mine.html/sheet.html: ", "sizes -o mine.html/sheet.html"),
    ],
)
def test_bad_input_is_one_line(code: int, message: str, arguments: str, in_tmp: Path) -> None:
    Path("folder.html").mkdir()
    Path("mine.html").write_text("<p>of the user</p>")
    result = run(*arguments.split())
    assert result.exit_code == code, result.output
    assert result.stderr.startswith(f"sightline: {message}")
    assert result.stderr.count("\n") == 1
    assert Path("mine.html").read_text() == "<p>of the user</p>"


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield launched
        launched.close()


class Opened:
    """A sheet in the browser, and what it said and asked for."""

    def __init__(self, browser: Any, path: Path, sheet: Sheet) -> None:
        write_sheet(path, sheet)
        self.sheet = sheet
        self.page = browser.new_page()
        self.page.set_default_timeout(20_000)
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def box(self, one: Exercise) -> Any:
        return self.page.locator(f"[id='{one.id}']")

    def fill(self, one: Exercise, answers: list[str]) -> None:
        if one.kind == "choice":
            self.box(one).locator(f"input[value={answers[0]}]").check()
            return
        for field, answer in zip(self.box(one).locator("input").all(), answers, strict=True):
            field.fill(answer)

    def said(self, one: Exercise) -> str:
        return self.box(one).locator(".said").inner_text()  # type: ignore[no-any-return]

    def score(self) -> str:
        return self.page.locator("#score").inner_text()  # type: ignore[no-any-return]


def of_every_kind() -> Sheet:
    """A short sheet with numbers, a matrix and a choice."""
    for seed in range(100):
        sheet = make_exercises("all", 9, seed)
        if {one.kind for one in sheet.exercises} == {"numbers", "matrix", "choice"}:
            return sheet
    raise AssertionError("no seed has every kind")


def test_right_answers_are_right_in_the_browser(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, tmp_path / "sheet.html", of_every_kind())
    exercises = opened.sheet.exercises
    assert opened.score() == "0 of 9 right"
    assert opened.page.locator(".sum:visible").count() == 0
    assert opened.page.locator("button.show:visible").count() == 0
    for number, one in enumerate(exercises, 1):  # what a screen reader says
        spoken = re.compile(rf"^Question {number} {re.escape(one.text.splitlines()[0])}")
        group = opened.page.get_by_role("group", name=spoken)
        labels = [label for label, _ in one.blanks] if one.kind != "choice" else ["yes", "no"]
        for label in labels:
            assert group.get_by_label(label, exact=True).count() == 1, (number, label)
    for one in exercises[:-1]:
        opened.fill(one, [answer for _, answer in one.blanks])
    opened.page.locator("#check-all").click()
    assert [opened.said(one) for one in exercises] == ["✓ Right"] * 8 + [""]
    assert opened.score() == "8 of 9 right, 8 checked, 8 right at the first try"
    last = exercises[-1]
    opened.fill(last, [answer for _, answer in last.blanks])
    opened.box(last).locator("input").first.press("Enter")
    assert opened.score() == "9 of 9 right, 9 checked, 9 right at the first try"
    opened.page.emulate_media(media="print")
    assert opened.page.locator("button:visible").count() == 0
    assert opened.trouble == []
    assert opened.requests == [(tmp_path / "sheet.html").as_uri()]
    opened.page.close()


def test_wrong_answers_are_wrong_in_the_browser(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, tmp_path / "sheet.html", of_every_kind())
    for one in opened.sheet.exercises:
        truth = [answer for _, answer in one.blanks]
        wrong = [{"yes": "no", "no": "yes"}.get(truth[0], f"{truth[0]}1"), *truth[1:]]
        check, show = opened.box(one).locator(".check"), opened.box(one).locator(".show")
        check.click()
        assert re.search("still empty|first", opened.said(one))
        assert not show.is_visible(), "the sum is for those who tried"
        opened.fill(one, wrong)
        check.click()
        expected = "✗ Wrong" if len(truth) == 1 else f"✗ 1 of {len(truth)} fields are wrong"
        assert opened.said(one) == expected
        if one.kind != "choice":
            marks = [field.get_attribute("aria-invalid") for field in opened.box(one).locator("input").all()]
            assert marks == ["true", *[None] * (len(truth) - 1)]
        show.click()
        assert opened.box(one).locator(".sum").text_content() == one.sum
        opened.fill(one, truth)
        check.click()
        assert "does not count" in opened.said(one)
    assert opened.score() == "0 of 9 right, 9 checked, 0 right at the first try"
    opened.page.once("dialog", lambda dialog: dialog.accept())
    opened.page.locator("#clear").click()
    assert opened.score() == "0 of 9 right"
    assert opened.page.locator(".sum:visible").count() == 0
    values = [field.input_value() for field in opened.page.locator("input[type=text]").all()]
    assert set(values) == {""}
    assert opened.trouble == []
    assert len(opened.requests) == 1
    opened.page.close()


def test_numbers_are_read_as_people_write_them(browser: Any, tmp_path: Path) -> None:
    given = {"whole": 48120, "quarter": 2.75, "third": -3, "small": 0.5, "fraction": 2.75, "more": 1605632}
    typed = ["48,120", "2,75", "\u2212 3", ".5", "11/4", "1 605 632"]
    one = Exercise(id="sizes-0-001", topic="sizes", text="?", answer=given, sum="ä = 1")
    rows = Exercise(id="sizes-0-002", topic="sizes", text="?", answer=((1, 2), (3, 4)), sum="1 -> 2")
    opened = Opened(browser, tmp_path / "x.html", Sheet(topic="sizes", seed=0, exercises=(one, rows)))
    opened.fill(one, typed)
    opened.box(one).locator(".check").click()
    assert opened.said(one) == "✓ Right"
    opened.box(one).locator(".show").click()
    assert opened.box(one).locator(".sum").text_content() == "ä = 1"
    for odd in ("two", "1,2,3", "1e", "--2", "48.120.7"):
        opened.fill(one, [odd, *typed[1:]])
        opened.box(one).locator(".check").click()
        assert opened.said(one) == f"“{odd}” is no number."
    cells = opened.box(rows).locator("input")
    cells.first.press("1")
    for key in ("ArrowRight", "2", "ArrowDown", "4", "ArrowLeft", "ArrowLeft", "3", "Enter"):
        opened.page.keyboard.press(key)
    assert [cell.input_value() for cell in cells.all()] == ["1", "2", "3", "4"]
    assert opened.said(rows) == "✓ Right"
    assert opened.trouble == []
    opened.page.close()
