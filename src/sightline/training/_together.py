"""A run of several processes: the first one sets up, the others follow what it recorded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from sightline.base import ArgumentError, SightlineError, cache_folder, write_json
from sightline.machine import Ranks, group_name, ranks_here, restarts
from sightline.records import RunFolder
from sightline.training._choices import Again, Options
from sightline.training._reporter import Reporter, SilentReporter
from sightline.training._result import TrainingResult
from sightline.training._set_up import Setup, set_up
from sightline.training._set_up_again import set_up_again


@dataclasses.dataclass(frozen=True)
class _Begun:
    """What the first process tells the others."""

    run: Path | None
    resume: bool = False
    """Whether there is a checkpoint to go on from."""
    exit_code: int = 0
    """Of the first process, if it could not set up."""


def set_up_together(ranks: Ranks, options: Options, reporter: Reporter) -> tuple[Setup, bool]:
    """Set up a run on every process; one that `torchrun` has restarted goes on where it was.

    Returns:
        The set-up, and whether there is a checkpoint to go on from.

    Raises:
        SightlineError: on the first process, whatever a user can mend. The others exit without a word.
    """
    setup = None
    begun = _Begun(None)
    if ranks.first:
        try:
            run = _interrupted_run()
            if run is None:
                setup = set_up(options, reporter)
                run = setup.job.run.path
                write_json(_remembered(), {"run": str(run.resolve())})
            begun = _Begun(run, resume=has_checkpoint(run))
        except SightlineError as error:
            ranks.from_first(_Begun(None, exit_code=error.exit_code))
            raise
    begun = ranks.from_first(begun)
    if begun.run is None:
        raise SystemExit(begun.exit_code)
    if setup is None:
        again = Again(
            model=options.model,
            device=options.device if options.device != "auto" else None,
            checkpoint_seconds=options.checkpoint_seconds,
            checkpoint_steps=options.checkpoint_steps,
        )
        setup = set_up_again(begun.run, reporter if ranks.first else SilentReporter(), again)
    if ranks.first and not begun.resume:
        _announce(setup, ranks)
    return setup, begun.resume


def result_of_first(ranks: Ranks, result: TrainingResult | None) -> TrainingResult:
    """The first process's result, on every process; images and answers stay with the first."""
    if ranks.count == 1:
        assert result is not None
        return result
    told = None if result is None else dataclasses.replace(result, evaluations=())
    told = ranks.from_first(told)
    if ranks.first:
        _remembered().unlink(missing_ok=True)
    return result or told


def has_checkpoint(run: Path) -> bool:
    """Whether a run has got as far as its first checkpoint."""
    resume = RunFolder(run).resume
    return resume.is_dir() and any(resume.glob("checkpoint-*"))


def check_alone(what: str) -> None:
    """Refuse what only one process can do.

    Raises:
        ArgumentError: under `torchrun` with several processes.
    """
    if ranks_here().count > 1:
        raise ArgumentError(f"{what} trains one network after another; do so without torchrun")


def _announce(setup: Setup, ranks: Ranks) -> None:
    job = setup.job
    kinds = {type(module).__name__ for module in job.network.modules()}
    own = [word for word, part in (("batch norm's statistics", "BatchNorm"), ("dropout's masks", "Dropout"))
           if any(part in kind for kind in kinds)]  # fmt: skip
    if job.recipe.augmentation.mixes:
        own.append("the images that are mixed")
    differs = f"; {', '.join(own)} are each process's own, so results are not those of one" if own else ""
    setup.log.note(f"{ranks.count} processes share the images of each step, and add up gradients{differs}")


def _remembered() -> Path:
    """Where these processes find their run again after a restart."""
    return cache_folder("processes") / f"{group_name()}.json"


def _interrupted_run() -> Path | None:
    """The run that these processes were at when one of them died."""
    if not restarts() or not _remembered().is_file():
        return None
    run = Path(json.loads(_remembered().read_text())["run"])
    return run if (run / "args.yaml").is_file() else None
