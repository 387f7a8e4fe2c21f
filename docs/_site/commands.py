"""Shell blocks of Markdown pages: every command exists and takes the options that the page gives it."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, without comments and assignments of variables."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s&&\s|\s;\s", line):
            words = shlex.split(command.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


def fault_of(words: list[str]) -> str | None:
    """What is wrong with a command, None where nothing is.

    The command line's own parser reads `nversion` commands without running them; targets of make, scripts and
    extras are looked up. Any other program is taken as it is.
    """
    program, *arguments = words
    program = Path(program).name
    if program == "nversion":
        return _fault_of_nversion(arguments)
    if program == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        return next((f"no target {name} in the Makefile" for name in arguments if name not in targets), None)
    if program in ("python", "python3", "pytest"):
        files = [word for word in arguments if word.endswith(".py") and "/" in word]
        missing = [name for name in files if not (ROOT / name).is_file()]
        return f"no file {missing[0]}" if missing else None
    if program == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = [
            extra
            for word in arguments
            for found in re.findall(r"\[(.*)\]", word)
            for extra in found.split(",")
        ]
        return next((f"no extra {extra} in pyproject.toml" for extra in asked if extra not in known), None)
    return None


def _fault_of_nversion(arguments: list[str]) -> str | None:
    """What the command line's parser prints for arguments that it refuses."""
    with contextlib.redirect_stderr(io.StringIO()) as printed, contextlib.redirect_stdout(io.StringIO()):
        try:
            _parser()(arguments)
        except SystemExit as ended:
            return " ".join(printed.getvalue().split()) if ended.code else None
    return None


@functools.cache
def _parser() -> Callable[[list[str]], object]:
    """The command line with commands that do nothing."""
    from typer.main import get_command

    from nversion.cli.main import app

    def silence(command: Any) -> Any:
        for part in getattr(command, "commands", {}).values():
            silence(part)
        if not getattr(command, "commands", None):
            command.callback = None
        return command

    return silence(get_command(app))
