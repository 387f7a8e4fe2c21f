"""The page loads nothing and is complete, whatever the study lacks."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from having import having
from PIL import Image

from nversion.report import Figure, Study, all_figures, build_report, read_study
from nversion.report.blocks import PRINTED_ROWS, PictureGrid
from nversion.report.html import page
from nversion.report.labels import NO_BREAK
from nversion.report.sections.notes import notes
from nversion.report.sections.pictures import map_blocks, sample_blocks
from nversion.report.sections.selection import contender_rows

TINY = {"num_models": 3, "num_images": 50, "datasets": ("d",), "num_corruptions": 0, "images": False}
TINY |= {"max_ensembles": 0, "extra": False}
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
    return page(study, {})


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
    assert text.count('class="live"') == text.count('class="still"') == 21


def test_without_figure_files_none_are_written(synthetic: ModuleType, tmp_path: Path) -> None:
    folder = synthetic.write_study(tmp_path, synthetic.Shape(**TINY))
    assert build_report(folder, include_figures=False) == tmp_path / "report.html"
    assert not (tmp_path / "figures").exists()


def test_figures_of_an_earlier_report_do_not_stay(synthetic: ModuleType, tmp_path: Path) -> None:
    folder = synthetic.write_study(tmp_path, synthetic.Shape(**TINY))
    (folder / "figures").mkdir()
    earlier = ("deployment.svg", "improvement_explorer.diversity.parquet", "accuracy_by_condition.pdf")
    own = ("my_figure.svg", "deployment.txt")
    for name in (*earlier, *own):
        (folder / "figures" / name).write_text("earlier")
    build_report(folder, formats=("svg",))
    drawn = {"accuracy_by_condition.svg", "accuracy_by_condition.parquet"}
    assert {path.name for path in (folder / "figures").iterdir()} == drawn | set(own)


def test_a_page_alone_leaves_the_files_of_figures_that_it_has(synthetic: ModuleType, tmp_path: Path) -> None:
    folder = synthetic.write_study(tmp_path, synthetic.Shape(**TINY))
    (folder / "figures").mkdir()
    for name in ("accuracy_by_condition.pdf", "selection.pdf"):
        (folder / "figures" / name).write_text("earlier")
    build_report(folder, include_figures=False)
    assert [path.name for path in (folder / "figures").iterdir()] == ["accuracy_by_condition.pdf"]


def test_nothing_in_the_data_can_end_the_script(hand_made: Callable[..., Study]) -> None:
    evil = "</script><script>alert(1)</script>"
    study = hand_made()
    renamed = study.models.with_columns(pl.col("model").replace("a", evil))
    study = having(study, models=renamed)
    text = page(study, {"accuracy_by_condition": all_figures(study)["accuracy_by_condition"]})
    assert evil not in text
    assert Page(text).tags.count("script") == 4


def test_the_table_bolds_the_best_and_gives_the_interval(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made())
    assert "<strong>80.0</strong><small>78.0–82.0</small>" in text
    assert '<td data-sort="-0.200000">−20.0</td>' in text


def test_accuracies_stand_next_to_the_model_before_what_its_card_says(
    hand_made: Callable[..., Study],
) -> None:
    text = tell(hand_made())
    row = re.search(r'<tr><th scope="row">a</th>(.*?)</tr>', text, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(?:<strong>)?([^<]*)", row[1])
    assert cells == ["80.0", "60.0", "−20.0", "CNN", "supervised", f"1{NO_BREAK}M"]


def test_top_5_is_a_table_to_choose_that_paper_does_without(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made())
    assert '<div class="option" data-name="Top-1 accuracy on d, %">' in text
    assert '<div class="option screen-only" data-name="Top-5 accuracy on d, %">' in text


def test_paper_leaves_out_what_is_beyond_and_names_the_file(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    many = [study.models.with_columns(pl.col("model") + str(i)) for i in range(9)]
    text = tell(having(study, models=pl.concat(many)))
    table = text[text.index("<span>Negative log likelihood, nats</span>") :].split("</table>")[0]
    assert len(re.findall(r"<tr><th scope=\"row\"", table)) == PRINTED_ROWS
    assert len(re.findall(r'<tr class="beyond"><th scope="row"', table)) == 27 - PRINTED_ROWS
    assert "Paper leaves out 3 of 27 rows: they are on the screen and in tables/calibration.parquet." in text


def test_more_than_six_conditions_have_one_column_for_the_card(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    conditions, models = [study.conditions], [study.models]
    for i in range(7):
        name = pl.lit(f"d/fog-{i}").alias("condition")
        fog = (pl.lit("fog").alias("corruption"), pl.lit(float(i)).alias("severity"))
        conditions.append(study.conditions.head(1).with_columns(name, *fog))
        models.append(study.models.filter(condition="d/clean").with_columns(name))
    text = tell(having(study, conditions=pl.concat(conditions), models=pl.concat(models)))
    assert "Family, training, parameters</th>" in text
    assert f'<td class="word">CNN<small>supervised, 1{NO_BREAK}M</small></td></tr>' in text


def test_preprocessing_that_is_not_applied_is_not_shown(hand_made: Callable[..., Study]) -> None:
    model = {"name": "a", "preprocessing": {"input_size": 224, "crop_pct": 0.875}}
    text = tell(hand_made(manifest={"models": [model]}))
    assert "input_<wbr>size 224" in text
    assert "crop_" not in text


def test_correlations_that_exclude_zero_are_bold(hand_made: Callable[..., Study]) -> None:
    pearson = {"disagreement": (-0.4, -0.8, -0.1), "q": (0.2, -0.3, 0.6)}
    text = tell(hand_made(pearson=pearson, num_models=8))
    assert (
        ' style="background:rgba(179,69,11,0.14)"><strong>−0.40</strong><small>[−0.80, −0.10]</small>' in text
    )
    assert "0.20<small>[−0.30, 0.60]" not in text
    assert "1 of 2 metrics is left out: no interval excludes zero under any condition." in text
    assert 'download="undecided-correlations.csv"' in text


def test_few_models_have_no_correlations_on_the_page(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made(pearson={"disagreement": (-0.4, -0.8, -0.1)}, num_models=7))
    assert "<p>7 models are too few to correlate improvement with diversity:" in text
    assert "[−0.80, −0.10]" not in text


def test_undefined_values_are_written_as_undefined(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    study = having(study, models=study.models.with_columns(pl.lit(float("nan")).alias("top5")))
    assert '<td data-sort="">undefined</td>' in tell(study)


def test_comparing_on_the_same_images_is_admitted(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made())
    assert (
        "than it is. `nversion select` selects on one half of the images and evaluates on the other." in text
    )
    assert 'id="selection"' not in text


def test_a_choice_is_shown_with_what_the_held_out_half_says(
    hand_made: Callable[..., Study], synthetic: ModuleType
) -> None:
    text = tell(replace(hand_made(), selection=synthetic.choice("a", "b", "c")))
    assert "Selected on one half, evaluated on the other" in text
    assert "<td>66.0<small>61.0–71.0</small></td>" in text
    assert (
        "At equal cost, where the chosen ensemble reaches 66.0 % [61.0, 71.0] on the held-out half under "
        "seen conditions: 3 models of one architecture, a + b + c (1 G multiply-adds, compared with 1 G), "
        "reach 64.0 % [59.0, 69.0], with overlapping intervals; the single model with the number of"
    ) in text.replace(NO_BREAK, " ")
    assert "+3.0 points [+1.0, +5.0] under seen conditions" in text
    assert "Optimism of the selection: +3.0 points" in text
    assert "seen conditions (clean and lines 1)" in text


def test_a_contender_that_differs_between_parts_is_named_in_each(synthetic: ModuleType) -> None:
    found = synthetic.choice("a", "b", "c")
    unseen = (pl.col("role") == "best_in_hindsight") & (pl.col("scope") == "unseen")
    other = pl.when(unseen).then(pl.lit("b + c")).otherwise("ensemble").alias("ensemble")
    rows = {r.label: r for r in contender_rows(replace(found, rows=found.rows.with_columns(other)))}
    assert [c.name for c in rows["Best in hindsight"].cells] == ["", "a + b + c", "b + c"]
    assert (rows["Chosen ensemble"].small, rows["Chosen ensemble"].cells[0].name) == ("a + b + c", "")
    assert rows["Best in hindsight"].cells[0].text == "—"


def test_why_a_correlation_has_no_interval_is_in_a_footnote(hand_made: Callable[..., Study]) -> None:
    pearson = {"disagreement": (-0.4, nan, nan)}
    text = tell(hand_made(pearson=pearson, note="undefined without one model", num_models=8))
    assert 'title="undefined without one model">−0.40<sup>1</sup>' in text
    assert "<li><sup>1</sup> undefined without one model</li>" in text


def test_a_correlation_without_a_note_has_no_mark(hand_made: Callable[..., Study]) -> None:
    assert "<sup>" not in tell(hand_made(pearson={"disagreement": (-0.4, -0.8, -0.1)}, num_models=8))


def test_answers_that_storage_changed_are_counted(hand_made: Callable[..., Study]) -> None:
    text = tell(hand_made(manifest={"storage": {"dtype": "float16", "changed_top1": 12}}))
    assert "<dt>top-1 answers changed by storage</dt><dd>12</dd>" in text


def test_an_undefined_pair_is_counted_once_however_many_ensembles_it_is_in(
    hand_made: Callable[..., Study],
) -> None:
    study = hand_made()
    pairs = pl.DataFrame(
        {"model_a": "a", "model_b": ["b", "c"], "condition": "d/clean", "metric": "q", "value": [nan, 0.5]}
    )
    diversity = study.table("diversity").with_columns(pl.lit(1, pl.Int64).alias("n_undefined"))
    study = having(study, pairs=pairs, diversity=diversity)
    said = [note for note in notes(study) if "0/0" in note]
    assert len(said) == 1
    assert said[0].startswith(
        "1 pair value out of 2 (two models under one condition) is undefined (0/0): 1 of Q statistic."
    )


def test_images_that_attributions_left_out_are_no_pairs(hand_made: Callable[..., Study]) -> None:
    study = hand_made()
    attribution = study.table("diversity").with_columns(
        pl.lit("attribution_saliency_predicted_l2").alias("metric"), pl.lit(3, pl.Int64).alias("n_undefined")
    )
    said = " ".join(notes(having(study, diversity=attribution)))
    assert "could not be normalised: up to 3 under clean and 3 under lines 1." in said
    assert "0/0" not in said


def test_each_data_set_has_its_own_grid_of_corrupted_images(synthetic: ModuleType, tmp_path: Path) -> None:
    shape = synthetic.Shape(num_models=3, num_images=50, datasets=("one", "two"), num_corruptions=1)
    blocks = sample_blocks(read_study(synthetic.write_study(tmp_path, shape)))
    grids = [block for block in blocks if isinstance(block, PictureGrid)]
    assert [grid.caption.split()[-1] for grid in grids] == ["one", "two"]
    assert grids[0].columns == [("clean", ""), ("lines 1.6", "")]
    assert all(picture.uri for grid in grids for _, pictures in grid.rows for picture in pictures)
    assert [len(grid.rows) for grid in grids] == [4, 4]


def test_every_image_masked_by_attribution_has_its_row(small_study: Path) -> None:
    blocks = map_blocks(read_study(small_study))
    (grid,) = (block for block in blocks if isinstance(block, PictureGrid))
    assert [name for name, _ in grid.rows] == ["class 0", "class 1", "class 2", "class 3"]


def test_the_manifest_is_shown_whatever_it_holds(hand_made: Callable[..., Study]) -> None:
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
        {"selection": True},
        {"extra": False},
        {"num_suspects": 0, "sizes": (2,)},
        {"num_models": 8, "long_names": True, "sizes": (2,)},
    ],
    ids=str,
)
def test_a_study_that_lacks_something_still_makes_a_page(
    synthetic: ModuleType, tmp_path: Path, shape: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    monkeypatch.setattr(Figure, "render", lambda figure, form: buffer.getvalue())  # drawing is another test's
    wanted = {"num_models": 4, "num_images": 60, "datasets": ("d",), "num_corruptions": 1} | shape
    folder = synthetic.write_study(tmp_path, synthetic.Shape(**wanted))
    text = build_report(folder, include_figures=False).read_text(encoding="utf-8")
    assert text.count("<li>") >= 5
    assert ">nan" not in text
    assert not re.search(r"\bNone\b(?! is corrected)", re.sub(r"(?s)<script.*?</script>", "", text))


def test_the_report_imports_no_torch() -> None:
    code = "import sys, nversion.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_correlation_table_is_of_the_size_of_the_findings(text: str) -> None:
    trends = text[text.index('id="trends"') :]
    assert re.findall(r'data-name="([^"]*)"', trends)[0] == "Pearson, average, 3 members"
