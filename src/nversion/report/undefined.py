"""Undefined numbers in tables: how polars treats nan, and the one way to compare, order and sum them.

`report/tables.py` reads nan and null as nan, so that one check in Python is enough. Within polars (1 and 2;
see tests/report/test_report_undefined.py) nan is a number greater than every other:

| of a column that holds nan | polars gives |
|---|---|
| `x > 0`, `x >= 5`, `nan == nan` | true |
| `x < 0`, `x < 5` | false |
| `sort`, `rank` | nan last; first where descending |
| `max`, `min`, `arg_max`, `max_horizontal` | nan left out, unless there is nothing else |
| `median`, `quantile`, `top_k` | nan counts as the greatest value |
| `mean`, `sum`, `std` | nan |
| `clip`, `round`, `abs` | nan stays; `cast` to text gives "NaN" |

null is what is meant: comparisons with it are null, which filters drop; sums, means, orders and extremes
leave it out. So a column that can be undefined is compared, ordered and summed as `defined(column)`, and
what is drawn from it ends in `or_nan`.
"""

from __future__ import annotations

import polars as pl


def defined(column: str | pl.Expr) -> pl.Expr:
    """A column with null where it is nan.

    >>> frame = pl.DataFrame({"low": [0.2, float("nan"), -0.1]})
    >>> frame.filter(pl.col("low") > 0).height, frame.filter(defined("low") > 0).height
    (2, 1)
    """
    return (pl.col(column) if isinstance(column, str) else column).fill_nan(None)


def or_nan(value: pl.Expr) -> pl.Expr:
    """nan again where there is nothing: what tables, labels and figures know as undefined.

    >>> frame = pl.DataFrame({"low": [float("nan")]})
    >>> frame.select(or_nan(defined("low").mean())).item()
    nan
    """
    return value.fill_null(float("nan"))


def number(condition: pl.Expr) -> pl.Expr:
    """In how many rows a comparison of defined numbers holds, int64.

    >>> pl.DataFrame({"high": [-0.2, float("nan")]}).select(number(defined("high") < 0)).item()
    1
    """
    return condition.fill_null(value=False).sum().cast(pl.Int64)
