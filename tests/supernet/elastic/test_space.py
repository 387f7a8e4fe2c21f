"""Spaces of subnets: how many, which, and their notation."""

import itertools

import numpy as np
import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st

from nversion.core import UserError
from nversion.supernet.elastic import Elasticity, ElasticNetwork, Space, Subnet

SPACE = Space(
    depth=((2, 1), (3, 2, 1)),
    width=((16, 12), (64, 48, 32)),
    expansion=((10, 8, 6), (10, 8), (20,), (20, 12), (20, 16)),
    blocks=(2, 3),
)


def choices(least=1):
    return st.sets(st.integers(least, 200), min_size=1, max_size=2).map(
        lambda found: tuple(sorted(found, reverse=True))
    )


@st.composite
def spaces(draw):
    blocks = tuple(draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)))
    depth = tuple(tuple(range(count, draw(st.integers(1, count)) - 1, -1)) for count in blocks)
    width = tuple(draw(st.lists(choices(), min_size=1, max_size=2)))
    expansion = tuple(draw(st.lists(choices(), min_size=sum(blocks), max_size=sum(blocks))))
    return Space(depth, width, expansion, blocks)


@given(spaces())
def test_there_are_as_many_subnets_as_different_ones_are_listed(space):
    found = list(space)
    assert len(found) == len(set(found)) == len(set(map(str, found))) == space.num_subnets


@given(spaces())
def test_every_tuple_of_choices_is_one_of_the_listed_subnets(space):
    indices = itertools.product(*(range(size) for size in space.sizes))
    assert {space.at(places) for places in indices} == set(space)


@given(spaces(), st.integers(0, 2**32))
def test_the_notation_of_a_drawn_subnet_gives_it_back(space, seed):
    subnet = space.sample(np.random.default_rng(seed))
    assert space.check(subnet) == subnet == space.canonical(subnet) == space.parse(str(subnet))
    assert subnet in set(space)


@given(spaces())
def test_largest_and_smallest_are_the_ends_of_every_choice(space):
    last = [size - 1 for size in space.sizes]
    assert space.largest == space.at([0] * len(last)) and space.smallest == space.at(last)


def test_numbers_of_subnets_by_hand():
    # widths 2·3; stage 1: 3·2 + 3 expansions by depth; stage 2: 1·2·2 + 1·2 + 1
    assert len(SPACE) == 6 * (6 + 3) * (4 + 2 + 1)


def test_spaces_greater_than_a_machine_word_are_counted():
    supernet = ElasticNetwork(timm.create_model("resnet152", num_classes=2))
    stages = [(3, 3), (8, 3), (36, 3), (3, 3)]  # blocks; depths to choose from
    by_depth = [sum(3 ** (blocks - skipped) for skipped in range(depths)) for blocks, depths in stages]
    assert supernet.space.num_subnets == 3**5 * np.prod([1, *by_depth], dtype=object) > 2**63


def test_draws_take_every_choice_about_equally():
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(3000)]
    for place, number in itertools.product(range(2), (1, 2)):
        share = np.mean([subnet.depth[place] == number for subnet in drawn])
        assert abs(share - 1 / len(SPACE.depth[place])) < 0.04
    assert abs(np.mean([subnet.width[1] == 32 for subnet in drawn]) - 1 / 3) < 0.04


def test_a_block_that_is_left_off_has_the_greatest_expansion():
    subnet = Subnet((1, 2), (16, 64), (6, 8, 20, 12, 16))
    assert SPACE.canonical(subnet).expansion == (6, 10, 20, 12, 20)
    assert SPACE.parse("depth=1-2,expansion=6-8-20-12-16") == SPACE.canonical(subnet)


@pytest.mark.parametrize(
    ("text", "subnet"),
    [
        ("", SPACE.largest),
        ("depth=1", Subnet((1, 1), (16, 64), (10, 10, 20, 20, 20))),
        ("width=12-0.5", Subnet((2, 3), (12, 32), (10, 10, 20, 20, 20))),
        ("width=0.7", Subnet((2, 3), (12, 48), (10, 10, 20, 20, 20))),
        ("expansion=0.7", Subnet((2, 3), (16, 64), (8, 8, 20, 12, 16))),  # 7 lies between 8 and 6
        ("depth=2-0.6, width=1.0", Subnet((2, 2), (16, 64), (10, 10, 20, 20, 20))),
        ("depth=2-1e-0", None),
    ],
)
def test_numbers_are_counts_or_ratios(text, subnet):
    if subnet is None:
        with pytest.raises(UserError, match="1 or 2 values"):
            SPACE.parse(text)
    else:
        assert SPACE.parse(text) == subnet


def test_numbers_need_not_be_text():
    assert SPACE.subnet({"depth": [1, 2], "width": [0.75]}) == SPACE.parse("depth=1-2,width=0.75")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth=2-4", "one of 3, 2, 1 at place 1 for the dimension 'depth' of the supernet, found 4;"),
        ("depth=0-3", "one of 2, 1 at place 0 for the dimension 'depth' of the supernet, found 0;"),
        ("width=16-63", "one of 64, 48, 32 at place 1 for the dimension 'width' of the supernet, found 63;"),
        ("width=16", "one of 64, 48, 32 at place 1 for the dimension 'width' of the supernet, found 16;"),
        ("expansion=10-8", "expected 1 or 5 values for the dimension 'expansion' .*, found 2: 10-8;"),
        ("depth=1-1-1", "expected 1 or 2 values for the dimension 'depth' .*, found 3: 1-1-1;"),
        ("width=1.5", "a ratio above 0 and at most 1 for the dimension 'width' of the supernet, found 1.5;"),
        ("width=0.0", "a ratio above 0 and at most 1 for the dimension 'width' of the supernet, found 0.0;"),
        ("width=wide", "numbers between dashes for the dimension 'width' of the supernet, found 'wide';"),
        ("width=nan", "a ratio above 0 and at most 1 for the dimension 'width' of the supernet, found nan;"),
        ("width=inf", "a ratio above 0 and at most 1 for the dimension 'width' of the supernet, found inf;"),
        ("width=1e2", "a ratio above 0 and at most 1 for the dimension 'width' of the supernet, found 1e2;"),
        ("depth=-1", "numbers between dashes for the dimension 'depth' of the supernet, found '';"),
        ("width=12-48,width=0.7", "values once for the dimension 'width' .*, found 'width=0.7' as well;"),
        ("widht=0.8", "a subnet such as .*, found 'widht=0.8'; dimensions: depth, width, expansion"),
        ("tiny", "a subnet such as depth=3-4-6-2,.*, found 'tiny'; dimensions: depth, width, expansion"),
        ("depth=", "a subnet such as depth=3-4-6-2,.*, found 'depth='; dimensions: depth, width, expansion"),
    ],
)
def test_what_is_no_subnet_is_told(text, message):
    with pytest.raises(UserError, match=message):
        SPACE.parse(text)


def test_a_subnet_of_another_supernet_is_told():
    with pytest.raises(UserError, match=r"expected 2 values for the dimension 'depth' .*, found 1: 3"):
        SPACE.check(Subnet((3,), (16, 64), (10, 10, 20, 20, 20)))


def test_a_limited_space_varies_what_is_named():
    limited = SPACE.limited(["width"], num_widths=2)
    assert limited.width == ((16, 12), (64, 48)) and limited.depth == ((2,), (3,))
    assert limited.largest == SPACE.largest and len(limited) == 4
    assert set(SPACE.limited(max_skips=1, num_widths=1)) == {
        SPACE.parse(f"depth={a}-{b}") for a in (2, 1) for b in (3, 2)
    }
    assert SPACE.limited() == SPACE and len(SPACE.limited([])) == 1


def test_elasticity_decides_the_choices(make):
    elasticity = Elasticity(
        max_skips=5, width_multipliers=[1, 0.8, 0.6], min_width=32, width_step=8, max_num_widths=3
    )
    space = ElasticNetwork(make("torchvision-resnet50"), elasticity).space
    # The widths and skippable blocks that BootstrapNAS (NNCF 2.19) finds with these settings.
    assert space.width == (
        (64, 48, 32),
        (256, 200, 152),
        (512, 408, 304),
        (1024, 816, 608),
        (2048, 1632, 1224),
    )
    inner = [(64, 48, 32)] * 3 + [(128, 96, 72)] * 4 + [(256, 200, 152)] * 6 + [(512, 408, 304)] * 3
    assert space.expansion == tuple(inner)
    assert space.depth == ((3, 2, 1), (4, 3, 2, 1), (6, 5, 4, 3, 2, 1), (3, 2, 1))


def test_inner_channels_of_groups_are_whole_groups(make):
    space = ElasticNetwork(make("torchvision-resnext50"), Elasticity(expansion_multipliers=[0.5, 0.33])).space
    assert space.expansion[0] == (128, 64, 40) and space.expansion[-1] == (1024, 512, 320)
    assert space.width[0] == (64, 51, 38)


@pytest.mark.parametrize("ratios", [[], [0.0], [1.2], [1, -0.5]])
def test_multipliers_are_ratios(ratios):
    with pytest.raises(ValueError, match="ratios above 0 and at most 1"):
        Elasticity(width_multipliers=ratios)
