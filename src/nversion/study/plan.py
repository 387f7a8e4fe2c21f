"""What a study will do before it does it: cached and missing work, time, disk, number of ensembles."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import comb
from pathlib import Path

import torch
from torch import Tensor

from nversion.attribution import find_method
from nversion.core import LabelSpace, UserError, did_you_mean, fault_of_name, fingerprint
from nversion.data import Canonical, ClassGroups, Condition, Dataset, read_costs, read_groups
from nversion.ensembles import CONSENSUS, Ensembles
from nversion.evaluation.metrics import asked_metrics
from nversion.evaluation.published import Baseline, find_baseline
from nversion.evaluation.settings import EnsemblesTable, ensembles_of
from nversion.models import Classifier, check_label_space, default_name, expand_pool, load_classifier
from nversion.predictions import Inference, LogitsWriter, StoreWriter, place, torch_threads, trial
from nversion.predictions.grams import GramWriter
from nversion.predictions.similarities import RepresentationWriter

from .estimates import seconds_of_tables
from .images import (
    canonical_of,
    corrupted_conditions,
    open_datasets,
    stored_conditions,
    with_found_severities,
)
from .spec import NAME_BYTES, StudySpec

RESULTS_BYTES = 4 << 30  # of all ensembles under two conditions, with and without each block of images
PASS_COST = 3.0  # of a forward and backward pass that keeps its activations, in forward passes


@dataclass(frozen=True)
class OpenStudy:
    """A study whose data sets and models are open and agree with each other."""

    spec: StudySpec
    folder: Path
    device: torch.device
    datasets: dict[str, Dataset]
    canonical: Canonical
    conditions: list[Condition]
    classifiers: list[Classifier]
    inference: Inference
    groups: ClassGroups | None = None
    cost_CC: Tensor | None = None
    baseline: Baseline | None = None

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classifiers)

    def conditions_of(self, dataset: str) -> list[Condition]:
        """The conditions that are rendered from this data set, clean first."""
        return [c for c in self.conditions if c.dataset == dataset]

    def ensembles(self) -> list[Ensembles]:
        """One family of ensembles for each size asked for."""
        return ensembles_of(self.spec.ensembles, len(self.classifiers))

    def open_stores(self, on_step: Callable[[str], None] = lambda _: None) -> Stores:
        """Open and check the stores of logits, Grams and similarities; reads every finished file once.

        Args:
            on_step: called with a model's name after each batch of it that is computed.
        """
        logits, grams, similarities = {}, {}, {}
        absolute = self.spec.attribution is None or self.spec.attribution.absolute
        for name, dataset in self.datasets.items():
            shared = (dataset, self.canonical, self.conditions_of(name), self.classifiers)
            logits[name] = LogitsWriter(
                self.folder / "predictions", *shared, self.inference, self.device, on_step
            )
            if self.spec.attribution is not None:
                grams[name] = GramWriter(
                    self.folder / "attributions",
                    *shared,
                    self.spec.attribution,
                    self.inference,
                    self.device,
                    on_step,
                )
            if self.spec.representation is not None:
                similarities[name] = RepresentationWriter(
                    self.folder / "representations",
                    *shared,
                    self.spec.representation,
                    self.inference,
                    self.device,
                    on_step,
                    absolute=absolute,
                )
        return Stores(logits, grams, similarities)


@dataclass(frozen=True)
class Stores:
    """What a study keeps on disk, by data set; of attributions and representations only what is asked for."""

    logits: dict[str, LogitsWriter]
    grams: dict[str, GramWriter]
    similarities: dict[str, RepresentationWriter]

    def of(self, dataset: str) -> list[StoreWriter]:
        """The consumers that the images of this data set are for."""
        stores: tuple[Mapping[str, StoreWriter], ...] = (self.logits, self.grams, self.similarities)
        return [store[dataset] for store in stores if dataset in store]


@dataclass(frozen=True)
class Plan:
    """Numbers that are told before a run starts.

    Attributes:
        batches_total, batches_missing: (condition, model, batch) of logits.
        maps_total, maps_missing: samples to attribute, summed over conditions.
        compared_missing: samples whose representations are still to be compared, summed over conditions.
        ensembles: number of each size.
        seconds: estimated time of all that will run: of models from a timing of each on one small batch, of
            the rest `seconds_of_tables`.
        seconds_of_tables: of start, tables, pictures and figures; see `estimates`.
        bytes_missing, bytes_free: disk that the missing work takes, and what there is.
        set_aside: files that did not match their manifest.
    """

    batches_total: int
    batches_missing: int
    maps_total: int
    maps_missing: int
    compared_missing: int
    ensembles: dict[int, int]
    seconds: float
    seconds_of_tables: float
    bytes_missing: int
    bytes_free: int
    set_aside: list[str]


def choose_device(name: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        UserError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # "meta" makes tensors but keeps nothing in them
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            expected="a device that this machine has",
            found=f"device = {name!r}",
            next_step='set device = "auto" or "cpu"; see: nversion doctor',
        ) from error
    return device


def open_study(spec: StudySpec, folder: Path, base: Path) -> OpenStudy:
    """Open every data set and model of a spec and check that they fit together.

    Args:
        folder: where the study lives.
        base: the folder that relative paths in the spec start from.
    """
    _check_names("consensus rule", spec.ensembles.consensus, list(CONSENSUS))
    spec = with_found_severities(spec, base)
    corrupted = {name: corrupted_conditions(spec, name) for name in spec.data}
    if spec.attribution is not None:
        for method in spec.attribution.methods:
            find_method(method)
        _check_once("attribution method", spec.attribution.methods)
    asked_metrics(spec.ensembles.diversity)
    _check_once("diversity metric", spec.ensembles.diversity or [])
    device = choose_device(spec.run.device)
    datasets = open_datasets(spec, base)
    canonical = canonical_of(spec)
    stored = stored_conditions(spec, datasets, base)
    conditions = [
        condition
        for name in datasets
        for condition in [
            *([Condition(name)] if spec.conditions.clean else []),
            *corrupted[name],
            *(condition for condition in stored if condition.dataset == name),
        ]
    ]
    _check_once("condition", [c.name for c in conditions])
    for condition in conditions:
        _check_name("condition", condition.name.removeprefix(f"{condition.dataset}/"))
    _check_patterns(spec, [c.name for c in conditions])
    pool = expand_pool(spec.models)
    if max(spec.ensembles.sizes) > len(pool):
        raise UserError(
            expected=f"ensembles of at most {len(pool)} members, the number of models",
            found=f"sizes = {spec.ensembles.sizes}",
            next_step="ask for smaller ensembles or name more models",
        )
    for model in pool:
        _check_name("model", default_name(model))
    check_memory(spec, len(pool), len(conditions))
    classifiers = [load_classifier(model, base) for model in pool]
    names = [c.name for c in classifiers]
    _check_once("model name", names)
    _check_names(
        "model as study.baseline", [] if spec.study.baseline is None else [spec.study.baseline], names
    )
    _check_names("model under report.map_models", spec.report.map_models, names)
    for members in spec.report.ensembles:
        _check_names("model under report.ensembles", members, names)
    check_label_space(classifiers, list(datasets.values()))
    _check_stored(spec, classifiers)
    run = spec.run
    inference = Inference(run.batch_size, run.storage, run.amp, run.channels_last)
    place(classifiers, inference, device)
    label_space = next(iter(datasets.values())).label_space
    groups, cost_CC = _hazards(spec, base, label_space)
    rows = None if spec.benchmark.published is None else base / spec.benchmark.published
    baseline = find_baseline(spec.benchmark.baseline, rows, names, label_space.name, canonical.size)
    return OpenStudy(
        spec,
        folder,
        device,
        datasets,
        canonical,
        conditions,
        classifiers,
        inference,
        groups,
        cost_CC,
        baseline,
    )


def _hazards(
    spec: StudySpec, base: Path, label_space: LabelSpace
) -> tuple[ClassGroups | None, Tensor | None]:
    asked = spec.hazards
    groups = None if asked.groups is None else read_groups(base / asked.groups, label_space)
    if asked.costs is None:
        return groups, None
    return groups, torch.from_numpy(read_costs(base / asked.costs, label_space, groups))


def study_hash(study: OpenStudy) -> str:
    """A digest of the spec and of the content of all data sets and models."""
    return fingerprint(
        {
            "spec": study.spec.model_dump(mode="json", exclude={"run": {"threads"}}),
            "data": [d.fingerprint for d in study.datasets.values()],
            "models": [c.fingerprint for c in study.classifiers],
        }
    )


def make_plan(study: OpenStudy, stores: Stores | None = None) -> Plan:
    """Look at what is cached and estimate the rest; tries each model that lacks something.

    Args:
        stores: already open ones of this study.
    """
    stores = stores or study.open_stores()
    total = missing = maps_total = maps_missing = bytes_missing = 0
    seconds = 0.0
    consumers = [consumer for name in study.datasets for consumer in stores.of(name)]
    lacking_logits = {
        model for w in stores.logits.values() for (name, model) in w.arrays if w.missing((name, model))
    }
    # Maps and similarities are made of all models together.
    others: list[GramWriter | RepresentationWriter] = [*stores.grams.values(), *stores.similarities.values()]
    names = set(study.model_names) if any(c.num_steps() for c in others) else lacking_logits
    tried = [c for c in study.classifiers if c.name in names and not c.is_stored]
    with torch_threads(study.spec.run.threads):
        speed = trial(tried, study.canonical, study.inference, study.device)
    for name, writer in stores.logits.items():
        num_samples = len(study.datasets[name])
        for classifier in study.classifiers:
            for condition_ in study.conditions_of(name) if classifier.is_stored else ():
                writer.stored_logits(classifier, condition_)  # what the file lacks is said before a run
        for (condition, model), array in writer.arrays.items():
            lacking = len(writer.missing((condition, model)))
            total += len(array.bounds)
            missing += lacking
            if lacking:
                bytes_missing += array.num_bytes
                seconds += speed.get(model, 0.0) * min(num_samples, lacking * study.inference.batch_size)
    for gram_writer in stores.grams.values():
        lacking = gram_writer.num_missing_samples()
        maps_total += len(gram_writer.samples) * len(gram_writer.conditions)
        maps_missing += lacking
        bytes_missing += sum(a.num_bytes for a in gram_writer.arrays.values() if a.missing())
        seconds += (lacking + PASS_COST * gram_writer.num_missing_passes()) * sum(speed.values())
    compared_missing = 0
    for similarity_writer in stores.similarities.values():
        lacking = similarity_writer.num_missing_samples()
        compared_missing += lacking
        bytes_missing += sum(a.num_bytes for a in similarity_writer.arrays.values() if a.missing())
        seconds += (lacking + PASS_COST * similarity_writer.num_missing_passes()) * sum(speed.values())
    of_tables = seconds_of_tables(
        conditions=len(study.conditions),
        ensembles=sum(num_ensembles(study.spec.ensembles, len(study.classifiers)).values()),
        measures=num_measures(study.spec),
        images=sum(len(study.datasets[condition.dataset]) for condition in study.conditions),
        classes=next(iter(study.datasets.values())).label_space.num_classes,
        rules=len(study.spec.ensembles.consensus),
    )
    set_aside = [name for consumer in consumers for name in consumer.set_aside()]
    study.folder.mkdir(parents=True, exist_ok=True)
    return Plan(
        total,
        missing,
        maps_total,
        maps_missing,
        compared_missing,
        {family.size: len(family) for family in study.ensembles()},
        seconds + of_tables,
        of_tables,
        bytes_missing,
        shutil.disk_usage(study.folder).free,
        set_aside,
    )


def check_disk(plan: Plan, folder: Path) -> None:
    """Refuse to start what cannot end.

    Raises:
        UserError: the missing work takes more disk than there is.
    """
    # Parts and the joined array stand side by side, one array at a time; a tenth is room for that.
    needed = 1.1 * plan.bytes_missing
    if needed > plan.bytes_free:
        raise UserError(
            expected=f"{needed / 1e9:.1f} GB free in {folder}",
            found=f"{plan.bytes_free / 1e9:.1f} GB",
            next_step='free some space, store float16, or name another folder with "--folder"',
        )


def num_ensembles(asked: EnsemblesTable, num_models: int) -> dict[int, int]:
    """How many ensembles of each size there will be."""
    return {size: min(comb(num_models, size), asked.sample or comb(num_models, size)) for size in asked.sizes}


def num_measures(spec: StudySpec) -> int:
    """Diversity measures of each ensemble under one condition; of maps there are four, by who is right."""
    of_maps = 0
    if (asked := spec.attribution) is not None:
        of_maps = 4 * len(asked.methods) * len(asked.targets) * len(asked.normalise)
    return len(asked_metrics(spec.ensembles.diversity)) + of_maps


def check_memory(spec: StudySpec, num_models: int, num_conditions: int) -> None:
    """Refuse more ensembles than the results of two conditions fit in `RESULTS_BYTES` for.

    Args:
        num_conditions: of all data sets.

    Raises:
        UserError: there are too many; a seeded sample is the way out.
    """
    quantities = 2 * len(spec.ensembles.consensus) + num_measures(spec) + 2
    quantities += 8 + max(spec.ensembles.sizes) ** 2  # calibration, failure counts and splits of votes
    # Right answers in each block are held for every condition, by one rule.
    bytes_an_ensemble = 8 * (2 * quantities + num_conditions) * (spec.ensembles.num_blocks + 1)
    at_most = RESULTS_BYTES // bytes_an_ensemble
    counts = num_ensembles(spec.ensembles, num_models)
    if sum(counts.values()) > at_most:
        raise UserError(
            expected=f"at most {at_most:,} ensembles, whose results take {RESULTS_BYTES / 2**30:.0f} GiB",
            found=f"{sum(counts.values()):,}",
            next_step=f"set sample = {max(1, at_most // len(counts)):,} or less under [ensembles]".replace(
                ",", "_"
            ),
        )


def _check_patterns(spec: StudySpec, conditions: list[str]) -> None:
    for name, asked in (("attribution", spec.attribution), ("representation", spec.representation)):
        for pattern in asked.conditions if asked is not None else ():
            if not any(fnmatchcase(condition, pattern) for condition in conditions):
                raise UserError(
                    expected=f"patterns that match a condition under {name}.conditions",
                    found=repr(pattern),
                    next_step=did_you_mean(pattern, conditions),
                )


def _check_stored(spec: StudySpec, classifiers: Sequence[Classifier]) -> None:
    """Refuse what needs images to go through models whose logits are read from files."""
    asked = [table for table in ("attribution", "representation") if getattr(spec, table) is not None]
    stored = [classifier.name for classifier in classifiers if classifier.is_stored]
    if asked and stored:
        raise UserError(
            expected=f"models that run for [{asked[0]}]",
            found=f"{stored[0]!r}, whose logits are read from a file",
            next_step=f"leave [{asked[0]}] out, or name the model itself as the source",
        )


def _check_names(kind: str, asked: Sequence[str], known: list[str]) -> None:
    for name in asked:
        if name not in known:
            raise UserError(expected=f"a known {kind}", found=repr(name), next_step=did_you_mean(name, known))
    _check_once(kind, asked)


def _check_name(kind: str, name: str) -> None:
    """Names become folders and stand in tables: what neither takes is refused before anything runs."""
    if fault := fault_of_name(name, NAME_BYTES):
        raise UserError(
            expected=f"a name of a {kind} that can be a folder's: at most {NAME_BYTES} bytes of UTF-8 "
            "without control characters",
            found=f"{name[:40]!r}, {fault}",
            next_step="give it another `name`" if kind == "model" else "choose another name",
        )


def _check_once(kind: str, names: Sequence[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise UserError(
                expected=f"each {kind} once",
                found=f"{name!r} {list(names).count(name)} times",
                next_step="name it once, or give the second a name of its own",
            )
