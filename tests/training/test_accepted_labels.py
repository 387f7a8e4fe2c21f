"""Further accepted labels count as right in a training's validation, as they do in studies."""

import polars as pl
import pytest
import torch

from nversion.data import open_dataset
from nversion.data.accepted import is_right
from nversion.models import load_classifier
from nversion.training import parse_recipe, train_recipe

CONTENT = {
    "train": {"name": "try", "epochs": 1, "batch_size": 16, "device": "cpu"},
    "canonical": {"size": 32, "mode": "squash"},
    "augment": {"crop_scale": [1.0, 1.0], "flip": 0.0},
    "members": [
        {
            "arch": "python:nversion.training.small_networks:build",
            "args": {"name": "shufflenet", "num_classes": 10},
            "name": "net",
            "count": 2,
        }
    ],
}
DATA = {"source": "digits", "split": "train", "count": 64}
SEEN = {"source": "digits", "split": "test", "count": 20}


@pytest.fixture
def validation(tmp_path):
    def rows(accepted):
        name = f"accepted-{len(accepted)}.csv"
        ids = open_dataset(SEEN).sample_ids
        lines = [f"{ids[row]},{'|'.join(map(str, labels))}" for row, labels in accepted.items()]
        (tmp_path / name).write_text("\n".join(["sample_id,labels", *lines]) + "\n")
        data = {"train": DATA, "validation": SEEN | ({"accepted": name} if accepted else {})}
        (recipe,) = parse_recipe(CONTENT | {"data": data}, "a test").values()
        (ensemble,) = train_recipe(recipe, tmp_path / f"out-{len(accepted)}", base=tmp_path)
        return ensemble, {
            (metric, member): value
            for metric, member, value in pl.read_parquet(ensemble.folder / "metrics.parquet")
            .filter(split="validation")
            .select("metric", "member", "value")
            .iter_rows()
        }

    return rows


def test_accepted_labels_raise_the_accuracy_by_the_images_they_make_right(validation):
    ensemble, plain = validation({})
    dataset = open_dataset(SEEN)
    images = torch.stack([torch.from_numpy(dataset.decode(i)) for i in range(20)]).permute(0, 3, 1, 2) / 255
    predicted_MN = torch.stack(
        [load_classifier({"source": f"file:{m.path}"})(images).argmax(1) for m in ensemble.members]
    )
    wrong_N = predicted_MN[0] != torch.tensor(dataset.labels_N)
    accepted = {int(row): (int(predicted_MN[0, row]),) for row in wrong_N.nonzero()[:5, 0]}
    _, more = validation(accepted)
    right_MN = is_right(predicted_MN, torch.tensor(dataset.labels_N), accepted)
    assert more["accuracy", "net-0"] == pytest.approx(plain["accuracy", "net-0"] + len(accepted) / 20)
    assert more["disagreement", ""] == pytest.approx((right_MN[0] ^ right_MN[1]).float().mean().item())
    assert more["cross_entropy", "net-0"] == plain["cross_entropy", "net-0"]
