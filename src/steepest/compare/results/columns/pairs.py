"""Every two methods against each other."""

from steepest.compare.analysis.pairwise import Pair, all_pairs
from steepest.compare.analysis.summary import Summary
from steepest.compare.results.columns.parts import ends
from steepest.compare.results.formats import NONE, format_difference, format_difference_interval
from steepest.compare.spec import Spec
from steepest.page.table import Cell, Column, Plain


def pairs_of(summary: Summary) -> list[Pair]:
    """Every two methods, the better mean first; none if the study is not to say so."""
    if not summary.spec.pairs:
        return []
    return all_pairs(summary.spec, {row.method.name: row.finals for row in summary.rows})


def format_pair(pair: Pair) -> str:
    """The two, such as ``sngm - sgd``."""
    return f"{pair.first} - {pair.second}"


def format_finding(spec: Spec, pair: Pair) -> str:
    """Which of the two is better, if any."""
    if pair.tested.p_value is None:
        return "no verdict"
    higher = pair.better
    if higher is None:
        return "no difference seen"
    lower = pair.second if higher == pair.first else pair.first
    return f"{higher if spec.workload.higher_is_better else lower} is better"


def pair_columns(summary: Summary) -> list[Column[Pair]]:
    """Of every two methods."""
    spec = summary.spec

    def probability(pair: Pair) -> str:
        return NONE if pair.adjusted is None else f"{pair.adjusted:.2g}"

    def difference(pair: Pair) -> str:
        return format_difference(spec, pair.tested.difference)

    def interval(pair: Pair) -> str:
        return format_difference_interval(spec, pair.tested.interval)

    def finding(pair: Pair) -> str:
        return format_finding(spec, pair)

    return [
        Column(
            by="difference",
            values=lambda pair: {"difference": pair.tested.difference, **ends("difference", pair.tested.interval)},
            heading="Difference",
            under="paired, repeated 95 % interval" if spec.stopping else "paired, 95 % interval",
            cell=lambda pair: Cell(difference(pair), [interval(pair)]),
            markdown=(Plain("difference", difference), Plain("95 % interval", interval)),
            terminal=(Plain("difference", difference), Plain("95 % interval", interval)),
        ),
        Column(
            by="adjusted_p_value",
            values=lambda pair: {"p_value": pair.tested.p_value, "adjusted_p_value": pair.adjusted},
            heading="p",
            under="after Holm, over all pairs",
            cell=lambda pair: Cell(probability(pair)),
            markdown=(Plain("p after Holm", probability),),
            terminal=(Plain("p after Holm", probability),),
        ),
        Column(
            by="seeds",
            values=lambda pair: {"seeds": pair.tested.seeds},
            heading="Seeds",
            cell=lambda pair: Cell(str(pair.tested.seeds)),
            markdown=(Plain("seeds", lambda pair: str(pair.tested.seeds)),),
        ),
        Column(
            by="finding",
            values=lambda pair: {"finding": finding(pair)},
            heading="Verdict",
            cell=lambda pair: Cell(finding(pair)),
            number=False,
            markdown=(Plain("verdict", finding, left=True),),
            terminal=(Plain("verdict", finding, left=True),),
        ),
    ]
