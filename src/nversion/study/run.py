"""Run a study: compute what is missing, then turn it into tables, pictures and a manifest."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from nversion.core import UserError, only_run, remove_leftovers
from nversion.core.reporter import Reporter, Silent, duration
from nversion.predictions import ConditionPredictions, Predictions, torch_threads
from nversion.predictions import run as run_models

from .images import say_hidden, say_released
from .manifest import write_manifest
from .plan import (
    OpenStudy,
    Plan,
    Stores,
    check_disk,
    make_plan,
    open_study,
)
from .spec import StudySpec
from .stored import align
from .write import write_tables


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
    with only_run(folder), torch_threads(spec.run.threads):
        started = time.monotonic()
        remove_leftovers(folder)
        reporter.say("Opening data sets and models")
        reporter.start("Opening data sets and models", 1)
        study = open_study(spec, folder, base)
        stores = study.open_stores(lambda _: reporter.advance())
        plan = make_plan(study, stores)
        reporter.advance()
        say_plan(plan, study, reporter)
        check_disk(plan, folder)
        compute_missing(study, stores, reporter)
        facts = write_tables(study, stores, open_predictions(study, stores), reporter)
        seconds = time.monotonic() - started
        write_manifest(study, plan, facts, seconds)
        _say_changed(study, facts["changed_top1"], reporter)
    return plan


def _say_changed(study: OpenStudy, changed: int, reporter: Reporter) -> None:
    """Tell how many answers the type of the stored logits changed."""
    if study.inference.storage == "float32":
        return
    total = sum(len(study.datasets[c.dataset]) for c in study.conditions) * len(study.classifiers)
    reporter.say(
        f"Storing logits as float16 changed {changed:,} of {total:,} answers"
        + ('; storage = "float32" under [run] changes none' if changed else "")
    )


def say_plan(plan: Plan, study: OpenStudy, reporter: Reporter) -> None:
    """Tell what is cached, what was set aside, what will run, how long and how much disk."""
    spec = study.spec
    for name in plan.set_aside:
        reporter.say(f"Set aside, it does not match its manifest and is computed again: {name}")
    say_hidden(study.datasets.values(), reporter)
    say_released(spec, study.conditions, reporter)
    if marked := [c.name for c in study.classifiers if not c.card.repeatable]:
        reporter.say(
            f"Not a function of the image alone, since repeatable = false: {', '.join(marked)}; another run, "
            "batch size or order gives other numbers"
        )
    for classifier in study.classifiers:
        for note in classifier.card.notes:
            reporter.say(f"{classifier.name}: {note}")
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
    rest = f"{duration(plan.seconds_of_tables)} for start, tables and figures"
    if plan.batches_missing or plan.maps_missing or plan.compared_missing:
        of_models = plan.seconds - plan.seconds_of_tables
        reporter.say(
            f"To run: about {duration(plan.seconds)} on {study.device}: {duration(of_models)} for models, "
            f"{rest}; {plan.bytes_missing / 1e6:,.0f} MB of disk ({plan.bytes_free / 1e9:,.0f} GB free)"
        )
    else:
        reporter.say(f"To run: no model; about {rest}")


def compute_missing(study: OpenStudy, stores: Stores, reporter: Reporter) -> None:
    """Run every model on every batch that is not in the store; the same for attribution maps."""
    for name, dataset in study.datasets.items():
        consumers = stores.of(name)
        steps = sum(consumer.num_steps() for consumer in consumers)
        if steps:
            reporter.start(f"Models on {name}", steps)
        stores.logits[name].read_files(study.conditions_of(name))
        run_models(
            dataset,
            study.canonical,
            study.conditions_of(name),
            consumers,
            batch_size=study.inference.batch_size,
            device=study.device,
            exclude_unreadable=study.spec.run.unreadable == "exclude",
            num_threads=min(4, torch.get_num_threads()),
        )
        for consumer in consumers:
            consumer.finish()


def open_predictions(study: OpenStudy, stores: Stores) -> Predictions:
    """The finished logits of every condition, by its name; unreadable samples left out.

    Raises:
        UserError: a sample is to be left out and `unreadable` is "stop", or fewer than two remain.
    """
    views: dict[str, ConditionPredictions] = {}
    for name, dataset in study.datasets.items():
        arrays = {key: stores.logits[name].read(key) for key in stores.logits[name].arrays}
        conditions = [condition.name for condition in study.conditions_of(name)]
        ids, labels_N = dataset.sample_ids, dataset.labels_N
        num_blocks = study.spec.ensembles.num_blocks
        views |= align(arrays, conditions, study.model_names, ids, labels_N, num_blocks, dataset.accepted)
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
    return Predictions(
        [views[condition.name] for condition in study.conditions],
        study.conditions,
        [classifier.card for classifier in study.classifiers],
    )
