"""Handwritten symbols of logic as a workload that optimizers are compared on.

Source: Ampelakiotis, Perikos, Hatzilygeroudis, Tsihrintzis, "Optical recognition of handwritten logic formulas using
neural networks", Electronics 10 (2021) 2761.
"""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from steepest._errors import InputError
from steepest.data.place import NO_FOLDER, existing_data_folder
from steepest.data.splits import Split, Splits
from steepest.formulas.recognition.distortion import distort
from steepest.formulas.recognition.networks import as_inputs, make_network
from steepest.formulas.sets.copies import folds
from steepest.formulas.sets.reading import read_set
from steepest.formulas.sets.symbol_set import SymbolSet
from steepest.training.definitions.workload import Workload

NAME = "logic-symbols"
PLACES = (f"{NAME}/train.npz", *(f"{NAME}.{kind}" for kind in ("npz", "zip", "csv", "json")), NAME)
TENTHS = 10


def logic_symbols_data(data_dir: Path | None = None) -> Splits:
    """The symbols in a data folder: seven tenths to train on, one to validate, two to test; copies stay together.

    They are read from ``logic-symbols/train.npz`` under ``data_dir`` or ``STEEPEST_DATA``, or else from
    ``logic-symbols.npz``, ``.zip``, ``.csv`` or ``.json``, or the folder ``logic-symbols``, as
    :func:`~steepest.formulas.sets.read_set` takes them.

    Returns:
        Inputs float32 (N, 28, 28) of 0 and 1; targets int64, numbers of the classes that there are.

    Raises:
        InputError: there is no such set, or it is of fewer than 10 symbols.
    """
    folder = existing_data_folder(data_dir)
    found = next((folder / place for place in PLACES if (folder / place).exists()), None) if folder else None
    if found is None:
        where = NO_FOLDER if folder is None else f"it is not in {str(folder)!r}"
        raise InputError(f"{NAME} needs {PLACES[0]}, or a set named {NAME}, in the data folder: {where}")
    return _part(found, found.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _part(path: Path, changed: int) -> Splits:
    symbols = read_set(path)
    if len(symbols) < TENTHS:
        raise InputError(f"{path} must hold at least {TENTHS} symbols, got {len(symbols)}")
    tenth = folds(symbols, TENTHS)
    return Splits(*(_split(symbols, np.isin(tenth, part)) for part in (range(3, TENTHS), [2], [0, 1])))


def _split(symbols: SymbolSet, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Split:
    number = {label: k for k, label in enumerate(symbols.counts())}
    targets = [number[label] for label, take in zip(symbols.labels, chosen.tolist(), strict=True) if take]
    return Split(as_inputs(symbols.images[chosen]), torch.tensor(targets, dtype=torch.int64, device="cpu"))


def _dense(hidden: int = 500, activation: str = "relu") -> Workload:
    words = "".join([f"-{hidden}" if hidden != 500 else "", f"-{activation}" if activation != "relu" else ""])
    settings = {"network": "dense", "classes": 67, "hidden": hidden, "activation": activation}
    kind = {"relu": "ReLU", "sigmoid": "sigmoid"}[activation]
    return Workload(
        f"{NAME}{words}",
        data=logic_symbols_data,
        model=partial(make_network, settings),
        batch_size=64,
        epochs=30,
        target=0.85,
        description=f"handwritten symbols of logic, a dense net of {hidden} {kind} units",
    )


logic_symbols = _dense()
logic_symbols_100, logic_symbols_200 = _dense(100), _dense(200)
logic_symbols_sigmoid = _dense(activation="sigmoid")
logic_symbols_100_sigmoid, logic_symbols_200_sigmoid = _dense(100, "sigmoid"), _dense(200, "sigmoid")
logic_symbols_cnn = Workload(
    f"{NAME}-cnn",
    data=logic_symbols_data,
    model=partial(make_network, {"network": "cnn", "classes": 67}),
    batch_size=64,
    epochs=20,
    target=0.9,
    augment=distort,
    description="handwritten symbols of logic, distorted while training, a small CNN",
)
