"""Whose a folder is, also after a kill in the middle of taking it."""

import json
import os

import pytest

from steepest import _files
from steepest._errors import InputError
from steepest.page.folder import take_folder


class _Killed(BaseException):
    pass


def test_a_folder_whose_taker_was_killed_can_be_taken(tmp_path, monkeypatch):
    def killed(*_):
        raise _Killed

    folder = tmp_path / "new"
    with monkeypatch.context() as patched:
        patched.setattr(_files.os, "replace", killed)
        patched.setattr(_files.Path, "unlink", lambda self, **_: None)  # nothing is cleared up after kill -9
        with pytest.raises(_Killed):
            take_folder(folder, "settings.json", {"a": 1}, "experiment")
    assert [path.suffix for path in folder.iterdir()] == [".tmp"]
    take_folder(folder, "settings.json", {"a": 1}, "experiment")
    assert json.loads((folder / "settings.json").read_text()) == {"a": 1}
    take_folder(folder, "settings.json", {"a": 1}, "experiment")
    with pytest.raises(InputError, match="holds another experiment: its a is 1, and 2 is asked for"):
        take_folder(folder, "settings.json", {"a": 2}, "experiment")


def test_what_a_killed_writer_left_is_swept_when_it_is_old(tmp_path):
    left = tmp_path / ".settings.json.1-2.tmp"
    left.write_text("half")
    take_folder(tmp_path, "settings.json", {}, "experiment")
    assert left.exists()  # its writer may be at work
    os.utime(left, (0, 0))
    (tmp_path / "settings.json").unlink()
    take_folder(tmp_path, "settings.json", {}, "experiment")
    assert not left.exists()


@pytest.mark.parametrize("name", ["mine.txt", ".hidden", "some.tmp"])
def test_a_folder_of_somebody_elses_is_refused(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match="must be a new or empty folder"):
        take_folder(tmp_path, "settings.json", {}, "experiment")
