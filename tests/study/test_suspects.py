"""Images on which nearly all models fail: which, with what wrong class, and how they are shown."""

import io
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from nversion.core import LabelSpace
from nversion.data import Canonical, Condition
from nversion.data.arrays import Arrays
from nversion.evaluation.suspects import (
    condition_of_suspects,
    find_suspects,
    suspects_table,
)
from nversion.study.stored import open_stored
from nversion.study.suspects import suspects_sheet, with_pictures, write_suspects_sheet

PETS = LabelSpace("pets", 4, ("cat", "dog", "fox", "hen"))


def table(num_pictures=9, share=0.75):
    """Six samples of label 0 and four models; the sample 0 is unreadable, the last three of them suspect."""
    predicted_MN = torch.tensor([[0, 0, 3, 2, 1], [0, 1, 3, 2, 2], [1, 2, 1, 2, 2], [1, 3, 1, 0, 3]])
    suspects = find_suspects(predicted_MN, predicted_MN == 0, share)
    images_NHW3 = np.repeat(np.arange(0, 240, 40, dtype=np.uint8), 8 * 8 * 3).reshape(6, 8, 8, 3)
    data = Arrays("pets", PETS, list("uvwxyz"), np.zeros(6, np.int64), images_NHW3)
    condition = Condition("my pets")
    found = suspects_table(data, condition, np.arange(1, 6), suspects)
    return with_pictures(found, {"my pets": data}, Canonical(4, "squash"), num_pictures)


def test_suspects_stand_by_agreement_on_the_wrong_class():
    rows = table().select("sample_id", "num_wrong", "agreed_name", "agreed_share").rows()
    # v: only two fail. w: three, each otherwise. x: two and two, the lower class. y: three agree. z: two.
    assert rows == [
        ("y", 3, "fox", 0.75),
        ("x", 4, "dog", 0.5),
        ("z", 4, "fox", 0.5),
        ("w", 3, "dog", 0.25),
    ]


def test_each_row_says_data_set_condition_and_label():
    row = table().row(0, named=True)
    known = {
        key: row[key] for key in ("dataset", "condition", "label", "label_name", "num_models", "agreed_label")
    }
    assert known == {
        "dataset": "my pets",
        "condition": "my pets/clean",
        "label": 0,
        "label_name": "cat",
        "num_models": 4,
        "agreed_label": 2,
    }


def test_the_first_suspects_carry_the_canonical_image():
    pictures = table(num_pictures=2)["png"].to_list()
    assert [png is not None for png in pictures] == [True, True, False, False]
    with Image.open(io.BytesIO(pictures[0])) as image:
        assert np.array_equal(np.asarray(image), np.full((4, 4, 3), 160))  # y is the fifth of the grey levels


def random_answers(num_models, num_samples=400, num_classes=6, seed=0):
    rng = np.random.default_rng(seed)
    accepted = [{0}, {0, 1}]
    predicted_MN = rng.integers(0, num_classes, (num_models, num_samples))
    right_MN = np.array(
        [[predicted in accepted[n % 2] for n, predicted in enumerate(row)] for row in predicted_MN.tolist()]
    )
    return predicted_MN, right_MN


@pytest.mark.parametrize(
    ("num_models", "share"), [(1, 1.0), (5, 0.6), (10, 0.7), (10, 0.9), (25, 0.88), (25, 0.56)]
)
def test_every_suspect_is_the_one_that_counting_by_hand_finds(num_models, share):
    predicted_MN, right_MN = random_answers(num_models)
    found = find_suspects(torch.from_numpy(predicted_MN), torch.from_numpy(right_MN), share)
    expected = []
    for n in range(predicted_MN.shape[1]):
        wrong = Counter(predicted_MN[~right_MN[:, n], n].tolist())
        if wrong.total() * 100 >= round(share * 100) * num_models:
            agreed, votes = min(wrong.items(), key=lambda item: (-item[1], item[0]))
            expected.append((-votes, n, wrong.total(), agreed))
    expected.sort()
    assert found.samples_S.tolist() == [n for _, n, _, _ in expected]
    assert found.num_agreed_S.tolist() == [-votes for votes, *_ in expected]
    assert found.num_wrong_S.tolist() == [wrong for _, _, wrong, _ in expected]
    assert found.agreed_S.tolist() == [agreed for *_, agreed in expected]
    assert np.flatnonzero(found.mask_N).tolist() == sorted(found.samples_S.tolist())
    assert len(found.mask_N) == 400


@pytest.mark.parametrize(
    ("agreed_share", "kept"), [(0.0, [3, 2, 4, 1]), (0.5, [3, 2, 4]), (0.75, [3]), (1.0, [])]
)
def test_agreement_on_one_wrong_class_may_be_asked_for_besides(agreed_share, kept):
    predicted_MN = torch.tensor([[0, 0, 3, 2, 1], [0, 1, 3, 2, 2], [1, 2, 1, 2, 2], [1, 3, 1, 0, 3]])
    found = find_suspects(predicted_MN, predicted_MN == 0, 0.75, agreed_share)
    assert found.samples_S.tolist() == kept
    assert np.flatnonzero(found.mask_N).tolist() == sorted(kept)


def test_an_accepted_class_is_never_the_one_agreed_on():
    predicted_MN = torch.tensor([[1], [1], [2]])
    found = find_suspects(predicted_MN, torch.tensor([[True], [True], [False]]), 0.3)
    assert (found.agreed_S.tolist(), found.num_agreed_S.tolist()) == ([2], [1])


def test_without_suspects_the_table_is_empty_and_there_is_no_sheet(tmp_path):
    found = find_suspects(torch.zeros(3, 5, dtype=torch.long), torch.ones(3, 5, dtype=torch.bool), 0.9)
    assert len(found) == 0 and not found.mask_N.any()
    empty = table().clear()
    assert suspects_sheet(empty) is None
    assert not write_suspects_sheet(tmp_path / "suspects.png", empty)
    assert list(tmp_path.iterdir()) == []


def test_suspects_are_found_on_clean_images_where_there_are_any():
    lines, water = Condition("d", "lines", 1.0), Condition("d", "water_drop", 7.0)
    assert condition_of_suspects([lines, Condition("d"), water]) == Condition("d")
    assert condition_of_suspects([lines, water]) == lines


def test_the_sheet_shows_each_picture_once(tmp_path):
    shown = table(num_pictures=3)
    assert write_suspects_sheet(tmp_path / "suspects.png", shown)
    with Image.open(tmp_path / "suspects.png") as sheet:
        assert sheet.size == (6 + 3 * 134, 6 + 128 + 42 + 6)
        greys = [sheet.getpixel((6 + column * 134 + 64, 70)) for column in range(3)]
    assert greys == [(160,) * 3, (120,) * 3, (200,) * 3]  # y, x, z


def test_the_table_of_no_suspects_has_all_columns():
    predicted_MN = torch.zeros(2, 1, dtype=torch.long)
    found = find_suspects(predicted_MN, predicted_MN == 0, 0.9)
    data = Arrays("pets", PETS, ["a"], np.zeros(1, np.int64), np.zeros((1, 4, 4, 3), np.uint8))
    empty = suspects_table(data, Condition("pets"), np.arange(1), found)
    assert empty.schema == table().schema
    assert empty.schema["png"] == pl.Binary


@pytest.fixture(scope="module")
def suspicious(small, tmp_path_factory):
    """The folder of a finished study whose models fail on other images under contrast than on clean ones."""
    folder = small.write_inputs(tmp_path_factory.mktemp("suspects"), 30)
    of_suspects = {"suspect_share": 0.7, "suspect_agreement": 0.0}
    small.run(
        folder,
        attribution=None,
        representation=None,
        conditions={"corruptions": {"contrast": 5.0}},
        reliability=of_suspects,
    )
    return folder / "out"


def test_suspects_are_found_on_clean_images_and_left_out_under_every_condition(suspicious):
    wrong = {}
    for name, view in open_stored(suspicious).predictions.items():
        logits_MNC = torch.cat([chunk.logits_MNC for chunk in view.chunks()], 1)
        labels_N = torch.cat([chunk.labels_N for chunk in view.chunks()])
        num_wrong_N = (logits_MNC.argmax(-1) != labels_N).sum(0)
        wrong[name] = set((num_wrong_N >= 3).nonzero()[:, 0].tolist())  # of 4 models
    assert 0 < len(wrong["d/clean"]) < 30 and len(wrong["d/clean"]) != len(wrong["d/contrast-5"])
    suspects = pl.read_parquet(suspicious / "tables" / "suspects.parquet")
    assert (suspects["condition"].unique().to_list(), suspects.height) == (["d/clean"], len(wrong["d/clean"]))
    failures = pl.read_parquet(suspicious / "tables" / "joint_failures.parquet")
    without = failures.filter(subset="without_suspects")
    assert set(without["condition"]) == set(wrong)
    assert set(without["n"]) == {30 - len(wrong["d/clean"])}
