"""What notebook 10 shows its networks: scenes of coloured shapes, and handwritten digits put side by side.

A scene is a tuple of `Thing`; `draw` makes a picture of it. What is said about it is the notebook's business.
"""

import itertools
from typing import NamedTuple

import numpy as np

SIDE = 32  # pixels
SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLOURS = {
    "red": (0.85, 0.15, 0.15),
    "green": (0.15, 0.65, 0.2),
    "blue": (0.2, 0.35, 0.95),
    "yellow": (0.95, 0.85, 0.15),
    "purple": (0.6, 0.2, 0.75),
    "white": (0.95, 0.95, 0.95),
}
SIZES = {"small": 4.0, "large": 6.5}  # radius, pixels
KINDS = tuple(itertools.product(SIZES, COLOURS, SHAPES))
GAP = 1  # pixels between two things, at least
DOUBT = 6  # pixels by which two things lie farther apart along one axis than along the other, at least
NOISE, SHADE = 0.03, 0.12  # of a pixel, and of a thing's colour and the ground: standard deviation, and half a range
GROUND = 0.15
DIGIT_SIDE, WOBBLE = 8, 4  # pixels


class Thing(NamedTuple):
    """A shape in a picture."""

    size: str
    colour: str
    shape: str
    x: float  # pixels from the left
    y: float  # pixels from the top

    @property
    def kind(self):
        """Size, colour and shape."""
        return self[:3]


def scatter(count, kinds, random, things=(1, 2)):
    """Put things of given kinds at random places: a list of scenes.

    Two things never touch, and lie clearly side by side or clearly one above the other.

    Args:
        count: scenes.
        kinds: (size, colour, shape), from `KINDS`, one of which is drawn for each thing.
        random: a `numpy.random.Generator`.
        things: how many a scene may have, 1 or 2.

    Returns:
        A list of tuples of `Thing`.

    Raises:
        ValueError: no kind to draw from, or more than two things.
    """
    if not kinds or not set(things) <= {1, 2}:
        raise ValueError(f"{len(kinds)} kinds, {things} things: give at least one kind, and 1 or 2 things to a scene.")
    return [_scene(random.choice(things), kinds, random) for _ in range(count)]


def _scene(count, kinds, random):
    while True:
        drawn = [kinds[random.integers(len(kinds))] for _ in range(count)]
        scene = tuple(Thing(*kind, *random.uniform(SIZES[kind[0]] + 1, SIDE - SIZES[kind[0]] - 2, 2)) for kind in drawn)
        if count == 1 or _is_clear(*scene):
            return scene


def _is_clear(one, other):
    across, down = abs(one.x - other.x), abs(one.y - other.y)
    apart = max(across, down) - SIZES[one.size] - SIZES[other.size]
    return apart >= GAP and abs(across - down) >= DOUBT


def draw(scenes, random=None):
    """Draw scenes.

    Args:
        scenes: list of tuples of `Thing`.
        random: a `numpy.random.Generator` for shades and noise; None for clean pictures.

    Returns:
        (scenes, SIDE, SIDE, 3) float32, red, green and blue from 0 to 1.
    """
    pictures = np.full((len(scenes), SIDE, SIDE, 3), GROUND, np.float32)
    for picture, scene in zip(pictures, scenes):
        if random is not None:
            picture += random.uniform(-SHADE, SHADE)
        for thing in scene:
            cover, colour = _cover(thing)[..., None], np.array(COLOURS[thing.colour], np.float32)
            if random is not None:
                colour = colour + random.uniform(-SHADE, SHADE, 3).astype(np.float32)
            picture += cover * (colour - picture)
    if random is not None:
        pictures += NOISE * random.standard_normal(pictures.shape, np.float32)
    return pictures.clip(0, 1)


def _cover(thing):
    """How much of each pixel a thing covers, (SIDE, SIDE): its edge is as soft as a pixel is wide."""
    down, across = np.ogrid[:SIDE, :SIDE]
    x, y, radius = across - thing.x, down - thing.y, SIZES[thing.size]
    return np.clip(radius + 0.5 - _distance(thing.shape, x, y, radius), 0, 1).astype(np.float32)


def _distance(shape, x, y, radius):
    """How far a pixel lies from the middle, counted so that the shape ends at its radius."""
    if shape == "circle":
        return np.hypot(x, y)
    if shape == "square":
        return 1.1 * np.maximum(abs(x), abs(y))
    if shape == "triangle":
        return np.maximum(1.2 * y, 1.5 * abs(x) - 0.75 * y + 0.25 * radius)
    if shape == "ring":
        return 2.6 * abs(np.hypot(x, y) - 0.75 * radius) + 0.3 * radius
    return np.minimum(np.maximum(abs(x), 3 * abs(y)), np.maximum(3 * abs(x), abs(y)))  # a cross


def side_by_side(digits, random=None):
    """Put handwritten digits into one picture, from left to right, each at a height of its own.

    Args:
        digits: list of lists of up to four (8, 8) pictures, 0 to 16, as scikit-learn's `load_digits` has them.
        random: a `numpy.random.Generator` that shifts each of them up or down by up to `WOBBLE` pixels; None for none.

    Returns:
        (pictures, SIDE, SIDE, 3) float32 from 0 to 1, white on grey.
    """
    pictures = np.full((len(digits), SIDE, SIDE, 3), GROUND, np.float32)
    for picture, row in zip(pictures, digits):
        left = (SIDE - DIGIT_SIDE * len(row)) // 2
        for place, digit in enumerate(row):
            shift = 0 if random is None else random.integers(-WOBBLE, WOBBLE + 1)
            top, start = (SIDE - DIGIT_SIDE) // 2 + shift, left + DIGIT_SIDE * place
            ink = np.asarray(digit, np.float32)[..., None] / 16
            picture[top : top + DIGIT_SIDE, start : start + DIGIT_SIDE] += ink * (1 - GROUND)
    return pictures
