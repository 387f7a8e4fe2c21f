"""Choose an ensemble on one half of the images and the seen conditions; report it on the rest.

The best of many ensembles looks better on the images that chose it than it is: part of its lead is
luck with those images. Numbers from the other half, and from conditions that had no say, are free of it.

`tables/selection.parquet` has a row for each contender, part and condition, and for each part two
rows more that sum its conditions up:

- `role`: "chosen"; "best_single_model", chosen among single models by the same rule on the same half;
  "average_ensemble", the mean over the candidates of the chosen size; "homogeneous", the best on
  that half of the ensembles of that size whose members are of one architecture and training and differ
  only otherwise (seeds), of the best single model's kind where there are such, absent where there are none;
  "same_cost_model", the single model whose MACs come nearest to the chosen ensemble's;
  "best_in_hindsight", the candidate that the rule would take if it saw this part: no choice without
  hindsight does better.
- `ensemble`, `members`: names; null for the average. `size`, `consensus` (null for a single model),
  `params`, `macs` (null for the average).
- `half`, `scope`: the parts ("selection", "seen"), ("held_out", "seen") and ("held_out", "unseen").
- `statistic`, `condition`: "accuracy" under this condition, or "worst" or "mean" over the
  conditions of the part, where `condition` is null.
- `n`: different images behind the number. `top1`, `top1_low`, `top1_high`: a fraction with its 95 %
  interval: Wilson's for the proportion of one condition and of the worst one, a jackknife over
  blocks of images for means over conditions or over ensembles.
- `difference`, `difference_low`, `difference_high`: `top1` less that of the best single model on the
  same images, with the 95 % interval of the jackknife over blocks of images (nan where no image tells
  the two apart); only of the chosen
  ensemble on the held-out half, null elsewhere.

The file's metadata holds the settings, the seen and unseen conditions, and the sums of `Selection`.
Beside it stands `tables/front.parquet`: see `study/front.py`.
"""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import nversion
from nversion.core import UserError, only_run
from nversion.data import Condition

from .contenders import Contender, Pool, Request, check_names, make_pool
from .front import FRONT, pareto_front
from .halves import CRITERIA, HALVES, criterion_numbers, halves, jackknife_interval
from .patterns import matching
from .reporter import Reporter, Silent
from .stored import StoredStudy, open_stored
from .tables import write_table

SELECTION: dict[str, pl.DataType | type[pl.DataType]] = {
    "role": pl.String, "ensemble": pl.String, "members": pl.List(pl.String), "size": pl.Int64,
    "consensus": pl.String, "half": pl.String, "scope": pl.String, "statistic": pl.String,
    "condition": pl.String, "n": pl.Int64, "top1": pl.Float64, "top1_low": pl.Float64,
    "top1_high": pl.Float64, "difference": pl.Float64, "difference_low": pl.Float64,
    "difference_high": pl.Float64, "params": pl.Int64, "macs": pl.Int64,
}  # fmt: skip
PARTS = (("selection", "seen"), ("held_out", "seen"), ("held_out", "unseen"))
FEWEST_IMAGES = 8
"""Of each data set, below which a run chooses nothing by itself."""


@dataclass(frozen=True)
class Selection:
    """What was chosen and how good it is where it had no say.

    Attributes:
        table: see the module.
        front: see `study/front.py`.
        seen, unseen: names of conditions.
        candidates: how many ensembles there were to choose from.
        drop: of the chosen ensemble's criterion under the seen conditions, from the half that chose
            it to the half that did not.
        average_drop: the same of the average ensemble: how much harder the held-out half is.
        optimism: `drop` less `average_drop`, the part of the chosen ensemble's lead that was luck.
        regret_seen, regret_unseen: by how much the best in hindsight beats it on the held-out half.
    """

    table: pl.DataFrame
    front: pl.DataFrame
    request: Request
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    candidates: int
    drop: float = math.nan
    average_drop: float = math.nan
    optimism: float = math.nan
    regret_seen: float = math.nan
    regret_unseen: float = math.nan

    def facts(self) -> dict[str, Any]:
        """All but the tables, as plain data."""
        facts = {key: value for key, value in vars(self).items() if key not in ("table", "front", "request")}
        return {**asdict(self.request), **facts}

    def row(self, role: str, half: str, scope: str, statistic: str) -> dict[str, Any]:
        """A row of the table that sums up the conditions of a part."""
        return self.table.row(
            by_predicate=(pl.col("role") == role)
            & (pl.col("half") == half)
            & (pl.col("scope") == scope)
            & (pl.col("statistic") == statistic),
            named=True,
        )


def select(folder: Path, request: Request, reporter: Reporter | None = None) -> Selection:
    """Choose an ensemble of a finished study and write `tables/selection.parquet` and `tables/front.parquet`.

    Of equal ensembles by the criterion, the one with the better other criterion is taken, then the one
    with fewer parameters, then the first. No model runs. Memory: a chunk of logits; for every candidate
    16 bytes a block of images, and 16 a condition.

    Raises:
        UserError: no finished study, an unknown name, an unknown size, no ensemble within the budget,
            or too few conditions or images to hold some out.
    """
    check_names(request)
    if not (folder / "manifest.json").is_file():
        open_stored(folder)  # raises; a lock would create the folder
    with only_run(folder):
        return _select_and_write(open_stored(folder), folder, request, reporter or Silent())


def write_selection(folder: Path, request: Request | None, reporter: Reporter) -> Selection | None:
    """The same within a run that holds the folder and has written its tables and its manifest.

    Args:
        request: None asks again what was asked of this very study before, so that a repeated run does
            not undo a user's choice; the default where nothing was.

    Returns:
        None, and nothing is written, where there is too little to hold out: fewer than two conditions,
        by default no corruption to leave out, fewer than `FEWEST_IMAGES` images of a data set, or a half
        of them in one block.
    """
    study = open_stored(folder)
    request = request or _asked_before(folder, study.hash) or Request()
    if not can_hold_out(study, request):
        return None
    return _select_and_write(study, folder, request, reporter)


def _select_and_write(study: StoredStudy, folder: Path, request: Request, reporter: Reporter) -> Selection:
    selection = select_in(study, request, reporter)
    facts = {
        "study": study.name,
        "study_hash": study.hash,
        "nversion": nversion.__version__,
        "units": "fractions in [0, 1]",
        "selection": json.dumps(selection.facts()),
    }
    write_table(folder, "selection", selection.table, facts)
    write_table(folder, "front", selection.front, facts)
    return selection


def _asked_before(folder: Path, study_hash: str) -> Request | None:
    path = folder / "tables" / "selection.parquet"
    if not path.is_file():
        return None
    facts = pl.read_parquet_metadata(path)
    if facts.get("study_hash") != study_hash:
        return None
    asked = json.loads(facts["selection"])
    names = [f.name for f in fields(Request) if f.name in asked]
    unseen = tuple(glob.escape(name) for name in asked["unseen"])  # names, which as patterns match themselves
    return replace(Request(**{name: asked[name] for name in names}), unseen=unseen)


def can_hold_out(study: StoredStudy, request: Request) -> bool:
    """Whether there are conditions, images and blocks enough on both sides; see `write_selection`."""
    if len(study.conditions) < 2 or (not request.unseen and not all(_split_by_default(study.conditions))):
        return False
    for condition in study.conditions:
        view = study.predictions[condition.name]
        if len(view) < FEWEST_IMAGES:
            return False
        held_out_N = halves(condition.dataset, len(view), request.seed)
        if min(len(set(view.blocks_N[held_out_N == half].tolist())) for half in (True, False)) < 2:
            return False
    return True


def select_in(study: StoredStudy, request: Request, reporter: Reporter) -> Selection:
    """The choice and its tables, without files."""
    check_names(request)
    seen, unseen = split_conditions(study.conditions, request.unseen)
    pool = make_pool(study, request, {"seen": seen, "unseen": unseen}, reporter)
    chosen = pool.best(pool.candidates, "selection", "seen")
    single = pool.best(pool.singles, "selection", "seen")
    size = len(pool.members[chosen])
    picked = {"chosen": chosen, "best_single_model": single}
    if len(homogeneous := pool.homogeneous(size, like=single)):
        picked["homogeneous"] = pool.best(homogeneous, "selection", "seen")
    picked["same_cost_model"] = int(np.abs(study.macs_M - pool.macs_X[chosen]).argmin())
    hindsight = {part: pool.best(pool.candidates, *part) for part in PARTS if part[0] == "held_out"}
    among = np.concatenate([pool.singles, pool.candidates])
    cost_X = pool.params_X if request.cost == "params" else pool.macs_X
    on_front = pareto_front(pool.top1_TX(among, "selection", "seen"), cost_X[among], request.criterion)
    front = among[on_front].tolist()
    contenders = pool.contenders([*picked.values(), *hindsight.values(), *front], reporter)

    roles = {role: contenders[x] for role, x in picked.items()} | {"average_ensemble": pool.average(size)}
    rows: list[dict[str, Any]] = []
    for half, scope in PARTS:
        of_part = dict(roles)
        if (half, scope) in hindsight:
            of_part["best_in_hindsight"] = contenders[hindsight[half, scope]]
        for role, contender in of_part.items():
            compared = roles["best_single_model"] if half == "held_out" and role == "chosen" else None
            rows += _rows(role, contender, compared, half, scope, pool.parts[scope])
    return _with_sums(
        Selection(
            pl.DataFrame(rows, schema=SELECTION),
            pl.DataFrame([_front_row(contenders[x], pool) for x in front], schema=FRONT),
            request,
            seen,
            unseen,
            len(pool.candidates),
        )
    )


def _front_row(contender: Contender, pool: Pool) -> dict[str, Any]:
    chosen, seen, unseen = (
        criterion_numbers(contender.counts, HALVES.index(half), pool.parts[scope], pool.request.criterion)
        for half, scope in PARTS
    )
    return {
        "size": contender.size,
        "consensus": contender.consensus,
        "ensemble": " + ".join(contender.members or ()),
        "members": contender.members,
        "params": contender.params,
        "macs": contender.macs,
        "chosen_top1": chosen["top1"],
        "top1": seen["top1"],
        "top1_low": seen["top1_low"],
        "top1_high": seen["top1_high"],
        "unseen_top1": unseen["top1"],
        "unseen_low": unseen["top1_low"],
        "unseen_high": unseen["top1_high"],
        "is_single": contender.size == 1,
    }


def split_conditions(
    conditions: Sequence[Condition], patterns: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the conditions that have a say in the choice, and of those that have none.

    Without patterns: clean and the first half of the corruptions (rounded down), and the rest.

    Raises:
        UserError: fewer than two conditions, a pattern that matches none, or nothing left on a side.

    >>> split_conditions([Condition("val"), Condition("val", "lines", 1), Condition("val", "plasma", 2)], ())
    (('val/clean', 'val/lines-1'), ('val/plasma-2',))
    """
    names = [condition.name for condition in conditions]
    if len(names) < 2:
        raise UserError(
            expected="a study of at least 2 conditions, one to choose on and one to hold out",
            found=", ".join(names),
            next_step="add corruptions under [conditions.corruptions] and run it again",
        )
    if patterns:
        held = matching(conditions, patterns, "--unseen")
        seen = [name for name in names if name not in held]
    else:
        seen, held = _split_by_default(conditions)
    if not seen or not held:
        raise UserError(
            expected="conditions to choose on and others to hold out",
            found=f"all {len(names)} {'held out' if held else 'to choose on'}",
            next_step=f"hold {'fewer' if held else 'some'} out, for example: --unseen {names[-1]!r}",
        )
    return tuple(seen), tuple(held)


def _split_by_default(conditions: Sequence[Condition]) -> tuple[list[str], list[str]]:
    corruptions = list(dict.fromkeys(c.corruption for c in conditions if c.corruption is not None))
    late = corruptions[len(corruptions) // 2 :]
    seen = [c.name for c in conditions if c.corruption not in late]
    return seen, [c.name for c in conditions if c.corruption in late]


def _rows(
    role: str,
    contender: Contender,
    compared: Contender | None,
    half: str,
    scope: str,
    conditions: Sequence[str],
) -> list[dict[str, Any]]:
    shared = {
        "role": role,
        "ensemble": None if contender.members is None else " + ".join(contender.members),
        "members": contender.members,
        "size": contender.size,
        "consensus": contender.consensus,
        "half": half,
        "scope": scope,
        "params": contender.params,
        "macs": contender.macs,
    }
    rows = [
        {**shared, "statistic": name, **_numbers(contender, compared, HALVES.index(half), conditions, name)}
        for name in CRITERIA
    ]
    for condition in conditions:
        numbers = _numbers(contender, compared, HALVES.index(half), [condition], "mean")
        rows.append({**shared, "statistic": "accuracy", "condition": condition, **numbers})
    return rows


def _numbers(
    contender: Contender, compared: Contender | None, half: int, conditions: Sequence[str], criterion: str
) -> dict[str, Any]:
    """A criterion of the accuracies under some conditions, its interval, and its paired difference."""
    function = CRITERIA[criterion]
    numbers = criterion_numbers(contender.counts, half, conditions, criterion, is_one=contender.is_one)
    if compared is not None:
        pairs = [[contender.counts[name], compared.counts[name]] for name in conditions]
        difference, paired = jackknife_interval(lambda x: function(x)[0] - function(x)[1], pairs, half)
        numbers |= {"difference": difference, "difference_low": paired.low, "difference_high": paired.high}
    return numbers


def _with_sums(selection: Selection) -> Selection:
    criterion = selection.request.criterion

    def top1(role: str, half: str, scope: str) -> float:
        return float(selection.row(role, half, scope, criterion)["top1"])

    drop, average_drop = (
        top1(role, "selection", "seen") - top1(role, "held_out", "seen")
        for role in ("chosen", "average_ensemble")
    )
    regret_seen, regret_unseen = (
        top1("best_in_hindsight", "held_out", scope) - top1("chosen", "held_out", scope)
        for scope in ("seen", "unseen")
    )
    return replace(
        selection,
        drop=drop,
        average_drop=average_drop,
        optimism=drop - average_drop,
        regret_seen=regret_seen,
        regret_unseen=regret_unseen,
    )
