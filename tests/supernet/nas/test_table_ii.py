"""Table ii's notation against hand-made subnets and the sizes of once-for-all's own networks."""

import json
import re
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torchvision

from nversion.core import UserError
from nversion.supernet.elastic import Elasticity, ElasticNetwork, Space, Subnet
from nversion.supernet.nas.table_ii import TABLE_II, from_table_ii

DOCS = Path(__file__).parents[3] / "docs" / "table-ii.md"

# All products of Table ii's widths and expansions (0.2 is 0.8 of ResNet50's own).
EXACT = Elasticity(
    max_skips=2, width_multipliers=[1, 0.8, 0.6], expansion_multipliers=[1, 0.8, 0.64, 0.6, 0.48]
)
LISTING_1 = Elasticity(max_skips=2, width_multipliers=[1, 0.8, 0.6], min_width=32, width_step=8)

# Parameters of OFA's subnets; docs/table-ii.md has the lines that print them.
OFA = {
    "B_0": 21000064, "nB_1": 21072960, "nB_2": 20998176, "nB_3": 20774016, "dB_1a": 17972096,
    "dB_1b": 16615600, "wB_1a": 20818496, "wB_1b": 18806960, "wB_1c": 13928688, "ours_d3": 18609632,
    "ours_w2": 20755024,
}  # fmt: skip


def resnet50(elasticity: Elasticity) -> ElasticNetwork:
    return ElasticNetwork(torchvision.models.resnet50(weights=None), elasticity)


@pytest.fixture(scope="module")
def exact() -> ElasticNetwork:
    return resnet50(EXACT)


@pytest.fixture(scope="module")
def listing_1() -> ElasticNetwork:
    return resnet50(LISTING_1)


@pytest.fixture(scope="module")
def space(exact: ElasticNetwork) -> Space:
    return exact.space


def test_b_0_is_the_subnet_made_by_hand(space: Space) -> None:
    # 0.6 · 64 = 38.4, 0.6 · 256 = 153.6; inner: 0.2 · 153 = 30.6, 0.2 · 512 = 102.4, 0.2 · 1024 = 204.8 and
    # 0.2 · 2048 = 409.6 have the choices 30, 102, 204 and 409 next to them; the last block of each of the
    # first three stages (two of the second's and third's) is left off.
    assert from_table_ii(space, **TABLE_II["B_0"]) == Subnet(
        depth=(2, 2, 4, 3),
        width=(38, 153, 512, 1024, 2048),
        expansion=(30, 30, 64, 102, 128, 128, 128, 204, 256, 256, 256, 256, 256, 409, 512, 512),
    )


@pytest.mark.parametrize("network", ["exact", "listing_1"])
def test_all_eleven_are_different_subnets(network: str, request: pytest.FixtureRequest) -> None:
    space = request.getfixturevalue(network).space
    assert len({from_table_ii(space, **configuration) for configuration in TABLE_II.values()}) == 11


def test_sizes_are_those_of_once_for_all_but_for_stem_and_rounding(exact: ElasticNetwork) -> None:
    ours = {
        name: exact.cost(from_table_ii(exact.space, **configuration), 64).num_parameters
        for name, configuration in TABLE_II.items()
    }
    assert sorted(ours, key=ours.__getitem__) == sorted(OFA, key=OFA.__getitem__)
    assert ours == {name: pytest.approx(size, rel=0.005) for name, size in OFA.items()}


@pytest.mark.shared
def test_configurations_are_those_in_the_paper(shared: Path) -> None:
    text = (shared / "paper" / "design-diversity.txt").read_text()
    lists = r"depth: (\[.*?\]), expansion: (\[.*?\]), width ?: (\[.*?\])"
    rows = re.findall(rf"^(n?[A-Za-z]*B_\w+) {lists}", text, re.M)
    paper = {
        name: dict(zip(("depth", "expansion", "width"), map(json.loads, values), strict=True))
        for name, *values in rows
    }
    assert paper.pop("nB_0") == paper["B_0"]
    assert paper == {name: own for name, own in TABLE_II.items() if not name.startswith("ours_")}


def test_the_documented_table_is_what_its_lines_print() -> None:
    text = DOCS.read_text()
    lines = next(code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "torchvision" in code)
    with redirect_stdout(StringIO()) as printed:
        exec(lines, {})
    rows = printed.getvalue().splitlines()
    assert len(rows) == 11
    documented = text.splitlines()
    for row, size in zip(rows, OFA.values(), strict=True):
        assert f"{row} {size / 1e6:.2f} |" in documented


def test_the_notation_of_the_documented_example_is_b_0() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(), re.S)
    assert example is not None
    (table,) = tomllib.loads(example[1])["subnets"]
    assert table["table_ii"] == TABLE_II[table["name"]]


@pytest.mark.parametrize(
    ("name", "depth"), [("nB_1", (2, 2, 4, 3)), ("dB_1a", (2, 3, 4, 2)), ("dB_1b", (2, 2, 4, 2))]
)
def test_depth_counts_blocks_beyond_two_two_four_two(space: Space, name: str, depth: tuple[int, ...]) -> None:
    assert from_table_ii(space, **TABLE_II[name]).depth == depth


def test_a_stage_has_no_more_blocks_than_the_supernet(space: Space) -> None:
    assert from_table_ii(space, [2] * 5, [0.25] * 16, [2] * 6) == space.largest


def test_width_counts_from_the_smallest(space: Space) -> None:
    assert from_table_ii(space, **TABLE_II["wB_1b"]).width == (51, 204, 409, 819, 2048)


def test_what_only_once_for_alls_stem_has_is_not_used(space: Space) -> None:
    own = TABLE_II["nB_1"]
    stem = {**own, "depth": [1, *own["depth"][1:]], "width": [2, *own["width"][1:]]}
    assert from_table_ii(space, **stem) == from_table_ii(space, **own)


def test_expansions_go_to_running_blocks_in_turn_or_to_each_block_by_its_place(space: Space) -> None:
    in_turn = from_table_ii(space, [0] * 5, [0.25, 0.25, 0.2] + [0.25] * 7, [2] * 6)
    by_place = from_table_ii(space, [0] * 5, [0.25] * 3 + [0.2] + [0.25] * 12, [2] * 6)
    assert in_turn == by_place
    assert [place for place, e in enumerate(in_turn.expansion) if e == 102] == [3]


def test_of_two_inner_widths_at_the_same_distance_the_greater_is_taken(listing_1: ElasticNetwork) -> None:
    # 0.2 · 200 = 40, between 48 and 32
    assert from_table_ii(listing_1.space, **TABLE_II["wB_1a"]).expansion[1] == 48


def test_in_a_resnext_a_quarter_is_the_blocks_own_ratio() -> None:
    resnext = Space(
        depth=((3, 2), (4, 3, 2), (6, 5, 4), (3, 2)),
        width=((64,), (256,), (512, 256), (1024,), (2048,)),
        expansion=((128, 100, 64),) * 3 + ((256, 128),) * 4 + ((512,),) * 6 + ((1024, 820),) * 3,
        blocks=(3, 4, 6, 3),
    )
    found = from_table_ii(resnext, [0] * 5, [0.25, 0.2, 0.25, 0.25, *[0.25] * 4, 0.2, 0.25], [0] * 6)
    assert found.expansion == (128, 100, 128, 128, 128, 256, 256, *[512] * 6, 820, 1024, 1024)


D, E, W = [0] * 5, [0.25] * 12, [2] * 6


@pytest.mark.parametrize(
    ("depth", "expansion", "width", "message"),
    [
        ([0] * 4, E, W, "expected 5 values for the dimension 'depth'.*found 4"),
        ([0, 3, 0, 0, 0], E, W, "whole numbers from 0 to 2 for the dimension 'depth'.*found 3"),
        ([0, 0.5, 0, 0, 0], E, W, "whole numbers from 0 to 2 for the dimension 'depth'.*found 0.5"),
        (D, E, [2] * 5, "expected 6 values for the dimension 'width'.*found 5"),
        (D, E, [2, 2, 2, 3, 2, 2], "whole numbers from 0 to 2 for the dimension 'width'.*found 3"),
        (D, E, [2, 2, 2, -1, 2, 2], "whole numbers from 0 to 2 for the dimension 'width'.*found -1"),
        (D, [0.25] * 9, W, "expected 10 ratios, one for each block that runs for .*'expansion'.*found 9"),
        (D, [0.35] * 12, W, "ratios above 0 and at most 0.25 at this width .*'expansion'.*found 0.35"),
        (D, [0] * 12, W, "ratios above 0 and at most 0.25 at this width .*'expansion'.*found 0"),
    ],
)
def test_values_outside_the_space_are_refused(
    space: Space, depth: list[float], expansion: list[float], width: list[float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        from_table_ii(space, depth, expansion, width)


def test_a_depth_that_the_space_does_not_reach_is_refused() -> None:
    space = resnet50(Elasticity(max_skips=1)).space
    with pytest.raises(UserError, match=r"expected 3 to 4 blocks in a stage .*'depth'.*found 2 \+ 0"):
        from_table_ii(space, **TABLE_II["B_0"])


def test_a_network_with_other_stages_is_refused() -> None:
    space = Space(((2,),), ((64,), (256,)), ((64,), (64,)), (2,))
    with pytest.raises(UserError, match="four stages for Table ii's notation, found 1 stages and 2 widths"):
        from_table_ii(space, D, E, W)
