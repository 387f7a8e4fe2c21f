"""Every ensemble under any rule: all classes of all members, in pieces that fit the budget."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nversion.core import chunk_length, spans

from .consensus import Consensus
from .decision import decide, shares_ties
from .membership import Ensembles
from .tally import Tally
from .tile import Tile


class PlainWay:
    """For rules of which nothing is known."""

    def __init__(self, rule: Consensus, ensembles: Sequence[Ensembles], device: torch.device) -> None:
        self.rule = rule
        self.members_KE = [of_size.members_EK.T.contiguous().to(device) for of_size in ensembles]

    def add(self, tile: Tile, tallies: Sequence[Tally]) -> None:
        """Add every pair of the tile to its size's tally."""
        for members_KE, tally in zip(self.members_KE, tallies, strict=True):
            tally.open(tile)
            size, num_ensembles = members_KE.shape
            _, num_samples, num_classes = tile.logits_MNC.shape
            at_once = chunk_length(bytes_per_pair(size, num_classes), tile.budget_bytes)
            for low, high in spans(num_samples * num_ensembles, at_once):
                pairs_R = torch.arange(low, high, device=members_KE.device)
                rows_R, ensembles_R = pairs_R // num_ensembles, pairs_R % num_ensembles
                decisions = decide(
                    self.rule,
                    tile.members_logits(members_KE[:, ensembles_R], rows_R),
                    tile.labels_N[rows_R],
                    None if tile.draws_N is None else tile.draws_N[rows_R],
                )
                tally.pairs(rows_R, ensembles_R, decisions, list_near=not shares_ties(self.rule))


def bytes_per_pair(size: int, num_classes: int) -> int:
    """Of logits, values and sorted copies of a pair's members, and its scores: at most 8 bytes wide each."""
    return 32 * (size + 1) * num_classes
