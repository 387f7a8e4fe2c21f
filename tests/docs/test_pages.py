"""Every code block of README, CONTRIBUTING and docs runs, or says why it does not."""

from pathlib import Path

import pytest

from blocks import Session, blocks_of
from commands import commands_of, fault_of
from corruption_pages import corruption_pages
from metric_pages import metric_pages
from noun_pages import noun_pages
from settings import faults_of_toml

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "recipes/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"python", "sh", "toml", "text"}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list:
    return [block for block in blocks_of(page.read_text()) if block.language == language]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", pages_with("python"), ids=page_id)
def test_python_blocks_run_in_order(page, tmp_path):
    session = Session(page, tmp_path)
    for block in blocks(page, "python"):
        if "skip" not in block.options:
            session.run(block)


@pytest.mark.parametrize("page", [*corruption_pages(), *metric_pages()], ids=lambda page: page.path)
def test_examples_of_generated_pages_run(page, tmp_path):
    session = Session(Path(page.path), tmp_path)
    for block in blocks_of(page.content):
        session.run(block)


@pytest.mark.parametrize("page", pages_with("sh"), ids=page_id)
def test_commands_exist_with_the_options_that_they_are_given(page):
    faults = {
        f"line {block.line}: {' '.join(words)}": fault
        for block in blocks(page, "sh")
        for words in commands_of(block.text)
        if (fault := fault_of(words))
    }
    assert faults == {}


@pytest.mark.parametrize("page", pages_with("toml"), ids=page_id)
def test_toml_blocks_have_known_keys_and_valid_values(page):
    faults = {block.line: faults_of_toml(block.text) for block in blocks(page, "toml")}
    assert {line: found for line, found in faults.items() if found} == {}


def test_an_unknown_key_of_a_toml_block_is_found():
    assert "bacth_size" in faults_of_toml("[run]\nbacth_size = 3")[0]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_block_names_its_language(page):
    unknown = [b.line for b in blocks_of(page.read_text()) if b.language not in LANGUAGES]
    assert unknown == []


def test_blocks_that_are_not_run_are_few_and_say_why():
    skipped = [b.options["skip"] for page in PAGES for b in blocks(page, "python") if "skip" in b.options]
    assert all(len(reason.split()) > 2 for reason in skipped)
    assert len(skipped) <= 6


def test_a_broken_block_fails(tmp_path):
    (block,) = blocks_of("Text.\n\n```python\nimport nversion\n\nnversion.no_such_name\n```\n")
    with pytest.raises(AttributeError, match="no_such_name"):
        Session(Path("page.md"), tmp_path).run(block)


def test_the_last_expression_is_shown(tmp_path):
    (block,) = blocks_of("```python\nx = 20\nprint('x')\nx + 1\n```\n")
    assert Session(Path("page.md"), tmp_path).run(block).text == "x\n21\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("nversion study rum study.toml", "No such command 'rum'"),
        ("nversion study plan study.toml --fodler x", "No such option: --fodler"),
        ("nversion study plan", "Missing argument"),
        ("make demmo", "no target demmo"),
        ("pip install nversion[trian]", "no extra trian"),
        ("python examples/none.py", "no file examples/none.py"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command, says):
    assert says in fault_of(command.split())


def test_every_noun_of_the_architecture_has_a_class_and_a_page():
    titles = [page.title for page in noun_pages()]
    assert len(titles) == len({page.path for page in noun_pages()}) > 40
    assert {"Predictions", "Corruption", "Ensembles"} <= set(titles)
