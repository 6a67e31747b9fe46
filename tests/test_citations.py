"""What is public and comes from a paper can be cited; what has none says so."""

import re
import subprocess
import sys

import pytest
import torch

import steepest
import steepest.gradients
import steepest.optim
import steepest.schedules
from steepest import _citations, citation
from steepest.training.builtin import ESTIMATORS, METHODS
from tests.markdown import ROOT

# Of the public names, what comes from no paper of its own.
NO_PAPER = {"ScaledSGD", "decayed_names", "param_groups"}
NO_PAPER |= {"OneClassError", "layer_groups", "mutual_information", "normalized_information"}
ROOMS = (steepest.optim, steepest.gradients, steepest.schedules)
PUBLIC = sorted({name for room in ROOMS for name in room.__all__} - NO_PAPER)
ENTRY = re.compile(r"(% .+\n)?@(article|misc|inproceedings)\{(\w+),\n(  \w+ +=(.|\n)+?,\n)+\}\n")


def public(name):
    return next(getattr(room, name) for room in ROOMS if hasattr(room, name))


def keys(text):
    return re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_paper_by_its_name_and_by_itself(name):
    assert ENTRY.fullmatch(citation(name))
    assert citation(public(name)) == citation(name)


@pytest.mark.parametrize("name", sorted(METHODS | ESTIMATORS))
def test_every_method_of_the_command_has_a_paper_but_torchs_own(name):
    if name in _citations._TORCHS:
        assert METHODS[name].optimizer.__module__.startswith("torch.optim")
        with pytest.raises(ValueError, match=f"no paper is known for '{name}'"):
            citation(name)
    else:
        assert ENTRY.fullmatch(citation(name))


def test_a_method_in_parts_has_the_papers_of_all_of_them_each_once():
    assert keys(citation("csgd+ssgd+sngm")) == ["zhuo2019csgd", "sung2020ssgd", "zhao2024sngm"]
    assert keys(citation("ssgd + adamw")) == keys(citation("noise-sgd+ssgd")) == ["sung2020ssgd"]


def test_objects_have_the_papers_of_what_they_are_and_of_what_is_attached_to_them():
    class Mine(steepest.LARS):
        pass

    model = torch.nn.Linear(2, 1)
    adam = torch.optim.Adam(model.named_parameters())
    handle = steepest.normalize_gradients(adam)
    sngm = steepest.SNGM(model.parameters(), lr=1.0)
    steepest.calibrate(model, optimizer=sngm)
    assert keys(citation(adam)) == keys(citation(handle)) == ["yu2017blocknormalized"]
    assert keys(citation(sngm)) == ["zhao2024sngm", "zhuo2019csgd"]
    assert keys(citation(Mine)) == keys(citation(Mine(model.parameters(), lr=1.0))) == ["you2017lars"]


class SNGM(torch.optim.SGD):  # of that name, and somebody else's
    pass


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("sngn", r"no paper is known for 'sngn'; did you mean 'sngm'"),
        ("ssgd+lamb", r"no paper is known for 'lamb'"),
        ("", r"no paper is known for ''; known are SNGM, "),
        (torch.optim.SGD, r"no paper is known for 'SGD'"),
        (SNGM, r"no paper is known for 'SNGM'"),
        (steepest.optim.ScaledSGD, r"no paper is known for 'ScaledSGD'"),
        (steepest.param_groups, r"no paper is known for 'param_groups'"),
        (None, r"no paper is known for 'NoneType'"),
    ],
)
def test_what_has_no_paper_says_so(method, sentence):
    with pytest.raises(ValueError, match=sentence):
        citation(method)


def test_what_an_entry_says_stands_in_the_documentation():
    pages = " ".join(path.read_text() for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")])
    said = re.sub(r"\s+", " ", pages.replace((ROOT / "src/steepest/_citations.py").read_text(), ""))
    for text in {
        entry for papers in _citations._PAPERS.values() for entry in re.findall(r"^@.+?^\}", papers, re.M | re.S)
    }:
        entry = re.sub(r"\s+", " ", text)
        authors = re.search(r"author += \{(.+?)\}", entry)[1].replace(" and ", ", ")
        title = re.search(r" title += \{(.+?)\}, [a-z]", entry)[1].replace("{", "").replace("}", "")
        assert authors in said, authors
        assert title.lower() in said.lower(), title
        for eprint in re.findall(r"eprint += \{(.+?)\}", entry):
            assert f"arXiv {eprint}" in said
            assert re.search(r"year += \{(\d+)\}", entry)[1] >= f"20{eprint[:2]}"


def test_citing_needs_no_torch():
    code = "import steepest, sys; print(steepest.citation('sngm')); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "2007.13985" in done.stdout
