"""The user's files behind a study, which its folder keeps copies of."""

import os
import sys
from pathlib import Path

from steepest.compare.identity.digests import source_files
from steepest.compare.spec import StudySpec
from steepest.training.code.lookup import Given
from steepest.training.code.user_code import is_users_file


def sources_of_study(spec: StudySpec, given: Given) -> list[Path]:
    """The files that define the parts of a study; a script that gives objects is one of them.

    Args:
        given: the objects that the spec refers to.
    """
    found = [file for part in spec.parts for file in source_files(part.reference, given.get(part.reference))]
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return [*found, Path(script)] if given and script and is_users_file(os.path.abspath(script)) else found
