"""Images on which every member fails: pictures of the most common ones, with label and answers.

Not to be taken for `suspects`: those are images of a doubtful label, found under one condition by how many
models agree on another class. These are the failures that no voter of these members can survive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nversion.attribution import to_png
from nversion.data import Canonical, Condition, Dataset
from nversion.evaluation.registry import BYTES, INT, TEXT, TEXTS, table
from nversion.predictions import ConditionPredictions

MOST_LISTED = 200
"""Images of a data set and group that are listed; the rates of all are in `joint_failures`."""
NUM_PICTURES = 12
ALL_MODELS, CHOSEN = "all models", "chosen ensemble"


@table("all_fail", of="folder", schema={
    "group": TEXT, "members": TEXTS, "dataset": TEXT, "sample_id": TEXT, "label": INT,
    "label_name": TEXT, "num_conditions": INT, "of_conditions": INT, "condition": TEXT,
    "answers": TEXT, "png": BYTES,
})  # fmt: skip
def all_fail_table(
    datasets: Mapping[str, Dataset],
    canonical: Canonical,
    conditions: Sequence[Condition],
    predictions: Mapping[str, ConditionPredictions],
    groups: Mapping[str, Sequence[str]],
    num_pictures: int = NUM_PICTURES,
) -> list[dict[str, Any]]:
    """A row for each image on which all members of a group fail under some condition.

    Those that fail under most conditions stand first, then by sample. `condition` is the first under which
    all fail, in the study's order, and `answers` what the members say there; the first `num_pictures` of
    each data set and group have a PNG of it.

    Memory: a count for each image of a data set, and the pictures.

    Args:
        groups: names of the members by what they are called.
    """
    rows: list[dict[str, Any]] = []
    for name, dataset in datasets.items():
        of_dataset = [c for c in conditions if c.dataset == name]
        views = [predictions[c.name] for c in of_dataset]
        for group, names in groups.items():
            members = [views[0].model_names.index(model) for model in names]
            fail_TN = np.stack([_all_fail_N(view, members) for view in views])
            times_N = fail_TN.sum(0)
            order_n = np.argsort(-times_N, kind="stable")[: min(MOST_LISTED, int((times_N > 0).sum()))]
            for place, sample in enumerate(order_n.tolist()):
                first = int(fail_TN[:, sample].argmax())
                row = int(views[0].rows_N[sample])
                label = int(dataset.labels_N[row])
                rows.append(
                    {
                        "group": group,
                        "members": list(names),
                        "dataset": name,
                        "sample_id": dataset.sample_ids[row],
                        "label": label,
                        "label_name": dataset.label_space.name_of(label),
                        "num_conditions": int(times_N[sample]),
                        "of_conditions": len(of_dataset),
                        "condition": of_dataset[first].name,
                        "answers": _answers(views[first], members, row, dataset),
                        "png": _picture(dataset, canonical, of_dataset[first], row)
                        if place < num_pictures
                        else None,
                    }
                )
    return rows


def _all_fail_N(view: ConditionPredictions, members: Sequence[int]) -> NDArray[np.bool_]:
    return torch.cat([~chunk.right_MN[members].any(0) for chunk in view.chunks()]).numpy()


def _answers(view: ConditionPredictions, members: Sequence[int], row: int, dataset: Dataset) -> str:
    """What the members say of one image, the most frequent first: "3 (2 of 3), 8 (1 of 3)"."""
    said = Counter(int(np.asarray(view.logits[model][row]).argmax()) for model in members)
    return ", ".join(
        f"{dataset.label_space.name_of(answer)} ({count} of {len(members)})"
        for answer, count in sorted(said.items(), key=lambda item: (-item[1], item[0]))
    )


def _picture(dataset: Dataset, canonical: Canonical, condition: Condition, row: int) -> bytes:
    image_13HW = torch.from_numpy(canonical.render(dataset.decode(row))[None])
    return to_png(condition.render(image_13HW, [dataset.sample_ids[row]])[0])
