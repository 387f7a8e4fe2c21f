"""A study over images on disk: the same numbers as over images corrupted as they are needed."""

import json

import polars as pl
import pytest
from PIL import Image

from nversion.core import UserError
from nversion.data import plan_tree, write_tree
from nversion.selection.select import matching, split_conditions
from nversion.study import make_plan, open_study, parse_spec, trees_of
from nversion.study.stored import open_stored

CORRUPTIONS = {"clean": True, "corruptions": {"lines": [1.0, 2.0], "water_drop": 5.2}}
STORED = {"clean": True, "corruptions": {}, "stored": {"disk": {"path": "tree"}}}


def write(small, inputs, layout="png", **changes):
    spec = small.spec(**{"conditions": CORRUPTIONS, **changes})
    for tree in trees_of(spec, inputs, inputs / "tree", layout, 85):
        write_tree(tree)


@pytest.fixture
def tree(small, inputs):
    write(small, inputs)
    return inputs


def logits(folder):
    """The bytes of every array of logits by condition (without the tree's name) and model."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return {
        (condition.removesuffix("@disk"), model): (folder / path / "array.npy").read_bytes()
        for condition, models in manifest["logits"].items()
        for model, path in models.items()
    }


@pytest.mark.parametrize("layout", ["png", "cifar-c"])
def test_a_study_of_a_lossless_tree_has_the_logits_of_corrupting(small, inputs, layout):
    write(small, inputs, layout)
    small.run(inputs, conditions=CORRUPTIONS, attribution=None, representation=None)
    (inputs / "out").rename(inputs / "needed")
    small.run(inputs, conditions=STORED, attribution=None, representation=None)
    found, expected = logits(inputs / "out"), logits(inputs / "needed")
    assert found == expected and len(found) == 4 * 4


@pytest.fixture
def ran(small, tree):
    """A finished study of every table over stored images."""
    small.run(tree, conditions=STORED)
    return tree


def test_accuracies_diversity_and_evidence_are_those_of_corrupting(small, ran):
    (ran / "out").rename(ran / "stored")
    small.run(ran, conditions=CORRUPTIONS)
    for name in ("models", "ensembles", "pairs", "diversity", "cka", "attribution_agreement"):
        tables = [
            pl.read_parquet(ran / folder / "tables" / f"{name}.parquet") for folder in ("stored", "out")
        ]
        tables = [t.with_columns(pl.col("condition").str.strip_suffix("@disk")) for t in tables]
        assert tables[0].equals(tables[1]), name
    samples = [
        pl.read_parquet(ran / folder / "tables" / "samples.parquet")["png"] for folder in ("stored", "out")
    ]
    assert samples[0].equals(samples[1])


def test_conditions_round_trip_through_the_tables(ran):
    names = ["d/clean", "d/lines-1@disk", "d/lines-2@disk", "d/water_drop-5.2@disk"]
    table = pl.read_parquet(ran / "out" / "tables" / "conditions.parquet")
    assert table["condition"].to_list() == names
    assert table["corruption"].to_list() == [None, "lines", "lines", "water_drop"]
    assert table["stored"].to_list() == [None, "disk", "disk", "disk"]
    stored = open_stored(ran / "out")
    assert [c.name for c in stored.conditions] == names
    assert set(stored.predictions) == set(names)
    assert (ran / "out" / "tables" / "selection.parquet").is_file()


def test_the_report_names_the_tree(ran):
    from nversion.report.labels import corruption_label
    from nversion.report.tables import read_study

    study = read_study(ran / "out")
    assert [corruption_label(study, c) for c in study.condition_names] == [
        "clean",
        "lines 1 (disk)",
        "lines 2 (disk)",
        "water drop 5.2 (disk)",
    ]


def test_a_second_run_computes_nothing(small, ran):
    plan = small.run(ran, conditions=STORED)
    assert (plan.batches_missing, plan.maps_missing, plan.compared_missing) == (0, 0, 0)


def test_other_stored_images_are_computed_anew(small, ran):
    path = next((ran / "tree" / "lines" / "1.00").rglob("*.png"))
    Image.new("RGB", (small.SIZE, small.SIZE)).save(path)  # known by its size
    study = open_study(small.spec(conditions=STORED), ran / "out", ran)
    assert make_plan(study).batches_missing == 4 * 3


def test_the_plan_counts_stored_conditions(small, tree):
    study = open_study(
        small.spec(conditions=STORED, attribution=None, representation=None), tree / "out", tree
    )
    assert make_plan(study).batches_missing == 4 * 4 * 3


def test_stored_and_needed_corruptions_stand_side_by_side(small, tree):
    both = {**CORRUPTIONS, "stored": {"disk": {"path": "tree", "corruptions": ["lines"], "severities": [2]}}}
    study = open_study(small.spec(conditions=both), tree / "out", tree)
    names = [c.name for c in study.conditions]
    assert names[-2:] == ["d/water_drop-5.2", "d/lines-2@disk"]
    assert matching(study.conditions, ["*@disk"], "--condition") == ["d/lines-2@disk"]
    assert matching(study.conditions, ["lines"], "--condition") == [
        "d/lines-1",
        "d/lines-2",
        "d/lines-2@disk",
    ]
    seen, held = split_conditions(study.conditions, ())
    assert "d/lines-2@disk" in seen and held == ("d/water_drop-5.2",)


def test_several_data_sets_have_a_folder_each(small, inputs):
    data = {name: small.content()["data"]["d"] for name in ("d", "e")}
    write(small, inputs, data=data)
    study = open_study(small.spec(data=data, conditions=STORED), inputs / "out", inputs)
    assert sum(c.stored == "disk" and c.dataset == "e" for c in study.conditions) == 3


def test_a_tree_belongs_to_the_data_set_that_its_table_names(small, tree):
    data = {name: small.content()["data"]["d"] for name in ("d", "e")}
    named = {"stored": {"disk": {"path": "tree", "data": "e"}}}
    study = open_study(small.spec(data=data, conditions=named), tree / "out", tree)
    assert {c.dataset for c in study.conditions if c.stored} == {"e"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"path": "tree"},
            r"the data set whose images .*tree holds, found none named, .* add `data = \"d\"`",
        ),
        (
            {"path": "tree", "data": "f"},
            r"a data set of the study as `data` of \[conditions.stored.disk\], found 'f'",
        ),
    ],
)
def test_whose_images_a_tree_holds_must_be_clear(small, tree, table, message):
    data = {name: small.content()["data"]["d"] for name in ("d", "e")}
    with pytest.raises(UserError, match=message):
        open_study(small.spec(data=data, conditions={"stored": {"disk": table}}), tree / "out", tree)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"disk": {"pth": "tree"}}, "found conditions.stored.disk.pth; did you mean 'path'"),
        (
            {"disk": {"path": "tree", "sverities": [1]}},
            "found conditions.stored.disk.sverities; did you mean 'severities'",
        ),
        ({"on/disk": {"path": "tree"}}, "stored images cannot be called 'on/disk'"),
    ],
)
def test_a_table_of_stored_images_is_checked(small, stored, message):
    with pytest.raises(UserError, match=message):
        parse_spec(small.content(conditions={"stored": stored}), "s.toml")


def test_a_missing_stored_image_is_told_before_anything_runs(small, tree):
    next((tree / "tree" / "lines" / "2.00").rglob("*.png")).unlink()
    with pytest.raises(UserError, match=r"an image in .*lines/2.00 for each of the 12 samples .* 1 missing"):
        small.run(tree, conditions=STORED)
    assert not (tree / "out" / "predictions").exists()


def test_a_study_with_stored_images_can_be_applied_too(small, tree):
    spec = small.spec(conditions={**CORRUPTIONS, "stored": {"disk": {"path": "nowhere"}}})
    (again,) = trees_of(spec, tree, tree / "tree", "png", 85)
    assert plan_tree(again).images_missing == 0
