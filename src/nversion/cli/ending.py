"""How a command ends: exit codes, one sentence instead of a traceback, signals, outputs that are full."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from nversion.core.errors import UserError

REFUSED = 2  # a sentence says what to do
INTERRUPTED = 130  # typer's exit code for Ctrl-C
CLOSED_PIPE = 1  # click's exit code where whoever read the output has gone
STOPPING = ("SIGTERM", "SIGHUP")


def end_well(command: Callable[[], object], *, debug: bool) -> NoReturn:
    """Run a command and exit: 0, 2 with one sentence, or 128 and the number of the signal that stopped it.

    Args:
        command: what typer made of the command line; it ends by `SystemExit` as a rule.
        debug: let errors pass, with their traceback.
    """
    _open_streams()
    with _stopped_by() as signals:
        try:
            code = _code_of(command)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except BrokenPipeError:
            code = CLOSED_PIPE
        except Exception as error:
            if signals:  # what a signal broke on its way, such as a worker that it ended
                code = INTERRUPTED
            elif debug:
                raise
            else:
                code = _fail(error)
        if code == INTERRUPTED:
            number = signals[0] if signals else signal.SIGINT
            code = 128 + number
            _print("interrupted: what is finished is kept; run the same command to go on")
    sys.exit(_flushed(code))


def _code_of(command: Callable[[], object]) -> int | str | None:
    Path.cwd()  # a folder that is gone ends some libraries without an exception
    try:
        command()
    except SystemExit as end:
        return end.code
    return 0


def _fail(error: Exception) -> int:
    """Print a user's mistake or a failure of the machine; raise every other error again."""
    from nversion.core.extras import missing
    from nversion.core.machine import machine_error

    if isinstance(error, UserError):
        reason: UserError | None = error
    elif isinstance(error, ImportError):
        reason = missing(error) or machine_error(error)
    elif isinstance(error, OSError) and error.filename is None and (full := _flush("\n")) is not None:
        return _refuse_output(full)
    elif isinstance(error, FileNotFoundError) and error.filename is None:
        reason = UserError(
            expected="a working folder", found="one that was removed", next_step="change to another folder"
        )
    else:
        reason = machine_error(error)
    if reason is None:
        raise error
    _print(f"error: {reason}")
    return REFUSED


def _flush(text: str = "") -> OSError | None:
    """Why the output does not take what was printed, and `text`; None where it does."""
    try:
        if sys.stdout is not None:
            if text:
                sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as error:
        return error
    return None


def _flushed(code: int | str | None) -> int | str | None:
    """The exit code once all that was printed is out."""
    error = _flush()
    return code if error is None else _refuse_output(error)


def _refuse_output(error: OSError) -> int:
    # The interpreter flushes once more as it ends, which must not fail again.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE
    _print(
        f"error: expected an output that takes what is printed, found {error.strerror!r}; "
        "send the output elsewhere and run again: what is finished is kept"
    )
    return REFUSED


def _print(sentence: str) -> None:
    with suppress(OSError):
        print(sentence, file=sys.stderr)


def _open_streams() -> None:
    """Take the numbers of closed streams, and write what an output's encoding lacks as escapes.

    A file that gets the number of a closed stream would take what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _stopped_by() -> Iterator[list[int]]:
    """Turn the signals that ask a program to end into the exception of Ctrl-C; yields those that came."""
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in STOPPING if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup has them ignored, and means it
                before[number] = signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
