"""How often an ensemble and a model are right together, for every rule, against a plain count."""

import pytest
import torch

from nversion.ensembles import CONSENSUS, Chunk, Ensembles, evaluate


def chunks_of(logits_MNC: torch.Tensor, labels_N: torch.Tensor, length: int) -> list[Chunk]:
    """Consecutive chunks, all in one block of images."""
    return [
        Chunk(
            start,
            logits_MNC[:, start : start + length],
            labels_N[start : start + length],
            torch.zeros(len(labels_N[start : start + length]), dtype=torch.int64),
        )
        for start in range(0, len(labels_N), length)
    ]


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("rule", list(CONSENSUS))
def test_it_is_the_count_over_samples_with_ties_as_their_expected_share(rule: str, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    logits_MNC = torch.randn(6, 300, 5, generator=generator)
    labels_N = torch.randint(5, (300,), generator=generator)
    logits_MNC[:, :100].scatter_add_(
        2, labels_N[:100].expand(6, 100).unsqueeze(2), torch.full((6, 100, 1), 3.0)
    )
    ensembles = Ensembles.all_of(6, size)

    found = evaluate(chunks_of(logits_MNC, labels_N, 90), ensembles, [rule], 1)[rule]

    right_MN = (logits_MNC.argmax(-1) == labels_N).double()
    for ensemble, members in enumerate(ensembles.members_EK.tolist()):
        for model in (0, members[-1]):
            picked = right_MN[model].bool()
            rest = evaluate(
                chunks_of(logits_MNC[:, picked], labels_N[picked], 1000),
                Ensembles(ensembles.members_EK[ensemble : ensemble + 1], 6),
                [rule],
                1,
            )[rule]
            # Right together with a model: right among the samples which that model gets right.
            assert found.right_with_model_EM[ensemble, model] == pytest.approx(float(rest.correct_BE.sum()))


def test_a_chunk_may_say_itself_which_models_are_right() -> None:
    logits_MNC = torch.tensor([[[2.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]])
    known = torch.tensor([[False], [True]])
    chunk = Chunk(0, logits_MNC, torch.tensor([0]), torch.tensor([0]), known)

    found = evaluate([chunk], Ensembles.all_of(2, 2), ["average"], 1)["average"]

    assert found.right_with_model_EM.tolist() == [[0.0, 1.0]]
