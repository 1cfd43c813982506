"""Recipes: Python functions that return a whole one."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.training.recipes._choose import choose_recipe as choose_recipe
    from sightline.training.recipes._default import default as default

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"_choose": ("choose_recipe",), "_default": ("default",)}
)
