"""Conditions: a data set as it is, or under one corruption at one severity with one seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nversion.core import UserError, code_fingerprint, generator
from nversion.corruptions import CORRUPTIONS, ingredients

_NAME = re.compile(r"(.+?)-([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(?:-seed([0-9]+))?(?:@(.+))?")


@dataclass(frozen=True)
class Condition:
    """What was done to the images of a data set before the classifiers saw them.

    Args:
        dataset: the data set's name.
        corruption: a name in CORRUPTIONS; None: clean.
        severity: of the corruption; None when clean, and where another shift than a known corruption has
            none ("sketch"). At most six significant digits, so that the name of the condition is exact.
        seed: of the corruption's random choices; another seed, other choices for every sample.
        stored: the name of the tree of corrupted images on disk that they are read from; None where
            they are corrupted as they are needed. See `StoredCondition`.

    Raises:
        UserError: corruption without severity or the reverse, or a severity of more digits.

    >>> Condition("val", "lines", 1.6).name, Condition("val").name, Condition("val", "lines", 2, seed=3).name
    ('val/lines-1.6', 'val/clean', 'val/lines-2-seed3')
    >>> Condition("val", "fog", 3, stored="released").name
    'val/fog-3@released'
    """

    dataset: str
    corruption: str | None = None
    severity: float | None = None
    seed: int = 0
    stored: str | None = None

    def __post_init__(self) -> None:
        of_known = self.corruption is None or self.corruption in CORRUPTIONS
        if of_known and (self.corruption is None) != (self.severity is None):
            raise UserError(
                expected="a corruption with its severity, or neither for clean images",
                found=f"corruption {self.corruption!r} with severity {self.severity!r}",
                next_step="give both",
            )
        if self.corruption is None and self.seed != 0:
            raise UserError(
                expected="no seed for clean images",
                found=f"seed {self.seed}",
                next_step="leave it out: nothing is drawn for them",
            )
        if self.severity is not None:
            # A whole number of TOML is the same severity as the float: one name, one random stream.
            object.__setattr__(self, "severity", float(self.severity))
            if float(f"{self.severity:g}") != self.severity:
                raise UserError(
                    expected=f"a severity of at most six significant digits for {self.corruption!r}",
                    found=repr(self.severity),
                    next_step=f"write {self.severity:g}",
                )

    @classmethod
    def named(cls, dataset: str, name: str) -> Condition:
        """The condition whose name without the data set is `name`.

        >>> Condition.named("val", "fog-3"), Condition.named("val", "sketch").severity
        (Condition(dataset='val', corruption='fog', severity=3.0, seed=0, stored=None), None)
        """
        if name == "clean":
            return cls(dataset)
        found = _NAME.fullmatch(name)
        if found is not None:
            corruption, severity, seed, stored = found.groups()
            condition = cls(dataset, corruption, float(severity), int(seed or 0), stored)
            if condition.name == f"{dataset}/{name}":
                return condition
        return cls(dataset, name)

    @property
    def name(self) -> str:
        """Name in files and tables: `DATASET/clean` or `DATASET/CORRUPTION[-SEVERITY][-seedS][@STORED]`."""
        if self.corruption is None:
            return f"{self.dataset}/clean"
        if self.severity is None:
            return f"{self.dataset}/{self.corruption}"
        seed = f"-seed{self.seed}" if self.seed != 0 else ""
        stored = f"@{self.stored}" if self.stored is not None else ""
        return f"{self.dataset}/{self.corruption}-{self.severity:g}{seed}{stored}"

    @property
    def is_clean(self) -> bool:
        """No corruption: the canonical images as they are."""
        return self.corruption is None

    def description(self) -> dict[str, Any]:
        """Plain data that says how its pixels come from the canonical images.

        A corruption that nversion does not define is known by its code, too: an edited plug-in is
        another condition (see `code_fingerprint` for what counts as its code). So are other pictures
        that a corruption reads in addition to the image.
        """
        found = {"corruption": self.corruption, "severity": self.severity, "seed": self.seed}
        if self.corruption is None:
            return found
        code, read = code_fingerprint(CORRUPTIONS[self.corruption]), ingredients(self.corruption)
        return found | ({"corruption_code": code} if code else {}) | ({"ingredients": read} if read else {})

    def parameters(self, sample_ids: Sequence[str], size: tuple[int, int]) -> list[dict[str, Any]]:
        """The corruption's parameters of each sample; empty ones when clean.

        Each is drawn from a generator of (corruption, severity, seed, sample id): it depends on no
        other sample, nor on order, batch, worker or device.

        Args:
            sample_ids: of the samples.
            size: height and width of the images in pixels.
        """
        if self.corruption is None:
            return [{} for _ in sample_ids]
        assert self.severity is not None, f"{self.name} is no known corruption"
        corruption = _corruption(self.corruption, self.severity)
        return [
            corruption.sample_parameters(
                # By its listed name: a second name of it draws the same.
                generator(corruption.name, self.severity, self.seed, sample_id),
                size,
            )
            for sample_id in sample_ids
        ]

    def render(self, images_N3HW: Tensor, sample_ids: Sequence[str]) -> Tensor:
        """The images under this condition: uint8, same shape and device; clean gives the input itself."""
        if self.corruption is None:
            return images_N3HW
        assert self.severity is not None, f"{self.name} is no known corruption"
        assert self.stored is None, f"{self.name} is read from disk: see StoredCondition"
        assert len(images_N3HW) == len(sample_ids), "one sample id per image"
        size = (images_N3HW.shape[-2], images_N3HW.shape[-1])
        corrupted: Tensor = _corruption(self.corruption, self.severity).apply(
            images_N3HW, self.parameters(sample_ids, size)
        )
        return corrupted


def _corruption(name: str, severity: float) -> Any:
    from nversion import corruptions

    return corruptions.create(name, severity)
