"""The scenes of notebook 10: what is drawn is what was asked for, and two things are never hard to tell apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.lessons.scenes import COLOURS, DOUBT, GAP, KINDS, SHAPES, SIDE, SIZES, Thing, draw, scatter, side_by_side


def ground(picture):
    return picture[0, 0]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_thing_is_drawn_in_its_colour_within_its_size_and_nowhere_else(kind):
    thing = Thing(*kind, 15, 15)
    picture = draw([(thing,)])[0]
    changed = np.abs(picture - ground(picture)).sum(axis=-1) > 1e-6
    down, across = np.nonzero(changed)
    radius = SIZES[thing.size]
    assert max(abs(down - 15).max(), abs(across - 15).max()) <= radius + 1
    assert max(np.ptp(down), np.ptp(across)) >= 1.5 * radius
    assert (np.abs(picture - COLOURS[thing.colour]).sum(axis=-1) < 0.02).any()


def test_shapes_of_one_size_and_colour_are_different_pictures():
    pictures = draw([(Thing("small", "white", shape, 15, 15),) for shape in SHAPES])
    for number, picture in enumerate(pictures):
        others = np.delete(pictures, number, axis=0)
        assert (np.abs(others - picture).sum(axis=(1, 2, 3)) > 6).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_two_things_keep_their_distance_and_lie_clearly_beside_or_above_each_other(seed):
    scenes = scatter(20, KINDS, np.random.default_rng(seed), things=(2,))
    for one, other in scenes:
        across, down = abs(one.x - other.x), abs(one.y - other.y)
        assert max(across, down) >= SIZES[one.size] + SIZES[other.size] + GAP
        assert abs(across - down) >= DOUBT
        for thing in (one, other):
            assert SIZES[thing.size] <= min(thing.x, thing.y)
            assert max(thing.x, thing.y) <= SIDE - 1 - SIZES[thing.size]


def test_scenes_hold_the_kinds_that_were_asked_for_and_as_many_things():
    kinds = KINDS[:3]
    scenes = scatter(200, kinds, np.random.default_rng(0))
    assert {thing.kind for scene in scenes for thing in scene} == set(kinds)
    assert {len(scene) for scene in scenes} == {1, 2}
    assert scenes == scatter(200, kinds, np.random.default_rng(0))


def test_pictures_with_shades_and_noise_are_all_different_and_stay_between_0_and_1():
    scene = scatter(1, KINDS, np.random.default_rng(0))[0]
    pictures = draw([scene] * 5, np.random.default_rng(0))
    assert pictures.min() >= 0 and pictures.max() <= 1 and pictures.dtype == np.float32
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_no_kind_or_three_things_are_refused():
    with pytest.raises(ValueError, match="0 kinds"):
        scatter(1, [], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(3,\) things"):
        scatter(1, KINDS, np.random.default_rng(0), things=(3,))


def test_digits_stand_from_left_to_right_each_whole():
    digits = [np.full((8, 8), 16.0 / (place + 1)) for place in range(4)]
    picture = side_by_side([digits], np.random.default_rng(0))[0, ..., 0]
    columns = [picture[:, 8 * place : 8 * place + 8] for place in range(4)]
    tops = []
    for place, column in enumerate(columns):
        rows, _ = np.nonzero(column > ground(picture[..., None])[0] + 1e-6)
        assert len(rows) == 64
        np.testing.assert_allclose(column.max(), 0.15 + 0.85 / (place + 1), rtol=1e-5)
        tops.append(rows.min())
    assert len(set(tops)) > 1
    middle = side_by_side([digits[:1]])[0, ..., 0]
    assert middle[12:20, 12:20].min() > 0.9 and (middle > 0.2).sum() == 64
