"""The face: what a user asks for, and a study that answers."""

from steepest.compare.study.study import Study

__all__ = ["Study"]
