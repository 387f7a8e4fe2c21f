"""How an ensemble decides."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles import CONSENSUS

RULES = ["average", "probability", "median", "median_logits", "geometric_mean", "vote"]


@st.composite
def member_logits(draw: st.DrawFn, most_members: int = 6) -> Tensor:
    shape = (draw(st.integers(1, most_members)), draw(st.integers(1, 4)), draw(st.integers(1, 7)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    return torch.randn(shape, generator=generator) * draw(st.sampled_from([0.1, 3.0, 40.0]))


def by_hand(name: str, logits_KC: list[list[float]]) -> list[float]:
    """Scores of one sample in plain Python, in float64."""
    import math
    import statistics

    num_classes = len(logits_KC[0])
    norms = [math.log(sum(math.exp(v - max(row)) for v in row)) + max(row) for row in logits_KC]
    logs = [[v - norm for v in row] for row, norm in zip(logits_KC, norms, strict=True)]
    columns = {"logits": list(zip(*logits_KC, strict=True)), "logs": list(zip(*logs, strict=True))}
    if name == "average":
        return [statistics.fmean(c) for c in columns["logits"]]
    if name == "probability":
        return [statistics.fmean(math.exp(v) for v in c) for c in columns["logs"]]
    if name in ("median", "median_logits"):
        return [statistics.median(c) for c in columns["logs" if name == "median" else "logits"]]
    if name == "geometric_mean":
        products = [math.exp(statistics.fmean(c)) for c in columns["logs"]]
        return [product / sum(products) for product in products]
    votes = [row.index(max(row)) for row in logits_KC]
    return [votes.count(c) / len(votes) for c in range(num_classes)]


def test_the_registry_holds_the_rules_of_the_paper() -> None:
    assert set(RULES) <= set(CONSENSUS)
    with pytest.raises(UserError, match="a known consensus rule, found 'averge'; did you mean 'average'"):
        CONSENSUS["averge"]


@pytest.mark.parametrize("name", RULES)
@given(logits_KNC=member_logits())
def test_scores_are_those_of_the_definition(name: str, logits_KNC: Tensor) -> None:
    scores_NC = CONSENSUS[name](logits_KNC.double())
    expected = [by_hand(name, logits_KNC[:, n].double().tolist()) for n in range(logits_KNC.shape[1])]
    torch.testing.assert_close(scores_NC, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", RULES)
@given(logits_KNC=member_logits(most_members=1), num_members=st.integers(1, 5))
def test_identical_members_decide_as_one(name: str, logits_KNC: Tensor, num_members: int) -> None:
    several = CONSENSUS[name](logits_KNC.expand(num_members, -1, -1))
    torch.testing.assert_close(several, CONSENSUS[name](logits_KNC))


@pytest.mark.parametrize("name", RULES)
@given(logits_KNC=member_logits(), seed=st.integers(0, 99))
def test_the_order_of_the_members_does_not_matter(name: str, logits_KNC: Tensor, seed: int) -> None:
    order = torch.randperm(len(logits_KNC), generator=torch.Generator().manual_seed(seed))
    rule = CONSENSUS[name]
    torch.testing.assert_close(rule(logits_KNC[order].double()), rule(logits_KNC.double()))


@pytest.mark.parametrize("name", RULES)
def test_one_member_keeps_its_winner(name: str) -> None:
    logits_KNC = torch.randn(1, 50, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(CONSENSUS[name](logits_KNC).argmax(-1), logits_KNC[0].argmax(-1))


@pytest.mark.parametrize("name", RULES)
def test_a_samples_scores_do_not_depend_on_the_samples_beside_it(name: str) -> None:
    logits_KNC = torch.randn(9, 21, 45, generator=torch.Generator().manual_seed(4))
    alone_NC = torch.cat([CONSENSUS[name](logits_KNC[:, n : n + 1]) for n in range(21)])
    assert torch.equal(CONSENSUS[name](logits_KNC), alone_NC)


@given(logits_KNC=member_logits())
def test_geometric_mean_is_the_softmax_of_the_mean_logits(logits_KNC: Tensor) -> None:
    scores_NC = CONSENSUS["geometric_mean"](logits_KNC)
    torch.testing.assert_close(scores_NC, logits_KNC.mean(0).softmax(-1))
    logs_NC = logits_KNC.double().log_softmax(-1).mean(0)
    torch.testing.assert_close(scores_NC.double(), logs_NC.softmax(-1), rtol=1e-4, atol=1e-6)


def test_median_of_raw_logits_is_another_rule() -> None:
    # Member 0 is high on both classes; only its normalised logits tell that it prefers the first.
    logits_KNC = torch.tensor([[[9.0, 8.0]], [[0.0, 0.5]], [[3.0, 3.1]]])
    assert CONSENSUS["median_logits"](logits_KNC).tolist() == [[3.0, pytest.approx(3.1)]]
    logs_KC = logits_KNC[:, 0].log_softmax(-1)
    torch.testing.assert_close(CONSENSUS["median"](logits_KNC)[0], logs_KC.median(0).values)


@pytest.mark.parametrize("num_members", [2, 3, 4, 5, 16, 17, 18])
def test_median_is_the_middle_of_any_number_of_members(num_members: int) -> None:
    logits_KNC = torch.randn(num_members, 8, 5, generator=torch.Generator().manual_seed(num_members))
    expected = torch.quantile(logits_KNC.double(), 0.5, dim=0)
    torch.testing.assert_close(CONSENSUS["median_logits"](logits_KNC).double(), expected)


def test_a_members_own_tie_votes_for_the_lowest_class() -> None:
    assert CONSENSUS["vote"](torch.tensor([[[0.0, 7.0, 7.0]], [[1.0, 0.0, 0.0]]])).tolist() == [[0.5, 0.5, 0]]


@pytest.mark.parametrize("name", RULES)
def test_half_precision_is_summed_in_float32(name: str) -> None:
    logits_KNC = (torch.randn(5, 40, 30, generator=torch.Generator().manual_seed(1)) * 8).half()
    scores_NC = CONSENSUS[name](logits_KNC)
    assert scores_NC.dtype == torch.float32
    assert torch.equal(scores_NC, CONSENSUS[name](logits_KNC.float()))


@pytest.mark.parametrize("name", [name for name in RULES if name != "vote"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    logits_KNC = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(CONSENSUS[name], (logits_KNC.requires_grad_(),))


@pytest.mark.parametrize("name", RULES)
@given(logits_KNC=member_logits(), seed=st.integers(0, 999))
def test_rules_are_monotone_as_they_declare(name: str, logits_KNC: Tensor, seed: int) -> None:
    rule = CONSENSUS[name]
    values_KNC = rule.member_values(logits_KNC.double())
    rises = torch.rand(values_KNC.shape, generator=torch.Generator().manual_seed(seed)).double()
    assert (rule.combine(values_KNC + rises) >= rule.combine(values_KNC) - 1e-12).all()
