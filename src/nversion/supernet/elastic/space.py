"""Which subnetworks a supernet has: choices of depth, width and expansion, and their notation.

A subnet is described by whole numbers, not by ratios, so that equal subnets have equal names whatever the
rounding of the space that they come from.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nversion.core import UserError

Dimension = Literal["depth", "width", "expansion"]
DIMENSIONS: tuple[Dimension, ...] = ("depth", "width", "expansion")


@dataclass(frozen=True)
class Subnet:
    """One subnetwork.

    Attributes:
        depth: blocks of each stage that run; those behind them are left off.
        width: channels of each residual stream: the stem's, then one for each projection.
        expansion: channels between the first and the last convolution of each block of the supernet; of
            a block that is left off the greatest, so that equal subnets are equal.
    """

    depth: tuple[int, ...]
    width: tuple[int, ...]
    expansion: tuple[int, ...]

    def __str__(self) -> str:
        """As a model source takes it: "depth=3-4-6-3,width=64-256-…,expansion=64-…"."""
        return ",".join(f"{name}={'-'.join(map(str, getattr(self, name)))}" for name in DIMENSIONS)


@dataclass(frozen=True)
class Space:
    """All subnets of a supernet: a choice for every stage, stream and block, greatest first.

    Attributes:
        depth: numbers of blocks that each stage may have.
        width: numbers of channels that each stream may have.
        expansion: numbers of inner channels that each block may have.
    """

    depth: tuple[tuple[int, ...], ...]
    width: tuple[tuple[int, ...], ...]
    expansion: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...]  # of each stage of the supernet

    @property
    def largest(self) -> Subnet:
        """The supernet itself."""
        return self._corner(0)

    @property
    def smallest(self) -> Subnet:
        """The least of every choice."""
        return self.canonical(self._corner(-1))

    def _corner(self, place: int) -> Subnet:
        return Subnet(*(tuple(choices[place] for choices in getattr(self, name)) for name in DIMENSIONS))

    @property
    def num_subnets(self) -> int:
        """How many different subnets there are; any number, where `len` ends at 2⁶³."""
        total = math.prod(len(choices) for choices in self.width)
        for choices, expansions in zip(self.depth, self._by_stage(self.expansion), strict=True):
            total *= sum(math.prod(len(e) for e in expansions[:kept]) for kept in choices)
        return total

    def __len__(self) -> int:
        return self.num_subnets

    def __iter__(self) -> Iterator[Subnet]:
        """All of them, each once; for small spaces."""
        for depth in itertools.product(*self.depth):
            choices = [
                own if kept else own[:1]
                for own, kept in zip(self.expansion, self.running(depth), strict=True)
            ]
            for width in itertools.product(*self.width):
                for expansion in itertools.product(*choices):
                    yield Subnet(depth, width, expansion)

    def running(self, depth: Sequence[int]) -> list[bool]:
        """Whether each block of the supernet runs."""
        return [
            place < kept for kept, count in zip(depth, self.blocks, strict=True) for place in range(count)
        ]

    def canonical(self, subnet: Subnet) -> Subnet:
        """The same subnet, with the greatest expansion where a block is left off."""
        kept = zip(subnet.expansion, self.expansion, self.running(subnet.depth), strict=True)
        return replace(subnet, expansion=tuple(own if runs else all_[0] for own, all_, runs in kept))

    def sample(self, rng: np.random.Generator) -> Subnet:
        """A subnet, every choice drawn alike."""
        drawn = (
            tuple(choices[rng.integers(len(choices))] for choices in getattr(self, name))
            for name in DIMENSIONS
        )
        return self.canonical(Subnet(*drawn))

    def limited(
        self, dims: Sequence[str] = DIMENSIONS, *, max_skips: int | None = None, num_widths: int | None = None
    ) -> Space:
        """The part in which only `dims` vary, by so many skipped blocks and with so many widths.

        Args:
            dims: of `DIMENSIONS`; the others stay at their greatest.
            max_skips: blocks that a stage may leave off; None: as many as here.
            num_widths: choices of each width and expansion; None: as many as here.
        """

        def cut(name: Dimension, count: int | None) -> tuple[tuple[int, ...], ...]:
            own: tuple[tuple[int, ...], ...] = getattr(self, name)
            return tuple(choices[: count if name in dims else 1] for choices in own)

        skips = None if max_skips is None else max_skips + 1
        return replace(
            self,
            depth=cut("depth", skips),
            width=cut("width", num_widths),
            expansion=cut("expansion", num_widths),
        )

    def check(self, subnet: Subnet) -> Subnet:
        """The subnet, if it is one of this space.

        Raises:
            UserError: a value is no choice of its dimension, or there are too many or too few of them.
        """
        for name in DIMENSIONS:
            own, all_ = getattr(subnet, name), getattr(self, name)
            if len(own) != len(all_):
                raise _error(name, f"{len(all_)} values", f"{len(own)}: {_dashed(own)}")
            for place, (value, choices) in enumerate(zip(own, all_, strict=True)):
                if value not in choices:
                    raise _error(name, f"one of {', '.join(map(str, choices))} at place {place}", str(value))
        return self.canonical(subnet)

    def parse(self, text: str) -> Subnet:
        """The subnet of "depth=3-4-6-2,width=0.8,expansion=…".

        A whole number is a number of blocks or channels; one with a point is a ratio of the greatest,
        which stands for the choice next to it. One value stands for all; what is left out is greatest.

        Raises:
            UserError: an unknown dimension, something that is no number, or a value outside the space.
        """
        values: dict[str, str] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            name = name.strip()
            if name not in DIMENSIONS or not value:
                raise UserError(
                    expected="a subnet such as depth=3-4-6-2,width=0.8,expansion=64-0.6-…",
                    found=repr(part),
                    next_step="dimensions: " + ", ".join(DIMENSIONS),
                )
            if name in values:
                raise _error(name, "values once", f"{part!r} as well")
            values[name] = value
        return self.subnet(values)

    def subnet(self, values: Mapping[str, str | Sequence[int | float]]) -> Subnet:
        """The subnet of values by dimension, as text with dashes or as numbers; see `parse`."""
        chosen = {}
        for name in DIMENSIONS:
            all_ = getattr(self, name)
            given = values.get(name)
            if given is None:
                chosen[name] = tuple(choices[0] for choices in all_)
                continue
            parts = given.split("-") if isinstance(given, str) else [repr(value) for value in given]
            if len(parts) == 1:
                parts = parts * len(all_)
            if len(parts) != len(all_):
                raise _error(name, f"1 or {len(all_)} values", f"{len(parts)}: {'-'.join(parts)}")
            chosen[name] = tuple(_value(name, p, choices) for p, choices in zip(parts, all_, strict=True))
        return self.check(Subnet(**chosen))

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many choices each place has, as a search varies them: depths, widths, expansions."""
        return tuple(len(choices) for name in DIMENSIONS for choices in getattr(self, name))

    def at(self, places: Sequence[int]) -> Subnet:
        """The subnet of one choice index for each of `sizes`."""
        rest = list(places)
        chosen = {}
        for name in DIMENSIONS:
            all_ = getattr(self, name)
            chosen[name] = tuple(choices[int(rest.pop(0))] for choices in all_)
        return self.canonical(Subnet(**chosen))

    def _by_stage(self, of_blocks: Sequence[tuple[int, ...]]) -> list[Sequence[tuple[int, ...]]]:
        ends = list(itertools.accumulate(self.blocks))
        return [of_blocks[end - count : end] for end, count in zip(ends, self.blocks, strict=True)]


def rounded_choices(
    full: int,
    multipliers: Sequence[float],
    *,
    unit: int = 1,
    step: int = 1,
    least: int = 1,
    most: int | None = None,
) -> tuple[int, ...]:
    """Numbers of channels near `multipliers` of `full`, greatest first, `full` always among them.

    Args:
        full: channels of the supernet.
        multipliers: ratios up to 1.
        unit: channels that cannot be parted: those of one group of a grouped convolution.
        step: the others are its multiples.
        least: what would be smaller is raised to it.
        most: number of choices.

    >>> rounded_choices(256, [1, 0.8, 0.6], step=8, least=32)
    (256, 200, 152)
    >>> rounded_choices(40, [1, 0.8, 0.6], step=8, least=32)
    (40, 32)
    """
    grain = math.lcm(unit, step)
    # Down to the next multiple: a choice is never wider than what its multiplier says.
    found = {full}
    for multiplier in multipliers:
        channels = int(multiplier * full + 1e-9) // grain * grain
        found.add(min(full, max(channels, -(-least // grain) * grain, grain)))
    return tuple(sorted(found, reverse=True))[:most]


def _value(name: str, text: str, choices: tuple[int, ...]) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        raise _error(name, "numbers between dashes", repr(text)) from None
    if not 0 < number <= 1:
        raise _error(name, "a ratio above 0 and at most 1", text)
    return min(choices, key=lambda choice: (abs(choice - number * choices[0]), -choice))


def _dashed(values: Sequence[int]) -> str:
    return "-".join(map(str, values))


def _error(name: str, expected: str, found: str) -> UserError:
    return UserError(
        expected=f"{expected} for the dimension {name!r} of the supernet",
        found=found,
        next_step="`nversion supernet show` lists the choices",
    )
