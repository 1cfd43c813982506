"""The smallest image a network can take, said before it is built."""

from __future__ import annotations

from sightline.base import ArgumentError


def check_size(name: str, input_size: tuple[int, int], smallest: int) -> None:
    """Whether something is left of an input at every layer.

    Args:
        name: The network.
        input_size: (height, width).
        smallest: Of each.

    Raises:
        ArgumentError: if not; it names the smallest input.
    """
    height, width = input_size
    if min(height, width) < smallest:
        raise ArgumentError(
            f"{name} cannot take an input of {height}x{width} (height x width); "
            f"it takes {smallest}x{smallest} and more"
        )
