"""A view as a file: pictures, pages, numbers, animations; colours that mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sightline.base import ArgumentError, Finding
from sightline.views import Panel, Scale, View
from sightline.views._colour import grey, over, plotted, positive, resized, signed
from sightline.views._drawn import alike, cells, enlarged, short
from sightline.views._render import number, page, sheet

RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)


def some(**more: object) -> View:
    settings: dict[str, object] = {
        "how": "maps",
        "title": "a <b> & 'c'",
        "notes": ("one note",),
        "panels": (
            Panel(
                pixels=RED, title="<i>", caption="raw 0 to 1", scale=Scale("positive", 0.0, 1.0), smooth=False
            ),
        ),
        "arrays": {"values": np.arange(6.0).reshape(2, 3)},
        "figures": {"layer": "conv1", "range": [0.0, 1.0]},
        "findings": (Finding(level="info", where="w", what="nothing <to> see", why="because", do="do"),),
    }
    return View(**(settings | more))  # type: ignore[arg-type]


def test_a_png_opens_and_holds_the_panel(tmp_path: Path) -> None:
    path = some().save(tmp_path / "v.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.array(picture.convert("RGB"))
    assert (pixels == (255, 0, 0)).all(-1).sum() > 4 * 6 * 100  # enlarged
    assert 500 <= pixels.shape[1] <= 1000


def test_panels_flow_and_keep_to_the_width() -> None:
    """Narrow ones stand beside each other, a wide one alone; columns are kept where they are asked for."""
    wide, narrow = (Panel(pixels=np.zeros((10, n, 3), np.uint8), width=n) for n in (900, 300))
    picture = sheet(some(panels=(narrow, narrow, wide)))
    assert picture.width <= 1000
    black = (np.array(picture) == 0).all(-1)
    rows = np.flatnonzero(black[:, 30])
    assert len(rows) >= 20
    assert black[rows[0], 18 + 300 + 18 + 5]  # the second beside the first
    ragged = sheet(some(panels=(narrow, narrow, wide, narrow), columns=2))
    dark = (np.array(ragged) == 0).all(-1)
    first = np.flatnonzero(dark[:, 30])[0]
    assert dark[first, 18 + 900 + 18 + 5]  # the second column begins after the widest of the first


def darkest(picture: Image.Image) -> list[int]:
    """Top of each picture on a page: rows that begin to be black at all."""
    black = (np.array(picture) == 0).all(-1)
    rows = black.sum(1) > 100
    return [int(k) for k in np.flatnonzero(rows[1:] & ~rows[:-1]) + 1]


def test_no_panel_is_left_over_alone() -> None:
    """Of three that fit, four are two and two; three and two stay so; a wide one stands alone."""
    narrow, wide = (Panel(pixels=np.zeros((10, n, 3), np.uint8), width=n) for n in (300, 900))

    def widths(*panels: Panel) -> list[int]:
        sheet_of = sheet(some(panels=panels, notes=(), findings=()))
        black = (np.array(sheet_of) == 0).all(-1)
        return [int(black[top].sum()) // 300 for top in darkest(sheet_of)]

    assert widths(*[narrow] * 4) == [2, 2]
    assert widths(*[narrow] * 5) == [3, 2]
    assert widths(*[narrow] * 7) == [3, 3, 1]
    assert widths(*[narrow] * 3, wide) == [3, 3]


def test_notes_beyond_four_lines_stand_beneath() -> None:
    notes = tuple(f"note {k}" for k in range(7))
    block = Panel(pixels=np.zeros((10, 300, 3), np.uint8), width=300)
    few, many = (sheet(some(panels=(block,), notes=n, findings=())) for n in (notes[:4], notes))
    assert darkest(few) == darkest(many)
    assert many.height == few.height + 3 * 21 + 18
    text = page(some(notes=notes))
    assert text.index("note 3") < text.index('class="panels"') < text.index("note 4")


def test_a_page_keeps_lines_and_the_ends_of_scales() -> None:
    panel = Panel(pixels=RED, caption="a\nb", scale=Scale("positive", 0.0, 1.0), width=60)
    text = page(some(panels=(panel,)))
    assert "a\nb</figcaption>" in text
    assert "white-space: pre-line" in text
    assert 'class="range" style="width: 60px"' in text
    assert 'class="bar"' in text


@given(st.floats(-1e9, 1e9))
def test_a_number_beside_a_scale_is_short_and_true(value: float) -> None:
    text = number(value)
    assert float(text) == pytest.approx(value, rel=0.0051)
    assert "e+" not in text
    assert "e-0" not in text


@given(st.floats(1e-3, 9e4), st.floats(-1, 1))
def test_cells_of_one_column_are_written_alike(largest: float, share: float) -> None:
    """As many places behind the point as the largest has, half of the last of which is the error."""
    write = alike(largest)
    value = share * largest
    places = len(write(largest).partition(".")[2])
    assert value == 0 or len(write(value).partition(".")[2]) == places
    assert float(write(value)) == pytest.approx(value, rel=0, abs=0.51 * 10.0**-places)
    assert len(write(value)) <= 7


def test_a_page_needs_nothing_else_and_escapes_names(tmp_path: Path) -> None:
    text = some().save(tmp_path / "v.html").read_text("utf-8")
    assert text == page(some())
    assert "http" not in text
    assert "a &lt;b&gt; &amp; &#x27;c&#x27;" in text
    assert "<b> &" not in text
    assert "<i>" not in text
    assert "&lt;i&gt;" in text
    assert "nothing &lt;to&gt; see" in text
    assert text.count("data:image/png;base64,") == 2  # the panel and its scale


def test_numbers_come_back(tmp_path: Path) -> None:
    with np.load(some().save(tmp_path / "v.npz")) as file:
        assert np.array_equal(file["values"], np.arange(6.0).reshape(2, 3))
        about = json.loads(str(file["about"]))
    assert about["layer"] == "conv1"
    assert about["findings"][0]["what"] == "nothing <to> see"


def test_an_animation_has_its_frames(tmp_path: Path) -> None:
    frames = tuple(
        Panel(pixels=np.full((20, 20 + k, 3), 60 * k, np.uint8), title=f"step {k}", width=100)
        for k in range(4)
    )
    with Image.open(some(frames=frames, seconds=0.25).save(tmp_path / "v.gif")) as animation:
        assert animation.n_frames == 4  # type: ignore[attr-defined]
        assert animation.info["duration"] == 250
        seen = []
        for k in range(4):
            animation.seek(k)
            seen.append(np.array(animation.convert("RGB"))[80, 50].tolist())
    assert seen == [[60 * k] * 3 for k in range(4)]


@pytest.mark.parametrize(
    ("name", "said"),
    [("v.jpg", "written as .png, .html, .npz, .gif"), ("v.gif", "does not move"), ("v", "written as")],
)
def test_endings(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=said):
        some().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_json_says() -> None:
    told = some().to_dict()
    assert json.loads(json.dumps(told))["how"] == "maps"
    assert "panels" not in told


# ---- colours


def test_signed_is_alike_on_both_sides() -> None:
    """Zero is white; the ends are the theme's first two colours; twice as far is twice as strong."""
    pixels, scale = signed(np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]]))
    assert scale == Scale("signed", -2.0, 2.0)
    assert pixels[0, 2].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == [0x00, 0x72, 0xB2]
    assert pixels[0, 4].tolist() == [0xD5, 0x5E, 0x00]
    assert np.abs(2 * pixels[0, 3].astype(int) - pixels[0, 4] - 255).max() <= 1


@given(arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)))
def test_a_scale_is_never_stretched(values: np.ndarray) -> None:
    """With a given last value a colour depends on the value alone, and nothing at all is white or dark."""
    pixels, _ = signed(values, 200.0)
    assert np.array_equal(signed(values[:1, :1], 200.0)[0], pixels[:1, :1])
    assert np.abs(pixels.astype(int) - 255).max() <= 128  # half as strong at most
    dark, scale = positive(-np.abs(values))
    assert (dark == positive(np.zeros_like(values), 1.0)[0]).all()
    assert scale.high == 0.0


def test_flat_maps_have_one_colour() -> None:
    zeros = np.zeros((2, 2))
    assert (signed(zeros)[0] == 255).all()
    assert (grey(np.ones((2, 2)))[0] == 128).all()
    assert grey(np.array([[1.0, 3.0]]))[0][0, :, 0].tolist() == [0, 255]


def test_nothing_over_a_picture_is_the_picture_in_grey() -> None:
    heat = np.full((4, 6, 3), 9, np.uint8)
    assert np.unique(over(RED, heat, np.zeros((4, 6)))).tolist() == [76]  # 0.299 of 255
    assert np.abs(over(RED, heat, np.ones((4, 6))).astype(int) - round(76.2 * 0.25 + 9 * 0.75)).max() <= 1


def test_resizing() -> None:
    assert resized(np.array([[1.0, 2.0]]), (2, 4), smooth=False).tolist() == [[1, 1, 2, 2]] * 2
    assert resized(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0, 1, 3, 4]]


def test_a_plot_is_as_large_as_it_should_be() -> None:
    panel = plotted(lambda axes: axes.plot([0, 1]), 400, 200)
    assert panel.pixels.shape == (200, 400, 3)


# ---- numbers in cells


@given(st.floats(-1e12, 1e12))
def test_a_number_fits_its_cell(value: float) -> None:
    """At most six characters; the last digit is rounded, to half a hundredth or to one digit in all."""
    text = short(value)
    assert len(text) <= (6 if value == 0 or abs(value) > 1e-99 else 7)
    rough = abs(value) < 0.01 or abs(value) >= 99999.5
    assert float(text) == pytest.approx(value, rel=0.34 if rough else 0.006, abs=0 if rough else 0.00501)


def test_cells_show_padding_and_the_winner() -> None:
    values, colours = np.array([[0.0, 5.0]]), np.full((1, 2, 3), 10, np.uint8)
    plain = np.array(cells(values, colours, 40))
    assert plain[5, 5].tolist() == [10, 10, 10]
    hatched = np.array(cells(values, colours, 40, outside=np.array([[True, False]])))
    assert hatched[5, 5].tolist() != [10, 10, 10]
    assert hatched[5, 45].tolist() == [10, 10, 10]
    marked = np.array(cells(values, colours, 40, marked=(0, 1)))
    assert (marked == (0, 0x9E, 0x73)).all(-1).sum() > 3 * 40


def test_a_box_stands_where_it_should() -> None:
    picture = enlarged(np.zeros((10, 10, 3), np.uint8), 100, [(2, 3, 5, 7)])
    rows, columns = np.nonzero(picture.any(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 51, 28, 71)
