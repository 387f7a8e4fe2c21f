"""The search of a trained supernet for subnets, or for ensembles of them, with NSGA-II.

A killed search is run again from its seed: what subnets answered lies in the folder and is read, so that
the same candidates come in the same order, and the same front at the end.

`search.parquet` has a row for each evaluated candidate, in the order of evaluation: `generation` (from 1);
`members`, notations of subnets; `accuracy`, the mean over the conditions, and a column for each condition
under its name; `improvement` and `disagreement` (null of single subnets); `macs` and `parameters`, sums
over the members; `on_front`: no evaluated candidate is as good in all objectives and better in one;
`chosen`. Accuracies are fractions. Accuracies of a front on the images that it was searched on are too good:
judge it on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nversion.core import (
    UserError,
    fingerprint,
    only_run,
    read_record,
    remove_leftovers,
    whole_file,
    write_record,
)
from nversion.supernet.elastic import Space, Subnet
from nversion.supernet.files import SupernetFile

from .candidates import Answers, Candidate, evaluate
from .evaluator import Recalibration, SubnetEvaluator
from .nsga import Evolution, Vector, non_dominated
from .spec import SearchTable

TABLE = "search.parquet"
WITHOUT_EFFECT = {
    "evaluations": "a longer search goes on where a shorter one ended",
    "ref_acc": "another reference chooses again among the same candidates",
    "acc_delta": "another tolerance chooses again among the same candidates",
}
"""Settings of `[search]` on which no answer of a subnet and no candidate depends, and why."""
_BARREN = 100  # generations in a row that break the constraint, after which a search ends
_PARTS = {
    "supernet": "another supernet",
    "images": "other images or conditions",
    "recalibration": "batch norms recalibrated on other images",
    "search": "other settings of [search]",
}


@dataclass(frozen=True)
class SearchProgress:
    """Where a search stands.

    Attributes:
        generation: the present one, from 1.
        num_evaluated, total: candidates.
        num_computed: subnets that ran; the others' answers were read.
    """

    generation: int
    num_evaluated: int
    total: int
    num_computed: int


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        front: candidates to which none of all evaluated is as good in all objectives and better in one, the
            cheapest first.
        chosen: None without `ref_acc`. Else the candidate of fewest MACs whose mean accuracy is above
            ref_acc − acc_delta, or, if there is none, the one of most MACs: the largest subnet, or under
            `max_macs` and of ensembles the largest evaluated.
        because: which of the two it was.
        table: the file of all evaluated candidates; see the module.
        num_evaluated: candidates; fewer than asked for where the space has no more.
        num_computed: subnets that ran in this call.
    """

    front: list[Candidate]
    chosen: Candidate | None
    because: Literal["near_reference", "largest"] | None
    table: Path
    num_evaluated: int
    num_computed: int


def search(
    supernet: SupernetFile,
    table: SearchTable,
    evaluator: SubnetEvaluator,
    recalibration: Recalibration,
    folder: Path,
    on_progress: Callable[[SearchProgress], None] = lambda _: None,
    set_aside: list[str] | None = None,
) -> SearchResult:
    """Search a supernet, or finish a search that was killed; `folder` gets `search.parquet`.

    A candidate is `table.size` different subnets in no order; of one subnet the first generation has the
    largest and the smallest. Candidates with a subnet above `max_macs` are not evaluated and not counted:
    they rank behind all others, by how far they are above it. What one subnet answers lies in
    `folder/answers`: a byte, and for ensembles 4 bytes a class, for each image and condition.

    Args:
        supernet: a trained one; it stays as it is.
        table: the settings.
        evaluator: of the images under the table's conditions; see `evaluator_of`.
        recalibration: of each subnet's batch norms.
        folder: of this search alone.
        on_progress: called after each candidate.
        set_aside: names of damaged files are added to it: they were moved away, and computed again.

    Raises:
        UserError: pymoo is missing, the folder holds another search, the images have other classes, or no
            candidate keeps to `max_macs`.
    """
    space = supernet.network.space
    _check(supernet, table, evaluator)
    with only_run(folder):
        remove_leftovers(folder)
        moved: list[str] = [] if set_aside is None else set_aside
        identity = _claim(folder, supernet, table, evaluator, recalibration, moved)
        with_logits = table.size > 1
        answers = Answers(
            supernet, evaluator, recalibration, folder / "answers", identity, with_logits, moved
        )
        found = _evolve(space, table, answers, on_progress)
        costs = np.array([_values(candidate, table) for candidate in found])
        front = set(non_dominated(costs).tolist())
        chosen, because = _choose(found, table)
        path = folder / TABLE
        _write(path, found, front, chosen, evaluator.conditions)
        cheapest_first = sorted(
            (found[i] for i in front), key=lambda one: (one.macs, -one.accuracy, one.notations)
        )
        choice = None if chosen is None else found[chosen]
        return SearchResult(cheapest_first, choice, because, path, len(found), answers.num_computed)


def _evolve(
    space: Space, table: SearchTable, answers: Answers, on_progress: Callable[[SearchProgress], None]
) -> list[Candidate]:
    """All evaluated candidates, in their order."""

    def members(vector: Vector) -> tuple[Subnet, ...] | None:
        subnets = {
            str(own): own for own in (space.at(part.tolist()) for part in np.split(vector, table.size))
        }
        ordered = tuple(subnets[name] for name in sorted(subnets))
        return ordered if len(ordered) == table.size else None

    sizes = space.sizes * table.size
    corners = [[0] * len(sizes), [size - 1 for size in sizes]] if table.size == 1 else []
    evolution = Evolution(sizes, table.population, len(table.objectives), members, table.seed, corners)
    found: list[Candidate] = []
    generation = barren = 0
    while len(found) < table.evaluations and barren < _BARREN:
        asked = evolution.ask(min(table.population, table.evaluations - len(found)))
        if not asked:
            break
        generation += 1
        candidates = [own for own in map(members, asked) if own is not None]
        excess_X = np.array([_excess(own, table, answers) for own in candidates])
        values_XF = np.zeros((len(asked), len(table.objectives)))
        for i in np.flatnonzero(excess_X == 0):
            found.append(evaluate(candidates[i], answers, generation))
            values_XF[i] = _values(found[-1], table)
            on_progress(SearchProgress(generation, len(found), table.evaluations, answers.num_computed))
        barren = 0 if (excess_X == 0).any() else barren + 1
        evolution.tell(values_XF, excess_X)
    if not found:
        raise _nothing_small_enough(space, table, answers)
    return found


def _values(candidate: Candidate, table: SearchTable) -> list[float]:
    """What NSGA-II minimises."""
    values: dict[str, Any] = vars(candidate)
    return [values[name] if name == "macs" else -values[name] for name in table.objectives]


def _excess(members: Sequence[Subnet], table: SearchTable, answers: Answers) -> float:
    most = table.max_macs
    return 0.0 if most is None else sum(max(0.0, answers.cost(one).macs / most - 1) for one in members)


def _choose(
    found: Sequence[Candidate], table: SearchTable
) -> tuple[int | None, Literal["near_reference", "largest"] | None]:
    if table.ref_acc is None:
        return None, None
    least = table.ref_acc - table.acc_delta
    near = [i for i, one in enumerate(found) if round(100 * one.accuracy, 10) > least]
    if near:
        return min(near, key=lambda i: (found[i].macs, -found[i].accuracy)), "near_reference"
    return max(range(len(found)), key=lambda i: (found[i].macs, found[i].accuracy)), "largest"


def identity_of(
    supernet: SupernetFile, table: SearchTable, evaluator: SubnetEvaluator, recalibration: Recalibration
) -> dict[str, Any]:
    """What the candidates of a search depend on; what differs in it is another search."""
    return {
        "supernet": supernet.fingerprint,
        "images": evaluator.fingerprint,
        "recalibration": recalibration.fingerprint,
        "search": table.model_dump(mode="json", exclude=set(WITHOUT_EFFECT)),
    }


def _claim(
    folder: Path,
    supernet: SupernetFile,
    table: SearchTable,
    evaluator: SubnetEvaluator,
    recalibration: Recalibration,
    set_aside: list[str],
) -> str:
    """The identity of the search, which the folder now belongs to.

    Raises:
        UserError: it belongs to another.
    """
    parts = identity_of(supernet, table, evaluator, recalibration)
    path = folder / "search.json"
    known = read_record(path, set_aside)
    if known is None:
        write_record(path, parts)
        known = parts
    for name, other in _PARTS.items():
        if known.get(name) != parts[name]:
            raise UserError(
                expected=f"evaluations of this search in {folder}",
                found=f"those of {other}",
                next_step="give this search another folder, or remove the old one",
            )
    return fingerprint(parts)


def _check(supernet: SupernetFile, table: SearchTable, evaluator: SubnetEvaluator) -> None:
    space, own = supernet.network.space, supernet.stated.label_space
    if own != (other := evaluator.dataset.label_space.name):
        raise UserError(
            expected=f"images with the supernet's classes, {own!r}",
            found=f"{other!r} of the data set {evaluator.dataset.name!r}",
            next_step="name images of the same label space under [data.selection]",
        )
    if space.num_subnets < table.size:
        raise UserError(
            expected=f"a supernet of at least {table.size} subnets, the size of an ensemble",
            found=f"{space.num_subnets}",
            next_step="lower `size` under [search], or train a supernet of more choices",
        )
    if table.max_macs is not None:
        least = supernet.network.cost(space.smallest, supernet.preprocessing.input_size).macs
        if least > table.max_macs:
            raise _too_small(table.max_macs, f"a smallest subnet of {least:,}")


def _nothing_small_enough(space: Space, table: SearchTable, answers: Answers) -> UserError:
    assert table.max_macs is not None, "without a constraint every candidate is evaluated"
    least = answers.cost(space.smallest).macs
    return _too_small(table.max_macs, f"none of {table.size} subnets, the smallest of which has {least:,}")


def _too_small(most: int, found: str) -> UserError:
    return UserError(
        expected=f"candidates of at most {most:,} MACs a subnet",
        found=found,
        next_step="raise `max_macs` under [search]",
    )


def _write(
    path: Path, found: Sequence[Candidate], front: set[int], chosen: int | None, conditions: Sequence[str]
) -> None:
    import polars as pl

    accuracy_XD: NDArray[np.float64] = np.array([one.accuracy_by_condition for one in found])
    frame = pl.DataFrame(
        {
            "generation": pl.Series([one.generation for one in found], dtype=pl.Int64),
            "members": [one.notations for one in found],
            "accuracy": [one.accuracy for one in found],
            **{name: accuracy_XD[:, d] for d, name in enumerate(conditions)},
            "improvement": pl.Series([one.improvement for one in found], dtype=pl.Float64),
            "disagreement": pl.Series([one.disagreement for one in found], dtype=pl.Float64),
            "macs": pl.Series([one.macs for one in found], dtype=pl.Int64),
            "parameters": pl.Series([one.num_parameters for one in found], dtype=pl.Int64),
            "on_front": [i in front for i in range(len(found))],
            "chosen": [i == chosen for i in range(len(found))],
        }
    )
    with whole_file(path) as temporary:
        frame.write_parquet(temporary)
