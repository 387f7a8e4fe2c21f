"""Backbones that learn without labels: DINO's student and teacher, in one plain loop that resumes.

The parts are lightly's: the loss with its centre, the projection head, the moving average. As in `loop`,
every random number follows from the seed and the place in the training, so a backbone that is killed at any
step ends in the same weights as one that is not.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nversion.core import UserError, extras_named, fingerprint, move_aside, only_run
from nversion.core.files import remove_leftovers
from nversion.core.randomness import forked_randomness
from nversion.models import Preprocessing
from nversion.models.state import load_state
from nversion.models.tensors import read_tensors, write_tensors

from .checkpoints import load_checkpoint, save_checkpoint
from .images import Images
from .loop import CHECK_STEPS_ON_GPU, SECONDS_BETWEEN_SHOWS, Progress
from .members import MemberFacts, classifier_of, seed_of
from .optimizers import make_optimizer, make_schedule, settings_code
from .recipe import PretrainingTable, TrainingRecipe
from .record import Record
from .strategies import Stage, epoch_order
from .views import multi_crop

ORDER = Stage((0,), "pretraining")


@dataclass(frozen=True)
class Backbone:
    """A network's weights without its classifier's.

    Attributes:
        name: as written in lineages; backbones of one name have the same bytes.
        state: by the network's own names.
    """

    name: str
    state: dict[str, Tensor]

    def give_to(self, network: nn.Module) -> None:
        """Replace all but the classifier's weights."""
        load_state(network, network.state_dict() | self.state)


class Projected(nn.Module):
    """A backbone and its projection head: global and local views to one row of logits a view and image."""

    def __init__(self, backbone: nn.Module, head: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self._preprocessing = preprocessing

    def forward(self, groups_VN3HW: list[Tensor]) -> Tensor:
        """Logits (V, N, D) of all views; those of one size go through the backbone together."""
        features = []
        for views in groups_VN3HW:
            images = Preprocessing(views.shape[-1], self._preprocessing.mean, self._preprocessing.std)(
                views.flatten(0, 1)
            )
            features.append(self.backbone(images))
        logits: Tensor = self.head(torch.cat(features))
        return logits.view(-1, groups_VN3HW[0].shape[1], logits.shape[1])


def pretrained(
    recipe: TrainingRecipe,
    folder: Path,
    networks: Callable[[], tuple[nn.Module, MemberFacts]],
    images: Images,
    data_fingerprint: str,
    fabric: Any,
    set_aside: list[str],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Backbone:
    """The recipe's backbone: read from `folder`, or trained and written there.

    The file's name is a digest of all that its bytes depend on, so variants and seeds share a backbone.

    Args:
        recipe: with a `[pretraining]` table.
        folder: of backbones.
        networks: gives an untrained network, the same each time.
        images: to learn from, without augmentation.
        data_fingerprint: of the training data.
        fabric: Lightning's, launched.
        set_aside: names of damaged files that were moved away are added to it.
        on_progress: called now and then.

    Raises:
        UserError: the package lightly is missing, the network has no linear classifier, or the loss is not
            finite.
    """
    table = recipe.pretraining
    assert table is not None
    network, facts = networks()
    identity = backbone_identity(recipe, network, facts, data_fingerprint)
    name = f"{table.method} backbone {identity[:12]}, seed {table.seed}"
    path = folder / f"{identity[:12]}.safetensors"
    first = fabric.is_global_zero
    with only_run(folder) if first else nullcontext():
        if first:
            remove_leftovers(folder)
            _set_damaged_aside(path, set_aside)
        if not fabric.broadcast(path.is_file()):  # all processes train, or none
            run = _Run(
                recipe, table, images, fabric, path.with_suffix(".pt"), identity, set_aside, on_progress
            )
            state, record = _train(run, network, networks()[0], facts.preprocessing)
            if first:
                record.write(path.with_suffix(".parquet"))
                write_tensors(path, state, {"backbone": name})
        if first:  # a kill may have come between the backbone and this
            path.with_suffix(".pt").unlink(missing_ok=True)
        fabric.barrier()
    return Backbone(name, read_tensors(path)[0])


def backbone_identity(
    recipe: TrainingRecipe, network: nn.Module, facts: MemberFacts, data_fingerprint: str
) -> str:
    """The digest of all that the bytes of a pretrained backbone depend on.

    Args:
        recipe: with a `[pretraining]` table.
        network: untrained.
        facts: of the network.
        data_fingerprint: of the training data.
    """
    table = recipe.pretraining
    assert table is not None
    return fingerprint(
        [
            table.model_dump(mode="json"),
            [facts.code, *settings_code(table.optimizer, table.schedule)],
            facts.table.model_dump(mode="json", include={"arch", "args", "weights"}),
            recipe.canonical.model_dump(mode="json"),
            facts.preprocessing.to_dict(),
            {key: value.numpy() for key, value in network.state_dict().items()},
            data_fingerprint,
            recipe.train.precision,
        ]
    )


def _set_damaged_aside(path: Path, set_aside: list[str]) -> None:
    """Move a damaged backbone away."""
    if path.is_file():
        try:
            read_tensors(path)
        except UserError:
            set_aside.append(str(move_aside(path)))


def rehearse_pretraining(
    table: PretrainingTable,
    networks: Sequence[tuple[list[nn.Module], list[MemberFacts]]],
    images_N3HW: Tensor,
) -> None:
    """One step on a few images, whose gradients are not used.

    Args:
        table: of the pretraining.
        networks: student and teacher as `build_members` gives them; they lose their classifiers.
        images_N3HW: float in [0, 1].

    Raises:
        UserError: the package lightly is missing, or the network has no linear classifier.
    """
    projected = []
    for (module,), (fact,) in networks:
        backbone = _without(module.requires_grad_(True))
        head = _head(backbone, fact.preprocessing, table)
        projected.append(Projected(backbone, head, fact.preprocessing))
    student, teacher = projected
    views = [group for group in multi_crop(images_N3HW, table, ("rehearsal",)) if len(group)]
    with torch.no_grad():
        targets_VND = teacher(views[:1])
    value = _loss(table)(list(targets_VND), list(student(views)), teacher_temp=teacher_temperature(table, 0))
    torch.autograd.backward(value)


@dataclass(frozen=True)
class _Run:
    recipe: TrainingRecipe
    table: PretrainingTable
    images: Images
    fabric: Any
    checkpoint: Path
    fingerprint: str
    set_aside: list[str]
    on_progress: Callable[[Progress], None]


@dataclass
class _Place:
    """How far a training is, and the sum of its present epoch's losses."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0


def _train(
    run: _Run, network: nn.Module, other: nn.Module, preprocessing: Preprocessing
) -> tuple[dict[str, Tensor], Record]:
    """The teacher's backbone, which is better than the student's (Caron et al., figure 6)."""
    table, device = run.table, run.fabric.device
    loss = _loss(table).to(device)
    classifier, _ = classifier_of(network)
    student = Projected(_without(network), _head(network, preprocessing, table), preprocessing)
    # A second head of the same draws: lightly's weight norm cannot be copied.
    teacher = Projected(_without(other), _head(other, preprocessing, table), preprocessing)
    teacher.to(device).train().requires_grad_(False)
    optimizer = make_optimizer(table.optimizer, _groups(student))
    rates = [group["lr"] for group in optimizer.param_groups]
    wrapped, optimizer = run.fabric.setup(student, optimizer)
    record, place = Record(), _Place()
    with run.fabric.rank_zero_first():
        saved = load_checkpoint(run.checkpoint, run.fingerprint, run.set_aside)
    if saved is not None:
        for part, key in (
            (student, "student"),
            (teacher, "teacher"),
            (loss, "loss"),
            (optimizer, "optimizer"),
        ):
            load_state(part, saved[key]) if isinstance(part, Projected) else part.load_state_dict(saved[key])
        record.rows[:], place = saved["record"], _Place(**saved["place"])
    schedule = make_schedule(table.schedule)
    while place.epoch < table.epochs:
        _train_epoch(run, student, wrapped, teacher, loss, optimizer, rates, schedule, record, place)
    state = {key: value.detach().cpu().contiguous() for key, value in teacher.backbone.state_dict().items()}
    assert not any(key.startswith(f"{classifier}.") for key in state)
    return state, record


def _train_epoch(
    run: _Run,
    student: Any,
    wrapped: Any,
    teacher: Projected,
    loss: Any,
    optimizer: Any,
    rates: list[float],
    schedule: Callable[[float, int], float],
    record: Record,
    place: _Place,
) -> None:
    from lightly.models.utils import update_momentum

    table, device = run.table, run.fabric.device
    ranks, rank = run.fabric.world_size, run.fabric.global_rank
    order_n = epoch_order(ORDER, len(run.images.labels_N), table.seed, place.epoch)
    batch_size = min(table.batch_size, len(order_n)) // ranks
    num_steps = len(order_n) // (batch_size * ranks)
    order_n = order_n[: num_steps * batch_size * ranks].reshape(num_steps, ranks, -1)[:, rank].ravel()
    wrapped.train()
    pending: list[Tensor] = []
    started, shown, seen = time.perf_counter(), 0.0, 0

    def settle() -> None:
        values = torch.stack(pending).tolist() if pending else []
        pending.clear()
        if not all(math.isfinite(value) for value in values):
            raise UserError(
                expected="a finite loss in the pretraining",
                found=f"{next(v for v in values if not math.isfinite(v))} in epoch {place.epoch + 1}",
                next_step="lower the learning rate, or set `clip`",
            )
        place.loss += sum(values)

    for loaded, _ in run.images.batches(order_n, batch_size, (), first=place.step):
        epoch = place.epoch + place.step / num_steps
        keys = (table.seed, "pretraining", place.epoch, place.step, rank)
        views = [group for group in multi_crop(loaded, table, keys) if len(group)]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(epoch, table.epochs)
        with forked_randomness(seed_of("dropout", *keys), device):
            student_VND = wrapped(views)
            with torch.no_grad(), run.fabric.autocast():
                teacher_VND = teacher(views[:1])
        temperature = teacher_temperature(table, epoch)
        value = loss(list(teacher_VND.float()), list(student_VND.float()), teacher_temp=temperature)
        run.fabric.backward(value)
        student.head.cancel_last_layer_gradients(place.epoch)
        if table.clip is not None:
            nn.utils.clip_grad_norm_(student.parameters(), table.clip)
        optimizer.step()
        optimizer.zero_grad()
        update_momentum(student, teacher, teacher_momentum(table, epoch))
        pending.append(value.detach())
        place.step += 1
        seen += len(loaded)
        if device.type == "cpu" or len(pending) >= CHECK_STEPS_ON_GPU:
            settle()
        now = time.perf_counter()
        if now - shown >= SECONDS_BETWEEN_SHOWS:
            shown, speed = now, seen / (now - started)
            left = (table.epochs - place.epoch) * num_steps - place.step
            terms: dict[str, float] = {table.method: place.loss / max(place.step - len(pending), 1)}
            seconds_left = left * batch_size / speed
            run.on_progress(
                Progress(-1, place.epoch, table.epochs, place.step, num_steps, terms, [], speed, seconds_left)
            )
        if place.step % run.recipe.train.checkpoint_steps == 0 and place.step < num_steps:
            settle()
            _save(run, student, teacher, loss, optimizer, record, place)
    settle()
    done, steps = place.epoch + 1, (place.epoch + 1) * num_steps
    record.add(0, done, steps, "train", table.method, place.loss / num_steps)
    record.add(
        0, done, steps, "train", "target_entropy", target_entropy(teacher_VND, loss.center, temperature)
    )
    record.add(0, done, steps, "train", "learning_rate", optimizer.param_groups[0]["lr"])
    record.add(0, done, steps, "train", "images_per_second", seen / (time.perf_counter() - started))
    place.epoch, place.step, place.loss = done, 0, 0.0
    _save(run, student, teacher, loss, optimizer, record, place)


def _save(
    run: _Run,
    student: nn.Module,
    teacher: nn.Module,
    loss: Any,
    optimizer: Any,
    record: Record,
    place: _Place,
) -> None:
    if run.fabric.is_global_zero:
        content = {"student": student, "teacher": teacher, "loss": loss, "optimizer": optimizer}
        save_checkpoint(
            run.checkpoint,
            {
                **{key: part.state_dict() for key, part in content.items()},
                **{"recipe": run.fingerprint, "record": record.rows, "place": vars(place).copy()},
            },
        )


def teacher_temperature(table: PretrainingTable, epoch: float) -> float:
    """Linear from the first temperature over the warm-up, then constant.

    >>> growing = {"first_temperature": 0.04, "teacher_temperature": 0.07, "warm_up_temperature": 3}
    >>> table = PretrainingTable(epochs=9, **growing)
    >>> [round(teacher_temperature(table, epoch), 3) for epoch in (0, 1, 3, 8)]
    [0.04, 0.05, 0.07, 0.07]
    """
    if epoch >= table.warm_up_temperature:
        return table.teacher_temperature
    share = epoch / table.warm_up_temperature
    return table.first_temperature + share * (table.teacher_temperature - table.first_temperature)


def teacher_momentum(table: PretrainingTable, epoch: float) -> float:
    """Share of itself that the teacher keeps in a step: from `teacher_momentum` to 1 along half a cosine.

    >>> [teacher_momentum(PretrainingTable(epochs=4, teacher_momentum=0.9), epoch) for epoch in (0, 2, 4)]
    [0.9, 0.95, 1.0]
    """
    left = (1 + math.cos(math.pi * epoch / table.epochs)) / 2
    return 1 - (1 - table.teacher_momentum) * left


def target_entropy(teacher_VND: Tensor, center: Tensor, temperature: float) -> float:
    """Mean entropy of the teacher's targets in nats; 0, or ln D, for long: the backbone has collapsed."""
    targets_VND = ((teacher_VND.float() - center) / temperature).softmax(-1)
    return float(torch.special.entr(targets_VND).sum(-1).mean())


def _groups(student: nn.Module) -> list[dict[str, Any]]:
    # As the authors: no decay of biases and norms.
    learned = [(name, parameter) for name, parameter in student.named_parameters() if parameter.requires_grad]
    plain = {name for name, parameter in learned if name.endswith(".bias") or parameter.ndim == 1}
    return [
        {"params": [parameter for name, parameter in learned if name not in plain]},
        {"params": [parameter for name, parameter in learned if name in plain], "weight_decay": 0.0},
    ]


def _without(network: nn.Module) -> nn.Module:
    """The network with nothing in its classifier's place."""
    name, classifier = classifier_of(network)
    if not isinstance(classifier, nn.Linear) or not name:
        raise UserError(
            expected="a network that ends in a linear classifier to pretrain its backbone",
            found=f"{type(classifier).__name__} at the end of {type(network).__name__}",
            next_step="take another architecture, or leave [pretraining] out",
        )
    network.set_submodule(name, nn.Identity())
    return network


def _head(backbone: nn.Module, preprocessing: Preprocessing, table: PretrainingTable) -> Any:
    size = preprocessing.input_size
    with torch.no_grad():
        num_features = backbone.eval()(torch.zeros(1, 3, size, size)).shape[1]
    backbone.train()
    with warnings.catch_warnings(), forked_randomness(seed_of("projection head", table.seed)):
        warnings.filterwarnings("ignore", ".*weight_norm.* is deprecated", FutureWarning)  # inside lightly
        return _lightly_heads().DINOProjectionHead(
            num_features,
            table.hidden_dim,
            table.bottleneck_dim,
            table.out_dim,
            batch_norm=table.head_batch_norm,
            freeze_last_layer=table.freeze_last_epochs,
            norm_last_layer=table.head_norm_last,
        )


def _loss(table: PretrainingTable) -> Any:
    _lightly_heads()
    from lightly.loss import DINOLoss

    return DINOLoss(
        table.out_dim,
        student_temp=table.student_temperature,
        center_momentum=table.center_momentum,
    )


def _lightly_heads() -> Any:
    with extras_named():
        from lightly.models.modules import heads
    return heads
