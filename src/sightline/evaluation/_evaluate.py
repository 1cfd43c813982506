"""Judging a trained network on images it was not trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, DataError, Finding
from sightline.data import (
    EMBEDDED,
    PARTS,
    ImageSet,
    Learned,
    Part,
    Progress,
    Split,
    fold_images,
    group_images,
    learned_from,
    open_images,
    read_learned,
    recorded_split,
    split_images,
)
from sightline.evaluation._evaluation import Evaluation, judge
from sightline.evaluation._published import published_of
from sightline.inference import Belongings, Crops, Predictor, ResolvedModel, assumed_header, dense, resolve
from sightline.machine import Plan, choose_device, usable_cores
from sightline.records import ModelHeader, RunFolder


def evaluate(
    model: str,
    data: str | None = None,
    *,
    allow_unreadable: bool = False,
    pages: str | None = None,
    device: str = "auto",
    batch_size: int = 128,
    belongings: Belongings = Belongings(),  # noqa: B008  -- frozen
    crops: Crops = "1",
    views: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a trained network, in fp32.

    Of the set it was trained on, the test images are judged, or the validation images if there are none; of
    another set, its own test images, else its validation images, else all. Images that the network is known
    to have been trained on are never among them.

    Args:
        model: A run folder, a model file, or `NAME@FILE`.
        data: What to judge it on; of a run, what it was trained on by default.
        allow_unreadable: Leave unreadable files out instead of refusing.
        pages: Of files of several pages or frames, as of `open_images`; as in training where None.
        device: Where to compute.
        batch_size: Images at a time.
        belongings: Of weights that came alone: their classes and preprocessing.
        crops: What is shown of each image: `1`, as the model is used; `10`, AlexNet's; `dense`, VGG's.
        views: Judge by test-time views as well; the scores are without them.
        progress: Told how far it is.

    Raises:
        ArgumentError: if the model names nothing, there is no data, or it cannot be shown images so.
        DataError: if the images cannot be used, or have a class the network does not know.
        ModelFileError: if the model cannot be read.
    """
    candidate, choice = choose(
        model,
        data,
        allow_unreadable=allow_unreadable,
        pages=pages,
        belongings=belongings,
        progress=progress,
    )
    return candidate.judge(
        choice, device=device, batch_size=batch_size, crops=crops, views=views, progress=progress
    )


def judged_images(
    images: ImageSet,
    split: Split | Mapping[str, tuple[Part, str]],
    part: Part,
    before: Learned = frozenset(),
) -> tuple[NDArray[np.int64], tuple[Finding, ...]]:
    """The images of one part of a network's own set that its score can rest on.

    What is, byte for byte, in an earlier part too is left out: of val what is in train, of test what is in
    train or val; and what was in such a part when the weights it started from were trained.

    Args:
        images: The set, or what is there of it.
        split: Of that set, as it was decided or as `recorded_split` read it.
        part: The part to judge.
        before: What the weights come from that the network started from.

    Returns:
        Indices in the set's order, none if the part is empty or wholly left out; and findings that count
        what was left out, if anything was.
    """
    recorded = _recorded(images, split)
    earlier = PARTS[: PARTS.index(part)]
    learned = {digest for of, digest in recorded.values() if of in earlier}
    whole = [i for i, name in enumerate(images.names) if recorded.get(name) == (part, images.digests[i])]
    new = [i for i in whole if images.digests[i] not in learned]
    started = {digest for of, digest in before if of in earlier}
    kept = np.array([i for i in new if images.digests[i] not in started], dtype=np.int64)
    counts = {
        f"in {' or '.join(earlier)} too": len(whole) - len(new),
        "images that the weights it started from were trained or selected on": len(new) - len(kept),
    }
    found = (_seen(images, part, count, len(whole), said) for said, count in counts.items() if count)
    return kept, tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Which images to judge, and what is known of them."""

    part: str
    indices: NDArray[np.int64]
    own: bool = False
    """Whether the set is the one the network was trained on."""
    selected_on: bool = False
    known_unseen: bool = True
    findings: tuple[Finding, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """What a network learned from, as far as it is recorded."""

    recorded: Mapping[str, tuple[Part, str]]
    """The part and the digest of every image of its set, by name."""
    before: Learned = frozenset()
    """What the weights come from that it started from."""
    whole: bool = True
    """Whether that is all that it and the weights it started from have learned from."""
    selected: bool
    """Whether its weights were chosen, or its training ended, by the validation images."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A trained network, and the set that it is to be judged on."""

    resolved: ResolvedModel
    header: ModelHeader
    images: ImageSet
    """Its classes are the network's."""
    history: History | None
    """None where it is not known."""
    assumed: tuple[Finding, ...] = ()
    """What the weights did not say."""
    saw_mirrored: bool | None = None
    """Whether it was trained on mirrored images; None where it is not known."""

    @classmethod
    def of(
        cls,
        resolved: ResolvedModel,
        run: RunFolder | None,
        images: ImageSet,
        belongings: Belongings = Belongings(),  # noqa: B008  -- frozen
    ) -> Candidate:
        """A network that meets some images.

        Raises:
            DataError: if they have a class that it does not know, or are of another depth.
            ModelFileError: if it has no weights.
        """
        assumed: tuple[Finding, ...] = ()
        header = resolved.header
        if header is None:
            header, assumed = assumed_header(resolved, belongings, images.classes)
        elif belongings.given:
            raise ArgumentError(f"{resolved.spec} carries its own classes and preprocessing")
        _check_kind(images, header)
        images = images.with_classes(header.classes)
        return cls(
            resolved=resolved,
            header=header,
            images=images,
            history=history_of(images, header, run),
            assumed=assumed,
            saw_mirrored=_saw_mirrored(run),
        )

    def predictor(self, device: str) -> Predictor:
        """The network with its weights, to compute in fp32."""
        built = self.header.architecture
        network = self.resolved.build(
            num_classes=len(self.header.classes), in_channels=built.in_channels, input_size=built.input_size
        )
        plan = Plan(device=str(choose_device(device)), threads=usable_cores())
        return Predictor(network, self.header, plan)

    def check(self, crops: Crops, device: str) -> None:
        """Whether it can be shown images so, before another network is judged for long.

        Raises:
            ArgumentError: if it cannot.
        """
        if crops == "dense":
            dense(self.predictor(device))

    def judge(
        self,
        choice: Choice,
        *,
        device: str,
        batch_size: int,
        crops: Crops = "1",
        views: bool = False,
        progress: Progress | None,
    ) -> Evaluation:
        """What the network scores on the images chosen; arguments as `evaluate`."""
        channels = _other_channels(self.images, len(choice.indices), self.header.architecture.in_channels)
        mirrored = _mirrored(self) if crops != "1" or views else ()
        judged = judge(
            self.predictor(device), self.images, choice.indices, choice.part,
            selected_on=choice.selected_on, known_unseen=choice.known_unseen,
            findings=(*self.assumed, *choice.findings, *channels, *mirrored),
            crops=crops, views=views, batch_size=batch_size, progress=progress,
        )  # fmt: skip
        published = published_of(self.resolved.architecture, self.images.source, self.images.classes)
        return dataclasses.replace(judged, published=published)


def choose(
    model: str,
    data: str | None,
    *,
    allow_unreadable: bool,
    progress: Progress | None,
    pages: str | None = None,
    belongings: Belongings = Belongings(),  # noqa: B008  -- frozen
) -> tuple[Candidate, Choice]:
    """A trained network, and the images that `evaluate` judges it by; arguments and errors as there."""
    resolved = resolve(model)
    run = run_of(resolved)
    if pages is None:
        pages = "" if resolved.header is None else resolved.header.pages
    if data is not None:
        images = open_images(
            data, training=False, allow_unreadable=allow_unreadable, pages=pages, progress=progress
        )
    elif run is not None:
        images = _images_of(run, allow_unreadable, pages, progress)
        split = None if resolved.header is None else resolved.header.split
        images = images if split is None or split.fold is None else fold_images(images)
    else:
        raise ArgumentError(f"{model} does not say which images it is of; give DATA")
    candidate = Candidate.of(resolved, run, images, belongings)
    choice = _choose(candidate)
    changed = (_changed(images),) if data is None and not choice.own else ()
    return candidate, dataclasses.replace(choice, findings=(*images.findings, *changed, *choice.findings))


def run_of(resolved: ResolvedModel) -> RunFolder | None:
    """The run folder that a model's file lies in."""
    if resolved.path is None or not (resolved.path.parent / "args.yaml").is_file():
        return None
    return RunFolder.open(resolved.path.parent)


def _images_of(run: RunFolder, allow_unreadable: bool, pages: str, progress: Progress | None) -> ImageSet:
    """The images a run was trained on, from wherever it is called."""
    recorded = run.read_args().get("data")
    if not isinstance(recorded, dict) or "source" not in recorded:
        raise DataError(f"{run.args} does not say which images the run is of; give DATA")
    location = str(recorded.get("location", recorded["source"]))
    if location not in EMBEDDED and not Path(location).exists():
        raise DataError(f"the images of {run.path} are no longer at {location}; give DATA")

    def opened(training: bool) -> ImageSet:
        return open_images(
            location, training=training, allow_unreadable=allow_unreadable, pages=pages, progress=progress
        )

    try:
        images = opened(training=False)
    except DataError:
        if not run.split.exists():
            raise
        images = opened(training=True)  # the few unreadable files that a training may leave out
        if not recorded_split(run.split).keys() <= set(images.names):
            raise  # this one was no such file when the run began
    return dataclasses.replace(images, source=str(recorded["source"]))


def history_of(images: ImageSet, header: ModelHeader | None, run: RunFolder | None) -> History | None:
    """What a network learned from: its run says it, or the set is the one its file says the split of.

    None where neither does.

    Raises:
        DataError: if what its run wrote of it cannot be read.
    """
    if run is not None and run.split.exists():
        return History(
            recorded=recorded_split(run.split), before=read_learned(run.before), selected=_was_selected(run)
        )
    if header is None or header.split is None:
        return None
    try:
        grouped = group_images(images, header.split.group_by)
        split = split_images(grouped, header.split.seed, header.split.fold, holdout=header.split.holdout)
    except DataError:  # it cannot be trained on, so it is not what the network was trained on
        return None
    if split.digest(images) != header.split.digest:
        return None
    return History(recorded=_recorded(images, split), whole=not header.split.before, selected=True)


def _choose(candidate: Candidate) -> Choice:
    """Which images to judge on: never those trained on, as far as that is known."""
    images, history = candidate.images, candidate.history
    if history is None:
        choice = _choose_other(images, frozenset())
    else:
        known = (history.recorded.get(name, ("", ""))[1] for name in images.names)
        if all(digest == of for digest, of in zip(images.digests, known, strict=True)):
            choice = _choose_own(images, history)
        else:
            choice = _choose_other(images, learned_from(history.recorded) | history.before)
    if history is not None and history.whole:
        return choice
    findings = (*choice.findings, unknown(images.source, candidate.header))
    return dataclasses.replace(choice, known_unseen=False, findings=findings)


def _choose_own(images: ImageSet, history: History) -> Choice:
    """The test images of the set that a network was trained on; else its validation images."""
    findings: list[Finding] = []
    scored: tuple[Part, ...] = ("test", "val")
    for part in scored:
        indices, left_out = judged_images(images, history.recorded, part, history.before)
        findings += [*_gone(images, history.recorded, part), *left_out]
        if len(indices):
            return Choice(
                part=part,
                indices=indices,
                own=True,
                selected_on=history.selected and part == "val",
                findings=tuple(findings),
            )
    raise DataError(f"every image of {images.source} was trained on; none is left to judge by")


def _choose_other(images: ImageSet, known: Learned) -> Choice:
    """The test images of another set; else its validation images; else all. None that was learned from."""
    learned = {digest for _, digest in known}
    findings: list[Finding] = []
    for part in ("test", "val", "all"):
        whole = [i for i, own in enumerate(images.parts) if part in (own, "all")]
        kept = np.array([i for i in whole if images.digests[i] not in learned], dtype=np.int64)
        if len(kept) < len(whole):
            said = "images the network was trained or selected on"
            findings.append(_seen(images, part, len(whole) - len(kept), len(whole), said))
        if len(kept):
            return Choice(part=part, indices=kept, findings=tuple(findings))
    raise DataError(f"every image of {images.source} was trained or selected on; none is left to judge by")


def _recorded(
    images: ImageSet, split: Split | Mapping[str, tuple[Part, str]]
) -> Mapping[str, tuple[Part, str]]:
    """A split as `recorded_split` reads it: part and digest by name."""
    if not isinstance(split, Split):
        return split
    rows = zip(images.names, split.parts, images.digests, strict=True)
    return {name: (part, digest) for name, part, digest in rows}


def _was_selected(run: RunFolder) -> bool:
    """Whether a run's weights were chosen, or its length decided, by the validation images."""
    recipe = run.read_args().get("recipe")
    if not isinstance(recipe, dict):
        return True  # not recorded: the cautious reading
    return recipe.get("select", "accuracy") is not None or recipe.get("patience") is not None


def _saw_mirrored(run: RunFolder | None) -> bool | None:
    """Whether a run's recipe mirrors images."""
    recipe = {} if run is None else run.read_args().get("recipe")
    augmentation = recipe.get("augmentation") if isinstance(recipe, dict) else None
    if not isinstance(augmentation, dict) or "flip" not in augmentation:
        return None
    return bool(augmentation["flip"] != "none")


def _mirrored(candidate: Candidate) -> tuple[Finding, ...]:
    """That images are shown mirrored to a network that was trained on none."""
    if candidate.saw_mirrored is not False:
        return ()
    return (
        Finding(
            level="warning",
            where=candidate.resolved.spec,
            what="each image is also shown mirrored, and the network was trained on no mirrored image",
            why="mirroring is part of the protocol; where it makes another thing, as of a digit, scores fall",
            do="read the score of one crop, without views",
        ),
    )


def _gone(images: ImageSet, recorded: Mapping[str, tuple[Part, str]], part: Part) -> tuple[Finding, ...]:
    """What the run's part has and the set no longer has."""
    of_part = [name for name, (of, _) in recorded.items() if of == part]
    gone = sorted(set(of_part) - set(images.names))
    if not gone:
        return ()
    return (
        Finding(
            level="warning",
            where=images.source,
            what=f"{len(gone)} of the run's {len(of_part)} {part} images are not there ({gone[0]})",
            why="the score is on the others",
            do="bring them back, to judge by all",
        ),
    )


def _seen(images: ImageSet, part: str, count: int, total: int, said: str) -> Finding:
    """That some images are left out; `said` is what they are."""
    name = "images" if part == "all" else f"{part} images"
    return Finding(
        level="warning",
        where=images.source,
        what=f"{count} of {total} {name} are, byte for byte, {said}",
        why="scores on them would measure memory",
        do="nothing: they are left out",
    )


def unknown(where: str, header: ModelHeader) -> Finding:
    """That nobody knows which images a network was trained on."""
    if header.split is None:
        why = "the weights do not say which images they are of"
    elif header.split.before:
        why = "the weights it started from learned from images that only the run folder names"
    else:
        why = "the model file says only which split it is of, and these images are not it"
    return Finding(
        level="warning",
        where=where,
        what="whether the network was trained on some of these images is not known",
        why=why,
        do="evaluate the run folder, whose split.csv names every image",
    )


def _changed(images: ImageSet) -> Finding:
    return Finding(
        level="warning",
        where=images.source,
        what="the images are not those of the run: some are new, or have changed",
        why="they are judged as another set, and the score is not the run's own",
        do="bring the images back as they were, or give DATA",
    )


def _check_kind(images: ImageSet, header: ModelHeader) -> None:
    """Whether images are such as a network was trained on, or can be made so without changing a value."""
    if images.depth != header.depth:
        raise DataError(
            f"{images.source} holds {images.depth} images, and the network was trained on {header.depth} "
            "ones; no value is changed to fit: give images as they were in training"
        )
    channels = header.architecture.in_channels
    if header.channel_names and images.channel_names not in ((), header.channel_names):
        raise DataError(
            f"{images.source} has channels {', '.join(images.channel_names)}, and the network was trained on "
            f"{', '.join(header.channel_names)}: give its columns in that order"
        )
    if images.channels != channels and (header.channel_names or {images.channels, channels} != {1, 3}):
        raise DataError(
            f"{images.source} has images of {images.channels} channels, and the network takes {channels}"
        )


def _other_channels(images: ImageSet, count: int, in_channels: int) -> tuple[Finding, ...]:
    """Where the network takes another number of channels than the images have."""
    if (images.channels, in_channels) == (3, 1):
        what = f"{count} images of a colour set are converted to grey (ITU-R 601 luma)"
        why = "the network was trained on grey images, and sees no colour"
    elif (images.channels, in_channels) == (1, 3):
        what = f"{count} grey images are repeated in three channels"
        why = "the network was trained on colour images, and these have none"
    else:
        return ()
    return (Finding(level="warning", where=images.source, what=what, why=why, do="nothing, if it is meant"),)
