"""`nversion supernet`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nversion.core.members import ensemble_name

from .console import (
    ConsoleReporter,
    console,
    damage_printed,
    examples,
    next_command,
    print_rows,
    results_folder,
)
from .train import TrainingDisplay

if TYPE_CHECKING:
    from nversion.supernet.elastic import ElasticNetwork, Subnet
    from nversion.supernet.nas import SupernetSpec

app = typer.Typer(
    help="Train a supernet, search its subnets, and extract them.",
    no_args_is_help=True,
    epilog=examples(
        "nversion supernet train recipes/supernet-digits.toml",
        "nversion supernet extract recipes/supernet-digits.toml smallest --to small.safetensors",
    ),
)

Spec = Annotated[Path, typer.Argument(metavar="SPEC.toml", help="Specification of the supernet.")]
Folder = Annotated[
    Path | None, typer.Option(help="Folder of the supernet. Default: runs/ and the file's stem.")
]


@app.command(
    epilog=examples(
        "nversion supernet show recipes/supernet-digits.toml",
        "nversion supernet show recipes/supernet-gtsrb-reduced.toml --json",
    )
)
def show(
    spec: Spec,
    as_json: Annotated[bool, typer.Option("--json", help="Print the subnets as JSON.")] = False,
) -> None:
    """Print the search space of a supernet and the size of its named subnets; check its specification."""
    from nversion.supernet.nas import opened, read_spec, rehearse_supernet

    content = read_spec(spec)
    network, preprocessing = rehearse_supernet(content, opened(content, spec.parent), spec.parent)
    space = network.space
    if not as_json:
        for name in ("depth", "width", "expansion"):
            choices = "  ".join(",".join(map(str, own)) for own in getattr(space, name))
            console.print(f"{name}: {choices}", soft_wrap=True, markup=False)
        console.print(f"{space.num_subnets:,} subnets", markup=False)
    rows = []
    for name, subnet in _named(content, network).items():
        cost = network.cost(subnet, preprocessing.input_size)
        rows.append(
            {"name": name, "parameters": cost.num_parameters, "MACs": cost.macs, "subnet": str(subnet)}
        )
    print_rows(rows, as_json=as_json)
    if not as_json:
        next_command(f"nversion supernet train {spec}")


@app.command(
    epilog=examples(
        "nversion supernet train recipes/supernet-digits.toml",
        "nversion supernet train recipes/supernet-gtsrb-reduced.toml --folder runs/gtsrb/supernet",
    )
)
def train(spec: Spec, folder: Folder = None) -> None:
    """Train by progressive shrinking, recalibrate named subnets; resume after an interruption."""
    from nversion.supernet.nas import read_spec, train_supernet

    content, target = read_spec(spec), results_folder(folder, spec.stem)
    with damage_printed() as set_aside, TrainingDisplay() as display:
        trained = train_supernet(
            content,
            target,
            base=spec.parent,
            on_progress=partial(display.on(content.supernet.name), content.supernet.seed),
            set_aside=set_aside,
        )
    typer.echo(f"Trained: {trained.path}, with statistics of {', '.join(trained.subnets)}")
    next_command(f"nversion supernet search {spec}" + _again(folder))


@app.command(
    epilog=examples(
        "nversion supernet search recipes/supernet-digits.toml",
        "nversion supernet search recipes/supernet-gtsrb-reduced.toml --folder runs/gtsrb/supernet",
    )
)
def search(
    spec: Spec,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON.")] = False,
) -> None:
    """Search for subnets, or for ensembles of them, with NSGA-II; resume after an interruption."""
    from nversion.supernet.nas import read_spec, search_supernet

    content, target = read_spec(spec), results_folder(folder, spec.stem)
    with damage_printed(on_errors=as_json) as set_aside, ConsoleReporter() as reporter:
        reporter.start("candidates", content.search.evaluations)
        found = search_supernet(
            content,
            target,
            base=spec.parent,
            on_progress=lambda _: reporter.advance(),
            set_aside=set_aside,
        )
    print_rows(
        [
            {
                "members": ensemble_name(names, names),
                "accuracy": round(one.accuracy, 4),
                **({} if one.improvement is None else {"improvement": round(one.improvement, 4)}),
                **({} if one.disagreement is None else {"disagreement": round(one.disagreement, 4)}),
                "MACs": one.macs,
                "parameters": one.num_parameters,
            }
            for one, names in zip(found.result.front, found.names, strict=True)
        ],
        as_json=as_json,
    )
    if as_json:
        return
    result = found.result
    if result.chosen is not None:
        near = f"more than {content.search.ref_acc} − {content.search.acc_delta} percent"
        why = (
            f"the cheapest with {near}"
            if result.because == "near_reference"
            else f"the largest: none has {near}"
        )
        console.print(f"Chosen: {' + '.join(result.chosen.notations)}, {why}", soft_wrap=True, markup=False)
    console.print(
        f"{result.num_evaluated} candidates in {result.table}. Their accuracies are of the images that they "
        f"were selected on: judge them on others, with the models of {found.models} in a study.",
        soft_wrap=True,
        markup=False,
    )
    next_command("nversion study new study.toml")


@app.command(
    epilog=examples(
        "nversion supernet extract recipes/supernet-digits.toml smallest",
        'nversion supernet extract recipes/supernet-digits.toml "width=0.6" --to small.safetensors',
    )
)
def extract(
    spec: Spec,
    subnet: Annotated[str, typer.Argument(help="Name of the subnet, or depth=…,width=…,expansion=….")],
    folder: Folder = None,
    to: Annotated[Path | None, typer.Option(help="File to write. Default: SUBNET.safetensors.")] = None,
) -> None:
    """Write a subnet to a weights file that does not need the supernet."""
    from nversion.models.stated import arch_settings
    from nversion.supernet.files import save_subnet
    from nversion.supernet.nas import read_spec, recalibrated, supernet_of

    content, target = read_spec(spec), results_folder(folder, spec.stem)
    name = recalibrated(content, target, subnet, base=spec.parent)
    path = to or Path(f"{name}.safetensors")
    save_subnet(path, supernet_of(content, target, spec.parent), name)
    typer.echo(f"Written: {path}")
    own = arch_settings(content.supernet.arch, content.supernet.args, spec.parent)
    code = f" --set 'arch={own['arch']}'" if own else ""
    next_command(f"nversion models show file:{path}{code}")


def _named(content: SupernetSpec, network: ElasticNetwork) -> dict[str, Subnet]:
    from nversion.supernet.nas import subnet_of

    space = network.space
    named: dict[str, Any] = {"largest": space.largest, "smallest": space.smallest}
    return named | {table.name: subnet_of(table, space) for table in content.subnets}


def _again(folder: Path | None) -> str:
    return f" --folder {folder}" if folder else ""
