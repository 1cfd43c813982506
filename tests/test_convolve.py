"""`convolve` and `filter`: the slides by hand, against the reference operators, torch, SciPy and Pillow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from PIL import Image
from typer.testing import CliRunner

from sightline.base import ArgumentError
from sightline.cli import app
from sightline.imaging import digits, photograph
from sightline.reference import (
    KERNEL_NAMES,
    LECTURE_KERNELS,
    average_pool,
    convolve,
    correlate,
    filter_image,
    kernel,
    matrix_text,
    max_pool,
    read_matrix,
    slide_kernel,
    slide_pool,
)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def last_line(*arguments: str) -> str:
    result = run("convolve", *arguments)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout.splitlines()[-1])


def test_the_slides() -> None:
    assert last_line("lecture-5x5") == "[[4,3,4],[2,4,3],[2,3,4]]"
    assert last_line("lecture-pool") == "[[4,8],[6,9]]"
    assert last_line("lecture-pool", "--pool", "avg:2") == "[[2.75,4.5],[5,5]]"
    assert last_line("lecture-8x8") == matrix_text(np.array([[0, 0, 27, 27, 0, 0]] * 6))
    assert last_line("lecture-5x5", "--pool", "max:2,s1") == "[[4,4],[4,4]]"


def test_the_kernel_is_laid_on_as_it_is_and_turned_by_true() -> None:
    """By hand: 1*1 + 2*0 + 3*(-1) = -2, and turned 1*(-1) + 2*0 + 3*1 = 2."""
    assert last_line("1,2,3,5", "1,0,-1") == "[[-2,-3]]"
    assert last_line("1,2,3,5", "1,0,-1", "--true") == "[[2,3]]"
    asymmetric = ["1,2;3,4", "[[1,2],[3,4]]"]
    assert last_line(*asymmetric) == "[[30]]"
    assert last_line(*asymmetric, "--true") == "[[20]]"
    assert "the formula of convolution turns" in run("convolve", *asymmetric).stdout
    assert "layers do not turn it" in run("convolve", *asymmetric, "--true").stdout
    assert "both are the same here" in run("convolve", "lecture-5x5").stdout


def test_stride_padding_dilation() -> None:
    image = "1,2,3;4,5,6;7,8,9"
    assert last_line(image, "1", "--stride", "2") == "[[1,3],[7,9]]"
    assert last_line(image, "1", "--stride", "1x2") == "[[1,3],[4,6],[7,9]]"
    assert last_line(image, "1,1;1,1", "--dilation", "2") == "[[20]]"
    assert last_line(image, "0,0,0;0,1,0;0,0,0", "--pad", "1") == "[[1,2,3],[4,5,6],[7,8,9]]"
    assert last_line(image, "1,1,1", "--pad", "same") == "[[3,6,5],[9,15,11],[15,24,17]]"
    assert last_line(image, "1,0,0", "--pad", "reflect") == "[[2,1,2],[5,4,5],[8,7,8]]"
    assert last_line(image, "1,0,0", "--pad", "replicate") == "[[1,1,2],[4,4,5],[7,7,8]]"
    assert last_line(image, "1,0,0", "--pad", "circular") == "[[3,1,2],[6,4,5],[9,7,8]]"
    assert last_line(image, "1,1,1", "--pad", "valid") == "[[6],[15],[24]]"
    refused = run("convolve", "1,2,3", "1", "--pad", "reflect:2")  # one row cannot be mirrored
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_steps_show_window_products_and_sum() -> None:
    lines = run("convolve", "lecture-5x5", "--step").stdout.splitlines()
    assert "  1*1 + 1*0 + 1*1 + 0*0 + 1*1 + 1*0 + 0*1 + 0*0 + 1*1 = 4" in lines
    at = lines.index("row 0, column 0")
    assert lines[at + 1 : at + 5] == [
        "  window   kernel   products",
        "  1 1 1    1 0 1    1 0 1",
        "  0 1 1    0 1 0    0 1 0",
        "  0 0 1    1 0 1    0 0 1",
    ]
    assert sum(line.startswith("row ") and "column" in line for line in lines) == 9
    pooled = run("convolve", "lecture-pool", "--step").stdout
    assert "max(4, 3, 1, 3) = 4" in pooled
    assert "1*(-1) + 2*0 + 3*1 = 2" in run("convolve", "1,2,3", "1,0,-1", "--true", "--step").stdout
    assert "(4 + 3 + 1 + 3)/4 = 2.75" in run("convolve", "lecture-pool", "--pool", "avg:2", "--step").stdout


def test_json_is_one_object() -> None:
    content = json.loads(run("convolve", "lecture-5x5", "--pool", "max:3", "--step", "--json").stdout)
    assert content["input_shape"] == [5, 5]
    assert content["kernel"] == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert (content["output_shape"], content["output"]) == ([1, 1], [[4]])
    first = content["stages"][0]
    assert first["sums"]["height"] == "(5 + 2*0 - 3)/1 + 1 = 3"
    assert first["steps"][3]["value"] == 2
    assert json.loads(run("convolve", "lecture-pool", "--json").stdout)["kernel"] is None


def test_sliding_agrees_with_the_readable_operators() -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        x = rng.integers(-9, 10, tuple(rng.integers(5, 9, 2)))
        w = rng.integers(-3, 4, tuple(rng.integers(1, 4, 2)))
        stride, dilation = tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist())
        padding = [0, 2, "same", "reflect", "circular", "replicate"][trial % 6]
        flip = bool(rng.integers(2))
        ours = slide_kernel(x, w, stride=stride, dilation=dilation, padding=padding, flip=flip).output()
        word = "same" if isinstance(padding, str) else padding
        mode = padding if padding in ("reflect", "circular", "replicate") else "zeros"
        operator = convolve if flip else correlate
        theirs = operator(
            x[None, None],
            w[None, None],
            stride=stride,
            dilation=dilation,
            padding=word,
            padding_mode=str(mode),
        )
        np.testing.assert_array_equal(ours, theirs[0, 0])
        size = (w.shape[0], w.shape[1])
        np.testing.assert_array_equal(
            slide_pool(x, "max", size, stride).output(), max_pool(x[None, None], size, stride)[0, 0]
        )
        np.testing.assert_allclose(
            slide_pool(x, "avg", size, stride).output(), average_pool(x[None, None], size, stride)[0, 0]
        )


def test_steps_add_up_to_the_output() -> None:
    rng = np.random.default_rng(1)
    slide = slide_kernel(rng.normal(size=(6, 7)), rng.normal(size=(3, 2)), stride=(2, 1), padding=1)
    output = slide.output()
    steps = list(slide.steps())
    assert len(steps) == output.size
    for step in steps:
        assert step.products is not None
        np.testing.assert_allclose(output[step.row, step.column], step.value)
        np.testing.assert_allclose(step.products.sum(), step.value)


def test_whole_numbers_stay_exact() -> None:
    """1e12 squared is beyond int64: float64 is taken, and nothing wraps around."""
    assert read_matrix("1,2", "INPUT").dtype == np.int64
    large = np.array([[10**12]])
    assert slide_kernel(large, large).output().item() == 1e24
    odd = np.array([[2**53 + 1]])  # float64 has no such number
    assert slide_kernel(odd, np.array([[1]])).output().item() == 2**53 + 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,3;4,5,6", [[1, 2, 3], [4, 5, 6]]),
        ("[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("[[1, 2],\n [3, 4]]", [[1, 2], [3, 4]]),
        ("[1, 2]", [[1, 2]]),
        ("1 2; 3 4", [[1, 2], [3, 4]]),
        ("1/4*[[1,2]]", [[0.25, 0.5]]),
        ("1/9,.5,-1e1", [[1 / 9, 0.5, -10]]),
        ("7", [[7]]),
    ],
)
def test_matrices_as_text(text: str, values: list[list[float]]) -> None:
    assert read_matrix(text, "INPUT").tolist() == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2;3", "row 1 has 2 numbers and row 2 has 1"),
        ("[[1,2],[3]]", "row 1 has 2 numbers and row 2 has 1"),
        ("1,two", "'two' is no number"),
        ("1,,2", "an empty place is no number"),
        ("[[1,2],[3,4]", "brackets do not fit"),
        ("nan,1", "INPUT has a nan; its numbers must be finite"),
        ("1,-inf", "INPUT has a -inf"),
        ("1/0,2", "a division by zero"),
        ("1e13", "within"),
        ("", "an empty place"),
    ],
)
def test_what_is_no_matrix(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_matrix(text, "INPUT")


def test_misuse_is_one_line_and_exit_2(in_tmp: Path) -> None:
    for arguments, message in [
        (["convolve", "1,2;3", "1"], "INPUT is no matrix"),
        (["convolve", "hello", "1"], "no matrix ('1,2;3,4'), no file and no name"),
        (["convolve", "lecture-5x6", "1"], "did you mean lecture-5x5"),
        (["convolve", "1,2;3,4", "1,1,1"], "the kernel, 1x3, is larger than the input, 2x2: (2 + 2*0 - 3)/1"),
        (["convolve", "1,2;3,4"], "KERNEL is missing"),
        (["convolve", "1,2;3,4", "sobelx"], "did you mean sobel-x"),
        (["convolve", "1,2;3,4", "1", "--stride", "0"], "--stride is '0'"),
        (["convolve", "1,2;3,4", "1", "--pad", "-1"], "--pad is '-1'"),
        (["convolve", "1,2;3,4", "1", "--pad", "some"], "--pad is 'some'"),
        (["convolve", "1,2;3,4", "1", "--dilation", "x"], "--dilation is 'x'"),
        (["convolve", "1,2;3,4", "--pool", "min:2"], "--pool is 'min:2'"),
        (["convolve", "1,2;3,4", "--pool", "max:3"], "the window, 3x3, is larger than the input, 2x2"),
        (["convolve", "1,2;3,4", "1", "-o", "a.gif"], "must end in .png"),
        (["filter", "china", "sobl"], "did you mean sobel-"),
        (["filter", "missing.png", "box"], "missing.png is no file"),
        (["filter", ".", "box"], "is a folder"),
        (["filter", "china", "box", "--pad", "mirror"], "--pad is 'mirror'"),
        (["filter", "china", "box:0"], "a size is a number from 1"),
        (["filter", "china", "box", "-o", "a.jpg"], "must end in .png"),
        (["filter", "digit:1797", "box"], "digits are digit:0 to digit:1796"),
        (["filter", "digit:0", "box:9"], "the kernel, 9x9, is larger than the image, 8x8"),
        (["filter", "china"], "KERNEL is missing"),
        (["filter"], "IMAGE is missing"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert result.stderr.startswith("sightline: "), arguments
        assert message in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1
    assert not list(in_tmp.iterdir())


def test_a_broken_image_and_an_unwritable_place_fail(in_tmp: Path) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    broken = run("filter", "broken.png", "box")
    assert (broken.exit_code, broken.stderr.count("\n")) == (1, 1)
    assert "cannot read broken.png" in broken.stderr
    Path("a_file").touch()
    nowhere = run("filter", "digit:0", "box", "-o", "a_file/out.png")
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)
    assert "cannot write" in nowhere.stderr


# The table of the lecture, and the other classics as Gonzalez and Woods print them.
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("identity", "[[0,0,0],[0,1,0],[0,0,0]]"),
        ("edge-1", "[[1,0,-1],[0,0,0],[-1,0,1]]"),
        ("edge-2", "[[0,1,0],[1,-4,1],[0,1,0]]"),
        ("edge-3", "[[-1,-1,-1],[-1,8,-1],[-1,-1,-1]]"),
        ("sharpen", "[[0,-1,0],[-1,5,-1],[0,-1,0]]"),
        ("box", "1/9 * [[1,1,1],[1,1,1],[1,1,1]]"),
        ("gaussian", "1/16 * [[1,2,1],[2,4,2],[1,2,1]]"),
        ("sobel-x", "[[-1,0,1],[-2,0,2],[-1,0,1]]"),
        ("sobel-y", "[[-1,-2,-1],[0,0,0],[1,2,1]]"),
        ("box:2", "1/4 * [[1,1],[1,1]]"),
        ("box:1x3", "1/3 * [[1,1,1]]"),
        ("gaussian:4x1", "1/8 * [[1],[3],[3],[1]]"),
        ("1/3*1,1,1", "1/3 * [[1,1,1]]"),
    ],
)
def test_kernels(name: str, text: str) -> None:
    found = kernel(name)
    assert found.text == text
    np.testing.assert_allclose(read_matrix(text, "KERNEL"), found.matrix)


def test_every_named_kernel_is_listed_and_the_lecture_s_are_among_them() -> None:
    listed = run("filter", "--list").stdout
    assert all(f"\n{name} " in f"\n{listed}" for name in KERNEL_NAMES)
    assert set(LECTURE_KERNELS) < set(KERNEL_NAMES)
    assert listed.count(" lecture ") == len(LECTURE_KERNELS) == 7
    assert {entry["name"] for entry in json.loads(run("filter", "--list", "--json").stdout)} == set(
        KERNEL_NAMES
    )


@pytest.mark.parametrize(
    "weights", ["sobel-x", "gaussian:5", "box:4", "1,2,3;0,-1,5", "1,2;3,4;5,6;7,9", "emboss"]
)
@pytest.mark.parametrize("flip", [False, True])
def test_filter_is_scipy_s(weights: str, flip: bool) -> None:
    """Odd sizes; of even ones SciPy's origin is moved by one, so that its middle is ours."""
    image = photograph("china")[100:190, 50:151].astype(np.float64)
    matrix = kernel(weights).matrix[::-1, ::-1] if flip else kernel(weights).matrix
    origin = [-1 if n % 2 == 0 else 0 for n in matrix.shape]
    for ours, theirs in (
        ("reflect", "mirror"),
        ("replicate", "nearest"),
        ("circular", "wrap"),
        ("zeros", "constant"),
    ):
        result = filter_image(image, kernel(weights).matrix, padding=ours, flip=flip)
        for channel in range(3):
            expected = scipy.ndimage.correlate(image[:, :, channel], matrix, mode=theirs, origin=origin)
            np.testing.assert_allclose(result[:, :, channel], expected, rtol=1e-5, atol=2e-2)


def test_filter_of_a_grey_image_without_padding_is_torch_s() -> None:
    image = photograph("flower")[:70, :50, 1]
    matrix = np.arange(12).reshape(3, 4) - 5
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image.astype(np.float64))[None, None],
        torch.from_numpy(matrix.astype(np.float64))[None, None],
    )[0, 0]
    result = filter_image(image, matrix, padding="valid")
    assert result.shape == (68, 47)
    np.testing.assert_allclose(result, expected, atol=1e-2)
    with pytest.raises(ArgumentError, match="padding is 'mirror'; it must be one of zeros, reflect"):
        filter_image(image, matrix, padding="mirror")


def test_embedded_pictures_are_scikit_learn_s(in_tmp: Path) -> None:
    """They are read without importing it."""
    assert run("filter", "china", "identity", "-o", "china.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("china.png")), photograph("china"))
    assert run("filter", "digit:41", "identity", "-o", "digit.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("digit.png")), digits()[0][41, 0])


def test_negative_answers_are_on_a_signed_scale(in_tmp: Path) -> None:
    """A step from 0 to 200: sobel-x answers 800 there; mirrored, -800; 0 is 128."""
    step = np.zeros((6, 8), np.uint8)
    step[:, 4:] = 200
    step[:, 7] = 100
    Image.fromarray(step).save("step.png")
    result = run("filter", "step.png", "sobel-x", "-o", "out.png")
    assert (
        "answers from -400 to 800; signed grey scale: mid grey (128) is 0, black -800, white 800"
        in result.stdout
    )
    levels = np.asarray(Image.open("out.png"))
    assert levels[2].tolist() == [128, 128, 128, 255, 255, 128, 65, 128]
    content = json.loads(run("filter", "step.png", "sobel-x", "--json").stdout)
    assert (content["minimum"], content["maximum"], content["scale"]) == (-400, 800, "signed")
    assert (content["input_shape"], content["computed"]) == ([1, 6, 8], "cross-correlation")
    turned = json.loads(run("filter", "step.png", "sobel-x", "--true", "--json").stdout)
    assert (turned["minimum"], turned["maximum"], turned["computed"]) == (-800, 400, "convolution")
    # filtered.png: -800 is as far from 128 as 800 was
    assert np.asarray(Image.open("filtered.png"))[2].tolist() == [128, 128, 128, 1, 1, 128, 192, 128]


def test_an_answer_that_is_an_image_again_is_cut_and_that_is_said(in_tmp: Path) -> None:
    step = np.full((4, 6), 100, np.uint8)
    step[:, 3:] = 250
    Image.fromarray(step).save("step.png")
    result = run("filter", "step.png", "sharpen", "-o", "out.png")
    assert "0 to 255: 4 values below are cut to 0, 4 above to 255" in result.stdout
    assert np.asarray(Image.open("out.png"))[1].tolist() == [100, 100, 0, 255, 250, 250]
    assert "signed grey scale" in run("filter", "step.png", "sharpen", "--signed").stdout
    assert "shown as they are, 0 to 255\n" in run("filter", "step.png", "box").stdout


def test_the_anchor_of_an_even_kernel_is_said_and_true(in_tmp: Path) -> None:
    point = np.zeros((5, 5), np.uint8)
    point[2, 2] = 64
    Image.fromarray(point).save("point.png")
    result = run("filter", "point.png", "1,0;0,0", "-o", "out.png")
    assert "the pixel lies under row 0, column 0" in result.stdout
    assert np.asarray(Image.open("out.png"))[2, 2] == 64


def test_the_sheet_shows_the_input_and_seven_kernels(in_tmp: Path) -> None:
    result = run("filter", "digit:3", "--sheet", "-o", "sheet.png")
    assert result.exit_code == 0, result.stderr
    page = np.asarray(Image.open("sheet.png").convert("RGB"))
    assert page.shape[1] == 24 + 4 * 424
    first, identity = page[24:424, 24:424], page[24:424, 448:848]
    np.testing.assert_array_equal(first, identity)
    assert not np.array_equal(first, page[24:424, 872:1272])


def test_an_image_is_convolved_as_grey_levels_and_saved(in_tmp: Path) -> None:
    result = run("convolve", "china", "sobel-x", "-o", "out.png")
    assert result.exit_code == 0, result.stderr
    assert "its grey levels are taken" in result.stdout
    grey = np.asarray(Image.fromarray(photograph("china")).convert("L")).astype(np.float64)
    expected = scipy.signal.correlate2d(grey, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], "valid")
    assert f"from {expected.min():.6g} to {expected.max():.6g}" in result.stdout
    most = np.abs(expected).max()
    np.testing.assert_array_equal(
        np.asarray(Image.open("out.png")), np.rint((expected + most) * (255 / (2 * most))).astype(np.uint8)
    )
