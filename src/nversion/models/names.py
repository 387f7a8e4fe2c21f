"""The next step for a model's name that a library does not know."""

from __future__ import annotations

from nversion.core import did_you_mean


def did_you_mean_model(name: str, known: list[str]) -> str:
    """Close names; of hundreds of names without a close one, the command that lists them.

    >>> did_you_mean_model("resnet5", ["resnet50", "vgg11"]), did_you_mean_model("x", ["resnet50"])
    ("did you mean 'resnet50'?", 'see `nversion models ls`')
    """
    step = did_you_mean(name, known)
    return step if step.startswith("did") else "see `nversion models ls`"
