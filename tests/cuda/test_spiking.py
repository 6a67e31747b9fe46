"""Features of images are the same to the last bit on a GPU."""

import torch

from steepest.spiking import FeatureSettings, extract_features, learn_filters


def test_features_are_those_of_the_cpu():
    images = torch.randint(0, 256, (300, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    layer = learn_filters(images, FeatureSettings(maps=8, images=100)).layer
    here, there = extract_features(layer, images), extract_features(layer, images, device="cuda")
    assert here.any()
    assert not there.is_cuda
    assert torch.equal(here, there)
    assert layer.weight.device.type == "cpu"
