"""supernet:PATH#SUBNET, a subnet of a supernet's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nversion.core.settings import resolve
from nversion.models.base import MODEL_SOURCES, Loaded, ModelSource
from nversion.models.card import Lineage
from nversion.supernet.files import LARGEST, initial_weights, read_supernet, subnet_module


@MODEL_SOURCES.register("supernet")
class SupernetSource(ModelSource):
    """Subnets of supernets' files."""

    form, shares_weights = "PATH#SUBNET", True

    def load(
        self,
        *,
        reference: str,
        name: str | None,
        base: Path,
        arch: str | None = None,
        args: dict[str, Any] | None = None,
    ) -> Loaded:
        """A subnet by name or notation ("supernet:runs/s/supernet.safetensors#depth=3-4-6-2,width=0.8").

        All subnets of one file share its weights in memory, on the CPU; moved to another device each has its
        own. Only subnets whose batch norms were recalibrated can be used: others would look fragile.

        Args:
            reference: "PATH#SUBNET", the path from `base`; without "#SUBNET" the largest.
            name: not used: the subnet is the default.
            base: the folder from which paths start.
            arch: the supernet's architecture where it is a function of the user's, which no file may choose.
            args: its arguments.

        Raises:
            UserError: no such file, no supernet, or a subnet that is unknown or not recalibrated.
        """
        path, _, wanted = reference.partition("#")
        supernet = read_supernet(resolve(Path(path), base), base, arch, args)
        subnet, module = subnet_module(supernet, wanted or LARGEST)
        lineage = supernet.lineage
        return Loaded(
            module,
            supernet.preprocessing,
            name=wanted or LARGEST,
            architecture=f"{lineage.architecture or supernet.stated.arch} subnet {subnet}",
            training=supernet.stated.training,
            label_space=supernet.stated.label_space,
            lineage=Lineage(
                architecture=f"{lineage.architecture} subnet",
                initial_weights=initial_weights(supernet),
                teacher=lineage.teacher,
                training_data=lineage.training_data,
                seed=lineage.seed,
            ),
        )

    def default_name(self, reference: str) -> str:
        """The name or notation of the subnet."""
        return reference.partition("#")[2] or LARGEST
