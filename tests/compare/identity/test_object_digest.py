"""The digest of what a program gives as objects: another where the code or a value is another, else the same."""

import dataclasses
import threading

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Study
from steepest.compare.identity.objects import ObjectDigest
from tests.compare.tiny import clouds


def made(source, **names):
    """What a notebook's cell defines as ``f``."""
    space = {"__name__": "__main__", "torch": torch, "nn": nn, **names}
    exec(source, space)
    return space["f"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f = lambda: nn.Linear(3, 2)", "f = lambda: nn.Linear(3, 4)"),
        ("f = lambda: nn.Linear(3, 2)", "f = lambda: nn.Conv1d(3, 2)"),
        ("def f(n=2): return n", "def f(n=3): return n"),
        ("def f(*, n=2): return n", "def f(*, n=3): return n"),
        ("N = 2\ndef f(): return N", "N = 3\ndef f(): return N"),
        ("N = [2, {'a': 1}]\ndef f(): return N", "N = [2, {'a': 2}]\ndef f(): return N"),
        ("N = torch.ones(2)\ndef f(): return N", "N = torch.zeros(2)\ndef f(): return N"),
        ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
        ("def f():\n  def g(): return 1\n  return g", "def f():\n  def g(): return 2\n  return g"),
        ("def h(n):\n  return lambda: n\nf = h(1)", "def h(n):\n  return lambda: n\nf = h(2)"),
        ("import functools\nf = functools.partial(max, 1)", "import functools\nf = functools.partial(max, 2)"),
        ("class f:\n  def g(self): return 1", "class f:\n  def g(self): return 2"),
        ("class f:\n  n = 1", "class f:\n  n = 2"),
        ("class g:\n  n = 1\nclass f(g): pass", "class g:\n  n = 2\nclass f(g): pass"),
        ("class g:\n  def __call__(self): return self.n\nf = g()\nf.n = 1",
         "class g:\n  def __call__(self): return self.n\nf = g()\nf.n = 2"),
        ("def f():\n  try: 1\n  except KeyError: 2", "def f():\n  try: 1\n  except OSError: 2"),
        ("f = nn.Linear(1, 1).requires_grad_(False)\nf.weight.fill_(1)\nf.bias.fill_(0)",
         "f = nn.Linear(1, 1).requires_grad_(False)\nf.weight.fill_(2)\nf.bias.fill_(0)"),
        ("f = lambda: nn.functional.relu", "f = lambda: nn.functional.gelu"),
    ],
)  # fmt: skip
def test_a_changed_object_has_another_digest(one, other):
    assert ObjectDigest().of(made(one)) == ObjectDigest().of(made("# moved\n\n" + one))
    assert ObjectDigest().of(made(one)) != ObjectDigest().of(made(other))


def test_objects_that_refer_to_themselves_or_cannot_be_pickled():
    loop = []
    loop.append(loop)
    source = "import threading\nL = threading.Lock()\ndef f(n): return f(n - 1) if n else (L, N)"
    assert ObjectDigest().of(made(source, N=loop)) == ObjectDigest().of(made(source, N=loop))
    cached = "import functools\n@functools.cache\ndef f(n): return n"
    used = made(cached)
    used(1)
    assert ObjectDigest().of(used) == ObjectDigest().of(made(cached))


def test_what_cannot_be_sent_to_the_workers_is_told_before_anything_runs(tmp_path):
    lock = threading.Lock()
    study = Study(dataclasses.replace(clouds, model=lambda: (lock, nn.Linear(4, 2))[1]), methods="sgd", out=tmp_path)
    with pytest.raises(InputError, match=r"'clouds', some cannot be sent to the processes that train .*cannot pickle"):
        study.run(progress=False)
