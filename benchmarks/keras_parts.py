"""What the benchmarks run in Keras 3: two networks of the zoo, layer for layer, and two input pipelines.

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
    import keras  # type: ignore[import-not-found,unused-ignore]

    first = keras.config.image_data_format() == "channels_first"
    return (channels, side, side) if first else (side, side, channels)


def lecture_cnn(activation: str | None) -> Any:
    """The lecture's first program, its input shape given as Keras 3 wants it."""
    from keras import Input, Sequential  # type: ignore[import-not-found,unused-ignore]
    from keras.layers import (  # type: ignore[import-not-found,unused-ignore]
        Conv2D,
        Dense,
        Dropout,
        Flatten,
        MaxPooling2D,
    )

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


def tf_batches(data: Any, steps: int, batch: int, crop: float) -> Any:
    """A `tf.data` pipeline: indices are shuffled, then a whole batch is gathered, cropped and mirrored."""
    import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]

    images, targets = tf.constant(data["images"]), tf.constant(data["targets"])
    height, width = data["images"].shape[1:3]
    up, left = int(crop * height), int(crop * width)

    def augmented(ids: Any) -> tuple[Any, Any]:
        rows = tf.range(height) + tf.random.uniform((batch, 1), -up, up + 1, tf.int32)
        columns = tf.range(width) + tf.random.uniform((batch, 1), -left, left + 1, tf.int32)
        columns = tf.where(tf.random.uniform((batch, 1)) < 0.5, width - 1 - columns, columns)
        x = tf.gather(images, ids)
        x = tf.gather(x, tf.clip_by_value(rows, 0, height - 1), axis=1, batch_dims=1)
        x = tf.gather(x, tf.clip_by_value(columns, 0, width - 1), axis=2, batch_dims=1)
        return (tf.cast(x, tf.float32) / 255.0 - data["mean"]) / data["std"], tf.gather(targets, ids)

    order = tf.data.Dataset.range(steps * batch).shuffle(steps * batch).batch(batch, drop_remainder=True)
    return order.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def numpy_batches(data: Any, steps: int, batch: int, crop: float) -> Any:
    """The same as a `PyDataset`: one numpy index a batch, in a thread beside the step."""
    import keras
    import numpy as np

    images, targets, mean, std = (data[name] for name in ("images", "targets", "mean", "std"))
    height, width = images.shape[1:3]
    up, left = int(crop * height), int(crop * width)
    draw = np.random.default_rng(0)
    order = draw.permutation(steps * batch)
    first = keras.config.image_data_format() == "channels_first"

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches, cropped and mirrored."""

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            ids = order[index * batch : (index + 1) * batch]
            rows = np.arange(height) + draw.integers(-up, up + 1, (batch, 1))
            columns = np.arange(width) + draw.integers(-left, left + 1, (batch, 1))
            columns = np.where(draw.random((batch, 1)) < 0.5, width - 1 - columns, columns)
            rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
            x = images[ids[:, None, None], rows[:, :, None], columns[:, None, :]]
            x = (x.astype(np.float32) / 255 - mean) / std
            return (np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if first else x), targets[ids]

    return Batches(workers=1, use_multiprocessing=False, max_queue_size=10)
