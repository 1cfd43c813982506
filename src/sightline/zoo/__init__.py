"""Architectures, one file a paper, and the registry."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.zoo._foreign import foreign_architecture as foreign_architecture
    from sightline.zoo._foreign import load_object as load_object
    from sightline.zoo._public import FOR_LECTURE as FOR_LECTURE
    from sightline.zoo._public import IMAGENET_MEAN as IMAGENET_MEAN
    from sightline.zoo._public import IMAGENET_STD as IMAGENET_STD
    from sightline.zoo._public import LICENCE as LICENCE
    from sightline.zoo._public import PUBLIC as PUBLIC
    from sightline.zoo._public import PublicWeights as PublicWeights
    from sightline.zoo._public import public_file as public_file
    from sightline.zoo._public import public_weights as public_weights
    from sightline.zoo._registry import Architecture as Architecture
    from sightline.zoo._registry import PublishedResult as PublishedResult
    from sightline.zoo._registry import Stage as Stage
    from sightline.zoo._registry import get_architecture as get_architecture
    from sightline.zoo._registry import list_architectures as list_architectures
    from sightline.zoo._registry import register as register
    from sightline.zoo._translate import Translation as Translation
    from sightline.zoo._translate import find_translation as find_translation
    from sightline.zoo._weights import WeightsLoaded as WeightsLoaded
    from sightline.zoo._weights import load_weights as load_weights

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_foreign": ("foreign_architecture", "load_object"),
        "_public": (
            "FOR_LECTURE",
            "LICENCE",
            "IMAGENET_MEAN",
            "IMAGENET_STD",
            "PUBLIC",
            "PublicWeights",
            "public_file",
            "public_weights",
        ),
        "_registry": (
            "Architecture",
            "PublishedResult",
            "Stage",
            "get_architecture",
            "list_architectures",
            "register",
        ),
        "_translate": ("Translation", "find_translation"),
        "_weights": ("WeightsLoaded", "load_weights"),
    },
)
