"""Files of weights that say what they are: written whole, read without unpickling code, loaded strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nversion.core import UserError
from nversion.core.reasons import printable, reason_of, shown
from nversion.core.toml import toml_value
from nversion.supernet.elastic import Elasticity, ElasticNetwork, extract

from .base import Loaded, arch_forms, architecture_of, source_of
from .card import Lineage
from .preprocessing import Preprocessing
from .state import load_state
from .stated import (
    LONGEST_TEXT,
    OWN_BUILDERS,
    Stated,
    StatedLineage,
    at_most,
    check_architecture,
    read_stated,
)
from .tensors import write_tensors
from .wrapped import find_weights, read_checkpoint

_METADATA_KEY = "nversion"


def save_weights(
    path: Path,
    module: nn.Module,
    *,
    arch: str,
    preprocessing: Preprocessing,
    label_space: str,
    num_classes: int | None = None,
    args: Mapping[str, Any] | None = None,
    training: str = "unspecified",
    lineage: Lineage | None = None,
    elasticity: Elasticity | None = None,
    subnet: str | None = None,
) -> None:
    """Write a .safetensors file that `file:` loads without further settings; whole or not at all.

    Args:
        path: of the file.
        module: whose parameters and buffers are written.
        arch: the source that builds the architecture.
        preprocessing: that belongs to the weights.
        label_space: name of the label space.
        num_classes: passed to the architecture, unless None.
        args: further arguments of the architecture.
        training: how the weights were trained.
        lineage: from what they descend, as far as that is known.
        elasticity: of a supernet, or of the one that `subnet` was taken from.
        subnet: which part of the architecture the module is; None: all of it.
    """
    lineage = lineage or Lineage()
    stated = Stated(
        arch=arch,
        num_classes=num_classes,
        args=dict(args or {}),
        preprocessing=preprocessing.to_dict(),
        label_space=label_space,
        training=_text(training),
        lineage=StatedLineage(**{key: _text(value) for key, value in asdict(lineage).items()}),
        elasticity=elasticity,
        subnet=subnet,
    )
    write_tensors(path, module.state_dict(), stated.model_dump(mode="json", exclude_defaults=True))


def _text(value: Any) -> Any:
    """Texts as a description may hold them: a long training must not fail at its end."""
    if isinstance(value, tuple):
        return tuple(map(_text, value))
    return printable(value)[:LONGEST_TEXT] if isinstance(value, str) else value


def read_weights(path: Path) -> tuple[dict[str, Any], Stated | None]:
    """What a weights file holds, without running code, and what it says of itself if nversion wrote it.

    Args:
        path: a .safetensors file, whose content is tensors by name, or a .pt or .pth file, whose content may
            be anything by name.

    Raises:
        UserError: no such file, one that cannot be read without running code, or one that is not what was
            written.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(
            expected=f"the weights file {path}",
            found="no such file",
            next_step="correct the path in the source",
        )
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise UserError(
            expected="a weights file .safetensors, .pt or .pth",
            found=path.name,
            next_step="save the state_dict with safetensors.torch.save_file",
        )
    if path.suffix != ".safetensors":
        return read_checkpoint(path), None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    # RuntimeError, TypeError, ...: torch's, of types and sizes that the header claims.
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            expected=f"tensors by name in {path}",
            found=reason_of(error),
            next_step="the file is damaged or no safetensors file: restore it or save it again",
        ) from error
    text = metadata.get(_METADATA_KEY)
    return tensors, None if text is None else read_stated(text, tensors, path)


def build_for(
    path: Path,
    content: Mapping[str, Any],
    stated: Stated | None,
    *,
    arch: str | None = None,
    num_classes: int | None = None,
    args: Mapping[str, Any] | None = None,
    base: Path = Path(),
    name: str | None = None,
    whole: bool = False,
) -> Loaded:
    """The untrained network that a weights file belongs to.

    What the user does not say is taken from the file's description, which may name no code of the user's and
    is held to the size of the weights. A function of the user's gets no arguments from a file.

    Args:
        path: of the file, for errors.
        content: of the file.
        stated: its description.
        arch, num_classes, args, base, name: as for `build_architecture`; None: not said by the user.
        whole: leave a subnet the supernet that it was taken from.

    Raises:
        UserError: no architecture, one that a file may not choose, or wrong arguments.
    """
    if stated is None:
        if arch is None:
            raise UserError(
                expected=f"the architecture of {path}",
                found="none",
                next_step=f"add `arch`, written as {arch_forms()}",
            )
        return build_architecture(arch, num_classes, args, str(path), base, name)
    if num_classes is None:
        num_classes = stated.num_classes
    if arch is None or (arch == stated.arch and arch in OWN_BUILDERS):
        own_args = args is None
        if own_args:
            check_architecture(stated, path)
        else:
            check_architecture(stated.model_copy(update={"args": {}}), path)
        with at_most(*_limits(content, stated), str(path)):
            built = build_architecture(
                stated.arch, num_classes, stated.args if own_args else args, str(path), base, name
            )
    else:
        built = build_architecture(
            arch, num_classes, _args_for(arch, args, stated, path), str(path), base, name
        )
    if stated.subnet is None or whole:
        return built
    network = ElasticNetwork(built.module, stated.elasticity)
    return replace(built, module=extract(network, network.space.parse(stated.subnet)))


def _args_for(arch: str, args: Mapping[str, Any] | None, stated: Stated, path: Path) -> Mapping[str, Any]:
    if args is not None or not stated.args:
        return args or {}
    if not source_of(arch)[0].named_in_files:
        raise UserError(
            expected=f"`args` next to arch = {arch!r}: a file gives a function of yours no arguments",
            found=f"none; {path} was saved with args = {shown(toml_value(stated.args), 300)[1:-1]}",
            next_step="write them next to `arch`, or `args = {}` for none",
        )
    if arch != stated.arch:
        return {}
    check_architecture(stated, path)
    return stated.args


def _limits(content: Mapping[str, Any], stated: Stated) -> tuple[int, int]:
    """Values and tensors that the architecture of a file may have: temporary ones, too, and a supernet's."""
    tensors = [value for value in content.values() if isinstance(value, Tensor)]
    values = sum(tensor.numel() for tensor in tensors)
    factor = 2 if stated.subnet is None else 100
    return min(factor * values, 2 * values + 2_000_000_000) + 10_000_000, 10 * len(tensors) + 1000


def build_architecture(
    arch: str,
    num_classes: int | None,
    args: Mapping[str, Any] | None,
    what: str,
    base: Path,
    name: str | None,
    seed: int = 0,
) -> Loaded:
    """An untrained network of another source.

    Args:
        arch: of a source that builds ("timm:NAME").
        num_classes: of its output, unless None.
        args: further arguments of the architecture.
        what: the thing that it is for, as it reads in an error.
        base: the folder from which paths start.
        name: of the classifier; None: the source's.
        seed: of its random weights.

    Raises:
        UserError: no such source or architecture, or wrong arguments.
    """
    source, reference = architecture_of(arch, what)
    return source.build(
        reference=reference, name=name, base=base, num_classes=num_classes, args=dict(args or {}), seed=seed
    )


def load_weights(
    module: nn.Module, content: Mapping[str, Any], path: Path, arch: str, wanted: str | None = None
) -> str:
    """Load what `find_weights` finds into a module; the note of what was taken, where that is not plain."""
    expected = module.state_dict()
    found = find_weights(content, expected, path, arch, wanted)
    # This copies into the module's own tensors, which converts half precision.
    load_state(module, expected | found.state)
    return found.note
