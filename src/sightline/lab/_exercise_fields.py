"""Exercises on receptive fields."""

from __future__ import annotations

from sightline.lab._exercise import Dice, Exercise, Maker
from sightline.lab._exercise_words import listed, sums_of
from sightline.reference import Design, design

_INPUT = "1000x1000x1"
"""So large that no window of an exercise is larger than its input; the field does not depend on it."""
_SIGNAL = "1000x1"
_ASKED = "How many input pixels, along one side, does one output value see?"


def _network(words: list[str], shape: str = _INPUT) -> Design:
    return design(shape, words)


def _behind(network: Design, asked: str, answer: dict[str, int], sums: list[str]) -> Exercise:
    return Exercise(
        text=f"These layers follow each other:\n{listed(network, windows_alone=True)}\n{asked}",
        answer=answer,
        sum="\n".join(sums),
    )


def _mixed(dice: Dice, least: int, most: int) -> list[str]:
    """Convolutions and poolings, some with a stride."""
    words: list[str] = []
    for _ in range(dice.between(least, most)):
        if words and words[-1][0] == "c" and dice.below(3) == 0:
            words.append(dice.of(("pool:2", "pool:2", "pool:3,s2", "avgpool:2")))
        else:
            words.append(f"conv:8,k{dice.of((3, 3, 5, 7))},s{dice.of((1, 1, 1, 2))}")
    return words


def _equal(dice: Dice) -> Exercise:
    first, second = dice.of((3, 5, 7)), dice.of((1, 3, 5, 7))
    words = [f"conv:8,k{first}"] * dice.between(1, 4) + [f"conv:8,k{second}"] * dice.between(1, 3)
    network = _network(words)
    return _behind(
        network, _ASKED, {"field": network.layers[-1].receptive_field[0]}, sums_of(network, "receptive_field")
    )


def _each(dice: Dice) -> Exercise:
    network = _network(_mixed(dice, 3, 3))
    answer = {f"behind ({i})": layer.receptive_field[0] for i, layer in enumerate(network.layers, 1)}
    asked = "How many input pixels, along one side, does one value behind each of them see?"
    return _behind(network, asked, answer, sums_of(network, "receptive_field"))


def _strided(dice: Dice) -> Exercise | None:
    network = _network(_mixed(dice, 3, 5))
    last = network.layers[-1]
    if last.jump[0] == 1:
        return None
    return _behind(network, _ASKED, {"field": last.receptive_field[0]}, sums_of(network, "receptive_field"))


def _jump(dice: Dice) -> Exercise | None:
    network = _network(_mixed(dice, 2, 4))
    last = network.layers[-1]
    strides = [layer.stride[0] for layer in network.layers if layer.stride is not None]
    if last.jump[0] < 4:
        return None
    jumps = f"jump: {'*'.join(map(str, strides))} = {int(last.jump[0])}"
    asked = "How large are the receptive field and the jump of the output?"
    answer = {"field": last.receptive_field[0], "jump": int(last.jump[0])}
    return _behind(network, asked, answer, [*sums_of(network, "receptive_field"), jumps])


def _dilated(dice: Dice) -> Exercise | None:
    dilations = [dice.of((1, 2, 2, 3, 4, 8)) for _ in range(dice.between(2, 4))]
    if set(dilations) == {1}:
        return None
    network = _network([f"conv:8,k{dice.of((3, 3, 3, 5))},d{dilation}" for dilation in dilations])
    return _behind(
        network, _ASKED, {"field": network.layers[-1].receptive_field[0]}, sums_of(network, "receptive_field")
    )


def _signal(dice: Dice) -> Exercise:
    words = [f"conv:8,k{dice.of((3, 5, 7, 9))},s{dice.of((1, 2, 2))}" for _ in range(dice.between(2, 4))]
    network = _network(words, _SIGNAL)
    last = network.layers[-1]
    return Exercise(
        text="A signal goes through these layers, one-dimensional, one after the other:\n"
        f"{listed(network, windows_alone=True)}\nHow many values of the signal does one output value see?",
        answer={"field": last.receptive_field[0]},
        sum="\n".join(sums_of(network, "receptive_field")),
    )


def _rectangle(dice: Dice) -> Exercise:
    kernels = [dice.some(2, (1, 3, 5, 7)) for _ in range(dice.between(2, 3))]
    network = _network([f"conv:8,k{rows}x{columns},s{dice.of((1, 1, 2))}" for rows, columns in kernels])
    rows, columns = network.layers[-1].receptive_field
    asked = "Kernels are height x width. How many rows, and how many columns, does one output value see?"
    lines = [
        line if ";" in line else f"{line} (rows and columns)" for line in sums_of(network, "receptive_field")
    ]
    return _behind(
        network,
        asked,
        {"rows": rows, "columns": columns},
        [line.replace("; ", " (rows); ") + " (columns)" * (";" in line) for line in lines],
    )


def _how_many(dice: Dice) -> Exercise:
    seen, kernel = dice.between(8, 64), dice.of((3, 5, 7))
    layers = _network([f"conv:8,k{kernel}"] * 32).layers  # 32 of 3x3 see 65
    times, last = next((i, layer) for i, layer in enumerate(layers, 1) if layer.receptive_field[0] >= seen)
    before = f"; with {times - 1}: {layers[times - 2].receptive_field[0]}, too few" if times > 1 else ""
    return Exercise(
        text=f"How many convolutions of {kernel}x{kernel} with stride 1, one after the other, does it take "
        f"at least until one output value sees {seen}x{seen} input pixels or more?",
        answer={"convolutions": times},
        sum=f"with {times}: a field of {last.receptive_field[0]}{before}; the last step is "
        f"{last.sums['receptive_field']}",
    )


MAKERS: dict[str, tuple[Maker, ...]] = {
    "receptive-fields": (_equal, _each, _how_many, _strided, _signal, _jump, _rectangle, _dilated)
}
