"""Features: what filters learn."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Setting


def _run(setting: Setting) -> Page:
    from sightline.lab._features import page

    return page(setting)


ENTRY = Entry(
    name="features",
    title="What filters learn",
    slides="Feature visualization [Zeiler & Fergus 2013]; Learn hierarchy of features directly from the "
    "data; Convolutional Filters",
    about="What do the filters of a network become, and what does each of its layers respond to?",
    see="The first kernels of a network while it learns digits, here and now; its maps; what excites its "
    "units.",
    seconds=13,
    commands=(
        "sightline view kernels lenet5 -o kernels.png",
        "sightline view maps lenet5 digit:7 -o maps.png",
        "sightline view deconvnet lenet5 digits -o page.png",
    ),
    corrections=(
        Correction(
            says="Low level features: edges, dark spots; mid level: eyes, ears, nose; high level: facial "
            "structure.",
            fact="It is a drawing of the idea. What a unit responds to is found by looking, and many units "
            "answer to several things; the pictures say what an activation rests on, not what the network "
            "needs.",
            evidence="the nine strongest images of each unit, on this page; Zeiler and Fergus 2013, figure 2",
        ),
    ),
    plays=(Play(kind="filter", given={"image": "digit:7", "kernel": "sobel-x"}),),
    run=_run,
)
