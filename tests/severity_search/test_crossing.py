"""The search for the severity of a drop, against curves whose crossing is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nversion.severity_search.crossing import Crossing, NoCrossing, Point, Wanted, first_crossing

GRID = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def search(curve, target, grid=GRID, stderr=0.0):
    """The answer, and the severities that it took."""
    points = {}
    while isinstance(step := first_crossing(points, grid, target), Wanted):
        assert not points.keys() & set(step.severities), "asked again"
        points |= {s: Point(curve(s), stderr) for s in step.severities}
    return step, points


def test_a_logistic_curve_is_crossed_where_the_formula_says():
    def curve(severity):
        return 0.8 / (1 + math.exp(5 - severity))

    step, points = search(curve, 0.3)
    exact = 5 + math.log(0.3 / 0.5)
    assert abs(step.severity - exact) < 0.1  # a hundredth of the range
    assert step.slope == pytest.approx((curve(6) - curve(4)) / 2)
    assert len(points) == len(GRID) + 5  # 2 / 2^5 is below 0.1


def test_a_drop_within_half_a_standard_error_ends_the_search():
    step, points = search(lambda s: s / 20, 0.26, stderr=0.03)
    assert step.severity == 5.0 and len(points) == len(GRID) + 1
    assert search(lambda s: s / 20, 0.21, stderr=0.03)[0].severity == 4.0  # on the grid already


@given(
    st.lists(st.floats(0, 0.1), min_size=5, max_size=5),
    st.floats(0.01, 0.5),
    st.floats(0, 0.05),
)
def test_every_rising_curve_is_answered_within_its_tolerance(steps, target, stderr):
    knots = [sum(steps[:i]) for i in range(6)]

    def curve(severity):
        i = min(int(severity // 2), 4)
        return knots[i] + steps[i] * (severity - GRID[i]) / 2

    step, _ = search(curve, target, stderr=stderr)
    if isinstance(step, NoCrossing):
        assert not step.is_beyond and knots[-1] < target and curve(step.severity) == pytest.approx(knots[-1])
    else:
        off = abs(curve(step.severity) - target)
        assert off <= 0.5 * stderr or off <= 0.1 * max(steps) / 2 + 1e-12
        assert step.returns_at is None


def test_the_first_of_several_crossings_is_taken_and_the_return_is_told():
    step, _ = search(
        lambda s: {0: 0, 2: 0.4, 4: 0.1, 6: 0.05, 8: 0.5, 10: 0.6}.get(s, 0.2 * s), 0.3, stderr=0.01
    )
    assert isinstance(step, Crossing) and step.severity == 1.5
    assert step.returns_at == 4.0


def test_a_target_beyond_the_curve_gives_its_largest_drop_and_no_severity():
    step, _ = search(lambda s: 0.3 - abs(s - 6) / 100, 0.5)
    assert step == NoCrossing(6.0, is_beyond=False)


def test_a_target_below_the_mildest_severity_is_no_crossing():
    assert search(lambda s: 0.4 + s / 100, 0.1)[0] == NoCrossing(0.0, is_beyond=True)


def test_at_a_jump_the_nearer_side_is_taken():
    step, _ = search(lambda s: 0.1 if s < 5.3 else 0.35, 0.3)
    assert 5.3 <= step.severity < 5.4


def test_points_of_other_searches_do_not_change_the_answer():
    alone, points = search(lambda s: s / 20, 0.17)
    others = {s / 100: Point(s / 2000, 0.0) for s in range(0, 1001, 7)}
    assert first_crossing(points | others, GRID, 0.17) == alone


def test_severities_have_at_most_six_digits():
    _, points = search(lambda s: s, 1 / 3, grid=[0.0, 1 / 7, 2 / 3])
    assert all(s in (0.0, 1 / 7, 2 / 3) or float(f"{s:.6g}") == s for s in points)
