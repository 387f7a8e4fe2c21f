"""Files of supernets: weights once, and for each subnet the statistics of its batch norms.

`PATH.safetensors` is a weights file of the largest subnet, which `file:` loads as well. Beside it the folder
`PATH.subnets/` has a small file for each subnet that can be used.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nversion.core import UserError, did_you_mean, fingerprint_file
from nversion.core.tables import FileKind
from nversion.elastic import Elasticity, ElasticNetwork, Statistics, Subnet, extract

from .card import Lineage
from .preprocessing import Preprocessing, read_preprocessing
from .tensors import read_tensors, write_tensors
from .weights import build_architecture, lineage_of, load_strictly, read_weights, save_weights

LARGEST = "largest"
_FILE = FileKind("supernet file", "train it anew: nversion supernet train SPEC.toml")
_MEAN, _VARIANCE = ".running_mean", ".running_var"
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SupernetFile:
    """A supernet read from its file.

    Attributes:
        path: of the file.
        network: with its weights; views of them are given away, so it must not be trained further.
        preprocessing: that belongs to the weights.
        facts: what the file says about itself.
        fingerprint: of the file's bytes; statistics say to which supernet they belong.
        base: the folder from which a `python:PATH.py:…` architecture starts.
    """

    path: Path
    network: ElasticNetwork
    preprocessing: Preprocessing
    facts: Mapping[str, Any]
    fingerprint: str
    base: Path = Path()

    @property
    def lineage(self) -> Lineage:
        """From what the supernet descends."""
        return lineage_of(self.facts, Lineage())


def save_supernet(
    path: Path,
    network: ElasticNetwork,
    *,
    elasticity: Elasticity,
    arch: str,
    preprocessing: Preprocessing,
    label_space: str,
    num_classes: int | None = None,
    args: Mapping[str, Any] | None = None,
    training: str = "supernet",
    lineage: Lineage | None = None,
) -> None:
    """Write the weights of a supernet and what subnets it has; whole or not at all.

    Args:
        path: of the file.
        network: in any state: the file holds all weights and the statistics of the largest.
        elasticity: with which the network was made elastic.
        arch, preprocessing, label_space, num_classes, args, training, lineage: as for `save_weights`.
    """
    save_weights(
        path,
        network.network,
        arch=arch,
        preprocessing=preprocessing,
        label_space=label_space,
        num_classes=num_classes,
        args=args,
        training=training,
        lineage=lineage,
        more={"elasticity": elasticity.model_dump()},
    )


def read_supernet(path: Path, base: Path = Path()) -> SupernetFile:
    """The supernet of a file; the same object for the same file as long as it is unchanged.

    Args:
        path: of the file.
        base: the folder from which a `python:PATH.py:…` architecture starts.

    Raises:
        UserError: no such file, or one that holds no supernet.
    """
    if not path.is_file():
        raise UserError(
            expected=f"the supernet file {path}",
            found="no such file",
            next_step="correct the path in the source, or train it: nversion supernet train SPEC.toml",
        )
    facts = path.stat()
    return _read(path, base, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read(path: Path, base: Path, _size: int, _changed: int) -> SupernetFile:
    state, facts = read_weights(path)
    if "elasticity" not in facts:
        raise UserError(
            expected=f"a supernet in {path}",
            found="weights without a search space",
            next_step="load it as file:PATH, or train a supernet: nversion supernet train SPEC.toml",
        )
    elasticity = _FILE.checked(Elasticity, facts["elasticity"], str(path))
    built = build_architecture(
        facts["arch"], facts.get("num_classes"), facts.get("args"), str(path), base, path.stem
    )
    load_strictly(built.module, state, path, facts["arch"])
    network = ElasticNetwork(built.module.eval(), elasticity)
    preprocessing = read_preprocessing(facts["preprocessing"], str(path))
    return SupernetFile(path, network.eval(), preprocessing, facts, fingerprint_file(path), base)


def subnets_folder(path: Path) -> Path:
    """Where the statistics of a supernet's subnets lie."""
    return path.with_suffix(".subnets")


def save_statistics(
    supernet: Path, fingerprint_: str, name: str, subnet: Subnet, statistics: Statistics
) -> Path:
    """Write a subnet's statistics beside its supernet, under a name that a model source may use.

    Args:
        supernet: the supernet's file.
        fingerprint_: of that file.
        name: of the subnet.
        subnet: of the supernet's space.
        statistics: of its batch norms.

    Raises:
        ValueError: a name that a source would not find again.
    """
    if name == LARGEST or not _NAME.fullmatch(name):
        raise ValueError(
            f"expected letters, digits, dots, dashes and underscores as a subnet's name, not {LARGEST!r}, "
            f"found {name!r}"
        )
    path = subnets_folder(supernet) / f"{name}.safetensors"
    tensors = {}
    for norm, (mean, variance) in statistics.items():
        tensors[norm + _MEAN], tensors[norm + _VARIANCE] = mean, variance
    write_tensors(path, tensors, {"subnet": str(subnet), "supernet": fingerprint_})
    return path


def known_subnets(supernet: SupernetFile) -> dict[str, Subnet]:
    """Subnets with statistics of this supernet by name, and the largest.

    Raises:
        UserError: statistics that belong to another supernet.
    """
    found = {LARGEST: supernet.network.space.largest}
    for path in sorted(subnets_folder(supernet.path).glob("*.safetensors")):
        facts = _statistics(path)[1]
        if facts.get("supernet") != supernet.fingerprint:
            raise UserError(
                expected=f"statistics of the supernet {supernet.path} in {path}",
                found="those of another supernet",
                next_step="remove that folder and calibrate anew: nversion supernet train SPEC.toml",
            )
        found[path.stem] = supernet.network.space.parse(facts["subnet"])
    return found


def statistics_of(supernet: SupernetFile, name: str) -> tuple[Subnet, Statistics | None]:
    """A subnet and its statistics, by its name or its notation; None for the largest: the file's own.

    Raises:
        UserError: an unknown name, a subnet outside the space, or one without statistics.
    """
    known = known_subnets(supernet)
    if "=" in name:
        subnet = supernet.network.space.parse(name)
        name = next((own for own, other in known.items() if other == subnet), name)
    if name not in known:
        raise UserError(
            expected=f"a subnet of {supernet.path} with statistics for its batch norms",
            found=repr(name),
            next_step=did_you_mean(name, list(known))
            if "=" not in name
            else "add it to [[subnets]] of the SPEC.toml and run `nversion supernet train` again, "
            "which calibrates it",
        )
    if name == LARGEST:
        return known[name], None
    tensors, _ = _statistics(subnets_folder(supernet.path) / f"{name}.safetensors")
    means = {key.removesuffix(_MEAN): value for key, value in tensors.items() if key.endswith(_MEAN)}
    try:
        return known[name], {norm: (mean, tensors[norm + _VARIANCE]) for norm, mean in means.items()}
    except KeyError as error:
        raise UserError(
            expected=f"mean and variance of every batch norm of {name!r}",
            found=f"no {error.args[0]}",
            next_step=f"remove {subnets_folder(supernet.path) / name}.safetensors and calibrate anew: "
            "nversion supernet train SPEC.toml",
        ) from error


def subnet_module(supernet: SupernetFile, name: str) -> tuple[Subnet, nn.Module]:
    """A subnet as a plain network whose weights are the supernet's: no copies."""
    subnet, statistics = statistics_of(supernet, name)
    return subnet, extract(supernet.network, subnet, statistics, share=True)


def save_subnet(path: Path, supernet: SupernetFile, name: str) -> None:
    """Write a subnet as a weights file of its own, which `file:` loads without the supernet."""
    subnet, module = subnet_module(supernet, name)
    facts = supernet.facts
    save_weights(
        path,
        module,
        arch="python:nversion.models.standalone:subnet",
        preprocessing=supernet.preprocessing,
        label_space=facts["label_space"],
        args={
            "arch": _absolute(facts["arch"], supernet.base),
            "num_classes": facts.get("num_classes"),
            "arch_args": facts.get("args") or {},
            "elasticity": facts["elasticity"],
            "subnet": str(subnet),
        },
        training=facts["training"],
        lineage=lineage_of(
            {"lineage": {**facts.get("lineage", {}), "initial_weights": initial_weights(supernet)}}, Lineage()
        ),
    )


def _absolute(arch: str, base: Path) -> str:
    """The architecture wherever the file that names it will lie."""
    where, _, function = arch.removeprefix("python:").rpartition(":")
    return f"python:{(base / where).resolve()}:{function}" if where.endswith(".py") else arch


def initial_weights(supernet: SupernetFile) -> str:
    """How cards name what all subnets of one supernet share."""
    return f"supernet {supernet.fingerprint[:12]}"


def _statistics(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors, facts = read_tensors(path)
    except UserError as error:
        raise _broken(path, error.found) from error
    if not all(isinstance(facts.get(key), str) for key in ("subnet", "supernet")):
        raise _broken(path, "tensors of something else")
    return tensors, facts


def _broken(path: Path, found: str) -> UserError:
    return UserError(
        expected=f"statistics of a subnet in {path}",
        found=found,
        next_step="run `nversion supernet train SPEC.toml` again: it sets the file aside and calibrates it",
    )
