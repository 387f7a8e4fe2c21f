"""The study that works out of the box: small classifiers of many families on handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nversion.core.toml import toml_value

_HEAD = """\
# The demo: scikit-learn's handwritten digits at 32 pixels, small classifiers of several families trained
# here, and the paper's four corruptions at the strengths that the reference gives for 32-pixel images.

[study]
name = "demo"
question = "Which of these small digit classifiers fail together least under natural corruptions?"
baseline = "{baseline}"

[data.digits]
source = "digits"
split = "test"
terms = "scikit-learn's copy of the UCI optical recognition of handwritten digits, CC BY 4.0"

[canonical]
size = 32
mode = "squash"

[conditions]
clean = true

[conditions.corruptions]
plasma_noise = 1.4
checkerboard_cutout = 4.0
water_drop = 5.2
lines = 1.0

[ensembles]
sizes = [2, 3]

[attribution]
methods = ["saliency", "input_x_gradient", "grad_cam"]
targets = ["predicted"]
normalise = ["none", "l2"]
images = 100

[representation]
maps = ["saliency"]
conditions = ["digits/clean", "digits/lines-1"]

[reliability]
group_by = ["family", "training"]

[report]
images = 4
maps = 6
"""


def demo_study(models: Sequence[Mapping[str, Any]], baseline: str) -> str:
    """The demo's study file as text, with one `[[models]]` table for each trained classifier."""
    tables = [
        "\n[[models]]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in model.items())
        for model in models
    ]
    return _HEAD.format(baseline=baseline) + "".join(tables)
