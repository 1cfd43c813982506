"""The lecture, live: its syllabus, what each stop shows, exercises."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.lab._entry import Correction as Correction
    from sightline.lab._entry import Entry as Entry
    from sightline.lab._entry import Listing as Listing
    from sightline.lab._entry import Page as Page
    from sightline.lab._entry import Picture as Picture
    from sightline.lab._entry import Play as Play
    from sightline.lab._entry import Plot as Plot
    from sightline.lab._entry import Setting as Setting
    from sightline.lab._entry import Table as Table
    from sightline.lab._page import page_dict as page_dict
    from sightline.lab._syllabus import find_entry as find_entry
    from sightline.lab._syllabus import run_entry as run_entry
    from sightline.lab._syllabus import syllabus as syllabus

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_entry": (
            "Correction",
            "Entry",
            "Listing",
            "Page",
            "Picture",
            "Play",
            "Plot",
            "Setting",
            "Table",
        ),
        "_page": ("page_dict",),
        "_syllabus": ("find_entry", "run_entry", "syllabus"),
    },
)
