"""A network of the zoo, fresh or with weights."""

from __future__ import annotations

import logging

from torch import nn

from sightline.inference._resolve import starting_weights
from sightline.zoo import get_architecture, load_weights, public_file

_LOG = logging.getLogger("sightline")


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: tuple[int, int] | None = None,
    weights: str | None = None,
) -> nn.Module:
    """Build a network of the zoo.

    Args:
        name: Its name.
        num_classes: How many logits it returns; the paper's number by default.
        in_channels: Channels of its input; the paper's by default.
        input_size: (height, width) of its input; the paper's by default.
        weights: `public`, or a run, model file or weights file; fresh weights by default. Head and stem stay
            fresh where their shape differs; the logger `sightline` says what was kept and what is new.

    Raises:
        ArgumentError: if there is no such network, or the input is too small for it.
        ModelFileError: if the weights cannot be read, or do not fit.

    Example:
        >>> sum(p.numel() for p in create_model("lenet5").parameters())
        61706
    """
    architecture = get_architecture(name)
    network = architecture.build(num_classes=num_classes, in_channels=in_channels, input_size=input_size)
    if weights is not None:
        state, origin = starting_weights(str(public_file(name)) if weights == "public" else weights)
        loaded = load_weights(network, state, architecture, adapt=True, origin=origin)
        _LOG.info("%s: %s", origin, loaded.describe())
    return network
