"""Who may be chosen, who stands beside the choice, and how often each is right on the halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import UserError, did_you_mean
from nversion.core.reporter import Reporter
from nversion.ensembles import CONSENSUS, Ensembles
from nversion.evaluation.halves import CRITERIA, HALVES, Counts, count_right, halves
from nversion.evaluation.settings import ensembles_of
from nversion.evaluation.stored import StoredStudy

from .front import COSTS, both_criteria
from .splits import SplitSums, can_split


@dataclass(frozen=True)
class Request:
    """What is asked of a selection.

    Attributes:
        size: number of members of the ensembles; None: every size of the study. Single models are
            candidates in either case.
        consensus: how the ensembles decide.
        criterion: of the accuracies under the seen conditions, in `CRITERIA`.
        unseen: shell patterns on a condition's name, its name without the data set, or its corruption
            ("clean" for none); these have no say in the choice. Empty: the later half of the corruptions.
        seed: of the halves.
        max_params, max_macs: of all members together.
        cost: of the Pareto front: "params" or "macs", of all members together.
        splits: on how many further halves of the images the choice is repeated; see `study/splits.py`.
    """

    size: int | None = None
    consensus: str = "average"
    criterion: str = "worst"
    unseen: tuple[str, ...] = ()
    seed: int = 0
    max_params: float | None = None
    max_macs: float | None = None
    cost: str = "params"
    splits: int = 100


@dataclass(frozen=True)
class Contender:
    """A single model, an ensemble, or the mean of many ensembles.

    Attributes:
        members: names; None for the mean of many.
        consensus: None for a single model.
        params, macs: of all members together; None for the mean of many.
        counts: by condition.
        is_one: the counts are of right answers, not means over ensembles.
    """

    members: list[str] | None
    size: int
    consensus: str | None
    params: int | None
    macs: int | None
    counts: Mapping[str, Counts]
    is_one: bool = True


@dataclass(frozen=True)
class Pool:
    """X single models and ensembles of which one is chosen and others stand beside it.

    Attributes:
        parts: names of the seen and of the unseen conditions.
        members: the models of each; the single models come first.
        singles, ensembles: indices of the single models and of the ensembles that may be chosen.
        top1: accuracies on each half (H, X), by condition.
        averages: the mean over those of each size that may be chosen, by condition.
        splits: what further halves of the images say; None where there are too few blocks, or none is asked.
    """

    study: StoredStudy
    request: Request
    parts: Mapping[str, tuple[str, ...]]
    members: list[list[int]]
    singles: NDArray[np.int64]
    ensembles: NDArray[np.int64]
    top1: Mapping[str, Tensor]
    averages: Mapping[str, Mapping[int, Counts]]
    splits: SplitSums | None

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """All that may be chosen, single models first."""
        return np.concatenate([self.singles, self.ensembles])

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
        return torch.stack([self.top1[name][HALVES.index(half), among] for name in self.parts[scope]])

    def best(self, among: NDArray[np.int64], half: str, scope: str) -> int:
        """The one that the rule takes."""
        top1_TX = self.top1_TX(among, half, scope)
        return int(among[choose(top1_TX, self.request.criterion, self.params_X[among])])

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

    def average(self, size: int) -> Contender:
        """The mean over all candidates of a size."""
        counts = {name: of_size[size] for name, of_size in self.averages.items()}
        return Contender(None, size, self.request.consensus, None, None, counts, is_one=False)

    def contenders(self, picked: Sequence[int], reporter: Reporter) -> dict[int, Contender]:
        """Those picked, with their right answers in every block of images: a second pass over the logits."""
        by_size: dict[int, list[int]] = {}
        for x in dict.fromkeys(picked):
            by_size.setdefault(len(self.members[x]), []).append(x)
        singles = by_size.pop(1, [])
        num_models = len(self.study.model_names)
        families = [
            Ensembles.of([self.members[x] for x in of_size], num_models) for of_size in by_size.values()
        ]
        # Single models come first in the counts, ensembles in the order of the families.
        places = {x: self.members[x][0] for x in singles}
        places |= {x: num_models + i for i, x in enumerate(chain.from_iterable(by_size.values()))}
        counts = dict(_counts(self.study, self.request, families, reporter))
        return {
            x: Contender(
                [self.study.model_names[i] for i in self.members[x]],
                len(self.members[x]),
                self.request.consensus if len(self.members[x]) > 1 else None,
                int(self.params_X[x]),
                int(self.macs_X[x]),
                {name: of_condition.of(place) for name, of_condition in counts.items()},
            )
            for x, place in places.items()
        }


def make_pool(
    study: StoredStudy, request: Request, parts: Mapping[str, tuple[str, ...]], reporter: Reporter
) -> Pool:
    """Evaluate all that may be chosen or stand beside it.

    Memory: a chunk of logits; for every ensemble 16 bytes a block of images, 16 a condition, 16 a split.

    Raises:
        UserError: see `candidates` and `halves`.
    """
    families = candidates(study, request)
    controls = homogeneous_ensembles(study, request, families)
    singles = np.arange(len(study.model_names))[:, None]
    within = np.flatnonzero(within_budget(study, singles, request))
    first = len(singles)
    of_size: dict[int, slice | Tensor] = {1: torch.from_numpy(within)}
    for family in families:
        of_size[family.size] = slice(first, first + len(family))
        first += len(family)
    top1, averages = {}, {}
    splits = SplitSums(request.splits) if request.splits else None
    for name, counts in _counts(study, request, [*families, *controls], reporter):
        top1[name] = torch.stack([counts.top1_X(half) for half in range(len(HALVES))])
        averages[name] = {size: counts.mean_of(where) for size, where in of_size.items()}
        if splits is not None:
            if not can_split(counts):
                splits = None
            elif name in parts["seen"]:
                splits.add(counts)
    ensembles = [row for family in [*families, *controls] for row in family.members_EK.tolist()]
    return Pool(
        study,
        request,
        parts,
        singles.tolist() + ensembles,
        within,
        np.arange(len(singles), first),
        top1,
        averages,
        splits,
    )


def _counts(
    study: StoredStudy, request: Request, families: Sequence[Ensembles], reporter: Reporter
) -> Iterator[tuple[str, Counts]]:
    reporter.start("Ensembles", len(study.conditions))
    for condition in study.conditions:
        view = study.predictions[condition.name]
        held_out_N = halves(condition.dataset, len(view), request.seed)
        yield condition.name, count_right(view, condition.dataset, families, request.consensus, held_out_N)
        reporter.advance()


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


def check_names(request: Request) -> None:
    """Raise a UserError where a request names an unknown rule, criterion or cost."""
    for kind, name, known in (
        ("consensus rule", request.consensus, list(CONSENSUS)),
        ("criterion", request.criterion, list(CRITERIA)),
        ("cost", request.cost, list(COSTS)),
    ):
        if name not in known:
            raise UserError(expected=f"a known {kind}", found=repr(name), next_step=did_you_mean(name, known))
