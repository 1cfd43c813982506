"""The report of a series: folds, each tested on its own images, or repeats on the same ones.

It says what the runs came to together; what each did is in its own report, which the page links to.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sightline.base import LEVELS, Finding
from sightline.data import PARTS, Split
from sightline.evaluation._evaluation import Evaluation
from sightline.evaluation._scores import ECE_BINS
from sightline.evaluation.report._figures import series_curves
from sightline.evaluation.report._judged import PART_WORDS, protocol
from sightline.evaluation.report._methods import methods
from sightline.evaluation.report._page import write_page
from sightline.evaluation.report._pictures import mistakes
from sightline.evaluation.report._recorded import (
    SECTIONS,
    Facts,
    Recorded,
    Series,
    each_judged_once,
    read_facts,
)
from sightline.evaluation.report._tables import (
    calibration,
    class_table,
    confusion,
    gather_findings,
    placed,
    split_table,
)
from sightline.records import RunFolder


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SeriesMember:
    """One run of a series."""

    name: str
    """Of its folder, beside the series' report: `fold-1`."""
    run: RunFolder
    split: Split
    evaluations: tuple[Evaluation, ...]
    """The headline first."""
    epochs: int
    """Trained."""
    seconds: float
    """Of training."""


def write_series_report(
    path: Path,
    *,
    kind: Literal["folds", "repeats"],
    members: Sequence[SeriesMember],
    pooled: Evaluation | None,
    value: float,
    interval: tuple[float, float],
    split: Split | None = None,
    findings: Sequence[Finding] = (),
) -> None:
    """Write the report of several runs of one recipe: one HTML file, below 2 MB.

    Args:
        path: The file to write; the members' folders lie beside it.
        kind: `folds`, each tested on its own images; `repeats`, on the same ones with other seeds.
        members: The runs.
        pooled: Of folds, the answers of all together. Without it, and of repeats, the page has no matrix of
            its own.
        value: The accuracy: of folds that of the pooled answers, of repeats the mean.
        interval: Its 95 % interval: of folds Wilson's, of repeats Student's t of the mean.
        split: What each image was for, where all members have one split; the first member's where it is None
            and the kind is `repeats`.
        findings: Shown with those of the members, each once.

    Raises:
        ValueError: if there is no member, or one without an evaluation.
        DataError: if a member's `args.yaml` cannot be read.
        StorageError: if the disk refuses; an older report is untouched.
    """
    if not members or not all(member.evaluations for member in members):
        raise ValueError("members must be one run or more, each with an evaluation")
    runs = [read_facts(member.run, member.split, member.evaluations) for member in members]
    series = Series(kind=kind, value=value, interval=interval, pooled=pooled)
    judged = pooled if kind == "folds" else None
    shared, differing = _shared([run.args for run in runs])
    noticed = [f for m in members for e in m.evaluations for f in (*e.findings, *e.images.findings)]
    noticed += [finding for member in members for finding in member.split.findings]
    all_findings = gather_findings(findings, noticed)
    scores = [run.headline.scores for run in runs]
    write_page(
        path,
        "series.html.j2",
        kind=kind,
        folder=path.parent.as_posix(),
        args=shared,
        first=runs[0],
        headline=runs[0].headline,
        value=value,
        interval=interval,
        deviation=series.deviation(runs),
        means=_means(runs),
        judged=judged,
        once=each_judged_once(runs) and judged is not None and judged.scores.n == len(judged.images),
        protocol=protocol(runs[0].headline, runs[0]),
        part=PART_WORDS.get(runs[0].headline.part, runs[0].headline.part),
        members=[_row(member, run) for member, run in zip(members, runs, strict=True)],
        scale=placed(scores),
        curves=series_curves([member.name for member in members], runs),
        confusion=confusion(judged) if judged else None,
        classes=class_table(judged) if judged else None,
        calibration=calibration(judged, [run.headline for run in runs]) if judged else None,
        mistakes=mistakes(judged) if judged else None,
        methods=methods(runs, series),
        split_table=_split_table(kind, members, runs, split),
        findings=all_findings,
        counts={level: sum(f.level == level for f in all_findings) for level in LEVELS},
        left_out=runs[0].args["data"]["left_out"] or [],
        differing=differing,
        bins=ECE_BINS,
    )


def _row(member: SeriesMember, run: Facts) -> dict[str, Any]:
    return {
        "name": member.name,
        "link": f"{quote(member.name)}/report.html",
        "seed": run.args["seed"],
        "evaluation": run.headline,
        "scores": run.headline.scores,
        "kept": run.kept,
        "epochs": member.epochs,
        "seconds": member.seconds,
    }


def _means(runs: Sequence[Facts]) -> dict[str, float | None]:
    """Of the members' scores, each run counted once."""
    scores = [run.headline.scores for run in runs]
    areas = [s.auroc for s in scores if s.auroc is not None]
    return {
        "top1": statistics.fmean(s.top1 for s in scores),
        "balanced_accuracy": statistics.fmean(s.balanced_accuracy for s in scores),
        "macro_f1": statistics.fmean(s.macro_f1 for s in scores),
        "auroc": statistics.fmean(areas) if len(areas) == len(scores) else None,
        "ece": statistics.fmean(s.ece for s in scores),
        "loss": statistics.fmean(s.loss for s in scores),
    }


def _split_table(
    kind: str, members: Sequence[SeriesMember], runs: Sequence[Facts], split: Split | None
) -> dict[str, Any]:
    """Of folds the images each was tested on, of repeats those of each part."""
    images = runs[0].headline.images
    if kind == "folds":
        columns = [(member.name, member.split.indices("test")) for member in members]
    else:
        one = split or members[0].split
        columns = [(part, one.indices(part)) for part in PARTS]
    return split_table(images, columns, own=all(run.own_images for run in runs))


def _shared(every: Sequence[Recorded]) -> tuple[Recorded, list[str]]:
    """What all runs recorded alike, and the names of what they did not."""
    first, differing = every[0], []
    shared = Recorded({key: value for key, value in first.items() if key not in SECTIONS})
    for section in SECTIONS:
        shared[section] = Recorded()
        for key, value in first[section].items():
            if all(args[section][key] == value for args in every):
                shared[section][key] = value
            else:
                differing.append(f"{section}.{key}")
    for key in ("seed", "split_seed", "plan_origin"):
        if any(args[key] != first[key] for args in every):
            shared[key] = None
            differing.append(key)
    return shared, differing
