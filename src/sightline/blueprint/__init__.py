"""What a network is, read from a forward pass."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.blueprint._walk import first_non_finite as first_non_finite
    from sightline.blueprint._walk import output_shape as output_shape

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"_walk": ("first_non_finite", "output_shape")})
