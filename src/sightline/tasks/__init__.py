"""What can be asked of a network, and how a kind of network answers."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.tasks._interface import Metric as Metric
    from sightline.tasks._interface import Objective as Objective
    from sightline.tasks._interface import Task as Task
    from sightline.tasks._registry import make_objective as make_objective

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"_interface": ("Metric", "Objective", "Task"), "_registry": ("make_objective",)}
)
