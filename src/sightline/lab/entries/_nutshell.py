"""Supervised learning in a nutshell: a line, three hidden units, a small multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.lab._entry import Entry, Listing, Page, Plot, Setting, Table

if TYPE_CHECKING:
    from sightline.lab._nutshell import Layers

LINE_STEPS = 200
STEPS = 2_000
RATE = 0.04
STARTS = 10
WIDTHS = ((1, 3, 1), (1, 10, 1), (1, 64, 1), (1, 12, 12, 1))
"""Of the networks: three hidden units, ten, 64, and two layers of 12, which have as many parameters as 64."""
SHOWN = (0, 30, 300, STEPS)


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.lab import _nutshell as nut
    from sightline.lab import _nutshell_figures as figures

    rows, columns = nut.rows_of_china(), nut.columns_of_china(40)
    even = nut.standardised(rows)
    best, best_even = nut.least_squares(rows), nut.least_squares(even)
    rate, rate_even = (1 / nut.line_curvatures(points)[1] for points in (rows, even))
    path = nut.descend_line(rows, (0.0, 0.0), rate, LINE_STEPS)
    path_even = nut.descend_line(even, (0.0, 0.0), rate_even, 3)

    keep = sorted({*SHOWN, *np.unique(np.geomspace(1, STEPS, 80).astype(int)).tolist()})
    table: list[tuple[str, int, str, int, float, float]] = []
    found: list[tuple[str, nut.Layers]] = []
    kept: dict[int, nut.Layers] = {}
    for number, widths in enumerate(WIDTHS):
        setting.progress("networks", number, len(WIDTHS))
        starts = STARTS if number == 0 else 3
        together = nut.side_by_side([nut.start_layers(widths, setting.seed + k) for k in range(starts)])
        history = nut.learn(together, columns, steps=STEPS, rate=RATE, keep=keep if number == 0 else ())
        errors = np.sqrt(nut.mean_squared_error(history[STEPS], columns))
        chosen = int(errors.argmin())
        layers = nut.one_of(history[STEPS], chosen)
        if number == 0:
            kept = {step: nut.one_of(of, chosen) for step, of in history.items()}
            spread = (float(errors.min()), float(errors.max()))
        name = "-".join(map(str, widths))
        regions = len(nut.joints_between(layers, -1, 1)) + 1
        bound = f"{widths[1] + 1}" if len(widths) == 3 else "more"
        parameters = nut.count_parameters(layers)
        table.append((name, parameters, bound, regions, float(errors.min()), float(errors.max())))
        found.append((f"{name}: {parameters} parameters", layers))
    setting.progress("networks", len(WIDTHS), len(WIDTHS))

    three, last = WIDTHS[0][1], kept[STEPS]
    losses = {step: float(nut.mean_squared_error(of, columns)) for step, of in kept.items()}
    line_rms = (nut.squared_error(nut.least_squares(columns), columns) / len(columns.x)) ** 0.5
    moved = np.abs(nut.unit_joints(last) - nut.unit_joints(kept[0]))
    gap = float(np.abs(path[-1] - best).max())
    return Page(
        sentences=(
            f"The best line through {len(rows.x)} bands of china is y = {best[0]:.3f} {best[1]:+.3f} x by "
            f"least squares; gradient descent is {gap:.1e} from it after {LINE_STEPS} steps, and after one "
            "single step where x is standardised.",
            f"Three hidden units have 3*3 + 1 = {table[0][1]} parameters and bend the line in at most "
            f"{three} places: learning moved the joints by up to {moved.max():.2f} and brought the error "
            f"from {losses[0] ** 0.5:.2f} to {spread[0]:.3f}, but {STARTS} starts ended anywhere up to "
            f"{spread[1]:.3f}: this loss surface has more than one valley.",
        ),
        parts=(
            Plot(
                svg=figures.surfaces(
                    (("x from 0 to 1", rows, path, best), ("x standardised", even, path_even, best_even))
                ),
                title="The loss surface",
                caption="L = sum (phi0 + phi1 x - y)^2 from above. Dots are steps of gradient descent "
                "at rate 1 / (the larger curvature); the star is the least squares, by its closed form. "
                "Standardising x makes the valley round, and the first step lands in the middle: that is why "
                "inputs are normalised.",
            ),
            Plot(
                svg=figures.lines(rows, path, best, (0, 1, 10, 30, LINE_STEPS)),
                title="The line as it learns",
                caption="y = f[x, phi] = phi0 + phi1 x. Each dot is the mean brightness of a band of rows of "
                "china: sky above, trees below.",
            ),
            Plot(
                svg=figures.learning_units(columns, kept, SHOWN),
                title="Three hidden units",
                caption="Above: the function; its joints, at x = -theta_d0/theta_d1, as coloured dots. "
                "Below: what each unit adds, phi_d a[theta_d0 + theta_d1 x]; a unit is flat on one side "
                f"of its joint. The best of {STARTS} starts; columns of china, x from left to right.",
            ),
            Plot(
                svg=figures.moving_joints(kept, losses),
                title="The joints move",
                caption="Learning does not only tilt the pieces: it chooses where they meet.",
            ),
            Listing(
                title="One prediction, written out",
                text=_written_out(last, 0.5),
                caption="The slide's formula with the numbers that were learned.",
            ),
            Table(
                title="More units, more layers",
                columns=(
                    "widths",
                    "parameters",
                    "regions, at most",
                    "regions, here",
                    "rms, best start",
                    "rms, worst",
                ),
                rows=table,
                caption=f"D hidden units have 3D + 1 parameters and at most D + 1 regions. {STEPS:,} steps "
                f"each; {STARTS} starts of the first, 3 of the others. A straight line has an error of "
                f"{line_rms:.3f}.",
            ),
            Plot(
                svg=figures.functions(columns, found),
                title="What they came to",
                caption="The best start of each; dots are joints.",
            ),
        ),
        numbers={
            "phi0": float(best[0]),
            "phi1": float(best[1]),
            "line_loss": nut.squared_error(best, rows),
            "descent_steps": LINE_STEPS,
            "descent_gap": gap,
            "standardised_gap_after_one_step": float(np.abs(path_even[1] - best_even).max()),
            "three_units_parameters": table[0][1],
            "three_units_regions": table[0][3],
            "three_units_rms_best": spread[0],
            "three_units_rms_worst": spread[1],
            "three_units_starts": STARTS,
            "joint_moved_most": float(moved.max()),
            "line_rms": line_rms,
            "networks": [
                {"widths": row[0], "parameters": row[1], "regions": row[3], "rms": row[4]} for row in table
            ],
        },
        notes=(
            "Nothing is held out here: these are errors on the points that were learned from.",
            "All computed now, in NumPy: own forward pass, gradients by the chain rule, descent with "
            f"momentum 0.9 at rate {RATE}.",
        ),
    )


def _written_out(layers: Layers, x: float) -> str:
    (theta1, theta0), (phi, phi0) = layers
    lines, total = [], float(phi0[0])
    for d, (slope, offset, weight) in enumerate(zip(theta1[:, 0], theta0, phi[0], strict=True), 1):
        z = offset + slope * x
        added = weight * max(z, 0.0)
        total += added
        lines.append(
            f"h{d} = a[{offset:+.3f} {slope:+.3f} * {x:g}] = a[{z:+.3f}] = {max(z, 0.0):.3f}"
            f"    phi{d} h{d} = {weight:+.3f} * {max(z, 0.0):.3f} = {added:+.3f}"
        )
    added = " ".join(
        f"{w * max(o + s * x, 0.0):+.3f}" for s, o, w in zip(theta1[:, 0], theta0, phi[0], strict=True)
    )
    return "\n".join([*lines, f"y = phi0 + ... = {phi0[0]:.3f} {added} = {total:.3f}"])


ENTRY = Entry(
    name="nutshell",
    title="Supervised learning in a nutshell",
    slides="Supervised Learning in a Nutshell",
    about="What is a model y = f[x, phi], what is its loss, and how do its parameters come to fit?",
    see="A loss surface with the steps down it, and three hidden units whose joints move as they learn.",
    seconds=8,
    commands=(
        "sightline summary mlp --arithmetic",
        "sightline design 1x1x1 fc:3 relu fc:1",
    ),
    run=_run,
)
