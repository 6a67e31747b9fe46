"""Runs the same studies with this tree and with another, and says whether records and tables are equal.

Times aside, digit for digit. Use: python tools/same_results.py OTHER_TREE [STUDY ...]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TIMES = ("started", "finished", "seconds")
TINY = ROOT / "tests/compare/tiny.py"
SMALL = ["digits-mlp", "--epochs", "2", "--methods", "sgd,sngm,bng,ssgd+lars", "--trials", "4", "--seeds", "3"]
STUDIES = {
    "digits": ["digits-mlp", "--trials", "16", "--seeds", "10"],
    "sweep": [
        *("digits-mlp", f"{ROOT}/examples/wine.py:wine", f"{TINY}:clouds", "--methods", "sgd,adamw,sngm"),
        *("--trials", "4", "--seeds", "3", "--epochs", "2", "--batch-size", "digits-mlp=32,128"),
    ],
    "interrupted": SMALL,
    "pruned": [*SMALL, "--pruner", "median", "--jobs", "1"],
    "sharpness": [*SMALL, "--sharpness"],
    "ray": [*SMALL, "--engine", "ray"],
    "postgresql": SMALL,
    "torchrun": [*SMALL, "--strategy", "ddp"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], default=[])
    arguments = parser.parse_args()
    differing = 0
    for name in arguments.studies or STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            here, there = (_results(tree, name, Path(folder) / tree.name) for tree in (ROOT, arguments.other.resolve()))
        known = {key for record in there[0].values() for key in record}  # what a newer tree records besides is its own
        mine = {key: {name: x for name, x in record.items() if name in known} for key, record in here[0].items()}
        equal = [len(mine), sum(there[0].get(key) == record for key, record in mine.items())]
        same = mine == there[0] and here[1] == there[1]
        differing += not same
        print(
            f"{name}: {equal[1]} of {equal[0]} records and the table are {'equal' if same else 'NOT equal'}", flush=True
        )
    return min(differing, 1)


def _results(tree: Path, name: str, out: Path) -> tuple[dict[str, dict[str, object]], str]:
    """The records of a study by run, without times, and its final table as CSV."""
    words = [*STUDIES[name], "--out", str(out)]
    if name == "postgresql":
        from tests.compare.records.postgresql import PostgreSQL

        with PostgreSQL() as server:
            _run(tree, [*words, "--storage", server.url])
    elif name == "torchrun":
        _run(tree, words, before=["-m", "torch.distributed.run", "--nproc-per-node", "2"])
    else:
        if name == "interrupted":
            _interrupt(tree, words, out, after=5)
        _run(tree, words)
    lines = [json.loads(line) for line in (out / "trials.jsonl").read_text(encoding="utf-8").splitlines()]
    runs = {json.dumps([r["workload"], r["method"], r["phase"], r["trial"]]): _timeless(r) for r in lines}
    table = _run(tree, [str(out), "--csv", str(out / "csv")], command="report")
    tables = [path.read_text(encoding="utf-8") for path in sorted((out / "csv").glob("**/final*.csv"))]
    return runs, "\n".join(_without_seconds(text) for text in tables) or table


def _timeless(record: dict[str, object]) -> dict[str, object]:
    found = {key: value for key, value in record.items() if key not in TIMES}
    value, note = found.pop("sharpness", None), found.pop("sharpness_note", None)
    if value is not None or note is not None:  # as it was while it was the one instrument
        found["measures"] = {"sharpness": value}
    if note is not None:
        found["notes"] = {"sharpness": note}
    return found


def _without_seconds(text: str) -> str:
    heading, *rows = (line.split(",") for line in text.splitlines())
    kept = [i for i, name in enumerate(heading) if name not in TIMES]
    return "\n".join(",".join(row[i] for i in kept if i < len(row)) for row in [heading, *rows])


def _command(tree: Path, words: list[str], command: str, before: list[str]) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    return [sys.executable, *before, "-m", "steepest", command, *words], environment


def _run(tree: Path, words: list[str], command: str = "compare", before: list[str] | None = None) -> str:
    line, environment = _command(tree, words, command, before or [])
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _interrupt(tree: Path, words: list[str], out: Path, after: int) -> None:
    """Ctrl-C once so many runs are recorded."""
    line, environment = _command(tree, words, "compare", [])
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = out / "trials.jsonl"
    while process.poll() is None and (not records.exists() or records.read_text().count("\n") < after):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
