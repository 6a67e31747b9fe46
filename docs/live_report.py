"""The report that the pages link to, made when the site is built by the second command of the tutorial.

It takes about a minute; the study's folder is kept, so that the next build finds it finished. With
STEEPEST_DOCS_STUDY=0 a page that says so stands in its place, and links to it are checked all the same.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

COMMAND = (
    "steepest compare digits_cnn.py:digits --methods sgd,sngm,adamw --trials 16 --seeds 10 --out studies/ten-seeds"
)
_PLACE = "examples/report.html"
_OTHER_STUDY = 2  # the exit code for a folder that holds one


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the report to what the site is made of."""
    root = Path(config.config_file_path).parent
    if os.environ.get("STEEPEST_DOCS_STUDY") == "0":
        content = "<!doctype html><title>No report</title>This build ran no study (STEEPEST_DOCS_STUDY=0)."
        files.append(File.generated(config, _PLACE, content=content))
    else:
        files.append(File.generated(config, _PLACE, abs_src_path=str(_run(root))))
    return files


def _run(root: Path) -> Path:
    """The report of the study, which is resumed, or begun anew where code or versions have changed."""
    folder = root / "studies" / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "examples" / "digits_cnn.py", folder)
    command = [sys.executable, "-m", *shlex.split(COMMAND)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode == _OTHER_STUDY:
        shutil.rmtree(folder / "studies", ignore_errors=True)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the study of the live report failed: {done.stderr or done.stdout}")
    return folder / "studies" / "ten-seeds" / "report.html"
