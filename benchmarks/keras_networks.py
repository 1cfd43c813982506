"""Two networks of the zoo in Keras 3, layer for layer, for the benchmarks that hold Sightline beside it.

Not a benchmark itself. It runs in Keras's environment, which need not have Sightline.
"""

from __future__ import annotations

from typing import Any

PARAMETERS = {"lecture_cnn": 1_413_834, "resnet20": 269_722}
"""Trainable ones: what batch norm counts along is not among them."""


def build(name: str, activation: str | None = None) -> Any:
    """A network with ten classes, checked by its number of parameters.

    Args:
        name: `lecture_cnn` (28x28 grey) or `resnet20` (32x32 colour).
        activation: Of the last layer: None for logits, as our networks return them.
    """
    import numpy as np

    network = {"lecture_cnn": lecture_cnn, "resnet20": resnet20}[name](activation)
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trainable == PARAMETERS[name], f"{name} in Keras has {trainable} parameters"
    return network


def _shape(side: int, channels: int) -> tuple[int, int, int]:
    import keras

    first = keras.config.image_data_format() == "channels_first"
    return (channels, side, side) if first else (side, side, channels)


def lecture_cnn(activation: str | None) -> Any:
    """The lecture's first program, its input shape given as Keras 3 wants it."""
    from keras import Input, Sequential
    from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

    return Sequential(
        [
            Input(_shape(28, 1)),
            Conv2D(64, 7, activation="relu", padding="same"),
            MaxPooling2D(2),
            Conv2D(128, 3, activation="relu", padding="same"),
            Conv2D(128, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Conv2D(256, 3, activation="relu", padding="same"),
            Conv2D(256, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.5),
            Dense(64, activation="relu"),
            Dropout(0.5),
            Dense(10, activation=activation, dtype="float32"),
        ]
    )


def resnet20(activation: str | None) -> Any:
    """He et al. 2015, section 4.2, option A shortcuts, batch norm with torch's numbers.

    Where a convolution has stride 2, Keras's `same` puts the one row of padding at the other end than
    torch: the work is the same.
    """
    import keras
    from keras import layers

    first = keras.config.image_data_format() == "channels_first"
    axis = 1 if first else -1

    def convolution(x: Any, channels: int, stride: int) -> Any:
        x = layers.Conv2D(
            channels, 3, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
        )(x)
        return layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5)(x)

    def shortcut(x: Any, channels: int, stride: int) -> Any:
        if stride == 1:
            return x
        half = [(channels - x.shape[axis]) // 2] * 2
        if first:
            return keras.ops.pad(x[:, :, ::2, ::2], [[0, 0], half, [0, 0], [0, 0]])
        return keras.ops.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], half])

    images = keras.Input(_shape(32, 3))
    x = layers.ReLU()(convolution(images, 16, 1))
    for channels, first_stride in ((16, 1), (32, 2), (64, 2)):
        for stride in (first_stride, 1, 1):
            y = layers.ReLU()(convolution(x, channels, stride))
            y = convolution(y, channels, 1)
            x = layers.ReLU()(layers.Add()([y, shortcut(x, channels, stride)]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(10, activation=activation, dtype="float32")(x))
