"""What commands print with: progress bars on terminals, plain lines elsewhere, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(highlight=False)


class ConsoleReporter:
    """Says what a long command does; bars are drawn on a terminal only."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> ConsoleReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    def start(self, text: str, total: int) -> None:
        self._task = self._progress.add_task(text, total=total)

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)


LARGEST_SEED = 2**63 - 1  # as `core/tables.py` has it, which is too heavy for `--help`
PIPE_WIDTH = 400  # columns of a table that no terminal breaks


def next_command(command: str) -> None:
    """The last line of every command."""
    console.print(f"Next: {command}", soft_wrap=True, markup=False)


def print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """A list as a table, or as one JSON array for programs; a pipe gets its lines unbroken."""
    if as_json:
        print(json.dumps(list(rows), indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    printer = console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
    printer.print(table)


def examples(*commands: str) -> str:
    """The end of a help text: real commands that can be pasted."""
    return "Examples:\n\n" + "\n\n".join(f"  {command}" for command in commands)
