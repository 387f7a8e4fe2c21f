"""How good each model is alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error
from torch import Tensor

from nversion.core import UserError
from nversion.ensembles import Chunk, ModelStatistics, right_MN


def seen(logits_MNC: Tensor, labels_N: Tensor, num_blocks: int = 4) -> ModelStatistics:
    statistics = ModelStatistics(len(logits_MNC), num_blocks)
    statistics.update(Chunk(0, logits_MNC, labels_N, torch.arange(len(labels_N)) % num_blocks))
    return statistics


def random_case(seed: int, num_models: int = 3, n: int = 40, c: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_models, n, c, generator=generator) * 4, torch.randint(
        0, c, (n,), generator=generator
    )


def calibration_by_hand(logits_NC: Tensor, labels_N: Tensor) -> float:
    """Guo et al. 2017, Eq. 3: bins (b/15, (b + 1)/15], a loop over bins."""
    confidence_N, predicted_N = logits_NC.double().softmax(-1).max(-1)
    error = 0.0
    for b in range(15):
        inside = (confidence_N > b / 15) & (confidence_N <= (b + 1) / 15)
        if inside.any():
            accuracy = (predicted_N[inside] == labels_N[inside]).double().mean()
            error += float((accuracy - confidence_N[inside].mean()).abs() * inside.double().mean())
    return error


@pytest.mark.parametrize("seed", range(5))
def test_every_number_is_that_of_its_definition(seed: int) -> None:
    logits_MNC, labels_N = random_case(seed)
    result = seen(logits_MNC, labels_N).result()
    assert result.n == 40
    for m, logits_NC in enumerate(logits_MNC.double()):
        in_top5_N = (logits_NC.topk(5).indices == labels_N[:, None]).any(-1)
        nll = torch.nn.functional.cross_entropy(logits_NC, labels_N)
        assert result.top1_M[m] == (logits_NC.argmax(-1) == labels_N).double().mean()
        assert result.top5_M[m] == in_top5_N.double().mean()
        assert result.nll_M[m].item() == pytest.approx(nll.item(), rel=1e-6)
        assert result.ece_M[m].item() == pytest.approx(calibration_by_hand(logits_NC, labels_N), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    # Confidence 0.75 twice, right once: |1 − 1.5| / 2.
    logits_MNC = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
    assert seen(logits_MNC, torch.tensor([0, 1])).result().ece_M.item() == pytest.approx(0.25)


def test_a_confidence_of_almost_one_keeps_its_loss() -> None:
    result = seen(torch.tensor([[[20.0, 0.0]]]), torch.tensor([0])).result()
    assert result.nll_M.item() == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


@given(st.integers(0, 1000), st.integers(0, 40))
def test_two_parts_add_up_to_the_whole(seed: int, cut: int) -> None:
    logits_MNC, labels_N = random_case(seed)
    whole = seen(logits_MNC, labels_N)
    blocks_N = torch.arange(40) % 4
    parts = [ModelStatistics(3, 4), ModelStatistics(3, 4)]
    parts[0].update(Chunk(0, logits_MNC[:, :cut], labels_N[:cut], blocks_N[:cut]))
    parts[1].update(Chunk(cut, logits_MNC[:, cut:], labels_N[cut:], blocks_N[cut:]))
    for name, value in vars((parts[0] + parts[1]).result()).items():
        torch.testing.assert_close(torch.as_tensor(value), torch.as_tensor(getattr(whole.result(), name)))


def test_blocks_hold_their_own_samples() -> None:
    result = seen(torch.tensor([[[1.0, 0], [0, 1], [1, 0]]]), torch.tensor([0, 0, 0]), num_blocks=2).result()
    assert result.count_B.tolist() == [2, 1]
    assert result.right_BM.tolist() == [[2], [0]]


def test_equal_logits_go_to_the_lowest_class() -> None:
    logits_MNC = torch.zeros(1, 2, 7)
    assert right_MN(logits_MNC, torch.tensor([0, 5])).tolist() == [[True, False]]
    assert seen(logits_MNC, torch.tensor([4, 5])).result().top5_M.item() == 0.5


def test_without_samples_nothing_is_defined() -> None:
    result = ModelStatistics(2, 3).result()
    assert result.n == 0
    shares = (result.top1_M, result.top5_M, result.nll_M, result.ece_M, result.ece_debiased_M, result.brier_M)
    for value_M in shares:
        assert value_M.isnan().all()


def test_logits_of_another_pool_are_refused() -> None:
    with pytest.raises(UserError, match="expected logits of 2 models, found logits of 3"):
        ModelStatistics(2, 1).update(Chunk(0, torch.zeros(3, 1, 2), torch.tensor([0]), torch.tensor([0])))


@pytest.mark.parametrize("seed", range(3))
def test_brier_score_is_the_squared_distance_to_the_label(seed: int) -> None:
    logits_MNC, labels_N = random_case(seed)
    result = seen(logits_MNC, labels_N).result()
    for m, p_NC in enumerate(logits_MNC.double().softmax(-1).numpy()):
        expected = 8 * mean_squared_error(np.eye(8)[labels_N.numpy()], p_NC)
        assert result.brier_M[m].item() == pytest.approx(expected, rel=1e-6)


def test_brier_score_by_hand() -> None:
    # (3/4, 1/4) on labels 0 and 1: 2/16 and 18/16.
    logits_MNC = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
    result = seen(logits_MNC, torch.tensor([0, 1])).result()
    assert result.brier_M.item() == pytest.approx((2 / 16 + 18 / 16) / 2)


def test_debiased_calibration_error_by_hand() -> None:
    # Four samples of confidence 0.75, two right: 0.25² − 0.25 / 3 < 0; of forty, 0.25² − 0.25 / 39.
    logits_MNC = torch.tensor([math.log(3.0), 0.0]).expand(1, 40, 2)
    labels_N = torch.arange(40) % 2
    assert seen(logits_MNC[:, :4], labels_N[:4]).result().ece_debiased_M.item() == 0
    expected = math.sqrt(0.25**2 - 0.25 / 39)
    assert seen(logits_MNC, labels_N).result().ece_debiased_M.item() == pytest.approx(expected)


def test_the_chunk_says_who_is_right() -> None:
    # Class 1 is accepted beside the label 0: top-1 and calibration follow, the loss stays the label's.
    logits_MNC, labels_N = torch.tensor([[[0.0, 2.0]]]), torch.tensor([0])
    told = ModelStatistics(1, 1)
    told.update(Chunk(0, logits_MNC, labels_N, torch.tensor([0]), torch.tensor([[True]])))
    plain, told = seen(logits_MNC, labels_N, 1).result(), told.result()
    assert (plain.top1_M.item(), told.top1_M.item()) == (0, 1)
    assert told.right_BM.tolist() == [[1]]
    assert plain.ece_M.item() + told.ece_M.item() == pytest.approx(1.0)
    assert torch.equal(plain.nll_M, told.nll_M)
    assert torch.equal(plain.brier_M, told.brier_M)
