"""Layers that run with the first channels of their weights; the names of the weights stay as they were.

A layer reads how many channels it gets from its input, and is set to how many to give. Where both are all of
them it does what it did before, to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Running mean and variance of each batch norm by name, of as many channels as a subnet has there."""


@dataclass
class Active:
    """What all layers of a supernet share: switching a subnet replaces its content, not a layer's.

    Attributes:
        statistics: of the active subnet; None: those that the supernet was trained with.
        counted: recalibration batches so far; None: no recalibration.
        largest: whether the active subnet is the supernet itself.
    """

    statistics: Statistics | None = None
    counted: int | None = None
    largest: bool = True
    collected: Statistics = field(default_factory=dict)


class ElasticConv2d(nn.Conv2d):
    """A convolution of the first input channels to the first `active_out` output channels.

    A grouped one keeps the channels of a group and leaves off groups.
    """

    active_out: int

    def forward(self, input: Tensor) -> Tensor:
        into, out = input.shape[1], self.active_out
        if into == self.in_channels and out == self.out_channels:
            return super().forward(input)
        groups = self.groups if self.groups == 1 else into * self.groups // self.in_channels
        weight = self.weight[:out, : into // groups]
        bias = None if self.bias is None else self.bias[:out]
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, groups)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of the first channels.

    In training mode by the batch; only the supernet itself moves the running statistics. In eval mode by
    the active subnet's own statistics, which `collect_statistics` makes.
    """

    name: str
    active: Active

    def forward(self, input: Tensor) -> Tensor:
        active, channels = self.active, input.shape[1]
        weight = None if self.weight is None else self.weight[:channels]
        bias = None if self.bias is None else self.bias[:channels]
        if active.counted is not None:
            if active.counted == 0:
                active.collected[self.name] = (input.new_zeros(channels), input.new_ones(channels))
            mean, variance = active.collected[self.name]
            momentum = 1 / (active.counted + 1)  # the mean over the batches
            return F.batch_norm(input, mean, variance, weight, bias, True, momentum, self.eps)
        if not self.training and active.statistics is not None:
            mean, variance = active.statistics[self.name]
            return F.batch_norm(input, mean, variance, weight, bias, False, 0.0, self.eps)
        if active.largest:
            return super().forward(input)
        if not self.training:
            raise ValueError("expected statistics of the active subnet, found none; collect them first")
        return F.batch_norm(input, None, None, weight, bias, True, 0.0, self.eps)


class ElasticLinear(nn.Linear):
    """A linear layer of the first input features."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[-1] == self.in_features:
            return super().forward(input)
        return F.linear(input, self.weight[:, : input.shape[-1]], self.bias)


class Skippable:
    """Mixed into a block's class: the block gives its input back where it is skipped."""

    skipped: bool

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x if self.skipped else super().forward(x)  # type: ignore[misc]
        return found


def make_skippable(block: nn.Module) -> None:
    """Change the block's class to one that can be skipped; `make_plain` undoes it."""
    kind = type(block)
    block.__class__ = type(f"Skippable{kind.__name__}", (Skippable, kind), {"plain": kind})
    block.skipped = False  # type: ignore[assignment]


def make_plain(block: nn.Module) -> None:
    """Undo `make_skippable`."""
    made: Any = type(block)
    block.__class__ = made.plain
    del block.skipped
