"""What a network is, read from a forward pass."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.blueprint._walk import first_non_finite as first_non_finite
    from sightline.blueprint._walk import in_mode as in_mode
    from sightline.blueprint._walk import output_shape as output_shape
    from sightline.blueprint._walk import run_once as run_once

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"_walk": ("first_non_finite", "in_mode", "output_shape", "run_once")}
)
