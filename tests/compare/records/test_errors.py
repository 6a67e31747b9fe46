"""What is told of a run that failed."""

import traceback

import pytest

from steepest.compare.records.errors import headline, summary, users_place


def raised(function):
    try:
        function()
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def users_function(message, kind=RuntimeError):
    def function():
        raise kind(message)

    return function


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("one line", "RuntimeError: one line"),
        ("first\nsecond", "RuntimeError: first ..."),
        ("first\n\n  \n", "RuntimeError: first"),
        ("Error(s) in loading state_dict for Linear:\n\tMissing key(s): bias.\n\tsize mismatch", "RuntimeError: "
         "Error(s) in loading state_dict for Linear: Missing key(s): bias. ..."),
        ("CUDA error: device-side assert triggered\nCUDA kernel errors might be\nFor debugging", "RuntimeError: "
         "CUDA error: device-side assert triggered ..."),
        ("", "RuntimeError"),
        ("\nafter an empty line", "RuntimeError: after an empty line"),
    ],
)  # fmt: skip
def test_an_error_is_told_by_its_type_and_first_line(message, told):
    assert summary(raised(users_function(message))) == told


def test_an_error_from_an_error_is_told_by_the_last():
    def function():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer\nmore") from error

    assert summary(raised(function)) == "ValueError: outer ..."


def test_of_several_errors_in_a_group_the_first_is_told_with_the_sum():
    def function():
        try:
            raise ExceptionGroup("two layers", [ValueError("Error(s):\n\n\tmissing"), KeyError("second")])
        except ExceptionGroup as error:
            raise BaseExceptionGroup("outer", [error, KeyboardInterrupt()]) from KeyError("cause")

    told = "BaseExceptionGroup: outer (2 sub-exceptions), the first: ValueError: Error(s): missing"
    assert summary(raised(function)) == told


def test_a_long_error_is_cut():
    assert len(summary(raised(users_function("x" * 5000)))) < 310


def test_what_is_no_traceback_is_told_as_it_is():
    assert headline("The process of this run died 5 times.") == "The process of this run died 5 times."
    assert headline("") == "an error without a text"


def test_the_place_is_the_users_own_line_and_not_torchs():
    import torch

    def function():
        torch.zeros(2) @ torch.zeros(3)
        return torch.nn.functional.cross_entropy(1, 2)

    error = raised(function)
    assert users_place(error).endswith(f"test_errors.py:{function.__code__.co_firstlineno + 1}")
    assert headline(error).endswith(f"({users_place(error)})")


def test_an_interrupt_and_an_exit_are_told_too():
    assert summary(raised(users_function("", KeyboardInterrupt))) == "KeyboardInterrupt"
    assert summary(raised(users_function("bye", SystemExit))) == "SystemExit: bye"
