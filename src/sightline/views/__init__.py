"""What a network sees: kernels, maps, neurons, projections, attributions, features, fields."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.views._registry import HOWS as HOWS
    from sightline.views._registry import How as How
    from sightline.views._registry import Request as Request
    from sightline.views._registry import find_view as find_view
    from sightline.views._registry import view as view
    from sightline.views._subject import Picture as Picture
    from sightline.views._subject import Subject as Subject
    from sightline.views._subject import open_subject as open_subject
    from sightline.views._view import Panel as Panel
    from sightline.views._view import Scale as Scale
    from sightline.views._view import View as View

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_registry": ("HOWS", "How", "Request", "find_view", "view"),
        "_subject": ("Picture", "Subject", "open_subject"),
        "_view": ("Panel", "Scale", "View"),
    },
)
