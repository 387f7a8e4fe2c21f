"""BootstrapNAS configurations become tables of our specification, by NNCF's rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from nversion.core import UserError
from nversion.supernet.elastic import Elasticity
from nversion.supernet.nas.bootstrapnas import plain_json, read_bootstrapnas
from nversion.supernet.nas.spec import SearchTable, StageTable, read_spec

STAGE_3 = {"train_dims": ["depth", "width"], "epochs": 50, "depth_indicator": 2, "reorg_weights": True}
RATES = {"init_lr": 2.5e-6}
LISTING_1: dict[str, Any] = {  # the numbers of the paper's Listing 1
    "training": {
        "algorithm": "progressive_shrinking",
        "progressivity_of_elasticity": ["depth", "width"],
        "batchnorm_adaptation": {"num_bn_adaptation_samples": 1500},
        "schedule": {
            "list_stage_descriptions": [
                {"train_dims": ["depth"], "epochs": 25, "depth_indicator": 1, "epochs_lr": 25, **RATES},
                {"train_dims": ["depth"], "epochs": 40, "depth_indicator": 2, "epochs_lr": 40, **RATES},
                {**STAGE_3, "width_indicator": 2, "bn_adapt": True, "epochs_lr": 50, **RATES},
                {**STAGE_3, "width_indicator": 3, "bn_adapt": True, "epochs_lr": 50, **RATES},
            ]
        },
        "elasticity": {
            "available_elasticity_dims": ["width", "depth"],
            "width": {
                "max_num_widths": 3, "min_width": 32, "width_step": 32, "width_multipliers": [1, 0.8, 0.6]
            },
        },
    },
    "search": {"algorithm": "NSGA2", "num_evals": 1000, "population": 50, "ref_acc": 93.65},
}  # fmt: skip

WIDTHS = ["depth", "width", "expansion"]
LATER = {"dims": WIDTHS, "epochs": 50, "max_skips": 2, "reorganise": True, "epochs_lr": 50}
RATE = {"learning_rate": 2.5e-6}
TABLES = {
    "supernet": {"batch_norm_samples": 1500, "importance": "filters"},
    "elasticity": {
        "max_skips": 2, "width_multipliers": [1, 0.8, 0.6], "min_width": 32, "width_step": 8,
        "max_num_widths": 3,
    },
    "stages": [
        {"dims": ["depth"], "epochs": 25, "max_skips": 1, "reorganise": False, "epochs_lr": 25, **RATE},
        {"dims": ["depth"], "epochs": 40, "max_skips": 2, "reorganise": False, "epochs_lr": 40, **RATE},
        {**LATER, "num_widths": 2, **RATE},
        {**LATER, "num_widths": 3, **RATE},
    ],
    "search": {"evaluations": 1000, "population": 50, "seed": 0, "acc_delta": 1, "ref_acc": 93.65},
}  # fmt: skip


def changed(place: str, value: Any) -> dict[str, Any]:
    """Listing 1 with another value at a place such as "search.seed"."""
    content: dict[str, Any] = json.loads(json.dumps(LISTING_1))
    *way, last = place.split(".")
    table: Any = content
    for step in way:
        table = table[int(step)] if step.isdigit() else table.setdefault(step, {})
    table[int(last) if last.isdigit() else last] = value
    return content


def translated(tmp_path: Path, content: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "nas.json"
    path.write_text(json.dumps({"bootstrapNAS": content}))
    return read_bootstrapnas(path)


def test_listing_1_becomes_our_tables(tmp_path: Path) -> None:
    assert translated(tmp_path, LISTING_1) == TABLES


def test_the_tables_are_those_of_a_specification(tmp_path: Path) -> None:
    tables = translated(tmp_path, LISTING_1)
    assert Elasticity.model_validate(tables["elasticity"]).width_step == 8
    assert [StageTable.model_validate(stage).epochs for stage in tables["stages"]] == [25, 40, 50, 50]
    assert SearchTable.model_validate(tables["search"]).ref_acc == 93.65


@pytest.mark.shared
def test_the_listing_in_the_paper_is_read_as_it_stands(tmp_path: Path, shared: Path) -> None:
    lines = (shared / "paper" / "design-diversity.txt").read_text().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("1# Insert here"))
    path = tmp_path / "listing.txt"
    path.write_text("\n".join(lines[start : start + 35]))
    assert read_bootstrapnas(path) == TABLES


def test_a_listing_with_numbers_comments_commas_and_without_braces_is_the_same(tmp_path: Path) -> None:
    body = json.dumps({"bootstrapNAS": LISTING_1}, indent=1).splitlines()[1:-1]
    body[-1] += ","
    lines = ["# model // and data", *(f"{line} // a comment" for line in body), "# the end"]
    listing = tmp_path / "listing.txt"
    listing.write_text("\n".join(f"{n}{' ' * (n % 2)}{line}" for n, line in enumerate(lines, 1)))
    assert read_bootstrapnas(listing) == TABLES


def test_numbers_that_json_has_at_the_start_of_a_line_stay() -> None:
    text = '{"a": [\n1,\n2,\n3\n], "b": "1 # no // comment, }"}'
    assert json.loads(plain_json(text)) == {"a": [1, 2, 3], "b": "1 # no // comment, }"}


def test_a_whole_configuration_may_describe_model_and_data_too(tmp_path: Path) -> None:
    path = tmp_path / "nas.json"
    path.write_text(
        json.dumps({"model": "resnet50", "input_info": {}, "bootstrapNAS": LISTING_1, "optimizer": {}})
    )
    assert read_bootstrapnas(path) == TABLES


def test_what_a_stage_leaves_out_has_nncfs_defaults(tmp_path: Path) -> None:
    stages = [{"train_dims": ["depth", "width"]}]
    tables = translated(tmp_path, changed("training.schedule.list_stage_descriptions", stages))
    assert tables["stages"] == [
        {
            "dims": WIDTHS, "epochs": 1, "max_skips": 1, "num_widths": 1, "reorganise": False,
            "learning_rate": 3.5e-6, "epochs_lr": 1,
        }
    ]  # fmt: skip


def test_choices_that_no_stage_trains_are_not_in_the_space(tmp_path: Path) -> None:
    place = "training.schedule.list_stage_descriptions.3.width_indicator"
    assert translated(tmp_path, changed(place, 2))["elasticity"]["max_num_widths"] == 2


def test_without_elastic_width_there_is_one_width(tmp_path: Path) -> None:
    stages = LISTING_1["training"]["schedule"]["list_stage_descriptions"][:2]
    content = changed("training.schedule.list_stage_descriptions", stages)
    content["training"]["elasticity"] = {"available_elasticity_dims": ["depth"]}
    assert translated(tmp_path, content)["elasticity"] == {"max_skips": 2, "width_multipliers": [1.0]}


def test_evaluations_are_whole_generations(tmp_path: Path) -> None:
    assert translated(tmp_path, changed("search.num_evals", 1049))["search"]["evaluations"] == 1000


def test_a_search_that_leaves_all_out_has_nncfs_defaults_and_no_reference(tmp_path: Path) -> None:
    content = {**LISTING_1, "search": {"algorithm": "NSGA2"}}
    assert translated(tmp_path, content)["search"] == {
        "evaluations": 3000, "population": 40, "seed": 0, "acc_delta": 1
    }  # fmt: skip


def test_without_a_search_there_is_no_search_table(tmp_path: Path) -> None:
    assert "search" not in translated(tmp_path, {"training": LISTING_1["training"]})


def test_nncfs_number_of_batch_norm_samples_holds_where_none_is_given(tmp_path: Path) -> None:
    content = changed("training.batchnorm_adaptation", {})
    assert translated(tmp_path, content)["supernet"]["batch_norm_samples"] == 2000


STAGES = "training.schedule.list_stage_descriptions"
REFUSED = {
    "training.progressivity": (["depth"], "training.progressivity; did you mean 'progressivity_of_elast"),
    f"{STAGES}.0.depth_indicater": (1, "0.depth_indicater; did you mean 'depth_indicator'"),
    f"{STAGES}.0.epochs": (0, "descriptions.0.epochs in .*found 0"),
    f"{STAGES}.0.sample_rate": (2, "sample_rate in .*found 2 .new subnets are drawn at every step"),
    f"{STAGES}.0.train_dims": (["kernel"], "found 'kernel' in stage 1; kernels cannot be elastic"),
    f"{STAGES}.3.train_dims": (["depth"], "found stage 4, which goes back to \\['depth'\\]"),
    f"{STAGES}.1.train_dims": (["depths"], "train_dims.0 in .*found 'depths'"),
    STAGES: ([], "list_stage_descriptions in .*found none"),
    f"{STAGES}.0": ({"epochs": 3}, r"found 'kernel' in stage 1 \(NNCF's default\)"),
    "training.progressivity_of_elasticity": (["depth"], "found no 'width' in"),
    "training.train_steps": (100, "train_steps in .*found 100 .an epoch is all images once"),
    "training.lr_schedule": ({"params": {"base_lr": 0.1}}, "lr_schedule in .*a learning rate of its own"),
    "training.batchnorm_adaptation.num_bn_adaptation_samples": (
        0,
        "batch norms of every subnet are recalibrated",
    ),
    "training.elasticity.available_elasticity_dims": (["depth", "width", "kernel"], "not of kernels"),
    "training.elasticity.ignored_scopes": (["layer1"], "all layers of the network are elastic"),
    "training.elasticity.depth.skipped_blocks": ([["a", "b"]], "skipped_blocks in .*by the structure"),
    "training.elasticity.depth.min_block_size": (7, "min_block_size in .*found 7"),
    "training.elasticity.width.overwrite_groups": (["a"], "overwrite_groups in .*from width_multipliers"),
    "training.elasticity.width.filter_importance": ("L2", "filter_importance in .*'L2' .filters are sorted"),
    "training.elasticity.width.external_importance_path": ("a.pt", "external_importance_path in"),
    "training.elasticity.width.min_width": (20, "min_width in .*all widths are multiples of 8"),
    "training.elasticity.width.max_num_widths": (0, "max_num_widths in .*-1: all of them"),
    "training.elasticity.width.width_multipliers": ([], "width_multipliers in .*found none"),
    "search.algorithm": ("RNSGA2", "algorithm in .*'RNSGA2' .the search is NSGA-II"),
    "search.epsilon": (0.1, "search.epsilon in .*of RNSGA2"),
    "search.mutation_prob": (0.5, "mutation_prob in .*found 0.5"),
    "search.num_constraints": (1, "the search has no constraints"),
    "search.compression": ({"algorithm": "quantization"}, "subnets are not compressed"),
    "search.num_evals": (40, "num_evals of at least the population, 50"),
    "search.batchnorm_adaptation": ({"num_bn_adaptation_samples": 9}, "found 1500 and 9; set both"),
}


@pytest.mark.parametrize("place", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(tmp_path: Path, place: str) -> None:
    value, message = REFUSED[place]
    with pytest.raises(UserError, match=message):
        translated(tmp_path, changed(place, value))


def test_kernels_are_refused_where_they_are_elastic_by_default(tmp_path: Path) -> None:
    content = changed("training.elasticity", {"width": {"width_multipliers": [1, 0.5]}})
    with pytest.raises(UserError, match=r"NNCF's default\); set \"available_elasticity_dims\""):
        translated(tmp_path, content)


BOTH = ["depth", "width"]


@pytest.mark.parametrize(
    ("dims", "sound"),  # as NNCF 2.19 judges them
    [
        ([["depth"], BOTH], True),
        ([["width"], BOTH], True),
        ([[], ["depth"]], True),
        ([BOTH, ["depth"]], False),
        ([BOTH, ["width"]], False),
        ([["depth"], ["width"]], False),
        ([["depth"], []], False),
    ],
)
def test_stages_go_on_from_the_one_before(tmp_path: Path, dims: list[list[str]], sound: bool) -> None:
    content = changed(STAGES, [{"train_dims": one} for one in dims])
    if sound:
        assert len(translated(tmp_path, content)["stages"]) == len(dims)
    else:
        with pytest.raises(UserError, match="found stage 2, which goes back to"):
            translated(tmp_path, content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"bootstrapNAS": {"training": }', "expected JSON, found .*line 1"),
        ('"bootstrapNas": {}', "expected bootstrapNAS in .*found nothing"),
        ('"compression": {"algorithm": "quantization"}, "bootstrapNAS": {}', "supernets are not compressed"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "nas.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_bootstrapnas(tmp_path / "nas.json")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file.*correct the path `bootstrapnas`"):
        read_bootstrapnas(tmp_path / "none.json")
    (tmp_path / "nas.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"expected UTF-8 text in .*, found other bytes"):
        read_bootstrapnas(tmp_path / "nas.json")


def test_a_specification_is_completed_from_the_configuration_and_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "nas.json").write_text(json.dumps({"bootstrapNAS": LISTING_1}))
    (tmp_path / "spec.toml").write_text(
        '[supernet]\nname = "a"\narch = "torchvision:resnet50"\nbootstrapnas = "nas.json"\n'
        'importance = "readers"\n[data.train]\nsource = "digits"\n[search]\nevaluations = 60\n'
    )
    spec = read_spec(tmp_path / "spec.toml")
    assert (spec.supernet.batch_norm_samples, spec.supernet.importance) == (1500, "readers")
    assert [stage.epochs for stage in spec.stages] == [25, 40, 50, 50]
    assert (spec.elasticity.min_width, spec.search.evaluations, spec.search.ref_acc) == (
        32,
        60,
        93.65,
    )  # key by key
