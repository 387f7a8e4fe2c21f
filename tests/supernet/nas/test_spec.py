"""Specifications are read as a whole, completed from BootstrapNAS, and refused with a sentence that helps."""

import json

import pytest

from nversion.core import UserError
from nversion.core.toml import to_toml
from nversion.supernet.nas import build_supernet, opened, read_spec, subnet_of
from nversion.supernet.nas.spec import SubnetTable


@pytest.fixture
def read(tables, tmp_path):
    """The specification of tables that were changed, through a file."""

    def from_file(**changes):
        content = {name: value for name, value in tables(**changes).items() if value is not None}
        path = tmp_path / "spec.toml"
        path.write_text(to_toml(content))
        return read_spec(path)

    return from_file


def test_a_file_says_what_its_tables_say(read, tiny):
    assert read() == tiny()


def test_what_is_left_out_has_defaults(read):
    spec = read(search=None, optimizer=None, elasticity=None, train=None)
    assert (spec.supernet.distillation, spec.supernet.teacher, spec.supernet.importance) == (
        1.0, "largest", "readers"
    )  # fmt: skip
    assert (spec.search.population, spec.search.evaluations, spec.search.objectives) == (
        50, 1000, ["accuracy", "macs"]
    )  # fmt: skip
    assert spec.elasticity.width_multipliers == [1.0, 0.8, 0.6]
    assert spec.optimizer == {"name": "sgd"}


DEPTH = {"name": "a", "depth": [1], "table_ii": "B_0"}
REFUSED = {
    "no stages": ({"stages": None}, r"expected \[\[stages\]\] in .*spec.toml, found none; add one or more"),
    "unknown key": ({"supernet": {"random_subnet": 1}}, "found supernet.random_subnet; .*'random_subnets'"),
    "unknown table": ({"stage": {}}, "that a supernet specification knows .*found stage; .*'stages'"),
    "unknown key of a stage": (
        {"stages": [{"epochs": 1, "max_skip": 1}]},
        "stages.0.max_skip; .*'max_skips'",
    ),
    "unknown dimension": ({"stages": [{"epochs": 1, "dims": ["kernel"]}]}, "stages.0.dims.0 in .*'kernel'"),
    "no epochs": ({"stages": [{"dims": ["depth"]}]}, "expected stages.0.epochs in .*found nothing; add it"),
    "two notations": ({"subnets": [DEPTH]}, "subnets.0 .*either table_ii or depth, width and expansion"),
    "a name twice": ({"subnets": [{"name": "a"}] * 2}, "subnets in .*the name 'a' is given to two subnets"),
    "the supernet's name": ({"subnets": [{"name": "largest"}]}, "subnets.0 .*name of the supernet itself"),
    "a name with a slash": ({"subnets": [{"name": "a/b"}]}, "subnets.0.name in .*found 'a/b'"),
    "epochs of a recipe": ({"train": {"epochs": 3}}, "of train in .*epochs is not set here: stages have"),
    "seeds of a recipe": ({"train": {"seeds": [1]}}, "of train in .*seeds is not set here"),
    "too few evaluations": ({"search": {"evaluations": 9}}, "search in .*as many evaluations as the popul"),
    "nothing to see": ({"search": {"clean": False}}, "search in .*set clean = true or name a corruption"),
    "an ensemble of one": ({"search": {"objectives": ["disagreement"]}}, "are of ensembles: set `size` to 2"),
    "unknown objective": ({"search": {"objectives": ["latency"]}}, "search.objectives.0 in .*'latency'"),
    "a share above 1": ({"supernet": {"distillation": 1.5}}, "supernet.distillation in .*found 1.5"),
    "widths above 1": ({"elasticity": {"width_multipliers": [1.2]}}, "elasticity.width_multipliers in .*1.2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_sound_is_refused_by_its_place(read, case):
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        read(**changes)


def test_data_without_a_training_set_is_refused(tables, tmp_path):
    content = tables()
    del content["data"]["train"]
    (tmp_path / "spec.toml").write_text(to_toml(content))
    with pytest.raises(UserError, match=r"data in .*no data to train on: add \[data.train\]"):
        read_spec(tmp_path / "spec.toml")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        UserError, match=r"expected a supernet specification, found .*none.toml.*correct the p"
    ):
        read_spec(tmp_path / "none.toml")


NAS = {
    "bootstrapNAS": {
        "training": {
            "batchnorm_adaptation": {"num_bn_adaptation_samples": 48},
            "schedule": {
                "list_stage_descriptions": [{"train_dims": ["depth", "width"], "width_indicator": 2}]
            },
            "elasticity": {
                "available_elasticity_dims": ["depth", "width"],
                "width": {"width_multipliers": [1, 0.75, 0.5], "min_width": 8},
            },
        },
        "search": {"algorithm": "NSGA2", "num_evals": 40, "population": 10},
    }
}


@pytest.fixture
def nas(tmp_path):
    (tmp_path / "nas.json").write_text(json.dumps(NAS))
    return "nas.json"


def test_tables_of_bootstrapnas_are_completed_key_by_key(read, nas):
    spec = read(
        supernet={"bootstrapnas": nas, "importance": "readers"},
        elasticity={"max_skips": 0},
        stages=None,
        search={"population": 20},
    )
    assert (spec.supernet.name, spec.supernet.importance) == ("tiny", "readers")
    assert spec.supernet.batch_norm_samples == 64  # the file's own word, against 48
    assert (spec.elasticity.max_skips, spec.elasticity.min_width, spec.elasticity.max_num_widths) == (0, 8, 2)
    assert (spec.search.population, spec.search.evaluations) == (20, 40)
    assert [(stage.dims, stage.learning_rate) for stage in spec.stages] == [
        (["depth", "width", "expansion"], 3.5e-6)
    ]


def test_stages_of_the_file_stand_instead_of_those_of_bootstrapnas(read, nas):
    spec = read(supernet={"bootstrapnas": nas}, elasticity=None)
    assert [stage.epochs for stage in spec.stages] == [1, 2]
    assert spec.elasticity.max_skips == 1


# Subnets, once the supernet is there.


@pytest.fixture(scope="module")
def space(tiny, tmp_path_factory):
    base = tmp_path_factory.mktemp("none")
    spec = tiny()
    return build_supernet(spec, opened(spec, base), base)[0].space


def test_a_subnet_is_told_by_numbers_ratios_or_the_papers_notation(space):
    def made(**values):
        return subnet_of(SubnetTable(name="a", **values), space)

    assert made() == space.largest
    assert made(depth="1-2-4-1", width=[0.5]) == made(depth=[1, 2, 4, 1], width="4-16-32-64-128")
    whole = made(table_ii={"depth": [0, 2, 2, 2, 2], "expansion": [0.25] * 16, "width": [0] + [2] * 5})
    assert whole == space.largest
    assert made(table_ii="B_0").depth == (2, 2, 4, 3)


def test_a_subnet_outside_the_space_is_refused(space):
    with pytest.raises(UserError, match=r"one of 3, 2, 1 at place 0 for the dimension 'depth'.*found 9"):
        subnet_of(SubnetTable(name="a", depth=[9]), space)
    with pytest.raises(UserError, match="a subnet of the paper's Table ii, found 'B_7'"):
        subnet_of(SubnetTable(name="a", table_ii="B_7"), space)
