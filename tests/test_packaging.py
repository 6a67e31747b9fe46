"""What is imported is declared, and said to be missing by the extra that brings it."""

import ast
import sys
import tomllib
from pathlib import Path

import steepest.compare

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL", "opencv-python-headless": "cv2", "mlflow-skinny": "mlflow"}
WITH_TORCH = {"triton"}  # imported only where it is found


def names(requirements):
    found = (requirement.partition(";")[0] for requirement in requirements)
    plain = (text.split("[")[0].split("<")[0].split(">")[0].split("=")[0].strip() for text in found)
    return {IMPORTED_AS.get(name, name) for name in plain}


def imported(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("require", "check_extra"):
            yield from (str(arg.value).partition(".")[0] for arg in node.args[:1] if isinstance(arg, ast.Constant))


def test_every_import_is_declared():
    extras = PROJECT["optional-dependencies"]
    declared = names(PROJECT["dependencies"]).union(*(names(extras[e]) for e in extras if e != "dev"))
    theirs = {"pytest", "transformers"}  # of whoever calls parametrize_with_checks, or Workload.from_hugging_face
    known = (
        declared
        | WITH_TORCH
        | theirs
        | {"steepest", "compare", "ray", "theory", "causal", "compression", "figures", "formulas", "spiking", "weights"}
        | set(sys.stdlib_module_names)
    )
    undeclared = {
        (str(f.relative_to(ROOT)), m) for f in (ROOT / "src").rglob("*.py") for m in imported(f) if m not in known
    }
    assert not undeclared


def test_what_the_extra_brings_is_what_is_looked_for():
    assert set(steepest.compare.EXTRA) == names(PROJECT["optional-dependencies"]["compare"])


def test_optuna_is_bounded():
    (optuna,) = (r for r in PROJECT["optional-dependencies"]["compare"] if r.startswith("optuna"))
    assert ",<" in optuna
