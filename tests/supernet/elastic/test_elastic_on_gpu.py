"""On CUDA as on the CPU."""

import pytest
import torch

from nversion.supernet.elastic import extract

pytestmark = pytest.mark.gpu


@torch.no_grad()
def test_extracted_equals_active_on_cuda(supernet, images, drawn):
    subnet, statistics = drawn(supernet)
    expected_NC = supernet(images())
    on_gpu = extract(supernet, subnet, statistics).eval().cuda()
    supernet.cuda()
    moved = {name: (mean.cuda(), variance.cuda()) for name, (mean, variance) in statistics.items()}
    supernet.activate(subnet, moved)
    active_NC = supernet(images().cuda())
    # Slices of weights have other strides than copies, for which cuDNN may take another algorithm; and TF32.
    scale = float(expected_NC.abs().max())
    torch.testing.assert_close(active_NC, on_gpu(images().cuda()), rtol=0, atol=2e-3 * scale)
    torch.testing.assert_close(active_NC.cpu(), expected_NC, rtol=0, atol=1e-2 * scale)
