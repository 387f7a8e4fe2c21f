"""Search for the severities that cost a reference classifier a given accuracy.

What is equal at all severities are the images and the seed; the draws of a sample are not, because they come
from a generator of (corruption, severity, seed, sample id). In return the accuracy reported at a severity is
that of the very condition a study renders with the same seed. Each round of the search is one pass over
the images, under all corruptions at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nversion.core import PartedArray, UserError, fingerprint, only_run, spans
from nversion.core.reporter import Reporter, Silent, duration
from nversion.corruptions import CORRUPTIONS, levels_of
from nversion.data import Canonical, Condition, Dataset
from nversion.models import Classifier
from nversion.predictions import (
    AcceptedSets,
    Inference,
    RenderedBatch,
    as_float,
    autocast,
    describe_condition,
    made_with,
    read_back,
    run,
    trial,
)
from nversion.reliability import paired_difference_interval, proportion_interval

from .crossing import Crossing, NoCrossing, Point, Wanted, first_crossing

CONFIDENCE = 0.95
WRONG, RIGHT, UNREADABLE = 0, 1, 2


@dataclass(frozen=True)
class Reference:
    """The classifier and the images of a severity search."""

    classifier: Classifier
    dataset: Dataset
    data: str
    canonical: Canonical
    inference: Inference
    device: torch.device
    seed: int
    exclude_unreadable: bool = False

    def condition(self, corruption: str | None = None, severity: float | None = None) -> Condition:
        """Of this data set, with the seed of a study."""
        return Condition(self.data, corruption, severity, self.seed if corruption else 0)


@dataclass(frozen=True)
class FoundSeverity:
    """The severity of one corruption that costs one drop in accuracy.

    Attributes:
        target: the drop asked for, a fraction of all images.
        severity: that costs it; None where none does, and the numbers are then those of the largest drop
            (of the mildest severity where even that costs more).
        severity_low, severity_high: where the drop's interval ends by the slope of the curve, within the
            range in use; None where the curve does not rise there. The search ends on a point that
            measured near the target, so the interval is a little too short.
        measured_at: the severity of the numbers that follow.
        accuracy, accuracy_low, accuracy_high: top-1, Wilson's interval.
        drop, drop_low, drop_high: against clean on the same images, the paired score interval.
        num_severities: measured for it, the grid's included.
        note: what else to know, in words.
    """

    corruption: str
    target: float
    severity: float | None
    severity_low: float | None
    severity_high: float | None
    measured_at: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    drop: float
    drop_low: float
    drop_high: float
    num_images: int
    num_severities: int
    note: str


def search_severities(
    reference: Reference,
    corruptions: Sequence[str],
    targets: Sequence[float],
    store: Path,
    reporter: Reporter | None = None,
) -> list[FoundSeverity]:
    """The severity of each corruption that costs each of the drops in accuracy.

    What was measured is kept in `store`, N bytes for each (classifier, images, corruption, severity, seed):
    a second call finds it, and a killed one goes on. Memory: N bytes for each of them, and the batch.

    Raises:
        UserError: an unknown corruption, a drop that is no fraction, or logits that are not finite.
    """
    reporter = reporter or Silent()
    side = reference.canonical.size
    listed = [CORRUPTIONS.aliases.get(name, name) for name in corruptions]
    grids = {name: grid_of(name, side) for name in listed}
    targets = list(dict.fromkeys(targets))
    for target in targets:
        if not 0 < target < 1:
            raise UserError(
                expected="a drop in accuracy between 0 and 1",
                found=f"{target:g}",
                next_step="pass a fraction of all images, such as 0.1",
            )
    with only_run(store):
        answers = _Answers(reference, store)
        clean = reference.condition()
        conditions = [clean, *(reference.condition(name, s) for name, grid in grids.items() for s in grid)]
        _say_plan(answers, conditions, reporter)
        answers.measure(conditions, reporter, "The whole range")
        clean_N = answers.of(clean)
        points: dict[str, dict[float, Point]] = {
            name: {s: _point(clean_N, answers.of(reference.condition(name, s))) for s in grid}
            for name, grid in grids.items()
        }
        while wanted := _wanted(points, grids, targets):
            answers.measure([reference.condition(*one) for one in wanted], reporter, "Halving")
            for name, severity in wanted:
                found_N = answers.of(reference.condition(name, severity))
                points[name][severity] = _point(clean_N, found_N)
        rows = []
        for name, grid in grids.items():
            for target in targets:
                step = first_crossing(points[name], grid, target)
                assert not isinstance(step, Wanted), "the rounds measured all that is wanted"
                rows.append(_row(name, grid, target, step, points[name], clean_N, answers, reference))
    return rows


def grid_of(corruption: str, side: int) -> tuple[float, ...]:
    """The severities in use for images of this side, ascending, from the mildest there is.

    >>> grid_of("scatter", 224)[:3], grid_of("fog", 32)
    ((0.0, 0.5, 1.0), (1.0, 2.0, 3.0, 4.0, 5.0))
    """
    lowest = float(f"{CORRUPTIONS[corruption].lowest:.6g}")
    return tuple(sorted({lowest, *levels_of(corruption, side)}))


class _Answers:
    """Which images the reference gets right under which conditions; a consumer of rendered batches."""

    def __init__(self, reference: Reference, store: Path) -> None:
        self.reference = reference
        self.store = store
        self.accepted = AcceptedSets.of(reference.dataset.labels_N, reference.dataset.accepted)
        self.arrays: dict[str, PartedArray] = {}
        self.bounds = list(spans(len(reference.dataset), reference.inference.batch_size))

    def open(self, conditions: Sequence[Condition]) -> int:
        """Look what is there; the number of batches that is not."""
        for condition in conditions:
            if condition.name not in self.arrays:
                self.arrays[condition.name] = self._array(condition).open()
        return sum(len(self.arrays[condition.name].missing()) for condition in conditions)

    def measure(self, conditions: Sequence[Condition], reporter: Reporter, what: str) -> None:
        """Run the reference on what is missing of these conditions: one pass over the images."""
        one = self.reference
        missing = self.open(conditions)
        if missing:
            reporter.start(what, missing)
            run(
                one.dataset,
                one.canonical,
                conditions,
                [self],
                batch_size=one.inference.batch_size,
                device=one.device,
                exclude_unreadable=one.exclude_unreadable,
                on_step=reporter.advance,
            )
        for condition in conditions:
            self.arrays[condition.name].finish()

    def of(self, condition: Condition) -> NDArray[np.uint8]:
        """WRONG, RIGHT or UNREADABLE of every image."""
        return np.asarray(self.arrays[condition.name].read())

    def needs(self, condition: Condition, batch: int) -> bool:
        return self.arrays[condition.name].lacks(batch)

    def consume(self, rendered: RenderedBatch) -> None:
        one = self.reference
        with torch.inference_mode(), autocast(one.inference, one.device):
            logits_NC = one.classifier(as_float(rendered.images_N3HW, one.inference))
        # As a study reads them back: what float16 ties, it ties here, too.
        stored_NC = read_back(logits_NC.float().cpu(), one.inference.storage)
        readable_N = rendered.readable_N
        bad = int((~stored_NC.isfinite().all(-1) & readable_N).sum())
        if bad:
            raise UserError(
                expected=f"finite logits from {one.classifier.name!r} under {rendered.condition.name}",
                found=f"nan, inf or more than {one.inference.storage} holds on {bad} of {len(stored_NC)}",
                next_step='check its weights and preprocessing, or set storage = "float32" under [run]',
            )
        predicted_N = stored_NC.argmax(-1)
        right_N = self.accepted.right_MN(predicted_N[None], slice(rendered.start, rendered.stop))[0]
        answers_N = torch.where(readable_N, right_N.to(torch.uint8), UNREADABLE).to(torch.uint8)
        self.arrays[rendered.condition.name].write(rendered.batch, answers_N.numpy())

    def _array(self, condition: Condition) -> PartedArray:
        one = self.reference
        what = describe_condition(one.dataset, one.canonical, condition) | {
            "model": {"name": one.classifier.name, "fingerprint": one.classifier.fingerprint},
            "inference": dict(vars(one.inference)),
            "num_samples": len(one.dataset),
        }
        folder = self.store / f"{condition.name.partition('/')[2]}-{fingerprint(what)[:12]}"
        return PartedArray(
            folder, what, made_with(one.device), self.bounds, (), "uint8", [one.classifier.guard]
        )


def _wanted(
    points: Mapping[str, Mapping[float, Point]],
    grids: Mapping[str, Sequence[float]],
    targets: Sequence[float],
) -> list[tuple[str, float]]:
    steps = [
        (name, first_crossing(points[name], grid, target))
        for name, grid in grids.items()
        for target in targets
    ]
    asked = [(name, s) for name, step in steps if isinstance(step, Wanted) for s in step.severities]
    return list(dict.fromkeys(asked))


def _point(clean_N: NDArray[np.uint8], found_N: NDArray[np.uint8]) -> Point:
    lost, won, num_images = _changed(clean_N, found_N)
    drop = (lost - won) / num_images
    return Point(drop, math.sqrt(max(lost + won - num_images * drop**2, 0.0)) / num_images)


def _changed(clean_N: NDArray[np.uint8], found_N: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Images that only clean, only the corrupted one is right on; and readable images."""
    readable_N = clean_N != UNREADABLE
    if not readable_N.any():
        raise UserError(expected="at least one readable image", found="none", next_step="replace the files")
    lost = int(((clean_N == RIGHT) & (found_N == WRONG)).sum())
    won = int(((clean_N == WRONG) & (found_N == RIGHT)).sum())
    return lost, won, int(readable_N.sum())


def _row(
    name: str,
    grid: Sequence[float],
    target: float,
    step: Crossing | NoCrossing,
    points: Mapping[float, Point],
    clean_N: NDArray[np.uint8],
    answers: _Answers,
    reference: Reference,
) -> FoundSeverity:
    found_N = answers.of(reference.condition(name, step.severity))
    lost, won, num_images = _changed(clean_N, found_N)
    right = int((found_N == RIGHT).sum())
    accuracy_low, accuracy_high = proportion_interval(right, num_images, confidence=CONFIDENCE)
    ends = paired_difference_interval(
        torch.tensor([float(lost)]), torch.tensor([float(won)]), num_images, confidence=CONFIDENCE
    )
    drop_low, drop_high = (float(end[0]) for end in ends)
    row = FoundSeverity(
        corruption=name,
        target=target,
        severity=None,
        severity_low=None,
        severity_high=None,
        measured_at=step.severity,
        accuracy=right / num_images,
        accuracy_low=accuracy_low,
        accuracy_high=accuracy_high,
        drop=(lost - won) / num_images,
        drop_low=drop_low,
        drop_high=drop_high,
        num_images=num_images,
        num_severities=len(points),
        note="",
    )
    if isinstance(step, NoCrossing):
        note = (
            "even the mildest severity costs more"
            if step.is_beyond
            else "not reached; the numbers are those of the largest drop"
        )
        return replace(row, note=note)
    notes = []
    if abs(row.drop - target) > points[step.severity].stderr:
        notes.append("the accuracy jumps here")
    if step.returns_at is not None:
        notes.append(f"not monotone: milder again at {step.returns_at:g}; this is the first crossing")
    low = high = None
    if not math.isnan(step.slope):
        low, high = (
            float(f"{min(max(step.severity - (end - target) / step.slope, grid[0]), grid[-1]):.6g}")
            for end in (drop_high, drop_low)
        )
    return replace(row, severity=step.severity, severity_low=low, severity_high=high, note="; ".join(notes))


def _say_plan(answers: _Answers, conditions: Sequence[Condition], reporter: Reporter) -> None:
    one = answers.reference
    missing = answers.open(conditions)
    total = len(conditions) * len(answers.bounds)
    reporter.say(
        f"{one.classifier.name} on {one.dataset.name}: {len(one.dataset):,} images under "
        f"{len(conditions):,} conditions; {total - missing:,} of {total:,} batches are there"
    )
    if missing:
        speed = trial([one.classifier], one.canonical, one.inference, one.device)
        images = min(missing * one.inference.batch_size, len(conditions) * len(one.dataset))
        seconds = speed[one.classifier.name] * images
        reporter.say(f"To run: about {duration(seconds)} on {one.device}, and halving after that")
