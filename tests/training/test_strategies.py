"""Strategies: bootstrap samples, SAMME's weights, snapshots, and orders that are functions of their keys."""

import math

import numpy as np
import pytest

from nversion.core import UserError
from nversion.training.recipe import parse_recipe
from nversion.training.strategies import Context, Facts, Outcome, Stage, epoch_order, reweighted, stages

LABELS = np.repeat(np.arange(4), 25)


def context(strategy, count=3, epochs=6):
    content = {
        "train": {"name": "a", "epochs": epochs},
        "data": {"train": {"source": "digits"}},
        "members": [{"arch": "timm:resnet18", "count": count}],
        "strategy": strategy,
    }
    return Context(parse_recipe(content, "a test")["a"], LABELS, 4, 7, Facts())


def test_joint_training_is_one_stage_of_all_members():
    assert [stage.members for stage in stages(context({"name": "joint"}))] == [(0, 1, 2)]


def test_independent_members_have_orders_of_their_own():
    found = list(stages(context({"name": "independent"})))
    orders = [epoch_order(stage, 100, 7, 0).tolist() for stage in found]
    assert [stage.members for stage in found] == [(0,), (1,), (2,)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1]


def test_independent_members_may_share_the_order_of_joint_training():
    (together,) = stages(context({"name": "joint"}))
    first, *_ = stages(context({"name": "independent", "same_order": True}))
    assert np.array_equal(epoch_order(first, 100, 7, 3), epoch_order(together, 100, 7, 3))


def test_bagging_draws_a_bootstrap_sample_a_member_and_keeps_it_in_all_epochs():
    first, second, _ = stages(context({"name": "bagging"}))
    seen = [sorted(epoch_order(first, 100, 7, epoch).tolist()) for epoch in (0, 1)]
    assert seen[0] == seen[1] and len(seen[0]) == 100
    assert 50 < len(set(seen[0])) < 76  # 63.2 % of the images on average
    assert not np.array_equal(np.sort(first.samples_n), np.sort(second.samples_n))


def test_samme_weights_by_hand():
    right = np.array([True] * 8 + [False] * 2)
    vote, weights = reweighted(np.full(10, 0.1), right, 4)
    assert vote == pytest.approx(math.log(0.8 / 0.2) + math.log(3))
    assert weights[9] / weights[0] == pytest.approx(math.exp(vote))
    assert weights.sum() == pytest.approx(1)


def test_after_samme_a_member_is_as_good_as_chance_on_the_new_weights():
    right = np.random.default_rng(0).uniform(size=200) < 0.7
    _, weights = reweighted(np.full(200, 1 / 200), right, 4)
    assert weights[~right].sum() == pytest.approx(1 - 1 / 4)  # the identity that defines the weights


def test_a_member_no_better_than_chance_has_no_vote():
    vote, weights = reweighted(np.full(4, 0.25), np.array([True, False, False, False]), 4)
    assert vote == 0 and weights.tolist() == [0.25] * 4


def test_boosting_draws_wrong_images_more_often():
    given = context({"name": "boosting"})
    plan = stages(given)
    next(plan)
    second = plan.send(Outcome(lambda: np.arange(100) >= 20))
    order = epoch_order(second, 100, 7, 0)
    assert np.mean(order < 20) == pytest.approx(0.75, abs=0.15)  # chance's share of errors, of 4 classes
    assert given.facts.vote_weights[0] == pytest.approx(math.log(4) + math.log(3))


def test_orders_follow_from_seed_key_and_epoch_alone():
    stage = Stage((0,), "shared")
    assert np.array_equal(epoch_order(stage, 50, 1, 2), epoch_order(stage, 50, 1, 2))
    others = [
        epoch_order(stage, 50, 2, 2),
        epoch_order(stage, 50, 1, 3),
        epoch_order(Stage((0,), "b"), 50, 1, 2),
    ]
    assert all(not np.array_equal(epoch_order(stage, 50, 1, 2), other) for other in others)


@pytest.mark.parametrize(
    ("strategy", "count", "message"),
    [
        ({"name": "bagging", "fraction": 0.0}, 3, "a fraction above 0 and at most 1 for bagging, found 0.0"),
        ({"name": "snapshot", "cycles": 3}, 3, "one member for snapshots"),
        ({"name": "snapshot", "cycles": 4}, 1, "epochs that 4 cycles divide, found 6"),
        ({"name": "snapshot", "cycles": 0}, 1, "at least 1 cycle, found 0"),
        ({"name": "bosting"}, 3, "a known strategy, found 'bosting'; did you mean 'boosting'"),
        ({"name": "joint", "cycles": 3}, 3, "a setting of the strategy 'joint', found 'cycles'"),
    ],
)
def test_wrong_settings_are_told(strategy, count, message):
    with pytest.raises(UserError, match=message):
        list(stages(context(strategy, count)))
