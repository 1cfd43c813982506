"""Tasks: what may be asked of an image, and what an answer is."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Plot, Setting, Table

NETWORKS = {
    "classification": ("32x32x3", "conv:16,k3,p1 relu pool:2 conv:32,k3,p1 relu gap fc:10"),
    "detection": ("64x64x3", "conv:16,k3,s2,p1 relu conv:32,k3,s2,p1 relu conv:64,k3,s2,p1 relu conv:30,k1"),
    "segmentation": ("64x64x3", "conv:16,k3,s2,p1 relu conv:32,k3,p1 relu tconv:21,k2,s2"),
    "generation": ("1x1x100", "tconv:64,k4 relu tconv:32,k4,s2,p1 relu tconv:3,k4,s2,p1"),
    "restoration": ("64x64x3", "conv:32,k3,p1 relu conv:32,k3,p1 relu conv:3,k3,p1"),
}
"""Of each task, the smallest network that has its kind of output."""
ASKED = {
    "classification": ("which of some classes?", "a number a class", "cross-entropy", "accuracy"),
    "detection": (
        "which, and where?", "of each cell of a grid, boxes and classes", "boxes and classes", "mean AP",
    ),
    "segmentation": ("which, of every pixel?", "a number a class and pixel", "cross-entropy", "mean IoU"),
    "generation": ("a new image like these", "an image, from random numbers", "by the method", "FID"),
    "restoration": ("the image as it was", "an image, from a worse one", "squared error", "PSNR"),
}  # fmt: skip
"""Question, output, what is minimised, what is reported: the usual ones."""


def _run(setting: Setting) -> Page:
    from sightline.lab import _questions as questions
    from sightline.reference import design

    scene = questions.scene(setting.seed)
    said = questions.classify(setting.seed)
    restored = questions.restore(setting.seed)
    there = questions.available()
    rows, networks, shapes = [], [], {}
    for task, (shape, layers) in NETWORKS.items():
        output = design(shape, layers.split()).layers[-1].output_shape
        shapes[task] = list(output)
        values = "x".join(map(str, (*output[1:], output[0])))
        now = "yes" if there[task] else "not yet"
        rows.append((task, *ASKED[task], now))
        networks.append((task, f"{shape} {layers}", values))
    have, lack = ([task for task in there if there[task] is yes] for yes in (True, False))
    noisy, blurred, learned = (
        questions.psnr(image, restored.clean)
        for image in (restored.noisy, restored.blurred, restored.restored)
    )
    share = float(said.probabilities[said.target])
    missing = f"; {', '.join(lack)} not yet: here they are pointers" if lack else ""
    return Page(
        sentences=(
            f"Classification answers an image of 32x32 with {shapes['classification'][0]} numbers, detection "
            f"one of 64x64 with {_times(shapes['detection'])}, segmentation with "
            f"{_times(shapes['segmentation'])}: the tasks differ in what comes out, and little in the "
            "layers.",
            f"This version trains and judges {', '.join(have)}{missing}. A linear classifier gives a digit "
            f"{said.target} {100 * share:.1f} % and is right on {said.right} of {said.judged}; a filter "
            f"learned on one photograph restores another from {noisy:.1f} to {learned:.1f} dB.",
        ),
        parts=(
            Plot(
                svg=questions.answers_drawn(scene),
                title="One scene, three questions",
                caption="The answers are known, for the scene was put together: this is what a network is "
                "taught, not what one said.",
            ),
            Table(
                title="The tasks",
                columns=(
                    "task",
                    "asks",
                    "output",
                    "minimised",
                    "reported",
                    "in Sightline",
                ),
                rows=rows,
                caption="What is minimised and reported most often.",
            ),
            Plot(
                svg=questions.said_drawn(said),
                title="Classification",
                caption="Softmax regression, 650 numbers, trained just now; the bars are its probabilities.",
            ),
            Plot(
                svg=questions.restored_drawn(restored),
                title="Restoration",
                caption=f"Noise with a deviation of {questions.NOISE:.0f} grey levels. The filter's 25 "
                "weights and its bias are the least squares from noisy to clean on flower: one convolution, "
                "learned.",
            ),
            Plot(
                svg=questions.generated_drawn(questions.generated(setting.seed)),
                title="Generation",
                caption="The simplest generator there is: the mean of a class's images and how their pixels "
                "vary together, and random numbers. VAEs, GANs and diffusion learn what this cannot: that "
                "strokes do not fade.",
            ),
            Table(
                title="The small networks",
                columns=("task", "sightline design ...", "output"),
                rows=networks,
                caption="Detection: an 8x8 grid, in each cell 2 boxes of 4 + 1 numbers and 20 classes. "
                "Segmentation: 21 classes.",
            ),
        ),
        numbers={
            "tasks": there,
            "outputs": shapes,
            "probability_of_the_true_class": share,
            "linear_right": said.right,
            "linear_judged": said.judged,
            "psnr_noisy": noisy,
            "psnr_blurred": blurred,
            "psnr_learned": learned,
            "scene_classes": list(scene.classes),
            "scene_boxes": [list(box) for box in scene.boxes],
        },
    )


def _times(shape: list[int]) -> str:
    return "x".join(map(str, (*shape[1:], shape[0])))


ENTRY = Entry(
    name="tasks",
    title="Tasks",
    slides="Image Classification; Object Detection; Image Generation; Semantic segmentation",
    about="What can be asked of an image, and what does a network give back?",
    see="One scene with the answer each task wants, and small answers: probabilities, a restored photograph.",
    seconds=11,
    commands=(
        "sightline train digits --epochs 2",
        *(f"sightline design {shape} {layers}" for shape, layers in NETWORKS.values()),
    ),
    corrections=(
        Correction(
            says="Generalised Adversarial Nets (GANs)",
            fact="Generative adversarial networks.",
            evidence="Goodfellow et al. 2014, Generative adversarial nets",
        ),
        Correction(
            says="Raise of Stable Diffusion has led to an explosion of AI Art, but other models include VAEs "
            "and GANs",
            fact="The rise. Stable Diffusion is a latent diffusion model: it learns to take noise off the "
            "code of an autoencoder, which neither a VAE nor a GAN alone does.",
            evidence="Rombach et al. 2022, High-resolution image synthesis with latent diffusion models",
        ),
    ),
    run=_run,
)
