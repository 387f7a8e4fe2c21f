"""No sentence is made of undefined numbers, and none is on the page; the rules of polars."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from math import isnan, nan
from pathlib import Path

import polars as pl
import pytest
from having import having

from nversion.report import all_figures
from nversion.report.html import page
from nversion.report.sections.findings import findings
from nversion.report.sections.trends import relation_rows
from nversion.report.tables import Study, read_study
from nversion.report.undefined import defined, number, or_nan

X = pl.Series("x", [1.0, nan, -2.0])


def test_polars_orders_nan_above_every_number() -> None:
    """The table of `report/undefined.py`: where a new polars changes a row, this fails first."""
    assert (X > 0).to_list() == [True, True, False]
    assert (X < 0).to_list() == [False, False, True]
    assert X.sort().to_list()[:2] == [-2.0, 1.0]
    assert isnan(X.sort(descending=True)[0])
    assert (X.max(), X.min(), X.arg_max()) == (1.0, -2.0, 0)
    assert X.median() == 1.0
    assert isnan(float(X.quantile(1.0) or 0))
    assert isnan(float(X.mean()))  # type: ignore[arg-type]
    assert isnan(X.clip(0, 1)[1])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (number(defined("x") > 0), 1),
        (number(defined("x") < 0), 1),
        (defined("x").max(), 1.0),
        (defined("x").median(), -0.5),
        (defined("x").mean(), -0.5),
        (defined("x").sort(descending=True, nulls_last=True).first(), 1.0),
    ],
)
def test_defined_numbers_are_compared_ordered_and_summed_without_nan(
    expression: pl.Expr, value: float
) -> None:
    assert X.to_frame().select(expression).item() == value


def test_nothing_defined_is_nan_again() -> None:
    assert isnan(pl.DataFrame({"x": [nan, nan]}).select(or_nan(defined("x").mean())).item())


def _spoilt(study: Study, spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> Study:
    """The study with every table's real numbers spoilt, but for the severities that name its conditions."""
    spoilt = {name: spoil(frame) for name, frame in study.tables.items() if name != "conditions"}
    return having(study, **spoilt)


def _real(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind.is_float() and name not in ("first", "last")]


def _all_undefined(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit(nan).alias(name) for name in _real(frame))


def _some_undefined(frame: pl.DataFrame) -> pl.DataFrame:
    """Other fifths in every column, so that values stand without intervals and intervals without values."""
    row = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when((row + 2 * k) % 5 == 0).then(nan).otherwise(pl.col(name)).alias(name)
        for k, name in enumerate(_real(frame))
    )


@pytest.fixture(scope="module")
def eight_models(synthetic: object, tmp_path_factory: pytest.TempPathFactory) -> Study:
    shape = synthetic.Shape(num_models=8, num_images=60, datasets=("val",), num_corruptions=1, images=False)  # type: ignore[attr-defined]
    folder: Path = synthetic.write_study(tmp_path_factory.mktemp("eight"), shape)  # type: ignore[attr-defined]
    return read_study(folder)


def _text_of(study: Study) -> str:
    """What a reader sees, and the texts that scripts and pointers show: no markup, no data of figures."""
    html = page(study, all_figures(study))
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    said = re.findall(r'(?:title|alt|aria-label)="([^"]*)"', html)
    return unescape(" ".join([re.sub(r"<[^>]+>", " ", html), *said]))


CLAIMS = re.compile(
    r"distinguishable from zero (?!\.)(?:for|on)|is more accurate"
    r"|most robust model|lowers the models' mean|reduced common failure|and increases it"
    r"|\(positive\)|\(negative\)|returns a wrong answer"
)


def test_a_study_in_which_all_is_undefined_claims_nothing(eight_models: Study) -> None:
    said = findings(_spoilt(eight_models, _all_undefined))
    assert [sentence for sentence in said if CLAIMS.search(sentence)] == []
    assert said[1:4] == [
        "No accuracy of these models is defined, so the cost of corruptions is unknown.",
        "Whether ensembles of 3 beat their best member on clean is undefined.",
        "The correlation of improvement with diversity is undefined over 56 ensembles of 3 on clean.",
    ]


@pytest.mark.parametrize("spoil", [_all_undefined, _some_undefined])
def test_no_undefined_number_is_on_the_page(
    eight_models: Study, spoil: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    text = _text_of(_spoilt(eight_models, spoil))
    assert re.findall(r".{30}\b(?:nan|NaN|None(?! is corrected)|inf|null)\b.{30}", text) == []


def test_an_interval_with_an_undefined_end_excludes_nothing(eight_models: Study) -> None:
    above_zero = {"value": pl.lit(0.3), "low": pl.lit(0.1), "high": pl.lit(0.5)}
    study = having(eight_models, correlations=eight_models.table("correlations").with_columns(**above_zero))
    rows = relation_rows(_spoilt(study, _some_undefined)).filter(zero="excludes zero")
    assert rows.height
    assert not any(isnan(value) for column in ("value", "low", "high") for value in rows[column])
