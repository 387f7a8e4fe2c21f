"""A subnet as a plain network of its own."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from .layers import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, Skippable, Statistics, make_plain
from .network import ElasticNetwork
from .space import Subnet


def extract(
    supernet: ElasticNetwork, subnet: Subnet, statistics: Statistics | None = None, *, share: bool = False
) -> nn.Module:
    """The subnet as a network of the original's plain layers, with equal outputs.

    Blocks that are left off become `nn.Identity`.

    Args:
        supernet: is not changed.
        subnet: of its space.
        statistics: of its batch norms; None: the first of the supernet's own.
        share: the weights are views of the supernet's: no memory, and they change with it. Moving such a
            network to another device copies them.
    """
    # The structure is copied, its tensors are not.
    memo: dict[int, Any] = {id(t): t for t in (*supernet.parameters(), *supernet.buffers())}
    memo[id(supernet._shared)] = supernet._shared
    copied: nn.Module = copy.deepcopy(supernet.network, memo)
    structure = supernet.structure
    running = supernet.space.running(subnet.depth)
    for block, runs in zip(structure.blocks, running, strict=True):
        if not runs:
            copied.set_submodule(block.name, nn.Identity())
        elif isinstance(copied.get_submodule(block.name), Skippable):
            make_plain(copied.get_submodule(block.name))
    outs = {unit.conv: subnet.width[i] for i in range(structure.num_streams) for unit in structure.writers(i)}
    ins = {reader: subnet.width[i] for i in range(structure.num_streams) for reader in structure.readers(i)}
    for block, inner in zip(structure.blocks, subnet.expansion, strict=True):
        outs |= {unit.conv: inner for unit in block.units[:-1]}
        ins |= {unit.conv: inner for unit in block.units[1:]}
    norms = {
        u.norm: u.conv
        for u in (structure.stem, *(u for b in structure.blocks for u in (*b.units, b.shortcut) if u))
    }

    def own(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.detach() if share else tensor.detach().clone()

    for name, found in list(copied.named_modules()):
        module: Any = found
        if isinstance(found, ElasticConv2d):
            into, out = ins.get(name, module.in_channels), outs[name]
            groups = module.groups if module.groups == 1 else into * module.groups // module.in_channels
            _give(
                module,
                weight=own(module.weight[:out, : into // groups]),
                bias=own(None if module.bias is None else module.bias[:out]),
            )
            del module.active_out
            module.__class__ = nn.Conv2d
            module.in_channels, module.out_channels, module.groups = into, out, groups
        elif isinstance(found, ElasticBatchNorm2d):
            channels = outs[norms[name]]
            mean, variance = (
                (module.running_mean[:channels], module.running_var[:channels])
                if statistics is None
                else statistics[name]
            )
            _give(
                module,
                weight=own(None if module.weight is None else module.weight[:channels]),
                bias=own(None if module.bias is None else module.bias[:channels]),
            )
            del module.name, module.active
            module.__class__ = nn.BatchNorm2d
            module.running_mean, module.running_var = own(mean), own(variance)
            if module.num_batches_tracked is not None:
                module.num_batches_tracked = module.num_batches_tracked.clone()
            module.num_features = channels
        elif isinstance(found, ElasticLinear):
            into = ins.get(name, module.in_features)
            _give(module, weight=own(module.weight[:, :into]), bias=own(module.bias))
            module.__class__ = nn.Linear
            module.in_features = into
    return copied


def _give(module: nn.Module, **tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        trains = getattr(module, name) is not None and getattr(module, name).requires_grad
        setattr(module, name, None if tensor is None else nn.Parameter(tensor, requires_grad=trains))
