"""Why CNNs: what shared weights save, and what they know of a digit that has moved."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

IMAGE, LAYER = "32x32x3", "conv:6,k5"
"""Six filters of 5x5 on a colour image, as on the slides."""


def _run(setting: Setting) -> Page:
    from sightline.lab import _shifted as shifted
    from sightline.lab._curves import recorded
    from sightline.lab._digits import count_parameters, digit_parts
    from sightline.reference import (
        convolution_macs,
        convolution_parameters,
        design,
        fully_connected_macs,
        fully_connected_parameters,
    )

    layer = design(IMAGE, [LAYER]).layers[0]
    inputs, outputs = 32 * 32 * 3, 6 * layer.output_shape[1] * layer.output_shape[2]
    shared = convolution_parameters(3, 6, (5, 5))
    dense = fully_connected_parameters(inputs, outputs)
    macs = convolution_macs(3, 6, (5, 5), layer.output_shape[1:])
    dense_macs = fully_connected_macs(inputs, outputs)
    assert shared.value == layer.parameters
    zeros = 1 - macs.value / dense_macs.value
    matrix, gap = shifted.as_fully_connected()

    if setting.live:
        rows, note = shifted.try_all(setting.seed, setting.progress), "Trained just now."
    else:
        curves = recorded("why-cnns")
        rows, note = [{**row} for row in curves.rows], curves.note
    found = shifted.accuracies(rows)
    seeds = len({row["seed"] for row in rows})
    judged = int(rows[0]["judged"])
    parameters = {name: count_parameters(build()) for name, build in shifted.NETWORKS.items()}
    far, middle = shifted.FURTHEST, shifted.FURTHEST // 2
    percent = {key: [100 * float(value) for value in values] for key, values in found.items()}
    still = percent["CNN, stride 1, pooled", "centred"]
    return Page(
        sentences=(
            f"Six 5x5 filters on {IMAGE} have {shared.value:,} parameters; the fully connected layer that "
            f"could do the same has {dense.value:,}, and {100 * zeros:.1f} % of its weights would be 0.",
            f"Trained on centred digits, an MLP falls from {percent['MLP', 'centred'][0]:.0f} % to "
            f"{percent['MLP', 'centred'][middle]:.0f} % at {middle} pixels, and a CNN with a fully connected "
            f"head from {percent['CNN, flattened', 'centred'][0]:.0f} % to "
            f"{percent['CNN, flattened', 'centred'][middle]:.0f} %: convolution alone is not invariance. "
            f"With stride 1 and the largest value of each map it stays at {min(still):.0f} to "
            f"{max(still):.0f} %; trained on moved digits the CNN keeps "
            f"{percent['CNN, flattened', 'moved'][far]:.0f} % at {far} pixels, the MLP "
            f"{percent['MLP', 'moved'][far]:.0f} %.",
        ),
        parts=(
            Table(
                title="One layer, two ways",
                columns=("", "parameters", "the sum", "multiply-adds", "the sum"),
                rows=(
                    ("convolution, 6 of 5x5", shared.value, shared.text, macs.value, macs.text),
                    ("fully connected", dense.value, dense.text, dense_macs.value, dense_macs.text),
                ),
                caption=f"{IMAGE} to {layer.output_shape[1]}x{layer.output_shape[2]}x6, "
                f"{inputs:,} numbers to {outputs:,}.",
            ),
            Plot(
                svg=shifted.matrix_drawn(matrix),
                title="A convolution as a fully connected layer",
                caption="A 3x3 kernel on 8x8 pixels, written as the 36x64 weights of a fully connected "
                f"layer: nine numbers again and again, all others 0. On a random image the two differ by "
                f"{gap:.0e}.",
            ),
            Plot(
                svg=shifted.digits_drawn(digit_parts()[2]),
                title="What is moved",
                caption="8x8 digits on a canvas of 24x24: no shift up to 8 pixels cuts one, and nothing but "
                "its place changes.",
            ),
            Plot(
                svg=shifted.curves(found),
                title="MLP against CNN",
                caption="Left: what a network knows of places it has never seen a digit at. Right: what it "
                "learns when it sees them at all places, in as many steps.",
            ),
            Table(
                title="Right, %",
                columns=("network", "parameters", "trained on", "0 pixels", "1", "2", "3", "4", "6", "8"),
                rows=[
                    (name, parameters[name], how, *(values[k] for k in (0, 1, 2, 3, 4, 6, 8)))
                    for (name, how), values in percent.items()
                ],
                caption="The pooled CNN has two poolings of stride 2 in it: it knows a digit again when that "
                "has moved by 4 pixels, and less so between. Strides break what convolution kept.",
            ),
        ),
        numbers={
            "convolution_parameters": shared.value,
            "fully_connected_parameters": dense.value,
            "convolution_macs": macs.value,
            "fully_connected_macs": dense_macs.value,
            "zero_weights": zeros,
            "matrix_gap": gap,
            "seeds": seeds,
            "judged": judged,
            "curves": [
                {"network": name, "trained": how, "parameters": parameters[name], "right": values.tolist()}
                for (name, how), values in found.items()
            ],
        },
        notes=(note, f"{shifted.HOW}; {judged} digits, {seeds} {'seed' if seeds == 1 else 'seeds'}."),
    )


ENTRY = Entry(
    name="why-cnns",
    title="Why CNNs",
    slides="Why do we need CNNs?; Fully Connected Neural Network",
    about="What does a convolution save, and what does it know that a fully connected layer must learn?",
    see="456 parameters against 14,455,392, and four networks judged on digits moved by 0 to 8 pixels.",
    seconds=8,
    live_seconds=180,
    commands=(
        "sightline design 32x32x3 conv:6,k5",
        "sightline design 32x32x3 fc:4704",
        "sightline compare mnist1d_conv mnist1d_mlp",
    ),
    corrections=(
        Correction(
            says="The architecture of MLPs is fundamentally limited in processing image data",
            fact="Not in what it can express: a fully connected layer can be any convolution, and it learns "
            "moved digits when it is shown them, if far fewer in as many steps. What it lacks is the bias "
            "towards it, and so it needs more parameters, more examples, more time.",
            evidence="the matrix of this stop, which is a convolution; the right half of its curves; Prince "
            "2023, Understanding Deep Learning, chapter 10",
        ),
    ),
    plays=(Play(kind="design", given={"line": "32x32x3 conv:6,k5"}),),
    run=_run,
)
