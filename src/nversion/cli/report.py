"""`nversion report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import examples, next_command


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("nversion report runs/my-study", "nversion report runs/my-study --open"))(
        report
    )


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a finished study.")],
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Draw the figures and write report.html from a study's tables."""
    from nversion.report import build_report

    path = build_report(folder)
    typer.echo(f"Report: {path}")
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    next_command(f"look at the figures in {folder / 'figures'}")
