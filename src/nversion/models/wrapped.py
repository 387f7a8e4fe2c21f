"""The weights in a checkpoint as other scripts write them: inside entries, under prefixes, averaged or not.

A checkpoint is looked through for tensors whose names, after some prefix ("module.", "_orig_mod.model."), are
those of the network, all of them and in its shapes. What fits is taken; of several the user chooses.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nversion.core import UserError, did_you_mean
from nversion.core.reasons import reason_of

# Segments that wrappers put into names at any place: torch.compile, and FSDP and activation checkpointing.
_INNER = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)(?=[._]|$)", re.IGNORECASE)
_DEEPEST = 3  # entries inside entries
_COUNTER = "num_batches_tracked"  # which evaluation does not use
_CLASS = re.compile(r"GLOBAL ([\w.]+)|[Cc]lass '?([\w.]+)")


@dataclass(frozen=True)
class Candidate:
    """Tensors in a checkpoint that may be the weights of a network.

    Attributes:
        entry: keys that lead to them, joined by dots; empty: the checkpoint itself.
        prefix: of their names.
        state: the tensors without it.
        others: further names under other prefixes.
        hint: the end of the note.
    """

    entry: str
    prefix: str
    state: dict[str, Tensor]
    others: tuple[str, ...]
    hint: str = ""

    @property
    def name(self) -> str:
        """As the setting `weights` takes it."""
        return self.entry + (":" if self.entry and self.prefix else "") + self.prefix.rstrip(".")

    @property
    def is_averaged(self) -> bool:
        """Whether the names say that these are averages of weights over the training."""
        return bool(_AVERAGED.search(f"{self.entry}.{self.prefix}")) or "n_averaged" in self.others

    @property
    def note(self) -> str:
        """What was taken, where it was not all that the file holds."""
        parts = [f"entry {self.entry!r}"] if self.entry else []
        parts += [f"prefix {self.prefix!r}"] if self.prefix else []
        if not parts and not self.others:
            return self.hint.lstrip("; ")
        left = f"; {len(self.others)} other tensors left out ({_listed(self.others)})" if self.others else ""
        where = " and ".join(parts) or "their own names"
        return f"weights under {where}{' (averaged)' * self.is_averaged}{left}{self.hint}"


class _Inert:
    """Stands for any object of a checkpoint that is no plain data: nothing is imported, called or kept."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A .pt or .pth file as entries by name: tensors and plain data; other objects stand there as nothing.

    Raises:
        UserError: the file is an object that only code could make, such as a whole module, or is damaged.
    """
    try:
        content = _load(path)
    # A damaged file makes torch's reader fail in any way.
    except Exception as error:
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            content = _load(path, names)
        except Exception:
            raise _unreadable(path, error) from error
        if not isinstance(content, Mapping):
            raise _unreadable(path, error) from error
    if not isinstance(content, Mapping):
        raise UserError(
            expected=f"tensors by name in {path}",
            found=f"a {type(content).__name__} of other things",
            next_step="save the state_dict alone, with safetensors.torch.save_file",
        )
    return {str(key): value for key, value in content.items()}


def _load(path: Path, inert: Iterable[str] = ()) -> Any:
    """The file without running code; objects of the classes `inert` become `_Inert`."""
    stand_ins: list[Any] = [(_Inert, name) for name in inert]
    with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch thinks of kinds of tensors that are refused later
        return torch.load(path, map_location="cpu", weights_only=True)


def find_weights(
    content: Mapping[str, Any],
    expected: Mapping[str, Tensor],
    path: Path,
    arch: str,
    wanted: str | None = None,
) -> Candidate:
    """The weights of a network in a checkpoint.

    Args:
        content: of the file.
        expected: the network's own tensors by name.
        path: of the file, for errors.
        arch: of the network, for errors.
        wanted: which of several: "ema", the averaged ones; "plain", the others; or a name that the error
            lists. None: "plain" where there are both.

    Raises:
        UserError: none fits, or several do.
    """
    candidates = [one for entry, state in _states(content) for one in _candidates(entry, state, expected)]
    if not candidates:
        raise UserError(
            expected=f"tensors by name in {path}",
            found=f"none; its entries: {_listed(content, 8)}" if content else "an empty file",
            next_step="save the state_dict alone, with safetensors.torch.save_file",
        )
    fitting = [one for one in candidates if _misfit(one.state, expected) is None]
    if not fitting:
        raise _misfits(candidates, expected, path, arch)
    chosen = _chosen(fitting, path, wanted)
    if wanted is None and not chosen.is_averaged and any(one.is_averaged for one in fitting):
        return replace(chosen, hint='; the file has averaged ones as well: `weights = "ema"`')
    return chosen


def _states(
    content: Mapping[str, Any], entry: str = "", depth: int = 0
) -> list[tuple[str, dict[str, Tensor]]]:
    """Mappings from names to tensors, wherever they are; the numbers of an optimizer are none."""
    found = []
    own = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if own and all(isinstance(key, str) for key in own):
        found.append((entry, own))
    for key, value in content.items() if depth < _DEEPEST else ():
        if isinstance(key, str) and isinstance(value, Mapping):
            found += _states(value, f"{entry}.{key}" if entry else key, depth + 1)
    return found


def _candidates(entry: str, state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> list[Candidate]:
    """The state under each prefix behind which a name is one of the network's."""
    bare = {_INNER.sub("", name): name for name in state}
    if len(bare) < len(state):  # one network twice, wrapped and not
        bare = {name: name for name in state}
    matches: Counter[str] = Counter()
    for name in bare:
        ends = [0, *(match.end() for match in re.finditer(r"\.", name))]
        matches.update(name[:end] for end in ends if name[end:] in expected)
    found = []
    for prefix, _ in matches.most_common() or [("", 0)]:
        names = {name.removeprefix(prefix): full for name, full in bare.items() if name.startswith(prefix)}
        if not prefix and "n_averaged" not in expected:  # SWA's own counter
            names.pop("n_averaged", None)
        first, full = next(iter(names.items()))
        written = full.removesuffix(first) if full.endswith(first) else prefix
        others = tuple(name for name in state if name not in set(names.values()))
        found.append(Candidate(entry, written, {name: state[full] for name, full in names.items()}, others))
    return found


@dataclass(frozen=True)
class _Misfit:
    """How tensors differ from those of the network: by names, or else one of them by its shape or type."""

    missing: list[str]
    unexpected: list[str]
    name: str = ""


def _misfit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> _Misfit | None:
    missing = [key for key in expected if key not in state and not key.endswith(_COUNTER)]
    unexpected = [key for key in state if key not in expected]
    if missing or unexpected:
        return _Misfit(missing, unexpected)
    wrong = next((key for key, value in state.items() if _kind(value) != _kind(expected[key])), None)
    return None if wrong is None else _Misfit([], [], wrong)


def _kind(tensor: Tensor) -> tuple[object, ...]:
    # Half precision is converted; whole numbers as values of a layer are weights that need their scales.
    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    return tuple(tensor.shape), tensor.is_floating_point(), tensor.is_complex(), plain


def _misfits(candidates: list[Candidate], expected: Mapping[str, Tensor], path: Path, arch: str) -> UserError:
    """The error for the candidate that is nearest to the network."""
    best = min(candidates, key=lambda one: -sum(name in expected for name in one.state))
    misfit = _misfit(best.state, expected)
    assert misfit is not None
    where = f"{path}, {best.note.partition(';')[0]}" if best.entry or best.prefix else str(path)
    if misfit.name:
        have, want = best.state[misfit.name], expected[misfit.name]
        if have.shape == want.shape:
            return UserError(
                expected=f"{want.dtype} values of {misfit.name!r} in {where}",
                found=f"{have.dtype}" + ("" if have.layout == torch.strided else f", {have.layout}"),
                next_step="save the weights in floating point: quantised ones need the network that they "
                'were quantised in, from a function of yours (`source = "python:PATH.py:FUNCTION"`)',
            )
        return UserError(
            expected=f"shape {tuple(want.shape)} of {misfit.name!r} in {where} for {arch!r}",
            found=str(tuple(have.shape)),
            next_step="check `arch`, its `num_classes` and its `args`",
        )
    parts = ((misfit.missing, "missing"), (misfit.unexpected, "unexpected"))
    return UserError(
        expected=f"the {len(expected)} tensors of {arch!r} in {where}",
        found=" and ".join(f"{len(keys)} {word} ({_listed(keys)})" for keys, word in parts if keys),
        next_step=_names_step(best.state, expected),
    )


def _names_step(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    first = next(iter(expected), "")
    for match in re.finditer(r"\.", first):
        prefix = first[: match.end()]
        if all(name.startswith(prefix) and name.removeprefix(prefix) in state for name in expected):
            return (
                f"the architecture's names begin with {prefix!r}, the file's do not: name the architecture "
                "that is inside it, or save the weights under those names"
            )
    return "name the architecture that the weights were saved from"


def _chosen(fitting: list[Candidate], path: Path, wanted: str | None) -> Candidate:
    names = [one.name for one in fitting]
    if wanted in ("ema", "plain") or wanted is None:
        averaged = [one for one in fitting if one.is_averaged]
        plain = [one for one in fitting if not one.is_averaged]
        choice = averaged if wanted == "ema" else plain if wanted == "plain" or plain else averaged
        kind = {"ema": "averaged weights", "plain": "weights that are no averages"}.get(
            str(wanted), "weights"
        )
        if not choice:
            raise UserError(
                expected=f"{kind} in {path}",
                found=f"only {fitting[0].note or 'plain ones'}",
                next_step="leave `weights` out",
            )
    else:
        choice = [one for one in fitting if one.name == wanted]
        if not choice:
            raise UserError(
                expected=f"weights of the network in {path}",
                found=f"none called {wanted!r}",
                next_step=did_you_mean(wanted, [name for name in names if name] + ["ema", "plain"]),
            )
    if len(choice) > 1:
        raise UserError(
            expected=f"one set of weights of the network in {path}",
            found=f"{len(choice)}: {_listed([one.name for one in choice], 8)}",
            next_step=f"choose one next to the source: `weights = {choice[0].name!r}`".replace("'", '"'),
        )
    return choice[0]


def _unreadable(path: Path, error: Exception) -> UserError:
    text, name = str(error), path.name
    step = "the file is damaged or no checkpoint of torch: restore it or save it again"
    found = reason_of(error)
    if "TorchScript" in text:
        found = "a TorchScript archive, which is code"
        step = (
            'call torch.jit.load in a function of yours and name that: `source = "python:PATH.py:FUNCTION"`'
        )
    elif match := _CLASS.search(text):
        found = f"an object of {match[1] or match[2]}, which only code in the file can make"
        step = (
            "if you trust the file, save its weights alone where that class can be imported: "
            f"content = torch.load({name!r}, weights_only=False), then torch.save(W, 'weights.pth') with "
            "W = content.state_dict() of a whole module, content['state_dict'] or the like of a checkpoint"
        )
    return UserError(expected=f"tensors by name in {path}", found=found, next_step=step)


def _listed(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    kept = ", ".join(name if name.isprintable() else repr(name) for name in names[:count])
    return kept + (", ..." if len(names) > count else "")
