"""The ways of making attribution maps: a function each, found by its name.

A new method is a function with the signature of `AttributionMethod` and one decorator; it gets checked
input that needs no gradient yet is free to take one, and returns maps of the shape of the images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from nversion.core import Registry, UserError

if TYPE_CHECKING:
    from nversion.models import Classifier

F = TypeVar("F")


class AttributionMethod(Protocol):
    """Maps of one classifier for one batch.

    Two more keywords say what a method can do. One that makes several forward and backward passes takes
    their number as `passes: int = DEFAULT`; a study then sets it by the name "method-number". One whose maps
    can be differentiated takes `create_graph: bool = False` and keeps the graph where it is True; a recipe
    may then name it under `[maps]`, for losses on maps. In training `classifier` is a function from images to
    scores and nothing else.

    Args:
        classifier: in eval mode; called on canonical images, so that the gradient runs back through
            its own resize and normalisation.
        images_N3HW: float, in [0, 1], a leaf that requires gradients and that nobody else holds; few
            enough for one pass.
        targets_N: int64, the class whose logit is explained.
        absolute: the magnitude of the attribution instead of its signed value.

    Returns:
        maps_N3HW, with respect to `images_N3HW`.
    """

    def __call__(
        self, classifier: Classifier, images_N3HW: Tensor, targets_N: Tensor, *, absolute: bool
    ) -> Tensor: ...


MOST_PASSES = 10_000  # for one map; integrals of gradients settle far below
METHODS: Registry[AttributionMethod] = Registry("attribution method", "nversion.attribution")


@dataclass(frozen=True)
class Method:
    """A method of `METHODS` with its number of passes.

    Attributes:
        name: as it was asked for: "integrated_gradients-10".
        function: the entry of `METHODS`.
        passes: forward and backward passes for the map of one image and target, its cost.
        is_settable: whether the number of passes is a setting of the function.
        is_differentiable: whether the function can keep the graph of its maps.
    """

    name: str
    function: Callable[..., Tensor]
    passes: int
    is_settable: bool
    is_differentiable: bool

    def __call__(
        self,
        classifier: Callable[[Tensor], Tensor],
        images_N3HW: Tensor,
        targets_N: Tensor,
        *,
        absolute: bool,
        create_graph: bool = False,
    ) -> Tensor:
        settings: dict[str, Any] = {"passes": self.passes} if self.is_settable else {}
        settings |= {"create_graph": True} if create_graph else {}
        return self.function(classifier, images_N3HW, targets_N, absolute=absolute, **settings)

    def describe(self, classifiers: Sequence[Classifier]) -> dict[str, Any]:
        """What the maps depend on besides the name, as plain data for manifests; often nothing.

        Raises:
            UserError: the method cannot explain one of the classifiers.
        """
        own = getattr(self.function, "describe", None)
        return ({"passes": self.passes} if self.is_settable else {}) | (own(classifiers) if own else {})


def find_method(name: str) -> Method:
    """The method of a name such as "saliency", "integrated_gradients" or "integrated_gradients-10".

    Raises:
        UserError: there is no such method, it takes no number, or the number is no count of passes.

    >>> [find_method(name).passes for name in ("saliency", "integrated_gradients", "integrated_gradients-10")]
    [1, 50, 10]
    """
    base, _, number = name.rpartition("-")
    if name in METHODS or base not in METHODS:
        base, number = name, ""
    function = METHODS[base]
    parameters = inspect.signature(function).parameters
    passes, graph = parameters.get("passes"), "create_graph" in parameters
    if not number:
        return Method(name, function, 1 if passes is None else passes.default, passes is not None, graph)
    if passes is None:
        raise UserError(
            expected=f"an attribution method that takes a number of passes, which {base} does not",
            found=repr(name),
            next_step=f"write {base!r}",
        )
    if not number.isdecimal() or len(number) > 9 or not 1 <= int(number) <= MOST_PASSES:
        raise UserError(
            expected=f"a whole number of passes after {base!r}, from 1 to {MOST_PASSES:,}",
            found=repr(name) if len(name) < 80 else f"{name[:60]!r} ...",
            next_step=f"write for example '{base}-10'",
        )
    return Method(name, function, int(number), True, graph)


def find_differentiable_method(name: str) -> Method:
    """The method of a name whose maps a loss can differentiate; see `find_method`.

    Raises:
        UserError: there is no such method, or its maps cannot be differentiated.
    """
    method = find_method(name)
    if not method.is_differentiable:
        known = [repr(own) for own in METHODS if find_method(own).is_differentiable]
        raise UserError(
            expected="an attribution method whose maps can be differentiated",
            found=repr(name),
            next_step=f"name one of these: {', '.join(known)}; studies take the others, too",
        )
    return method


def described_by(facts: Callable[[Sequence[Classifier]], dict[str, Any]]) -> Callable[[F], F]:
    """Decorator: what a record of the method's maps must hold besides its name, as plain data."""

    def mark(function: F) -> F:
        function.describe = facts  # type: ignore[attr-defined]
        return function

    return mark


def _slope(
    classifier: Callable[[Tensor], Tensor], images_N3HW: Tensor, targets_N: Tensor, create_graph: bool
) -> Tensor:
    scores_N1 = classifier(images_N3HW).gather(1, targets_N.unsqueeze(1))
    (slope_N3HW,) = torch.autograd.grad(scores_N1.sum(), images_N3HW, create_graph=create_graph)
    return slope_N3HW


@METHODS.register("saliency")
def saliency(
    classifier: Callable[[Tensor], Tensor],
    images_N3HW: Tensor,
    targets_N: Tensor,
    *,
    absolute: bool,
    create_graph: bool = False,
) -> Tensor:
    """`a[c, p] = ∂ logit_target / ∂ x[c, p]`, or its magnitude (Simonyan et al., 2014).

    One forward and one backward pass. captum's own default is the magnitude (`abs=True`).
    """
    slope_N3HW = _slope(classifier, images_N3HW, targets_N, create_graph)
    return slope_N3HW.abs() if absolute else slope_N3HW


@METHODS.register("input_x_gradient")
@described_by(lambda _: {"baseline": "black"})
def input_x_gradient(
    classifier: Callable[[Tensor], Tensor],
    images_N3HW: Tensor,
    targets_N: Tensor,
    *,
    absolute: bool,
    create_graph: bool = False,
) -> Tensor:
    """`a[c, p] = x[c, p] · ∂ logit_target / ∂ x[c, p]`, or its magnitude (Shrikumar et al., 2016).

    One forward and one backward pass. x is the canonical image in [0, 1], so that a black value gets 0.
    """
    maps_N3HW = images_N3HW * _slope(classifier, images_N3HW, targets_N, create_graph)
    return maps_N3HW.abs() if absolute else maps_N3HW


@METHODS.register("integrated_gradients")
@described_by(lambda _: {"baseline": "black", "rule": "gausslegendre"})
def integrated_gradients(
    classifier: Classifier, images_N3HW: Tensor, targets_N: Tensor, *, absolute: bool, passes: int = 50
) -> Tensor:
    """`a[c, p] = x[c, p] · ∫₀¹ ∂ logit_target(α·x) / ∂ (α·x)[c, p] dα` (Sundararajan et al., 2017).

    The baseline is the black canonical image. The integral is Gauss and Legendre's sum of `passes`
    gradients, captum's default: exact for polynomials of degree 2·passes − 1; one pass takes the
    gradient at half brightness, α = ½, where Riemann's left and right sums would take an end of the
    path and captum's middle sum does not exist. As `passes` grows the signed map sums to
    `logit(x) − logit(black)`.

    A forward and a backward pass for each step. The steps run one after the other on the images of
    one pass, so memory is that of saliency whatever their number.
    """
    from captum.attr import IntegratedGradients

    maps_N3HW: Tensor = IntegratedGradients(classifier).attribute(
        images_N3HW.detach(),
        baselines=0.0,
        target=targets_N,
        n_steps=passes,
        method="gausslegendre",
        internal_batch_size=len(images_N3HW),
    )
    return maps_N3HW.abs() if absolute else maps_N3HW
