"""All generated pages: of the repository's files, corruptions, metrics, nouns, the packages' public names."""

from __future__ import annotations

import functools
import importlib
import pkgutil

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
    """A page for each package: its docstring, and everything that it exports."""
    import nversion

    packages = [info.name for info in pkgutil.iter_modules(nversion.__path__) if info.ispkg]
    pages = []
    for name in packages:
        module = importlib.import_module(f"nversion.{name}")
        exported = [
            n for n in getattr(module, "__all__", []) if not isinstance(getattr(module, n), type(module))
        ]
        if exported and name != "cli":
            lines = [f"# nversion.{name}", "", module.__doc__ or "", ""]
            lines += [f"::: nversion.{name}.{one}" for one in exported]
            pages.append(
                Generated(f"api/{name}.md", "\n".join(lines) + "\n", f"nversion.{name}", "API reference")
            )
    return pages
