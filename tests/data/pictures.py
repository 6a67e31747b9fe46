"""Images for the tests: a folder of them, and data sets in the layout of the hub."""

import io

import datasets
import numpy as np
from PIL import Image


def picture(seed, size=(32, 32), mode="RGB"):
    height, width = size[1], size[0]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def write_folder(folder, classes, count, **options):
    """``count`` images for each class, all different."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture(1000 * number + i, **options).save(folder / name / f"{i}.png")


def write_parquet(folder, parts, image="image", **columns):
    """Part name to images; other columns, each as (feature, part name to values)."""
    folder.mkdir(parents=True, exist_ok=True)
    features = {image: datasets.Image()} | {name: feature for name, (feature, _) in columns.items()}
    for part, images in parts.items():
        table = {image: [encoded(i) for i in images]} | {name: values[part] for name, (_, values) in columns.items()}
        datasets.Dataset.from_dict(table, datasets.Features(features)).to_parquet(folder / f"{part}.parquet")
