"""Images from what a user names: a folder, a file that holds or lists them, or an embedded set."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, did_you_mean, shown
from sightline.data._columns import Digests, Texts
from sightline.data._image_set import ImageSet
from sightline.data._index import LONG, Progress, read_records
from sightline.data._kinds import common_kind, without
from sightline.data._layouts import open_file, open_folder_of_arrays, other_layouts
from sightline.data._places import (
    MAX_UNREADABLE,
    PART_FOLDERS,
    Place,
    check_classes,
    natural,
    unreadable,
    unreadable_classes,
)
from sightline.imaging import DIGITS_NOTE, EXTENSIONS, check_pages, digits

EMBEDDED = ("digits",)
"""Names of the sets that need no file."""


def open_images(
    source: str | Path,
    *,
    training: bool = True,
    labelled: bool = True,
    allow_unreadable: bool = False,
    pages: str = "",
    progress: Progress | None = None,
) -> ImageSet:
    """Open a set of labelled images.

    A class is the first folder below the root, or below a part; images deeper than that keep it. Whatever
    begins with a dot is passed over.

    Args:
        source: A folder `root/<class>/*` or `root/{train,val|valid|validation,test}/<class>/*`; a CSV with
            columns `path` and `label`; an `.npz`; a folder of MNIST's idx or CIFAR's binary files, or one
            such file; or the name of an embedded set. A name is a path if the path exists.
        training: Whether a network is to be trained on them: there must be two classes or more, train must
            have every class, and up to 1 % of the files may be unreadable, but not all of a class.
            Otherwise none may be.
        labelled: Whether every image must have a class. If not, a folder that holds nothing but images is a
            set too: all of one class, whose name is empty.
        allow_unreadable: Allow any number of unreadable files. They are left out, named and counted in
            `findings`, never replaced; so is a class that is left with none. An image of another depth, or
            with other channels, than most is as one that is unreadable.
        pages: Of files of several pages or frames, which are meant: as of `decode_array`. Without it such a
            file is unreadable.
        progress: Told how far reading is.

    Raises:
        ArgumentError: if `pages` says none.
        DataError: if there is no such set, it has no images or only one class, a class of one part is
            missing from train, a folder beside train is no part, a folder cannot be listed, or too many
            files are unreadable.
    """
    check_pages(pages)
    path = Path(source)
    if path.is_dir():
        return _open_folder(str(source), path, training, labelled, allow_unreadable, pages, progress)
    if path.exists():
        return open_file(str(source), path, training, allow_unreadable, pages, progress)
    if str(source) in EMBEDDED:
        return _open_digits()
    hint = "" if os.sep in str(source) else f"; of the embedded sets, {did_you_mean(str(source), EMBEDDED)}"
    raise DataError(f"no such folder: {source}{hint}")


def _open_digits() -> ImageSet:
    pixels, targets = digits()
    return ImageSet(
        source="digits",
        names=tuple(f"{target}/{index:04d}" for index, target in enumerate(targets)),
        targets=targets,
        classes=tuple(str(d) for d in range(10)),
        channels=1,
        sizes=np.full((len(pixels), 2), 8, dtype=np.int32),
        digests=tuple(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in pixels),
        parts=(None,) * len(pixels),
        pixels=pixels,
        findings=(
            Finding(
                level="info",
                where="digits",
                what=DIGITS_NOTE.removeprefix("digits: "),
                why="an 8-bit file of a digit and the embedded digits mean the same",
                do="nothing",
            ),
        ),
    )


def _open_folder(
    source: str,
    root: Path,
    training: bool,
    labelled: bool,
    allow_unreadable: bool,
    pages: str,
    progress: Progress | None,
) -> ImageSet:
    listed, others, folders, again = _list_files(source, root, progress)
    if not listed:
        arrays = open_folder_of_arrays(source, root, [name for name in others if "/" not in name], training)
        if arrays is not None:
            return arrays
        raise DataError(
            f"{source} holds no images: no file ending in {', '.join(sorted(EXTENSIONS))}"
            f"{other_layouts(source, list(others))}"
        )
    misnamed = _misnamed(listed)
    names = Texts.of(map(shown, listed)) if misnamed else listed
    holding = _holding(names)
    within = list(holding.first)
    alone = not labelled and within == [""] and not folders
    has_parts = not alone and _has_parts(source, within, training)
    place_of: list[Place] = [(None, "")] if alone else []
    place_of = place_of or [_place(source, first, has_parts) for first in holding.first.values()]
    records = read_records(root, listed, progress, pages=pages)
    kind, strays = common_kind(records)
    records = without(records, strays)
    problems = {row: error for row, error in enumerate(records.errors) if error}
    problems |= dict.fromkeys(misnamed, "its name is not valid UTF-8; rename it")
    errors = {names[row]: problems[row] for row in sorted(problems)}
    good = np.delete(np.arange(len(names)), list(problems))
    lost = unreadable_classes(names, [place_of[i] for i in holding.folder.tolist()], errors) if errors else []
    gone = lost + _empty_folders(folders, within, has_parts)
    findings = [_other_files(others)] if others else []
    if errors:
        if len(good) and lost and training and not allow_unreadable:
            raise DataError(f"{source}: {lost[0].what}; {lost[0].do}, or leave it out by --allow-unreadable")
        limit = 1.0 if allow_unreadable else MAX_UNREADABLE if training else 0.0
        findings.append(unreadable(source, len(names), errors, limit))
    if not len(good):
        raise DataError(f"{source} has no readable image")
    findings += gone
    below = np.array([folder.count("/") > has_parts for folder in within])[holding.folder]
    if below.any():
        findings.append(_sub_folders(names[int(below.argmax())], int(below.sum()), len(names)))
    if again:
        findings.append(_entered_once(again))
    digests, folder = Digests.of(records.digests), holding.folder[good]
    used, first = np.unique(folder, return_index=True)
    places = list(dict.fromkeys(place_of[i] for i in used[np.argsort(first)].tolist()))
    classes = tuple(sorted({label for _, label in places}, key=natural))
    if training:
        hints = [finding.what for finding in gone]
        if below.any() and not has_parts:
            hints.append(f"if the folders in it are the classes, open {source}/{classes[0]}")
        check_classes(source, classes, places, hints)
    position = {name: index for index, name in enumerate(classes)}
    target_of = np.array([position.get(label, -1) for _, label in place_of], dtype=np.int64)
    return ImageSet(
        source=source,
        root=root,
        names=names.take(good) if errors else names,
        targets=target_of[folder],
        classes=classes,
        channels=kind.channels,
        depth=kind.depth,
        pages=pages,
        sizes=records.sizes[good] if errors else records.sizes,
        digests=digests.take(good) if errors else digests,
        parts=tuple(place_of[i][0] for i in folder.tolist()),
        findings=tuple(findings),
        left_out=tuple(errors),
    )


def _misnamed(listed: Texts) -> list[int]:
    """Rows of names that are not valid UTF-8."""
    if listed.content.isascii():
        return []
    return [row for row, name in enumerate(listed) if not name.isascii() and shown(name) != name]


@dataclasses.dataclass(frozen=True, eq=False)
class _Holding:
    """The folders that images lie in."""

    first: dict[str, str]
    """The first image of each folder, in their order."""
    folder: NDArray[np.int32]
    """(N,) the folder of each image, as its place in `first`."""


def _holding(names: Texts) -> _Holding:
    first: dict[str, str] = {}
    place: dict[str, int] = {}

    def folder_of(name: str) -> int:
        folder = name[: max(0, name.rfind("/"))]
        if folder not in place:
            place[folder], first[folder] = len(place), name
        return place[folder]

    return _Holding(first, np.fromiter(map(folder_of, names), dtype=np.int32, count=len(names)))


def _list_files(
    source: str, root: Path, progress: Progress | None = None
) -> tuple[Texts, Texts, list[str], list[str]]:
    """What is below a folder, as sorted relative paths; whatever begins with a dot is passed over.

    Links are followed once all else is known, and no folder is entered twice, so that a link to a folder
    above adds nothing and an image has the class of the folder it really lies in.

    Returns:
        Image files, other files, folders, and those of the folders that were not entered again.

    Raises:
        DataError: if a folder cannot be listed.
    """
    images: dict[str, Texts] = {}
    others: dict[str, Texts] = {}
    folders: list[str] = []
    again: list[str] = []
    entered: set[tuple[int, int]] = set()
    found = 0
    pending, links = deque([""]), deque[str]()
    while pending or links:
        prefix = (pending or links).popleft()
        try:
            with os.scandir(root / prefix) as entries:
                inside = _parted(entries, prefix)
            status = os.stat(root / prefix)  # noqa: PTH116
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise DataError(
                f"the folder {shown(str(Path(source) / prefix))} cannot be listed: {reason}"
            ) from error
        if (status.st_dev, status.st_ino) in entered:
            again.append(prefix.removesuffix("/"))
            continue
        entered.add((status.st_dev, status.st_ino))
        for column, part in ((images, inside[0]), (others, inside[1])):
            if part:
                column[prefix] = Texts.of(sorted(part))
        found += len(inside[0]) + len(inside[1])
        for folder, is_link in sorted(inside[2]):
            folders.append(folder)
            (links if is_link else pending).append(f"{folder}/")
        if progress is not None and found >= LONG:
            left = len(pending) + len(links)
            progress("listing folders", len(folders) + 1 - left, len(folders) + 1)
    return _in_order(images), _in_order(others), sorted(folders), sorted(again)


def _in_order(listed: dict[str, Texts]) -> Texts:
    """All names, sorted, of what each folder holds, sorted; folders are named with a slash at their end.

    What lies in one folder comes before what lies in the next, unless one of the two is within the other.
    """
    nests: list[list[str]] = []
    for prefix in sorted(listed):
        if nests and prefix.startswith(nests[-1][0]):
            nests[-1].append(prefix)
        else:
            nests.append([prefix])
    return Texts.joined(
        [
            Texts.of(sorted(chain.from_iterable(listed[prefix] for prefix in nest)))
            if len(nest) > 1
            else listed[nest[0]]
            for nest in nests
        ]
    )


def _parted(
    entries: Iterable[os.DirEntry[str]], prefix: str
) -> tuple[list[str], list[str], list[tuple[str, bool]]]:
    """Images, other files, and folders with whether each is a link; `prefix` before all names."""
    images: list[str] = []
    others: list[str] = []
    folders: list[tuple[str, bool]] = []
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        if _is_folder(entry):
            folders.append((prefix + name, entry.is_symlink()))
        else:
            (images if _is_image(name) else others).append(prefix + name)
    return images, others, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed is named: as an unreadable image, or on listing it
        return not _is_image(entry.name)


def _is_image(name: str) -> bool:
    return name[name.rfind(".") :].lower() in EXTENSIONS


def _has_parts(source: str, within: list[str], training: bool) -> bool:
    """Whether the top folders are train, val, test rather than classes; to train, train must be among them.

    They are if train has class folders, and then no other folder may hold images: it would be read as
    neither. A folder called train or test that holds images itself, among others, is a class.

    Args:
        source: What the user called it.
        within: The folders that images lie in; empty for the root.
        training: As of `open_images`.
    """
    tops = {
        folder.split("/")[0]: PART_FOLDERS.get(folder.split("/")[0].lower()) for folder in within if folder
    }
    with_folders = {folder.split("/")[0] for folder in within if "/" in folder}
    train = sorted(top for top in with_folders if tops[top] == "train")
    unknown = sorted(top for top, part in tops.items() if part is None)
    if train and unknown:
        raise DataError(
            f"{source}/{unknown[0]} holds images, and {source}/{train[0]} has class folders, so that folders "
            f"beside it are parts; allowed are {', '.join(sorted(PART_FOLDERS))}; move {unknown[0]} out of "
            f"{source}, or rename {train[0]} if it is a class"
        )
    if not unknown and "train" not in tops.values() and all("/" in folder for folder in within):
        if not training:
            return True
        raise DataError(
            f"{source} has {' and '.join(sorted(tops))} but no train; "
            f"to open one part by itself, name it: {source}/{min(tops)}"
        )
    return not unknown and "train" in tops.values()


def _place(source: str, name: str, has_parts: bool) -> Place:
    """The part and the class that a relative path says: the class is the first folder."""
    folders = name.split("/")[:-1]
    part = PART_FOLDERS[folders.pop(0).lower()] if has_parts and folders else None
    if not folders:
        raise DataError(
            f"{source}/{name} lies in no class folder; expected {source}/<class>/<image> "
            f"or {source}/train/<class>/<image>"
        )
    return part, folders[0]


def _other_files(others: Texts) -> Finding:
    endings = Counter(Path(name).suffix or Path(name).name for name in map(shown, others))
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    return Finding(
        level="info",
        where=shown(others[0]),
        what=f"{len(others)} files are not images by name ({listed})",
        why="they are passed over",
        do="rename a file if it is an image",
    )


def _empty_folders(folders: list[str], within: list[str], has_parts: bool) -> list[Finding]:
    """Class folders without a file that is an image by name; of parts, also a part without one."""
    holding = {
        folder.rsplit("/", depth)[0] for folder in within for depth in range(folder.count("/") + 1) if folder
    }
    findings = []
    for folder in map(shown, folders):
        is_class = folder.count("/") == has_parts
        if has_parts and folder.split("/")[0].lower() not in PART_FOLDERS:
            is_class = False
        is_part = has_parts and folder.lower() in PART_FOLDERS
        if folder not in holding and (is_class or is_part):
            findings.append(
                Finding(
                    level="warning",
                    where=folder,
                    what=f"the folder {folder!r} holds no image",
                    why=f"a {'part' if is_part else 'class'} without images is left out",
                    do="add its images, or remove it",
                )
            )
    return findings


def _sub_folders(first: str, deeper: int, num_files: int) -> Finding:
    return Finding(
        level="info",
        where=first,
        what=f"{deeper} of {num_files} images lie in sub-folders of a class folder",
        why="the first folder is the class, whatever is below it",
        do="nothing; if the sub-folders are the classes, open the folder that they lie in",
    )


def _entered_once(again: list[str]) -> Finding:
    return Finding(
        level="info",
        where=shown(again[0]),
        what=f"{len(again)} folders are links to, or mounts of, folders that were entered before "
        f"({', '.join(map(shown, again[:4]))})",
        why="each folder is entered once, so that no image counts twice",
        do="remove the links",
    )
