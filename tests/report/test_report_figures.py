"""Figures draw exactly the data of their parquet files, in every format, and never take nan for 0."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from having import having

from nversion.core import UserError
from nversion.report import Figure, Study, all_figures, build_report, read_study
from nversion.report.figure import records
from nversion.report.packing import Store, pack, unpack
from nversion.report.registry import figure_names
from nversion.report.sections.gains import gain_rows, power_rows, smallest_gain
from nversion.report.sections.robustness import effective_robustness
from nversion.report.sections.selection import split_rows
from nversion.report.sections.severities import severity_gain_rows
from nversion.report.sections.trends import trend_rows

OF_A_CHOICE = ("deployment", "selection", "selection_stability", "confidence_rival")
BEGINNINGS = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}


@pytest.fixture(scope="module")
def report(small_study: Path) -> Path:
    return build_report(small_study)


@pytest.fixture(scope="module")
def study(small_study: Path) -> Study:
    return read_study(small_study)


@pytest.fixture(scope="module")
def figures(study: Study) -> dict[str, Figure]:
    return all_figures(study)


def test_a_full_study_has_every_figure(figures: dict[str, Figure]) -> None:
    assert set(figures) == figure_names() - set(OF_A_CHOICE)


@pytest.mark.parametrize("form", BEGINNINGS)
def test_every_figure_is_written_in_every_format(report: Path, figures: dict[str, Figure], form: str) -> None:
    for name in figures:
        content = (report.parent / "figures" / f"{name}.{form}").read_bytes()
        assert content.startswith(BEGINNINGS[form]), name


def test_the_parquet_beside_a_figure_is_what_it_draws(report: Path, figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        drawn = figure.complete_spec()["datasets"]
        for key in figure.data:
            suffix = "" if key == "rows" else f".{key}"
            written = pl.read_parquet(report.parent / "figures" / f"{name}{suffix}.parquet")
            assert records(written) == drawn[key], (name, key)


def test_charts_hold_no_data_but_the_named_one(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        text = json.dumps(figure.spec())
        assert '"values": [{' not in text
        assert '"url"' not in text


def test_the_paper_scatter_has_a_point_an_ensemble_and_metric(
    study: Study, figures: dict[str, Figure]
) -> None:
    rows = figures["improvement_average"].data["rows"]
    assert rows.height == 56 * 2  # of 8 models, 3 are chosen in 56 ways; attribution and disagreement
    first = rows.row(0, named=True)
    source = study.ensembles.filter(
        ensemble=first["ensemble"], consensus="average", condition="val/clean", size=3
    )
    assert first["improvement"] == source["improvement"].item()


def test_the_grid_draws_the_least_squares_line_through_all_ensembles(study: Study) -> None:
    panel = trend_rows(study, "average", 3).filter(row="Disagreement", column="clean")
    slope, at_0 = np.polyfit(panel["x"].to_numpy(), panel["improvement"].to_numpy(), 1)
    assert panel["line_at_0"][0] == pytest.approx(at_0)
    assert panel["line_at_1"][0] == pytest.approx(at_0 + slope)


def test_shares_of_a_rule_and_condition_sum_to_one(figures: dict[str, Figure]) -> None:
    rows = figures["share_above_zero"].data["rows"]
    sums = rows.group_by("size", "consensus", "condition").agg(pl.col("share").sum())
    assert sums["share"].to_list() == pytest.approx([1.0] * sums.height)


def test_an_all_undefined_metric_is_drawn_as_undefined(hand_made: Callable[..., Study]) -> None:
    study = hand_made(pearson={"disagreement": (math.nan,) * 3}, num_models=8)
    undefined = study.table("diversity").with_columns(pl.lit(math.nan).alias("value"))
    study = having(study, diversity=undefined)
    figures = all_figures(study)
    svg = figures["correlations"].render("svg").decode()
    assert svg.count(">undefined<") == 2  # one a condition
    panels = figures["trend_grid"].data["rows"].filter(row="Disagreement")
    assert set(panels["said"]) == {"undefined"}
    assert panels["line_at_0"].is_nan().all()
    explorer = figures["improvement_explorer"]
    assert explorer.data["diversity"]["disagreement"].is_nan().all()
    assert "2 ensembles undefined, not drawn" in explorer.render("svg").decode()


def test_a_choice_is_drawn_with_every_contender_on_every_part(
    hand_made: Callable[..., Study], synthetic: ModuleType
) -> None:
    figures = all_figures(replace(hand_made(), selection=synthetic.choice("a", "b", "c")))
    rows = figures["selection"].data["rows"]
    assert rows.height == 6 + 6 + 5  # nobody has hindsight on the half that chose
    unseen = rows.filter(part="Held-out half, unseen conditions")
    assert unseen["top1"].to_list() == [0.61, 0.6, 0.55, 0.58, 0.605, 0.64]
    assert "Best in hindsight" in figures["selection"].render("svg").decode()


def test_a_study_with_a_selection_has_every_registered_figure(synthetic: ModuleType, tmp_path: Path) -> None:
    shape = synthetic.Shape(num_models=8, num_images=60, datasets=("d",), num_corruptions=1, selection=True)
    assert set(all_figures(read_study(synthetic.write_study(tmp_path, shape)))) == figure_names()


def test_the_forest_notes_why_there_is_no_interval(hand_made: Callable[..., Study]) -> None:
    pearson = {"q": (0.2, math.nan, math.nan)}
    study = hand_made(pearson=pearson, note="undefined without one model", num_models=8)
    rows = all_figures(study)["correlations"].data["rows"]
    assert set(rows["told"]) == {"interval undefined; undefined without one model"}


def test_correlations_that_are_all_undefined_are_drawn_as_that(study: Study) -> None:
    nothing = (pl.lit(math.nan).alias(column) for column in ("value", "low", "high"))
    figures = all_figures(having(study, correlations=study.table("correlations").with_columns(*nothing)))
    svg = figures["correlations"].render("svg").decode()
    assert "Infinity" not in svg
    assert svg.count(">undefined</text>") >= len(study.condition_names)


def test_without_ensembles_only_models_are_drawn(hand_made: Callable[..., Study]) -> None:
    assert list(all_figures(hand_made({}))) == ["accuracy_by_condition"]


def test_an_unknown_format_is_named_before_anything_is_written(small_study: Path) -> None:
    with pytest.raises(UserError, match="figure formats out of svg, pdf, png, found 'gif'"):
        build_report(small_study, formats=("svg", "gif"))


def test_packed_rows_come_out_as_they_went_in() -> None:
    frame = pl.DataFrame({"name": ["a", None, "a"], "x": [0.1, math.nan, 2.0], "n": [1, 2, 3]})
    assert unpack(pack(frame)) == records(frame)


def test_the_same_frame_is_kept_once() -> None:
    store = Store()
    assert store.add(pl.DataFrame({"x": [1]})) == store.add(pl.DataFrame({"x": [1]}))
    assert len(store.texts) == 1


@pytest.mark.parametrize(("number", "drawn"), [(9, 9), (12, 12), (100, 72)])
def test_families_differ_in_colour_and_shape_together(
    hand_made: Callable[..., Study], number: int, drawn: int
) -> None:
    row = {"condition": "d/lines-1", "training": "supervised", "clean_top1": 0.8, "top1": 0.6, "n_models": 9}
    row |= {"expected_top1": 0.6, "residual_points": 0.0, "low": -0.1, "high": 0.1}
    rows = [row | {"model": f"m{i}", "family": f"family {i}"} for i in range(number)]
    figure = effective_robustness(having(hand_made(), robustness=rows, robustness_groups=[]))
    assert figure is not None
    encoding = figure.chart.to_dict()["spec"]["layer"][1]["encoding"]
    scales = (encoding["color"]["scale"], encoding["shape"]["scale"])
    colours, shapes = (dict(zip(s["domain"], s["range"], strict=True)) for s in scales)
    assert len(colours) == len({(colours[name], shapes.get(name)) for name in colours}) == drawn
    assert ("29 other families" in colours) == (number == 100)


@pytest.fixture(scope="module")
def chosen_study(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Study:
    shape = synthetic.Shape(num_models=5, num_images=60, datasets=("d",), num_corruptions=2, selection=True)
    return read_study(synthetic.write_study(tmp_path_factory.mktemp("chosen"), shape))


def test_the_forest_of_gains_has_the_ten_best_of_each_condition(study: Study) -> None:
    rows = gain_rows(study)
    table = study.table("gains").filter(size=3, consensus="average", condition="val/clean").sort("rank")
    first = rows.filter(condition="val/clean")
    assert first["ensemble"].to_list() == table["ensemble"].to_list()
    assert first["rank"].to_list() == list(range(1, 11))
    assert first["low_corrected"].to_list() == table["low_corrected"].to_list()


def test_the_forest_opens_on_the_hardest_condition_and_says_how_many_are_shown(study: Study) -> None:
    mean = {c: study.models.filter(condition=c)["top1"].mean() for c in study.condition_names}
    worst = min(mean, key=lambda c: mean[c])
    figure = all_figures(study)["gains"]
    assert f"'value': '{worst}'" in str(figure.spec()["params"])
    sure = study.table("gains").filter(size=3, consensus="average", condition=worst)
    num = sure.filter(pl.col("low_corrected") > 0).height
    said = f"{num} of these 10 are better" if num else "none of these 10 is better"
    assert said in figure.caption


def test_power_is_drawn_with_the_gains_that_were_seen(study: Study) -> None:
    rows = power_rows(study).filter(label="clean")
    seen = study.ensembles.filter(size=3, consensus="average", condition="val/clean")["improvement"]
    assert rows["gain"].to_list() == [0.0312, 0.0451, seen.median(), seen.max()]
    assert smallest_gain(study) == (
        "With 300 images a gain over the best member by average below 3.1 points cannot be reliably "
        "distinguished from zero on clean (80 % power at the 5 % level, one ensemble named beforehand), and "
        "below 4.5 points where all 56 ensembles of 3 are compared; a gain of one point needs 3,200 images."
    )


def test_gain_against_severity_is_a_mean_with_the_spread_of_the_ensembles(study: Study) -> None:
    rows = severity_gain_rows(study)
    scale = study.table("severities").row(0, named=True)
    assert rows["panel"].n_unique() == study.table("severities")["corruption"].n_unique()
    for row in rows.filter(panel=rows["panel"][0]).iter_rows(named=True):
        condition = next(
            c
            for c in study.condition_names
            if (study.fact(c)["corruption"], study.fact(c)["severity"] or 0.0)
            in ((scale["corruption"], row["severity"]), (None, row["severity"]))
        )
        gain = study.ensembles.filter(size=3, consensus="average", condition=condition)["improvement"]
        assert row["gain"] == pytest.approx(gain.mean())
        assert row["high"] == pytest.approx(gain.quantile(0.95))


def test_the_rivals_caption_counts_comparisons_by_their_intervals(chosen_study: Study) -> None:
    figure = all_figures(chosen_study)["confidence_rival"]
    num = len(chosen_study.condition_names)
    assert f"fewer wrong answers in {num} and more in 0 of {num} comparisons" in figure.caption
    voters = figure.data["rows"].filter(system="voter")
    assert voters["said"].unique().to_list() == ["3 of 3"]


def test_stability_counts_what_each_split_chose(chosen_study: Study) -> None:
    splits = chosen_study.table("selection_splits")
    rows = all_figures(chosen_study)["selection_stability"].data["rows"]
    counts = dict(splits.group_by("ensemble").len().iter_rows())
    assert rows.height == splits.height
    for row in rows.iter_rows(named=True):
        assert row["times"] == counts[row["ensemble"]]
        assert row["row"] == f"{row['ensemble']} ({counts[row['ensemble']]} of {splits.height})"


def test_contenders_beyond_ten_share_a_row(chosen_study: Study) -> None:
    splits = chosen_study.table("selection_splits").head(1)
    many = pl.concat([splits.with_columns(pl.lit(f"e{i}").alias("ensemble")) for i in range(13)])
    rows = split_rows(having(chosen_study, selection_splits=many))
    assert rows["row"].to_list()[-3:] == ["3 other contenders"] * 3
