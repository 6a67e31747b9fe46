"""The model that comes with the package."""

from importlib.resources import files

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "safetensors")

from steepest.formulas.recognition.recognizer import Recognizer  # noqa: E402

DEFAULT = "default.safetensors"


def load_default() -> Recognizer:
    """The model that works at once: it was trained on symbols of :func:`steepest.formulas.sets.made.make_symbols`.

    Example:
        >>> len(load_default().labels)
        67
    """
    return Recognizer.load(files(__package__).joinpath(DEFAULT).read_bytes())
