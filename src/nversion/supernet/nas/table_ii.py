"""Subnets in the notation of the paper's Table ii.

The paper says only that the notation follows once-for-all (OFA; Cai et al. 2020). From OFA's code come:

* depth: for the stem and the four stages, blocks beyond [2, 2, 4, 2]; no more than the supernet's stage
  has. The stem's is a second convolution, without counterpart in a stem of one: not used.
* width: places among the choices from the smallest, 0; of the stem's first convolution (without
  counterpart: not used), the stem and the four stages. (Newer versions of BootstrapNAS count from the
  greatest.)
* expansion: inner channels of a block per channel of its output; 0.25 is ResNet50's own.

Inferred, because Table ii has 12 expansions and no network of such stages 12 blocks:

* The blocks that run take them in order, and what is left is not used. If every block of OFA's supernet
  had its own, run or not, nB_2 would be nB_1 (with its 18 blocks), or nB_3 (with 14, at most one beyond the
  least for each stage). A list with one expansion for each block of our supernet is taken so all the same.
* Inner channels are those of the space nearest to it, the greater of two: OFA rounds to multiples of 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nversion.core import UserError, did_you_mean
from nversion.supernet.elastic import Space, Subnet

BASE_DEPTH = (2, 2, 4, 2)
MOST_EXTRA = 2  # blocks beyond them in OFA's largest network
OWN_EXPANSION = 0.25  # inner channels of ResNet50's blocks per channel of their output

_DEPTH = [0, 0, 0, 0, 1]
_WIDTH = [0, 0, 0, 2, 2, 2]
_E_B_0 = [0.2, 0.2, 0.2, 0.25, 0.2, 0.25, 0.25, 0.25, 0.2, 0.25, 0.25, 0.25]
_E_B_1 = [0.25, 0.2, 0.25, 0.25, 0.2, 0.25, 0.25, 0.25, 0.2, 0.25, 0.25, 0.25]
_E_B_2 = [0.25, 0.2, 0.25, 0.2, 0.2, 0.25, 0.25, 0.25, 0.2, 0.25, 0.25, 0.25]
_E_B_3 = [0.25, 0.2, 0.25, 0.25, 0.2, 0.2, 0.25, 0.25, 0.2, 0.25, 0.25, 0.25]

TABLE_II: dict[str, dict[str, Sequence[float]]] = {
    "B_0": {"depth": _DEPTH, "expansion": _E_B_0, "width": _WIDTH},  # and nB_0
    "nB_1": {"depth": _DEPTH, "expansion": _E_B_1, "width": _WIDTH},  # and B_1 of Table i
    "nB_2": {"depth": _DEPTH, "expansion": _E_B_2, "width": _WIDTH},
    "nB_3": {"depth": _DEPTH, "expansion": _E_B_3, "width": _WIDTH},
    "dB_1a": {"depth": [0, 0, 1, 0, 0], "expansion": _E_B_1, "width": _WIDTH},
    "dB_1b": {"depth": [1, 0, 0, 0, 0], "expansion": _E_B_1, "width": _WIDTH},
    "wB_1a": {"depth": _DEPTH, "expansion": _E_B_1, "width": [0, 0, 1, 1, 2, 2]},
    "wB_1b": {"depth": _DEPTH, "expansion": _E_B_1, "width": [0, 1, 1, 1, 1, 2]},
    "wB_1c": {"depth": _DEPTH, "expansion": _E_B_1, "width": [1, 1, 1, 1, 1, 1]},
    # Figure 8 has 11 subnets, of which Table ii describes nine: two of ours, like their neighbours.
    "ours_d3": {"depth": [0, 0, 0, 1, 0], "expansion": _E_B_1, "width": _WIDTH},
    "ours_w2": {"depth": _DEPTH, "expansion": _E_B_1, "width": [0, 0, 0, 1, 2, 2]},
}
"""Subnets by the paper's names (`ours_…`: ours), as arguments of `from_table_ii`."""


def named_in_table_ii(space: Space, name: str) -> Subnet:
    """The subnet of a space that Table ii, or this module, gives this name.

    Raises:
        UserError: an unknown name, or a value outside the space.
    """
    name = {"nB_0": "B_0", "B_1": "nB_1"}.get(name, name)
    if name not in TABLE_II:
        raise UserError(
            expected="a subnet of the paper's Table ii",
            found=repr(name),
            next_step=did_you_mean(name, list(TABLE_II)),
        )
    return from_table_ii(space, **TABLE_II[name])


def from_table_ii(
    space: Space, depth: Sequence[float], expansion: Sequence[float], width: Sequence[float]
) -> Subnet:
    """The subnet of a space that Table ii's notation describes; see the module for how it is read.

    In a network whose blocks are wider or narrower inside than ResNet50's (a ResNeXt, say) 0.25 stands for
    its own ratio, and the others are in proportion.

    Args:
        space: of a network with ResNet50's four stages.
        depth: 5 whole numbers from 0 to 2: stem, stages.
        expansion: one for each block that runs, those behind not used; or one for each of the supernet.
        width: 6 places among the choices, 0 the smallest: first convolution, stem, stages.

    Raises:
        UserError: the space has other stages, or a value is outside it.
    """
    if len(space.blocks) != len(BASE_DEPTH) or len(space.width) != len(BASE_DEPTH) + 1:
        raise UserError(
            expected="a supernet with a stem and four stages for Table ii's notation",
            found=f"{len(space.blocks)} stages and {len(space.width)} widths",
            next_step="describe its subnets by depth, width and expansion",
        )
    _check_length("depth", depth, len(BASE_DEPTH) + 1)
    _check_length("width", width, len(space.width) + 1)
    blocks = []
    for extra, base, choices in zip(depth[1:], BASE_DEPTH, space.depth, strict=True):
        found = min(base + _whole("depth", extra, MOST_EXTRA), choices[0])
        if found not in choices:
            raise _error("depth", f"{choices[-1]} to {choices[0]} blocks in a stage", f"{base} + {extra}")
        blocks.append(found)
    widths = [
        sorted(choices)[_whole("width", place, len(choices) - 1)]
        for place, choices in zip(width[1:], space.width, strict=True)
    ]
    running = space.running(blocks)
    if len(expansion) == len(running):
        expansion = [ratio for ratio, runs in zip(expansion, running, strict=True) if runs]
    if len(expansion) < sum(running):
        raise _error("expansion", f"{sum(running)} ratios, one for each block that runs", f"{len(expansion)}")
    ratios = iter(expansion)
    stages = [stage for stage, count in enumerate(space.blocks) for _ in range(count)]
    inner = []
    for stage, choices, runs in zip(stages, space.expansion, running, strict=True):
        narrowed = widths[stage + 1] / space.width[stage + 1][0]
        inner.append(_nearest(choices, next(ratios), narrowed) if runs else choices[0])
    return space.check(Subnet(tuple(blocks), tuple(widths), tuple(inner)))


def _nearest(choices: tuple[int, ...], ratio: float, narrowed: float) -> int:
    wanted = ratio / OWN_EXPANSION * choices[0] * narrowed
    if not 0 < wanted <= choices[0] + 1e-6:
        most = OWN_EXPANSION / narrowed
        raise _error("expansion", f"ratios above 0 and at most {most:.4g} at this width", str(ratio))
    return min(choices, key=lambda choice: (abs(choice - wanted), -choice))


def _whole(name: str, value: float, most: int) -> int:
    if value != int(value) or not 0 <= value <= most:
        raise _error(name, f"whole numbers from 0 to {most}", str(value))
    return int(value)


def _check_length(name: str, values: Sequence[Any], length: int) -> None:
    if len(values) != length:
        raise _error(name, f"{length} values", f"{len(values)}: {list(values)}")


def _error(name: str, expected: str, found: str) -> UserError:
    return UserError(
        expected=f"{expected} for the dimension {name!r} in Table ii's notation",
        found=found,
        next_step="correct it; `nversion supernet show` lists the choices",
    )
