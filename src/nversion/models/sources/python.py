"""python:PATH_OR_MODULE:FUNCTION, a module that the user's own code builds."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from nversion.core import UserError, fingerprint
from nversion.core.imports import is_installed, source_files, source_fingerprint
from nversion.core.randomness import forked_randomness
from nversion.core.reasons import reason_of
from nversion.core.registry import did_you_mean
from nversion.core.settings import resolve
from nversion.models.arguments import close_parameters
from nversion.models.base import MODEL_SOURCES, Loaded, ModelSource
from nversion.models.preprocessing import Preprocessing, read_preprocessing

_CODE = "__nversion_code__"  # an attribute of imported modules


@MODEL_SOURCES.register("python")
class PythonSource(ModelSource):
    """Modules that the user's own code builds."""

    form, builds_classes, takes_name = "PATH.py:FUNCTION", False, True

    def load(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        args: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Loaded:
        """Call FUNCTION(name, **args), or FUNCTION(**args) where it takes no name.

        **This runs the code of the file or module**, with all rights of the one who runs the study: use
        only code that you trust.

        FUNCTION returns a module, or (module, preprocessing): a `Preprocessing` or a mapping with its
        fields. The name is passed where FUNCTION has a positional parameter without default that is not
        in `args`. The fingerprint of the classifier includes the bytes of the file that is named and of all
        files that it imports from its folder or package (`nversion.core.imports`): after a change there its
        predictions are computed again.

        Args:
            reference: "PATH.py:FUNCTION", the path from `base`, or "package.module:FUNCTION".
            name: of the classifier, passed to FUNCTION.
            base: the folder from which the path starts.
            args: further arguments of FUNCTION.
            seed: of torch's random numbers while FUNCTION runs.

        Raises:
            UserError: no such file, module or function, an error in it, or something else returned.
        """
        where, _, function_name = reference.rpartition(":")
        if not where or not function_name.isidentifier():
            raise UserError(
                expected="a source python:PATH.py:FUNCTION or python:package.module:FUNCTION",
                found=f"'python:{reference}'",
                next_step="name the function that builds the model after the last colon",
            )
        arguments = dict(args or {})
        with _importing(where, base) as module:
            function = _function(module, function_name, where)
            positional = [name] if _takes_name(function, arguments) else []
            if positional == [None]:
                raise UserError(
                    expected=f"a name for {function_name}(name) of {where}",
                    found="none",
                    next_step='add `name = "..."` or `names = [...]`',
                )
            call = f"{function_name}({', '.join(map(repr, positional))})"
            try:
                with forked_randomness(seed):
                    built = function(*positional, **arguments)
            except UserError:
                raise
            except Exception as error:
                slip = close_parameters(error)
                step = "correct the function or its arguments; --debug shows where it failed"
                raise UserError(
                    expected=f"{call} of {where} to build a model",
                    found=reason_of(error, with_type=True),
                    next_step=slip[1] if slip and slip[0] in arguments else step,
                ) from error
        network, preprocessing = _unpack(built, call, where)
        return Loaded(
            network,
            preprocessing,
            name=name or function_name,
            code=fingerprint([_code_of(module), function_name]),
        )

    def build(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        num_classes: int | None,
        args: dict[str, Any],
        seed: int,
    ) -> Loaded:
        """What FUNCTION returns; `num_classes` is one of its arguments."""
        arguments = args if num_classes is None else args | {"num_classes": num_classes}
        return self.load(reference=reference, name=name, base=base, args=arguments, seed=seed)

    def default_name(self, reference: str) -> str:
        """The name of FUNCTION."""
        return reference.rpartition(":")[2]

    def architecture(self, reference: str, args: Mapping[str, Any]) -> str:
        """The `name` in `args`, as one function may build many networks; or else "FILE.FUNCTION".

        >>> PythonSource().architecture("../nets/zoo.py:build", {"name": "deit"})
        'deit'
        >>> PythonSource().architecture("../nets/zoo.py:build", {})
        'zoo.build'
        """
        where, _, function = reference.rpartition(":")
        module = Path(where).stem if where.endswith(".py") else where
        return str(args.get("name") or f"{module}.{function}")

    def absolute(self, reference: str, base: Path) -> str:
        """The reference, its path starting from the root."""
        where, _, function = reference.rpartition(":")
        return f"{resolve(Path(where), base).resolve()}:{function}" if where.endswith(".py") else reference

    def code(self, reference: str, args: Mapping[str, Any], base: Path) -> str:
        """The fingerprint of the file of FUNCTION and of what it imports from its folder."""
        return self.load(reference=reference, name=None, base=base, args=dict(args)).code


def _code_of(module: ModuleType) -> str:
    """The fingerprint of the source that was imported, also where its files changed in the meantime."""
    if _CODE not in vars(module):
        source_file = inspect.getsourcefile(module)
        code = source_fingerprint(Path(source_file)) if source_file else module.__name__
        setattr(module, _CODE, code)
    return str(getattr(module, _CODE))


def _unpack(built: Any, call: str, where: str) -> tuple[nn.Module, Preprocessing | None]:
    network, preprocessing = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if isinstance(preprocessing, Mapping):
        preprocessing = read_preprocessing(preprocessing, f"{call} of {where}")
    if not isinstance(network, nn.Module) or not isinstance(preprocessing, Preprocessing | None):
        raise UserError(
            expected=f"a torch module, or (module, preprocessing), from {call} of {where}",
            found=type(built).__name__
            if not isinstance(built, tuple)
            else f"a tuple of {', '.join(type(part).__name__ for part in built)}",
            next_step="return one of these",
        )
    return network, preprocessing


def _takes_name(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # built in C, without a signature
        return False
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.default is p.empty
        and p.name not in arguments
        for p in parameters
    )


def _function(module: ModuleType, name: str, where: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(
            expected=f"a function in {where}",
            found=repr(name),
            next_step=did_you_mean(name, known) if known else "define it there",
        )
    found: Callable[..., Any] = function
    return found


@contextmanager
def _importing(where: str, base: Path) -> Iterator[ModuleType]:
    """The module of a path or a dotted name; the path's folder is importable inside the block."""
    is_path = where.endswith(".py") or "/" in where or "\\" in where
    path = resolve(Path(where), base).resolve() if is_path else None
    if path is not None and not path.is_file():
        raise UserError(
            expected=f"the Python file {path}",
            found="no such file",
            next_step="correct the path in the source",
        )
    search_path = list(sys.path)
    try:
        if path is not None:
            sys.path.insert(0, str(path.parent))
        try:
            module = importlib.import_module(where) if path is None else _module_of(path)
        except Exception as error:
            raise UserError(
                expected=f"to import {where}",
                found=reason_of(error, with_type=True),
                next_step="correct it, or install what it needs; --debug shows where it failed",
            ) from error
        yield module
    finally:
        sys.path[:] = search_path


def _module_of(path: Path) -> ModuleType:
    # One module per content: classes are the same for all models of a pool, and an edited file is read again.
    code = source_fingerprint(path)
    name = f"nversion_user_{path.stem}_{fingerprint([str(path), code])}"
    if name in sys.modules:
        return sys.modules[name]
    _forget_others(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    setattr(module, _CODE, code)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _forget_others(path: Path) -> None:
    """Let imports of `path` from its folder find what stands there now, not a namesake or older content."""
    importlib.invalidate_caches()
    for file in source_files(path):
        if not file.is_relative_to(path.parent):
            continue
        parts = list(file.relative_to(path.parent).with_suffix("").parts) if file != path else []
        name = ".".join(parts[:-1] if parts[-1:] == ["__init__"] else parts)
        if (known := sys.modules.get(name)) is not None:
            where = getattr(known, "__file__", None)
            if where is None or not is_installed(Path(where).resolve()):
                del sys.modules[name]
