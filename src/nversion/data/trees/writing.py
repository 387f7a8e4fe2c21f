"""Write a data set under its corruptions to disk, in several processes, resuming to the same bytes.

An image is decoded once for all conditions of a run.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nversion.core import UserError, only_run, remove_leftovers
from nversion.data.conditions import Condition

from .layout import WORK
from .writers import Tree, Writer, channels_last, writer_of

MEASURED = 3  # samples that the plan renders and encodes under every condition

Counter = Callable[[], None]


@dataclass(frozen=True)
class TreePlan:
    """Numbers that are reported before anything is written.

    Attributes:
        images_total, images_missing: images under conditions; `chunks_missing`: pieces they are written in.
        bytes_missing: disk that the missing ones take, from a few samples; `bytes_free`: what there is.
        seconds: of one process for what is missing, from the same samples.
    """

    images_total: int
    images_missing: int
    chunks_missing: int
    bytes_missing: int
    bytes_free: int
    seconds: float


def plan_tree(tree: Tree) -> TreePlan:
    """Look at what is there, and estimate the rest: renders and encodes a few samples in memory.

    Raises:
        UserError: the folder holds something else, or an image cannot be read.
    """
    writer = writer_of(tree)
    missing = writer.missing()
    counts = dict.fromkeys(tree.conditions, 0)
    for (start, stop), lacking in missing.items():
        for condition in lacking:
            counts[condition] += stop - start
    num_bytes = seconds = 0.0
    if missing:
        rows = np.unique(np.linspace(0, len(tree.dataset) - 1, MEASURED).astype(int)).tolist()
        started = time.perf_counter()
        images_n3HW = _canonical(tree, rows)
        seconds = (time.perf_counter() - started) / len(rows) * sum(b - a for a, b in missing)
        ids = [tree.dataset.sample_ids[row] for row in rows]
        next(iter(missing.values()))[0].render(images_n3HW, ids)  # the first call loads and allocates
        for condition, count in counts.items():
            if count:
                started = time.perf_counter()
                num_bytes += count * writer.disk_bytes(channels_last(condition.render(images_n3HW, ids)))
                seconds += count * (time.perf_counter() - started) / len(rows)
    existing = next(p for p in (tree.folder, *tree.folder.absolute().parents) if p.is_dir())
    return TreePlan(
        len(tree.conditions) * len(tree.dataset),
        sum(counts.values()),
        sum(map(len, missing.values())),
        round(num_bytes),
        shutil.disk_usage(existing).free,
        seconds,
    )


def check_disk(plans: Sequence[TreePlan], folder: Path) -> None:
    """
    Raises:
        UserError: what is missing takes more disk than there is.
    """
    needed = sum(plan.bytes_missing for plan in plans)
    free = min(plan.bytes_free for plan in plans)
    if needed > free:
        raise UserError(
            expected=f"{needed / 1e9:.1f} GB free in {folder}",
            found=f"{free / 1e9:.1f} GB",
            next_step="free some space, name another --out, ask for fewer corruptions, "
            "or write JPEG with a lower --quality",
        )


def check_workers(workers: int) -> None:
    """
    Raises:
        UserError: fewer than one.
    """
    if workers < 1:
        raise UserError(
            expected="at least 1 worker", found=str(workers), next_step="leave --workers out for one a core"
        )


def write_tree(tree: Tree, workers: int = 1, on_step: Counter = lambda: None) -> None:
    """Write what is missing of a tree; killed at any moment and run again, it ends in the same bytes.

    A kill loses at most one chunk of each worker. The bytes do not depend on the number of workers.
    Memory: for each worker the data set's own, and a chunk (`CHUNK_BYTES`) before and after corruption.

    Args:
        workers: processes, each with one thread; 1: this process.
        on_step: called for each chunk that is written.

    Raises:
        UserError: the folder holds something else, another run writes to it, the disk is full, or an
            image cannot be read. What is finished is kept.
    """
    check_workers(workers)
    if writer_of(tree).complete:
        return
    with only_run(tree.folder / WORK):
        remove_leftovers(tree.folder)
        writer = writer_of(tree)
        writer.start()
        missing = writer.missing()
        if workers == 1 or len(missing) < 2:
            with _one_thread():
                for (start, stop), conditions in missing.items():
                    for _ in _write_span(writer, start, stop, conditions):
                        on_step()
        else:
            _in_processes(tree, missing, min(workers, len(missing)), on_step)
        writer.finish()


def _canonical(tree: Tree, rows: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([tree.canonical.render(tree.dataset.decode(row)) for row in rows]))


def _write_span(
    writer: Writer, start: int, stop: int, conditions: Sequence[Condition]
) -> Iterator[Condition]:
    """Decode a span once and write it under each condition; yields after each."""
    ids = writer.tree.dataset.sample_ids[start:stop]
    images_n3HW = _canonical(writer.tree, range(start, stop))
    for condition in conditions:
        writer.write(condition, start, stop, condition.render(images_n3HW, ids))
        yield condition


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Worker:
    """What a worker process holds: its writer, the count of finished chunks, and the sign to stop."""

    writer: Writer
    count: Any
    stop: Any


def _start_worker(tree: Tree, count: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which raises the sign
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _Worker.writer, _Worker.count, _Worker.stop = writer_of(tree), count, stop


def _end_with_parent() -> None:
    """A killed parent takes its workers along: the run that resumes its work must be alone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write_in_worker(start: int, stop: int, conditions: Sequence[Condition]) -> None:
    for _ in _write_span(_Worker.writer, start, stop, conditions):
        with _Worker.count.get_lock():
            _Worker.count.value += 1
        if _Worker.stop.is_set():
            return


def _in_processes(
    tree: Tree, missing: Mapping[tuple[int, int], list[Condition]], workers: int, on_step: Counter
) -> None:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    count, stop = context.Value("q", 0), context.Event()
    reported = 0
    with ProcessPoolExecutor(workers, context, _start_worker, (tree, count, stop)) as pool:
        try:
            pending = {pool.submit(_write_in_worker, *span, lacking) for span, lacking in missing.items()}
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                done = count.value
                for _ in range(done - reported):
                    on_step()
                reported = done
        except BrokenProcessPool as error:
            raise UserError(
                expected=f"{workers} worker processes to the end",
                found="one that was killed, perhaps for lack of memory",
                next_step="run again with fewer --workers: what is finished is kept",
            ) from error
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
