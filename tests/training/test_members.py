"""Attribution maps against captum and finite differences; activations against the networks' own."""

import pytest
import torch
from torch import nn

from nversion.core import UserError
from nversion.core.randomness import forked_randomness
from nversion.losses import TrainingBatch, make_loss, total
from nversion.models import Preprocessing
from nversion.training.members import Members, attribution_maps, classifier_input
from nversion.training.recipe import MapsTable

PREPROCESSING = Preprocessing(8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
NEEDS = frozenset({"maps"})


def smooth_network():
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 64, 5)]
    return nn.Sequential(*layers).double()


def trio(maps=None):
    with forked_randomness(0):
        networks = [smooth_network() for _ in range(3)]
    return Members(networks, [PREPROCESSING] * 3, maps or MapsTable())


def images(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64)


LABELS = torch.tensor([0, 3, 1, 3])


def test_maps_are_captums_saliency():
    from captum.attr import Saliency

    members = trio()
    ours = members(images(), LABELS, NEEDS).maps_MNP
    for network, maps_NP in zip(members.networks, ours, strict=True):

        def forward(x, network=network):
            return network(PREPROCESSING(x))

        theirs = Saliency(forward).attribute(images().requires_grad_(), target=LABELS, abs=True)
        torch.testing.assert_close(maps_NP, theirs.flatten(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("of", ["logit", "log_probability", "loss"])
@pytest.mark.parametrize("name", ["attribution_variance", "attribution_cosine", "gradient_alignment"])
def test_a_loss_on_maps_has_the_gradient_of_finite_differences(name, of):
    members = trio(MapsTable(of=of, absolute=False))
    loss = make_loss({"name": name, "weight": 1.0} | ({"floor": 0.0} if name.endswith("cosine") else {}))

    def value():
        outputs = members(images(), LABELS, NEEDS)
        given = TrainingBatch(outputs.logits_MNC, LABELS, outputs.maps_MNP, epoch=9.0)
        return loss(given)[name]

    weight = members.networks[1][0].weight
    if name == "attribution_cosine":  # only right members are compared
        loss = make_loss({"name": name, "only_right": False, "floor": 0.0, "margin": -1.0})
    (gradient,) = torch.autograd.grad(value(), weight)
    step, place = 1e-5, (2, 1, 0, 2)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[place] += sign * step
        ends.append(value().item())
        with torch.no_grad():
            weight[place] -= sign * step
    assert abs(gradient[place].item()) > 1e-6
    assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_a_step_on_maps_alone_changes_weights():
    members = trio()
    outputs = members(images(), LABELS, NEEDS)
    given = TrainingBatch(outputs.logits_MNC.detach(), LABELS, outputs.maps_MNP)
    total(make_loss({"name": "attribution_variance", "weight": 1.0})(given)).backward()
    for network in members.networks:
        assert network[0].weight.grad.abs().max() > 0


def test_input_times_gradient_multiplies_and_smoothing_averages_blocks():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).double()
    given = images(2).requires_grad_()
    logits, labels = network(given), torch.tensor([1, 0])
    plain = attribution_maps(network, given, logits, labels, MapsTable(absolute=False)).reshape(2, 3, 8, 8)
    assert torch.allclose(plain[0].flatten(), network[1].weight[1])
    product = attribution_maps(
        network, given, logits, labels, MapsTable(method="input_x_gradient", absolute=False)
    )
    assert torch.allclose(product.reshape(2, 3, 8, 8), plain * given)
    blocks = attribution_maps(network, given, logits, labels, MapsTable(absolute=False, smooth=4))
    assert blocks.shape == (2, 3 * 2 * 2)
    assert blocks[0, 0].item() == pytest.approx(plain[0, 0, :4, :4].mean().item())


def test_maps_of_some_images_are_the_first_of_all():
    some = trio(MapsTable(images=2))(images(), LABELS, NEEDS).maps_MNP
    assert torch.allclose(some, trio()(images(), LABELS, NEEDS).maps_MNP[:, :2])


def test_activations_of_timms_resnet_are_its_pre_logits():
    import timm

    network = timm.create_model("resnet18", num_classes=7).eval()
    given = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), classifier_input(network) as held:
        network(given)
        own = network.forward_head(network.forward_features(given), pre_logits=True)
    assert held[0].shape == (2, 512)
    assert torch.equal(held[0], own)


def test_activations_of_torchvisions_squeezenet_go_into_its_last_convolution():
    import torchvision

    network = torchvision.models.squeezenet1_1(num_classes=7).eval()
    given = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), classifier_input(network) as held:
        network(given)
        assert torch.equal(held[0], network.features(given))


def test_a_network_without_a_classifier_has_no_activations():
    message = "a linear or convolutional classifier in every member, found none"
    with pytest.raises(UserError, match=message), classifier_input(nn.Sequential(nn.Flatten(), nn.ReLU())):
        pass


def test_dropout_follows_from_its_seed_and_leaves_the_callers_randomness():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 2)).double()
    members = Members([network, network], [PREPROCESSING] * 2, MapsTable())
    state = torch.get_rng_state()
    first, other = members(images(), LABELS, dropout_seeds=[1, 2]).logits_MNC
    again, same = members(images(), LABELS, dropout_seeds=[1, 1]).logits_MNC
    assert torch.equal(first, again) and torch.equal(again, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
