"""Metrics as functions: equal to other libraries' and to the streamed formulas, whatever the arrays are."""

import math

import deslib.util.diversity as deslib
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import cohen_kappa_score
from torchmetrics.nominal import FleissKappa

import nversion as nv
from nversion import UserError
from nversion.diversity import METRICS, FailureCounts, OutputSums, PairCounts, ensemble_mean, metric
from nversion.ensembles import Chunk, Ensembles

RNG = np.random.default_rng(0)
N, C = 200, 5
LABELS = RNG.integers(0, C, N)
LOGITS = RNG.normal(size=(3, N, C)) + 1.5 * np.eye(C)[LABELS]
PREDICTED = LOGITS.argmax(-1)
A, B = PREDICTED[:2]
RIGHT = PREDICTED == LABELS
PAIRS = ("disagreement", "q_statistic", "rho", "double_fault", "ratio_of_errors", "error_consistency")


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("disagreement", deslib.disagreement_measure),
        ("double_fault", deslib.double_fault),
        ("q_statistic", deslib.Q_statistic),
        ("ratio_of_errors", deslib.ratio_errors),
        ("rho", deslib.correlation_coefficient),
    ],
)
def test_pairwise_metrics_are_those_of_deslib(name, oracle):
    assert getattr(nv.metrics, name)(A, B, LABELS) == pytest.approx(oracle(LABELS, A, B), abs=1e-12)


def test_error_consistency_is_the_kappa_of_scikit_learn():
    expected = cohen_kappa_score(RIGHT[0], RIGHT[1])
    assert nv.metrics.error_consistency(A, B, LABELS) == pytest.approx(expected, abs=1e-12)


def test_kappa_is_the_fleiss_kappa_of_torchmetrics():
    num_right = RIGHT.sum(0)
    counts = torch.from_numpy(np.stack([num_right, 3 - num_right], -1))
    assert nv.metrics.kappa(RIGHT) == pytest.approx(FleissKappa(mode="counts")(counts).item(), abs=1e-6)


@pytest.mark.parametrize(("only_a", "only_b"), [(10, 3), (0, 7), (5, 5), (0, 0)])
def test_the_test_of_mcnemar_is_the_binomial_test_of_scipy(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert nv.metrics.mcnemar_p_value(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_the_test_of_mcnemar_counts_predictions():
    only_a, only_b = int((RIGHT[0] & ~RIGHT[1]).sum()), int((RIGHT[1] & ~RIGHT[0]).sum())
    expected = nv.metrics.mcnemar_p_value(only_a, only_b)
    assert nv.metrics.mcnemar_p_value(A, B, LABELS) == expected
    assert nv.metrics.mcnemar_p_value(LOGITS[0], LOGITS[1], LABELS) == expected
    assert nv.metrics.mcnemar_p_value(RIGHT[0], RIGHT[1]) == expected


def test_divergences_are_those_of_scipy():
    p, q = (np.exp(one) / np.exp(one).sum(-1, keepdims=True) for one in LOGITS[:2])
    kl = (stats.entropy(p, q, axis=-1) + stats.entropy(q, p, axis=-1)).mean() / 2
    assert nv.metrics.kl(LOGITS[0], LOGITS[1]) == pytest.approx(kl, rel=1e-5)
    js = (jensenshannon(p, q, axis=-1) ** 2).mean()
    assert nv.metrics.js(LOGITS[0], LOGITS[1]) == pytest.approx(js, rel=1e-5)


def test_attribution_diversity_is_the_variance_of_numpy():
    maps = RNG.normal(size=(3, 4, 2, 5, 5))
    expected = maps.var(0).reshape(4, -1).sum(-1).mean()
    assert nv.metrics.attribution_diversity(maps) == pytest.approx(expected, rel=1e-12)
    unit = maps / np.sqrt((maps**2).sum((2, 3, 4), keepdims=True))
    expected = unit.var(0, ddof=1).reshape(4, -1).sum(-1).mean()
    found = nv.metrics.attribution_diversity(maps, normalise="l2", unbiased=True)
    assert found == pytest.approx(expected, rel=1e-12)


def test_cka_is_blind_to_rotation_and_scale_and_0_for_independent_features():
    features = RNG.normal(size=(400, 6))
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    assert nv.metrics.cka(features, 3 * features @ turn + 1) == pytest.approx(1, abs=1e-6)
    assert abs(nv.metrics.cka(features, RNG.normal(size=(400, 9)), batch_size=100)) < 0.05


@pytest.mark.parametrize("name", PAIRS)
def test_pairwise_functions_are_the_streamed_formulas(name):
    counts = PairCounts.from_right(torch.from_numpy(RIGHT), torch.arange(N) % 7, 7)
    registered = "q" if name == "q_statistic" else name
    values_MM = METRICS[registered].function(*counts.total())
    function = getattr(nv.metrics, name)
    assert function(PREDICTED[0], PREDICTED[2], LABELS) == values_MM[0, 2].item()
    assert function(PREDICTED, labels=LABELS) == ensemble_mean(values_MM, Ensembles.all_of(3, 3))[0].item()


@pytest.mark.parametrize("name", ["entropy", "kohavi_wolpert", "kappa", "difficulty", "coincident_failure"])
def test_functions_of_ensembles_are_the_streamed_formulas(name):
    every = Ensembles.all_of(3, 3)
    counts = FailureCounts.from_right(torch.from_numpy(RIGHT), torch.arange(N) % 7, 7, every)
    expected = METRICS[name].function(counts.total()).item()
    assert getattr(nv.metrics, name)(PREDICTED, LABELS) == expected


@pytest.mark.parametrize("name", ["label_disagreement", "kl", "js", "cosine"])
def test_functions_of_outputs_are_the_streamed_formulas(name):
    sums = OutputSums(3, 2)
    logits_MNC = torch.from_numpy(LOGITS).float()
    sums.update(Chunk(0, logits_MNC, torch.from_numpy(LABELS), torch.arange(N) % 2))
    expected = METRICS[name].function(sums).full_E[0, 1].item()
    found = getattr(nv.metrics, name)(logits_MNC[0], logits_MNC[1])
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "answers",
    [
        PREDICTED,
        PREDICTED.tolist(),
        PREDICTED.astype(np.uint8),
        torch.from_numpy(PREDICTED),
        list(torch.from_numpy(PREDICTED)),
        LOGITS,
        LOGITS.astype(np.float16),
        torch.from_numpy(LOGITS).requires_grad_(),
        torch.from_numpy(LOGITS).permute(2, 1, 0).contiguous().permute(2, 1, 0),
        LOGITS[:, ::-1][:, ::-1],
        LOGITS.astype(">f8"),
    ],
)
def test_every_form_of_the_answers_gives_the_same_value(answers):
    assert nv.metrics.kappa(answers, LABELS) == nv.metrics.kappa(RIGHT)


@pytest.mark.parametrize("name", [name for name in dir(nv.metrics) if name[0].islower()])
def test_every_function_has_a_docstring_and_gives_a_float(name):
    function = getattr(nv.metrics, name)
    assert "Args:" in function.__doc__ and function.__name__ == name
    if name in ("cka", "mcnemar_p_value"):
        value = function(LOGITS[0], LOGITS[1]) if name == "cka" else function(A, B, LABELS)
    else:
        value = function(LOGITS) if name == "attribution_diversity" else function(LOGITS, labels=LABELS)
    assert type(value) is float and math.isfinite(value)


def test_a_registered_metric_appears_by_itself():
    facts = {"low": 0.0, "high": 1.0, "higher_is_more_diverse": False, "undefined_when": "there is no sample"}
    metric("both_right", of="pairs", formula="N11 / N", **facts)(
        lambda n11, n10, n01, n00: n11 / (n11 + n10 + n01 + n00)
    )
    try:
        assert nv.metrics.both_right(RIGHT[0], RIGHT[1]) == (RIGHT[0] & RIGHT[1]).mean()
        both = nv.metrics.BothRight(num_models=2)
        both.update(RIGHT[:2])
        assert both.compute().item() == (RIGHT[0] & RIGHT[1]).mean()
    finally:
        METRICS._entries.pop("both_right")


def test_identical_models_are_undefined_where_the_formula_is():
    assert math.isnan(nv.metrics.q_statistic([True, True], [True, True]))
    assert math.isnan(nv.metrics.kappa([[True, True], [True, True]]))


PAIR_SLIPS = [
    ((A, B[:-1], LABELS), "on the same samples, of one kind"),
    ((A, LOGITS[0], LABELS), "class indices of both, or logits of both"),
    ((A, RIGHT[0], LABELS), "class indices of both"),
    ((LOGITS[:2], LABELS), "labels=labels"),
    ((PREDICTED, LABELS), "labels=labels"),
    ((A, B, LABELS[:-1]), "for 199 labels"),
    ((A, B), "expected labels for disagreement, found none"),
    ((A, B, LABELS > 1), "bool says which answers are right"),
    ((RIGHT[0], RIGHT[1], LABELS), "no labels with bool predictions"),
    ((A.astype(float), B.astype(float), LABELS), "logits (N, C), classes (N,) or bool (N,)"),
    ((A - 1, B, LABELS), "predicted classes of 0 or more, found -1"),
    ((0.3, 0.4), "logits (N, C), classes (N,) or bool (N,)"),
    (([], [], []), "at least one sample"),
    (("cat", "dog"), "found an array of text"),
    ((A.astype(object), B, LABELS), "found an array of objects"),
]


@pytest.mark.parametrize(("arguments", "message"), PAIR_SLIPS)
def test_slips_with_two_models_are_one_sentence(arguments, message):
    with pytest.raises(UserError) as error:
        nv.metrics.disagreement(*arguments)
    assert message in str(error.value)


STACK_SLIPS = [
    ((LOGITS.swapaxes(0, 1), LABELS), "np.swapaxes(predictions, 0, 1)"),
    ((LOGITS[0], LABELS), "stack the predictions of all models on the first axis"),
    ((A, LABELS), "of one model alone: predictions[None]"),
    ((LOGITS[:1], LABELS), "at least two models, models first, found those of 1"),
    ((LOGITS[:, :50], LABELS), "the same samples in the same order"),
    ((PREDICTED,), "expected labels for kappa, found none"),
    ((LOGITS, LABELS + 1), "expected labels from 0 to 4, found 5"),
    ((LOGITS[:, :0], LABELS[:0]), "at least one sample"),
    ((None,), "found none"),
    (([[0, 1], [0]], [0, 1]), "expected predictions as an array of numbers"),
]


@pytest.mark.parametrize(("arguments", "message"), STACK_SLIPS)
def test_slips_with_several_models_are_one_sentence(arguments, message):
    with pytest.raises(UserError) as error:
        nv.metrics.kappa(*arguments)
    assert message in str(error.value)


def test_a_row_of_nan_is_named():
    logits = LOGITS.copy()
    logits[2, 7] = np.nan
    with pytest.raises(
        UserError, match="finite logits of 'model 2', found nan in 1 of 200 rows, first at sample 7"
    ):
        nv.metrics.kappa(logits, LABELS)


def test_metrics_of_classes_need_classes():
    with pytest.raises(UserError, match="predicted classes or logits for shannon_all"):
        nv.metrics.shannon_all(RIGHT)


def test_other_settings_are_one_sentence():
    with pytest.raises(UserError, match="two numbers of 0 or more"):
        nv.metrics.mcnemar_p_value(-1, 3)
    with pytest.raises(UserError, match="at least 4 samples for CKA"):
        nv.metrics.cka(LOGITS[0, :3], LOGITS[1, :3])
    with pytest.raises(UserError, match="floating-point features"):
        nv.metrics.cka(LOGITS[0], LOGITS[1, :3])
    with pytest.raises(UserError, match="at least two models, normalise"):
        nv.metrics.attribution_diversity(LOGITS, normalise="l1")


def test_an_unknown_metric_is_an_attribute_error_with_a_name():
    with pytest.raises(AttributeError, match="did you mean 'disagreement'"):
        nv.metrics.disagrement  # noqa: B018
