"""Files of supernets: weights once, and for each subnet the statistics of its batch norms.

`PATH.safetensors` is a weights file of the largest subnet, which `file:` loads as well. Beside it the folder
`PATH.subnets/` has a small file for each subnet that can be used.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from torch import Tensor, nn

from nversion.core import UserError, did_you_mean, fingerprint_file
from nversion.core.tables import Table
from nversion.models.card import Lineage
from nversion.models.preprocessing import Preprocessing
from nversion.models.stated import Stated, absolute
from nversion.models.tensors import read_tensors, write_tensors
from nversion.models.weights import build_for, load_weights, read_weights, save_weights
from nversion.supernet.elastic import Elasticity, ElasticNetwork, Statistics, Subnet, extract

LARGEST = "largest"
_MEAN, _VARIANCE = ".running_mean", ".running_var"
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SupernetFile:
    """A supernet read from its file.

    Attributes:
        path: of the file.
        network: with its weights; views of them are given away, so it must not be trained further.
        preprocessing: that belongs to the weights.
        stated: what the file says of itself.
        fingerprint: of the file's bytes; statistics say to which supernet they belong.
        base: the folder from which a `python:PATH.py:…` architecture starts.
    """

    path: Path
    network: ElasticNetwork
    preprocessing: Preprocessing
    stated: Stated
    fingerprint: str
    base: Path = Path()

    @property
    def lineage(self) -> Lineage:
        """From what the supernet descends."""
        return self.stated.lineage_from("")


class StatedStatistics(Table):
    """What a file of statistics says of itself: the subnet's notation, its supernet's fingerprint."""

    subnet: str = Field(max_length=10_000)
    supernet: str


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
        elasticity=elasticity,
    )


def read_supernet(
    path: Path, base: Path = Path(), arch: str | None = None, args: Mapping[str, Any] | None = None
) -> SupernetFile:
    """The supernet of a file; the same object for the same file as long as it is unchanged.

    Args:
        path: of the file.
        base: the folder from which a `python:PATH.py:…` architecture starts.
        arch, args: the architecture, where it is a function of the user's, which no file may choose.

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
    return _read(
        path, base, arch, None if args is None else json.dumps(args), facts.st_size, facts.st_mtime_ns
    )


@functools.lru_cache(maxsize=2)
def _read(
    path: Path, base: Path, arch: str | None, args: str | None, _size: int, _changed: int
) -> SupernetFile:
    content, stated = read_weights(path)
    if stated is None or stated.elasticity is None or stated.subnet is not None:
        raise UserError(
            expected=f"a supernet in {path}",
            found="weights without a search space",
            next_step="load it as file:PATH, or train a supernet: nversion supernet train SPEC.toml",
        )
    own_args = None if args is None else json.loads(args)
    built = build_for(path, content, stated, arch=arch, args=own_args, base=base, name=path.stem)
    load_weights(built.module, content, path, arch or stated.arch)
    network = ElasticNetwork(built.module.eval(), stated.elasticity)
    return SupernetFile(
        path, network.eval(), stated.read_preprocessing(path), stated, fingerprint_file(path), base
    )


def subnets_folder(path: Path) -> Path:
    """Where the statistics of a supernet's subnets lie."""
    return path.with_suffix(".subnets")


def save_statistics(
    supernet: Path, fingerprint_: str, name: str, subnet: Subnet, statistics: Statistics
) -> Path:
    """Write a subnet's statistics next to its supernet, under a name that a model source may use.

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
    stated = StatedStatistics(subnet=str(subnet), supernet=fingerprint_)
    write_tensors(path, tensors, stated.model_dump())
    return path


def known_subnets(supernet: SupernetFile) -> dict[str, Subnet]:
    """Subnets with statistics of this supernet by name, and the largest.

    Raises:
        UserError: statistics that belong to another supernet.
    """
    found = {LARGEST: supernet.network.space.largest}
    for path in sorted(subnets_folder(supernet.path).glob("*.safetensors")):
        _, stated = _statistics(path)
        if stated.supernet != supernet.fingerprint:
            raise UserError(
                expected=f"statistics of the supernet {supernet.path} in {path}",
                found="those of another supernet",
                next_step="remove that folder and recalibrate them: nversion supernet train SPEC.toml",
            )
        found[path.stem] = supernet.network.space.parse(stated.subnet)
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
            "which recalibrates its batch norms",
        )
    if name == LARGEST:
        return known[name], None
    path = subnets_folder(supernet.path) / f"{name}.safetensors"
    tensors, _ = _statistics(path)
    means = {key.removesuffix(_MEAN): value for key, value in tensors.items() if key.endswith(_MEAN)}
    statistics = {norm: (mean, tensors.get(norm + _VARIANCE, mean[:0])) for norm, mean in means.items()}
    plain = extract(supernet.network, known[name], share=True)
    for norm, module in plain.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            for part, tensor in zip((_MEAN, _VARIANCE), statistics.get(norm, (None, None)), strict=True):
                if tensor is None or tensor.shape != (module.num_features,) or not tensor.is_floating_point():
                    found = "none" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"
                    raise _broken(path, found, f"{module.num_features} values of {norm + part}")
    return known[name], statistics


def subnet_module(supernet: SupernetFile, name: str) -> tuple[Subnet, nn.Module]:
    """A subnet as a plain network whose weights are the supernet's: no copies."""
    subnet, statistics = statistics_of(supernet, name)
    return subnet, extract(supernet.network, subnet, statistics, share=True)


def save_subnet(path: Path, supernet: SupernetFile, name: str) -> None:
    """Write a subnet as a weights file of its own, which `file:` loads without the supernet."""
    subnet, module = subnet_module(supernet, name)
    stated = supernet.stated
    save_weights(
        path,
        module,
        arch=absolute(stated.arch, supernet.base),
        preprocessing=supernet.preprocessing,
        label_space=stated.label_space,
        num_classes=stated.num_classes,
        args=stated.args,
        training=stated.training,
        lineage=replace(supernet.lineage, initial_weights=initial_weights(supernet)),
        elasticity=stated.elasticity,
        subnet=str(subnet),
    )


def initial_weights(supernet: SupernetFile) -> str:
    """How cards name what all subnets of one supernet share."""
    return f"supernet {supernet.fingerprint[:12]}"


def _statistics(path: Path) -> tuple[dict[str, Tensor], StatedStatistics]:
    try:
        tensors, facts = read_tensors(path)
        return tensors, StatedStatistics.model_validate(facts)
    except UserError as error:
        raise _broken(path, error.found) from error
    except ValidationError as error:
        raise _broken(path, "tensors of something else") from error


def _broken(path: Path, found: str, expected: str = "statistics of a subnet") -> UserError:
    return UserError(
        expected=f"{expected} in {path}",
        found=found,
        next_step="run `nversion supernet train SPEC.toml` again: it sets the file aside and recalibrates it",
    )
