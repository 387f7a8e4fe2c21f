"""Which source files a Python file is made of: itself, and what it imports from where it stands."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from .fingerprint import fingerprint, fingerprint_file

_INSTALLED = ("site-packages", "dist-packages")
_IMPORTING = ("import_module", "__import__")  # functions that are often called with a plain name


def source_fingerprint(file: Path) -> str:
    """The fingerprint of a Python file and of all files that it imports from beside it, and they in turn.

    Beside it: from its own folder, or from the folder that holds its outermost package and that package.
    Imports are read from the text, wherever in it they stand, also those inside functions; a name that is
    put together while the code runs is not seen. Of an installed package the file itself and the package's
    version count, not all that it imports.

    >>> import json
    >>> source_fingerprint(Path(json.__file__)) == source_fingerprint(Path(json.__file__))
    True
    """
    file = file.resolve()
    if is_installed(file):
        return fingerprint([fingerprint_file(file), _version_of_package(file)])
    root = _root(file)
    parts = {_relative(path, root): fingerprint_file(path) for path in source_files(file)}
    return fingerprint(parts)


def source_files(file: Path) -> list[Path]:
    """A file and all that it imports from beside it, directly or not, in order of their paths."""
    file = file.resolve()
    roots = list(dict.fromkeys([file.parent, _root(file)]))
    found, waiting = {file}, [file]
    while waiting:
        for path in _imported(waiting.pop(), roots):
            if path not in found:
                found.add(path)
                waiting.append(path)
    return sorted(found)


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python itself or to an installed package.

    >>> is_installed(Path(ast.__file__))
    True
    """
    if any(part in _INSTALLED for part in file.parts):
        return True
    return any(file.is_relative_to(folder) for folder in _standard_folders())


@cache
def _standard_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib"))


def _version_of_package(file: Path) -> str:
    place = next((i for i, part in enumerate(file.parts) if part in _INSTALLED), None)
    if place is None:
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    package = file.parts[place + 1].removesuffix(".py")
    try:
        return " ".join(f"{name} {version(name)}" for name in _distributions().get(package, []))
    except PackageNotFoundError:
        return ""


@cache
def _distributions() -> dict[str, list[str]]:
    return {package: sorted(set(names)) for package, names in packages_distributions().items()}


def _root(file: Path) -> Path:
    """The folder that holds the outermost package of a file; its own folder, where it is in none."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _imported(file: Path, roots: list[Path]) -> Iterator[Path]:
    """The files beside `file` that its text imports."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # whoever imports it hears of that
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _along(roots, alias.name)
        elif isinstance(node, ast.ImportFrom):
            bases = roots
            if node.level:
                folder = file.parent
                for _ in range(node.level - 1):
                    folder = folder.parent
                bases = [folder]
            names = [f"{node.module}.{a.name}" if node.module else a.name for a in node.names]
            for name in names:
                yield from _along(bases, name)
        elif isinstance(node, ast.Call) and _is_import(node):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                relative = first.value.startswith(".")
                yield from _along([file.parent] if relative else roots, first.value.lstrip("."))


def _is_import(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _IMPORTING and bool(node.args)


def _along(roots: list[Path], dotted: str) -> Iterator[Path]:
    """The files that importing a dotted name runs; its last part may be no module but a name in one."""
    parts = dotted.split(".")
    if not all(parts):
        return
    for root in roots:
        folder = root
        for part in parts:
            candidates = [folder / f"{part}.py", folder / part / "__init__.py", *_compiled(folder, part)]
            yield from (path.resolve() for path in candidates if path.is_file())
            folder = folder / part
            if not folder.is_dir():
                break


def _compiled(folder: Path, name: str) -> list[Path]:
    return sorted(p for kind in ("so", "pyd") for p in folder.glob(f"{name}.*{kind}")) if _plain(name) else []


def _plain(name: str) -> bool:
    return name.isidentifier()
