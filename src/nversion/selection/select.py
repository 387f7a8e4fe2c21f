"""Choose an ensemble on one half of the images and the seen conditions; report it on the rest.

The best of many ensembles looks better on the images that chose it than it is: part of its lead is
luck with those images. Numbers from the other half, and from conditions that had no say, are free of it.

`tables/selection.parquet` has a row for each contender, part and condition, and for each part two
rows more that sum its conditions up:

- `role`: "chosen", of ensembles and single models; "best_single_model", chosen among single models by the
  same rule on the same half; "best_ensemble", the same among ensembles, where a single model is chosen;
  "average_ensemble", the mean over the candidates of that ensemble's size; "homogeneous", the best on
  that half of the ensembles of that size whose members are of one architecture and training and differ
  only otherwise (seeds), of the best single model's kind where there are such, absent where there are none;
  "same_cost_model", the single model whose MACs come nearest to that ensemble's;
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
  the two apart); only of "chosen"
  and "best_ensemble" on the held-out half, null elsewhere.

The file's metadata holds the settings, the seen and unseen conditions, and the sums of `Selection`.
Beside it stand `tables/front.parquet`, see `study/front.py`, and `tables/selection_splits.parquet`, see
`study/splits.py`. They are the study's own, made by its run with the default settings; `nversion select` with
others changes none of them. Every selection leaves a line in `selection-log.jsonl`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from nversion.core import UserError
from nversion.core.members import ensemble_name
from nversion.core.reporter import Reporter, Silent
from nversion.data import Condition
from nversion.data.patterns import matching
from nversion.evaluation import Result
from nversion.evaluation.halves import CRITERIA, HALVES, criterion_numbers, jackknife_interval
from nversion.evaluation.registry import FLOAT, INT, TEXT, TEXTS, table
from nversion.evaluation.stored import StoredStudy

from .contenders import Contender, Pool, Request, check_names, make_pool
from .front import FRONT, pareto_front
from .splits import SplitSums, best_of_splits, gains

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
        candidates, single_models: how many ensembles and single models there were to choose from.
        splits: the same choice on other halves; see `study/splits.py`. No rows where it was not repeated.
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
    single_models: int
    splits: pl.DataFrame
    drop: float = math.nan
    average_drop: float = math.nan
    optimism: float = math.nan
    regret_seen: float = math.nan
    regret_unseen: float = math.nan

    def facts(self) -> dict[str, Any]:
        """All but the tables, as plain data."""
        tables = ("table", "front", "splits", "request")
        facts = {key: value for key, value in vars(self).items() if key not in tables}
        return {**asdict(self.request), **facts, "num_splits": self.splits.height}

    def as_data(self) -> dict[str, Any]:
        """Facts and tables as plain data; undefined numbers are null."""
        tables = {"rows": self.table, "front": self.front, "selection_splits": self.splits}
        rows = {name: [_plain(row) for row in table.to_dicts()] for name, table in tables.items()}
        return {**_plain(self.facts()), "verdict": self.verdict, **rows}

    @property
    def chosen(self) -> list[str]:
        """Names of the chosen members; one of a single model."""
        members: list[str] = self.row("chosen", "selection", "seen", self.request.criterion)["members"]
        return members

    @property
    def chosen_is_single(self) -> bool:
        """Whether a single model was chosen."""
        return bool(self.row("chosen", "selection", "seen", self.request.criterion)["size"] == 1)

    @property
    def verdict(self) -> str:
        """What was chosen, in a sentence."""
        name = self.row("chosen", "selection", "seen", self.request.criterion)["ensemble"]
        if self.chosen_is_single:
            return f"a single model, {name}, is chosen: no ensemble was better on the choosing half"
        single = self.row("best_single_model", "selection", "seen", self.request.criterion)["ensemble"]
        return f"the ensemble {name} is chosen, over the best single model, {single}"

    def summary(self) -> pl.DataFrame:
        """The criterion of each role on each part, in the order of the parts.

        Returns:
            Columns role, ensemble, half, scope, top1, top1_low, top1_high, difference.
        """
        columns = ["role", "ensemble", "half", "scope", "top1", "top1_low", "top1_high", "difference"]
        return self.table.filter(statistic=self.request.criterion).select(columns)

    def __repr__(self) -> str:
        lines = [f"Selection: {self.verdict}"]
        for row in self.summary().filter(role="chosen").iter_rows(named=True):
            of_part = f"{row['half'].replace('_', ' ')} half, {row['scope']} conditions"
            interval = f"[{100 * row['top1_low']:.1f}, {100 * row['top1_high']:.1f}]"
            lines.append(f"{of_part}: {self.request.criterion} top-1 {100 * row['top1']:.1f} % {interval}")
        return "\n".join(lines)

    def row(self, role: str, half: str, scope: str, statistic: str) -> dict[str, Any]:
        """A row of the table that sums up the conditions of a part."""
        return self.table.row(
            by_predicate=(pl.col("role") == role)
            & (pl.col("half") == half)
            & (pl.col("scope") == scope)
            & (pl.col("statistic") == statistic),
            named=True,
        )


def select(
    result: Result,
    *,
    criterion: str = "worst",
    unseen: Sequence[str] = (),
    size: int | None = None,
    consensus: str = "average",
    seed: int = 0,
    max_params: float | None = None,
    max_macs: float | None = None,
    cost: str = "params",
    splits: int = 100,
) -> Selection:
    """Choose an ensemble or a single model on one half of the images; evaluate the choice on the other half.

    The halves are unions of the evaluation's blocks of images, the same under all conditions of a data set.
    Of equal contenders by the criterion, the one with the better other criterion is taken, then the one with
    fewer parameters, then the first. Nothing is evaluated again where the evaluation used the rule
    `consensus`; otherwise the logits are read once.

    Args:
        result: of `nversion.evaluate`.
        criterion: "worst" or "mean", of the accuracies under the conditions that choose.
        unseen: shell patterns of conditions that have no part in the choice ("fog*"); empty: the later half
            of the corruptions.
        size: number of members; None: all sizes of the evaluation. Single models are always candidates.
        consensus: the rule by which ensembles decide.
        seed: of the halves.
        max_params, max_macs: upper bounds of the members' sum.
        cost: of the Pareto front, "params" or "macs".
        splits: number of further halves on which the choice is repeated.

    Returns:
        The choice: `chosen` (names of the members), `verdict` (a sentence), `table`, `front`, `splits`.

    Raises:
        UserError: an unknown name, pattern or size, no ensemble within the budget, fewer than two conditions,
            or fewer than four blocks of images.

    >>> import nversion as nv
    >>> rng = np.random.default_rng(0)
    >>> labels_N = rng.integers(0, 3, 200)
    >>> clean, fog = (s * rng.normal(size=(3, 200, 3)) + 2 * np.eye(3)[labels_N] for s in (1, 2))
    >>> predictions = nv.Predictions.from_arrays({"clean": clean, "fog-3": fog}, labels_N)
    >>> nv.select(nv.evaluate(predictions), unseen=["fog*"]).unseen
    ('data/fog-3',)
    """
    if not isinstance(result, Result):
        raise UserError(
            expected="the result of nversion.evaluate",
            found=type(result).__name__,
            next_step="evaluate predictions first: select(evaluate(predictions))",
        )
    unseen = (unseen,) if isinstance(unseen, str) else unseen
    if not isinstance(unseen, Sequence) or not all(isinstance(pattern, str) for pattern in unseen):
        raise UserError(
            expected="patterns of conditions as `unseen`", found=repr(unseen), next_step='pass ["fog*"]'
        )
    request = Request(size, consensus, criterion, tuple(unseen), seed, max_params, max_macs, cost, splits)
    return select_in(result.stored(), request, Silent())


def can_hold_out(study: StoredStudy, request: Request) -> bool:
    """Whether there are conditions, images and blocks enough on both sides; see `write_selection`."""
    if len(study.conditions) < 2 or (not request.unseen and not all(_split_by_default(study.conditions))):
        return False
    views = [study.predictions[condition.name] for condition in study.conditions]
    return all(len(view) >= FEWEST_IMAGES and len(set(view.blocks_N.tolist())) >= 4 for view in views)


def select_in(study: StoredStudy, request: Request, reporter: Reporter) -> Selection:
    """The choice and its tables, without files."""
    check_names(request)
    seen, unseen = split_conditions(study.conditions, request.unseen)
    pool = make_pool(study, request, {"seen": seen, "unseen": unseen}, reporter)
    chosen = pool.best(pool.candidates, "selection", "seen")
    single = pool.best(pool.singles, "selection", "seen")
    ensemble = pool.best(pool.ensembles, "selection", "seen")
    size = len(pool.members[ensemble])
    picked = {"chosen": chosen, "best_single_model": single}
    if chosen != ensemble:
        picked["best_ensemble"] = ensemble
    if len(homogeneous := pool.homogeneous(size, like=single)):
        picked["homogeneous"] = pool.best(homogeneous, "selection", "seen")
    if study.has_costs:
        picked["same_cost_model"] = int(np.abs(study.macs_M - pool.macs_X[ensemble]).argmin())
    hindsight = {part: pool.best(pool.candidates, *part) for part in PARTS if part[0] == "held_out"}
    among = pool.candidates
    cost_X = pool.params_X if request.cost == "params" else pool.macs_X
    on_front = pareto_front(pool.top1_TX(among, "selection", "seen"), cost_X[among], request.criterion)
    front = among[on_front].tolist() if study.has_costs else []
    of_splits = [] if pool.splits is None else _best_of_splits(pool, pool.splits)
    everyone = [*picked.values(), *hindsight.values(), *front, *itertools.chain(*of_splits)]
    contenders = {x: pool.contender(x) for x in dict.fromkeys(everyone)}

    roles = {role: contenders[x] for role, x in picked.items()} | {"average_ensemble": pool.average(size)}
    rows: list[dict[str, Any]] = []
    for half, scope in PARTS:
        of_part = dict(roles)
        if (half, scope) in hindsight:
            of_part["best_in_hindsight"] = contenders[hindsight[half, scope]]
        for role, contender in of_part.items():
            is_compared = half == "held_out" and role in ("chosen", "best_ensemble")
            compared = roles["best_single_model"] if is_compared else None
            rows += _rows(role, contender, compared, half, scope, pool)
    return _with_sums(
        Selection(
            pl.DataFrame(rows, schema=SELECTION),
            pl.DataFrame([_front_row(contenders[x], pool) for x in front], schema=FRONT),
            request,
            seen,
            unseen,
            len(pool.ensembles),
            len(pool.singles),
            splits_table(of_splits, contenders, pool),
        )
    )


def _best_of_splits(pool: Pool, sums: SplitSums) -> list[tuple[int, int]]:
    """The contender and the single model that the rule takes in each split."""
    criterion = pool.request.criterion
    chosen, singles = (
        best_of_splits(sums, among, criterion, pool.params_X) for among in (pool.candidates, pool.singles)
    )
    return list(zip(chosen, singles, strict=True))


@table("selection_splits", of="folder", schema={
    "split": INT, "ensemble": TEXT, "members": TEXTS, "size": INT, "consensus": TEXT,
    "best_single_model": TEXT, "gain_chosen": FLOAT, "gain_held_out": FLOAT, "gain_unseen": FLOAT,
})  # fmt: skip
def splits_table(
    of_splits: Sequence[tuple[int, int]], contenders: Mapping[int, Contender], pool: Pool
) -> list[dict[str, Any]]:
    known: dict[tuple[int, int], list[Any]] = {}
    rows = []
    for split, (x, single) in enumerate(of_splits):
        if (x, single) not in known:
            pair = contenders[x].counts, contenders[single].counts
            known[x, single] = [
                gains(*pair, pool.parts[scope], pool.request.criterion, len(of_splits))
                for scope in ("seen", "unseen")
            ]
        (chosen_S, held_out_S), (_, unseen_S) = known[x, single]
        members = contenders[x].members or []
        rows.append(
            {
                "split": split,
                "ensemble": ensemble_name(members, pool.study.model_names),
                "members": members,
                "size": len(members),
                "consensus": contenders[x].consensus,
                "best_single_model": (contenders[single].members or [""])[0],
                "gain_chosen": chosen_S[split],
                "gain_held_out": held_out_S[split],
                "gain_unseen": unseen_S[split],
            }
        )
    return rows


def _front_row(contender: Contender, pool: Pool) -> dict[str, Any]:
    chosen, seen, unseen = (
        criterion_numbers(contender.counts, HALVES.index(half), pool.parts[scope], pool.request.criterion)
        for half, scope in PARTS
    )
    return {
        "size": contender.size,
        "consensus": contender.consensus,
        "ensemble": ensemble_name(contender.members or [], pool.study.model_names),
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
    pool: Pool,
) -> list[dict[str, Any]]:
    conditions = pool.parts[scope]
    shared = {
        "role": role,
        "ensemble": None
        if contender.members is None
        else ensemble_name(contender.members, pool.study.model_names),
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
        difference = round(difference, 12) + 0.0  # equals differ by exactly 0
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
        drop=round(drop, 12),
        average_drop=round(average_drop, 12),
        optimism=round(drop - average_drop, 12),
        regret_seen=round(regret_seen, 12),
        regret_unseen=round(regret_unseen, 12),
    )


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in facts.items()}
