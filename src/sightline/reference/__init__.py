"""The lecture's operators and arithmetic in readable NumPy."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.reference._activations import elu as elu
    from sightline.reference._activations import elu_backward as elu_backward
    from sightline.reference._activations import gelu as gelu
    from sightline.reference._activations import gelu_backward as gelu_backward
    from sightline.reference._activations import leaky_relu as leaky_relu
    from sightline.reference._activations import leaky_relu_backward as leaky_relu_backward
    from sightline.reference._activations import relu as relu
    from sightline.reference._activations import relu_backward as relu_backward
    from sightline.reference._activations import scaled_tanh as scaled_tanh
    from sightline.reference._activations import scaled_tanh_backward as scaled_tanh_backward
    from sightline.reference._activations import sigmoid as sigmoid
    from sightline.reference._activations import sigmoid_backward as sigmoid_backward
    from sightline.reference._activations import silu as silu
    from sightline.reference._activations import silu_backward as silu_backward
    from sightline.reference._activations import softplus as softplus
    from sightline.reference._activations import softplus_backward as softplus_backward
    from sightline.reference._activations import tanh as tanh
    from sightline.reference._activations import tanh_backward as tanh_backward
    from sightline.reference._arithmetic import Padding as Padding
    from sightline.reference._arithmetic import Sum as Sum
    from sightline.reference._arithmetic import convolution_macs as convolution_macs
    from sightline.reference._arithmetic import convolution_parameters as convolution_parameters
    from sightline.reference._arithmetic import field_after as field_after
    from sightline.reference._arithmetic import fitting_paddings as fitting_paddings
    from sightline.reference._arithmetic import fitting_sizes as fitting_sizes
    from sightline.reference._arithmetic import fully_connected_macs as fully_connected_macs
    from sightline.reference._arithmetic import fully_connected_parameters as fully_connected_parameters
    from sightline.reference._arithmetic import jump_after as jump_after
    from sightline.reference._arithmetic import transposed_output as transposed_output
    from sightline.reference._arithmetic import window_lost as window_lost
    from sightline.reference._arithmetic import window_output as window_output
    from sightline.reference._correlation import convolve as convolve
    from sightline.reference._correlation import convolve_backward as convolve_backward
    from sightline.reference._correlation import correlate as correlate
    from sightline.reference._correlation import correlate_backward as correlate_backward
    from sightline.reference._design import Design as Design
    from sightline.reference._design import DesignLayer as DesignLayer
    from sightline.reference._design import design as design
    from sightline.reference._design_source import keras_source as keras_source
    from sightline.reference._design_source import torch_source as torch_source
    from sightline.reference._design_words import Shape as Shape
    from sightline.reference._design_words import read_shape as read_shape
    from sightline.reference._fully_connected import fully_connected as fully_connected
    from sightline.reference._fully_connected import fully_connected_backward as fully_connected_backward
    from sightline.reference._kernels import EXAMPLES as EXAMPLES
    from sightline.reference._kernels import KERNEL_NAMES as KERNEL_NAMES
    from sightline.reference._kernels import LECTURE_KERNELS as LECTURE_KERNELS
    from sightline.reference._kernels import Kernel as Kernel
    from sightline.reference._kernels import filter_image as filter_image
    from sightline.reference._kernels import kernel as kernel
    from sightline.reference._kernels import looks_like_matrix as looks_like_matrix
    from sightline.reference._kernels import matrix_text as matrix_text
    from sightline.reference._kernels import number_text as number_text
    from sightline.reference._kernels import read_matrix as read_matrix
    from sightline.reference._levels import Levels as Levels
    from sightline.reference._levels import grey_levels as grey_levels
    from sightline.reference._normalisation import BatchNormed as BatchNormed
    from sightline.reference._normalisation import batch_norm as batch_norm
    from sightline.reference._normalisation import batch_norm_backward as batch_norm_backward
    from sightline.reference._normalisation import local_response_norm as local_response_norm
    from sightline.reference._normalisation import (
        local_response_norm_backward as local_response_norm_backward,
    )
    from sightline.reference._padding import pad as pad
    from sightline.reference._padding import pad_backward as pad_backward
    from sightline.reference._pooling import average_pool as average_pool
    from sightline.reference._pooling import average_pool_backward as average_pool_backward
    from sightline.reference._pooling import global_average_pool as global_average_pool
    from sightline.reference._pooling import global_average_pool_backward as global_average_pool_backward
    from sightline.reference._pooling import max_pool as max_pool
    from sightline.reference._pooling import max_pool_backward as max_pool_backward
    from sightline.reference._softmax import cross_entropy as cross_entropy
    from sightline.reference._softmax import cross_entropy_backward as cross_entropy_backward
    from sightline.reference._softmax import log_softmax as log_softmax
    from sightline.reference._softmax import log_softmax_backward as log_softmax_backward
    from sightline.reference._softmax import softmax as softmax
    from sightline.reference._softmax import softmax_backward as softmax_backward
    from sightline.reference._steps import Slide as Slide
    from sightline.reference._steps import Step as Step
    from sightline.reference._steps import slide_kernel as slide_kernel
    from sightline.reference._steps import slide_pool as slide_pool
    from sightline.reference._transposed import correlate_transposed as correlate_transposed
    from sightline.reference._transposed import correlate_transposed_backward as correlate_transposed_backward

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_activations": (
            "elu",
            "elu_backward",
            "gelu",
            "gelu_backward",
            "leaky_relu",
            "leaky_relu_backward",
            "relu",
            "relu_backward",
            "scaled_tanh",
            "scaled_tanh_backward",
            "sigmoid",
            "sigmoid_backward",
            "silu",
            "silu_backward",
            "softplus",
            "softplus_backward",
            "tanh",
            "tanh_backward",
        ),
        "_arithmetic": (
            "Padding",
            "Sum",
            "convolution_macs",
            "convolution_parameters",
            "field_after",
            "fitting_paddings",
            "fitting_sizes",
            "fully_connected_macs",
            "fully_connected_parameters",
            "jump_after",
            "transposed_output",
            "window_lost",
            "window_output",
        ),
        "_correlation": (
            "convolve",
            "convolve_backward",
            "correlate",
            "correlate_backward",
        ),
        "_design": (
            "Design",
            "DesignLayer",
            "design",
        ),
        "_design_source": (
            "keras_source",
            "torch_source",
        ),
        "_design_words": ("Shape", "read_shape"),
        "_fully_connected": (
            "fully_connected",
            "fully_connected_backward",
        ),
        "_kernels": (
            "EXAMPLES",
            "KERNEL_NAMES",
            "Kernel",
            "LECTURE_KERNELS",
            "filter_image",
            "kernel",
            "looks_like_matrix",
            "matrix_text",
            "number_text",
            "read_matrix",
        ),
        "_levels": ("Levels", "grey_levels"),
        "_normalisation": (
            "BatchNormed",
            "batch_norm",
            "batch_norm_backward",
            "local_response_norm",
            "local_response_norm_backward",
        ),
        "_padding": (
            "pad",
            "pad_backward",
        ),
        "_pooling": (
            "average_pool",
            "average_pool_backward",
            "global_average_pool",
            "global_average_pool_backward",
            "max_pool",
            "max_pool_backward",
        ),
        "_softmax": (
            "cross_entropy",
            "cross_entropy_backward",
            "log_softmax",
            "log_softmax_backward",
            "softmax",
            "softmax_backward",
        ),
        "_steps": (
            "Slide",
            "Step",
            "slide_kernel",
            "slide_pool",
        ),
        "_transposed": (
            "correlate_transposed",
            "correlate_transposed_backward",
        ),
    },
)
