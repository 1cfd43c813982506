"""Reports: one HTML file of a run, or of a series of runs, that needs nothing else; other pages like them."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.evaluation.report._page import write_page as write_page
    from sightline.evaluation.report._plot import RIGHT as RIGHT
    from sightline.evaluation.report._plot import WRONG as WRONG
    from sightline.evaluation.report._plot import plot as plot
    from sightline.evaluation.report._run import write_report as write_report
    from sightline.evaluation.report._series import SeriesMember as SeriesMember
    from sightline.evaluation.report._series import write_series_report as write_series_report

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_page": ("write_page",),
        "_plot": ("RIGHT", "WRONG", "plot"),
        "_run": ("write_report",),
        "_series": ("SeriesMember", "write_series_report"),
    },
)
