"""Names and shapes of the parameters of four well-known networks, so that a step can be timed without the networks."""

from collections.abc import Callable

Shapes = list[tuple[str, tuple[int, ...]]]


def _convolution(name: str, out: int, into: int, kernel: int) -> Shapes:
    """A convolution without bias and its BatchNorm."""
    norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
    return [(f"{name}.weight", (out, into, kernel, kernel)), (f"{norm}.weight", (out,)), (f"{norm}.bias", (out,))]


def resnet20() -> Shapes:
    """ResNet-20 for CIFAR-10 (He et al., 2015), shortcuts without parameters: 0.27 M parameters."""
    shapes = _convolution("conv1", 16, 3, 3)
    width = 16
    for stage, out in enumerate((16, 32, 64), start=1):
        for block in range(3):
            shapes += _convolution(f"layer{stage}.{block}.conv1", out, width, 3)
            shapes += _convolution(f"layer{stage}.{block}.conv2", out, out, 3)
            width = out
    return [*shapes, ("fc.weight", (10, 64)), ("fc.bias", (10,))]


def resnet18() -> Shapes:
    """ResNet-18 for ImageNet: 11.7 M parameters."""
    shapes = _convolution("conv1", 64, 3, 7)
    width = 64
    for stage, out in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            prefix = f"layer{stage}.{block}"
            shapes += _convolution(f"{prefix}.conv1", out, width, 3) + _convolution(f"{prefix}.conv2", out, out, 3)
            if width != out:
                shapes += _convolution(f"{prefix}.downsample.0", out, width, 1)
            width = out
    return [*shapes, ("fc.weight", (1000, 512)), ("fc.bias", (1000,))]


def resnet50() -> Shapes:
    """ResNet-50 for ImageNet: 25.6 M parameters."""
    shapes = _convolution("conv1", 64, 3, 7)
    width = 64
    for stage, (inner, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            shapes += _convolution(f"{prefix}.conv1", inner, width, 1) + _convolution(
                f"{prefix}.conv2", inner, inner, 3
            )
            shapes += _convolution(f"{prefix}.conv3", 4 * inner, inner, 1)
            if block == 0:
                shapes += _convolution(f"{prefix}.downsample.0", 4 * inner, width, 1)
            width = 4 * inner
    return [*shapes, ("fc.weight", (1000, 2048)), ("fc.bias", (1000,))]


def gpt2_small() -> Shapes:
    """GPT-2 small with tied embeddings: 124.4 M parameters."""
    d = 768
    shapes: Shapes = [("wte.weight", (50257, d)), ("wpe.weight", (1024, d))]
    for i in range(12):
        for name, out, into in (
            ("attn.c_attn", 3 * d, d),
            ("attn.c_proj", d, d),
            ("mlp.c_fc", 4 * d, d),
            ("mlp.c_proj", d, 4 * d),
        ):
            shapes += [(f"h.{i}.{name}.weight", (out, into)), (f"h.{i}.{name}.bias", (out,))]
        for name in ("ln_1", "ln_2"):
            shapes += [(f"h.{i}.{name}.weight", (d,)), (f"h.{i}.{name}.bias", (d,))]
    return [*shapes, ("ln_f.weight", (d,)), ("ln_f.bias", (d,))]


NETWORKS: dict[str, Callable[[], Shapes]] = {
    "resnet20": resnet20,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "gpt2": gpt2_small,
}
