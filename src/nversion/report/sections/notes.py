"""Notes on intervals, ties and undefined values; the terms of the report; the metrics."""

from __future__ import annotations

import polars as pl

from nversion.report.blocks import Block, Facts, Heading, Listing, Tables, Words
from nversion.report.frames import MAX_DRAWN, num_ensembles
from nversion.report.labels import condition_label, listed, metric_label, plural, short_metric_label
from nversion.report.plain import pairs_of, plain_table
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

_TERMS = {
    "methodologies": (
        ("difficulty θ", "probability that a model of one methodology fails on an image"),
        ("Eckhardt–Lee", "two models of one methodology fail together more often, by the variance of θ"),
        (
            "Littlewood–Miller",
            "models of two methodologies fail together more often, by the covariance of their θ (may be < 0)",
        ),
    ),
    "joint_failures": (
        ("β", "share of the failures of one member in which another member fails with it"),
        ("suspect", "an image that nearly all models misclassify: its label may be wrong"),
    ),
    "votes": (
        ("safe stop", "too few members agree, so no answer is given"),
        ("silently wrong", "enough members agree on one wrong class, so it is given as the answer"),
    ),
    "agreement": (
        ("coverage", "share of images that are answered"),
        ("risk", "share of answered images that are answered wrongly"),
    ),
    "robustness": (
        ("effective robustness", "accuracy under a corruption beyond what clean accuracy predicts"),
    ),
    "benchmark": (
        (
            "CE, mCE",
            "error under a corruption relative to that of a baseline; its mean over a set of corruptions",
        ),
    ),
    "cka": (("CKA", "centered kernel alignment: similarity of two layers on the same images"),),
}


@section("notes", order=210, nav="Notes", title="Notes")
def notes_section(study: Study) -> Blocks:
    blocks: list[Block] = [Words(intervals(study))]
    blocks += [Listing(said)] if (said := notes(study)) else []
    blocks += [Heading("Terms"), Facts(found)] if (found := terms(study)) else []
    if study.metrics:
        metrics = [row for m, row in study.metrics.items() if not study.is_conditioned(m)]
        blocks += [
            Heading("Metrics", only="screen"),
            Tables([plain_table("metrics", [_for_readers(study, row) for row in metrics], only="screen")]),
            Words(
                "The formula, the bounds and the direction of every metric are in tables/metrics.parquet.",
                only="print",
            ),
        ]
    return blocks


def _for_readers(study: Study, row: dict[str, object]) -> dict[str, object]:
    direction = row["higher_is_more_diverse"]
    return {
        "metric": metric_label(study, str(row["metric"])),
        "more diverse is": "unknown" if direction is None else "higher" if direction else "lower",
    } | {key: row[key] for key in ("low_bound", "high_bound", "formula", "undefined_when")}


def notes(study: Study) -> list[str]:
    """What a reader must know to read the numbers right."""
    said = []
    rules = study.values("ensembles", "consensus")
    if "geometric_mean" in rules and "average" in rules:
        said.append(
            "The geometric mean of the members' probabilities has the same winner as the average of their "
            "logits on every image: the two are identical and drawn once."
        )
    if "vote" in rules:
        ties = int(study.ensembles.filter(consensus="vote")["ties"].sum())
        said.append(
            "The accuracy of a majority vote is its expectation over random tie-breaking "
            f"(1/number tied if the label is among the tied); there were {plural(ties, 'tie')} over "
            "all images, ensembles and conditions."
        )
    said += [
        f"Scatter plots show {MAX_DRAWN:,} of the {num_ensembles(study, size):,} ensembles of {size}, drawn "
        "at random with a fixed seed; regression lines, correlations and shares use all of them."
        for size in study.sizes
        if num_ensembles(study, size) > MAX_DRAWN
    ]
    if study.sizes:
        instead = (
            "The chosen ensemble under “Held out” is free of this bias."
            if study.selection is not None
            else "`nversion select` selects on one half of the images and evaluates on the other."
        )
        said.append(
            "Figures and tables of all ensembles are over all images, so the best of many looks better there "
            f"than it is. {instead}"
        )
    said += _undefined(study)
    identities = [f"{k}: {text}" if k else text for k, text in pairs_of(study.manifest.get("identities"))]
    said += [text for text in identities if not text.startswith("geometric_mean")]  # said above
    said += [f"{name}: {text}" if name else text for name, text in pairs_of(study.manifest.get("notes"))]
    return said


def _undefined(study: Study) -> list[str]:
    """Pairs of a metric that is 0/0, each counted once, and images that no attribution metric could use."""
    said = []
    maps = pl.col("metric").is_in([m for m, row in study.metrics.items() if row["method"]])
    pairs, diversity = study.table("pairs"), study.table("diversity")
    if not pairs.is_empty():
        pairs = pairs.filter(~maps, pl.col("metric") != "cka")
        by_metric = pairs.filter(pl.col("value").is_nan()).group_by("metric", maintain_order=True).len()
        num = int(by_metric["len"].sum())
        if num:
            counts = listed(
                [f"{n:,} of {short_metric_label(study, metric)}" for metric, n in by_metric.iter_rows()]
            )
            said.append(
                f"{plural(num, 'pair value')} out of {pairs.height:,} (two models under one condition) "
                f"{'is' if num == 1 else 'are'} undefined (0/0): {counts}. They are excluded from the means "
                "of ensembles and never counted as 0."
            )
    if not diversity.is_empty():
        excluded = (
            diversity.filter(maps)
            .group_by("condition", maintain_order=True)
            .agg(pl.col("n_undefined").max())
            .filter(pl.col("n_undefined") > 0)
        )
        counts = listed([f"{n:,} under {condition_label(study, c)}" for c, n in excluded.iter_rows()])
        if counts:
            said.append(
                "Images that an attribution metric excluded because a model's map was zero everywhere and "
                f"could not be normalised: up to {counts}."
            )
    return said


def terms(study: Study) -> list[tuple[str, str]]:
    """Terms of the sections that the study has, with their meaning."""
    return [term for name, entries in _TERMS.items() if not study.table(name).is_empty() for term in entries]


def intervals(study: Study) -> str:
    """How the intervals were computed, in one paragraph."""
    models = len(study.model_names)
    compared = (
        ""
        if study.table("comparisons").is_empty()
        else ", except where ensembles are called better or worse than their best member"
    )
    text = (
        "Intervals are 95 %. Those of a correlation add two variances on Fisher's z: over images, by a "
        "block jackknife, and over models, by leaving out one model at a time, because ensembles that share "
        f"members are not independent; they use Student's t with {models - 1} degrees of freedom, one fewer "
        f"than the {plural(models, 'model')}. Those of an improvement are over images only, for these "
        f"models. Those of a model's accuracy are over images. None is corrected for multiple comparisons"
        f"{compared}."
    )
    if not study.table("methodologies").is_empty():
        text += (
            " Those of methodologies are for other images and, where a methodology has three models or more, "
            "for other models of the methodology."
        )
    if not study.table("joint_failures").is_empty():
        text += (
            " Those of joint failures are Clopper and Pearson’s, which are valid for few or no failures; "
            "those of other shares of an ensemble’s images are Wilson’s."
        )
    return text
