"""Recordings of event cameras: what is read of N-MNIST's files, how events become spikes, and what is refused."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.spiking.convolution import SpikingConv2d
from steepest.spiking.events import Events, encode_events, read_events, read_nmnist

LAST = 2**23 - 1  # the largest time of a record


def record(x, y, on, time):
    return bytes([x, y, on << 7 | time >> 16, time >> 8 & 255, time & 255])


def written(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(*one) for one in records))
    return path


def made(*records):
    x, y, on, time = zip(*records, strict=True) if records else ((), (), (), ())
    return Events(
        torch.tensor(x, dtype=torch.int64),
        torch.tensor(y, dtype=torch.int64),
        torch.tensor(on, dtype=torch.bool),
        torch.tensor(time, dtype=torch.int64),
    )


def rows(events):
    return list(zip(*(part.tolist() for part in events), strict=True))


def placed(spikes):
    return sorted(map(tuple, spikes.nonzero().tolist()))


pixels = st.integers(0, 33)
records = st.lists(st.tuples(pixels, pixels, st.booleans(), st.integers(0, LAST)), max_size=40)


@settings(deadline=None)
@given(records)
def test_what_is_written_is_read(tmp_path_factory, given_records):
    path = written(tmp_path_factory.mktemp("events") / "a.bin", *given_records)
    found = read_events(path)
    assert rows(found) == given_records
    assert [part.dtype for part in found] == [torch.int64, torch.int64, torch.bool, torch.int64]


def test_bytes_mean_x_then_y_then_polarity_and_the_time_with_its_highest_byte_first(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([33, 2, 0b1_0000001, 2, 3, 0, 31, 0b0_1111111, 255, 255]))
    assert rows(read_events(path)) == [(33, 2, True, 65536 + 512 + 3), (0, 31, False, LAST)]


def test_events_after_an_overflow_of_the_clock_are_later_and_the_overflow_is_none(tmp_path):
    path = written(tmp_path / "a.bin", (1, 1, 1, 8000), (0, 240, 0, 0), (2, 2, 1, 5), (9, 240, 1, 8191), (3, 3, 0, 7))
    assert rows(read_events(path)) == [(1, 1, True, 8000), (2, 2, True, 8192 + 5), (3, 3, False, 2 * 8192 + 7)]


def test_an_empty_recording_has_no_events_and_no_spikes(tmp_path):
    found = read_events(written(tmp_path / "a.bin"))
    assert [len(part) for part in found] == [0, 0, 0, 0]
    for by in ("count", "time"):
        assert not encode_events([found, made((0, 0, 1, 0))], by=by)[:, 0].any()


@pytest.fixture
def folder(tmp_path):
    for part, name, records in (
        ("Train/5", "00001.bin", [(1, 2, 1, 3)]),
        ("Train/0", "00002.bin", [(4, 5, 0, 6)]),
        ("Train/5", "00010.bin", [(7, 8, 0, 9), (7, 8, 1, 10)]),
        ("Test/7", "00001.bin", [(10, 11, 1, 12)]),
    ):
        written(tmp_path / part / name, *records)
    return tmp_path


def test_both_parts_are_found_in_the_order_of_their_files_names_with_their_digits(folder):
    train, test = read_nmnist(str(folder))
    assert train.labels.tolist() == [5, 0, 5]
    assert test.labels.tolist() == [7]
    assert [rows(one) for one in train] == [
        [(1, 2, True, 3)],
        [(4, 5, False, 6)],
        [(7, 8, False, 9), (7, 8, True, 10)],
    ]
    assert [len(one.x) for one in train[1:]] == [1, 2]
    assert rows(train[-1]) == rows(train[2])
    assert len(test) == 1


def test_files_are_read_when_they_are_asked_for(folder):
    train, _ = read_nmnist(folder)
    written(folder / "Train/5/00001.bin", (9, 9, 1, 9))
    assert rows(train[0]) == [(9, 9, True, 9)]
    (folder / "Train/0/00002.bin").unlink()
    with pytest.raises(InputError, match=r"00002\.bin' cannot be read"):
        train[1]


def test_other_files_are_left_aside(folder):
    (folder / "Train/5/notes.txt").write_text("abc")
    (folder / "Train/10").mkdir()
    written(folder / "Train/10/00003.bin", (1, 1, 1, 1))
    assert len(read_nmnist(folder).train) == 3


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^the folder of N-MNIST '.*nowhere' does not exist$"):
        read_nmnist(tmp_path / "nowhere")


@pytest.mark.parametrize("part", ["Train", "Test"])
def test_a_folder_without_a_part_is_refused(folder, part):
    (folder / part).rename(folder / "other")
    with pytest.raises(InputError, match=rf"{part}' must have folders 0 to 9 with recordings \(\*\.bin\), got none$"):
        read_nmnist(folder)


def test_a_file_that_is_cut_short_is_refused_before_anything_is_read(folder):
    path = folder / "Train/5/00010.bin"
    path.write_bytes(path.read_bytes()[:-1])
    sentence = r"00010\.bin' must have 5 bytes for each event, got 9 in all$"
    with pytest.raises(InputError, match=sentence):
        read_nmnist(folder)
    with pytest.raises(InputError, match=sentence):
        read_events(path)


@pytest.mark.parametrize(("x", "y"), [(34, 0), (0, 34), (255, 255), (240, 3)])
def test_events_off_the_sensor_are_refused(tmp_path, x, y):
    path = written(tmp_path / "a.bin", (1, 1, 1, 1), (x, y, 1, 2))
    with pytest.raises(InputError, match=rf"a\.bin' must lie on 34 by 34 pixels, got x = {x} and y = {y}$"):
        read_events(path)


def slow(events, steps, silent, height, width, by, first_only):
    """The spikes of one recording, event by event."""
    ordered = sorted(rows(events), key=lambda event: event[3])
    seen, kept = set(), []
    for place, (x, y, on, time) in enumerate(ordered):
        if not first_only or (x, y, on) not in seen:
            kept.append((place, x, y, on, time))
        seen.add((x, y, on))
    found = set()
    for rank, (_, x, y, on, time) in enumerate(kept):
        start, end = ordered[0][3], ordered[-1][3]
        step = rank * steps // len(kept) if by == "count" else (time - start) * steps // (end - start + 1)
        found.add((step, 0 if on else 1, y, x))
    return found


small = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans(), st.integers(0, 50)), min_size=1, max_size=40
)


@settings(deadline=None)
@given(
    st.lists(small, min_size=1, max_size=3),
    st.integers(1, 6),
    st.integers(0, 2),
    st.sampled_from(["count", "time"]),
    st.booleans(),
)
def test_spikes_are_those_found_event_by_event(batch, steps, silent, by, first_only):
    events = [made(*one) for one in batch]
    spikes = encode_events(events, steps=steps + silent, silent=silent, size=(3, 4), by=by, first_only=first_only)
    assert spikes.dtype == torch.bool
    assert spikes.shape == (steps + silent, len(batch), 2, 3, 4)
    for n, one in enumerate(events):
        assert {tuple(at) for at in spikes[:, n].nonzero().tolist()} == slow(one, steps, silent, 3, 4, by, first_only)


@settings(deadline=None)
@given(small, st.integers(1, 12))
def test_steps_have_equally_many_spikes_and_a_pixel_one_for_each_polarity(one, steps):
    spikes = encode_events(made(*one), steps=steps + 2, size=(3, 4))
    counts = spikes[:steps].flatten(1).sum(dim=1)
    assert int(counts.max() - counts.min()) <= 1
    assert int(spikes.sum(dim=0).max()) == 1
    assert not spikes[steps:].any()
    assert int(spikes.sum()) == len({event[:3] for event in one})


def test_a_recording_gives_the_same_alone_as_among_others():
    one, other = made((1, 2, 1, 30), (3, 0, 0, 10)), made((0, 0, 1, 5), (2, 2, 0, 6), (1, 1, 1, 7))
    both = encode_events([one, other])
    assert torch.equal(both[:, :1], encode_events(one))
    assert torch.equal(both[:, 1:], encode_events(other))


def test_the_defaults_are_the_form_of_encoded_images():
    spikes = encode_events([made((1, 2, 1, 30))] * 4)
    assert spikes.shape == (12, 4, 2, 34, 34)
    assert placed(spikes)[0] == (0, 0, 0, 2, 1)


def test_spikes_of_equal_spans_follow_the_clock_and_those_of_equal_counts_do_not():
    events = made((0, 0, 1, 0), (1, 0, 1, 1), (2, 0, 1, 2), (3, 0, 1, 99))
    assert [at[0] for at in placed(encode_events(events, steps=2, silent=0, by="time"))] == [0, 0, 0, 1]
    assert [at[0] for at in placed(encode_events(events, steps=2, silent=0))] == [0, 0, 1, 1]


def test_both_polarities_of_a_pixel_spike():
    events = made((1, 1, 1, 0), (1, 1, 0, 1), (1, 1, 1, 2), (1, 1, 0, 3))
    assert placed(encode_events(events, steps=2, silent=0)) == [(0, 0, 0, 1, 1), (1, 0, 1, 1, 1)]
    every = encode_events(events, steps=4, silent=0, first_only=False)
    assert placed(every) == [(0, 0, 0, 1, 1), (1, 0, 1, 1, 1), (2, 0, 0, 1, 1), (3, 0, 1, 1, 1)]


def test_events_that_are_out_of_order_are_put_in_order():
    events = made((1, 1, 1, 20), (2, 2, 1, 10))
    assert placed(encode_events(events, steps=2, silent=0)) == [(0, 0, 0, 2, 2), (1, 0, 0, 1, 1)]
    assert placed(encode_events(events, steps=2, silent=0, by="time")) == [(0, 0, 0, 2, 2), (1, 0, 0, 1, 1)]


def test_small_integers_do_not_overflow():
    x, y, on, time = made((33, 33, 0, 100), (1, 0, 1, 120), (33, 33, 0, 127))
    small = Events(x.to(torch.uint8), y.to(torch.int8), on, time.to(torch.int8))
    for by in ("count", "time"):
        assert torch.equal(encode_events(small, by=by), encode_events(Events(x, y, on, time), by=by))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"steps": 2.0}, "steps must be an integer of at least 1, got 2.0"),
        ({"silent": -1}, "silent must be an integer of at least 0, got -1"),
        ({"size": 34}, "size must be a height and a width, integers of at least 1, got 34"),
        ({"size": (0, 34)}, "size must be a height and a width, integers of at least 1, got (0, 34)"),
        ({"by": "events"}, "by must be 'count' or 'time', got 'events'"),
        ({"first_only": 1}, "first_only must be True or False, got 1"),
        ({"size": (2, 9)}, "events must lie within size, 2 rows and 9 columns, got x = 1 and y = 2"),
        ({"size": (9, 1)}, "events must lie within size, 9 rows and 1 columns, got x = 1 and y = 2"),
    ],
)
def test_options_out_of_range_are_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        encode_events(made((1, 2, 1, 30)), **options)


GOOD = made((1, 2, 1, 30), (1, 2, 0, 31))


@pytest.mark.parametrize(
    ("events", "kind", "sentence"),
    [
        ([], TypeError, "events must be Events, or a sequence of them, got an empty one"),
        (torch.zeros(3), TypeError, "events must be Events, or a sequence of them, got Tensor"),
        ([GOOD, 3], TypeError, "events must be Events, or a sequence of them, got list"),
        (
            GOOD._replace(time=GOOD.time[:1]),
            ValueError,
            "events must be four tensors of one length, got shapes (2,), (2,), (2,), (1,)",
        ),
        (
            GOOD._replace(polarity=GOOD.time),
            TypeError,
            "events must be integers x and y, bool polarity and integers time, got torch.int64, torch.int64, "
            "torch.int64, torch.int64",
        ),
        (
            GOOD._replace(x=-GOOD.x),
            ValueError,
            "events must lie within size, 34 rows and 34 columns, got x = -1 and y = 2",
        ),
    ],
)
def test_what_are_no_events_is_refused(events, kind, sentence):
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        encode_events(events)


def test_recordings_of_a_folder_are_encoded_as_they_are(folder):
    train, _ = read_nmnist(folder)
    assert torch.equal(encode_events(train), encode_events(list(train)))
    assert encode_events(train[:2]).shape[1] == 2


def test_layers_of_spikes_take_encoded_events():
    events = made((5, 5, 1, 0), (6, 5, 1, 1), (5, 6, 1, 2), (6, 6, 1, 3))
    layer = SpikingConv2d(2, 3, 5, threshold=3.0, inhibition=False)
    spikes = layer(encode_events([made((0, 0, 0, 0)), events], steps=6))
    assert spikes.shape == (6, 2, 3, 30, 30)
    assert not spikes[:, 0].any()
    assert spikes[3, 1, :, 2:6, 2:6].all()
