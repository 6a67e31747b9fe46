"""Where teacher-student theory meets data: the same student on normal inputs, on a finite training set, and on images.

    python examples/teacher_student.py [DIR] [--time 100] [--seeds 5]

DIR holds Fashion-MNIST's files; without it there is no column for images. A student of 3 units learns from a teacher of
2, with lr 0.5 and noise 0.1, inputs of dimension 784. Prints the mean generalization error of the runs at some times
(steps over N) beside what theory says of new normal inputs at every step, for N to infinity.
`docs/theory/committee.md` has the figures.
"""

import argparse

import numpy as np
import torch

from steepest.data.images import images
from steepest.theory.committee import Committee, Simulation

N = 784


def whiten(inputs: torch.Tensor) -> torch.Tensor:
    """Turn images into inputs of mean 0 whose pixels, where they vary, are uncorrelated and of variance 1."""
    flat = inputs.flatten(1).double()
    flat = flat - flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    white: torch.Tensor = flat @ vectors / values.clamp(min=values.max() * 1e-6).sqrt()
    return white.float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", metavar="DIR")
    parser.add_argument("--time", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    theory = Committee(teacher=2, student=3, lr=0.5, noise=0.1)
    times = [t for t in (1, 5, 10, 20, 50, 100, 200) if t <= arguments.time]

    def run(**inputs: object) -> Simulation:
        return theory.simulate(N, arguments.seeds, times=times, **inputs)  # type: ignore[arg-type]

    online = run()
    said = [theory.predict(online.times, start=online.start_of(i)) for i in range(arguments.seeds)]
    columns = {
        "theory": np.stack([path.generalization_error for path in said]),
        "normal": online.generalization_error,
        f"{4 * N} examples": run(samples=4 * N).generalization_error,
    }
    if arguments.folder:
        pictures = images("fashion-mnist", arguments.folder).train.inputs
        columns["images"] = run(inputs=pictures).generalization_error
        columns["whitened"] = run(inputs=whiten(pictures)).generalization_error
    print("time".rjust(6), *(name.rjust(15) for name in columns))
    for place, time in enumerate(times):
        print(f"{time:6g}", *(f"{errors[:, place].mean():15.5f}" for errors in columns.values()))


if __name__ == "__main__":
    main()
