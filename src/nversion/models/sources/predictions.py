"""predictions:FILE, logits that are read from a file rather than computed."""

from __future__ import annotations

from pathlib import Path

from nversion.core.settings import resolve
from nversion.models.base import MODEL_SOURCES, Loaded, ModelSource
from nversion.models.logits_file import LogitsFile
from nversion.models.preprocessing import Preprocessing


@MODEL_SOURCES.register("predictions")
class PredictionsSource(ModelSource):
    """Logits that are read from a file; see `LogitsFile`."""

    form = "FILE"

    def load(self, *, reference: str, name: str | None, base: Path) -> Loaded:
        """Logits of the study's samples under its conditions; no image goes through such a model.

        Args:
            reference: the path, from `base`.
            name: not used: the file's name without suffix is the default.
            base: the folder from which paths start.

        Raises:
            UserError: no such file, or one that holds no logits.
        """
        path = resolve(Path(reference), base)
        unused = Preprocessing(1, (0.0,) * 3, (1.0,) * 3)
        note = f"logits are read from {path.name}; its parameters and MACs are unknown"
        return Loaded(LogitsFile(path), unused, self.default_name(reference), notes=(note,))

    def default_name(self, reference: str) -> str:
        return Path(reference).stem

    def absolute(self, reference: str, base: Path) -> str:
        return str(resolve(Path(reference), base))
