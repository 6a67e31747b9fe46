"""Handwritten formulas in the browser: read and corrected, symbols of one's own, trainings, models.

:func:`serve` answers on this machine only, keeps everything in one folder, and sends nothing anywhere.
"""

from steepest._errors import check_extra

check_extra("formulas", "starlette", "uvicorn", "cv2", "numpy", "PIL", "safetensors")

from steepest.formulas.app.application import make_app  # noqa: E402
from steepest.formulas.app.places import find_data_folder  # noqa: E402
from steepest.formulas.app.serving import serve  # noqa: E402

__all__ = ["find_data_folder", "make_app", "serve"]
