"""Run a study: compute what is missing, then turn it into tables, pictures and a manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import nversion
from nversion.attribution import GramSums
from nversion.core import UserError, only_run, remove_leftovers, spans
from nversion.data import Condition, Dataset, UnreadableImageError
from nversion.diversity import PAIRWISE
from nversion.ensembles import Ensembles, evaluate_sizes
from nversion.predictions import Predictions
from nversion.predictions import run as run_models

from . import tables
from .attributions import metric_name
from .manifest import write_manifest
from .measure import ConditionResult, measure_condition
from .pictures import maps_table, models_of_different_families, samples_table
from .plan import (
    OpenStudy,
    Plan,
    Stores,
    check_disk,
    check_memory,
    make_plan,
    open_study,
    study_hash,
)
from .spec import StudySpec
from .stored import align
from .trends import correlations

GRAM_ROWS = 4096  # Gram matrices read at a time
TRIED_SAMPLES = 64  # evaluated once more to tell how long all will take


class Reporter(Protocol):
    """Where a run says what it does; the command line draws progress bars with it."""

    def say(self, text: str) -> None:
        """One line."""

    def start(self, text: str, total: int) -> None:
        """A piece of work of `total` steps begins."""

    def advance(self) -> None:
        """One step of it is done."""


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None:
        pass

    def start(self, text: str, total: int) -> None:
        pass

    def advance(self) -> None:
        pass


def run_study(spec: StudySpec, folder: Path, base: Path, reporter: Reporter | None = None) -> Plan:
    """Run a study to its tables and its manifest; what is finished already is not computed again.

    Killed at any moment and run again, it computes what is missing and ends in the same tables.

    Args:
        folder: where everything goes; created where it is missing.
        base: the folder that relative paths in the spec start from.

    Returns:
        The plan that was carried out.

    Raises:
        UserError: the spec does not fit the data and models, another run holds the folder, the disk
            is full, an image is unreadable, or logits are not finite.
    """
    reporter = reporter or Silent()
    with only_run(folder):
        started = time.monotonic()
        remove_leftovers(folder)
        reporter.say("Opening data sets and models")
        study = open_study(spec, folder, base)
        stores = study.open_stores(lambda _: reporter.advance())
        plan = make_plan(study, stores)
        say_plan(plan, study, reporter)
        check_disk(plan, folder)
        check_memory(study, plan)
        compute_missing(study, stores, reporter)
        facts = write_tables(study, stores, reporter)
        seconds = time.monotonic() - started
        write_manifest(study, plan, facts, seconds)
    return plan


def say_plan(plan: Plan, study: OpenStudy, reporter: Reporter) -> None:
    """Tell what is cached, what was set aside, what will run, how long and how much disk."""
    spec = study.spec
    for name in plan.set_aside:
        reporter.say(f"Set aside, it does not match its manifest and is computed again: {name}")
    counts = ", ".join(f"{count:,} of {size} members" for size, count in plan.ensembles.items())
    reporter.say(
        f"{len(study.classifiers)} models, {len(study.conditions)} conditions, "
        f"{sum(map(len, study.datasets.values())):,} images; ensembles: {counts}"
        + (
            ""
            if spec.ensembles.sample is None
            else f" (a sample of at most {spec.ensembles.sample:,} a size)"
        )
    )
    reporter.say(
        f"Logits: {plan.batches_total - plan.batches_missing:,} of {plan.batches_total:,} batches cached; "
        f"maps: {plan.maps_total - plan.maps_missing:,} of {plan.maps_total:,} samples cached"
    )
    if plan.batches_missing or plan.maps_missing:
        reporter.say(
            f"To run: about {_duration(plan.seconds)} on {study.device}, "
            f"{plan.bytes_missing / 1e6:,.0f} MB of disk ({plan.bytes_free / 1e9:,.0f} GB free)"
        )


def compute_missing(study: OpenStudy, stores: Stores, reporter: Reporter) -> None:
    """Run every model on every batch that is not in the store; the same for attribution maps."""
    for name, dataset in study.datasets.items():
        consumers = stores.of(name)
        steps = sum(consumer.num_steps() for consumer in consumers)
        if steps:
            reporter.start(f"Models on {name}", steps)
        run_models(
            dataset,
            study.canonical,
            study.conditions_of(name),
            consumers,
            batch_size=study.inference.batch_size,
            device=study.device,
            exclude_unreadable=study.spec.run.unreadable == "exclude",
        )
        for consumer in consumers:
            consumer.finish()


def open_predictions(study: OpenStudy, stores: Stores) -> dict[str, Predictions]:
    """The finished logits of every condition, by its name; unreadable samples left out.

    Raises:
        UserError: a sample is to be left out and `unreadable` is "stop", or fewer than two remain.
    """
    views: dict[str, Predictions] = {}
    for name, dataset in study.datasets.items():
        arrays = {key: array.read() for key, array in stores.logits[name].arrays.items()}
        conditions = [condition.name for condition in study.conditions_of(name)]
        ids, labels_N = dataset.sample_ids, dataset.labels_N
        num_blocks = study.spec.ensembles.num_blocks
        views |= align(arrays, conditions, study.model_names, ids, labels_N, num_blocks)
        rows_N = views[conditions[0]].rows_N
        excluded_N = np.setdiff1d(np.arange(len(dataset)), rows_N)
        if len(excluded_N) and study.spec.run.unreadable == "stop":
            dataset.decode(int(excluded_N[0]))  # an earlier run left it out; now its error stops this one
        if len(rows_N) < 2:
            raise UserError(
                expected=f"at least two readable images in the data set {name!r}",
                found=f"{len(rows_N)} of {len(dataset)}",
                next_step="replace the files, or name another data set",
            )
    return views


def gram_sums(stores: Stores, condition: Condition, view: Predictions) -> dict[str, GramSums]:
    """For each attribution metric of a condition, sums of its Gram matrices per block of images.

    Memory: `GRAM_ROWS` matrices at a time.
    """
    if condition.dataset not in stores.grams:
        return {}
    writer = stores.grams[condition.dataset]
    readable = np.flatnonzero(np.isin(writer.samples, view.rows_N))
    blocks_n = torch.from_numpy(view.blocks_N[np.searchsorted(view.rows_N, writer.samples[readable])])
    sums = {}
    for (name, metric), array in writer.arrays.items():
        if name == condition.name:
            gram_nMM = array.read()
            sums[metric] = GramSums.zeros(view.num_blocks, len(view.model_names))
            for start, stop in spans(len(readable), GRAM_ROWS):
                rows_nMM = torch.from_numpy(np.array(gram_nMM[readable[start:stop]]))
                sums[metric].update(rows_nMM, blocks_n[start:stop])
    return sums


def measure(
    study: OpenStudy, stores: Stores, reporter: Reporter
) -> Iterator[tuple[ConditionResult, Predictions]]:
    """Evaluate all ensembles under one condition after the other, from the stores alone."""
    predictions = open_predictions(study, stores)
    asked = study.spec.ensembles
    families = study.ensembles()
    seconds = _seconds_of_ensembles(predictions, families, asked.consensus)
    reporter.say(
        f"Evaluating {sum(map(len, families)):,} ensembles by {len(asked.consensus)} rules "
        f"on {len(study.conditions)} conditions: about {_duration(seconds)}"
    )
    reporter.start("Ensembles", len(study.conditions))
    for condition in study.conditions:
        view = predictions[condition.name]
        grams = gram_sums(stores, condition, view)
        metrics = asked.diversity or list(PAIRWISE)
        result = measure_condition(view, families, asked.consensus, metrics, grams, asked.draw_seed)
        yield result, view
        reporter.advance()


def write_tables(study: OpenStudy, stores: Stores, reporter: Reporter) -> dict[str, Any]:
    """Measure and write every table; returns facts for the manifest.

    Memory: the results of two conditions, this one's and its data set's clean one, and the tables.
    """
    cards = [classifier.card for classifier in study.classifiers]
    changed: dict[tuple[str, str], int] = {}
    logits: dict[str, dict[str, str]] = {}
    for writer in stores.logits.values():
        for (condition_name, model), array in writer.arrays.items():
            changed[condition_name, model] = array.note
            place = array.folder.relative_to(study.folder).as_posix()
            logits.setdefault(condition_name, {})[model] = place
    parts: dict[str, list[pl.DataFrame]] = {}
    rows_of: dict[str, NDArray[np.int64]] = {}
    near_ties: dict[str, dict[str, int]] = {}
    clean: ConditionResult | None = None
    for condition, (result, view) in zip(study.conditions, measure(study, stores, reporter), strict=True):
        if condition.dataset not in rows_of:
            rows_of[condition.dataset], clean = view.rows_N, None
        clean = result if condition.is_clean else clean
        ids = study.datasets[condition.dataset].sample_ids
        of_condition = {
            "models": tables.models_table([result], cards, changed),
            "ensembles": tables.ensembles_table([result], cards),
            "pairs": tables.pairs_table([result], cards),
            "diversity": tables.diversity_table([result], cards),
            "correlations": correlations(result, clean),
            "near_ties": tables.near_ties_table(
                result, study.model_names, [ids[row] for row in view.rows_N.tolist()]
            ),
        }
        for name, frame in of_condition.items():
            parts.setdefault(name, []).append(frame)
        near_ties[result.condition] = {
            f"{size.ensembles.size}/{rule}": evaluation.num_near_ties
            for size in result.sizes
            for rule, evaluation in size.evaluations.items()
            if evaluation.num_near_ties
        }
    num_samples = {name: len(rows_N) for name, rows_N in rows_of.items()}
    unreadable = {name: _reasons(study.datasets[name], rows_N) for name, rows_N in rows_of.items()}
    excluded = {name: len(reasons) for name, reasons in unreadable.items()}
    reporter.start("Pictures", 1)
    frames = {name: pl.concat(of_name) for name, of_name in parts.items()} | {
        "conditions": tables.conditions_table(study.conditions, num_samples, excluded),
        "labels": tables.labels_table(study.datasets),
        "metrics": tables.metrics_table(_attribution_formulas(study)),
        "samples": samples_table(study.datasets, study.canonical, study.conditions, study.spec.report.images),
    }
    if (maps := _maps(study)) is not None:
        frames["maps"] = maps
    facts = {
        "study": study.spec.study.name,
        "study_hash": study_hash(study),
        "nversion": nversion.__version__,
        "units": "fractions in [0, 1]",
    }
    for name, frame in frames.items():
        tables.write_table(study.folder, name, frame, facts)
    tables.remove_others(study.folder, keep=frames, study_hash=facts["study_hash"])
    reporter.advance()
    return {
        "num_samples": num_samples,
        "excluded": excluded,
        "unreadable": {name: reasons for name, reasons in unreadable.items() if reasons},
        "changed_top1": sum(changed.values()),
        "logits": logits,
        "near_ties": near_ties,
    }


def _reasons(dataset: Dataset, rows_N: NDArray[np.int64]) -> dict[str, str]:
    """Id of each sample outside `rows_N` and why it cannot be decoded."""
    reasons = {}
    for row in np.setdiff1d(np.arange(len(dataset)), rows_N).tolist():
        try:
            dataset.decode(row)
        except UnreadableImageError as error:
            reasons[dataset.sample_ids[row]] = str(error)
        else:
            reasons[dataset.sample_ids[row]] = "it was unreadable when the models ran"
    return reasons


def _maps(study: OpenStudy) -> pl.DataFrame | None:
    asked = study.spec.attribution
    if asked is None or study.spec.report.maps == 0:
        return None
    condition = study.conditions[0]
    named = [c for c in study.classifiers if c.name in study.spec.report.map_models]
    return maps_table(
        study.datasets[condition.dataset],
        study.canonical,
        condition,
        named or models_of_different_families(study.classifiers, 6),
        study.spec.report.maps,
        asked.methods[0],
        asked.absolute,
        study.device,
    )


def _attribution_formulas(study: OpenStudy) -> dict[str, str]:
    asked = study.spec.attribution
    if asked is None:
        return {}
    kind = "absolute" if asked.absolute else "signed"
    scale = {"none": "as they are", "l2": "of unit Euclidean norm", "sum": "of unit sum of magnitudes"}
    return {
        metric_name(method, target, normalise): (
            f"Eq. 7: variance over members, summed over channels and pixels, of {kind} {method} maps "
            f"of the {target} class, {scale[normalise]}; mean over images"
        )
        for method in asked.methods
        for target in asked.targets
        for normalise in asked.normalise
    }


def _seconds_of_ensembles(
    predictions: Mapping[str, Predictions], families: Sequence[Ensembles], consensus: Sequence[str]
) -> float:
    """Estimated from the first few samples of the first condition."""
    view = next(iter(predictions.values()))
    if len(view) == 0:
        return 0.0
    few = next(view.chunks(TRIED_SAMPLES * 4 * len(view.logits) * view.num_classes))
    start = time.perf_counter()
    evaluate_sizes([few], families, consensus, view.num_blocks)
    taken = time.perf_counter() - start
    return taken / len(few.labels_N) * sum(map(len, predictions.values()))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
