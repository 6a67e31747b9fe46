"""A summary in words and numbers, the same in the terminal, the page and the Markdown file."""

import math
from collections.abc import Sequence

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.policy.pruners import PRUNERS
from steepest.compare.records.errors import headline
from steepest.compare.results.formats import format_difference, format_metric, format_value
from steepest.compare.spec import QUASI_RANDOM, Spec
from steepest.page.text import count, listed
from steepest.training.definitions.range import Range
from steepest.training.definitions.schedule import SCHEDULE_NOTE, SCHEDULES

NAMED = 6  # so many methods beside the baseline are called by their names in the verdict
NEAR = 0.1  # of a search range: how far from its end a value lies at it


def verdict_sentence(summary: Summary) -> str:
    """The verdict of a study in one sentence: of every method, or of how many where there are many."""
    spec, rows = summary.spec, summary.rows
    metric = f"test {spec.workload.metric_name}"
    base = summary.baseline
    if base.mean is None:
        return f"No verdict on {spec.name}: the baseline {spec.baseline} has no finished final run."
    others = [row for row in rows if row is not base]
    stands = f"{spec.baseline} reaches {format_metric(spec, base.mean)} {metric} ({count(base.seeds, 'seed')})"
    if not others:
        return f"On {spec.name}, {stands}; nothing was compared with it."
    parts = _list_by_name(spec, others) if len(others) <= NAMED else _count_verdicts(spec, others)
    return f"On {spec.name}, where {stands}, {'; '.join(parts)}."


def _with_verdict(rows: Sequence[Row], verdict: str) -> list[Row]:
    return [row for row in rows if row.comparison.verdict == verdict]


def _list_by_name(spec: Spec, others: Sequence[Row]) -> list[str]:
    """List the methods, such as ``a (+1.20 pp) and b (+0.70 pp) are better than sgd``, ``no difference from sgd was
    seen for c``."""
    parts = []
    for verdict, words in (("better", "better than"), ("worse", "worse than")):
        members = _with_verdict(others, verdict)
        if verdict == "worse":
            members.reverse()
        if members:
            names = listed(
                [f"{r.method.name} ({format_difference(spec, r.comparison.difference)})" for r in members], "and"
            )
            parts.append(f"{names} {'is' if len(members) == 1 else 'are'} {words} {spec.baseline}")
    unseen = [row.method.name for row in _with_verdict(others, "no difference seen")]
    if unseen:
        parts.append(f"no difference from {spec.baseline} was seen for {listed(unseen, 'or')}")
    if open_ := [row.method.name for row in _with_verdict(others, "no verdict")]:
        parts.append(f"there is no verdict on {listed(open_, 'or')}")
    return parts


def _count_verdicts(spec: Spec, others: Sequence[Row]) -> list[str]:
    """Count, such as ``22 of 29 are better, the best nesterov-28 by +4.89 pp``, ``5 show no difference``."""
    better, worse, unseen, open_ = (
        _with_verdict(others, verdict) for verdict in ("better", "worse", "no difference seen", "no verdict")
    )
    all_ = len(others)
    parts = []
    if better:
        parts.append(f"{_say_share(len(better), all_)} better, {_name_farthest(spec, better, 'the best')}")
    elif len(open_) < all_:
        parts.append(f"none of {all_} is better")
    if worse:
        parts.append(f"{_say_share(len(worse), all_, bool(parts))} worse, {_name_farthest(spec, worse, 'the worst')}")
    if unseen:
        every = "all " if len(unseen) == all_ else ""
        parts.append(f"{every}{len(unseen)} {'shows' if len(unseen) == 1 else 'show'} no difference")
    if open_:
        parts.append(f"there is no verdict on {'any' if len(open_) == all_ else len(open_)} of {all_}")
    return parts


def _say_share(number: int, all_: int, said: bool = False) -> str:
    """Say how many, such as ``22 of 29 are``; the whole is not said twice."""
    whole = "" if said else f" of {all_}"
    return f"all {all_} are" if number == all_ else f"{number}{whole} {'is' if number == 1 else 'are'}"


def _name_farthest(spec: Spec, rows: Sequence[Row], which: str) -> str:
    """Name the method with the largest difference, such as ``the best nesterov-28 by +4.89 pp``."""
    farthest = max(rows, key=lambda row: abs(row.comparison.difference or 0.0))
    by = f"{farthest.method.name} by {format_difference(spec, farthest.comparison.difference)}"
    return by if len(rows) == 1 else f"{which} {by}"


def pruning_note(summary: Summary) -> str:
    """How many runs of the search were stopped early, and by what; nothing if there is no pruner."""
    pruner = summary.spec.pruner
    if pruner is None:
        return ""
    stopped, tuned = sum(row.pruned for row in summary.rows), sum(len(row.tuned) for row in summary.rows)
    return (
        f"{stopped} of {count(tuned, 'run')} of the search {'was' if stopped == 1 else 'were'} stopped early by the "
        f"pruner {pruner}: a run was, {PRUNERS[pruner].description}. Such a run cannot be chosen; which ones they are "
        "depends on the order in which runs finish."
    )


def how_chosen(spec: Spec) -> str:
    """Which point of a search the final runs take."""
    metric, several = spec.workload.metric_name, len(spec.tuning_seeds()) > 1
    if spec.choice == "best":
        return f"the best by {'mean ' if several else ''}validation {metric}"
    return f"the point where a response fitted to the validation {metric} of all trials is best"


def searched_on(spec: Spec) -> str:
    """What a search ran, such as ``16 quasi-random trials per method on seed 0``."""
    seeds = spec.tuning_seeds()
    said = f"{count(spec.trials, 'quasi-random trial')} per method on seed {seeds[0]}"
    if spec.sampler != QUASI_RANDOM:
        first = sorted({len(method.points) for method in spec.methods})
        of = str(first[0]) if len(first) == 1 else f"{first[0]} to {first[-1]}"
        said = (
            f"{count(spec.trials, 'trial')} per method on seed {seeds[0]}, the first {of} quasi-random and each of the "
            "others asked of TPE (Optuna) once all before it had ended"
        )
    if spec.screen:
        said += f", each on 1/{spec.screen} of the budget, and the best {spec.finalists} on the whole of it"
    if len(seeds) > 1:
        and_on = f"seeds {listed([str(seed) for seed in seeds], 'and')}"
        said += f" (on {and_on})" if spec.screen else f", and the best {spec.finalists} on {and_on}"
    if spec.cover_search:
        said += "; likewise, on other points and seeds, for every final seed"
    return said


def search_sentence_of(spec: Spec) -> str:
    """How the values of the final runs were found, or that they were given."""
    if not spec.trials:
        return "None: the values of all methods were given."
    return f"{searched_on(spec)}; {how_chosen(spec)} is run again."


def schedule_sentence(spec: Spec) -> str:
    """How the learning rate moves, for all methods and for those that have a schedule of their own."""
    own = [f"; that of {method.name} {method.schedule}" for method in spec.methods if method.schedule]
    return SCHEDULES[spec.schedule].description + "".join(own)


def instrument_notes(spec: Spec) -> list[str]:
    """What the columns of the instruments show."""
    return [caption for instrument in spec.columns if (caption := spec.captions.get(instrument.name))]


def instrument_warnings(summary: Summary) -> list[str]:
    """A sentence for every instrument and method for which it has no value, or only a near one, in some run."""
    found = []
    for name in (instrument.name for instrument in summary.spec.instruments):
        for row in summary.rows:
            if notes := [record.notes[name] for record in row.finals if name in record.notes]:
                runs = f"{len(notes)} of {count(len(row.finals), 'final run')}"
                found.append(f"{row.method.name}: {name} missing or inexact in {runs}, first: {notes[0].rstrip('.')}.")
    return found


def schedule_warnings(summary: Summary) -> list[str]:
    """A sentence for every method whose learning rate's controller has something to say of some run."""
    found = []
    for row in summary.rows:
        if notes := [record.notes[SCHEDULE_NOTE] for record in row.finals if SCHEDULE_NOTE in record.notes]:
            runs = f"{len(notes)} of {count(len(row.finals), 'final run')}"
            found.append(f"{row.method.name}: in {runs} {notes[0].rstrip('.')}.")
    return found


def lost_run_warnings(summary: Summary) -> list[str]:
    """A sentence for every method with failed runs, and for one whose search, or a final run, diverged."""
    found = []
    for row in summary.rows:
        runs = [*row.runs_of_search, *row.finals]
        errors = [headline(record.error) for record in runs if record.error]
        if errors:
            found.append(
                f"{row.method.name}: {len(errors)} of {count(row.runs, 'run')} failed, first with: {errors[0]}"
            )
        finals_lost = sum(record.status == "diverged" for record in row.finals)
        if finals_lost:
            found.append(f"{row.method.name}: {finals_lost} of {count(len(row.finals), 'final run')} diverged.")
        elif row.diverged and row.diverged == len(row.runs_of_search):
            found.append(f"{row.method.name}: all {count(row.diverged, 'run')} of its search diverged.")
    return found


def edge_warnings(summary: Summary) -> list[str]:
    """A sentence for every chosen hyperparameter that is the lowest or highest of those tried: whether a wider range or
    more trials would tell."""
    found = []
    for row in summary.rows:
        if row.chosen is None:
            continue
        for name, edge in row.edges.items():
            value, space = row.chosen.hyperparameters[name], row.method.space[name]
            if not isinstance(space, Range):
                continue
            said = f"{row.method.name}: the best {name}, {format_value(value)}, is the {edge} of those tried"
            searched = f"{space.low:g}:{space.high:g}"
            if space_left(space, value, edge) > NEAR:
                end = space.low if edge == "lowest" else space.high
                found.append(
                    f"{said}; on to {end:g}, where {searched} ends, nothing was tried: more trials would tell."
                )
            else:
                side = "below" if edge == "lowest" else "above"
                how = "--lr-range" if name == "lr" else "--space"
                found.append(
                    f"{said}; a better one may lie {side}. Searched was {searched}; widen its "
                    f"{'lower' if edge == 'lowest' else 'upper'} end with {how}."
                )
    return found


def space_left(space: Range, value: float, edge: str) -> float:
    """The share of a range, on its own scale, that lies between a value and the end on its side.

    Example:
        >>> round(space_left(Range(1e-3, 1.0), 0.1, "highest"), 3)
        0.333
    """
    scale = math.log if space.log else float
    low, high, at = scale(space.low), scale(space.high), scale(value)
    left = (at - low if edge == "lowest" else high - at) / (high - low) if high > low else 0.0
    return max(left, 0.0)
