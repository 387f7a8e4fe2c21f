"""The benchmark section: sorted, compared on the same images, and never taken for what is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from having import having

from nversion.report import Study
from nversion.report.benchmark_sets import benchmark_sets, percent_cell
from nversion.report.blocks import Cell, Grid, Words
from nversion.report.sections import benchmark
from nversion.report.sections.severities import severity_rows, severity_tables

Build = Callable[..., Study]
NAMED = {"settings": {"report": {"ensembles": [["b", "a"]]}}}
SOURCE = {"dataset": "d", "set": "imagenet-c-bar", "stored": ""}
WHO = {"a": 1, "b": 1, "c": 1, "a + b": 2, "a + c": 2}
ERRORS = {"a": 0.4, "b": 0.2, "c": 0.5, "a + b": 0.1, "a + c": 0.3}


def measured(study: Study, baseline: str | None = None, complete: bool = False) -> Study:
    """Errors of `ERRORS` under lines at one level of five; with a baseline their double as CE."""
    counts = {"corruptions": 1, "of_corruptions": 10, "levels": 1, "of_levels": 50}
    if complete:
        counts |= {"corruptions": 10, "levels": 50}
    facts = SOURCE | counts | {"complete": complete, "baseline": baseline, "note": ""}
    prefix = "" if complete else "partial_"
    scales = {"mean_error": 1.0} | ({"mce": 2.0} if baseline else {})
    rows = [
        facts | {"ensemble": who, "size": size, "consensus": "average" if size > 1 else None}
        | {"quantity": prefix + quantity, "value": scale * ERRORS[who]}
        | {"low": scale * (ERRORS[who] - 0.05), "high": scale * (ERRORS[who] + 0.05)}
        for quantity, scale in scales.items()
        for who, size in WHO.items()
    ]  # fmt: skip
    of_corruptions = [
        SOURCE | {"corruption": "lines", "ensemble": who, "size": size, "quantity": "error", "note": ""}
        | {"value": ERRORS[who], "levels": 1, "of_levels": 5}
        for who, size in WHO.items()
    ]  # fmt: skip
    differences = [
        SOURCE | {"quantity": rows[-1]["quantity"], "ensemble": who, "size": size, "against": other}
        | {"value": ERRORS[who] - ERRORS[other], "low": ERRORS[who] - ERRORS[other] - half}
        | {"high": ERRORS[who] - ERRORS[other] + half}
        for who, size in WHO.items()
        for other in ("a", "b", "c", "a + b")
        if who != other
        for half in [0.15 if {who, other} == {"a", "c"} else 0.01]
    ]  # fmt: skip
    return having(
        study, benchmark=rows, benchmark_corruptions=of_corruptions, benchmark_differences=differences
    )


def words(study: Study) -> str:
    blocks = benchmark.benchmark(study) or ()
    return " ".join(block.text for block in blocks if isinstance(block, Words))


def standing(study: Study) -> Grid:
    (one,) = benchmark_sets(study)
    return benchmark.standing(one)


def test_models_and_contenders_stand_from_the_least_error(hand_made: Build) -> None:
    grid = standing(measured(hand_made(manifest=NAMED)))
    assert [row.label for row in grid.rows] == [
        "Named in the study",
        "Mean over all 2 ensembles of 2",
        "b",
        "a",
        "c",
    ]
    assert grid.rows[2].cells[0] == Cell("20.0", "15.0–25.0")
    assert grid.caption == "imagenet-c-bar, over 1 of 10 corruptions and 1 of 50 levels"


def test_neighbours_are_told_apart_by_their_difference_not_by_their_intervals(hand_made: Build) -> None:
    grid = standing(measured(hand_made(manifest=NAMED)))
    told = {row.label: row.cells[-1] for row in grid.rows}
    # b is compared with the ensemble above it, past the mean, which is nobody's.
    assert told["b"] == Cell("+10.0", "[+9.0, +11.0]", sure=True)
    assert told["Mean over all 2 ensembles of 2"] == Cell("—")
    assert told["c"] == Cell("+10.0", "[−5.0, +25.0]")
    assert "2 of 3 neighbours differ by these intervals" in grid.notes[1]


def test_an_ensemble_stands_beside_its_best_member(hand_made: Build) -> None:
    (one,) = benchmark_sets(measured(hand_made(manifest=NAMED)))
    rows = {row.label: row for row in benchmark.of_ensembles(one).rows}
    assert rows["Named in the study"].cells[-1] == Cell("−10.0", "[−11.0, −9.0]", sure=True, name="b")
    assert rows["a + c"].cells[-1].name == "a"
    assert rows["a + c"].group == "Lowest of all 2 ensembles"


@pytest.mark.parametrize(
    ("complete", "head", "said"),
    [
        (False, "Mean CE, %", "Do not compare these numbers with published ones of the whole set."),
        (True, "mCE, %", "all 10 corruptions at all 50 levels"),
    ],
)
def test_only_a_whole_set_has_the_published_name(
    hand_made: Build, complete: bool, head: str, said: str
) -> None:
    study = measured(hand_made(), baseline="a", complete=complete)
    assert standing(study).columns[0] == head
    assert said in words(study)


def test_the_baseline_is_named_and_how_sure_it_is(hand_made: Build) -> None:
    assert 'baseline = "NAME"' in words(measured(hand_made()))
    assert "a model of this study: its errors are on the same images" in words(measured(hand_made(), "a"))
    assert "its errors are taken as fixed" in words(measured(hand_made(), "alexnet"))


def test_without_several_severities_one_sentence_says_so(hand_made: Build) -> None:
    assert "Each corruption was studied at one severity" in words(measured(hand_made()))


def test_without_its_tables_there_is_no_section(hand_made: Build) -> None:
    assert benchmark.benchmark(hand_made()) is None


def test_a_negative_end_does_not_run_into_the_dash() -> None:
    assert percent_cell({"value": 0.1, "low": -0.05, "high": 0.25, "note": ""}).small == "−5.0 to 25.0"


def _scale(**row: Any) -> dict[str, Any]:
    scale = {"dataset": "d", "corruption": "lines", "stored": "", "first": 0.0, "last": 1.0, "levels": 2}
    return scale | {"ensemble": "a", "size": 1, "note": ""} | row


def test_curves_begin_at_the_clean_images_where_the_scale_does(hand_made: Build) -> None:
    study = having(hand_made(), severities=[_scale(quantity="area", value=0.7)])
    rows = severity_rows(study).filter(who="a")
    assert rows.select("severity", "top1").rows() == [(0.0, 0.8), (1.0, pytest.approx(0.6))]
    study = having(hand_made(), severities=[_scale(quantity="area", value=0.7, first=0.5)])
    assert severity_rows(study).filter(who="a")["severity"].to_list() == [1.0]


def test_without_clean_images_the_half_is_said_to_be_missing(hand_made: Build) -> None:
    study = measured(having(hand_made(), severities=[_scale(quantity="area", value=0.7, first=0.5)]))
    assert "needs the clean condition, which was not studied" in words(study)


def test_a_half_that_is_not_reached_says_above_what(hand_made: Build) -> None:
    rows = [
        _scale(quantity="area", value=0.7, low=0.6, high=0.8),
        _scale(quantity="half_severity", note="above 1"),
        _scale(quantity="half_severity", ensemble="b", value=0.75, low=0.7, high=0.8),
        _scale(quantity="half_severity", ensemble="c", value=0.9, note="no interval: …"),
    ]
    area, half = severity_tables(having(hand_made(), severities=rows))
    cells = {row.label: row.cells[0] for row in half.rows}
    assert area.columns == ["lines, 0 to 1"]
    assert {row.label: row.cells[0] for row in area.rows}["a"] == Cell("70.0", "60.0–80.0")
    assert cells["a"].text == "above 1"
    assert cells["b"] == Cell("0.75", "0.70–0.80")
    assert (cells["c"].text, cells["c"].small) == ("0.90", "no interval")
