"""Progressive shrinking: a supernet is trained stage by stage, each with more of its subnets.

The stages run on the training loop, whose checkpoints they share: killed at any step, the training resumes to
the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nversion.core import (
    UserError,
    fingerprint,
    fingerprint_file,
    move_aside,
    only_run,
    read_record,
    remove_leftovers,
    write_record,
)
from nversion.core.settings import resolve
from nversion.data import Canonical, Condition
from nversion.models import Lineage, Preprocessing
from nversion.models.base import classes_for
from nversion.models.state import copied_state, load_state
from nversion.models.tensors import read_tensors
from nversion.models.weights import build_architecture, load_weights, read_weights
from nversion.supernet.elastic import ElasticNetwork, Space, Subnet
from nversion.supernet.files import (
    SupernetFile,
    known_subnets,
    read_supernet,
    save_statistics,
    save_supernet,
    subnets_folder,
)
from nversion.training import TrainingData, open_data
from nversion.training.checkpoints import load_checkpoint, save_checkpoint
from nversion.training.finished import WithDiary, clear, restore_diary, write_diary
from nversion.training.identity import starting_weights, train_settings
from nversion.training.images import open_images
from nversion.training.loop import Progress, StageRun, train_stage
from nversion.training.members import code_of, preprocessing_of
from nversion.training.optimizers import settings_code
from nversion.training.recipe import RECIPE, MemberTable, TrainingRecipe
from nversion.training.record import Record
from nversion.training.run import launched
from nversion.training.strategies import Stage

from .evaluator import Recalibration, SubnetEvaluator
from .sandwich import Sandwich, SandwichLoss, TaughtSandwichLoss
from .spec import SPEC, StageTable, SubnetTable, SupernetSpec
from .table_ii import from_table_ii, named_in_table_ii

SUPERNET = "supernet.safetensors"
SUMMARY = "supernet.json"
SMALLEST = "smallest"


@dataclass(frozen=True)
class TrainedSupernet:
    """A finished supernet.

    Attributes:
        path: of its weights file; studies take its subnets as "supernet:PATH#NAME".
        subnets: with statistics, by name.
    """

    path: Path
    subnets: Mapping[str, Subnet]


def train_supernet(
    spec: SupernetSpec,
    folder: Path,
    *,
    base: Path = Path(),
    data: TrainingData | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    set_aside: list[str] | None = None,
) -> TrainedSupernet:
    """Train the supernet of a specification and recalibrate its `[[subnets]]`; what is finished is kept.

    `folder` gets `supernet.safetensors`, `supernet.subnets/` with the statistics of the smallest and the
    named subnets, `metrics.parquet` and `supernet.json`.

    Args:
        spec: of the supernet.
        folder: of the results.
        base: from which relative paths of the specification start.
        data: opened before; None: opened here.
        on_progress: called now and then.
        set_aside: names of damaged files are added to it: they were moved away, and what they held was
            computed again.

    Raises:
        UserError: the parts do not fit, the folder holds another supernet, or the training diverges.
    """
    data = data or opened(spec, base)
    moved: list[str] = [] if set_aside is None else set_aside
    with only_run(folder):
        remove_leftovers(folder)
        finished = check_same(folder, spec, data, base, moved)
        shrinking = Shrinking(spec, folder, base, data, moved, on_progress)
        if not finished:
            if not any(folder.glob("*.pt")):  # fail before images are trained on
                from .plan import rehearse_supernet

                rehearse_supernet(spec, data, base)
            shrinking.run()
        return TrainedSupernet(folder / SUPERNET, shrinking.recalibrate())


def supernet_of(spec: SupernetSpec, folder: Path, base: Path) -> SupernetFile:
    """The finished supernet of a specification, whose own architecture it has."""
    return read_supernet(folder / SUPERNET, base, spec.supernet.arch, spec.supernet.args)


def opened(spec: SupernetSpec, base: Path) -> TrainingData:
    """The training and validation images of a specification; see `open_data`."""
    return open_data(recipe_of(spec, spec.stages[0]), base)


class Summary(WithDiary):
    """`supernet.json`: what was trained."""

    spec: dict[str, Any]
    identity: str
    fingerprint: str  # of the supernet's file


def check_same(
    folder: Path, spec: SupernetSpec, data: TrainingData, base: Path, set_aside: list[str]
) -> bool:
    """Whether the folder holds the finished supernet of this specification and data.

    What is damaged is set aside: the summary or the supernet, which are trained again; the diary, which is
    written again; statistics of subnets, which are recalibrated again.

    Args:
        folder: of the supernet.
        spec, data, base: of the training.
        set_aside: names of moved files are added to it.

    Raises:
        UserError: the folder holds the supernet of another.
    """
    path, weights = folder / SUMMARY, folder / SUPERNET
    try:
        content = read_record(path, set_aside)
        summary = None if content is None else SPEC.checked(Summary, content, str(path))
    except UserError:  # sealed, and yet no summary that this version writes
        set_aside.append(str(move_aside(path)))
        summary = None
    if summary is None:
        return False
    if summary.identity != _identity(spec, data, base):
        raise UserError(
            expected=f"the supernet of this specification and data in {folder}",
            found="another",
            next_step="give this run another --folder, or remove the old one",
        )
    if not weights.is_file() or fingerprint_file(weights) != summary.fingerprint:
        if weights.is_file():
            set_aside.append(str(move_aside(weights)))
        path.unlink()
        return False
    restore_diary(path, summary, set_aside)
    clear(folder)
    _check_statistics(weights, summary.fingerprint, set_aside)
    return True


def _check_statistics(supernet: Path, fingerprint_: str, set_aside: list[str]) -> None:
    """Remove statistics of other weights, set damaged ones aside."""
    for path in sorted(subnets_folder(supernet).glob("*.safetensors")):
        try:
            if read_tensors(path)[1].get("supernet") != fingerprint_:
                path.unlink()
        except UserError:
            set_aside.append(str(move_aside(path)))


@dataclass
class Shrinking:
    """One training, from its first stage to the statistics of its subnets."""

    spec: SupernetSpec
    folder: Path
    base: Path
    data: TrainingData
    set_aside: list[str]
    on_progress: Callable[[Progress], None] = lambda _: None

    def __post_init__(self) -> None:
        recipe = recipe_of(self.spec, self.spec.stages[0])
        self.identity = _identity(self.spec, self.data, self.base)
        self.batch_size = recipe.train.batch_size
        self.fabric = launched(recipe)
        self.device = self.fabric.device
        self.canonical = Canonical(**self.spec.canonical.model_dump())
        self.training = open_images(
            self.data.train, self.canonical, self.spec.augment, self.device, recipe.train.workers
        )
        self.recalibration = Recalibration(
            self.training.unaugmented(), self.spec.supernet.batch_norm_samples, self.batch_size, self.device
        )

    @cached_property
    def evaluator(self) -> SubnetEvaluator | None:
        """Of the clean validation images, if there are any."""
        if (validation := self.data.validation) is None:
            return None
        clean, batch_size = [Condition(validation.name)], max(self.batch_size, 256)
        return SubnetEvaluator(validation, self.canonical, clean, batch_size, self.device)

    def run(self) -> None:
        """Train all stages that are not finished, and write the supernet."""
        spec, record = self.spec, Record()
        supernet, preprocessing, architecture = build_supernet(spec, self.data, self.base)
        supernet.to(self.fabric.device)
        teacher = self._teacher(preprocessing)
        for number, stage in enumerate(spec.stages):
            space = supernet.space.limited(stage.dims, max_skips=stage.max_skips, num_widths=stage.num_widths)
            finished = self.folder / f"stage-{number}.pt"
            sandwich = Sandwich(supernet, preprocessing, space, spec.supernet.random_subnets)
            if (saved := load_checkpoint(finished, self.identity, self.set_aside)) is not None:
                load_state(sandwich, saved["members"])
                record.rows[:] = saved["record"]
                continue
            if stage.reorganise:
                supernet.reorganise(spec.supernet.importance)
            run = StageRun(
                fabric=self.fabric,
                recipe=recipe_of(spec, stage),
                stage=Stage(tuple(range(len(sandwich))), f"stage {number}"),
                number=number,
                seed=spec.supernet.seed,
                members=sandwich,
                names=sandwich.names,
                loss=self._loss(),
                training=self.training,
                validation=None,  # subnets are recalibrated before they are judged: below
                teacher=teacher,
                checkpoint=self.folder / "checkpoint.pt",
                fingerprint=self.identity,
                record=record,
                set_aside=self.set_aside,
                on_progress=self.on_progress,
            )
            train_stage(run)
            self._judge(run, supernet, space, preprocessing)
            if self.fabric.is_global_zero:
                state = copied_state(sandwich)
                content = {"recipe": self.identity, "members": state, "record": record.rows}
                save_checkpoint(finished, content)
                run.checkpoint.unlink(missing_ok=True)
        if self.fabric.is_global_zero:
            self._write(supernet, preprocessing, architecture, record)
        self.fabric.barrier()

    def recalibrate(self) -> dict[str, Subnet]:
        """Statistics of the smallest and the named subnets that have none; all subnets by name."""
        supernet = supernet_of(self.spec, self.folder, self.base)
        wanted = {SMALLEST: supernet.network.space.smallest}
        wanted |= {table.name: subnet_of(table, supernet.network.space) for table in self.spec.subnets}
        return recalibrate(supernet, wanted, self.recalibration)

    def _loss(self) -> SandwichLoss:
        table = self.spec.supernet
        kind = SandwichLoss if table.teacher == "largest" else TaughtSandwichLoss
        return kind(weight=table.distillation, temperature=table.temperature)

    def _teacher(self, preprocessing: Preprocessing) -> Callable[[Tensor], Tensor] | None:
        if self.spec.supernet.teacher == "largest":
            return None
        start, _, _ = build_supernet(self.spec, self.data, self.base)
        start.to(self.fabric.device).eval().requires_grad_(False)

        def logits(images_N3HW: Tensor) -> Tensor:
            with torch.no_grad():
                answer: Tensor = start(preprocessing(images_N3HW))
            return answer

        return logits

    def _judge(
        self, run: StageRun, supernet: ElasticNetwork, space: Space, preprocessing: Preprocessing
    ) -> None:
        """Rows for the accuracy of largest and smallest subnet on the validation images."""
        if self.evaluator is None:
            return
        epoch = float(run.recipe.train.epochs)
        for name in run.names[:2]:  # where nothing varies, the largest alone
            if name == "largest":
                supernet.activate(space.largest)
            else:
                self.recalibration.statistics(supernet, space.smallest, preprocessing)
            logits_DNC = self.evaluator.logits(supernet, preprocessing)
            value = float(self.evaluator.right_DN(logits_DNC)[0].double().mean())
            run.record.add(run.number, epoch, 0, "validation", "accuracy", value, name)
        supernet.activate(supernet.space.largest)

    def _write(
        self, supernet: ElasticNetwork, preprocessing: Preprocessing, architecture: str, record: Record
    ) -> None:
        table, data = self.spec.supernet, self.data
        path = self.folder / SUPERNET
        save_supernet(
            path,
            supernet,
            elasticity=self.spec.elasticity,
            arch=table.arch,
            preprocessing=preprocessing,
            label_space=data.train.label_space.name,
            num_classes=classes_for(table.arch, data.train.label_space.num_classes),
            args=table.args,
            lineage=Lineage(
                architecture,
                initial_weights=table.weights or "",
                training_data=(data.train.name,),
                seed=table.seed,
            ),
        )
        known = fingerprint_file(path)
        _check_statistics(path, known, self.set_aside)
        # Last: a summary stands for a finished supernet.
        summary = Summary(
            identity=self.identity,
            spec=self.spec.model_dump(mode="json"),
            fingerprint=known,
            **write_diary(self.folder, record),
        )
        write_record(self.folder / SUMMARY, summary.model_dump(mode="json"))
        clear(self.folder)


def recalibrate(
    supernet: SupernetFile, wanted: Mapping[str, Subnet], recalibration: Recalibration
) -> dict[str, Subnet]:
    """Write the statistics of the wanted subnets that the supernet's folder lacks; all of them by name.

    Raises:
        UserError: a name is there for another subnet.
    """
    known = known_subnets(supernet)
    network = supernet.network.to(recalibration.device)
    for name, subnet in wanted.items():
        if known.get(name, subnet) != subnet:
            raise UserError(
                expected=f"the subnet {subnet} under the name {name!r}",
                found=str(known[name]),
                next_step=f"take another name, or remove {subnets_folder(supernet.path) / name}.safetensors",
            )
        if name not in known:
            statistics = recalibration.statistics(network, subnet, supernet.preprocessing)
            save_statistics(supernet.path, supernet.fingerprint, name, subnet, statistics)
    network.to("cpu").activate(network.space.largest)
    return known_subnets(supernet)


def subnet_of(table: SubnetTable, space: Space) -> Subnet:
    """The subnet that a `[[subnets]]` table describes.

    Raises:
        UserError: a value outside the space.
    """
    if isinstance(table.table_ii, str):
        return named_in_table_ii(space, table.table_ii)
    if table.table_ii is not None:
        return from_table_ii(space, **table.table_ii.model_dump())
    values = {name: getattr(table, name) for name in ("depth", "width", "expansion")}
    return space.subnet({name: value for name, value in values.items() if value is not None})


def build_supernet(
    spec: SupernetSpec, data: TrainingData, base: Path
) -> tuple[ElasticNetwork, Preprocessing, str]:
    """The supernet before its training, what its images go through, and its architecture.

    Raises:
        UserError: the architecture cannot be built or made elastic, or has not as many outputs as the data
            have classes; or the weights do not fit.
    """
    table = spec.supernet
    what = f"the supernet {table.name!r}"
    classes = classes_for(table.arch, data.train.label_space.num_classes)
    built = build_architecture(table.arch, classes, table.args, what, base, None, table.seed)
    if table.weights is not None:
        path = resolve(Path(table.weights), base)
        content, _ = read_weights(path)
        load_weights(built.module, content, path, table.arch)
    preprocessing = preprocessing_of(built.preprocessing, spec.preprocessing, spec.canonical.size)
    built.module.requires_grad_(True)
    architecture = table.architecture or built.architecture or built.name
    network = ElasticNetwork(built.module, spec.elasticity)
    outputs = built.module.get_submodule(network.structure.classifier).out_features
    num_classes = data.train.label_space.num_classes
    if outputs != num_classes:
        raise UserError(
            expected=f"{num_classes} outputs of {table.arch!r}, one a class of the data",
            found=str(outputs),
            next_step="set the number of classes in `args` under [supernet]",
        )
    return network, preprocessing, architecture


def recipe_of(spec: SupernetSpec, stage: StageTable) -> TrainingRecipe:
    """The stage as the training loop takes it."""
    table = spec.supernet
    optimizer, schedule = dict(spec.optimizer), dict(spec.schedule)
    if stage.learning_rate is not None:
        optimizer["learning_rate"] = stage.learning_rate
    if stage.epochs_lr is not None:
        schedule = {"name": "cosine", "over": stage.epochs_lr}
    content: dict[str, Any] = {
        "train": {**spec.train, "name": table.name, "epochs": stage.epochs, "seeds": [table.seed]},
        "data": {name: value for name, value in spec.data.items() if name != "selection"},
        "members": [MemberTable(arch=table.arch, args=table.args, weights=table.weights)],
        "canonical": spec.canonical,
        "augment": spec.augment,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    return RECIPE.checked(TrainingRecipe, content, f"the supernet {table.name!r}")


def _identity(spec: SupernetSpec, data: TrainingData, base: Path) -> str:
    table = spec.supernet
    # Data are known by what is in them, not by their place.
    content = spec.model_dump(mode="json", exclude={"subnets", "search", "data", "train"})
    validation = data.validation.fingerprint if data.validation else ""
    return fingerprint(
        [
            [content, train_settings(recipe_of(spec, spec.stages[0]).train)],
            [code_of(table.arch, table.args, base), *settings_code(spec.optimizer, spec.schedule)],
            starting_weights(table.weights, base),
            [data.train.fingerprint, validation],
        ]
    )
