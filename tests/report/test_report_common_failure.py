"""What is said of diversity of methodology follows from the intervals, and no further."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import polars as pl
import pytest

from nversion.report.blocks import LeftOut
from nversion.report.common_failure import mixtures, paragraph, verdict
from nversion.report.figures.methodologies import covariance_rows, drawn_predictions, predictions
from nversion.report.findings import what_fails_together
from nversion.report.html import page
from nversion.report.labels import NO_BREAK
from nversion.report.schemas import EXTRA
from nversion.report.sections.reliability import (
    joint_tables,
    methodology_tables,
    prediction_tables,
    property_tables,
    section,
)
from nversion.report.tables import Study

Build = Callable[..., Study]
JOINT = "joint_failure"


def _row(a: str, b: str, quantity: str, value: float, half: float = 0.01, m: int = 5) -> dict[str, Any]:
    key = {"condition": "d/clean", "subset": "all", "grouping": "family", "m_a": m, "m_b": m, "note": ""}
    return key | {
        "methodology_a": a,
        "methodology_b": b,
        "quantity": quantity,
        "value": value,
        "low": value - half,
        "high": value + half,
    }


def _grouped(study: Study, rows: Sequence[dict[str, Any]]) -> Study:
    return replace(study, extra={"methodologies": pl.DataFrame(rows, schema=EXTRA["methodologies"])})


def _study(build: Build, across: float, within: tuple[float, float], **options: Any) -> Study:
    """Families A and B: two of A, two of B and one of each fail together this often."""
    rows = [_row("A", "A", JOINT, within[0], **options), _row("B", "B", JOINT, within[1], **options)]
    rows += [_row("A", "B", JOINT, across, **options), _row("A", "B", "independent", 0.04, **options)]
    rows.append(_row("A", "B", "covariance", across - 0.04, **options))
    return _grouped(build(), rows)


def said(study: Study) -> str:
    return verdict(study, "family")


def test_a_mixture_is_compared_with_the_better_methodology(hand_made: Build) -> None:
    (found,) = mixtures(_study(hand_made, across=0.10, within=(0.20, 0.14)), "family", "d/clean")
    assert (found.better, found.within["value"], found.verdict) == ("B", 0.14, "less")


def test_less_common_failure_is_claimed_only_where_intervals_lie_apart(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.10, within=(0.20, 0.14))) == (
        "On clean mixing architecture families bought less common failure than two models of the better of "
        "two, in 1 of 1 pair."
    )
    assert said(_study(hand_made, across=0.13, within=(0.20, 0.14))) == (
        "On clean it cannot be told whether mixing architecture families buys less common failure than two "
        "models of the better of two: no interval of the difference leaves out zero."
    )


@pytest.mark.parametrize(("value", "word"), [(-0.02, "less"), (0.02, "more"), (0.005, "open")])
def test_the_interval_of_the_difference_decides_where_there_is_one(
    hand_made: Build, value: float, word: str
) -> None:
    study = _study(hand_made, across=0.13, within=(0.20, 0.14))  # the two intervals overlap
    rows = study.table("methodologies").rows(named=True)
    worse, better = _row("A", "B", "joint_less_two_of_a", -0.1), _row("A", "B", "joint_less_two_of_b", value)
    (found,) = mixtures(_grouped(study, [*rows, worse, better]), "family", "d/clean")
    assert (found.better, found.verdict) == ("B", word)


def test_the_paragraph_gives_the_difference(hand_made: Build) -> None:
    study = _study(hand_made, across=0.12, within=(0.20, 0.14))
    rows = [*study.table("methodologies").rows(named=True), _row("A", "B", "joint_less_two_of_b", -0.02)]
    text = paragraph(_grouped(study, rows), "family")
    assert "two of B on 14.0" in text
    assert "less, −2.0 points [−3.0, −1.0]." in text


def test_a_mixture_that_fails_together_more_often_did_not_buy_anything(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.18, within=(0.20, 0.14))) == (
        "On clean in no pair is mixing architecture families seen to buy less common failure: in 1 of 1 pair "
        "a mixed pair fails together more often than two models of the better of two."
    )


def test_a_single_model_identifies_nothing(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.10, within=(nan, 0.14))) == (
        "Whether mixing architecture families buys less common failure is not identified on clean: in every "
        "pair one has too few models to say how two of its own fail together."
    )


def test_an_undefined_interval_leaves_the_question_open(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(0.20, 0.14), half=nan)
    assert mixtures(study, "family", "d/clean")[0].verdict == "open"


def test_of_two_models_nothing_is_said_about_others_made_the_same_way(hand_made: Build) -> None:
    text = said(_study(hand_made, across=0.10, within=(0.20, 0.14), m=2))
    assert text.endswith(
        "In 1 pair a methodology has fewer than 3 models: what is said there holds for these models and "
        "other images, not for other models made the same way."
    )


def test_one_methodology_alone_says_nothing_of_mixing(hand_made: Build) -> None:
    study = _grouped(hand_made(), [_row("A", "A", JOINT, 0.2)])
    assert said(study) == (
        "All models are of one architecture family, so nothing can be said about mixing architecture "
        "families."
    )


def test_the_paragraph_gives_the_numbers_and_what_independence_would_give(hand_made: Build) -> None:
    text = paragraph(_study(hand_made, across=0.10, within=(0.20, 0.14)), "family").replace(NO_BREAK, " ")
    assert (
        "A model of A and one of B fail together on 10.0 % [9.0, 11.0] of the images, two of B on 14.0 % "
        "[13.0, 15.0]: less."
    ) in text
    assert "above zero in 1 and below zero in 0 of 1 pair: what is hard for one" in text
    assert "A and B on 10.0 % instead of 4.0 %." in text


def test_covariances_of_one_model_each_are_not_told_of_methodologies(hand_made: Build) -> None:
    assert "covariance" not in paragraph(_study(hand_made, across=0.10, within=(nan, 0.14), m=1), "family")


def test_families_that_were_guessed_are_not_compared_where_trainings_are(hand_made: Build) -> None:
    asked = {"settings": {"reliability": {"group_by": ["family", "training"]}}}
    study = _grouped(hand_made(manifest=asked), [_row("A", "A", JOINT, 0.2) | {"grouping": "training"}])
    assert what_fails_together(study) == [
        "Whether mixing architecture families buys less common failure was not asked: no model's "
        "architecture family is declared, and a guess from names carries no finding. A study file, or the "
        "card of a weights file, declares it.",
        "All models are of one training approach, so nothing can be said about mixing training approaches.",
    ]


def test_the_matrix_is_symmetric_and_has_a_question_mark_where_nothing_is_known(hand_made: Build) -> None:
    rows = [_row("A", "A", "covariance", nan), _row("A", "B", "covariance", -0.021)]
    found = covariance_rows(_grouped(hand_made(), rows))
    cells = {(r["down"], r["across"]): r["said"] for r in found.iter_rows(named=True)}
    assert cells == {("A", "A"): "?", ("A", "B"): "−2.1", ("B", "A"): "−2.1"}


def test_what_is_not_identified_is_written_so_and_never_as_zero(hand_made: Build) -> None:
    (grid,) = methodology_tables(_study(hand_made, across=0.10, within=(nan, 0.14)))
    cells = {row.label: [cell.text for cell in row.cells] for row in grid.rows}
    assert cells["two of A"][1] == "not identified"
    assert cells["A and B"][:4] == ["5 and 5", "10.0", "4.0", "+6.0"]


def test_a_cell_with_a_note_tells_it_and_a_sure_one_is_bold(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(nan, 0.14))
    noted = study.table("methodologies").with_columns(
        note=pl.when(pl.col("value").is_nan()).then(pl.lit("why it is not")).otherwise(pl.lit(""))
    )
    text = page(replace(study, extra={"methodologies": noted}), {}, {})
    assert 'title="why it is not">not identified' in text
    assert "<td><strong>+6.0</strong>" in text


def test_methodologies_of_one_model_are_counted_and_not_shown(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(0.20, 0.14))
    single = [_row("C", "C", JOINT, nan, m=1), _row("A", "C", JOINT, 0.1) | {"m_b": 1}]
    study = _grouped(study, [*study.table("methodologies").rows(named=True), *single])
    (grid,) = methodology_tables(study)
    assert [row.label for row in grid.rows] == ["two of A", "two of B", "A and B"]
    found = section(study)
    assert found is not None
    (left,) = (block for block in found.blocks if isinstance(block, LeftOut))
    assert left.text.startswith("2 of 5 rows a condition are left out: a methodology in them has one model")


def test_properties_that_are_nowhere_decided_are_one_sentence(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(0.20, 0.14))
    key = {"condition": "d/clean", "grouping": "family", "methodology_a": "A", "methodology_b": "B"}
    key |= {"margin": 0.02, "holds": None, "note": ""}
    over = {"note": "undecided: the interval reaches over the margin", "low": -0.03, "high": 0.05}
    rows = [
        key | {"property": "indifference", "value": 0.01} | over,
        key | {"property": "different_factors", "value": 0.7, "low": 0.6, "high": 0.8},
        key | {"property": "logically_unrelated", "value": nan, "low": nan, "high": nan},
    ]
    tables = {**study.extra, "properties": pl.DataFrame(rows, schema=EXTRA["properties"])}
    study = replace(study, extra=tables)
    assert property_tables(study) == []
    found = section(study)
    assert found is not None
    (left,) = (block for block in found.blocks if isinstance(block, LeftOut))
    assert left.text == (
        "Of 3 checks of a property, of a pair or crossing under a condition, 3 decide nothing, which is no "
        "“no”: in 1 the number or its interval is not identified, in 1 the interval reaches over the margin "
        "and in 1 a methodology has fewer than 3 models to speak for others."
    )
    assert base64.b64decode(left.uri.split(",")[1]).decode().count("\n") == 4


def test_undecided_is_told_apart_from_not_identified_and_from_no(hand_made: Build) -> None:
    key = {"condition": "d/clean", "grouping": "family", "methodology_a": "A", "methodology_b": "B"}
    rows = [
        key | {"property": "indifference", "value": 0.01, "low": -0.03, "high": 0.05, "holds": None},
        key | {"property": "different_factors", "value": 0.7, "low": 0.6, "high": 0.8, "holds": False},
        key | {"property": "logically_unrelated", "value": nan, "low": nan, "high": nan, "holds": None},
    ]
    table = pl.DataFrame([row | {"margin": 0.02, "note": ""} for row in rows], schema=EXTRA["properties"])
    (grid,) = property_tables(replace(hand_made(), extra={"properties": table}))
    assert [(cell.text, cell.small) for cell in grid.rows[0].cells] == [
        ("not identified", ""),
        ("no", "0.70 [0.60, 0.80]"),
        ("undecided", "+1.0 points [−3.0, +5.0]"),
    ]


def _predicted(build: Build, predicted: Sequence[float]) -> Study:
    key = {"condition": "d/clean", "size": 2, "system": "all_fail", "predicted_from": "other models"}
    key |= {"grouping": "family", "independent": 0.02, "observed": 0.1, "observed_low": 0.08, "n": 9}
    rows = [
        key | {"ensemble": name, "predicted": value, "observed_high": 0.12, "note": ""}
        for name, value in zip(("a + b", "a + c"), predicted, strict=True)
    ]
    table = pl.DataFrame(rows, schema=EXTRA["predicted_failures"])
    return replace(build(), extra={"predicted_failures": table})


def test_predictions_are_judged_over_the_ensembles_that_have_one(hand_made: Build) -> None:
    (grid,) = prediction_tables(_predicted(hand_made, (0.11, nan)))
    assert grid.caption.endswith("predicted from other models of the same architecture family")
    assert [cell.text for cell in grid.rows[0].cells] == ["1 of 2", "10.0", "+1.0", "100 %", "−8.0", "0 %"]


def test_an_ensemble_without_a_prediction_is_drawn_by_independence_alone(hand_made: Build) -> None:
    study = _predicted(hand_made, (0.11, nan))
    assert drawn_predictions(study)["by"].to_list() == ["predicted", "if independent", "if independent"]
    assert predictions(study) is not None


def test_joint_failures_stand_with_and_without_suspects(hand_made: Build) -> None:
    key = {"ensemble": "a + b", "size": 2, "condition": "d/clean", "all_fail_independent": 0.01}
    key |= dict.fromkeys(("majority_fail", "majority_fail_independent", "vote_fail", "identical_wrong"), 0.3)
    key |= {"all_fail_low": 0.05, "all_fail_high": 0.15, "beta": 0.5, "beta_stderr": 0.1}
    rows = [
        key | {"subset": subset, "n": n, "all_fail": share, "beta_independent": 0.2}
        for subset, n, share in (("all", 100, 0.1), ("without_suspects", 90, 0.02))
    ]
    table = pl.DataFrame(rows, schema=EXTRA["joint_failures"])
    settings = {"settings": {"report": {"ensembles": [["b", "a"]]}}}
    study = replace(hand_made(manifest=settings), extra={"joint_failures": table})
    (_, own) = joint_tables(study)
    assert own.caption == "Named in the study: a + b"
    assert [(row.group, row.label) for row in own.rows] == [("clean", "all"), ("clean", "without suspects")]
    assert [row.cells[1].text for row in own.rows] == ["10.00", "2.00"]
    assert own.rows[0].cells[1].small == "5.00–15.00"
    assert own.rows[0].cells[2].small == ""  # nobody has an interval of what independence would give


def test_without_any_of_its_tables_there_is_no_section(hand_made: Build) -> None:
    assert section(hand_made()) is None


@pytest.mark.parametrize("name", ["methodologies", "properties", "predicted_failures", "joint_failures"])
def test_an_empty_table_is_as_good_as_none(hand_made: Build, name: str) -> None:
    assert section(replace(hand_made(), extra={name: pl.DataFrame(schema=EXTRA[name])})) is None
