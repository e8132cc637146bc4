"""The verb `sweep`: what is to be tried, begun or joined, and shown."""

import contextlib
import dataclasses
import importlib.util
import math
import sys
import time
from pathlib import Path

from charlm.cli.terminal import quote
from charlm.cli.verbs import SOURCE, given_settings, lasting_name, opened, print_json, short_name
from charlm.sweeps.space import Choices, Space

LEAST = 5.0  # seconds of training for each trial
CHOOSING = 10.0  # seconds to choose settings in, before the first trial
SHOWING = 10.0  # seconds for the table and the picture, after the last one
IN_TIME = 0.97  # of the time, that trials are given: some take a little longer
NETWORK = ("cell", "units", "layers", "embedding_dim")
TABLE, PICTURE = "table.csv", "sweep.png"


def sweep(options):
    """Train one trial after the other, in a sweep that is begun or joined, and show what was found."""
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("charlm sweep needs Optuna, which is not installed: pip install 'charlm[sweep]'")
    if (options.text is None) == (options.show is None):
        raise ValueError("Give either a text to train on, or --show and the folder of a sweep.")
    from charlm.sweeps.study import Sweep

    out = sys.stderr if options.json else sys.stdout  # standard output may be for JSON alone
    with contextlib.redirect_stdout(out):
        if options.show:
            swept = Sweep.load(options.show)
        else:
            space = Space.of(options.vary, range(options.seed, options.seed + options.seeds), options.trials)
            swept, text = _opened(options, space)
            if stopped := _work(swept, text, options, out.isatty()):
                print(f"\nStopped, and saved. The same command goes on.\n{_look(swept)}")
                return 128 + stopped
        facts = _tell(swept)
    if options.json:
        print_json(facts)


def _work(swept, text, options, moving):
    """Train as long as there is time; returns the signal that ended it, or None."""
    from charlm.sweeps.work import work
    from charlm.training import Signals

    until = options.began + 60 * options.minutes - SHOWING if options.minutes else math.inf
    with Signals() as signals:
        work(swept, text, signals, until, _show, moving)
    return signals.received


def _show(line):
    print(line, flush=True)


def _opened(options, space):
    """Read the text, and begin the sweep or join it: a `Sweep` and its `Text`."""
    from charlm.sweeps.study import Sweep, is_sweep
    from charlm.sweeps.work import Text

    _check(options, space)
    source, corpus, known = opened(options)
    folder = Path(options.out or Path("sweeps") / short_name(corpus))
    swept = Sweep.load(folder) if is_sweep(folder) else Sweep.begin(folder, _plan(options, space, corpus, known))
    _check_same(swept, _asked(options, space), corpus)
    print(f"Each trial: {swept.plan.length()} at most.")
    print(f"Sweep folder: {folder.as_posix()}", flush=True)
    return swept, Text(source, corpus, swept.plan.encoded(corpus.text))


def _check(options, space):
    """Make sure that what is given, and what varies, go together."""
    both = [name for name in space.varied if getattr(options, name) is not None]
    if both:
        raise ValueError(f"{both[0]} is given, and varies: leave out --{both[0].replace('_', '-')}, or its --vary.")
    if options.init_from and (fixed := [name for name in NETWORK if name in space.varied]):
        raise ValueError(f"{fixed[0]} cannot vary with --init-from: it is that of the network whose weights are taken.")


def _plan(options, space, corpus, known):
    """Choose what all trials have in common: settings for the middle of what varies, and the time of each."""
    from charlm.anytext.settings import suggest
    from charlm.anytext.split import VALIDATION, cut
    from charlm.sweeps.study import Plan

    given = given_settings(options, known)
    middles = {name: values.middle() for name, values in space.varied.items()}
    split = cut(corpus.text, given.get("feed"), given.get("validation", VALIDATION), options.seed)
    print(space)
    seconds = _seconds_each(options, space, CHOOSING)
    settings = suggest(split, seconds and seconds / 60, **{**given, **middles})
    seconds = _seconds_each(options, space)
    settings = dataclasses.replace(settings, minutes=seconds and seconds / 60)
    print("What the trials have in common, chosen for the middle of what varies:", settings, sep="\n")
    plan = Plan(
        asked=_asked(options, space),
        space=space,
        settings=settings,
        text=f"{corpus.name}{' (stand-in)' if corpus.is_standin else ''}",
        sha256=corpus.sha256,
        init_from=known and lasting_name(known),
        split_seed=options.seed,
        seconds=seconds,
        stopping=not options.full,
    )
    plan.check(len(split.train))
    return plan


def _seconds_each(options, space, before=0.0):
    """How long each trial may train: what is given, or its share of all the minutes; None for its epochs."""
    from charlm.sweeps.work import BETWEEN

    if options.trial_minutes:
        return 60 * options.trial_minutes
    if options.epochs or "epochs" in space.varied:
        return None
    if not options.minutes:
        raise ValueError("Give --minutes for all of it, or --trial-minutes or --epochs for each trial.")
    left = 60 * options.minutes - (time.monotonic() - options.began) - before - SHOWING
    seconds = IN_TIME * left / space.total - BETWEEN
    if seconds < LEAST:
        raise ValueError(
            f"{space.total} trials in {options.minutes:g} minutes leave {max(seconds, 0):.1f} s of training for each; "
            f"{LEAST:g} s are the least. Give more --minutes, or fewer values or seeds."
        )
    return round(seconds, 1)


def _asked(options, space):
    """Return what has to be the same for all processes of a sweep: what JSON can hold."""
    given = given_settings(options, None)
    others = {
        name: getattr(options, name) for name in (*SOURCE, "init_from", "trial_minutes") if getattr(options, name)
    }
    return {**space.to_json(), **given, **others, "full": options.full}


def _check_same(swept, asked, corpus):
    """Make sure that a command joins the sweep that it describes."""
    there = swept.plan.asked
    for name in [*there, *asked]:
        if there.get(name) != asked.get(name):
            raise ValueError(
                f"{swept.folder} was begun with {name} {there.get(name)}, and this command says {asked.get(name)}. "
                "Give what it was begun with, or another --out."
            )
    if corpus.sha256 != swept.plan.sha256:
        raise ValueError(f"{swept.folder} was begun with another text. Bring it back, or give another --out.")


def _tell(swept):
    """Show the table and what it says, and write table and picture into the folder; returns what `--json` writes."""
    from charlm.support.files import write_text
    from charlm.sweeps.table import as_csv, judge, show

    rows, space = swept.rows(), swept.plan.space
    found = judge(rows, space, timed=swept.plan.seconds is not None)
    print(f"\n{swept.plan.text}, {space}\n\n{show(rows, space, found)}\n")
    write_text(swept.folder / TABLE, as_csv(rows, space))
    _draw(swept, rows)
    left = sum(row["state"] in ("waiting", "interrupted") for row in rows)
    if left:
        print(f"{left} trials are left: the same command goes on, here or on another machine with this folder.")
    if found.best:
        best = quote(swept.folder / found.best["folder"])
        print(f"charlm sample {best}     lets the best run write")
        print(f"charlm train --resume {best}     adds n-grams and a report")
    print(_look(swept))
    return _facts(swept, rows, found)


def _look(swept):
    return f"charlm sweep --show {quote(swept.folder)}     shows what it has found."


def _draw(swept, rows):
    """Write the picture, if there is something to draw."""
    if not any(row["history"] for row in rows):
        return
    import matplotlib

    matplotlib.use("Agg")
    from charlm.plots.sweep import plot_sweep
    from charlm.support.files import move, unfinished

    scales = {
        name: list(values.values) if isinstance(values, Choices) else "log" if values.log else "linear"
        for name, values in swept.plan.space.varied.items()
    }
    partial = unfinished(swept.folder / PICTURE)
    plot_sweep(rows, scales, swept.plan.seconds is not None).savefig(partial, dpi=100)
    move(partial, swept.folder / PICTURE)
    print(f"Table and picture: {(swept.folder / TABLE).as_posix()}, {PICTURE}")


def _facts(swept, rows, found):
    """Return what `--json` writes: numbers that are not known are null."""
    trials = [{name: _known(value) for name, value in row.items() if name != "history"} for row in rows]
    effects = [{**effect._asdict(), "levels": [level._asdict() for level in effect.levels]} for effect in found.effects]
    return {
        "sweep": swept.folder.as_posix(),
        "trials": trials,
        "spread": _known(found.spread),
        "effects": _known(effects),
    }


def _known(value):
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {name: _known(part) for name, part in value.items()}
    return [_known(part) for part in value] if isinstance(value, list) else value
