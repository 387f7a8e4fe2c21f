"""NSGA-II over vectors of choices, by pymoo, with an ask-and-tell interface."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nversion.core import extras_named, generator

Vector = NDArray[np.int64]

_DRAWS = 1000  # random vectors tried for each new one that is wanted


class Evolution:
    """A population that evolves by the values that `tell` gives it; it never asks for a candidate twice.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002; crossover and
    mutation as pymoo recommends for whole numbers. What breaks a constraint ranks behind everything that
    does not, by how much. Where mating finds nothing new, candidates are drawn at random, so that a small
    space is gone through to its end.

    Args:
        sizes: choices of each variable.
        population: size of a generation.
        num_objectives: values to minimise.
        identity: of a vector; vectors of one identity are one candidate, None is no candidate.
        seed: of everything that is drawn; numpy's global generator is not touched.
        start: vectors of the first generation; the others are drawn.

    Raises:
        UserError: pymoo is missing.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        population: int,
        num_objectives: int,
        identity: Callable[[Vector], Hashable | None],
        seed: int,
        start: Sequence[Sequence[int]] = (),
    ) -> None:
        with extras_named():
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.config import Config
            from pymoo.core.problem import Problem
            from pymoo.core.termination import NoTermination
            from pymoo.operators.crossover.sbx import SBX
            from pymoo.operators.mutation.pm import PM
            from pymoo.operators.repair.rounding import RoundingRepair
        self._identity = identity
        self._sizes = np.asarray(sizes)
        self._rng = generator("search", seed)
        self._seen: set[Hashable] = set()
        self._problem = Problem(
            n_var=len(sizes), n_obj=num_objectives, n_ieq_constr=1, xl=0, xu=self._sizes - 1, vtype=int
        )
        first = self._new([np.asarray(vector) for vector in start], set())
        first += self._drawn(population - len(first), {identity(vector) for vector in first})
        shown, Config.warnings["not_compiled"] = Config.warnings["not_compiled"], False  # a print, no warning
        try:
            self._algorithm = NSGA2(
                pop_size=population,
                sampling=np.array(first),
                crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
                mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
                eliminate_duplicates=_OnlyNew(self._new, identity),
            )
        finally:
            Config.warnings["not_compiled"] = shown
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=seed, verbose=False)

    def ask(self, count: int) -> list[Vector]:
        """Up to `count` new candidates, the first generation whole; none: there are no more."""
        from pymoo.core.population import Population

        self._algorithm.n_offsprings = count
        asked = self._algorithm.ask()
        asked = Population.create() if asked is None else asked
        found = list(asked.get("X")) if len(asked) else []
        if self._seen:
            more = self._drawn(count - len(found), {self._identity(vector) for vector in found})
            if more:
                asked = Population.merge(asked, Population.new(X=np.array(more)))
            found += more
        self._seen |= {self._identity(vector) for vector in found}
        self._asked = asked
        return found

    def tell(self, values: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """What the candidates asked for last are worth.

        Args:
            values: to minimise, shape (candidates, objectives); not read of those that break a constraint.
            violations: above 0 where a candidate breaks one, by how much.
        """
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        Evaluator().eval(StaticProblem(self._problem, F=values, G=violations[:, None]), self._asked)
        self._algorithm.tell(infills=self._asked)

    def _new(self, vectors: Iterable[Vector], taken: set[Hashable]) -> list[Vector]:
        # Those that are candidates and were never asked for, each once; `taken` grows by them.
        found = []
        for vector in vectors:
            own = self._identity(vector)
            if own is not None and own not in taken and own not in self._seen:
                taken.add(own)
                found.append(vector)
        return found

    def _drawn(self, count: int, taken: set[Any]) -> list[Vector]:
        found: list[Vector] = []
        for _ in range(_DRAWS * count):
            if len(found) == count:
                break
            found += self._new([self._rng.integers(self._sizes)], taken)
        return found


class _OnlyNew:
    """What pymoo calls an elimination of duplicates: also of candidates that have left the population."""

    def __init__(
        self,
        new: Callable[[Iterable[Vector], set[Hashable]], list[Vector]],
        identity: Callable[[Vector], Hashable | None],
    ) -> None:
        self._new, self._identity = new, identity

    def do(self, population: Any, *others: Any) -> Any:
        taken = {self._identity(vector) for other in others if len(other) for vector in other.get("X")}
        kept = [i for i, one in enumerate(population) if self._new([one.X], taken)]
        return population[kept]


def non_dominated(values_XF: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows to which no other is as good in all columns and better in one; less is better.

    >>> non_dominated(np.array([[1.0, 5.0], [2.0, 5.0], [2.0, 3.0], [2.0, 3.0]])).tolist()
    [0, 2, 3]
    """
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    front = NonDominatedSorting().do(values_XF, only_non_dominated_front=True)
    return np.sort(np.asarray(front, dtype=np.int64))
