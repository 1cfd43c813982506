"""The Lecture tab and its page for students, as one clicks through them in Debian's chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from sightline.blueprint import record
from sightline.blueprint.draw import draw
from sightline.lab import syllabus
from studio_browser import OpenPage, Studio, browser, client_of, open_page, studio

__all__ = ["browser", "open_page", "studio"]

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not there").expect

ENTRY = "/lecture/convolution"
"""Its first play is the slide's 5x5 example: 4 3 4, 2 4 3, 2 3 4."""


def first_play(page: Any) -> Any:
    play = page.locator(".play").first
    play.locator(".cells.output").wait_for()
    return play


def output(play: Any) -> list[str]:
    texts: list[str] = play.locator(".cells.output td").all_inner_texts()
    return texts


def button(scope: Any, name: str) -> Any:
    return scope.get_by_role("button", name=name, exact=True)


def test_a_way_through_the_tab(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, "/")
    page.wait_for_selector(".entry h1")
    assert page.url == f"{studio.address}/"
    links = page.locator(".side a")
    assert links.all_inner_texts() == [entry.title for entry in syllabus()]
    names = [entry.name for entry in syllabus()]
    links.nth(names.index("convolution")).click()
    page.wait_for_url(f"**{ENTRY}")
    expect(page).to_have_title("Convolution by hand - Sightline")
    play = first_play(page)
    assert output(play) == ["4"] + [""] * 8
    assert "= 4" in play.locator(".sentence").inner_text()
    button(play, "Next").click()
    assert output(play)[:3] == ["4", "3", ""]
    button(play, "Back").click()
    assert output(play)[:2] == ["4", ""]
    for _ in range(8):
        page.keyboard.press("n")
    assert output(play) == ["4", "3", "4", "2", "4", "3", "2", "3", "4"]
    assert button(play, "Next").is_disabled()
    page.keyboard.press("b")
    assert output(play)[-1] == ""
    page.go_back()
    expect(page).not_to_have_title("Convolution by hand - Sightline")
    page.go_forward()
    expect(page).to_have_title("Convolution by hand - Sightline")


def test_predicting_first(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, ENTRY)
    play = first_play(page)
    play.get_by_label("Predict first").check()
    assert output(play)[0] == "?"
    assert play.locator(".cells.products td").all_inner_texts() == [""] * 9
    assert button(play, "Next").is_disabled()
    page.keyboard.press("n")
    assert output(play)[0] == "?", "a guess first"
    guess = play.locator(".guess input")
    guess.fill("4")
    guess.press("Enter")
    verdict = play.locator(".verdict")
    assert verdict.inner_text() == "✓ Right. It is 4."
    assert "1*1 + 1*0 + 1*1" in play.locator(".sentence").inner_text()
    assert output(play)[0] == "4"
    page.keyboard.press("Enter")  # Next has the focus, and then the field
    page.keyboard.type("17")
    page.keyboard.press("Enter")
    assert verdict.inner_text() == "✗ Not so. You said 17; it is 3."
    assert play.locator(".tally").inner_text() == "1 right, 1 wrong"
    button(play, "Next").click()
    button(play, "Show").click()
    assert output(play)[:3] == ["4", "3", "4"]
    assert play.locator(".tally").inner_text() == "1 right, 1 wrong"


def test_strides_paddings_and_numbers_of_ones_own(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, ENTRY)
    play = first_play(page)
    play.get_by_label("stride: more").click()
    play.get_by_label("stride: more").click()
    play.locator(".fit").wait_for()
    assert "rows 3, 4 and columns 3, 4 of the input are never looked at" in play.locator(".fit").inner_text()
    assert play.locator(".cells.input td.lost").count() == 25 - 9
    play.get_by_label("padding: more").click()
    expect(play.locator(".cells.input tr")).to_have_count(7)
    assert play.locator(".cells.input td.pad").count() == 49 - 25
    play.get_by_label("padding: less").click()
    play.get_by_label("stride: less").click()
    play.get_by_label("stride: less").click()
    expect(play.locator(".cells.output tr")).to_have_count(3)
    play.get_by_label("Edit the numbers").check()
    cell = play.get_by_label("input, row 0, column 0")
    cell.fill("11")
    cell.press("Tab")
    expect(play.locator(".cells.output .here")).to_have_text("14")
    play.get_by_label("kernel, rows between semicolons").fill("1,2,3,4,5,6;1,1,1,1,1,1")
    play.get_by_label("kernel, rows between semicolons").press("Enter")
    failure = play.locator(".failure")
    failure.wait_for()
    assert "the kernel, 2x6, is larger than the input, 5x5" in failure.inner_text()


def test_it_plays_and_pauses(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, ENTRY)
    play = first_play(page)
    button(play, "Play").click()
    button(play, "Pause").click()
    assert [text for text in output(play) if text] == ["4", "3"]


def test_keys_of_the_page(studio: Studio, open_page: OpenPage) -> None:
    names = [entry.name for entry in syllabus()]
    at = names.index("convolution")
    page = open_page(studio, ENTRY)
    first_play(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/lecture/{names[at + 1]}")
    page.wait_for_selector(f".side a[aria-current][href='/lecture/{names[at + 1]}']")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**{ENTRY}")
    play = first_play(page)
    play.get_by_label("Predict first").check()
    guess = play.locator(".guess input")
    guess.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    assert page.url.endswith(ENTRY), "not while typing"
    assert guess.input_value() == "t"
    page.locator("h1").click()
    before = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    page.keyboard.press("t")
    after = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert after == pytest.approx(1.25 * before)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")


def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, ENTRY)
    first_play(page)
    expect(page.locator(".cells.output")).to_have_count(2)
    wanted = page.evaluate(
        "[...document.querySelectorAll('a, button:not(:disabled), input, select')]"
        ".filter(e => e.checkVisibility()).length"
    )
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            "const i = [...document.querySelectorAll('*')].indexOf(e);"
            "return [i, e === document.body || s.outlineStyle !== 'none'] })()"
        )
        reached.add(told[0])
        assert told[1], "a focus that is not seen"
    assert len(reached) >= wanted


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_toggle(
    studio: Studio, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(studio, ENTRY, color_scheme=scheme)
    first_play(page)

    def lightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(re.findall(r"\d+", colour)[0])

    assert (lightness() < 100) == (scheme == "dark")
    page.get_by_role("button", name="Light or dark").click()
    assert (lightness() < 100) == (scheme == "light")
    page.reload()
    first_play(page)
    assert (lightness() < 100) == (scheme == "light"), "it is remembered"


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_nothing_is_wider_than_the_page(studio: Studio, open_page: OpenPage, size: tuple[int, int]) -> None:
    page = open_page(studio, ENTRY, viewport={"width": size[0], "height": size[1]})
    first_play(page)
    for _ in range(3):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("t")


def test_running_an_entry(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, "/lecture/sizes")
    page.get_by_role("button", name="Run", exact=True).click()
    answer = page.locator(".answer")
    answer.locator("table").wait_for()
    assert "760" in answer.inner_text()
    page.reload()
    answer.locator("table").wait_for()  # what was computed is still there
    line = page.get_by_label("a network as a line")
    line.fill("7x7x1 conv:1,k3,s3")
    page.locator(".play-design", has_text="2.33 -> 2").wait_for()
    line.fill("7x7x1 cnov")
    page.locator(".play-design .failure").wait_for()
    assert "did you mean conv" in page.locator(".play-design .failure").inner_text()


def test_drawings_take_the_colours_of_the_page(studio: Studio, open_page: OpenPage) -> None:
    with client_of(studio) as client:
        told = client.get("/api/lecture/sizes").json()
    svg = draw(record(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), (1, 8, 8)))
    assert "<style>" in svg, "a drawing brings a sheet, which the page does not allow"
    part = {"kind": "plot", "svg": svg, "title": "a drawing", "caption": ""}
    told["page"] = {"sentences": ["a", "b"], "parts": [part], "numbers": {}, "notes": []}
    page = open_page(studio, "/lecture/padding", color_scheme="light")
    page.route("**/api/lecture/sizes", lambda route: route.fulfill(json=told))
    page.locator(".side a[href='/lecture/sizes']").click()
    paper = page.locator(".plot-of rect.paper")
    expect(paper).to_have_css("fill", "rgb(255, 255, 255)")
    page.keyboard.press("d")
    expect(paper).to_have_css("fill", "rgb(20, 23, 27)")


def test_an_entry_that_is_not_there(studio: Studio, open_page: OpenPage) -> None:
    page = open_page(studio, "/lecture/size")
    expect(page.locator(".failure:visible")).to_contain_text("did you mean sizes")
    page.locator(".side a").first.click()
    expect(page.locator(".entry h1")).to_have_text(syllabus()[0].title)


def test_a_filter_on_ones_own_image(studio: Studio, open_page: OpenPage, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (9, 9), 200).save(tmp_path / "grey.png")
    page = open_page(studio, "/lecture/kernels")
    play = page.locator(".play[data-kind='filter']").first
    play.locator("input[type=file]").set_input_files(tmp_path / "grey.png")
    play.get_by_text("grey.png, 9x9").wait_for()
    play.locator("select").select_option("sharpen")
    play.get_by_text("answers from 200 to 200").wait_for()
    weight = play.get_by_label("weight in row 1, column 1")
    weight.fill("0")
    weight.press("Tab")
    play.get_by_text("answers from -800 to -800").wait_for()


def test_the_page_for_students(studio: Studio, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(studio, ENTRY)
    first_play(page)
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name="Page for students").click()
    path = tmp_path / "page.html"
    download.value.save_as(path)
    assert download.value.suggested_filename == "convolution.html"
    alone = open_page(None, path.as_uri())
    play = first_play(alone)
    assert alone.title() == "Convolution by hand - Sightline"
    play.get_by_label("Predict first").check()
    play.locator(".guess input").fill("5")
    play.locator(".guess input").press("Enter")
    assert play.locator(".verdict").inner_text() == "✗ Not so. You said 5; it is 4."
    play.get_by_label("Predict first").uncheck()
    play.get_by_label("padding: more").click()
    play.get_by_text("(5 + 2*1 - 3)/1 + 1 = 5").first.wait_for()
    for _ in range(3):
        play.get_by_label("stride: more").click()
    play.get_by_text("(5 + 2*1 - 3)/3 + 1 = 2.33 -> 2").first.wait_for()
    alone.keyboard.press("n")
    assert play.locator(".place").inner_text() == "2 of 4"
    assert alone.locator("svg.plot, .part").count() > 0
