"""The sections' tables hold what the study's tables hold, whatever is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from having import having, metrics, schema_of

from nversion.report import Study, all_figures, all_sections, read_study
from nversion.report.blocks import Cell, Grid, Sheet, Words
from nversion.report.contenders import contenders, mean_of_all, of
from nversion.report.html import page
from nversion.report.sections import (
    all_fail,
    attribution,
    calibration,
    diversity,
    hazards,
    representation,
    robustness,
    suspects,
)
from nversion.report.sections.attribution import score_rows
from nversion.report.sections.deployment import front_rows, front_table
from nversion.report.sections.notes import notes_section, terms
from nversion.report.sections.robustness import effective_robustness, robustness_rows, robustness_tables
from nversion.report.sections.shares import comparison_table
from nversion.report.sections.trends import shown_together
from nversion.report.sections.voting import coverage_rows, coverage_tables, vote_rows, vote_tables

Build = Callable[..., Study]
REQUIRED = ("conditions", "models", "ensembles")
NAMED = {"settings": {"report": {"ensembles": [["b", "a"], ["nobody"]]}}}


def costs_of(study: Study) -> Grid | None:
    return hazards.cost_table(study, study.table("hazards"), hazards.shown_ensembles(study))


def texts(grid: Grid) -> dict[str, list[str]]:
    return {row.label: [cell.text for cell in row.cells] for row in grid.rows}


@pytest.fixture(scope="module")
def full(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Study:
    shape = synthetic.Shape(num_models=4, num_images=60, datasets=("d",), num_corruptions=1, selection=True)
    return read_study(synthetic.write_study(tmp_path_factory.mktemp("full"), shape))


def test_a_full_study_has_every_section(full: Study) -> None:
    assert [section.id for section in all_sections(full)] == [
        "findings",
        "resilience",
        "robustness",
        "benchmark",
        "calibration",
        "ensembles",
        "diversity",
        "trends",
        "shares",
        "gains",
        "attribution",
        "representation",
        "common-failure",
        "voting",
        "deployment",
        "selection",
        "hazards",
        "all-fail",
        "suspects",
        "pictures",
        "notes",
        "provenance",
    ]


def test_any_table_may_be_missing_but_conditions_models_and_ensembles(full: Study) -> None:
    whole = {section.id for section in all_sections(full)}
    for name in set(full.tables) - set(REQUIRED):
        study = replace(full, tables={key: frame for key, frame in full.tables.items() if key != name})
        assert {section.id for section in all_sections(study)} <= whole
        all_figures(study)


def test_three_tables_make_a_page(full: Study) -> None:
    study = replace(full, tables={name: full.tables[name] for name in REQUIRED}, selection=None)
    sections = {section.id for section in all_sections(study)}
    assert sections == {"findings", "resilience", "calibration", "ensembles", "trends", "shares"} | {
        "notes",
        "provenance",
    }
    assert set(all_figures(study)) == {"accuracy_by_condition", "improvement_explorer", "share_above_zero"}


def test_ensembles_of_the_settings_are_found_whatever_the_order_of_their_members(hand_made: Build) -> None:
    assert [(c.label, c.ensemble) for c in contenders(hand_made(manifest=NAMED))] == [
        ("Mean over all 2 ensembles of 2", None),
        ("Named in the study", "a + b"),
    ]


def test_the_mean_is_over_the_ensembles_where_the_value_is_defined(hand_made: Build) -> None:
    frame = pl.DataFrame({"ensemble": ["a + b", "a + c", "b + c"], "size": 2, "k": 1, "v": [0.1, nan, 0.3]})
    row = of(frame, mean_of_all(hand_made()), ["k"], ["v"]).row(0, named=True)
    assert row["v"] == pytest.approx(0.2)


def test_table_2_has_the_mean_and_the_named_ensemble(hand_made: Build) -> None:
    rows = [
        {"ensemble": e, "size": 2, "condition": "d/clean", "metric": m, "value": v, "stderr": 0.01}
        | {"n_undefined": 0}
        for m, scale in (("shannon_right", 1), ("shannon_wrong", 4))
        for e, v in (("a + b", 0.1 * scale), ("a + c", 0.2 * scale))
    ]
    study = having(hand_made(manifest=NAMED), diversity=rows)
    grid = diversity.shannon_table(study)
    assert grid is not None
    told = {(row.group, row.label): row.cells[0] for row in grid.rows}
    assert told["Rightly classified", "Mean over all 2 ensembles of 2"] == Cell("0.15", "± 0.02")
    assert told["Wrongly classified", "Named in the study"].text == "0.40"
    assert grid.rows[0].cells[1].text == "not measured"


def test_the_overview_gives_direction_bounds_range_and_relation(hand_made: Build) -> None:
    study = hand_made(pearson={"disagreement": (-0.4, -0.8, -0.1)}, num_models=8)
    (row,) = diversity.overview(having(study, metrics=metrics(["disagreement"]))).rows
    assert [c.text for c in row.cells] == ["higher", "0 to 1", "0.10 to 0.20", "0.15", "−0.40"]
    assert row.cells[-1].sure


def test_the_overview_has_a_column_of_undefined_pairs_where_there_are_some(hand_made: Build) -> None:
    study = hand_made()
    some = study.table("diversity").with_columns(pl.lit(3, pl.Int64).alias("n_undefined"))
    grids = [diversity.overview(s) for s in (study, having(study, diversity=some))]
    assert [grid.columns[4:] for grid in grids] == [[], ["Undefined pairs"]]
    assert grids[0].notes == ["All metrics are defined for all pairs of models."]


def test_conditioned_metrics_are_in_a_table_of_their_own(hand_made: Build) -> None:
    base = "attribution_saliency_label_l2"
    rows = [
        {"ensemble": "a + b", "size": 2, "condition": "d/clean", "metric": m, "value": v, "stderr": 0.0}
        | {"n_undefined": 0}
        for m, v in ((base, 0.5), (f"{base}_all_right", 0.25), (f"{base}_none_right", nan))
    ]
    study = having(hand_made(), diversity=rows)
    grid = diversity.conditioning_table(study)
    assert grid is not None
    assert texts(grid) == {
        "Attribution (saliency, true class, unit length)": ["0.50", "0.25", "not measured"]
    }
    assert study.metric_names == [base, "mean_member_accuracy"]


def test_many_metrics_are_shown_by_group_each_with_mean_accuracy(full: Study) -> None:
    names = full.metric_names
    groups = shown_together(full, names)
    assert groups["group"].unique(maintain_order=True).to_list()[:2] == [
        "In short",
        "Right or wrong, in pairs",
    ]
    accuracy = groups.filter(metric="mean_member_accuracy")
    assert accuracy["group"].to_list() == groups["group"].unique(maintain_order=True).to_list()
    assert set(groups["metric"]) == set(names)
    assert set(shown_together(full, names[:4])["group"]) == {"All"}


def test_scores_of_pairs_are_normalised_by_method_and_ordered_by_saliency(hand_made: Build) -> None:
    rows = [
        {"model_a": a, "model_b": b, "condition": "d/clean", "value": value}
        | {"metric": f"attribution_{method}_label_none"}
        for method, values in (("grad_cam", (7.0, 5.0, 6.0)), ("saliency", (0.1, 0.2, 0.3)))
        for (a, b), value in zip((("a", "b"), ("a", "c"), ("b", "c")), values, strict=True)
    ]
    found = score_rows(having(hand_made(), pairs=rows))
    assert found.filter(method="Grad-CAM").sort("number")["score"].to_list() == [1, 0, 0.5]
    assert found.filter(method="saliency")["score"].to_list() == pytest.approx([0, 0.5, 1])


def test_the_cost_of_a_method_is_its_number_of_passes(hand_made: Build) -> None:
    manifest = {"attribution_passes": {"saliency": 1, "integrated_gradients-10": 10}}
    grid = attribution.cost_table(hand_made(manifest=manifest))
    assert grid is not None
    assert texts(grid) == {"saliency": ["1"], "integrated gradients ×10": ["10"]}


def test_pairs_of_the_chosen_ensemble_are_shown_first_and_no_more_than_fit(
    full: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ["resnet50", "resnext50_32x4d", "resnet152"]
    assert all(set(pair) <= set(chosen) for pair in representation.shown_pairs(full)[:3])
    monkeypatch.setattr(representation, "MAX_CELLS", 1)
    assert len(representation.shown_pairs(full)) == 1


def test_an_undefined_similarity_is_no_zero(full: Study) -> None:
    rows = all_figures(full)["cka"].complete_spec()["datasets"]["rows"]
    (unknown,) = [row for row in rows if row["value"] is None]
    assert unknown["note"] == "no spread in a layer"


def test_calibration_has_ensembles_with_their_error_and_models_without(hand_made: Build) -> None:
    study = having(
        hand_made(),
        calibration=[
            {"ensemble": e, "size": 2, "condition": "d/clean", "nll": v, "nll_stderr": 0.1, "ece": 0.02}
            for e, v in (("a + b", 0.4), ("a + c", 0.6))
        ],
    )
    grids = {grid.caption: grid for grid in calibration.calibration_tables(study)}
    nll = grids["Negative log likelihood, nats"]
    assert nll.rows[0].cells[0] == Cell("0.50", "± 0.20")
    assert (nll.rows[1].label, nll.rows[1].cells[0]) == ("a", Cell("0.60"))
    assert texts(grids["Calibration error, points"])["a"] == ["5.0", "5.0"]
    # Nothing of it was measured on models: no row of blanks.
    assert [row.group for row in grids["Brier score"].rows] == ["Ensembles"]


def test_ensembles_shown_to_be_better_are_counted_by_rule_and_condition(hand_made: Build) -> None:
    key = {"size": 2, "consensus": "average", "condition": "d/clean", "p_corrected": 0.01}
    rows = [key | {"low_corrected": low, "high_corrected": low + 0.04} for low in (0.01, -0.02, -0.06)]
    grid = comparison_table(having(hand_made(), comparisons=rows))
    assert grid is not None
    assert grid.rows[0].cells == [Cell("1 of 3", "1 worse; McNemar 3")]
    assert grid.rows[1].cells == [Cell("not measured")]


def _votes(**shares: float) -> dict[str, Any]:
    return {"ensemble": "a + b", "size": 2, "condition": "d/clean", "voter": "majority", "n": 100} | shares


def test_outcomes_of_a_voter_stand_with_their_intervals(hand_made: Build) -> None:
    row = _votes(right=0.7, safe_stop=0.2, silent_wrong=0.1, silent_wrong_low=0.05, silent_wrong_high=0.18)
    study = having(hand_made(manifest=NAMED), votes=[row])
    _, own = vote_tables(study)
    assert list(own.columns)[2] == "2-out-of-2: silently wrong"
    assert own.rows[0].cells[2] == Cell("10.0", "5.0–18.0")
    assert own.rows[0].cells[0].text == "70.0"
    drawn = {r["outcome"]: r["share"] for r in vote_rows(study).iter_rows(named=True)}
    assert drawn == {"right": 0.7, "safe stop": 0.2, "silently wrong": 0.1}


def test_risk_where_nothing_is_accepted_is_undefined(hand_made: Build) -> None:
    key = {"ensemble": "a + b", "size": 2, "condition": "d/clean", "n": 100}
    rows = [
        key | {"agreeing": 1, "accepted": 100, "coverage": 1.0, "risk": 0.2},
        key | {"agreeing": 2, "accepted": 0, "coverage": 0.0},
    ]
    study = having(hand_made(), agreement=rows)
    (grid,) = coverage_tables(study)
    assert [cell.text for cell in grid.rows[0].cells] == [
        "20.0",
        "0.00",
        "undefined",
    ]  # all are covered by one answer
    assert coverage_rows(study)["risk"].is_nan().to_list() == [False, True]


def test_the_probit_of_a_perfect_accuracy_is_undefined_and_not_drawn(hand_made: Build) -> None:
    row = {"condition": "d/lines-1", "model": "a", "family": "CNN", "training": "supervised", "n_models": 3}
    row |= {"clean_top1": 0.975, "top1": 1.0, "expected_top1": 0.5, "residual_points": 0.1, "low": 0.01}
    study = having(hand_made(), robustness=[row | {"high": 0.2}], robustness_groups=[])
    drawn = robustness_rows(study).row(0, named=True)
    assert (drawn["x"], drawn["line"]) == pytest.approx((1.959964, 0))
    assert drawn["y"] != drawn["y"]
    (grid,) = robustness_tables(study)
    assert grid.rows[0].cells == [Cell("+10.0", "[+1.0, +20.0]", sure=True)]


def test_the_front_is_evaluated_on_held_out_images(hand_made: Build) -> None:
    row = {"size": 2, "consensus": "average", "ensemble": "a + b", "params": 3 * 10**6, "macs": 10**9}
    row |= {"chosen_top1": 0.7, "top1": 0.66, "top1_low": 0.6, "top1_high": 0.72, "is_single": False}
    study = having(hand_made(), front=[row])
    (told,) = front_table(study).rows
    assert [cell.text for cell in told.cells[3:]] == ["70.0", "66.0", "undefined"]
    assert told.cells[4].small == "60.0–72.0"
    assert front_rows(study)["top1"].to_list() == [0.66]  # no unseen condition, no point of it


def test_no_front_is_drawn_without_held_out_images(hand_made: Build) -> None:
    text = page(hand_made(), {})
    assert 'id="deployment"' not in text
    assert "deployment" not in all_figures(hand_made())


def test_shared_lineage_names_who_shares_what(hand_made: Build) -> None:
    pairs = [("a", "b", "teacher", "t"), ("b", "c", "training_data", "imagenet")]
    rows = [dict(zip(schema_of("lineage"), pair, strict=True)) for pair in pairs]
    gains = {"a + b": 0.01, "a + b + c": 0.01, "a + c": 0.01}
    study = having(hand_made(gains, manifest=NAMED), lineage=rows)
    grid = hazards.lineage_table(study, [("", "a + b"), ("", "a + b + c"), ("", "a + c")])
    unknown = "architecture, initial weights, teacher and training data"
    assert texts(grid) == {
        "a + b": ["teacher t (all)", "—", "architecture, initial weights and training data"],
        "a + b + c": [
            "teacher t (a and b); training data imagenet (b and c)",
            "—",
            "architecture and initial weights",
        ],
        "a + c": ["—", "—", unknown],
    }


def test_lineage_that_every_card_states_is_shared_by_none_where_all_differ(hand_made: Build) -> None:
    study = hand_made(manifest=NAMED)
    taught = pl.when(pl.col("model") == "a").then(pl.lit("t")).otherwise(pl.lit(""))
    cards = study.models.with_columns(architecture=pl.col("model"), teacher=taught)
    grid = hazards.lineage_table(having(study, models=cards), [("", "a + b")])
    assert grid.columns == ["Shared by members", "Shared by none", "Not stated by all"]
    assert texts(grid) == {"a + b": ["—", "architecture", "initial weights, teacher and training data"]}


def test_the_worst_class_is_named_with_its_interval(hand_made: Build) -> None:
    row = {"ensemble": "a + b", "size": 2, "condition": "d/clean", "kind": "class", "name": "tram", "n": 20}
    row |= {"joint_failure": 0.4, "low": 0.2, "high": 0.6, "failure": 0.5}
    study = having(hand_made(manifest=NAMED), hazards=[row])
    (grid,) = hazards.hazard_tables(study, hazards.shown_ensembles(study))
    assert grid.rows[0].cells[0] == Cell("40.0", "20.0–60.0", name="tram, n = 20")
    assert costs_of(study) is None  # no cost matrix, no cost


def test_a_cost_matrix_gives_the_cost_an_image(hand_made: Build) -> None:
    row = {"ensemble": "a + b", "size": 2, "condition": "d/clean", "kind": "class", "name": "tram", "n": 20}
    study = having(hand_made(manifest=NAMED), hazards=[row | {"expected_cost": 0.25}])
    grid = costs_of(study)
    assert grid is not None
    assert texts(grid) == {"a + b": ["0.250", "not measured"]}


def test_an_empty_table_of_suspects_is_said_and_a_missing_one_is_not(hand_made: Build) -> None:
    manifest = {"settings": {"reliability": {"suspect_share": 0.9, "suspect_agreement": 0.5}}}
    (words,) = suspects.suspects(having(hand_made(manifest=manifest), suspects=[])) or ()
    assert isinstance(words, Words)
    assert words.text.replace("\u00a0", " ") == (
        "There is no image that at least 90 % of the models misclassify, at least 50 % of them as the same "
        "other class, so no label is suspected to be wrong."
    )
    assert suspects.suspects(hand_made()) is None


def test_a_suspect_is_shown_with_its_label_and_what_the_models_say(hand_made: Build) -> None:
    row = {"dataset": "d", "sample_id": "7.jpg", "condition": "d/clean", "label_name": "maillot"}
    row |= {"num_wrong": 3, "num_models": 3, "agreed_name": "bikini", "agreed_share": 2 / 3, "png": b""}
    text = page(having(hand_made(), suspects=[row]), {}).replace("\u00a0", " ")
    assert (
        "<strong>labelled maillot</strong><small>67 % say bikini</small><small>3 of 3 wrong</small>" in text
    )


def test_terms_are_of_the_tables_that_a_study_has(full: Study, hand_made: Build) -> None:
    assert dict(terms(full))["safe stop"] == "too few members agree, so no answer is given"
    assert terms(hand_made()) == []


def test_the_glossary_does_not_repeat_a_metric_for_fewer_images(full: Study) -> None:
    grids = [grid for block in notes_section(full) or () for grid in getattr(block, "grids", ())]
    names = [row.label for row in grids[0].rows]
    assert "Attribution (Grad-CAM, predicted class, raw)" in names
    assert not [name for name in names if "members right" in name]


def test_the_contents_link_to_every_section(full: Study) -> None:
    text = page(full, {})
    for section in all_sections(full):
        assert f'<a href="#{section.id}">{section.nav}</a>' in text
        assert f'<section id="{section.id}">' in text


def test_images_on_which_all_fail_are_shown_with_label_and_answers(small_study: Path) -> None:
    study = read_study(small_study)
    blocks = all_fail.all_fail(study) or ()
    (sheet,) = (block for block in blocks if isinstance(block, Sheet))
    (picture,) = sheet.pictures
    assert picture.title == "labelled class 0"
    assert picture.lines == ["says screen (2 of 3), dog (1 of 3)", "clean", "under 2 of 2 conditions"]
    assert picture.alt.startswith("0.jpg under clean, labelled class 0; the members say screen")
    assert "2 images, 1 of them under every condition; 1 more are in tables/all_fail.parquet." in [
        block.text for block in blocks if isinstance(block, Words)
    ]


def test_the_only_ensemble_stands_for_itself(hand_made: Build) -> None:
    study = hand_made({"a + b": 0.03})
    assert [(who.label, who.ensemble) for who in contenders(study)] == [("The only ensemble of 2", "a + b")]


def test_the_only_ensemble_is_not_compared_with_others(hand_made: Build) -> None:
    sections = [
        {section.id for section in all_sections(hand_made(gains))} for gains in ({"a + b": 0.03}, None)
    ]
    assert sections[1] - sections[0] == {"ensembles", "shares"}
    assert set(all_figures(hand_made({"a + b": 0.03}))) == {"accuracy_by_condition"}


def test_a_regression_line_needs_five_models(hand_made: Build) -> None:
    row = {"condition": "d/lines-1", "family": "CNN", "training": "supervised", "n_models": 4, "low": -1.6}
    row |= {"clean_top1": 0.8, "top1": 0.6, "expected_top1": 0.6, "residual_points": 0.01, "high": 1.6}
    for number, drawn in ((4, False), (5, True)):
        rows = [row | {"model": f"m{i}"} for i in range(number)]
        study = having(hand_made(), robustness=rows, robustness_groups=[])
        words, *_ = robustness.robustness(study) or ()
        assert isinstance(words, Words)
        assert words.text.startswith("Effective robustness was not computed") is not drawn
        assert (effective_robustness(study) is not None) is drawn
