"""Look among a network's units for those that follow a feature of the text, and see how its gates are used."""

import functools
from typing import NamedTuple

import numpy as np

from charlm.inspection.trace import GATES, Unit, readable

STATES = ("hidden", "cell")
UNITS_AT_ONCE = 32  # that are scored
FEWEST = 10  # characters at which a yes-or-no feature must hold, and at which it must not, in either half of the text


class Cell(NamedTuple):
    """A unit that follows a feature."""

    unit: Unit
    score: float  # AUC or correlation, on the half of the text on which nothing was chosen
    fitted: float  # the same on the half on which the unit and its direction were chosen
    direction: int  # 1 where the unit is high when the feature is, -1 where it is low then
    threshold: float | None  # of a yes-or-no feature: the value that best tells yes from no on the first half

    def __str__(self):
        border = "" if self.threshold is None else f", threshold {self.threshold:.3f}"
        side = "high" if self.direction > 0 else "low"
        return f"{self.unit!s:24} {self.score:.3f} ({self.fitted:.3f} where chosen), {side}{border}"


class Search(NamedTuple):
    """What `find_cells` found, best first by the half on which the units were chosen."""

    measure: str  # "AUC", of 0.5 at chance, or "correlation", of 0 at chance
    cells: tuple
    chance: float  # the best score of the same search over shuffled features
    searched: int  # units

    @property
    def found(self):
        """Whether the best unit's score is nearer to perfect than to chance."""
        return self.cells[0].score > (1 + self.chance) / 2

    def __repr__(self):
        units, chance = f"{self.searched:,} units", f"the best on shuffled features: {self.chance:.3f}"
        head = f"{self.measure} on the second half; {units}; {chance}"
        verdict = "" if self.found else "Nothing found: the best is nearer to chance than to 1. "
        return "\n".join([verdict + head, *map(str, self.cells)])


def find_cells(trace, feature, top=5, signals=STATES, shuffles=10, seed=0):
    """Look for units that follow a feature: chosen on the first half of the text, scored on the second.

    A yes-or-no feature is told by one threshold, and a unit's score is its AUC: the chance that the unit is higher at a
    character with the feature than at one without (or lower, whichever the first half says). A number is told by a
    straight line, and the score is the correlation. The same search for shuffled features says what chance can do with
    so many units. To shuffle, each half of the feature is shifted in a circle, so that its runs stay as long as they are.

    Args:
        trace: from `trace`.
        feature: (characters,) booleans or numbers, or a function that makes them of a text, as in `charlm.inspection.features`:
            what holds once each character has been read.
        top: units to return.
        signals: those to look among, where the trace has them.
        shuffles: shuffled features.
        seed: whole number that repeats the shuffles.

    Returns:
        A `Search`; `found` says whether there is anything to it.

    Raises:
        ValueError: a feature of another length than the text, with values that are not finite numbers, or (almost)
            the same everywhere in one half; or no signal to look among.
    """
    feature = _check_feature(feature(trace.text) if callable(feature) else feature, len(trace.text))
    searched = {key: array for key, array in trace.signals.items() if key[1] in signals}
    if not searched:
        raise ValueError(f"The trace holds none of {', '.join(signals)}; pass signals that it has, or trace them.")
    middle = len(feature) // 2
    halves = slice(None, middle), slice(middle, None)
    random = np.random.default_rng(seed)
    first, second = (_with_shuffled(feature[half], shuffles, random) for half in halves)
    score = _rank_score if feature.dtype == bool else _linear_score
    units = [Unit(*key, int(number)) for key in searched for number in trace.units]
    blocks = (block for key, array in searched.items() for block in _blocks(key[1], array[halves[0]]))
    fitted = np.concatenate([score(block, first) for block in blocks])
    held_out = functools.cache(lambda place: score(trace.values(units[place])[None, halves[1]], second)[0])
    best = np.argsort(-np.abs(fitted), axis=0, kind="stable")  # (units, 1 + shuffles)
    cells = [_cell(trace, units[p], feature[halves[0]], fitted[p, 0], held_out(p)[0]) for p in best[:top, 0]]
    chances = [held_out(p)[n] * np.sign(fitted[p, n]) for n, p in enumerate(best[0]) if n > 0]
    measure = "AUC" if feature.dtype == bool else "correlation"
    return Search(measure, tuple(cells), _as_measure(max(chances, default=0.0), feature.dtype == bool), len(units))


def _blocks(signal, array):
    """Yield a few units at a time, each unit in one piece: (units, characters) float32."""
    for start in range(0, array.shape[1], UNITS_AT_ONCE):
        yield readable(signal, np.ascontiguousarray(array[:, start : start + UNITS_AT_ONCE].T))


def _cell(trace, unit, feature, fitted, held_out):
    direction = 1 if fitted >= 0 else -1
    yes_or_no = feature.dtype == bool
    values = trace.values(unit)[: len(feature)]
    threshold = direction * _threshold(direction * values, feature) if yes_or_no else None
    score, chosen = (_as_measure(direction * value, yes_or_no) for value in (held_out, fitted))
    return Cell(unit, score, chosen, direction, threshold)


def _as_measure(score, yes_or_no):
    """Turn 2 AUC - 1, which like a correlation is 0 at chance, into AUC."""
    return float((1 + score) / 2 if yes_or_no else score)


def _check_feature(feature, characters):
    feature = np.asarray(feature)
    if feature.shape != (characters,):
        raise ValueError(
            f"The feature has shape {feature.shape} and the text {characters:,} characters; give one for each."
        )
    if feature.dtype != bool:
        feature = feature.astype(np.float64)
        if not np.isfinite(feature).all():
            raise ValueError("The feature has values that are not finite numbers; give every character one.")
    for name, half in (("first", feature[: characters // 2]), ("second", feature[characters // 2 :])):
        common = max(np.unique(half, return_counts=True)[1], default=0)
        if len(half) - common < FEWEST or common < (FEWEST if feature.dtype == bool else 0):
            raise ValueError(
                f"The feature is the same at all but {len(half) - common} of the {len(half):,} characters in the {name} "
                f"half of the text; at least {FEWEST} are needed to tell anything. Trace a longer text."
            )
    return feature


def _with_shuffled(feature, shuffles, random):
    """Put a feature beside `shuffles` copies, each shifted in a circle by another distance: (1 + shuffles, characters)."""
    distances = random.integers(len(feature) // 10, len(feature) - len(feature) // 10, shuffles)
    return np.stack([feature, *(np.roll(feature, distance) for distance in distances)]).astype(np.float64)


def _rank_score(values, features):
    """2 AUC - 1 of each unit for each feature, from the sum of ranks (Mann and Whitney 1947): (units, features)."""
    holding, characters = features.sum(axis=1), features.shape[1]
    above = np.stack([_ranks(unit) for unit in values]) @ features.T - holding * (holding + 1) / 2
    return 2 * above / (holding * (characters - holding)) - 1


def _ranks(values):
    """The place of each value in the order of all, from 1; equal values share their mean place."""
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def _linear_score(values, features):
    """The correlation of each unit with each feature, 0 for a unit that never moves: (units, features)."""
    values, features = (x - x.mean(axis=1, keepdims=True, dtype=np.float64) for x in (values, features))
    spread = np.sqrt(np.outer((values**2).sum(axis=1), (features**2).sum(axis=1)))
    return np.divide(values @ features.T, spread, out=np.zeros(spread.shape), where=spread > 0)


def _threshold(values, feature):
    """The border above which a character is called a yes with the fewest mistakes, yes and no weighing the same."""
    order = np.argsort(values)
    ordered, holds = values[order], feature[order]
    gain = np.cumsum(~holds) / (~holds).sum() - np.cumsum(holds) / holds.sum()
    gain[:-1][ordered[1:] == ordered[:-1]] = -1  # a border cannot part equal values
    place = int(np.argmax(gain[:-1]))
    return float((ordered[place] + ordered[place + 1]) / 2)


class Saturation(NamedTuple):
    """How much of the time a gate is shut or open, unit by unit, as shares from 0 to 1."""

    left: np.ndarray  # (units,): below 0.1
    right: np.ndarray  # (units,): above 0.9


def gate_statistics(trace, low=0.1, high=0.9):
    """Say how much of the time each unit's gates are saturated (Karpathy, Johnson and Fei-Fei 2015, figure 3).

    Args:
        trace: from `trace`, with the gates.
        low, high: below and above which a gate counts as shut and as open.

    Returns:
        A dictionary of (layer, gate) to `Saturation`.

    Raises:
        ValueError: the trace holds no gates.
    """
    gates = {key: array for key, array in trace.signals.items() if key[1] in GATES}
    if not gates:
        raise ValueError("The trace holds no gates: trace a GRU or an LSTM, with signals=None.")
    return {key: Saturation((array < low).mean(axis=0), (array > high).mean(axis=0)) for key, array in gates.items()}
