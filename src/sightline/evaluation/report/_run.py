"""The report of a run.

What people read is here in percent; each number carries its fraction beside it in a `<data value>`. The
page has no script and no date, so that the same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightline.base import LEVELS, Finding
from sightline.data import PARTS, Split
from sightline.evaluation._evaluation import Evaluation
from sightline.evaluation._scores import ECE_BINS
from sightline.evaluation.report._figures import curves
from sightline.evaluation.report._judged import PART_WORDS, protocol
from sightline.evaluation.report._methods import methods
from sightline.evaluation.report._page import write_page
from sightline.evaluation.report._pictures import mistakes, samples
from sightline.evaluation.report._recorded import read_facts
from sightline.evaluation.report._tables import (
    calibration,
    class_table,
    confusion,
    gather_findings,
    placed,
    split_table,
)
from sightline.records import RunFolder


def write_report(
    path: Path,
    *,
    run: RunFolder,
    split: Split,
    evaluations: Sequence[Evaluation],
    findings: Sequence[Finding] = (),
) -> None:
    """Write the report of a finished classification run: one HTML file, below 2 MB.

    Args:
        path: The file to write.
        run: The run; its `args.yaml` and `results.csv` are read.
        split: What each image was for.
        evaluations: The first is the headline, others are shown beside it.
        findings: Shown with those of the split and of the evaluations.

    Raises:
        ValueError: if there is no evaluation.
        DataError: if `args.yaml` cannot be read.
        StorageError: if the disk refuses; an older report is untouched.
    """
    if not evaluations:
        raise ValueError("evaluations is empty; a report needs at least one")
    facts, headline = read_facts(run, split, evaluations), evaluations[0]
    noticed = [finding for e in evaluations for finding in (*e.findings, *e.images.findings)]
    all_findings = gather_findings(findings, split.findings, noticed)
    write_page(
        path,
        "run.html.j2",
        run=run.path.as_posix(),
        args=facts.args,
        headline=headline,
        part=PART_WORDS.get(headline.part, headline.part),
        protocol=protocol(headline, facts),
        training=facts.training(),
        evaluations=evaluations,
        scale=placed([e.scores for e in evaluations]),
        curves=curves(facts),
        confusion=confusion(headline),
        classes=class_table(headline),
        calibration=calibration(headline),
        samples=samples(headline),
        mistakes=mistakes(headline),
        methods=methods([facts]),
        split=split,
        split_table=split_table(
            headline.images, [(part, split.indices(part)) for part in PARTS], own=facts.own_images
        ),
        findings=all_findings,
        counts={level: sum(f.level == level for f in all_findings) for level in LEVELS},
        left_out=facts.args["data"]["left_out"] or list(headline.images.left_out),
        bins=ECE_BINS,
    )
