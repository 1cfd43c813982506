"""The checkpoint: everything a run needs to go on, in one directory renamed into place as a unit.

`resume/` holds `checkpoint-N/`. A new one is complete under a hidden name before it is renamed, and older
ones are removed after that; whoever reads takes the highest N. Tensors are safetensors, the rest is JSON.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from sightline.base import DataError, link_or_copy, sweep_partials, write_directory
from sightline.records._tensors import save_tensors

_PREFIX = "checkpoint-"
_TENSORS, _STATE = "tensors.safetensors", "state.json"
_MARK = "__tensor__"


def save_checkpoint(folder: Path, state: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Save a state, and with it the present content of some files.

    Args:
        folder: The run's `resume/`.
        state: A tree of dicts, lists, tensors, and what JSON can say.
        files: Files to keep with it, by the name they get; those that do not exist are passed over.

    Raises:
        StorageError: if the disk refuses; the checkpoint before it is whole.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _pack(state, "", tensors)

    def fill(directory: Path) -> None:
        save_tensors(directory / _TENSORS, tensors)
        (directory / _STATE).write_text(json.dumps(skeleton))
        for name, path in files.items():
            if path.exists():
                link_or_copy(path, directory / name)

    older = _checkpoints(folder)
    number = _number(older[-1]) + 1 if older else 0
    write_directory(folder / f"{_PREFIX}{number:06d}", fill)
    for path in older:
        shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], Path]:
    """Load the newest checkpoint. -> its state, and the directory with the files kept with it.

    Raises:
        DataError: if there is none, or it cannot be read.
    """
    sweep_partials(folder)
    found = _checkpoints(folder)
    if not found:
        if (folder.parent / "results.csv").exists():
            raise DataError(
                f"{folder.parent} has no checkpoint left to go on from; start anew from what it learned: "
                f"--weights {folder.parent}"
            )
        raise DataError(f"{folder.parent} was stopped before its first checkpoint; start it again")
    path = found[-1]
    try:
        tensors = safetensors.torch.load_file(path / _TENSORS)
        state = _unpack(json.loads((path / _STATE).read_text()), tensors)
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise DataError(f"the checkpoint {path} cannot be read: {error}") from error
    return state, path


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"), key=_number)


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _pack(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with each tensor replaced by its key in `tensors`."""
    if isinstance(node, Tensor):
        tensors[path] = node
        return {_MARK: path}
    if isinstance(node, Mapping):
        assert all(isinstance(key, str) for key in node), f"keys must be text: {path}"
        return {key: _pack(value, f"{path}/{key}", tensors) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_pack(value, f"{path}/{i}", tensors) for i, value in enumerate(node)]
    assert node is None or isinstance(node, str | int | float | bool), f"{path} is {type(node).__name__}"
    return node


def _unpack(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, dict):
        if _MARK in node:
            return tensors[node[_MARK]]
        return {key: _unpack(value, tensors) for key, value in node.items()}
    if isinstance(node, list):
        return [_unpack(value, tensors) for value in node]
    return node
