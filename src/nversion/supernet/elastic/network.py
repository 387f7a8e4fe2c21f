"""A residual network with its weights as a supernet: elastic in depth, width and expansion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from nversion.core.tables import Table

from .layers import Active, ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, Statistics, make_skippable
from .space import Space, Subnet, rounded_choices
from .structure import Block, Structure, read_structure

Importance = Literal["filters", "readers"]


class Elasticity(Table):
    """Which subnets a supernet has: the `[elasticity]` table.

    Attributes:
        max_skips: blocks that a stage may leave off, the last ones; at least one stays, and one that
            changes the shape of its input always does.
        width_multipliers: of the channels of a stream, the greatest first.
        expansion_multipliers: of the inner channels of a block; None: those of the width.
        min_width: channels below which nothing goes.
        width_step: numbers of channels are its multiples, rounded down.
        max_num_widths: choices kept of each list, from the greatest.
    """

    max_skips: int = Field(2, ge=0)
    width_multipliers: list[float] = Field(default_factory=lambda: [1.0, 0.8, 0.6])
    expansion_multipliers: list[float] | None = None
    min_width: int = Field(1, ge=1)
    width_step: int = Field(1, ge=1)
    max_num_widths: int | None = Field(None, ge=1)

    @field_validator("width_multipliers", "expansion_multipliers")
    @classmethod
    def _ratios(cls, values: list[float] | None) -> list[float] | None:
        if values is not None and (not values or not all(0 < value <= 1 for value in values)):
            raise ValueError("ratios above 0 and at most 1")
        return values


@dataclass(frozen=True)
class Cost:
    """Size of a subnet.

    Attributes:
        num_parameters: learned values.
        macs: multiply-accumulate operations for one image; convolutions and the linear layer.
    """

    num_parameters: int
    macs: int


class ElasticNetwork(nn.Module):
    """A residual network of which any subnet of its space can be active.

    The names of weights are those of the network, so that its state_dict loads and saves as before.

    Args:
        network: is changed in place: its layers and blocks become elastic, their weights stay.
        elasticity: the choices.

    Raises:
        UserError: the network cannot be made elastic; the layer is named.
    """

    def __init__(self, network: nn.Module, elasticity: Elasticity | None = None) -> None:
        super().__init__()
        self.structure: Structure = read_structure(network)
        self.network = network
        self._shared = Active()
        self._modules_by_name: dict[str, Any] = dict(network.named_modules())
        self._make_elastic()
        self.space = self._space(elasticity or Elasticity())
        self._subnet = self.space.largest

    @property
    def subnet(self) -> Subnet:
        """The active one."""
        return self._subnet

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Logits (N, C) of the active subnet.

        Raises:
            ValueError: in eval mode a subnet without statistics of its own; see `collect_statistics`.
        """
        logits_NC: Tensor = self.network(images_N3HW)
        return logits_NC

    def activate(self, subnet: Subnet, statistics: Statistics | None = None) -> None:
        """Make a subnet the active one; only layers whose number of channels changes are touched.

        Args:
            subnet: of the space; others give wrong shapes; see `space.check`.
            statistics: of its batch norms.
        """
        old = self._subnet
        self._shared.statistics = statistics
        self._shared.largest = subnet == self.space.largest
        if subnet == old:
            return
        by_name = self._modules_by_name
        for stage, blocks in enumerate(self.structure.stages):
            if subnet.depth[stage] != old.depth[stage]:
                for place, block in enumerate(blocks):
                    if block.shortcut is None:
                        by_name[block.name].skipped = place >= subnet.depth[stage]
        for stream, channels in enumerate(subnet.width):
            if channels != old.width[stream]:
                for unit in self.structure.writers(stream):
                    by_name[unit.conv].active_out = channels
        for block, channels, before in zip(
            self.structure.blocks, subnet.expansion, old.expansion, strict=True
        ):
            if channels != before:
                for unit in block.units[:-1]:
                    by_name[unit.conv].active_out = channels
        self._subnet = subnet

    @torch.no_grad()
    def collect_statistics(self, subnet: Subnet, batches: Iterable[Tensor]) -> Statistics:
        """Mean and variance of a subnet's batch norms over batches of its inputs; the subnet ends active.

        The mean over the batches of their means and unbiased variances, every batch norm using the batch
        (what torch does in training mode with `momentum=None`). Random layers are off.

        Args:
            subnet: of the space.
            batches: normalised images (N, 3, H, W), at least 2 each; batches of one size weigh alike.

        Raises:
            ValueError: no batch.
        """
        was_training = self.training
        self.eval()
        self.activate(subnet)
        shared = self._shared
        shared.collected, shared.counted = {}, 0
        try:
            for images_N3HW in batches:
                self(images_N3HW)
                shared.counted += 1
            if shared.counted == 0:
                raise ValueError("expected at least one batch for the statistics of a subnet, found none")
        finally:
            collected, shared.collected, shared.counted = shared.collected, {}, None
            self.train(was_training)
        self.activate(subnet, collected)
        return collected

    @torch.no_grad()
    def reorganise(self, importance: Importance = "readers") -> None:
        """Sort channels, the most important first; the largest subnet's outputs stay but for rounding.

        Other subnets become others, and statistics that were collected before fit none any more.

        Args:
            importance: "filters": the sum of absolute weights that make a channel (as NNCF's default);
                "readers": of those that read it, times the scale of the channel's batch norm.
        """
        structure, by_name = self.structure, self._modules_by_name
        self._shared.statistics = None
        for stream in range(structure.num_streams):
            writers, readers = structure.writers(stream), structure.readers(stream)
            order = _order(
                [by_name[u.conv] for u in writers],
                [by_name[u.norm] for u in writers],
                [by_name[r] for r in readers],
                importance,
                1,
            )
            for unit in writers:
                _permute_out(by_name[unit.conv], by_name[unit.norm], order)
            for reader in readers:
                _permute_in(by_name[reader], order)
        for block in structure.blocks:
            for first, second in zip(block.units[:-1], block.units[1:], strict=True):
                conv, norm, reader = by_name[first.conv], by_name[first.norm], by_name[second.conv]
                if conv.groups > 1:
                    continue  # sorted with the convolution before it
                grouped = reader.groups > 1
                writers_ = [(conv, norm)]
                if grouped:  # channel i of the one is channel i of the other, in whole groups
                    writers_.append((reader, by_name[second.norm]))
                    readers_ = [by_name[block.units[-1].conv]]
                else:
                    readers_ = [reader]
                together = reader.in_channels // reader.groups if grouped else 1
                order = _order(
                    [c for c, _ in writers_], [n for _, n in writers_], readers_, importance, together
                )
                for conv_, norm_ in writers_:
                    _permute_out(conv_, norm_, order)
                for layer in readers_:
                    _permute_in(layer, order)

    def cost(self, subnet: Subnet, input_size: int) -> Cost:
        """Parameters and MACs of a subnet, without running it.

        Args:
            subnet: of the space.
            input_size: pixels per side.
        """
        positions = self._positions(input_size)
        by_name, structure = self._modules_by_name, self.structure
        classifier = by_name[structure.classifier]
        parameters = subnet.width[-1] * classifier.out_features
        macs = parameters
        parameters += classifier.out_features if classifier.bias is not None else 0
        shapes = [(structure.stem, by_name[structure.stem.conv].in_channels, subnet.width[0])]
        runs = self.space.running(subnet.depth)
        for block, inner, running in zip(structure.blocks, subnet.expansion, runs, strict=True):
            if running:
                into, out = subnet.width[block.into], subnet.width[block.out]
                ends = [into, *[inner] * (len(block.units) - 1), out]
                shapes += zip(block.units, ends[:-1], ends[1:], strict=True)
                shapes += [(block.shortcut, into, out)] if block.shortcut else []
        for unit, into, out in shapes:
            conv, norm = by_name[unit.conv], by_name[unit.norm]
            per_group = into if conv.groups == 1 else conv.in_channels // conv.groups
            weights = out * per_group * conv.kernel_size[0] * conv.kernel_size[1]
            parameters += weights + out * ((conv.bias is not None) + 2 * (norm.weight is not None))
            macs += weights * positions[unit.conv]
        return Cost(parameters, macs)

    def _positions(self, input_size: int) -> dict[str, int]:
        # Pixels of each convolution's output: a subnet does not change them.
        kept: dict[int, dict[str, int]] = self.__dict__.setdefault("_kept_positions", {})
        if input_size not in kept:
            found: dict[str, int] = {}
            hooks = [
                module.register_forward_hook(
                    lambda _module, _inputs, out, name=name: found.__setitem__(
                        name, out.shape[-2] * out.shape[-1]
                    )
                )
                for name, module in self._modules_by_name.items()
                if isinstance(module, nn.Conv2d)
            ]
            active, statistics, was_training = self._subnet, self._shared.statistics, self.training
            self.eval().activate(self.space.largest)
            weight = next(self.parameters())
            with torch.no_grad():
                self(torch.zeros(1, 3, input_size, input_size, device=weight.device, dtype=weight.dtype))
            self.train(was_training).activate(active, statistics)
            for hook in hooks:
                hook.remove()
            kept[input_size] = found
        return kept[input_size]

    def _make_elastic(self) -> None:
        # Classes are exchanged in place: names, weights, hooks and the order of modules stay as they are.
        for name, module in self._modules_by_name.items():
            if type(module) is nn.Conv2d:
                module.__class__ = ElasticConv2d
                module.active_out = module.out_channels  # type: ignore[assignment]
            elif type(module) is nn.BatchNorm2d:
                module.__class__ = ElasticBatchNorm2d
                module.name, module.active = name, self._shared  # type: ignore[assignment]
            elif type(module) is nn.Linear:
                module.__class__ = ElasticLinear
        for block in self.structure.blocks:
            if block.shortcut is None:
                make_skippable(self._modules_by_name[block.name])

    def _space(self, elasticity: Elasticity) -> Space:
        by_name, structure = self._modules_by_name, self.structure
        most, step, least = elasticity.max_num_widths, elasticity.width_step, elasticity.min_width
        width = tuple(
            rounded_choices(
                by_name[structure.writers(stream)[0].conv].out_channels,
                elasticity.width_multipliers,
                step=step,
                least=least,
                most=most,
            )
            for stream in range(structure.num_streams)
        )
        ratios = elasticity.expansion_multipliers or elasticity.width_multipliers
        expansion = tuple(
            rounded_choices(
                _inner(block, by_name), ratios, unit=_grain(block, by_name), step=step, least=least, most=most
            )
            for block in structure.blocks
        )
        blocks = tuple(len(stage) for stage in structure.stages)
        depth = []
        for stage in structure.stages:
            skippable = min(elasticity.max_skips, sum(b.shortcut is None for b in stage), len(stage) - 1)
            depth.append(tuple(range(len(stage), len(stage) - skippable - 1, -1)))
        return Space(tuple(depth), width, expansion, blocks)


def _inner(block: Block, by_name: dict[str, Any]) -> int:
    return int(by_name[block.units[0].conv].out_channels)


def _grain(block: Block, by_name: dict[str, Any]) -> int:
    middle = by_name[block.units[1].conv]
    return int(middle.in_channels // middle.groups) if middle.groups > 1 else 1


def _order(
    convs: Sequence[nn.Conv2d],
    norms: Sequence[nn.BatchNorm2d],
    readers: Sequence[nn.Module],
    importance: Importance,
    unit: int,
) -> Tensor:
    """Channels, the most important first; in whole groups of `unit`."""
    if importance == "filters":
        scores: Any = sum(conv.weight.abs().flatten(1).sum(1) for conv in convs)
    else:
        read: Any = sum(_read_weights(reader) for reader in readers)
        scale: Any = sum(norm.weight.abs() if norm.weight is not None else 1.0 for norm in norms)
        scores = read * scale
    groups = scores.reshape(-1, unit).sum(1).argsort(descending=True, stable=True)
    order: Tensor = (groups[:, None] * unit + torch.arange(unit, device=groups.device)).flatten()
    return order


def _read_weights(reader: Any) -> Tensor:
    weights: Tensor = reader.weight.abs().transpose(0, 1).flatten(1).sum(1)
    return weights


def _permute_out(conv: nn.Conv2d, norm: nn.BatchNorm2d, order: Tensor) -> None:
    for tensor in (conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var):
        if tensor is not None:
            tensor.copy_(tensor[order].clone())


def _permute_in(reader: Any, order: Tensor) -> None:
    reader.weight.copy_(reader.weight[:, order].clone())
