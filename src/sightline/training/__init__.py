"""Training: recipes, the loop, going on, the whole way from a folder to a report."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.training._choices import Options as Options
    from sightline.training._choices import default_model as default_model
    from sightline.training._fit import fit as fit
    from sightline.training._job import Job as Job
    from sightline.training._job import Position as Position
    from sightline.training._optimizers import make_optimizers as make_optimizers
    from sightline.training._recipe import Lookahead as Lookahead
    from sightline.training._recipe import Optimizer as Optimizer
    from sightline.training._recipe import Phase as Phase
    from sightline.training._recipe import Probe as Probe
    from sightline.training._recipe import Recipe as Recipe
    from sightline.training._recipe import Schedule as Schedule
    from sightline.training._recipe import recipe_from as recipe_from
    from sightline.training._reporter import PlainReporter as PlainReporter
    from sightline.training._reporter import Reporter as Reporter
    from sightline.training._reporter import SilentReporter as SilentReporter
    from sightline.training._reporter import epoch_line as epoch_line
    from sightline.training._result import TrainingResult as TrainingResult
    from sightline.training._set_up import Setup as Setup
    from sightline.training._set_up import set_up as set_up
    from sightline.training._step import epoch_steps as epoch_steps
    from sightline.training._step import prepare as prepare
    from sightline.training._step import set_rates as set_rates
    from sightline.training._step import take_step as take_step
    from sightline.training._train import resume as resume
    from sightline.training._train import train as train

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_choices": ("Options", "default_model"),
        "_fit": ("fit",),
        "_job": ("Job", "Position"),
        "_optimizers": ("make_optimizers",),
        "_recipe": ("Lookahead", "Optimizer", "Phase", "Probe", "Recipe", "Schedule", "recipe_from"),
        "_reporter": ("PlainReporter", "Reporter", "SilentReporter", "epoch_line"),
        "_result": ("TrainingResult",),
        "_set_up": ("Setup", "set_up"),
        "_step": ("epoch_steps", "prepare", "set_rates", "take_step"),
        "_train": ("resume", "train"),
    },
)
