"""For every field of a supernet's specification: another value is another training, or it is named here."""

from nversion.supernet.nas import SearchTable, SupernetSpec
from nversion.supernet.nas.search import WITHOUT_EFFECT, identity_of
from nversion.supernet.nas.shrink import _identity
from nversion.training import open_data, parse_recipe

UNCHANGED = {
    "subnets": "statistics of batch norms, computed when the weights are there",
    "search": "a search has an identity of its own, of the supernet's bytes and these settings",
}
"""Tables on which no weight of the supernet depends, and why."""

PROBES = {
    "supernet.arch": ["torchvision:resnet18"],
    "supernet.args": [{"name": "resnet", "num_classes": 10}],
    "supernet.weights": ["start.safetensors"],
    "data": [{"train": {"source": "digits", "split": "train", "count": 127}}],
    "train": [{"batch_size": 16, "device": "cpu"}],
    "optimizer": [{"name": "sgd", "learning_rate": 0.1}],
    "schedule": [{"name": "cosine"}],
    "stages.dims": [["depth"]],
}


SEARCH_PROBES = {"corruptions": [{"lines": 2.0}], "objectives": [["accuracy"]]}


def identity(spec, tmp_path) -> str:
    recipe = {"train": {"name": "x", "epochs": 1}, "members": [{"arch": "timm:resnet18"}], "data": spec.data}
    (opened,) = parse_recipe({**recipe, "canonical": spec.canonical.model_dump()}, "a test").values()
    return _identity(spec, open_data(opened, tmp_path), tmp_path)


def test_changing_any_field_but_the_named_ones_is_another_training(fields, tables, tmp_path):
    content = tables(preprocessing={})
    before = identity(SupernetSpec.model_validate(content), tmp_path)
    paths, same = [], set()
    for path, annotation in fields.fields_of(SupernetSpec):
        paths.append(path)
        if path.partition(".")[0] in UNCHANGED:
            continue
        other = fields.changed(SupernetSpec, content, path, annotation, PROBES.get(path, ()))
        if identity(other, tmp_path) == before:
            same.add(path)
    assert same == set()
    assert set(PROBES) <= set(paths) and {path.partition(".")[0] for path in paths} >= set(UNCHANGED)


class Known:
    fingerprint = "known"


def test_changing_any_field_of_a_search_but_the_named_ones_is_another_search(fields):
    content = {"size": 2, "corruptions": {"lines": 1.0}}
    before = identity_of(Known, SearchTable.model_validate(content), Known, Known)
    same = set()
    for path, annotation in fields.fields_of(SearchTable):
        other = fields.changed(SearchTable, content, path, annotation, SEARCH_PROBES.get(path, ()))
        if identity_of(Known, other, Known, Known) == before:
            same.add(path)
    assert same == set(WITHOUT_EFFECT)
