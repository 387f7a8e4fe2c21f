"""What a residual network consists of: stem, blocks in stages, streams between them, classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from nversion.core import UserError

NEXT_STEP = (
    "take a ResNet or ResNeXt of torchvision or timm (BasicBlock or Bottleneck), or one built of their blocks"
)


@dataclass(frozen=True)
class Unit:
    """A convolution and the batch norm behind it, by name."""

    conv: str
    norm: str


@dataclass(frozen=True)
class Block:
    """A residual block.

    Attributes:
        name: of the module.
        units: its two or three convolutions in their order.
        shortcut: of the projection; None: the block adds its input.
        into, out: the streams that it reads and writes.
        stage: its number.
    """

    name: str
    units: tuple[Unit, ...]
    shortcut: Unit | None
    into: int
    out: int
    stage: int


@dataclass(frozen=True)
class Structure:
    """A network as it can be made elastic.

    Attributes:
        stem: the first convolution.
        blocks: in the order in which they run.
        classifier: name of the linear layer at the end.
    """

    stem: Unit
    blocks: tuple[Block, ...]
    classifier: str

    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]:
        """The blocks of each stage."""
        count = self.blocks[-1].stage + 1
        return tuple(tuple(b for b in self.blocks if b.stage == stage) for stage in range(count))

    @property
    def num_streams(self) -> int:
        """The stem's and one for each projection."""
        return self.blocks[-1].out + 1

    def writers(self, stream: int) -> list[Unit]:
        """Units whose outputs are added to a stream."""
        found = [self.stem] if stream == 0 else []
        for block in self.blocks:
            if block.out == stream:
                found += [block.units[-1], *([block.shortcut] if block.shortcut else [])]
        return found

    def readers(self, stream: int) -> list[str]:
        """Convolutions and linear layers that read a stream."""
        found = []
        for block in self.blocks:
            if block.into == stream:
                found += [block.units[0].conv, *([block.shortcut.conv] if block.shortcut else [])]
        return found + ([self.classifier] if stream == self.num_streams - 1 else [])


def read_structure(network: nn.Module) -> Structure:
    """Find stem, blocks and classifier.

    Every module with weights must have its place: a stem of one convolution and batch norm, blocks with
    conv1, bn1, conv2, bn2 (conv3, bn3) and a shortcut of at most one convolution and batch norm, and one
    linear layer that reads the pooled channels of the last block.

    Raises:
        UserError: a layer that has no such place, or is of another kind; it is named.
    """
    modules = dict(network.named_modules())
    block_names = [
        name for name, module in modules.items() if hasattr(module, "conv2") and hasattr(module, "bn2")
    ]
    if not block_names:
        raise _error(f"residual blocks in a {type(network).__name__}", "none")
    inside = tuple(f"{name}." for name in block_names)
    outside = [
        (name, module)
        for name, module in modules.items()
        if _own_tensors(module) and not name.startswith(inside)
    ]
    if len(outside) != 3:
        extra = [name for name, _ in outside[2:-1]] or [name for name, _ in outside]
        raise _error(
            "a convolution and a batch norm before the blocks and a linear layer behind them",
            f"{len(outside)} layers, among them {extra[0]!r}",
        )
    (conv, _), (norm, _), (classifier, _) = outside
    stem = _unit(modules, conv, norm)
    blocks: list[Block] = []
    stream, channels = 0, modules[conv].out_channels
    for name in block_names:
        block = _block(modules, name, stream, bool(blocks), blocks[-1].stage if blocks else -1)
        if modules[block.units[0].conv].in_channels != channels:
            raise _error(
                f"a first convolution of {name!r} that reads {channels} channels",
                str(modules[block.units[0].conv].in_channels),
            )
        stream, channels = block.out, modules[block.units[-1].conv].out_channels
        blocks.append(block)
    last = modules[classifier]
    if type(last) is not nn.Linear or last.in_features != channels:
        raise _error(f"a linear layer of {channels} pooled channels at {classifier!r}", f"{last}")
    return Structure(stem, tuple(blocks), classifier)


def _block(modules: dict[str, nn.Module], name: str, stream: int, later: bool, stage: int) -> Block:
    count = 3 if hasattr(modules[name], "conv3") else 2
    units = tuple(
        _unit(modules, f"{name}.conv{i}", f"{name}.bn{i}", may_group=1 < i < count)
        for i in range(1, count + 1)
    )
    shortcut = None
    known = {part for unit in units for part in (unit.conv, unit.norm)}
    others = [m for m in modules if m.startswith(f"{name}.") and _own_tensors(modules[m]) and m not in known]
    if others:
        of_shortcut = [m for m in others if m.startswith(f"{name}.downsample.")]
        if len(others) != 2 or len(of_shortcut) != 2:
            odd = next((m for m in others if m not in of_shortcut), others[0])
            raise _error(
                f"nothing with weights in {name!r} but convolutions, batch norms and a shortcut",
                f"{odd!r}, a {type(modules[odd]).__name__}",
            )
        shortcut = _unit(modules, others[0], others[1])
    new = shortcut is not None
    return Block(name, units, shortcut, stream, stream + new, stage + (new or not later))


def _unit(modules: dict[str, nn.Module], conv: str, norm: str, may_group: bool = False) -> Unit:
    for name, kind in ((conv, nn.Conv2d), (norm, nn.BatchNorm2d)):
        if type(modules.get(name)) is not kind:
            found = type(modules[name]).__name__ if name in modules else "no such layer"
            raise _error(f"a plain {kind.__name__} at {name!r}", f"a {found}" if name in modules else found)
    conv_: Any = modules[conv]
    norm_: Any = modules[norm]
    if conv_.padding_mode != "zeros" or not norm_.track_running_stats:
        raise _error(
            f"padding by zeros at {conv!r} and running statistics at {norm!r}", f"{conv_} and {norm_}"
        )
    if conv_.groups > 1 and not (may_group and conv_.in_channels == conv_.out_channels):
        raise _error(f"no groups at {conv!r}, as only the middle of a bottleneck has them", f"{conv_}")
    # Blocks that normalise before they convolve define the batch norm first.
    names = list(modules)
    if norm_.num_features != conv_.out_channels or names.index(norm) < names.index(conv):
        raise _error(
            f"the batch norm {norm!r} behind {conv!r}, of its {conv_.out_channels} channels", f"{norm_}"
        )
    return Unit(conv, norm)


def _own_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or any(
        True for _ in module.buffers(recurse=False)
    )


def _error(expected: str, found: str) -> UserError:
    return UserError(
        expected=f"{expected}, so that the network can be made elastic", found=found, next_step=NEXT_STEP
    )
