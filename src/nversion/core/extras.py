"""Optional packages: which extra of nversion installs each, and the one sentence where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import UserError

EXTRAS = {
    "evaluate": ("tables of results", {"polars": "polars"}),
    "models": (
        "pretrained networks, and attribution maps",
        {"timm": "timm", "torchvision": "torchvision", "captum": "captum"},
    ),
    "report": (
        "reports and figures",
        {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "jinja2"},
    ),
    "study": (
        "studies from the command line",
        {"typer": "typer", "rich": "rich", "sklearn": "scikit-learn"},
    ),
    "train": (
        "training of ensembles and supernets",
        {"lightning_fabric": "lightning-fabric", "lightly": "lightly"},
    ),
    "nas": ("search in supernets", {"pymoo": "pymoo"}),
    "metrics": ("metrics as classes of torchmetrics", {"torchmetrics": "torchmetrics"}),
    "albumentations": (
        "wrapped transforms of Albumentations as corruptions",
        {"albumentations": "albumentations"},
    ),
}
"""By extra: what it is for, and its packages by the name that is imported. An extra may install others."""


def missing(error: ImportError) -> UserError | None:
    """The sentence for an import that failed; None where no extra installs the package.

    >>> missing(ModuleNotFoundError("No module named 'pymoo'", name="pymoo.core")).next_step
    'install it with: pip install "nversion[nas]"'
    """
    package = (error.name or "").partition(".")[0]
    for extra, (purpose, packages) in EXTRAS.items():
        if isinstance(error, ModuleNotFoundError) and package in packages:
            return UserError(
                expected=f"the package {packages[package]} for {purpose}",
                found="none",
                next_step=f'install it with: pip install "nversion[{extra}]"',
            )
    return None


@contextmanager
def extras_named() -> Iterator[None]:
    """Turn the failed import of an optional package into the sentence that says how to install it.

    Raises:
        UserError: see `missing`; other errors pass.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (reason := missing(error)) is None:
            raise
        raise reason from error
