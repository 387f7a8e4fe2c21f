"""`nversion.evaluate`: tables of predictions in memory."""

import numpy as np
import polars as pl
import pytest

import nversion as nv
from nversion.core import UserError
from nversion.evaluation import Inputs
from nversion.evaluation.registry import SHARED, TABLES


def logits(strength, seed=0, models=4, samples=60, classes=3):
    rng = np.random.default_rng(seed)
    labels_N = np.random.default_rng(1).integers(0, classes, samples)
    return rng.normal(size=(models, samples, classes)) + strength * np.eye(classes)[labels_N], labels_N


@pytest.fixture(scope="module")
def predictions():
    labels_N = logits(0)[1]
    return nv.Predictions.from_arrays({"clean": logits(2)[0], "fog-3": logits(1, seed=5)[0]}, labels_N)


@pytest.fixture(scope="module")
def result(predictions):
    return nv.evaluate(predictions, sizes=[2, 3])


def test_accuracies_are_those_of_numpy(result):
    logits_MNC, labels_N = logits(2)
    row = result.ensembles.filter(
        ensemble="model-0 + model-1 + model-3", consensus="average", condition="data/clean"
    )
    right_N = logits_MNC[[0, 1, 3]].astype(np.float32).mean(0).argmax(-1) == labels_N
    assert row["top1"].item() == pytest.approx(right_N.mean())


def test_every_table_of_predictions_is_there(result):
    made = {name for name, one in TABLES.items() if one.of != "folder"}
    assert set(result.tables) == made - {"cka", "attribution_agreement"}  # they need stores
    assert all(
        dict(frame.schema) == dict(pl.Schema(TABLES[name].schema)) for name, frame in result.tables.items()
    )


def test_an_unknown_table_is_an_attribute_error(result):
    with pytest.raises(AttributeError, match="no table 'acuracy' here; there are agreement"):
        result.acuracy  # noqa: B018


def test_costs_of_unknown_models_are_null_and_not_zero(result):
    assert result.models["params"].null_count() == result.models.height
    assert result.ensembles["macs"].null_count() == result.ensembles.height


def test_a_result_shows_its_best_ensembles(result):
    shown = repr(result)
    best = result.best(1)["ensemble"].item()
    assert "4 models under 2 conditions; ensembles: 6 of 2 members, 4 of 3 members" in shown
    assert best in shown and best in result._repr_html_()
    assert result.__rich__().row_count == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": [5]}, "size from 1 to 4, the number of models, found 5"),
        ({"sizes": [1]}, "an ensemble has at least 2 members"),
        ({"consensus": ["avrage"]}, "did you mean 'average'"),
        ({"diversity": ["disagrement"]}, "did you mean 'disagreement'"),
        ({"suspect_shar": 0.9}, "did you mean 'suspect_share'"),
        ({"sample": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(predictions, settings, message):
    with pytest.raises(UserError, match=message):
        nv.evaluate(predictions, **settings)


def test_one_model_makes_no_ensemble():
    logits_MNC, labels_N = logits(1, models=1)
    with pytest.raises(UserError, match="predictions of at least two models, found one: model-0"):
        nv.evaluate(nv.Predictions.from_arrays(logits_MNC, labels_N))


def test_two_models_are_evaluated_as_pairs_by_default():
    logits_MNC, labels_N = logits(1, models=2)
    assert set(nv.evaluate(nv.Predictions.from_arrays(logits_MNC, labels_N)).ensembles["size"]) == {2}


def test_suspects_are_those_of_the_clean_condition_under_every_condition():
    labels_N = np.zeros(30, np.int64)
    clean = np.tile(np.array([2.0, 0.0, 0.0]), (4, 30, 1))
    clean[:, 7] = [0.0, 0.0, 9.0]  # all models agree on another class, on clean images alone
    fog = np.tile(np.array([2.0, 0.0, 0.0]), (4, 30, 1))
    fog[:, 3] = [0.0, 9.0, 0.0]  # a common failure under the corruption alone
    found = nv.evaluate(nv.Predictions.from_arrays({"fog-3": fog, "clean": clean}, labels_N), sizes=[2])
    assert found.suspects["sample_id"].to_list() == ["7"]
    rate = (
        found.joint_failures.filter(condition="data/fog-3").group_by("subset").agg(pl.col("all_fail").first())
    )
    assert dict(rate.iter_rows()) == {"all": pytest.approx(1 / 30), "without_suspects": pytest.approx(1 / 29)}


def test_every_parameter_of_a_table_is_a_value_of_its_scope(predictions):
    given = {*Inputs.__dataclass_fields__, "model_names", "contenders"}
    outer = {
        "study": set(),
        "data set": {"dataset", "data", "suspects_found_in", "rows_N", "readable_ids", "suspects"}
        | {"suspects_N", "answers"},
        "condition": {"condition", "result", "clean", "clean_twin", "grams", "layers", "sample_ids"},
    }
    known = set(given)
    for of, own in outer.items():
        known |= own | {name for kind, name in SHARED if kind == of}
        tables = {name: one for name, one in TABLES.items() if one.of == of}
        for name, one in tables.items():
            assert set(one.made.required + one.made.optional) <= known | set(tables), name


def test_a_report_is_one_file(result, tmp_path):
    page = result.report(tmp_path / "r.html").read_text()
    assert "model-0" in page
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
