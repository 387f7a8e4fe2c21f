"""Whatever slips or damage a file of tables has, its reader gives a result or one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nversion.core import UserError
from nversion.core.tables import Table, read_json, read_toml
from nversion.study.spec import read_spec as read_study
from nversion.supernet.nas import read_spec as read_supernet
from nversion.training import read_recipe
from nversion.training.recipe import parse_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
DIGITS = RECIPES / "enforcement-digits.toml"
OF_FILES = {
    read_recipe: DIGITS,
    read_supernet: RECIPES / "supernet-digits.toml",
    read_study: RECIPES / "imagenet-small.toml",
}


def test_mutated_tables_are_read_or_refused_in_one_sentence(mutations) -> None:
    for name, read, document in mutations.readers(RECIPES.parent):
        mutants = mutations.mutations_of(document, seed=1, count=60)
        ends = [mutations.outcome(read, mutant, f"{name}: {what}") for what, mutant in mutants]
        assert ends.count("refused") > 10, name


@pytest.mark.parametrize("read", OF_FILES, ids=["recipe", "supernet", "study"])
def test_damaged_text_is_read_or_refused_in_one_sentence(mutations, tmp_path: Path, read) -> None:
    path = tmp_path / "file.toml"
    for what, content in mutations.damaged_texts(OF_FILES[read].read_text(), seed=1, count=60):
        path.write_bytes(content)
        mutations.outcome(read, path, what)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a = " + "[" * 20_000 + "]" * 20_000, "it is nested too deep"),
        ("a = " + "[" * 70 + "]" * 70, r"more at a\.0\.0"),
        ("a = " + "9" * 5000, "Exceeds the limit .4300 digits. for integer string conversion"),
        ("b.a = 9223372036854775808", r"a number of 64 bits at b\.a"),
        ('b = ["", "\\u0000"]', r"a null byte at b\.1"),
        ('"a\\u0000" = 1', "a null byte at "),
    ],
)
def test_what_would_fail_far_from_its_file_is_refused_where_it_is_read(tmp_path: Path, text, found) -> None:
    path = tmp_path / "file.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=found):
        read_toml(path, "a file", "write it")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a": 1e}', '{"a": "\\u0000"}']
)
def test_json_has_the_same_rim(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"file.json"):
        read_json(path, "a file", "write it")


@pytest.mark.parametrize("path", ["a\0b.toml", "none.toml", "."])
def test_a_path_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(UserError, match=r"expected a recipe file, found .*, which cannot be read \(.+\);"):
        read_recipe(Path(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_of_tables_are_finite(value: float) -> None:
    class Own(Table):
        number: float

    with pytest.raises(ValueError, match="finite number"):
        Own(number=value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"variants": 3}, r"a sound value of variants in r\.toml, found 3 \(Input should be a valid list\)"),
        ({"variants": []}, r"a sound value of variants in r\.toml, found \[\] \(List should have at least 1"),
        ({"variants": ["a"]}, r"a sound value of variants\.0 in r\.toml, found 'a'"),
        (
            {"variants": [{"name": "a", "train": 2}]},
            r"a sound value of variants\.0\.train in r\.toml, found 2",
        ),
        ({"variants": [{}]}, r"a name of its own for every variant in r\.toml, found None for variant 0"),
        ({"train": "x"}, r"a sound value of train in r\.toml, found 'x'"),
        ({"loss": 1}, r"a sound value of loss in r\.toml, variant 'independent', found 1"),
    ],
)
def test_a_recipe_is_checked_before_it_is_taken_apart(changes, sentence: str) -> None:
    content = tomllib.loads(DIGITS.read_text()) | changes
    with pytest.raises(UserError, match=sentence):
        parse_recipe(content, "r.toml")
