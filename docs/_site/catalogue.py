"""All generated pages: of the repository's files, corruptions, metrics, nouns, the packages' public names."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType

import nversion
from corruption_pages import corruption_pages, corruption_pictures
from generated import Generated
from metric_pages import metric_pages, metric_pictures
from noun_pages import noun_pages
from repository_pages import repository_pages


@functools.cache
def generated_pages() -> tuple[Generated, ...]:
    """All of them, in the order of the navigation."""
    return (
        *repository_pages(),
        *corruption_pages(),
        *corruption_pictures(),
        *metric_pages(),
        *metric_pictures(),
        *noun_pages(),
        *api_pages(),
    )


def api_pages() -> list[Generated]:
    """The catalogue of `nversion`, and a page for each package with everything that it exports."""
    packages = [info.name for info in pkgutil.iter_modules(nversion.__path__) if info.ispkg]
    modules = {name: importlib.import_module(f"nversion.{name}") for name in packages if name != "cli"}
    pages = [Generated("api/index.md", _overview(modules), "Overview", "API reference")]
    for name, module in modules.items():
        exported = [
            one for one in getattr(module, "__all__", []) if not inspect.ismodule(getattr(module, one))
        ]
        if exported:
            lines = [f"# nversion.{name}", "", module.__doc__ or "", ""]
            lines += [f"::: nversion.{name}.{one}" for one in exported]
            pages.append(
                Generated(f"api/{name}.md", "\n".join(lines) + "\n", f"nversion.{name}", "API reference")
            )
    return pages


def _overview(modules: Mapping[str, ModuleType]) -> str:
    """What `dir(nversion)` lists, with the first line of each docstring."""
    lines = ["# API reference", "", "| name | |", "|---|---|"]
    for name in nversion.__all__:
        one = getattr(nversion, name)
        if name not in modules and not inspect.ismodule(one):
            home = next(home for home, module in modules.items() if getattr(module, name, None) is one)
            lines.append(f"| [`nversion.{name}`]({home}.md#nversion.{home}.{name}) | {_first_line(one)} |")
    lines += [
        f"| [`nversion.{name}`]({name}.md) | {_first_line(module)} |"
        for name, module in modules.items()
        if getattr(module, "__all__", [])
    ]
    return "\n".join([*lines, ""])


def _first_line(of: object) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0].replace("|", "\\|")
