"""The reference classifier and images of a severity search, from a study file."""

from __future__ import annotations

from pathlib import Path

from nversion.core import UserError, did_you_mean
from nversion.corruptions import CORRUPTIONS, united
from nversion.models import check_label_space, expand_pool, load_classifier
from nversion.models.loading import default_name
from nversion.predictions import Inference, place
from nversion.severity_search import Reference

from .images import canonical_of, open_datasets
from .plan import choose_device
from .spec import ImagesSpec, PoolSpec


def open_reference(
    spec: PoolSpec,
    base: Path,
    model: str,
    data: str | None = None,
    count: int | None = None,
    part_seed: int = 0,
) -> Reference:
    """Open the data set and the one classifier; no other model is loaded.

    Args:
        data: its name in the file; may be left out where there is one.
        count: a seeded part of so many images; None: all.

    Raises:
        UserError: no such model or data set, or they do not fit together.
    """
    if data is None and len(spec.data) > 1:
        raise UserError(
            expected="one data set to search with",
            found=", ".join(spec.data),
            next_step=f"name one: --data {next(iter(spec.data))}",
        )
    data = data or next(iter(spec.data))
    _check_known("data set of the file", data, list(spec.data))
    pool = {default_name(single): single for single in expand_pool(spec.models)}
    _check_known("model of the file", model, list(pool))
    device = choose_device(spec.run.device)
    dataset = open_datasets(spec.model_copy(update={"data": {data: spec.data[data]}}), base)[data]
    if count is not None:
        dataset = dataset.subset(count, part_seed)
    classifier = load_classifier(pool[model], base)
    check_label_space([classifier], [dataset])
    asked = spec.run
    inference = Inference(asked.batch_size, asked.storage, asked.amp, asked.channels_last)
    place([classifier], inference, device)
    exclude = asked.unreadable == "exclude"
    seed = spec.conditions.seed
    return Reference(classifier, dataset, data, canonical_of(spec), inference, device, seed, exclude)


def asked_corruptions(spec: ImagesSpec) -> list[str]:
    """Those that the file names under [conditions], published sets included; all that there are if none."""
    asked = spec.conditions
    return list(united(asked.sets, asked.corruptions, spec.canonical.size)) or list(CORRUPTIONS)


def _check_known(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise UserError(expected=f"a {kind}", found=repr(name), next_step=did_you_mean(name, known))
