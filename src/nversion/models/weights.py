"""Files of weights that say what they are: written whole, read without unpickling code, loaded strictly."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nversion.core import UserError
from nversion.core.files import whole_file
from nversion.core.reasons import reason_of
from nversion.core.settings import call_with_settings

from .card import Lineage
from .loading import MODEL_SOURCES, Loaded
from .preprocessing import Preprocessing
from .state import load_state

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
    more: Mapping[str, Any] | None = None,
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
        more: further facts, plain data, that `read_weights` gives back.
    """
    from safetensors.torch import save_file

    facts = {
        "arch": arch,
        "num_classes": num_classes,
        "args": dict(args or {}),
        "preprocessing": preprocessing.to_dict(),
        "label_space": label_space,
        "training": training,
    } | ({"lineage": asdict(lineage)} if lineage is not None else {})
    facts |= more or {}
    # Copies: the format holds no memory shared between names, nor strided views.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={_METADATA_KEY: json.dumps(facts)})


def lineage_of(facts: Mapping[str, Any], built: Lineage) -> Lineage:
    """What the file says about its descent, or else what its architecture does."""
    known = {field.name for field in fields(Lineage)}
    said = {k: v for k, v in facts.get("lineage", {}).items() if k in known and v not in ("", None)}
    return replace(built, **said)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, and what the file says about itself."""
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
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt", device="cpu") as file:
                facts = json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
                return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(
            expected=f"tensors by name in {path}",
            found=reason_of(error),
            next_step="save the state_dict alone, with safetensors.torch.save_file; "
            "files that need unpickled code are not read",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(
            expected=f"tensors by name in {path}",
            found=f"a {type(content).__name__} of other things",
            next_step="save the state_dict alone, with safetensors.torch.save_file",
        )
    return dict(content), {}


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
        arch: "timm:NAME", "torchvision:NAME" or "python:PATH.py:FUNCTION".
        num_classes: of its output, unless None.
        args: further arguments of the architecture.
        what: the thing that it is for, as it reads in an error.
        base: the folder from which paths start.
        name: of the classifier; None: the source's.
        seed: of its random weights.

    Raises:
        UserError: no such source or architecture, or wrong arguments.
    """
    prefix, _, reference = arch.partition(":")
    if prefix not in ("timm", "torchvision", "python") or not reference:
        raise UserError(
            expected=f"an architecture for {what}",
            found=repr(arch),
            next_step='write `arch` as "timm:NAME", "torchvision:NAME" or "python:PATH.py:FUNCTION"',
        )
    settings: dict[str, Any] = {"args": dict(args or {}), "seed": seed}
    if prefix == "python":
        if num_classes is not None:
            settings["args"]["num_classes"] = num_classes
    else:
        settings |= {"pretrained": False, "num_classes": num_classes}
    return call_with_settings(
        MODEL_SOURCES[prefix],
        settings,
        f"the architecture {arch!r}",
        reference=reference,
        name=name,
        base=base,
    )


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], path: Path, arch: str) -> None:
    expected = module.state_dict()
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    if missing or unexpected:
        parts = [
            f"{len(keys)} {word} ({_first(keys)})"
            for keys, word in ((missing, "missing"), (unexpected, "unexpected"))
            if keys
        ]
        raise UserError(
            expected=f"the {len(expected)} tensors of {arch!r} in {path}",
            found=" and ".join(parts),
            next_step="name the architecture that the weights were saved from",
        )
    for key, value in state.items():
        if value.shape != expected[key].shape:
            raise UserError(
                expected=f"shape {tuple(expected[key].shape)} of {key!r} in {path} for {arch!r}",
                found=str(tuple(value.shape)),
                next_step="check `arch`, its `num_classes` and its `args`",
            )
    # This copies into the module's own tensors, which converts half precision.
    load_state(module, expected | dict(state))


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")
