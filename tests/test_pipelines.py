"""Pipelines: what each batch holds, in which order, and how rows line up."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.pipelines import lines, split, split_input_target, streams, windows

slow = settings(max_examples=25, deadline=None)
sizes = {"length": st.integers(1, 9), "batch_size": st.integers(1, 5), "spare": st.integers(0, 120)}


def batches(dataset):
    return [(inputs.numpy(), targets.numpy()) for inputs, targets in dataset]


def count_up(characters):
    """A text whose ids are their own positions, so that a batch shows where it was read."""
    return np.arange(characters, dtype=np.uint16)


@slow
@given(**sizes)
def test_stream_batch_k_plus_1_continues_batch_k(length, batch_size, spare):
    found = batches(streams(count_up(length * batch_size + 1 + spare), length, batch_size))
    for (earlier, _), (later, _) in zip(found, found[1:], strict=False):
        assert (later[:, 0] == earlier[:, -1] + 1).all()


@slow
@given(**sizes)
def test_stream_loses_nothing_but_the_ragged_end(length, batch_size, spare):
    text = count_up(length * batch_size + 1 + spare)
    read = np.concatenate([inputs for inputs, _ in batches(streams(text, length, batch_size))], axis=1)
    assert (np.sort(read, axis=None) == np.arange(read.size)).all()
    assert len(text) - 1 - read.size < length * batch_size


@slow
@given(**sizes)
def test_targets_are_inputs_one_character_on(length, batch_size, spare):
    text = count_up((length + 1) * batch_size + spare)
    for dataset in (streams(text, length, batch_size), windows(text, length, batch_size)):
        for inputs, targets in batches(dataset):
            assert inputs.dtype == targets.dtype == np.int32
            assert inputs.shape == (batch_size, length)
            assert (targets == inputs + 1).all()


@slow
@given(**sizes)
def test_windows_do_not_overlap_and_use_every_whole_window_the_batches_hold(length, batch_size, spare):
    text = count_up((length + 1) * batch_size + spare)
    dataset = windows(text, length, batch_size)
    starts = np.concatenate([inputs[:, 0] for inputs, _ in batches(dataset)])
    assert (starts % (length + 1) == 0).all() and len(set(starts)) == len(starts)
    assert len(starts) == len(dataset) * batch_size == len(text) // (length + 1) // batch_size * batch_size


def first_characters(dataset):
    return [int(inputs[0, 0]) for inputs, _ in batches(dataset)]


def test_windows_of_one_epoch_differ_in_order_from_the_next():
    dataset = windows(count_up(1000), 9, 1)
    first, second = first_characters(dataset), first_characters(dataset)
    assert first != second and sorted(first) == sorted(second) == list(range(0, 1000, 10))


def test_a_seed_repeats_the_orders_of_all_epochs():
    once, again = windows(count_up(1000), 9, 1, seed=5), windows(count_up(1000), 9, 1, seed=5)
    assert [first_characters(once) for _ in range(3)] == [first_characters(again) for _ in range(3)]
    assert first_characters(windows(count_up(1000), 9, 1, seed=6)) != first_characters(
        windows(count_up(1000), 9, 1, seed=5)
    )


def test_a_told_epoch_has_the_order_it_has_in_an_uninterrupted_run():
    dataset = windows(count_up(1000), 9, 1)
    orders = [first_characters(dataset) for _ in range(3)]
    assert first_characters(windows(count_up(1000), 9, 1, epoch=lambda: 2)) == orders[2]


def test_windows_unshuffled_come_in_the_order_of_the_text():
    assert first_characters(windows(count_up(1000), 9, 1, shuffle=False)) == list(range(0, 1000, 10))


def test_the_tutorial_gets_172_batches_of_64_windows_of_100():
    dataset = windows(np.zeros(1_115_394, np.uint8))
    assert len(dataset) == 172
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(64, 100), (64, 100)]


@pytest.mark.parametrize("feed", [windows, streams, functools.partial(lines, end=0)])
def test_nothing_tunes_a_pipeline_since_the_next_pass_may_wait_for_it_a_minute(feed):
    sizes = {"batch_size": 2} if isinstance(feed, functools.partial) else {"sequence_length": 4, "batch_size": 2}
    data = feed(np.arange(100, dtype=np.uint8) % 7, **sizes)
    assert not data.options().autotune.enabled and not data.skip(1).options().autotune.enabled


def test_the_text_is_read_through_a_view_and_not_copied():
    text = np.zeros(200, np.uint8)
    dataset = windows(text, 9, 2)
    text[:] = 7
    assert all((inputs == 7).all() for inputs, _ in batches(dataset))


def test_split_input_target_shifts_by_one():
    assert tuple(map(list, split_input_target(np.array([1, 2, 3])))) == ([1, 2], [2, 3])
    assert split_input_target("abc") == ("ab", "bc")


@given(st.integers(20, 5000), st.floats(0.06, 0.4), st.just(0.0) | st.floats(0.06, 0.4))
def test_split_parts_join_to_the_whole_text(characters, validation, test):
    text = count_up(characters)
    parts = split(text, validation, test)
    assert len(parts) == (3 if test else 2)
    assert (np.concatenate(parts) == text).all()
    assert all(np.shares_memory(part, text) for part in parts)


def test_split_is_nanogpts_on_shakespeare():
    assert [len(part) for part in split(np.zeros(1_115_394, np.uint8))] == [1_003_854, 111_540]


def test_split_rounds_as_arithmetic_does():
    assert [len(part) for part in split(count_up(100), 0.05, 0.05)] == [90, 5, 5]


@pytest.mark.parametrize("seed", [-1, None, 1.5])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}; it must be a whole number"):
        windows(count_up(100), 9, 1, seed=seed)


@pytest.mark.parametrize("shares", [{"validation": -0.1}, {"validation": 1.0}, {"validation": 0.6, "test": 0.5}])
def test_split_refuses_shares_that_leave_no_training_text(shares):
    with pytest.raises(ValueError, match="together below 1"):
        split(count_up(100), **shares)


def test_split_refuses_an_empty_part():
    with pytest.raises(ValueError, match="leave a part empty"):
        split(count_up(3)[:0])


@pytest.mark.parametrize("feed", [windows, streams])
@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("sequence_length", 0), ("batch_size", -3)])
def test_sizes_below_1_are_refused(feed, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be at least 1"):
        feed(count_up(1000), **{name: value})


def test_a_text_shorter_than_one_batch_is_refused_with_the_sum():
    with pytest.raises(ValueError, match=r"4,812 characters.*64 x sequence_length 100 needs 6,401. Lower one"):
        streams(count_up(4812))
    with pytest.raises(ValueError, match=r"6,463 characters.*needs 6,464"):
        windows(count_up(6463))
    assert len(streams(count_up(6401))) == len(windows(count_up(6464))) == 1


names = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=12)


@slow
@given(names=names, batch_size=st.integers(1, 4), shuffle=st.booleans())
def test_lines_hold_each_line_whole_with_its_start_and_end(names, batch_size, shuffle):
    batch_size = min(batch_size, len(names))
    ids = np.array([i for name in names for i in [*name, 0]], np.uint8)
    read = []
    for inputs, targets, weights in lines(ids, 0, batch_size, shuffle):
        assert inputs.shape == targets.shape == (batch_size, max(map(len, names)) + 1)
        np.testing.assert_allclose(np.mean(weights), 1, rtol=1e-5)
        for row, target, weight in zip(inputs.numpy(), targets.numpy(), weights.numpy(), strict=True):
            length = np.count_nonzero(weight)
            assert row[0] == 0 and target[length - 1] == 0 and (row[1:length] == target[: length - 1]).all()
            read.append(target[: length - 1].tolist())
    whole = len(names) // batch_size * batch_size
    assert len(read) == whole
    assert read == names[:whole] if not shuffle else all(read.count(name) <= names.count(name) for name in read)


def test_lines_skip_empty_ones_and_read_a_last_line_without_an_end():
    found = [
        targets.numpy()[0].tolist() for _, targets, _ in lines(np.array([0, 0, 1, 2, 0, 0, 3], np.uint8), 0, 1, False)
    ]
    assert found == [[1, 2, 0], [3, 0, 0]]


def test_lines_come_in_another_order_each_epoch_that_the_seed_repeats():
    ids = np.array([i for name in range(1, 40) for i in (name, 0)], np.uint8)
    first, again = lines(ids, 0, 4, seed=3), lines(ids, 0, 4, seed=3)
    epochs = [[inputs.numpy()[:, 1].tolist() for inputs, _, _ in dataset] for dataset in (first, first, again)]
    assert epochs[0] == epochs[2] != epochs[1]


@slow
@given(names=names, batch_size=st.integers(1, 15))
def test_without_dropping_the_remainder_every_line_is_read_and_weighs_by_its_characters(names, batch_size):
    ids = np.array([i for name in names for i in [*name, 0]], np.uint8)
    read, weighed = [], []
    for _, targets, weights in lines(ids, 0, batch_size, shuffle=False, drop_remainder=False):
        assert targets.shape[0] == batch_size
        weighed.append(weights.numpy())
        read += [target[weight > 0].tolist() for target, weight in zip(targets.numpy(), weights.numpy(), strict=True)]
    assert [target for target in read if target] == [[*name, 0] for name in names]
    weighed = np.concatenate(weighed)
    assert np.mean(weighed) == pytest.approx(1) and len(np.unique(weighed[weighed > 0])) == 1


@pytest.mark.parametrize(
    ("ids", "batch_size", "message"),
    [
        ([1, 0, 2, 0], 3, "2 lines are too few"),
        ([0, 0, 0], 1, "0 lines are too few"),
        ([1, 0], 0, "batch_size is 0"),
        ([1, 0] * 200 + [1] * 500, 2, "longest line has 500"),
    ],
)
def test_lists_that_cannot_be_fed_line_by_line_are_refused(ids, batch_size, message):
    with pytest.raises(ValueError, match=message):
        lines(np.array(ids, np.uint8), 0, batch_size)
