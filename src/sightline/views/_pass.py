"""A set of images through a network, up to one layer and no further."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError, DataError, did_you_mean
from sightline.blueprint import Blueprint, Call, Node, execute
from sightline.data import ImageSet, Part, Progress, learned_from, open_batches, open_images
from sightline.evaluation import History, history_of, judged_images
from sightline.records import RunFolder
from sightline.views._subject import Subject

BATCH = 64
"""Images at a time."""

_CLASSIFIERS = frozenset({"linear", "addmm", "matmul", "conv2d"})


class _ReachedError(Exception):
    """The layer was reached: the rest of the network need not run."""


def up_to(
    network: nn.Module,
    x: Tensor,
    layer: str,
    *,
    before: bool = False,
    rules: Mapping[str, Callable[[Call], Any]] | None = None,
) -> Any:
    """What a layer gives, or is given, without running what comes after it.

    Args:
        network: Left as it was.
        x: Its input.
        layer: A node's id.
        before: What it is given instead: its first argument.
        rules: As of `execute`; one for the layer's kind is used on the layer too.

    Raises:
        ArgumentError: if the layer is never met.
    """
    found: list[Any] = []

    def reached(call: Call) -> Any:
        if call.id != layer:  # a layer may be called as a kind is: `relu`
            rule = (rules or {}).get(call.id) or (rules or {}).get(call.kind)
            return call.run() if rule is None else rule(call)
        if before:
            found.append(call.args[0] if call.args else call.kwargs["input"])
        else:
            rule = (rules or {}).get(call.kind)
            found.append(call.run() if rule is None else rule(call))
        raise _ReachedError

    try:
        ran = execute(network, x, rules={**(rules or {}), layer: reached}).ran
    except _ReachedError as stopped:
        stopped.__traceback__ = None  # its frames hold every layer's output, in a circle
        return found[0]
    raise ArgumentError(f"no node {layer!r} was met in {type(network).__name__}; {did_you_mean(layer, ran)}")


def classifier_layer(blueprint: Blueprint) -> Node:
    """The layer that makes classes of features: the last linear layer or convolution.

    Raises:
        ArgumentError: if there is none.
    """
    found = [
        node for node in blueprint.nodes if node.kind in _CLASSIFIERS and (node.parameters or node.shared)
    ]
    if not found:
        kinds = ", ".join(dict.fromkeys(node.kind for node in blueprint.nodes))
        raise ArgumentError(
            f"{blueprint.name} has no linear layer or convolution whose input would be its last features; "
            f"its layers are {kinds}; choose one by --layer"
        )
    return found[-1]


def as_vectors(output: Any, layer: str) -> Tensor:
    """A layer's output as one vector an image: maps are averaged over their places. -> (N, features).

    Raises:
        ArgumentError: if it is neither vectors nor maps.
    """
    if isinstance(output, Tensor) and output.dim() >= 3:
        return output.float().flatten(2).mean(2)
    if isinstance(output, Tensor) and output.dim() == 2:
        return output.float()
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ArgumentError(f"--layer {layer}: its output is {shape}, neither vectors nor maps")


def open_set(source: str, subject: Subject, progress: Progress | None = None) -> ImageSet:
    """A set of images that a network can take; a folder of images alone is a set without classes.

    Raises:
        DataError: if there is none, or its values are of another depth or other channels than the network's.
    """
    pages = "" if subject.header is None else subject.header.pages
    images = open_images(source, training=False, labelled=False, pages=pages, progress=progress)
    if images.depth != subject.canvas.depth:
        raise DataError(
            f"{source} holds images of {images.depth}, and {subject.name} takes {subject.canvas.depth}"
        )
    both = {images.channels, subject.canvas.channels}
    if len(both) > 1 and both != {1, 3}:  # grey and colour become each other
        raise DataError(
            f"{source} holds images of {images.channels} channels, and {subject.name} takes "
            f"{subject.canvas.channels}"
        )
    return images


def set_name(images: ImageSet) -> str:
    """A set's name, without the folders it lies in."""
    return Path(images.source).name or images.source


def unseen(subject: Subject, images: ImageSet) -> tuple[NDArray[np.int64], str]:
    """The images of a set that a network did not learn from, as far as is known, and how they are called.

    Of its own set the test images, else the validation images; of another one's parts likewise; else all.
    """
    history = _history(subject, images)
    everything = np.arange(len(images), dtype=np.int64)
    judged: tuple[Part, ...] = ("test", "val")
    if history is not None:
        for part in judged:
            indices, _ = judged_images(images, history.recorded, part, history.before)
            if len(indices):
                return indices, f"{len(indices)} {part} images of its own set"
        known = history.before | learned_from(history.recorded)
        learned = {digest for _, digest in known}
        others = np.array([i for i in everything if images.digests[i] not in learned], dtype=np.int64)
        if len(others):
            return others, f"{len(others)} images that it did not learn from"
    for part in judged:
        indices = np.array([i for i, p in enumerate(images.parts) if p == part], dtype=np.int64)
        if len(indices):
            return indices, f"{len(indices)} {part} images"
    source = "it may have learned from some" if subject.trained else "it learned from none"
    return everything, f"all {len(images)} images; {source}"


def _history(subject: Subject, images: ImageSet) -> History | None:
    """What a network learned from; None where nobody says."""
    run = None
    if subject.model is not None and subject.model.path is not None:
        run = RunFolder(subject.model.path.parent)
    return history_of(images, subject.header, run)


def inputs_of(
    subject: Subject,
    images: ImageSet,
    indices: NDArray[np.int64],
    *,
    what: str,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Images of a set as the network is given them, some at a time; memory does not grow with the set.

    Args:
        subject: The network.
        images: The set.
        indices: Which images.
        what: Is being done; for `progress`.
        batch_size: Images at a time.
        progress: Told how far it is.

    Yields:
        Their places in the set, and (N, C, H, W).
    """
    order = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    done = 0
    for batch in open_batches(images, subject.canvas, progress=progress).batches(order):
        with torch.no_grad():
            x = subject.preprocessing(batch.images.to(subject.device))
        yield batch.ids, x
        done += len(batch)
        if progress is not None:
            progress(what, done, len(indices))
