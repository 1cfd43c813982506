"""The house: order of rooms, exported names, types, lint, lightness, size, version."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sightline

SOURCE = Path(sightline.__file__).parent
PROJECT = SOURCE.parent.parent

# Top to bottom; rooms on one line may not import each other.
FLOORS = (
    {"cli"},
    {"studio"},
    {"lab"},
    {"training", "views", "shipping"},
    {"evaluation"},
    {"inference"},
    {"records"},
    {"zoo"},
    {"tasks"},
    {"data"},
    {"imaging", "blueprint"},
    {"reference", "machine", "nn"},
    {"base"},
)
DEPTH = {room: depth for depth, floor in enumerate(FLOORS) for room in floor}
PACKAGES = sorted(p.parent for p in SOURCE.rglob("__init__.py"))


def imported_rooms(path: Path) -> set[str]:
    """Rooms a file imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module or ""]
        rooms |= {
            name.split(".")[1] for name in names if name.startswith("sightline.") and "._" not in name[:11]
        }
    return {room for room in rooms if not room.startswith("_")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_below_its_own(path: Path) -> None:
    relative = path.relative_to(SOURCE)
    if len(relative.parts) == 1:
        return  # the front door
    room = relative.parts[0]
    for other in imported_rooms(path) - {room}:
        assert DEPTH[other] > DEPTH[room], f"{relative} ({room}) imports {other}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_other_rooms_are_entered_by_the_door(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0]
    for name in re.findall(r"^\s*(?:from|import) sightline\.(\w+)\.\S*_\w+", path.read_text(), re.MULTILINE):
        assert name == room, f"{path} imports a private module of {name}"


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda p: str(p.relative_to(SOURCE.parent)))
def test_exported_names_exist_and_are_the_typed_ones(folder: Path) -> None:
    package = ".".join(folder.relative_to(SOURCE.parent).parts)
    module = importlib.import_module(package)
    tree = ast.parse((folder / "__init__.py").read_text())
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert set(module.__all__) == typed, f"{package}: the typed imports and the lazy table differ"
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_are_private_and_short(path: Path) -> None:
    assert path.name.startswith("_"), f"{path} is a public module"
    lines = path.read_text().splitlines()
    assert len(lines) <= 600 or "600 lines" in "\n".join(lines[:12])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sightline.base' has no attribute 'nothing'"):
        importlib.import_module("sightline.base").nothing  # noqa: B018


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_is_light() -> None:
    heavy = ["torch", "numpy", "pydantic", "typer", "rich", "PIL", "sklearn", "matplotlib", "yaml"]
    loaded = run_python(f"import sys, sightline; print([m for m in {heavy} if m in sys.modules])")
    assert loaded == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]])
def test_help_does_not_load_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sightline.cli import app\n"
        f"try: app({arguments})\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == "False False"


def test_reading_pixels_does_not_load_torch() -> None:
    code = (
        "import sys, sightline.imaging as i; i.read_record, i.frame, i.digits; print('torch' in sys.modules)"
    )
    assert run_python(code) == "False"


@pytest.mark.timeout(900)  # of all files, for the first time, beside other tests
def test_types_are_strict() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_content(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_changelog_begins_with_this_version() -> None:
    newest = re.search(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == sightline.__version__


def test_no_telemetry_is_imported() -> None:
    code = (
        "import sys, sightline; sightline.train, sightline.evaluate, sightline.load_predictor\n"
        "print([m for m in sys.modules if 'telemetry' in m])"
    )
    assert run_python(code) == "[]"


def test_the_network_is_blocked_here() -> None:
    import socket

    from conftest import NetworkTouchedError

    with pytest.raises(NetworkTouchedError):
        socket.create_connection(("192.0.2.1", 9))
