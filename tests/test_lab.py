"""The lab: what holds of every stop of the lecture, and what `sightline lab` does with bad input."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

import sightline.lab.entries
from lab_pages import made
from sightline.base import duration
from sightline.cli import app
from sightline.lab import Entry, Listing, Page, Picture, Plot, Setting, Table, find_entry, run_entry, syllabus
from sightline.lab._page import page_dict, write_entry
from sightline.lab._syllabus import ORDER

ENTRIES = [pytest.param(entry, id=entry.name) for entry in syllabus()]
QUICK = [pytest.param(entry, id=entry.name) for entry in syllabus() if entry.seconds <= 10]
PLAYS = {
    # kind: what it is given, always; and what it may be given
    "slide": ({"input", "kernel"}, {"stride", "pad"}),
    "pool": ({"input", "size"}, {"pool", "stride"}),
    "design": ({"line"}, set()),
    "filter": ({"image", "kernel"}, set()),
    "softmax": ({"logits"}, {"names"}),
}
VERBS = get_command(app).commands  # type: ignore[attr-defined]


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", *arguments])


# Records


def test_every_module_is_in_the_order_of_the_slides() -> None:
    assert [entry.name for entry in syllabus()] == list(ORDER)
    assert len(set(ORDER)) == len(ORDER)
    folder = Path(sightline.lab.entries.__file__).parent
    modules = {path.stem[1:] for path in folder.glob("_*.py")} - {"_init__"}
    assert modules == {name.replace("-", "_") for name in ORDER}


def is_one_sentence(text: str) -> bool:
    ends = re.findall(r"[.?!](?=\s|$)", text)
    return len(ends) == 1 and text[-1] in ".?!" and (text[0].isupper() or text[0].isdigit())


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("How large is 1.5?", True),
        ("No end", False),
        ("Two. Of them.", False),
        ("small first letter.", False),
    ],
)
def test_what_is_one_sentence(text: str, one: bool) -> None:
    assert is_one_sentence(text) is one


@pytest.mark.parametrize("told", [{"seconds": 0}, {"seconds": -1}, {"live_seconds": 301}])
def test_a_record_that_promises_what_cannot_be_is_refused(told: dict[str, float]) -> None:
    assert dataclasses.replace(find_entry("keras"), live_seconds=300).live_seconds == 300
    with pytest.raises(ValueError, match=r"seconds must be above 0, live_seconds at most 300"):
        dataclasses.replace(find_entry("keras"), **told)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_record_is_whole(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.name)
    assert is_one_sentence(entry.about), entry.about
    assert is_one_sentence(entry.see), entry.see
    assert entry.title
    assert entry.slides
    module = sys.modules[f"sightline.lab.entries._{entry.name.replace('-', '_')}"]
    assert module.__doc__
    for one in entry.corrections:
        assert one.says
        assert one.fact.endswith((".", ")")), one.fact
        assert one.evidence
    for play in entry.plays:
        needed, allowed = PLAYS[play.kind]
        assert needed <= play.given.keys() <= needed | allowed, play


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_record_is_json(entry: Entry) -> None:
    read = json.loads(json.dumps(entry.to_dict(), allow_nan=False))
    assert read["command"] == f"sightline lab {entry.name}"
    assert len(read["corrections"]) == len(entry.corrections)
    assert "run" not in read


COMMANDS = [
    pytest.param(command, id=f"{entry.name}: {command}"[:100])
    for entry in syllabus()
    for command in (entry.command, *entry.commands)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command: str) -> None:
    program, verb, *rest = shlex.split(command)
    assert program == "sightline"
    assert verb in VERBS, f"no verb {verb}"
    VERBS[verb].make_context(f"sightline {verb}", rest)


def test_designs_to_play_with_can_be_computed() -> None:
    from sightline.reference import design

    for entry in syllabus():
        for play in entry.plays:
            if play.kind == "design":
                shape, *layers = play.given["line"].split()
                assert design(shape, layers).layers


# Pages


class Seen(HTMLParser):
    """What a page has that could lead out of it, or be left without a name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.unnamed: list[str] = []
        self.svgs = 0
        self.titles: list[str] = []
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self._in_title = tag == "h2"
        if tag == "h2":
            self.titles.append("")
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "action")]
        self.links += [value or "" for name, value in attrs if name in ("href", "xlink:href")]
        if tag == "img" and not given.get("alt"):
            self.unnamed.append("img")
        if tag == "svg":
            self.svgs += 1
            if given.get("role") != "img" or not given.get("aria-label"):
                self.unnamed.append("svg")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.titles[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False


def check_page(page: Page, text: str) -> None:
    """It needs nothing else, says two sentences, and names all that it shows."""
    seen = Seen(text)
    assert all(source.startswith("data:image/png;base64,") for source in seen.sources), seen.sources
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in seen.links), seen.links
    assert not {"script", "link", "iframe", "object", "base"} & set(seen.tags)
    assert not re.search(r"url\((?!['\"]?#)|@import", text)
    outside = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, outside
    assert seen.unnamed == []
    assert all(title.strip() for title in seen.titles)
    assert len(seen.titles) >= len(page.parts)
    assert seen.svgs == sum(isinstance(part, Plot) for part in page.parts)
    assert seen.tags.count("img") == sum(isinstance(part, Picture) for part in page.parts)
    assert not re.search(r"/(?:tmp|root|home|work)/", text), "a path of this machine"
    assert len(page.sentences) == 2
    assert all(sentence.strip().endswith((".", "?")) for sentence in page.sentences)
    assert page.parts
    for part in page.parts:
        assert part.title
        if isinstance(part, Table):
            assert part.rows
            assert {len(row) for row in part.rows} == {len(part.columns)}, part.title


@pytest.mark.parametrize("entry", QUICK)
def test_an_entry_leaves_a_page_and_its_numbers(entry: Entry) -> None:
    page, path = made(entry.name)
    assert path.parts[-2:] == (entry.name, "index.html")
    check_page(page, path.read_text())
    read = json.loads(path.with_name("numbers.json").read_text())
    wanted = json.loads(json.dumps(dict(page.numbers), allow_nan=False))
    assert read == {"entry": entry.name, "live": False, **wanted}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in page.numbers), list(page.numbers)
    json.dumps(page_dict(page), allow_nan=False)


def shown(tmp_path: Path, *parts: Plot | Picture | Table | Listing, says: str = "So it is.") -> str:
    """A page of these parts, written and read."""
    page = Page(sentences=(says, "And so it is, too."), parts=parts, numbers={})
    path = tmp_path / "page" / "index.html"
    write_entry(path, syllabus()[0], page)
    check_page(page, path.read_text())
    return path.read_text()


def test_text_is_escaped(tmp_path: Path) -> None:
    table = Table(title="<b>", columns=("a & b",), rows=[("<script>",)])
    text = shown(tmp_path, table, Listing(title="code", text="if a < b: x()"), says="1 < 2 & 3.")
    for wanted in (
        "&lt;b&gt;",
        "a &amp; b",
        '<td class="text">&lt;script&gt;',
        "a &lt; b: x()",
        "1 &lt; 2 &amp; 3.",
    ):
        assert wanted in text


def test_numbers_stand_right_and_words_left(tmp_path: Path) -> None:
    rows = [("one", 1_234_567, "", 0.123456), ("total", 7, 2, "-")]
    text = shown(tmp_path, Table(title="counts", columns=("name", "n", "m", "share"), rows=rows))
    cells = re.findall(r"<td( class=\"text\s*\")?>([^<]*)", text)
    assert [cell for _, cell in cells] == ["one", "1,234,567", "", "0.1235", "total", "7", "2", "-"]
    assert [bool(is_text) for is_text, _ in cells] == [True, False, False, False] * 2
    assert text.count('<tr class="total">') == 1


def test_wide_tables_get_the_whole_page_and_long_cells_are_broken(tmp_path: Path) -> None:
    narrow = Table(title="narrow", columns=("a", "b"), rows=[("x" * 40, "y" * 40)])
    wide = Table(title="wide", columns=("a", "b", "c"), rows=[("x" * 40, "y" * 40, "z" * 40)])
    long = Table(title="long", columns=("a",), rows=[("word " * 40,)])
    assert 'class="whole"' not in shown(tmp_path, narrow)
    assert 'class="whole"' in shown(tmp_path, wide)
    text = shown(tmp_path, long)
    assert '<td class="text long">' in text
    assert 'class="whole"' not in text


def test_a_picture_is_in_the_page(tmp_path: Path) -> None:
    text = shown(tmp_path, Picture(png=b"\x89PNG", title="dots", alt="two dots", width=64))
    assert 'src="data:image/png;base64,iVBORw=="' in text
    assert 'alt="two dots" style="width: 64px"' in text


# The command


def test_the_syllabus_is_listed() -> None:
    result = lab()
    assert result.exit_code == 0
    places = [
        result.stdout.index(f"{number:2}. {entry.title}  (") for number, entry in enumerate(syllabus(), 1)
    ]
    assert places == sorted(places)
    for entry in syllabus():
        assert f"    {entry.command}  (" in result.stdout
        for one in entry.corrections:
            assert one.fact in result.stdout
    read = json.loads(lab("--json").stdout)
    assert [one["name"] for one in read] == list(ORDER)


@pytest.mark.parametrize("arguments", [["lab"], ["lab", "--json"]])
def test_listing_is_light(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sightline.cli import app\n"
        f"try: app({arguments})\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_entry_is_run(in_tmp: Path) -> None:
    result = lab("sizes")
    assert result.exit_code == 0, result.output
    assert result.stderr == f"Sizes: about {duration(find_entry('sizes').seconds)}\n"
    assert result.stdout.splitlines()[-1] == f"written: {Path('lab/sizes/index.html')}"
    assert "the lecture: 7x7 input, 3x3 filter, stride 3: doesn't fit!" in result.stdout
    read = json.loads(lab("sizes", "--json", "-o", "elsewhere").stdout)
    assert read["entry"] == "sizes"
    assert len(read["sentences"]) == 2
    assert read["numbers"] == {
        key: value
        for key, value in json.loads(Path("elsewhere/sizes/numbers.json").read_text()).items()
        if key not in ("entry", "live")
    }
    assert read["file"] == str(Path("elsewhere/sizes/index.html"))


NEITHER = next(e.name for e in syllabus() if e.live_seconds is None and not e.takes_data)
TAKER = next(e.name for e in syllabus() if e.takes_data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alexnt"], "ENTRY 'alexnt' is not in the syllabus; did you mean alexnet"),
        (["LeNet"], "ENTRY 'LeNet' is not in the syllabus; did you mean lenet"),
        ([NEITHER, "--live"], f"--live: {NEITHER} always computes everything; leave it out"),
        ([NEITHER, "--data", "."], f"--data: {NEITHER} uses no images of yours; entries that do: "),
        ([TAKER, "--data", "no/such"], f"--data {Path('no/such')} does not exist"),
        (["--live"], "--live and --data are of an ENTRY, and none is given"),
        (["--data", "."], "--live and --data are of an ENTRY, and none is given"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, in_tmp: Path) -> None:
    result = lab(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"sightline: {message}"), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(in_tmp.iterdir()) == [], "nothing is left behind"


def test_a_folder_that_cannot_be_made_is_one_line(in_tmp: Path) -> None:
    Path("taken").write_text("a file")
    result = lab("sizes", "-o", "taken")
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("sightline: ")] != []
    assert "Traceback" not in result.output


def test_entries_that_take_images_are_named(in_tmp: Path) -> None:
    takers = ", ".join(entry.name for entry in syllabus() if entry.takes_data)
    assert f"entries that do: {takers}\n" in lab(NEITHER, "--data", ".").stderr
    assert "keras" in takers


def test_a_page_of_an_earlier_run_is_replaced(in_tmp: Path) -> None:
    for _ in range(2):
        run_entry(find_entry("sizes"), Setting(), in_tmp)
    assert sorted(path.name for path in (in_tmp / "sizes").iterdir()) == ["index.html", "numbers.json"]
