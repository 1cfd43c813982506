"""Which random changes a training image gets: the settings of `augment` and `mix`."""

from __future__ import annotations

from typing import Literal

import pydantic

Fill = Literal["edge", "mean", "reflect"]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=pydantic.ConfigDict(extra="forbid"))
class Augmentation:
    """Which random changes a training image gets; all off by default."""

    crop: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest shift in each direction, as a fraction of the side, in whole pixels: a random crop of the
    image with `fill` beyond it."""
    fill: Fill = "edge"
    """What an image that moves shows beyond its border: `edge`, its outermost pixels repeated; `mean`, the
    mean of the training images, which is zero once values are normalised: the papers' zero padding;
    `reflect`, the image mirrored about the centres of its outermost pixels."""
    flip: Literal["none", "horizontal", "both", "alternating"] = "none"
    """Mirror left-right with probability 1/2; `both` also up-down. `alternating`: left-right with probability
    1/2 in epoch 0, and in every other epoch the opposite of the epoch before."""
    transpose: bool = False
    """Swap rows and columns with probability 1/2; with `flip` both, all eight symmetries of a square.
    Only square images can be."""
    rotate: float = pydantic.Field(default=0.0, ge=0.0, le=180.0)
    """Largest rotation either way, degrees."""
    zoom: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    """Largest change of size either way, as a fraction (0.1: from 1/1.1 to 1.1 times)."""
    scale: tuple[float, float] | None = None
    """Least and largest shorter side of an image, as a multiple of the network's side, at least 1: drawn
    evenly for each image, rounded to whole pixels, and a window of the network's size is cut out at a random
    place. AlexNet's crops are (256/224, 256/224), VGG's scale jitter (256/224, 512/224). Of sides that
    differ: at 1 the image just covers the network's."""
    area: tuple[float, float] | None = None
    """Least and largest share of the image's area, above 0 and at most 1: a window of a share drawn evenly
    and a ratio of `aspect`, at a random place, becomes the network's size. GoogLeNet's is (0.08, 1). A window
    that would be wider or higher than the image takes all of that side and keeps its area, so that nothing
    is drawn twice. Not with `scale`."""
    aspect: float = pydantic.Field(default=4 / 3, ge=1.0)
    """Largest ratio of width to height of such a window, drawn evenly in its logarithm from 1 / `aspect`."""
    trivial: bool = False
    """TrivialAugment Wide: one of 14 operations for each image, of random strength: as of `_trivial`."""
    colour: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Largest change of brightness, contrast and saturation, as a fraction; of RGB images only."""
    pca: float = pydantic.Field(default=0.0, ge=0.0)
    """Deviation of the three normal numbers, drawn once an image, that `pca_axes` are multiplied by before
    they are added to every pixel (AlexNet: 0.1); of RGB images only. Nothing is clamped afterwards."""
    pca_axes: tuple[tuple[float, float, float], ...] = ()
    """The eigenvectors of the covariance of the training pixels' RGB values in [0, 1], each times its
    eigenvalue: as of `colour_axes`."""
    erase: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a rectangle of 2 to 25 % of the image is painted with the image's mean."""
    mixup: float = pydantic.Field(default=0.0, ge=0.0)
    """Both parameters of the beta distribution that shares of two images are drawn from; 0 for none."""
    cutmix: float = pydantic.Field(default=0.0, ge=0.0)
    """Likewise, of the area that stays when a rectangle of another image is pasted. With both, each image
    gets one of the two."""

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Augmentation:
        if self.scale is not None and self.area is not None:
            raise ValueError("scale and area exclude each other: both say which window is cut out")
        if self.scale is not None and not 1.0 <= self.scale[0] <= self.scale[1] < float("inf"):
            raise ValueError(f"scale is {self.scale}; it takes two numbers from 1 on, the smaller one first")
        if self.area is not None and not 0.0 < self.area[0] <= self.area[1] <= 1.0:
            raise ValueError(f"area is {self.area}; it takes two shares above 0 to 1, the smaller one first")
        return self

    @property
    def cuts(self) -> bool:
        """Whether the network is given a window of the image."""
        return self.scale is not None or self.area is not None

    @property
    def moves_by_whole_pixels(self) -> bool:
        """Whether what is done to an image, or to a window of it, is only shifts and mirrors."""
        return self.rotate == 0.0 and self.zoom == 0.0 and not self.trivial

    @property
    def moves(self) -> bool:
        """Whether there is any geometry."""
        return (
            bool(self.crop)
            or self.flip != "none"
            or self.transpose
            or self.cuts
            or not self.moves_by_whole_pixels
        )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0
