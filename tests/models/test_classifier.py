"""Classifiers: what they count, what their fingerprint sees, and what they refuse."""

import warnings

import pytest
import torch
from torch import nn

from nversion.core import LabelSpace, UserError
from nversion.models import Preprocessing, fingerprint_of, make_classifier
from nversion.models.probe import count_macs

PREPARE = Preprocessing(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def network(activation=nn.ReLU, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            activation(),
            nn.Flatten(),
            nn.Linear(4 * 8 * 8, 5),
        )


def classifier(module=None, prepare=PREPARE, **settings):
    settings = {"name": "small", "source": "test", "label_space": "five"} | settings
    return make_classifier(module or network(), prepare, **settings)


def test_macs_and_parameters_are_counted_by_hand():
    card = classifier().card
    assert card.macs == 4 * 27 * 64 + 256 * 5  # convolution, then linear layer
    assert card.num_parameters == 4 * 27 + 2 * 4 + 256 * 5 + 5
    assert (card.label_space, card.input_size) == (LabelSpace("five", 5), 8)


def test_logits_are_of_the_preprocessed_image():
    images_N3HW = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    small = classifier()
    assert torch.equal(small(images_N3HW), small.module(PREPARE(images_N3HW)))
    assert small.name == "small"


def test_only_the_images_require_gradients():
    small = classifier()
    assert not any(p.requires_grad for p in small.parameters()) and not small.module.training
    images_N3HW = torch.full((1, 3, 8, 8), 0.3, requires_grad=True)
    small(images_N3HW)[0, 0].backward()
    assert images_N3HW.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "images_N3HW",
    [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8)],
)
def test_images_of_another_kind_are_refused(images_N3HW):
    with pytest.raises(
        ValueError,
        match=r"expected floating-point images \(N, "
        r"3, H, W\) in \[0, 1\], found",
    ):
        classifier()(images_N3HW)


def test_a_thousand_outputs_are_imagenet_unless_said_otherwise():
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 1000))
    assert classifier(module, label_space=None).card.label_space == LabelSpace("imagenet-1k", 1000)
    assert classifier(module, label_space="mine").card.label_space == LabelSpace("mine", 1000)


# --- fingerprint


def test_equal_content_has_an_equal_fingerprint():
    assert classifier().fingerprint == classifier(name="other", source="elsewhere").fingerprint


@pytest.mark.parametrize(
    "other",
    [
        lambda: fingerprint_of(network(seed=1), PREPARE),
        lambda: fingerprint_of(network(nn.GELU), PREPARE),  # the same weights
        lambda: fingerprint_of(network().double(), PREPARE),
        lambda: fingerprint_of(network(), Preprocessing(8, (0.5,) * 3, (0.4,) * 3)),
        lambda: fingerprint_of(network(), Preprocessing(8, (0.5,) * 3, (0.5,) * 3, "bicubic")),
        lambda: fingerprint_of(network(), PREPARE, code="edited"),
    ],
)
def test_the_fingerprint_sees_weights_structure_preprocessing_and_code(other):
    assert fingerprint_of(network(), PREPARE) != other()


def test_the_fingerprint_sees_buffers():
    module = network()
    before = fingerprint_of(module, PREPARE)
    module[1].running_mean += 1
    assert fingerprint_of(module, PREPARE) != before


def test_the_recorded_crop_changes_nothing():
    cropped = Preprocessing(8, (0.5,) * 3, (0.5,) * 3, crop_pct=0.9)
    assert fingerprint_of(network(), PREPARE) == fingerprint_of(network(), cropped)


def test_bfloat16_scalars_and_booleans_have_a_fingerprint():
    module = nn.Module()
    for name, value in {"a": torch.tensor(1.5, dtype=torch.bfloat16), "b": torch.tensor([True])}.items():
        module.register_buffer(name, value)
    before = fingerprint_of(module, PREPARE)
    module.a += 1
    assert fingerprint_of(module, PREPARE) != before


def test_memory_addresses_are_no_part_of_the_fingerprint():
    class Odd(nn.Module):
        def extra_repr(self):
            return repr(object())

    assert fingerprint_of(Odd(), PREPARE) == fingerprint_of(Odd(), PREPARE)


# --- refusals


class Returns(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"label_space": None},
            "expected the label space of the classifier 'small', found none for 5 classes",
        ),
        (
            {"label_space": "imagenet-1k"},
            "found 1000 by the label space 'imagenet-1k', 5 by the width of the output",
        ),
        ({"num_classes": 6}, "found 6 by the setting `num_classes`, 5 by the width of the output"),
        (
            {"prepare": Preprocessing(9, (0.5,) * 3, (0.5,) * 3)},
            "'small' to run on 1×3×9×9, found RuntimeError: .*mat1 and mat2",
        ),
        (
            {"module": Returns((1, 2))},
            r"logits of shape \(N, classes\) from the "
            r"classifier 'small', found tuple",
        ),
        ({"module": Returns(torch.ones(1, 5, 7, 7))}, r"found shape \(1, 5, 7, 7\) for one image"),
        ({"module": Returns(torch.full((1, 5), torch.nan))}, "finite logits from the classifier 'small'"),
        (
            {"module": Returns(torch.full((1, 5), 1e300, dtype=torch.float64))},
            "finite logits from the classifier",
        ),
        ({"module": Returns(torch.ones(1, 0))}, r"one a class, from .* found float32 of shape \(1, 0\)"),
        ({"module": Returns(torch.ones(1, 5) * 1j)}, "real numbers, .* found complex64"),
        ({"module": Returns(torch.ones(1, 5).to_sparse())}, "real numbers, .*, torch.sparse_coo"),
    ],
)
def test_a_module_that_is_no_classifier_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        classifier(**settings)


# --- kinds of modules


def test_a_sparse_matrix_beside_the_weights_does_no_harm():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("matrix", torch.eye(192)[:5].to_sparse())
            self.again = self.matrix * 2

        def forward(self, x):
            return torch.sparse.mm(self.matrix + self.again, x.flatten(1).T).T

    assert classifier(Sparse())(torch.ones(1, 3, 8, 8)).tolist() == [[3.0] * 5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_run_in_float32(dtype):
    images_N3HW = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = classifier(network().to(dtype).float())(images_N3HW)
    assert torch.equal(classifier(network().to(dtype))(images_N3HW), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "kind",
    [
        torch.jit.script,
        lambda module: torch.jit.trace(module.eval(), torch.rand(1, 3, 8, 8)),
        lambda module: torch.compile(module, backend="eager"),
        lambda module: torch.export.export(
            module.eval(), (torch.rand(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim.AUTO},)
        ).module(),
        lambda module: nn.Sequential(torch.jit.script(module.eval()), nn.Identity()),
    ],
)
def test_scripted_compiled_and_exported_modules_give_the_logits_of_the_module(kind):
    images_N3HW = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = classifier(kind(network()))
    assert torch.allclose(made(images_N3HW), classifier()(images_N3HW), atol=1e-5)
    assert made.card.num_parameters == classifier().card.num_parameters
    assert not made.module.training


def test_lazy_layers_are_told():
    with pytest.raises(UserError, match=r"the weights of .*'small', found lazy layers .* '1.weight'"):
        classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(5)))


# --- probabilities


@pytest.mark.parametrize("scale", [1, 100])
def test_probabilities_that_are_given_as_logits_are_refused(scale):
    class Percent(nn.Module):
        def forward(self, logits):
            return scale * logits.softmax(1)

    with pytest.raises(UserError, match=r"probabilities: .* 8 test images; set `outputs = \"probab"):
        classifier(nn.Sequential(network(), Percent()))


def test_values_as_a_sigmoid_has_them_are_noted():
    noted = classifier(nn.Sequential(network(), nn.Sigmoid())).card.notes
    assert len(noted) == 1 and "lie between 0 and 1, as a sigmoid's do" in noted[0]
    assert classifier().card.notes == ()


def test_logarithms_of_probabilities_are_taken_and_the_card_says_so():
    images_N3HW = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = classifier(nn.Sequential(network(), nn.Softmax(1)), outputs="probabilities")
    expected = classifier()(images_N3HW).log_softmax(1)
    assert torch.allclose(made(images_N3HW), expected, atol=1e-5)
    assert made.card.outputs == "probabilities"


def test_the_logarithm_of_no_probability_is_finite():
    made = classifier(Returns(torch.eye(5)[:1]), outputs="probabilities")
    assert made(torch.zeros(1, 3, 8, 8))[0, 1].item() == pytest.approx(-87.3365, abs=1e-3)


def test_log_softmax_is_taken_as_it_is_and_is_no_probability():
    logs = nn.Sequential(network(), nn.LogSoftmax(1))
    assert classifier(logs).card.outputs == "logits"
    with pytest.raises(UserError, match=r"expected probabilities from .*take the setting out"):
        classifier(logs, outputs="probabilities")


def test_logits_that_add_up_to_one_on_one_image_only_are_logits():
    class Odd(nn.Module):
        def forward(self, images):
            return torch.eye(5)[:1] * torch.arange(1.0, 1 + len(images))[:, None]

    assert classifier(Odd()).card.outputs == "logits"


# --- attention


def test_attention_is_counted_without_its_fast_path():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 5)

        def forward(self, images):
            tokens = images.mean(1)
            return self.head(self.attention(tokens, tokens, tokens)[0].mean(1))

    before = torch.backends.mha.get_fastpath_enabled()
    # Four projections of 8 tokens and two products of 8 tokens with 8; then the head.
    assert classifier(Attending()).card.macs == 4 * 8 * 8 * 8 + 2 * 8 * 8 * 8 + 8 * 5
    assert torch.backends.mha.get_fastpath_enabled() == before


def gmacs_and_published(name):
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(name)))
    (side,) = set(weights.transforms().crop_size)
    settings = {"image_size": side} if name.startswith("vit_") else {}  # the others take any size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initialisations that will change
        try:
            with torch.device("meta"):
                module = torchvision.models.get_model(name, **settings)
        except NotImplementedError:  # RegNet computes its widths with tensors
            module = torchvision.models.get_model(name).to("meta")
    images_N3HW = torch.empty(1, 3, side, side, device="meta")
    return count_macs(module.eval(), images_N3HW) / 1e9, weights.meta["_ops"]


@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32", "swin_t", "maxvit_t", "resnet18", "mnasnet0_5"])
def test_macs_are_those_that_torchvision_publishes(name):
    found, published = gmacs_and_published(name)
    assert found == pytest.approx(published, abs=0.00051)  # published to three digits


@pytest.mark.slow
def test_macs_of_all_classifiers_of_torchvision_are_those_that_it_publishes():
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    # The largest three would have to be built with their weights.
    names = [n for n in names if n not in ("regnet_y_128gf", "regnet_y_32gf", "regnet_x_32gf")]
    off = {name: pair for name in names if abs((pair := gmacs_and_published(name))[0] - pair[1]) > 0.00051}
    assert off == {}
