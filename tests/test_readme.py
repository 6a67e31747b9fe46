"""The README's Python runs, in order, as one program."""

import re

from tests.markdown import ROOT, python_block_count, run_python_blocks

README = ROOT / "README.md"


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert python_block_count(README) >= 2
    assert run_python_blocks(README)["optimizer"].nonfinite_steps == 0


def test_linked_files_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
