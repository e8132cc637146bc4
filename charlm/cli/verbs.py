"""What each verb of the command does. TensorFlow starts only in those that need a network, while they run."""

import contextlib
import json
import re
import sys
import time
from pathlib import Path

from charlm.cli.terminal import description, plain, quote, read_report, reader, side_by_side, ways_on
from charlm.corpora import list_corpora, registry, resolve_source
from charlm.runs import Run
from charlm.support.files import check_folder, locked

BAD_INPUT = 2
FAILED = 1
RESERVE = 0.01  # of the minutes, for a machine that has other work when the report is made
SOURCE = ("pattern", "as_bytes", "limit")


def complain(message, code):
    """Print an error in one line; returns the exit code."""
    print(f"charlm: {' '.join(message.split())}", file=sys.stderr)
    return code


def corpora(options):
    """List the registered texts."""
    if options.json:
        facts = ("title", "characters", "distinct", "licence")
        return print_json({name: {fact: entry[fact] for fact in facts} for name, entry in registry().items()})
    list_corpora()


def train(options):
    """Train on a text, or go on with a run, and report."""
    if (options.text is None) == (options.resume is None):
        raise ValueError("Give either a text to train on, or --resume and the folder of a run.")
    from charlm.cli.workers import places

    with places(options) as place:
        if place is None:
            return _train(options)
        from charlm.devices.workers import LostWorker

        try:
            return _train(options, place)
        except LostWorker as error:
            return complain(f"{place.name}: {error}", FAILED)


def _train(options, place=None):
    """Train as one of several workers, or alone."""
    from charlm.training import Signals, Stopped

    out = sys.stderr if options.json else sys.stdout  # standard output may be for JSON alone
    with contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(out):
            job = _shared(options, stack, place) if place else _own(options, stack)
        if job is None:
            return
        try:
            with Signals() as signals, contextlib.redirect_stdout(out):
                sound = _fit(job, signals, out)
        except Stopped as stopped:
            if job.workers.is_chief:
                print(f"\nStopped, and saved. Go on with:\n    charlm train --resume {quote(job.run.path)}", file=out)
            return 128 + stopped.number
        if not sound:
            epoch = job.run.epoch() + 1
            return complain(f"{job.run.path}: the loss is NaN in epoch {epoch}. Lower --learning-rate.", FAILED)
        if job.workers.is_chief:
            return _report(job, options, out)


def _own(options, stack, corpus=None):
    """Begin a run, or go on with one: a job. A `corpus` has been read before."""
    return (_resumed if options.resume else _begun)(options, stack, corpus)


def _shared(options, stack, place):
    """Meet the other workers; begin a run and announce it, or wait until the chief has: a job, or None for nothing to do."""
    from charlm.anytext.job import announce, follow
    from charlm.cli.workers import explained, gather

    workers, corpus = gather(options, place, lambda: _source(options), _read)
    if not workers.is_chief:
        print(f"{place.name}: training with {place.name_of(0)}, which writes the run folder.", flush=True)
        return follow(workers, corpus)
    with explained(workers):
        job = _own(options, stack, corpus)
    job.workers = workers
    if job.over:
        workers.tell({})
    else:
        announce(job)
    return job


def _source(options):
    """Say where the text is."""
    if options.resume:
        from charlm.anytext.job import source_of

        return source_of(Run.load(options.resume))
    return _meant(options, Run.load(options.init_from) if options.init_from else None)


def _meant(options, known):
    """Say where the text is that a run is to begin with."""
    source = resolve_source(options.text, *(getattr(options, name) for name in SOURCE))
    if known and known.reads_bytes and source.as_bytes is None:
        source = source._replace(as_bytes=True)
    return source


def _begun(options, stack, corpus=None):
    """Read the text, cut it, choose settings, and make the run: a job."""
    from charlm.anytext.job import begin, fit_width
    from charlm.anytext.settings import MINUTES, suggest
    from charlm.anytext.split import VALIDATION, cut, encode

    source, corpus, known = opened(options, corpus)
    path = Path(options.out or Path("runs") / short_name(corpus))
    check_folder(path)  # before a network is timed
    given = given_settings(options, known)
    minutes, seed = options.minutes or (None if "epochs" in given else MINUTES), options.seed or 0
    split = cut(corpus.text, given.get("feed"), given.get("validation", VALIDATION), seed)
    settings = suggest(split, minutes, **given)
    print(settings)
    parts = encode(split, settings.min_count, known=known and known.vocabulary)
    if minutes:
        settings = fit_width(settings, parts, _seconds_left(options, parts, minutes))
        print("By the speed of this network, measured:", *(f"- {reason}" for reason in settings.reasons), sep="\n")
    job = begin(path, corpus, settings, parts, seed, known and lasting_name(known), source, memory=options.memory)
    stack.enter_context(locked(job.run.path))
    print(f"Run folder: {job.run.path.as_posix()}", flush=True)
    job.seconds = _seconds_left(options, parts, minutes) if minutes else None
    return job


def opened(options, corpus=None):
    """Read the text that is meant: its `Source`, the `Corpus`, and the run whose weights are to begin with, or None.

    A `corpus` has been read before.
    """
    known = Run.load(options.init_from) if options.init_from else None
    source = _meant(options, known)
    return source, corpus or _read(source), known


def given_settings(options, known):
    """Return the settings that are given, by name, with those that come with another run's weights."""
    from charlm.anytext.settings import NAMES

    given = {name: value for name in NAMES if name != "minutes" and (value := getattr(options, name)) is not None}
    return (_same_network(known, given) | given) if known else given


def short_name(corpus):
    """Name a folder after a text."""
    return re.sub(r"[^\w-]+", "-", corpus.name).strip("-") or "text"


def lasting_name(run):
    """Name a run as `Run.load` finds it from any folder."""
    return run.path.name if run.is_reference else run.path.absolute().as_posix()


def _read(source):
    """Read the text, and say what it is."""
    from charlm.anytext.split import MOST_READ, read_text

    corpus = read_text(source)
    print(corpus)
    if source.limit is None and len(corpus.text) == MOST_READ:
        print(f"The text is longer: its first {MOST_READ:,} characters are read; --limit reads more.")
    return corpus


def _resumed(options, stack, corpus=None):
    """Open a run where it stopped: a job."""
    from charlm.anytext.job import Notes, go_on
    from charlm.anytext.settings import NAMES

    fixed = (*NAMES, *SOURCE, "init_from", "memory", "out", "seed")
    named = [name for name in fixed if name not in ("epochs", "minutes") and getattr(options, name) is not None]
    if named:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        raise ValueError(f"{shown} cannot change in a run. Only --minutes and --epochs can; or begin another.")
    run = Run.load(options.resume)
    Notes.of(run)  # before anything is written: it may be a reference model
    stack.enter_context(locked(run.path))
    job = go_on(Run.load(run.path), corpus)  # as it is now that no other process writes to it
    if options.minutes or options.epochs:
        job.extend(options.epochs, options.minutes)
    if options.minutes:
        job.seconds = _seconds_left(options, job.parts, options.minutes)
    where = f", batch {job.position.batch:,} of the next" if job.position.batch else ""
    print(
        f"{run.path.as_posix()}: going on after epoch {job.position.epoch} of {job.settings.epochs}{where}.", flush=True
    )
    return job


def _fit(job, signals, out):
    """Train what is left to train; returns whether all losses were numbers."""
    if job.over:
        print("Its training is over: --epochs or --minutes make it longer.", file=out)
        job.run.note(ended=True)
        return True
    return job.fit(signals, progress=job.workers.is_chief, out=out, moving=out.isatty())


def _report(job, options, out):
    from charlm.anytext.report import report, show

    found = report(job.run, job.parts, job.settings)
    print(f"\n{plain(show(found))}\n", file=out)
    path = quote(job.run.path)
    print(f"charlm sample {path}     writes more; charlm info {path} shows all this again.", file=out)
    if options.json:
        path = job.run.path.as_posix()
        return print_json({"run": path, "settings": vars(job.settings), "history": job.run.history(), **found})


def _seconds_left(options, parts, minutes):
    """What is left for training of the minutes that the user gave, with the time the report will take put aside."""
    from charlm.anytext.report import report_seconds

    after = report_seconds(len(parts.train) + len(parts.validation)) + RESERVE * 60 * minutes
    return max(60 * minutes - (time.monotonic() - options.began) - after, 5.0)


def _same_network(run, given):
    """Settings that come with another run's weights."""
    from charlm.anytext.settings import TUNING_RATE

    names = ("cell", "units", "layers", "embedding_dim")
    fixed = {name: run.settings["model"][name] for name in names}
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise ValueError(
                f"{name} {given[name]} is not the network's whose weights are taken: {value}. Leave it out."
            )
    return {"learning_rate": TUNING_RATE} | fixed


def sample(options):
    """Write text."""
    run = Run.load(options.path)
    generator, prompt, show = _generator(run, options), _prompt(run, options.prompt), reader(run)
    names = ("temperature", "top_k", "top_p", "unknown", "replacement")
    sampling = {name: getattr(options, name) for name in names}
    stop = [run.to_network(stop) for stop in options.stop] if options.stop else None
    count = options.count or (20 if run.reads_lines else 1)
    if count > 1 or run.reads_lines or options.json:
        stop = stop or ("\n" if run.reads_lines else None)
        texts = generator.generate([prompt] * count, options.length, stop=stop, seed=options.seed, **sampling)
        texts = [run.display(text) for text in texts]
        if options.json:
            return print_json({"run": run.path.as_posix(), "texts": texts})
        print(plain(("" if run.reads_lines else "\n\n").join(texts)).rstrip("\n"))
        return
    for piece in generator.stream(prompt, options.length, stop=stop, seed=options.seed, **sampling):
        sys.stdout.write(plain(show(piece, False)))
        sys.stdout.flush()
    print(plain(show("", True)))


def compare(options):
    """Write one sample for each temperature, side by side."""
    run = Run.load(options.path)
    asked = _prompt(run, options.prompt), options.temperatures, options.length, options.seed
    found = _generator(run, options).compare(*asked, unknown=options.unknown, replacement=options.replacement)
    texts = [run.display(text) for text in found.texts]
    if options.json:
        return print_json({f"{t:g}": text for t, text in zip(found.temperatures, texts, strict=True)})
    print(side_by_side([f"temperature {t:g}" for t in found.temperatures], [plain(text) for text in texts]))


def _model(run, options):
    """The run's network and n-grams together, or its network alone: where it has no more, or that is asked for."""
    from charlm.anytext.together import together

    return (None if options.network else together(run)) or run.model()


def _generator(run, options):
    from charlm.generation import Generator

    return Generator(_model(run, options), run.vocabulary)


def _prompt(run, given):
    """The prompt, in the run's characters; where there is none, one that every vocabulary has."""
    from charlm.generation import START, opening

    if given or run.reads_lines:
        return run.to_network(given)
    return "" if START in run.vocabulary else opening(run.vocabulary)


def score(options):
    """Measure a network's loss on another text."""
    from charlm.anytext.split import read_text
    from charlm.metrics import evaluate, evaluate_lines

    run = Run.load(options.path)
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        corpus = read_text(resolve_source(options.text, options.pattern, run.reads_bytes, options.limit))
    ids = run.vocabulary.encode(corpus.text, options.unknown, options.replacement)
    end = int(run.vocabulary.encode("\n")[0]) if run.reads_lines else None
    model = _model(run, options)
    found = evaluate(model, ids, rows=64) if end is None else evaluate_lines(model, ids, end)
    if options.json:
        facts = {"nats": found.nats, "bpc": found.bpc, "perplexity": found.perplexity}
        return print_json({**facts, "characters": len(found.losses)})
    print(f"{corpus.name}: {found}")
    if len(ids) < len(corpus.text):
        print(f"{len(corpus.text) - len(ids):,} characters that the network does not know were left out.")


def share(options):
    """Make a page of a network."""
    from charlm.player.page import free_path, play

    run = Run.load(options.path)
    path = free_path(options.out or f"{run.path.resolve().name}.html", options.force)
    play(run, weights=options.weights, prompt=options.prompt).save(path, force=True)
    size = path.stat().st_size
    if options.json:
        return print_json({"run": run.path.as_posix(), "page": path.as_posix(), "bytes": size})
    print(f"{path}: {size / 1e6:.2f} MB. Open it in any browser, or send it to somebody: it needs nothing else.")


def info(options):
    """Show what a run folder holds."""
    run = Run.load(options.path)
    found, history = read_report(run), run.history()
    facts = {"run": run.path.as_posix(), **{k: v for k, v in run.settings.items() if k != "vocabulary"}}
    facts["vocabulary"] = len(run.vocabulary)
    if options.json:
        return print_json({**facts, "history": history, "report": found})
    print("\n".join(description(run, history)))
    if found:
        from charlm.anytext.report import show

        print(f"\n{plain(show(found))}")
    print(f"\nHow to go on:\n{ways_on(run)}")


def print_json(value):
    """Write all that goes to standard output under `--json`."""
    print(json.dumps(value, indent=2))
