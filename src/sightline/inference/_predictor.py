"""Images in, predictions out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.base import ArgumentError, ModelFileError
from sightline.blueprint import in_mode
from sightline.data import Batch, BatchSource
from sightline.imaging import (
    Framed,
    Preprocessing,
    Source,
    UnreadableImageError,
    decode_array,
    read_framed,
    widened,
)
from sightline.inference._assumed import Belongings, assumed_header
from sightline.inference._resolve import ResolvedModel, resolve
from sightline.machine import Plan, choose_device, usable_cores
from sightline.records import ModelHeader
from sightline.tasks import Metric, Objective, make_objective

DEFAULT_BATCH = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a classifier says of one image."""

    path: str
    probabilities: NDArray[np.float64]
    """(classes,); empty where the image could not be read."""
    classes: tuple[str, ...]
    error: str = ""
    """Why the image could not be read."""

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable classes, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class Predictor:
    """A trained network with everything that makes its answers what they were when it was judged.

    Args:
        network: The network.
        header: What its model file says.
        plan: How to compute; fp32 by default, as reported scores are.

    Raises:
        ModelFileError: if what the header says cannot be used.
    """

    def __init__(self, network: nn.Module, header: ModelHeader, plan: Plan | None = None) -> None:
        self.header = header
        self.plan = plan or Plan(device=str(choose_device()), threads=usable_cores())
        try:
            self.preprocessing = Preprocessing(**header.preprocessing).to(self.plan.device)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the model file's preprocessing is broken: {error}") from error
        self.objective: Objective = make_objective(header.objective, header.objective_settings)
        self.canvas = header.framing
        if self.canvas.channels != self.preprocessing.channels:
            raise ModelFileError(
                f"the model file is broken: its network takes {self.canvas.channels} channels, its "
                f"preprocessing {self.preprocessing.channels}"
            )
        if self.preprocessing.size != tuple(header.architecture.input_size):
            raise ModelFileError(
                f"the model file is broken: its network takes {header.architecture.input_size}, its "
                f"preprocessing gives {self.preprocessing.size}"
            )
        if self.preprocessing.fit == "none" and tuple(header.canvas) != self.preprocessing.size:
            raise ModelFileError(
                f"the model file is broken: images on a canvas of {tuple(header.canvas)} are given as they "
                f"are to a network that takes {self.preprocessing.size}"
            )
        self._network = self.plan.place(network)

    @property
    def network(self) -> nn.Module:
        """The network, placed as the plan says."""
        return self._network

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return self.header.classes

    def outputs(self, images: Tensor) -> Any:
        """Raw outputs of a batch as stored, on the CPU; floating ones in float32.

        The network is used in the mode it is in: `measure` and `predict` set evaluation mode.

        Shape:
            (N, C, H, W) of the canvas, as a batch holds them -> whatever the network returns.
        """
        with torch.inference_mode():
            return self.given(self.preprocessing(images.to(self.plan.device)))

    def given(self, inputs: Tensor, run: Callable[[Tensor], Any] | None = None) -> Any:
        """As `outputs`, of what the network is given itself.

        Args:
            inputs: (N, C, height, width), preprocessed.
            run: The network in another form; by default, as it is.
        """
        with torch.inference_mode(), self.plan.autocast():
            return _to_cpu((run or self._network)(self.plan.place_images(inputs)))

    def measure(
        self,
        source: BatchSource,
        indices: NDArray[np.int64],
        metric: Metric,
        *,
        batch_size: int = DEFAULT_BATCH,
        each: Callable[[int], None] | None = None,
    ) -> None:
        """Give a metric the outputs of some images of a set.

        Args:
            source: The set's batches, on this predictor's canvas.
            indices: Which images.
            metric: Is reset, then updated.
            batch_size: Images at a time.
            each: Called after each batch with how many images are done; it may raise to stop.
        """
        metric.reset()
        self.plan.apply()
        order = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
        done = 0
        with in_mode(self._network, training=False):
            for batch in source.batches(order):
                metric.update(self.outputs(batch.images), self._moved(batch))
                done += len(batch)
                if each is not None:
                    each(done)

    def predict(
        self, sources: Iterable[tuple[str, Source]], batch_size: int = DEFAULT_BATCH
    ) -> Iterator[Prediction]:
        """Predict images one batch at a time, in order; an unreadable one is reported, not skipped.

        Args:
            sources: Pairs of what to call an image, and its file, its content, or its files where each
                channel has one.
            batch_size: Images at a time.
        """
        self.plan.apply()
        waiting: list[tuple[str, Framed | str]] = []
        for name, source in sources:
            try:
                self._check_channels(source)
                waiting.append((name, read_framed(source, self.canvas)))
            except UnreadableImageError as error:
                waiting.append((name, str(error)))
            if len(waiting) == batch_size:
                yield from self._answer(waiting)
                waiting = []
        yield from self._answer(waiting)

    def _check_channels(self, source: Source) -> None:
        """Where channels have names, a file must hold all of them: one channel is not all channels."""
        names = self.header.channel_names
        if not names or not isinstance(source, Path | bytes):
            return
        have = decode_array(source, pages=self.canvas.pages).shape[2]
        if have != len(names):
            raise UnreadableImageError(
                f"has {have} channel{'s' * (have > 1)}, and the network takes {len(names)} "
                f"({', '.join(names)}): list their files in a CSV with a column path:NAME for each"
            )

    def _answer(self, waiting: Sequence[tuple[str, Framed | str]]) -> Iterator[Prediction]:
        framed = [content for _, content in waiting if isinstance(content, Framed)]
        rows: Iterator[NDArray[np.float64]] = iter(())
        if framed:
            batch = Batch(
                images=torch.from_numpy(widened(np.stack([f.pixels for f in framed]))),
                targets=torch.full((len(framed),), -1),
                ids=np.arange(len(framed)),
                sizes=torch.tensor([f.size for f in framed], dtype=torch.int32),
                transforms=torch.from_numpy(np.stack([f.transform for f in framed])),
            )
            with in_mode(self._network, training=False):
                outputs = self.outputs(batch.images)
            if self.header.temperature is not None:
                outputs = outputs / self.header.temperature
            rows = iter(self.objective.decode(outputs, self._moved(batch)).double().numpy())
        for name, content in waiting:
            if isinstance(content, str):
                yield Prediction(name, np.empty(0), self.classes, content)
            else:
                yield Prediction(name, next(rows), self.classes)

    def _moved(self, batch: Batch) -> Batch:
        """The batch with transforms to the network's input, as in training."""
        return batch.moved(self.preprocessing.transform(batch.images.shape[2], batch.images.shape[3]))


def _to_cpu(outputs: Any) -> Any:
    """Tensors, and tuples, lists and dicts of them, on the CPU; bf16 as float32."""
    if isinstance(outputs, Tensor):
        return outputs.float().cpu() if outputs.is_floating_point() else outputs.cpu()
    if isinstance(outputs, dict):
        return {key: _to_cpu(value) for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return [_to_cpu(value) for value in outputs]
    return outputs


def load_predictor(
    model: str | ResolvedModel, plan: Plan | None = None, belongings: Belongings | None = None
) -> Predictor:
    """A predictor of a trained model.

    Args:
        model: A run folder, a model file, or what `resolve` returned.
        plan: How to compute; fp32 on the best device by default.
        belongings: Of weights that came alone: their classes, and their preprocessing if it is not the usual.

    Raises:
        ArgumentError: if it names nothing, or has belongings of its own.
        ModelFileError: if it has no weights, or nothing says what their classes are called.
    """
    resolved = resolve(model) if isinstance(model, str) else model
    belongings = belongings or Belongings()
    if resolved.header is None:
        header, _ = assumed_header(resolved, belongings)
        return Predictor(resolved.build(num_classes=len(header.classes)), header, plan)
    if belongings.given:
        raise ArgumentError(f"{resolved.spec} carries its own classes and preprocessing")
    return Predictor(resolved.build(), resolved.header, plan)
