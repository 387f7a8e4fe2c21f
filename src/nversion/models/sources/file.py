"""file:PATH, weights from a file for an architecture of another source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nversion.core import UserError
from nversion.core.settings import resolve
from nversion.models.card import Lineage
from nversion.models.loading import MODEL_SOURCES, Loaded
from nversion.models.preprocessing import read_preprocessing
from nversion.models.weights import build_architecture, lineage_of, load_strictly, read_weights


@MODEL_SOURCES.register("file")
def load_file(
    *,
    reference: str,
    name: str | None,
    base: Path,
    arch: str | None = None,
    num_classes: int | None = None,
    args: dict[str, Any] | None = None,
) -> Loaded:
    """Weights of a .safetensors file, or of a .pt or .pth file read with `weights_only=True`.

    Half-precision weights are converted to the type of the architecture's. All names must match;
    only counters of batches (`num_batches_tracked`), which evaluation does not use, may be missing.
    Files that `save_weights` wrote say themselves what they are: then `arch` and the preprocessing
    need no settings.

    Args:
        reference: the path, from `base`.
        name: not used: the file's name without suffix is the default.
        base: the folder from which paths start.
        arch: the source that builds the architecture, without weights ("timm:resnet18",
            "torchvision:mobilenet_v2", "python:nets.py:build").
        num_classes: of the architecture.
        args: further arguments of the architecture.

    Raises:
        UserError: no such file, an unreadable one, no architecture, or names that do not match.
    """
    path = resolve(Path(reference), base)
    state, facts = read_weights(path)
    if (arch := arch or facts.get("arch")) is None:
        raise UserError(
            expected=f"the architecture of {path}",
            found="none",
            next_step='add `arch = "timm:NAME"`, "torchvision:NAME" or "python:PATH.py:FUNCTION"',
        )
    classes = num_classes or facts.get("num_classes")
    built = build_architecture(arch, classes, args or facts.get("args"), str(path), base, name)
    load_strictly(built.module, state, path, arch)
    preprocessing = None
    if "preprocessing" in facts:
        preprocessing = read_preprocessing(facts["preprocessing"], str(path))
    return Loaded(
        built.module,
        preprocessing,
        name=path.stem,
        architecture=built.architecture or built.name,
        training=facts.get("training", "unspecified"),
        label_space=facts.get("label_space"),
        code=built.code,
        # The random weights that the architecture was built with are gone, and with them their seed.
        lineage=lineage_of(facts, Lineage(built.lineage.architecture)),
    )
