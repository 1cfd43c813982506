"""The images of a set that excite each unit of a layer most: found in one pass, and remembered.

Memory does not grow with the set: images come in batches, of each map only its largest value and its place
are kept, and of those the best few a unit. What is remembered is keyed by the content of the weights and of
the images: a network that was trained on, or a set with one image more, is another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import ArgumentError, DataError, StorageError, cache_folder, write_with
from sightline.blueprint import Call, Node, inference_memory
from sightline.data import ImageSet, Progress, open_batches
from sightline.views._pass import up_to
from sightline.views._subject import Picture, Subject
from sightline.views._window import maps_or_vector

BEST = 9
"""Images kept of each unit, as in the paper."""
_FORMAT = 1
"""Of what is remembered. Raise it with every change in what is computed."""
_BATCH_BYTES = 128_000_000
"""What the layers of one batch may take."""
_DECODED_MB = 256
"""Sets up to this size are decoded once and kept; larger ones are decoded as the pass goes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Strongest:
    """Of every unit of a layer, the images in which it is strongest, each image once."""

    values: NDArray[np.float32]
    """(units, n), falling; the activation at its strongest place in the image."""
    images: NDArray[np.int64]
    """(units, n): places in the set. Of two that are equal the first comes first."""
    places: NDArray[np.int32]
    """(units, n, 2): row and column in the unit's map; the first of several that are equal."""

    def order(self) -> NDArray[np.int64]:
        """Units from the one with the largest activation to that with the least."""
        return np.argsort(-self.values[:, 0], kind="stable")


def strongest(
    subject: Subject,
    images: ImageSet,
    nodes: Sequence[Node],
    *,
    progress: Progress | None = None,
    cache: bool = True,
) -> dict[str, Strongest]:
    """Find the images that excite the units of some layers most, or recall them.

    Args:
        subject: The network.
        images: The set; only its images are looked at, not their classes.
        nodes: Layers that give maps or a vector.
        progress: Told how far it is.
        cache: Whether to recall what was found before, and to remember this.

    Returns:
        By id of the layer; of sets with fewer images than nine, as many as there are.

    Raises:
        ArgumentError: if a layer gives neither.
        DataError: if a file can no longer be read, or an activation is no number.
    """
    for node in nodes:
        maps_or_vector(node)
    paths = {node.id: _path(subject, images, node) for node in nodes} if cache else {}
    found = {name: known for name, path in paths.items() if (known := _recalled(path)) is not None}
    missing = [node for node in nodes if node.id not in found]
    if missing:
        fresh = _searched(subject, images, missing, progress)
        found |= fresh
        for name in fresh.keys() & paths.keys():
            with contextlib.suppress(StorageError):  # without a cache it is only slower next time
                write_with(paths[name], _writer(fresh[name]))
    return {node.id: found[node.id] for node in nodes}


def pictures_of(subject: Subject, images: ImageSet, ids: NDArray[np.int64]) -> list[Picture]:
    """Some images of a set as the network is given them."""
    source = open_batches(images, subject.canvas, budget_mb=0, workers=0)
    made = []
    for batch in source.batches([ids]):
        with torch.no_grad():
            scaled = subject.preprocessing.scale(batch.images.to(subject.device))
            x = subject.preprocessing.normalise(scaled)
        for k, index in enumerate(ids):
            name = str(images.names[int(index)])
            made.append(Picture(name=name, x=x[k : k + 1], pixels=subject.shown(scaled[k])))
    return made


def _searched(
    subject: Subject, images: ImageSet, nodes: Sequence[Node], progress: Progress | None
) -> dict[str, Strongest]:
    index = subject.blueprint.index
    nodes = sorted({node.id: node for node in nodes}.values(), key=lambda node: index[node.id])
    best = {node.id: _Best(node, min(BEST, len(images))) for node in nodes}
    last = nodes[-1].id
    peak = inference_memory(subject.blueprint).activations
    size = max(1, min(64, _BATCH_BYTES // max(peak, 1)))
    ids = np.arange(len(images), dtype=np.int64)
    order = [ids[start : start + size] for start in range(0, len(ids), size)]
    source = open_batches(images, subject.canvas, budget_mb=_DECODED_MB, progress=progress)
    done = 0
    for batch in source.batches(order):
        with torch.no_grad():
            x = subject.preprocessing(batch.images.to(subject.device))
            rules = {name: _told(best[name], batch.ids) for name in best if name != last}
            best[last].told(up_to(subject.network, x, last, rules=rules), batch.ids)
        done += len(batch)
        if progress is not None:
            progress("looking for the strongest activations", done, len(images))
    return {name: kept.result() for name, kept in best.items()}


def _told(best: _Best, ids: NDArray[np.int64]) -> Callable[[Call], Any]:
    """A rule that runs a layer as it is, and looks at what it gives."""

    def rule(call: Call) -> Any:
        output = call.run()
        if call.id == best.name:  # and not another of a kind that is called so: `relu`
            best.told(output, ids)
        return output

    return rule


class _Best:
    """The best few of each unit of a layer, so far.

    Args:
        node: The layer.
        n: How many to keep.
    """

    def __init__(self, node: Node, n: int) -> None:
        self.name = node.id
        self._n = n
        units, _, self._width = maps_or_vector(node)
        self._values = torch.full((units, 0), -torch.inf)
        self._images = torch.zeros((units, 0), dtype=torch.int64)
        self._places = torch.zeros((units, 0), dtype=torch.int64)

    def told(self, output: Any, ids: NDArray[np.int64]) -> None:
        """Take note of what the layer gave for some images, later ones than before."""
        output = output if isinstance(output, Tensor) else output[0]
        if len(output) != len(ids):
            raise ArgumentError(
                f"{self.name} gives {len(output)} results of {len(ids)} images: it mixes a batch"
            )
        values, places = output.detach().float().flatten(2 if output.dim() > 2 else 1), None
        if output.dim() > 2:
            values, places = values.max(dim=2)  # n c (h w) -> n c
        if torch.isnan(values).any():
            raise DataError(f"{self.name} gives values that are no numbers")
        values = values.T.cpu()
        places = torch.zeros_like(values, dtype=torch.int64) if places is None else places.T.cpu()
        who = torch.from_numpy(ids).expand_as(places)
        every = torch.cat([self._values, values], dim=1)
        self._values, chosen = every.sort(dim=1, descending=True, stable=True)
        self._values, chosen = self._values[:, : self._n].clone(), chosen[:, : self._n]
        self._images = torch.cat([self._images, who], dim=1).gather(1, chosen)
        self._places = torch.cat([self._places, places], dim=1).gather(1, chosen)

    def result(self) -> Strongest:
        """What is left."""
        places = torch.stack([self._places // self._width, self._places % self._width], dim=2)
        return Strongest(self._values.numpy(), self._images.numpy(), places.int().numpy())


def _path(subject: Subject, images: ImageSet, node: Node) -> Path:
    """Where what was found is kept: by content of weights, structure, preprocessing and images."""
    key = hashlib.blake2b(digest_size=16)
    structure = [(o.name, o.node, o.arguments, dict(o.keywords)) for o in subject.blueprint.operations]
    about = [_FORMAT, BEST, node.id, subject.preprocessing.settings(), repr(subject.canvas), repr(structure)]
    key.update(json.dumps(about, default=str).encode())
    network = subject.network
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        key.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        raw = tensor.detach().cpu().contiguous().flatten()
        key.update(raw.view(torch.uint8).numpy().data)
    for digest in images.digests:
        key.update(f"{digest}\n".encode())
    return cache_folder("views") / f"strongest-{key.hexdigest()}.npz"


def _writer(found: Strongest) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, values=found.values, images=found.images, places=found.places)

    return write


def _recalled(path: Path) -> Strongest | None:
    """What was found before; None where there is none, or it cannot be used."""
    try:
        with path.open("rb") as file, np.load(file) as kept:
            return Strongest(kept["values"], kept["images"], kept["places"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
