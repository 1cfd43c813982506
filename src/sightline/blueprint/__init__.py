"""What a network is: recorded once from a forward pass, read many ways."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.blueprint._calls import Call as Call
    from sightline.blueprint._check import check_network as check_network
    from sightline.blueprint._effective import EffectiveField as EffectiveField
    from sightline.blueprint._effective import effective_fields as effective_fields
    from sightline.blueprint._execute import Execution as Execution
    from sightline.blueprint._execute import execute as execute
    from sightline.blueprint._field import Field as Field
    from sightline.blueprint._field import fields as fields
    from sightline.blueprint._graph import Blueprint as Blueprint
    from sightline.blueprint._graph import ModuleCall as ModuleCall
    from sightline.blueprint._graph import Node as Node
    from sightline.blueprint._graph import Operation as Operation
    from sightline.blueprint._graph import Value as Value
    from sightline.blueprint._lost import LostPixels as LostPixels
    from sightline.blueprint._lost import lost_findings as lost_findings
    from sightline.blueprint._lost import lost_pixels as lost_pixels
    from sightline.blueprint._lost import nearest_lossless as nearest_lossless
    from sightline.blueprint._measured import Measured as Measured
    from sightline.blueprint._measured import measure_inference as measure_inference
    from sightline.blueprint._measured import measure_training as measure_training
    from sightline.blueprint._memory import InferenceMemory as InferenceMemory
    from sightline.blueprint._memory import LiveBytes as LiveBytes
    from sightline.blueprint._memory import TrainingMemory as TrainingMemory
    from sightline.blueprint._memory import inference_memory as inference_memory
    from sightline.blueprint._memory import training_memory as training_memory
    from sightline.blueprint._reach import Reach as Reach
    from sightline.blueprint._reach import reach as reach
    from sightline.blueprint._record import PassError as PassError
    from sightline.blueprint._record import record as record
    from sightline.blueprint._signal import LayerSignal as LayerSignal
    from sightline.blueprint._signal import Signal as Signal
    from sightline.blueprint._signal import measure_signal as measure_signal
    from sightline.blueprint._slide import slide_text as slide_text
    from sightline.blueprint._summary import Layer as Layer
    from sightline.blueprint._summary import Summary as Summary
    from sightline.blueprint._summary import summarize as summarize
    from sightline.blueprint._table import megabytes as megabytes
    from sightline.blueprint._walk import first_non_finite as first_non_finite
    from sightline.blueprint._walk import in_mode as in_mode
    from sightline.blueprint._walk import output_shape as output_shape
    from sightline.blueprint._walk import run_once as run_once

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_calls": ("Call",),
        "_check": ("check_network",),
        "_effective": ("EffectiveField", "effective_fields"),
        "_execute": (
            "Execution",
            "execute",
        ),
        "_field": (
            "Field",
            "fields",
        ),
        "_graph": (
            "Blueprint",
            "ModuleCall",
            "Node",
            "Operation",
            "Value",
        ),
        "_lost": (
            "LostPixels",
            "lost_findings",
            "lost_pixels",
            "nearest_lossless",
        ),
        "_measured": (
            "Measured",
            "measure_inference",
            "measure_training",
        ),
        "_memory": (
            "InferenceMemory",
            "LiveBytes",
            "TrainingMemory",
            "inference_memory",
            "training_memory",
        ),
        "_reach": (
            "Reach",
            "reach",
        ),
        "_record": (
            "PassError",
            "record",
        ),
        "_signal": ("LayerSignal", "Signal", "measure_signal"),
        "_slide": ("slide_text",),
        "_summary": (
            "Layer",
            "Summary",
            "summarize",
        ),
        "_table": ("megabytes",),
        "_walk": (
            "first_non_finite",
            "in_mode",
            "output_shape",
            "run_once",
        ),
    },
)
