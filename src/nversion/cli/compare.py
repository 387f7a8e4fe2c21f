"""`nversion compare`."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import ConsoleReporter, examples, next_command, print_rows

if TYPE_CHECKING:
    from nversion.evaluation.compare import Comparison


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "nversion compare runs/my-study resnet50 vit_small",
            'nversion compare runs/my-study "resnet50 + vit_small + mixer" resnet50 --condition lines',
        )
    )(compare)


def compare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A finished study.")],
    a: Annotated[
        str, typer.Argument(metavar="A", help="A model, or members joined by + or commas, in any order.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The model or members to compare A with.")],
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="PATTERN",
            help="Shell pattern of the conditions or corruptions to compare under; repeatable. Default: all.",
        ),
    ] = None,
    consensus: Annotated[str, typer.Option("--consensus", help="Consensus rule of ensembles.")] = "average",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two models or ensembles on the same images under each condition.

    No model runs: the comparison reads the stored logits of the study.
    """
    from nversion.evaluation.compare import compare
    from nversion.study.stored import open_stored

    comparison = compare(open_stored(folder), a, b, patterns=condition or (), consensus=consensus)
    if as_json:
        rows = [
            {k: None if isinstance(v, float) and isnan(v) else v for k, v in row.items()}
            for row in comparison.rows
        ]
        print(json.dumps({**vars(comparison), "rows": rows}, indent=1))
        return
    _print(comparison, ConsoleReporter())
    next_command(f"nversion select {folder}, to choose on one half of the images and report on the other")


def _print(comparison: Comparison, reporter: ConsoleReporter) -> None:
    reporter.say(f"A: {comparison.a}\nB: {comparison.b}")
    if max(len(comparison.a_members), len(comparison.b_members)) > 1:
        reporter.say(f"Ensembles decide by: {comparison.consensus}")
    reporter.say("")
    print_rows([_line(row) for row in comparison.rows], as_json=False)
    reporter.say(
        "\nTop-1 in percent; A less B in points with 95 % intervals: Tango's score interval for paired "
        "proportions, and the bootstrap over images. p: McNemar's exact test on the images that only one "
        "gets right; corrected by Holm's method for the number of conditions."
    )
    better = [
        [
            row["condition"]
            for row in comparison.rows
            if row["p_corrected"] <= 0.05 and sign * row["difference"] > 0
        ]
        for sign in (1, -1)
    ]
    num = len(comparison.rows)
    for name, where in zip("AB", better, strict=True):
        if where:
            which = "" if len(where) == num else f": {', '.join(where)}"
            reporter.say(f"After correction {name} is more accurate under {len(where)} of {num}{which}")
    if left := num - sum(map(len, better)):
        reporter.say(f"After correction A and B do not differ at 5 % under {left} of {num}")


def _line(row: dict[str, Any]) -> dict[str, str]:
    known = not isnan(row["bootstrap_low"])
    return {
        "condition": row["condition"],
        "n": f"{row['n']:,}",
        "A": f"{100 * row['a_top1']:.1f}",
        "B": f"{100 * row['b_top1']:.1f}",
        "only A": f"{row['only_a']:,.6g}",
        "only B": f"{row['only_b']:,.6g}",
        "A less B": f"{100 * row['difference']:+.1f} {_span(row['low'], row['high'])}",
        "bootstrap": _span(row["bootstrap_low"], row["bootstrap_high"]) if known else "none",
        "p": _p(row["p_value"]),
        "p corrected": _p(row["p_corrected"]),
    }


def _span(low: float, high: float) -> str:
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
