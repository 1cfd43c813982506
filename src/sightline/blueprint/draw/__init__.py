"""A network as a picture: SVG text, made here, that needs nothing but itself."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.blueprint.draw._draw import STYLES as STYLES
    from sightline.blueprint.draw._draw import draw as draw
    from sightline.blueprint.draw._draw import repr_svg as repr_svg
    from sightline.blueprint.draw._kinds import COLOURS as COLOURS

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_draw": ("STYLES", "draw", "repr_svg"),
        "_kinds": ("COLOURS",),
    },
)
