"""Code blocks of Markdown pages: find them, run them page by page, and keep what they print.

The site shows what these functions return and the tests fail where they fail, so a page cannot show output
that its code does not give. A block that is not run says why: ```` ```python skip="needs a GPU" ````.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)
OPTION = re.compile(r'(\w+)(?:="([^"]*)")?')


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: first word of the fence's info, "" without one.
        options: what follows it; an option without a value has the value "".
        line: number of the first line of `text` in the page, from 1.
        start, stop: the fence's position in the page's text.
    """

    language: str
    options: Mapping[str, str]
    text: str
    line: int
    start: int
    stop: int


@dataclass(frozen=True)
class Shown:
    """What a block printed, and the value of its last expression as HTML or SVG where it has such a form."""

    text: str
    html: str


def blocks_of(page: str) -> Iterator[Block]:
    """All fenced blocks of a page's text that start at the beginning of a line."""
    for found in FENCE.finditer(page):
        language, _, rest = found["info"].strip().partition(" ")
        yield Block(
            language=language,
            options=dict(OPTION.findall(rest)),
            text=found["text"],
            line=page.count("\n", 0, found.start("text")) + 1,
            start=found.start(),
            stop=found.end(),
        )


class Session:
    """Runs the Python blocks of one page, in one namespace and one working folder, as a notebook does."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, block: Block) -> Shown:
        """Run one block; a last line that is an expression is shown as a notebook shows it.

        Raises:
            Exception: whatever the block raises; the traceback names the page and its line.
        """
        tree = ast.increment_lineno(ast.parse(block.text, str(self.page)), block.line - 1)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        value = None
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(tree, str(self.page), "exec"), self.names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), str(self.page), "eval"), self.names)
        text, html = printed.getvalue(), _html(value)
        if value is not None and not html:
            text += f"{value!r}\n"
        return Shown(text, html)


def _html(value: object) -> str:
    for form in ("_repr_svg_", "_repr_html_"):
        if hasattr(value, form):
            return str(getattr(value, form)())
    return ""
