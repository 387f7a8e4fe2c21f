"""`nversion select`."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import LARGEST_SEED, ConsoleReporter, examples, next_command, print_rows

if TYPE_CHECKING:
    from nversion.study.select import Selection

ROLES = {
    "chosen": "chosen",
    "best_single_model": "best single model",
    "average_ensemble": "average ensemble",
    "homogeneous": "one architecture, seeds",
    "same_cost_model": "single model, nearest MACs",
    "best_in_hindsight": "best in hindsight",
}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "nversion select runs/my-study",
            "nversion select runs/my-study --size 3 --unseen water_drop --max-params 60e6 --cost macs",
        )
    )(select)


def select(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A finished study.")],
    size: Annotated[
        int | None,
        typer.Option("--size", help="Members of the ensemble; every size of the study if left out."),
    ] = None,
    consensus: Annotated[str, typer.Option("--consensus", help="How the ensembles decide.")] = "average",
    unseen: Annotated[
        list[str] | None,
        typer.Option(
            "--unseen",
            metavar="PATTERN",
            help="Conditions or corruptions that have no say in the choice, as a shell pattern; may be "
            "repeated. Left out: the later half of the corruptions.",
        ),
    ] = None,
    criterion: Annotated[
        str, typer.Option("--criterion", help="worst or mean accuracy over the seen conditions.")
    ] = "worst",
    max_params: Annotated[
        float | None, typer.Option("--max-params", min=0, help="Parameters of all members together.")
    ] = None,
    max_macs: Annotated[
        float | None, typer.Option("--max-macs", min=0, help="MACs an image of all members together.")
    ] = None,
    cost: Annotated[
        str, typer.Option("--cost", help="params or macs, of the Pareto front of cost and accuracy.")
    ] = "params",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of the two halves of the images.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose an ensemble on one half of the images and the seen conditions; report it on the rest.

    No model runs: everything comes from the logits that the study left.
    """
    from nversion.study.contenders import Request
    from nversion.study.select import select

    request = Request(size, consensus, criterion, tuple(unseen or ()), seed, max_params, max_macs, cost)
    with ConsoleReporter() as reporter:
        selection = select(folder, request, reporter)
    if as_json:
        rows, front = selection.table.to_dicts(), selection.front.to_dicts()
        print(json.dumps({**selection.facts(), "rows": rows, "front": front}, indent=1))
        return
    _print(selection, ConsoleReporter())
    typer.echo(f"Tables: {folder / 'tables' / 'selection.parquet'}, {folder / 'tables' / 'front.parquet'}")
    next_command(f"nversion report {folder}, or another split: nversion select {folder} --seed {seed + 1}")


def _print(selection: Selection, reporter: ConsoleReporter) -> None:
    request = selection.request
    reporter.say(f"Chosen on: {', '.join(selection.seen)}; half of the images, seed {request.seed}")
    by_default = "" if request.unseen else " (the later half of the corruptions; --unseen names others)"
    reporter.say(f"Without a say: {', '.join(selection.unseen)}{by_default}; the other half of the images")
    reporter.say(
        f"Rule: highest {request.criterion} accuracy over the conditions among "
        f"{selection.candidates:,} ensembles, consensus {request.consensus}\n"
    )
    print_rows(_lines(selection), as_json=False)
    differences = []
    for scope in ("seen", "unseen"):
        row = selection.row("chosen", "held_out", scope, request.criterion)
        low, high = row["difference_low"], row["difference_high"]
        known = (
            "[no interval: no image tells them apart]" if isnan(low) else f"[{_points(low)}, {_points(high)}]"
        )
        differences.append(f"{_points(row['difference'])} {known} under {scope} conditions")
    reporter.say(
        f"\nChosen less best single model, held-out images, in points: {'; '.join(differences)} "
        "(paired, 95 %: jackknife over blocks of images)"
    )
    reporter.say(
        f"Optimism of the choice: {_points(selection.optimism)} points. From the half that chose it to the "
        f"other it lost {100 * selection.drop:.1f}; the average ensemble, which nobody chose, "
        f"{100 * selection.average_drop:.1f}"
    )
    reporter.say(
        f"Hindsight would have given {_points(selection.regret_seen)} points under seen conditions, "
        f"{_points(selection.regret_unseen)} under unseen ones"
    )
    unit = {"params": "parameters", "macs": "MACs"}[request.cost]
    reporter.say(
        f"\nPareto front, drawn on the half that chose: {selection.front['is_single'].sum()} single models "
        f"and {(~selection.front['is_single']).sum()} ensembles that beat all with no more {unit}\n"
    )
    print_rows([_front_line(row, request.cost) for row in selection.front.to_dicts()], as_json=False)


def _lines(selection: Selection) -> list[dict[str, Any]]:
    """Percent with 95 % intervals, one line a contender; the best in hindsight may be one for each part."""
    columns = {
        "selection half, seen": ("selection", "seen"),
        "held out, seen": ("held_out", "seen"),
        "held out, unseen": ("held_out", "unseen"),
    }
    lines: dict[tuple[str, str | None], dict[str, Any]] = {}
    statistic = selection.request.criterion
    for row in selection.table.iter_rows(named=True):
        if row["statistic"] == statistic:
            blank = {"": ROLES[row["role"]], "ensemble": row["ensemble"] or f"of {row['size']}"}
            line = lines.setdefault((row["role"], row["ensemble"]), {**blank, **dict.fromkeys(columns)})
            part = next(name for name, key in columns.items() if key == (row["half"], row["scope"]))
            line[part] = _percent(row["top1"], row["top1_low"], row["top1_high"])
    order = list(ROLES.values())
    return sorted(lines.values(), key=lambda line: order.index(line[""]))


def _front_line(row: dict[str, Any], cost: str) -> dict[str, Any]:
    return {
        "M params" if cost == "params" else "M MACs": f"{row[cost] / 1e6:,.1f}",
        "ensemble": row["ensemble"],
        "selection half, seen": f"{100 * row['chosen_top1']:.1f}",
        "held out, seen": _percent(row["top1"], row["top1_low"], row["top1_high"]),
        "held out, unseen": _percent(row["unseen_top1"], row["unseen_low"], row["unseen_high"]),
    }


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"
