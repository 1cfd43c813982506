"""Architectures, one file a paper, and the registry."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.zoo._foreign import foreign_architecture as foreign_architecture
    from sightline.zoo._foreign import load_object as load_object
    from sightline.zoo._registry import Architecture as Architecture
    from sightline.zoo._registry import PublishedResult as PublishedResult
    from sightline.zoo._registry import Stage as Stage
    from sightline.zoo._registry import create_model as create_model
    from sightline.zoo._registry import get_architecture as get_architecture
    from sightline.zoo._registry import list_architectures as list_architectures
    from sightline.zoo._registry import register as register
    from sightline.zoo._weights import WeightsLoaded as WeightsLoaded
    from sightline.zoo._weights import load_weights as load_weights

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_foreign": ("foreign_architecture", "load_object"),
        "_registry": (
            "Architecture",
            "PublishedResult",
            "Stage",
            "create_model",
            "get_architecture",
            "list_architectures",
            "register",
        ),
        "_weights": ("WeightsLoaded", "load_weights"),
    },
)
