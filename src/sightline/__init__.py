"""Sightline: from a folder of images to a network that is designed, trained, measured and understood."""

from typing import TYPE_CHECKING

from sightline._version import __version__ as __version__
from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.blueprint import execute as execute
    from sightline.blueprint import record as record
    from sightline.blueprint import summarize as summarize
    from sightline.data import open_images as open_images
    from sightline.data import split_images as split_images
    from sightline.evaluation import evaluate as evaluate
    from sightline.inference import compare_models as compare_models
    from sightline.inference import create_model as create_model
    from sightline.inference import load_predictor as load_predictor
    from sightline.inference import resolve as resolve
    from sightline.training import Recipe as Recipe
    from sightline.training import resume as resume
    from sightline.training import train as train

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_version": ("__version__",),
        "blueprint": ("execute", "record", "summarize"),
        "data": ("open_images", "split_images"),
        "evaluation": ("evaluate",),
        "inference": ("compare_models", "create_model", "load_predictor", "resolve"),
        "training": ("Recipe", "resume", "train"),
    },
)
