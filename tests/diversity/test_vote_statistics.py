"""Statistics of votes, against loops over samples and ensembles."""

import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nversion.core import UserError
from nversion.diversity import METRICS, VoteStatistics, splits
from nversion.ensembles import CONSENSUS, Chunk, Ensembles, Replicated, evaluate


def random_votes(
    seed: int, num_models: int = 6, n: int = 40, c: int = 4, accepted: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions, who is right with the first `accepted` classes accepted, and three unequal blocks."""
    generator = torch.Generator().manual_seed(seed)
    predicted_MN = torch.randint(0, c, (num_models, n), generator=generator)
    return predicted_MN, predicted_MN < accepted, torch.arange(n) % 7 % 3


def votes_of(case: tuple[Tensor, Tensor, Tensor], ensembles: Ensembles, **settings: int) -> VoteStatistics:
    return VoteStatistics.of(*case, 3, ensembles, **settings)


def samples_of(case: tuple[Tensor, Tensor, Tensor], members: tuple[int, ...]) -> list[tuple[Counter, set]]:
    """Votes for each class, and the right ones among them, sample by sample."""
    predicted_MN, right_MN, _ = case
    tables = []
    for n in range(predicted_MN.shape[1]):
        named = [int(predicted_MN[m, n]) for m in members]
        tables.append((Counter(named), {int(predicted_MN[m, n]) for m in members if right_MN[m, n]}))
    return tables


def chance_right(votes: Counter, right: set) -> float:
    tied = [c for c, v in votes.items() if v == max(votes.values())]
    return sum(c in right for c in tied) / len(tied)


def mean_of(values: list[float], weights: list[float] | None = None) -> float:
    weights = [1.0] * len(values) if weights is None else weights
    return float(np.dot(values, weights) / sum(weights)) if sum(weights) else math.nan


@pytest.mark.parametrize("accepted", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_every_share_is_that_of_a_loop(size: int, accepted: int) -> None:
    case = random_votes(size, n=25, accepted=accepted)
    ensembles = Ensembles.all_of(6, size)
    votes = votes_of(case, ensembles)
    majority, unanimous = votes.voter("majority"), votes.voter("unanimous")
    for e, members in enumerate(ensembles.members_EK.tolist()):
        table = samples_of(case, members)
        for outcomes, needed in ((majority, size / 2 + 0.01), (unanimous, size)):
            winner = [
                next((c in right for c, v in counts.items() if v >= needed), None) for counts, right in table
            ]
            for share, state in zip(outcomes, (True, None, False), strict=True):
                assert share.full_E[e].item() == pytest.approx(mean_of([w is state for w in winner]))
        expected = {
            "vote_fail": [1 - chance_right(*sample) for sample in table],
            "all_fail": [not right for _, right in table],
            "majority_fail": [
                sum(v for c, v in counts.items() if c not in right) > size / 2 for counts, right in table
            ],
            "identical_wrong": [
                any(v >= 2 and v >= size / 2 and c not in right for c, v in counts.items())
                for counts, right in table
            ],
        }
        for name, values in expected.items():
            assert getattr(votes, name)().full_E[e].item() == pytest.approx(mean_of(values)), name


@pytest.mark.parametrize("size", [2, 3, 5])
def test_equitability_is_scipys_entropy_over_the_logarithm_of_the_species(size: int) -> None:
    case = random_votes(10 + size)
    ensembles = Ensembles.all_of(6, size)
    votes = votes_of(case, ensembles)
    for e, members in enumerate(ensembles.members_EK.tolist()):
        table = samples_of(case, members)
        entropies = [scipy.stats.entropy(list(counts.values())) for counts, _ in table]
        right = [chance_right(*sample) for sample in table]
        wrong = [1 - chance for chance in right]
        observed = [len(counts) for counts, _ in table]
        for where, weights in (("all", None), ("right", right), ("wrong", wrong)):
            found = [votes.shannon(where, species, 4).full_E[e].item() for species in ("members", "classes")]
            plain = mean_of(entropies, weights)
            assert found == pytest.approx([plain / math.log(min(size, 4)), plain / math.log(4)])
            own = [h / math.log(s) if s > 1 else 0 for h, s in zip(entropies, observed, strict=True)]
            value = votes.shannon(where, "observed").full_E[e].item()
            assert value == pytest.approx(mean_of(own, weights))


def one_sample(named: list[int], right: set[int]) -> VoteStatistics:
    predicted_MN = torch.tensor(named).unsqueeze(1)
    right_MN = torch.tensor([[name in right] for name in named])
    ensembles = Ensembles.all_of(len(named), len(named))
    return VoteStatistics.of(predicted_MN, right_MN, torch.tensor([0]), 1, ensembles)


def test_different_votes_of_all_members_have_equitability_one() -> None:
    assert one_sample([5, 6, 7], {5}).shannon("all").full_E.item() == pytest.approx(1.0)
    assert one_sample([5, 6, 7], {5}).shannon("all", "observed").full_E.item() == pytest.approx(1.0)


def test_three_members_reach_a_sixth_of_a_thousand_classes() -> None:
    value = one_sample([5, 6, 7], {5}).shannon("all", "classes", 1000).full_E.item()
    assert value == pytest.approx(math.log(3) / math.log(1000)) == pytest.approx(0.159, abs=5e-4)


def test_members_cannot_name_more_species_than_there_are_classes() -> None:
    votes = one_sample([0, 1, 0, 1], {1})
    assert votes.shannon("all", "members", 2).full_E.item() == pytest.approx(1.0)
    assert votes.shannon("all", "members").full_E.item() == pytest.approx(0.5)


@pytest.mark.parametrize("species", ["members", "classes", "observed"])
def test_unanimous_votes_have_no_equitability_of_wrong_samples(species: str) -> None:
    votes = one_sample([3, 3, 3], {3})
    assert votes.shannon("all", species, 10).full_E.item() == 0
    assert votes.shannon("right", species, 10).full_E.item() == 0
    assert votes.shannon("wrong", species, 10).full_E.isnan().all()


def test_a_tied_sample_counts_as_right_by_the_chance_of_the_draw() -> None:
    # Three ways tied, one right: the sample with a majority of entropy h counts once among the right.
    predicted_MN = torch.tensor([[1, 1], [2, 1], [3, 2]])
    right_MN = predicted_MN == 1
    votes = VoteStatistics.of(predicted_MN, right_MN, torch.tensor([0, 0]), 1, Ensembles.all_of(3, 3))
    h = scipy.stats.entropy([2, 1]) / math.log(3)
    assert votes.shannon("right").full_E.item() == pytest.approx((1 / 3 + h) / (1 / 3 + 1))
    assert votes.shannon("wrong").full_E.item() == pytest.approx(1.0)
    assert votes.vote_fail().full_E.item() == pytest.approx((2 / 3 + 0) / 2)


def test_voters_by_hand() -> None:
    # 2-out-of-3: right, right, stop, silently wrong; unanimous: right, stop, stop, stop.
    predicted_MN = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 2, 0]])
    votes = VoteStatistics.of(
        predicted_MN, predicted_MN == 0, torch.zeros(4).long(), 1, Ensembles.all_of(3, 3)
    )
    assert [share.full_E.item() for share in votes.voter("majority")] == [0.5, 0.25, 0.25]
    assert [share.full_E.item() for share in votes.voter("unanimous")] == [0.25, 0.75, 0.0]


def test_two_members_are_compared_whatever_the_voter_is_called() -> None:
    votes = votes_of(random_votes(3), Ensembles.all_of(6, 2))
    for a, b in zip(votes.voter("majority"), votes.voter("unanimous"), strict=True):
        assert torch.equal(a.full_E, b.full_E)


def test_two_of_four_wrong_members_are_an_identical_wrong_answer_but_no_majority() -> None:
    votes = one_sample([0, 0, 7, 7], {0})
    assert votes.identical_wrong().full_E.item() == 1
    assert votes.majority_fail().full_E.item() == 0
    assert votes.vote_fail().full_E.item() == 0.5
    assert [share.full_E.item() for share in votes.voter("majority")] == [0, 1, 0]


def test_scattered_wrong_votes_fail_by_majority_but_not_by_plurality() -> None:
    votes = one_sample([0, 0, 7, 8, 9], {0})
    assert votes.majority_fail().full_E.item() == 1
    assert votes.vote_fail().full_E.item() == 0
    assert votes.identical_wrong().full_E.item() == 0


def test_a_vote_for_any_accepted_label_is_right() -> None:
    votes = one_sample([0, 1, 1], {0, 1})
    assert votes.voter("majority").right.full_E.item() == 1
    assert votes.vote_fail().full_E.item() == 0
    assert one_sample([0, 1], {0, 1}).voter("majority").safe_stop.full_E.item() == 1


@pytest.mark.parametrize("size", [2, 3, 4])
def test_risk_and_coverage_are_those_of_a_loop(size: int) -> None:
    case = random_votes(20 + size)
    ensembles = Ensembles.all_of(6, size)
    agreement = votes_of(case, ensembles).agreement()
    for e, members in enumerate(ensembles.members_EK.tolist()):
        table = samples_of(case, members)
        for a in range(1, size + 1):
            enough = [sample for sample in table if max(sample[0].values()) >= a]
            wrong = sum(1 - chance_right(*sample) for sample in enough)
            assert agreement.accepted_KE[a - 1, e].item() == len(enough)
            assert agreement.wrong_KE[a - 1, e].item() == pytest.approx(wrong)
            assert agreement.coverage.full_E[a - 1, e].item() == pytest.approx(len(enough) / 40)
            risk = agreement.risk.full_E[a - 1, e].item()
            assert risk == pytest.approx(wrong / len(enough) if enough else math.nan, nan_ok=True)


def test_the_risk_of_an_ensemble_that_always_answers_is_its_vote_failure() -> None:
    votes = votes_of(random_votes(4), Ensembles.all_of(6, 5))
    torch.testing.assert_close(votes.agreement().risk.full_E[0], votes.vote_fail().full_E)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_vote_failure_is_what_the_evaluation_of_votes_finds(size: int) -> None:
    logits_MNC = torch.randn(6, 30, 4, generator=torch.Generator().manual_seed(size))
    labels_N, blocks_N = torch.arange(30) % 4, torch.arange(30) % 3
    ensembles = Ensembles.all_of(6, size)
    assert "vote" in CONSENSUS
    chunk = Chunk(0, logits_MNC, labels_N, blocks_N)
    evaluation = evaluate([chunk], ensembles, ["vote"], 3)["vote"]
    predicted_MN = logits_MNC.argmax(-1)
    votes = VoteStatistics.of(predicted_MN, predicted_MN == labels_N, blocks_N, 3, ensembles)
    torch.testing.assert_close(1 - votes.vote_fail().full_E, evaluation.accuracy.full_E)
    torch.testing.assert_close(1 - votes.vote_fail().without_BE, evaluation.accuracy.without_BE)


def everything(votes: VoteStatistics) -> list[Replicated]:
    agreement = votes.agreement()
    return [
        *(
            votes.shannon(where, species, 4)
            for where in ("all", "right", "wrong")
            for species in ("members", "classes", "observed")
        ),
        *votes.voter("majority"),
        *votes.voter("unanimous"),
        agreement.coverage,
        agreement.risk,
        votes.all_fail(),
        votes.majority_fail(),
        votes.vote_fail(),
        votes.identical_wrong(),
    ]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_leaving_a_block_out_is_computing_without_it(size: int) -> None:
    case, ensembles = random_votes(size, n=21), Ensembles.all_of(6, size)
    values = everything(votes_of(case, ensembles))
    for block in range(3):
        kept = case[2] != block
        others = (case[0][:, kept], case[1][:, kept], case[2][kept])
        for value, again in zip(values, everything(votes_of(others, ensembles)), strict=True):
            torch.testing.assert_close(value.without_BE[block], again.full_E, equal_nan=True)


@given(seed=st.integers(0, 999), cut=st.integers(0, 40), size=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_two_parts_add_up_to_the_whole_whatever_the_budget(seed: int, cut: int, size: int) -> None:
    case, ensembles = random_votes(seed, accepted=2), Ensembles.all_of(6, size)
    first = tuple(tensor[..., :cut] for tensor in case)
    second = tuple(tensor[..., cut:] for tensor in case)
    total = votes_of(first, ensembles) + votes_of(second, ensembles, budget_bytes=500)
    assert torch.equal(total.counts_BEQ, votes_of(case, ensembles).counts_BEQ)


@given(seed=st.integers(0, 999), size=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_every_sample_has_one_split(seed: int, size: int) -> None:
    case = random_votes(seed, accepted=2)
    votes = votes_of(case, Ensembles.all_of(6, size))
    assert (votes.counts_BEQ.sum(2) == torch.bincount(case[2], minlength=3)[:, None]).all()
    for outcomes in (votes.voter("majority"), votes.voter("unanimous")):
        total_E = sum(share.full_E for share in outcomes)
        torch.testing.assert_close(total_E, torch.ones_like(total_E))


def test_splits_are_the_partitions_in_two_colours() -> None:
    # Euler: the coefficients of Π 1 / (1 − x^k)².
    assert [len(splits(size)) for size in range(1, 11)] == [2, 5, 10, 20, 36, 65, 110, 185, 300, 481]


def test_nine_members_whose_splits_need_large_keys_are_counted_too() -> None:
    case = random_votes(5, num_models=9, n=30, c=3)
    votes = votes_of(case, Ensembles.all_of(9, 9))
    table = samples_of(case, tuple(range(9)))
    entropies = [scipy.stats.entropy(list(counts.values())) for counts, _ in table]
    assert votes.shannon("all").full_E.item() == pytest.approx(mean_of(entropies) / math.log(9))
    assert votes.vote_fail().full_E.item() == pytest.approx(mean_of([1 - chance_right(*s) for s in table]))


def test_without_samples_nothing_is_defined() -> None:
    empty = (torch.zeros(6, 0).long(), torch.zeros(6, 0).bool(), torch.zeros(0).long())
    for value in everything(votes_of(empty, Ensembles.all_of(6, 3))):
        assert value.full_E.isnan().all()
        assert value.without_BE.isnan().all()


def test_values_lie_within_the_bounds_that_readers_are_told() -> None:
    votes = votes_of(random_votes(8), Ensembles.all_of(6, 3))
    for where in ("all", "right", "wrong"):
        facts = METRICS[f"shannon_{where}"]
        value_E = votes.shannon(where).full_E
        assert ((value_E >= facts.low) & (value_E <= facts.high)).all()


def test_what_does_not_fit_is_refused() -> None:
    predicted_MN, right_MN, blocks_N = random_votes(0)
    ensembles = Ensembles.all_of(6, 2)
    with pytest.raises(UserError, match="expected integer classes of 6 models × samples"):
        VoteStatistics.of(predicted_MN[:5], right_MN[:5], blocks_N, 3, ensembles)
    with pytest.raises(UserError, match=r"expected a bool for each prediction.*found torch.int64"):
        VoteStatistics.of(predicted_MN, right_MN.long(), blocks_N, 3, ensembles)
    with pytest.raises(UserError, match=r"expected a block from 0 to 1 .* up to 2"):
        VoteStatistics.of(predicted_MN, right_MN, blocks_N, 2, ensembles)
    with pytest.raises(UserError, match="pass num_classes"):
        votes_of((predicted_MN, right_MN, blocks_N), ensembles).shannon("all", "classes")
    with pytest.raises(UserError, match="expected votes of the same blocks, ensembles and size"):
        votes_of((predicted_MN, right_MN, blocks_N), ensembles) + VoteStatistics(
            2, torch.zeros(1, 15, 5).int()
        )


def test_a_class_that_is_right_for_one_model_only_is_refused() -> None:
    predicted_MN = torch.tensor([[4, 2], [4, 2]])
    right_MN = torch.tensor([[True, True], [True, False]])
    with pytest.raises(UserError, match="found class 2 of sample 1 both right and wrong"):
        VoteStatistics.of(predicted_MN, right_MN, torch.zeros(2).long(), 1, Ensembles.all_of(2, 2))
