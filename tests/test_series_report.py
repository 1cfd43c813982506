"""The report of a series: folds and repeats, their numbers and words, and that it is whole by itself."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from report_pages import (
    LIMIT,
    NASTY,
    Case,
    Node,
    args,
    invented,
    judged,
    numbers,
    read,
    results,
    rows_of,
    section,
)
from sightline.base import Finding
from sightline.data import ImageSet, Split, open_images, split_images
from sightline.evaluation import (
    Evaluation,
    SeriesMember,
    mean_interval,
    pool,
    reliability,
    write_series_report,
)
from sightline.records import RunFolder

COUNT = 3


@dataclasses.dataclass
class Experiment:
    """A series in a folder, and what its report is to say."""

    folder: Path
    kind: str
    members: list[SeriesMember]
    pooled: Evaluation | None
    value: float
    interval: tuple[float, float]

    def write(self, **more: Any) -> Path:
        path = self.folder / "report.html"
        write_series_report(
            path,
            kind=self.kind,  # type: ignore[arg-type]
            members=self.members,
            pooled=self.pooled,
            value=self.value,
            interval=self.interval,
            **more,
        )
        return path

    def page(self, **more: Any) -> Node:
        return read(self.write(**more))

    @property
    def accuracies(self) -> list[float]:
        return [member.evaluations[0].scores.top1 for member in self.members]


def member(
    folder: Path,
    number: int,
    images: ImageSet,
    split: Split,
    logits: np.ndarray,
    temperature: float,
    **record: Any,
) -> SeriesMember:
    name = f"{'fold' if split.fold else 'run'}-{number}"
    run = RunFolder(folder / name)
    run.write_args(args(images, split, 30) | record)
    run.write_results(results(30, 10 + number))
    evaluations = tuple(judged(images, split, logits, part, temperature) for part in ("test", "val"))
    return SeriesMember(
        name=name, run=run, split=split, evaluations=evaluations, epochs=30, seconds=60.0 * number
    )


def experiment(folder: Path, kind: str, *, temperatures: tuple[float, ...] = (0.5, 0.6, 0.7)) -> Experiment:
    """A linear model of the digits, fitted for each fold or on other halves of the training images."""
    images = open_images("digits")
    assert images.pixels is not None
    features = images.pixels.reshape(len(images), -1) / 255
    members = []
    for number, temperature in enumerate(temperatures, start=1):
        split = split_images(images, 0, (number, COUNT) if kind == "folds" else None)
        train = split.indices("train")
        if kind == "repeats":
            train = np.random.default_rng(number).choice(train, len(train) // 4, replace=False)
        model = LogisticRegression(C=0.1, max_iter=300).fit(features[train], images.targets[train])
        logits = model.decision_function(features).astype(np.float32)
        seed = number if kind == "repeats" else 0
        members.append(member(folder, number, images, split, logits, temperature, seed=seed))
    return series_of(folder, kind, members)


def series_of(folder: Path, kind: str, members: list[SeriesMember]) -> Experiment:
    headlines = [one.evaluations[0] for one in members]
    if kind == "folds":
        pooled = pool(headlines, "all, out of fold")
        return Experiment(folder, kind, members, pooled, pooled.scores.top1, pooled.scores.interval)
    value, interval = mean_interval([one.scores.top1 for one in headlines])
    return Experiment(folder, kind, members, None, value, interval)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return experiment(tmp_path_factory.mktemp("folds"), "folds")


@pytest.fixture(scope="module")
def repeats(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return experiment(tmp_path_factory.mktemp("repeats"), "repeats")


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}\u00a0%"


# -- the headline --------------------------------------------------------------------------------------


def test_the_headline_of_folds_is_the_pooled_score(folds: Experiment) -> None:
    page = folds.page()
    assert folds.pooled is not None
    scores = folds.pooled.scores
    assert numbers(page.one("h1")) == [scores.top1]
    lead = page.one("p", cls="lead")
    assert numbers(lead) == [*scores.interval, 1797]
    assert (
        "on all 1,797 images of digits, each judged once by a network that was not trained on it."
        in lead.text
    )
    facts = {fact.one("dt").text: fact.one("dd") for fact in page.one("dl", cls="facts").all("div")}
    assert numbers(facts["Wrong"]) == [1797 - scores.confusion.trace()]
    assert numbers(facts["Single folds"]) == [min(folds.accuracies), max(folds.accuracies)]
    deviation = statistics.stdev(folds.accuracies)
    assert f"standard deviation {100 * deviation:.2f} points" in facts["Single folds"].text
    assert numbers(facts["Macro F1"]) == [scores.macro_f1]
    assert facts["Training time"].text.startswith("6 min 0 s")


def test_the_headline_of_repeats_is_their_mean(repeats: Experiment) -> None:
    page = repeats.page()
    assert numbers(page.one("h1")) == pytest.approx([statistics.fmean(repeats.accuracies)], rel=1e-12)
    lead = page.one("p", cls="lead")
    assert numbers(lead) == [*repeats.interval, 269]
    assert "Mean of 3 seeds" in lead.text
    assert "Student's t" in lead.text
    assert "used for neither training nor selection" in lead.text
    facts = {fact.one("dt").text: fact.one("dd") for fact in page.one("dl", cls="facts").all("div")}
    means = [m.evaluations[0].scores.macro_f1 for m in repeats.members]
    assert numbers(facts["Macro F1"]) == [statistics.fmean(means)]
    assert "Wrong" not in facts


def test_an_interval_that_passes_what_an_accuracy_can_be_is_explained(repeats: Experiment) -> None:
    assert "pass 100" not in repeats.page().one("header").text
    wide = dataclasses.replace(repeats, interval=(0.95, 1.02)).page()
    assert numbers(wide.one("p", cls="lead"))[:2] == [0.95, 1.02]
    assert "It can pass 100\u00a0%, which no accuracy can" in wide.one("header").text


def test_what_was_selected_on_or_may_be_known_is_said(repeats: Experiment) -> None:
    for change, said in (
        ({"selected_on": True}, "selected on these images: too good"),
        ({"known_unseen": False}, "not known to be unseen"),
    ):
        members = [
            dataclasses.replace(m, evaluations=(dataclasses.replace(m.evaluations[0], **change),))
            for m in repeats.members
        ]
        page = dataclasses.replace(repeats, members=members).page()
        assert page.one("p", cls="lead").one("strong").text == said
        assert len(list(section(page, "runs").all("strong"))) == COUNT


# -- the runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folds", "repeats"])
def test_every_run_has_its_row_and_its_link(kind: str, request: pytest.FixtureRequest) -> None:
    series: Experiment = request.getfixturevalue(kind)
    table = section(series.page(), "runs").one("table")
    titles = [cell.text for cell in table.one("thead").all("th")]
    assert ("Seed" in titles) == (kind == "repeats")
    rows = list(table.one("tbody").all("tr"))
    for number, (row, one) in enumerate(zip(rows, series.members, strict=True), start=1):
        scores = one.evaluations[0].scores
        assert row.one("a").text == one.name
        assert row.one("a").attrs["href"] == f"{one.name}/report.html"
        values = [scores.top1, *scores.interval, scores.balanced_accuracy, scores.macro_f1, scores.ece]
        assert numbers(row) == values
        cells = dict(zip(titles, rows_of(table)[number - 1], strict=True))
        assert cells["Images"] == str(scores.n)
        assert cells["Kept epoch"] == f"{10 + number} of 30"
        assert cells["Time"] == f"{number} min 0 s"
        if kind == "repeats":
            assert cells["Seed"] == str(number)
    assert numbers(table.one("tfoot"))[0] == pytest.approx(statistics.fmean(series.accuracies), rel=1e-12)


def test_the_validation_curves_of_all_runs_are_drawn(folds: Experiment) -> None:
    training = section(folds.page(), "training")
    assert [title.text for title in training.all("b")] == ["Validation accuracy", "Validation loss, nats"]
    assert [one.name for one in folds.members] == training.one("p", cls="legend").text.split()
    for plot in training.all("svg"):
        drawn = str([node.attrs for node in plot.all("path")])
        assert all(colour in drawn for colour in ("var(--right)", "var(--wrong)", "#009e73"))


def test_five_runs_have_five_colours_in_light_and_in_dark(repeats: Experiment) -> None:
    members = [dataclasses.replace(repeats.members[i % COUNT], name=f"run-{i}") for i in range(5)]
    path = dataclasses.replace(repeats, members=members).write()
    keys = read(path).one("p", cls="legend").all("span", cls="key")
    named = [(key.attrs["style"] or "").split()[-1] for key in keys]
    blocks = re.findall(r"--right: (#\w+); --wrong: (#\w+);", path.read_text("utf-8"))
    assert len(blocks) == 2
    for right, wrong in blocks:
        variables = {"var(--right)": right, "var(--wrong)": wrong}
        assert len({variables.get(colour, colour).lower() for colour in named}) == 5


def test_many_runs_are_not_told_apart_by_colour(repeats: Experiment) -> None:
    names = [f"run-{number}" for number in range(1, 13)]
    members = [dataclasses.replace(repeats.members[i % COUNT], name=name) for i, name in enumerate(names)]
    training = section(dataclasses.replace(repeats, members=members).page(), "training")
    assert not list(training.all("p", cls="legend"))
    assert len(list(training.all("svg"))) == 2


# -- what the folds answered together ------------------------------------------------------------------


def test_folds_have_the_pooled_tables(folds: Experiment) -> None:
    page = folds.page()
    assert folds.pooled is not None
    matrix = folds.pooled.scores.confusion
    rows = rows_of(page.one("table", cls="confusion"))
    assert [[int(cell) for cell in row[1:-1]] for row in rows] == matrix.tolist()
    assert sum(int(row[-1]) for row in rows) == 1797
    classes = rows_of(section(page, "classes").one("table"))
    assert [row[1] for row in classes] == [str(n) for n in matrix.sum(axis=1)]
    shown = [item.one("code").text for item in section(page, "mistakes").one("ol").all("li")]
    assert shown == [mistake.path for mistake in folds.pooled.mistakes(24)]


def test_repeats_leave_tables_to_their_runs(repeats: Experiment) -> None:
    page = repeats.page()
    found = {node.attrs["aria-labelledby"] for node in page.all("section")}
    assert found == {"runs", "training", "methods", "split", "findings", "settings"}


def test_the_calibration_of_folds_is_of_each_ones_temperature(folds: Experiment) -> None:
    assert folds.pooled is not None
    found = section(folds.page(), "calibration")
    logits = [one.evaluations[0].answers for one in folds.members]
    bare = [dataclasses.replace(answers, temperature=1.0) for answers in logits]
    bins = reliability(
        np.concatenate([answers.probabilities.max(axis=1) for answers in bare]),
        np.concatenate([answers.predicted == answers.targets for answers in bare]),
    )
    before = sum(n * abs(share - sure) for n, sure, share in bins) / 1797
    shown = numbers(found)[:2]
    assert shown[0] == folds.pooled.scores.ece
    assert shown[1] == pytest.approx(before, rel=1e-9)
    assert shown[0] != pytest.approx(shown[1], rel=1e-3)
    assert "0.500 to 0.700" in found.text
    drawn = str([node.attrs for node in found.one("svg").all("path")])
    assert "--wrong" in drawn  # the step of the histogram before


def test_folds_without_temperatures_say_so(tmp_path: Path) -> None:
    page = experiment(tmp_path, "folds", temperatures=(1.0, 1.0, 1.0)).page()
    assert "No temperature was fitted." in section(page, "calibration").text
    assert "not recalibrated" in section(page, "methods").text


def test_the_split_of_folds_counts_each_image_once(folds: Experiment) -> None:
    table = section(folds.page(), "split").one("table")
    images = folds.members[0].evaluations[0].images
    for t, row in enumerate(rows_of(table)):
        counts = [int(images.counts(one.split.indices("test"))[t]) for one in folds.members]
        assert row == [images.classes[t], *map(str, counts), str(images.counts()[t])]
    assert [cell.text for cell in table.one("tfoot").all("td")][-1] == "1,797"


# -- the words -----------------------------------------------------------------------------------------


def test_the_methods_of_folds_are_the_folds(folds: Experiment) -> None:
    assert folds.pooled is not None
    text = section(folds.page(), "methods").text
    scores = folds.pooled.scores
    for said in (
        "In 3-fold cross-validation",
        "each run trained on 1,078 images, validated on 120 and tested on the 599 of its own fold, "
        "so that every image was tested on exactly once",
        "In run k, test is fold k of 3",
        "In no run do two parts share an image, byte for byte",
        "highest accuracy on the validation images (epochs 11 to 13)",
        "The training seed was 0",
        f"{scores.confusion.trace():,} of 1,797 were right, an accuracy of {percent(scores.top1)}",
        f"interval {percent(scores.interval[0])} to {percent(scores.interval[1])}, Wilson 1927",
        f"The folds ranged from {percent(min(folds.accuracies))} to {percent(max(folds.accuracies))}",
        f"(standard deviation {100 * statistics.stdev(folds.accuracies):.2f} points)",
        "a temperature of its own (0.5 to 0.7; Guo et al. 2017)",
        f"{percent(scores.ece_uncalibrated)} before, {percent(scores.ece)} after",
    ):
        assert said in text, said


def test_folds_that_overlap_are_not_called_once(folds: Experiment) -> None:
    members = [folds.members[0], *folds.members[:2]]
    page = dataclasses.replace(folds, members=members).page()
    assert "exactly once" not in section(page, "methods").text
    assert "on all 1,797" not in page.one("p", cls="lead").text


def test_folds_that_leave_images_out_are_not_called_all(folds: Experiment) -> None:
    assert folds.pooled is not None
    scores = dataclasses.replace(folds.pooled.scores, n=1790)
    page = dataclasses.replace(folds, pooled=dataclasses.replace(folds.pooled, scores=scores)).page()
    assert "on 1,790 images of digits" in page.one("p", cls="lead").text


def test_the_methods_of_repeats_are_the_repeats(repeats: Experiment) -> None:
    text = section(repeats.page(), "methods").text
    low, high = (percent(bound) for bound in repeats.interval)
    f1 = statistics.fmean(m.evaluations[0].scores.macro_f1 for m in repeats.members)
    for said in (
        "1,259 for training, 269 for validation and 269 for testing",
        "repeated with the seeds 1, 2 and 3 on one split",
        "Each network was judged in 32-bit floating point on 269 test images",
        f"The mean accuracy of 3 seeds was {percent(repeats.value)}",
        f"by Student's t: {low} to {high}",
        f"macro-averaged F1 {percent(f1)}",
    ):
        assert said in text, said


def test_what_the_runs_record_differently_is_named(folds: Experiment, tmp_path: Path) -> None:
    settings = section(folds.page(), "settings")
    assert "They differ in split.rule." in settings.text
    assert "lenet5" in settings.text
    members = []
    for number, one in enumerate(folds.members):
        record = one.run.read_args()
        record["preprocessing"]["mean"] = [0.3 + number / 100]
        record["recipe"]["batch_size"] = 32 + number
        run = RunFolder(tmp_path / one.name)
        run.write_args(record)
        members.append(dataclasses.replace(one, run=run))
    page = dataclasses.replace(folds, folder=tmp_path, members=members).page()
    assert "preprocessing.mean, recipe.batch_size, split.rule" in section(page, "settings").text
    text = section(page, "methods").text
    assert "each run's own mean and standard deviation" in text
    assert "The recipes of the runs differ" in text
    assert "trained for" not in text  # there is no results.csv


def test_findings_are_shown_once(folds: Experiment) -> None:
    warning = Finding(level="warning", where="w", what="a", why="b", do="c")
    members = [
        dataclasses.replace(one, split=dataclasses.replace(one.split, findings=(warning,)))
        for one in folds.members
    ]
    page = dataclasses.replace(folds, members=members).page(findings=[warning])
    heads = [item.one("p").text for item in page.one("ul", cls="findings").all("li")]
    assert heads == ["warning w", "info digits"]
    assert "1 warning to read" in page.one("header").text


# -- safety, size, sameness ----------------------------------------------------------------------------


def large(folder: Path, classes: tuple[str, ...], each: int, side: int, kind: str = "folds") -> Experiment:
    case: Case = invented(classes, each, side)
    images = dataclasses.replace(case.images, parts=(None,) * len(case.images))
    members = []
    for number in range(1, COUNT + 1):
        split = split_images(images, 0, (number, COUNT) if kind == "folds" else None)
        members.append(member(folder, number, images, split, case.logits, 0.8))
    return series_of(folder, kind, members)


@pytest.mark.parametrize("kind", ["folds", "repeats"])
def test_names_are_escaped_and_nothing_is_fetched(kind: str, tmp_path: Path) -> None:
    series = large(tmp_path, NASTY, 15, 8, kind)
    path = series.write()
    text, page = path.read_text("utf-8"), read(path)
    assert "<script" not in text.lower()
    assert not [key for node in page.all() for key in node.attrs if key.startswith("on")]
    assert not [b for b in page.all("b") if b.text == "d"]
    ids = Counter(node.attrs["id"] for node in page.all() if "id" in node.attrs)
    assert set(ids.values()) == {1}
    links = {node.attrs["href"] or "" for node in page.all("a")}
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in ids}
    assert {link for link in links if not link.startswith("#")} == {
        f"{one.name}/report.html" for one in series.members
    }
    for node in page.all("img"):
        assert (node.attrs["src"] or "").startswith("data:image/")
    assert not re.search(r"url\((?!#)", text)
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize(("classes", "each"), [(1_000, 10), (40, 10)])
def test_is_below_its_size(classes: int, each: int, tmp_path: Path) -> None:
    series = large(tmp_path, tuple(f"{i} <{'n' * 115}" for i in range(classes)), each, 16)
    path = series.write()
    assert path.stat().st_size < LIMIT
    shown = len(rows_of(section(read(path), "classes").one("table")))
    assert shown == classes or f"The first {shown:,} of {classes:,} classes" in path.read_text("utf-8")


@pytest.mark.parametrize("kind", ["folds", "repeats"])
def test_same_inputs_give_the_same_bytes(kind: str, request: pytest.FixtureRequest) -> None:
    series: Experiment = request.getfixturevalue(kind)
    first = series.write().read_bytes()
    assert series.write().read_bytes() == first


def test_a_series_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one run or more"):
        write_series_report(
            tmp_path / "report.html", kind="folds", members=[], pooled=None, value=1.0, interval=(0.0, 1.0)
        )
