"""Which models sit in which ensemble."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nversion.core import UserError
from nversion.ensembles import Ensembles, count_all


@given(st.integers(1, 9).flatmap(lambda m: st.tuples(st.just(m), st.integers(1, m))))
def test_all_of_lists_every_combination_in_order(pool: tuple[int, int]) -> None:
    num_models, size = pool
    ensembles = Ensembles.all_of(num_models, size)
    assert ensembles.members_EK.tolist() == [list(c) for c in itertools.combinations(range(num_models), size)]
    assert len(ensembles) == count_all(num_models, size)
    assert ensembles.size == size


def test_fourteen_models_give_the_papers_counts() -> None:
    assert count_all(14, 3) == 364
    assert sum(count_all(14, size) for size in (2, 3, 4, 5)) == 3458


@given(st.integers(2, 12), st.integers(0, 5), st.data())
def test_a_sample_is_a_set_of_different_ensembles(num_models: int, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, num_models))
    count = data.draw(st.integers(1, count_all(num_models, size)))
    rows = Ensembles.sample(num_models, size, count, seed).members_EK.tolist()
    assert len({tuple(row) for row in rows}) == len(rows) == count
    assert rows == sorted(rows)


def test_a_sample_depends_on_its_seed_alone() -> None:
    first = Ensembles.sample(20, 4, count=50, seed=1)
    torch.rand(3)
    assert torch.equal(first.members_EK, Ensembles.sample(20, 4, count=50, seed=1).members_EK)
    assert not torch.equal(first.members_EK, Ensembles.sample(20, 4, count=50, seed=2).members_EK)


def test_a_sample_of_an_enormous_pool_is_drawn_without_enumerating_it() -> None:
    assert math.comb(5000, 40) > 10**90
    ensembles = Ensembles.sample(5000, 40, count=300, seed=0)
    assert ensembles.members_EK.shape == (300, 40)
    assert abs(ensembles.members_EK.double().mean() - 2499.5) < 60  # 4.5 standard errors


@pytest.mark.parametrize("count", [6, 20])
def test_a_sample_prefers_no_model(count: int) -> None:
    seats = torch.zeros(7)
    for seed in range(200):
        seats += Ensembles.sample(7, 3, count, seed).membership_EM().sum(0)
    expected = 200 * count * 3 / 7
    assert ((seats - expected).abs() < 5 * expected**0.5).all()


def test_membership_matrix_has_ones_at_the_members() -> None:
    ensembles = Ensembles.of([(3, 1), (0, 2)], num_models=4)
    assert ensembles.membership_EM().tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]
    assert ensembles.membership_EM(torch.float64).dtype == torch.float64


def test_without_model_keeps_what_the_smaller_pool_would_give() -> None:
    ensembles = Ensembles.all_of(6, 3)
    for model in range(6):
        kept = ensembles.members_EK[ensembles.without_model(model)]
        assert len(kept) == count_all(5, 3)
        assert not (kept == model).any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Ensembles.all_of(3, 4), "an ensemble size from 1 to 3, the number of models, found 4"),
        (lambda: Ensembles.all_of(3, 0), "an ensemble size from 1 to 3, the number of models, found 0"),
        (lambda: Ensembles.all_of(60, 30), "at most 10,000,000 ensembles to enumerate, found 118,264"),
        (lambda: Ensembles.sample(4, 2, 7, 0), "from 1 to 6 ensembles of 2 members out of 4 models, found 7"),
        (lambda: Ensembles.sample(4, 2, 0, 0), "from 1 to 6 ensembles of 2 members out of 4 models, found 0"),
        (lambda: Ensembles.of([[0, 9]], 4), "members from 0 to 3, one for each of 4 models, found member 9"),
        (lambda: Ensembles.of([[2, 2]], 4), "ascending order, each once, found \\[2, 2\\] in row 0"),
        (lambda: Ensembles.of([[0, 1], [2]], 4), "all of one size, found sizes \\[1, 2\\]"),
        (lambda: Ensembles(torch.zeros(2, 2), 4), "non-empty int64 table.*found torch.float32"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(build, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
