"""The face: what a user asks for, and a study that answers."""

from typing import TYPE_CHECKING

from steepest._lazy import lazy_names

if TYPE_CHECKING:
    from steepest.compare.study.study import Study

__all__ = ["Study"]
__getattr__, __dir__ = lazy_names(globals(), {"steepest.compare.study.study": ("Study",)})
