"""Write the page and the figure files of a study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nversion.core import write_text

from .figure import FORMATS, check_formats, remove_others, write_figure
from .html import page
from .registry import all_figures, figure_names
from .tables import read_study


def build_report(folder: Path, formats: Sequence[str] = FORMATS, include_figures: bool = True) -> Path:
    """Write FOLDER/report.html and, for every figure, FOLDER/figures/NAME.FORMAT and NAME.parquet.

    Reads only FOLDER/manifest.json, FOLDER/selection-log.jsonl and FOLDER/tables/*.parquet. The page
    contains all that it needs and makes no network requests. Files of figures of an earlier report that
    this one does not draw are removed from FOLDER/figures; files with other names are kept.

    Args:
        folder: of a finished study.
        formats: of the figure files, out of svg, pdf and png.
        include_figures: whether to write figure files; the page shows its figures either way.

    Returns:
        The path of report.html.

    Raises:
        UserError: the folder is not a finished study of this version, a table does not match the
            manifest, or a format is unknown.
    """
    chosen = tuple(dict.fromkeys(formats))
    check_formats(chosen)
    study = read_study(Path(folder))
    figures = all_figures(study)
    if include_figures:
        for figure in figures.values():
            write_figure(figure, study.folder / "figures", chosen)
    kept = chosen if include_figures else FORMATS
    remove_others(study.folder / "figures", figure_names(), figures.values(), kept)
    target = study.folder / "report.html"
    write_text(target, page(study, figures))
    return target
