"""Judging: scores with intervals, calibration, the report."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.evaluation._evaluate import Evaluation as Evaluation
    from sightline.evaluation._evaluate import evaluate as evaluate
    from sightline.evaluation._evaluate import judge as judge
    from sightline.evaluation._evaluate import judged_images as judged_images
    from sightline.evaluation._report import write_report as write_report
    from sightline.evaluation._scores import ClassificationScores as ClassificationScores
    from sightline.evaluation._scores import reliability as reliability
    from sightline.evaluation._scores import score as score
    from sightline.evaluation._scores import wilson_interval as wilson_interval

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_evaluate": ("Evaluation", "evaluate", "judge", "judged_images"),
        "_report": ("write_report",),
        "_scores": ("ClassificationScores", "reliability", "score", "wilson_interval"),
    },
)
