"""Variants of a recipe trained at the same time, each in a process of its own."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from nversion.core import UserError, usable_cores

from .recipe import read_recipe
from .run import train_recipe


def train_variants(
    recipe: Path,
    folder: Path,
    *,
    workers: int | None = None,
    on_finished: Callable[[str], None] = lambda _name: None,
) -> None:
    """Train every variant of a recipe file into `folder/NAME`, those with a teacher after the others.

    Weights do not depend on the number of processes where the recipe sets `threads`. Processes start by
    `spawn`: a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        recipe: the file, whose folder its relative paths start from.
        folder: of the results.
        workers: processes; None: one for each core, at most 4; 1: all in this process.
        on_finished: called with the name of a variant when it is finished.

    Raises:
        UserError: what `train_recipe` raises, or a process was killed. Finished variants are kept, those
            under way resume from their checkpoints.
    """
    variants = read_recipe(recipe)
    waves = [[name for name, own in variants.items() if bool(own.teacher) == late] for late in (False, True)]
    workers = workers or min(4, usable_cores())
    if workers == 1:
        for name in itertools.chain(*waves):
            on_finished(_train(recipe, name, folder))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _ignore_interrupt) as pool:
        try:
            for wave in waves:
                for done in as_completed([pool.submit(_train, recipe, name, folder) for name in wave]):
                    on_finished(done.result())
        except BrokenProcessPool as error:
            raise UserError(
                expected=f"{workers} processes that train to their end",
                found="one that was ended from outside, as a system short of memory does",
                next_step="free some memory and run again: finished variants are kept, the others resume",
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)  # variants under way end and are kept
            raise


def _train(recipe: Path, name: str, folder: Path) -> str:
    train_recipe(read_recipe(recipe)[name], folder / name, base=recipe.parent)
    return name


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
