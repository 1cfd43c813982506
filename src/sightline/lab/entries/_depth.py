"""Depth: plain against residual."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Setting


def _run(setting: Setting) -> Page:
    from sightline.lab._depth_page import page

    return page(setting)


ENTRY = Entry(
    name="depth",
    title="Depth",
    slides="Depth in VGGNet; Deep Residual Networks; Skip Connections; Back Propagation in ResNet",
    about="Why do plain networks get worse as they get deeper, and what do shortcuts change?",
    see="The scale of signal and gradient in each of 56 layers, plain and residual, and how far both learn.",
    seconds=11,
    live_seconds=200,
    commands=(
        "sightline compare plain56 resnet56",
        "sightline check plain56",
        "sightline lab depth --live",
    ),
    corrections=(
        Correction(
            says="If we keep adding layers, we run into the Vanishing Gradient Problem; it becomes "
            "impossible to train early convolutions.",
            fact="The plain networks that ResNet was compared with have batch norm, and their gradients are "
            "healthy: He et al. argue that vanishing gradients are unlikely to be the cause, and guess at "
            "exponentially low rates of convergence. Vanishing is what too small weights without norm bring "
            "about.",
            evidence="the gradients on this page; He et al. 2015, section 4.1",
        ),
        Correction(
            says="The ReLU activations in VGGNet can suffer from vanishing gradients.",
            fact="A ReLU halves the square of a signal, and weights of deviation sqrt(2/n) make up for it: "
            "with them alone networks of 30 layers were trained.",
            evidence="the measured gains of He's weights, about 1 a layer; He et al. 2015, 'Delving deep'",
        ),
        Correction(
            says="Instead of learning the function H(x) to map the input to the receptive field, it learns "
            "the residual function F(x) = H(x) - x, with two stacked convolutional layers.",
            fact="H(x) is whatever some stacked layers are to compute; the receptive field is the part of "
            "the input that a value sees. Two layers a block in ResNet-18 and 34, three (1x1, 3x3, 1x1) in "
            "50, 101 and 152.",
            evidence="He et al. 2015, figures 2 and 5; sightline summary resnet50",
        ),
        Correction(
            says="ResNet has significantly fewer parameters than VGGNet (~3.6 Billion FLOPs vs. ~19.6 "
            "Billion FLOPs).",
            fact="FLOPs, there multiply-adds, are not parameters. Both are fewer: 21.8 million parameters of "
            "ResNet-34 against 143.7 of VGG-19.",
            evidence="sightline compare resnet34 vgg19",
        ),
        Correction(
            says="ResNet-100",
            fact="It has 101 layers.",
            evidence="the lecture's own table 3: ResNet-101",
        ),
    ),
    run=_run,
)
