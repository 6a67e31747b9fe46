"""What a result rests on, in words."""

import dataclasses

import pytest

from steepest.compare.analysis.power import detectable_difference
from steepest.compare.analysis.summary import summarize
from steepest.compare.results.caveats import (
    caveats,
    format_assured,
    format_found,
    format_half,
    format_refound,
    search_sentence,
    seeds_sentence,
)
from steepest.compare.results.formats import format_size
from tests.compare.analysis.test_summary import final, make_spec, tune

NBSP = "\u00a0"


def search(method, *metrics):
    return [tune(method, i, x, status="diverged" if x is None else "finished") for i, x in enumerate(metrics)]


def finals(method, *metrics):
    return [final(method, s, x) for s, x in enumerate(metrics, 1)]


def test_the_seeds_in_words():
    spec = make_spec(("good", "twin", "slow"))
    base = finals("good", *[0.8] * 5)
    steady, shaky = (0.81, 0.82, 0.83, 0.82, 0.81), (0.7, 0.9, 0.8, 0.75, 0.85)
    summary = summarize(spec, [*base, *finals("twin", *steady), *finals("slow", *shaky)])
    small, large = (detectable_difference(spread, 5, 2) for spread in (0.0083666, 0.0790569))
    assert seeds_sentence(summary) == (
        f"Seeds: with 5 seeds you could have seen, 8 times in 10, a difference from good of {100 * small:.2f}{NBSP}pp "
        f"(twin) to {100 * large:.2f}{NBSP}pp (slow); smaller ones can be there unseen."
    )
    alone = summarize(make_spec(), [*base, *finals("twin", *steady)])
    assert f" {100 * detectable_difference(0.0083666, 5):.2f}{NBSP}pp; smaller" in seeds_sentence(alone)
    assert seeds_sentence(summarize(make_spec(seeds=1), [*finals("good", 0.8), *finals("twin", 0.9)])) == ""


def test_the_search_in_words():
    spec = make_spec(("good", "twin"))
    found = [*search("good", 0.5, 0.9, 0.8, 0.7), *search("twin", 0.9, 0.9, 0.9, 0.9)]
    assert search_sentence(summarize(spec, found)) == (
        f"Search: by validation accuracy, 2 of the 4 trials would be expected to end 0.00{NBSP}pp (twin) to "
        f"6.67{NBSP}pp (good) worse; another 4 would, 19 times in 20, end at most 0.00{NBSP}pp (twin) to 40.00{NBSP}pp "
        "(good) worse, and are as likely to end better."
    )
    risky = [*search("good", None, None, 0.8, None), *search("twin", None, None, None, None)]
    assert search_sentence(summarize(spec, risky)) == ""
    assert search_sentence(summarize(spec, found[:7])).count("40.00") == 1  # only of the search that is over
    one = dataclasses.replace(spec, trials=1)
    assert search_sentence(summarize(one, [*search("good", 0.9), *search("twin", 0.8)])) == ""


def test_a_row_of_the_search():
    spec = make_spec(("good",))
    records = [*search("good", 0.5, 0.9, 0.8, 0.7)]
    records += [dataclasses.replace(final("good", s, 0.8), validation_metric=0.8 + s / 100) for s in (1, 2, 3)]
    row = summarize(spec, records).rows[0]
    assert format_found(spec, row) == f"90.00{NBSP}%"
    assert format_refound(spec, row) == f"82.00{NBSP}% on fresh seeds"
    assert format_assured(spec, row) == f"50.00{NBSP}%"
    assert format_half(spec, row) == f"83.33{NBSP}% expected of 2 trials"
    nothing = summarize(spec, []).rows[0]
    assert [f(spec, nothing) for f in (format_found, format_refound, format_assured, format_half)] == ["-", "", "-", ""]


@pytest.mark.parametrize("records", [[], search("good", None, None, None, None), finals("good", 0.8)])
def test_nothing_is_said_without_runs_to_speak_of(records):
    assert caveats(summarize(make_spec(), records)) == []


def test_sizes_have_no_sign():
    spec, plain = make_spec(), make_spec(workload="marked")
    assert format_size(spec, -0.0123) == f"1.23{NBSP}pp"
    assert format_size(plain, 0.012345) == "0.01235"
    assert format_size(plain, None) == "-"
