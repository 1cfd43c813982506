"""Softmax: from logits to probabilities, and whether they mean what they say."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Listing, Page, Picture, Play, Plot, Setting, Table


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.lab import _certainty as sure
    from sightline.reference import softmax

    trained = sure.train_and_judge(setting.seed)
    judged, before, after = trained.judged, trained.before, trained.after
    which = sure.unsure_of(trained)
    logits, target = judged.logits[which].astype(np.float64), int(judged.targets[which])
    shares = softmax(logits)
    best = int(shares.argmax())
    confidence = [float(a.probabilities.max(axis=1).mean()) for a in (judged, trained.calibrated)]
    said = "right" if best == target else f"wrong, it is a {target}"
    return Page(
        sentences=(
            f"Ten logits become ten shares of {np.exp(logits).sum():.4g}, the sum of their exponentials: "
            f"this network says {100 * shares[best]:.1f} % that the digit is a {best} ({said}).",
            f"On {before.n:,} digits it had not seen it was {100 * confidence[0]:.1f} % sure on average and "
            f"right in {100 * before.top1:.1f} %; divided by T = {trained.temperature:.2f}, fitted on "
            f"{trained.fitted_on} others, it is {100 * confidence[1]:.1f} % sure, the calibration error "
            f"falls from {100 * before.ece:.1f} % to {100 * after.ece:.1f} %, and no answer changes.",
        ),
        parts=(
            Picture(
                png=sure.digit_png(int(judged.ids[which])),
                title="A digit",
                alt=f"Digit {int(judged.ids[which])} of the embedded set, a {target}",
                caption=f"digit:{int(judged.ids[which])}, a {target}. The network has seen {sure.LEARNED} "
                "others.",
                width=160,
            ),
            Listing(
                title="The sum, written out",
                text=sure.written_out(logits),
                caption="softmax(y_i) = e^(y_i) / sum_j e^(y_j). What counts is the distance between logits: "
                "one that is larger by 1 gets e = 2.718 times the share.",
            ),
            Plot(
                svg=sure.by_temperature(logits, trained.temperature),
                title="Temperature",
                caption="softmax(z / T). Towards 0 the likeliest class takes all, towards infinity all get "
                "the same (dotted). The order never changes.",
            ),
            Plot(
                svg=sure.reliability_figure(trained),
                title="Do they mean what they say?",
                caption="Of the digits of which it is 90 % sure, 90 % should be right: on the dashed line. "
                "Bars are 95 % intervals. ECE is the mean distance from that line.",
            ),
            Table(
                title="Before and after",
                columns=("", "T", "right", "mean confidence", "ECE", "loss, nats"),
                rows=[
                    ("logits as they are", 1.0, before.top1, confidence[0], before.ece, before.loss),
                    ("divided by T", after.temperature, after.top1, confidence[1], after.ece, after.loss),
                ],
                caption="One number, fitted by the loss on images that were not trained on.",
            ),
            Plot(
                svg=sure.loss_figure(trained),
                title="Cross-entropy",
                caption="The loss of an image is -ln of the probability of its true class: little for what "
                "is right and sure, without end for what is wrong and sure.",
            ),
            Listing(
                title="One loss, and its gradient",
                text=sure.loss_written_out(logits, target),
                caption="What learning pushes each logit by: its probability, less 1 at the true class.",
            ),
            Listing(
                title="In numbers a computer has",
                text=sure.no_overflow(),
                caption="The same number taken off every logit changes no share; taking off the largest "
                "keeps every exponential at 1 or below.",
            ),
        ),
        numbers={
            "judged": before.n,
            "accuracy": before.top1,
            "confidence": confidence[0],
            "confidence_calibrated": confidence[1],
            "temperature": trained.temperature,
            "fitted_on": trained.fitted_on,
            "ece": before.ece,
            "ece_calibrated": after.ece,
            "loss": before.loss,
            "loss_calibrated": after.loss,
            "digit": int(judged.ids[which]),
            "digit_class": target,
            "logits": logits.tolist(),
            "probabilities": shares.tolist(),
            "sum": float(np.exp(logits).sum()),
        },
        notes=(
            f"64-256-10 with a ReLU, trained just now on {sure.LEARNED} digits for {sure.EPOCHS} epochs "
            f"(Adam, {sure.RATE}); few images on purpose, so that there are mistakes to count.",
        ),
    )


ENTRY = Entry(
    name="softmax",
    title="Softmax",
    slides="Softmax; fully connected layer: express output as probability",
    about="How do ten numbers become ten probabilities, and may one believe them?",
    see="The exponentials and their sum, a temperature to turn, and a network that is too sure of itself.",
    seconds=11,
    commands=(
        "sightline view softmax lenet5 digit:7 -o softmax.png",
        "sightline view softmax lenet5 digit:7 --temperature 0.1 -o sharper.png",
    ),
    corrections=(
        Correction(
            says="Express output as probability of image belonging to a particular class",
            fact="Softmax gives numbers that are positive and add up to 1. That they are how often one is "
            "right has to be measured, and is most often not so before a temperature is fitted.",
            evidence="the reliability diagram of this stop; Guo et al. 2017, On calibration of modern neural "
            "networks",
        ),
    ),
    plays=(Play(kind="softmax", given={"logits": [3.0, 1.5, 0.2], "names": ["cat", "dog", "duck"]}),),
    run=_run,
)
