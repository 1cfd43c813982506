"""The model file: weights and everything needed to use them, in one `.safetensors`.

The header is JSON under the metadata key `sightline`. Reading one runs no code and needs no other file; a
network from a user's own `FILE.py:NAME` is remembered by path and digest, and asked for.
"""

from __future__ import annotations

import dataclasses
import json
import platform
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
from sightline.imaging import Canvas, Depth
from sightline.records._tensors import save_tensors

FORMAT = 2
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
        return Canvas(*self.canvas, self.architecture.in_channels, self.depth, self.pages)


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
        if fields.get("format", 0) > FORMAT:
            raise ModelFileError(f"{path} was written by a newer Sightline ({fields.get('versions')})")
        return ModelHeader(**fields)
    except (ValueError, TypeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is not a model file: its header is broken") from error


def read_model_file(path: Path) -> tuple[ModelHeader, dict[str, Tensor]]:
    """Read a model file. -> its header and its weights, on the CPU.

    Raises:
        ModelFileError: as `read_header`.
    """
    return read_header(path), safetensors.torch.load_file(path)


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
            with np.load(path, allow_pickle=False) as arrays:
                content = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        except (ValueError, TypeError, OSError) as error:  # objects, text, or a broken archive
            raise ModelFileError(f"{path} cannot be read as arrays of numbers: {error}") from error
    elif _looks_pickled(path):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the unpickler meets in a file that is not what it should be
            raise ModelFileError(
                f"{path} cannot be read as weights only; it is broken, or holds objects that could run code"
            ) from error
    else:
        _metadata(path)
        content = safetensors.torch.load_file(path)
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
        raise ModelFileError(f"{path} is not a model file: {error}") from error


def _is_npz(path: Path) -> bool:
    """Whether a file is a zip of NumPy arrays; PyTorch's zips hold a pickle."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
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
