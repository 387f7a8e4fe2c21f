"""One model with a threshold on its confidence, as the rival of the chosen ensemble's voter.

Both answer some images and stop at the others, on the same images: the half that had no say in the choice
of either. A voter answers where at least k of K members name one class; only k above K/2, so that no two
classes can be named by as many. The model answers where its confidence, the largest softmax probability, is
among the highest: of as many images as the voter, so that both are equally available. No label takes part
in setting that threshold. What is compared is what a system cannot handle: the share of all images that are
answered wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nversion.core.members import ensemble_name
from nversion.data import Condition
from nversion.evaluation.halves import halves
from nversion.evaluation.registry import FLOAT, INT, TEXT, table
from nversion.predictions import ConditionPredictions
from nversion.reliability import paired_difference_interval, proportion_interval

LEVELS = 50
"""Coverages at which the model's curve is told: 1/50, 2/50, …, 1."""
VOTER, MODEL = "voter", "model"
_UNDEFINED = dict.fromkeys(("confidence", "difference", "difference_low", "difference_high"), float("nan"))


@table("rival", of="folder", schema={
    "condition": TEXT, "system": TEXT, "name": TEXT, "size": INT, "agreeing": INT, "n": INT,
    "accepted": INT, "coverage": FLOAT, "confidence": FLOAT, "silent_wrong": FLOAT, "low": FLOAT,
    "high": FLOAT, "difference": FLOAT, "difference_low": FLOAT, "difference_high": FLOAT,
})  # fmt: skip
def rival_table(
    predictions: Mapping[str, ConditionPredictions],
    conditions: Sequence[Condition],
    ensemble: Sequence[str],
    model: str,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each condition and number of agreeing members, and for each coverage of the model's curve.

    `difference` is the voter's share of silently wrong answers less the model's at the same coverage,
    with the score interval of a paired difference; of the voter's rows only. `low` and `high` are Clopper
    and Pearson's.

    Memory: a few numbers an image of one condition; logits are read in chunks.

    Args:
        predictions: by the name of the condition.
        conditions: whose rows are wanted.
        ensemble, model: names of the members and of the single model.
        seed: of the halves; the held-out one is used.
    """
    rows: list[dict[str, Any]] = []
    for condition in conditions:
        view = predictions[condition.name]
        held_out_N = halves(condition.dataset, torch.from_numpy(view.blocks_N), seed)
        members = [view.model_names.index(name) for name in ensemble]
        confidence_N, wrong_N, agreeing_N, agreed_wrong_N = (
            values_N[held_out_N] for values_N in _answers(view, members, view.model_names.index(model))
        )
        n, size = len(wrong_N), len(members)
        of_model = {"condition": condition.name, "system": MODEL, "name": model, "size": 1, "n": n}
        for level in range(1, LEVELS + 1):
            accepted = round(n * level / LEVELS)
            if accepted:
                share_N, threshold = most_confident(confidence_N, accepted)
                rows.append(of_model | _numbers(share_N * wrong_N, accepted, n) | {"confidence": threshold})
        for agreeing in range(size // 2 + 1, size + 1) if size > 1 else ():
            accepted_N = agreeing_N >= agreeing
            accepted = int(accepted_N.sum())
            silent_N = (accepted_N & agreed_wrong_N).double()
            share_N, threshold = most_confident(confidence_N, accepted)
            rival_N = share_N * wrong_N
            only_voter, only_model = (silent_N * (1 - rival_N)).sum(), (rival_N * (1 - silent_N)).sum()
            low, high = paired_difference_interval(only_voter, only_model, n)
            rows.append(
                {
                    "condition": condition.name,
                    "system": VOTER,
                    "name": ensemble_name(ensemble, view.model_names),
                    "size": size,
                }
                | {"n": n, "agreeing": agreeing, "confidence": threshold}
                | _numbers(silent_N, accepted, n)
                | {"difference": float(only_voter - only_model) / n}
                | {"difference_low": float(low), "difference_high": float(high)}
            )
    return [_UNDEFINED | row for row in rows]


def most_confident(confidence_N: Tensor, accepted: int) -> tuple[Tensor, float]:
    """How far each sample is among the `accepted` most confident: 1, 0, or at the threshold its chance.

    Samples of exactly the threshold's confidence share what places are left, so that their order in the data
    set says nothing. Returns the shares and the threshold as a probability; nan where none is accepted.

    Args:
        confidence_N: logarithms of the largest probability.

    >>> most_confident(torch.tensor([0.5, 0.9, 0.5]).log(), 2)[0].tolist()
    [0.5, 1.0, 0.5]
    """
    if accepted == 0:
        return torch.zeros(len(confidence_N), dtype=torch.float64), float("nan")
    threshold = confidence_N.sort(descending=True).values[accepted - 1]
    above_N, at_N = confidence_N > threshold, confidence_N == threshold
    share = (accepted - int(above_N.sum())) / int(at_N.sum())
    return above_N.double() + share * at_N.double(), float(threshold.exp())


def _answers(
    view: ConditionPredictions, members: Sequence[int], model: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every sample: the model's log confidence and whether it is wrong, how many members agree on a
    class, and whether that class is wrong."""
    parts = []
    for chunk in view.chunks():
        predicted_Kn, right_Kn = chunk.predicted_MN[members], chunk.right_MN[members]
        # How many members name each member's class; the first member of the largest group speaks for it.
        votes_Kn = torch.stack([(predicted_Kn == row).sum(0) for row in predicted_Kn])
        agreeing_n, speaker_n = votes_Kn.max(0)
        agreed_right_n = right_Kn.gather(0, speaker_n[None]).squeeze(0)
        confidence_n = chunk.logits_MNC[model].double().log_softmax(-1).amax(-1)
        parts.append((confidence_n, ~chunk.right_MN[model], agreeing_n, ~agreed_right_n))
    confidence_N, wrong_N, agreeing_N, agreed_wrong_N = (torch.cat(part) for part in zip(*parts, strict=True))
    return confidence_N, wrong_N, agreeing_N, agreed_wrong_N


def _numbers(silent_N: Tensor, accepted: int, n: int) -> dict[str, Any]:
    silent = float(silent_N.sum())
    low, high = proportion_interval(round(silent), n, method="clopper_pearson")
    return {
        "accepted": accepted,
        "coverage": accepted / n,
        "silent_wrong": silent / n,
        "low": low,
        "high": high,
    }
