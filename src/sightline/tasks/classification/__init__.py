"""Classification: one of some named classes for each image."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.tasks.classification._auxiliary import AuxiliaryCrossEntropy as AuxiliaryCrossEntropy
    from sightline.tasks.classification._metric import SELECTORS as SELECTORS
    from sightline.tasks.classification._metric import Answers as Answers
    from sightline.tasks.classification._metric import ClassificationMetric as ClassificationMetric
    from sightline.tasks.classification._metric import better as better
    from sightline.tasks.classification._metric import check_selector as check_selector
    from sightline.tasks.classification._objective import CrossEntropy as CrossEntropy
    from sightline.tasks.classification._rbf import RBF as RBF
    from sightline.tasks.classification._task import ClassificationTask as ClassificationTask

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_auxiliary": ("AuxiliaryCrossEntropy",),
        "_metric": ("SELECTORS", "Answers", "ClassificationMetric", "better", "check_selector"),
        "_objective": ("CrossEntropy",),
        "_rbf": ("RBF",),
        "_task": ("ClassificationTask",),
    },
)
