"""`nversion models ls | show`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from nversion.core import UserError

from .console import examples, next_command, print_rows

app = typer.Typer(help="List models and show the card of one.", no_args_is_help=True)


@app.command(epilog=examples('nversion models ls "*resnet50*"', 'nversion models ls "timm:vit*" --json'))
def ls(
    pattern: Annotated[str, typer.Argument(help="Shell pattern of names.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that a study can name, and their pretrained weights."""
    from dataclasses import asdict

    from nversion.models import list_models

    listings = list_models(pattern)
    rows = [asdict(listing) for listing in listings]
    if not as_json:  # a terminal has no room for the descent of each of the weights
        rows = [
            {
                "source": listing.source,
                "family (guessed)": listing.family,
                "pretrained": ", ".join(listing.pretrained) or "none",
            }
            for listing in listings
        ]
    print_rows(rows, as_json=as_json)
    if not as_json:
        next_command("nversion models show timm:NAME --no-pretrained")


@app.command(
    epilog=examples(
        "nversion models show timm:resnet50 --no-pretrained",
        "nversion models show python:nets.py:build --name small --set 'args={num_classes=10}' "
        "--set label_space=digits --set 'preprocessing={input_size=32}'",
    )
)
def show(
    source: Annotated[str, typer.Argument(help="timm:NAME, torchvision:NAME, python:FILE.py:FUNCTION, …")],
    pretrained: Annotated[bool, typer.Option(help="Load pretrained weights.")] = True,
    name: Annotated[str | None, typer.Option(help="Name that is passed to a python: function.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of [[models]] in a study file; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build a model and show its card: family, parameters, MACs, preprocessing, fingerprint."""
    from nversion.models import load_classifier
    from nversion.models.base import source_of

    spec: dict[str, object] = {"source": source, **_settings(settings or [])}
    if name is not None:
        spec["name"] = name
    if "pretrained" in source_of(source)[0].settings:
        spec.setdefault("pretrained", pretrained)
    classifier = load_classifier(spec, Path())
    card, preprocessing = classifier.card, classifier.preprocessing
    facts = {
        "model": card.name,
        "source": card.source,
        "family": card.family,
        "family_declared": card.family_declared,
        "training": card.training,
        "training_declared": card.training_declared,
        "architecture": card.architecture,
        "initial_weights": card.initial_weights,
        "teacher": card.teacher,
        "training_data": list(card.training_data),
        "seed": card.seed,
        "parameters": card.num_parameters,
        "macs": card.macs,
        "label_space": card.label_space.name,
        "classes": card.label_space.num_classes,
        "outputs": card.outputs,
        "input_size": preprocessing.input_size,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "resize": preprocessing.resize,
        "notes": "; ".join(card.notes),
        "fingerprint": classifier.fingerprint,
    }
    if as_json:
        print_rows([facts], as_json=True)
    else:
        print_rows([{"fact": key, "value": value} for key, value in facts.items()], as_json=False)
        next_command(f'put source = "{source}" under [[models]] of a study: nversion study new study.toml')


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings of "KEY=VALUE", whose values are TOML's; a text needs no quotes.

    >>> _settings(["label_space=digits", "args={num_classes=10}", "size = 'train'"])
    {'label_space': 'digits', 'args': {'num_classes': 10}, 'size': 'train'}
    """
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise UserError(
                expected="--set KEY=VALUE", found=repr(text), next_step="write it as --set label_space=digits"
            )
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            found[key] = value.strip()
    return found
