"""A search from a specification to subnets that studies can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nversion.core import UserError, fingerprint, write_text
from nversion.core.toml import to_toml
from nversion.data import open_dataset
from nversion.models.stated import arch_settings
from nversion.supernet.elastic import Subnet
from nversion.supernet.files import SupernetFile, known_subnets, statistics_of

from .candidates import Candidate
from .evaluator import Recalibration, evaluator_of
from .search import SearchProgress, SearchResult, search
from .shrink import SUPERNET, Shrinking, check_same, opened, recalibrate, supernet_of
from .spec import SupernetSpec

MODELS = "models.toml"


@dataclass(frozen=True)
class Found:
    """A finished search.

    Attributes:
        result: the front and what was chosen of it.
        names: of each member of each ensemble on the front, as "supernet:PATH#NAME" takes it.
        models: a file with the `[[models]]` tables of a study of them.
    """

    result: SearchResult
    names: list[list[str]]
    models: Path


def search_supernet(
    spec: SupernetSpec,
    folder: Path,
    *,
    base: Path = Path(),
    on_progress: Callable[[SearchProgress], None] = lambda _: None,
    set_aside: list[str] | None = None,
) -> Found:
    """Search the supernet of a specification on its [data.selection], or else validation, images.

    `folder/search-SIZE/` gets `search.parquet` and `models.toml`; the subnets on the front are recalibrated
    and named "search-SIZE-0", "search-SIZE-1", … next to the supernet.

    Args:
        spec: whose `[search]` says what is looked for.
        folder: of the trained supernet.
        base: from which relative paths of the specification start.
        on_progress: called after each candidate.
        set_aside: names of damaged files are added to it: they were moved away, and what they held is
            computed again; but for the supernet itself.

    Raises:
        UserError: the supernet is not trained or damaged, there are no images to select on, or see `search`.
    """
    moved: list[str] = [] if set_aside is None else set_aside
    table = spec.data.get("selection", spec.data.get("validation"))
    if table is None:
        raise UserError(
            expected="images to select on",
            found="neither [data.selection] nor [data.validation]",
            next_step="add one of them: a search on the training images finds what learned them by heart",
        )
    data = opened(spec, base)
    check_same(folder, spec, data, base, moved)
    supernet = _trained(spec, folder, base)
    shrinking = Shrinking(spec, folder, base, data, moved)
    dataset, batch_size = open_dataset(table, base), max(shrinking.batch_size, 256)
    evaluator = evaluator_of(spec.search, dataset, shrinking.canonical, batch_size, shrinking.device)
    place = folder / f"search-{spec.search.size}"
    result = search(supernet, spec.search, evaluator, shrinking.recalibration, place, on_progress, moved)
    names = _named(result.front, supernet, shrinking.recalibration, f"search-{spec.search.size}")
    code = arch_settings(spec.supernet.arch, spec.supernet.args, base.resolve())
    models = [
        {"source": f"supernet:{supernet.path.resolve().as_posix()}#{name}", "name": name, **code}
        for name in dict.fromkeys(name for ensemble in names for name in ensemble)
    ]
    write_text(place / MODELS, to_toml({"models": models}))
    return Found(result, names, place / MODELS)


def recalibrated(spec: SupernetSpec, folder: Path, wanted: str, *, base: Path = Path()) -> str:
    """The name under which a subnet has statistics; recalibrates it if it has none.

    Args:
        spec: of the supernet.
        folder: of the trained supernet.
        wanted: the subnet's name or notation.
        base: from which relative paths of the specification start.

    Raises:
        UserError: the supernet is not trained, or knows no such subnet.
    """
    supernet = _trained(spec, folder, base)
    known = known_subnets(supernet)
    if wanted in known or "=" not in wanted:
        statistics_of(supernet, wanted)  # refuses an unknown name
        return wanted
    subnet = supernet.network.space.parse(wanted)
    if subnet not in known.values():
        data, moved = opened(spec, base), list[str]()
        check_same(folder, spec, data, base, moved)
        name = f"subnet-{fingerprint(str(subnet))[:8]}"
        recalibrate(supernet, {name: subnet}, Shrinking(spec, folder, base, data, moved).recalibration)
        return name
    return next(name for name, own in known.items() if own == subnet)


def _trained(spec: SupernetSpec, folder: Path, base: Path) -> SupernetFile:
    path = folder / SUPERNET
    if not path.is_file():
        raise UserError(
            expected=f"a trained supernet in {folder}",
            found="none",
            next_step="train it first: nversion supernet train SPEC.toml, with the same --folder",
        )
    return supernet_of(spec, folder, base)


def _named(
    front: list[Candidate], supernet: SupernetFile, recalibration: Recalibration, stem: str
) -> list[list[str]]:
    """Recalibrate the members of the front under names of their own."""
    known = {subnet: name for name, subnet in known_subnets(supernet).items()}
    wanted: dict[str, Subnet] = {}
    taken = set(known.values())
    for candidate in front:
        for member in candidate.members:
            if member not in known:
                number = next(i for i in range(len(taken) + 1) if f"{stem}-{i}" not in taken)
                known[member] = f"{stem}-{number}"
                taken.add(known[member])
                wanted[known[member]] = member
    recalibrate(supernet, wanted, recalibration)
    return [[known[member] for member in candidate.members] for candidate in front]
