"""The one reader of what a user calls a model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sightline.base import ArgumentError, ModelFileError
from sightline.zoo import Architecture, foreign_architecture, get_architecture, load_weights, public_file

if TYPE_CHECKING:
    from sightline.records import ModelHeader

FORMS = "a zoo name, NAME@FILE, NAME@public, FILE.py:NAME, a run folder, or a model file"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedModel:
    """What a user meant by a model: a network, perhaps its weights, perhaps all that goes with them."""

    spec: str
    """What the user wrote."""
    architecture: Architecture
    weights: Mapping[str, Tensor] | None = None
    """By name; None where only a network was named."""
    header: ModelHeader | None = None
    """Of a model file or a run; None where weights, if any, came alone."""
    path: Path | None = None
    """The file the weights are from."""

    def build(
        self,
        *,
        num_classes: int | None = None,
        in_channels: int | None = None,
        input_size: tuple[int, int] | None = None,
    ) -> nn.Module:
        """The network with its weights, as it was trained; or fresh, where there are none.

        Args:
            num_classes: Logits; where the model has weights, theirs.
            in_channels: Channels of an image; likewise.
            input_size: (height, width) of an image; likewise.

        Raises:
            ArgumentError: if the input is too small for the network.
            ModelFileError: if the weights do not fit it.
        """
        if self.header is not None:
            built = self.header.architecture
            num_classes, in_channels, input_size = built.num_classes, built.in_channels, built.input_size
        architecture = self.architecture
        if self.header is not None and not architecture.source:
            arguments = self.header.architecture.arguments
            architecture = dataclasses.replace(architecture, arguments=arguments)
        network = architecture.build(num_classes=num_classes, in_channels=in_channels, input_size=input_size)
        if self.weights is not None:
            load_weights(network, self.weights, self.architecture, adapt=False, origin=str(self.path))
        return network


def resolve(spec: str) -> ResolvedModel:
    """Read what a user calls a model.

    Args:
        spec: A zoo name, `NAME@FILE`, `FILE.py:NAME`, `FILE.py:NAME@FILE`, a run folder, or a model file.
            A name is a path if the path exists.

    Raises:
        ArgumentError: if it names nothing.
        ModelFileError: if the file it names is not what it should be, or needs code that is not named.
    """
    path = Path(spec)
    if path.exists():
        return _from_path(spec, path)
    name, at, file = spec.rpartition("@")
    if not at:
        return ResolvedModel(spec=spec, architecture=_architecture(spec))
    architecture = _architecture(name)
    from sightline.records import read_weights  # a name alone needs no file

    weights_path = public_file(name) if file == "public" else _weights_file(Path(file))
    weights = read_weights(weights_path)
    header = file_header(weights_path)
    if header is not None:
        _check_same(spec, architecture, header, weights_path)
    return ResolvedModel(
        spec=spec,
        architecture=architecture,
        weights=weights,
        header=header,
        path=weights_path,
    )


def starting_weights(spec: str) -> tuple[Mapping[str, Tensor], str]:
    """Weights to start training from, whatever network they are of. -> by name, and where they are from.

    Args:
        spec: A run folder, a model file, a file of weights alone, `NAME@FILE` or `NAME@public`.

    Raises:
        ArgumentError: if it names nothing, or only a network.
        ModelFileError: if the file cannot be read as weights.
    """
    from sightline.records import read_weights

    if Path(spec).exists():
        file = _weights_file(Path(spec))
        return read_weights(file), str(file)
    name, at, file_name = spec.rpartition("@")
    if at and file_name == "public":
        return read_weights(public_file(name)), spec
    if not at:
        raise ArgumentError(f"no weights named {spec!r}; give a run folder, a model file, or NAME@FILE")
    return read_weights(_weights_file(Path(file_name))), file_name


def _from_path(spec: str, path: Path) -> ResolvedModel:
    if path.suffix == ".py":
        raise ArgumentError(f"{spec} is Python code; name the network in it: {spec}:NAME")
    from sightline.records import read_model_file

    file = _weights_file(path)
    header, weights = read_model_file(file)
    reference = header.architecture
    if reference.source:
        raise ModelFileError(
            f"{file} holds weights of {reference.source}, whose code is not in the file and is not run "
            f"unasked; name it: {reference.source}@{spec}"
        )
    return ResolvedModel(
        spec=spec, architecture=get_architecture(reference.name), weights=weights, header=header, path=file
    )


def _weights_file(path: Path) -> Path:
    """The file itself, or the best weights of a run folder."""
    from sightline.records import SeriesFolder

    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    if SeriesFolder.is_one(path):
        members = ", ".join(SeriesFolder(path).names())
        raise ModelFileError(f"{path} is a series of runs, not one; name one of them: {members}")
    raise ModelFileError(f"{path} is a folder without best.safetensors or last.safetensors; expected {FORMS}")


def _architecture(name: str) -> Architecture:
    file, colon, _ = name.rpartition(":")
    if colon and file.endswith(".py"):
        return foreign_architecture(name)
    if os.sep in name or name.endswith((".safetensors", ".pt", ".pth", ".onnx")):
        raise ArgumentError(f"no such file: {name}; a model is {FORMS}")
    return get_architecture(name)


def file_header(path: Path) -> ModelHeader | None:
    """The header of a model file; None of a file that holds only weights, which `read_weights` has read."""
    import safetensors

    from sightline.records import HEADER_KEY, read_header

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            bare = HEADER_KEY not in (file.metadata() or {})
    except safetensors.SafetensorError:  # weights that are readable, and no safetensors: PyTorch's own
        bare = True
    return None if bare else read_header(path)


def _check_same(spec: str, architecture: Architecture, header: ModelHeader, path: Path) -> None:
    reference = header.architecture
    if reference.name != architecture.name:
        raise ModelFileError(f"{path} holds weights of {reference.name}, not of {architecture.name}")
    if reference.source and reference.source_digest != architecture.source_digest:
        raise ModelFileError(
            f"{architecture.source} has changed since {path} was trained from it; "
            f"give the file as it was, or read the weights alone"
        )
