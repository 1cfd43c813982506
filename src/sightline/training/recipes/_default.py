"""The recipe a run gets when none is named."""

from __future__ import annotations

from sightline.imaging import Augmentation
from sightline.training._recipe import Optimizer, Phase, Recipe, Schedule

_STEPS = 6_000
"""Optimizer steps that a set of medium size is given."""

_FEW_EPOCHS = 8
"""In fewer, small images are seen too seldom to be learned by heart: shifting them only slows learning."""


def default(
    *,
    num_images: int,
    channels: int,
    size: tuple[int, int],
    epochs: int | None = None,
    weights: bool = False,
    head: str = "",
) -> Recipe:
    """AdamW on one cycle, with augmentation that no ordinary class minds.

    Args:
        num_images: Images to train on.
        channels: 1 or 3.
        size: (height, width) the network is given.
        epochs: How long it will be, if that is chosen already.
        weights: Whether the network starts from trained weights.
        head: The module that gives the logits, if it is known.
    """
    batch_size = 32 if num_images < 2_000 else 64 if num_images < 10_000 else 128
    steps_an_epoch = -(-num_images // batch_size)
    usual = max(10, min(60, round(_STEPS / steps_an_epoch)))
    rates: dict[str, float] = {}
    if weights:
        usual, rates = max(5, usual // 3), {"*": 0.1} | ({head: 1.0} if head else {})
    epochs = epochs or usual
    small, few = max(size) <= 64, epochs < _FEW_EPOCHS
    mirror = channels == 3
    moved = "not shifted in so few epochs" if few else "shifted"
    augmentation = Augmentation(
        crop=(0.0 if few else 0.1) if small else 0.08,
        flip="horizontal" if mirror else "none",
        rotate=0.0 if small else 10.0,
        zoom=0.0 if small else 0.15,
    )
    why = "; ".join(
        [
            f"{num_images} images to train on, so batches of at most {batch_size} and {usual} epochs",
            f"at {size[1]}x{size[0]}, "
            + (moved if small else "shifted, turned up to 10 degrees, zoomed up to 15 %"),
            "in colour, so mirrored at random" if mirror else "grey, so never mirrored (it may be writing)",
            *(["from trained weights, so for a third as long, their rates a tenth"] if weights else []),
        ]
    )
    return Recipe(
        name="default",
        why=why,
        phases=(Phase(epochs=epochs, rates=rates, schedule=Schedule(kind="one_cycle", warm_up=0.1)),),
        optimizers={"main": Optimizer(kind="adamw", lr=2e-3, weight_decay=0.05)},
        batch_size=batch_size,
        augmentation=augmentation,
        objective={"label_smoothing": 0.05},
        clip_norm=5.0,
    )
