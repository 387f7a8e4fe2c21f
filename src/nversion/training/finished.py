"""Read and write the summary of finished members in a seed's folder, and check their files against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from nversion.core import (
    UserError,
    fingerprint_file,
    inside,
    move_aside,
    plain_name,
    read_record,
    write_record,
)
from nversion.core.tables import FileKind, Table

from .recipe import TrainingRecipe
from .record import Record

SUMMARY = "training.json"
DIARY = "metrics.parquet"
_KIND = FileKind("training summary", "remove it and run again")


@dataclass(frozen=True)
class TrainedMember:
    """A finished member.

    Attributes:
        name: unique in its run.
        path: its weights file, which a study takes as `source = "file:…"`.
        vote_weight: of boosting; None for other strategies.
        family: of its architecture, as the recipe says.
    """

    name: str
    path: Path
    vote_weight: float | None
    family: str = "other"


@dataclass(frozen=True)
class TrainedEnsemble:
    """The members of one run of one recipe.

    Attributes:
        diverged: the term and step at which the training diverged and the last good weights were taken; empty
            if it did not.
    """

    recipe: str
    seed: int
    folder: Path
    members: tuple[TrainedMember, ...]
    diverged: str


class WithDiary(Table):
    """A summary that holds the rows of the diary, so that it can be written again."""

    model_config = ConfigDict(allow_inf_nan=True)  # a measured value may be either

    diary: list[tuple[int, float, int, str, str, str, float]]  # see `record.COLUMNS`
    diary_fingerprint: str  # of its file


class MemberSummary(Table):
    """A member in `training.json`."""

    name: str
    file: str
    fingerprint: str  # of the file's bytes
    family: str
    vote_weight: float | None


class Summary(WithDiary):
    """`training.json`: what was trained."""

    recipe: dict[str, Any]
    seed: int
    identity: str
    diverged: str
    members: list[MemberSummary] = Field(min_length=1)


def finish(
    recipe: TrainingRecipe,
    place: Path,
    *,
    seed: int,
    identity: str,
    members: Sequence[MemberSummary],
    record: Record,
    diverged: str,
) -> None:
    """Write the diary and the summary of written members, and remove what the training used."""
    # Last: a summary stands for finished members.
    write_record(
        place / SUMMARY,
        Summary(
            recipe=recipe.model_dump(mode="json"),
            seed=seed,
            identity=identity,
            diverged=diverged,
            members=list(members),
            **write_diary(place, record),
        ).model_dump(mode="json"),
    )
    clear(place)


def clear(folder: Path) -> None:
    """Remove the checkpoints of a finished training, which a kill after its summary may have left."""
    for leftover in (*folder.glob("stage-*.pt"), folder / "checkpoint.pt"):
        leftover.unlink(missing_ok=True)


def find_finished(
    recipe: TrainingRecipe, place: Path, identity: str, seed: int, set_aside: list[str]
) -> TrainedEnsemble | None:
    """The finished members of a folder; None where one is missing or damaged: they are trained again.

    Args:
        recipe: of the run.
        place: the seed's folder.
        identity: of recipe, seed and data.
        seed: of the run.
        set_aside: files that are not what was written are moved away, and their new names added here.

    Raises:
        UserError: the folder holds the members of another recipe.
    """
    summary = _read(place, set_aside)
    if summary is None:
        return None
    if summary.identity != identity:
        raise UserError(
            expected=f"results of this recipe, seed and data in {place}",
            found="those of another",
            next_step="give this run another --folder, or remove the old one",
        )
    members, whole = [], True
    for member in summary.members:
        weights = place / member.file
        if not weights.is_file() or fingerprint_file(weights) != member.fingerprint:
            whole = False
            if weights.is_file():
                set_aside.append(str(move_aside(weights)))
        members.append(TrainedMember(member.name, weights, member.vote_weight, member.family))
    if not whole:
        (place / SUMMARY).unlink()
        return None
    restore_diary(place / SUMMARY, summary, set_aside)
    clear(place)
    return TrainedEnsemble(recipe.train.name, seed, place, tuple(members), summary.diverged)


def _read(place: Path, set_aside: list[str]) -> Summary | None:
    path, before = place / SUMMARY, len(set_aside)
    try:
        content = read_record(path, set_aside)
        summary = None if content is None else _KIND.checked(Summary, content, str(path))
        for member in summary.members if summary else ():
            plain_name(member.name, str(path))
            inside(place, member.file, origin=str(path))
    except UserError:  # sealed, and yet no summary that this version writes
        set_aside.append(str(move_aside(path)))
        summary = None
    if len(set_aside) > before:
        # Nothing says any more whose members these are.
        set_aside += [str(move_aside(other)) for other in sorted(place.glob("*.safetensors"))]
    return summary


def write_diary(folder: Path, record: Record) -> dict[str, Any]:
    """Write the diary; what a `WithDiary` has to know of it."""
    record.write(folder / DIARY)
    return {"diary": record.rows, "diary_fingerprint": fingerprint_file(folder / DIARY)}


def restore_diary(path: Path, summary: WithDiary, set_aside: list[str]) -> None:
    """Write the diary again where it is missing or damaged.

    Args:
        path: of the summary.
        summary: which holds the diary's rows.
        set_aside: a damaged diary is moved away, and its new name added here.
    """
    diary = path.with_name(DIARY)
    if diary.is_file():
        if fingerprint_file(diary) == summary.diary_fingerprint:
            return
        set_aside.append(str(move_aside(diary)))
    renewed = summary.model_copy(
        update=write_diary(path.parent, Record([list(row) for row in summary.diary]))
    )
    if renewed.diary_fingerprint != summary.diary_fingerprint:  # another version of what writes it
        write_record(path, renewed.model_dump(mode="json"))
