"""A classifier on images that belong to no data set: what it costs, what it gives, what it leaves behind."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nversion.core import UserError, generator
from nversion.core.reasons import reason_of

from .preprocessing import Preprocessing

_NUM_GUARDS = 16
_CONTAINERS = (list, dict, set, bytearray)


@dataclass(frozen=True)
class Probed:
    """What a module does with one image.

    Attributes:
        macs: multiply-accumulate operations for it; half of the FLOPs that torch counts: matrix products,
            convolutions and attention. Element-wise operations, norms and pooling are not counted, as is
            usual.
        outputs_1C: float32, on the CPU.
    """

    macs: int
    outputs_1C: Tensor


def probe_images(count: int, size: int) -> Tensor:
    """Fixed float32 images (N, 3, size, size) in [0, 1] of several brightnesses: blotches with some noise.

    >>> probe_images(2, 8).shape, bool((probe_images(3, 8)[:2] == probe_images(2, 8)).all())
    (torch.Size([2, 3, 8, 8]), True)
    """
    images = []
    for index in range(count):
        rng = generator("probe image", index)
        blotches_133 = torch.from_numpy(rng.random((1, 3, 5, 5), np.float32))
        image_13HW = F.interpolate(blotches_133, (size, size), mode="bilinear", align_corners=True)
        noise_13HW = torch.from_numpy(rng.random((1, 3, size, size), np.float32)) - 0.5
        bright = 0.4 + 0.6 * float(rng.random())
        images.append((bright * (0.8 * image_13HW + 0.4 * noise_13HW)).clamp(0, 1))
    return torch.cat(images)


def probe(module: nn.Module, preprocessing: Preprocessing, name: str) -> Probed:
    """Run a module in eval mode on one probe image, on its own device.

    Attention is computed by plain matrix products meanwhile, since torch counts nothing in the kernels that
    `nn.MultiheadAttention` and fused attention take on some devices and in some versions.

    Raises:
        UserError: it does not run on its input size, or gives no finite (1, C) outputs.
    """
    size = preprocessing.input_size
    counter = FlopCounterMode(display=False)
    image_13HW = probe_images(1, size).to(device_of(module))
    try:
        with ExitStack() as stack:
            for context in (quietly(module), eagerly(), _plain_attention(), torch.no_grad(), counter):
                stack.enter_context(context)
            outputs = module(preprocessing(image_13HW))
    except Exception as error:
        raise UserError(
            expected=f"the classifier {name!r} to run on 1×3×{size}×{size}",
            found=reason_of(error, with_type=True),
            next_step="check the module and the `input_size` of its preprocessing",
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != 1:
        found = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UserError(
            expected=f"logits of shape (N, classes) from the classifier {name!r}",
            found=f"{found} for one image",
            next_step="wrap the module so that it returns the logits alone",
        )
    plain = outputs.layout == torch.strided and not (outputs.is_quantized or outputs.is_complex())
    if not plain or outputs.shape[1] == 0:
        raise UserError(
            expected=f"real numbers, one a class, from the classifier {name!r}",
            found=f"{str(outputs.dtype).removeprefix('torch.')} of shape {tuple(outputs.shape)}"
            + ("" if outputs.layout == torch.strided else f", {outputs.layout}"),
            next_step="wrap the module so that it returns its logits as a dense floating-point tensor",
        )
    if not torch.isfinite(outputs.float()).all():
        raise UserError(
            expected=f"finite logits from the classifier {name!r}",
            found="infinite ones or NaN for a test image",
            next_step="check the weights and the preprocessing",
        )
    return Probed(counter.get_total_flops() // 2, outputs.float().cpu())


def count_macs(module: nn.Module, images_N3HW: Tensor) -> int:
    """Multiply-accumulate operations of a module for images on its device, which may be "meta"."""
    counter = FlopCounterMode(display=False)
    with _plain_attention(), torch.no_grad(), counter:
        module(images_N3HW)
    return int(counter.get_total_flops()) // 2


def guard_of(logits_1C: Tensor) -> tuple[float, ...]:
    """The largest magnitude of some logits, then sums of them under fixed signs, as a short record of them.

    Rounding moves logits by less than 1e-6 of the largest from one CPU or number of threads to another
    (`nversion.predictions.logits`); `nversion.core.parts.GUARD_TOLERANCE` is a hundred times that.

    >>> guard_of(torch.tensor([[3.0, -4.0]]))[0]
    4.0
    """
    num_classes = logits_1C.shape[1]
    signs_SC = generator("guard", num_classes).choice([-1.0, 1.0], (_NUM_GUARDS - 1, num_classes))
    sums_S = signs_SC @ logits_1C[0].double().numpy() / num_classes**0.5
    return (float(logits_1C.abs().max()), *(float(f"{value:.7g}") for value in sums_S))


def look_like_probabilities(outputs_NC: Tensor) -> bool:
    """Whether no output is negative and each row adds up to 1, or to 100.

    >>> look_like_probabilities(torch.tensor([[0.25, 0.75]])), look_like_probabilities(torch.ones(1, 2))
    (True, False)
    """
    totals_N = outputs_NC.double().sum(-1)
    whole_N = torch.where(totals_N < 10, 1.0, 100.0).double()
    return bool((outputs_NC >= 0).all() and ((totals_N / whole_N - 1).abs() < 2e-3).all())


def check_outputs(
    module: nn.Module, preprocessing: Preprocessing, probed: Probed, outputs: str, name: str
) -> tuple[str, ...]:
    """Check that outputs are what they are said to be; several images are asked where one looks wrong.

    Returns:
        A note where they may be something else: a sigmoid's values are not known from those of cosines.

    Raises:
        UserError: probabilities where logits are expected, or the other way round.
    """
    found_NC = probed.outputs_1C
    suspect = look_like_probabilities(found_NC) or _within_one(found_NC)
    if suspect and outputs == "logits":
        images_N3HW = probe_images(8, preprocessing.input_size).to(device_of(module))
        try:
            with quietly(module), torch.no_grad():
                found_NC = module(preprocessing(images_N3HW)).float().cpu()
        except RuntimeError:
            pass  # it takes one image at a time; what that gave has to do
        if look_like_probabilities(found_NC):
            raise UserError(
                expected=f"logits from the classifier {name!r}",
                found=f"probabilities: none below 0, and {found_NC[0].sum():.4g} in sum on "
                + (f"each of {len(found_NC)} test images" if len(found_NC) > 1 else "a test image"),
                next_step='set `outputs = "probabilities"` on the model, which takes their logarithms, or '
                "let its module return what its softmax is taken of",
            )
    if outputs == "probabilities" and not look_like_probabilities(found_NC):
        raise UserError(
            expected=f'probabilities from the classifier {name!r}, since `outputs = "probabilities"`',
            found=f"values from {found_NC.min():.3g} to {found_NC.max():.3g}, {found_NC.sum():.4g} in sum, "
            "for a test image",
            next_step="take the setting out: logits and log-probabilities need none",
        )
    if outputs == "logits" and suspect and _within_one(found_NC):
        return (
            "all outputs for the test images lie between 0 and 1, as a sigmoid's do: they are taken as "
            "logits, so calibration and consensus of probabilities are wrong if they are none",
        )
    return ()


def _within_one(outputs_NC: Tensor) -> bool:
    return bool(((outputs_NC >= 0) & (outputs_NC <= 1)).all() and (outputs_NC > 0).any())


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters, or else its buffers, are."""
    held = next(module.parameters(), next(module.buffers(), torch.empty(0)))
    return held.device


@contextmanager
def eagerly() -> Iterator[None]:
    """Run what `torch.compile` made as it was written: compiled code calls no hook that comes later."""
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _plain_attention() -> Iterator[None]:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def quietly(module: nn.Module) -> Iterator[None]:
    """Give back what a run changes: `random_kept` and `state_kept`."""
    with random_kept(module), state_kept(module):
        yield


@contextmanager
def random_kept(module: nn.Module) -> Iterator[None]:
    """Give back global random generators of Python, NumPy and torch, also of the module's device."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [device_of(module)] if device_of(module).type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


@contextmanager
def state_kept(module: nn.Module, *, weights: bool = False) -> Iterator[None]:
    """Give back what a run changes in a module: buffers and attributes.

    Args:
        weights: give back parameters, too; a copy of them is held meanwhile.
    """
    restore = _remembered(module, weights)
    try:
        yield
    finally:
        restore()


def _remembered(module: nn.Module, weights: bool) -> Callable[[], None]:
    held_tensors = list(module.buffers()) + (list(module.parameters()) if weights else [])
    attributes: list[tuple[nn.Module, dict[str, Any]]] = []
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue
        held = {key: value for key, value in vars(part).items() if key != "_modules"}
        held_tensors += [value for value in held.values() if isinstance(value, Tensor)]
        attributes.append(
            (part, {k: copy.copy(v) if isinstance(v, _CONTAINERS) else v for k, v in held.items()})
        )

    # Sparse and nested ones, which torch cannot compare, are not written to in place.
    dense = [t for t in held_tensors if t.layout == torch.strided and not t.is_nested]
    tensors = [(tensor, tensor.detach().clone()) for tensor in dense]

    def restore() -> None:
        for part, held in attributes:
            now = vars(part)
            for key in [key for key in now if key not in held and key != "_modules"]:
                del now[key]
            for key, value in held.items():
                kept = now.get(key)
                if isinstance(value, _CONTAINERS) and type(kept) is type(value):
                    _refill(kept, value)  # the same object: others may hold it
                else:
                    now[key] = value
        with torch.no_grad():
            for tensor, before in tensors:
                if not torch.equal(tensor, before):  # first: some buffers share memory within themselves
                    tensor.copy_(before)

    return restore


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list | bytearray):
        container[:] = content
    else:
        container.clear()
        container.update(content)
