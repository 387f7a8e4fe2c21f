"""Values with and without each block."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from nversion.ensembles import Replicated, sum_of_others


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9))
def test_the_sum_of_others_is_the_total_less_one(values: list[int]) -> None:
    values_B = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(sum_of_others(values_B), values_B.sum() - values_B)


def test_an_infinite_block_leaves_the_mean_of_the_others() -> None:
    value = Replicated.mean(torch.tensor([[1.0], [torch.inf], [5.0]]), torch.tensor([1, 1, 2]))
    assert value.full_E.tolist() == [torch.inf]
    assert value.without_BE.tolist() == [[torch.inf], [2.0], [torch.inf]]


def test_without_its_only_block_nothing_is_left() -> None:
    value = Replicated.mean(torch.tensor([[3.0], [0.0]]), torch.tensor([4, 0]))
    assert value.full_E.tolist() == [0.75]
    assert value.without_BE[0].isnan().all()
    assert value.without_BE[1].tolist() == [0.75]
