import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD

from steepest.compare.points import before_asking, quasi_random_points
from steepest.training import Choice, Method, Range
from steepest.training.definitions.space import active, is_point, names_at, parents_first

shares = st.floats(0.0, 1.0, exclude_max=True)
integers = st.builds(
    lambda low, more, log: Range(low, low + more, log=log, integer=True),
    st.integers(1, 1000), st.integers(1, 1000), st.booleans(),
)  # fmt: skip
floats = st.builds(
    lambda low, factor, log: Range(low, low * factor, log=log), st.floats(1e-6, 1e3), st.floats(1.1, 1e6), st.booleans()
)
linear_integers = st.builds(
    lambda low, more: Range(low, low + more, log=False, integer=True), st.integers(-9, 9), st.integers(1, 20)
)
choices = st.lists(
    st.one_of(st.text("abc", min_size=1, max_size=3), st.integers(2, 9), st.tuples(st.floats(0, 1), st.floats(2, 3))),
    min_size=2, max_size=5, unique=True,
).map(lambda values: Choice(*values))  # fmt: skip


@st.composite
def spaces(draw):
    """Spaces in which later names may depend on earlier ones, in any order."""
    space = {}
    for i in range(draw(st.integers(1, 5))):
        domain = draw(st.one_of(integers, floats, choices))
        parents = [name for name, d in space.items() if isinstance(d, Choice) or d.integer]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            allowed = [space[parent].place(draw(shares)) for _ in range(draw(st.integers(1, 2)))]
            when = {parent: allowed}
            domain = (
                Choice(*domain.values, when=when) if isinstance(domain, Choice)
                else Range(domain.low, domain.high, domain.log, domain.integer, when)
            )  # fmt: skip
        space[f"h{i}"] = domain
    return dict(draw(st.permutations(list(space.items()))))


@settings(max_examples=100, deadline=None)
@given(domain=st.one_of(integers, floats, choices), share=shares, other=shares)
def test_a_share_of_a_domain_is_a_value_of_it_and_of_ranges_a_larger_share_no_smaller_one(domain, share, other):
    values = [domain.place(u) for u in sorted((share, other))]
    assert all(map(domain.holds, values))
    if isinstance(domain, Range):
        assert values[0] <= values[1]
        assert all(isinstance(value, int if domain.integer else float) for value in values)


@settings(max_examples=50, deadline=None)
@given(domain=st.one_of(choices, linear_integers))
def test_every_value_of_a_choice_or_of_integers_has_an_equal_part_of_the_shares(domain):
    values = domain.values if isinstance(domain, Choice) else range(domain.low, domain.high + 1)
    middles = [(i + 0.5) / len(values) for i in range(len(values))]
    assert [domain.place(u) for u in middles] == list(values)
    assert [domain.place(u - 0.49 / len(values)) for u in middles] == list(values)
    assert [domain.place(u + 0.49 / len(values)) for u in middles] == list(values)


def test_integers_in_their_logarithm_have_parts_as_wide_as_their_logarithms_are():
    domain = Range(1, 100, integer=True)
    drawn = [domain.place((i + 0.5) / 10_000) for i in range(10_000)]
    for value in (1, 2, 10, 100):
        width = math.log((value + 0.5) / (value - 0.5)) / math.log(100.5 / 0.5)
        assert drawn.count(value) == pytest.approx(10_000 * width, abs=1.5)


@settings(max_examples=40, deadline=None)
@given(space=spaces(), seed=st.integers(0, 3))
def test_the_points_of_a_space_are_points_of_it_whatever_depends_on_what(space, seed):
    points = quasi_random_points(space, 12, seed)
    assert all(is_point(space, point) for point in points)
    assert points[:5] == quasi_random_points(space, 5, seed)
    assert all(list(point) == [name for name in space if name in point] for point in points)


@settings(max_examples=40, deadline=None)
@given(space=spaces(), seed=st.integers(0, 3))
def test_what_is_not_searched_keeps_its_dimension_so_that_conditions_move_no_other_value(space, seed):
    free = {
        name: Choice(*d.values) if isinstance(d, Choice) else Range(d.low, d.high, d.log, d.integer)
        for name, d in space.items()
    }
    for point, all_of_it in zip(quasi_random_points(space, 8, seed), quasi_random_points(free, 8, seed), strict=True):
        assert point == active(space, all_of_it)


@settings(max_examples=40, deadline=None)
@given(space=spaces())
def test_a_point_with_more_or_less_than_is_searched_is_none(space):
    point = quasi_random_points(space, 1)[0]
    for name in point:
        without = {other: value for other, value in point.items() if other != name}
        assert not is_point(space, without)
    for name in space.keys() - point.keys():
        assert not is_point(space, {**point, name: space[name].middle})
    assert names_at(space, point) == point.keys()
    order = parents_first(space)
    assert all(order.index(other) < order.index(name) for name, d in space.items() for other in d.when or {})


def test_what_depends_on_nothing_that_is_searched_is_not_searched():
    space = {
        "a": Choice(1, 2),
        "b": Choice(3, 4, when={"a": 1}),
        "c": Choice(5, 6, when={"b": 3}),
    }
    assert active(space, {"a": 2, "b": 3, "c": 5}) == {"a": 2}
    assert active(space, {"a": 1, "b": 3, "c": 5}) == {"a": 1, "b": 3, "c": 5}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Choice("a"), "a choice needs at least two values, got 'a'"),
        (lambda: Choice(1, True), "the values of a choice must differ, got True twice"),
        (lambda: Choice(1.0, {}), "a value of a choice must be a finite number, a text"),
        (lambda: Choice(1.0, math.nan), "a value of a choice must be a finite number, a text"),
        (lambda: Range(1, 2.5, integer=True), "a range of integers needs whole ends, got 1.0:2.5"),
        (lambda: Range(1, 2, when={}), "when must map a hyperparameter to its value"),
        (lambda: Range(1, 2, when={"a": []}), "when must name a value of 'a'"),
        (lambda: method(x=Range(1, 2, when={"y": 1})), "when of 'x' must name what is searched too, one of lr"),
        (lambda: method(x=Range(1, 2, when={"lr": 1})), "must name a choice or a range of integers, got 'lr'"),
        (lambda: method(x=Range(1, 2, when={"y": 3}), y=Choice(1, 2)), "'x' must be a value of 'y', 1,2, got 3"),
        (lambda: method(x=Choice(1, 2, when={"y": 1}), y=Choice(1, 2, when={"x": 1})), "depends on itself"),
        (lambda: method(lr=Choice("a", "b")), "lr must be a number in every trial"),
        (lambda: method(lr=Range(1, 2, when={"y": 1}), y=Choice(1, 2)), "lr must be searched in every trial"),
        (lambda: method(lr_scale=Range(1, 2)), "'lr_scale' must say of which parameters"),
        (lambda: method(**{"lr@": Range(1, 2)}), "'lr@' must be NAME@PATTERN"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        make()
    assert sentence in str(raised.value)


def method(**space):
    return Method("m", SGD, space={"lr": Range(0.1, 1.0), **space})


def test_a_range_pickles_as_it_did_and_reads_what_older_versions_pickled():
    assert vars(Range(0.1, 1.0)) | {} == {"low": 0.1, "high": 1.0, "log": True, "integer": False, "when": None}
    assert Range(0.1, 1.0).__reduce_ex__(4)[2] == {"low": 0.1, "high": 1.0, "log": True}
    for domain in (Range(0.1, 1.0), Range(1, 5, integer=True, when={"a": 1}), Choice((0.9, 0.99), None, when={"a": 1})):
        assert pickle.loads(pickle.dumps(domain)) == domain
        assert eval(repr(domain)) == domain


def test_a_search_by_tpe_begins_with_two_points_for_each_hyperparameter_and_four_at_least():
    five = {f"h{i}": Range(0.1, 1.0) for i in range(5)}
    assert [before_asking(five, n) for n in (3, 10, 20)] == [3, 10, 10]
    assert before_asking({"lr": Range(0.1, 1.0)}, 20) == 4


@settings(max_examples=40, deadline=None)
@given(space=spaces())
def test_a_space_is_the_same_once_it_has_been_json(space):
    from dataclasses import asdict

    from steepest.training.definitions.space import domain_from, plain_domain

    text = json.dumps({name: plain_domain(asdict(domain)) for name, domain in space.items()})
    assert {name: domain_from(raw) for name, raw in json.loads(text).items()} == space
