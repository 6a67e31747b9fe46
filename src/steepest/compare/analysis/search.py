"""How far a method's search is, which runs it will have, and which of its points is taken for the final runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from steepest.compare.analysis.choice import Choice, Tried, best_of, choose, finalists_of
from steepest.compare.analysis.tpe import ask
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import QUASI_RANDOM, MethodSpec, Phase, Spec

Runs = Mapping[tuple[Phase, int], Record]  # of a method, by phase and index


class Search(NamedTuple):
    """A method's search: the ``jobs`` that it has, as far as is known, those ``records`` of them that have ended, the
    ``best`` run in full so far by its score alone, and what was chosen once it is over."""

    jobs: tuple[Job, ...]
    records: tuple[Record, ...]
    best: Record | None = None
    choice: Choice | None = None
    is_over: bool = False

    @property
    def first(self) -> list[Record]:
        """The first run on each point."""
        if not self.jobs:
            return []
        phase, seed = self.jobs[0].phase, self.jobs[0].seed
        return [record for record in self.records if record.phase == phase and record.seed == seed]

    @property
    def trials(self) -> list[Record]:
        """The same, where it had the whole budget."""
        return [record for record in self.first if record.phase == "tune"]

    @property
    def is_lost(self) -> bool:
        """Whether it is over and no run of it can be chosen, so that there are no final runs."""
        return self.is_over and self.choice is None

    @property
    def chosen(self) -> Record | None:
        """What the final runs take, once the search is over."""
        return None if self.choice is None else self.choice.record


def search_of(spec: Spec, method: MethodSpec, runs: Runs, number: int = 0) -> Search:
    """How far a search is of which these runs have ended; runs that are not its own, or no more, are left out.

    Every point is run once, on the first tuning seed; with a screen on a part of the budget. Where there are finalists,
    they are then run in full, on all the tuning seeds that they have not had in full. A method whose values are given
    has no search.
    """
    if (given := spec.given(method)) is not None:
        return Search((), (), choice=_given_choice(spec, method, given), is_over=True)
    phase: Phase = "screen" if spec.screen else "tune"
    seeds = spec.tuning_seeds(number)
    first = _first_jobs(spec, method, runs, number)
    ended = _list_ended(first, runs)
    if len(ended) < max(spec.trials, len(first)):
        return Search(tuple(first), tuple(ended), best_of(spec, ended))
    tried = [[record] for record in ended] if phase == "tune" else [[] for _ in first]
    jobs = list(first)
    if spec.finalists:
        finalists = finalists_of(spec, method, ended)
        start = number * spec.of_search("tune") + (0 if spec.screen else spec.trials)
        more = seeds if spec.screen else seeds[1:]
        second = [
            Job(spec.name, method.name, "tune", start + k * spec.finalists + rank, seed, first[i].hyperparameters)
            for k, seed in enumerate(more)
            for rank, i in enumerate(finalists)
        ]
        jobs += second
        found = _list_ended(second, runs)
        ended += found
        if len(found) < len(second):
            return Search(tuple(jobs), tuple(ended), best_of(spec, ended))
        for job, record in zip(second, found, strict=True):
            tried[finalists[(job.index - start) % spec.finalists]].append(record)
    short = ended[: len(first)] if spec.screen else None
    choice = choose(spec, method, [Tried(i, tuple(own)) for i, own in enumerate(tried) if own], short)
    return Search(tuple(jobs), tuple(ended), best_of(spec, ended), choice, is_over=True)


def _given_choice(spec: Spec, method: MethodSpec, given: dict[str, Any]) -> Choice:
    """Make the choice of values that nothing was run for."""
    record = Record(spec.name, method.name, "tune", 0, spec.tuning_seed, given, "finished", 0.0, 0.0)
    return Choice(record, 0.0, 0.0, reason="it was given")


def _first_jobs(spec: Spec, method: MethodSpec, runs: Runs, number: int) -> list[Job]:
    """List a search's first runs on its points, as far as these are known: by TPE the next one is asked for once all
    before it have ended. One that has been run is what it was, also where a failed one before it is tried again."""
    phase: Phase = "screen" if spec.screen else "tune"
    seed, start = spec.tuning_seeds(number)[0], number * spec.of_search(phase)
    points = spec.points(method, number)

    def job(place: int, point: dict[str, Any]) -> Job:
        return _first_job(Job(spec.name, method.name, phase, start + place, seed, point), runs)

    found = [job(i, point) for i, point in enumerate(points)]
    if spec.sampler == QUASI_RANDOM:
        return found
    ended = _list_ended(found, runs)
    for place in range(len(points), spec.trials):
        there = runs.get((phase, start + place))
        if there is not None:
            found.append(job(place, there.hyperparameters))
            ended.append(there)
        elif len(ended) == place:
            found.append(job(place, _ask(spec, method, ended, seed)))
    return found


def _ask(spec: Spec, method: MethodSpec, ended: Sequence[Record], seed: int) -> dict[str, Any]:
    return ask(method.space, ended, seed, higher_is_better=spec.workload.higher_is_better)


def _first_job(job: Job, runs: Runs) -> Job:
    """Make a search's first run on a point; one that has ended is what it was, as older studies drew their points by
    other releases of SciPy."""
    record = runs.get((job.phase, job.index))
    return job if record is None else replace(job, seed=record.seed, hyperparameters=record.hyperparameters)


def _list_ended(jobs: Sequence[Job], runs: Runs) -> list[Record]:
    """List the records of jobs that have ended, with the point and the seed that these have."""
    found = [runs.get((job.phase, job.index)) for job in jobs]
    return [
        record
        for job, record in zip(jobs, found, strict=True)
        if record is not None and record.hyperparameters == job.hyperparameters and record.seed == job.seed
    ]
