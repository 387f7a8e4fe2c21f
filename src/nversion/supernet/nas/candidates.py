"""What a subnet, or an ensemble of subnets, is worth on the evaluator's images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nversion.core import UserError, fingerprint, move_aside, write_bytes
from nversion.diversity import PairCounts, disagreement, ensemble_mean
from nversion.ensembles import CONSENSUS, Ensembles
from nversion.supernet.elastic import Cost, Subnet
from nversion.supernet.files import SupernetFile

from .evaluator import Recalibration, SubnetEvaluator


@dataclass(frozen=True)
class Candidate:
    """One or several different subnets of a supernet and what they are worth; accuracies are fractions.

    Attributes:
        members: in the order of their notations.
        generation: in which it was evaluated, from 1.
        accuracy_by_condition: of the subnet, or of the ensemble's averaged logits.
        accuracy: their mean.
        improvement: mean over the conditions of the accuracy less that of the ensemble's best member
            there; None of a single subnet.
        disagreement: mean over conditions and pairs of the share of images on which one of the two is right
            (the paper's Eq. 4); None of a single subnet.
        macs, num_parameters: sums over the members, as if each stood alone.
    """

    members: tuple[Subnet, ...]
    generation: int
    accuracy_by_condition: tuple[float, ...]
    accuracy: float
    improvement: float | None
    disagreement: float | None
    macs: int
    num_parameters: int

    @property
    def notations(self) -> list[str]:
        """Of the members, as a model source takes them."""
        return [str(member) for member in self.members]


class Answers:
    """What subnets answer under every condition; each is recalibrated and run once and kept in a file.

    `folder/KEY-DIGEST.safetensors` holds which answers are right, and the logits where ensembles are to be
    made of them: 4 bytes for each condition, image and class. KEY is of all that the answers depend on, and
    DIGEST of KEY and the file's bytes: a damaged file is set aside and computed again. The supernet's own
    network stays as it is.

    Args:
        supernet: a copy of its network goes to the evaluator's device.
        evaluator: of the images.
        recalibration: of each subnet's batch norms.
        folder: of the files.
        identity: of all that answers depend on but the subnet.
        with_logits: whether logits are kept, too.
        set_aside: names of damaged files that were moved away are added to it.
    """

    def __init__(
        self,
        supernet: SupernetFile,
        evaluator: SubnetEvaluator,
        recalibration: Recalibration,
        folder: Path,
        identity: str,
        with_logits: bool,
        set_aside: list[str],
    ) -> None:
        self.num_computed = 0
        self.right_of = evaluator.right_DN
        self._network = copy.deepcopy(supernet.network).to(evaluator.device).eval()
        self._preprocessing = supernet.preprocessing
        self._evaluator, self._recalibration = evaluator, recalibration
        self._folder, self._identity, self._with_logits = folder, identity, with_logits
        self._set_aside = set_aside
        self._paths: dict[Subnet, Path] = {}  # of files that are whole: each is read through once a search

    def cost(self, subnet: Subnet) -> Cost:
        """Parameters and MACs at the supernet's input size."""
        return self._network.cost(subnet, self._preprocessing.input_size)

    def right_DN(self, subnet: Subnet) -> Tensor:
        """Whether the subnet is right on each image under each condition; bool."""
        return self._read(subnet, "right")

    def logits_DNC(self, subnet: Subnet) -> Tensor:
        """The subnet's logits, float32; read from disk as they are used."""
        return self._read(subnet, "logits")

    def _read(self, subnet: Subnet, name: str) -> Tensor:
        from safetensors import safe_open

        if subnet not in self._paths:
            self._paths[subnet] = self._find(subnet) or self._compute(subnet)
        with safe_open(self._paths[subnet], framework="pt", device="cpu") as file:
            found: Tensor = file.get_tensor(name)
        return found

    def _key(self, subnet: Subnet) -> str:
        return fingerprint([self._identity, str(subnet), self._with_logits])

    def _find(self, subnet: Subnet) -> Path | None:
        key, found = self._key(subnet), None
        for path in sorted(self._folder.glob(f"{key}-*.safetensors")):
            if path.name == _name(key, path.read_bytes()):
                found = path
            else:
                self._set_aside.append(str(move_aside(path)))
        return found

    def _compute(self, subnet: Subnet) -> Path:
        from safetensors.torch import save

        if subnet == self._network.space.largest:
            self._network.activate(subnet)  # with the statistics of its training, as models load it
        else:
            self._recalibration.statistics(self._network, subnet, self._preprocessing)
        logits_DNC = self._evaluator.logits(self._network, self._preprocessing)
        if not bool(logits_DNC.isfinite().all()):
            raise UserError(
                expected=f"finite logits from the subnet {subnet}",
                found="nan or inf",
                next_step="train the supernet again with a lower learning rate",
            )
        tensors = {"right": self.right_of(logits_DNC)}
        if self._with_logits:
            tensors["logits"] = logits_DNC.contiguous()
        key, content = self._key(subnet), save(tensors)
        path = self._folder / _name(key, content)
        write_bytes(path, content)
        self.num_computed += 1
        return path


def _name(key: str, content: bytes) -> str:
    return f"{key}-{fingerprint([key, content])}.safetensors"


def evaluate(members: Sequence[Subnet], answers: Answers, generation: int) -> Candidate:
    """What the members are worth, together where there are several.

    Memory: the members' logits under one condition, and the ensemble's under all.
    """
    members = tuple(sorted(members, key=str))
    costs = [answers.cost(member) for member in members]
    right_KDN = torch.stack([answers.right_DN(member) for member in members])
    alone_KD = right_KDN.double().mean(-1)
    accuracy_D = alone_KD[0]
    improvement = disagreeing = None
    if len(members) > 1:
        logits_KDNC = [answers.logits_DNC(member) for member in members]
        average_DNC = torch.stack(
            [
                CONSENSUS["average"](torch.stack([logits_DNC[d] for logits_DNC in logits_KDNC]))
                for d in range(right_KDN.shape[1])
            ]
        )
        accuracy_D = answers.right_of(average_DNC).double().mean(-1)
        improvement = _mean(accuracy_D - alone_KD.amax(0))
        disagreeing = _mean(torch.stack([_disagreement(right_KN) for right_KN in right_KDN.unbind(1)]))
    return Candidate(
        members=members,
        generation=generation,
        accuracy_by_condition=tuple(accuracy_D.tolist()),
        accuracy=_mean(accuracy_D),
        improvement=improvement,
        disagreement=disagreeing,
        macs=sum(cost.macs for cost in costs),
        num_parameters=sum(cost.num_parameters for cost in costs),
    )


def _disagreement(right_KN: Tensor) -> Tensor:
    one_block_N = torch.zeros(right_KN.shape[1], dtype=torch.int64)
    table = PairCounts.from_right(right_KN, one_block_N, 1).total()
    return ensemble_mean(disagreement(*table), Ensembles.all_of(len(right_KN), len(right_KN)))[0][0]


def _mean(values_D: Tensor) -> float:
    # Equal counts under other conditions sum to means that differ in the last bit, and would dominate.
    return round(float(values_D.mean()), 12)
