"""A word that means a known name is answered with that name, whatever is spelled like it."""

import pytest

from nversion.core import UserError, did_you_mean
from nversion.core.synonyms import _WORDS
from nversion.corruptions import CORRUPTIONS
from nversion.ensembles import CONSENSUS


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("mean", "average"),
        ("avg", "average"),
        ("Mean", "average"),
        ("majority", "vote"),
        ("plurality", "vote"),
        ("majority vote", "vote"),
        ("soft-voting", "probability"),
        ("prob", "probability"),
        ("softmax", "probability"),
        ("geo", "geometric_mean"),
        ("geometric", "geometric_mean"),
        ("avrage", "average"),
    ],
)
def test_a_consensus_rule_is_found_by_what_it_means(word, name):
    with pytest.raises(UserError, match=rf"did you mean '{name}'\?"):
        CONSENSUS[word]


def test_a_word_means_a_name_only_where_that_is_known():
    assert did_you_mean("average", ["worst", "mean"]) == "did you mean 'mean'?"
    assert did_you_mean("poisson", list(CORRUPTIONS)) == "did you mean 'shot_noise'?"
    assert did_you_mean("average", ["x", "y"]) == "known: x, y"


def test_no_word_is_a_rule_that_could_be_meant_itself():
    words = {word for words in _WORDS.values() for word in words.split()}
    assert not words & set(CONSENSUS) - {"average", "mean"}
