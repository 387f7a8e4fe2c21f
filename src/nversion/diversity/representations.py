"""Centered kernel alignment: how alike two layers arrange the same images (Eq. 6), from Gram matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nversion.core import UserError, chunk_length, spans
from nversion.ensembles import FEWEST_BLOCKS

from .metric import Metric
from .statistics import leave_one_block_out

CKA = Metric(
    name="cka",
    label="Layer similarity (CKA)",
    group="Representation",
    of="layers",
    low=-math.inf,
    high=1.0,
    higher_is_more_diverse=False,
    formula="mean over layers at matched depth of the unbiased minibatch CKA of two models (Eq. 6)",
    undefined_when="no layer's similarity with itself is above 0, or batches hold fewer than 4 images",
)
MIN_IMAGES = 4  # fewer leave the unbiased estimate undefined: n(n−3) is its divisor

# What remains of a Gram matrix of float32 products below this share of its trace is rounding.
_ROUNDING = 1e-6


def linear_gram(features_NP: Tensor, *, budget_bytes: int = 1 << 20) -> Tensor:
    """`K_ij = <x_i − m, x_j − m>` of one batch, m the mean over the batch.

    HSIC1 is the same for every m: it adds u_i + u_j to K_ij, which `u_centred` takes away. Subtracting
    the mean keeps the digits where a common part is much larger than the differences. Products are
    in float32 within slices of the features, their sums in float64: 64 layers of two pretrained networks
    gave CKA within 1e-7 of float64 throughout, at half its time; one float32 product of raw features 1e-5,
    and the whole formula in float32, as is usual, 4e-4.

    Where the images differ by no more than the rounding of the features' dtype, all entries are 0.

    Args:
        features_NP: floating-point; any order of the P features gives the same matrix.
        budget_bytes: of the slice in work, which should stay in the processor's cache.

    Returns:
        gram_NN: float64, symmetric; all nan where a feature is not finite, or too large for its square.

    >>> linear_gram(torch.tensor([[1.0], [2.0], [6.0]])).tolist()
    [[4.0, 2.0, -6.0], [2.0, 1.0, -3.0], [-6.0, -3.0, 9.0]]
    """
    num_samples, num_features = features_NP.shape
    dtype = torch.promote_types(features_NP.dtype, torch.float32)
    gram_NN = torch.zeros(num_samples, num_samples, dtype=torch.float64, device=features_NP.device)
    squared_size = torch.zeros((), dtype=torch.float64, device=features_NP.device)
    length = chunk_length(num_samples * dtype.itemsize, budget_bytes)
    for start, stop in spans(num_features, length):
        values_Np = features_NP[:, start:stop].to(dtype)
        squared_size += torch.linalg.vector_norm(values_Np[0], dtype=torch.float64).square()
        values_Np = values_Np - values_Np[0]  # zeros for constant features, which a mean may miss by a bit
        values_Np -= values_Np.mean(dim=0)
        gram_NN += values_Np @ values_Np.T
    trace = gram_NN.trace()
    gram_NN = torch.where(trace.isfinite(), (gram_NN + gram_NN.T) / 2, torch.nan)
    is_constant = trace <= num_samples * torch.finfo(features_NP.dtype).eps ** 2 * squared_size
    return gram_NN.masked_fill(is_constant, 0.0)


def u_centred(gram_LNN: Tensor) -> Tensor:
    """Gram matrices without diagonal, row means and column means: `<A, B> / (n(n−3))` is then HSIC1.

    With K~ the matrix of zeroed diagonal, `A_ij = K~_ij − r_i − r_j` off the diagonal and 0 on it, where
    `r_i = Σ_k K~_ik / (n−2) − Σ K~ / (2(n−1)(n−2))` (Szekely and Rizzo 2014). It is the same estimate as
    that of `hsic1`, written so that no large sums are subtracted, and it makes the
    HSIC1 of all pairs one matrix product.

    Args:
        gram_LNN: with their diagonals, n ≥ 4.

    Returns:
        float64; 0 where what remains is the rounding of the Gram matrix: constant features, or features
        in which a single image differs from the rest.

    Raises:
        UserError: fewer than 4 samples.
    """
    num_samples = gram_LNN.shape[-1]
    if num_samples < MIN_IMAGES:
        raise UserError(
            expected=f"Gram matrices of at least {MIN_IMAGES} samples",
            found=f"{num_samples}",
            next_step="use larger batches",
        )
    gram_LNN = gram_LNN.double()
    trace_L = gram_LNN.diagonal(dim1=-2, dim2=-1).sum(-1)
    on_diagonal_NN = torch.eye(num_samples, dtype=torch.bool, device=gram_LNN.device)
    hollow_LNN = gram_LNN.masked_fill(on_diagonal_NN, 0.0)
    mean_LN = hollow_LNN.sum(-1) / (num_samples - 2)
    mean_LN = mean_LN - mean_LN.sum(-1, keepdim=True) / (2 * (num_samples - 1))
    centred_LNN = hollow_LNN - mean_LN.unsqueeze(-1) - mean_LN.unsqueeze(-2)
    centred_LNN = centred_LNN.masked_fill(on_diagonal_NN, 0.0)
    is_rounding_L = torch.linalg.matrix_norm(centred_LNN) <= _ROUNDING * trace_L
    return centred_LNN.masked_fill(is_rounding_L[..., None, None], 0.0)


def hsic1(gram_LNN: Tensor) -> Tensor:
    """The unbiased HSIC of all pairs of L layers on one batch (Song et al. 2012; Nguyen et al. 2021).

    `[tr(K~L~) + (1'K~1)(1'L~1)/((n−1)(n−2)) − 2/(n−2)·1'K~L~1] / (n(n−3))`, K~ and L~ the Gram matrices
    with zeroed diagonals; 0 in expectation for independent features, and then negative as often as
    positive.

    Cost: O(L·n²) for the centring and one product of L × n² by n² × L.

    Args:
        gram_LNN: Gram matrices of the same n ≥ 4 samples.

    Returns:
        hsic_LL: float64, symmetric; rows and columns of layers whose Gram matrix is not finite are nan.

    Raises:
        UserError: fewer than 4 samples.

    >>> side = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
    >>> hsic1(torch.stack([side @ side.T, 3 * side @ side.T])).mul(6).round().tolist()
    [[73.0, 219.0], [219.0, 657.0]]
    """
    num_samples = gram_LNN.shape[-1]
    flat_LP = u_centred(gram_LNN).flatten(1)
    # Some BLAS kernels let a nan of one row pass into others, or drop it.
    undefined_L = ~flat_LP.isfinite().all(-1)
    clean_LP = flat_LP.masked_fill(undefined_L[:, None], 0.0)
    hsic_LL = clean_LP @ clean_LP.T / (num_samples * (num_samples - 3))
    hsic_LL = (hsic_LL + hsic_LL.T) / 2
    return hsic_LL.masked_fill(undefined_L[:, None] | undefined_L, torch.nan)


@dataclass
class CKASums:
    """Sums of HSIC1 over minibatches, for all pairs of layers; additive.

    `CKA = Σ_b HSIC1_b(K, L) / sqrt(Σ_b HSIC1_b(K, K) · Σ_b HSIC1_b(L, L))` (Eq. 6 by minibatches). The
    sums are kept per block of minibatches: the blocks of images of CKA are its minibatches, because
    HSIC1 is no sum over single images. Minibatch j goes to block j mod B. Memory is 8·B·L² bytes,
    whatever the number of minibatches.

    Attributes:
        hsic_BLL: float64, summed over the minibatches of a block.
        batches_B: int64, minibatches in it.
        num_images: in all of them.
        num_skipped: minibatches of fewer than 4 images, which have no HSIC1.

    >>> side = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
    >>> sums = CKASums.zeros(num_blocks=2, num_layers=2)
    >>> sums.update(torch.stack([side @ side.T, 3 * side @ side.T]))
    >>> sums.update(torch.ones(2, 3, 3))
    >>> round(sums.cka()[0, 1].item(), 6), sums.num_images, sums.num_skipped
    (1.0, 4, 1)
    """

    hsic_BLL: Tensor
    batches_B: Tensor
    num_images: int = 0
    num_skipped: int = 0

    @classmethod
    def zeros(cls, num_blocks: int, num_layers: int) -> CKASums:
        """Nothing seen yet."""
        return cls(
            torch.zeros(num_blocks, num_layers, num_layers, dtype=torch.float64),
            torch.zeros(num_blocks, dtype=torch.int64),
        )

    @classmethod
    def of(cls, hsic_JLL: Tensor, images_J: Tensor, num_blocks: int) -> CKASums:
        """The sums of J minibatches whose HSIC1 are at hand, such as stored ones.

        Args:
            hsic_JLL: as `hsic1` makes them; those of fewer than 4 images are not looked at.
            images_J: int64, images of each.
        """
        sums = cls.zeros(num_blocks, hsic_JLL.shape[-1])
        for hsic_LL, num_images in zip(hsic_JLL, images_J.tolist(), strict=True):
            sums._add(hsic_LL, num_images)
        return sums

    def update(self, gram_LNN: Tensor) -> None:
        """Add one minibatch of N images: the Gram matrices of all layers."""
        num_images = gram_LNN.shape[-1]
        self._add(hsic1(gram_LNN) if num_images >= MIN_IMAGES else None, num_images)

    def _add(self, hsic_LL: Tensor | None, num_images: int) -> None:
        if hsic_LL is None or num_images < MIN_IMAGES:
            self.num_skipped += 1
            return
        block = (int(self.batches_B.sum()) + self.num_skipped) % len(self.batches_B)
        self.hsic_BLL[block] += hsic_LL.to(self.hsic_BLL)
        self.batches_B[block] += 1
        self.num_images += num_images

    def __add__(self, other: CKASums) -> CKASums:
        if self.hsic_BLL.shape != other.hsic_BLL.shape:
            raise UserError(
                expected=f"sums of the same blocks and layers, {tuple(self.hsic_BLL.shape)}",
                found=str(tuple(other.hsic_BLL.shape)),
                next_step="add sums of the same layers with the same number of blocks",
            )
        return CKASums(
            self.hsic_BLL + other.hsic_BLL,
            self.batches_B + other.batches_B,
            self.num_images + other.num_images,
            self.num_skipped + other.num_skipped,
        )

    def cka(self) -> Tensor:
        """float64 (L, L), 1 on the diagonal; nan where a layer's own HSIC1 is not above 0: see `reasons`."""
        return _cka(self.hsic_BLL.sum(0))

    def without_each_block(self) -> Tensor:
        """`cka` of all minibatches but those of block b, shape (B, L, L).

        A block without minibatches changes nothing. With fewer minibatches J than blocks, the jackknife
        over B blocks then gives (B−1)/B / ((J−1)/J) of the variance that J blocks give: wider.
        """
        return _cka(leave_one_block_out(self.hsic_BLL))

    def stderr(self) -> Tensor:
        """Jackknife standard error of `cka` over the blocks that hold minibatches.

        nan with fewer than `FEWEST_BLOCKS` of them.

        Blocks are taken as equally large; with minibatches dealt out in turn they differ by at most one.
        """
        replicates_BLL = self.without_each_block()[self.batches_B > 0]
        num_blocks = len(replicates_BLL)
        if num_blocks < FEWEST_BLOCKS:
            return torch.full_like(self.hsic_BLL[0], torch.nan)
        deviation_BLL = replicates_BLL - replicates_BLL.mean(0)
        return (deviation_BLL.square().sum(0) * (num_blocks - 1) / num_blocks).sqrt()

    def reasons(self) -> list[str]:
        """For each layer, why its values are nan; "" where they are not."""
        if not bool(self.batches_B.any()):
            return [f"no minibatch of at least {MIN_IMAGES} images"] * self.hsic_BLL.shape[-1]
        own_L = self.hsic_BLL.sum(0).diagonal()
        not_finite, constant = (
            "features are not finite",
            "features are constant, or differ for one image alone",
        )
        return [not_finite if math.isnan(own) else "" if own > 0 else constant for own in own_L.tolist()]


def _cka(hsic_LL: Tensor) -> Tensor:
    own_L = hsic_LL.diagonal(dim1=-2, dim2=-1)
    size_L = torch.where(own_L > 0, own_L, torch.nan).sqrt()
    cka_LL = hsic_LL / size_L.unsqueeze(-1) / size_L.unsqueeze(-2)
    # The diagonal is 1 by definition, and 1 ± 1e-16 by division.
    own_LL = torch.eye(own_L.shape[-1], dtype=torch.bool, device=hsic_LL.device) & cka_LL.isfinite()
    return cka_LL.masked_fill(own_LL, 1.0)


def matched_depth_cka(cka_TT: Tensor, depths: Sequence[int]) -> Tensor:
    """One number for each pair of models: the mean CKA of their layers at equal relative depth.

    Two models of L_a and L_b layers have m = max(L_a, L_b) steps i = 0 … m−1. At step i each model stands
    at the layer nearest to the share i/(m−1) of its depth, the later one of two that are equally near: the
    deeper model goes through all its layers, the shallower one waits where it must. The first layers are
    compared with each other, and the last ones.

    Args:
        cka_TT: shape (..., T, T) over the layers of all models, model after model in order of depth.
        depths: number of layers of each of the M models; they add up to T.

    Returns:
        similarity_MM: shape (..., M, M), symmetric, 1 on the diagonal; nan where a value that it is the mean
        of is nan.

    >>> cka_TT = torch.tensor([[1.0, 0.8, 0.5], [0.8, 1.0, 0.1], [0.5, 0.1, 1.0]])
    >>> round(matched_depth_cka(cka_TT, [2, 1])[0, 1].item(), 3)
    0.3
    """
    assert sum(depths) == cka_TT.shape[-1], f"{sum(depths)} layers for a table of {cka_TT.shape[-1]}"
    device = cka_TT.device
    depth_M = torch.tensor(depths, device=device)
    first_M = depth_M.cumsum(0) - depth_M
    steps_MM = torch.maximum(depth_M[:, None], depth_M[None, :])
    step_I = torch.arange(max(depths), device=device)
    # Rounded in integers, so that no tie depends on the last bit.
    last_step_MM1 = (steps_MM - 1).clamp(min=1).unsqueeze(-1)
    nearest_MMI = (2 * step_I * (depth_M - 1)[:, None, None] + last_step_MM1) // (2 * last_step_MM1)
    taken_MMI = step_I < steps_MM.unsqueeze(-1)
    row_MMI = first_M[:, None, None] + torch.where(taken_MMI, nearest_MMI, 0)
    values_MMI = cka_TT[..., row_MMI, row_MMI.transpose(0, 1)]
    similarity_MM = torch.where(taken_MMI, values_MMI, 0.0).sum(-1) / steps_MM
    return (similarity_MM + similarity_MM.mT) / 2
