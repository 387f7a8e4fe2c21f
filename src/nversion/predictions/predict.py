"""Predictions of a user's own models on a user's own images, in memory or kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from nversion.core import LabelSpace, UserError, fingerprint, only_run, spans
from nversion.core.arrays import as_array, as_labels, check_logits
from nversion.corruptions import Corruption, create
from nversion.corruptions.calling import as_bytes
from nversion.data import Canonical, Condition, Dataset
from nversion.data.dataset import check_name
from nversion.models import (
    Classifier,
    Preprocessing,
    load_classifier,
    make_classifier,
    read_preprocessing,
)
from nversion.models.probe import device_of

from .carrier import NUM_BLOCKS, Predictions, sample_names
from .engine import RenderedBatch, hand_out
from .logits import LogitsWriter, run_classifier
from .trial import trial
from .view import ConditionPredictions, block_of_each_sample
from .writer import Inference, as_float

Model = nn.Module | Classifier | str | tuple[nn.Module, Preprocessing | Mapping[str, Any]]
Corruptions = Mapping[str, float | Sequence[float]] | Sequence[Corruption]
Batch = tuple[Tensor, NDArray[np.int64]]
"""uint8 images (n, 3, S, S) and their labels."""


def predict(
    models: Mapping[str, Model],
    data: Any,
    corruptions: Corruptions | None = None,
    *,
    folder: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    outputs: Literal["logits", "probabilities"] = "logits",
    repeatable: bool = True,
    size: int | None = None,
    seed: int = 0,
    clean: bool = True,
    dataset: str = "data",
    sample_ids: Sequence[str] | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    num_blocks: int = NUM_BLOCKS,
) -> Predictions:
    """Run models on labelled images, clean and under corruptions.

    **Images come as they are before normalisation**: uint8, or floats in [0, 1], which are rounded to 256
    levels, since corruptions work on bytes. Take `Normalize` out of the loader's transform, and pass its
    `mean` and `std` here: they are applied after the corruption.

    Modules run in eval mode without gradients, in float32; afterwards they are as they were.

    Args:
        models: by name: a module, from images (N, 3, S, S) to logits (N, C); a tuple of a module and its own
            `Preprocessing`, or a mapping of its fields; a `Classifier`; or the source of one
            ("timm:resnet18").
        data: a `DataLoader` of (images, labels) in a fixed order; a data set of (image, label), torch's or
            nversion's; or a tuple of all images and labels. Images are square and of one size, unless `size`
            is given.
        corruptions: severities by the name of a corruption, or corruptions made by `create`.
        folder: where logits are kept. What is there already is not computed again, also after a kill; images,
            weights, code and settings decide what fits. The data are read twice then. None: in memory.
        mean, std: of the normalisation that plain modules expect, for R, G and B in [0, 1]; None: they take
            images in [0, 1].
        outputs: what plain modules give; of probabilities the logarithms are taken.
        repeatable: False: take modules whose logits are not a function of the image alone, such as those with
            dropout that stays on.
        size: pixels per side to which every image is resized (the shorter side to size / 0.875) and cropped.
        seed: of the corruptions' random choices.
        clean: whether the images run without corruption, too.
        dataset: the name of the images; nversion's data sets have their own, and their ids.
        sample_ids: one for each image, which decide what a corruption draws for it; "0", "1", ... if None.
        batch_size: images that go through a model together.
        device: on which modules run; None: each where it is.
        num_blocks: random blocks of samples for standard errors.

    Returns:
        Logits in float32. Memory, without a folder: 4 bytes for each logit, and a batch of images.

    Raises:
        UserError: data, models or settings that do not fit.

    >>> images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    >>> nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)) for name in "ab"}
    >>> predict(nets, (images, labels), {"fog": [1, 3]})
    Predictions(2 models: a, b; 4 samples of 2 classes; 3 conditions: clean, fog-1, fog-3)
    """
    accepted: Mapping[int, tuple[int, ...]] = {}
    if isinstance(data, Dataset):
        dataset, sample_ids, accepted = data.name, data.sample_ids, data.accepted
    check_name(dataset)
    _check_models(models)
    conditions = _conditions(dataset, corruptions, seed, clean)
    source = _Source.of(data, size, batch_size)
    side = source.side()
    inference = Inference(batch_size, storage="float32", channels_last=False)
    canonical = Canonical(side, mode="squash") if size is None else Canonical(size)
    settings = _Settings(side, mean, std, outputs, repeatable, dataset)
    with ExitStack() as borrowed:
        classifiers = [
            borrowed.enter_context(_borrowed(name, model, settings, device)) for name, model in models.items()
        ]
        num_classes = _num_classes(classifiers)
        where = device_of(classifiers[0].module)
        trial(classifiers, canonical, inference, where)
        if folder is None:
            consumer = _InMemory(classifiers, inference, where)
            ids, labels_N = _stream(source, conditions, consumer, sample_ids, dataset, where, num_classes)
            read: Callable[[tuple[str, str]], Any] = consumer.read
        else:
            with only_run(Path(folder)):
                seen = source.seen(dataset, classifiers[0].card.label_space, sample_ids)
                writer = LogitsWriter(
                    Path(folder), seen, canonical, conditions, classifiers, inference, where
                )
                if writer.num_steps():
                    _stream(source, conditions, writer, sample_ids, dataset, where, num_classes, seen)
                writer.finish()
            ids, labels_N, read = seen.sample_ids, np.array(seen.labels_N), writer.read
    names = tuple(models)
    blocks_N = block_of_each_sample(ids, num_blocks)
    rows_N = np.arange(len(labels_N))
    logits = {c.name: tuple(read((c.name, name)) for name in names) for c in conditions}
    for condition, of_models in logits.items() if folder is None else ():
        check_logits(of_models, names, f"logits under {condition}")
    views = [
        ConditionPredictions(name, names, of_models, rows_N, labels_N, blocks_N, accepted, ids)
        for name, of_models in logits.items()
    ]
    return Predictions(views, conditions, [classifier.card for classifier in classifiers])


@dataclass(frozen=True)
class _Settings:
    """What plain modules are made classifiers with."""

    side: int
    mean: Sequence[float] | None
    std: Sequence[float] | None
    outputs: Literal["logits", "probabilities"]
    repeatable: bool
    dataset: str

    def preprocessing(self, given: Preprocessing | Mapping[str, Any] | None, name: str) -> Preprocessing:
        if isinstance(given, Preprocessing):
            return given
        mean, std = self.mean or (0.0,) * 3, self.std or (1.0,) * 3
        fields = {"input_size": self.side, "mean": list(mean), "std": list(std)} | dict(given or {})
        return read_preprocessing(fields, f"the model {name!r}")


@contextmanager
def _borrowed(
    name: str, model: Model, settings: _Settings, device: str | torch.device | None
) -> Iterator[Classifier]:
    """The model as a classifier; afterwards its module is as it was."""
    given: Preprocessing | Mapping[str, Any] | None = None
    if isinstance(model, str):
        model = load_classifier({"source": model, "name": name})
    if isinstance(model, tuple):
        model, given = model
    module = model.module if isinstance(model, Classifier) else model
    training = [(part, part.training) for part in module.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    held = [(tensor, tensor.dtype, tensor.device) for tensor in (*module.parameters(), *module.buffers())]
    try:
        if device is not None:
            module.to(device)
        if isinstance(model, Classifier):
            card = replace(model.card, name=name)
            yield Classifier(module, model.preprocessing, card, model.fingerprint, model.guard)
        else:
            yield make_classifier(
                module,
                settings.preprocessing(given, name),
                name=name,
                source=f"module:{type(module).__qualname__}",
                label_space=settings.dataset,
                outputs=settings.outputs,
                repeatable=settings.repeatable,
            )
    finally:
        for part, was in training:
            part.training = was
        for tensor, dtype, place in held:
            tensor.data = tensor.data.to(place, dtype)
        for parameter, was in wanted:
            parameter.requires_grad_(was)


class _InMemory:
    """Consumer that keeps the logits of every classifier under every condition."""

    def __init__(self, classifiers: Sequence[Classifier], inference: Inference, device: torch.device) -> None:
        self.classifiers, self.inference, self.device = classifiers, inference, device
        self.parts: dict[tuple[str, str], list[NDArray[np.float32]]] = {}

    def needs(self, condition: Condition, batch: int) -> bool:
        return True

    def consume(self, rendered: RenderedBatch) -> None:
        images_N3HW = as_float(rendered.images_N3HW, self.inference)
        for classifier in self.classifiers:
            logits_NC = run_classifier(classifier, images_N3HW, self.inference, self.device)
            self.parts.setdefault((rendered.condition.name, classifier.name), []).append(logits_NC.numpy())

    def read(self, key: tuple[str, str]) -> NDArray[np.float32]:
        return np.concatenate(self.parts.pop(key))


class _Seen(Dataset):
    """Images that went by: their labels, ids and digests."""

    def __init__(
        self,
        name: str,
        space: LabelSpace,
        ids: Sequence[str],
        labels_N: NDArray[np.int64],
        digests: Sequence[str],
    ) -> None:
        super().__init__(name, space, ids, labels_N)
        self.digests = digests

    def decode(self, index: int) -> NDArray[np.uint8]:
        raise AssertionError("images are read from the source, batch by batch")

    def content(self, index: int) -> str:
        return self.digests[index]


class _Source:
    """Labelled images in a fixed order, which can be read several times."""

    def __init__(self, pieces: Callable[[], Iterable[Any]], size: int | None, batch_size: int) -> None:
        self.pieces = pieces
        self.canonical = None if size is None else Canonical(size)
        self.batch_size = batch_size

    @classmethod
    def of(cls, data: Any, size: int | None, batch_size: int) -> _Source:
        """See `predict`.

        Raises:
            UserError: data of another kind, or a loader that shuffles.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UserError(
                expected="a batch_size of 1 or more", found=repr(batch_size), next_step="64 is usual"
            )
        if isinstance(data, DataLoader):
            if isinstance(data.sampler, RandomSampler):
                raise UserError(
                    expected="a loader in a fixed order",
                    found="one that shuffles",
                    next_step="make it with shuffle=False: samples are known by their place",
                )
            return cls(lambda: data, size, batch_size)
        if isinstance(data, Dataset):
            every = range(len(data))
            return cls(
                lambda: ((data.decode(i)[None], data.labels_N[i : i + 1]) for i in every), size, batch_size
            )
        if isinstance(data, tuple) and len(data) == 2:
            images, labels = data
            labels_N = as_labels(labels)
            if not hasattr(images, "ndim"):
                images = as_array(images, "images")
            if images.ndim != 4 or len(images) != len(labels_N):
                raise UserError(
                    expected=f"{len(labels_N)} images, one for each label",
                    found=f"images of shape {tuple(images.shape)}",
                    next_step="pass (images, labels) of the same samples",
                )
            return cls(
                lambda: ((images[a:b], labels_N[a:b]) for a, b in spans(len(labels_N), batch_size)),
                size,
                batch_size,
            )
        if isinstance(data, Tensor | np.ndarray | str | Mapping) or not hasattr(data, "__getitem__"):
            raise UserError(
                expected="a DataLoader or data set of (image, label), or a tuple (images, labels)",
                found=f"a {type(data).__name__}",
                next_step="pass labels with the images: (images, labels)"
                if isinstance(data, Tensor | np.ndarray)
                else "wrap it in a torch.utils.data.DataLoader",
            )
        return cls(lambda: (_one(data[i]) for i in range(len(data))), size, batch_size)

    def side(self) -> int:
        """S of the first image."""
        for images_n3SS, _ in self._checked():
            return images_n3SS.shape[-1]
        raise UserError(expected="at least one image", found="none", next_step="check the loader or data set")

    def batches(self) -> Iterator[Batch]:
        """Batches of `batch_size`, whatever the batches of the source are."""
        images: list[Tensor] = []
        labels: list[NDArray[np.int64]] = []
        waiting = 0
        for images_n3SS, labels_n in self._checked():
            images.append(images_n3SS)
            labels.append(labels_n)
            waiting += len(labels_n)
            while waiting >= self.batch_size:
                joined_n3SS, joined_n = torch.cat(images), np.concatenate(labels)
                yield joined_n3SS[: self.batch_size], joined_n[: self.batch_size]
                images, labels = [joined_n3SS[self.batch_size :]], [joined_n[self.batch_size :]]
                waiting -= self.batch_size
        if waiting:
            yield torch.cat(images), np.concatenate(labels)

    def seen(self, name: str, space: LabelSpace, sample_ids: Sequence[str] | None) -> _Seen:
        """All labels and a digest of each image: one pass over the source."""
        labels, digests = [], []
        for images_n3SS, labels_n in self.batches():
            labels.append(labels_n)
            digests += _digests(images_n3SS)
        labels_N = as_labels(np.concatenate(labels), num_classes=space.num_classes)
        return _Seen(name, space, sample_names(sample_ids, len(labels_N), name), labels_N, digests)

    def _checked(self) -> Iterator[Batch]:
        side = None
        for piece in self.pieces():
            images, labels = _pair(piece)
            images_n3HW, labels_n = as_bytes(images)[0], as_labels(labels)
            if len(images_n3HW) != len(labels_n):
                raise UserError(
                    expected="one label for each image of a batch",
                    found=f"{len(images_n3HW)} images and {len(labels_n)} labels",
                    next_step="let the loader yield (images, labels)",
                )
            if self.canonical is not None:
                every = [self.canonical.render(one.permute(1, 2, 0).numpy()) for one in images_n3HW.cpu()]
                images_n3HW = torch.from_numpy(np.stack(every))
            height, width = images_n3HW.shape[-2:]
            side = side or height
            if height != width or height != side:
                raise UserError(
                    expected="square images of one size"
                    + (f", {side}×{side} as the first" if height == width else ""),
                    found=f"{height}×{width} pixels",
                    next_step="pass size=224, for example, which resizes and crops them",
                )
            yield images_n3HW, labels_n


def _stream(
    source: _Source,
    conditions: Sequence[Condition],
    consumer: _InMemory | LogitsWriter,
    sample_ids: Sequence[str] | None,
    dataset: str,
    device: torch.device,
    num_classes: int,
    seen: _Seen | None = None,
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Feed every batch to the consumer; ids and labels of all samples."""
    labels: list[NDArray[np.int64]] = []
    start = 0
    for batch, (images_n3SS, labels_n) in enumerate(source.batches()):
        stop = start + len(labels_n)
        labels.append(labels_n)
        if labels_n.max() >= num_classes:  # says which sample, before the models run on it
            as_labels(np.concatenate(labels), num_classes=num_classes)
        if seen is not None and _digests(images_n3SS) != seen.digests[start:stop]:
            raise UserError(
                expected="the same images whenever the data are read",
                found=f"others among samples {start} to {stop - 1} the second time",
                next_step="take random augmentation and shuffling out of the loader",
            )
        if sample_ids is None:
            ids = [str(index) for index in range(start, stop)]
        else:
            ids = [str(one) for one in sample_ids[start:stop]]
            if len(ids) < len(labels_n):
                sample_names(sample_ids, stop, dataset)  # says that there are fewer ids than images
        readable_n = torch.ones(len(labels_n), dtype=torch.bool)
        hand_out(
            batch,
            start,
            images_n3SS.to(device),
            ids,
            torch.from_numpy(labels_n).to(device),
            readable_n,
            conditions,
            [consumer],
        )
        start = stop
    return sample_names(sample_ids, start, dataset), np.concatenate(labels)


def _pair(piece: Any) -> tuple[Any, Any]:
    """Images and labels of what a loader yields."""
    if isinstance(piece, Mapping):
        images = next((piece[key] for key in ("image", "images", "pixel_values") if key in piece), None)
        labels = next((piece[key] for key in ("label", "labels") if key in piece), None)
        if images is not None and labels is not None:
            return images, labels
    elif isinstance(piece, list | tuple) and len(piece) >= 2:
        return piece[0], piece[1]
    found = f"a {type(piece).__name__}" + (
        f" with {', '.join(map(str, piece))}" if isinstance(piece, Mapping) else ""
    )
    raise UserError(
        expected="images and labels from the data, as a pair or under the keys image and label",
        found=found,
        next_step="let the loader yield (images, labels)",
    )


def _one(item: Any) -> tuple[Any, Any]:
    """One sample of a data set as a batch of one."""
    image, label = _pair(item)
    return image, as_array(label, "labels").reshape(1)


def _digests(images_n3SS: Tensor) -> list[str]:
    return [fingerprint(image_3SS) for image_3SS in images_n3SS.cpu().numpy()]


def _check_models(models: Any) -> None:
    named = isinstance(models, Mapping) and models and all(isinstance(name, str) and name for name in models)
    if not named:
        raise UserError(
            expected='models by name, such as {"a": net_a, "b": net_b}',
            found="none" if isinstance(models, Mapping) and not models else f"a {type(models).__name__}",
            next_step="give each model a name of its own",
        )
    for name, model in models.items():
        module = model[0] if isinstance(model, tuple) and len(model) == 2 else model
        if not isinstance(module, nn.Module | str) or (isinstance(model, tuple) and isinstance(module, str)):
            raise UserError(
                expected=f"a module, (module, preprocessing), Classifier or source as the model {name!r}",
                found=f"a {type(model).__name__}",
                next_step="wrap other functions in a torch.nn.Module that gives logits",
            )


def _conditions(dataset: str, corruptions: Any, seed: int, clean: bool) -> list[Condition]:
    asked: list[Corruption] = []
    if isinstance(corruptions, Mapping):
        for name, severities in corruptions.items():
            each = severities if isinstance(severities, Sequence | np.ndarray) else [severities]
            asked += [create(name, severity) for severity in each]
    elif isinstance(corruptions, Corruption):
        asked = [corruptions]
    elif corruptions is not None:
        asked = list(corruptions) if isinstance(corruptions, Iterable) else [corruptions]
        if wrong := [one for one in asked if not isinstance(one, Corruption)]:
            raise UserError(
                expected='severities by corruption, such as {"fog": [1, 3, 5]}',
                found=repr(wrong[0]),
                next_step="`nversion corruptions ls` lists names and levels",
            )
    conditions = [Condition(dataset)] if clean else []
    conditions += [Condition(dataset, one.name, one.severity, seed) for one in asked]
    if not conditions:
        raise UserError(
            expected="at least one condition", found="none", next_step="pass corruptions, or leave clean=True"
        )
    return list(dict.fromkeys(conditions))


def _num_classes(classifiers: Sequence[Classifier]) -> int:
    first = classifiers[0]
    for other in classifiers[1:]:
        if device_of(other.module) != device_of(first.module):
            raise UserError(
                expected="all models on one device",
                found=f"{first.name!r} on {device_of(first.module)} and {other.name!r} on "
                f"{device_of(other.module)}",
                next_step='pass device="cuda" or "cpu"',
            )
        if other.card.label_space.num_classes != first.card.label_space.num_classes:
            raise UserError(
                expected="models of one number of classes",
                found=f"{first.card.label_space.num_classes} of {first.name!r} and "
                f"{other.card.label_space.num_classes} of {other.name!r}",
                next_step="pass models of one label space",
            )
    return first.card.label_space.num_classes
