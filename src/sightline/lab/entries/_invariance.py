"""Equivariance and invariance: exact where nothing breaks them, and what breaks them."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Plot, Setting, Table

SHIFT = 5
"""Of the pictures that are drawn."""


def _run(setting: Setting) -> Page:
    from sightline.lab import _moving as moving

    picture = moving.scene()
    pictures = moving.moved(picture)
    errors = {name: moving.equivariance_error(f, pictures) for name, f in moving.EQUIVARIANCE.items()}
    changes = {name: moving.invariance_error(f, pictures) for name, f in moving.INVARIANCE.items()}
    exact = max(errors["stride 1, circular padding"])
    mean = max(changes["global mean, stride 1, circular"])
    zeros = errors["stride 1, zero padding"][SHIFT]
    inside = moving.error_inside(picture, SHIFT)
    odd, even = (errors["stride 2, circular"][start::2] for start in (1, 2))
    pool, maps = changes["max pool 4"], changes["the maps, stride 1"]
    return Page(
        sentences=(
            f"With circular padding and stride 1, moving before the layer or after it is the same: the error "
            f"is {exact:.1f} at every shift, and the mean of each map changes by {mean:.1f}; zero padding "
            f"makes it {zeros:.3f} at {SHIFT} pixels, though {inside:.1f} away from the borders.",
            f"A stride of 2 keeps it ({max(even):.1f}) for even shifts alone and misses by {max(odd):.2f} at "
            f"odd ones; max pooling gives no invariance but a little: over 4x4, a shift of "
            f"1 pixel still changes {100 * pool[1]:.0f} % instead of {100 * maps[1]:.0f} %.",
        ),
        parts=(
            Plot(
                svg=moving.both_ways(picture, "circular", SHIFT),
                title="Circular padding",
                caption=f"f is the kernel edge-3 and a ReLU, t moves by {SHIFT} pixels and brings in on the "
                "left what left on the right. f[t[x]] = t[f[x]]: nothing is left over.",
            ),
            Plot(
                svg=moving.both_ways(picture, "zeros", SHIFT),
                title="Zero padding",
                caption="The same with zeros around: at the borders the layer sees an edge that is not in "
                "the picture, and where it sees it does not move along.",
            ),
            Plot(
                svg=moving.curves("invariance-equivariance", errors, "||f[t[x]] - t[f[x]]|| / ||f[x]||"),
                title="Equivariance",
                caption="f[t[x]] = t[f[x]]: the maps move with the picture. Where they are smaller than it, "
                "t moves them by the whole number of cells that fits best; for a shift that is no multiple "
                "of the stride none does.",
            ),
            Plot(
                svg=moving.curves("invariance-invariance", changes, "||f[t[x]] - f[x]|| / ||f[x]||"),
                title="Invariance",
                caption="f[t[x]] = f[x]: the answer stays. Max pooling damps a small shift; a mean over "
                "whole maps forgets the place, exactly so if nothing before it broke equivariance.",
            ),
            Table(
                title="The numbers",
                columns=("layer", "1 pixel", "2", "3", "4", "8", "16"),
                rows=[
                    (f"{kind}: {name}", *[values[by] for by in (1, 2, 3, 4, 8, 16)])
                    for kind, of in (("equivariance", errors), ("invariance", changes))
                    for name, values in of.items()
                ],
                caption="0 is exact: picture and kernels are whole numbers, so that no sum is rounded.",
            ),
        ),
        numbers={
            "circular_error": exact,
            "global_mean_change": mean,
            "zero_padding_error": zeros,
            "stride_2_even_error": max(even),
            "zero_padding_error_inside": inside,
            "stride_2_odd_error": max(odd),
            "max_pool_4_change_at_1": pool[1],
            "maps_change_at_1": maps[1],
            "equivariance": errors,
            "invariance": changes,
        },
        notes=(
            "One layer of four 3x3 kernels (edge-3, sobel-x, sobel-y, sharpen) and a ReLU, by the reference "
            "operators in NumPy, on china at 32x32; of whole networks: sightline view shift.",
        ),
    )


ENTRY = Entry(
    name="invariance",
    title="Equivariance and invariance",
    slides="Invariance and equivariance",
    about="If the picture moves, do the maps move with it, and does the answer stay?",
    see="Errors that are exactly zero with circular padding, and how borders and strides break them.",
    seconds=5,
    commands=(
        "sightline view shift resnet20 china -o shift.png",
        "sightline view shift lenet5 digit:7 -o shift.html",
    ),
    corrections=(
        Correction(
            says="Invariance and equivariance: f[t[x]] = f[x]",
            fact="That is invariance alone; equivariance is f[t[x]] = t[f[x]], and it is what a convolution "
            "has. Invariance comes from pooling over all places, or from training.",
            evidence="the curves of this stop: stride 1 with circular padding has an equivariance error of 0 "
            "and its maps are far from invariant",
        ),
    ),
    run=_run,
)
