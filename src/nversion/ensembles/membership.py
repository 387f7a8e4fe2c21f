"""Which models sit in which ensemble: all of a size, or a seeded sample of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nversion.core import UserError, generator

MOST_ENUMERATED = 10_000_000
"""Above this many ensembles `Ensembles.all_of` refuses: 400 MB of indices at five members."""

_DRAWN_AT_ONCE = 1 << 22  # random keys in one batch of drawn subsets: 32 MiB


def count_all(num_models: int, size: int) -> int:
    """How many ensembles of `size` members `num_models` models give: the binomial coefficient.

    >>> count_all(14, 3), sum(count_all(14, size) for size in (2, 3, 4, 5))
    (364, 3458)
    """
    return math.comb(num_models, size)


@dataclass(frozen=True, eq=False)
class Ensembles:
    """E ensembles of K members each, out of M models.

    Attributes:
        members_EK: int64 model indices; every row ascends strictly.
        num_models: M.

    Raises:
        UserError: no ensemble, a member that is not one of the models, a row that does not ascend.

    >>> Ensembles.all_of(3, 2).members_EK.tolist()
    [[0, 1], [0, 2], [1, 2]]
    """

    members_EK: Tensor
    num_models: int

    def __post_init__(self) -> None:
        members = self.members_EK
        if members.ndim != 2 or members.dtype != torch.int64 or not members.numel():
            raise UserError(
                expected="members as a non-empty int64 table, one row an ensemble",
                found=f"{members.dtype} of shape {tuple(members.shape)}",
                next_step="build it with Ensembles.all_of, Ensembles.sample or Ensembles.of",
            )
        if int(members.min()) < 0 or int(members.max()) >= self.num_models:
            outside = members[(members < 0) | (members >= self.num_models)][0]
            raise UserError(
                expected=f"members from 0 to {self.num_models - 1}, one for each of {self.num_models} models",
                found=f"member {int(outside)}",
                next_step="name only models of the pool",
            )
        falling_E = (members.diff(dim=1) <= 0).any(1)
        if bool(falling_E.any()):
            row = int(falling_E.nonzero()[0])
            raise UserError(
                expected="the members of an ensemble in ascending order, each once",
                found=f"{members[row].tolist()} in row {row}",
                next_step="sort the members and drop repeated ones",
            )

    @classmethod
    def of(cls, rows: list[list[int]] | list[tuple[int, ...]], num_models: int) -> Ensembles:
        """The ensembles listed in `rows`, all of one size; members may stand in any order.

        >>> Ensembles.of([[2, 0]], num_models=3).members_EK.tolist()
        [[0, 2]]
        """
        sizes = sorted({len(row) for row in rows})
        if len(sizes) != 1:
            raise UserError(
                expected="at least one ensemble, all of one size",
                found=f"sizes {sizes}",
                next_step="make one Ensembles for each size",
            )
        return cls(torch.tensor([sorted(row) for row in rows], dtype=torch.int64), num_models)

    @classmethod
    def all_of(cls, num_models: int, size: int) -> Ensembles:
        """Every ensemble of `size` members, in lexicographic order.

        Raises:
            UserError: a size outside 1 to `num_models`, or more than `MOST_ENUMERATED` ensembles.
        """
        _check_size(num_models, size)
        count = count_all(num_models, size)
        if count > MOST_ENUMERATED:
            raise UserError(
                expected=f"at most {MOST_ENUMERATED:,} ensembles to enumerate",
                found=f"{count:,} of {size} members out of {num_models} models",
                next_step="draw a part of them with Ensembles.sample",
            )
        return cls(torch.from_numpy(_enumerate(num_models, size)), num_models)

    @classmethod
    def sample(cls, num_models: int, size: int, count: int, seed: int) -> Ensembles:
        """`count` different ensembles, uniformly without replacement, in lexicographic order.

        The draw depends on the arguments alone. Subsets are enumerated only where `count` is more
        than half of them; otherwise they are drawn and repeated ones drawn again.

        Raises:
            UserError: a size outside 1 to `num_models`, or more ensembles asked for than there are.

        >>> len(Ensembles.sample(1000, 5, count=7, seed=0))
        7
        """
        _check_size(num_models, size)
        available = count_all(num_models, size)
        if not 1 <= count <= available:
            raise UserError(
                expected=f"from 1 to {available:,} ensembles of {size} members out of {num_models} models",
                found=str(count),
                next_step="ask for fewer, or take Ensembles.all_of",
            )
        rng = generator("ensembles", num_models, size, count, seed)
        if 2 * count > available:
            kept = rng.choice(available, count, replace=False)
            return cls(torch.from_numpy(_enumerate(num_models, size)[np.sort(kept)]), num_models)
        drawn: dict[bytes, None] = {}
        while len(drawn) < count:
            batch = min(2 * (count - len(drawn)), max(1, _DRAWN_AT_ONCE // num_models))
            keys = rng.random((batch, num_models))
            rows = np.sort(np.argpartition(keys, size - 1, axis=1)[:, :size], axis=1)
            drawn |= dict.fromkeys(row.tobytes() for row in rows)
        # The first `count` in the order of drawing: cutting a sorted list would prefer low indices.
        rows = np.frombuffer(b"".join(itertools.islice(drawn, count)), np.int64).reshape(count, size)
        return cls(torch.from_numpy(rows[np.lexsort(rows.T[::-1])]), num_models)

    @property
    def size(self) -> int:
        """K, the number of members of each ensemble."""
        return self.members_EK.shape[1]

    def __len__(self) -> int:
        return self.members_EK.shape[0]

    def membership_EM(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """1 where a model is a member, else 0.

        >>> Ensembles.of([[0, 2]], num_models=3).membership_EM().tolist()
        [[1.0, 0.0, 1.0]]
        """
        zeros_EM = torch.zeros(len(self), self.num_models, dtype=dtype, device=self.members_EK.device)
        return zeros_EM.scatter_(1, self.members_EK, 1)

    def without_model(self, model: int) -> Tensor:
        """A bool mask over the ensembles: True where `model` is not a member (delete-one-model jackknife).

        >>> Ensembles.all_of(3, 2).without_model(0).tolist()
        [False, False, True]
        """
        return (self.members_EK != model).all(1)


def _check_size(num_models: int, size: int) -> None:
    if not 1 <= size <= num_models:
        raise UserError(
            expected=f"an ensemble size from 1 to {num_models}, the number of models",
            found=str(size),
            next_step="choose smaller ensembles or add models",
        )


def _enumerate(num_models: int, size: int) -> NDArray[np.int64]:
    flat = itertools.chain.from_iterable(itertools.combinations(range(num_models), size))
    return np.fromiter(flat, np.int64, count_all(num_models, size) * size).reshape(-1, size)
