"""Kernel sizes: one of 5x5 against two of 3x3."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Setting


def _run(setting: Setting) -> Page:
    from sightline.lab._kernel_sizes import page

    return page(setting)


ENTRY = Entry(
    name="kernel-sizes",
    title="Kernel sizes",
    slides="Kernel sizes; Smaller kernels are lighter... and better",
    about="Are two 3x3 convolutions as good as one of 5x5, and what do they cost?",
    see="Both counted, trained in three pairs over a few seeds, and what the pair cannot be without its "
    "ReLU.",
    seconds=9,
    live_seconds=180,
    takes_data=True,
    commands=(
        "sightline design 32x32x16 conv:16,k5,p2,nobias",
        "sightline design 32x32x16 conv:16,k3,p1,nobias*2",
        "sightline lab kernel-sizes --live",
    ),
    corrections=(
        Correction(
            says="A layer with (5,5) kernels has 25/9 more parameters than a layer with (3,3) kernels.",
            fact="It has 25/9 = 2.78 times as many; that is 1.78 times more.",
            evidence="25 C^2 / 9 C^2",
        ),
        Correction(
            says="The (5,5) reduces 5 input pixels to 1 output pixel, reducing the size by a factor of 5; "
            "the (3,3) kernels reduce by a factor of 3.",
            fact="With stride 1 a kernel k shrinks an image by k - 1 pixels, whatever its size: 32 becomes "
            "28 and 30, not 6 and 10. Factors are what strides do.",
            evidence="(32 - 5)/1 + 1 = 28; sightline design 32x32x3 conv:1,k5",
        ),
        Correction(
            says="Stacked layers with smaller kernels use fewer parameters in total.",
            fact="They do where channels stay as they are. From C to 2C the pair has 54 C^2 weights, and 5x5 "
            "has 50 C^2.",
            evidence="9 C 2C + 9 (2C)^2 = 54 C^2; 25 C 2C = 50 C^2",
        ),
    ),
    plays=(Play(kind="design", given={"line": "32x32x16 conv:16,k3,p1 relu conv:16,k3,p1 relu"}),),
    run=_run,
)
