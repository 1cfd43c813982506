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
    from sightline.lab._exercise import TOPICS as TOPICS
    from sightline.lab._exercise import Exercise as Exercise
    from sightline.lab._exercise import Grid as Grid
    from sightline.lab._exercise import Sheet as Sheet
    from sightline.lab._exercise import make_exercises as make_exercises
    from sightline.lab._exercise_gift import gift_text as gift_text
    from sightline.lab._exercise_gift import write_gift as write_gift
    from sightline.lab._exercise_page import key_page as key_page
    from sightline.lab._exercise_page import sheet_page as sheet_page
    from sightline.lab._exercise_page import write_sheet as write_sheet
    from sightline.lab._page import page_dict as page_dict
    from sightline.lab._syllabus import check_setting as check_setting
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
        "_exercise": ("Exercise", "Grid", "Sheet", "TOPICS", "make_exercises"),
        "_exercise_gift": ("gift_text", "write_gift"),
        "_exercise_page": ("key_page", "sheet_page", "write_sheet"),
        "_page": ("page_dict",),
        "_syllabus": ("check_setting", "find_entry", "run_entry", "syllabus"),
    },
)
