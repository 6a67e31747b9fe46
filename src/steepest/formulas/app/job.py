"""One training, as a process: ``python -m steepest.formulas.app.job FOLDER``, where its request lies."""

import json
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from steepest._errors import InputError
from steepest._files import write_atomically
from steepest.formulas.app.places import BEFORE, ENDED, REQUEST, RUN, SYMBOLS


class _CancelledError(BaseException):
    """Raised when the process is asked to end."""


def main(folder: Path) -> None:
    """Train as the folder's request says, and write there how it ended."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _CancelledError

    signal.signal(signal.SIGTERM, stop)
    try:
        ended: dict[str, Any] = {"state": "finished", "before": _train(folder)}
    except _CancelledError:
        ended = {"state": "cancelled"}
    except (InputError, ValueError) as error:
        ended = {"state": "failed", "error": str(error)}
    except Exception as error:
        traceback.print_exc()
        ended = {"state": "failed", "error": f"the training failed, which is a bug: {type(error).__name__}"}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_atomically(folder / ENDED, json.dumps(ended))


def _train(folder: Path) -> dict[str, Any] | None:
    """Train, then try the model that was in use on the symbols held out."""
    from steepest.formulas.app.choices import OWN_TIMES
    from steepest.formulas.recognition import Recognizer, Settings, test_recognizer, train_recognizer
    from steepest.formulas.sets import hold_out_symbols, read_set

    request = json.loads((folder / REQUEST).read_text("utf-8"))
    symbols, settings = read_set(folder / SYMBOLS), Settings(**request["settings"])
    shipped = request.get("shipped", 0)
    times = OWN_TIMES if shipped else 1
    often = [1] * shipped + [times] * (len(symbols) - shipped)
    train_recognizer(symbols, folder / RUN, settings, times=often if times > 1 else None)
    if not (folder / BEFORE).exists():
        return None
    _, held_out = hold_out_symbols(symbols, settings.held_out, settings.seed)
    tested = test_recognizer(Recognizer.load(folder / BEFORE), symbols.some(held_out))
    return {
        "model": request["before"],
        "accuracy": tested.accuracy,
        "balanced_accuracy": tested.balanced_accuracy,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
