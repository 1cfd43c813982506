"""Real pictures that come with scikit-learn, so that everything can be tried without any download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS_NOTE = (
    "digits: 1,797 handwritten digits, 8x8, values 0 to 16; stored as round(value * 255 / 16), "
    "so that all 17 levels stay apart and 0 to 255 means what it means in an image file"
)


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The 1,797 handwritten digits of the UCI test set.

    Returns:
        Images (1797, 1, 8, 8) uint8, white ink on black, and targets (1797,).

    Source: Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI; through
    `sklearn.datasets.load_digits`.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return images[:, None], data.target.astype(np.int64)


def photograph(name: str) -> NDArray[np.uint8]:
    """One of scikit-learn's two photographs.

    Args:
        name: `china` or `flower`.

    Returns:
        (427, 640, 3) uint8.
    """
    from sklearn.datasets import load_sample_image

    return np.array(load_sample_image(f"{name}.jpg"), dtype=np.uint8)
