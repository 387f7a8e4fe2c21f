"""What commands print with: progress bars on terminals, plain lines elsewhere, JSON when asked."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
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

from nversion.core import UserError, duration
from nversion.core.settings import resolve

console = Console(highlight=False)


class ConsoleReporter:
    """Shows the progress of a long command: bars on a terminal, one line per minute elsewhere."""

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
        self._work = Work()
        self._minutes = Minutes(lambda: self._work.line(time.monotonic()))

    def __enter__(self) -> ConsoleReporter:
        self._progress.start()
        self._minutes.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._minutes.stop()
        self._progress.stop()

    def say(self, text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    def start(self, text: str, total: int) -> None:
        self._task = self._progress.add_task(text, total=total)
        self._work = Work(text, total, time.monotonic())

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)
        self._work.done += 1


@dataclass
class Work:
    """A piece of work: its steps, and when it began."""

    text: str = ""
    total: int = 0
    since: float = 0.0
    done: int = 0

    def line(self, now: float) -> str:
        """What is being done, the share that is done, and the time that the rest takes at this pace.

        >>> Work("Models", 200, since=0.0, done=50).line(now=60.0), Work("Pictures", 1).line(now=60.0)
        ('Models: 25% (50 of 200), about 3 min left', 'Pictures: 60 s so far')
        """
        taken = now - self.since
        if self.total <= 1 or self.done == 0:
            return f"{self.text}: {duration(taken)} so far" if self.text else ""
        left = taken / self.done * (self.total - self.done)
        share = f"{self.done / self.total:.0%} ({self.done:,} of {self.total:,})"
        return f"{self.text}: {share}, about {duration(left)} left"


class Minutes:
    """Writes a line per minute to standard error where that is no terminal.

    A thread writes it, since a step may take longer than a minute.

    Args:
        line: what to write; nothing where it is empty.
    """

    EVERY_S = 60.0

    def __init__(self, line: Callable[[], str]) -> None:
        self._line = line
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if sys.stderr is not None and not sys.stderr.isatty():
            self._thread = threading.Thread(target=self._write, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self) -> None:
        while not self._ended.wait(self.EVERY_S):
            if line := self._line():
                with suppress(OSError, ValueError):  # nobody reads them any more
                    print(line, file=sys.stderr, flush=True)


@contextmanager
def damage_printed(*, on_errors: bool = False) -> Iterator[list[str]]:
    """Yield a list for names of damaged files that the block sets aside, and print them when it ends.

    Args:
        on_errors: print to standard error, where standard output is for programs.
    """
    set_aside: list[str] = []
    try:
        yield set_aside
    finally:
        for name in set_aside:
            text = f"Set aside, it does not match its digest and is computed again: {name}"
            printer = Console(highlight=False, stderr=True) if on_errors else console
            printer.print(text, soft_wrap=True, markup=False)


LARGEST_SEED = 2**63 - 1  # as `core/tables.py` has it, which is too heavy for `--help`
PIPE_WIDTH = 400  # columns of a table that no terminal breaks


def next_command(command: str) -> None:
    """Print the last line of a command: what to run next."""
    console.print(f"Next: {command}", soft_wrap=True, markup=False)


def print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows as a table, or as one JSON array; lines of a pipe are not wrapped."""
    if as_json:
        print(json.dumps(list(rows), indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        values = (row.get(column) for column in columns)
        table.add_row(*(escape("" if value is None else str(value)) for value in values))
    printer = console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
    printer.print(table)


def results_folder(given: Path | None, name: str) -> Path:
    """The folder for results: the one that was given, with ~ expanded, or runs/NAME.

    Raises:
        UserError: there is no home folder of that user, or the path is a file's.
    """
    folder = Path("runs") / name if given is None else resolve(given, Path())
    if folder.is_file():
        raise UserError(expected="a folder", found=f"the file {folder}", next_step="give another --folder")
    return folder


def examples(*commands: str) -> str:
    """The end of a help text: real commands that can be pasted."""
    return "Examples:\n\n" + "\n\n".join(f"  {command}" for command in commands)
