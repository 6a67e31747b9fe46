"""What a result rests on, in words: the seeds, the luck of the search, the choice of target and budget."""

import math
from collections.abc import Mapping

from steepest.compare.analysis.leaders import leaders
from steepest.compare.analysis.sensitivity import Order, sensitivity
from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.trust import assured, chosen_again, expected_of_half, found_by_search, refound, searched
from steepest.compare.results.formats import NONE, format_metric, format_size, format_target
from steepest.compare.results.recipes import clipping_sentence
from steepest.compare.results.stages import cost_sentence, looks_sentence, screen_sentence
from steepest.compare.spec import QUASI_RANDOM, Spec
from steepest.page.text import count, listed

PAIRS_NAMED = 2


def caveats(summary: Summary) -> list[str]:
    """A sentence for each, as far as there are runs to speak of."""
    found = (
        winner_sentence(summary),
        seeds_sentence(summary),
        search_sentence(summary),
        choice_sentence(summary),
        order_sentence(summary),
        screen_sentence(summary),
        looks_sentence(summary),
        cost_sentence(summary),
        clipping_sentence(summary.spec),
    )
    return [sentence for sentence in found if sentence]


def winner_sentence(summary: Summary) -> str:
    """Which methods may be the best, if the study is to say so."""
    if not summary.spec.winner:
        return ""
    found = leaders(summary.spec, {row.method.name: row.finals for row in summary.rows})
    if found is None:
        return "Winner: fewer than two methods have two final runs and lost none, so that there is none to be told."
    left_out = f"; left out: {listed([*found.left_out], 'and')}, which lost runs" if found.left_out else ""
    if not found.others:
        return f"Winner: {found.first} is the best of all, 19 times in 20{left_out}."
    more = len(found.others) + 1
    return (
        f"Winner: {found.first} leads, and cannot be told from {listed([*found.others], 'or')}; the best is among "
        f"these {more}, 19 times in 20{left_out}."
    )


def seeds_sentence(summary: Summary) -> str:
    """What difference the test would have found."""
    spec = summary.spec
    sizes = {row.method.name: row.comparison.detectable for row in summary.rows}
    known = {name: size for name, size in sizes.items() if size is not None}
    if not known:
        return ""
    pairs = (
        spec.stopping.seeds
        if spec.stopping
        else min(row.comparison.pairs for row in summary.rows if row.method.name in known)
    )
    return (
        f"Seeds: with {count(pairs, 'seed')} you could have seen, 8 times in 10, a difference from {spec.baseline} of "
        f"{_format_range(spec, known)}; smaller ones can be there unseen.{_format_growth(spec)}"
    )


def _format_growth(spec: Spec) -> str:
    """Say what it means that seeds were added after verdicts could be seen."""
    if not spec.earlier_seeds:
        return ""
    return (
        f" There were {listed([str(n) for n in spec.earlier_seeds], 'and')} before: who adds seeds until the answer "
        "pleases finds differences that are not there more often than in 5 of 100 cases."
    )


def search_sentence(summary: Summary) -> str:
    """What a smaller search would be expected to find, and how much worse another of the same size may turn out."""
    spec, half = summary.spec, summary.spec.trials // 2
    if not spec.trials:
        return "Search: none; the values of all methods were given, and how they were found is not known here."
    if spec.sampler != QUASI_RANDOM:
        return (
            "Search: by TPE, whose points hang on the scores of those before, and so on the luck of the tuning seed; "
            "what a smaller search or another would find is not told, for want of independent trials."
        )
    curves = {row.method.name: curve for row in summary.rows if (curve := searched(spec, row)) is not None}
    fewer = {name: abs(c.best - c.expected[half - 1]) for name, c in curves.items()} if half else {}
    again = {name: abs(c.best - c.assured[-1]) for name, c in curves.items()}
    smaller, same = _format_range(spec, fewer), _format_range(spec, again)
    parts = []
    if smaller:
        parts.append(f"{half} of the {spec.trials} trials would be expected to end {smaller} worse")
    if same:
        parts.append(
            f"another {spec.trials} would, 19 times in 20, end at most {same} worse, and are as likely to end better"
        )
    return f"Search: by validation {spec.workload.metric_name}, {'; '.join(parts)}." if parts else ""


def choice_sentence(summary: Summary) -> str:
    """How the points were chosen, and how far below the best single scores theirs lie; nothing where that is all there
    is to it."""
    spec = summary.spec
    choices = {row.method.name: row.search.choice for row in summary.rows if row.search.choice is not None}
    if spec.choice == "best" or not choices:
        return ""
    behind = {name: abs(choice.best - choice.score) for name, choice in choices.items() if not choice.reason}
    reasons: dict[str, list[str]] = {}
    for name, choice in choices.items():
        if choice.reason:
            reasons.setdefault(choice.reason, []).append(name)
    parts = []
    if behind:
        scores = f"the chosen points' own scores lie {_format_range(spec, behind)} below the best single ones"
        parts.append(f"by a response fitted to all scores of a search; {scores}")
    for reason, names in reasons.items():
        of = f" for {listed(names, 'and')}" if behind or len(reasons) > 1 else ""
        parts.append(f"by the best single score{of}: {reason}")
    name = "Choice (the first search of each method)" if spec.cover_search else "Choice"
    return f"{name}: {'; '.join(parts)}."


def order_sentence(summary: Summary) -> str:
    """Whether the order of the methods hangs on the target or the budget."""
    spec = summary.spec
    found = sensitivity(summary)
    if found is None:
        return ""
    targets = [(f"with a target of {format_target(spec, order.at)}", order) for order in found.other_targets]
    budgets = [(f"at {format_share(order)} of the budget", order) for order in found.other_budgets]
    moved = [f"{where}, {_list_changes(order)}" for where, order in [*targets, *budgets] if order.swapped]
    if moved:
        return f"Order: {'; '.join(moved)}."
    reached = any(order.groups for order in (found.target, *found.other_targets))
    conditions = [*(["with a target 5 % lower or higher"] if reached else []), *(where for where, _ in budgets)]
    return f"Order: no two methods change places {listed(conditions, 'or')}." if conditions else ""


def order_lines(summary: Summary) -> list[tuple[str, str]]:
    """The order by target and by budget and what becomes of it: setting and order, or setting and change."""
    spec = summary.spec
    found = sensitivity(summary)
    if found is None:
        return []
    nobody = "no method gets there"
    lines = [(f"{spec.budget} to {format_target(spec, found.target.at)}", _order(found.target) or nobody)]
    for order in found.other_targets:
        change = _list_changes(order) if order.swapped else "no change of places"
        lines.append((f"to {format_target(spec, order.at)} instead", change if order.groups else nobody))
    lines.append((f"validation {spec.workload.metric_name} at the end", _order(found.budget)))
    for order in found.other_budgets:
        change = _list_changes(order) if order.swapped else "no change of places"
        lines.append((f"at {format_share(order)} of the budget", change))
    return lines


def format_share(order: Order) -> str:
    return f"{100 * order.at:.0f}\N{NO-BREAK SPACE}%"


def _order(order: Order) -> str:
    return ", ".join(" = ".join(group) for group in order.groups)


def _list_changes(order: Order) -> str:
    """List what changes places, such as ``a changes places with b, c with d and 2 more pairs``."""
    named = [f"{a}{'' if i else ' changes places'} with {b}" for i, (a, b) in enumerate(order.swapped[:PAIRS_NAMED])]
    more = len(order.swapped) - len(named)
    return listed([*named, *([count(more, "more pair")] if more else [])], "and")


def _format_range(spec: Spec, sizes: Mapping[str, float]) -> str:
    """Format the smallest to the largest of the sizes that are known, with the methods they belong to."""
    known = {name: size for name, size in sizes.items() if math.isfinite(size)}
    if not known:
        return ""
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    low, high = format_size(spec, known[least]), format_size(spec, known[most])
    return low if low == high else f"{low} ({least}) to {high} ({most})"


def format_found(spec: Spec, row: Row) -> str:
    """The validation metric of the chosen point, as the search saw it."""
    return format_metric(spec, found_by_search(row))


def format_refound(spec: Spec, row: Row) -> str:
    """The same on the fresh seeds, or nothing."""
    value = refound(row)
    return "" if value is None else f"{format_metric(spec, value)} on fresh seeds"


def format_chosen_by(row: Row) -> str:
    """By what the point was chosen: ``fit`` or ``best score``."""
    choice = row.search.choice
    return NONE if choice is None else "best score" if choice.reason or choice.response is None else "fit"


def format_fit(spec: Spec, row: Row) -> str:
    """How well the response fits, or why there is none; or nothing, also where most of it is guessed from short
    runs."""
    choice = row.search.choice
    if choice is None:
        return ""
    if choice.reason or choice.response is None:
        return choice.reason
    said = "" if row.screened else f"explains {100 * choice.response.explained:.0f}\N{NO-BREAK SPACE}% of the spread"
    again = chosen_again(spec, row)
    if again is None:
        return said
    span = f"{again[0]:.3g} to {again[1]:.3g}" if again[0] < again[1] else f"{again[0]:.3g}"
    return f"{said}{'; ' if said else ''}lr {span} in 9 of 10 such searches"


def format_assured(spec: Spec, row: Row) -> str:
    """What another search of the same size finds or beats in 19 of 20 cases."""
    return format_metric(spec, assured(spec, row))


def format_half(spec: Spec, row: Row) -> str:
    """What half the search is expected to find, or nothing."""
    value = expected_of_half(spec, row)
    return "" if value is None else f"{format_metric(spec, value)} expected of {count(spec.trials // 2, 'trial')}"
