"""The findings of a report, number for number, against NumPy and SciPy on the stored logits."""

import importlib.util
import io
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from nversion.report import Figure, build_report

pytestmark = pytest.mark.slow
NAMES = ["a", "bb", "ccc", "dddd", "ee", "fff", "gggg", "hh"]
FAMILIES = {name: "CNN" if k < 4 else "ViT" if k < 7 else "MLP" for k, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def page_one():
    path = Path(__file__).parents[2] / "benchmarks" / "page_one.py"
    spec = importlib.util.spec_from_file_location("page_one", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reported(small, tmp_path_factory):
    folder = small.write_inputs(tmp_path_factory.mktemp("page-one"), num_images=48)
    (pool,) = small.content()["models"]
    small.run(
        folder,
        models=[pool | {"names": NAMES, "families": FAMILIES}],
        attribution={"images": 20, "targets": ["predicted"]},
        ensembles={"sizes": [2, 3], "num_blocks": 12},
        reliability={"group_by": ["family"]},
        representation=None,
    )
    with pytest.MonkeyPatch.context() as patch:
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4)).save(buffer, "PNG")
        patch.setattr(Figure, "render", lambda figure, form: buffer.getvalue())  # drawing is another test's
        build_report(folder / "out", include_figures=False)
    return folder / "out"


def test_every_number_of_the_findings_follows_from_the_stored_logits(page_one, reported):
    assert page_one.check(reported) == []


@pytest.mark.parametrize("finding", range(8))
def test_a_number_that_is_wrong_by_its_last_figure_is_noticed(page_one, reported, finding):
    said = page_one.findings_of((reported / "report.html").read_text(encoding="utf-8"))
    last = list(re.finditer(r"\d", said[finding]))[-1]
    other = str((int(last[0]) + 1) % 10)
    wrong = said[finding][: last.start()] + other + said[finding][last.end() :]
    fragments = page_one.CHECKS[finding](page_one.Stored.read(reported))
    assert list(page_one.unexplained(said[finding], fragments)) == []
    assert list(page_one.unexplained(wrong, fragments)) != []


def test_the_table_of_accuracies_follows_from_the_stored_logits(page_one, reported):
    page = (reported / "report.html").read_text(encoding="utf-8")
    study = page_one.Stored.read(reported)
    rows = page_one.accuracies_of(page, len(study.conditions))
    assert rows == page_one.accuracies(study)
    assert [row.split()[0] for row in rows] == NAMES
    assert len(rows[0].split()) == 1 + 2 * len(study.conditions) + 1
