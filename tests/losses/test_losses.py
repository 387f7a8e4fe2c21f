"""Losses against autograd's Hessian, numbers by hand and the identities that define them."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nversion.core import UserError
from nversion.losses import LOSSES, TrainingBatch, make_loss, total
from nversion.losses.consensus import predicted_probabilities
from nversion.losses.correlation import curvature_in_logits, curvature_in_probabilities
from nversion.losses.outputs import log_volumes


def batch(members=3, samples=8, classes=5, seed=0, **more):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(members, samples, classes, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(classes, (samples,), generator=generator)
    maps = torch.randn(members, samples, 7, generator=generator, dtype=torch.float64)
    features = [torch.randn(samples, 6, generator=generator, dtype=torch.float64) for _ in range(members)]
    teacher = torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    kind = {"maps_MNP": maps, "features_M": features, "teacher_NC": teacher, "epoch": 100.0}
    return TrainingBatch(logits.requires_grad_(), labels, **{**kind, **more})


def number(scalar):
    return scalar.detach().item()


def gradient(loss, given):
    given.logits_MNC.grad = None
    total(loss(given)).backward()
    return given.logits_MNC.grad.clone()


EVERY = pytest.mark.parametrize("name", sorted(LOSSES))
WEIGHTED = sorted(set(LOSSES) - {"independent", "adp"})


@EVERY
def test_every_loss_has_finite_terms_whose_sum_has_a_gradient(name):
    given = batch()
    terms = make_loss({"name": name})(given)
    assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
    assert gradient(make_loss({"name": name}), given).abs().sum() > 0


@pytest.mark.parametrize("name", WEIGHTED)
def test_without_weight_each_member_has_an_mth_of_its_own_gradient(name):
    alone = make_loss({"name": "independent", "reduction": "sum"})
    given = batch()
    of_loss = gradient(make_loss({"name": name, "weight": 0.0}), given)
    assert torch.allclose(3 * of_loss, gradient(alone, given), atol=1e-12)


def test_summed_independent_loss_gives_a_member_the_gradient_it_has_alone():
    given = batch()
    together = gradient(make_loss({"name": "independent", "reduction": "sum"}), given)
    for i in range(3):
        own = given.logits_MNC[i].detach().requires_grad_()
        F.cross_entropy(own, given.labels_N).backward()
        assert torch.allclose(together[i], own.grad, atol=1e-12)


def test_curvature_in_logits_is_the_quadratic_form_of_autograds_hessian():
    given = batch()
    logits, labels = given.logits_MNC.detach(), given.labels_N
    ensemble = logits.mean(0)
    ours = curvature_in_logits(logits, ensemble)
    for i, n in np.ndindex(3, 8):
        hessian = torch.autograd.functional.hessian(lambda f, n=n: F.cross_entropy(f, labels[n]), ensemble[n])
        difference = logits[i, n] - ensemble[n]
        assert ours[i, n] == pytest.approx(number(difference @ hessian @ difference), rel=1e-10)


def test_curvature_in_probabilities_is_the_quadratic_form_of_autograds_hessian():
    given = batch()
    logits, labels = given.logits_MNC.detach(), given.labels_N
    ensemble = predicted_probabilities(logits, "average")
    ours = curvature_in_probabilities(logits, ensemble, labels)
    for i, n in np.ndindex(3, 8):
        hessian = torch.autograd.functional.hessian(lambda f, n=n: -f[labels[n]].log(), ensemble[n])
        difference = logits[i, n].softmax(-1) - ensemble[n]
        assert ours[i, n] == pytest.approx(number(difference @ hessian @ difference), rel=1e-9)


def test_with_squared_error_and_full_weight_gncl_is_the_error_of_the_ensemble():
    given = batch()
    loss = total(make_loss({"name": "gncl", "weight": 1.0, "error": "squared"})(given))
    target = F.one_hot(given.labels_N, 5)
    of_ensemble = (given.logits_MNC.mean(0) - target).square().sum(-1).mean() / 2
    assert number(loss) == pytest.approx(number(of_ensemble), rel=1e-12)


@pytest.mark.parametrize(("space", "lowest"), [("logits", -math.inf), ("probabilities", -0.01)])
def test_gncl_has_a_lower_bound_in_probabilities_only(space, lowest):
    loss = make_loss({"name": "gncl", "weight": 0.01, "space": space})
    apart = [torch.tensor([[[t, 0.0]], [[-t, 0.0]]], dtype=torch.float64) for t in (10.0, 1e3, 1e5)]
    first, second, third = (number(total(loss(TrainingBatch(h, torch.tensor([0]))))) for h in apart)
    assert (first > 0 > second > third) if lowest == -math.inf else min(first, second, third) > lowest


def test_the_second_reading_of_equation_2_divides_the_weight_by_the_members():
    given = batch()
    by_member = make_loss({"name": "gncl", "weight": 0.6, "scale": "member"})(given)
    by_mean = make_loss({"name": "gncl", "weight": 0.2})(given)
    assert number(by_member["negative_correlation"]) == pytest.approx(number(by_mean["negative_correlation"]))


def test_masking_leaves_out_the_members_that_are_wrong():
    logits = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    given = TrainingBatch(logits, torch.tensor([0]))
    curvature = curvature_in_logits(logits, logits.mean(0))
    masked = make_loss({"name": "gncl", "weight": 1.0, "mask_wrong": True})(given)
    assert number(masked["negative_correlation"]) == pytest.approx(-number(curvature[0, 0]) / 4)


def test_ncl_pays_for_the_distance_from_the_mean_probabilities():
    logits = torch.tensor([[[0.0, math.log(3)]], [[math.log(3), 0.0]]], dtype=torch.float64)
    terms = make_loss({"name": "ncl", "weight": 2.0})(TrainingBatch(logits, torch.tensor([0])))
    assert number(terms["negative_correlation"]) == pytest.approx(-2.0 * 2 * 0.25**2)


def test_balanced_at_full_weight_is_the_loss_of_the_mean_logits():
    given = batch()
    loss = total(make_loss({"name": "balanced", "weight": 1.0})(given))
    assert number(loss) == pytest.approx(number(F.cross_entropy(given.logits_MNC.mean(0), given.labels_N)))


def test_balanced_terms_by_hand():
    given = batch()
    terms = make_loss({"name": "balanced", "weight": 0.3, "space": "probabilities"})(given)
    mean = given.logits_MNC.softmax(-1).mean(0)
    of_label = mean.gather(1, given.labels_N[:, None])[:, 0]
    assert number(terms["ensemble_cross_entropy"]) == pytest.approx(0.3 * number(-of_label.log().mean()))


def test_a_vote_is_shares_going_forward_and_mean_probabilities_going_backward():
    given = batch()
    votes = predicted_probabilities(given.logits_MNC, "vote")
    shares = F.one_hot(given.logits_MNC.argmax(-1), 5).double().mean(0)
    assert torch.allclose(votes, shares)
    (of_votes,) = torch.autograd.grad(votes[0, 1], given.logits_MNC, retain_graph=True)
    (of_mean,) = torch.autograd.grad(given.logits_MNC.softmax(-1).mean(0)[0, 1], given.logits_MNC)
    assert torch.allclose(of_votes, of_mean)


@pytest.mark.parametrize("rule", ["average", "median", "geometric_mean", "vote"])
def test_the_four_rules_differ_in_the_space_of_probabilities(rule):
    given = batch()
    others = {"average", "median", "geometric_mean", "vote"} - {rule}
    ours = predicted_probabilities(given.logits_MNC, rule)
    for other in others:
        assert not torch.allclose(ours, predicted_probabilities(given.logits_MNC, other), atol=1e-3)


def test_eq_8_grows_with_the_square_of_the_maps_and_the_cosine_does_not():
    given, scaled = batch(), batch(maps_MNP=10 * batch().maps_MNP)
    for name, factor in (("attribution_variance", 100), ("attribution_cosine", 1)):
        loss = make_loss({"name": name})
        assert number(loss(scaled)[name]) == pytest.approx(factor * number(loss(given)[name]), rel=1e-6)


def test_attribution_variance_is_that_of_numpy():
    given = batch()
    term = make_loss({"name": "attribution_variance", "weight": 1.0})(given)["attribution_variance"]
    assert number(term) == pytest.approx(-np.var(given.maps_MNP.numpy(), axis=0).sum(-1).mean())


def test_attribution_cosine_compares_only_pairs_that_are_both_right():
    logits = torch.tensor([[[5.0, 0.0]] * 2, [[5.0, 0.0], [0.0, 5.0]]], dtype=torch.float64)
    maps = torch.ones(2, 2, 3, dtype=torch.float64)
    given = TrainingBatch(logits, torch.tensor([0, 0]), maps_MNP=maps, epoch=9.0)
    term = make_loss({"name": "attribution_cosine", "weight": 1.0, "floor": 0.0})(given)
    assert number(term["attribution_cosine"]) == pytest.approx(0.5)  # one of two samples, cosine 1


@pytest.mark.parametrize("name", [name for name in sorted(LOSSES) if "maps" in LOSSES[name].needs])
def test_maps_of_a_part_of_the_batch_are_of_its_first_samples(name):
    given = batch()
    part = batch(maps_MNP=given.maps_MNP[:, :3])
    first = TrainingBatch(given.logits_MNC[:, :3], given.labels_N[:3], maps_MNP=part.maps_MNP, epoch=100.0)
    loss = make_loss({"name": name})
    assert number(loss(part)[name]) == pytest.approx(number(loss(first)[name]))
    assert number(loss(part)["cross_entropy"]) == pytest.approx(number(loss(given)["cross_entropy"]))


def test_attribution_cosine_warms_up_and_rests_below_its_margin():
    half = batch(epoch=0.5)
    assert number(
        make_loss({"name": "attribution_cosine", "only_right": False})(half)["attribution_cosine"]
    ) == (
        pytest.approx(
            number(
                make_loss({"name": "attribution_cosine", "only_right": False})(batch())["attribution_cosine"]
            )
            / 2
        )
    )
    opposite = torch.tensor([[[1.0, 0.0]] * 2, [[-1.0, 0.0]] * 2], dtype=torch.float64)
    given = TrainingBatch(torch.zeros(2, 2, 2).double(), torch.tensor([0, 0]), maps_MNP=opposite, epoch=9.0)
    assert number(make_loss({"name": "attribution_cosine"})(given)["attribution_cosine"]) == 0.0


def test_gradients_of_the_cosine_stay_bounded_where_a_map_vanishes():
    maps = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(1)).double()
    maps[0, 0] = 0.0
    maps.requires_grad_()
    given = TrainingBatch(torch.zeros(2, 4, 3).double(), torch.tensor([0, 0, 0, 0]), maps_MNP=maps, epoch=9.0)
    total(make_loss({"name": "attribution_cosine", "only_right": False})(given)).backward()
    assert maps.grad.isfinite().all() and maps.grad.abs().max() < 1


def test_gal_of_identical_gradients_is_one_plus_the_log_of_the_pairs():
    given = batch(maps_MNP=torch.ones(3, 8, 4).double())
    term = make_loss({"name": "gradient_alignment", "weight": 1.0})(given)["gradient_alignment"]
    assert number(term) == pytest.approx(1 + math.log(3))


def test_volume_of_orthogonal_wrong_classes_is_one_and_of_equal_ones_is_none():
    logits = torch.tensor([[[0.0, 60.0, -60.0]], [[0.0, -60.0, 60.0]]], dtype=torch.float64)
    assert number(log_volumes(logits, torch.tensor([0]))[0]) == pytest.approx(0.0, abs=1e-5)
    assert number(log_volumes(logits[:1].repeat(2, 1, 1), torch.tensor([0]))[0]) < -10


def test_triplets_are_those_of_a_loop():
    given = batch(samples=12, classes=3)
    loss = make_loss({"name": "triplet", "weight": 1.0, "margin": 0.4})
    expected = []
    for features in given.features_M:
        unit, labels, values = F.normalize(features, dim=-1), given.labels_N, []
        for a in range(12):
            same = [p for p in range(12) if labels[p] == labels[a] and p != a]
            other = [n for n in range(12) if labels[n] != labels[a]]
            if same and other:
                positive = max(number((unit[a] - unit[p]).norm()) for p in same)
                negative = min(number((unit[a] - unit[n]).norm()) for n in other)
                values.append(max(0.0, 0.4 + positive - negative))
        expected.append(np.mean(values))
    assert number(loss(given)["triplet"]) == pytest.approx(np.mean(expected))


def test_distillation_from_oneself_leaves_only_the_cross_entropy():
    given = batch()
    same = TrainingBatch(given.logits_MNC[:1], given.labels_N, teacher_NC=given.logits_MNC[0].detach())
    terms = make_loss({"name": "distillation"})(same)
    assert number(terms["imitation"]) == pytest.approx(0.0, abs=1e-12)
    assert number(terms["cross_entropy"]) == pytest.approx(
        0.3 * number(F.cross_entropy(given.logits_MNC[0], given.labels_N))
    )


def test_hard_distillation_learns_the_teachers_class():
    given = batch()
    term = make_loss({"name": "hard_distillation"})(given)["teachers_class"]
    expected = F.cross_entropy(given.logits_MNC.flatten(0, 1), given.teacher_NC.argmax(-1).repeat(3))
    assert number(term) == pytest.approx(0.5 * number(expected))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "gncll"}, r"a known loss, found 'gncll'; did you mean 'gncl'"),
        ({}, r"the setting 'name' of a loss, found none; add `name ="),
        ({"name": "gncl", "weight": -1}, r"a weight of at least 0, found -1"),
        ({"name": "balanced", "weight": 1.5}, r"a weight from 0 to 1, found 1.5"),
        ({"name": "gncl", "lambda": 1}, r"a setting of the loss 'gncl', found 'lambda'"),
        (
            {"name": "gncl", "consensus": "vote"},
            r"'average' or 'median' in the space 'logits', found 'vote', which",
        ),
        (
            {"name": "balanced", "consensus": "geometric_mean"},
            r"found 'geometric_mean', which is the average there",
        ),
        ({"name": "gncl", "consensus": "mode"}, r"a valid 'consensus' of the loss 'gncl', found 'mode'"),
        (
            {"name": "gncl", "error": "squared", "space": "probabilities"},
            r"the space 'logits' for the squared",
        ),
    ],
)
def test_wrong_settings_are_told(spec, message):
    with pytest.raises(UserError, match=message):
        make_loss(spec)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_out_of_range_is_told(name):
    with pytest.raises(UserError, match=r"a weight (of at least 0|from 0 to 1), found -0.01; correct it"):
        make_loss({"name": name, "weight": -0.01})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_is_finite(name, value):
    with pytest.raises(UserError, match=f"a valid 'weight' of the loss '{name}', found {value}; .* finite"):
        make_loss({"name": name, "weight": value})


@pytest.mark.parametrize("name", ["ncl", "gncl", "adp", "attribution_variance", "pull_away"])
def test_one_member_cannot_be_compared(name):
    with pytest.raises(UserError, match="at least 2 members for a"):
        make_loss({"name": name})(batch(members=1))


@pytest.mark.parametrize("name", ["attribution_cosine", "pull_away", "distillation"])
def test_what_a_loss_needs_and_lacks_is_named(name):
    lacking = batch(maps_MNP=None, features_M=None, teacher_NC=None)
    with pytest.raises(UserError, match=f"in the batch for the loss '{name}', found none"):
        make_loss({"name": name})(lacking)


def test_members_of_unequal_width_have_no_pull_away_term():
    features = [torch.ones(8, 3), torch.ones(8, 4), torch.ones(8, 4)]
    with pytest.raises(UserError, match="one width for a pull-away term, found widths 3, 4"):
        make_loss({"name": "pull_away"})(batch(features_M=features))
