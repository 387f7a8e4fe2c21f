"""Grad-CAM: against class activation mapping by hand, captum, and tokens laid out by hand."""

import copy

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from nversion.attribution import attribute, class_activation, find_method, grad_cam_layer
from nversion.core import UserError
from nversion.models import Classifier, Preprocessing, expand_pool, load_classifier, make_classifier

NUM_CLASSES = 4


def classifier(module: nn.Module, input_size: int = 16) -> Classifier:
    preprocessing = Preprocessing(input_size, mean=(0.5,) * 3, std=(0.25,) * 3)
    return make_classifier(module, preprocessing, name="tiny", source="test", label_space="some")


def images(num_samples: int, size: int = 16) -> Tensor:
    return torch.rand(num_samples, 3, size, size, generator=torch.Generator().manual_seed(2))


TARGETS_N = torch.tensor([0, 3, 1])


class PooledMaps(nn.Module):
    """Convolution, mean over places, linear: the networks of class activation mapping."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.stage = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace)
        self.head = nn.Linear(6, NUM_CLASSES)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.head(self.act(self.stage(images_N3HW)).mean((2, 3)))


def test_with_a_pooled_linear_head_it_is_class_activation_mapping():
    model = classifier(PooledMaps())
    stage_NChw = model.module.act(model.module.stage(model.preprocessing(images(3))))
    cam_Nhw = torch.einsum("nc,nchw->nhw", model.module.head.weight[TARGETS_N], stage_NChw).relu() / 64
    found_Nhw = class_activation(model, images(3), TARGETS_N)
    assert cam_Nhw.max() > 0
    torch.testing.assert_close(found_Nhw, cam_Nhw, rtol=1e-5, atol=1e-8)


def test_on_the_image_it_is_the_bilinear_map_a_third_in_each_channel():
    model = classifier(PooledMaps())
    maps_N3HW = attribute(model, images(3, 24), TARGETS_N, "grad_cam", absolute=False)
    cam_Nhw = class_activation(model, images(3, 24), TARGETS_N)
    on_image_N1HW = captum.attr.LayerAttribution.interpolate(cam_Nhw.unsqueeze(1), (24, 24), "bilinear")
    torch.testing.assert_close(maps_N3HW.sum(1, keepdim=True), on_image_N1HW, rtol=1e-6, atol=1e-9)
    assert torch.equal(maps_N3HW[:, 0], maps_N3HW[:, 2])
    assert torch.equal(maps_N3HW, attribute(model, images(3, 24), TARGETS_N, "grad_cam", absolute=True))


CONVOLUTIONAL = {
    "resnet": "layer3",
    "resnext": "layer3",
    "squeezenet": "9",
    "mnasnet": "bn2",
    "mobilenetv3": "blocks",
    "densenet": "features",
    "shufflenet": "stage3",
    "regnet": "s3",
    "convnext": "stages.3.downsample.0",
    "convmixer-0": "blocks",
}
TOKENS = {"mixer": "norm", "vit": "blocks.2.norm1"}


@pytest.mark.parametrize("name", CONVOLUTIONAL | TOKENS)
def test_the_layer_is_found_in_every_network_of_the_demo(name, demo_networks):
    torch.manual_seed(1)
    module = copy.deepcopy(demo_networks[name][0])
    for parameter in module.parameters():
        if not parameter.any():  # a head of zeros, before training, tells no class from another
            nn.init.normal_(parameter, std=0.1)
    model = classifier(module, 32)
    layer = (CONVOLUTIONAL | TOKENS)[name]
    assert grad_cam_layer(model) == layer
    if name in CONVOLUTIONAL:
        method = captum.attr.LayerGradCam(model, model.module.get_submodule(layer))
        leaf_N3HW = images(3, 32).requires_grad_()
        direct_Nhw = method.attribute(leaf_N3HW, TARGETS_N, relu_attributions=True)[:, 0].detach()
        found_Nhw = class_activation(model, images(3, 32), TARGETS_N)
        largest = float(direct_Nhw.max())
        torch.testing.assert_close(found_Nhw, direct_Nhw, rtol=0, atol=1e-5 * largest)


def tokens_by_hand(model: Classifier, layer: nn.Module, prefix: int, side: int) -> Tensor:
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    logits_NC = model(images(3, 32).requires_grad_())
    handle.remove()
    (slope_NTC,) = torch.autograd.grad(logits_NC.gather(1, TARGETS_N.unsqueeze(1)).sum(), kept[0])
    weight_N1C = slope_NTC[:, prefix:].mean(1, keepdim=True)
    cam_NT = (weight_N1C * kept[0][:, prefix:]).sum(2).relu().detach()
    assert cam_NT.max() > 0
    return cam_NT.reshape(3, side, side)


@pytest.mark.parametrize(
    ("settings", "layer", "prefix"),
    [
        ({"global_pool": "token"}, "blocks.1.norm1", 1),
        ({"global_pool": "token", "reg_tokens": 8}, "blocks.1.norm1", 9),
        ({"global_pool": "avg", "class_token": False}, "norm", 0),
        ({"global_pool": "map", "class_token": False}, "attn_pool.kv", 0),
    ],
)
def test_the_patch_tokens_of_a_transformer_are_its_map(settings, layer, prefix):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(4)
    module = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=NUM_CLASSES, **settings
    )
    model = classifier(module, 32)
    if settings["global_pool"] == "map":  # `kv` is no end of a block: what comes before it is taken
        layer = "norm"
    assert grad_cam_layer(model) == layer
    by_hand_Nhw = tokens_by_hand(model, module.get_submodule(layer), prefix, side=4)
    torch.testing.assert_close(class_activation(model, images(3, 32), TARGETS_N), by_hand_Nhw)


def test_torchvisions_transformers_are_read_too():
    from torchvision.models import VisionTransformer

    torch.manual_seed(5)
    module = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=NUM_CLASSES)
    nn.init.normal_(module.heads.head.weight)
    model = classifier(module, 32)
    assert grad_cam_layer(model) == "encoder.layers.encoder_layer_1.ln_1"
    layer = module.get_submodule(grad_cam_layer(model))
    by_hand_Nhw = tokens_by_hand(model, layer, prefix=1, side=4)
    torch.testing.assert_close(class_activation(model, images(3, 32), TARGETS_N), by_hand_Nhw)


def test_maps_whose_channels_come_last_are_turned():
    from timm.models.swin_transformer import SwinTransformer

    torch.manual_seed(6)
    module = SwinTransformer(
        img_size=32, patch_size=2, window_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2), num_classes=4
    )
    model = classifier(module, 32)
    assert grad_cam_layer(model) == "norm"
    kept: list[Tensor] = []
    handle = module.norm.register_forward_hook(lambda _, __, output: kept.append(output))
    logits_NC = model(images(3, 32).requires_grad_())
    handle.remove()
    assert kept[0].shape == (3, 8, 8, 16)
    (slope_NhwC,) = torch.autograd.grad(logits_NC.gather(1, TARGETS_N.unsqueeze(1)).sum(), kept[0])
    by_hand_Nhw = (slope_NhwC.mean((1, 2), keepdim=True) * kept[0]).sum(3).relu().detach()
    torch.testing.assert_close(class_activation(model, images(3, 32), TARGETS_N), by_hand_Nhw)


def test_what_follows_the_layer_may_change_it_in_place():
    in_place, plain = (
        class_activation(classifier(PooledMaps(inplace)), images(3), TARGETS_N, "stage")
        for inplace in (True, False)
    )
    assert plain.max() > 0
    assert torch.equal(in_place, plain)


class Repeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, NUM_CLASSES)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.head(self.conv(self.conv(images_N3HW).tanh()).mean((2, 3)))


def test_a_layer_that_is_called_twice_counts_with_its_last_call():
    model = classifier(Repeated())
    conv = model.module.conv
    last_NChw = conv(conv(model.preprocessing(images(3))).tanh())
    cam_Nhw = torch.einsum("nc,nchw->nhw", model.module.head.weight[TARGETS_N], last_NChw).relu() / 16**2
    assert cam_Nhw.max() > 0
    torch.testing.assert_close(class_activation(model, images(3), TARGETS_N), cam_Nhw, rtol=1e-4, atol=1e-8)


def test_nothing_before_the_layer_is_kept_for_the_backward_pass():
    model = classifier(PooledMaps())
    has_graph: list[bool] = []
    model.module.stage.register_forward_hook(lambda _, __, output: has_graph.append(output.requires_grad))
    class_activation(model, images(3), TARGETS_N, "act")
    assert has_graph == [False]


def test_a_module_may_name_its_layer():
    module = PooledMaps()
    module.grad_cam_layer = "stage"
    model = classifier(module)
    assert grad_cam_layer(model) == "stage"
    assert find_method("grad_cam").describe([model])["layers"] == {"tiny": "stage"}
    named_Nhw = class_activation(classifier(PooledMaps()), images(3), TARGETS_N, "stage")
    assert torch.equal(class_activation(model, images(3), TARGETS_N), named_Nhw)


def test_a_layer_that_is_not_there_is_answered_with_the_closest():
    with pytest.raises(UserError, match=r"the name of a layer of tiny, found 'stages'; did you mean 'stage'"):
        class_activation(classifier(PooledMaps()), images(3), TARGETS_N, "stages")


def test_a_layer_without_maps_is_refused():
    with pytest.raises(UserError, match=r"a layer of tiny .* on a square, found 'head' with shape \(3, 4\)"):
        class_activation(classifier(PooledMaps()), images(3), TARGETS_N, "head")


def test_a_network_without_maps_is_named():
    model = classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16**2, NUM_CLASSES)))
    with pytest.raises(
        UserError,
        match=r"a convolutional stage or a square of tokens in tiny, .*; leave grad_cam out, or name",
    ):
        attribute(model, images(3), TARGETS_N, "grad_cam", absolute=True)


def test_encodings_of_positions_are_no_stage():
    class WithPositions(PooledMaps):
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Conv2d(1, 6, 1)

        def forward(self, images_N3HW: Tensor) -> Tensor:
            stage = self.act(self.stage(images_N3HW))
            return self.head((stage * self.positions(torch.ones(1, 1, 8, 8))).mean((2, 3)))

    assert grad_cam_layer(classifier(WithPositions())) == "act"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18_pqf", "layer4"),
        ("tf_mobilenetv3_small_100", "blocks"),
        ("squeezenet1_1_caffe", "classifier.2"),
    ],
)
def test_real_networks_have_the_maps_that_captum_makes(shared, name, layer):
    (spec,) = expand_pool([{"source": "python:weights/zoo.py:build", "names": [name]}])
    model = load_classifier(spec, shared)
    assert grad_cam_layer(model) == layer
    images_N3HW = images(2, 224)
    targets_N = model(images_N3HW).argmax(1)
    method = captum.attr.LayerGradCam(model, model.module.get_submodule(layer))
    leaf_N3HW = images_N3HW.clone().requires_grad_()
    direct_Nhw = method.attribute(leaf_N3HW, targets_N, relu_attributions=True)[:, 0].detach()
    assert direct_Nhw.max() > 0
    torch.testing.assert_close(
        class_activation(model, images_N3HW, targets_N),
        direct_Nhw,
        rtol=0,
        atol=1e-5 * float(direct_Nhw.max()),
    )
