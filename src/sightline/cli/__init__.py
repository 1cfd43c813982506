"""The command line."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.cli._app import app as app
    from sightline.cli._app import main as main

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"_app": ("app", "main")})
