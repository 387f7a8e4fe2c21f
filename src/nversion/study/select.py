"""Choose an ensemble on one half of the images and the seen conditions; report it on the rest.

The best of many ensembles looks better on the images that chose it than it is: part of its lead is
luck with those images. Numbers from the other half, and from conditions that had no say, are free of it.

`tables/selection.parquet` has a row for each contender, part and condition, and for each part two
rows more that sum its conditions up:

- `role`: "chosen"; "best_single_model", chosen among single models by the same rule on the same half;
  "average_ensemble", the mean over the candidates of the chosen size; "best_in_hindsight", the
  candidate that the rule would take if it saw this part: no choice without hindsight does better.
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
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
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
from nversion.reliability import proportion_interval

from .halves import HALVES, Counts, count_right, halves, jackknife_interval
from .run import Reporter, Silent
from .stored import StoredStudy, open_stored
from .tables import Schema, write_table

SELECTION: Schema = {
    "role": pl.String, "ensemble": pl.String, "members": pl.List(pl.String), "size": pl.Int64,
    "consensus": pl.String, "half": pl.String, "scope": pl.String, "statistic": pl.String,
    "condition": pl.String, "n": pl.Int64, "top1": pl.Float64, "top1_low": pl.Float64,
    "top1_high": pl.Float64, "difference": pl.Float64, "difference_low": pl.Float64,
    "difference_high": pl.Float64, "params": pl.Int64, "macs": pl.Int64,
}  # fmt: skip
PARTS = (("selection", "seen"), ("held_out", "seen"), ("held_out", "unseen"))
CRITERIA: dict[str, Callable[[Tensor], Tensor]] = {
    "worst": lambda top1_TX: top1_TX.amin(0),
    "mean": lambda top1_TX: top1_TX.mean(0),
}
"""From accuracies under T conditions, on the first axis, to the one number that is to be high."""


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
    """

    size: int | None = None
    consensus: str = "average"
    criterion: str = "worst"
    unseen: tuple[str, ...] = ()
    seed: int = 0
    max_params: float | None = None
    max_macs: float | None = None


@dataclass(frozen=True)
class Selection:
    """What was chosen and how good it is where it had no say.

    Attributes:
        table: see the module.
        seen, unseen: names of conditions.
        candidates: how many ensembles there were to choose from.
        drop: of the chosen ensemble's criterion under the seen conditions, from the half that chose
            it to the half that did not.
        average_drop: the same of the average ensemble: how much harder the held-out half is.
        optimism: `drop` less `average_drop`, the part of the chosen ensemble's lead that was luck.
        regret_seen, regret_unseen: by how much the best in hindsight beats it on the held-out half.
    """

    table: pl.DataFrame
    request: Request
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    candidates: int
    drop: float
    average_drop: float
    optimism: float
    regret_seen: float
    regret_unseen: float

    def facts(self) -> dict[str, Any]:
        """All but the table, as plain data."""
        facts = {key: value for key, value in vars(self).items() if key not in ("table", "request")}
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

    role: str
    members: list[str] | None
    size: int
    consensus: str | None
    params: int | None
    macs: int | None
    counts: Mapping[str, Counts]
    is_one: bool = True  # its counts are of right answers, not means over ensembles


def select(folder: Path, request: Request, reporter: Reporter | None = None) -> Selection:
    """Choose an ensemble of a finished study and write `tables/selection.parquet`.

    Of equal ensembles by the criterion, the one with the better other criterion is taken, then the one
    with fewer parameters, then the first. No model runs. Memory: a chunk of logits and, for every
    candidate, condition and block of images, 16 bytes.

    Raises:
        UserError: no finished study, an unknown name, an unknown size, no ensemble within the budget,
            or too few conditions or images to hold some out.
    """
    reporter = reporter or Silent()
    _check_names(request)
    if not (folder / "manifest.json").is_file():
        open_stored(folder)  # raises; a lock would create the folder
    with only_run(folder):
        study = open_stored(folder)
        selection = select_in(study, request, reporter)
        facts = {
            "study": study.name,
            "study_hash": study.hash,
            "nversion": nversion.__version__,
            "units": "fractions in [0, 1]",
            "selection": json.dumps(selection.facts()),
        }
        write_table(folder, "selection", selection.table, facts)
    return selection


def select_in(study: StoredStudy, request: Request, reporter: Reporter) -> Selection:
    """The choice and its table, without files."""
    _check_names(request)
    families = candidates(study, request)
    seen, unseen = split_conditions(study.conditions, request.unseen)
    ensembles: dict[str, Counts] = {}
    models: dict[str, Counts] = {}
    reporter.start("Ensembles", len(study.conditions))
    for condition in study.conditions:
        view = study.predictions[condition.name]
        held_out_N = halves(condition.dataset, len(view), request.seed)
        ensembles[condition.name], models[condition.name] = count_right(
            view, condition.dataset, families, request.consensus, held_out_N
        )
        reporter.advance()

    members = [row for family in families for row in family.members_EK.tolist()]
    params_E = np.array([study.params_M[row].sum() for row in members])
    parts = {"seen": seen, "unseen": unseen}

    def best(counts: Mapping[str, Counts], params_X: NDArray[np.int64], half: str, scope: str) -> int:
        top1_TX = torch.stack([counts[name].top1_X(HALVES.index(half)) for name in parts[scope]])
        return choose(top1_TX, request.criterion, params_X)

    def ensemble(role: str, index: int) -> _Contender:
        return _Contender(
            role,
            [study.model_names[i] for i in members[index]],
            len(members[index]),
            request.consensus,
            int(params_E[index]),
            int(study.macs_M[members[index]].sum()),
            {name: counts.of(index) for name, counts in ensembles.items()},
        )

    chosen = ensemble("chosen", best(ensembles, params_E, "selection", "seen"))
    allowed_M = np.flatnonzero(within_budget(study, np.arange(len(study.model_names))[:, None], request))
    allowed = {
        name: replace(counts, right_HBX=counts.right_HBX[..., torch.from_numpy(allowed_M)])
        for name, counts in models.items()
    }
    pick = best(allowed, study.params_M[allowed_M], "selection", "seen")
    model = int(allowed_M[pick])
    single = _Contender(
        "best_single_model",
        [study.model_names[model]],
        1,
        None,
        int(study.params_M[model]),
        int(study.macs_M[model]),
        {name: counts.of(pick) for name, counts in allowed.items()},
    )
    same_size_E = torch.tensor([len(row) == chosen.size for row in members])
    average = _Contender(
        "average_ensemble",
        None,
        chosen.size,
        request.consensus,
        None,
        None,
        {name: counts.mean_of(same_size_E) for name, counts in ensembles.items()},
        is_one=False,
    )
    rows: list[dict[str, Any]] = []
    for half, scope in PARTS:
        contenders = [chosen, single, average]
        if half == "held_out":
            contenders.append(ensemble("best_in_hindsight", best(ensembles, params_E, half, scope)))
        for contender in contenders:
            compared = single if half == "held_out" and contender is chosen else None
            rows += _rows(contender, compared, half, scope, parts[scope])
    empty = Selection(
        pl.DataFrame(rows, schema=SELECTION), request, seen, unseen, len(members), *[math.nan] * 5
    )
    return _with_sums(empty)


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
        for pattern in patterns:
            if not any(_matches(condition, pattern) for condition in conditions):
                known = dict.fromkeys(name for c in conditions for name in _names(c))
                raise UserError(
                    expected="a pattern that matches a condition of the study",
                    found=f"--unseen {pattern!r}",
                    next_step=did_you_mean(pattern, list(known)),
                )
        held = [c.name for c in conditions if any(_matches(c, pattern) for pattern in patterns)]
    else:
        corruptions = list(dict.fromkeys(c.corruption for c in conditions if c.corruption is not None))
        late = corruptions[len(corruptions) // 2 :]
        held = [c.name for c in conditions if c.corruption in late]
    seen = tuple(name for name in names if name not in held)
    if not seen or not held:
        raise UserError(
            expected="conditions to choose on and others to hold out",
            found=f"all {len(names)} {'held out' if held else 'to choose on'}",
            next_step=f"hold {'fewer' if held else 'some'} out, for example: --unseen {names[-1]!r}",
        )
    return seen, tuple(held)


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
    other = next(name for name in CRITERIA if name != criterion)
    # Equal counts under other conditions sum to means that differ in the last bit: those are equals.
    first_X, second_X = (CRITERIA[name](top1_TX.double()).numpy().round(12) for name in (criterion, other))
    return int(np.lexsort((params_X, -second_X, -first_X))[0])


def _rows(
    contender: _Contender, compared: _Contender | None, half: str, scope: str, conditions: Sequence[str]
) -> list[dict[str, Any]]:
    shared = {
        "role": contender.role,
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
    own = [contender.counts[name] for name in conditions]
    value, interval = jackknife_interval(lambda x: function(x)[0], [[c] for c in own], half)
    counted = own
    if contender.is_one and (criterion == "worst" or len(own) == 1):
        worst = min(own, key=lambda c: float(c.top1_X(half)))
        counted = [worst]
        right, trials = float(worst.right_HBX[half].sum()), float(worst.count_HB[half].sum())
        interval = proportion_interval(right, trials)
    numbers: dict[str, Any] = {
        "n": sum(int(n) for n in {c.dataset: c.count_HB[half].sum() for c in counted}.values()),
        "top1": value,
        "top1_low": max(0.0, interval.low),
        "top1_high": min(1.0, interval.high),
    }
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
    ):
        if name not in known:
            raise UserError(expected=f"a known {kind}", found=repr(name), next_step=did_you_mean(name, known))


def _names(condition: Condition) -> tuple[str, str, str]:
    return (
        condition.name,
        condition.name.removeprefix(f"{condition.dataset}/"),
        condition.corruption or "clean",
    )


def _matches(condition: Condition, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _names(condition))
