"""The documentation: commands parse, the short ones run, Python compiles, links lead somewhere, no page is
missing, and options, fields and figures are those of the code."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import sightline
from sightline.cli import app
from sightline.imaging import digits
from sightline.training import TrainingResult, train

SOURCE = Path(sightline.__file__).parent
PROJECT = SOURCE.parent.parent
DOCS = PROJECT / "docs"
PAGES = sorted([PROJECT / "README.md", *DOCS.rglob("*.md")])
PACKAGES = sorted(".".join(p.parent.relative_to(SOURCE.parent).parts) for p in SOURCE.rglob("__init__.py"))
ROOMS = sorted(name.split(".")[1] for name in PACKAGES if name.count(".") == 1)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(r"\s\[(?:-|[A-Z])[^\]]*\](?:\.\.\.)?")
"""`[DATA]` and `[--views]` in a line that tells all that a verb takes."""
VERBS = get_command(app).commands  # type: ignore[attr-defined]


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `sightline ...` a page shows for a shell, however it is begun."""
    for block in (*blocks(page, "sh", "console"), *_indented(page.read_text())):
        for line in block.replace("\\\n", " ").splitlines():
            text = OPTIONAL.sub("", line.strip().removeprefix("$ "))
            text = re.sub(r"\$\w+", "1", text)  # a variable of the shell
            if not re.search(r"\bsightline\b", text):
                continue
            lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(lexer)
            for k, word in enumerate(words):
                begins = word == "sightline" or word.endswith("/sightline")
                if begins and (k == 0 or words[k - 1] in ("|", "&&", ";", "-m")):
                    rest = words[k + 1 :]
                    ends = [n for n, one in enumerate(rest) if re.fullmatch(r"[|&;<>]+", one)]
                    yield rest[: ends[0]] if ends else rest


def _indented(text: str) -> list[str]:
    """Blocks by four spaces, as older pages have them."""
    return re.findall(r"(?:^    sightline .*\n)+", FENCE.sub("", text), re.MULTILINE)


SHOWN = [
    pytest.param(arguments, id=f"{page.relative_to(PROJECT)}: {' '.join(arguments)}"[:120])
    for page in PAGES
    for arguments in commands(page)
]
"""Every command of the documentation."""


def test_there_are_commands_to_test() -> None:
    assert len(SHOWN) > 150


@pytest.mark.parametrize("arguments", SHOWN)
def test_every_command_parses(arguments: list[str]) -> None:
    """As typed: an unknown verb or option, a missing argument, or a number that is none is an error."""
    if arguments[:1] in (["--help"], ["--version"]):
        return
    verb, *rest = arguments
    assert verb in VERBS, f"no verb {verb}"
    VERBS[verb].make_context(f"sightline {verb}", rest)


def _is_short(arguments: list[str]) -> bool:
    """Verbs that need neither PyTorch nor more than a second."""
    verb, *rest = arguments
    if any(word.isupper() and word.isalpha() and len(word) > 2 for word in rest):  # a placeholder
        return False
    files = [word for word in rest if re.fullmatch(r"photo\.jpg|.*/", word)]
    if verb in ("design", "convolve", "filter", "exercise"):
        return not files
    if verb == "models":
        return "--plot" not in rest
    if verb == "lab":
        return not rest
    if verb == "fetch":
        return rest == ["--list"]
    return verb == "summary" and rest[:1] == ["lenet5"]


SHORT = {tuple(p.values[0]): p for p in SHOWN if _is_short(p.values[0])}
"""Those that are run, each once however often it is shown."""


@pytest.mark.parametrize("arguments", SHORT.values())
def test_short_commands_run(arguments: list[str], in_tmp: Path) -> None:
    result = CliRunner().invoke(app, arguments)
    expected = (0, 1) if "--strict" in arguments else (0,)
    assert result.exit_code in expected, result.output


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "--help" in result.output


# Pages


def test_every_verb_has_its_page_and_its_options() -> None:
    pages = {path.stem for path in (DOCS / "verbs").glob("*.md")} - {"index"}
    assert pages == set(VERBS)
    for verb in VERBS:
        text = (DOCS / "verbs" / f"{verb}.md").read_text()
        assert f"<!-- options: {verb} -->" in text, f"{verb} has no table of options"
        assert text.startswith(f"# {verb}\n")
        assert "Exit codes:" in text
        assert f"({verb}.md)" in (DOCS / "verbs" / "index.md").read_text()


def test_every_package_has_its_reference_and_every_room_its_page() -> None:
    marks = re.findall(
        r"^<!-- names: ([\w.]+) -->$",
        "\n".join(path.read_text() for path in (DOCS / "reference").glob("*.md")),
        re.MULTILINE,
    )
    public = [name for name in PACKAGES if getattr(importlib.import_module(name), "__all__", [])]
    assert sorted(marks) == sorted(public)
    assert {path.stem for path in (DOCS / "how").glob("*.md")} - {"index"} == set(ROOMS)
    assert {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index"} == set(ROOMS)


def _nav(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from _nav(child)


def test_the_nav_names_every_page_once() -> None:
    nav = list(_nav(yaml.safe_load((PROJECT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(nav) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def _anchors(page: Path) -> set[str]:
    """Of headings, as Python-Markdown's toc names them, and GitHub where there are only words."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", head.replace("`", "")).strip().lower() for head in heads]
    return {re.sub(r"[-\s]+", "-", head) for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_links_and_images_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert not target.startswith("http"), f"{page.name} leads away: {target}"
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.is_file(), f"{page.name} leads to {target}"
        if anchor:
            assert anchor in _anchors(there), f"{page.name} leads to {target}"


# What is taken from the code


def _hooks() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOKS = _hooks()


@pytest.mark.parametrize("verb", VERBS)
def test_options_are_those_of_the_command(verb: str) -> None:
    table = HOOKS.options(verb)
    for parameter in VERBS[verb].params:
        if parameter.param_type_name == "option":
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert re.search(rf"`[^`]*(?<![\w-]){option}(?![\w-])[^`]*`", table), option
        assert parameter.help.split("`")[0][:20] in table.replace("\\", "")


def test_names_are_the_public_ones() -> None:
    text = HOOKS.fill("# Ground floor\n\n<!-- names: sightline.base -->\n")
    base = importlib.import_module("sightline.base")
    for name in base.__all__:
        assert f"`{name}`" in text, name
    assert "::: sightline.base.Draws\n" in text
    assert "::: sightline.base.INK" not in text, "a constant has no page of its own"
    assert "<!--" not in text


def test_a_page_that_asks_another_host_is_refused() -> None:
    page = types.SimpleNamespace(file=types.SimpleNamespace(src_path="a.md"))
    kept = '<a href="https://example.org">a link</a> <script src="../a.js"></script>'
    assert HOOKS.on_post_page(kept, page) == kept
    for asks in (
        '<script async src="https://example.org/a.js">',
        '<link rel="stylesheet" href="//example.org/a.css">',
        "<img alt='x' src='http://example.org/a.png'>",
        "<style>@import url(https://example.org/a.css)</style>",
    ):
        with pytest.raises(ValueError, match=r"a\.md asks another host"):
            HOOKS.on_post_page(asks, page)


def _told(verb: str) -> list[str]:
    """The fields of the table under JSON on a verb's page."""
    text = (DOCS / "verbs" / f"{verb}.md").read_text().split("## JSON")[1].split("\n\nFiles")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A network that was hardly trained, on a few real digits."""
    folder = tmp_path_factory.mktemp("docs")
    images, targets = digits()
    for digit in (0, 1):
        (folder / "images" / str(digit)).mkdir(parents=True)
        for k in np.flatnonzero(targets == digit)[:14]:
            Image.fromarray(images[k, 0]).save(folder / "images" / str(digit) / f"{k}.png")
    return train(folder / "images", model="mlp", epochs=1, precision="fp32", output=folder / "run")


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("design", ["32x32x3", "conv:10,k5", "fc:10"]),
        ("convolve", ["lecture-5x5"]),
        ("filter", ["digit:0", "sharpen"]),
        ("models", ["lenet5"]),
        ("summary", ["lenet5"]),
        ("compare", ["lenet5", "mlp", "--no-measure"]),
        ("check", ["lenet5", "--batch-size", "0"]),
        ("lab", ["sizes"]),
        ("exercise", ["sizes", "-n", "1"]),
        ("evaluate", ["RUN"]),
        ("predict", ["RUN", "digit.png"]),
    ],
)
def test_json_fields_are_those_of_the_page(
    verb: str, arguments: list[str], trained: TrainingResult, in_tmp: Path
) -> None:
    if "digit.png" in arguments:
        CliRunner().invoke(app, ["filter", "digit:3", "identity", "-o", "digit.png"])
    given = [str(trained.run) if word == "RUN" else word for word in arguments]
    result = CliRunner().invoke(app, [verb, *given, "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    if isinstance(content, list):
        content = content[0]
    assert set(_told(verb)) == set(content)


def test_json_of_train_is_that_of_its_page(trained: TrainingResult) -> None:
    assert set(_told("train")) == set(trained.to_dict())


def test_figures_of_the_peers_are_those_of_the_benchmarks() -> None:
    results = (PROJECT / "benchmarks" / "RESULTS.md").read_text()
    text = (DOCS / "peers.md").read_text().split("## What peers")[0]
    figures = [
        n for row in re.findall(r"^\|.*$", text, re.MULTILINE) for n in re.findall(r"\d[\d.,]*\d", row)
    ]
    assert len(figures) > 40
    assert [n for n in figures if n not in results] == []
    scripts = re.findall(r"python benchmarks/(\w+\.py)", text)
    assert len(scripts) > 10
    assert [s for s in scripts if not (PROJECT / "benchmarks" / s).is_file()] == []


# Python


PYTHON = [
    pytest.param(block, id=f"{page.relative_to(PROJECT)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("block", PYTHON)
def test_python_compiles_and_what_it_imports_exists(block: str) -> None:
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sightline"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "sightline"
        ):
            assert hasattr(sightline, node.attr), f"sightline has no {node.attr}"


RUNNABLE = [
    pytest.param(found, id=f"{page.relative_to(PROJECT)}-{number}")
    for page in PAGES
    for number, found in enumerate(
        re.findall(r"^<!-- runs -->\n```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]


def test_some_python_is_run() -> None:
    assert len(RUNNABLE) >= 3


@pytest.mark.parametrize("block", RUNNABLE)
def test_python_that_is_marked_runs(block: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_page")
    monkeypatch.setitem(sys.modules, "a_page", module)
    exec(compile(block, "a page", "exec"), module.__dict__)
