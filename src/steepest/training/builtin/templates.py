"""Workloads made from what a user names after a colon: a text, a folder of images, a data set of the hub."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steepest.data import hub_images, image_folder, text
from steepest.data.hub import find_hub_images
from steepest.data.image_folder import image_classes
from steepest.data.text import parts_of_text, vocabulary
from steepest.training.builtin.resnet import resnet20
from steepest.training.builtin.workloads import predict_characters
from steepest.training.definitions.workload import Workload


@dataclass(frozen=True)
class Template:
    """A kind of workload that takes an argument: ``name:argument``.

    Args:
        name: what a user writes before the colon.
        argument: what stands after it, in capitals: ``PATH``, or ``OWNER/NAME`` of the hub.
        example: a complete reference.
        make: the workload of an argument; raises InputError if there is none.
        description: one line.
    """

    name: str
    argument: str
    example: str
    make: Callable[[str], Workload]
    description: str

    @property
    def usage(self) -> str:
        return f"{self.name}:{self.argument}"

    def absolute(self, argument: str) -> str:
        """The reference with its path absolute, so that it means the same in any folder."""
        is_path = self.argument == "PATH" or os.path.isdir(argument)
        return f"{self.name}:{os.path.abspath(argument) if is_path else argument}"


def _characters(network: str, argument: str) -> Workload:
    path = Path(argument)
    count = 1 + len(vocabulary(parts_of_text(path)[0]))
    return predict_characters(
        network, _name(f"char-{network}", path.stem), data=lambda _: text(path), what=path.name, vocabulary=count
    )


def _image_folder(argument: str) -> Workload:
    path = Path(argument)
    classes = image_classes(path)
    name = path.resolve().name
    return _classify(_name("images", name), lambda _: image_folder(path), len(classes), f"the images in {name}")


def _hub(argument: str) -> Workload:
    classes = find_hub_images(argument).classes()
    local = os.path.isdir(argument)
    name = Path(argument).resolve().name if local else argument
    return _classify(_name("hub", name), lambda _: hub_images(argument), len(classes), name)


def _classify(name: str, data: Callable[[Path | None], Iterable[object]], classes: int, what: str) -> Workload:
    return Workload(
        name,
        data=data,
        model=partial(resnet20, classes),
        batch_size=128,
        epochs=10,
        target=0.5,
        description=f"{what}, {classes} classes, 32x32 pixels, ResNet-20",
    )


def _name(kind: str, what: str) -> str:
    return kind + "-" + re.sub(r"[^\w.]+", "-", what).strip("-")


_ALL = (
    Template(
        "char-lstm",
        "PATH",
        "char-lstm:path/to/text.txt",
        partial(_characters, "lstm"),
        "the next character of any text in UTF-8, LSTM",
    ),
    Template(
        "char-gpt",
        "PATH",
        "char-gpt:path/to/text.txt",
        partial(_characters, "gpt"),
        "the same, GPT-2's architecture with 4 layers",
    ),
    Template(
        "image-folder",
        "PATH",
        "image-folder:path/to/flowers",
        _image_folder,
        "any folder of images, one subfolder for each class, ResNet-20",
    ),
    Template(
        "hub",
        "OWNER/NAME",
        "hub:ylecun/mnist",
        _hub,
        "any data set of labelled images on the Hugging Face hub, ResNet-20",
    ),
)
TEMPLATES = {template.name: template for template in _ALL}
