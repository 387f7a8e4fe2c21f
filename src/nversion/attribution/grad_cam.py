"""Grad-CAM: the last convolutional stage, or the patch tokens of a transformer, weighted for a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nversion.core import UserError, did_you_mean

from .methods import METHODS, described_by

if TYPE_CHECKING:
    from nversion.models import Classifier

Hook = Callable[[nn.Module, Any, Any], Tensor | None]

_FOUND: WeakKeyDictionary[Classifier, str] = WeakKeyDictionary()  # looked for once for each classifier


def grad_cam_layers(classifiers: Sequence[Classifier]) -> dict[str, Any]:
    """The layer of each classifier and what becomes of its map, as manifests keep them."""
    return {"layers": {c.name: grad_cam_layer(c) for c in classifiers}, "channels": "a third of the map each"}


@METHODS.register("grad_cam")
@described_by(grad_cam_layers)
def grad_cam(
    classifier: Classifier,
    images_N3HW: Tensor,
    targets_N: Tensor,
    *,
    absolute: bool,
    layer: str | None = None,
) -> Tensor:
    """`class_activation` on the canonical image: bilinear, a third of it in each channel.

    Summed over its three channels a map is thus the Grad-CAM map, and Eq. 7, which sums over channels,
    gives a third of the variance of the Grad-CAM maps; normalised maps do not feel the third. Grad-CAM
    is rectified, so the magnitude is the map itself: `absolute` changes nothing. Where the class has no
    evidence in the layer the map is 0 everywhere, and normalised it is undefined.

    One forward pass and a backward pass through what follows the layer.

    Args:
        layer: the name of a submodule of the classifier's module; None for `grad_cam_layer`.

    Raises:
        UserError: the classifier has no such layer, or none that Grad-CAM can use.
    """
    cam_Nhw = class_activation(classifier, images_N3HW, targets_N, layer)
    cam_N1HW = F.interpolate(
        cam_Nhw.unsqueeze(1), images_N3HW.shape[-2:], mode="bilinear", align_corners=False
    )
    return (cam_N1HW / 3).expand(-1, 3, -1, -1)


def class_activation(
    classifier: Classifier, images_N3HW: Tensor, targets_N: Tensor, layer: str | None = None
) -> Tensor:
    """`ReLU(Σ_k w_k · A_k[p])`, `w_k = mean_p ∂ logit_target / ∂ A_k[p]` (Selvaraju et al., 2017).

    A_k are the channels of the layer's output. Of a transformer's they are the widths of its tokens:
    class, distillation and register tokens are dropped and the patch tokens laid out as a square.

    The graph starts at the layer, so that nothing before it is kept for the backward pass; captum's
    LayerGradCam, which the tests compare with, keeps all of it and has no notion of tokens. A layer
    that is called several times counts with its last call. What follows may change it in place.

    Returns:
        cam_Nhw at the layer's own resolution, at least 0, without a graph.
    """
    layer = grad_cam_layer(classifier) if layer is None else layer
    kept: list[Tensor] = []

    def start_the_graph_here(_: nn.Module, __: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        kept[:] = [output.detach().requires_grad_()]
        return kept[0].clone()  # a leaf may not be changed in place

    with _hook_on([_submodule(classifier, layer)], start_the_graph_here):
        logits_NC = classifier(images_N3HW.detach())
    if not kept or _as_maps(kept[0], classifier) is None:
        raise UserError(
            expected=f"a layer of {classifier.name} whose output is maps or tokens on a square",
            found=f"{layer!r} with " + (f"shape {tuple(kept[0].shape)}" if kept else "no tensor"),
            next_step="name another layer, or leave grad_cam out",
        )
    logits_N = logits_NC.gather(1, targets_N.unsqueeze(1))
    (slope,) = torch.autograd.grad(logits_N.sum(), kept[0])
    slope_NChw, value_NChw = (_as_maps(values, classifier) for values in (slope, kept[0].detach()))
    assert slope_NChw is not None
    assert value_NChw is not None
    return (slope_NChw.mean((2, 3), keepdim=True) * value_NChw).sum(1).relu()


def grad_cam_layer(classifier: Classifier) -> str:
    """The name of the submodule whose output Grad-CAM weights.

    It is what the classifier's module says in an attribute `grad_cam_layer`, or else the last module
    to end in the forward pass whose output (N, C, h, w), (N, h, w, C) or (N, tokens, C) lies on a
    square of more than one place and moves the logits there. Of maps it is the last past which no
    shortcut leads, so not the inside of a block whose end has one place. Of tokens it is the last, which
    passes over the layers of a transformer after its last attention, where only the class token
    counts: what is found is the norm before that attention. A linear layer is part of a block, too.

    Raises:
        UserError: the classifier has no such layer.
    """
    named = getattr(classifier.written_module, "grad_cam_layer", None)
    if isinstance(named, str):
        _submodule(classifier, named)
        return named
    if classifier not in _FOUND:
        _FOUND[classifier] = _search(classifier)
    return _FOUND[classifier]


def _search(classifier: Classifier) -> str:
    with torch.inference_mode(False), torch.enable_grad():
        outputs, logits_2C = _outputs_on_squares(classifier)
        moving: list[str] = []
        if outputs and logits_2C.requires_grad:
            slopes = torch.autograd.grad(
                logits_2C.square().sum(), list(outputs.values()), allow_unused=True, materialize_grads=True
            )
            moving = [
                name
                for name, slope in zip(outputs, slopes, strict=True)
                if (slope_2Chw := _as_maps(slope, classifier)) is not None and bool(slope_2Chw.any())
            ]
        if not moving:
            raise UserError(
                expected=f"a convolutional stage or a square of tokens in {classifier.name}, for grad_cam",
                found="no module with such an output that moves the logits",
                next_step="leave grad_cam out, or name a layer in its module's attribute `grad_cam_layer`",
            )
        # A network of tokens ends in tokens; what has maps inside of it is its attention.
        last = next(reversed(outputs.values()))
        ends = [n for n in moving if last.ndim == 4 == outputs[n].ndim or outputs[n].shape == last.shape]
        candidates = ends or moving
        if last.ndim == 4:
            passed = (name for name in reversed(candidates) if _is_passed_by_all(name, classifier))
            return next(passed, candidates[-1])
        return candidates[-1]


def _outputs_on_squares(classifier: Classifier) -> tuple[dict[str, Tensor], Tensor]:
    """Outputs that `_as_maps` can read, in the order in which their modules end, and the logits."""
    names = {module: name for name, module in classifier.written_module.named_modules()}
    outputs: dict[str, Tensor] = {}

    def keep(module: nn.Module, _: Any, output: Any) -> Tensor | None:
        outputs.pop(names[module], None)
        if not isinstance(output, Tensor) or not output.requires_grad or isinstance(module, nn.Linear):
            return None  # encodings of positions depend on no image
        if _as_maps(output, classifier) is None:
            return None
        outputs[names[module]] = output
        return output.clone()  # what follows may change it in place

    with _hook_on(list(names), keep):
        logits_2C = classifier(_probe(classifier).requires_grad_())
    return outputs, logits_2C


def _is_passed_by_all(layer: str, classifier: Classifier) -> bool:
    """Whether the logits see nothing of the image but through this layer: no shortcut leads past it."""
    images_23HW = _probe(classifier).requires_grad_()
    with _hook_on([_submodule(classifier, layer)], lambda _, __, output: output.detach()):
        logits_2C = classifier(images_23HW)
    if not logits_2C.requires_grad:
        return True
    (slope,) = torch.autograd.grad(logits_2C.sum(), images_23HW, allow_unused=True)
    return slope is None


def _as_maps(values: Tensor, classifier: Classifier) -> Tensor | None:
    """Values as (N, C, h, w) with h = w > 1; None where they do not lie on a square.

    Images are square and so are their maps: (N, h, h, C) is distinguished from (N, C, h, h) by that.
    """
    if values.ndim == 4:
        _, first, second, third = values.shape
        if second == third > 1:
            return values
        return values.permute(0, 3, 1, 2) if first == second > 1 else None
    if values.ndim != 3:
        return None
    num_tokens = values.shape[1]
    said = [getattr(module, "num_prefix_tokens", None) for module in classifier.written_module.modules()]
    prefix = next((number for number in said if isinstance(number, int)), num_tokens - isqrt(num_tokens) ** 2)
    side = isqrt(max(0, num_tokens - prefix))
    if side < 2 or prefix + side**2 != num_tokens:
        return None
    return values[:, prefix:].transpose(1, 2).reshape(len(values), -1, side, side)


def _probe(classifier: Classifier) -> Tensor:
    """Two images of noise on the classifier's device, the same on every call; see `maps` for why not one."""
    parameter = next(classifier.written_module.parameters(), torch.empty(0))
    size = classifier.preprocessing.input_size
    noise_23HW = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return noise_23HW.to(parameter.device, parameter.dtype)


def _submodule(classifier: Classifier, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(classifier.written_module.named_modules())
    if name not in modules or not name:
        raise UserError(
            expected=f"the name of a layer of {classifier.name}",
            found=repr(name),
            next_step=did_you_mean(name, [known for known in modules if known]),
        )
    return modules[name]


@contextmanager
def _hook_on(modules: Sequence[nn.Module], hook: Hook) -> Iterator[None]:
    from nversion.models import eagerly

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        with eagerly():
            yield
    finally:
        for handle in handles:
            handle.remove()
