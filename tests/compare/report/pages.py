"""Studies of several workloads with made-up runs, as large as they come, and a browser's page on a report."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from steepest.compare.analysis.summary import Summary, summarize
from steepest.compare.records.record import Record
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze

TINY = str(TINY_FILE)
METHODS = ("sgd", "nesterov", "adamw", "lars", "sngm", "bng", "ssgd+sngm", "csgd")
WORKLOADS = ("digits-mlp", "fashion-cnn", "tiny-shakespeare")
INVOCATION = {
    "command": "steepest compare digits-mlp fashion-cnn tiny-shakespeare",
    "jobs": 2,
    "started": 0.0,
    "machine": "a processor, 2 cores",
    "versions": {"steepest": "0.1.0", "torch": "2.13.0"},
}


def made_up(workloads=WORKLOADS, methods=METHODS, trials=16, seeds=10, points=30, share=1.0) -> list[Summary]:
    """Summaries of a study whose runs follow smooth curves; ``share`` of the runs are finished."""
    found = []
    for i, name in enumerate(workloads):
        spec = freeze(f"{TINY}:clouds", list(methods), trials=trials, seeds=seeds)
        workload = dataclasses.replace(spec.workload, name=name, target=0.85, train_samples=20 * 16)
        spec = dataclasses.replace(spec, name=name, targets=(0.85,), workload=workload, epochs=points)
        records = [r for n, m in enumerate(methods) for r in runs(m, n, i, trials, seeds, points)]
        found.append(summarize(spec, records[: round(share * len(records))]))
    return found


def runs(method, n, i, trials, seeds, points) -> list[Record]:
    rng = np.random.default_rng([n, i])
    best = 0.9 + 0.006 * ((n * (i + 2)) % 7) - 0.02 * (n == 6)
    speed = 3 + ((n + 2 * i) % 5)
    at = [16 * (k + 1) for k in range(points)]

    def run(phase, index, seed, lr, level):
        x = np.linspace(0, 1, points)
        metric = level * (1 - 0.9 * np.exp(-speed * x)) + 0.004 * rng.normal(size=points)
        test = float(metric[-1] - 0.01 + 0.006 * rng.normal()) if phase == "final" else None
        loss = 2.3 * np.exp(-(speed - 1) * x) + 0.02 * rng.random(points)
        reached = next((a for a, m in zip(at, metric, strict=True) if m >= 0.85), None)
        curve = {"gradient_evaluations": at, "train_loss": loss.tolist(), "validation_loss": (1.1 * loss).tolist(),
                 "validation_metric": metric.tolist()}  # fmt: skip
        return Record("w", method, phase, index, seed, {"lr": lr}, "finished", 0.0, 1.0, gradient_evaluations=at[-1],
                      samples=20 * at[-1], evaluations_to_target=reached, validation_loss=float(loss[-1]),
                      validation_metric=float(metric[-1]), seconds=float(2 + rng.random()), curve=curve, device="cpu",
                      test_metric=test)  # fmt: skip

    found = []
    for k in range(trials):
        lr = 10 ** (-3 + 3 * k / max(trials - 1, 1))
        level = best - 0.03 * (math.log10(lr) + 1.2) ** 2
        if k == trials - 1 and n % 2:
            found.append(Record("w", method, "tune", k, 0, {"lr": lr}, "diverged", 0.0, 1.0))
        else:
            found.append(run("tune", k, 0, lr, level))
    return [*found, *(run("final", s, s + 1, 0.06, best) for s in range(seeds))]


def many(number, name="a-rather-long-method-name-{:02d}", **fields) -> Summary:
    """One workload with so many methods, the first the baseline."""
    (summary,) = made_up(workloads=("a",), methods=("sgd",), trials=2, seeds=3, points=4)
    names = [name.format(i) for i in range(number)]
    methods = tuple(dataclasses.replace(summary.spec.methods[0], name=name) for name in names)
    records = [record for n, name in enumerate(names) for record in runs(name, n, 0, 2, 3, 4)]
    return summarize(dataclasses.replace(summary.spec, methods=methods, baseline=names[0], **fields), records)


def with_fields(summary: Summary, change=lambda record: record, **fields) -> Summary:
    """The same study with other fields in its spec, and its records changed."""
    spec = dataclasses.replace(summary.spec, **fields)
    return summarize(spec, [change(r) for row in summary.rows for r in [*row.tuned, *row.finals]])


def opened(browser, address, width=1280, height=900, scheme="light", offline=True):
    """A page on a file or an address; its ``messages`` and ``requests`` are kept."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=offline)
    view = context.new_page()
    view.set_default_timeout(20_000)  # milliseconds: a machine may be slow
    view.messages, view.requests = [], []
    view.on("console", lambda message: view.messages.append(message.text))
    view.on("pageerror", lambda error: view.messages.append(str(error)))
    view.on("dialog", lambda dialog: (view.messages.append("dialog"), dialog.dismiss()))
    view.on("request", lambda request: view.requests.append(request.url))
    view.goto(address.as_uri() if isinstance(address, Path) else address)
    view.wait_for_selector("button.open")
    return view


def unfolded(view):
    """Open all that is folded away."""
    view.evaluate("document.querySelectorAll('details.fold').forEach((fold) => (fold.open = true))")


def until(view, expression):
    """Wait until a JavaScript expression is true; the page's own policy forbids playwright to look from inside."""
    for _ in range(400):
        if view.evaluate(expression):
            return
        view.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


def scrolled_through(view):
    """Bring every figure into view, for only then it is drawn."""
    for plot in view.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()
