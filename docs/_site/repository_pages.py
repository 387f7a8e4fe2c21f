"""Files of the repository outside docs/ as pages of the site: README, changelog, examples, recipes."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from generated import Generated

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
WHOLE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "recipes/README.md": "recipes/index.md",
}
"""Pages of Markdown, and where the site has them."""


def repository_pages() -> list[Generated]:
    """Pages of Markdown as they are, and a page with the text of each example and recipe."""
    pages = [Generated(site, relinked((ROOT / path).read_text(), path, site)) for path, site in WHOLE.items()]
    for path, site in _sources().items():
        text = (ROOT / path).read_text()
        language = {".py": "py", ".toml": "toml"}.get(Path(path).suffix, "text")
        section = "Examples" if path.startswith("examples/") else ""
        pages.append(Generated(site, f"# {path}\n\n````{language}\n{text}````\n", Path(path).name, section))
    return pages


def _sources() -> dict[str, str]:
    files = [*(ROOT / "examples").iterdir(), *(ROOT / "recipes").iterdir()]
    paths = [str(PurePosixPath(file.relative_to(ROOT))) for file in sorted(files) if file.is_file()]
    return {path: f"{path}.md" for path in paths if path not in WHOLE}


def relinked(markdown: str, source: str, site: str) -> str:
    """The links of a page that stands at `source` in the repository, for its place `site` below docs/."""
    elsewhere = {**WHOLE, **_sources(), "LICENSE": ""}

    def link(found: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(source).parent / found["path"])
        within = elsewhere.get(target, target.removeprefix("docs/"))
        relative = os.path.relpath(within or ".", PurePosixPath(site).parent)
        return f"]({relative}{found['anchor'] or ''})"

    return LINK.sub(link, markdown)
