"""file:PATH, weights from a file for an architecture of another source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nversion.core.settings import resolve
from nversion.models.arguments import NumClasses
from nversion.models.base import MODEL_SOURCES, Loaded, ModelSource
from nversion.models.card import Lineage
from nversion.models.weights import build_for, load_weights, read_weights


@MODEL_SOURCES.register("file")
class FileSource(ModelSource):
    """Weights from a file for an architecture of another source."""

    form = "PATH"

    def load(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        arch: str | None = None,
        num_classes: NumClasses | None = None,
        args: dict[str, Any] | None = None,
        weights: str | None = None,
    ) -> Loaded:
        """Weights of a .safetensors file, or of a .pt or .pth file read with `weights_only=True`.

        Half-precision weights are converted to the architecture's type. All names must match, behind one
        prefix of a wrapper ("module.", "_orig_mod.model."); only `num_batches_tracked`, which evaluation does
        not use, may be missing. Weights are found inside the entries of a checkpoint; the card's notes say
        what was taken. Of files that `save_weights` wrote `arch` and the preprocessing need no settings,
        unless the architecture is a function of the user's, which no file may choose (see `stated.py`).

        Args:
            reference: the path, from `base`.
            name: not used: the file's name without suffix is the default.
            base: the folder from which paths start.
            arch: the source that builds the architecture, without weights ("timm:resnet18",
                "torchvision:mobilenet_v2", "python:nets.py:build").
            num_classes: of the architecture.
            args: further arguments of the architecture.
            weights: which of several in a checkpoint: "ema", the averaged ones; "plain", the others; or the
                name of an entry, as the error lists them. None: the plain ones, where there are both.

        Raises:
            UserError: no such file, an unreadable one, no architecture, or names that do not match.
        """
        path = resolve(Path(reference), base)
        content, stated = read_weights(path)
        preprocessing = stated.read_preprocessing(path) if stated else None
        built = build_for(
            path, content, stated, arch=arch, num_classes=num_classes, args=args, base=base, name=name
        )
        named = arch or (stated.arch if stated else "")
        note = load_weights(built.module, content, path, named, weights)
        # The random weights that the architecture was built with are gone, and with them their seed.
        lineage = Lineage(built.lineage.architecture)
        return Loaded(
            built.module,
            preprocessing,
            name=path.stem,
            architecture=built.architecture or built.name,
            training=stated.training if stated else "unspecified",
            label_space=stated.label_space if stated else None,
            code=built.code,
            lineage=stated.lineage_from(lineage.architecture) if stated else lineage,
            notes=(note,) if note else (),
        )

    def default_name(self, reference: str) -> str:
        """The name of the file without suffix."""
        return Path(reference).stem
