"""Weights under other names than a network's own: recognised by their names, renamed, and said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

_FIRES = {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}
"""SqueezeNet 1.0: the number of a fire module in the paper, and its place in `features`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translation:
    """How weights of one origin become a network's own."""

    architecture: str
    origin: str
    """For messages: where such names come from."""
    mark: str
    """A name that only such weights have."""
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    preprocessing: Mapping[str, Any]
    """What such weights expect, as arguments of `imaging.Preprocessing` but for size and fit."""


def _caffe_squeezenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Caffe's layer names of SqueezeNet 1.0; its first kernel takes BGR, ours RGB."""
    names = {"conv1": "features.0", "conv_final": "classifier.1"}
    for fire, place in _FIRES.items():
        names |= {
            f"fire{fire}__conv1x1_1": f"features.{place}.squeeze",
            f"fire{fire}__conv1x1_2": f"features.{place}.expand1x1",
            f"fire{fire}__conv3x3_2": f"features.{place}.expand3x3",
        }
    renamed = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{kind}"] = tensor
    renamed["features.0.weight"] = renamed["features.0.weight"].flip(1).contiguous()
    return renamed


TRANSLATIONS = (
    Translation(
        architecture="squeezenet1_0",
        origin="Caffe",
        mark="fire2__conv1x1_1.weight",
        rename=_caffe_squeezenet,
        preprocessing={
            "mean": [123 / 255, 117 / 255, 104 / 255],  # of values to 255, without a deviation
            "std": [1 / 255, 1 / 255, 1 / 255],
        },
    ),
)


def find_translation(architecture: str, state: Mapping[str, Tensor]) -> Translation | None:
    """The translation that some weights need for an architecture, if there is one."""
    for translation in TRANSLATIONS:
        if translation.architecture == architecture and translation.mark in state:
            return translation
    return None
