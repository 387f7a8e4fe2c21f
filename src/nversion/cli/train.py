"""`nversion train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nversion.core.errors import UserError

from .console import Minutes, console, damage_printed, examples, next_command, print_rows, results_folder

if TYPE_CHECKING:
    from nversion.training import TrainedEnsemble, TrainingRecipe


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "nversion train recipes/enforcement-digits.toml",
            "nversion train recipe.toml --only balanced --folder runs/balanced",
        )
    )(train)


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="Recipe file.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder for results. Default: runs/ and the file's stem.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Variant to train; repeatable. Default: all.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Train the ensembles of a recipe; resume after an interruption."""
    from nversion.training import open_data, read_recipe, train_recipe

    variants = _chosen(read_recipe(recipe), only)
    base, target = recipe.parent, results_folder(folder, recipe.stem)
    if plan:
        rows = [row for variant in variants.values() for row in _planned(variant, base)]
        print_rows(rows, as_json=as_json)
        if not as_json:
            next_command(f"nversion train {recipe}" + (f" --folder {folder}" if folder else ""))
        return
    opened: dict[str, Any] = {}
    with damage_printed() as set_aside, TrainingDisplay() as display:
        for name, variant in variants.items():
            key = str(variant.data)
            if key not in opened:
                opened[key] = open_data(variant, base)
            for ensemble in train_recipe(
                variant,
                target / name,
                base=base,
                data=opened[key],
                backbones=target / "backbones",  # variants may share one
                on_progress=display.on(name),
                set_aside=set_aside,
            ):
                study = _write_study(ensemble, variant, base)
                display.finished(ensemble)
    typer.echo(f"Trained: {target}")
    next_command(f"nversion study run {study}")


def _chosen(variants: dict[str, TrainingRecipe], only: list[str] | None) -> dict[str, TrainingRecipe]:
    from nversion.core import did_you_mean

    for name in only or ():
        if name not in variants:
            raise UserError(
                expected="a variant of the recipe",
                found=repr(name),
                next_step=did_you_mean(name, list(variants)),
            )
    return {name: variant for name, variant in variants.items() if not only or name in only}


def _planned(recipe: TrainingRecipe, base: Path) -> list[dict[str, Any]]:
    from nversion.training import open_data, rehearse

    data = open_data(recipe, base)
    steps = len(data.train) // recipe.train.batch_size or 1
    return [
        {
            "variant": recipe.train.name,
            "member": facts.name,
            "parameters": facts.num_parameters,
            "MACs": facts.macs,
            "strategy": recipe.strategy.name,
            "loss": recipe.loss["name"],
            "epochs": recipe.train.epochs,
            "steps an epoch": steps,
            "seeds": len(recipe.train.seeds),
            "starts from": facts.start,
        }
        for facts in rehearse(recipe, data, base)
    ]


def _write_study(ensemble: TrainedEnsemble, recipe: TrainingRecipe, base: Path) -> Path:
    """A study file beside the members: the validation data, clean and under the paper's corruptions."""
    from nversion.core import write_text
    from nversion.training import study_file

    path = ensemble.folder / "study.toml"
    write_text(path, study_file(ensemble, recipe, base))
    return path


class TrainingDisplay:
    """Where a training is: a live line on a terminal, elsewhere one a minute; a line for each ensemble."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        errors = Console(stderr=True)
        self._live = (
            Live(console=errors, refresh_per_second=4, transient=True) if errors.is_terminal else None
        )
        self._line = "Opening data and models"
        self._minutes = Minutes(lambda: self._line)

    def __enter__(self) -> TrainingDisplay:
        if self._live:
            self._live.start()
        self._minutes.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._minutes.stop()
        if self._live:
            self._live.stop()

    def on(self, name: str) -> Any:
        def show(seed: int, progress: Any) -> None:
            terms = "  ".join(f"{term} {value:.4f}" for term, value in progress.terms.items())
            right = " ".join(f"{value:.1%}" for value in progress.accuracy)
            self._line = (
                f"{name} seed {seed}  stage {progress.stage + 1}  "
                f"epoch {progress.epoch + 1}/{progress.epochs}  "
                f"step {progress.step}/{progress.num_steps}  "
                f"{terms}  right {right}  {progress.images_per_second:.0f} images/s  "
                f"{progress.seconds_left / 60:.1f} min left"
            )
            if self._live:
                self._live.update(self._line)

        return show

    def finished(self, ensemble: TrainedEnsemble) -> None:
        note = f"; diverged: {ensemble.diverged}" if ensemble.diverged else ""
        what = f"{ensemble.recipe} seed {ensemble.seed}: {len(ensemble.members)} members"
        console.print(f"{what} in {ensemble.folder}{note}", soft_wrap=True, markup=False)
