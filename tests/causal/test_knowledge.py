"""What is known beforehand is kept to by every order and graph, and what contradicts itself is refused."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steepest.causal.knowledge import Knowledge

NAMES = ["a", "b", "c", "d", "e"]
PAIRS = list(itertools.permutations(NAMES, 2))


@st.composite
def asked(draw):
    levels = draw(st.lists(st.integers(0, 3), min_size=5, max_size=5))  # 3: in no tier
    tiers = [[name for name, level in zip(NAMES, levels, strict=True) if level == at] for at in range(3)]
    return {
        "tiers": tiers,
        "forbidden": draw(st.lists(st.sampled_from(PAIRS), max_size=4)),
        "required": draw(st.lists(st.sampled_from(PAIRS), max_size=3)),
    }


def known(options):
    try:
        return Knowledge(NAMES, **options)
    except ValueError:
        assume(False)


@settings(deadline=None)
@given(asked(), st.permutations(range(5)))
def test_an_order_keeps_to_it_and_changes_no_more_than_it_must(options, order):
    found = known(options)
    extended = found.extend(order)
    assert sorted(extended) == list(range(5))
    place = {item: at for at, item in enumerate(extended)}
    level = {name: at for at, tier in enumerate(options["tiers"]) for name in tier}
    for cause, effect in options["required"]:
        assert place[NAMES.index(cause)] < place[NAMES.index(effect)]
    for one, other in itertools.permutations(level, 2):
        assert level[one] >= level[other] or place[NAMES.index(one)] < place[NAMES.index(other)]
    assert found.extend(extended) == extended


@settings(deadline=None)
@given(asked())
def test_masks_say_what_is_allowed(options):
    found = known(options)
    level = {name: at for at, tier in enumerate(options["tiers"]) for name in tier}
    for i, j in itertools.permutations(range(5), 2):
        cause, effect = NAMES[i], NAMES[j]
        forbidden = (cause, effect) in options["forbidden"] or level.get(cause, 0) > level.get(effect, 9)
        if (cause in level and effect in level) or (cause, effect) in options["forbidden"]:
            assert (found.allowed[j] >> i & 1) == (not forbidden)
        assert (found.required[j] >> i & 1) == ((cause, effect) in options["required"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"required": [("a", "b"), ("b", "c"), ("c", "a")]}, "required must not go in a circle, got a -> b -> c -> a"),
        ({"required": [("b", "a")], "tiers": [["a"], ["b"]]}, "forbidden or against the tiers, got b -> a"),
        ({"required": [("a", "b")], "forbidden": [("a", "b")]}, "required must not be forbidden"),
        ({"required": [("b", "c"), ("c", "a")], "tiers": [["a"], ["b"]]}, "required and tiers must not contradict"),
        ({"forbidden": [("a", "z")]}, "forbidden must name columns of the data that vary, got 'z'"),
        ({"tiers": [["a", "z"]]}, "tiers must name columns of the data that vary, got 'z'"),
        ({"tiers": [["a"], ["a"]]}, "tiers must name a variable once, got 'a' twice"),
        ({"required": [("a", "a")]}, "required must be edges between two variables, got 'a' twice"),
        ({"required": ["ab"]}, "required must be pairs of a cause and its effect, got 'ab'"),
        ({"required": [("a", "b", "c")]}, "required must be pairs"),
    ],
)  # fmt: skip
def test_contradictions_are_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Knowledge(NAMES, **options)
