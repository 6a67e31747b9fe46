"""Which runs a study will have, and which of them come next."""

from collections import defaultdict
from collections.abc import Sequence

from steepest.compare.analysis.choice import choose
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
    finals: list[Job] = []
    points = {m.name: spec.points(m) for m in spec.methods}
    for i in range(spec.trials):
        searches += [Job(spec.name, m.name, "tune", i, spec.tuning_seed, points[m.name][i]) for m in spec.methods]
    chosen = {}
    tuned: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.phase == "tune":
            tuned[record.method].append(record)
    for m in spec.methods:
        if len(tuned[m.name]) == spec.trials and (best := choose(spec, tuned[m.name])) is not None:
            chosen[m.name] = best
    for i in range(len(spec.seeds)):
        finals += [final_job(spec, best, i) for best in chosen.values()]
    return [*searches, *finals]


def final_job(spec: Spec, best: Record, index: int) -> Job:
    """The final run of a search's best point on one of the seeds."""
    return Job(spec.name, best.method, "final", index, spec.seeds[index], best.hyperparameters)
