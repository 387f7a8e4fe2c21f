"""The plain trainer: it learns, it repeats itself to the byte, it leaves the caller's randomness alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nversion.core import UserError
from nversion.training import accuracy, distillation, forked_randomness, shift, train_classifier


def bright_half(num_images: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose left (label 0) or right half (label 1) is brighter, with noise."""
    draws = torch.Generator().manual_seed(0)
    labels_N = torch.randint(0, 2, (num_images,), generator=draws)
    images_N3HW = torch.randint(0, 120, (num_images, 3, 8, 8), generator=draws)
    for image, label in zip(images_N3HW, labels_N.tolist(), strict=True):
        image[:, :, 4 * label : 4 * label + 4] += 100
    return images_N3HW.to(torch.uint8), labels_N


def network(seed: int = 0) -> nn.Module:
    with forked_randomness(seed):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(288, 2)
        )


def train(module: nn.Module, **settings):
    images_N3HW, labels_N = bright_half()
    return train_classifier(
        module, images_N3HW, labels_N, **({"num_classes": 2, "epochs": 4, "batch_size": 16} | settings)
    )


def test_training_lowers_the_loss_and_gets_the_images_right():
    module = network()
    history = train(module, epochs=8)
    assert [epoch.number for epoch in history] == list(range(1, 9))
    assert history[-1].loss < 0.5 * history[0].loss
    assert accuracy(module, *bright_half()) > 0.95


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_ones():
    first, again, other = network(), network(), network()
    losses = [[epoch.loss for epoch in train(m, seed=s)] for m, s in ((first, 5), (again, 5), (other, 6))]
    assert losses[0] == losses[1] != losses[2]
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert not torch.equal(first[5].weight, other[5].weight)


def test_the_callers_random_state_neither_matters_nor_changes():
    first, again = network(), network()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(first)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    train(again)
    assert torch.equal(first[5].weight, again[5].weight)


def test_the_module_is_left_in_eval_mode():
    module = network()
    train(module, epochs=1)
    assert not any(part.training for part in module.modules())


def test_progress_hears_every_epoch():
    heard = []
    history = train(network(), progress=heard.append)
    assert tuple(heard) == history


def test_the_accuracy_of_an_epoch_is_the_fraction_right_while_training():
    always_zero = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        always_zero[1].weight.zero_()
        always_zero[1].bias.copy_(torch.tensor([1000.0, 0.0]))
    (epoch,) = train(always_zero, epochs=1, learning_rate=1e-9)
    assert epoch.accuracy == (bright_half()[1] == 0).float().mean().item()


def test_a_last_smaller_batch_is_left_out():
    sizes = []

    def loss(logits_NC, labels_N, images_N3HW):
        sizes.append(len(labels_N))
        return F.cross_entropy(logits_NC, labels_N)

    train(network(), epochs=2, batch_size=40, loss=loss)  # 96 images
    assert sizes == [40, 40] * 2


def test_fewer_images_than_a_batch_are_one_batch():
    images_N3HW, labels_N = bright_half(10)
    history = train_classifier(network(), images_N3HW, labels_N, num_classes=2, epochs=2, batch_size=64)
    assert len(history) == 2


def test_a_loss_that_is_not_finite_names_its_step():
    calls = []

    def loss(logits_NC, labels_N, images_N3HW):
        calls.append(1)
        return F.cross_entropy(logits_NC, labels_N) * (float("nan") if len(calls) >= 9 else 1)

    message = (
        r"expected a finite loss at every training step, found nan at step 9; "
        r"lower the learning rate, or check the images and the loss"
    )
    with pytest.raises(UserError, match=message):
        train(network(), loss=loss)  # 6 steps an epoch: the third of the second


def test_a_learning_rate_that_explodes_stops_with_a_sentence():
    with pytest.raises(UserError, match=r"expected a finite loss at every training step, found (nan|inf)"):
        train(network(), learning_rate=1e30)


@pytest.mark.parametrize(
    ("images", "labels", "settings", "message"),
    [
        (torch.zeros(2, 3, 8, 8), [0, 1], {}, r"uint8 images of shape .*, found torch.float32 of shape"),
        (
            torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
            [0, 1],
            {},
            r"found torch.uint8 of shape \(2, 1, 8, 8\)",
        ),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [0], {}, r"found 2 images and 1 labels"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), [], {}, r"at least one image, found 0 images"),
        (
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            [0, 2],
            {},
            r"labels from 0 to 1, found labels from 0 to 2",
        ),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [-1, 1], {}, r"found labels from -1 to 1"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [0, 1], {"epochs": 0}, r"at least one epoch, found 0"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(images, labels, settings, message):
    with pytest.raises(UserError, match=message):
        train_classifier(
            network(),
            images,
            torch.tensor(labels, dtype=torch.int64),
            **({"num_classes": 2, "epochs": 1} | settings),
        )


def test_a_shift_moves_each_image_by_its_own_pixels_and_repeats_the_border():
    images_2133 = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    moved = shift(images_2133, torch.tensor([1, 0]), torch.tensor([0, -1]))
    assert moved[0, 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert moved[1, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]


def test_a_student_that_equals_its_teacher_has_only_the_cross_entropy_left():
    logits_NC, labels_N = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    loss = distillation(lambda images: logits_NC, temperature=2.0, weight=0.75)
    expected = 0.25 * F.cross_entropy(logits_NC, labels_N)
    torch.testing.assert_close(loss(logits_NC, labels_N, torch.zeros(2, 3, 1, 1)), expected)


def test_imitation_is_the_softened_divergence_times_the_squared_temperature():
    # Teacher (0.8, 0.2) and student (0.5, 0.5) at T = 2: KL = 0.8 ln 1.6 + 0.2 ln 0.4 = 0.192745.
    teacher_NC = 2 * torch.log(torch.tensor([[0.8, 0.2]]))
    loss = distillation(lambda images: teacher_NC, temperature=2.0, weight=1.0)
    found = loss(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 3, 1, 1))
    assert found.item() == pytest.approx(4 * 0.192745, abs=1e-5)
