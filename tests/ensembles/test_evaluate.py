"""How often every ensemble is right, against loops over ensembles."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles import (
    CONSENSUS,
    Chunk,
    Ensembles,
    Evaluation,
    Evaluator,
    evaluate,
    evaluate_sizes,
    per_class,
    shortlist,
    shortlisting,
)

LOWEST_WINS = ["average", "probability", "median", "median_logits", "geometric_mean"]


def chunked(logits_MNC: Tensor, labels_N: Tensor, num_blocks: int = 3, length: int = 7) -> list[Chunk]:
    blocks_N = torch.arange(len(labels_N)) * num_blocks // len(labels_N)
    starts = range(0, len(labels_N), length)
    return [
        Chunk(s, logits_MNC[:, s : s + length], labels_N[s : s + length], blocks_N[s : s + length])
        for s in starts
    ]


def winners_by_loop(name: str, logits_MNC: Tensor, ensembles: Ensembles) -> Tensor:
    rule = CONSENSUS[name]
    columns = [rule.scores(logits_MNC[members]).argmax(-1) for members in ensembles.members_EK.tolist()]
    return torch.stack(columns, 1)


def assert_as_the_loop(logits_MNC: Tensor, ensembles: Ensembles, names: list[str], **settings: int) -> None:
    """Winners, sums over blocks and ties are those of one ensemble after the other."""
    num_samples, num_classes = logits_MNC.shape[1:]
    labels_N = torch.arange(num_samples) % num_classes
    chunks = chunked(logits_MNC, labels_N)
    results = evaluate(chunks, ensembles, names, 3, keep_winners=True, **settings)
    blocks_N = torch.cat([chunk.blocks_N for chunk in chunks])
    for name in names:
        winners_NE = winners_by_loop(name, logits_MNC.float(), ensembles)
        assert torch.equal(results[name].winners_NE, winners_NE), name
        right_NE = (winners_NE == labels_N[:, None]).double()
        for block in range(3):
            assert torch.equal(results[name].correct_BE[block], right_NE[blocks_N == block].sum(0))
        assert_ties_as_the_loop(results[name], logits_MNC.float(), ensembles, name)


def assert_ties_as_the_loop(result: Evaluation, logits_MNC: Tensor, ensembles: Ensembles, name: str) -> None:
    near = []
    for e, members in enumerate(ensembles.members_EK.tolist()):
        scores_NC = CONSENSUS[name].scores(logits_MNC[members])
        if scores_NC.shape[1] < 2:
            continue
        first_N, second_N = scores_NC.topk(2).values.unbind(-1)
        assert result.num_ties_E[e] == (first_N == second_N).sum()
        near += [
            (e, int(n)) for n in ((first_N - second_N < 1e-5) | (first_N == second_N)).nonzero().squeeze(1)
        ]
    assert result.num_near_ties == len(near)
    assert result.near_ties == near or len(near) > len(result.near_ties) == 1000


def realistic(seed: int, num_models: int = 6, n: int = 24, c: int = 50, noise: float = 1.5) -> Tensor:
    """Members that share most of what they see, each with its own scale and offset."""
    generator = torch.Generator().manual_seed(seed)
    shared_NC = torch.randn(n, c, generator=generator) * 2
    own_MNC = torch.randn(num_models, n, c, generator=generator) * noise
    scale_M11 = torch.rand(num_models, 1, 1, generator=generator) * 3 + 0.5
    return (shared_NC + own_MNC) * scale_M11 + torch.randn(num_models, 1, 1, generator=generator) * 10


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(3))
def test_every_winner_is_that_of_a_loop_over_ensembles(size: int, seed: int) -> None:
    assert_as_the_loop(realistic(seed), Ensembles.all_of(6, size), LOWEST_WINS)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_average_elects_the_argmax_of_the_mean_logits(size: int) -> None:
    # On a grid of 1/16 as half-precision stores have it; 24 × 64 numbers are whole vector registers.
    logits_MNC = (realistic(17, c=64, noise=0.7) * 16).round() / 16
    ensembles = Ensembles.all_of(6, size)
    result = evaluate(chunked(logits_MNC, torch.arange(24)), ensembles, ["average"], 3, keep_winners=True)
    for e, members in enumerate(ensembles.members_EK.tolist()):
        assert torch.equal(result["average"].winners_NE[:, e], logits_MNC[members].mean(0).argmax(-1))


@given(
    seed=st.integers(0, 10**6),
    num_models=st.integers(1, 6),
    num_classes=st.integers(1, 60),
    noise=st.sampled_from([0.0, 0.3, 3.0]),
    step=st.sampled_from([0.0, 0.5, 4.0]),
    data=st.data(),
)
def test_winners_of_any_logits_are_those_of_the_loop(
    seed: int, num_models: int, num_classes: int, noise: float, step: float, data: st.DataObject
) -> None:
    logits_MNC = realistic(seed, num_models, 9, num_classes, noise)
    if step:  # on a coarse grid exact ties abound
        logits_MNC = (logits_MNC / step).round() * step
    ensembles = Ensembles.all_of(num_models, data.draw(st.integers(1, num_models)))
    assert_as_the_loop(logits_MNC, ensembles, LOWEST_WINS)


@pytest.mark.parametrize("num_classes", [2, 10, 300])
def test_a_class_that_is_second_everywhere_can_win(num_classes: int) -> None:
    logits_MNC = torch.zeros(4, 3, num_classes)
    for model in range(4):
        logits_MNC[model, :, model % num_classes] = 9.0
    logits_MNC[:, :, num_classes - 1] = 8.5
    assert_as_the_loop(logits_MNC, Ensembles.all_of(4, 3), LOWEST_WINS)
    result = evaluate(
        chunked(logits_MNC, torch.full((3,), num_classes - 1)), Ensembles.all_of(4, 4), ["average"], 3
    )
    assert result["average"].accuracy.full_E.tolist() == [1.0]


def test_a_class_off_every_shortlist_still_wins() -> None:
    # For each model its own 60 classes stand high and all others low but the last, in the middle:
    # no list of 40 holds it for sure, and every ensemble elects it.
    logits_MNC = torch.zeros(4, 5, 241)
    for model in range(4):
        logits_MNC[model, :, 60 * model : 60 * (model + 1)] = 10.0
    logits_MNC[:, :, 240] = 6.0
    assert_as_the_loop(logits_MNC, Ensembles.all_of(4, 3), LOWEST_WINS)
    result = evaluate(chunked(logits_MNC, torch.full((5,), 240)), Ensembles.all_of(4, 3), ["average"], 3)
    assert result["average"].accuracy.full_E.tolist() == [1.0] * 4


def test_large_offsets_of_members_do_not_turn_a_winner() -> None:
    logits_MNC = realistic(3)
    logits_MNC[0] += 1e4
    logits_MNC[1] -= 3e6
    assert_as_the_loop(logits_MNC, Ensembles.all_of(6, 3), LOWEST_WINS)


def test_equal_logits_elect_the_lowest_class() -> None:
    ensembles = Ensembles.all_of(3, 2)
    result = evaluate(
        chunked(torch.ones(3, 6, 70), torch.zeros(6, dtype=torch.int64)), ensembles, ["average"], 3
    )
    assert result["average"].accuracy.full_E.tolist() == [1.0] * 3
    assert result["average"].num_ties_E.tolist() == [6] * 3
    assert result["average"].num_near_ties == 18
    assert_as_the_loop(torch.ones(3, 6, 70), ensembles, LOWEST_WINS)


def test_impossible_classes_have_no_say() -> None:
    logits_MNC = realistic(5)
    logits_MNC[0, :, 10:] = -torch.inf
    logits_MNC[1, :, :40] = -torch.inf  # an ensemble of both finds every class impossible
    logits_MNC[2, ::2, 3:47] = -torch.inf
    assert_as_the_loop(logits_MNC, Ensembles.all_of(6, 2), LOWEST_WINS)
    assert_as_the_loop(logits_MNC, Ensembles.all_of(6, 3), LOWEST_WINS)


def test_a_difference_below_rounding_is_listed_as_a_near_tie() -> None:
    logits_MNC = torch.zeros(2, 3, 20)
    logits_MNC[:, :, 4] = 5.0
    logits_MNC[:, :, 9] = torch.tensor([4.0, 5.0 - 4e-6, 5.0])
    result = evaluate(chunked(logits_MNC, torch.full((3,), 4)), Ensembles.all_of(2, 2), ["average"], 3)
    assert result["average"].near_ties == [(0, 1), (0, 2)]
    assert result["average"].num_ties_E.tolist() == [1]
    assert result["average"].correct_BE.sum() == 3


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits_MNC = realistic(8).half()
    assert_as_the_loop(logits_MNC, Ensembles.all_of(6, 4), LOWEST_WINS)


@pytest.mark.parametrize("budget_bytes", [1, 20_000, 1_000_000])
def test_the_result_does_not_depend_on_the_budget(budget_bytes: int) -> None:
    assert_as_the_loop(realistic(9), Ensembles.all_of(6, 3), LOWEST_WINS, budget_bytes=budget_bytes)


@pytest.mark.parametrize("first", [1, 3, 60])
def test_the_result_does_not_depend_on_the_first_classes(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "_FIRST", first)
    assert_as_the_loop(realistic(10), Ensembles.all_of(6, 3), LOWEST_WINS)


@pytest.mark.parametrize("at_once", [1, 100, 5000])
def test_the_result_does_not_depend_on_how_lists_are_grouped(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlisting, "_SCORES_AT_ONCE", at_once)
    assert_as_the_loop(realistic(10), Ensembles.all_of(6, 3), LOWEST_WINS)


@pytest.mark.parametrize(
    "logits_MNC",
    [
        pytest.param(realistic(20, 4, 6, 1000)[:1].expand(4, -1, -1), id="equal models"),
        pytest.param(realistic(21, 4, 6, 2) * 1e36, id="huge"),
        pytest.param(realistic(22, 4, 6, 40) * 1e30, id="squares overflow"),
        pytest.param(realistic(23, 4, 6, 40).sign() * 3e38, id="sums overflow"),
        pytest.param(realistic(24, 4, 6, 40) * 1e-6, id="all near ties"),
        pytest.param(realistic(25, 4, 3, 21_841), id="21841 classes"),
        pytest.param((realistic(26, 4, 6, 300) * 2).round() / 2, id="coarse grid"),
        pytest.param(realistic(27, 4, 6, 30).sort(-1).values.cumsum(-1).exp().clamp(max=1e20), id="steep"),
        pytest.param(
            realistic(28, 4, 6, 30)
            .where(realistic(29, 4, 6, 30) > 10, -torch.inf)
            .index_fill(2, torch.tensor([3]), -5.0),
            id="mostly impossible",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_winners_of_hard_logits_are_those_of_the_loop(logits_MNC: Tensor, size: int) -> None:
    assert_as_the_loop(logits_MNC.contiguous(), Ensembles.all_of(4, size), LOWEST_WINS)


def test_winners_can_be_taken_chunk_by_chunk() -> None:
    chunks, ensembles = chunked(realistic(30), torch.arange(24)), Ensembles.all_of(6, 3)
    evaluator = Evaluator([ensembles], ["average", "vote"], 3, keep_winners=["average"])
    taken = []
    for chunk in chunks:
        evaluator.update(chunk)
        taken += evaluator.take_winners("average")
    assert torch.equal(torch.cat(taken), winners_by_loop("average", realistic(30), ensembles))
    assert evaluator.result()[0]["vote"].winners_NE is None


def test_products_of_low_precision_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Tensor.__matmul__

    def coarse(a: Tensor, b: Tensor) -> Tensor:
        return product(a.bfloat16().float(), b) if a.dtype == torch.float32 else product(a, b)

    monkeypatch.setattr(Tensor, "__matmul__", coarse)
    assert_as_the_loop(realistic(11), Ensembles.all_of(6, 3), ["average", "probability"])


def test_geometric_mean_is_right_exactly_where_the_average_is() -> None:
    chunks = chunked(realistic(12), torch.arange(24))
    results = evaluate(chunks, Ensembles.all_of(6, 3), ["geometric_mean", "average"], 3)
    assert list(results) == ["geometric_mean", "average"]
    assert results["geometric_mean"].consensus == "geometric_mean"
    assert torch.equal(results["geometric_mean"].correct_BE, results["average"].correct_BE)


def votes(predicted_MN: list[list[int]], num_classes: int = 5) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predicted_MN), num_classes).float()


def test_a_tied_vote_counts_its_expected_accuracy() -> None:
    # Votes per sample: 2:1 for the label; 1:1:1; the label without a vote; unanimous.
    logits_MNC = votes([[1, 0, 3, 2], [1, 1, 4, 2], [0, 2, 3, 2]])
    result = evaluate(
        chunked(logits_MNC, torch.tensor([1, 2, 0, 2]), 1), Ensembles.all_of(3, 3), ["vote"], 1
    )["vote"]
    assert result.correct_BE.tolist() == [[7 / 3]]
    assert result.num_ties_E.tolist() == [1]
    assert result.near_ties == []


@given(seed=st.integers(0, 10**6), num_classes=st.integers(1, 6), size=st.integers(1, 5))
def test_votes_are_those_of_the_loop(seed: int, num_classes: int, size: int) -> None:
    logits_MNC = realistic(seed, 5, 20, num_classes)
    labels_N = torch.arange(20) % num_classes
    ensembles = Ensembles.all_of(5, size)
    result = evaluate(chunked(logits_MNC, labels_N), ensembles, ["vote"], 3, keep_winners=True)["vote"]
    assert torch.equal(result.winners_NE, winners_by_loop("vote", logits_MNC, ensembles))
    for e, members in enumerate(ensembles.members_EK.tolist()):
        scores_NC = CONSENSUS["vote"](logits_MNC[members])
        tied_NC = scores_NC == scores_NC.amax(-1, keepdim=True)
        expected_N = tied_NC[torch.arange(20), labels_N] / tied_NC.sum(-1).double()
        torch.testing.assert_close(result.correct_BE[:, e].sum(), expected_N.sum())
        assert result.num_ties_E[e] == (tied_NC.sum(-1) > 1).sum()


def test_a_members_own_ties_are_counted_for_a_vote() -> None:
    logits_MNC = votes([[1, 1], [2, 2]])
    logits_MNC[0, 0, 3] = 1.0
    chunks = chunked(logits_MNC, torch.tensor([1, 1]), 1)
    result = evaluate(chunks, Ensembles.all_of(2, 1), ["vote", "average"], 1)
    assert result["vote"].num_member_ties_M.tolist() == [1, 0]
    assert result["vote"].accuracy.full_E.tolist() == [1.0, 0.0]
    assert result["average"].num_member_ties_M is None


def test_a_drawn_vote_is_seeded_by_sample_and_right_on_average() -> None:
    logits_MNC = votes([[0] * 2000, [3] * 2000])
    labels_N = torch.full((2000,), 3)
    ensembles = Ensembles.all_of(2, 2)

    def drawn(seed: int, length: int) -> Evaluation:
        chunks = chunked(logits_MNC, labels_N, length=length)
        return evaluate(chunks, ensembles, ["vote"], 3, draw_seed=seed, keep_winners=True)["vote"]

    result = drawn(0, length=2000)
    assert torch.equal(result.winners_NE, drawn(0, length=130).winners_NE)
    assert not torch.equal(result.winners_NE, drawn(1, length=2000).winners_NE)
    assert set(result.winners_NE.unique().tolist()) == {0, 3}
    assert abs(float(result.accuracy.full_E) - 0.5) < 0.05  # 4.5 standard errors
    assert float(result.correct_BE.sum()) == (result.winners_NE == 3).sum()


@pytest.fixture
def own_rule(request: pytest.FixtureRequest) -> str:
    name = f"test_{request.node.name}"
    yield name
    CONSENSUS._entries.pop(name, None)


def test_a_third_partys_rule_is_evaluated_by_its_name(own_rule: str) -> None:
    @CONSENSUS.register(own_rule)
    def least_likely(logits_KNC: Tensor) -> Tensor:
        return -logits_KNC.mean(0)

    logits_MNC = realistic(13)
    ensembles = Ensembles.all_of(6, 3)
    result = evaluate(
        chunked(logits_MNC, torch.zeros(24).long()), ensembles, [own_rule], 3, keep_winners=True
    )
    expected = [logits_MNC[members].mean(0).argmin(-1) for members in ensembles.members_EK.tolist()]
    assert torch.equal(result[own_rule].winners_NE, torch.stack(expected, 1))


def test_a_third_partys_monotone_rule_takes_the_quick_way(own_rule: str) -> None:
    computed: list[int] = []

    @CONSENSUS.register(own_rule)
    @per_class(lambda logits: logits.log_softmax(-1))
    def most_pessimistic(values_KNC: Tensor) -> Tensor:
        computed.append(values_KNC[0].numel())
        return values_KNC.amin(0)

    logits_MNC = realistic(14, c=1000)
    logits_MNC[..., 7] += 40  # clear on every sample
    result = evaluate(chunked(logits_MNC, torch.full((24,), 7)), Ensembles.all_of(6, 3), [own_rule], 3)
    assert result[own_rule].accuracy.full_E.tolist() == [1.0] * 20
    assert sum(computed) < 24 * 20 * 1000 / 10, "a score for each ensemble and class is ten times as many"


def test_sizes_in_one_pass_are_those_one_by_one() -> None:
    chunks = chunked(realistic(15), torch.arange(24))
    ensembles = [Ensembles.all_of(6, size) for size in (2, 3, 5)]
    names = ["average", "vote", "median"]
    for of_size, together in zip(ensembles, evaluate_sizes(iter(chunks), ensembles, names, 3), strict=True):
        for name, alone in evaluate(chunks, of_size, names, 3).items():
            assert torch.equal(together[name].correct_BE, alone.correct_BE)


def test_leave_one_out_is_the_accuracy_of_the_other_blocks() -> None:
    logits_MNC, labels_N = realistic(16), torch.arange(24)
    whole = evaluate(chunked(logits_MNC, labels_N), Ensembles.all_of(6, 3), ["average"], 3)["average"]
    others = torch.arange(24) * 3 // 24 != 1
    rest = evaluate(chunked(logits_MNC[:, others], labels_N[others]), Ensembles.all_of(6, 3), ["average"], 3)[
        "average"
    ]
    torch.testing.assert_close(whole.accuracy.without_BE[1], rest.accuracy.full_E)
    assert whole.count_B.tolist() == [8, 8, 8]


def test_without_samples_the_accuracy_is_undefined() -> None:
    result = evaluate([], Ensembles.all_of(3, 2), ["average", "vote"], 2)
    assert result["average"].accuracy.full_E.isnan().all()
    assert result["vote"].accuracy.without_BE.isnan().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": (1, 2, 0, torch.nan)}, "a row with maximum nan of model 1 on sample 102"),
        ({"logits": (0, 1, 3, torch.inf)}, "a row with maximum inf of model 0 on sample 101"),
        ({"label": 4}, "expected labels from 0 to 3, found 4"),
        ({"label": -1}, "expected labels from 0 to 3, found -1"),
        ({"block": 2}, "expected blocks from 0 to 1, found 2"),
        ({"models": 4}, "expected logits of 4 models, as the ensembles were drawn from, found logits of 3"),
        ({"rule": "mediann"}, "found 'mediann'; did you mean 'median'"),
    ],
)
def test_what_cannot_be_evaluated_is_named(change: dict[str, object], message: str) -> None:
    logits_MNC = torch.zeros(3, 5, 4)
    labels_N, blocks_N = torch.zeros(5).long(), torch.zeros(5).long()
    if "logits" in change:
        *where, value = change["logits"]
        logits_MNC[tuple(where)] = value
    labels_N[3] = change.get("label", 0)
    blocks_N[3] = change.get("block", 0)
    ensembles = Ensembles.all_of(change.get("models", 3), 2)
    with pytest.raises(UserError, match=message):
        chunk = Chunk(100, logits_MNC, labels_N, blocks_N)
        Evaluator([ensembles], [change.get("rule", "average")], 2).update(chunk)
