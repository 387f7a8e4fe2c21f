"""From a study's folder to its figures and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nversion.core import write_text

from .figures import FORMATS, NAMES, all_figures, check_formats, remove_others, write_figure
from .html import page
from .tables import read_study


def build_report(folder: Path, formats: Sequence[str] = FORMATS, include_figures: bool = True) -> Path:
    """Write FOLDER/report.html and, for every figure, FOLDER/figures/NAME.FORMAT and NAME.parquet.

    Reads only FOLDER/manifest.json and FOLDER/tables/*.parquet. The page holds all it needs and asks
    the network for nothing. Files of an earlier report's figures that this one does not draw are removed
    from FOLDER/figures; files of other names stay.

    Args:
        folder: of a finished study.
        formats: of the figure files, out of svg, pdf and png.
        include_figures: whether to write figure files; the page has its figures either way.

    Returns:
        The path of report.html.

    Raises:
        UserError: the folder is no study, a table lacks a column or is of another run, or a format is
            not known.
    """
    chosen = tuple(dict.fromkeys(formats))
    check_formats(chosen)
    study = read_study(Path(folder))
    figures = all_figures(study)
    drawn = {
        name: write_figure(figure, study.folder / "figures", chosen)
        for name, figure in figures.items()
        if include_figures
    }
    kept = chosen if include_figures else FORMATS
    remove_others(study.folder / "figures", NAMES, figures.values(), kept)
    target = study.folder / "report.html"
    write_text(target, page(study, figures, drawn))
    return target
