"""A folder of images, one subfolder for each class."""

import pytest
import torch
from PIL import Image

from steepest._errors import InputError
from steepest.data import image_folder
from steepest.data.pixels import square
from tests.data.pictures import picture, write_folder


def test_a_folder_by_class(tmp_path):
    write_folder(tmp_path, ["rose", "aster", "lily"], 20)
    (tmp_path / "rose" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".cache").mkdir()
    picture(0).save(tmp_path / ".cache" / "x.png")
    splits = image_folder(tmp_path)
    assert [tuple(split.inputs.shape) for split in splits] == [(43, 3, 32, 32), (5, 3, 32, 32), (12, 3, 32, 32)]
    assert torch.cat([split.targets for split in splits]).bincount().tolist() == [20, 20, 20]
    assert splits.train.inputs.mean().abs() < 1e-5
    assert splits.train.inputs.std().item() == pytest.approx(1, abs=1e-3)
    inputs = torch.cat([split.inputs for split in splits]).flatten(1)
    assert len(inputs.unique(dim=0)) == 60  # no image is in two parts
    torch.manual_seed(7)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(splits, image_folder(tmp_path), strict=True))


def test_targets_are_ranks_of_the_names_and_stay_with_their_image(tmp_path):
    for index, name in enumerate(["a", "b", "c"]):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.new("RGB", (32, 32), (100 * index, i, 0)).save(tmp_path / name / f"{i}.png")
    for split in image_folder(tmp_path):
        reds = split.inputs[:, 0, 0, 0]
        assert torch.equal(reds.argsort(stable=True), split.targets.argsort(stable=True))
        assert len(reds.unique()) == len(split.targets.unique())


def test_parts_of_ones_own(tmp_path):
    write_folder(tmp_path / "train", ["x", "y"], 10)
    write_folder(tmp_path / "test", ["x", "y"], 3)
    assert [len(split) for split in image_folder(tmp_path)] == [18, 2, 6]
    write_folder(tmp_path / "validation", ["x", "y"], 2)
    assert [len(split) for split in image_folder(tmp_path)] == [20, 4, 6]
    write_folder(tmp_path / "test", ["z"], 1)
    with pytest.raises(InputError, match=r"test' has the class 'z', which the training part has not"):
        image_folder(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
def test_any_kind_of_image_becomes_a_square_in_colour(mode):
    assert square(picture(0, (50, 40), mode), 16).shape == (3, 16, 16)
    assert square(picture(0, (5, 90), mode), 16).dtype == torch.uint8


def test_an_image_of_the_size_is_not_touched_and_a_wide_one_loses_its_sides():
    pixels = torch.tensor(list(picture(3).tobytes())).view(32, 32, 3).permute(2, 0, 1)
    assert torch.equal(square(picture(3), 32).to(torch.int64), pixels)
    wide = Image.new("RGB", (96, 32), (255, 0, 0))
    wide.paste((0, 0, 255), (32, 0, 64, 32))
    assert square(wide, 32).flatten(1).unique(dim=1).tolist() == [[0], [0], [255]]


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match=r"the folder of images '.*none' does not exist"):
        image_folder(tmp_path / "none")
    with pytest.raises(InputError, match=r"images for each of at least 2 classes, got none$"):
        image_folder(tmp_path)
    write_folder(tmp_path, ["rose"], 5)
    with pytest.raises(InputError, match=r"at least 2 classes, got rose only$"):
        image_folder(tmp_path)
    write_folder(tmp_path, ["lily"], 2)
    with pytest.raises(InputError, match="at least 10 training images are needed to hold some out, got 7"):
        image_folder(tmp_path)
    write_folder(tmp_path, ["tulip"], 5)
    image_folder(tmp_path)
    (tmp_path / "lily" / "broken.jpg").write_bytes(b"no jpeg at all")
    with pytest.raises(InputError, match=r"the image '.*broken.jpg' cannot be read: cannot identify image file"):
        image_folder(tmp_path)
