"""Severities found for a classifier of digits by their fine detail; and studies that read them."""

import tomllib
from dataclasses import replace

import pytest
import torch

from nversion.core import UserError
from nversion.severity_search import grid_of, search_severities, severities_toml
from nversion.study import parse_spec, read_pool_spec, trees_of
from nversion.study.images import with_found_severities
from nversion.study.reference import asked_corruptions, open_reference

MODELS_PY = """
import torch
from torch import nn
from torch.nn import functional as F

from nversion.data import open_dataset

class Fine(nn.Module):
    # Nearest mean of what is finer than five pixels: a blur takes it away.
    def __init__(self, name):
        super().__init__()
        train = open_dataset({"source": "digits", "split": "train"})
        images_NHW3 = torch.stack([torch.from_numpy(train.decode(i)) for i in range(len(train))])
        labels_N = torch.tensor(train.labels_N)
        fine_NP = self.fine(images_NHW3.permute(0, 3, 1, 2).float() / 255)
        self.mean_CP = nn.Parameter(torch.stack([fine_NP[labels_N == label].mean(0) for label in range(10)]))
        self.scale = 1e30 if name == "broken" else 1.0

    def fine(self, images_N3HW):
        grey_N1HW = images_N3HW.mean(1, keepdim=True)
        return F.normalize((grey_N1HW - F.avg_pool2d(grey_N1HW, 5, 1, 2)).flatten(1))

    def forward(self, images_N3HW):
        return self.fine(images_N3HW) @ self.mean_CP.T * self.scale

def build(name):
    return Fine(name), {"input_size": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}
"""

FILE = """
[data.d]
source = "digits"

[canonical]
size = 32
mode = "squash"

[conditions]
seed = 3
[conditions.corruptions]
gaussian_blur = 5

[[models]]
source = "python:models.py:build"
names = ["near", "broken"]
label_space = "digits"

[run]
device = "cpu"
"""


TARGETS = [0.01, 0.1, 0.3, 0.9]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("severities")
    (base / "models.py").write_text(MODELS_PY)
    (base / "file.toml").write_text(FILE)
    return base


@pytest.fixture(scope="module")
def reference(base):
    return open_reference(read_pool_spec(base / "file.toml"), base, "near", count=250)


@pytest.fixture(scope="module")
def rows(reference, base):
    return search_severities(reference, ["gaussian_blur"], TARGETS, base / "out.measured")


def of(rows, target):
    return next(row for row in rows if row.target == target)


@pytest.mark.parametrize("target", [0.1, 0.3])
def test_the_severity_found_costs_what_was_asked(rows, target):
    row = of(rows, target)
    assert row.drop == pytest.approx(target, abs=0.02) and row.severity == row.measured_at
    assert row.drop_low < target < row.drop_high
    assert row.accuracy_low < row.accuracy < row.accuracy_high
    assert 1 <= row.severity_low < row.severity < row.severity_high <= 5


def test_a_larger_drop_takes_a_larger_severity(rows):
    assert of(rows, 0.1).severity < of(rows, 0.3).severity


def test_the_accuracy_told_is_that_of_the_condition_in_a_study(reference, rows):
    row, right = of(rows, 0.3), 0
    condition = reference.condition("gaussian_blur", row.severity)
    assert condition.seed == 3
    for i in range(len(reference.dataset)):
        image = torch.from_numpy(reference.canonical.render(reference.dataset.decode(i)))[None]
        corrupted = condition.render(image, [reference.dataset.sample_ids[i]])
        right += int(reference.classifier(corrupted.float() / 255).argmax()) == reference.dataset.labels_N[i]
    assert right / 250 == pytest.approx(row.accuracy, abs=0.004)  # one image, by float16's ties


def test_what_is_out_of_reach_is_told_with_the_largest_drop(rows):
    row = of(rows, 0.9)
    assert row.severity is None and row.severity_low is None
    assert row.note == "not reached; the numbers are those of the largest drop"
    assert row.drop >= max(of(rows, t).drop for t in (0.1, 0.3))


def test_a_mildest_severity_that_costs_more_is_told(rows):
    row = of(rows, 0.01)
    assert row.severity is None and row.measured_at == 1.0 and row.drop > 0.01
    assert row.note == "even the mildest severity costs more"


def test_a_second_call_measures_nothing_and_gives_the_same(reference, rows, base):
    class Strict:
        def say(self, text):
            pass

        def start(self, text, total):
            raise AssertionError(f"{text}: {total}")

        advance = None

    again = search_severities(reference, ["gaussian_blur"], TARGETS, base / "out.measured", Strict())
    assert again == rows
    (only,) = search_severities(reference, ["gaussian_blur"], [0.3], base / "out.measured", Strict())
    assert (only.severity, only.drop) == (of(rows, 0.3).severity, of(rows, 0.3).drop)


def test_the_file_holds_severities_and_what_they_rest_on(reference, rows):
    content = tomllib.loads(severities_toml(reference, rows))
    assert content["corruptions"]["gaussian_blur"] == [
        of(rows, 0.1).severity,
        of(rows, 0.3).severity,
    ]
    facts = content["search"]
    assert (facts["model"], facts["num_images"], facts["seed"]) == ("near", 250, 3)
    assert facts["model_fingerprint"] == reference.classifier.fingerprint
    assert facts["data_fingerprint"] == reference.dataset.fingerprint
    assert facts["clean_accuracy"] == pytest.approx(rows[0].accuracy + rows[0].drop)
    assert len(content["found"]) == len(TARGETS) and "severity" not in content["found"][-1]


def study(content, **conditions):
    tables = tomllib.loads(FILE) | {"study": {"name": "s"}, "ensembles": {"sizes": [2]}}
    return parse_spec(
        tables | {"conditions": {"corruptions": {"gaussian_blur": 1.0}, **conditions}}, "study.toml"
    )


def test_a_study_takes_the_file_beside_its_own_corruptions(reference, rows, base):
    (base / "sub").mkdir(exist_ok=True)
    (base / "sub" / "severities.toml").write_text(severities_toml(reference, rows))
    spec = study(base, severities="sub/severities.toml")
    (tree,) = trees_of(spec, base, base / "tree", "png", 85)
    found = [of(rows, t).severity for t in (0.1, 0.3)]
    assert [c.severity for c in tree.conditions] == [1.0, *found]
    merged = with_found_severities(spec, base)
    assert with_found_severities(merged, base) == merged


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[corruption]\nlines = [1.0]", "found corruption; did you mean 'corruptions'?"),
        ("[corruptions]\n[search]\nmodle = 'a'", "found search.modle; did you mean 'model'?"),
        ("[corruptions]\n", r"a severity under .corruptions. in .*, found none; search for a smaller"),
        ("[corruptions]\nlines = 'much'", "a sound value of corruptions.lines in"),
        (
            None,
            "a file of severities, found .*which cannot be read .*; write it with: nversion corr",
        ),
    ],
)
def test_another_file_is_told(base, content, sentence):
    path = base / "other.toml"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        with_found_severities(study(base, severities="other.toml"), base)


def test_severities_of_other_canonical_images_are_refused(reference, rows, base):
    (base / "at-32.toml").write_text(severities_toml(reference, rows))
    spec = study(base, severities="at-32.toml")
    other = spec.model_copy(update={"canonical": spec.canonical.model_copy(update={"size": 64})})
    with pytest.raises(UserError, match=r"found on images of 64 pixels .*, found 32 pixels"):
        with_found_severities(other, base)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan"), 10])
def test_a_drop_is_a_fraction(reference, base, target):
    with pytest.raises(UserError, match="a drop in accuracy between 0 and 1, found"):
        search_severities(reference, ["lines"], [target], base / "unused")


def test_an_unknown_model_or_corruption_is_told_the_nearest_name(base, reference):
    spec = read_pool_spec(base / "file.toml")
    with pytest.raises(UserError, match="a model of the file, found 'nearr'; did you mean 'near'"):
        open_reference(spec, base, "nearr")
    with pytest.raises(UserError, match="a data set of the file, found 'dd'; did you mean 'd'"):
        open_reference(spec, base, "near", data="dd")
    with pytest.raises(UserError, match="a known corruption, found 'linse'; did you mean 'lines'"):
        search_severities(reference, ["linse"], [0.1], base / "unused")


def test_logits_that_are_not_finite_are_told(base):
    broken = open_reference(read_pool_spec(base / "file.toml"), base, "broken", count=5)
    with pytest.raises(UserError, match=r"finite logits from 'broken' .*/clean, .* on 5 of 5; .*float32"):
        search_severities(broken, ["lines"], [0.1], base / "broken.measured")


def test_further_accepted_labels_count_as_right(reference, base):
    """With every class accepted nothing is wrong, so no severity costs accuracy."""
    every = {row: tuple(range(10)) for row in range(0, 250, 2)}
    further = {row: tuple(c for c in every[row] if c != reference.dataset.labels_N[row]) for row in every}
    accepting = replace(reference, dataset=reference.dataset.accepting(further))
    (row,) = search_severities(accepting, ["gaussian_blur"], [0.9], base / "accepted.measured")
    (strict,) = search_severities(reference, ["gaussian_blur"], [0.9], base / "out.measured")
    assert row.accuracy >= 0.5 > strict.accuracy
    assert row.accuracy * 250 == pytest.approx(125 + odd_rows_right(reference, row.measured_at), abs=1)


def odd_rows_right(reference, severity):
    condition, right = reference.condition("gaussian_blur", severity), 0
    for i in range(1, 250, 2):
        image = torch.from_numpy(reference.canonical.render(reference.dataset.decode(i)))[None]
        corrupted = condition.render(image, [reference.dataset.sample_ids[i]])
        right += int(reference.classifier(corrupted.float() / 255).argmax()) == reference.dataset.labels_N[i]
    return right


def test_the_range_searched_starts_at_the_mildest_severity():
    assert grid_of("lines", 32) == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
    assert grid_of("fog", 224) == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_corruptions_left_out_are_those_of_the_file_or_all(base):
    spec = read_pool_spec(base / "file.toml")
    assert asked_corruptions(spec) == ["gaussian_blur"]
    none = spec.model_copy(update={"conditions": spec.conditions.model_copy(update={"corruptions": {}})})
    assert len(asked_corruptions(none)) > 49
