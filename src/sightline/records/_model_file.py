"""The model file: weights and everything needed to use them, in one `.safetensors`.

The header is JSON under the metadata key `sightline`. Reading one runs no code and needs no other file; a
network from a user's own `FILE.py:NAME` is remembered by path and digest, and asked for.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import platform
import warnings
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sightline._version import __version__
from sightline.base import ModelFileError, write_with
from sightline.imaging import Canvas, Depth, Framing
from sightline.records._tensors import save_tensors

FORMAT = 3
MAX_SIDE = 65_536
"""No image has more rows, columns or channels."""
HEADER_KEY = "sightline"
"""Where the header is in a safetensors file's metadata."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class ArchitectureReference:
    """Which network the weights are of, and how it was built."""

    name: str
    """A zoo name, or the name in the user's file."""
    num_classes: int
    in_channels: int
    input_size: tuple[int, int]
    """(height, width)."""
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The builder's own arguments."""
    source: str = ""
    """`FILE.py:NAME` of a user's own network."""
    source_digest: str = ""
    """BLAKE2b-128 of that file when it was trained."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class SplitReference:
    """Which images the weights have seen."""

    digest: str
    """Of the whole split table: path, class, part and content of every image."""
    seed: int
    rule: str
    fold: tuple[int, int] | None = None
    """Which fold is the test part, from 1, and of how many."""
    group_by: str | None = None
    """The pattern that groups were read with."""
    holdout: bool = True
    """Whether images were held out for validation."""
    before: bool = False
    """Whether the weights it started from learned from images that the run folder names."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class ModelHeader:
    """What a model file says beside its weights."""

    format: int = FORMAT
    task: str = "classification"
    architecture: ArchitectureReference
    classes: tuple[str, ...]
    """In the order of the network's outputs."""
    canvas: tuple[int, int]
    """(height, width) to which an image is framed before preprocessing."""
    framing_rule: Framing = "whole"
    """How: as of `imaging.Canvas`."""
    preprocessing: dict[str, Any]
    """Arguments of `imaging.Preprocessing`."""
    depth: Depth = "uint8"
    """How values of an image are kept."""
    pages: str = ""
    """Of files of several pages or frames, which are meant: as of `imaging.decode_array`."""
    channel_names: tuple[str, ...] = ()
    """What the channels are called, where that is known."""
    objective: str
    """Its name."""
    objective_settings: dict[str, Any]
    thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
    temperature: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] | None = None
    """What logits are divided by before the softmax, if anything."""
    split: SplitReference | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    """On the validation split, when it was saved; computed in the plan's number format."""
    epoch: int = 0
    """Epochs trained."""
    averaged: bool = False
    """Whether the weights are the exponential moving average."""
    data: str = ""
    """What the user called the images."""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def framing(self) -> Canvas:
        """The canvas, with all that is to be known to bring a file onto it."""
        channels = self.architecture.in_channels
        return Canvas(*self.canvas, channels, self.depth, self.pages, self.framing_rule)


def versions() -> dict[str, str]:
    """What a run is made with."""
    import numpy as np
    import PIL

    return {
        "sightline": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "Pillow": PIL.__version__,
        "python": platform.python_version(),
    }


def save_model_file(path: Path, state: dict[str, Tensor], header: ModelHeader) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: Its name.
        state: The network's `state_dict()`.
        header: What goes with it.

    Raises:
        StorageError: if the disk refuses.
    """
    metadata = {HEADER_KEY: json.dumps(dataclasses.asdict(header), sort_keys=True)}
    write_with(path, lambda partial: save_tensors(partial, state, metadata))


def read_header(path: Path) -> ModelHeader:
    """Read what a model file says, without its weights.

    Raises:
        ModelFileError: if it is not a model file, or of a newer format.
    """
    metadata = _metadata(path)
    if HEADER_KEY not in metadata:
        raise ModelFileError(f"{path} holds weights but not what they are of; name the network: NAME@{path}")
    try:
        fields = json.loads(metadata[HEADER_KEY])
        if not isinstance(fields, dict):
            raise TypeError("no object")
        if fields.get("format", 0) > FORMAT:
            versions = f"{fields.get('versions')!a}"[:200]
            raise ModelFileError(f"{path} was written by a newer Sightline ({versions})")
        header = ModelHeader(**fields)
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is not a model file: its header is broken") from error
    _check_numbers(path, header)
    return header


def _check_numbers(path: Path, header: ModelHeader) -> None:
    """Whether sizes, channels and classes are such as a network can have."""
    built = header.architecture
    odd = [
        what
        for what, numbers, most in (
            ("input size", built.input_size, MAX_SIDE),
            ("canvas", header.canvas, MAX_SIDE),
            ("number of channels", (built.in_channels,), MAX_SIDE),
            ("number of classes", (built.num_classes, len(header.classes)), 10**6),
        )
        if not all(0 < number <= most for number in numbers)
    ]
    for name in ("mean", "std"):
        values = header.preprocessing.get(name)
        if not isinstance(values, list | tuple) or not all(
            isinstance(value, int | float) and abs(value) < 1e30 for value in values
        ):
            odd.append(name)
    if odd:
        raise ModelFileError(f"{path} is not a model file: the {odd[0]} in its header cannot be")
    if len(built.name) > 200 or not all(name.isprintable() for name in (built.name, *header.classes)):
        raise ModelFileError(f"{path} is not a model file: a name in its header cannot be")


def read_model_file(path: Path) -> tuple[ModelHeader, dict[str, Tensor]]:
    """Read a model file. -> its header and its weights, on the CPU.

    Raises:
        ModelFileError: as `read_header`.
    """
    return read_header(path), _tensors(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights from any file that can be read without running code.

    A model file, any `.safetensors`, a PyTorch checkpoint (read weights-only): the state dict itself, or
    one under `state_dict`, `model` or `network`; or an `.npz` of arrays. The content says which it is, not
    the name of the file. `module.` and `_orig_mod.` before names are dropped.

    Raises:
        ModelFileError: if it is none of these.
    """
    if not path.is_file():
        raise ModelFileError(f"no such model file: {path}")
    content: Any
    if _is_npz(path):
        try:
            content = _arrays(path)
        except Exception as error:  # objects, text, or an archive that is broken in any way
            raise ModelFileError(f"{path} cannot be read as arrays of numbers: {_brief(error)}") from error
    elif _looks_pickled(path):
        try:
            content = _unpickled(path)
        except Exception as error:  # whatever the unpickler meets in a file that is not what it should be
            raise ModelFileError(
                f"{path} cannot be read as weights only; it is broken, or holds objects that could run code"
            ) from error
    else:
        _metadata(path)
        content = _tensors(path)
    for key in ("state_dict", "model", "network"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ModelFileError(f"{path} holds no weights by name")
    state = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    for prefix in ("module.", "_orig_mod."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    if not state:
        raise ModelFileError(f"{path} holds no tensors by name")
    return state


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise ModelFileError(f"no such model file: {path}")
    if _looks_pickled(path):
        raise ModelFileError(
            f"{path} is a PyTorch or pickle file, not a model file, and reading one could run code; "
            f"its weights alone can be read with NAME@{path}"
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is not a model file: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    """What an error says, on one line that can be shown."""
    said = " ".join(str(error).split())[:200]
    return said if said.isprintable() else ascii(said)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # a type of number that torch has not, an offset that is not aligned...
        raise ModelFileError(f"{path} cannot be read as weights: {_brief(error)}") from error


def _arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of an `.npz`, each of which is as large as its header says before any memory is taken."""
    tensors = {}
    with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                readers = {(1, 0): np.lib.format.read_array_header_1_0}
                shape, _, dtype = readers.get(version, np.lib.format.read_array_header_2_0)(file)
            if math.prod(shape) * dtype.itemsize > archive.getinfo(name).file_size:
                raise ValueError(f"{name} claims shape {shape}")
            with archive.open(name) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            tensors[name.removesuffix(".npy")] = torch.from_numpy(array)
    return tensors


class _Bounded(io.BufferedReader):
    """A file of which no more is asked for than it has: a pickle may claim a text of 4 GB."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, left))


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if zipfile.is_zipfile(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        with _Bounded(path.open("rb", buffering=0)) as file:
            return torch.load(file, map_location="cpu", weights_only=True)


def _is_npz(path: Path) -> bool:
    """Whether a file is a zip of NumPy arrays; PyTorch's zips hold a pickle."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # the end of a zip behind something else: whoever reads it will say why
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def _looks_pickled(path: Path) -> bool:
    """Whether a file begins as a pickle or PyTorch's zip does, and not as a safetensors file.

    A safetensors file begins with the length of its header, whose bytes can be anything, and then a brace.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return False
    return start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
