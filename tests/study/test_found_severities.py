"""Studies that read a file of severities."""

from nversion.study import make_plan, open_study


def test_a_plan_counts_the_conditions_of_found_severities(small, inputs):
    (inputs / "severities.toml").write_text("[corruptions]\nlines = [1.0, 1.75]\nscatter = [0.5]\n")
    opened = open_study(small.spec(conditions={"severities": "severities.toml"}), inputs / "out", inputs)
    assert [c.name for c in opened.conditions] == ["d/clean", "d/lines-1", "d/lines-1.75", "d/scatter-0.5"]
    assert make_plan(opened).batches_total == 4 * 4 * 3
