"""Attribution maps: against hand-made gradients, autograd, captum and finite differences."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nversion.attribution import METHODS, attribute, attribute_targets, find_method, images_per_pass
from nversion.core import UserError
from nversion.data import Canonical, open_dataset
from nversion.models import Classifier, Preprocessing, expand_pool, load_classifier, make_classifier

STD = (0.5, 0.25, 0.125)
NUM_CLASSES = 4


def classifier(module: nn.Module, input_size: int = 8) -> Classifier:
    preprocessing = Preprocessing(input_size, mean=(0.5, 0.5, 0.5), std=STD)
    return make_classifier(module, preprocessing, name="tiny", source="test", label_space="four")


def linear(input_size: int = 8) -> tuple[Classifier, Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(3 * input_size**2, NUM_CLASSES)
    weight_C3HW = layer.weight.detach().reshape(NUM_CLASSES, 3, input_size, input_size)
    return classifier(nn.Sequential(nn.Flatten(), layer), input_size), weight_C3HW


def smooth() -> Classifier:
    torch.manual_seed(1)
    return classifier(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(384, NUM_CLASSES),
        )
    )


def images(num_samples: int, size: int = 8) -> Tensor:
    return torch.rand(num_samples, 3, size, size, generator=torch.Generator().manual_seed(2))


TARGETS_N = torch.tensor([0, 3, 1, 3, 2])


def test_the_saliency_of_a_linear_model_is_its_weight_over_the_std():
    model, weight_C3HW = linear()
    by_hand_N3HW = weight_C3HW[TARGETS_N] / torch.tensor(STD).reshape(3, 1, 1)
    signed_N3HW = attribute(model, images(5), TARGETS_N, "saliency", absolute=False)
    torch.testing.assert_close(signed_N3HW, by_hand_N3HW, rtol=1e-6, atol=0)
    absolute_N3HW = attribute(model, images(5), TARGETS_N, "saliency", absolute=True)
    torch.testing.assert_close(absolute_N3HW, by_hand_N3HW.abs(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("canonical_size", [12, 6])
def test_the_gradient_runs_back_through_the_resize(canonical_size):
    model, _ = linear(input_size=8)
    image_13HW = images(1, canonical_size)
    map_13HW = attribute(model, image_13HW, torch.tensor([2]), "saliency", absolute=False)
    impulses_P3HW = torch.eye(3 * canonical_size**2).reshape(-1, 3, canonical_size, canonical_size)
    # The whole chain is affine: what one unit more of one value adds to the logit is the gradient.
    response_P = model(impulses_P3HW)[:, 2] - model(torch.zeros_like(image_13HW))[:, 2]
    torch.testing.assert_close(map_13HW.flatten(), response_P, rtol=1e-4, atol=1e-6)


def test_saliency_is_the_derivative_that_finite_differences_show():
    model, image_13HW, step = smooth(), images(1), 1e-2
    map_13HW = attribute(model, image_13HW, torch.tensor([1]), "saliency", absolute=False)
    steps_P3HW = step * torch.eye(192).reshape(192, 3, 8, 8)
    slope_P = (model(image_13HW + steps_P3HW) - model(image_13HW - steps_P3HW))[:, 1] / (2 * step)
    torch.testing.assert_close(map_13HW.flatten(), slope_P, rtol=1e-2, atol=2e-3 * float(slope_P.abs().max()))


@pytest.mark.parametrize("absolute", [True, False])
def test_saliency_agrees_with_autograd_and_with_captum(absolute):
    model, images_N3HW = smooth(), images(5)
    maps_N3HW = attribute(model, images_N3HW, TARGETS_N, "saliency", absolute)
    leaf_N3HW = images_N3HW.clone().requires_grad_()
    logits_N = model(leaf_N3HW).gather(1, TARGETS_N.unsqueeze(1))
    (gradient_N3HW,) = torch.autograd.grad(logits_N.sum(), leaf_N3HW)
    torch.testing.assert_close(maps_N3HW, gradient_N3HW.abs() if absolute else gradient_N3HW)
    direct_N3HW = captum.attr.Saliency(model).attribute(leaf_N3HW, TARGETS_N, abs=absolute)
    assert torch.equal(maps_N3HW, direct_N3HW)


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients-1", "integrated_gradients-4"])
def test_for_a_linear_model_they_are_the_image_times_its_gradient(method):
    model, weight_C3HW = linear()
    by_hand_N3HW = images(5) * weight_C3HW[TARGETS_N] / torch.tensor(STD).reshape(3, 1, 1)
    signed_N3HW = attribute(model, images(5), TARGETS_N, method, absolute=False)
    torch.testing.assert_close(signed_N3HW, by_hand_N3HW, rtol=1e-5, atol=1e-7)
    absolute_N3HW = attribute(model, images(5), TARGETS_N, method, absolute=True)
    torch.testing.assert_close(absolute_N3HW, by_hand_N3HW.abs(), rtol=1e-5, atol=1e-7)


def gradient(model: Classifier, images_N3HW: Tensor) -> Tensor:
    leaf_N3HW = images_N3HW.clone().requires_grad_()
    logits_N = model(leaf_N3HW).gather(1, TARGETS_N.unsqueeze(1))
    return torch.autograd.grad(logits_N.sum(), leaf_N3HW)[0]


@pytest.mark.parametrize("absolute", [True, False])
def test_input_times_gradient_agrees_with_autograd_and_with_captum(absolute):
    model, images_N3HW = smooth(), images(5)
    maps_N3HW = attribute(model, images_N3HW, TARGETS_N, "input_x_gradient", absolute)
    product_N3HW = images_N3HW * gradient(model, images_N3HW)
    torch.testing.assert_close(maps_N3HW, product_N3HW.abs() if absolute else product_N3HW)
    leaf_N3HW = images_N3HW.clone().requires_grad_()
    direct_N3HW = captum.attr.InputXGradient(model).attribute(leaf_N3HW, TARGETS_N).detach()
    assert torch.equal(maps_N3HW, direct_N3HW.abs() if absolute else direct_N3HW)


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_integrated_gradients_are_a_quadrature_of_autograds_gradients(passes):
    model, images_N3HW = smooth(), images(5)
    nodes, weights = np.polynomial.legendre.leggauss(passes)
    by_hand_N3HW = images_N3HW * sum(
        float(weight) / 2 * gradient(model, (1 + float(node)) / 2 * images_N3HW)
        for node, weight in zip(nodes, weights, strict=True)
    )
    maps_N3HW = attribute(model, images_N3HW, TARGETS_N, f"integrated_gradients-{passes}", absolute=False)
    largest = float(by_hand_N3HW.abs().max())
    torch.testing.assert_close(maps_N3HW, by_hand_N3HW, rtol=0, atol=1e-6 * largest)


def test_one_pass_of_integrated_gradients_is_the_gradient_at_half_brightness():
    model, images_N3HW = smooth(), images(5)
    maps_N3HW = attribute(model, images_N3HW, TARGETS_N, "integrated_gradients-1", absolute=False)
    torch.testing.assert_close(maps_N3HW, images_N3HW * gradient(model, images_N3HW / 2))


def test_integrated_gradients_sum_to_what_the_image_adds_to_the_logit():
    model, images_N3HW = smooth(), images(5)
    added_NC = model(images_N3HW) - model(torch.zeros_like(images_N3HW))
    added_N = added_NC.gather(1, TARGETS_N.unsqueeze(1))[:, 0]
    errors = []
    for passes in (1, 2, 4, 16):
        maps_N3HW = attribute(model, images_N3HW, TARGETS_N, f"integrated_gradients-{passes}", absolute=False)
        errors.append(float((maps_N3HW.sum((1, 2, 3)) - added_N).abs().max()))
    assert errors[0] > 4 * errors[1] > 16 * errors[2] > 64 * errors[3]
    assert errors[3] < 1e-5


@pytest.mark.parametrize("absolute", [True, False])
def test_the_bare_name_is_captums_integrated_gradients_with_its_own_defaults(absolute):
    model, images_N3HW = smooth(), images(5)
    maps_N3HW = attribute(model, images_N3HW, TARGETS_N, "integrated_gradients", absolute)
    direct_N3HW = captum.attr.IntegratedGradients(model).attribute(images_N3HW, target=TARGETS_N).detach()
    if absolute:
        direct_N3HW = direct_N3HW.abs()
    largest = float(direct_N3HW.abs().max())
    torch.testing.assert_close(maps_N3HW, direct_N3HW, rtol=0, atol=1e-6 * largest)


def test_each_pass_is_as_large_as_its_memory_allows_and_the_maps_are_the_same():
    model, images_N3HW = smooth(), images(5)
    two_images = 2 * 1024 * 3 * 8**2
    whole_N3HW = attribute(model, images_N3HW, TARGETS_N, "integrated_gradients-7", absolute=False)
    batch_lengths: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: batch_lengths.append(len(arguments[0])))
    in_parts_N3HW = attribute(
        model, images_N3HW, TARGETS_N, "integrated_gradients-7", absolute=False, pass_bytes=two_images
    )
    assert batch_lengths == [2] * 21  # the fifth image goes twice
    largest = float(whole_N3HW.abs().max())
    torch.testing.assert_close(in_parts_N3HW, whole_N3HW, rtol=0, atol=1e-6 * largest)


def test_a_pass_takes_a_kibibyte_for_each_value_of_the_networks_input():
    assert images_per_pass(linear(8)[0], pass_bytes=10 * 1024 * 3 * 8 * 8) == 10
    assert images_per_pass(linear(8)[0], pass_bytes=1) == 1


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("saliency", 1),
        ("input_x_gradient", 1),
        ("grad_cam", 1),
        ("integrated_gradients", 50),
        ("integrated_gradients-1", 1),
        ("integrated_gradients-10", 10),
    ],
)
def test_a_method_says_how_many_passes_it_makes(name, passes):
    batch_lengths: list[int] = []
    assert find_method(name).passes == passes
    model = smooth()
    attribute(model, images(5), TARGETS_N, name, absolute=False)  # looks for the layer of Grad-CAM
    model.register_forward_pre_hook(lambda _, arguments: batch_lengths.append(len(arguments[0])))
    attribute(model, images(5), TARGETS_N, name, absolute=False)
    assert batch_lengths == [5] * passes


def test_records_say_what_maps_depend_on_beside_the_name():
    model = smooth()
    described = {name: find_method(name).describe([model]) for name in METHODS}
    assert described == {
        "saliency": {},
        "input_x_gradient": {"baseline": "black"},
        "integrated_gradients": {"baseline": "black", "rule": "gausslegendre", "passes": 50},
        "grad_cam": {"layers": {"tiny": "2"}, "channels": "a third of the map each"},
    }


def test_a_plug_in_with_passes_is_given_their_number(monkeypatch):
    def many(model, images_N3HW, targets_N, *, absolute, passes=3):
        return torch.full_like(images_N3HW, passes)

    monkeypatch.setitem(METHODS._entries, "smooth-grad", many)
    assert find_method("smooth-grad").passes == 3
    assert attribute(smooth(), images(5), TARGETS_N, "smooth-grad-20", absolute=True).eq(20).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "saliency-10",
            "takes a number of passes, which saliency does not, found 'saliency-10'; write 'saliency'",
        ),
        (
            "integrated_gradients-0",
            "a whole number of passes after 'integrated_gradients', from 1 to 10,000, found",
        ),
        (
            "integrated_gradients-1000000000",
            "from 1 to 10,000, found 'integrated_gradients-1000000000'; write",
        ),
        ("integrated_gradients-ten", "from 1 to 10,000, found 'integrated_gradients-ten'; write for example"),
        ("integrated_gradient-10", "a known attribution method, found .*did you mean 'integrated_gradients'"),
    ],
)
def test_a_number_of_passes_that_cannot_be_is_answered_with_the_cure(name, message):
    with pytest.raises(UserError, match=message):
        find_method(name)


@pytest.mark.parametrize("method", METHODS)
def test_networks_that_work_in_place_have_the_maps_of_those_that_do_not(method):
    def network(inplace: bool) -> Classifier:
        torch.manual_seed(3)
        return classifier(
            nn.Sequential(
                nn.ReLU(inplace),
                nn.Conv2d(3, 5, 3),
                nn.ReLU(inplace),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(5, NUM_CLASSES),
            )
        )

    in_place, plain = (
        attribute(network(inplace), images(5), TARGETS_N, method, absolute=False) for inplace in (True, False)
    )
    assert plain.abs().max() > 0
    assert torch.equal(in_place, plain)


class NoGradient(nn.Module):
    def forward(self, images_N3HW: Tensor) -> Tensor:
        with torch.no_grad():
            return images_N3HW.mean((2, 3)) @ torch.ones(3, NUM_CLASSES)


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "integrated_gradients-2"])
def test_a_network_without_gradients_is_named(method):
    with pytest.raises(
        UserError, match=rf"expected tiny to let {method} run, found .*grad.*check that gradients flow"
    ):
        attribute(classifier(NoGradient()), images(5), TARGETS_N, method, absolute=True)


@pytest.mark.parametrize("method", METHODS)
def test_maps_have_the_shape_of_the_images_and_no_graph(method):
    maps_N3HW = attribute(smooth(), images(5, 12), TARGETS_N, method, absolute=True)
    assert maps_N3HW.shape == (5, 3, 12, 12)
    assert maps_N3HW.dtype == torch.float32
    assert not maps_N3HW.requires_grad
    assert maps_N3HW.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_a_map_does_not_depend_on_its_neighbours(method):
    model, images_N3HW = smooth(), images(5)
    together_N3HW = attribute(model, images_N3HW, TARGETS_N, method, absolute=False)
    for index in range(5):
        one = slice(index, index + 1)
        alone_13HW = attribute(model, images_N3HW[one], TARGETS_N[one], method, absolute=False)
        largest = float(alone_13HW.abs().max())
        torch.testing.assert_close(together_N3HW[one], alone_13HW, rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_maps_are_made_wherever_gradients_are_off(mode):
    model = smooth()
    expected_N3HW = attribute(model, images(5), TARGETS_N, "saliency", absolute=True)
    with mode():
        images_N3HW = images(5).mul(1.0)
        found_N3HW = attribute(model, images_N3HW, TARGETS_N, "saliency", absolute=True)
    assert torch.equal(found_N3HW, expected_N3HW)
    assert not images_N3HW.requires_grad


def test_trainable_weights_are_left_without_gradients():
    model = smooth().requires_grad_(True)
    attribute(model, images(5), TARGETS_N, "saliency", absolute=True)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_second_target_runs_only_where_it_differs():
    model, images_N3HW = smooth(), images(5)
    labels_N = torch.tensor([0, 1, 1, 3, 0])
    batch_lengths: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: batch_lengths.append(len(arguments[0])))
    maps = attribute_targets(
        model, images_N3HW, {"predicted": TARGETS_N, "label": labels_N}, "saliency", absolute=False
    )
    assert batch_lengths == [5, 2]
    assert torch.equal(maps["label"][[0, 2, 3]], maps["predicted"][[0, 2, 3]])
    for name, targets_N in (("predicted", TARGETS_N), ("label", labels_N)):
        separate_N3HW = attribute(model, images_N3HW, targets_N, "saliency", absolute=False)
        largest = float(separate_N3HW.abs().max())
        torch.testing.assert_close(maps[name], separate_N3HW, rtol=0, atol=1e-5 * largest)


def test_a_target_that_always_agrees_costs_no_pass():
    model = smooth()
    batch_lengths: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: batch_lengths.append(len(arguments[0])))
    maps = attribute_targets(model, images(5), {"a": TARGETS_N, "b": TARGETS_N.clone()}, "saliency", True)
    assert batch_lengths == [5]
    assert torch.equal(maps["a"], maps["b"])


def test_a_registered_function_is_a_method(monkeypatch):
    def ones(model, images_N3HW, targets_N, *, absolute):
        return torch.ones_like(images_N3HW)

    monkeypatch.setitem(METHODS._entries, "ones", ones)
    assert attribute(smooth(), images(5), TARGETS_N, "ones", absolute=True).eq(1).all()


def test_an_unknown_method_is_answered_with_the_closest():
    with pytest.raises(
        UserError, match=r"a known attribution method, found 'salience'; did you mean 'saliency'"
    ):
        attribute(smooth(), images(5), TARGETS_N, "salience", absolute=True)


@pytest.mark.parametrize("target", [-1, NUM_CLASSES])
def test_a_target_that_is_no_class_is_named(target):
    targets_N = torch.tensor([0, 1, target, 1, 1])
    with pytest.raises(UserError, match=rf"from 0 to 3, the classes of tiny, found {target} for sample 2"):
        attribute(smooth(), images(5), targets_N, "saliency", absolute=True)


def test_too_few_targets_are_refused():
    with pytest.raises(UserError, match=r"one target for each of 5 images, found targets of shape \(4,\)"):
        attribute(smooth(), images(5), TARGETS_N[:4], "saliency", absolute=True)


def test_uint8_images_are_refused_with_the_cure():
    with pytest.raises(
        UserError, match=r"found torch.uint8 of shape \(5, 3, 8, 8\); divide uint8 images by 255"
    ):
        attribute(smooth(), images(5).to(torch.uint8), TARGETS_N, "saliency", absolute=True)


def test_a_classifier_in_training_mode_is_refused():
    with pytest.raises(UserError, match=r"tiny in eval mode, found training mode.*classifier\.eval\(\)"):
        attribute(smooth().train(), images(5), TARGETS_N, "saliency", absolute=True)


class Root(nn.Module):
    """A logit whose gradient is infinite where the image's mean is 0 after normalisation."""

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return images_N3HW.mean((1, 2, 3)).abs().sqrt().unsqueeze(1).expand(-1, NUM_CLASSES)


def test_maps_that_are_not_finite_are_named_by_their_samples():
    images_N3HW = images(5)
    images_N3HW[[1, 4]] = 0.5
    with pytest.raises(
        UserError, match="finite saliency maps of tiny, found nan or infinity for samples 1, 4"
    ):
        attribute(classifier(Root()), images_N3HW, TARGETS_N, "saliency", absolute=True)


@pytest.mark.gpu
def test_maps_of_a_gpu_repeat_and_are_those_of_the_cpu_within_the_stated_tolerance(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model, images_N3HW = smooth(), images(5, 12)  # through the antialiased resize, whose backward has atomics
    on_cpu_N3HW = attribute(model, images_N3HW, TARGETS_N, "saliency", absolute=False)
    model.cuda()
    first_N3HW, again_N3HW = (
        attribute(model, images_N3HW.cuda(), TARGETS_N.cuda(), "saliency", absolute=False).cpu()
        for _ in range(2)
    )
    peak = on_cpu_N3HW.abs().max()
    assert (first_N3HW - again_N3HW).abs().max() < 1e-5 * peak
    assert (first_N3HW - on_cpu_N3HW).abs().max() < 1e-4 * peak


@pytest.mark.shared
def test_integrated_gradients_of_a_real_network_sum_to_what_a_photograph_adds_to_the_logit(shared):
    (spec,) = expand_pool([{"source": "python:weights/zoo.py:build", "names": ["squeezenet1_1_caffe"]}])
    model = load_classifier(spec, shared)
    photographs = {
        "source": "folder",
        "path": "data/imagenet_val1300",
        "label_space": "imagenet-1k",
        "count": 1,
    }
    image_3HW = Canonical(224, "squash").render(open_dataset(photographs, shared).decode(0))
    image_13HW = torch.from_numpy(image_3HW)[None].float() / 255
    target_1 = model(image_13HW).argmax(1)
    added = (model(image_13HW) - model(torch.zeros_like(image_13HW)))[0, target_1]
    map_13HW = attribute(model, image_13HW, target_1, "integrated_gradients-50", absolute=False)
    assert map_13HW.sum() == pytest.approx(float(added), rel=0.02)
