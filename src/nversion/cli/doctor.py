"""`nversion doctor`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer

from .console import examples, next_command, print_rows

OTHERS = {"tensorboard": "the diary of a training with `tensorboard = true`"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("nversion doctor", "nversion doctor --json"))(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print what this machine offers: device, memory, caches, packages."""
    print_rows(findings(), as_json=as_json)
    if not as_json:
        next_command("nversion demo")


def findings() -> list[dict[str, Any]]:
    """One row a fact: what, value, and what it means where that is not plain."""
    import shutil
    import sys
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    import torch

    import nversion
    from nversion.core import memory_bytes, usable_cores
    from nversion.core.extras import EXTRAS

    rows: list[dict[str, Any]] = []

    def add(what: str, value: object, note: str = "") -> None:
        rows.append({"what": what, "value": str(value), "note": note})

    add("nversion", nversion.__version__)
    add("python", sys.version.split()[0])
    add("torch", version("torch"))
    add("cpu cores", usable_cores(), f"{torch.get_num_threads()} threads in use by torch")
    memory = memory_bytes()
    add("memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            add(f"cuda:{index}", facts.name, f"{facts.total_memory / 2**30:.1f} GiB")
    else:
        add("cuda", "none", 'studies run on the CPU; device = "auto" takes care of that')
    add("free disk here", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB")
    add("torch hub cache", torch.hub.get_dir(), "torchvision keeps downloaded weights here")
    with suppress(ImportError):  # timm brings it
        from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

        add("hugging face cache", HF_HUB_CACHE, "offline" if HF_HUB_OFFLINE else "timm keeps weights here")
    packages = [
        (package, purpose, f'pip install "nversion[{extra}]"')
        for extra, (purpose, names) in EXTRAS.items()
        for package in names.values()
    ]
    packages += [(package, purpose, f"pip install {package}") for package, purpose in OTHERS.items()]
    for package, purpose, command in packages:
        try:
            add(package, version(package), f"optional: {purpose}")
        except PackageNotFoundError:
            add(package, "not installed", f"optional: {purpose}; {command}")
    return rows
