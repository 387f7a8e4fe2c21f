"""`nversion select`."""

from __future__ import annotations

import json
import shlex
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import LARGEST_SEED, ConsoleReporter, examples, next_command, print_rows

if TYPE_CHECKING:
    from nversion.selection.select import Selection

ROLES = {
    "chosen": "chosen",
    "best_ensemble": "best ensemble",
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
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a finished study.")],
    size: Annotated[
        int | None,
        typer.Option("--size", help="Number of members. Default: every size of the study."),
    ] = None,
    consensus: Annotated[str, typer.Option("--consensus", help="Consensus rule.")] = "average",
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
        str, typer.Option("--criterion", help="Accuracy to maximise over the seen conditions: worst or mean.")
    ] = "worst",
    max_params: Annotated[
        float | None,
        typer.Option("--max-params", min=0, help="Limit on the parameters of all members together."),
    ] = None,
    max_macs: Annotated[
        float | None,
        typer.Option("--max-macs", min=0, help="Limit on the MACs per image of all members together."),
    ] = None,
    cost: Annotated[
        str, typer.Option("--cost", help="Cost of the Pareto front of cost and accuracy: params or macs.")
    ] = "params",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of the two halves of the images.")
    ] = 0,
    splits: Annotated[
        int,
        typer.Option("--splits", min=0, max=10_000, help="Number of random halves to repeat the choice on."),
    ] = 100,
    save: Annotated[
        str | None,
        typer.Option("--save", metavar="NAME", help="Write the result to FOLDER/selections/NAME.json."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose an ensemble or a single model on one half of the images and evaluate it on the other half.

    No model runs: the selection reads the stored logits. It does not change the selection that the report
    shows; every call adds a line to FOLDER/selection-log.jsonl.
    """
    from nversion.selection.contenders import Request
    from nversion.study.choose import select

    request = Request(
        size, consensus, criterion, tuple(unseen or ()), seed, max_params, max_macs, cost, splits
    )
    with ConsoleReporter() as reporter:
        selection = select(folder, request, reporter, name=save)
    if as_json:
        print(json.dumps(selection.as_data(), indent=1))
        return
    _print(selection, ConsoleReporter())
    if save is not None:
        typer.echo(f"Kept: {folder / 'selections' / save}.json")
    best = "best_ensemble" if selection.chosen_is_single else "chosen"
    pair = [
        selection.row(role, "held_out", "seen", criterion)["ensemble"] for role in (best, "best_single_model")
    ]
    rule = "" if consensus == "average" else f" --consensus {consensus}"
    next_command(shlex.join(["nversion", "compare", str(folder), *pair]) + rule)


def _print(selection: Selection, reporter: ConsoleReporter) -> None:
    request = selection.request
    reporter.say(f"Chosen on: {', '.join(selection.seen)}; half of the images, seed {request.seed}")
    by_default = "" if request.unseen else " (the later half of the corruptions; --unseen names others)"
    reporter.say(f"Held out: {', '.join(selection.unseen)}{by_default}; the other half of the images")
    reporter.say(
        f"Rule: highest {request.criterion} accuracy over the conditions among "
        f"{selection.candidates:,} ensembles, consensus {request.consensus}, and "
        f"{selection.single_models:,} single models"
    )
    verdict = selection.verdict
    reporter.say(f"Verdict: {verdict}\n")
    _print_stability(selection, reporter)
    print_rows(_lines(selection), as_json=False)
    differences = []
    for scope in ("seen", "unseen"):
        role = "best_ensemble" if selection.chosen_is_single else "chosen"
        row = selection.row(role, "held_out", scope, request.criterion)
        low, high = row["difference_low"], row["difference_high"]
        known = (
            "[no interval: they agree on all images]" if isnan(low) else f"[{_points(low)}, {_points(high)}]"
        )
        differences.append(f"{_points(row['difference'])} {known} under {scope} conditions")
    reporter.say(
        f"\n{'Best ensemble' if selection.chosen_is_single else 'Chosen'} less best single model, held-out "
        f"images, in points: {'; '.join(differences)} "
        "(paired, 95 %: jackknife over blocks of images)"
    )
    reporter.say(
        f"Optimism of the choice: {_points(selection.optimism)} points. From the selection half to the "
        f"held-out half it loses {100 * selection.drop:.1f}; the average ensemble loses "
        f"{100 * selection.average_drop:.1f}"
    )
    reporter.say(
        f"The best ensemble in hindsight has {_points(selection.regret_seen)} points more under seen "
        f"conditions, {_points(selection.regret_unseen)} under unseen ones"
    )
    if selection.front.is_empty():
        reporter.say("No Pareto front: parameters and MACs of some models are unknown")
        return
    unit = {"params": "parameters", "macs": "MACs"}[request.cost]
    reporter.say(
        f"\nPareto front on the selection half: {selection.front['is_single'].sum()} single models "
        f"and {(~selection.front['is_single']).sum()} ensembles that beat all with no more {unit}\n"
    )
    print_rows([_front_line(row, request.cost) for row in selection.front.to_dicts()], as_json=False)


def _print_stability(selection: Selection, reporter: ConsoleReporter) -> None:
    from nversion.selection.splits import stability

    found = stability(selection.splits)
    if not found.num_splits:
        return
    reporter.say(
        f"Stability: the same rule on {found.num_splits:,} other halves of the images. Gain on the held-out "
        "half over the best single model of the selection half, in points: median "
        f"{_points(found.gain)}, {_points(found.gain_low)} to {_points(found.gain_high)} in nine of ten, "
        f"above 0 in {100 * found.above:.0f} %"
    )
    shown = [{"chosen": name, "halves": f"{count} of {found.num_splits}"} for name, _, count in found.chosen]
    print_rows(shown[:5], as_json=False)
    if len(shown) > 5:
        reporter.say(f"and {len(shown) - 5} others")
    reporter.say("")


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
