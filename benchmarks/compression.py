"""What compression costs and gives over several seeds, beside pruning alone and 8 bits, and in other orders of layers.

    python benchmarks/compression.py mnist-lenet5 --out FOLDER [--seeds 5] [--orders sparsest,densest] [--set lr=0.02]

`--set` gives settings of `steepest compress`, as Python values. Each seed has a base network of its own, which the
orders share. What FOLDER has is not computed again. Prints, for each way to make the network small, means over the
seeds with half of their 95 % intervals: bytes, how many times smaller that is than the tensors in their own dtype,
points lost on validation and on test data, test points, epochs, and seconds over those of the base network's training.
Asserts nothing.
"""

import argparse
import ast
import shutil
import statistics
from dataclasses import fields
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from steepest.compression.experiments.base import BASE
from steepest.compression.experiments.experiment import Candidate, Settings, Shrunk, shrink


def settings_of(subject: str, given: list[str]) -> dict[str, Any]:
    known = {field.name for field in fields(Settings)}
    found: dict[str, Any] = {"subject": subject}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise SystemExit(f"--set must name one of {', '.join(sorted(known))}, got {name!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    if not isinstance(shares := found.get("sparsity", (0.8,)), tuple):
        found["sparsity"] = (float(shares),)
    return found


def mean(values: list[float], digits: int = 2) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    off = student_t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.{digits}f} ± {off:.{digits}f}"


def rows_of(found: dict[str, list[Shrunk]]) -> list[tuple[str, list[tuple[Shrunk, Candidate]]]]:
    first = next(iter(found.values()))
    rows = [("base", [(one, one.base) for one in first])]
    rows += [(f"compressed, {order}", [(one, one.chosen.found) for one in some]) for order, some in found.items()]
    names = [rival.name for rival in first[0].rivals]
    rows += [(name, [(one, next(r for r in one.rivals if r.name == name)) for one in first]) for name in names]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("subject")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--orders", default="sparsest")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    asked = parser.parse_args()
    given = settings_of(asked.subject, asked.set)
    found: dict[str, list[Shrunk]] = {order: [] for order in asked.orders.split(",")}
    first = next(iter(found))
    for seed in range(asked.seeds):
        for order, some in found.items():
            folder = asked.out / f"{order}-{seed}"
            if order != first and not folder.exists():
                folder.mkdir(parents=True)
                shutil.copy(asked.out / f"{first}-{seed}" / BASE, asked.out / f"base-{seed}.safetensors")
                folder.rmdir()
            own = {**given, "order": order, "seed": seed, "rivals": order == first}
            if order != first:
                own["subject"] = str(asked.out / f"base-{seed}.safetensors")
            some.append(shrink(Settings(**own), folder, asked.data_dir))
            one = some[-1].chosen.found
            print(f"seed {seed}, {order}: {one.bytes:,} bytes, {one.validation:.4g}, test {one.test:.4g}", flush=True)
    higher = found[first][0].workload.higher_is_better
    print(f"\n{'':28}{'bytes':>16}{'smaller':>14}{'lost':>14}{'lost on test':>16}{'test':>16}{'epochs':>8}{'time':>6}")
    for name, pairs in rows_of(found):
        sign = 1 if higher else -1
        lost = [sign * (one.base.validation - own.validation) for one, own in pairs]
        on_test = [sign * (one.base.test - own.test) for one, own in pairs]
        base = [found[first][i].base.seconds for i in range(len(pairs))]
        time = statistics.fmean(own.seconds / b for (_, own), b in zip(pairs, base, strict=True))
        print(
            f"{name:28}{statistics.fmean(own.bytes for _, own in pairs):16,.0f}"
            f"{mean([one.dense / own.bytes for one, own in pairs], 1):>14}{mean(lost):>14}{mean(on_test):>16}"
            f"{mean([own.test for _, own in pairs]):>16}{statistics.fmean(own.epochs for _, own in pairs):8.1f}"
            f"{time:6.2f}"
        )


if __name__ == "__main__":
    main()
