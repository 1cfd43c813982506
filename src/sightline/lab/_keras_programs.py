"""The lecture's two Keras programs: as printed, and so that they run."""

from __future__ import annotations

PRINTED_FIRST = """\
model = keras.models.Sequential([
    keras.layers.Conv2D(64, 7, activation="relu", padding="same",
                       input_shape=[28, 28, 1]),
    keras.layers.MaxPooling2D(2),
    keras.layers.Conv2D(128, 3, activation="relu", padding="same"),
    keras.layers.Conv2D(128, 3, activation="relu", padding="same"),
    keras.layers.MaxPooling2D(2),
    keras.layers.Conv2D(256, 3, activation="relu", padding="same"),
    keras.layers.Conv2D(256, 3, activation="relu", padding="same"),
    keras.layers.MaxPooling2D(2),
    keras.layers.Flatten(),
    keras.layers.Dense(128, activation="relu"),
    keras.layers.Dropout(0.5),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.Dropout(0.5),
    keras.layers.Dense(10, activation="softmax")
])
"""
PRINTED_SECOND = """\
import tensorflow as tf

def generate_model():
    model = tf.keras.Sequential([
        # first convolutional layer
        tf.keras.layers.Conv2D(32, filter_size=3, activation='relu'),
        tf.keras.layers.MaxPool2D(pool_size=2, strides=2),

        # second convolutional layer
        tf.keras.layers.Conv2D(64, filter_size=3, activation='relu'),
        tf.keras.layers.MaxPool2D(pool_size=2, strides=2),

        # fully connected classifier
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(1024, activation='relu'),
        tf.keras.layers.Dense(10, activation='softmax')
        # 10 outputs
    ])
    return model
"""
_COMPILE = """\
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy",
              metrics=["accuracy"])
"""
REPAIRED = {
    "first": "import keras\n\n"
    + PRINTED_FIRST.replace(
        'keras.layers.Conv2D(64, 7, activation="relu", padding="same",\n'
        "                       input_shape=[28, 28, 1]),",
        'keras.Input((28, 28, 1)),\n    keras.layers.Conv2D(64, 7, activation="relu", padding="same"),',
    )
    + _COMPILE,
    "second": PRINTED_SECOND.replace("filter_size", "kernel_size").replace(
        "        # first convolutional layer",
        "        tf.keras.Input((28, 28, 1)),\n        # first convolutional layer",
    )
    + "\nmodel = generate_model()\n"
    + _COMPILE,
}
"""Each ends with a `model` that can be fitted to images of 28x28x1 with whole numbers for classes."""
COLUMNS = ("program", "step", "kind", "text")
"""Of the recorded transcript: which program (`first`, `second`, or either `repaired`), what was done, and
whether Keras `warned`, `raised` or `answered`; of kind `layer`, `step` is its name, and `text` its output and
its parameters."""
