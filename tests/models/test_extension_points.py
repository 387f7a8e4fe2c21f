"""A type checker accepts plug-ins that keep to the extension points, and names what does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

RIGHT = """
from pathlib import Path

from torch import Tensor, nn

from nversion.attribution import METHODS
from nversion.models import MODEL_SOURCES, Loaded, ModelSource
from nversion.models.classifier import Classifier


@MODEL_SOURCES.register("zoo")
class Zoo(ModelSource):
    def load(self, *, reference: str, name: str | None, base: Path, size: int = 8) -> Loaded:
        return Loaded(nn.Identity(), None, name=reference)


@METHODS.register("flat")
def flat(classifier: Classifier, images_N3HW: Tensor, targets_N: Tensor, *, absolute: bool) -> Tensor:
    return images_N3HW
"""
WRONG = """
from pathlib import Path

from torch import Tensor, nn

from nversion.attribution import METHODS
from nversion.models import ModelSource


class Zoo(ModelSource):
    def load(self, *, reference: str, name: str | None, base: Path) -> nn.Module:
        return nn.Identity()


@METHODS.register("flat")
def flat(images_N3HW: Tensor) -> Tensor:
    return images_N3HW
"""


def test_plug_ins_are_checked_by_their_types(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *tmp_path.glob("*.py")],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in errors if "right.py" in line], done.stdout
    assert any('Signature of "load" incompatible with supertype' in line for line in errors), done.stdout
    assert any('expected "AttributionMethod"' in line for line in errors), done.stdout
    assert len(errors) == 2, done.stdout
