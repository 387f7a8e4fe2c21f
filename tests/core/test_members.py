"""Names of ensembles are as different as their members, and what a user types is read in one way."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nversion.core import UserError
from nversion.core.members import ensemble_name, members_named

LEADERBOARD = ["DeepAugment", "AugMix", "DeepAugment + AugMix", "ANT"]
ODD = st.text(alphabet='a+ ",', min_size=1, max_size=5)


def test_plain_names_are_joined():
    assert ensemble_name(["a", "b+c", "d"], ["a", "b+c", "d", "e"]) == "a + b+c + d"


def test_every_ensemble_and_model_of_a_pool_has_a_name_of_its_own():
    every = [m for k in (1, 2, 3, 4) for m in itertools.combinations(LEADERBOARD, k)]
    names = [ensemble_name(members, LEADERBOARD) for members in every]
    assert len(set(names)) == len(every)
    assert names[:4] == LEADERBOARD


@given(st.lists(ODD, min_size=2, max_size=5, unique=True))
def test_different_lists_have_different_names(pool):
    every = [m for k in range(2, len(pool) + 1) for m in itertools.combinations(pool, k)]
    assert len({ensemble_name(members, pool) for members in every}) == len(every)


@given(st.lists(ODD, min_size=1, max_size=3, unique=True))
def test_a_name_is_read_back_where_it_can_be_read_in_one_way(members):
    try:
        found = members_named(ensemble_name(members, members), members)
    except UserError as error:
        assert "read in one way" in str(error)
    else:
        assert found == members


@pytest.mark.parametrize("text", ["a + b", "a+b", "b + a", "b,a", " a , b ", '"b" + a', "b+ a"])
def test_blanks_commas_quotes_and_order_do_not_matter(text):
    assert members_named(text, ["a", "b", "c"]) == ["a", "b"]


def test_names_that_hold_a_plus_are_found_as_wholes():
    assert members_named("x+y+z", ["x+y", "z"]) == ["x+y", "z"]
    assert members_named("AugMix + ANT", LEADERBOARD) == ["AugMix", "ANT"]


def test_what_can_be_read_in_two_ways_is_refused_with_both():
    with pytest.raises(UserError, match=r'"DeepAugment . AugMix" or "AugMix" . "DeepAugment"'):
        members_named("DeepAugment + AugMix", LEADERBOARD[::-1])
    assert members_named('"DeepAugment + AugMix"', LEADERBOARD) == ["DeepAugment + AugMix"]
    assert members_named('"DeepAugment" + "AugMix"', LEADERBOARD) == ["DeepAugment", "AugMix"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet5", "found 'resnet5'; did you mean 'resnet50'?"),
        ("resnet50+vti", "found 'vti'; did you mean 'vit'?"),
        ("vit + vit", "expected each member once"),
        ("", "found ''"),
    ],
)
def test_other_slips_are_one_sentence(text, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        members_named(text, ["resnet50", "vit"])


def test_many_readings_end():
    names = ["a" + "+a" * k for k in range(6)]
    with pytest.raises(UserError, match="read in one way"):
        members_named("+".join(["a"] * 40), names)
    with pytest.raises(UserError, match="a model of this study"):
        members_named("+".join(["a"] * 40) + "+b", names)
    with pytest.raises(UserError, match="at most 200 names, found a text of 5000"):
        members_named("+".join(["a"] * 5000), names)
