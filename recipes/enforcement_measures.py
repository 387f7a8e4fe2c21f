"""What is measured of an ensemble under one condition: its answers, its maps and its activations.

Everything is measured for all ensembles of a pool at once: three members that were trained together are a
pool of three with one ensemble, the twelve models of Table i one with 220 triples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nversion.attribution import attribute
from nversion.core import generator
from nversion.diversity import CKASums, attribution_diversity, ensemble_mean, linear_gram
from nversion.ensembles import Ensembles
from nversion.models import Classifier
from nversion.training.members import classifier_input

NUM_MAPS = 128  # images of each condition whose maps are compared: a seeded part of all classes
NUM_CKA = 512  # images whose activations are compared, in minibatches of 64


@dataclass(frozen=True)
class Inside:
    """How alike the maps and the activations of M models are, on the same images.

    Attributes:
        gram_MM: <a_i, a_k> of the maps, mean over the images.
        unit_gram_MM: the same of maps of unit length.
        cka_MM: linear CKA (Eq. 6) of what enters the classifier layer; nan where it is constant.
    """

    gram_MM: Tensor
    unit_gram_MM: Tensor
    cka_MM: Tensor


def predict(models: list[Classifier], images_N3HW: Tensor) -> Tensor:
    """Logits (M, N, C)."""
    with torch.inference_mode():
        return torch.stack(
            [torch.cat([model(part) for part in torch.split(images_N3HW, 512)]) for model in models]
        )


def seeded_part(num_images: int, count: int) -> Tensor:
    """Indices of images of all classes; the files hold them class by class."""
    return torch.from_numpy(generator("enforcement part", num_images).permutation(num_images)[:count])


def look_inside(models: list[Classifier], images_N3HW: Tensor) -> Inside:
    """Saliency of the predicted class on `NUM_MAPS` of the images, activations on `NUM_CKA`."""
    some = images_N3HW[seeded_part(len(images_N3HW), NUM_MAPS)]
    maps = []
    for model in models:
        predicted_N = predict([model], some)[0].argmax(-1)
        maps.append(attribute(model, some, predicted_N, "saliency", True).flatten(1))
    maps_NMP = torch.stack(maps, dim=1).double()
    unit_NMP = maps_NMP / maps_NMP.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    sums = CKASums.zeros(NUM_CKA // 64, len(models))
    for batch in torch.split(images_N3HW[seeded_part(len(images_N3HW), NUM_CKA)], 64):
        grams = []
        for model in models:
            with torch.inference_mode(), classifier_input(model.module) as held:
                model(batch)
            grams.append(linear_gram(held[0].flatten(1)))
        sums.update(torch.stack(grams))
    return Inside((maps_NMP @ maps_NMP.mT).mean(0), (unit_NMP @ unit_NMP.mT).mean(0), sums.cka())


def of_inside(inside: Inside, ensembles: Ensembles) -> dict[str, Tensor]:
    """Eq. 7 and the mean CKA of two members, of each ensemble."""
    return {
        "attribution diversity": attribution_diversity(inside.gram_MM, ensembles),
        "attribution diversity, unit length": attribution_diversity(inside.unit_gram_MM, ensembles),
        "CKA before the classifier": ensemble_mean(inside.cka_MM, ensembles)[0],
    }


def shannon_equitability(predicted_KN: Tensor) -> Tensor:
    """Eq. 5 of each image's K answers with S = K, (N,)."""
    num_members = len(predicted_KN)
    votes_KN = torch.stack([(predicted_KN == answer).sum(0) for answer in predicted_KN]).double()
    equitability_N: Tensor = -(votes_KN / num_members).log().sum(0) / num_members / np.log(num_members)
    return equitability_N


def of_answers(
    logits_MNC: Tensor, labels_N: Tensor, ensembles: Ensembles
) -> tuple[dict[str, Tensor], Tensor]:
    """Numbers of each ensemble, and which images its average gets right, (E, N)."""
    predicted_MN = logits_MNC.argmax(-1)
    found: dict[str, list[float]] = {}
    right_EN = torch.empty(len(ensembles), len(labels_N), dtype=torch.bool)
    first, second = torch.triu_indices(ensembles.size, ensembles.size, 1)
    for e, members_K in enumerate(ensembles.members_EK):
        right_N = logits_MNC[members_K].mean(0).argmax(-1) == labels_N
        predicted_KN = predicted_MN[members_K]
        right_KN = predicted_KN == labels_N
        entropy_N = shannon_equitability(predicted_KN)
        numbers = {
            "accuracy": right_N.double().mean(),
            "gain": right_N.double().mean() - right_KN.double().mean(1).max(),
            "mean member": right_KN.double().mean(),
            "disagreement": (right_KN[first] ^ right_KN[second]).double().mean(),
            "equitability where right": entropy_N[right_N].mean(),
            "equitability where wrong": entropy_N[~right_N].mean(),
        }
        for name, value in numbers.items():
            found.setdefault(name, []).append(value.item())
        right_EN[e] = right_N
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in found.items()}, right_EN
