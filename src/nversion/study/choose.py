"""Choose an ensemble of a finished study; the choice is logged, and written to a file on request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from nversion.core import UserError, inside, only_run, plain_name, write_record
from nversion.core.reporter import Reporter, Silent
from nversion.core.sealed import append_record, read_records
from nversion.core.study_files import MANIFEST, SELECTION_LOG, write_table
from nversion.evaluation.stored import StoredStudy
from nversion.selection.contenders import Request, check_names
from nversion.selection.select import Selection, can_hold_out, select_in

from .stored import open_stored


def select(
    folder: Path, request: Request, reporter: Reporter | None = None, *, name: str | None = None
) -> Selection:
    """Choose an ensemble of a finished study; the study's own selection stays as it is.

    Of equal contenders by the criterion, the one with the better other criterion is taken, then the one
    with fewer parameters, then the first. No model runs. Memory: a chunk of logits; for every candidate
    16 bytes a block of images, 16 a condition, 16 a split. A line is added to `selection-log.jsonl`.

    Args:
        name: where to keep the result: `selections/NAME.json`; None: nowhere.

    Raises:
        UserError: no finished study, an unknown name, an unknown size, no ensemble within the budget,
            too few conditions or images to hold some out, or a name that is taken or no plain name.
    """
    check_names(request)
    if not (folder / MANIFEST).is_file():
        open_stored(folder)  # raises; a lock would create the folder
    with only_run(folder):
        kept = None if name is None else _place_of(folder, name)
        study = open_stored(folder)
        selection = select_in(study, request, reporter or Silent())
        if kept is not None:
            write_record(kept, {"study_hash": study.hash, **selection.as_data()}, sort_keys=False)
        log_selection(folder, study, selection, "select")
        return selection


def _place_of(folder: Path, name: str) -> Path:
    plain_name(name, "--save")
    path = inside(folder / "selections", f"{name}.json", origin="--save")
    if path.exists():
        raise UserError(
            expected="a new name for a selection", found=f"{path}, which is there", next_step="choose another"
        )
    return path


def log_selection(folder: Path, study: StoredStudy, selection: Selection, command: str) -> None:
    """Add a line about a selection to `selection-log.jsonl`.

    A run that is repeated looks at nothing new: a line of this very choice that is there is enough for it.
    """
    chosen = selection.row("chosen", "held_out", "seen", selection.request.criterion)
    entry = {
        "command": command,
        "study_hash": study.hash,
        "request": asdict(selection.request),
        "seen": selection.seen,
        "unseen": selection.unseen,
        "chosen": chosen["members"],
        "held_out": chosen["top1"],
        "gain_held_out": chosen["difference"],
    }
    entry = json.loads(json.dumps(entry))
    if command == "run" and any(
        {key: line.get(key) for key in entry} == entry for line in read_records(folder / SELECTION_LOG)[0]
    ):
        return
    at = datetime.now(UTC).isoformat(timespec="seconds")
    append_record(folder / SELECTION_LOG, {"at": at, **entry})


def write_selection(
    study: StoredStudy, folder: Path, facts: Mapping[str, str], reporter: Reporter
) -> tuple[Selection | None, dict[str, str]]:
    """Make the study's own selection and write its tables; for a run that holds the folder.

    Args:
        facts: for the metadata of the tables.

    Returns:
        The selection and the digests of its tables by name; None, and nothing is written, where there is too
        little to hold out: fewer than two conditions, no corruption to leave out, fewer than
        `FEWEST_IMAGES` images of a data set, or a half of them in one block.
    """
    request = Request()
    if not can_hold_out(study, request):
        return None, {}
    selection = select_in(study, request, reporter)
    facts = {**facts, "selection": json.dumps(selection.facts())}
    frames = {
        "selection": selection.table,
        "front": selection.front,
        "selection_splits": selection.splits,
    }
    digests = {name: write_table(folder, name, frame, facts) for name, frame in frames.items()}
    log_selection(folder, study, selection, "run")
    return selection, digests
