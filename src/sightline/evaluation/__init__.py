"""Judging: scores with intervals, calibration, the report."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.evaluation._calibration import fit_temperature as fit_temperature
    from sightline.evaluation._compare import Comparison as Comparison
    from sightline.evaluation._compare import compare as compare
    from sightline.evaluation._compare import compare_answers as compare_answers
    from sightline.evaluation._ensemble import Ensemble as Ensemble
    from sightline.evaluation._ensemble import combine as combine
    from sightline.evaluation._ensemble import evaluate_ensemble as evaluate_ensemble
    from sightline.evaluation._evaluate import History as History
    from sightline.evaluation._evaluate import evaluate as evaluate
    from sightline.evaluation._evaluate import history_of as history_of
    from sightline.evaluation._evaluate import judged_images as judged_images
    from sightline.evaluation._evaluation import Evaluation as Evaluation
    from sightline.evaluation._evaluation import Mistake as Mistake
    from sightline.evaluation._evaluation import Shown as Shown
    from sightline.evaluation._evaluation import judge as judge
    from sightline.evaluation._evaluation import pool as pool
    from sightline.evaluation._labels import LabelIssue as LabelIssue
    from sightline.evaluation._labels import LabelReview as LabelReview
    from sightline.evaluation._labels import class_thresholds as class_thresholds
    from sightline.evaluation._labels import likely_mislabelled as likely_mislabelled
    from sightline.evaluation._labels import review_labels as review_labels
    from sightline.evaluation._published import published_line as published_line
    from sightline.evaluation._published import published_of as published_of
    from sightline.evaluation._scores import ClassificationScores as ClassificationScores
    from sightline.evaluation._scores import ClassScore as ClassScore
    from sightline.evaluation._scores import mean_interval as mean_interval
    from sightline.evaluation._scores import reliability as reliability
    from sightline.evaluation._scores import score as score
    from sightline.evaluation._scores import wilson_interval as wilson_interval
    from sightline.evaluation.report import SeriesMember as SeriesMember
    from sightline.evaluation.report import write_report as write_report
    from sightline.evaluation.report import write_series_report as write_series_report
    from sightline.evaluation.report._label_page import write_corrections as write_corrections
    from sightline.evaluation.report._label_page import write_label_page as write_label_page

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_calibration": ("fit_temperature",),
        "_compare": ("Comparison", "compare", "compare_answers"),
        "_ensemble": ("Ensemble", "combine", "evaluate_ensemble"),
        "_evaluate": ("History", "evaluate", "history_of", "judged_images"),
        "_evaluation": ("Evaluation", "Mistake", "Shown", "judge", "pool"),
        "_labels": (
            "LabelIssue",
            "LabelReview",
            "class_thresholds",
            "likely_mislabelled",
            "review_labels",
        ),
        "_published": ("published_line", "published_of"),
        "_scores": (
            "ClassScore",
            "ClassificationScores",
            "mean_interval",
            "reliability",
            "score",
            "wilson_interval",
        ),
        "report": ("SeriesMember", "write_report", "write_series_report"),
        "report._label_page": ("write_corrections", "write_label_page"),
    },
)
