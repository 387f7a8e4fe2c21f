"""Keys of a BootstrapNAS configuration (NNCF 2.19), their defaults, and what supernets here do not have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from nversion.core.tables import Table

ALIGNMENT = 8  # NNCF rounds what multipliers give down to multiples of it, whatever width_step says

NncfDimension = Literal["depth", "width", "kernel"]


def _only(value: Any, why: str) -> AfterValidator:
    """Refuse, with the reason, every value but the one that our supernets have."""

    def check(given: Any) -> Any:
        if given != value:
            raise ValueError(why)
        return given

    return AfterValidator(check)


_DEPTH = "blocks are found by the structure of the network: leave it out"
_GENETIC = "the search has operators of its own: leave it out"
_RNSGA2 = "of RNSGA2; the search is NSGA-II: leave it out"
_SCOPES = "all layers of the network are elastic: leave it out"
_WIDTH = "all widths come from width_multipliers: leave it out"


class BatchNorms(Table):
    """`batchnorm_adaptation`."""

    num_bn_adaptation_samples: int = 2000

    @field_validator("num_bn_adaptation_samples")
    @classmethod
    def _some(cls, samples: int) -> int:
        if samples < 2:
            raise ValueError("batch norms of every subnet are recalibrated: 2 samples or more")
        return samples


class StageDescription(Table):
    """An entry of `list_stage_descriptions`."""

    train_dims: list[NncfDimension] = Field(default=["kernel"])
    epochs: int = Field(1, ge=1, le=1_000_000)
    depth_indicator: int = Field(1, ge=1)
    width_indicator: int = Field(1, ge=1)
    reorg_weights: bool = False
    bn_adapt: bool = False
    init_lr: float = Field(3.5e-6, gt=0)
    epochs_lr: int | None = Field(None, ge=1)
    sample_rate: Annotated[int, _only(1, "new subnets are drawn at every step: leave it out")] = 1


class Schedule(Table):
    """`schedule`."""

    list_stage_descriptions: list[StageDescription] = Field(default_factory=list)


class Depth(Table):
    """`elasticity.depth`."""

    skipped_blocks: Annotated[Any, _only(None, _DEPTH)] = None
    min_block_size: Annotated[float, _only(5, _DEPTH)] = 5
    max_block_size: Annotated[float, _only(50, _DEPTH)] = 50
    hw_fused_ops: Annotated[bool, _only(True, _DEPTH)] = True


class Width(Table):
    """`elasticity.width`; the last three are of NNCF's code, not of its schema."""

    min_width: int = Field(32, ge=1)
    max_num_widths: int = Field(-1, ge=-1)
    width_step: int = Field(32, ge=1)
    width_multipliers: list[float] = Field(default_factory=list)
    filter_importance: Annotated[str, _only("L1", "filters are sorted by L1 or not at all")] = "L1"
    external_importance_path: Annotated[Any, _only(None, "filters are sorted by L1: leave it out")] = None
    overwrite_groups: Annotated[Any, _only(None, _WIDTH)] = None
    overwrite_groups_widths: Annotated[Any, _only(None, _WIDTH)] = None
    add_dynamic_inputs: Annotated[Any, _only(None, _WIDTH)] = None

    @field_validator("min_width")
    @classmethod
    def _aligned(cls, channels: int) -> int:
        if channels % ALIGNMENT:
            raise ValueError(f"all widths are multiples of {ALIGNMENT}: take one of them")
        return channels

    @field_validator("max_num_widths")
    @classmethod
    def _some(cls, count: int) -> int:
        if count == 0:
            raise ValueError("one width or more; -1: all of them")
        return count


class Kernel(Table):
    """`elasticity.kernel`, which has a meaning only where kernels are elastic."""

    max_num_kernels: int = -1


class NncfElasticity(Table):
    """`elasticity`."""

    depth: Depth = Depth()
    width: Width = Width()
    kernel: Kernel = Kernel()
    available_elasticity_dims: list[NncfDimension] = Field(default=["width", "depth", "kernel"])
    ignored_scopes: Annotated[Any, _only(None, _SCOPES)] = None
    target_scopes: Annotated[Any, _only(None, _SCOPES)] = None


class Training(Table):
    """`training`."""

    algorithm: Literal["progressive_shrinking"] = "progressive_shrinking"
    progressivity_of_elasticity: list[NncfDimension] = Field(default=["kernel", "depth", "width"])
    batchnorm_adaptation: BatchNorms | None = None
    schedule: Schedule = Schedule()
    elasticity: NncfElasticity = NncfElasticity()
    lr_schedule: Annotated[
        dict[str, Any], _only({}, "each stage has a learning rate of its own: give it init_lr instead")
    ] = Field(default_factory=dict)
    train_steps: Annotated[Any, _only(None, "an epoch is all images once: leave it out")] = None


class Search(Table):
    """`search`."""

    algorithm: Annotated[str, _only("NSGA2", "the search is NSGA-II: set it to NSGA2")] = "NSGA2"
    batchnorm_adaptation: BatchNorms | None = None
    num_evals: int = Field(3000, ge=1)
    population: int = Field(40, ge=2)
    seed: int = 0  # of NNCF's code, not of its schema
    ref_acc: float = -1
    acc_delta: float = Field(1, ge=0)
    num_constraints: Annotated[int, _only(0, "the search has no constraints: leave it out")] = 0
    crossover_prob: Annotated[float, _only(0.9, _GENETIC)] = 0.9
    crossover_eta: Annotated[float, _only(10, _GENETIC)] = 10
    mutation_prob: Annotated[float, _only(0.02, _GENETIC)] = 0.02
    mutation_eta: Annotated[float, _only(3, _GENETIC)] = 3
    aspiration_points: Annotated[Any, _only(None, _RNSGA2)] = None
    epsilon: Annotated[Any, _only(None, _RNSGA2)] = None
    weights: Annotated[Any, _only(None, _RNSGA2)] = None
    extreme_points_as_ref_points: Annotated[Any, _only(None, _RNSGA2)] = None
    compression: Annotated[Any, _only(None, "subnets are not compressed: leave it out")] = None


class BootstrapNas(Table):
    """`bootstrapNAS`."""

    training: Training = Training()
    search: Search | None = None


class Configuration(Table):
    """A whole file; other keys describe the model, data and optimizer of a program of NNCF."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    bootstrapNAS: BootstrapNas
    compression: Annotated[Any, _only(None, "supernets are not compressed: leave it out")] = None
