"""What all addresses work on."""

import threading
from pathlib import Path

from steepest.formulas.app.database import Database
from steepest.formulas.app.models import DEFAULT, Models
from steepest.formulas.app.places import DATABASE
from steepest.formulas.app.reader import Reader
from steepest.formulas.app.sheets import Sheets
from steepest.formulas.app.trainings import Trainings


class Desk:
    """The parts of the application on one data folder; what a killed process has left undone is done first.

    Raises:
        InputError: the database cannot be used.
    """

    def __init__(self, folder: Path, default_model: Path = DEFAULT) -> None:
        self.folder = folder
        self.database = Database(folder / DATABASE)
        self.models = Models(folder, self.database, default_model)
        self.reader = Reader(self.models)
        self.sheets = Sheets(self.database)
        self.trainings = Trainings(folder, self.models)
        self.heavy = threading.Lock()  # one page or set at a time: memory
        self.trainings.sweep()
        self.trainings.collect()
