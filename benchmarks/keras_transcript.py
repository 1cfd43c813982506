"""Record what Keras 3 says to the two programs of the lecture, for `sightline lab keras`.

    KERAS_BACKEND=torch python benchmarks/keras_transcript.py [--output FILE]

Runs in an environment that has both Keras and Sightline. In the second program `tf.keras` is Keras itself, as
it is in TensorFlow since 2.16. Each network is given the weights of ours, and its answers are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import torch

import sightline
from sightline.lab._curves import write_curves
from sightline.lab._keras_programs import COLUMNS, PRINTED_FIRST, PRINTED_SECOND, REPAIRED
from sightline.machine import device_name
from sightline.zoo import get_architecture

OUTPUT = Path(sightline.__file__).parent / "lab" / "curves" / "keras.csv"
OURS = {"first": "lecture_cnn", "second": "lecture_cnn_2"}
_IMAGES = np.random.default_rng(0).random((16, 28, 28, 1), dtype=np.float32)
_LABELS = np.arange(16) % 10

Row = dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    rows = [*_printed(), *(row for program in OURS for row in _repaired(program))]
    command = f"KERAS_BACKEND={keras.backend.backend()} python benchmarks/keras_transcript.py"
    versions = f"Keras {keras.__version__}, torch {torch.__version__}, sightline {sightline.__version__}"
    about = (command, versions, device_name(torch.device("cpu")), datetime.date.today().isoformat())
    write_curves(options.output, about, COLUMNS, rows)
    for row in rows:
        print(" | ".join(row.values()))
    return 0


def _printed() -> list[Row]:
    """The programs as they stand, and what one would do next."""
    space: dict[str, Any] = {"keras": keras}
    first = [
        *_tried("first", "the program, behind `import keras`", lambda: exec(PRINTED_FIRST, space)),
        *_tried("first", "model.count_params()", lambda: space["model"].count_params()),
        *_tried(
            "first", "model.fit(images, labels)", lambda: space["model"].fit(_IMAGES, _LABELS, verbose=0)
        ),
    ]
    second = []
    for step, text in (
        ("generate_model()", PRINTED_SECOND),
        (
            "with filter_size=3 beside kernel_size=3: generate_model()",
            PRINTED_SECOND.replace("filter_size=3", "kernel_size=3, filter_size=3"),
        ),
        (
            "with kernel_size=3 in its place: model = generate_model()",
            PRINTED_SECOND.replace("filter_size", "kernel_size"),
        ),
    ):
        space = {"tf": types.SimpleNamespace(keras=keras)}
        exec(text.replace("import tensorflow as tf\n", ""), space)
        second += _tried("second", step, lambda space=space: space.update(model=space["generate_model"]()))
    model = space["model"]
    second += _tried("second", "model.built", lambda: model.built)
    second += _tried("second", "model.count_params()", lambda: model.count_params())
    second += _tried("second", "model.summary(): its last lines", lambda: _summary_end(model))
    second += _tried("second", "model.fit(images, labels)", lambda: model.fit(_IMAGES, _LABELS, verbose=0))
    return first + second


def _tried(program: str, step: str, do: Callable[[], Any]) -> list[Row]:
    rows = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            came = do()
            kind, text = "answered", "" if came is None else str(came)
        except Exception as error:  # whatever it is, it is the record
            kind, text = "raised", f"{type(error).__name__}: {error}"
    for one in said:
        rows.append(_row(program, step, "warned", f"{one.category.__name__}: {one.message}"))
    return [*rows, _row(program, step, kind, text)]


def _row(program: str, step: str, kind: str, text: str) -> Row:
    return dict(zip(COLUMNS, (program, step, kind, text), strict=True))


def _summary_end(model: Any) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        model.summary(print_fn=lambda line: out.write(f"{line}\n"))
    return "\n".join(line.strip() for line in out.getvalue().splitlines() if "params:" in line)


def _repaired(program: str) -> list[Row]:
    """Layers of the repaired program; its answers by our weights; that it can be fitted."""
    space: dict[str, Any] = {"keras": keras, "tf": types.SimpleNamespace(keras=keras)}
    name = f"{program} repaired"
    exec(REPAIRED[program].replace("import tensorflow as tf\n", ""), space)
    model = space["model"]
    rows = [
        _row(
            name,
            type(layer).__name__,
            "layer",
            f"{'x'.join(map(str, layer.output.shape[1:]))} {layer.count_params()}",
        )
        for layer in model.layers
    ]
    torch.manual_seed(0)
    ours = get_architecture(OURS[program]).build().eval()
    _give_weights(model, ours)
    with torch.no_grad():
        probabilities = torch.softmax(ours(torch.from_numpy(_IMAGES.transpose(0, 3, 1, 2).copy())), 1).numpy()
    theirs = model.predict(_IMAGES, verbose=0)
    rows.append(_row(name, "model.count_params()", "answered", str(model.count_params())))
    difference = f"{float(np.abs(theirs - probabilities).max()):.2g}"
    rows.append(_row(name, "largest difference of probabilities, same weights", "answered", difference))
    model.fit(_IMAGES, _LABELS, epochs=1, verbose=0)
    return [*rows, _row(name, "model.fit(images, labels)", "answered", "fitted")]


def _give_weights(model: Any, ours: torch.nn.Module) -> None:
    """Kernels are (height, width, in, out) there, (out, in, height, width) here; so are maps, flattened."""
    layers = [m for m in ours.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    theirs = [layer for layer in model.layers if layer.weights]
    channels, side = 0, 0
    for mine, layer in zip(layers, theirs, strict=True):
        weight = mine.weight.detach().numpy()
        assert mine.bias is not None
        if isinstance(mine, torch.nn.Conv2d):
            kernel, channels = weight.transpose(2, 3, 1, 0), mine.out_channels
        else:
            side = round((mine.in_features / channels) ** 0.5) if channels else 0
            if side:
                weight = weight.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).reshape(weight.shape)
            kernel, channels = weight.T, 0
        layer.set_weights([kernel, mine.bias.detach().numpy()])


if __name__ == "__main__":
    sys.exit(main())
