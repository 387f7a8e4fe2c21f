"""The report's own arithmetic, by hand: normalising, shares, comparisons, intervals, drawing lots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from having import having
from scipy.stats import binomtest

from nversion.report.frames import (
    compared,
    drawn_ensembles,
    share_above_zero,
    share_of_one_model,
    wilson,
    with_normalised,
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


def _compared(low: float, high: float, p: float) -> dict[str, Any]:
    key = {"ensemble": "a + b", "size": 2, "consensus": "average", "condition": "d/clean"}
    return key | {"low_corrected": low, "high_corrected": high, "p_corrected": p}


def test_only_corrected_intervals_count_where_all_ensembles_were_compared(
    hand_made: Callable[..., Study],
) -> None:
    rows = [_compared(0.01, 0.05, 0.01), _compared(-0.01, 0.05, 0.3), _compared(-0.05, -0.01, 0.04)]
    rows.append(_compared(math.nan, math.nan, math.nan))
    study = having(hand_made(), comparisons=rows)
    row = compared(study).row(0, named=True)
    assert (row["num"], row["better"], row["worse"], row["tested"]) == (4, 1, 1, 2)
    shares = share_above_zero(study).filter(condition="d/clean").row(0, named=True)
    assert (shares["clearly_above"], shares["clearly_below"]) == (0.25, 0.25)


def test_the_interval_of_a_share_is_wilsons() -> None:
    ours = wilson(0.05, 200)
    theirs = binomtest(10, 200).proportion_ci(method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_share_of_nothing_has_no_interval() -> None:
    assert all(math.isnan(end) for end in (*wilson(math.nan, 10), *wilson(0.5, 0)))


def test_drawn_ensembles_are_the_same_every_time_and_no_more_than_asked(
    hand_made: Callable[..., Study],
) -> None:
    study = hand_made({f"a + {k}": 0.0 for k in ("a", "b", "c")} | {"b + c": 0.0})
    drawn = drawn_ensembles(study, limit=2)
    assert drawn.height == 2
    assert drawn.equals(drawn_ensembles(study, limit=2))
    assert drawn_ensembles(study, limit=9).height == 4


def test_the_share_of_one_model_is_the_r_squared_of_its_membership(hand_made: Callable[..., Study]) -> None:
    values = {"a + b": 0.9, "a + c": 0.8, "b + c": 0.1}
    rows = [
        {"ensemble": name, "members": name.split(" + "), "size": 2, "condition": "d/clean"}
        | {"metric": "m", "value": value, "n_undefined": 0}
        for name, value in values.items()
    ]
    study = having(hand_made(), diversity=rows)
    found = share_of_one_model(study, "m", 2, "d/clean")
    assert found is not None
    is_in = np.array([("a" in name.split(" + ")) for name in values], float)
    assert found[0] == "a"
    assert found[1] == pytest.approx(np.corrcoef(is_in, list(values.values()))[0, 1] ** 2)
    assert share_of_one_model(study, "other", 2, "d/clean") is None
