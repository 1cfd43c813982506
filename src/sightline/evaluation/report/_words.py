"""Settings in words: augmentation, optimizers, schedules, phases, as a methods section says them.

Nothing is assumed of a recipe. A setting that is not known here is named with its value, so that a recipe
that can do more is still told of in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sightline.evaluation.report._recorded import Recorded, mapping

NBSP, TIMES, DASH = "\u00a0", "\u00d7", "\u2013"


def percent(fraction: float, decimals: int = 2) -> str:
    """A fraction for people.

    Example:
        >>> percent(0.9814).replace(NBSP, " ")
        '98.14 %'
    """
    return f"{100 * fraction:.{decimals}f}{NBSP}%"


def percent_short(fraction: float) -> str:
    """A chosen fraction for people, without zeros that say nothing.

    Example:
        >>> percent_short(0.25).replace(NBSP, " "), percent_short(0.125).replace(NBSP, " ")
        ('25 %', '12.5 %')
    """
    return f"{100 * fraction:.6g}{NBSP}%"


def say(value: Any) -> str:
    """Any setting as text.

    Example:
        >>> say(0.0001), say(True), say([1, 2]), say({"a": None})
        ('0.0001', 'yes', '1, 2', 'a none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {say(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(say, value)) or "none"
    return str(value)


def listed(items: Sequence[str], last: str = "and") -> str:
    """Words as a list in prose.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"])
        ('a, b and c', 'a')
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def count(n: int, word: str, plural: str | None = None) -> str:
    """A number of things.

    Example:
        >>> count(1, "image"), count(1200, "image"), count(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def span(values: Iterable[float], form: str = ",") -> str:
    """One number, or the smallest and the largest."""
    whole = sorted(values)
    low, high = format(whole[0], form), format(whole[-1], form)
    return low if low == high else f"{low} to {high}"


def size(sides: Any) -> str:
    """(height, width) in pixels.

    Example:
        >>> size([240, 320]).replace(TIMES, "x").replace(NBSP, " ")
        '320 x 240 pixels (width x height)'
    """
    height, width = sides
    shape = "" if height == width else f" (width {TIMES} height)"
    return f"{width}{NBSP}{TIMES}{NBSP}{height} pixels{shape}"


def is_off(value: Any) -> bool:
    """Whether a setting says that something is not done."""
    return value is None or value is False or value == 0 or value in ("", "none", [], (), {})


def others(settings: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """What settings say that no sentence here tells of, each named with its value."""
    return [
        f"{key.replace('_', ' ')} {say(value)}"
        for key, value in settings.items()
        if key not in set(known) and not is_off(value)
    ]


# -- augmentation --------------------------------------------------------------------------------------

_AUGMENTATIONS: dict[str, Callable[[Any], str]] = {
    "flip": lambda x: {
        "horizontal": "mirrored left-right with probability 1/2",
        "both": "mirrored left-right and up-down, each with probability 1/2",
        "alternating": (
            "mirrored left-right with probability 1/2 in the first epoch, and in every other one the "
            "opposite of the one before (Jordan 2024)"
        ),
    }[x],
    "transpose": lambda _: "transposed (rows and columns swapped) with probability 1/2",
    "rotate": lambda x: f"rotated by up to {x:g} degrees either way",
    "zoom": lambda x: f"scaled by a factor between 1/{1 + x:g} and {1 + x:g}",
    "scale": lambda x: (
        f"scaled to a shorter side of {_between(x)} times the network's, and cut to its size at a "
        "random place"
    ),
    "trivial": lambda _: "changed by one operation of TrivialAugment Wide (Mueller and Hutter 2021)",
    "pca": lambda x: (
        f"shifted along the three principal axes of the training colours by normal amounts of deviation "
        f"{x:g} (Krizhevsky et al. 2012)"
    ),
    "colour": lambda x: (
        f"changed in brightness, contrast and saturation by factors between 1/{1 + x:g} and {1 + x:g}"
    ),
    "erase": lambda x: (
        f"painted with its own mean in a rectangle of 2 to 25{NBSP}% of its area, with probability {x:g} "
        "(random erasing, Zhong et al. 2017)"
    ),
    "mixup": lambda x: (
        f"mixed with another image of its batch in shares drawn from Beta({x:g}, {x:g}) "
        "(mixup, Zhang et al. 2018)"
    ),
    "cutmix": lambda x: (
        "given a rectangle of another image of its batch, the share that stays drawn from "
        f"Beta({x:g}, {x:g}) (CutMix, Yun et al. 2019)"
    ),
}


_ELSEWHERE = ("mixup", "cutmix", "fill", "aspect", "pca_axes")
"""Said last, or with the setting they belong to."""

_BEYOND = {
    "edge": "the edge repeated beyond it",
    "mean": "the mean of the training images beyond it",
    "reflect": "mirrored beyond its border",
}


def augmentation_words(settings: Mapping[str, Any], sides: Any, channels: Any) -> str:
    """What happened to a training image at random, as one sentence.

    Args:
        settings: The recipe's augmentation.
        sides: (height, width) the network is given, in which images are shifted by whole pixels.
        channels: Of the images; colour is changed only where there are three.
    """
    steps: list[str] = []
    for key, value in settings.items():
        if is_off(value) or key in _ELSEWHERE or (key in ("colour", "pca") and channels != 3):
            continue
        if key == "crop":
            steps += _shift(value, sides, settings.get("fill", "edge"))
        elif key == "area":
            steps.append(_window(value, settings.get("aspect", 4 / 3)))
        else:
            steps.append(_one(key, value))
    mixing = [_one(key, settings[key]) for key in ("mixup", "cutmix") if not is_off(settings.get(key))]
    if len(mixing) == 2:
        mixing = [f"either {mixing[0]} or {mixing[1]}, each with probability 1/2"]
    steps += mixing
    if not steps:
        return "Training images were not augmented."
    return f"Each time an image was trained on it was, at random, {'; '.join(steps)}."


def _one(key: str, value: Any) -> str:
    try:
        return _AUGMENTATIONS[key](value)
    except (KeyError, TypeError, ValueError):
        return f"changed by {key.replace('_', ' ')} ({say(value)})"


def _between(pair: Any) -> str:
    low, high = pair
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _window(shares: Any, aspect: Any) -> str:
    try:
        low, high = (f"{100 * share:g}" for share in shares)
        return (
            f"cut to a window of {low} to {high}{NBSP}% of its area, its ratio of width to height between "
            f"1/{aspect:.3g} and {aspect:.3g}"
        )
    except (TypeError, ValueError):
        return _one("area", shares)


def _shift(share: Any, sides: Any, fill: Any = "edge") -> list[str]:
    """A crop as the whole pixels it comes to; nothing where that is none."""
    try:
        down, across = (math.floor(share * side) for side in sides)
    except (TypeError, ValueError):
        return [_one("crop", share)]
    if not down and not across:
        return []
    reach = count(across, "pixel") if across == down else f"{count(across, 'pixel')} across and {down} down"
    return [f"shifted by up to {reach} in each direction ({_BEYOND.get(fill, say(fill))})"]


# -- optimizers and schedules --------------------------------------------------------------------------

_OF_OPTIMIZERS = ("kind", "lr", "weight_decay", "decay_all", "momentum", "beta2", "nesterov", "parameters")


def optimizer_words(settings: Recorded) -> str:
    """An optimizer with its hyper-parameters."""
    kind, lr, momentum = settings["kind"], settings["lr"], settings["momentum"]
    if kind not in ("adamw", "sgd") or lr is None:
        return f"the optimizer {say(kind)} ({', '.join(others(settings, ('kind', 'parameters')))})"
    parts = [f"peak learning rate {say(lr)}", *_decay(settings)]
    if kind == "adamw":
        name = "AdamW (Loshchilov and Hutter 2019)"
        if momentum is not None:
            parts.append(f"betas {say(momentum)} and {say(settings['beta2'])}")
    else:
        name = "stochastic gradient descent"
        if momentum:
            parts.append(f"{'Nesterov ' if settings['nesterov'] else ''}momentum {say(momentum)}")
        elif momentum is not None:
            parts.append("no momentum")
    parts += others(settings, _OF_OPTIMIZERS)
    return f"{name} with {listed(parts)}"


def _decay(settings: Recorded) -> list[str]:
    decay = settings["weight_decay"]
    if decay is None:
        return []
    if not decay:
        return ["no weight decay"]
    scope = "" if settings["decay_all"] else ", not of biases and normalisation"
    how = "decoupled" if settings["kind"] == "adamw" else "added to the gradient"
    return [f"weight decay {say(decay)} ({how}{scope})"]


_OF_SCHEDULES = ("kind", "warm_up", "start", "end", "milestones", "drop", "wait")


def schedule_words(settings: Recorded, select: str | None) -> str:
    """What the learning rate did over a phase: a predicate to "the learning rate".

    Args:
        settings: The phase's schedule.
        select: The recipe's metric, which a plateau waits for.
    """
    kind = settings["kind"]
    try:
        course = _course(settings, select)
    except (KeyError, TypeError, ValueError):
        rest = others(settings, ("kind",))
        return f"followed the schedule {say(kind)}" + (f" ({', '.join(rest)})" if rest else "")
    rest = others(settings, _OF_SCHEDULES)
    return course + (f" ({', '.join(rest)})" if rest else "")


def _course(settings: Recorded, select: str | None) -> str:
    kind, warm_up = settings["kind"], settings["warm_up"]
    bend = "along a cosine" if kind == "one_cycle" else "in a straight line"
    rise = (
        f"rose {bend} from {say(float(settings['start']))} of its peak over the first "
        f"{percent_short(warm_up)} of the steps and then "
        if warm_up
        else ""
    )
    if kind == "constant":
        return f"{rise}stayed constant"
    if kind == "step":
        places = listed([percent_short(milestone) for milestone in _known(settings, "milestones")])
        return f"{rise}was multiplied by {say(_known(settings, 'drop'))} after {places} of the steps"
    end = f"{say(_known(settings, 'end'))} of the peak"
    if kind == "plateau":
        drop, wait = say(_known(settings, "drop")), count(_known(settings, "wait"), "epoch")
        metric = (select or "loss").replace("_", " ")
        return (
            f"{rise}was multiplied by {drop} whenever {wait} had passed without a better validation "
            f"{metric}, down to {end} at the least"
        )
    curves = {
        "one_cycle": f"fell along a cosine to {end} (one cycle, Smith 2018; the momentum was not cycled)",
        "cosine": f"fell along a cosine to {end} (Loshchilov and Hutter 2017)",
        "linear": f"fell in a straight line to {end}",
    }
    return rise + curves[kind]


def _known(settings: Recorded, key: str) -> Any:
    if settings[key] is None:
        raise KeyError(key)
    return settings[key]


_OF_PHASES = ("epochs", "trainable", "rates", "frozen_after", "start", "schedule")


def phase_words(phase: Recorded) -> list[str]:
    """What a phase did beyond its schedule, each as a clause."""
    words = []
    if phase["start"] is not None:
        words.append(f"it started from the weights of {phase['start']}")
    if phase["trainable"] is not None and list(phase["trainable"]) != ["*"]:
        words.append(f"only {listed(list(map(_pattern, phase['trainable'])))} changed")
    if phase["rates"]:
        rates = [f"{say(rate)} for {_pattern(name)}" for name, rate in mapping(phase["rates"]).items()]
        words.append(f"the rate was multiplied by {listed(rates)}")
    if phase["frozen_after"]:
        frozen = mapping(phase["frozen_after"]).items()
        words += [f"{_pattern(name)} stopped changing after {count(n, 'epoch')}" for name, n in frozen]
    return words + others(phase, _OF_PHASES)


def _pattern(name: Any) -> str:
    return "all parameters" if name == "*" else str(name)
