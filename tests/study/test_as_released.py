"""A study as the benchmark was released: its conditions and its corruption errors say so."""

import json

import polars as pl


def test_conditions_and_corruption_errors_say_that_they_are_as_released(tmp_path, small):
    small.run(
        small.write_inputs(tmp_path),
        canonical={"size": 72},
        conditions={"as_released": True, "corruptions": {"gaussian_noise": [1.0, 3.0]}},
        attribution=None,
        representation=None,
        benchmark={"baseline": "a"},
    )
    conditions = pl.read_parquet(tmp_path / "out" / "tables" / "conditions.parquet")
    assert conditions["condition"].to_list() == [
        "d/clean",
        "d/gaussian_noise-1@as_released",
        "d/gaussian_noise-3@as_released",
    ]
    errors = pl.read_parquet(tmp_path / "out" / "tables" / "benchmark.parquet")
    assert set(errors.select("set", "stored").iter_rows()) == {("imagenet-c", "as_released")}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["conditions"]["as_released"] is True
    folder = tmp_path / "out" / "predictions" / "d" / "gaussian_noise-3@as_released"
    described = json.loads(next(folder.glob("*/manifest.json")).read_text())
    assert '"quality": 85' in json.dumps(described["what"])
