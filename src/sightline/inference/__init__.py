"""Using a trained network: what a user calls a model, and the predictor."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.inference._assumed import Belongings as Belongings
    from sightline.inference._assumed import assumed_header as assumed_header
    from sightline.inference._assumed import read_belongings as read_belongings
    from sightline.inference._create import create_model as create_model
    from sightline.inference._crops import CROPS as CROPS
    from sightline.inference._crops import Crops as Crops
    from sightline.inference._crops import Pass as Pass
    from sightline.inference._crops import Showing as Showing
    from sightline.inference._crops import check_crops as check_crops
    from sightline.inference._crops import enlarged as enlarged
    from sightline.inference._crops import log_mean as log_mean
    from sightline.inference._crops import shifted_views as shifted_views
    from sightline.inference._crops import show as show
    from sightline.inference._crops import stored_protocol as stored_protocol
    from sightline.inference._crops import ten_crops as ten_crops
    from sightline.inference._dense import Dense as Dense
    from sightline.inference._dense import dense as dense
    from sightline.inference._describe import NetworkAt as NetworkAt
    from sightline.inference._describe import network_at as network_at
    from sightline.inference._describe import record_model as record_model
    from sightline.inference._predictor import Prediction as Prediction
    from sightline.inference._predictor import Predictor as Predictor
    from sightline.inference._predictor import load_predictor as load_predictor
    from sightline.inference._resolve import ResolvedModel as ResolvedModel
    from sightline.inference._resolve import file_header as file_header
    from sightline.inference._resolve import resolve as resolve
    from sightline.inference._resolve import starting_weights as starting_weights
    from sightline.inference._side_by_side import ComparisonRow as ComparisonRow
    from sightline.inference._side_by_side import Side as Side
    from sightline.inference._side_by_side import compare_models as compare_models
    from sightline.inference._side_by_side import comparison_rows as comparison_rows
    from sightline.inference._side_by_side import layer_differences as layer_differences

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_assumed": ("Belongings", "assumed_header", "read_belongings"),
        "_create": ("create_model",),
        "_crops": (
            "CROPS",
            "Crops",
            "Pass",
            "Showing",
            "check_crops",
            "enlarged",
            "log_mean",
            "shifted_views",
            "show",
            "stored_protocol",
            "ten_crops",
        ),
        "_dense": ("Dense", "dense"),
        "_describe": ("NetworkAt", "network_at", "record_model"),
        "_predictor": ("Prediction", "Predictor", "load_predictor"),
        "_resolve": ("ResolvedModel", "file_header", "resolve", "starting_weights"),
        "_side_by_side": (
            "ComparisonRow",
            "Side",
            "compare_models",
            "comparison_rows",
            "layer_differences",
        ),
    },
)
