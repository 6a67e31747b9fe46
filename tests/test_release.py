"""What a release says of itself in several places is the same everywhere."""

import re
import tomllib

import steepest
from tests.markdown import ROOT

KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}


def test_the_version_to_cite_is_the_version():
    assert f"\nversion: {steepest.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_release_goes_below_the_introduction_of_the_changelog():
    start = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["start_string"]
    before, found, after = (ROOT / "CHANGELOG.md").read_text().partition(start)
    assert before.startswith("# Changelog")
    assert found
    assert after.startswith("\n## ")


def test_fragments_are_of_a_kind_and_say_something():
    for fragment in (ROOT / "changelog.d").glob("*.md"):
        name = re.fullmatch(r"(\+[\w-]+|\d+)\.(\w+)\.md", fragment.name)
        assert name, f"{fragment.name}: changelog.d/+WORD.KIND.md"
        assert name[2] in KINDS, fragment.name
        assert fragment.read_text().strip(), fragment.name


def test_the_pythons_that_are_tested_are_those_that_are_promised():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github/workflows/test.yml").read_text())[1]
    assert re.findall(r"3\.\d+", matrix) == promised
    assert project["requires-python"] == f">={promised[0]}"
