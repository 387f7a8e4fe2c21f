"""A page for every noun of the architecture's table: its definition there, and its class's docstring."""

from __future__ import annotations

import re
from pathlib import Path

from generated import Generated
from repository_pages import ROOT

ROW = re.compile(r"^\| (?P<nouns>`\w+`.*?) \| (?P<where>`[^|]+`) \| (?P<what>.+) \|$", re.MULTILINE)


def noun_pages() -> list[Generated]:
    """An overview, and the pages in the order of the table."""
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    table = architecture.partition("## The nouns")[2].partition("\n## ")[0]
    pages = []
    for row in ROW.finditer(table):
        nouns = re.findall(r"`(\w+)`", row["nouns"])
        homes = re.findall(r"`([^`]+)`", row["where"])
        phrases = row["what"].split("; ")
        for place, noun in enumerate(nouns):
            home = homes[place] if len(homes) == len(nouns) else homes[0]
            what = phrases[place] if len(phrases) == len(nouns) else row["what"]
            name = f"{noun}-{home.strip('/').replace('/', '-').removesuffix('.py')}"
            text = f"# {noun}\n\n{what[0].upper()}{what[1:]}.\n\n::: {_class_in(home, noun)}\n"
            pages.append(Generated(f"nouns/{name}.md", text, noun, "Nouns"))
    links = [f"- [{page.title}]({page.path.removeprefix('nouns/')})" for page in pages]
    overview = (
        "# Nouns\n\nThe words that code, tables and documentation share, one page each.\n\n"
        + "\n".join(links)
    )
    return [Generated("nouns/index.md", overview + "\n", "Overview", "Nouns"), *pages]


def _class_in(home: str, noun: str) -> str:
    """The full name of the class `noun`, or of the type alias, somewhere below `src/nversion/HOME`.

    Raises:
        LookupError: no file there defines it.
    """
    start = ROOT / "src" / "nversion" / home
    files: list[Path] = [start] if start.is_file() else sorted(start.rglob("*.py"))
    for file in files:
        if re.search(rf"^class {noun}\b|^{noun}\s*[:=]", file.read_text(), re.MULTILINE):
            module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
            return f"{module}.{noun}"
    raise LookupError(f"no class {noun} below src/nversion/{home}, which docs/architecture.md names")
