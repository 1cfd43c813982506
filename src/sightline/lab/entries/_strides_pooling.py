"""Strides against pooling."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Setting


def _run(setting: Setting) -> Page:
    from sightline.lab._strides_pooling import page

    return page(setting)


ENTRY = Entry(
    name="strides-pooling",
    title="Strides against pooling",
    slides="Strides vs Pooling; VGGNet16",
    about="Should a convolution or a pooling layer halve the maps, and is it the stride or the extra layer?",
    see="Four networks that differ in this alone: as published, what each costs, and a small trial of them.",
    seconds=8,
    live_seconds=130,
    takes_data=True,
    commands=(
        "sightline design 32x32x3 conv:96,k5,p2 relu pool:3,s2,p1 conv:192,k5,p2 relu pool:3,s2,p1",
        "sightline design 32x32x3 conv:96,k5,p2,s2 relu conv:192,k5,p2,s2 relu",
        "sightline lab strides-pooling --live",
    ),
    corrections=(
        Correction(
            says="Uses pooling layers instead of strides, again reducing the number of parameters.",
            fact="Neither has parameters, and those of a convolution do not depend on the size of its input: "
            "A and Strided-A have the same number. Only fully connected layers behind them shrink, and by "
            "either.",
            evidence="the table of costs: parameters of A and Strided-A",
        ),
        Correction(
            says="Computationally cheap (pooling).",
            fact="The stride is the cheaper one: the convolution before a pooling layer runs at every place, "
            "and most of its results are thrown away.",
            evidence="the table of costs: multiply-adds of A and Strided-A",
        ),
        Correction(
            says="No difficulties with propagating gradients (pooling).",
            fact="Max pooling sends the gradient of a window to its largest value alone; the others learn "
            "nothing from it. Average pooling and strided convolutions reach every value that they saw.",
            evidence="the share of pixels of a photograph that get any, on this page",
        ),
    ),
    plays=(
        Play(
            kind="pool",
            given={
                "input": [[4, 3, 1, 5], [1, 3, 4, 8], [4, 5, 4, 3], [6, 5, 9, 4]],
                "pool": "max",
                "size": 2,
                "stride": 2,
            },
        ),
        Play(kind="design", given={"line": "32x32x3 conv:96,k5,p2,s2 relu conv:192,k5,p2,s2 relu"}),
    ),
    run=_run,
)
