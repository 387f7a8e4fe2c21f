"""Arrays as users pass them (lists, NumPy arrays, tensors), checked once and turned into one kind of array.

Axes: M models, N samples, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .chunks import chunk_length, spans
from .errors import UserError
from .reasons import reason_of

_BUDGET_BYTES = 64 << 20  # of values that are looked at together
_KINDS = {"O": "objects", "S": "bytes", "U": "text", "c": "complex numbers", "M": "dates", "V": "records"}


def as_array(values: Any, what: str) -> NDArray[Any]:
    """`values` as an array of real numbers or bool, without a copy where that is possible.

    Tensors are detached and brought to the CPU, bfloat16 becomes float32, and other byte orders the native
    one. Memory maps stay on disk.

    Args:
        what: the name of the argument, for errors.

    Raises:
        UserError: ragged lists, objects, text, complex numbers, masked, sparse or quantised values.

    >>> as_array([[1, 2], [3, 4]], "labels").tolist()
    [[1, 2], [3, 4]]
    """
    if isinstance(values, Tensor):
        return _of_tensor(values, what)
    if isinstance(values, list | tuple) and any(isinstance(one, Tensor) for one in values):
        values = [_of_tensor(one, what) if isinstance(one, Tensor) else one for one in values]
    if values is None or isinstance(values, Mapping | set | frozenset) or callable(values):
        raise _no_array(what, "none" if values is None else f"a {type(values).__name__}")
    try:
        array = np.asanyarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged, or not on the CPU
        raise _no_array(what, reason_of(error)) from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise _no_array(what, f"a masked array with {int(np.ma.getmaskarray(array).sum())} masked values")
        array = array.data
    if array.dtype.kind not in "biuf":
        raise _no_array(what, f"an array of {_KINDS.get(array.dtype.kind, str(array.dtype))}")
    array = np.asarray(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_labels(values: Any, what: str = "labels", num_classes: int | None = None) -> NDArray[np.int64]:
    """Class indices, shape (N,), int64.

    Args:
        what: the name of the argument, for errors.
        num_classes: C, where it is known: labels lie in 0 to C - 1.

    Raises:
        UserError: another shape or type, no label, or one out of range.

    >>> as_labels([2, 0, 1]).tolist()
    [2, 0, 1]
    >>> as_labels([0.5])
    Traceback (most recent call last):
    nversion.core.errors.UserError: expected labels of shape (N,) as whole numbers from 0 to C - 1, found \
float64 of shape (1,); make them whole numbers: np.asarray(labels).astype(int)
    """
    if values is None:
        raise _labels_error(what, "none", "pass the index of the right class of each sample")
    array = as_array(values, what)
    found = f"{array.dtype} of shape {array.shape}"
    if array.ndim == 2 and array.shape[1] > 1 and bool((array.astype(np.float64).sum(-1) == 1).all()):
        raise _labels_error(what, f"{found}, one-hot", f"pass class indices: {what}.argmax(-1)")
    if array.ndim != 1:
        cure = (
            f"{what}.squeeze()" if array.size == max(array.shape, default=0) else "one label for each sample"
        )
        raise _labels_error(what, found, f"pass {cure}")
    if len(array) == 0:
        raise _labels_error(what, "none at all", "pass at least one sample")
    if array.dtype.kind == "b":
        step = "pass class indices: bool says which answers are right, and only some metrics take that"
        raise _labels_error(what, found, step)
    if array.dtype.kind == "f":
        raise _labels_error(what, found, "make them whole numbers: np.asarray(labels).astype(int)")
    wrong = np.flatnonzero((array < 0) | (array >= (num_classes or np.inf)))
    if len(wrong):
        raise UserError(
            expected=f"{what} from 0 to {num_classes - 1 if num_classes else 'C - 1'}",
            found=f"{array[wrong[0]]} at sample {wrong[0]} ({len(wrong)} of {len(array)} out of range)",
            next_step="leave samples without a label out; labels are 0-based class indices",
        )
    return array.astype(np.int64)


def check_logits(
    logits: Sequence[NDArray[Any]], names: Sequence[str], what: str = "logits", *, probabilities: bool = False
) -> None:
    """Check the values of the logits of each model, (N, C): numbers, not probabilities.

    A class that is excluded by minus infinity is allowed while another one of its row is finite.
    A warning says where all values of a model look like probabilities.

    Args:
        names: of the models, for errors.
        probabilities: whether they are said to be probabilities.

    Raises:
        UserError: nan, infinity, or no finite value in some row; or values that are no probabilities where
            they are said to be.
    """
    suspects = []
    for name, logits_NC in zip(names, logits, strict=True):
        bad, first, like_probabilities = 0, -1, len(logits_NC) > 0
        length = chunk_length(8 * logits_NC.shape[1], _BUDGET_BYTES)
        for start, stop in spans(len(logits_NC), length):
            part_nC = np.asarray(logits_NC[start:stop])
            highest_n = part_nC.max(-1)  # nan where any is
            rows = np.flatnonzero(~np.isfinite(highest_n))
            first = start + int(rows[0]) if len(rows) and not bad else first
            bad += len(rows)
            like_probabilities &= _like_probabilities(part_nC)
        if bad:
            shown = np.asarray(logits_NC[first])
            kind = "nan" if np.isnan(shown).any() else "inf" if (shown == np.inf).any() else "only -inf"
            raise UserError(
                expected=f"finite {what} of {name!r}",
                found=f"{kind} in {bad} of {len(logits_NC)} rows, first at sample {first}",
                next_step="check its weights and preprocessing (overflow in half precision?), or leave these "
                "samples out of all models and labels",
            )
        if probabilities and not like_probabilities:
            raise UserError(
                expected=f"probabilities of {name!r}: none below 0, and 1 in sum for each sample",
                found=f"values from {np.min(logits_NC):.3g} to {np.max(logits_NC):.3g}",
                next_step='leave outputs="probabilities" out: logits and log-probabilities need no setting',
            )
        suspects += [name] if like_probabilities and logits_NC.shape[1] > 1 else []
    if suspects and not probabilities:
        warnings.warn(
            f"{what} of {', '.join(map(repr, suspects))} look like probabilities (none below 0, 1 in sum) "
            'and are taken as logits: pass outputs="probabilities", or their logarithms',
            stacklevel=3,
        )


def _like_probabilities(values_NC: NDArray[Any]) -> bool:
    return bool((values_NC >= 0).all() and (abs(values_NC.sum(-1, dtype=np.float64) - 1) < 2e-3).all())


def check_axes(array: Any, num_samples: int | None, what: str, form: str) -> None:
    """Check that values of several models on N samples lie as (M, N, ...).

    Args:
        array: NumPy array or tensor.
        num_samples: N, from the labels; None: not known.
        what: the name of the argument, for errors.
        form: the expected shape, for errors: "(M, N, C)" or "(M, N)".

    Raises:
        UserError: another number of axes or samples.
    """
    shape = tuple(array.shape)
    expected = f"{what} of shape {form}, models first" + (
        f", for {num_samples} labels" if num_samples is not None else ""
    )
    found = f"{str(array.dtype).removeprefix('torch.')} of shape {shape}"
    if 0 in shape:
        raise UserError(expected=expected, found=found, next_step="pass at least one model and one sample")
    if len(shape) != form.count(",") + 1:
        step = f"stack the {what} of all models on the first axis"
        if len(shape) == form.count(","):
            step += f"; of one model alone: {what}[None]"
        raise UserError(expected=expected, found=found, next_step=step)
    if num_samples is not None and shape[1] != num_samples:
        step = "pass the same samples in the same order"
        if num_samples in shape:
            step = f"put models first and samples second: np.swapaxes({what}, {shape.index(num_samples)}, 1)"
        raise UserError(expected=expected, found=found, next_step=step)


def _of_tensor(tensor: Tensor, what: str) -> NDArray[Any]:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        found = "a tensor that is sparse, nested, quantised or on the device meta"
        raise _no_array(what, found)
    if tensor.is_complex():
        raise _no_array(what, "a tensor of complex numbers")
    plain = tensor.detach().cpu().resolve_neg()
    return plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy()


def _no_array(what: str, found: str) -> UserError:
    return UserError(
        expected=f"{what} as an array of numbers",
        found=found,
        next_step="pass a NumPy array, a tensor, or lists of equal lengths",
    )


def _labels_error(what: str, found: str, next_step: str) -> UserError:
    return UserError(
        expected=f"{what} of shape (N,) as whole numbers from 0 to C - 1", found=found, next_step=next_step
    )
