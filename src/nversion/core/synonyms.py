"""Other words for names: what somebody means who writes "mean" where this package says "average"."""

from __future__ import annotations

from collections.abc import Collection

_WORDS = {
    # Consensus rules
    "average": "mean avg averaging arithmetic arithmetic_mean logits mean_logits mean_of_logits",
    "probability": "prob probs probabilities softmax soft soft_vote soft_voting mean_softmax",
    "vote": "majority plurality voting majority_vote majority_voting plurality_vote hard hard_voting mode",
    "geometric_mean": "geo geom geometric geomean gmean log_probability product product_of_experts",
    "median": "middle med",
    # Criteria and costs of a selection
    "mean": "average avg averaging",
    "worst": "min minimum minimal lowest worst_case",
    "params": "parameters num_parameters size weights",
    "macs": "flops gflops mac multiply_adds operations compute",
    # Corruptions
    "gaussian_noise": "noise white_noise normal_noise",
    "shot_noise": "poisson poisson_noise photon_noise",
    "impulse_noise": "salt_and_pepper salt_pepper s&p",
    "speckle_noise": "multiplicative_noise",
    "jpeg_compression": "jpeg jpg compression",
    "defocus_blur": "out_of_focus bokeh",
    "gaussian_blur": "blur",
    "elastic_transform": "elastic warp",
    "pixelate": "downscale low_resolution",
    "fog": "haze mist",
    "frost": "ice",
    "water_drop": "rain_drop raindrop droplets",
    # Losses, optimizers, schedules, strategies
    "distillation": "kd knowledge_distillation hinton",
    "ncl": "negative_correlation negative_correlation_learning",
    "balanced": "class_balanced balanced_softmax logit_adjustment",
    "adamw": "adam",
    "sgd": "momentum nesterov",
    "cosine": "cosine_annealing half_cosine",
    "step": "multistep multi_step step_lr milestones",
    "constant": "none flat fixed",
    "cycles": "cyclic warm_restarts sgdr",
    "snapshot": "snapshots snapshot_ensemble",
    "bagging": "bootstrap",
    # Metrics
    "q": "yule yules_q q_statistic",
    "rho": "correlation phi pearson",
    "error_consistency": "cohen cohens_kappa",
    "kappa": "interrater interrater_agreement",
    "kohavi_wolpert": "kw kwv",
    "generalised_diversity": "gd generalized_diversity",
    "coincident_failure": "cfd",
    "js": "jsd jensen_shannon",
    "kl": "kld kullback_leibler",
    # Attribution
    "saliency": "gradient gradients vanilla vanilla_gradient vanilla_gradients",
    "integrated_gradients": "ig",
    "input_x_gradient": "gradient_x_input input_times_gradient gxi",
    "grad_cam": "cam",
}  # fmt: skip


def meant_by(word: str, known: Collection[str]) -> list[str]:
    """The known names that a word is another word for.

    >>> meant_by("Mean", ["average", "median"]), meant_by("mean", ["worst", "mean"])
    (['average'], [])
    """
    spelled = "_".join(word.lower().replace("-", " ").replace("_", " ").split())
    return [name for name, words in _WORDS.items() if name in known and spelled in words.split()]
