"""A trial of each classifier before a run: are its logits a function of the image, and what do they cost?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nversion.core import UserError
from nversion.core.reasons import reason_of
from nversion.data import Canonical
from nversion.models import Classifier
from nversion.models.probe import probe_images, random_kept, state_kept

from .writer import Inference, as_float

TOLERANCE = 1e-3
"""Largest difference of an image's logits, as a share of their range.

Kernels round otherwise for other batch sizes: by 3e-7 of the range at most for 14 pretrained networks and by
1.5e-6 for a small one of each of 82 families of timm, in
float32 on the CPU. Dropout, statistics of the batch and the like move logits by a hundredth and more.
"""

_ROUNDING = 1e-5  # of the largest logit, for those that share a large part: float32 has seven digits
_DISTINCT = 16  # probe images; more are repetitions
_TRIES = 16  # of a classifier that draws random numbers but has given equal logits so far


def trial(
    classifiers: Sequence[Classifier], canonical: Canonical, inference: Inference, device: torch.device
) -> Mapping[str, float]:
    """Try each classifier on a few probe images, and give the seconds that one takes it.

    The same images go through it twice, in the opposite order, and two of them alone, these as the first that
    it sees. What that
    changes in the classifier, running statistics for example, is given back, and so are global random
    generators. Plain float32 is used, on CUDA without TF32, whatever the run's mixed precision is.

    Classifiers whose card says that they are not `repeatable` are only timed.

    Raises:
        UserError: the logits of an image are other ones when it is shown again, after other images, or
            beside others; or the classifier does not run on a batch.
    """
    # Eight images of 224 pixels, or more smaller ones: what a call costs anyway must not count.
    num_images = max(4, min(inference.batch_size, max(8, 8 * 224**2 // canonical.size**2)))
    distinct = probe_images(min(num_images, _DISTINCT), canonical.size)
    images_N3HW = distinct[torch.arange(num_images) % len(distinct)]
    images_N3HW = as_float((images_N3HW * 255).to(torch.uint8).to(device), inference)
    return {c.name: _tried(c, images_N3HW) for c in classifiers}


def _tried(classifier: Classifier, images_N3HW: Tensor) -> float:
    """Seconds for an image."""
    module = classifier.module
    times: list[float] = []

    def run(images: Tensor) -> Tensor:
        start = time.perf_counter()
        with torch.inference_mode():
            logits: Tensor = classifier(images).float().cpu()  # the copy waits for the device
        times.append((time.perf_counter() - start) / len(images))
        return logits

    tf32 = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=False,
    )
    with random_kept(module), tf32:
        before = _random_state(images_N3HW.device)
        with state_kept(module, weights=True):
            try:
                first_NC, again_NC = run(images_N3HW), run(images_N3HW)
                turned_NC = run(images_N3HW.flip(0)).flip(0)
            except Exception as error:
                raise UserError(
                    expected=f"the classifier {classifier.name!r} to run on {len(images_N3HW)} images",
                    found=reason_of(error, with_type=True),
                    next_step="let its module take batches of any size",
                ) from error
            if not classifier.card.repeatable or not torch.isfinite(first_NC).all():
                return min(times[1:])  # the run itself tells on which image logits are not finite
        # From the state before: what the first batch sets for good, another first batch sets otherwise.
        with state_kept(module, weights=True):
            alone_2C = torch.cat([_alone(classifier, partial(run, images_N3HW[i : i + 1])) for i in (1, 0)])
        alone_2C = alone_2C.flip(0)
        draws = _random_state(images_N3HW.device) != before
        if _differs(first_NC, again_NC):
            with state_kept(module, weights=True):
                fresh_NC = run(images_N3HW)
            if draws or _differs(first_NC, fresh_NC):
                raise _refusal(classifier, "again", first_NC, again_NC)
            raise _refusal(classifier, "after", first_NC, again_NC)
        if draws:
            with state_kept(module, weights=True):
                some_NC = run(images_N3HW[:2])
                for _ in range(_TRIES):
                    if _differs(some_NC, more_NC := run(images_N3HW[:2])):
                        raise _refusal(classifier, "again", some_NC, more_NC)
        if _differs(first_NC, turned_NC):
            raise _refusal(classifier, "beside", first_NC, turned_NC)
        if _differs(first_NC[:2], alone_2C, first_NC):
            raise _refusal(classifier, "beside", first_NC[:2], alone_2C)
    return min(times[1:3])


def _alone(classifier: Classifier, run: Callable[[], Tensor]) -> Tensor:
    try:
        return run()
    except Exception as error:
        raise UserError(
            expected=f"the classifier {classifier.name!r} to run on one image as it does on several",
            found=reason_of(error, with_type=True),
            next_step=_NEXT,
        ) from error


_NEXT = (
    "let its logits be a function of the image alone, or set `repeatable = false` on the model, which takes "
    "it as it is and says so in the manifest"
)
_FOUND = {
    "again": "other ones when it is shown the same images again: it draws random numbers, as dropout or "
    "random crops do",
    "after": "other ones after it has seen images: it adapts while it runs",
    "beside": "other ones in another batch: it uses what is beside an image or came first, as batch norm "
    "without running statistics or dynamic quantisation do",
}


def _refusal(classifier: Classifier, kind: str, first_NC: Tensor, other_NC: Tensor) -> UserError:
    share = float((first_NC - other_NC).abs().max() / _range(first_NC))
    return UserError(
        expected=f"the same logits of {classifier.name!r} for an image whenever it is shown",
        found=f"{_FOUND[kind]} (they differ by {share:.2g} of their range)",
        next_step=_NEXT,
    )


def _differs(first_NC: Tensor, other_NC: Tensor, among_NC: Tensor | None = None) -> bool:
    if first_NC.shape != other_NC.shape:
        return True
    reference_NC = first_NC if among_NC is None else among_NC
    allowed = TOLERANCE * _range(reference_NC) + _ROUNDING * reference_NC.abs().max()
    return not bool(((first_NC - other_NC).abs() <= allowed).all())


def _range(logits_NC: Tensor) -> Tensor:
    """How far the logits of an image lie apart at most."""
    return (logits_NC.amax(-1) - logits_NC.amin(-1)).max().clamp_min(1e-30)


def _random_state(device: torch.device) -> list[Any]:
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    numbers = legacy["state"]["key"].tobytes(), legacy["state"]["pos"], legacy["has_gauss"]
    state = [random.getstate(), numbers, torch.get_rng_state().numpy().tobytes()]
    if device.type == "cuda":
        state.append(torch.cuda.get_rng_state(device).numpy().tobytes())
    return state
