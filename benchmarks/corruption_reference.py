"""The reference implementation of the corruptions, loaded from the user's own checkout.

`facebookresearch/augmentation-corruption`, file imagenet_c_bar/corrupt.py. Only the four classes are run,
with the names they need; that keeps its old dependencies (wand, OpenCV) out and mends `np.int`, which NumPy
removed. It needs scikit-image.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = {
    "plasma_noise": "PlasmaNoise",
    "checkerboard_cutout": "CheckerBoardCutOut",
    "water_drop": "WaterDrop",
    "lines": "Lines",
}
Transform = Callable[..., Any]


class _Numpy:
    """numpy with the `np.int` of old."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def load(reference: Path) -> dict[str, Callable[[float, int], Any]]:
    """Constructors (severity, image side) of the reference's corruptions, by our names.

    Args:
        reference: the checkout, or its folder imagenet_c_bar.

    Raises:
        FileNotFoundError: no imagenet_c_bar/corrupt.py there.
    """
    from skimage.draw import line_aa

    folder = reference if (reference / "corrupt.py").is_file() else reference / "imagenet_c_bar"
    names: dict[str, Any] = {"np": _Numpy(), "line_aa": line_aa, "__name__": "reference"}
    _execute(folder / "utils" / "image.py", {"bilinear_interpolation"}, names)
    names["Transform"] = object
    _execute(folder / "corrupt.py", {"float_parameter", *CLASSES.values()}, names)

    def constructor(class_name: str) -> Callable[[float, int], Any]:
        def construct(severity: float, side: int) -> Any:
            corruption = names[class_name]()
            corruption.severity, corruption.im_size = severity, side
            return corruption

        return construct

    return {name: constructor(class_name) for name, class_name in CLASSES.items()}


def _execute(file: Path, wanted: set[str], names: dict[str, Any]) -> None:
    tree = ast.parse(file.read_text(), filename=str(file))
    tree.body = [
        node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in wanted
    ]
    exec(compile(tree, str(file), "exec"), names)
