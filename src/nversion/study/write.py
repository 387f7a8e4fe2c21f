"""From finished stores to the tables of a study, one condition after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

import nversion
from nversion.attribution import find_method
from nversion.core.reporter import Reporter, duration
from nversion.core.study_files import begin_tables, remove_other_tables, write_table
from nversion.data import Condition, Dataset, UnreadableImageError
from nversion.diversity import MetricFacts
from nversion.ensembles import evaluate_sizes
from nversion.evaluation import tables
from nversion.evaluation.agreement import attribution_agreement
from nversion.evaluation.benchmark import benchmark_tables
from nversion.evaluation.design import (
    methodologies_of,
    methodologies_table,
    predicted_failures_table,
    properties_table,
)
from nversion.evaluation.evidence import (
    agreement_table,
    calibration_table,
    comparisons_table,
    joint_failures_table,
    votes_table,
)
from nversion.evaluation.gains import gains_table, power_table
from nversion.evaluation.hazards import hazards_table
from nversion.evaluation.lineage import lineage_table
from nversion.evaluation.measure import (
    AttributedGrams,
    ConditionResult,
    EnsembleResult,
    PairValues,
    measure_condition,
)
from nversion.evaluation.metrics import SIMILARITY, asked_metrics, known_metrics
from nversion.evaluation.robustness import robustness_tables
from nversion.evaluation.schemas import RIVAL
from nversion.evaluation.severities import severities_table
from nversion.evaluation.studied import Contenders, RightAnswers, right_answers
from nversion.evaluation.suspects import (
    condition_of_suspects,
    find_suspects,
    suspects_table,
    write_suspects_sheet,
)
from nversion.evaluation.trends import correlations
from nversion.predictions import ConditionPredictions
from nversion.predictions.grams import metric_name
from nversion.reliability import Methodologies
from nversion.selection.rival import rival_table
from nversion.selection.select import Selection

from .all_fail import ALL_MODELS, CHOSEN, NUM_PICTURES, all_fail_table
from .choose import write_selection
from .pictures import maps_table, models_of_different_families, samples_table
from .plan import OpenStudy, Stores, study_hash
from .stored import stored_study

TRIED_SAMPLES = 64  # evaluated once more to tell how long all will take


def write_tables(
    study: OpenStudy, stores: Stores, predictions: Mapping[str, ConditionPredictions], reporter: Reporter
) -> dict[str, Any]:
    """Measure and write every table, the selection's, too; returns facts for the manifest.

    Memory: the results of two conditions, this one's and its data set's clean one; how often all ensembles
    are right in each block of images under every condition of a data set, by one rule; and the tables.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    near_ties: dict[str, dict[str, int]] = {}
    groupings = methodologies_of([c.card for c in study.classifiers], study.spec.reliability)
    say_work(study, predictions, reporter)
    for name, dataset in study.datasets.items():
        conditions = study.conditions_of(name)
        first = condition_of_suspects(conditions)
        clean: ConditionResult | None = None
        credits: dict[str, Tensor] = {}
        # The condition that tells the suspects, clean where there is one, stands first.
        for condition in sorted(conditions, key=lambda c: c is not first):
            view = predictions[condition.name]
            result = measure(study, stores, condition, view)
            if condition is first:
                answers = result.answers
                asked = study.spec.reliability
                suspects = find_suspects(
                    answers.predicted_MN, answers.right_MN, asked.suspect_share, asked.suspect_agreement
                )
                suspects_N = torch.from_numpy(suspects.mask_N)
                pictures = study.spec.report.suspects
                of_suspects = suspects_table(dataset, study.canonical, first, view.rows_N, suspects, pictures)
                parts.setdefault("suspects", []).append(of_suspects)
            clean = result if condition.is_clean else clean
            ids = [dataset.sample_ids[row] for row in view.rows_N.tolist()]
            found = tables_of_condition(study, stores, condition, result, clean, suspects_N, groupings, ids)
            for table, frame in found.items():
                parts.setdefault(table, []).append(frame)
            near_ties[result.condition] = _near_ties(result)
            credits[condition.name] = right_answers(result, _one_rule(study))
            reporter.advance()
        answered = RightAnswers(name, study.canonical.size, conditions, credits, result.models.count_B)
        who = _contenders(study)
        found = benchmark_tables(answered, who, study.baseline)
        for table, frame in (found | {"severities": severities_table(answered, who)}).items():
            parts.setdefault(table, []).append(frame)
    rows_of = {name: predictions[study.conditions_of(name)[0].name].rows_N for name in study.datasets}
    num_samples = {name: len(rows_N) for name, rows_N in rows_of.items()}
    unreadable = {name: _reasons(study.datasets[name], rows_N) for name, rows_N in rows_of.items()}
    excluded = {name: len(reasons) for name, reasons in unreadable.items()}
    reporter.start("Pictures", 1)
    order = [condition.name for condition in study.conditions]
    frames = {name: _in_order(pl.concat(of_name), order) for name, of_name in parts.items()} | {
        "conditions": tables.conditions_table(study.conditions, num_samples, excluded),
        "labels": tables.labels_table(study.datasets),
        "metrics": tables.metrics_table(facts_of_metrics(study)),
        "lineage": lineage_table([classifier.card for classifier in study.classifiers]),
        "samples": samples_table(study.datasets, study.canonical, study.conditions, study.spec.report.images),
    }
    if (maps := _maps(study)) is not None:
        frames["maps"] = maps
    facts = _facts(study)
    for path in begin_tables(study.folder):
        reporter.say(f"Set aside, it does not match the manifest and is computed again: {path}")
    digests = {name: write_table(study.folder, name, frame, facts) for name, frame in frames.items()}
    write_suspects_sheet(study.folder / "figures" / "suspects.png", frames["suspects"])
    reporter.advance()
    selection, of_selection = write_selection(stored_study(study, predictions), study.folder, facts, reporter)
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
        "changed_top1": sum(_changed(stores).values()),
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
    rival = pl.DataFrame(schema=RIVAL)
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


def measure(
    study: OpenStudy, stores: Stores, condition: Condition, view: ConditionPredictions
) -> ConditionResult:
    """Evaluate all ensembles under one condition, from the stores alone."""
    similarity = None
    if condition.dataset in stores.similarities:
        found = stores.similarities[condition.dataset].read(condition, view.num_blocks)
        similarity = None if found is None else PairValues(*found.similarity(), found.batches_B())
    return measure_condition(
        view,
        study.ensembles(),
        study.spec.ensembles,
        stored_grams(stores, condition, view),
        similarity,
        study.cost_CC,
    )


def stored_grams(
    stores: Stores, condition: Condition, view: ConditionPredictions
) -> dict[str, AttributedGrams]:
    """For each attribution metric of a condition, its stored Gram matrices of readable images."""
    if condition.dataset not in stores.grams:
        return {}
    writer = stores.grams[condition.dataset]
    readable_n = np.flatnonzero(np.isin(writer.samples, view.rows_N))
    positions_n = torch.from_numpy(np.searchsorted(view.rows_N, writer.samples[readable_n]))
    return {
        metric: AttributedGrams(array.read(), readable_n, positions_n)
        for (name, metric), array in writer.arrays.items()
        if name == condition.name
    }


def tables_of_condition(
    study: OpenStudy,
    stores: Stores,
    condition: Condition,
    result: ConditionResult,
    clean: ConditionResult | None,
    suspects_N: Tensor,
    groupings: Mapping[str, Methodologies],
    sample_ids: Sequence[str],
) -> dict[str, pl.DataFrame]:
    """The rows of one condition in every table that has rows of conditions.

    Args:
        clean: of the same data set, this one's own result if it is clean; None where there is none.
        suspects_N: images whose label is suspected.
        sample_ids: of the readable samples.
    """
    cards, names = [classifier.card for classifier in study.classifiers], study.model_names
    reliability = study.spec.reliability
    comparisons = comparisons_table(result, names)
    found = {
        "models": tables.models_table([result], cards, _changed(stores)),
        "ensembles": tables.ensembles_table([result], cards),
        "pairs": tables.pairs_table([result], cards),
        "diversity": tables.diversity_table([result], cards),
        "correlations": correlations(result, clean),
        "near_ties": tables.near_ties_table(result, names, sample_ids),
        "comparisons": comparisons,
        "gains": gains_table(result, names),
        "power": power_table(comparisons),
        "calibration": calibration_table(result, names),
        "agreement": agreement_table(result, names),
        "votes": votes_table(result, names),
        "joint_failures": joint_failures_table(result, suspects_N, names),
        "methodologies": methodologies_table(result, suspects_N, groupings),
        "properties": properties_table(result, groupings, cards, reliability),
        "predicted_failures": predicted_failures_table(result, condition.dataset, groupings, names),
        "hazards": pl.concat(_hazards(study, condition, result, size) for size in result.sizes),
    }
    if clean is not None and clean is not result:
        found["robustness"], found["robustness_groups"] = robustness_tables(result, clean, cards)
    if result.grams:
        found["attribution_agreement"] = attribution_agreement(condition.name, result.grams, names)
    if condition.dataset in stores.similarities:
        representations = stores.similarities[condition.dataset].read(condition, 1)
        if representations is not None:
            of_layers = representations.table(names)
            found["cka"] = of_layers.select(pl.lit(condition.name).alias("condition"), pl.all())
    return found


def _hazards(
    study: OpenStudy, condition: Condition, result: ConditionResult, size: EnsembleResult
) -> pl.DataFrame:
    cost = size.calibration.expected_cost
    average = size.evaluations.get("average")
    nothing_E = [float("nan")] * len(size.ensembles)
    return hazards_table(
        result.answers.right_MN,
        result.answers.labels_N,
        size.ensembles,
        condition=condition.name,
        model_names=study.model_names,
        label_space=study.datasets[condition.dataset].label_space,
        groups=study.groups,
        failure_E=nothing_E if average is None else (1 - average.accuracy_E).tolist(),
        expected_cost_E=nothing_E if cost is None else cost.full_E.tolist(),
    )


def _in_order(frame: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """Rows by the study's order of conditions, if of one, each condition's in the order they came."""
    if not {"condition", "accuracy_condition"} & set(frame.columns):
        return frame
    column = "condition" if "condition" in frame.columns else "accuracy_condition"
    rank = pl.col(column).replace_strict(
        {name: i for i, name in enumerate(conditions)}, return_dtype=pl.Int64
    )
    return frame.sort(rank, maintain_order=True)


def _one_rule(study: OpenStudy) -> str:
    """The rule by which ensembles stand beside models: averaging if it was asked for."""
    asked = study.spec.ensembles.consensus
    return "average" if "average" in asked else asked[0]


def _contenders(study: OpenStudy) -> Contenders:
    """All models, then the ensembles of every size."""
    models = study.model_names
    families = study.ensembles()
    members = [row for family in families for row in family.members_EK.tolist()]
    named = {frozenset(map(models.index, wanted)) for wanted in study.spec.report.ensembles}
    return Contenders(
        [[name] for name in models] + [[models[i] for i in row] for row in members],
        _one_rule(study),
        len(models),
        [len(models) + i for i, row in enumerate(members) if frozenset(row) in named],
    )


def _near_ties(result: ConditionResult) -> dict[str, int]:
    return {
        f"{size.ensembles.size}/{rule}": evaluation.num_near_ties
        for size in result.sizes
        for rule, evaluation in size.evaluations.items()
        if evaluation.num_near_ties
    }


def _changed(stores: Stores) -> dict[tuple[str, str], int]:
    """By condition and model, top classes that the type of the stored logits changed."""
    return {key: array.note for writer in stores.logits.values() for key, array in writer.arrays.items()}


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


def facts_of_metrics(study: OpenStudy) -> list[MetricFacts]:
    """Bounds, direction and formula of every metric of this study."""
    known = known_metrics()
    facts = [known[name] for name in asked_metrics(study.spec.ensembles.diversity)]
    if study.spec.representation is not None:
        facts.append(SIMILARITY)
    if (asked := study.spec.attribution) is None:
        return facts
    kind = "absolute" if asked.absolute else "signed"
    scale = {"none": "as they are", "l2": "of unit Euclidean norm", "sum": "of unit sum of magnitudes"}
    over = {
        "": "mean over images",
        "_all_right": "mean over the images that all members classify rightly",
        "_some_right": "mean over the images that some members, not all, classify rightly",
        "_none_right": "mean over the images that no member classifies rightly",
    }
    for method in asked.methods:
        for target in asked.targets:
            for normalise in asked.normalise:
                formula = (
                    f"Eq. 7: variance over members, summed over channels and pixels, of {kind} {method} maps "
                    f"of the {target} class, {scale[normalise]}"
                )
                facts += [
                    MetricFacts(
                        name=metric_name(method, target, normalise) + stratum,
                        low=0.0,
                        high=float("inf"),
                        higher_is_more_diverse=True,
                        formula=f"{formula}; {words}",
                        undefined_when="there is no such image"
                        if normalise == "none"
                        else "a map is zero everywhere, or there is no such image",
                    )
                    for stratum, words in over.items()
                ]
    return facts


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
