"""Who may be chosen, who stands beside the choice, and how often each is right on the halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from nversion.evaluation.halves import CRITERIA, HALVES, Counts, credits_in_blocks, held_out_blocks
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
        params, macs: of all members together; None for the mean of many, and where they are unknown.
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
        counts: right answers of all of them, by condition.
        of_size: indices of those of each size that may be chosen.
        splits: what further halves of the images say; None where there are too few blocks, or none is asked.
    """

    study: StoredStudy
    request: Request
    parts: Mapping[str, tuple[str, ...]]
    members: list[list[int]]
    singles: NDArray[np.int64]
    ensembles: NDArray[np.int64]
    counts: Mapping[str, Counts]
    of_size: Mapping[int, Tensor]
    splits: SplitSums | None

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """All that may be chosen, single models first."""
        return np.concatenate([self.singles, self.ensembles])

    @cached_property
    def top1(self) -> dict[str, Tensor]:
        """Accuracies on each half (H, X), by condition."""
        return {
            name: torch.stack([counts.top1_X(half) for half in range(len(HALVES))])
            for name, counts in self.counts.items()
        }

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
        counts = {name: of_all.mean_of(self.of_size[size]) for name, of_all in self.counts.items()}
        return Contender(None, size, self.request.consensus, None, None, counts, is_one=False)

    def contender(self, x: int) -> Contender:
        """One of them, with its right answers in every block of images."""
        return Contender(
            [self.study.model_names[i] for i in self.members[x]],
            len(self.members[x]),
            self.request.consensus if len(self.members[x]) > 1 else None,
            int(self.params_X[x]) if self.study.has_costs else None,
            int(self.macs_X[x]) if self.study.has_costs else None,
            {name: counts.of(x) for name, counts in self.counts.items()},
        )


def make_pool(
    study: StoredStudy, request: Request, parts: Mapping[str, tuple[str, ...]], reporter: Reporter
) -> Pool:
    """All that may be chosen or stands beside it, with its right answers under every condition.

    Nothing is evaluated where the study holds the credits of its ensembles by the rule asked for.

    Memory: a chunk of logits; for every ensemble 8 bytes a block of images and condition, 16 a split.

    Raises:
        UserError: see `candidates` and `held_out_blocks`.
    """
    families = candidates(study, request)
    controls = homogeneous_ensembles(study, request, families)
    singles = np.arange(len(study.model_names))[:, None]
    within = np.flatnonzero(within_budget(study, singles, request))
    first = len(singles)
    of_size = {1: torch.from_numpy(within)}
    for family in families:
        of_size[family.size] = torch.arange(first, first + len(family))
        first += len(family)
    counts = _counts(study, request, families, controls, reporter)
    splits = SplitSums(request.splits) if request.splits else None
    if not all(map(can_split, counts.values())):
        splits = None
    elif splits is not None:
        for name in parts["seen"]:
            splits.add(counts[name])
    ensembles = [row for family in [*families, *controls] for row in family.members_EK.tolist()]
    return Pool(
        study,
        request,
        parts,
        singles.tolist() + ensembles,
        within,
        np.arange(len(singles), first),
        counts,
        of_size,
        splits,
    )


def _counts(
    study: StoredStudy,
    request: Request,
    families: Sequence[Ensembles],
    controls: Sequence[Ensembles],
    reporter: Reporter,
) -> dict[str, Counts]:
    """Right answers of all models, then of all ensembles, under every condition.

    Raises:
        UserError: see `held_out_blocks`.
    """
    held = study.credits.get(request.consensus, {})
    columns = _columns(study, families) if held else torch.empty(0)
    wanted = controls if held else [*families, *controls]
    num_models = len(study.model_names)
    found = {}
    reporter.start("Ensembles", len(study.conditions))
    for condition in study.conditions:
        view = study.predictions[condition.name]
        parts_BX = [held[condition.name][:, columns]] if held else []
        if wanted:
            made_BX = credits_in_blocks(view, wanted, request.consensus, view.num_blocks)
            parts_BX.append(made_BX[:, num_models:] if held else made_BX)
        count_B = torch.from_numpy(view.blocks_N).bincount().double()
        held_out_B = held_out_blocks(condition.dataset, count_B, request.seed)
        found[condition.name] = Counts(condition.dataset, torch.cat(parts_BX, 1), count_B, held_out_B)
        reporter.advance()
    return found


def _columns(study: StoredStudy, families: Sequence[Ensembles]) -> Tensor:
    """Where all models and the ensembles of some families stand among the study's credits."""
    num_models = len(study.model_names)
    known = chain.from_iterable(family.members_EK.tolist() for family in study.ensembles())
    places = {tuple(row): num_models + i for i, row in enumerate(known)}
    rows = chain.from_iterable(family.members_EK.tolist() for family in families)
    return torch.tensor([*range(num_models), *(places[tuple(row)] for row in rows)])


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
    """Which ensembles keep to the budget, members added up.

    Raises:
        UserError: there is a budget, and the costs of the models are unknown.
    """
    if not study.has_costs and (request.max_params, request.max_macs) != (None, None):
        raise UserError(
            expected="models of known parameters and MACs for max_params or max_macs",
            found="logits of models that are unknown",
            next_step="leave the budget out, or evaluate what `nversion.predict` gives: it counts both",
        )
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
    if isinstance(request.splits, bool) or not isinstance(request.splits, int) or request.splits < 0:
        raise UserError(
            expected="a number of splits of at least 0", found=repr(request.splits), next_step="100 is usual"
        )
    for kind, name, known in (
        ("consensus rule", request.consensus, list(CONSENSUS)),
        ("criterion", request.criterion, list(CRITERIA)),
        ("cost", request.cost, list(COSTS)),
    ):
        if name not in known:
            raise UserError(expected=f"a known {kind}", found=repr(name), next_step=did_you_mean(name, known))
