"""What others measured of a network, to be read beside what is measured here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sightline.zoo import Architecture, PublishedResult

_SETS = {
    "ImageNet": (r"imagenet|ilsvrc", 1000),
    "CIFAR-10": (r"cifar[-_ ]?10(?!\d)", 10),
    "CIFAR-100": (r"cifar[-_ ]?100(?!\d)", 100),
    "MNIST": (r"(?<![a-z])(?<!fashion[-_ ])mnist(?![-_ ]?1d)", 10),
    "MNIST-1D": (r"mnist[-_ ]?1d", 10),
}
"""How a set is called where it is published, what of a path names it, and how many classes it has."""


def published_of(
    architecture: Architecture, source: str, classes: Sequence[str]
) -> tuple[PublishedResult, ...]:
    """The published results of a network on the set that some images are called after.

    A name is no proof: the images may be a part of that set, a lossy copy, or none of it.

    Args:
        architecture: The network.
        source: Where the images are from.
        classes: Theirs.

    Example:
        >>> from sightline.zoo import get_architecture
        >>> found = published_of(get_architecture("resnet20"), "cifar10-jpg/test", "0123456789")
        >>> [result.data for result in found]
        ['CIFAR-10 test']
    """
    names = {
        name
        for name, (pattern, count) in _SETS.items()
        if count == len(classes) and re.search(pattern, source, re.IGNORECASE)
    }
    return tuple(result for result in architecture.results if result.data.partition(" ")[0] in names)


def published_line(result: PublishedResult) -> str:
    """One published result, as accuracy: papers give errors."""
    told = [
        f"{what} {100 * (1 - error):.2f} %"
        for what, error in (("top-1", result.top1_error), ("top-5", result.top5_error))
        if error is not None
    ]
    return f"{', '.join(told)} on {result.data} ({result.protocol})"
