"""The report's own arithmetic, by hand: normalising, shares, worst conditions, fronts, drawing lots."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from nversion.report.frames import (
    drawn_ensembles,
    pareto_front,
    share_above_zero,
    with_normalised,
    worst_condition,
)
from nversion.report.tables import Study


def _values(*raw: float) -> pl.DataFrame:
    return pl.DataFrame({"size": 2, "condition": "c", "metric": "m", "raw": list(raw)})


def test_diversity_is_normalised_from_least_to_most() -> None:
    assert with_normalised(_values(0.2, 0.6, 0.3))["x"].to_list() == pytest.approx([0, 1, 0.25])


def test_an_undefined_diversity_stays_undefined_and_does_not_move_the_others() -> None:
    x = with_normalised(_values(0.2, math.nan, 0.6))["x"].to_list()
    assert math.isnan(x[1])
    assert [x[0], x[2]] == [0, 1]


@pytest.mark.parametrize("raw", [(0.4, 0.4), (math.nan, math.nan), (0.4,)])
def test_a_constant_diversity_has_no_normalised_value(raw: tuple[float, ...]) -> None:
    assert all(math.isnan(x) for x in with_normalised(_values(*raw))["x"])


def test_shares_count_what_lies_above_zero_and_what_surely_does(hand_made: Callable[..., Study]) -> None:
    gains = {"a + b": 0.03, "a + c": 0.01, "b + c": -0.01, "c + a": -0.05}
    row = share_above_zero(hand_made(gains)).row(0, named=True)
    assert (row["num"], row["above"]) == (4, 0.5)
    assert (row["clearly_above"], row["clearly_below"]) == (0.25, 0.25)
    assert row["median"] == pytest.approx(0)


def test_an_undefined_improvement_is_in_no_share(hand_made: Callable[..., Study]) -> None:
    row = share_above_zero(hand_made({"a + b": 0.03, "a + c": math.nan})).row(0, named=True)
    assert (row["num"], row["above"]) == (1, 1.0)


def test_candidates_are_judged_on_their_worst_condition(hand_made: Callable[..., Study]) -> None:
    worst = {r["candidate"]: r for r in worst_condition(hand_made()).iter_rows(named=True)}
    assert worst["a"]["worst_top1"] == pytest.approx(0.6)
    assert worst["a + b"]["worst_top1"] == pytest.approx(0.63)
    assert worst["a + b"]["worst_at"] == "d/lines-1"
    assert worst["a + b"]["mean_top1"] == pytest.approx(0.73)


def test_a_candidate_that_misses_a_condition_is_no_candidate(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    seen = study.ensembles.filter((pl.col("ensemble") != "a + b") | (pl.col("condition") == "d/clean"))
    assert "a + b" not in worst_condition(replace(study, ensembles=seen))["candidate"]


def test_nothing_cheaper_matches_a_member_of_the_front() -> None:
    candidates = pl.DataFrame(
        {
            "candidate": ["cheap", "dominated", "dear", "as dear, worse", "unknown cost"],
            "size": [1, 1, 2, 2, 2],
            "worst_top1": [0.5, 0.5, 0.7, 0.6, 0.9],
            "params": [1, 2, 3, 3, None],
        }
    )
    assert pareto_front(candidates, "params")["candidate"].to_list() == ["cheap", "dear"]


def test_drawn_ensembles_are_the_same_every_time_and_no_more_than_asked(
    hand_made: Callable[..., Study],
) -> None:
    study = hand_made({f"a + {k}": 0.0 for k in ("a", "b", "c")} | {"b + c": 0.0})
    drawn = drawn_ensembles(study, limit=2)
    assert drawn.height == 2
    assert drawn.equals(drawn_ensembles(study, limit=2))
    assert drawn_ensembles(study, limit=9).height == 4
