"""The model that comes with the package."""

from importlib.resources import files

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "safetensors")

from steepest.formulas.recognition.recognizer import Recognizer  # noqa: E402

DEFAULT = "default.safetensors"


def load_default() -> Recognizer:
    """The model that works at once: it was trained on symbols of :func:`steepest.formulas.sets.made.make_symbols`.

    It knows ``""``, what is no symbol, too.

    Example:
        >>> len(load_default().labels), "" in load_default().labels
        (68, True)
    """
    return Recognizer.load(files(__package__).joinpath(DEFAULT).read_bytes())
