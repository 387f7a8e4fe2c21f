"""Attribution maps of one classifier: how much each value of the canonical image moves one logit.

How far maps repeat: on the CPU, with the same batch, threads and libraries, to the byte. On CUDA the
backward pass of the antialiased resize and of some convolutions adds with atomics, in an order that
changes from call to call; a test allows 1e-5 of the largest value for a smooth network, and
`torch.use_deterministic_algorithms(True)` asks for kernels that repeat, or for an error where there are
none. Other kernels (another device, memory format or batch size) round otherwise, and a gradient jumps
where a ReLU or a maximum stands within rounding of its switch. Measured on the CPU for `channels_last`
against contiguous images (14 pretrained networks, 8 images each): 9 networks within 4e-6 of a map's
largest value; 5 with single values off by up to 5 %, and by at most 0.5 % in the Euclidean norm of a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.core.reasons import reason_of

from .methods import find_method

if TYPE_CHECKING:
    from nversion.models import Classifier

PASS_BYTES = 3 << 30
"""Memory for the activations of one forward and backward pass, estimated by `images_per_pass`."""

# The most of 14 pretrained networks of 160 to 260 pixels was 730 (EfficientNet-Lite2).
_ACTIVATION_BYTES_A_VALUE = 1024


def images_per_pass(classifier: Classifier, pass_bytes: int = PASS_BYTES) -> int:
    """How many images one forward and backward pass takes at a time; at least one.

    What a network keeps for its backward pass cannot be known without running it, so this is a rule
    of thumb: 1 KiB for each value of the network's input, 154 MB for an image of 224×224. It held for
    the 14 pretrained networks that it was made from (21 to 148 MB an image); a network that keeps more
    (a ResNet-152, a large transformer) takes as many times more, and a smaller `pass_bytes` then.
    """
    num_values = 3 * classifier.preprocessing.input_size**2
    return chunk_length(_ACTIVATION_BYTES_A_VALUE * num_values, pass_bytes)


def attribute(
    classifier: Classifier,
    images_N3HW: Tensor,
    targets_N: Tensor,
    method: str,
    absolute: bool,
    *,
    pass_bytes: int = PASS_BYTES,
) -> Tensor:
    """Attribution maps of a batch with respect to the canonical image (a of Eq. 7).

    A sample's map depends on its image and target alone, not on its neighbours in the batch, up to the
    rounding of kernels that differ with the batch size.

    Peak memory is that of one forward pass which keeps the activations of `images_per_pass` images,
    whatever the method and however many samples, plus three times the images. Measured for each image
    of 224×224 with frozen parameters: 21 MB (SqueezeNet 1.1), 90 MB (ResNet-50), 148 MB
    (EfficientNet-Lite2 at 260).

    Args:
        classifier: in eval mode; its parameters may be frozen and are left without gradients.
        images_N3HW: float, in [0, 1].
        targets_N: the class explained, for each sample.
        method: a name of `METHODS`, or one with its number of passes: "integrated_gradients-10".
        absolute: the magnitude instead of the signed value. The usual library's default is True;
            which one was used belongs into every record of the maps.
        pass_bytes: for the activations of one pass; the maps change by rounding alone.

    Returns:
        maps_N3HW: float32, detached, on the device of the images.

    Raises:
        UserError: the method is unknown, a target is no class, the images are no float images, the
            classifier is in training mode or does not let the method run, or a map is not finite.
    """
    make_maps = find_method(method)
    _check(classifier, images_N3HW, targets_N)
    maps_N3HW = images_N3HW.new_empty(images_N3HW.shape, dtype=torch.float32)
    for start, stop in spans(len(images_N3HW), images_per_pass(classifier, pass_bytes)):
        # A clone made outside of inference mode takes gradients wherever the images come from; it also
        # spares captum setting, and warning of, a flag on a tensor that belongs to the caller.
        with torch.inference_mode(False), torch.enable_grad():
            rows = _in_company(start, stop)
            leaf_n3HW = images_N3HW[rows].clone().detach().requires_grad_(True)
            targets_n = targets_N[rows].clone().long()
            try:
                maps_n3HW = make_maps(classifier, leaf_n3HW, targets_n, absolute=absolute)
            except UserError:
                raise
            except Exception as error:
                raise UserError(
                    expected=f"{classifier.name} to let {method} run",
                    found=reason_of(error, with_type=True),
                    next_step="check that gradients flow through its module, or leave the method out",
                ) from error
        assert maps_n3HW.shape == leaf_n3HW.shape, f"{method} made maps of shape {tuple(maps_n3HW.shape)}"
        maps_N3HW[start:stop] = maps_n3HW[: stop - start].detach()
    _check_finite(classifier, maps_N3HW, method)
    return maps_N3HW


def attribute_targets(
    classifier: Classifier,
    images_N3HW: Tensor,
    targets: Mapping[str, Tensor],
    method: str,
    absolute: bool,
    *,
    pass_bytes: int = PASS_BYTES,
) -> dict[str, Tensor]:
    """Maps of the same images for several targets, at little more than the price of one.

    Where two targets name the same class for a sample their maps are the same map: it is computed for
    the first and copied for the second. For {"predicted": …, "label": …} the second pass therefore runs
    on the wrongly classified samples only. Copied maps are equal to the byte; maps of the smaller
    second batch agree with those of a full pass within the rounding of the device's convolutions
    (float32 on the CPU: mostly within 1e-6 of the map's largest value; see the module for where not).

    Peak memory is that of `attribute` plus one set of maps for each target.

    Args:
        classifier, images_N3HW, method, absolute, pass_bytes: as for `attribute`.
        targets: name to targets_N, in the order of computation.

    Returns:
        name to maps_N3HW.
    """
    maps: dict[str, Tensor] = {}
    for name, targets_N in targets.items():
        maps_N3HW = images_N3HW.new_empty(images_N3HW.shape, dtype=torch.float32)
        missing_N = torch.ones_like(targets_N, dtype=torch.bool)
        for earlier, earlier_maps_N3HW in maps.items():
            same_N = missing_N & (targets_N == targets[earlier])
            maps_N3HW[same_N] = earlier_maps_N3HW[same_N]
            missing_N &= ~same_N
        if bool(missing_N.any()):
            maps_N3HW[missing_N] = attribute(
                classifier,
                images_N3HW[missing_N],
                targets_N[missing_N],
                method,
                absolute,
                pass_bytes=pass_bytes,
            )
        maps[name] = maps_N3HW
    return maps


def _in_company(start: int, stop: int) -> list[int]:
    """Indices of the images of one pass: a single image goes twice.

    On the CPU, torch's batch norm reads the gradient of a batch of one image in the wrong order where it has
    the strides of tokens (`findings/batch-norm-backward-of-one-image.sh`).
    """
    return list(range(start, stop)) if stop - start > 1 else [start, start]


def _check(classifier: Classifier, images_N3HW: Tensor, targets_N: Tensor) -> None:
    if not images_N3HW.is_floating_point() or images_N3HW.ndim != 4 or images_N3HW.shape[1] != 3:
        raise UserError(
            expected="float images in [0, 1] of shape (N, 3, H, W)",
            found=f"{images_N3HW.dtype} of shape {tuple(images_N3HW.shape)}",
            next_step="divide uint8 images by 255",
        )
    if targets_N.shape != images_N3HW.shape[:1]:
        raise UserError(
            expected=f"one target for each of {len(images_N3HW)} images",
            found=f"targets of shape {tuple(targets_N.shape)}",
            next_step="pass one class index a sample",
        )
    num_classes = classifier.card.label_space.num_classes
    outside_N = (targets_N < 0) | (targets_N >= num_classes)
    if bool(outside_N.any()):
        index = int(outside_N.nonzero()[0])
        raise UserError(
            expected=f"targets from 0 to {num_classes - 1}, the classes of {classifier.name}",
            found=f"{int(targets_N[index])} for sample {index} of the batch",
            next_step="check that images and classifier share one label space",
        )
    if any(module.training for module in classifier.modules()):
        raise UserError(
            expected=f"{classifier.name} in eval mode",
            found="training mode, in which a sample's map depends on its neighbours",
            next_step="call classifier.eval()",
        )


def _check_finite(classifier: Classifier, maps_N3HW: Tensor, method: str) -> None:
    # The largest magnitude of a map is not finite exactly when one of its values is not.
    peak_N = torch.linalg.vector_norm(maps_N3HW.flatten(1), ord=float("inf"), dim=1)
    bad = (~torch.isfinite(peak_N)).nonzero().flatten().tolist()
    if bad:
        raise UserError(
            expected=f"finite {method} maps of {classifier.name}",
            found="nan or infinity for sample" + ("s " if len(bad) > 1 else " ") + ", ".join(map(str, bad)),
            next_step="check the classifier's weights and its logits on these samples of the batch",
        )
