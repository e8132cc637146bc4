"""What a sweep found: a table of its trials, how much each setting mattered, and which differences are those of chance."""

import csv
import io
import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from charlm.sweeps.space import Range, shown

CERTAIN = (
    12.7,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
)  # Student's t at 95 %, for 1 to 10 degrees of freedom
NEARLY = 2.1  # for more
UNEVEN = 1.2  # epochs of one trial for those of another, that the seed does not explain
ORDER = ("finished", "stopped early", "running", "interrupted", "failed", "waiting")
FACTS = ("epochs", "minutes", "loss", "state", "note", "processes", "folder")


class Level(NamedTuple):
    """A value of a varied setting, or a third of its range."""

    name: str
    trials: int  # finished
    stopped: int  # early
    loss: float  # nats, the mean of the finished trials, with the other settings held alike; NaN without one


class Effect(NamedTuple):
    """How much a setting mattered."""

    setting: str
    levels: list
    between: float  # nats between the best and the worst level
    chance: float  # nats that seeds alone might make of it, in 95 of 100 cases; NaN where that is not known


class Found(NamedTuple):
    """What a sweep's trials say."""

    effects: list
    spread: float  # standard deviation of trials that differ in the seed alone, nats; NaN where there is none
    degrees: int  # of freedom, from which it is known
    best: dict | None  # the row of the finished trial with the lowest loss
    ranking: list  # (mean loss, settings, finished trials, all trials), the best first
    apart: bool  # whether the finished trials suffice to tell the settings apart
    uneven: tuple | None  # fewest and most epochs of trials alike but for the seed, where they should have had as many


def judge(rows, space, timed=False):
    """Say what the trials of a sweep tell.

    Each setting is judged by the finished trials: their losses are taken for the sum of what each setting adds, by least
    squares, so that a value does not look bad for having been tried with worse ones where others were stopped early.

    Args:
        rows: from `Sweep.rows`.
        space: its `Space`.
        timed: whether trials end by their time: the machine's other work then takes epochs from them.

    Returns:
        A `Found`.
    """
    finished = [row for row in rows if row["state"] == "finished"]
    spread, degrees = _spread(finished)
    means, apart = _means(finished, space)
    effects = []
    for name, values in space.varied.items():
        states = [(level_of(row["settings"].get(name), values), row["state"]) for row in rows]
        levels = [
            Level(
                level,
                states.count((level, "finished")),
                states.count((level, "stopped early")),
                means.get((name, level), math.nan),
            )
            for level in levels_of(values)
        ]
        effects.append(_effect(name, levels, spread, degrees))
    best = min(finished, key=lambda row: row["loss"], default=None)
    return Found(effects, spread, degrees, best, _ranking(rows), apart, _uneven(finished) if timed else None)


def _spread(finished):
    """The standard deviation among trials of the same settings, and its degrees of freedom."""
    groups = [losses for losses in _by_settings(finished).values() if len(losses) > 1]
    degrees = sum(len(losses) - 1 for losses in groups)
    if not degrees:
        return math.nan, 0
    return math.sqrt(sum(np.var(losses) * len(losses) for losses in groups) / degrees), degrees


def _by_settings(rows, fact="loss"):
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row["settings"].items())].append(row[fact])
    return groups


def _uneven(finished):
    """Find the settings whose trials differ most in their epochs; None where no two of them differ much."""
    counts = [(min(epochs), max(epochs)) for epochs in _by_settings(finished, "epochs").values()]
    fewest, most = max(counts, key=lambda pair: pair[1] / pair[0], default=(1, 1))
    return (fewest, most) if most > UNEVEN * fewest + 1 else None


def _ranking(rows):
    finished = _by_settings(row for row in rows if row["state"] == "finished")
    every = _by_settings(rows)
    found = [(float(np.mean(losses)), dict(key), len(losses), len(every[key])) for key, losses in finished.items()]
    return sorted(found, key=lambda entry: entry[0])


def levels_of(values):
    """List the levels of a setting: its values, or the thirds of its range."""
    if not isinstance(values, Range):
        return [shown(value) for value in values.values]
    ends = _thirds(values)
    return [f"{shown(low)} to {shown(high)}" for low, high in zip(ends, ends[1:])]


def _thirds(values):
    space = np.geomspace if values.log else np.linspace
    return [values.low, *(values.rounded(float(end)) for end in space(values.low, values.high, 4)[1:3]), values.high]


def level_of(value, values):
    """Name the level of a value: itself, or its third of the range; None where it is not drawn yet."""
    if value is None:
        return None
    if not isinstance(values, Range):
        return shown(value)
    place = int(np.searchsorted(_thirds(values)[1:3], value, side="right"))
    return levels_of(values)[place]


def _means(finished, space):
    """Fit each level's mean loss, others held alike; returns them by (setting, level), and whether they can be told apart."""
    if not finished:
        return {}, False
    levels = {
        name: [level_of(row["settings"][name], values) for row in finished] for name, values in space.varied.items()
    }
    present = {name: sorted(set(of_rows)) for name, of_rows in levels.items()}
    keys = [(name, level) for name in present for level in present[name]]
    indicators = [[level == of_row for of_row in levels[name]] for name, level in keys]
    design = np.array([[True] * len(finished), *indicators], float).T  # (trials, 1 + levels)
    fitted, _, rank, _ = np.linalg.lstsq(design, np.array([row["loss"] for row in finished]), rcond=None)
    added = dict(zip(keys, fitted[1:], strict=True))
    middle = {name: np.mean([added[name, level] for level in present[name]]) for name in present}
    alike = fitted[0] + sum(middle.values())
    means = {(name, level): float(alike + value - middle[name]) for (name, level), value in added.items()}
    return means, bool(rank == 1 + len(keys) - len(present))


def _effect(name, levels, spread, degrees):
    known = [level for level in levels if level.trials]
    if len(known) < 2:
        return Effect(name, levels, math.nan, math.nan)
    best, worst = (pick(known, key=lambda level: level.loss) for pick in (min, max))
    return Effect(name, levels, worst.loss - best.loss, chance(spread, degrees, best.trials, worst.trials))


def chance(spread, degrees, first, second):
    """Say how far two means of so many trials may lie apart, in 95 of 100 cases, where only seeds differ."""
    if not degrees:
        return math.nan
    certain = CERTAIN[degrees - 1] if degrees <= len(CERTAIN) else NEARLY
    return certain * spread * math.sqrt(1 / first + 1 / second)


def as_csv(rows, space):
    """Write the table of trials for other programs."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["trial", *space.varied, "seed", *FACTS])
    for row in rows:
        numbers = {
            "minutes": round(row["minutes"], 2),
            "loss": "" if math.isnan(row["loss"]) else round(row["loss"], 4),
        }
        facts = {**row, **numbers, "processes": " ".join(row["processes"])}
        varied = [row["settings"].get(name, "") for name in space.varied]
        writer.writerow([row["trial"], *varied, row["seed"], *(facts[name] for name in FACTS)])
    return lines.getvalue()


def show(rows, space, found):
    """Write the table of trials, and what it tells, for a person."""
    said = [*_counts(rows), *_best(found), *_seeds(found), *_mattered(found), *_cells(rows, space)]
    return "\n".join([*_trials(rows, space), "", *said])


def _trials(rows, space):
    """Lay the trials out, the best finished one first."""
    heads = ["trial", *space.varied, "seed", "epochs", "minutes", "nats", "state"]
    in_order = sorted(rows, key=lambda row: (ORDER.index(row["state"]), np.nan_to_num(row["loss"], nan=np.inf)))
    lines = [heads, *(_line(row, space) for row in in_order)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads) - 1)]
    for line in lines:
        yield "  ".join([*(f"{cell:>{width}}" for cell, width in zip(line, widths)), line[-1]])


def _line(row, space):
    """Write a trial's cells."""
    varied = [shown(row["settings"][name]) if name in row["settings"] else "–" for name in space.varied]
    loss = "–" if math.isnan(row["loss"]) else f"{row['loss']:.4f}"
    parts = [row["note"]] if row["note"].startswith(row["state"]) else [row["state"], row["note"]]
    facts = [str(row["seed"]), str(row["epochs"]), f"{row['minutes']:.1f}", loss, ": ".join(filter(None, parts))]
    return [str(row["trial"]), *varied, *facts]


def _counts(rows):
    counts = defaultdict(int)
    for row in rows:
        counts[row["state"]] += 1
    again = sum(len(row["processes"]) > 1 for row in rows)
    taken_up = f"; {again} of them taken up after an interruption" if again else ""
    yield f"{len(rows)} trials: {', '.join(f'{count} {state}' for state, count in counts.items())}{taken_up}."


def _settings(settings):
    return ", ".join(f"{name} {shown(value)}" for name, value in settings.items()) or "the same settings"


def _best(found):
    if not found.best:
        yield "No trial is finished yet."
        return
    yield f"Best run: {found.best['folder']}, {found.best['loss']:.4f} nats."
    (loss, settings, trials, _), *others = found.ranking
    if found.degrees and others:
        level = [entry for entry in others if entry[0] - loss < chance(found.spread, found.degrees, trials, entry[2])]
        yield f"Best settings: {_settings(settings)}, {loss:.4f} nats, the mean of {trials} seed{'s' * (trials > 1)}."
        if level:
            yield f"No further from it than seeds may be: {'; '.join(f'{_settings(e[1])} ({e[0]:.4f})' for e in level)}."


def _seeds(found):
    if found.degrees:
        yield (
            f"Runs that differ in the seed alone differ by {found.spread:.4f} nats (standard deviation, "
            f"{found.degrees} degree{'s' * (found.degrees > 1)} of freedom)."
        )
    else:
        yield "No settings were finished with two seeds, so nothing tells which differences are those of chance."
    if found.uneven:
        fewest, most = found.uneven
        yield (
            f"Beware: the same settings came to {fewest} epochs with one seed and to {most} with another, as where the machine "
            "has other work. Trials of as many --epochs do not depend on that."
        )
    if any(trials < every for _, _, trials, every in found.ranking) and found.degrees:
        yield "Of some settings not all seeds are finished: what is left of them may be the lucky ones."


def _mattered(found):
    if not found.effects:
        return
    yield ""
    yield "How much each setting mattered: mean nats of the finished trials, with the other settings held alike."
    if not found.apart:
        yield "(Too few trials are finished to tell the settings apart: these means mix them.)"
    for effect in sorted(found.effects, key=lambda effect: -np.nan_to_num(effect.between)):
        levels = "   ".join(f"{level.name}: {_loss(level)}" for level in effect.levels)
        yield f"  {effect.setting}   {levels}{_verdict(effect)}"


def _loss(level):
    if level.trials:
        return f"{level.loss:.4f}"
    return "stopped early" if level.stopped else "–"


def _verdict(effect):
    if math.isnan(effect.between):
        return ""
    if math.isnan(effect.chance):
        return f"   {effect.between:.4f} apart"
    more = "more than" if effect.between > effect.chance else "no more than"
    return f"   {effect.between:.4f} apart, {more} seeds may make ({effect.chance:.4f})"


def _cells(rows, space):
    """Where two settings vary by values: the mean of each pair."""
    if len(space.varied) != 2 or space.draws:
        return
    means = {key: np.mean(losses) for key, losses in _by_settings(r for r in rows if r["state"] == "finished").items()}
    (down, downs), (across, acrosses) = space.varied.items()
    yield ""
    yield f"Mean nats of the finished trials, {down} down, {across} across:"
    yield "  ".join(f"{cell:>8}" for cell in ["", *map(shown, acrosses.values)])
    for value in downs.values:
        cells = [means.get(((down, value), (across, other))) for other in acrosses.values]
        yield "  ".join(f"{cell:>8}" for cell in [shown(value), *("–" if c is None else f"{c:.4f}" for c in cells)])
