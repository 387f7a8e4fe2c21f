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
    import numpy as np
    import torch

    from nversion.core import write_text
    from nversion.data import Canonical, open_dataset
    from nversion.report import build_report
    from nversion.study import read_spec, run_study
    from nversion.study.demo import demo_study
    from nversion.training import digits_zoo

    with ConsoleReporter() as reporter:
        reporter.say("Training small classifiers on handwritten digits; the whole demo takes a few minutes")
        digits = open_dataset({"source": "digits", "split": "train"})
        render = Canonical(size=digits_zoo.INPUT_SIZE, mode="squash").render
        images_N3HW = torch.from_numpy(np.stack([render(digits.decode(i)) for i in range(len(digits))]))
        reporter.start("Training", sum(recipe.epochs for recipe in digits_zoo.ZOO.values()))
        digits_zoo.train_pool(
            images_N3HW,
            torch.from_numpy(digits.labels_N.copy()),
            seed,
            folder / "models",
            lambda *_: reporter.advance(),
        )
        study = folder / "study.toml"
        write_text(study, demo_study(digits_zoo.pool_specs(Path("models")), baseline="resnet"))
        run_study(read_spec(study), folder, folder, reporter)
        reporter.start("Figures and report", 1)
        report = build_report(folder)
        reporter.advance()
    typer.echo(f"Report: {report.resolve()}")
    next_command(f"nversion report {folder} --open, or your own: nversion study new study.toml")
