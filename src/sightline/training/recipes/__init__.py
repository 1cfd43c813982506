"""Recipes: Python functions that return a whole one."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.training.recipes._airbench94 import airbench94 as airbench94
    from sightline.training.recipes._alexnet_2012 import alexnet_2012 as alexnet_2012
    from sightline.training.recipes._choose import choose_recipe as choose_recipe
    from sightline.training.recipes._default import default as default
    from sightline.training.recipes._fine_tune import fine_tune as fine_tune
    from sightline.training.recipes._googlenet_2014 import googlenet_2014 as googlenet_2014
    from sightline.training.recipes._lenet_1998 import lenet_1998 as lenet_1998
    from sightline.training.recipes._linear_probe import linear_probe as linear_probe
    from sightline.training.recipes._modern import modern as modern
    from sightline.training.recipes._prelu_2015 import prelu_2015 as prelu_2015
    from sightline.training.recipes._resnet_2015 import resnet_2015 as resnet_2015
    from sightline.training.recipes._stages import stage_modules as stage_modules
    from sightline.training.recipes._vgg_2014 import vgg_2014 as vgg_2014

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_airbench94": ("airbench94",),
        "_alexnet_2012": ("alexnet_2012",),
        "_choose": ("choose_recipe",),
        "_default": ("default",),
        "_fine_tune": ("fine_tune",),
        "_googlenet_2014": ("googlenet_2014",),
        "_lenet_1998": ("lenet_1998",),
        "_linear_probe": ("linear_probe",),
        "_modern": ("modern",),
        "_prelu_2015": ("prelu_2015",),
        "_resnet_2015": ("resnet_2015",),
        "_stages": ("stage_modules",),
        "_vgg_2014": ("vgg_2014",),
    },
)
