"""A small data set in MNIST's files: digits drawn as bars, which spikes can tell apart."""

import struct

import torch


def bars(count, seed):
    """Images uint8 (N, 28, 28) of a bar at one of ten angles, a little off the middle, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    angles = labels * torch.pi / 10
    off = torch.rand(count, 2, generator=generator) * 6 - 3
    y, x = torch.meshgrid(torch.arange(28.0) - 13.5, torch.arange(28.0) - 13.5, indexing="ij")
    y, x = y[None] - off[:, 0, None, None], x[None] - off[:, 1, None, None]
    sine, cosine = angles.sin()[:, None, None], angles.cos()[:, None, None]
    across, along = x * sine - y * cosine, x * cosine + y * sine
    images = 255 * torch.exp(-((across / 1.5) ** 2)) * (along.abs() < 9)
    return images.to(torch.uint8), labels


def write_idx(path, values):
    head = b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.to(torch.uint8).numpy().tobytes())


def write_mnist(folder, train=300, test=60, name="mnist"):
    """The four files in ``folder/name``; returns the folder."""
    place = folder / name
    place.mkdir(parents=True)
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = bars(count, seed)
        write_idx(place / f"{part}-images-idx3-ubyte", images)
        write_idx(place / f"{part}-labels-idx1-ubyte", labels)
    return folder
