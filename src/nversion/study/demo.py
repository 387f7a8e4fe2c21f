"""The files of the demo: a recipe of small digit classifiers of many families, and a study of them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from nversion.core import write_text


def write_demo(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write the demo's `recipe.toml` and `study.toml` into `folder`.

    Args:
        folder: made where it is missing; the recipe trains into `models/` in it.
        seed: of the training.

    Returns:
        The paths of the recipe and of the study.
    """
    paths = []
    for name in ("recipe", "study"):
        text = files(__package__).joinpath(f"demo_{name}.toml").read_text()
        text = text.replace("seeds = [0]", f"seeds = [{seed}]").replace("/seed-0/", f"/seed-{seed}/")
        paths.append(folder / f"{name}.toml")
        write_text(paths[-1], text)
    return paths[0], paths[1]
