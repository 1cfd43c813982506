"""What a network sees: kernels, maps, neurons, projections, attributions, features, fields."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.views._attribution import guided as guided
    from sightline.views._attribution import integrated as integrated
    from sightline.views._attribution import saliency as saliency
    from sightline.views._attribution import smoothgrad as smoothgrad
    from sightline.views._cam import gradcam as gradcam
    from sightline.views._cam import gradcam_plus_plus as gradcam_plus_plus
    from sightline.views._cam import layercam as layercam
    from sightline.views._compare import compare as compare
    from sightline.views._compare import epochs as epochs
    from sightline.views._deconvnet import deconvnet as deconvnet
    from sightline.views._deconvnet import deconvnet_of_set as deconvnet_of_set
    from sightline.views._embedding import embedding as embedding
    from sightline.views._features import features as features
    from sightline.views._field import effective_weights as effective_weights
    from sightline.views._field import field as field
    from sightline.views._kernels import kernels as kernels
    from sightline.views._maps import maps as maps
    from sightline.views._neuron import neuron as neuron
    from sightline.views._occlusion import occlusion as occlusion
    from sightline.views._project import Projection as Projection
    from sightline.views._project import project as project
    from sightline.views._registry import HOWS as HOWS
    from sightline.views._registry import How as How
    from sightline.views._registry import Request as Request
    from sightline.views._registry import find_view as find_view
    from sightline.views._registry import view as view
    from sightline.views._render import paint as paint
    from sightline.views._shift import shift as shift
    from sightline.views._softmax import softmax as softmax
    from sightline.views._strongest import Strongest as Strongest
    from sightline.views._strongest import strongest as strongest
    from sightline.views._subject import Picture as Picture
    from sightline.views._subject import Subject as Subject
    from sightline.views._subject import open_subject as open_subject
    from sightline.views._view import Panel as Panel
    from sightline.views._view import Scale as Scale
    from sightline.views._view import View as View

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_attribution": ("guided", "integrated", "saliency", "smoothgrad"),
        "_cam": ("gradcam", "gradcam_plus_plus", "layercam"),
        "_compare": ("compare", "epochs"),
        "_deconvnet": ("deconvnet", "deconvnet_of_set"),
        "_embedding": ("embedding",),
        "_features": ("features",),
        "_field": ("effective_weights", "field"),
        "_kernels": ("kernels",),
        "_maps": ("maps",),
        "_neuron": ("neuron",),
        "_occlusion": ("occlusion",),
        "_project": ("Projection", "project"),
        "_registry": ("HOWS", "How", "Request", "find_view", "view"),
        "_render": ("paint",),
        "_shift": ("shift",),
        "_softmax": ("softmax",),
        "_strongest": ("Strongest", "strongest"),
        "_subject": ("Picture", "Subject", "open_subject"),
        "_view": ("Panel", "Scale", "View"),
    },
)
