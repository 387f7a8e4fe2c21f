"""Suspect labels: images on which nearly all models fail, with the class that they agree on instead.

Label errors pose as common failures: where the label is wrong, good models fail together, and rightly so. A
suspect is no proof of a label error, only an image to look at: models also fail together on hard images, on
images of two objects, and through what they have learned alike. Hence every joint-failure number is given
with and without the suspects, and neither of the two is the true one: leaving out images because all models
fail on them takes joint failures away by construction, so the second number is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.data import Condition

from .registry import BYTES, FLOAT, INT, TEXT, table
from .tables import Samples


@dataclass(frozen=True)
class Suspects:
    """Samples on which nearly all of M models fail, those first on which most agree on one wrong class.

    Attributes:
        samples_S: index of each among the N readable samples of its data set.
        num_wrong_S: how many models fail.
        agreed_S: the wrong class that most models name; of equally many the lowest.
        num_agreed_S: how many name it.
        num_samples, num_models: N and M.
    """

    samples_S: NDArray[np.int64]
    num_wrong_S: NDArray[np.int64]
    agreed_S: NDArray[np.int64]
    num_agreed_S: NDArray[np.int64]
    num_samples: int
    num_models: int

    def __len__(self) -> int:
        return len(self.samples_S)

    @property
    def mask_N(self) -> NDArray[np.bool_]:
        """True for suspects: "without_suspects" leaves them out under every condition of the data set."""
        mask_N = np.zeros(self.num_samples, bool)
        mask_N[self.samples_S] = True
        return mask_N


def find_suspects(
    predicted_MN: Tensor, right_MN: Tensor, suspect_share: float, agreed_share: float = 0.0
) -> Suspects:
    """The samples on which at least `suspect_share` of the models fail.

    Ordered by the share of models that agree on one wrong class, the highest first, then by sample.

    Args:
        predicted_MN: top class of each model.
        right_MN: bool; a predicted class that the sample accepts is right.
        suspect_share: in (0.5, 1].
        agreed_share: of the models, that must name the same wrong class besides. Models that fail each in
            another way point at a hard image rather than at a wrong label.

    >>> predicted_MN = torch.tensor([[1, 2], [1, 0], [2, 2]])
    >>> found = find_suspects(predicted_MN, torch.zeros(3, 2, dtype=torch.bool), 1.0)
    >>> found.samples_S.tolist(), found.agreed_S.tolist(), found.num_agreed_S.tolist()
    ([0, 1], [1, 2], [2, 2])
    """
    num_models, num_samples = right_MN.shape
    # 0.28 of 25 models is 7, and not the 8 that rounding up 7.000000000000001 gives.
    needed, agreeing = (math.ceil(share * num_models - 1e-9) for share in (suspect_share, agreed_share))
    num_wrong_N = (~right_MN).sum(0)
    samples_S = (num_wrong_N >= needed).nonzero().squeeze(1)
    classes_MS = predicted_MN[:, samples_S].long()
    wrong_MS = ~right_MN[:, samples_S]
    # For each model's class, how many of the models that fail name it: M comparisons of M rows.
    votes_MS = torch.stack([((classes_MS == row) & wrong_MS).sum(0) for row in classes_MS]) * wrong_MS
    num_agreed_S = votes_MS.amax(0)
    above = int(classes_MS.max()) + 1 if classes_MS.numel() else 1
    agreed_S = classes_MS.masked_fill(votes_MS < num_agreed_S, above).amin(0)
    order_S = torch.argsort(num_agreed_S, descending=True, stable=True)
    order_S = order_S[num_agreed_S[order_S] >= agreeing]
    return Suspects(
        samples_S[order_S].cpu().numpy(),
        num_wrong_N[samples_S[order_S]].cpu().numpy(),
        agreed_S[order_S].cpu().numpy(),
        num_agreed_S[order_S].cpu().numpy(),
        num_samples,
        num_models,
    )


def condition_of_suspects(conditions: Sequence[Condition]) -> Condition:
    """The condition of a data set under which its suspects are found: clean, or the first if none is.

    Args:
        conditions: of one data set.
    """
    return next((condition for condition in conditions if condition.is_clean), conditions[0])


@table("suspects", of="data set", schema={
    "dataset": TEXT, "sample_id": TEXT, "condition": TEXT, "label": INT, "label_name": TEXT,
    "num_wrong": INT, "num_models": INT, "agreed_label": INT, "agreed_name": TEXT,
    "agreed_share": FLOAT, "png": BYTES,
})  # fmt: skip
def suspects_table(
    data: Samples, suspects_found_in: Condition, rows_N: NDArray[np.int64], suspects: Suspects
) -> Iterator[dict[str, object]]:
    """A row for each suspect of a data set, in their order; column `png` is null: see `nversion.study`.

    Args:
        suspects_found_in: the condition under which they were found.
        rows_N: the row of each readable sample in the data set.
    """
    condition, space = suspects_found_in, data.label_space
    for i, sample in enumerate(suspects.samples_S.tolist()):
        row = int(rows_N[sample])
        label, agreed = int(data.labels_N[row]), int(suspects.agreed_S[i])
        yield {
            "dataset": condition.dataset,
            "sample_id": data.sample_ids[row],
            "condition": condition.name,
            "label": label,
            "label_name": space.name_of(label),
            "num_wrong": int(suspects.num_wrong_S[i]),
            "num_models": suspects.num_models,
            "agreed_label": agreed,
            "agreed_name": space.name_of(agreed),
            "agreed_share": int(suspects.num_agreed_S[i]) / suspects.num_models,
            "png": None,
        }
