"""How often a run is tried again whose process ended under it."""

import pytest

from steepest._errors import StudyError
from steepest.compare.running.deaths import Deaths

KEYS = [("w", "sgd", "tune", i) for i in range(5)]


def attempts(reason, deaths=None, key=KEYS[0]):
    deaths = deaths or Deaths()
    return next(i for i in range(1, 100) if deaths.died(key, reason) is not None)


@pytest.mark.parametrize("reason", ["exit code 3", "exit code 0", "exit code -11", "exit code -6"])
def test_a_process_that_ends_by_itself_is_tried_twice(reason):
    assert attempts(reason) == 2


@pytest.mark.parametrize("reason", ["exit code -9", "exit code -15", "Ray saying: the node was lost"])
def test_one_that_somebody_may_have_killed_is_tried_five_times(reason):
    assert attempts(reason) == 5


def test_a_run_that_gets_further_has_all_attempts_again():
    deaths = Deaths()
    deaths.died(KEYS[0], "exit code 3")
    deaths.got_to(KEYS[0], 0.5)
    assert attempts("exit code 3", deaths) == 2
    deaths.got_to(KEYS[0], 0.5)  # no further than before
    assert deaths[KEYS[0]] == 2


def lose(deaths, keys, reason="exit code 3"):
    for key in keys:
        attempts(reason, deaths, key)
        deaths.check_hope()


def test_when_the_first_runs_all_died_alike_the_study_gives_up():
    deaths = Deaths()
    lose(deaths, KEYS[:2])
    with pytest.raises(StudyError, match=r"the processes of the first 3 runs all died with exit code 3"):
        lose(deaths, KEYS[2:])


def test_it_goes_on_where_anything_else_ended_or_they_died_differently():
    deaths = Deaths()
    deaths.ended()
    lose(deaths, KEYS)
    deaths = Deaths()
    lose(deaths, KEYS[:1], "exit code 4")
    lose(deaths, KEYS[1:])
