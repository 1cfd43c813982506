"""Tasks and objectives by the names that model files use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sightline.base import ArgumentError, ModelFileError, did_you_mean
from sightline.tasks._interface import Objective
from sightline.tasks.classification import RBF, AuxiliaryCrossEntropy, CrossEntropy

_OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "cross_entropy": CrossEntropy,
    "cross_entropy_auxiliary": AuxiliaryCrossEntropy,
    "rbf": RBF,
}


def make_objective(name: str, settings: dict[str, Any]) -> Objective:
    """The objective of this name.

    Args:
        name: As in a model file or an architecture's record.
        settings: Its arguments.

    Raises:
        ModelFileError: if this version knows no such objective.
        ArgumentError: if it has no such argument, or it is not allowed.
    """
    if name not in _OBJECTIVES:
        raise ModelFileError(f"unknown objective {name!r}; {did_you_mean(name, _OBJECTIVES)}")
    known = list(inspect.signature(_OBJECTIVES[name]).parameters)
    strange = next((key for key in settings if key not in known), None)
    if strange is not None:
        raise ArgumentError(f"objective {name}: no argument {strange!r}; {did_you_mean(strange, known)}")
    try:
        return _OBJECTIVES[name](**settings)
    except TypeError as error:
        raise ArgumentError(f"objective {name}: {settings} are not of the right kind: {error}") from error
