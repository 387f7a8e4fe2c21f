"""A study takes logits from a file beside models that run."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from nversion.core import UserError
from nversion.selection import Request
from nversion.study import parse_spec, run_study
from nversion.study.choose import select
from nversion.study.stored import open_stored

CONDITIONS = ("clean", "lines-1")


@pytest.fixture(scope="module")
def source(small, tmp_path_factory):
    """Inputs, and the logits, labels and ids of the model "a" in a study in which it runs."""
    folder = small.write_inputs(tmp_path_factory.mktemp("source"))
    small.run(folder, attribution=None, representation=None, run={"storage": "float32"})
    labels = pl.read_parquet(folder / "out/tables/labels.parquet")
    logits = {
        name: np.load(next((folder / f"out/predictions/d/{name}").glob("a-*/array.npy")))
        for name in CONDITIONS
    }
    return folder, logits, labels["sample_id"].to_list(), labels["label"].to_numpy()


def run(small, folder, file, out, **changes):
    tables = small.content(attribution=None, representation=None, run={"storage": "float32"})
    pool = tables["models"][0] | {"names": ["bb", "ccc", "dddd"], "families": {"bb": "ViT"}}
    stored = {"source": f"predictions:{file}", "name": "a", "label_space": "tiny", "family": "CNN"}
    tables["models"] = [stored | changes, pool]
    return run_study(parse_spec(tables, "small.toml"), out, folder)


def write(path, logits, ids, labels):
    if path.suffix == ".npz":
        np.savez(path, **logits, sample_ids=np.array(ids), labels=labels)
    elif path.suffix == ".safetensors":
        save_file({**logits, "labels": labels}, path, {"sample_ids": json.dumps(list(ids))})
    else:
        columns = {
            "condition": [name for name in logits for _ in ids],
            "sample_id": [*ids] * len(logits),
            "label": [*labels] * len(logits),
            "logits": [row for part in logits.values() for row in part.tolist()],
        }
        pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet"])
def test_tables_are_those_of_the_model_that_ran(small, source, tmp_path, suffix):
    folder, logits, ids, labels = source
    order = np.random.default_rng(0).permutation(len(ids))
    shuffled = {name: part[order] for name, part in logits.items()}
    file = write(tmp_path / f"a.{suffix}", shuffled, [ids[i] for i in order], labels[order])
    plan = run(small, folder, file, tmp_path / "out")
    for table in ("ensembles", "diversity", "comparisons", "votes"):
        expected = pl.read_parquet(folder / f"out/tables/{table}.parquet")
        found = pl.read_parquet(tmp_path / f"out/tables/{table}.parquet")
        costs = [name for name in expected.columns if name in ("params", "macs")]
        assert found.drop(costs).equals(expected.drop(costs)), table
    assert plan.batches_missing == plan.batches_total
    assert run(small, folder, file, tmp_path / "out").batches_missing == 0


def test_unknown_costs_are_empty_and_no_choice_considers_them(small, source, tmp_path):
    folder, logits, ids, labels = source
    run(small, folder, write(tmp_path / "a.npz", logits, ids, labels), tmp_path / "out")
    models = pl.read_parquet(tmp_path / "out/tables/models.parquet")
    assert models.filter(model="a").select("params", "macs").null_count().row(0) == (2, 2)
    assert not open_stored(tmp_path / "out").has_costs
    selection = pl.read_parquet(tmp_path / "out/tables/selection.parquet")
    assert selection["params"].is_null().all() and "same_cost_model" not in set(selection["role"])
    with pytest.raises(UserError, match="models of known parameters and MACs"):
        select(tmp_path / "out", Request(max_params=5))


def test_another_file_is_another_model(small, source, tmp_path):
    folder, logits, ids, labels = source
    file = write(tmp_path / "a.npz", logits, ids, labels)
    run(small, folder, file, tmp_path / "out")
    write(file, {name: -part for name, part in logits.items()}, ids, labels)
    assert run(small, folder, file, tmp_path / "out").batches_missing == 6  # of two conditions, three batches


def test_labels_stand_for_ids_where_there_are_none(small, source, tmp_path):
    folder, logits, _, labels = source
    np.savez(tmp_path / "a.npz", **logits, labels=labels)
    run(small, folder, tmp_path / "a.npz", tmp_path / "out")
    np.savez(tmp_path / "a.npz", **logits)
    with pytest.raises(UserError, match="found 12 rows without ids and labels"):
        run(small, folder, tmp_path / "a.npz", tmp_path / "other")


def test_probabilities_are_taken_as_said(small, source, tmp_path):
    folder, logits, ids, labels = source
    soft = {n: np.exp(p) / np.exp(p).sum(-1, keepdims=True) for n, p in logits.items()}
    file = write(tmp_path / "a.npz", soft, ids, labels)
    run(small, folder, file, tmp_path / "out", outputs="probabilities")
    stored = np.load(next((tmp_path / "out/predictions/d/clean").glob("a-*/array.npy")))
    assert np.allclose(np.exp(stored), soft["clean"], rtol=1e-6)


SLIPS = [
    (lambda logits, ids, labels: ({"clean": logits["clean"]}, ids, labels), "logits under 'd/lines-1' in"),
    (lambda logits, ids, labels: (logits, ["x", *ids[1:]], labels), "none for 1 of 12, such as '000.png'"),
    (lambda logits, ids, labels: (logits, [ids[1], *ids[1:]], labels), "found '001.png' twice"),
    (lambda logits, ids, labels: (logits, ids, (labels + 1) % 3), "found 1 for '000.png', which has 0"),
    (lambda logits, ids, labels: (logits, ids[:-1], labels), "11 sample ids and 12 rows"),
    (lambda logits, ids, labels: (logits, ids, labels[:-1]), "11 labels and 12 rows"),
    (lambda logits, ids, labels: ({}, ids, labels), "found no logits"),
    (
        lambda logits, ids, labels: ({n: p.astype(int) for n, p in logits.items()}, ids, labels),
        "floating-point logits (N, C)",
    ),
    (
        lambda logits, ids, labels: ({n: np.full_like(p, np.nan) for n, p in logits.items()}, ids, labels),
        "finite logits from 'a' under d/clean",
    ),
    (
        lambda logits, ids, labels: (
            {n: np.r_[p, p[:1]] for n, p in logits.items()}, [*ids, "extra"], np.r_[labels, 0]
        ),
        "found 1 others, such as 'extra'",
    ),
    (lambda logits, ids, labels: ({n: p[:, :2] for n, p in logits.items()}, ids, labels), "label space"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), SLIPS)
def test_what_does_not_fit_is_one_sentence(small, source, tmp_path, spoil, message):
    folder, *content = source
    file = write(tmp_path / "a.npz", *spoil(*content))
    with pytest.raises(UserError) as error:
        run(small, folder, file, tmp_path / "out")
    assert message in str(error.value)


@pytest.mark.parametrize(("name", "content"), [("a.npz", b"no zip"), ("a.txt", b""), ("b.npz", None)])
def test_other_files_are_one_sentence(small, source, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"an \.npz, \.safetensors or \.parquet file of logits"):
        run(small, source[0], tmp_path / name, tmp_path / "out")


def test_maps_need_models_that_run(small, source, tmp_path):
    folder, logits, ids, labels = source
    tables = small.content(representation=None)
    file = write(tmp_path / "a.npz", logits, ids, labels)
    tables["models"].append({"source": f"predictions:{file}", "name": "e", "label_space": "tiny"})
    with pytest.raises(UserError, match=r"expected models that run for \[attribution\], found 'e'"):
        run_study(parse_spec(tables, "small.toml"), tmp_path / "out", folder)
