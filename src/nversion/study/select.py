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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

import nversion
from nversion.core import UserError, did_you_mean, only_run
from nversion.data import Condition
from nversion.ensembles import CONSENSUS, Ensembles

from .front import COSTS, FRONT, both_criteria, pareto_front
from .halves import CRITERIA, HALVES, Counts, count_right, criterion_numbers, halves, jackknife_interval
from .patterns import matching
from .plan import ensembles_of
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
class Request:
    """What is asked of a selection.

    Attributes:
        size: number of members; None: every size of the study.
        consensus: how the ensembles decide.
        criterion: of the accuracies under the seen conditions, in `CRITERIA`.
        unseen: shell patterns on a condition's name, its name without the data set, or its corruption
            ("clean" for none); these have no say in the choice. Empty: the later half of the corruptions.
        seed: of the halves.
        max_params, max_macs: of all members together.
        cost: of the Pareto front: "params" or "macs", of all members together.
    """

    size: int | None = None
    consensus: str = "average"
    criterion: str = "worst"
    unseen: tuple[str, ...] = ()
    seed: int = 0
    max_params: float | None = None
    max_macs: float | None = None
    cost: str = "params"


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


@dataclass(frozen=True)
class _Contender:
    """One line of the result: who it is, and its counts by condition."""

    members: list[str] | None
    size: int
    consensus: str | None
    params: int | None
    macs: int | None
    counts: Mapping[str, Counts]
    is_one: bool = True  # its counts are of right answers, not means over ensembles


def select(folder: Path, request: Request, reporter: Reporter | None = None) -> Selection:
    """Choose an ensemble of a finished study and write `tables/selection.parquet` and `tables/front.parquet`.

    Of equal ensembles by the criterion, the one with the better other criterion is taken, then the one
    with fewer parameters, then the first. No model runs. Memory: a chunk of logits and, for every
    candidate, condition and block of images, 16 bytes.

    Raises:
        UserError: no finished study, an unknown name, an unknown size, no ensemble within the budget,
            or too few conditions or images to hold some out.
    """
    _check_names(request)
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
    _check_names(request)
    pool = _count(study, request, reporter)
    chosen = pool.best(pool.candidates, "selection", "seen")
    single = pool.best(pool.singles, "selection", "seen")
    roles = {
        "chosen": pool.contender(chosen),
        "best_single_model": pool.contender(single),
        "average_ensemble": pool.average(len(pool.members[chosen])),
    }
    homogeneous = pool.homogeneous(len(pool.members[chosen]), like=single)
    if len(homogeneous):
        roles["homogeneous"] = pool.contender(pool.best(homogeneous, "selection", "seen"))
    nearest = np.abs(study.macs_M - pool.macs_X[chosen]).argmin()
    roles["same_cost_model"] = pool.contender(int(nearest))
    rows: list[dict[str, Any]] = []
    for half, scope in PARTS:
        of_part = dict(roles)
        if half == "held_out":
            of_part["best_in_hindsight"] = pool.contender(pool.best(pool.candidates, half, scope))
        for role, contender in of_part.items():
            compared = roles["best_single_model"] if half == "held_out" and role == "chosen" else None
            rows += _rows(role, contender, compared, half, scope, pool.parts[scope])
    return _with_sums(
        Selection(
            pl.DataFrame(rows, schema=SELECTION),
            pl.DataFrame(_front_rows(pool), schema=FRONT),
            request,
            pool.parts["seen"],
            pool.parts["unseen"],
            len(pool.candidates),
        )
    )


@dataclass(frozen=True)
class _Pool:
    """All that may be chosen or stand beside the choice: X single models and ensembles, and how they did.

    Attributes:
        parts: names of the seen and of the unseen conditions.
        members: the models of each; the single models come first.
        counts: by condition.
        singles, candidates: indices of the single models and ensembles that may be chosen.
    """

    study: StoredStudy
    request: Request
    parts: Mapping[str, tuple[str, ...]]
    members: list[list[int]]
    counts: Mapping[str, Counts]
    singles: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @cached_property
    def params_X(self) -> NDArray[np.int64]:
        """Parameters of all members together."""
        return np.array([self.study.params_M[models].sum() for models in self.members])

    @cached_property
    def macs_X(self) -> NDArray[np.int64]:
        """MACs of all members together."""
        return np.array([self.study.macs_M[models].sum() for models in self.members])

    def top1_TX(self, among: NDArray[np.int64], half: str, scope: str) -> Tensor:
        """Accuracies under the conditions of a part."""
        return torch.stack(
            [self.counts[name].top1_X(HALVES.index(half))[among] for name in self.parts[scope]]
        )

    def best(self, among: NDArray[np.int64], half: str, scope: str) -> int:
        """The one that the rule takes."""
        top1_TX = self.top1_TX(among, half, scope)
        return int(among[choose(top1_TX, self.request.criterion, self.params_X[among])])

    def contender(self, index: int) -> _Contender:
        """One of them alone."""
        models = self.members[index]
        return _Contender(
            [self.study.model_names[i] for i in models],
            len(models),
            self.request.consensus if len(models) > 1 else None,
            int(self.params_X[index]),
            int(self.macs_X[index]),
            {name: counts.of(index) for name, counts in self.counts.items()},
        )

    def average(self, size: int) -> _Contender:
        """The mean over all candidates of a size."""
        of_size_X = torch.zeros(len(self.members), dtype=torch.bool)
        of_size_X[[x for x in self.candidates.tolist() if len(self.members[x]) == size]] = True
        counts = {name: counts.mean_of(of_size_X) for name, counts in self.counts.items()}
        return _Contender(None, size, self.request.consensus, None, None, counts, is_one=False)

    def homogeneous(self, size: int, like: int) -> NDArray[np.int64]:
        """The ensembles of a size whose members are of one kind: that of the model `like`, or any."""
        kinds = kinds_of_models(self.study)
        found = {
            x: kinds[models[0]]
            for x, models in enumerate(self.members)
            if len(models) == size and kinds[models[0]] and len({kinds[i] for i in models}) == 1
        }
        alike = [x for x, kind in found.items() if kind == kinds[like]]
        return np.array(alike or list(found), dtype=np.int64)


def _count(study: StoredStudy, request: Request, reporter: Reporter) -> _Pool:
    families = candidates(study, request)
    seen, unseen = split_conditions(study.conditions, request.unseen)
    controls = homogeneous_ensembles(study, request, families)
    counts: dict[str, Counts] = {}
    reporter.start("Ensembles", len(study.conditions))
    for condition in study.conditions:
        view = study.predictions[condition.name]
        held_out_N = halves(condition.dataset, len(view), request.seed)
        counts[condition.name] = count_right(
            view, condition.dataset, [*families, *controls], request.consensus, held_out_N
        )
        reporter.advance()
    singles = [[model] for model in range(len(study.model_names))]
    num_candidates = sum(map(len, families))
    return _Pool(
        study,
        request,
        {"seen": seen, "unseen": unseen},
        singles + [row for family in [*families, *controls] for row in family.members_EK.tolist()],
        counts,
        np.flatnonzero(within_budget(study, np.array(singles), request)),
        len(singles) + np.arange(num_candidates),
    )


def _front_rows(pool: _Pool) -> list[dict[str, Any]]:
    among = np.concatenate([pool.singles, pool.candidates])
    cost_X = (pool.params_X if pool.request.cost == "params" else pool.macs_X)[among]
    criterion = pool.request.criterion
    chosen_TX = pool.top1_TX(among, "selection", "seen")
    chosen_X, _ = both_criteria(chosen_TX, criterion)
    rows = []
    for place in pareto_front(chosen_TX, cost_X, criterion):
        contender = pool.contender(int(among[place]))
        half = HALVES.index("held_out")
        seen = criterion_numbers(contender.counts, half, pool.parts["seen"], criterion)
        unseen = criterion_numbers(contender.counts, half, pool.parts["unseen"], criterion)
        rows.append(
            {
                "size": contender.size,
                "consensus": contender.consensus,
                "ensemble": " + ".join(contender.members or ()),
                "members": contender.members,
                "params": contender.params,
                "macs": contender.macs,
                "chosen_top1": float(chosen_X[place]),
                "top1": seen["top1"],
                "top1_low": seen["top1_low"],
                "top1_high": seen["top1_high"],
                "unseen_top1": unseen["top1"],
                "unseen_low": unseen["top1_low"],
                "unseen_high": unseen["top1_high"],
                "is_single": contender.size == 1,
            }
        )
    return rows


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


def candidates(study: StoredStudy, request: Request) -> list[Ensembles]:
    """The study's ensembles of the size asked for, or of all sizes, that are within the budget.

    Raises:
        UserError: a size that the study lacks, or no ensemble within the budget.
    """
    sizes = study.asked.sizes
    if request.size is not None and request.size not in sizes:
        raise UserError(
            expected=f"a size of this study: {', '.join(map(str, sizes))}",
            found=f"--size {request.size}",
            next_step="ask for one of those, or add it under [ensembles] and run the study again: "
            "no model runs for it",
        )
    families = [f for f in study.ensembles() if request.size is None or f.size == request.size]
    kept = []
    for family in families:
        within_E = torch.from_numpy(within_budget(study, family.members_EK.numpy(), request))
        if within_E.any():
            kept.append(Ensembles(family.members_EK[within_E], family.num_models))
    if not kept:
        least = [
            min(int(of_model_M[family.members_EK.numpy()].sum(-1).min()) for family in families)
            for of_model_M in (study.params_M, study.macs_M)
        ]
        raise UserError(
            expected="an ensemble within the budget of "
            + " and ".join(
                f"{limit:,.0f} {unit}"
                for limit, unit in ((request.max_params, "parameters"), (request.max_macs, "MACs"))
                if limit is not None
            ),
            found=f"none: the smallest has {least[0]:,} parameters, the quickest takes {least[1]:,} MACs",
            next_step="raise --max-params or --max-macs, or ask for fewer members",
        )
    return kept


def kinds_of_models(study: StoredStudy) -> list[tuple[str, str] | None]:
    """Architecture and training of each model; None where the architecture is unknown."""
    if not study.architectures:
        return [None] * len(study.model_names)
    trainings = study.trainings or ("",) * len(study.model_names)
    return [(a, t) if a else None for a, t in zip(study.architectures, trainings, strict=True)]


def homogeneous_ensembles(
    study: StoredStudy, request: Request, families: Sequence[Ensembles]
) -> list[Ensembles]:
    """Ensembles of models of one kind, of the sizes of `families`, that are not in a sampled one of these.

    Of each kind all within the budget, or a sample as large as the study's.
    """
    kinds = kinds_of_models(study)
    found = []
    for family in families:
        known = set(map(tuple, family.members_EK.tolist()))
        for kind in dict.fromkeys(kind for kind in kinds if kind):
            models = torch.tensor([i for i, of_model in enumerate(kinds) if of_model == kind])
            if len(models) >= family.size:
                asked = study.asked.model_copy(update={"sizes": [family.size]})
                (of_kind,) = ensembles_of(asked, len(models))
                members_EK = models[of_kind.members_EK]
                within_E = within_budget(study, members_EK.numpy(), request)
                new_E = [tuple(row) not in known for row in members_EK.tolist()]
                kept_E = torch.from_numpy(within_E & np.array(new_E))
                if kept_E.any():
                    found.append(Ensembles(members_EK[kept_E], family.num_models))
    return found


def within_budget(study: StoredStudy, members_EK: NDArray[np.int64], request: Request) -> NDArray[np.bool_]:
    """Which ensembles keep to the budget, members added up."""
    within_E = np.ones(len(members_EK), bool)
    for of_model_M, limit in ((study.params_M, request.max_params), (study.macs_M, request.max_macs)):
        if limit is not None:
            within_E &= of_model_M[members_EK].sum(-1) <= limit
    return within_E


def choose(top1_TX: Tensor, criterion: str, params_X: NDArray[np.int64]) -> int:
    """The contender with the best criterion; of equals the better other one, fewer parameters, the first.

    >>> top1_TX = torch.tensor([[0.9, 0.8, 0.8], [0.5, 0.7, 0.7]])
    >>> choose(top1_TX, "worst", np.array([1, 3, 2])), choose(top1_TX[:1], "mean", np.array([1, 3, 2]))
    (2, 0)
    """
    first_X, second_X = both_criteria(top1_TX, criterion)
    return int(np.lexsort((params_X, -second_X, -first_X))[0])


def _rows(
    role: str,
    contender: _Contender,
    compared: _Contender | None,
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
    contender: _Contender, compared: _Contender | None, half: int, conditions: Sequence[str], criterion: str
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


def _check_names(request: Request) -> None:
    for kind, name, known in (
        ("consensus rule", request.consensus, list(CONSENSUS)),
        ("criterion", request.criterion, list(CRITERIA)),
        ("cost", request.cost, list(COSTS)),
    ):
        if name not in known:
            raise UserError(expected=f"a known {kind}", found=repr(name), next_step=did_you_mean(name, known))
