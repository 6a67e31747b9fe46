"""What a study that stops early has run, and what it has spared."""

from steepest.compare.analysis.summary import Summary
from steepest.compare.results.formats import format_count
from steepest.page.text import count, listed


def screen_sentence(summary: Summary) -> str:
    """How the search began, where it began with short runs."""
    spec = summary.spec
    if not spec.screen:
        return ""
    base = summary.baseline.method
    whole, short = (spec.paid(base.name, spec.spent(base, phase)) for phase in ("final", "screen"))
    said = (
        f"Screen: {count(spec.trials, 'point')} a method, each for {format_count(short)} of {format_count(whole)} "
        f"{spec.unit}, the best {spec.finalists} of them in full"
    )
    sign = -1 if spec.workload.higher_is_better else 1
    same, over = 0, 0
    for row in summary.rows:
        ended = [r for r in row.search.first if r.found is not None]
        if row.search.chosen is not None and ended:
            first = min(ended, key=lambda r: (sign * (r.found or 0.0), r.trial))
            over += 1
            same += first.hyperparameters == row.search.chosen.hyperparameters
    return (
        f"{said}; what was best after the short runs was chosen for {same} of {count(over, 'method')}." if over else ""
    )


def looks_sentence(summary: Summary) -> str:
    """When the final runs were looked at, and what that does to their means."""
    stopping = summary.spec.stopping
    if stopping is None or not any(row.comparison.pairs for row in summary.rows):
        return ""
    at = listed([str(n) for n in stopping.looks], "and")
    made = summary.standings.looks
    found = any(row.comparison.verdict in ("better", "worse") for row in summary.rows)
    flattered = (
        " The mean of a method that was found early is somewhat flattered, which its interval allows for; the order "
        "among those that were found is no verdict."
    )
    if len(stopping.looks) == 1:
        return f"Looks: one, after {count(stopping.last, 'seed')}, since so few seeds are not worth more."
    return (
        f"Looks: after {at} seeds, of which {made} {'was' if made == 1 else 'were'} made.{flattered if found else ''}"
    )


def cost_sentence(summary: Summary) -> str:
    """What was spent, of what the same search and seeds would take in full; only where something can be spared."""
    spec = summary.spec
    if spec.stopping is None:
        return ""
    records = (record for row in summary.rows for record in (*row.runs_of_search, *row.finals))
    spent = sum(spec.paid(record.method, record.gradient_evaluations or 0) for record in records)
    searches = spec.seeds_asked if spec.cover_search else 1
    runs = searches * spec.trials + spec.seeds_asked
    full = sum(runs * spec.paid(method.name, spec.spent(method)) for method in spec.methods)
    return (
        f"Cost: {spent:,.0f} {spec.unit}, {100 * spent / full:.0f}\N{NO-BREAK SPACE}% of the {full:,.0f} of "
        f"{count(searches * spec.trials, 'trial')} and {count(spec.seeds_asked, 'seed')} a method in full."
    )
