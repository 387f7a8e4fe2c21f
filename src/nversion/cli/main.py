"""The entry point: commands, errors in one sentence, exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nversion.core.errors import UserError

from . import corruptions, demo, doctor, models, report, select, study

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


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept; run the same command to go on", file=sys.stderr)
        sys.exit(130)
