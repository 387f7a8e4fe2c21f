"""Logits in a file, in the place of a model that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nversion.core import UserError, did_you_mean, fingerprint_file
from nversion.core.reasons import reason_of

_FORMS = "an .npz, .safetensors or .parquet file of logits, labels and sample ids"
_IDS, _LABELS = ("sample_ids", "sample_id"), ("labels", "label")


@dataclass(frozen=True)
class Rows:
    """What a file holds of one condition.

    Attributes:
        logits_NC: floating-point.
        ids: of the samples; None: the file has none.
        labels_N: whole numbers; None: the file has none.
    """

    logits_NC: NDArray[Any]
    ids: Sequence[str] | None
    labels_N: NDArray[np.int64] | None


class LogitsFile(nn.Module):
    """Stands where a module would; its logits are read, not computed.

    Args:
        path: of an .npz or .safetensors file, whose arrays are logits (N, C) by the name of the condition
            ("clean", "fog-3", "val/fog-3"; "logits" for clean), `labels` and `sample_ids` (of safetensors: a
            list in JSON in the metadata); or of a .parquet file with the columns `logits`, `label`,
            `sample_id` and `condition`.

    Raises:
        UserError: the file is missing or another one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if not path.is_file() or path.suffix not in _READERS:
            raise self._error(_FORMS, "no such file" if not path.is_file() else path.suffix or "no suffix")
        try:
            self.rows = _READERS[path.suffix](path)
        except UserError:
            raise
        except Exception as error:  # a damaged file makes its reader fail in any way
            raise self._error(_FORMS, reason_of(error)) from error
        if not self.rows:
            raise self._error(_FORMS, "no logits", 'name them by their conditions: "clean", "fog-3", ...')
        widths = set()
        for name, rows in self.rows.items():
            logits = rows.logits_NC
            if logits.ndim != 2 or logits.dtype.kind != "f" or 0 in logits.shape:
                found = f"{logits.dtype} of shape {logits.shape} under {name!r}"
                raise self._error("floating-point logits (N, C)", found)
            widths.add(logits.shape[1])
            for what, values in (("sample ids", rows.ids), ("labels", rows.labels_N)):
                if values is not None and len(values) != len(logits):
                    found = f"{len(values)} {what} and {len(logits)} rows of logits under {name!r}"
                    raise self._error(f"one of the {what} for each row", found)
        if len(widths) > 1:
            raise self._error("one number of classes", " and ".join(map(str, sorted(widths))))
        self.num_classes = widths.pop()

    @cached_property
    def digest(self) -> str:
        """Of the file's bytes."""
        return fingerprint_file(self.path)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Not possible.

        Raises:
            UserError: always.
        """
        raise self._error(
            "a model that runs",
            "logits of given samples",
            "name the model itself: timm:, file:, python:, ...",
        )

    def aligned(
        self,
        dataset: str,
        condition: str,
        sample_ids: Sequence[str],
        labels_N: NDArray[np.int64],
        *,
        part: bool,
    ) -> NDArray[Any]:
        """Logits of a data set's samples under a condition, in their order.

        Args:
            condition: its whole name.
            part: whether the samples are a part of a larger data set, of which the file may hold more.

        Raises:
            UserError: the condition or samples are not in the file, or it has other labels.
        """
        short = condition.removeprefix(f"{dataset}/")
        found = self.rows.get(condition) or self.rows.get(short)
        if found is None and short == "clean":
            found = self.rows.get("logits")
        if found is None:
            raise self._error(
                f"logits under {condition!r}",
                f"only {', '.join(self.rows)}",
                f"add them to the file, or take the condition out; {did_you_mean(short, list(self.rows))}",
            )
        rows_N = self._rows_of(found, dataset, sample_ids, part)
        if found.labels_N is not None:
            own_N = found.labels_N[rows_N]
            if len(wrong := np.flatnonzero(own_N != labels_N)):
                first = int(wrong[0])
                raise self._error(
                    f"the labels of the data set {dataset!r}",
                    f"{own_N[first]} for {sample_ids[first]!r}, which has {labels_N[first]} "
                    f"({len(wrong)} of {len(own_N)} differ)",
                    "store logits and labels in the same order, in the data set's label space",
                )
        logits_NC: NDArray[Any] = found.logits_NC[rows_N]
        return logits_NC

    def _rows_of(self, found: Rows, dataset: str, sample_ids: Sequence[str], part: bool) -> NDArray[np.int64]:
        num_rows = len(found.logits_NC)
        if found.ids is None:
            if found.labels_N is None or num_rows != len(sample_ids):
                raise self._error(
                    f"sample ids, or all {len(sample_ids)} samples of {dataset!r} in order with labels",
                    f"{num_rows} rows without ids" + ("" if found.labels_N is not None else " and labels"),
                    "store the sample ids: tables/labels.parquet of a study lists them",
                )
            return np.arange(num_rows)
        row_of = {name: row for row, name in enumerate(found.ids)}
        if len(row_of) < num_rows:
            twice = next(name for row, name in enumerate(found.ids) if row_of[name] != row)
            raise self._error("each sample id once", f"{twice!r} twice", "remove the repeated rows")
        lacking = [name for name in sample_ids if name not in row_of]
        if lacking:
            raise self._error(
                f"a row for each sample of {dataset!r}",
                f"none for {len(lacking)} of {len(sample_ids)}, such as {lacking[0]!r} "
                f"(the file has {found.ids[0]!r}, ...)",
                "store all samples under the ids that tables/labels.parquet of a study lists",
            )
        if num_rows > len(sample_ids) and not part:
            extra = next(iter(set(row_of) - set(sample_ids)))
            raise self._error(
                f"only samples of {dataset!r}",
                f"{num_rows - len(sample_ids)} others, such as {extra!r}",
                "take them out, or name the data set that has them",
            )
        return np.array([row_of[name] for name in sample_ids])

    def _error(self, expected: str, found: str, next_step: str = "write the file again") -> UserError:
        return UserError(expected=f"{expected} in {self.path}", found=found, next_step=next_step)


def _named(arrays: Mapping[str, NDArray[Any]], ids: Sequence[str] | None) -> dict[str, Rows]:
    labels = next((arrays[name] for name in _LABELS if name in arrays), None)
    conditions = [name for name in arrays if name not in (*_IDS, *_LABELS)]
    return {name: Rows(arrays[name], ids, labels) for name in conditions}


def _read_npz(path: Path) -> dict[str, Rows]:
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    ids = next((arrays[name] for name in _IDS if name in arrays), None)
    return _named(arrays, None if ids is None else [str(one) for one in ids])


def _read_safetensors(path: Path) -> dict[str, Rows]:
    from safetensors import safe_open

    with safe_open(path, "np") as content:
        arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        metadata = content.metadata() or {}
    ids = next((json.loads(metadata[name]) for name in _IDS if name in metadata), None)
    return _named(arrays, None if ids is None else [str(one) for one in ids])


def _read_parquet(path: Path) -> dict[str, Rows]:
    import polars as pl

    frame = pl.read_parquet(path)
    if "logits" not in frame.columns:
        return {}
    conditions = frame["condition"].unique(maintain_order=True) if "condition" in frame.columns else ["clean"]
    found = {}
    for condition in conditions:
        part = frame.filter(pl.col("condition") == condition) if "condition" in frame.columns else frame
        ids = next((part[name].cast(pl.String).to_list() for name in _IDS if name in part.columns), None)
        labels = next((part[name].to_numpy() for name in _LABELS if name in part.columns), None)
        found[str(condition)] = Rows(np.array(part["logits"].to_list(), np.float32), ids, labels)
    return found


_READERS = {".npz": _read_npz, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
