"""What MkDocs calls while it builds the site: generated pages, and the output below every code block."""

from __future__ import annotations

import html
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from blocks import Session, blocks_of
from catalogue import generated_pages
from generated import Generated
from repository_pages import relinked

_outputs: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages below their headings of the navigation."""
    for title, pages in _sections(generated_pages()).items():
        (section,) = [entry for entry in config.nav or [] if title in entry]
        section[title] = [*section[title], *[{page.title: page.path} for page in pages]]
    return config


def _sections(pages: tuple[Generated, ...]) -> dict[str, list[Generated]]:
    sections: dict[str, list[Generated]] = {}
    for page in pages:
        if page.section:
            sections.setdefault(page.section, []).append(page)
    return sections


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and their pictures."""
    for page in generated_pages():
        files.append(File.generated(config, page.path, content=page.content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Run the Python blocks of a page and put a placeholder below each that shows something."""
    site = page.file.src_uri
    source = Path(config.docs_dir) / site
    if source.is_file():
        markdown = relinked(markdown, f"docs/{site}", site)
    written = []
    position = 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        session = Session(source, Path(folder))
        for block in blocks_of(markdown):
            written.append(markdown[position : block.start])
            position = block.stop
            written.append(f"```{block.language}\n{block.text}```\n")
            if reason := block.options.get("skip"):
                written.append(f"\n*Not run while these pages are built: {reason}.*\n")
            elif block.language == "python":
                shown = session.run(block)
                if shown.text or shown.html:
                    key = f"nversion-output-{len(_outputs)}"
                    text = f"<pre>{html.escape(shown.text)}</pre>" if shown.text else ""
                    _outputs[key] = f'<div class="output">{text}{shown.html}</div>'
                    written.append(f"\n{key}\n")
    return "".join([*written, markdown[position:]])


def on_page_content(content: str, **_: Any) -> str:
    """Put the outputs in the place of their placeholders."""
    for key, output in _outputs.items():
        content = content.replace(f"<p>{key}</p>", output)
    _outputs.clear()
    return content


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that fetches anything from elsewhere: the site is read without a network.

    Raises:
        PluginError: it does.
    """
    fetched = re.search(
        r'<(?:script|img|iframe|link rel="stylesheet")[^>]*(?:src|href)="(?:https?:)?//[^"]*"', output
    )
    if fetched:
        raise PluginError(f"expected no address of another site in {page.file.src_uri}, found {fetched[0]}")
    return output
