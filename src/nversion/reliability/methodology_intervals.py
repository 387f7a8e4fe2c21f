"""The interval of a statistic over models that were drawn from methodologies and images that were drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor

from nversion.ensembles.jackknife import block_jackknife_stderr

from .intervals import check_confidence, proportion_interval, samples_to_show_rate

Statistic = Callable[[Tensor], Tensor]
"""float64 membership of models in methodologies (G, M) → values (1 + B, ...): of all images, then
without each block; nan where undefined."""

FEWEST_MODELS = 3
"""Of a methodology, for an interval that covers other models of it."""

FEW_FAILURES = 5
"""Failing images below which a symmetric interval of a rate is not to be trusted alone."""


class ModelsAndImages(NamedTuple):
    """Values with intervals that cover other models and other images, float64, any shape.

    Attributes:
        value: of all models and images.
        low, high: nan where the value is, or where too few replicates are defined.
        num_undefined: int64 replicates (one model or one block left out) that are undefined.
    """

    value: Tensor
    low: Tensor
    high: Tensor
    num_undefined: Tensor


def models_and_images_interval(
    statistic: Statistic, membership_GM: Tensor, count_B: Tensor, *, confidence: float = 0.95
) -> ModelsAndImages:
    """The interval of a statistic for other models of the same methodologies and other images.

        half-width² = t(ν)² · Σ_g V_g + t(B−1)² · max(0, V_images − Σ_g V_both,g)

    V_g is the delete-one-model jackknife variance over the models of methodology g, V_images the
    delete-one-block jackknife variance over images, ν = (Σ V_g)² / Σ V_g²/(m_g − 1) (Welch and
    Satterthwaite; m − 1 for one methodology, up to 2(m − 1) for a pair). A methodology of fewer than
    3 models has no V_g: the interval does not cover other models of it. (A bootstrap over models
    would draw a model twice, and a model always fails together with itself.)

    V_both is the chance of one model on one image, which V_g and V_images each hold whole: the
    jackknife variance of the mixed differences θ − θ_(i) − θ_(b) + θ_(i,b), as in the two-way
    analysis of variance (Cameron, Gelbach and Miller 2011 subtract it from clustered variances in
    the same way). And each variance keeps its own t. The plain recipe, V_g + V_images under one t of
    m − 1 degrees of freedom, gives the few models' t = 4.3 (m = 3) to the variance over images too,
    which needs 2.0: it covers 100 % of the time at m = 3 where images dominate. One t for the
    whole sum, of Welch and Satterthwaite's degrees, fell to 90 % in some settings of m = 3 and 5.
    `recipes/reliability_coverage.py` prints the coverage of this interval and of the plain one.

    Args:
        statistic: see `Statistic`. It must be a mean over different models (or a smooth function of
            such means), so that leaving a model out leaves the same statistic of m − 1 models.
        membership_GM: bool or 0/1; a model in at most one methodology.
        count_B: images of each block.
        confidence: of the two-sided interval.

    A replicate that is undefined is left out and counted. Memory: the statistic's result for
    every model of one methodology.
    """
    check_confidence(confidence)
    membership_GM = membership_GM.double()
    images = statistic(membership_GM)
    value, without_block = images[0], images[1:]
    images_variance = block_jackknife_stderr(value, without_block, count_B) ** 2
    num_undefined = without_block[count_B > 0].isnan().sum(0)

    models_variance = torch.zeros_like(value)
    satterthwaite = torch.zeros_like(value)
    both_variance = torch.zeros_like(value)
    for members_M in membership_GM:
        models = members_M.nonzero().squeeze(1).tolist()
        if len(models) < FEWEST_MODELS:
            continue
        without_models, mixed = [], torch.zeros_like(value)
        for model in models:
            others_GM = membership_GM.clone()
            others_GM[:, model] = 0.0
            replicates = statistic(others_GM)
            without_models.append(replicates[0])
            mixed += _variance_of_blocks(value - replicates[0] - without_block + replicates[1:], count_B)
        without_M = torch.stack(without_models)
        variance = block_jackknife_stderr(value, without_M) ** 2
        models_variance += variance
        satterthwaite += variance**2 / (len(models) - 1)
        both_variance += mixed * (len(models) - 1) / len(models)
        num_undefined = num_undefined + without_M.isnan().sum(0)

    varies = satterthwaite > 0
    degrees = torch.where(varies, models_variance**2 / satterthwaite, 1.0)
    models_part = torch.where(
        models_variance.isnan() | varies, models_variance * _t(degrees, confidence), 0.0
    )
    degrees_of_images = torch.tensor(float(int((count_B > 0).sum()) - 1), dtype=torch.float64)
    images_part = (images_variance - both_variance).clamp(min=0.0) * _t(degrees_of_images, confidence)
    half = torch.sqrt(models_part + images_part)
    return ModelsAndImages(value, value - half, value + half, num_undefined)


def with_all_images(statistic_B: Tensor) -> Tensor:
    """The sum of an additive statistic over all blocks, then without each: shape (1 + B, ...).

    >>> with_all_images(torch.tensor([1.0, 2.0])).tolist()
    [3.0, 2.0, 1.0]
    """
    total = statistic_B.double().sum(0)
    return torch.cat([total.unsqueeze(0), total - statistic_B.double()])


def with_few_failures(
    rate: float, low: float, high: float, num_images: int, *, confidence: float, target_rate: float
) -> tuple[float, float, list[str]]:
    """A failure rate's interval joined with Clopper-Pearson's where fewer than 5 images failed.

    A jackknife of zeros gives [0, 0]. Clopper-Pearson's takes the images as the trials, however many
    models or pairs the rate is a mean over, because they share the images.

    Returns:
        Low, high, and, where few images failed, a note with the number of images that would show
        `target_rate` if none failed.

    >>> low, high, notes = with_few_failures(0.0, 0.0, 0.0, 100, confidence=0.95, target_rate=0.01)
    >>> low, round(high, 4), notes
    (0.0, 0.0362, ['no failure in 100 images; a rate below 0.01 needs 299 without one'])
    """
    # A mean over pairs need not be a whole number of images.
    failing = rate * num_images
    if failing >= FEW_FAILURES:
        return low, high, []
    exact = proportion_interval(failing, num_images, confidence=confidence, method="clopper_pearson")
    found = f"{failing:.2g} failures on average" if failing else "no failure"
    needed = samples_to_show_rate(target_rate, confidence=confidence)
    note = f"{found} in {num_images} images; a rate below {target_rate:g} needs {needed} without one"
    if math.isnan(low):
        return exact.low, exact.high, [note]
    return min(low, exact.low), max(high, exact.high), [note]


def _variance_of_blocks(mixed_B: Tensor, count_B: Tensor) -> Tensor:
    # The block jackknife of a statistic whose full value is 0 by construction.
    occupied_B = count_B > 0
    share_B = (count_B[occupied_B] / count_B.sum()).double()
    column_B = (-1,) + (1,) * (mixed_B.ndim - 1)
    odds_B = ((1 - share_B) / share_B).view(column_B)
    return (odds_B * mixed_B[occupied_B].nan_to_num(0.0) ** 2).mean(0)


def _t(degrees: Tensor, confidence: float) -> Tensor:
    # The square of Student's t quantile.
    quantile = stats.t.ppf((1 + confidence) / 2, degrees.cpu().numpy())
    return torch.as_tensor(quantile, dtype=torch.float64, device=degrees.device) ** 2
