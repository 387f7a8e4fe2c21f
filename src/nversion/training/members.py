"""The networks of an ensemble as one module: images to all members' logits, maps and activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nversion.attribution import find_differentiable_method
from nversion.core import UserError, did_you_mean, fingerprint
from nversion.core.randomness import forked_randomness
from nversion.core.reasons import reason_of
from nversion.losses.base import Needs
from nversion.models import Preprocessing, make_classifier
from nversion.models.base import architecture_of, classes_for
from nversion.models.classifier import as_float32, check_initialised
from nversion.models.sources.file import FileSource
from nversion.models.weights import build_architecture

from .recipe import MapsTable, MemberTable, PreprocessingTable, TrainingRecipe


@dataclass(frozen=True)
class MemberFacts:
    """What a finished member's card says of it, and the fingerprint of the user's code that builds it."""

    name: str
    table: MemberTable
    architecture: str
    preprocessing: Preprocessing
    seed: int
    code: str
    notes: tuple[str, ...] = ()  # what was taken of the file that it starts from


@dataclass(frozen=True)
class PlannedMember:
    """Size and cost of a member before it is trained.

    Attributes:
        name: of the member.
        num_parameters: learned values.
        macs: multiply-accumulate operations for one image.
        start: the weights file, and what was taken of it where that is not plain; or "random weights".
    """

    name: str
    num_parameters: int
    macs: int
    start: str = "random weights"


class Outputs(NamedTuple):
    """What the members made of a batch; see `TrainingBatch`."""

    logits_MNC: Tensor
    maps_MNP: Tensor | None
    features_M: Sequence[Tensor] | None


def seed_of(*keys: Any) -> int:
    """A whole number below 2^31 that depends on all keys.

    >>> seed_of("a", 1) == seed_of("a", 1), seed_of("a", 1) == seed_of("a", 2)
    (True, False)
    """
    return int(fingerprint(["training", *keys])[:8], 16) >> 1


def build_members(
    recipe: TrainingRecipe, num_classes: int, seed: int, base: Path
) -> tuple[list[nn.Module], list[MemberFacts]]:
    """Untrained members; the weights of member i follow from (seed, i) and its architecture alone.

    So runs of different losses and strategies start from the same weights.

    Raises:
        UserError: an architecture cannot be built, or weights do not fit.
    """
    modules: list[nn.Module] = []
    facts: list[MemberFacts] = []
    for position, (name, table) in enumerate(named_members(recipe)):
        own = seed_of("initial weights", seed, position)
        module, preprocessing, code, notes = _built(table, recipe, num_classes, base, own)
        _freeze(module, table.frozen, f"the member {table.name or table.arch!r}")
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise UserError(
                expected=f"something to train in the member {table.name or table.arch!r}",
                found="no parameter, or none that is not frozen",
                next_step="freeze less, or name another architecture",
            )
        modules.append(module)
        source, reference = architecture_of(table.arch, name)
        architecture = source.architecture(reference, table.args)
        facts.append(MemberFacts(name, table, architecture, preprocessing, own, code, notes))
    return modules, facts


def named_members(recipe: TrainingRecipe) -> list[tuple[str, MemberTable]]:
    """The members of a recipe, each with its name.

    >>> one, two = MemberTable(arch="timm:resnet18"), MemberTable(arch="timm:vit", count=2)
    >>> [name for name, _ in named_members(TrainingRecipe.model_construct(members=[one, two]))]
    ['resnet18', 'vit-0', 'vit-1']
    """
    named: dict[str, MemberTable] = {}
    for table in recipe.members:
        for copy in range(table.count):
            stem = _stem(table)
            repeated = sum(_stem(other) == stem for other in recipe.members) > 1
            name = f"{stem}-{copy}" if table.count > 1 or repeated else stem
            named[f"{name}-{len(named)}" if name in named else name] = table
    return list(named.items())


def member_facts(recipe: TrainingRecipe, num_classes: int, base: Path) -> list[PlannedMember]:
    """The members that a recipe would train, with their sizes.

    Raises:
        UserError: an architecture cannot be built or does not run.
    """
    modules, facts = build_members(recipe, num_classes, 0, base)
    return [planned(module, fact, num_classes) for module, fact in zip(modules, facts, strict=True)]


def planned(module: nn.Module, fact: MemberFacts, num_classes: int) -> PlannedMember:
    """Size and cost of a member, which ends in eval mode; what was to be trained still is.

    Raises:
        UserError: the network does not run on one image, or has not as many outputs as there are classes.
    """
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    card = make_classifier(
        module, fact.preprocessing, name=fact.name, source=fact.table.arch, label_space="plan"
    ).card
    for parameter in learned:
        parameter.requires_grad_(True)
    if card.label_space.num_classes != num_classes:
        raise UserError(
            expected=f"{num_classes} outputs of the member {fact.name!r}, one a class of the data",
            found=str(card.label_space.num_classes),
            next_step="set the number of classes in its `args`, or name another architecture",
        )
    start = ", ".join([fact.table.weights or "random weights", *fact.notes])
    assert card.num_parameters is not None and card.macs is not None  # of a module, they are known
    return PlannedMember(fact.name, card.num_parameters, card.macs, start)


def _freeze(module: nn.Module, patterns: Sequence[str], where: str) -> None:
    names = [name for name, _ in module.named_parameters()]
    for pattern in patterns:
        if pattern != "backbone" and not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                expected=f"patterns in `frozen` that parameters of {where} match",
                found=repr(pattern),
                next_step=did_you_mean(pattern, ["backbone", *names])
                if len(names) < 20
                else f'write "backbone", or names as they are there, such as "{names[0]}" or "{names[-1]}"',
            )
    classifier = classifier_of(module)[0] if "backbone" in patterns else None
    for name, parameter in module.named_parameters():
        of_backbone = classifier is not None and name.rpartition(".")[0] != classifier
        if of_backbone or any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)


def _stem(table: MemberTable) -> str:
    return table.name or table.arch.rpartition(":")[2].replace("/", "-")


def _built(
    table: MemberTable, recipe: TrainingRecipe, num_classes: int, base: Path, seed: int
) -> tuple[nn.Module, Preprocessing, str, tuple[str, ...]]:
    where = f"the member {table.name or table.arch!r}"
    classes = classes_for(table.arch, num_classes)
    loaded = (
        FileSource().load(
            reference=table.weights,
            name=None,
            base=base,
            arch=table.arch,
            num_classes=classes,
            args=table.args,
        )
        if table.weights is not None
        else build_architecture(table.arch, classes, table.args, where, base, None, seed)
    )
    module = _trainable(loaded.module, where)
    preprocessing = preprocessing_of(loaded.preprocessing, recipe.preprocessing, recipe.canonical.size)
    # Of the library's own weights the notes are about sizes, which a recipe sets.
    notes = loaded.notes if table.weights is not None else ()
    return module, preprocessing, loaded.code, notes


def _trainable(module: nn.Module, where: str) -> nn.Module:
    """The module in float32 and training mode, its parameters with gradients."""
    check_initialised(module, where)
    try:
        return as_float32(module).requires_grad_(True).train()
    except (RuntimeError, NotImplementedError) as error:  # of scripted modules; of exported programs
        raise UserError(
            expected=f"a network that can be trained as {where}",
            found=f"{type(module).__name__}: {reason_of(error)}",
            next_step="name a function that returns the module that was scripted or exported",
        ) from error


def code_of(arch: str, args: Mapping[str, Any], base: Path) -> str:
    """The fingerprint of the user's code that builds an architecture; "" for that of libraries."""
    source, reference = architecture_of(arch, "a training")
    return source.code(reference, args, base)


def preprocessing_of(own: Preprocessing | None, table: PreprocessingTable | None, size: int) -> Preprocessing:
    """What images of `size` pixels go through: as the table says, or else as the architecture's own."""
    if table is not None or own is None:
        table = table or PreprocessingTable()
        return Preprocessing(size, table.mean, table.std)
    return Preprocessing(size, own.mean, own.std, own.interpolation)


class Members(nn.Module):
    """All members that are trained together; one module, so that one wrapper serves all devices.

    Members run one after the other, those of one architecture, too. As one batched network (`torch.func`:
    stack_module_state, vmap) three of them took 0.96 to 1.6 times as long, forward and backward, on one CPU
    thread: a perceptron of 20 000 values, 1.6 at batches of 8 and 1.1 at 64; a small network with group norm,
    0.96 and 1.6. Batch norm in training mode cannot be batched so, because its running statistics are
    written in place. A choice between the two by the clock would make equal recipes end in unequal bytes.

    Args:
        modules: normalised images to logits.
        preprocessings: one a member.
        maps: how attribution maps are made where they are asked for.
    """

    def __init__(
        self, modules: Sequence[nn.Module], preprocessings: Sequence[Preprocessing], maps: MapsTable
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(modules)
        self._preprocessings = list(preprocessings)
        self._maps = maps

    def __len__(self) -> int:
        return len(self.networks)

    def train(self, mode: bool = True) -> Members:
        """As torch's, but what is frozen as a whole stays in eval mode, with its batch statistics."""
        super().train(mode)
        for module in self.networks.modules() if mode else ():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    def forward(
        self,
        images_N3HW: Tensor,
        labels_N: Tensor,
        needs: frozenset[Needs] = frozenset(),
        dropout_seeds: Sequence[int] | None = None,
    ) -> Outputs:
        """Logits of all members, and the maps and activations that are needed.

        Args:
            images_N3HW: float in [0, 1].
            labels_N: whose classes the maps explain.
            needs: of the loss.
            dropout_seeds: one a member, for whatever it draws; None: from the global generator.
        """
        with_maps = "maps" in needs
        explained_n3HW = images_N3HW[: self._maps.images].detach()
        if with_maps:
            explained_n3HW.requires_grad_()
            rest = images_N3HW[len(explained_n3HW) :]
            images_N3HW = torch.cat([explained_n3HW, rest]) if len(rest) else explained_n3HW
        logits, features, maps = [], [], []
        with ExitStack() as hooks:
            taken = (
                [hooks.enter_context(classifier_input(network)) for network in self.networks]
                if "features" in needs
                else []
            )
            for position in range(len(self)):
                with _dropout(dropout_seeds, position, images_N3HW.device):
                    run = partial(self._logits, position)
                    own = run(images_N3HW)
                    if with_maps:
                        maps.append(attribution_maps(run, explained_n3HW, own, labels_N, self._maps))
                logits.append(own)
            features = [member[0].flatten(1) for member in taken]
        return Outputs(
            torch.stack(logits), torch.stack(maps) if with_maps else None, features if taken else None
        )

    def _logits(self, position: int, images_N3HW: Tensor) -> Tensor:
        network = self.networks[position]
        return logits_of(network(self._preprocessings[position](images_N3HW)), network)


def logits_of(output: Any, network: nn.Module) -> Tensor:
    """The logits (N, C) in what a network returns; what else it returns in training is not used.

    That is the tensor itself, or the entry `logits` of a mapping, named tuple or object (torchvision's
    GoogLeNet and Inception v3), or the only tensor of two dimensions of a mapping or tuple.

    Raises:
        UserError: there is none, or several and none of that name.
    """
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    parts = output.values() if isinstance(output, Mapping) else output
    found = (
        [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
        if isinstance(parts, Iterable)
        else []
    )
    if len(found) != 1:
        raise UserError(
            expected=f"logits of shape (N, classes) from {type(network).__name__} while it is trained",
            found=f"a {type(output).__name__} with {len(found)} tensors that could be they",
            next_step="return the logits alone, or in a mapping or named tuple with the entry `logits`",
        )
    return found[0]


def attribution_maps(
    member: Callable[[Tensor], Tensor],
    images_n3HW: Tensor,
    logits_NC: Tensor,
    labels_N: Tensor,
    settings: MapsTable,
) -> Tensor:
    """Maps (n, P) of one member with their graph, so that a loss on them can be differentiated.

    Args:
        member: images to logits; a method that looks at other images than `images_n3HW` runs it again.
        images_n3HW: that are explained; a leaf that requires gradients.
        logits_NC: of the member on these images and, behind them, on others.
        labels_N: whose scores are explained.
        settings: the method and what it explains.

    Raises:
        UserError: the method is unknown or not differentiable, or the logits do not depend on the images.
    """
    count = len(images_n3HW)

    def scores(asked_n3HW: Tensor) -> Tensor:
        own_nC = logits_NC[:count] if asked_n3HW is images_n3HW else member(asked_n3HW)
        if settings.of == "logit":
            return own_nC
        return own_nC.log_softmax(1) if settings.of == "log_probability" else -own_nC.log_softmax(1)

    method = find_differentiable_method(settings.method)
    maps_n3HW = method(scores, images_n3HW, labels_N[:count], absolute=settings.absolute, create_graph=True)
    if settings.smooth > 1:
        maps_n3HW = F.avg_pool2d(maps_n3HW, settings.smooth)
    return maps_n3HW.flatten(1)


def classifier_of(network: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of a network's classifier: its last linear layer, or last convolution if it has none.

    Raises:
        UserError: the network has neither.
    """
    layers = list(network.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        found = [(name, module) for name, module in layers if isinstance(module, kind)]
        if found:
            return found[-1]
    raise UserError(
        expected="a linear or convolutional classifier in every member",
        found=f"none in {type(network).__name__}",
        next_step="take a loss that needs no activations",
    )


@contextmanager
def classifier_input(network: nn.Module) -> Any:
    """Inside the block the yielded list holds what last went into the network's classifier.

    Raises:
        UserError: the network has none.
    """
    held: list[Tensor] = []

    def hold(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        held[:] = [inputs[0]]

    handle = classifier_of(network)[1].register_forward_pre_hook(hold)
    try:
        yield held
    finally:
        handle.remove()


def _dropout(seeds: Sequence[int] | None, position: int, device: torch.device) -> Any:
    # For all members, 11 µs each on a CPU: a network may draw without a module that would show it.
    return ExitStack() if seeds is None else forked_randomness(seeds[position], device)
