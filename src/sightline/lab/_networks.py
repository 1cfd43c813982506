"""What several stops say of networks of the zoo: a recording, a drawing, a short training."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.blueprint import Summary, summarize
from sightline.blueprint.draw import draw
from sightline.inference import record_model
from sightline.lab._entry import Plot
from sightline.zoo import Architecture, PublishedResult

if TYPE_CHECKING:
    from sightline.data import Part
    from sightline.evaluation import Evaluation

WEIGHTED = ("conv2d", "linear")
"""Kinds of layers with weights that multiply."""


def summary_of(model: str) -> Summary:
    """All there is to say of a network of the zoo."""
    return summarize(record_model(model))


def drawing(model: str, title: str, caption: str = "") -> Plot:
    """A network of the zoo, drawn."""
    return Plot(svg=draw(record_model(model)), title=title, caption=caption)


def published(architecture: Architecture, words: str) -> PublishedResult:
    """The published result whose protocol has these words; exactly one has."""
    (found,) = [result for result in architecture.results if words in result.protocol]
    return found


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A network after a short training, as long as its folder is there."""

    evaluation: Evaluation
    """On images that it was not trained on."""
    run: Path
    train_images: int
    epochs: int
    parameters: int

    @property
    def numbers(self) -> dict[str, Any]:
        """Accuracy, its 95 % interval, images."""
        scores = self.evaluation.scores
        return {"accuracy": scores.top1, "interval": list(scores.interval), "test_images": scores.n}

    @property
    def text(self) -> str:
        """Accuracy and its interval, for people."""
        return accuracy_text(self.numbers)


def accuracy_text(numbers: Mapping[str, Any]) -> str:
    """Accuracy in percent with its interval, of `Learned.numbers`."""
    low, high = (100 * bound for bound in numbers["interval"])
    return f"{100 * numbers['accuracy']:.1f} % ({low:.1f} to {high:.1f})"


@contextmanager
def learned(
    model: str,
    data: str,
    *,
    seed: int,
    progress: Callable[[str, int, int], None],
    epochs: int | None = None,
    minutes: float | None = None,
    img_size: int | None = None,
) -> Iterator[Learned]:
    """A network of the zoo, trained by the usual recipe in a folder that goes with the block.

    Args:
        model: Its name.
        data: As of `sightline train`.
        seed: Of everything random in training.
        progress: Told how many epochs are done.
        epochs: How often it sees each image.
        minutes: Instead: how long it may take; an epoch it has in any case.
        img_size: Side of the square it is given; its own where None.

    Raises:
        SightlineError: whatever a user can mend in the images.
    """
    from sightline.evaluation import judge
    from sightline.inference import load_predictor, resolve
    from sightline.training import Options, SilentReporter, fit, set_up

    class Told(SilentReporter):
        def epoch(
            self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
        ) -> None:
            progress(f"training {model}", len(rows), total)

    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        options = Options(
            data=data, model=model, epochs=epochs, minutes=minutes, precision="fp32", seed=seed,
            img_size=img_size, output=Path(folder) / model, exist_ok=True,
        )  # fmt: skip
        setup = set_up(options, Told())
        if minutes is not None:  # the recipe of few epochs is another than a long one cut short
            options = dataclasses.replace(options, minutes=None, epochs=setup.job.recipe.epochs)
            setup = set_up(options, Told())
        position = fit(setup.job)
        part: Part = "test" if len(setup.split.indices("test")) else "val"
        predictor = load_predictor(resolve(str(setup.job.run.best)), setup.job.plan)
        evaluation = judge(
            predictor, setup.images, setup.split.indices(part), part, source=setup.job.source
        )  # fmt: skip
        yield Learned(
            evaluation=evaluation, run=setup.job.run.path, train_images=len(setup.job.train),
            epochs=position.epoch, parameters=sum(p.numel() for p in setup.job.network.parameters()),
        )  # fmt: skip
