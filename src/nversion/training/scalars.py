"""Write the metrics of a training as TensorBoard scalars, a folder of events for each stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from nversion.core import UserError

from .record import Record


class Board:
    """Writes each row of a record once: "split/metric" or "split/metric/member" at the stage's step.

    A resumed training starts its events again from the rows that its checkpoint holds, so no step is there
    twice.

    Args:
        folder: of the events; what it holds is removed.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        make_writer = summary_writer()
        shutil.rmtree(folder, ignore_errors=True)
        self._make_writer = make_writer
        self._folder = folder
        self._writers: dict[int, Any] = {}
        self._num_written = 0

    def write(self, record: Record) -> None:
        """Write the rows that are new since the last call, to the disk."""
        for stage, _, step, split, metric, member, value in record.rows[self._num_written :]:
            if stage not in self._writers:
                self._writers[stage] = self._make_writer(str(self._folder / f"stage-{stage}"))
            name = f"{split}/{metric}/{member}" if member else f"{split}/{metric}"
            self._writers[stage].add_scalar(name, value, step)
        self._num_written = len(record.rows)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()


def summary_writer() -> Any:
    """TensorBoard's writer.

    Raises:
        UserError: the package is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            expected="TensorBoard for `tensorboard = true`",
            found="no package tensorboard",
            next_step="install it with: pip install tensorboard",
        ) from error
    return SummaryWriter
