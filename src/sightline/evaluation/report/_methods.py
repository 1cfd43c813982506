"""The methods section of a paper, written from what a run recorded and scored.

Every statement is read from the run or computed from its split; what a run does not record is not said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sightline.data import PARTS
from sightline.evaluation.report._judged import judging
from sightline.evaluation.report._recorded import Facts, Recorded, Series, each_judged_once, mapping
from sightline.evaluation.report._words import (
    DASH,
    augmentation_words,
    count,
    is_off,
    listed,
    optimizer_words,
    others,
    phase_words,
    say,
    schedule_words,
    size,
    span,
)

_FORMATS = {
    "fp32": "in 32-bit floating point",
    "bf16": "with products in bfloat16 (autocast) over 32-bit weights",
}
_VERSIONS = {"sightline": "Sightline", "torch": "PyTorch", "numpy": "NumPy", "python": "Python"}


def methods(runs: Sequence[Facts], series: Series | None = None) -> list[str]:
    """Three paragraphs: the images, the training, the judging.

    Args:
        runs: One run, or the runs of a series.
        series: What they came to, if they are one.
    """
    paragraphs = (_images(runs, series), _training(runs, series), judging(runs, series))
    return [" ".join(filter(None, sentences)) for sentences in paragraphs]


# -- the images ----------------------------------------------------------------------------------------


def _images(runs: Sequence[Facts], series: Series | None) -> Iterable[str]:
    first = runs[0]
    data, images = first.args["data"], first.headline.images
    kind = {1: "grey-scale ", 3: "colour "}.get(_channels(first) or 0, "")
    classes = len(data["classes"] or images.classes)
    yield (
        f"The data were {count(len(first.split.parts), f'{kind}image')} of "
        f"{count(classes, 'class', 'classes')} ({data['source'] or images.source})."
    )
    if left_out := data["left_out"] or (images.left_out if first.own_images else ()):
        were = "was" if len(left_out) == 1 else "were"
        yield f"{count(len(left_out), 'file')} that could not be read {were} left out."
    if series is not None and series.kind == "folds":
        yield from _fold_sentences(runs)
    else:
        yield from _split_sentences(first)
    if all(run.own_images for run in runs) and not any(map(_shares_copies, runs)):
        one = len({run.split.parts for run in runs}) == 1
        yield f"{'No two parts' if one else 'In no run do two parts'} share an image, byte for byte."


def _channels(run: Facts) -> int | None:
    channels = run.args["data"]["channels"]
    if isinstance(channels, int):
        return channels
    return run.headline.images.channels if run.own_images else None


def _split_sentences(run: Facts) -> Iterable[str]:
    split = run.split
    sizes = [f"{len(split.indices(part)):,}" for part in PARTS]
    if len(split.indices("test")):
        val = f"{sizes[1]} for validation" if len(split.indices("val")) else "none for validation"
        divided = f"{sizes[0]} for training, {val} and {sizes[2]} for testing"
    else:
        divided = f"{sizes[0]} for training and {sizes[1]} for validation, with none for testing"
    yield f"They were divided into {divided}: {split.rule}."
    own_parts = run.own_images and run.headline.images.parts == split.parts
    if not own_parts and "split seed" not in split.rule:
        yield f"The split seed was {split.seed}."
    if digest := run.args["split"]["digest"]:
        yield f"The digest of the split is {digest}."


def _fold_sentences(runs: Sequence[Facts]) -> Iterable[str]:
    sizes = [span(len(run.split.indices(part)) for run in runs) for part in PARTS]
    exactly = ", so that every image was tested on exactly once" if each_judged_once(runs) else ""
    yield (
        f"In {len(runs)}-fold cross-validation, each run trained on {sizes[0]} images, validated on "
        f"{sizes[1]} and tested on the {sizes[2]} of its own fold{exactly}."
    )
    rules = {_rule_of_any_fold(run) for run in runs}
    if len(rules) == 1:
        yield f"In run k, {rules.pop()}."
    else:
        yield f"In the first run, {runs[0].split.rule}."
    if all(run.args["split"]["digest"] for run in runs):
        yield "The digest of each split is in its run's report."


def _rule_of_any_fold(run: Facts) -> str:
    fold = run.split.fold
    return run.split.rule if fold is None else run.split.rule.replace(f"fold {fold[0]} of", "fold k of")


def _shares_copies(run: Facts) -> bool:
    """Whether the same bytes are in two parts."""
    parts: dict[str, set[str]] = defaultdict(set)
    for digest, part in zip(run.headline.images.digests, run.split.parts, strict=True):
        parts[digest].add(part)
    return any(len(found) > 1 for found in parts.values())


# -- the training --------------------------------------------------------------------------------------


def _training(runs: Sequence[Facts], series: Series | None) -> Iterable[str]:
    first = runs[0]
    recipe = first.args["recipe"]
    yield _network(first)
    yield _input(runs)
    if isinstance(recipe["augmentation"], dict):
        yield augmentation_words(
            recipe["augmentation"], first.args["preprocessing"]["size"], _channels(first)
        )
    if any(run.args["recipe"] != recipe for run in runs):
        yield "The recipes of the runs differ; what follows is that of the first."
    if recipe["probe"]:
        yield from _probe(runs)
    else:
        yield from _optimisation(runs)
        yield from _schedules(first)
        yield from _regularisation(first)
        yield from _selection(runs)
    if seeds := _seeds(runs, series):
        yield seeds
    yield from _machine(runs)


def _probe(runs: Sequence[Facts]) -> Iterable[str]:
    """A head by regression on features of a network that stayed as it was."""
    recipe = runs[0].args["recipe"]
    bests = [[row["strength"] for row in run.rows if row.get("best") == "1"] for run in runs]
    kept = dict.fromkeys(f"{float(best[-1]):g}" for best in bests if best)
    start = mapping((recipe["phases"] or [{}])[0])["start"]
    weights = f"All weights of {start}" if start else "All weights"
    yield (
        f"{weights} stayed as they were but those of the last layer. It was fitted by L2-penalised logistic "
        "regression (L-BFGS, scikit-learn) to the training images' features, computed once, without "
        "augmentation, in 32-bit floating point."
    )
    if kept:
        tried = listed([f"{float(one):g}" for one in mapping(recipe["probe"])["strengths"] or ()])
        metric = str(recipe["select"] or "accuracy").replace("_", " ")
        yield (
            f"Of the strengths {tried} of the penalty, {listed(list(kept))} was kept, for the best {metric} "
            "on the validation images."
        )
    if not is_off(recipe["balance"]):
        yield _BALANCES["weights"]


def _network(run: Facts) -> str:
    model = run.args["model"]
    known = (
        "name",
        "paper",
        "source",
        "source_digest",
        "num_classes",
        "in_channels",
        "input_size",
        "parameters",
    )
    name = str(model["name"] or "not recorded")
    details = [str(model["paper"])] if model["paper"] else []
    if model["source"]:
        digest = f", digest {model['source_digest']}" if model["source_digest"] else ""
        details.append(f"defined in {model['source']}{digest}")
    details += others(model, known)
    sentence = f"The network was {name}" + (f" ({'; '.join(details)})" if details else "")
    if isinstance(model["parameters"], int):
        sentence += f", of {count(model['parameters'], 'parameter')}"
    starts = list(dict.fromkeys(str(phase["start"]) for phase in run.phases if phase["start"] is not None))
    if starts:
        sentence += f", started from the weights of {listed(starts)}"
    elif run.phases:
        sentence += ", trained from scratch"
    return sentence + "."


def _input(runs: Sequence[Facts]) -> str:
    """From an image as it is to what the network was given."""
    first = runs[0]
    settings, canvas = first.args["preprocessing"], first.args["data"]["canvas"]
    fit, given = settings["fit"], settings["size"]
    if fit is None or given is None:
        return ""
    own = first.headline.images.one_size if first.own_images else None
    if own is not None and canvas is not None and tuple(canvas) == own:
        begin = f"Images of {size(canvas)} were "
    else:
        begin = "Images were "
        if canvas is not None:
            begin += f"scaled to fit {size(canvas)} (bilinear, the shape kept, the edge repeated beyond) and "
    steps = {
        "none": "given to the network at that size",
        "pad": f"centred on {size(given)} (the edge repeated beyond)",
        "resize": f"resized to {size(given)} (bilinear, antialiased)",
    }
    sentence = begin + steps.get(str(fit), f"brought to {size(given)} ({say(fit)})")
    sentence += f", their values mapped from {_ranges(settings['value_range'])} to 0{DASH}1"
    if settings["mean"] is not None and settings["std"] is not None:
        same = all(_statistics(run) == _statistics(first) for run in runs)
        each = " per channel" if len(settings["mean"]) > 1 else ""
        sentence += f" and standardised{each} with "
        sentence += _statistics(first) if same else "each run's own mean and standard deviation"
    rest = others(settings, ("size", "fit", "mean", "std", "value_range"))
    return sentence + (f" ({'; '.join(rest)})" if rest else "") + "."


def _ranges(value_range: Any) -> str:
    """What becomes 0 and 1: one range, or one a channel."""
    value_range = value_range or (0.0, 255.0)
    pairs = [value_range] if isinstance(value_range[0], int | float) else value_range
    return listed([f"{low:g}{DASH}{high:g}" for low, high in pairs])


def _statistics(run: Facts) -> str:
    mean, std = run.args["preprocessing"]["mean"], run.args["preprocessing"]["std"]
    return f"mean {_numbers(mean)} and standard deviation {_numbers(std)}"


def _numbers(values: Any) -> str:
    return "none" if values is None else ", ".join(f"{value:.4g}" for value in values)


def _optimisation(runs: Sequence[Facts]) -> Iterable[str]:
    first = runs[0]
    recipe, planned = first.args["recipe"], first.planned
    done = [len(run.rows) for run in runs]
    sentence = "The network was trained"
    if any(done):
        sentence += f" for {span(done)} epoch{'' if set(done) == {1} else 's'}"
        sentence += f" of {planned} planned" if planned and set(done) != {planned} else ""
    optimizers = {str(key): mapping(value) for key, value in mapping(recipe["optimizers"]).items()}
    if len(optimizers) == 1:
        (optimizer,) = optimizers.values()
        sentence += f" with {optimizer_words(optimizer)}{_moved(optimizer)}"
    if recipe["batch_size"]:
        sentence += f", in batches of at most {count(recipe['batch_size'], 'image')}"
    if (recipe["accumulate"] or 1) > 1:
        sentence += f", each divided into {recipe['accumulate']} micro-batches"
    if sentence != "The network was trained":
        yield sentence + "."
    if len(optimizers) > 1:
        for name, optimizer in optimizers.items():
            yield f"Optimizer {name}: {optimizer_words(optimizer)}{_moved(optimizer)}."


def _moved(optimizer: Recorded) -> str:
    patterns = list(optimizer["parameters"] or ["*"])
    return "" if patterns == ["*"] else f", moving {listed([str(pattern) for pattern in patterns])}"


def _schedules(run: Facts) -> Iterable[str]:
    for place, phase in enumerate(run.phases, start=1):
        rate = schedule_words(mapping(phase["schedule"]), run.selects) if phase["schedule"] else ""
        more = phase_words(phase) if len(run.phases) > 1 else phase_words(Recorded({**phase, "start": None}))
        sentence = f"The learning rate {rate}" if rate else ""
        if len(run.phases) > 1:
            rate = f"the learning rate {rate}" if rate else ""
            sentence = f"Phase {place} of {len(run.phases)} ({count(phase['epochs'] or 0, 'epoch')})"
            sentence += f": {'; '.join(filter(None, [*more, rate]))}" if more or rate else ""
        elif more:
            sentence += ("; " if sentence else "In training, ") + "; ".join(more)
        if sentence:
            yield f"{sentence}."


_OF_RECIPES = (
    "name", "why", "phases", "optimizers", "batch_size", "accumulate", "augmentation", "balance", "objective",
    "ema_decay", "clip_norm", "select", "patience", "snapshot_every",
)  # fmt: skip
_BALANCES = {
    "weights": "For classes of unequal size, the loss of an image counted by the inverse of its class's "
    "share of the training images.",
    "sampling": "For classes of unequal size, each epoch showed every class equally often, images of rare "
    "classes more than once.",
}


def _regularisation(run: Facts) -> Iterable[str]:
    recipe = run.args["recipe"]
    objective = mapping(recipe["objective"])
    if run.objective:
        yield f"The loss was {run.objective.replace('_', '-')}."
    if objective["label_smoothing"]:
        yield f"Labels were smoothed by {say(objective['label_smoothing'])} (Szegedy et al. 2016)."
    if objective["class_weights"]:
        yield f"The loss of an image was weighted by its class: {say(objective['class_weights'])}."
    if not is_off(recipe["balance"]):
        balance = str(recipe["balance"])
        yield _BALANCES.get(balance, f"For classes of unequal size, they were balanced by {balance}.")
    if recipe["clip_norm"]:
        yield f"Gradients were clipped to a norm of {say(recipe['clip_norm'])}."
    if recipe["ema_decay"]:
        yield (
            "What was validated and kept is the exponential moving average of the weights over steps "
            f"(decay {say(recipe['ema_decay'])})."
        )
    rest = others(objective, ("label_smoothing", "class_weights")) + others(recipe, _OF_RECIPES)
    if rest:
        yield f"Further settings of the recipe: {'; '.join(rest)}."


def _selection(runs: Sequence[Facts]) -> Iterable[str]:
    first = runs[0]
    recipe, kept = first.args["recipe"], [run.kept for run in runs]
    epochs = [epoch for epoch in kept if epoch is not None]
    which = f" (epoch{'s' if len(set(epochs)) > 1 else ''} {span(epochs)})" if epochs else ""
    if first.selects is not None:
        metric = first.selects.replace("_", " ")
        best = "lowest loss" if metric == "loss" else f"highest {metric}"
        yield f"The weights kept are those of the epoch with the {best} on the validation images{which}."
    elif "select" in recipe:
        yield f"The weights kept are those of the last epoch{which}; none was selected."
    if recipe["patience"]:
        yield f"Training was to stop after {count(recipe['patience'], 'epoch')} without a better one."


def _seeds(runs: Sequence[Facts], series: Series | None) -> str:
    seeds = [str(run.args["seed"]) for run in runs if run.args["seed"] is not None]
    if not seeds:
        return ""
    if series is not None and series.kind == "repeats" and len(seeds) > 1:
        return f"The training was repeated with the seeds {listed(seeds)} on one split."
    distinct = list(dict.fromkeys(seeds))
    return f"The training seed{'s were' if len(distinct) > 1 else ' was'} {listed(distinct)}."


def _machine(runs: Sequence[Facts]) -> Iterable[str]:
    first = runs[0]
    sections = ("plan", "machine", "versions")
    if any(run.args[section] != first.args[section] for run in runs for section in sections):
        yield "The runs differ in plan, machine or versions; those of the first follow."
    plan, machine = first.args["plan"], first.args["machine"]
    parts = []
    if plan["dtype"]:
        parts.append(_FORMATS.get(str(plan["dtype"]), f"in {plan['dtype']}"))
    if machine["device"]:
        parts.append(f"on {machine['device']}")
    versions = {"sightline": first.args["sightline"]} if isinstance(first.args["sightline"], str) else {}
    used = [
        f"{_VERSIONS.get(name, name)} {version}"
        for name, version in (versions | first.args["versions"]).items()
    ]
    if used:
        parts.append(f"with {listed(used)}")
    if parts:
        yield f"Training was computed {', '.join(parts)}."
