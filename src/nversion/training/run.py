"""Train the members of a recipe, one seed after the other; finished seeds are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nversion.core import UserError, extras_named, fingerprint, fingerprint_file, only_run
from nversion.core.files import remove_leftovers
from nversion.core.toml import to_toml
from nversion.corruptions import PAPER_STRENGTHS_CIFAR, PAPER_STRENGTHS_IMAGENET
from nversion.corruptions.severities import SMALL_IMAGE
from nversion.data import Canonical
from nversion.losses import make_loss
from nversion.models import Classifier, Lineage, save_weights
from nversion.models.base import classes_for
from nversion.models.state import copied_state, load_state
from nversion.models.stated import arch_settings
from nversion.predictions import torch_threads

from .checkpoints import load_checkpoint, save_checkpoint
from .finished import MemberSummary, TrainedEnsemble, find_finished, finish
from .identity import what_weights_depend_on
from .images import Images, open_images
from .loop import Progress, StageRun, rights, train_stage
from .members import MemberFacts, Members, build_members, named_members
from .opened import TrainingData, open_data
from .plan import check_settings, rehearse
from .recipe import TrainingRecipe
from .record import Record
from .scalars import Board
from .self_supervised import Backbone, pretrained
from .strategies import Context, Facts, Outcome, Stage, stages
from .teacher import load_teachers, mean_logits


def train_recipe(
    recipe: TrainingRecipe,
    folder: Path,
    *,
    base: Path = Path(),
    data: TrainingData | None = None,
    backbones: Path | None = None,
    on_progress: Callable[[int, Progress], None] = lambda _seed, _progress: None,
    set_aside: list[str] | None = None,
) -> list[TrainedEnsemble]:
    """Train every seed of a recipe that `folder` lacks.

    `folder/seed-S/` gets a .safetensors file for each member, `metrics.parquet` and `training.json`, with
    `tensorboard = true` the diary as scalars; while it is trained also `checkpoint.pt`. Killed at any step
    it resumes; on a CPU with the same number of threads to the same bytes.

    Args:
        recipe: one variant.
        folder: of the results.
        base: from which relative paths of the recipe start.
        data: opened before; None: opened here.
        backbones: the folder of pretrained ones, which recipes may share; None: `folder/backbones`.
        on_progress: called now and then with the seed.
        set_aside: names of damaged files are added to it: they were moved away, and what they held was
            computed again.

    Raises:
        UserError: the recipe's parts do not fit, the folder holds another recipe, or the training diverges.
    """
    data = data or open_data(recipe, base)
    moved: list[str] = [] if set_aside is None else set_aside
    check_settings(recipe)
    teachers = load_teachers(recipe, data.train.label_space.num_classes, base)
    fixed = what_weights_depend_on(recipe, data, teachers, base)
    images: dict[str, Images | None] = {}
    trained = []
    fabric = None if recipe.train.devices == 1 else launched(recipe)
    first = fabric is None or fabric.is_global_zero
    for seed in recipe.train.seeds:
        place = folder / f"seed-{seed}"
        # The processes of one training share its folder: the first holds the lock and looks first.
        with only_run(place) if first else nullcontext(), torch_threads(recipe.train.threads):
            identity = fingerprint([fixed, seed])
            with nullcontext() if fabric is None else fabric.rank_zero_first():
                if first:
                    remove_leftovers(place)
                finished = find_finished(recipe, place, identity, seed, moved)
            if finished is None:
                fabric = fabric or launched(recipe)
                finished = _train(
                    fabric,
                    recipe,
                    place,
                    base,
                    data,
                    teachers,
                    images,
                    backbones or folder / "backbones",
                    seed,
                    identity,
                    on_progress,
                    moved,
                )
            trained.append(finished)
    return trained


def study_tables(ensemble: TrainedEnsemble, recipe: TrainingRecipe, base: Path) -> list[dict[str, Any]]:
    """The `[[models]]` tables of a study of these members, whose paths start from the ensemble's folder.

    Functions of the user's are named: a weights file may not choose code.

    Args:
        ensemble: whose members.
        recipe: that trained it.
        base: from which relative paths of the recipe start.
    """
    tables = []
    names = dict(named_members(recipe))
    for member in ensemble.members:
        name = f"{ensemble.recipe}-s{ensemble.seed}-{member.name}"
        # What the recipe does not say the study guesses from the architecture.
        family = {"family": member.family} if member.family != "other" else {}
        table = names.get(member.name) or names[member.name.rpartition("-cycle")[0]]  # of a snapshot
        code = arch_settings(table.arch, table.args, base.resolve())
        tables.append({"source": f"file:{member.path.name}", "name": name, **family, **code})
    return tables


def study_file(ensemble: TrainedEnsemble, recipe: TrainingRecipe, base: Path) -> str:
    """A study of these members on the validation (or training) data, clean and under the paper's corruptions.

    Its relative paths start from the ensemble's folder; those of the data are made absolute.
    """
    data = dict(recipe.data.get("validation", recipe.data["train"]))
    for setting in ("path", "classes", "labels", "accepted"):
        if isinstance(data.get(setting), str) and (base / data[setting]).exists():
            data[setting] = str((base / data[setting]).resolve())
    strengths = PAPER_STRENGTHS_CIFAR if recipe.canonical.size <= SMALL_IMAGE else PAPER_STRENGTHS_IMAGENET
    tables: dict[str, Any] = {
        "study": {"name": f"{ensemble.recipe}-seed-{ensemble.seed}"},
        "data": {"validation": data},
        "canonical": recipe.canonical.model_dump(exclude_none=True),
        "conditions": {"clean": True, "corruptions": dict(strengths)},
        "ensembles": {"sizes": [len(ensemble.members)] if len(ensemble.members) > 1 else [2]},
        "attribution": {"methods": ["saliency"], "images": min(256, int(data.get("count", 256)))},
        "representation": {"batches": 5},
        "models": study_tables(ensemble, recipe, base),
    }
    return to_toml(tables)


def _train(
    fabric: Any,
    recipe: TrainingRecipe,
    place: Path,
    base: Path,
    data: TrainingData,
    teachers: list[Classifier],
    images: dict[str, Images | None],
    backbones: Path,
    seed: int,
    identity: str,
    on_progress: Callable[[int, Progress], None],
    set_aside: list[str],
) -> TrainedEnsemble:
    if not images:
        if not any(place.glob("*.pt")):  # failures are reported before images are decoded
            rehearse(recipe, data, base, teachers)
        images["train"], images["validation"] = _opened(recipe, data, fabric.device)
    training, validation = images["train"], images["validation"]
    assert training is not None
    num_classes = data.train.label_space.num_classes
    modules, facts = build_members(recipe, num_classes, seed, base)
    backbone = _backbone(
        recipe,
        data,
        training,
        num_classes,
        base,
        backbones,
        fabric,
        set_aside,
        lambda progress: on_progress(seed, progress),
    )
    if backbone is not None:
        for module in modules:
            backbone.give_to(module)
    checkpoint = place / "checkpoint.pt"
    record, strategy_facts = Record(), Facts()
    context = Context(recipe, data.train.labels_N, num_classes, seed, strategy_facts)
    board = Board(place / "tensorboard") if recipe.train.tensorboard and fabric.is_global_zero else None
    done: list[tuple[MemberFacts, dict[str, Tensor]]] = []
    diverged: list[str] = []
    loss, teacher = make_loss(recipe.loss), mean_logits(teachers, fabric.device)
    plan, outcome = stages(context), None
    number = 0
    while (stage := _next(plan, outcome)) is not None:
        members = Members(
            [modules[i] for i in stage.members], [facts[i].preprocessing for i in stage.members], recipe.maps
        )
        run = StageRun(
            fabric=fabric,
            recipe=recipe,
            stage=stage,
            number=number,
            seed=seed,
            members=members,
            names=[facts[i].name for i in stage.members],
            loss=loss,
            training=training,
            validation=validation,
            teacher=teacher,
            checkpoint=checkpoint,
            fingerprint=identity,
            record=record,
            set_aside=set_aside,
            on_progress=lambda progress: on_progress(seed, progress),
            on_record=board.write if board else lambda _: None,
        )
        finished = place / f"stage-{number}.pt"
        with fabric.rank_zero_first():  # which moves a damaged file away before the others look
            saved = load_checkpoint(finished, identity, set_aside)
        if saved is not None:
            load_state(members.to(fabric.device), saved["members"])
            record.rows[:], run.snapshots[:], run.diverged = (
                saved["record"],
                saved["snapshots"],
                saved["diverged"],
            )
        else:
            train_stage(run)
            if fabric.is_global_zero:
                _keep_stage(run, finished, identity)
        outcome = Outcome(partial(rights, members, training.unaugmented(), recipe.train))
        if run.diverged:
            diverged.append(run.diverged)
        if stage.snapshots:
            own = facts[stage.members[0]]
            done += [
                (replace(own, name=f"{own.name}-cycle{cycle}"), weights)
                for cycle, weights in enumerate(run.snapshots)
            ]
        else:
            done += [(facts[i], modules[i].state_dict()) for i in stage.members]
        number += 1
    if board:
        board.close()
    if fabric.is_global_zero:
        _write(recipe, place, data, seed, identity, modules, done, strategy_facts, record, diverged, backbone)
    fabric.barrier()
    result = find_finished(recipe, place, identity, seed, set_aside)
    assert result is not None
    return result


def _backbone(
    recipe: TrainingRecipe,
    data: TrainingData,
    training: Images,
    num_classes: int,
    base: Path,
    folder: Path,
    fabric: Any,
    set_aside: list[str],
    on_progress: Callable[[Progress], None],
) -> Backbone | None:
    if (table := recipe.pretraining) is None:
        return None

    def network() -> tuple[torch.nn.Module, MemberFacts]:
        modules, facts = build_members(recipe, num_classes, table.seed, base)
        return modules[0].requires_grad_(True), facts[0]

    images = training.unaugmented()
    return pretrained(recipe, folder, network, images, data.train.fingerprint, fabric, set_aside, on_progress)


def _next(plan: Any, outcome: Outcome | None) -> Stage | None:
    try:
        stage: Stage = next(plan) if outcome is None else plan.send(outcome)
    except StopIteration:
        return None
    return stage


def _keep_stage(run: StageRun, path: Path, identity: str) -> None:
    save_checkpoint(
        path,
        {
            **{"recipe": identity, "members": copied_state(run.members), "record": run.record.rows},
            **{"snapshots": run.snapshots, "diverged": run.diverged},
        },
    )
    run.checkpoint.unlink(missing_ok=True)


def launched(recipe: TrainingRecipe) -> Any:
    """Lightning Fabric on the recipe's devices.

    Raises:
        UserError: the package is missing, or this machine has no such devices.
    """
    with extras_named():
        from lightning_fabric import Fabric
        from lightning_fabric.utilities.exceptions import MisconfigurationException
    table = recipe.train
    kind, _, index = table.device.partition(":")
    devices = [int(index)] if index else table.devices
    try:
        fabric = Fabric(accelerator=kind, devices=devices, precision=table.precision)
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UserError(
            expected="a device that this machine has",
            found=f"device = {table.device!r}, devices = {table.devices}",
            next_step='set device = "auto" or "cpu", or fewer devices; see: nversion doctor',
        ) from error
    fabric.launch()
    return fabric


def _opened(recipe: TrainingRecipe, data: TrainingData, device: torch.device) -> tuple[Images, Images | None]:
    canonical = Canonical(**recipe.canonical.model_dump())
    workers = recipe.train.workers
    training = open_images(data.train, canonical, recipe.augment, device, workers)
    if data.validation is None:
        return training, None
    return training, open_images(data.validation, canonical, None, device, workers)


def _write(
    recipe: TrainingRecipe,
    place: Path,
    data: TrainingData,
    seed: int,
    identity: str,
    modules: list[torch.nn.Module],
    done: Sequence[tuple[MemberFacts, Mapping[str, Tensor]]],
    facts: Facts,
    record: Record,
    diverged: list[str],
    backbone: Backbone | None,
) -> None:
    members = []
    training = recipe.strategy.name if recipe.loss["name"] == "independent" else recipe.loss["name"]
    training = "self-supervised" if backbone else training
    for position, (fact, state) in enumerate(done):
        module = modules[min(position, len(modules) - 1)]
        load_state(module, state)
        path = place / f"{fact.name}.safetensors"
        save_weights(
            path,
            module,
            arch=fact.table.arch,
            preprocessing=fact.preprocessing,
            label_space=recipe.train.label_space or data.train.label_space.name,
            args=fact.table.args,
            training=training,
            lineage=Lineage(
                fact.architecture,
                initial_weights=backbone.name if backbone else fact.table.weights or "",
                teacher=" + ".join(str(t.get("name", t["source"])) for t in recipe.teacher),
                training_data=(data.train.name,),
                seed=seed,
            ),
            num_classes=classes_for(fact.table.arch, data.train.label_space.num_classes),
        )
        members.append(
            MemberSummary(
                name=fact.name,
                file=path.name,
                fingerprint=fingerprint_file(path),
                family=fact.table.family,
                vote_weight=facts.vote_weights.get(position),
            )
        )
    finish(
        recipe,
        place,
        seed=seed,
        identity=identity,
        members=members,
        record=record,
        diverged="; ".join(diverged),
    )
