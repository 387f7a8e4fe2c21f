"""The entry point: all commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from nversion.core.errors import UserError

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

    def command() -> None:
        _refuse_empty(arguments)
        app(args=arguments)

    end_well(command, debug=debug)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """No argument of any command may be empty: an empty path would be the working folder.

    Raises:
        UserError: one is, as an unset variable of a shell leaves it.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        is_option = option.startswith("--") and equals
        if not (value if is_option else argument).strip():
            of = option if is_option else before if before.startswith("-") else "every argument"
            raise UserError(
                expected=f"a value of {of}",
                found="an empty text",
                next_step="is a variable of the shell unset? write the value, or leave the option out",
            )
