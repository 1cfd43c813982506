"""SIGKILL, for real, once of each kind; fifty moments are a benchmark's (`benchmarks/kill_and_resume.py`)."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "kill_and_resume.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_and_resume", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_and_resume"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A run that nobody kills, and how many moments of each kind it has."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:  # the session's cache, and so one plan for all
        patch.setenv("SIGHTLINE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        done = script.start(folder / "run", "train")
    assert done.returncode == 0, done.stderr
    return folder / "run", json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kind", "moment"), [("in a step", 0.6), ("in a validation", 0.5), ("in a save", 0.4)]
)
def test_a_killed_run_ends_with_the_same_bytes(
    script: ModuleType, alone: tuple[Path, dict[str, float]], tmp_path: Path, kind: str, moment: float
) -> None:
    left_alone, counts = alone
    run = tmp_path / "run"
    died = script.start(run, "train", kind, moment * counts[kind])
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = script.start(run, "resume")
    assert resumed.returncode == 0, resumed.stderr
    assert script.differences(left_alone, run) == []
    assert list(run.rglob(".partial*")) == []
