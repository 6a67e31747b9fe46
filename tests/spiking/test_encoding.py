"""Images as spikes: against a slow loop, and what holds of every image."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.spiking import encode


def encode_slowly(image, threshold=50.0, steps=10, silent=2):
    """One image of whole grey levels, (H, W) in lists, by loops over pixels; the kernel's factors as Fractions."""
    height, width = len(image), len(image[0])
    narrow, wide = (
        [Fraction(round(2**16 * math.exp(-x * x / (2 * s * s))), 2**16) for x in range(-3, 4)] for s in (1, 2)
    )
    taps = {
        (dy, dx): narrow[dy + 3] * narrow[dx + 3] - wide[dy + 3] * wide[dx + 3] / 2
        for dy in range(-3, 4)
        for dx in range(-3, 4)
    }
    mean = sum(taps.values()) / 49
    top = taps[0, 0] - mean
    found = {}
    for sign in (1, -1):
        response = [[0.0] * width for _ in range(height)]
        for y in range(2, height - 2):
            for x in range(2, width - 2):
                total = sum(
                    (tap - mean) * image[y + dy][x + dx]
                    for (dy, dx), tap in taps.items()
                    if 0 <= y + dy < height and 0 <= x + dx < width
                )
                value = sign * float(total / top)
                response[y][x] = value if value >= threshold and value > 0 else 0.0
        values = []
        for y in range(height):
            for x in range(width):
                box = [
                    response[v][u]
                    for v in range(max(y - 8, 0), min(y + 9, height))
                    for u in range(max(x - 8, 0), min(x + 9, width))
                ]
                if response[y][x] > 0:
                    values.append((response[y][x] / (math.fsum(box) / 289 + 1e-4), y, x))
        values.sort(key=lambda item: (-round(item[0], 9), item[1], item[2]))
        for rank, (_, y, x) in enumerate(values):
            found[0 if sign > 0 else 1, y, x] = rank * steps // len(values)
    spikes = torch.zeros(steps + silent, 2, height, width, dtype=torch.bool)
    for (kind, y, x), step in found.items():
        spikes[step, kind, y, x] = True
    return spikes


def drawn(seed, count=1, side=27):
    generator = torch.Generator().manual_seed(seed)
    blurred = torch.rand(count, 1, 6, 6, generator=generator)
    return (torch.nn.functional.interpolate(blurred, size=side, mode="bicubic")[:, 0].clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_the_encoder_is_a_slow_loop_bit_for_bit(seed):
    image = drawn(seed)
    found, slow = encode(image, threshold=5.0)[:, 0], encode_slowly(image[0].tolist(), threshold=5.0)
    assert slow.sum() > 100
    assert torch.equal(found, slow)


def test_the_factors_rounded_to_whole_parts_change_next_to_nothing():
    image = drawn(3)[0].double()
    reach = torch.arange(-3, 4, dtype=torch.float64)
    square = reach[:, None] ** 2 + reach**2
    kernel = torch.exp(-square / 2) - torch.exp(-square / 8) / 2
    kernel -= kernel.mean()
    kernel /= kernel.max()
    plain = torch.nn.functional.conv2d(image[None, None], kernel[None, None], padding=3)[0, 0]
    from steepest.spiking.encoding import _filter

    assert (_filter(image[None])[0] - plain).abs().max() < 0.02  # of 255


@given(st.integers(0, 10**6), st.integers(1, 13), st.integers(0, 3), st.sampled_from([0.0, 5.0, 50.0]))
@settings(deadline=None, max_examples=30)
def test_steps_have_equal_counts_and_every_cell_spikes_once(seed, steps, silent, threshold):
    spikes = encode(drawn(seed, 3), steps=steps + silent, silent=silent, threshold=threshold)
    assert spikes.shape == (steps + silent, 3, 2, 27, 27)
    assert spikes.sum(dim=0).max() <= 1
    counts = spikes.flatten(3).sum(dim=3)[:steps]
    assert (counts.amax(dim=0) - counts.amin(dim=0)).max() <= 1
    assert not spikes[steps:].any()
    edge = spikes.clone()
    edge[..., 2:-2, 2:-2] = False
    assert not edge.any()


def test_stronger_responses_spike_earlier():
    image = torch.zeros(1, 27, 27, dtype=torch.uint8)
    image[0, 8, 8], image[0, 18, 18] = 255, 120
    when = encode(image, threshold=50.0, size=None).long().argmax(dim=0)[0, 0]
    assert when[8, 8] < when[18, 18]


@pytest.mark.parametrize("image", [0, 128, 255])
def test_a_blank_image_has_no_spikes_but_at_what_its_edge_looks_like(image):
    blank = torch.full((2, 28, 28), image, dtype=torch.uint8)
    assert not encode(blank)[..., 4:-4, 4:-4].any()
    assert not encode(torch.zeros(2, 28, 28)).any()


def test_batches_are_the_images_one_by_one():
    images = drawn(5, 40, side=28)
    together = encode(images)
    assert torch.equal(together, torch.cat([encode(images[i : i + 1]) for i in range(40)], dim=1))
    assert torch.equal(together, encode(images.double() / 255))
    assert torch.equal(together, encode(images[:, None].float() / 255))
    assert encode(images[:0]).shape == (12, 0, 2, 27, 27)


def test_colour_is_brought_to_grey():
    grey = drawn(6, 2)
    assert torch.equal(encode(grey[:, None].expand(-1, 3, -1, -1)), encode(grey))


def test_other_sizes():
    assert encode(drawn(1, 1, side=40), size=None).shape[-2:] == (40, 40)
    assert encode(torch.rand(1, 20, 30), size=None).shape[-2:] == (20, 30)
    assert encode(torch.rand(1, 20, 30), size=9).shape[-2:] == (9, 9)


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (torch.zeros(27, 27), {}, r"images must have the shape .* got \(27, 27\)"),
        (torch.zeros(1, 2, 27, 27), {}, r"got \(1, 2, 27, 27\)"),
        (torch.zeros(1, 6, 27), {}, r"sides of at least 7, got \(1, 6, 27\)"),
        (torch.full((1, 27, 27), 2.0), {}, "images must be uint8, or from 0 to 1, got values from 2 to 2"),
        (torch.full((1, 27, 27), math.nan), {}, "images must be uint8, or from 0 to 1"),
        (torch.zeros(1, 27, 27), {"threshold": -1.0}, "threshold must be a finite number of at least 0, got -1.0"),
        (torch.zeros(1, 27, 27), {"steps": 0}, "steps must be an integer of at least 1, got 0"),
        (torch.zeros(1, 27, 27), {"steps": 2}, "silent must be below steps, 2, got 2"),
        (torch.zeros(1, 27, 27), {"silent": -1}, "silent must be an integer of at least 0, got -1"),
        (torch.zeros(1, 27, 27), {"size": 3}, "size must be an integer of at least 7, got 3"),
    ],
)
def test_what_cannot_be_encoded_is_refused(images, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        encode(images, **options)


def test_other_kinds_of_images_are_refused():
    with pytest.raises(TypeError, match="images must be uint8 or floating-point, got torch"):
        encode(torch.zeros(1, 27, 27, dtype=torch.int64))
    with pytest.raises(TypeError, match="images must be a tensor, got list"):
        encode([[0.0]])
