"""`nversion demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import LARGEST_SEED, ConsoleReporter, examples, next_command


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("nversion demo", "nversion demo --folder /tmp/demo --seed 1"))(demo)


def demo(
    folder: Annotated[Path, typer.Option(help="Folder for models, tables and the report.")] = Path(
        "nversion-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the training.")] = 0,
) -> None:
    """Train small classifiers on handwritten digits, evaluate their ensembles and write the report."""
    from nversion.report import build_report
    from nversion.study import read_spec, run_study
    from nversion.study.demo import write_demo
    from nversion.training import read_recipe, train_variants

    recipe, study = write_demo(folder, seed)
    with ConsoleReporter() as reporter:
        reporter.say(f"Recipe: {recipe}; study: {study}. The whole demo takes a few minutes")
        reporter.start("Training variants of the recipe", len(read_recipe(recipe)))
        train_variants(recipe, folder / "models", on_finished=lambda _: reporter.advance())
        run_study(read_spec(study), folder, folder, reporter)
        reporter.start("Figures and report", 1)
        report = build_report(folder)
        reporter.advance()
    typer.echo(f"Report: {report.resolve()}")
    next_command(f"nversion report {folder} --open, or your own: nversion study new study.toml")
