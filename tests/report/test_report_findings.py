"""The findings state what the tables hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import polars as pl
from having import having

from nversion.report.labels import NO_BREAK
from nversion.report.sections.findings import (
    findings,
    scope,
    what_corruptions_cost,
    what_diversity_predicts,
    what_ensembles_gain,
    what_fails_together,
    what_to_deploy,
)
from nversion.report.tables import Study

Build = Callable[..., Study]


def plain(sentence: str) -> str:
    return sentence.replace(NO_BREAK, " ")


def test_there_are_five_sentences(hand_made: Build) -> None:
    said = findings(hand_made(pearson={"disagreement": (-0.5, -0.8, -0.1)}))
    assert len(said) == 5
    assert all(sentence.endswith(".") for sentence in said)


def test_the_scope_states_the_counts(hand_made: Build) -> None:
    assert scope(hand_made()) == (
        "We measured 3 models of one family on 1,000 images of d under 1 clean condition and 1 corrupted "
        "one, and 2 ensembles of 2."
    )


def test_the_cost_of_corruption_is_the_mean_drop_and_the_best_model_has_its_interval(
    hand_made: Build,
) -> None:
    said = plain(what_corruptions_cost(hand_made()))
    assert (
        "The hardest corruption, lines 1, lowers the models' mean top-1 accuracy from 70.0 % to 50.0 %"
        in said
    )
    assert "most robust model is a, with a lowest accuracy over all conditions of 60.0 % [58.0, 62.0]" in said


def test_without_corruptions_none_is_claimed(hand_made: Build) -> None:
    study = hand_made()
    clean = pl.col("condition") == "d/clean"
    study = having(study, models=study.models.filter(clean), conditions=study.conditions.filter(clean))
    assert plain(what_corruptions_cost(study)) == (
        "This study has no corrupted condition; the most accurate model on clean is a with 80.0 % "
        "[78.0, 82.0]."
    )


def test_ensembles_that_gain_are_counted(hand_made: Build) -> None:
    said = plain(what_ensembles_gain(hand_made()))
    assert said == (
        "Averaging is more accurate than the best member in 50 % of the ensembles of 2 on clean and 50 % "
        "over the 1 corrupted condition; on clean the median gain is +1.0 points."
    )


def test_ensembles_beat_their_best_member_by_intervals_that_allow_for_all(hand_made: Build) -> None:
    key = {"size": 2, "consensus": "average", "condition": "d/clean", "p_corrected": 0.5}
    rows = [key | {"low_corrected": low, "high_corrected": low + 0.04} for low in (0.01, -0.02, -0.06)]
    said = what_ensembles_gain(having(hand_made(), comparisons=rows))
    assert said.endswith(
        "; on clean the median gain is +1.0 points, and by intervals corrected for comparing all of them 1 "
        "of 3 are better and 1 worse."
    )


def test_the_finding_on_voters_is_the_mean_over_all_ensembles(hand_made: Build) -> None:
    key = {"size": 2, "right": 0.5}
    rows = [
        key | {"ensemble": e, "condition": c, "voter": v, "silent_wrong": wrong, "safe_stop": 0.25}
        for v, scale in (("majority", 1.0), ("unanimous", 0.5))
        for c, e, wrong in (
            ("d/clean", "a + b", 0.1 * scale),
            ("d/clean", "a + c", 0.2 * scale),
            ("d/lines-1", "a + b", 0.4 * scale),
        )
    ]
    said = what_fails_together(having(hand_made(), votes=rows))
    assert [plain(sentence) for sentence in said] == [
        "A 2-out-of-2 voter returns a wrong answer on 15.0 % of the images of clean, on average over all "
        "ensembles of 2, and on 40.0 % under lines 1; if all members must agree, it returns 20.0 % there and "
        "stops on 25.0 %."
    ]


def test_a_relation_whose_interval_covers_zero_is_not_distinguishable_from_it(hand_made: Build) -> None:
    said = what_diversity_predicts(hand_made(pearson={"disagreement": (-0.4, -0.8, 0.1)}, num_models=8))
    assert "disagreement −0.40 [−0.80, 0.10] (not distinguishable from zero)" in said
    assert said.endswith("; under the 1 corruption none of these is distinguishable from zero.")


def test_a_relation_whose_interval_excludes_zero_is_stated_with_its_sign(hand_made: Build) -> None:
    said = what_diversity_predicts(
        hand_made(
            pearson={"disagreement": (-0.4, -0.8, -0.1), "mean_member_accuracy": (0.5, 0.2, 0.7)},
            num_models=8,
        )
    )
    assert "with disagreement −0.40 [−0.80, −0.10] and the mean accuracy of the members 0.50" in said
    assert "disagreement on 1 (negative) and the mean accuracy of the members on 1 (positive)" in said
    assert "not distinguishable" not in said


def test_relations_of_which_none_is_defined_are_claimed_of_none(hand_made: Build) -> None:
    undefined = dict.fromkeys(("disagreement", "mean_member_accuracy"), (math.nan,) * 3)
    assert what_diversity_predicts(hand_made(pearson=undefined, num_models=8)) == (
        "The correlation of improvement with diversity is undefined over 2 ensembles of 2 on clean."
    )


def test_an_undefined_relation_beside_a_defined_one_is_called_undefined(hand_made: Build) -> None:
    pearson = {"disagreement": (math.nan,) * 3, "mean_member_accuracy": (0.5, 0.2, 0.7)}
    assert what_diversity_predicts(hand_made(pearson=pearson, num_models=8)) == (
        "On clean the Pearson correlation of the improvement is, with disagreement undefined and the mean "
        "accuracy of the members 0.50 [0.20, 0.70]; under the 1 corruption it is distinguishable from zero "
        "for the mean accuracy of the members on 1 (positive)."
    )


def test_a_relation_without_an_interval_is_distinguishable_from_nothing(hand_made: Build) -> None:
    said = what_diversity_predicts(
        hand_made(pearson={"disagreement": (0.4, math.nan, math.nan)}, num_models=8)
    )
    assert said.endswith(
        "with disagreement 0.40 [interval undefined]; under the 1 corruption no interval of these is defined."
    )


def test_few_models_have_no_correlations_over_their_ensembles(hand_made: Build) -> None:
    assert what_diversity_predicts(hand_made(pearson={"disagreement": (0.9, 0.8, 0.95)}, num_models=7)) == (
        "7 models are too few to correlate improvement with diversity: ensembles share members, and with "
        "fewer than 8 models the intervals of correlations over ensembles contain nearly all values."
    )


def test_the_only_ensemble_has_its_own_gain(hand_made: Build) -> None:
    assert plain(what_ensembles_gain(hand_made({"a + b": 0.03}))) == (
        "The only ensemble of 2, by average, differs from its best member on clean by +3.0 points "
        "[+1.0, +5.0]; it is more accurate under 1 of 1 corrupted condition."
    )


def test_what_was_not_measured_is_said_to_be_unmeasured(hand_made: Build) -> None:
    assert what_diversity_predicts(hand_made()) == (
        "The correlation of improvement with diversity was not measured."
    )


def test_without_ensembles_there_are_no_findings_on_them(hand_made: Build) -> None:
    study = hand_made({})
    assert "no ensembles" in scope(study)
    assert what_ensembles_gain(study).startswith("No ensembles were formed")
    assert what_to_deploy(study).startswith("Without ensembles there is nothing to compare")


def test_corruptions_that_cost_nothing_are_not_called_hard(hand_made: Build) -> None:
    study = hand_made()
    easier = pl.when(pl.col("condition") == "d/lines-1").then(pl.col("top1") + 0.25).otherwise(pl.col("top1"))
    said = plain(what_corruptions_cost(having(study, models=study.models.with_columns(top1=easier))))
    assert said.startswith(
        "No corruption lowers the models' mean top-1 accuracy: it is 70.0 % on clean and lowest, 75.0 %, on "
        "lines 1; the most robust model"
    )


def test_families_that_were_guessed_are_called_guessed(hand_made: Build) -> None:
    study = hand_made()
    guessed = study.models.with_columns(family_declared=pl.col("model") == "a")
    assert scope(having(study, models=guessed)).startswith(
        "We measured 3 models of one family (guessed from the names of 2 models) on 1,000 images of d"
    )


def test_families_that_nobody_states_are_called_not_stated(hand_made: Build) -> None:
    study = hand_made()
    unknown = study.models.with_columns(family_declared=pl.lit(False), family=pl.lit("other"))
    said = scope(having(study, models=unknown))
    assert said.startswith("We measured 3 models of unknown families on 1,000 images of d")


def test_models_whose_methodology_is_not_declared_carry_no_finding_on_methodologies(hand_made: Build) -> None:
    study = hand_made(manifest={"settings": {"reliability": {"group_by": ["family", "training"]}}})
    assert what_fails_together(study) == [
        "Whether mixing methodologies reduces common failure was not measured: no model's architecture "
        "family or training approach is declared, and guesses from names are not used. Declare it in the "
        "study file or on the card of a weights file."
    ]


def test_nothing_is_recommended_without_held_out_images(hand_made: Build) -> None:
    assert what_to_deploy(hand_made()).startswith("No ensemble is recommended: none was selected on one part")


def test_a_selection_is_evaluated_on_held_out_images(hand_made: Build, synthetic: ModuleType) -> None:
    study = replace(hand_made(), selection=synthetic.choice("a", "b", "c"))
    assert plain(what_to_deploy(study)) == (
        "Selected on one half of the images and 2 conditions, the ensemble a + b + c reaches 66.0 % on the "
        "other half under the worst of these, +3.0 points [+1.0, +5.0] compared with the best single model, "
        "a, with 3.0 times its 1 M parameters; under the one unseen condition it reaches 61.0 %, +1.0 points "
        "[−1.0, +3.0] (not distinguishable from zero); both on held-out images."
    )
