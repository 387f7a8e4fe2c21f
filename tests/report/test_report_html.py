"""The page stands alone: nothing to load, everything said, whatever the study lacks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from nversion.report import Study, all_figures, build_report
from nversion.report.html import page

LOADING = {"src", "href", "srcset", "poster", "data", "action", "xlink:href"}


class Page(HTMLParser):
    """What a browser would load, and what a reader would miss without sight."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images_without_words = 0
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in LOADING]
        if tag == "img" and not dict(attrs).get("alt"):
            self.images_without_words += 1


@pytest.fixture(scope="module")
def text(small_study: Path) -> str:
    return build_report(small_study, include_figures=False).read_text(encoding="utf-8")


def tell(study: Study) -> str:
    return page(study, {}, {})


def test_the_page_loads_nothing(text: str) -> None:
    addresses = Page(text).addresses
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", text)
    assert "default-src 'none'" in text


def test_every_image_has_words(text: str) -> None:
    found = Page(text)
    assert "img" in found.tags
    assert found.images_without_words == 0


def test_there_is_a_still_for_every_live_figure(text: str) -> None:
    assert text.count('class="live"') == text.count('class="still"') == 8


def test_without_figure_files_none_are_written(synthetic: ModuleType, tmp_path: Path) -> None:
    shape = synthetic.Shape(num_models=3, num_images=50, datasets=("d",), num_corruptions=0, images=False)
    folder = synthetic.write_study(tmp_path, shape)
    assert build_report(folder, include_figures=False) == tmp_path / "report.html"
    assert not (tmp_path / "figures").exists()


def test_nothing_in_the_data_can_end_the_script(hand_made: Callable[..., Study]) -> None:
    evil = "</script><script>alert(1)</script>"
    study = hand_made()
    renamed = study.models.with_columns(pl.col("model").replace("a", evil))
    study = replace(study, models=renamed)
    text = page(study, {"accuracy_by_condition": all_figures(study)["accuracy_by_condition"]}, {})
    assert evil not in text
    assert Page(text).tags.count("script") == 4


def test_the_table_bolds_the_best_and_gives_the_interval(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made())
    assert "<strong>80.0</strong><small>78.0–82.0</small>" in text
    assert '<td data-sort="-0.200000">−20.0</td>' in text


def test_correlations_that_exclude_zero_are_bold(hand_made: Callable[..., Study]) -> None:
    pearson = {"disagreement": (-0.4, -0.8, -0.1), "q": (0.2, -0.3, 0.6)}
    text = tell(hand_made(pearson=pearson))
    assert "<strong>−0.40</strong><small>[−0.80, −0.10]</small>" in text
    assert ">0.20<small>[−0.30, 0.60]</small>" in text


def test_undefined_values_are_written_as_undefined(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    study = replace(study, models=study.models.with_columns(pl.lit(float("nan")).alias("top5")))
    assert '<td data-sort="">undefined</td>' in tell(study)


def test_selection_on_the_same_images_is_admitted(hand_made: Callable[..., Study]) -> None:
    assert "compared on the images they are reported on" in tell(hand_made())
    split = hand_made(manifest={"settings": {"selection": "half"}})
    assert "compared on the images they are reported on" not in tell(split)


def test_the_manifest_is_told_whatever_it_holds(hand_made: Callable[..., Study]) -> None:
    manifest = {
        "models": [{"name": "a", "fingerprint": "f00d", "preprocessing": {"input_size": 224}}],
        "datasets": {"d": {"terms": "research only"}},
        "identities": {"geometric_mean": "average"},
        "notes": ["two images were unreadable"],
        "seconds": 61.4,
        "odd": [1, None],
    }
    text = tell(hand_made(manifest=manifest))
    for said in (
        "f00d",
        "input_<wbr>size 224",
        "research only",
        "two images were unreadable",
        "61 s",
        "1, —",
    ):
        assert said in text


@pytest.mark.parametrize(
    "shape",
    [
        {"attribution": False},
        {"num_corruptions": 0},
        {"images": False, "undefined_metric": "q"},
        {"max_ensembles": 0},
        {"consensus": ("vote",)},
        {"num_models": 8, "long_names": True, "sizes": (2,)},
    ],
    ids=str,
)
def test_a_study_that_lacks_something_still_makes_a_page(
    synthetic: ModuleType, tmp_path: Path, shape: dict[str, object]
) -> None:
    wanted = {"num_models": 4, "num_images": 60, "datasets": ("d",), "num_corruptions": 1} | shape
    folder = synthetic.write_study(tmp_path, synthetic.Shape(**wanted))
    text = build_report(folder, include_figures=False).read_text(encoding="utf-8")
    assert text.count("<li>") >= 5
    assert ">nan" not in text
    assert not re.search(r"\bNone\b(?! is corrected)", re.sub(r"(?s)<script.*?</script>", "", text))


def test_the_report_imports_no_torch() -> None:
    code = "import sys, nversion.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_correlation_table_is_of_the_size_that_the_findings_speak_of(text: str) -> None:
    assert re.findall(r'data-name="([^"]*)"', text)[0] == "Pearson, average, 3 members"
