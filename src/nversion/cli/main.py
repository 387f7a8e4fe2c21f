"""The entry point: all commands."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from . import compare, corruptions, demo, doctor, models, report, select, study, supernet, train
from .ending import end_well

app = typer.Typer(
    name="nversion",
    help="Measure, choose and train ensembles of image classifiers that do not fail together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Examples:\n\n  nversion demo\n\n  nversion study run study.toml",
)
app.add_typer(study.app, name="study")
app.add_typer(corruptions.app, name="corruptions")
app.add_typer(models.app, name="models")
demo.add_to(app)
report.add_to(app)
select.add_to(app)
compare.add_to(app)
train.add_to(app)
app.add_typer(supernet.app, name="supernet")
doctor.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from nversion import __version__

        typer.echo(f"nversion {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    debug = "--debug" in sys.argv  # wherever it stands: people add it to the end of what failed
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    end_well(lambda: app(args=arguments), debug=debug)
