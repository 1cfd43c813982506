"""A network from a user's own file, named `FILE.py:NAME`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from torch import nn

from sightline.base import ArgumentError, did_you_mean
from sightline.zoo._registry import Architecture

_OURS = ("num_classes", "in_channels", "input_size")


def load_object(spec: str) -> tuple[Any, str]:
    """The object a user's `FILE.py:NAME` names, and the file's digest. Runs the file.

    Raises:
        ArgumentError: if there is no such file or name, or the file fails.
    """
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ArgumentError(f"{spec}: no such file: {file}")
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    module_name = f"sightline_user_{digest}"
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file does wrong
        del sys.modules[module_name]
        raise ArgumentError(f"{spec}: {file} fails: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ArgumentError(f"{spec}: {file} has no {name!r}; {did_you_mean(name, public)}")
    return getattr(module, name), digest


def foreign_architecture(spec: str) -> Architecture:
    """The architecture of a user's `FILE.py:NAME`: a module class, or a function that returns a module.

    It is called with those of `num_classes`, `in_channels` and `input_size` that it takes and that are given;
    1000, 3 and (224, 224) stand in for what it needs and nobody gave.

    Raises:
        ArgumentError: if it is neither, or wants an argument that we do not have.
    """
    target, digest = load_object(spec)
    if not callable(target) or isinstance(target, nn.Module):
        raise ArgumentError(
            f"{spec} is {type(target).__name__}; expected a class or function that makes a module"
        )
    parameters = inspect.signature(target).parameters.values()
    taken = {p.name for p in parameters} & set(_OURS)
    plain = getattr(target, "__init__", None) is nn.Module.__init__  # it takes keywords, and refuses them
    if any(p.kind is p.VAR_KEYWORD for p in parameters) and not plain:
        taken = set(_OURS)
    unknown = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in _OURS
    ]
    if unknown:
        raise ArgumentError(f"{spec} needs {unknown[0]!r}; it may need only {', '.join(_OURS)}")

    own = {p.name: p.default for p in parameters if p.name in _OURS and p.default is not p.empty}
    channels, size = own.get("in_channels"), own.get("input_size")
    shape = (
        channels if isinstance(channels, int) else 3,
        *(size if isinstance(size, tuple) and len(size) == 2 else (224, 224)),
    )
    stand_ins: dict[str, object] = {"num_classes": 1000, "in_channels": shape[0], "input_size": shape[1:]}

    def build(**ours: object) -> nn.Module:
        given = {name: value for name, value in ours.items() if name in taken and value is not None}
        needed = {name: value for name, value in stand_ins.items() if name in taken - own.keys()}
        try:
            network = target(**(needed | given))
        except (Exception, SystemExit) as error:  # whatever the user's code does wrong
            raise ArgumentError(f"{spec} fails: {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            raise ArgumentError(f"{spec} returns {type(network).__name__}, not a torch.nn.Module")
        return network

    return Architecture(
        name=spec.rpartition(":")[2],
        builder=build,
        paper="",
        year=0,
        input_shape=shape,
        num_classes=1000,
        parameters=0,
        macs=0,
        stem="",
        head="",
        source=spec,
        source_digest=digest,
    )
