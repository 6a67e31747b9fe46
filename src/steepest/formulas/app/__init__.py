"""Handwritten formulas in the browser: read and corrected, symbols of one's own, trainings, models.

:func:`serve` answers on this machine only, keeps everything in one folder, and sends nothing anywhere.
"""

from typing import TYPE_CHECKING

from steepest._errors import check_extra
from steepest._lazy import lazy_names

check_extra("formulas", "starlette", "uvicorn", "cv2", "numpy", "PIL", "safetensors")

if TYPE_CHECKING:
    from steepest.formulas.app.application import make_app
    from steepest.formulas.app.places import find_data_folder
    from steepest.formulas.app.serving import serve

__all__ = ["find_data_folder", "make_app", "serve"]
# The process of a training needs nothing of the server.
__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "steepest.formulas.app.application": ("make_app",),
        "steepest.formulas.app.places": ("find_data_folder",),
        "steepest.formulas.app.serving": ("serve",),
    },
)
