"""Judging a trained network on images it was not trained on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, DataError, Finding, ModelFileError
from sightline.data import (
    BatchSource,
    ImageSet,
    Progress,
    open_batches,
    open_images,
    recorded_split,
    split_images,
)
from sightline.evaluation._scores import ClassificationScores, score
from sightline.inference import Predictor, ResolvedModel, resolve
from sightline.machine import Plan, choose_device, usable_cores
from sightline.records import ArchitectureReference, ModelHeader, RunFolder
from sightline.tasks.classification import Answers, ClassificationMetric

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_CENTRED = {"mean": [0.5], "std": [0.5]}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a network scored on one part of a set."""

    images: ImageSet
    indices: NDArray[np.int64]
    """The images judged."""
    part: str
    """`test`, `val`, or `all` of a set that has no parts."""
    selected_on: bool
    """Whether the network was chosen by its score on these images, which is then too good."""
    answers: Answers
    scores: ClassificationScores
    findings: tuple[Finding, ...] = ()

    def describe(self) -> str:
        """The headline: the score, its interval, and what it was measured on."""
        low, high = (100 * bound for bound in self.scores.interval)
        selected = ", selected on" if self.selected_on else ""
        return (
            f"accuracy {100 * self.scores.top1:.2f} % (95 % interval {low:.2f} to {high:.2f}) "
            f"on {self.scores.n} images of {self.images.source} ({self.part}{selected})"
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `evaluate`."""
        return self.scores.to_dict() | {
            "data": self.images.source,
            "part": self.part,
            "selected_on": self.selected_on,
            "classes": list(self.images.classes),
            "confusion": self.scores.confusion.tolist(),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def evaluate(
    model: str,
    data: str | None = None,
    *,
    allow_unreadable: bool = False,
    device: str = "auto",
    batch_size: int = 128,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a trained network, in fp32.

    The test split is used if there is one, else the validation split, which is then labelled as selected
    on. Images that the network is known to have been trained on are never among those judged.

    Args:
        model: A run folder, a model file, or `NAME@FILE`.
        data: What to judge it on; of a run, what it was trained on by default.
        allow_unreadable: Leave unreadable files out instead of refusing.
        device: Where to compute.
        batch_size: Images at a time.
        progress: Told how far it is.

    Raises:
        ArgumentError: if the model names nothing, or there is no data.
        DataError: if the images cannot be used, or have a class the network does not know.
        ModelFileError: if the model cannot be read.
    """
    resolved = resolve(model)
    run = _run_of(resolved)
    if data is None:
        if run is None:
            raise ArgumentError(f"{model} does not say which images it is of; give DATA")
        data = str(run.read_args()["data"]["source"])
    images = open_images(data, training=False, allow_unreadable=allow_unreadable, progress=progress)
    findings: list[Finding] = list(images.findings)
    header = resolved.header
    if header is None:
        header = _assumed_header(resolved, images)
        findings.append(_assumption(resolved, header))
    images = images.with_classes(header.classes)
    part, indices, unsure = _choose(images, header, run)
    findings += unsure
    plan = Plan(device=str(choose_device(device)), threads=usable_cores())
    network = resolved.build(
        num_classes=len(header.classes),
        in_channels=header.architecture.in_channels,
        input_size=header.architecture.input_size,
    )
    return judge(
        Predictor(network, header, plan), images, indices, part, findings=tuple(findings),
        batch_size=batch_size, progress=progress,
    )  # fmt: skip


def judge(
    predictor: Predictor,
    images: ImageSet,
    indices: NDArray[np.int64],
    part: str,
    *,
    source: BatchSource | None = None,
    findings: tuple[Finding, ...] = (),
    batch_size: int = 128,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a predictor on some images of a set.

    Args:
        predictor: The network, with its preprocessing.
        images: The set; its classes are the network's.
        indices: Which images.
        part: What they are called.
        source: The set's batches on the predictor's canvas, if they are open already.
        findings: What was noticed on the way.
        batch_size: Images at a time.
        progress: Told how far it is.
    """
    source = source or open_batches(images, predictor.canvas, progress=progress)
    metric = ClassificationMetric()
    predictor.measure(
        source, indices, metric, batch_size=batch_size,
        each=lambda done: progress("judging", done, len(indices)) if progress else None,
    )  # fmt: skip
    answers = metric.answers()
    return Evaluation(
        images=images,
        indices=indices,
        part=part,
        selected_on=part == "val",
        answers=answers,
        scores=score(answers),
        findings=findings,
    )


def _run_of(resolved: ResolvedModel) -> RunFolder | None:
    """The run folder that a model's file lies in."""
    if resolved.path is None or not (resolved.path.parent / "args.yaml").is_file():
        return None
    return RunFolder.open(resolved.path.parent)


def _choose(
    images: ImageSet, header: ModelHeader, run: RunFolder | None
) -> tuple[str, NDArray[np.int64], list[Finding]]:
    """Which images to judge on: never those trained on, as far as that is known."""
    everything = np.arange(len(images))
    if run is not None and run.split.exists():
        recorded = recorded_split(run.split)
        part_of = {digest: part for part, digest in recorded.values()}
        parts = np.array([part_of.get(digest, "") for digest in images.digests])
        for part in ("test", "val"):
            if (parts == part).any():
                return part, everything[parts == part], []
        new = everything[parts == ""]
        if len(new) == 0:
            raise DataError(f"every image of {images.source} was trained on; none is left to judge by")
        return _own_part(
            images, new, [] if len(new) == len(images) else [_seen(images, len(images) - len(new))]
        )
    if header.split is not None:
        split = split_images(images, header.split.seed)
        if split.digest(images) == header.split.digest:
            part = "test" if len(split.indices("test")) else "val"
            return part, split.indices("test" if part == "test" else "val"), []
    return _own_part(images, everything, [_unknown(images)])


def _own_part(
    images: ImageSet, among: NDArray[np.int64], findings: list[Finding]
) -> tuple[str, NDArray[np.int64], list[Finding]]:
    """The test images of a folder with parts; else its validation images; else all."""
    parts = np.array([images.parts[i] or "" for i in among])
    for part in ("test", "val"):
        if (parts == part).any():
            return part, among[parts == part], findings
    return "all", among, findings


def _seen(images: ImageSet, count: int) -> Finding:
    return Finding(
        level="warning",
        where=images.source,
        what=f"{count} of {len(images)} images are, byte for byte, images the network was trained on",
        why="scores on them would measure memory",
        do="nothing: they are left out",
    )


def _unknown(images: ImageSet) -> Finding:
    return Finding(
        level="info",
        where=images.source,
        what="whether the network was trained on some of these images is not known",
        why="the model file says only which split it is of, and these images are not it",
        do="evaluate the run folder, whose split.csv names every image",
    )


def _assumed_header(resolved: ResolvedModel, images: ImageSet) -> ModelHeader:
    """For weights that came alone: the classes of the data, the usual statistics."""
    if resolved.weights is None:
        raise ModelFileError(f"{resolved.spec} has no weights to judge; give a run folder or a model file")
    channels, *size = resolved.architecture.input_shape
    return ModelHeader(
        architecture=ArchitectureReference(
            name=resolved.architecture.name,
            num_classes=len(images.classes),
            in_channels=channels,
            input_size=(size[0], size[1]),
        ),
        classes=images.classes,
        canvas=(size[0], size[1]),
        preprocessing={"size": size, "fit": "none"} | (_IMAGENET if channels == 3 else _CENTRED),
        objective=resolved.architecture.objective,
        objective_settings={},
    )


def _assumption(resolved: ResolvedModel, header: ModelHeader) -> Finding:
    settings = header.preprocessing
    return Finding(
        level="warning",
        where=str(resolved.path),
        what="the weights came without classes and preprocessing; taken: the data's "
        f"{len(header.classes)} classes in order, mean {settings['mean']}, std {settings['std']}",
        why="if they were trained otherwise, the scores are too low",
        do="use a model file, which carries both",
    )
