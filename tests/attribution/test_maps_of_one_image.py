"""A map of an image alone is its map among others, for every kind of network."""

import warnings

import pytest
import torch
from torch import nn

from nversion.attribution import attribute, attribute_targets
from nversion.models import Preprocessing, make_classifier

METHODS = ("saliency", "input_x_gradient", "integrated_gradients-3")

# A small member of every family of timm, with the pixels and arguments that make it smaller. Families without
# a member of less than 60 million parameters are left out.
VIT = {"embed_dim": 48, "depth": 2, "num_heads": 3}
FAMILIES = {
    **{name: (32, {"img_size": 32} | VIT) for name in ("beit_base_patch16_224", "deit_tiny_patch16_224")},
    **{
        name: (32, {"img_size": 32})
        for name in (
            *("cait_xxs24_224", "coat_tiny", "convit_tiny", "eva02_tiny_patch14_224", "gcvit_xxtiny"),
            *(
                "efficientformerv2_s0",
                "levit_128",
                "coatnet_0_224",
                "nest_tiny",
                "pit_ti_224",
                "tnt_s_legacy_patch16_224",
            ),
            *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_224"),
            *("visformer_tiny", "vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224", "test_vit_relpos"),
            *("vitamin_small_224", "volo_d1_224"),
        )
    },
    **{
        name: (32, {})
        for name in (
            *("mobileone_s1", "convmixer_768_32", "convnext_tiny", "cpubone_nano", "crossvit_tiny_240"),
            *("cs3darknet_focus_s", "cspnext_tiny", "davit_tiny", "densenet121", "dla34", "dpn48b"),
            *("edgenext_xx_small", "mobilenetv2_035", "efficientvim_m1", "efficientvit_b0"),
            *("efficientvit_m0", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "ghostnet_050"),
            *("hardcorenas_b", "hgnetv2_b0", "hrnet_w18_small", "iformer_t", "inception_next_atto"),
            *("lcnetv2_small", "lowformer_b0", "test_mambaout", "poolformer_s12", "mobilenetv3_small_050"),
            *("mobilevit_xxs", "mvitv2_tiny", "nextvit_small", "test_nfnet", "pvt_v2_b0", "rdnet_tiny"),
            *("regnetx_004_tv", "repghostnet_050", "repvit_m1", "res2net50_14w_8s", "resnest14d"),
            *("test_resnet", "resnetv2_18", "rexnet_100", "selecsls42", "legacy_seresnet18", "shvit_s1"),
            *("skresnet18", "starnet_s050", "swiftformer_xs", "tiny_vit_5m_224", "tresnet_m"),
            *("twins_svt_small", "ese_vovnet19b_slim_dw", "legacy_xception", "xception41p"),
            *("xcit_tiny_12_p8_224",),
        )
    },
    **{name: (96, {}) for name in ("inception_v3", "inception_v4")},
    "csatv2": (64, {}),
    "efficientformer_l1": (224, {}),
    "halonet_h1": (256, {}),
    "hiera_tiny_224": (224, {}),
    "gmlp_ti16_224": (224, {}),
    "sequencer2d_s": (224, {}),
}


class Tokens(nn.Module):
    """From batch norm to tokens."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 4, 4), nn.BatchNorm2d(24))
        self.norm, self.fc = nn.LayerNorm(24), nn.Linear(24, 10)

    def forward(self, x):
        return self.fc(self.norm(self.stem(x).flatten(2).transpose(1, 2)).square().mean(1))


def classifier(build, size):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build()
        for parameter in module.parameters():
            if not parameter.any():  # heads and last layers of blocks: no map comes through zeros
                nn.init.normal_(parameter, std=0.1)
    return make_classifier(
        module, Preprocessing(size, (0.5,) * 3, (0.25,) * 3), name="it", source="test", label_space="ten"
    )


def images(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def distance(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("method", METHODS)
def test_images_alone_have_the_maps_that_they_have_together(method):
    network, images_4 = classifier(Tokens, 32), images(4, 32)
    targets = torch.arange(4)
    together = attribute(network, images_4, targets, method, False)
    alone = [attribute(network, images_4[i : i + 1], targets[i : i + 1], method, False) for i in range(4)]
    assert distance(torch.cat(alone), together) < 1e-5


def test_a_last_pass_of_one_image_is_no_exception():
    network, images_3 = classifier(Tokens, 32), images(3, 32)
    two_a_pass = 2 * 1024 * 3 * 32**2
    found = attribute(network, images_3, torch.arange(3), "saliency", True, pass_bytes=two_a_pass)
    assert distance(found, attribute(network, images_3, torch.arange(3), "saliency", True)) < 1e-5


def test_the_one_wrongly_classified_image_of_a_batch_gets_the_map_of_its_label():
    network, images_4 = classifier(Tokens, 32), images(4, 32)
    predicted = network(images_4).argmax(1)
    label = predicted.clone()
    label[2] = (label[2] + 1) % 10
    maps = attribute_targets(network, images_4, {"predicted": predicted, "label": label}, "saliency", True)
    expected = attribute(network, images_4, label, "saliency", True)
    assert distance(maps["label"], expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_the_same_maps_alone_and_together(name):
    import timm

    size, settings = FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = classifier(lambda: timm.create_model(name, num_classes=10, **settings), size)
    together = attribute(network, images(2, size), torch.tensor([1, 2]), "saliency", False)
    alone = attribute(network, images(2, size)[1:], torch.tensor([2]), "saliency", False)
    # A gradient jumps where a ReLU stands within rounding of its switch; a wrong order is far beyond that.
    assert distance(alone, together[1:]) < 0.02
