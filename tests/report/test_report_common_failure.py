"""Statements on diversity of methodology follow from the intervals."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import polars as pl
import pytest
from having import having, schema_of

from nversion.report.blocks import LeftOut
from nversion.report.common_failure import mixtures, paragraph, verdict
from nversion.report.html import page
from nversion.report.labels import NO_BREAK
from nversion.report.sections.common_failure import common_failure
from nversion.report.sections.findings import what_fails_together
from nversion.report.sections.joint_failures import joint_tables
from nversion.report.sections.methodologies import covariance_rows, methodology_tables, property_tables
from nversion.report.sections.predicted_failures import drawn_predictions, prediction_tables, predictions
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
    return having(study, methodologies=rows)


def _study(build: Build, across: float, within: tuple[float, float], **options: Any) -> Study:
    """Families A and B: two of A, two of B and one of each fail together this often."""
    rows = [_row("A", "A", JOINT, within[0], **options), _row("B", "B", JOINT, within[1], **options)]
    rows += [_row("A", "B", JOINT, across, **options), _row("A", "B", "independent", 0.04, **options)]
    rows.append(_row("A", "B", "covariance", across - 0.04, **options))
    rows += [
        _row("A", "B", f"joint_less_two_of_{which}", across - alone, **options)
        for which, alone in zip("ab", within, strict=True)
    ]
    return _grouped(build(), rows)


def said(study: Study) -> str:
    return verdict(study, "family")


def test_a_mixture_is_compared_with_the_better_methodology(hand_made: Build) -> None:
    (found,) = mixtures(_study(hand_made, across=0.10, within=(0.20, 0.14)), "family", "d/clean")
    assert (found.better, found.within["value"], found.verdict) == ("B", 0.14, "less")


def test_less_common_failure_is_claimed_only_where_the_interval_excludes_zero(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.10, within=(0.20, 0.14))) == (
        "On clean mixing architecture families reduced common failure compared with two models of the better "
        "of two, in 1 of 1 pair."
    )
    assert said(_study(hand_made, across=0.135, within=(0.20, 0.14))) == (
        "On clean it is undecided whether mixing architecture families reduces common failure compared with "
        "two models of the better of two: every interval of the difference covers zero."
    )


@pytest.mark.parametrize(("value", "word"), [(-0.02, "less"), (0.02, "more"), (0.005, "open")])
def test_the_interval_of_the_difference_from_the_better_one_decides(
    hand_made: Build, value: float, word: str
) -> None:
    study = _study(hand_made, across=0.13, within=(0.20, 0.14))  # the two intervals overlap
    less = pl.col("quantity").str.starts_with("joint_less")
    rows = study.table("methodologies", ~less).rows(named=True)
    worse, better = _row("A", "B", "joint_less_two_of_a", -0.1), _row("A", "B", "joint_less_two_of_b", value)
    (found,) = mixtures(_grouped(study, [*rows, worse, better]), "family", "d/clean")
    assert (found.better, found.verdict) == ("B", word)


def test_the_paragraph_gives_the_difference(hand_made: Build) -> None:
    text = paragraph(_study(hand_made, across=0.12, within=(0.20, 0.14)), "family")
    assert "two of B on 14.0" in text
    assert "less, −2.0 points [−3.0, −1.0]." in text


def test_a_mixture_that_fails_together_more_often_reduces_nothing(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.18, within=(0.20, 0.14))) == (
        "On clean mixing architecture families reduces common failure in no pair: in 1 of 1 pair a mixed "
        "pair fails together more often than two models of the better of two."
    )


def test_a_single_model_identifies_nothing(hand_made: Build) -> None:
    assert said(_study(hand_made, across=0.10, within=(nan, 0.14))) == (
        "Whether mixing architecture families reduces common failure is not identified on clean: in every "
        "pair one methodology has too few models to estimate how two of its own fail together."
    )


def test_an_undefined_interval_leaves_the_question_open(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(0.20, 0.14), half=nan)
    assert mixtures(study, "family", "d/clean")[0].verdict == "open"


def test_results_of_two_models_do_not_hold_for_others_of_the_methodology(hand_made: Build) -> None:
    text = said(_study(hand_made, across=0.10, within=(0.20, 0.14), m=2))
    assert text.endswith(
        "In 1 pair a methodology has fewer than 3 models: the result holds for these models and other "
        "images, not for other models of the methodology."
    )


def test_one_methodology_alone_says_nothing_of_mixing(hand_made: Build) -> None:
    study = _grouped(hand_made(), [_row("A", "A", JOINT, 0.2)])
    assert said(study) == (
        "All models have one architecture family, so the effect of mixing architecture families is unknown."
    )


def test_the_paragraph_gives_the_numbers_and_what_independence_would_give(hand_made: Build) -> None:
    text = paragraph(_study(hand_made, across=0.10, within=(0.20, 0.14)), "family").replace(NO_BREAK, " ")
    assert (
        "A model of A and one of B fail together on 10.0 % [9.0, 11.0] of the images, two of B on 14.0 % "
        "[13.0, 15.0]: less, −4.0 points [−5.0, −3.0]."
    ) in text
    assert "above zero in 1 and below zero in 0 of 1 pair: images that are hard for one" in text
    assert "A and B on 10.0 % instead of 4.0 %." in text


def test_covariances_of_one_model_each_are_not_of_methodologies(hand_made: Build) -> None:
    assert "covariance" not in paragraph(_study(hand_made, across=0.10, within=(nan, 0.14), m=1), "family")


def test_families_that_were_guessed_are_not_compared_where_trainings_are(hand_made: Build) -> None:
    asked = {"settings": {"reliability": {"group_by": ["family", "training"]}}}
    study = _grouped(hand_made(manifest=asked), [_row("A", "A", JOINT, 0.2) | {"grouping": "training"}])
    assert what_fails_together(study) == [
        "Whether mixing architecture families reduces common failure was not measured: no model's "
        "architecture family is declared, and guesses from names are not used. Declare it in the study file "
        "or on the card of a weights file.",
        "All models have one training approach, so the effect of mixing training approaches is unknown.",
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
    text = page(having(study, methodologies=noted), {})
    assert 'title="why it is not">not identified' in text
    assert "<td><strong>+6.0</strong>" in text


def test_methodologies_of_one_model_are_counted_and_not_shown(hand_made: Build) -> None:
    study = _study(hand_made, across=0.10, within=(0.20, 0.14))
    single = [_row("C", "C", JOINT, nan, m=1), _row("A", "C", JOINT, 0.1) | {"m_b": 1}]
    study = _grouped(study, [*study.table("methodologies").rows(named=True), *single])
    (grid,) = methodology_tables(study)
    assert [row.label for row in grid.rows] == ["two of A", "two of B", "A and B"]
    (left,) = (block for block in common_failure(study) or () if isinstance(block, LeftOut))
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
    study = having(study, properties=rows)
    assert property_tables(study) == []
    (left,) = (block for block in common_failure(study) or () if isinstance(block, LeftOut))
    assert left.text == (
        "Of 3 checks of a property, of a pair or crossing under a condition, 3 are undecided, which does not "
        "mean “no”: in 1 the value or its interval is not identified, in 1 the interval exceeds the margin "
        "and in 1 a methodology has fewer than 3 models, too few to generalise."
    )
    assert base64.b64decode(left.uri.split(",")[1]).decode().count("\n") == 4


def test_undecided_not_identified_and_no_are_three_entries(hand_made: Build) -> None:
    key = {"condition": "d/clean", "grouping": "family", "methodology_a": "A", "methodology_b": "B"}
    rows = [
        key | {"property": "indifference", "value": 0.01, "low": -0.03, "high": 0.05, "holds": None},
        key | {"property": "different_factors", "value": 0.7, "low": 0.6, "high": 0.8, "holds": False},
        key | {"property": "logically_unrelated", "value": nan, "low": nan, "high": nan, "holds": None},
    ]
    rows = [row | {"margin": 0.02, "note": ""} for row in rows]
    (grid,) = property_tables(having(hand_made(), properties=rows))
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
    return having(build(), predicted_failures=rows)


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
    settings = {"settings": {"report": {"ensembles": [["b", "a"]]}}}
    study = having(hand_made(manifest=settings), joint_failures=rows)
    (_, own) = joint_tables(study)
    assert own.caption == "Named in the study: a + b"
    assert [(row.group, row.label) for row in own.rows] == [("clean", "all"), ("clean", "without suspects")]
    assert [row.cells[1].text for row in own.rows] == ["10.00", "2.00"]
    assert own.rows[0].cells[1].small == "5.00–15.00"
    assert own.rows[0].cells[2].small == ""  # computed, without an interval


def test_without_any_of_its_tables_there_is_no_section(hand_made: Build) -> None:
    assert not common_failure(hand_made())


@pytest.mark.parametrize("name", ["methodologies", "properties", "predicted_failures", "joint_failures"])
def test_an_empty_table_makes_no_blocks(hand_made: Build, name: str) -> None:
    empty = pl.DataFrame(schema=schema_of(name))
    assert not common_failure(having(hand_made(), **{name: empty}))
