"""Small networks whose layers can be told by reading them."""

import torch
from torch import nn

from nversion.models import Classifier, Preprocessing, make_classifier

UNIT = Preprocessing(8, mean=(0.0,) * 3, std=(1.0,) * 3)


def classifier(module: nn.Module, called: str = "net", seed: int = 0) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn / parameter[0].numel() ** 0.5)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return make_classifier(module, UNIT, name=called, source="test", label_space="test")


def images(num_images: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(num_images, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.conv(x))


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(x.mean((2, 3))))


class Blocks(nn.Module):
    """A stem, stages of residual blocks and a head that has weights, declared in another order."""

    def __init__(self, width: int = 4, depths: tuple[int, ...] = (2, 1)) -> None:
        super().__init__()
        self.head = Head(width)
        self.stages = nn.Sequential(*(nn.Sequential(*(Residual(width) for _ in range(d))) for d in depths))
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(x)))
