"""From finished stores to the tables of a study, one condition after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import nversion
from nversion.attribution import find_method
from nversion.core.reporter import Reporter, duration
from nversion.core.study_files import begin_tables, remove_other_tables, write_table
from nversion.data import Condition, Dataset, UnreadableImageError
from nversion.diversity import Metric
from nversion.ensembles import evaluate_sizes
from nversion.evaluation import TABLES, Inputs, evaluate_inputs
from nversion.evaluation.measure import AttributedGrams, ConditionResult
from nversion.predictions import ConditionPredictions
from nversion.predictions.similarities import Representations
from nversion.selection.rival import rival_table
from nversion.selection.select import Selection

from .all_fail import ALL_MODELS, CHOSEN, NUM_PICTURES, all_fail_table
from .choose import write_selection
from .pictures import maps_table, models_of_different_families, samples_table
from .plan import OpenStudy, Stores, study_hash
from .suspects import with_pictures, write_suspects_sheet

TRIED_SAMPLES = 64  # evaluated once more to estimate the time of all


def write_tables(
    study: OpenStudy, stores: Stores, predictions: Mapping[str, ConditionPredictions], reporter: Reporter
) -> dict[str, Any]:
    """Measure and write every table, the selection's, too; returns facts for the manifest.

    Memory: the results of two conditions, this one's and its data set's clean one; how often all ensembles
    are right in each block of images under every condition, by one rule; and the tables.
    """
    near_ties: dict[str, dict[str, int]] = {}
    say_work(study, predictions, reporter)

    def on_condition(result: ConditionResult) -> None:
        near_ties[result.condition] = _near_ties(result)
        reporter.advance()

    result = evaluate_inputs(inputs_of(study, stores, predictions), on_condition)
    frames = result.tables
    rows_of = {name: predictions[study.conditions_of(name)[0].name].rows_N for name in study.datasets}
    num_samples = {name: len(rows_N) for name, rows_N in rows_of.items()}
    unreadable = {name: _reasons(study.datasets[name], rows_N) for name, rows_N in rows_of.items()}
    excluded = {name: len(reasons) for name, reasons in unreadable.items()}
    reporter.start("Pictures", 1)
    canonical, shown = study.canonical, study.spec.report
    frames["suspects"] = with_pictures(frames["suspects"], study.datasets, canonical, shown.suspects)
    frames["samples"] = samples_table(study.datasets, canonical, study.conditions, shown.images)
    if (maps := _maps(study)) is not None:
        frames["maps"] = maps
    facts = _facts(study)
    for path in begin_tables(study.folder):
        reporter.say(f"Set aside, it does not match the manifest and is computed again: {path}")
    digests = {name: write_table(study.folder, name, frame, facts) for name, frame in frames.items()}
    write_suspects_sheet(study.folder / "figures" / "suspects.png", frames["suspects"])
    reporter.advance()
    selection, of_selection = write_selection(
        result.stored(study.spec.study.name, study_hash(study)), study.folder, facts, reporter
    )
    if selection is None:
        reporter.say("No ensemble was chosen: there are too few images or conditions to hold some out")
    digests |= of_selection | _write_after_selection(study, predictions, selection, reporter)
    remove_other_tables(study.folder, keep=digests)
    methods = [] if study.spec.attribution is None else study.spec.attribution.methods
    return {
        "tables": digests,
        "num_samples": num_samples,
        "excluded": excluded,
        "unreadable": {name: reasons for name, reasons in unreadable.items() if reasons},
        "changed_top1": sum(array.note for w in stores.logits.values() for array in w.arrays.values()),
        "logits": _places_of_logits(study, stores),
        "near_ties": near_ties,
        "attribution_passes": {method: find_method(method).passes for method in methods},
    }


def _write_after_selection(
    study: OpenStudy,
    predictions: Mapping[str, ConditionPredictions],
    selection: Selection | None,
    reporter: Reporter,
) -> dict[str, str]:
    """The tables about the chosen ensemble that need images or logits: its rival, images on which all fail.

    Where a single model was chosen, the ensemble is the one that the rule takes among ensembles.

    Args:
        selection: None where nothing was chosen; then images are of all models alone, and there is no rival.

    Returns:
        The digests of the tables by name.
    """
    reporter.start("Images on which all fail", 1)
    groups: dict[str, Sequence[str]] = {ALL_MODELS: study.model_names}
    rival = pl.DataFrame(schema=TABLES["rival"].schema)
    if selection is not None:
        ensemble = "best_ensemble" if selection.chosen_is_single else "chosen"
        chosen, single = (_members_of(selection, role) for role in (ensemble, "best_single_model"))
        groups[CHOSEN] = chosen
        rival = rival_table(predictions, study.conditions, chosen, single[0], selection.request.seed)
    pictures = NUM_PICTURES if study.spec.report.images else 0
    images = (study.datasets, study.canonical, study.conditions)
    frames = {
        "all_fail": all_fail_table(*images, predictions, groups, pictures),
        "rival": rival,
    }
    facts = _facts(study)
    digests = {name: write_table(study.folder, name, frame, facts) for name, frame in frames.items()}
    reporter.advance()
    return digests


def _members_of(selection: Selection, role: str) -> list[str]:
    members: list[str] = selection.table.filter(role=role)["members"][0].to_list()
    return members


def _facts(study: OpenStudy) -> dict[str, str]:
    return {
        "study": study.spec.study.name,
        "study_hash": study_hash(study),
        "nversion": nversion.__version__,
        "units": "fractions in [0, 1]",
    }


def inputs_of(study: OpenStudy, stores: Stores, predictions: Mapping[str, ConditionPredictions]) -> Inputs:
    """What a study knows, as an evaluation asks for it; everything comes from the stores."""

    def layers(condition: Condition) -> Representations | None:
        if condition.dataset not in stores.similarities:
            return None
        return stores.similarities[condition.dataset].read(condition, predictions[condition.name].num_blocks)

    return Inputs(
        predictions,
        study.conditions,
        [classifier.card for classifier in study.classifiers],
        study.datasets,
        study.spec.ensembles,
        study.spec.reliability,
        study.canonical.size,
        study.groups,
        study.cost_CC,
        study.baseline,
        study.spec.report.ensembles,
        {key: array.note for writer in stores.logits.values() for key, array in writer.arrays.items()},
        study.spec.attribution,
        lambda condition: stored_grams(stores, condition, predictions[condition.name]),
        layers,
        study.spec.representation is not None,
    )


def stored_grams(
    stores: Stores, condition: Condition, view: ConditionPredictions
) -> dict[Metric, AttributedGrams]:
    """For each attribution metric of a condition, its stored Gram matrices of readable images."""
    if condition.dataset not in stores.grams:
        return {}
    writer = stores.grams[condition.dataset]
    readable_n = np.flatnonzero(np.isin(writer.samples, view.rows_N))
    positions_n = torch.from_numpy(np.searchsorted(view.rows_N, writer.samples[readable_n]))
    return {
        writer.metrics[metric]: AttributedGrams(array.read(), readable_n, positions_n)
        for (name, metric), array in writer.arrays.items()
        if name == condition.name
    }


def _near_ties(result: ConditionResult) -> dict[str, int]:
    return {
        f"{size.ensembles.size}/{rule}": evaluation.num_near_ties
        for size in result.sizes
        for rule, evaluation in size.evaluations.items()
        if evaluation.num_near_ties
    }


def _places_of_logits(study: OpenStudy, stores: Stores) -> dict[str, dict[str, str]]:
    places: dict[str, dict[str, str]] = {}
    for writer in stores.logits.values():
        for (condition, model), array in writer.arrays.items():
            places.setdefault(condition, {})[model] = array.folder.relative_to(study.folder).as_posix()
    return places


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


def say_work(study: OpenStudy, predictions: Mapping[str, ConditionPredictions], reporter: Reporter) -> None:
    """Tell how long the ensembles will take, from the first few samples of the first condition."""
    families, consensus = study.ensembles(), study.spec.ensembles.consensus
    view = next(iter(predictions.values()))
    few = next(view.chunks(TRIED_SAMPLES * 4 * len(view.logits) * view.num_classes))
    start = time.perf_counter()
    evaluate_sizes([few], families, consensus, view.num_blocks)
    taken = time.perf_counter() - start
    seconds = taken / len(few.labels_N) * sum(map(len, predictions.values()))
    reporter.say(
        f"Evaluating {sum(map(len, families)):,} ensembles by {len(consensus)} rules "
        f"on {len(study.conditions)} conditions: about {duration(seconds)}"
    )
    reporter.start("Ensembles", len(study.conditions))
