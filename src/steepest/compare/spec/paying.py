"""What a run may spend where it is not counted in gradient evaluations of one size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["evaluations", "samples", "steps", "seconds"]
UNITS: dict[Unit, str] = {
    "evaluations": "gradient evaluations",
    "samples": "samples",
    "steps": "steps",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class Prices:
    """Seconds of a run and, by the method's name, of a step, as they were measured when the study began."""

    run: float
    steps: Mapping[str, float]

    def as_in(self, earlier: "Prices") -> "Prices":
        """These prices at the pace of earlier ones, which stay: the machine may have been faster or slower then.

        Example:
            >>> slower = Prices(20.0, {"sgd": 0.02, "adam": 0.03, "muon": 0.06})
            >>> slower.as_in(Prices(10.0, {"sgd": 0.01, "adam": 0.015})).steps["muon"]
            0.03
        """
        common = [name for name in earlier.steps if name in self.steps]
        pace = sum(earlier.steps[n] for n in common) / sum(self.steps[n] for n in common) if common else 1.0
        return Prices(earlier.run, {n: earlier.steps.get(n, pace * seconds) for n, seconds in self.steps.items()})
