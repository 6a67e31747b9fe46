"""How a recogniser is trained."""

# ruff: noqa: E402
from steepest._errors import check_extra

check_extra("compare", "cloudpickle")

from dataclasses import dataclass
from typing import Any

from steepest._errors import InputError, argument
from steepest.formulas.recognition.networks import NETWORKS, make_network
from steepest.training.code.lookup import find_method
from steepest.training.definitions.method import Method
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.space import middle_of

EPOCHS = {"dense": 30, "cnn": 20}


@dataclass(frozen=True)
class Settings:
    """What is asked.

    Args:
        network: ``"dense"`` or ``"cnn"``.
        method: any of ``steepest compare``.
        lr: its learning rate; by default the middle of the method's range, and 0.002 for Adam and AdamW.
        epochs: over the training symbols; by default 30 of the dense net, 20 of the CNN.
        batch_size: at most as many as there are; a method may have its own.
        seed: of the symbols that are held out, the initial weights, the order and the distortion.
        distort: shift, turn, slant and stretch the training symbols a little, anew in each epoch.
        fragments: for each symbol so many pictures of what is none, such as pieces of it, and the symbol as pages show
            it: the recogniser tells wrong boxes on a page from right ones. At most 10; 0 for symbols alone.
        hidden, activation: of the dense net: units, and ``"relu"`` or ``"sigmoid"``.
        schedule: of the learning rate.
        held_out: share of the symbols that is not trained on.
        threads: that torch computes with.

    Raises:
        ValueError: a setting is out of range.
    """

    network: str = "dense"
    method: str = "adam"
    lr: float | None = None
    epochs: int | None = None
    batch_size: int = 64
    seed: int = 0
    distort: bool = True
    fragments: float = 0.0
    hidden: int = 500
    activation: str = "relu"
    schedule: str = "linear"
    held_out: float = 0.1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {self.network!r}")
        make_network(self.network_settings(1))
        for name, value in (("epochs", self.passes), ("batch_size", self.batch_size), ("threads", self.threads)):
            if type(value) is not int or not 1 <= value <= 10**6:
                raise ValueError(f"{name} must be an integer from 1 to 1000000, got {value!r}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be an integer from 0 to 2**63 - 1, got {self.seed!r}")
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise ValueError(f"lr must be a finite number above 0, got {self.lr!r}")
        if type(self.fragments) not in (int, float) or not 0 <= self.fragments <= 10:
            raise ValueError(f"fragments must be from 0 to 10, got {self.fragments!r}")
        if not 0 < self.held_out <= 0.5:
            raise ValueError(f"held_out must be above 0 and at most 0.5, got {self.held_out!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")

    @property
    def passes(self) -> int:
        """Epochs, as asked or by default."""
        return EPOCHS[self.network] if self.epochs is None else self.epochs

    def network_settings(self, classes: int) -> dict[str, Any]:
        """Those of the network, for so many classes."""
        own = {"hidden": self.hidden, "activation": self.activation} if self.network == "dense" else {}
        return {"network": self.network, "classes": classes, **own}

    def find_method(self) -> tuple[Method, dict[str, Any]]:
        """The method and the values of its hyperparameters.

        Raises:
            InputError: there is no such method, or it takes no ``lr``.
        """
        method = find_method(self.method)
        values = middle_of(method.space)
        if self.method in ("adam", "adamw"):
            values["lr"] = 2e-3
        if self.lr is not None and "lr" not in values:
            raise InputError(
                f"{argument('lr')} must be left out for {method.name}, which finds its own, got {self.lr:g}"
            )
        return method, values if self.lr is None else {**values, "lr": self.lr}
