"""A linear probe: how far the features of a trained network go, in seconds."""

from __future__ import annotations

from sightline.base import ArgumentError
from sightline.machine import ranks_here
from sightline.training._recipe import Optimizer, Phase, Probe, Recipe


def linear_probe(*, num_images: int, weights: bool, head: str = "", epochs: int | None = None) -> Recipe:
    """Logistic regression on what a trained network gives its last layer; all other weights stay.

    Every image goes through the network once, as it is, and what comes out is kept on disk: a second probe of
    the same weights and images takes seconds. The strength of the L2 penalty is chosen on the validation
    images, and the head fitted to the training images alone.

    Args:
        num_images: Images to train on.
        weights: Whether the network starts from trained weights.
        head: The module that gives the logits, if it is known.
        epochs: Must be None: there are none to choose.

    **Taken**: features of the last layer but one, frozen; L2-regularised logistic regression by L-BFGS; the
    strength chosen on validation images from a logarithmic grid.

    **Not taken**: fitting again to training and validation images together (the scores on validation would be
    of images that were learned from); the finer search around the best strength.

    Raises:
        ArgumentError: without trained weights, with epochs, or under `torchrun` with several processes.

    Source: Alain, Bengio 2017, "Understanding intermediate layers using linear classifier probes"; as a
    protocol, Kornblith, Shlens, Le 2019, "Do better ImageNet models transfer better?", section 4.1.
    """
    if not weights:
        raise ArgumentError("linear_probe would be a linear probe of random features; give --weights")
    if epochs is not None:
        raise ArgumentError(
            f"--epochs is {epochs}; linear_probe shows the network each image once: leave it out"
        )
    if ranks_here().count > 1:
        raise ArgumentError("linear_probe fits one layer in one process; do so without torchrun")
    probe = Probe()
    why = (
        f"{num_images} images go once, as they are, through the trained network, and the best of "
        f"{len(probe.strengths)} logistic regressions on its features becomes the head"
    )
    return Recipe(
        name="linear_probe",
        why=why,
        phases=(Phase(epochs=1, trainable=(head or "*",)),),
        optimizers={"main": Optimizer(parameters=(head or "*",))},
        probe=probe,
    )
