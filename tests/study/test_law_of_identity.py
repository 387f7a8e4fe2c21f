"""For every field of a study: another value is another study, and which stored arrays it leaves in use."""

from __future__ import annotations

import pytest

from nversion.study import StudySpec, open_study
from nversion.study.plan import study_hash

SAME_STUDY = {"run.threads": "rounding alone; the manifest says how many there were"}
"""Fields on which no result depends, and why."""

STORED = {
    "data", "models", "canonical", "conditions", "attribution", "representation",
    "run.batch_size", "run.storage", "run.amp", "run.channels_last",
}  # fmt: skip
"""Tables and fields that what is stored of a model depends on; all else is computed from it in every run."""

SAME_STORED = {
    "conditions.severities": "names severities; each condition is stored under its own",
    "conditions.sets": "names conditions; each is stored under its own name",
}
"""Fields of these tables that only choose which arrays are stored: those there were stay."""

FROM_DISK = {"conditions.stored.path", "conditions.stored.data", "conditions.stored.corruptions"} | {
    "conditions.stored.severities"
}
"""Read from a tree on disk, whose own tests are in `test_stored_conditions`."""

GROUPS = "class,group\n0,x\n1,x\n2,y\n"
COSTS = "label,taken,cost\n0,1,2\n"
PUBLISHED = "name,clean,contrast\nnet,0.2,0.4\n"
SEVERITIES = "[corruptions]\nlines = [3.0]\n"


def probes(small) -> dict[str, list]:
    tables = small.content()
    data, models = tables["data"]["d"], tables["models"][0]
    return {
        "data": [{"d": data | {"count": 8}}],
        "models": [[models | {"names": ["a", "bb", "ccc", "ddd"]}]],
        "conditions.sets": [["paper"]],
        "conditions.corruptions": [{"contrast": [2.0]}],
        "conditions.severities": ["severities.toml"],
        "conditions.as_released": [True],
        "study.baseline": ["a"],
        "canonical.size": [81],
        "canonical.resize": [90],
        "ensembles.sizes": [[2]],
        "ensembles.consensus": [["vote"]],
        "ensembles.diversity": [["disagreement"]],
        "attribution.methods": [["input_x_gradient"]],
        "attribution.conditions": [["d/clean"]],
        "representation.layers": [["stem"]],
        "representation.maps": [["input_x_gradient"]],
        "representation.seed": [3],
        "representation.conditions": [["d/clean"]],
        "hazards.groups": ["groups.csv"],
        "hazards.costs": ["costs.csv"],
        "benchmark.baseline": ["a"],
        "benchmark.published": ["published.csv"],
        "report.ensembles": [[["a", "bb"]]],
        "report.map_models": [["a"]],
        "run.device": ["auto"],
        "run.amp": ["bfloat16"],
    }


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    folder = small.write_inputs(tmp_path_factory.mktemp("law"))
    for name, text in (("groups", GROUPS), ("costs", COSTS), ("published", PUBLISHED)):
        (folder / f"{name}.csv").write_text(text)
    (folder / "severities.toml").write_text(SEVERITIES)
    return folder


def stored(study) -> set[str]:
    """The folders of all arrays, whose names hold the digests of what they are."""
    stores = study.open_stores()
    return {
        str(array.folder) for name in study.datasets for w in stores.of(name) for array in w.arrays.values()
    }


@pytest.fixture(scope="module")
def found(fields, small, folder) -> dict[str, tuple[bool, bool]]:
    """Of every field: whether another value is another study, and whether all stored arrays stay in use."""
    content = small.content(
        canonical={"size": 80, "mode": "crop"}, conditions={"corruptions": {"contrast": 1.0}}
    )
    before = open_study(StudySpec.model_validate(content), folder / "out", folder)
    hash_before, stored_before = study_hash(before), stored(before)
    known, result = probes(small), {}
    for path, annotation in fields.fields_of(StudySpec):
        if path not in FROM_DISK:
            spec = fields.changed(StudySpec, content, path, annotation, known.get(path, ()))
            study = open_study(spec, folder / "out", folder)
            result[path] = study_hash(study) != hash_before, stored_before <= stored(study)
    assert set(known) <= set(result)
    return result


def test_changing_any_field_but_the_named_ones_is_another_study(found):
    assert {path for path, (other, _) in found.items() if not other} == set(SAME_STUDY)


def test_what_is_stored_is_used_again_where_it_does_not_depend_on_the_field(found):
    depend = {path for path in found if path in STORED or path.partition(".")[0] in STORED}
    assert {path for path, (_, same) in found.items() if not same} == depend - set(SAME_STORED)


def test_named_fields_exist(fields):
    paths = {path for path, _ in fields.fields_of(StudySpec)}
    assert FROM_DISK | set(SAME_STUDY) | set(SAME_STORED) <= paths
    assert {path for path in paths if path in STORED or path.partition(".")[0] in STORED}
