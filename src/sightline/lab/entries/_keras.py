"""The lecture's two Keras programs: as printed, why they fail, repaired, and ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Cell, Correction, Entry, Listing, Page, Part, Play, Setting, Table

if TYPE_CHECKING:
    from sightline.lab._curves import Curves

PROGRAMS = {
    # program: ours, and its line for `design`
    "first": (
        "lecture_cnn",
        "conv:64,k7,p3 relu pool:2 conv:128,k3,p1 relu conv:128,k3,p1 relu pool:2 conv:256,k3,p1 relu "
        "conv:256,k3,p1 relu pool:2 flatten fc:128 relu dropout:0.5 fc:64 relu dropout:0.5 fc:10",
    ),
    "second": (
        "lecture_cnn_2",
        "conv:32,k3 relu pool:2 conv:64,k3 relu pool:2 flatten fc:1024 relu fc:10",
    ),
}
SIDE = 28
EPOCHS = 2
MINUTES = {"first": 3.0, "second": 1.0}
"""With images of the user or with --live: the first multiplies 22 times as much."""
_KINDS = {
    "conv2d": "Conv2D", "max_pool2d": "MaxPooling2D", "flatten": "Flatten", "linear": "Dense",
    "dropout": "Dropout",
}  # fmt: skip


def our_layers(program: str) -> list[dict[str, Any]]:
    """Ours, a layer as Keras counts them: kind, output (height x width x channels), parameters, macs."""
    from sightline.lab._networks import summary_of

    found: list[dict[str, Any]] = []
    for one in summary_of(PROGRAMS[program][0]).layers:
        if one.kind in _KINDS:
            maps, *size = one.output_shape
            output = "x".join(map(str, (*size, maps)))
            found.append(
                {"kind": _KINDS[one.kind], "output": output, "parameters": one.parameters, "macs": one.macs}
            )
    return found


def keras_layers(transcript: Curves, program: str) -> list[dict[str, Any]]:
    """Keras's own, as recorded: kind, output, parameters."""
    found: list[dict[str, Any]] = []
    for row in transcript.rows:
        if row["program"] == f"{program} repaired" and row["kind"] == "layer":
            output, parameters = row["text"].split()
            found.append({"kind": row["step"], "output": output, "parameters": int(parameters)})
    return found


def _answers(transcript: Curves, program: str) -> dict[str, str]:
    return {row["step"]: row["text"] for row in transcript.rows if row["program"] == program}


def _transcript_text(transcript: Curves, program: str) -> str:
    """What was typed, and what Keras said; the program itself stands elsewhere."""
    lines: list[str] = []
    before = ""
    for row in transcript.rows:
        if row["program"] != program:
            continue
        if row["step"] != before:
            lines.append(f">>> {row['step']}")
            before = row["step"]
        lines += [_folded(line) for line in row["text"].splitlines()]
    return "\n".join(lines)


def _folded(line: str, width: int = 100) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(line, width, subsequent_indent="    ")) or line


def _layer_table(program: str, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one["kind"], one["output"], one["parameters"], other["output"], other["parameters"], other["macs"])
        for one, other in zip(theirs, ours, strict=True)
    ]
    rows.append(
        (
            "total", "", sum(one["parameters"] for one in theirs), "",
            sum(one["parameters"] for one in ours), sum(one["macs"] for one in ours),
        )
    )  # fmt: skip
    name = PROGRAMS[program][0]
    return Table(
        title=f"The {program} program and {name}",
        columns=("layer", "Keras", "parameters", name, "parameters", "multiply-adds"),
        rows=rows,
        caption="Height x width x channels, as Keras writes. Keras's are recorded, ours computed just now.",
    )


def _training(setting: Setting) -> tuple[list[dict[str, Any]], str]:
    """Accuracy of ours, and on what."""
    from sightline.lab._networks import accuracy_text, learned

    data = "digits" if setting.data is None else str(setting.data)
    long = setting.live or setting.data is not None
    found: list[dict[str, Any]] = []
    for program, (name, _) in PROGRAMS.items():
        if program == "first" and not long:
            continue  # 89 million multiply-adds an image: seconds become minutes
        with learned(
            name, data, seed=setting.seed, progress=setting.progress, img_size=SIDE,
            epochs=None if long else EPOCHS, minutes=MINUTES[program] if long else None,
        ) as one:  # fmt: skip
            found.append(
                {
                    "program": program, "network": name, "epochs": one.epochs,
                    "train_images": one.train_images, "parameters": one.parameters,
                    "classes": len(one.evaluation.images.classes), "part": one.evaluation.part, **one.numbers,
                    "text": accuracy_text(one.numbers),
                }
            )  # fmt: skip
            source = one.evaluation.images.source
    where = "the digits of scikit-learn, 8x8" if setting.data is None else source
    return found, f"{where}, shown at {SIDE}x{SIDE}"


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _run(setting: Setting) -> Page:
    from sightline.lab._curves import recorded
    from sightline.lab._keras_programs import PRINTED_FIRST, PRINTED_SECOND, REPAIRED
    from sightline.lab._networks import drawing
    from sightline.reference import design, torch_source

    transcript = recorded("keras")
    ours = {program: our_layers(program) for program in PROGRAMS}
    theirs = {program: keras_layers(transcript, program) for program in PROGRAMS}
    designs = {program: design(f"{SIDE}x{SIDE}x1", line.split()) for program, (_, line) in PROGRAMS.items()}
    trained, where = _training(setting)
    failure = _answers(transcript, "second")["generate_model()"]
    unfitted = _answers(transcript, "first")["model.fit(images, labels)"]
    differences = {
        program: float(
            _answers(transcript, f"{program} repaired")["largest difference of probabilities, same weights"]
        )
        for program in PROGRAMS
    }
    parameters = {program: sum(one["parameters"] for one in ours[program]) for program in PROGRAMS}
    same = {
        program: [(one["kind"], one["output"], one["parameters"]) for one in ours[program]]
        == [(one["kind"], one["output"], one["parameters"]) for one in theirs[program]]
        for program in PROGRAMS
    }
    parts: list[Part] = []
    for program, printed in (("first", PRINTED_FIRST), ("second", PRINTED_SECOND)):
        name = PROGRAMS[program][0]
        parts += [
            Listing(title=f"The {program} program, as printed", text=printed.rstrip()),
            Listing(
                title="What Keras says to it",
                text=_transcript_text(transcript, program),
                caption=f"Recorded ({transcript.versions}; {transcript.date}); Keras is not needed here.",
            ),
            Listing(
                title=f"The {program} program, repaired",
                text=REPAIRED[program].rstrip(),
                caption="It was run: it fits, and has the layers below.",
            ),
            _layer_table(program, ours[program], theirs[program]),
            drawing(name, f"{name}, to scale"),
            Listing(
                title=f"The {program} program in PyTorch",
                text=torch_source(designs[program]).rstrip(),
                caption="From its line for `sightline design`. PyTorch's loss takes the softmax with it, so "
                "the network returns logits.",
            ),
        ]
    parts.append(
        Table(
            title="Ours, trained",
            columns=(
                "network",
                "images",
                "classes",
                "epochs",
                "parameters",
                "accuracy, 95 % interval",
                "of images",
            ),
            rows=[
                (
                    one["network"],
                    one["train_images"],
                    one["classes"],
                    one["epochs"],
                    one["parameters"],
                    one["text"],
                    one["test_images"],
                )
                for one in trained
            ],
            caption=f"On {where}, by the usual recipe; none of the images judged was trained on.",
        )
    )
    notes = [transcript.note]
    if setting.data is None and not setting.live:
        notes.append(
            f"Without --data PATH and without --live only lecture_cnn_2 is trained, for {EPOCHS} epochs of "
            f"the digits. With either, both are, for up to {sum(MINUTES.values()):g} minutes together."
        )
    notes += [
        f"{one['network']} had time for {_epochs(one['epochs'])} and is no better than guessing yet; "
        "sightline train gives it as long as it needs."
        for one in trained
        if one["interval"][0] <= 1 / one["classes"]
    ]
    right = ", ".join(f"{one['network']} is right for {one['text']}" for one in trained)
    best = f"{right} of {trained[-1]['test_images']} images of {where}"
    return Page(
        sentences=(
            f"As printed, the second program stops at its first layer ({failure.partition(':')[0]}) and the "
            f"first cannot be fitted ({unfitted.partition(':')[0]}); repaired they have "
            f"{parameters['first']:,} and {parameters['second']:,} parameters, layer by layer those of "
            "lecture_cnn and lecture_cnn_2.",
            "With the same weights Keras's probabilities and ours differ by "
            f"{max(differences.values()):.0e} at most; {best}.",
        ),
        parts=tuple(parts),
        numbers={
            "parameters_first": parameters["first"],
            "parameters_second": parameters["second"],
            "macs_first": designs["first"].macs,
            "macs_second": designs["second"].macs,
            "layers_agree_first": same["first"],
            "layers_agree_second": same["second"],
            "largest_difference_first": differences["first"],
            "largest_difference_second": differences["second"],
            "failure": failure,
            "trained": [{key: value for key, value in one.items() if key != "text"} for one in trained],
            "layers": ours,
        },
        notes=tuple(notes),
    )


ENTRY = Entry(
    name="keras",
    title="Two Keras programs",
    slides="Example - Six convolutional layers; CNNs for Classification; Putting it all together",
    about="Do the two programs of the slides run, and what do they build?",
    see="What Keras says to them, what repairs them, and our two networks beside them layer by layer.",
    seconds=16,
    live_seconds=round(60 * sum(MINUTES.values())) + 10,
    takes_data=True,
    commands=(
        "sightline summary lecture_cnn",
        "sightline compare lecture_cnn lecture_cnn_2",
        "sightline design 28x28x1 conv:32,k3 relu pool:2 conv:64,k3 relu pool:2 flatten fc:1024 relu fc:10 "
        "--keras",
        "sightline train digits --model lecture_cnn_2 --img-size 28 --epochs 2 --output lecture-cnn-2 "
        "--exist-ok",
    ),
    corrections=(
        Correction(
            says="tf.keras.layers.Conv2D(32, filter_size=3, activation='relu')",
            fact="The argument is kernel_size; Keras has no filter_size and refuses it.",
            evidence="TypeError: Conv2D.__init__() missing 1 required positional argument: 'kernel_size' "
            "(Keras 3.15.1)",
        ),
        Correction(
            says="generate_model() (the second program)",
            fact="It is told no input shape, so it is unbuilt: it has no weights, and count_params() fails.",
            evidence="ValueError: ... the layer isn't built (Keras 3.15.1)",
        ),
        Correction(
            says="both programs end behind the last layer",
            fact="Neither is compiled, so neither can be fitted. With a softmax for output the loss is "
            "sparse_categorical_crossentropy, not from logits.",
            evidence="ValueError: You must call `compile()` before using the model. (Keras 3.15.1)",
        ),
        Correction(
            says="the second program's convolutions (no padding named)",
            fact="Keras's default is 'valid': maps of 28 become 26, 13, 11, 5, not 28, 14, 14, 7.",
            evidence="28 - 3 + 1 = 26, 26/2 = 13, 13 - 3 + 1 = 11, 11/2 = 5.5, rounded down",
        ),
        Correction(
            says="sum of w_ij x_(i+p,j+q) + b for neuron (p,q); Shift by 2 pixels for next patch",
            fact="That formula shifts by one pixel; with a stride of 2 it has i + 2p and j + 2q.",
            evidence="neuron (1,0) of the formula begins at row 1 of the image, not at row 2",
        ),
        Correction(
            says="input_shape=[28, 28, 1] in the first layer",
            fact="Keras 3 takes it and warns; an Input in front is its way. The last pooling makes 3x3 of "
            "7x7 and never looks at row and column 6.",
            evidence="UserWarning: Do not pass an `input_shape`/`input_dim` argument to a layer (Keras "
            "3.15.1); sightline check lecture_cnn",
        ),
    ),
    plays=(
        Play(kind="design", given={"line": f"{SIDE}x{SIDE}x1 {PROGRAMS['first'][1]}"}),
        Play(kind="design", given={"line": f"{SIDE}x{SIDE}x1 {PROGRAMS['second'][1]}"}),
    ),
    run=_run,
)
