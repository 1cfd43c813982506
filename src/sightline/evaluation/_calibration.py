"""Calibration: one temperature that makes a classifier's probabilities mean what they say."""

from __future__ import annotations

import math

import numpy as np

from sightline.tasks.classification import Answers

PRIOR_SIGMA = 0.5
"""Standard deviation of the prior of log T, which holds 95 % of it between 0.38 and 2.7."""

_LOWEST, _HIGHEST = 0.05, 20.0
_GRID = 25


def fit_temperature(answers: Answers) -> float:
    """The temperature that a classifier's logits should be divided by, from its answers on validation images.

    It minimises N * loss(T) + (log T)^2 / (2 sigma^2): the cross-entropy, and a weak prior that keeps a
    temperature fitted to few images, or to no mistake, near 1. No answer changes, only how sure it is.

    Args:
        answers: Of images that were not trained on; their own temperature is not looked at. Logits that are
            no numbers are left out.

    Returns:
        T, in [0.05, 20].

    Source: Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2. The
        prior is ours.
    """
    from scipy.optimize import minimize_scalar

    finite = np.isfinite(answers.logits).all(axis=1)
    z = answers.logits[finite].astype(np.float64)
    below = z - z.max(axis=1, keepdims=True)  # n classes, 0 of the largest logit
    own = np.take_along_axis(below, answers.targets[finite, None], axis=1)[:, 0]

    def cost(log_t: float) -> float:
        t = math.exp(log_t)
        losses = np.log(np.exp(below / t).sum(axis=1)) - own / t
        return float(losses.sum() + (log_t / PRIOR_SIGMA) ** 2 / 2)

    # Far from 1 the prior can make a second minimum: the grid finds the lower one.
    grid = np.linspace(math.log(_LOWEST), math.log(_HIGHEST), _GRID)
    best = int(np.argmin([cost(log_t) for log_t in grid]))
    bounds = (grid[max(0, best - 1)], grid[min(_GRID - 1, best + 1)])
    found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(math.exp(found.x))
