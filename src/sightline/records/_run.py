"""The run folder: one place for everything a training run leaves."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sightline.base import (
    ArgumentError,
    DataError,
    link_or_copy,
    storage_errors,
    sweep_partials,
    write_json,
    write_text,
)

_FILES = (
    "args.yaml",
    "split.csv",
    "before.csv",
    "results.csv",
    "last.safetensors",
    "best.safetensors",
    "report.html",
    "log.txt",
)
_NAMES = (*_FILES, "resume", "snapshots")
_SECTIONS = {"sightline", "data", "model", "preprocessing", "recipe", "seed", "split_seed", "plan"}


def new_folder(task: str, name: str) -> Path:
    """Make `runs/<task>/<name>`, or with the first number that is free behind it.

    Raises:
        StorageError: if the disk refuses.
    """
    base = Path("runs") / task
    with storage_errors(base):
        base.mkdir(parents=True, exist_ok=True)
        for candidate in itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2))):
            with contextlib.suppress(FileExistsError):
                (base / candidate).mkdir()
                return base / candidate
    raise AssertionError("there is always a number that is free")


class RunFolder:
    """The files of a run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.args, self.split, self.before, self.results, self.last, self.best, self.report, self.log = (
            path / name for name in _FILES
        )
        self.resume = path / "resume"
        self.snapshots = path / "snapshots"

    @classmethod
    def create(cls, task: str, name: str, output: Path | None = None, exist_ok: bool = False) -> RunFolder:
        """Make a new run folder, or choose one whose run is to be replaced (`clear`).

        Args:
            task: The task; the folder is `runs/<task>/<name>[-N]` where `output` is None.
            name: What is trained.
            output: Exactly this folder instead.
            exist_ok: Whether `output` may exist: a run, or a folder that has nothing of a run's names.

        Raises:
            ArgumentError: if `output` exists, and may not.
            StorageError: if the disk refuses.
        """
        if output is None:
            return cls(new_folder(task, name))
        if output.exists() and not exist_ok:
            raise ArgumentError(f"--output {output} exists; choose another, or allow it with --exist-ok")
        run = cls(output)
        if output.exists() and not run.is_ours() and any((output / name).exists() for name in _NAMES):
            raise ArgumentError(f"--output {output} is no run of ours, and --exist-ok replaces only a run")
        with storage_errors(output):
            output.mkdir(parents=True, exist_ok=True)
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run folder that exists.

        Raises:
            DataError: if it is none.
        """
        if not (path / "args.yaml").is_file():
            if SeriesFolder.is_one(path):
                raise DataError(
                    f"{path} is a series of runs; name one of them: {path / SeriesFolder(path).names()[0]}"
                )
            raise DataError(f"{path} is not a run folder: it has no args.yaml")
        return cls(path)

    def is_ours(self) -> bool:
        """Whether a run of Sightline is in the folder."""
        try:
            self.read_args()
        except DataError:
            return False
        return True

    def clear(self) -> None:
        """Remove the run that is in the folder, and nothing else.

        Raises:
            StorageError: if the disk refuses.
        """
        with storage_errors(self.path):
            for name in _NAMES:
                path = self.path / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def write_args(self, args: Mapping[str, Any]) -> None:
        """Write `args.yaml`."""
        write_text(self.args, yaml.safe_dump(dict(args), sort_keys=False, allow_unicode=True, width=100))

    def read_args(self) -> dict[str, Any]:
        """Read `args.yaml`.

        Raises:
            DataError: if it is broken.
        """
        try:
            args = yaml.safe_load(self.args.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"{self.args} cannot be read: {said}") from error
        if not isinstance(args, dict) or not args.keys() >= _SECTIONS:
            raise DataError(f"{self.args} is not what a run of Sightline writes")
        return args

    def write_results(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `results.csv`, one row an epoch, one header."""
        text = io.StringIO()
        if rows:
            columns = dict.fromkeys(name for row in rows for name in row)
            writer = csv.DictWriter(text, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_text(self.results, text.getvalue())

    def read_results(self) -> list[dict[str, str]]:
        """Read `results.csv`; empty if there is none yet."""
        if not self.results.exists():
            return []
        with self.results.open(newline="") as file:
            return list(csv.DictReader(file))

    def cut_back(self, checkpoint: Path, epochs: int) -> None:
        """Bring the folder's files back to what they were when a checkpoint was saved.

        Args:
            checkpoint: The checkpoint's directory, with the files kept in it.
            epochs: How many epochs it has finished.
        """
        sweep_partials(self.path)
        sweep_partials(self.snapshots)
        with storage_errors(self.path):
            for path in (self.results, self.last, self.best):
                path.unlink(missing_ok=True)
                kept = checkpoint / path.name
                if kept.exists():
                    link_or_copy(kept, path)
            for snapshot in self.snapshots.glob("epoch-*.safetensors"):
                if int(snapshot.stem.removeprefix("epoch-")) > epochs:
                    snapshot.unlink()


class SeriesFolder:
    """The folder of several runs that are one experiment: folds, or repeats with other seeds.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record, self.summary, self.report = (
            path / name for name in ("series.json", "summary.json", "report.html")
        )

    @classmethod
    def create(cls, task: str, name: str, output: Path | None = None, exist_ok: bool = False) -> SeriesFolder:
        """Make a new folder; arguments and errors as `RunFolder.create`."""
        if output is None:
            return cls(new_folder(task, name))
        if output.exists() and not exist_ok:
            raise ArgumentError(f"--output {output} exists; choose another, or allow it with --exist-ok")
        if output.exists() and not cls.is_one(output) and any(output.iterdir()):
            raise ArgumentError(
                f"--output {output} is no series of ours, and --exist-ok replaces only a series"
            )
        with storage_errors(output):
            output.mkdir(parents=True, exist_ok=True)
        return cls(output)

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """Whether a folder holds a series."""
        return cls(path).record.is_file()

    def begin(self, kind: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
        """Remove the series that is in the folder, if one is, and write down what is to be done.

        Args:
            kind: `folds` or `repeats`.
            names: Of the runs, in order.
            options: What the user chose.
        """
        if self.is_one(self.path):
            with storage_errors(self.path):
                for name in self.names():
                    shutil.rmtree(self.path / name, ignore_errors=True)
                for path in (self.summary, self.report):
                    path.unlink(missing_ok=True)
        write_json(self.record, {"kind": kind, "names": list(names), "options": dict(options)})

    def read(self) -> dict[str, Any]:
        """What `begin` wrote: kind, names, options.

        Raises:
            DataError: if it cannot be read as that.
        """
        try:
            content = json.loads(self.record.read_text())
            known = content.keys() >= {"kind", "names", "options"}
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(f"{self.record} cannot be read: {error}") from error
        if not known or content["kind"] not in ("folds", "repeats"):
            raise DataError(f"{self.record} is not what a series of Sightline writes")
        return content  # type: ignore[no-any-return]

    def names(self) -> list[str]:
        """The runs' names, in order; errors as `read`."""
        return [str(name) for name in self.read()["names"]]
