"""The studio: the lecture, networks and images on a page of this machine, computed in Python."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.studio._server import create_app as create_app
    from sightline.studio._server import serve as serve
    from sightline.studio._settings import Settings as Settings

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_server": ("create_app", "serve"),
        "_settings": ("Settings",),
    },
)
