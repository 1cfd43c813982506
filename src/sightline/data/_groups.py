"""Groups of images that must not be divided: of one patient, one plate, one film."""

from __future__ import annotations

import dataclasses
import re

from sightline.base import ArgumentError, DataError, Finding
from sightline.data._image_set import ImageSet


def group_images(images: ImageSet, pattern: str | None) -> ImageSet:
    """Read each image's group from its name.

    Args:
        images: The set.
        pattern: A regular expression, searched for in the relative path; the group is what its groups
            matched, or all of it where it has none. None for no groups.

    Returns:
        The set with `groups`. An image without a match is a group of its own, which is a finding.

    Raises:
        ArgumentError: if the pattern is no regular expression.
        DataError: if no image matches, or all are of one group.
    """
    if pattern is None:
        return images
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(f"--group-by {pattern!r} is no regular expression: {error}") from error
    found = [expression.search(name) for name in images.names]
    lone = [name for name, match in zip(images.names, found, strict=True) if match is None]
    if len(lone) == len(found):
        raise DataError(f"--group-by {pattern!r} matches no image of {images.source}, e.g. {images.names[0]}")
    groups = tuple(
        f"image {name}" if match is None else f"group {'/'.join(g or '' for g in match.groups()) or match[0]}"
        for name, match in zip(images.names, found, strict=True)
    )
    if len(set(groups)) == 1:
        raise DataError(f"--group-by {pattern!r} puts all images of {images.source} into one group")
    findings = images.findings
    if lone:
        what = f"{len(lone)} of {len(images)} images do not match --group-by {pattern!r}"
        why = "each is taken as a group of its own"
        findings += (Finding(level="warning", where=lone[0], what=what, why=why, do="widen the pattern"),)
    return dataclasses.replace(images, groups=groups, grouped_by=pattern, findings=findings)
