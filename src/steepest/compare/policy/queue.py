"""Which runs a study will have, and which of them come next."""

import itertools
from collections import defaultdict
from collections.abc import Sequence

from steepest.compare.analysis.choice import Search, search_of
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import Spec, StudySpec


def jobs_left(study: StudySpec, records: Sequence[Record]) -> list[Job]:
    """The runs that can be started once ``records`` are finished, in the order to start them.

    A comparison comes after the other. Its search is first, a point of every method in turn; a method's final runs
    follow once its search is finished.
    """
    done = {record.key for record in records}
    by_workload: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_workload[record.workload].append(record)
    return [job for spec in study.comparisons for job in _jobs(spec, by_workload[spec.name]) if job.key not in done]


def _jobs(spec: Spec, records: Sequence[Record]) -> list[Job]:
    searches: list[Job] = []
    points = {m.name: spec.points(m) for m in spec.methods}
    for i in range(spec.trials):
        searches += [Job(spec.name, m.name, "tune", i, spec.tuning_seed, points[m.name][i]) for m in spec.methods]
    tuned: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.phase == "tune":
            tuned[record.method].append(record)
    finals = [final_jobs(spec, search_of(spec, tuned[m.name])) for m in spec.methods]
    by_seed = [job for jobs in itertools.zip_longest(*finals) for job in jobs if job is not None]
    return [*searches, *by_seed]


def final_jobs(spec: Spec, search: Search) -> list[Job]:
    """The final runs that follow a search; none while it is not over, or if it is lost."""
    best = search.chosen
    if best is None:
        return []
    seeds = enumerate(spec.seeds[: search.finals])
    return [Job(spec.name, best.method, "final", i, seed, best.hyperparameters) for i, seed in seeds]
