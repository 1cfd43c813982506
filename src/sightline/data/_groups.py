"""Groups of images that must not be divided: of one patient, one plate, one film."""

from __future__ import annotations

import dataclasses
import re

from sightline.base import ArgumentError, DataError, Finding
from sightline.data._columns import Strings
from sightline.data._image_set import ImageSet


def group_images(images: ImageSet, pattern: str | None) -> ImageSet:
    """Read each image's group from its name, or from a column of the CSV that lists it.

    Args:
        images: The set.
        pattern: A column's name; else a regular expression, searched for in the relative path; the group
            is what its groups matched, or all of it where it has none. None for no groups.

    Returns:
        The set with `groups`. An image without a match, or with an empty cell, is a group of its own, which
        is a finding.

    Raises:
        ArgumentError: if the pattern is no regular expression.
        DataError: if no image matches, or all are of one group.
    """
    if pattern is None:
        return images
    found: list[str | None]
    if pattern in images.columns:
        found = [cell or None for cell in images.columns[pattern]]
    else:
        found = _matched(images.names, pattern)
    lone = [name for name, group in zip(images.names, found, strict=True) if group is None]
    if len(lone) == len(found):
        if pattern in images.columns:
            raise DataError(f"--group-by {pattern}: the column of {images.source} is empty")
        columns = f"; nor is it one of the columns {', '.join(images.columns)}" if images.columns else ""
        raise DataError(
            f"--group-by '{pattern}' matches no image of {images.source}, e.g. {images.names[0]}{columns}"
        )
    groups = tuple(
        f"image {name}" if group is None else f"group {group}"
        for name, group in zip(images.names, found, strict=True)
    )
    if len(set(groups)) == 1:
        raise DataError(f"--group-by '{pattern}' puts all images of {images.source} into one group")
    findings = images.findings
    if lone:
        what = f"{len(lone)} of {len(images)} images do not match --group-by '{pattern}'"
        why, do = "each is taken as a group of its own", "widen the pattern"
        if pattern in images.columns:
            what, do = f"{len(lone)} of {len(images)} images have no {pattern}", "fill the column"
        findings += (Finding(level="warning", where=lone[0], what=what, why=why, do=do),)
    return dataclasses.replace(images, groups=groups, grouped_by=pattern, findings=findings)


def _matched(names: Strings, pattern: str) -> list[str | None]:
    """The group in each name; None where the pattern does not match."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(f"--group-by '{pattern}' is no regular expression: {error}") from error
    matches = map(expression.search, names)
    return [None if m is None else "/".join(g or "" for g in m.groups()) or m[0] for m in matches]
