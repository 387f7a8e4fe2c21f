"""Training: a plain trainer for small classifiers, and the demo's model pool."""

from .plain import Epoch, Loss, accuracy, distillation, forked_randomness, shift, train_classifier

__all__ = ["Epoch", "Loss", "accuracy", "distillation", "forked_randomness", "shift", "train_classifier"]
