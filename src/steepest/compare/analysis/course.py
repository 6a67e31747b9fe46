"""Where a comparison stands: which runs it has, as far as is known, and which of them have ended."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from steepest.compare.analysis.looks import Standings, standings
from steepest.compare.analysis.search import Runs, Search, search_of
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import PHASES, Phase, Spec


class Course(NamedTuple):
    """A comparison's searches, one a method or one for each of its final seeds, and what follows from them.

    ``jobs`` are all runs that are known to be needed, whether they have ended or not, in the order to start them;
    ``records`` are those of them that have ended, by method. ``most`` is how many of a phase there will be at most.
    """

    searches: dict[str, tuple[Search, ...]]
    standings: Standings
    jobs: list[Job]
    records: dict[str, list[Record]]
    most: dict[Phase, int]

    @property
    def lost(self) -> list[str]:
        """The methods none of whose points can be chosen, so that nothing follows."""
        return [name for name, own in self.searches.items() if all(search.is_lost for search in own)]

    @property
    def planned(self) -> int:
        """Runs of all phases, at most."""
        return sum(self.most.values())


def course_of(spec: Spec, records: Iterable[Record]) -> Course:
    """Where a comparison stands once these runs of it have ended. It depends on nothing else, not even on their order.

    Left out are runs of a point that is no finalist any more, or not the chosen one, and final runs that no look asks
    for.
    """
    runs: defaultdict[str, dict[tuple[Phase, int], Record]] = defaultdict(dict)
    for record in records:
        runs[record.method][record.phase, record.trial] = record
    searches: dict[str, list[Search]] = {m.name: [] for m in spec.methods}
    seeds = {m.name: 1 for m in spec.methods}
    while True:
        for method in spec.methods:
            wanted = seeds[method.name] if spec.cover_search else 1
            for number in range(len(searches[method.name]), wanted):
                searches[method.name].append(search_of(spec, method, runs[method.name], number))
        finals = {name: _find_finals(spec, name, own, runs[name]) for name, own in searches.items()}
        found = standings(spec, finals)
        seeds = found.seeds
        if not spec.cover_search or all(len(own) >= seeds[name] for name, own in searches.items()):
            break
    jobs = _jobs_of(spec, searches, seeds)
    fit: dict[str, list[Record]] = {m.name: [] for m in spec.methods}
    for job in jobs:
        if (ended := _fitting(job, runs[job.method])) is not None:
            fit[job.method].append(ended)
    return Course(
        {name: tuple(own) for name, own in searches.items()}, found, jobs, fit, _count_most(spec, searches, found)
    )


def fits(job: Job, record: Record) -> bool:
    """Whether a record is of this very job."""
    return (record.key, record.seed, record.hyperparameters) == (job.key, job.seed, job.hyperparameters)


def _fitting(job: Job, runs: Runs) -> Record | None:
    record = runs.get((job.phase, job.index))
    return record if record is not None and fits(job, record) else None


def _jobs_of(spec: Spec, searches: Mapping[str, Sequence[Search]], seeds: Mapping[str, int]) -> list[Job]:
    """List all runs: a point of every method in turn, short ones first; then a final seed of every method in turn."""
    places = {m.name: i for i, m in enumerate(spec.methods)}
    searched = [job for own in searches.values() for search in own for job in search.jobs]
    searched.sort(key=lambda job: (PHASES.index(job.phase), job.index, places[job.method]))
    finals = [
        [
            job
            for place in range(seeds[m.name])
            if (job := _final_job(spec, m.name, searches[m.name], place)) is not None
        ]
        for m in spec.methods
    ]
    return [*searched, *(job for jobs in zip_longest(*finals) for job in jobs if job is not None)]


def _final_job(spec: Spec, method: str, searches: Sequence[Search], place: int) -> Job | None:
    """Make the run on a final seed; none while its search is not over, or if it is lost."""
    chosen = searches[place if spec.cover_search else 0].chosen
    if chosen is None:
        return None
    return Job(spec.name, method, "final", place, spec.seeds[place], chosen.hyperparameters)


def _find_finals(spec: Spec, method: str, searches: Sequence[Search], runs: Runs) -> dict[int, Record | None]:
    """Find what is known of a method's final runs, by their places: ``None`` where there will never be one."""
    found: dict[int, Record | None] = {}
    for place in range(len(searches) if spec.cover_search else len(spec.seeds)):
        job = _final_job(spec, method, searches, place)
        if searches[place if spec.cover_search else 0].is_lost:
            found[place] = None
        elif job is not None and (record := _fitting(job, runs)) is not None:
            found[place] = record
    return found


def _count_most(spec: Spec, searches: Mapping[str, Sequence[Search]], found: Standings) -> dict[Phase, int]:
    """Count how many runs of each phase there can be, as things stand."""
    most: dict[Phase, int] = dict.fromkeys(spec.phases, 0)
    for name, own in searches.items():
        seeds = found.most[name]
        begun = own[: seeds if spec.cover_search else 1]
        for phase in spec.phases[:-1]:
            unbegun = spec.of_search(phase) * (seeds - len(begun) if spec.cover_search else 0)
            most[phase] += unbegun + sum(_count_runs(spec, search, phase) for search in begun)
        lost = sum(search.is_lost for search in begun)
        most["final"] += max(0, seeds - lost) if spec.cover_search else (0 if lost else seeds)
    return most


def _count_runs(spec: Spec, search: Search, phase: Phase) -> int:
    return sum(job.phase == phase for job in search.jobs) if search.is_over else spec.of_search(phase)
