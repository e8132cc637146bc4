"""The `charlm` command: train a network on any text, let it write, and see how good it is.

A script can trust its exit codes: 0, done; 2, bad input, with one line that says what is wrong; 1, training failed;
130 or 143, stopped by SIGINT (Ctrl-C) or SIGTERM, and saved; 141, given up since nobody reads what training prints.
With `--json` standard output is one JSON object.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

import charlm
from charlm import anytext
from charlm._quiet import STARTED
from charlm.corpora import list_corpora, registry
from charlm.files import locked
from charlm.generation import START, opening
from charlm.metrics import evaluate, evaluate_lines
from charlm.pace import Meter, Patience
from charlm.report import read_report, report, report_seconds, show
from charlm.snapshots import Signals, Snapshot, Stopped
from charlm.settings import MINUTES, Settings, longest_training, suggest
from charlm.terminal import as_bytes, description, plain, quote, reader, side_by_side, ways_on, written
from charlm.training import REFERENCES, Run

BAD_INPUT = 2
FAILED = 1
UNREAD = 141  # training was given up because nobody reads what it prints, as SIGPIPE does
LITTLE_TIME = 1.0  # seconds that a training gets at least, to end as it should
MOST = 2**53
RESERVE = 0.01  # of the minutes, for a machine that has other work when the report is made
FIXED = ("init_from", "pattern", "as_bytes", "limit", "out", "seed")

EXAMPLES = {
    "corpora": ("charlm corpora", "charlm corpora --json", "CHARLM_OFFLINE=1 charlm corpora"),
    "train": (
        "charlm train recipes.txt --minutes 20",
        "charlm train notes/ --pattern '*.md' --out runs/notes",
        "charlm train letters.txt --init-from shakespeare",
    ),
    "sample": (
        "charlm sample runs/recipes --length 2000 --temperature 0.7",
        "charlm sample runs/recipes --prompt 'Take two eggs' --stop '.'",
        "charlm sample linux --prompt 'static int ' --seed 1",
    ),
    "compare": (
        "charlm compare runs/recipes",
        "charlm compare shakespeare --prompt 'ROMEO:' --length 400",
        "charlm compare runs/recipes --temperatures 0.3 0.6 0.9",
    ),
    "score": (
        "charlm score runs/recipes other.txt",
        "charlm score shakespeare sonnets.txt --unknown drop",
        "charlm score runs/recipes recipes.txt --limit 10000 --json",
    ),
    "info": ("charlm info runs/recipes", "charlm info shakespeare", "charlm info runs/recipes --json"),
}


def main(arguments=None):
    """Run the command; returns its exit code.

    Args:
        arguments: list of strings; None for those of the process, whose minutes began when it was started.
    """
    began = STARTED if arguments is None else time.monotonic()
    options = _parser().parse_args(arguments, argparse.Namespace(began=began))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character should not end a training
    try:
        code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads the output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD if options.run is _train else 0
    except KeyboardInterrupt:
        return _complain("stopped.", 130)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return _complain("there is not enough memory for this. Give a --limit, or fewer --units.")
    except (ValueError, OSError) as error:
        return _complain(str(error))


def _complain(message, code=BAD_INPUT):
    print(f"charlm: {' '.join(message.split())}", file=sys.stderr)
    return code


def _corpora(options):
    if options.json:
        facts = ("title", "characters", "distinct", "licence")
        return _print_json({name: {fact: entry[fact] for fact in facts} for name, entry in registry().items()})
    list_corpora()


def _train(options):
    out = sys.stderr if options.json else sys.stdout
    if (options.text is None) == (options.resume is None):
        raise ValueError("Give either a text to train on, or --resume and the folder of a run.")
    with contextlib.ExitStack() as stack:
        job = _resumed(options, stack, out) if options.resume else _begun(options, stack, out)
        try:
            with Signals() as signals, contextlib.redirect_stdout(out):
                sound = _fit(job, signals, out)
        except Stopped as stopped:
            print(f"\nStopped, and saved. Go on with:\n    charlm train --resume {quote(job.run.path)}", file=out)
            return 128 + stopped.number
        if not sound:
            epoch = len(job.run.history()) + 1
            return _complain(f"{job.run.path}: the loss was no number in epoch {epoch}. Lower --learning-rate.", FAILED)
        return _report(job, options, out)


class _Job(NamedTuple):
    """A training, ready to begin or to go on."""

    run: Run
    model: keras.Model
    parts: anytext.Parts
    settings: Settings
    seconds: float | None = None  # that it may take
    spent: float = 0.0  # seconds, before
    epoch: int = 0
    snapshot: Snapshot | None = None
    finished: bool = False


def _begun(options, stack, out):
    """Read the text, choose settings, and make the run."""
    source = {name: getattr(options, name) for name in ("pattern", "as_bytes", "limit")}
    corpus = _text(options, out, **source)
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    known = Run.load(options.init_from) if options.init_from else None
    if known:
        given |= _same_network(known, given)
    minutes = options.minutes or (None if "epochs" in given else MINUTES)
    settings = suggest(corpus.text, minutes, **given)
    print(settings, file=out)
    seed = options.seed or 0
    cut = settings.feed, settings.validation, settings.min_count, seed
    parts = anytext.prepare(corpus.text, *cut, known=known and known.vocabulary)
    if minutes:
        settings = _fitted(settings, parts, _seconds_left(options, parts, minutes), out)
    path = options.out or Path("runs") / (re.sub(r"[^\w-]+", "-", corpus.name).strip("-") or "text")
    weights = known and (known.path.name if known.path.parent == REFERENCES else known.path.absolute().as_posix())
    place = anytext.origin(options.text, **source)
    run, model = anytext.begin(Path(path), corpus, settings, parts, seed, weights, place)
    stack.enter_context(locked(run.path))
    print(f"Run folder: {run.path.as_posix()}", file=out, flush=True)
    return _Job(run, model, parts, settings, _seconds_left(options, parts, minutes) if minutes else None)


def _text(options, out, **source):
    """Read the text, and say what it is."""
    with contextlib.redirect_stdout(out):  # standard output may be for JSON alone
        corpus = anytext.read_text(options.text, **source)
        print(corpus)
        if options.limit is None and len(corpus.text) == anytext.MOST_READ:
            print(f"The text is longer: its first {anytext.MOST_READ:,} characters are read; --limit reads more.")
    return corpus


def _fitted(settings, parts, seconds, out):
    """Settings whose width suits the speed that was measured."""
    fitted = anytext.fit_width(settings, parts, seconds)
    if fitted is not settings:
        print("By the speed of this network, measured:", file=out)
        print(*(f"- {reason}" for reason in fitted.reasons), sep="\n", file=out)
    return fitted


def _resumed(options, stack, out):
    """Open a run where it stopped."""
    named = [name for name in (*SETTINGS, *FIXED) if name != "epochs" and getattr(options, name) is not None]
    if named:
        fixed = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        raise ValueError(f"{fixed} cannot change in a run. Only --minutes and --epochs can; or begin another.")
    run = Run.load(options.resume)
    anytext.source_of(run)  # before anything is written: it may be a reference model
    stack.enter_context(locked(run.path))
    with contextlib.redirect_stdout(out):
        model, parts, settings, epoch, snapshot = anytext.continue_run(run)
    spent = anytext.seconds_spent(run, snapshot)
    if options.minutes or options.epochs:
        settings, seconds = _longer(options, run, parts, settings, epoch), None
        if options.minutes:
            seconds = _seconds_left(options, parts, options.minutes)
    else:
        data = run.settings["data"]
        in_all = data.get("training_seconds", settings.minutes and 60 * settings.minutes)
        seconds = in_all and max(in_all - spent, LITTLE_TIME)
    data = run.settings["data"]
    finished = data.get("ended", False) or epoch >= settings.epochs or Patience(run, settings.patience).is_over()
    where = f", batch {snapshot.batch:,} of the next" if snapshot else ""
    print(f"{run.path.as_posix()}: going on after epoch {epoch} of {settings.epochs}{where}.", file=out, flush=True)
    return _Job(run, model, parts, settings, seconds, spent if seconds else 0.0, epoch, snapshot, finished)


def _longer(options, run, parts, settings, epoch):
    """Note that a run is to become longer; returns its settings."""
    if options.epochs and options.epochs <= epoch:
        raise ValueError(f"{run.path} has finished {epoch} epochs: give --epochs more than that.")
    epochs = options.epochs or max(settings.epochs, epoch + longest_training(len(parts.train)))
    minutes = options.minutes and (settings.minutes or 0.0) + options.minutes
    run.note(epochs=epochs, minutes=minutes, patience_from=epoch, ended=False)
    return dataclasses.replace(settings, epochs=epochs, minutes=minutes)


def _fit(job, signals, out):
    """Train what is left to train; returns whether all losses were numbers."""
    if job.finished:
        print("Its training is over: --epochs or --minutes make it longer.", file=out)
        job.run.note(ended=True)
        return True
    return anytext.train(*job[:8], signals, Meter(len(job.parts.train), job.settings.epochs, out))


def _report(job, options, out):
    found = report(job.run, job.parts, job.settings)
    print(f"\n{plain(show(found))}\n", file=out)
    path = quote(job.run.path)
    print(f"charlm sample {path}     writes more; charlm info {path} shows all this again.", file=out)
    if options.json:
        path = job.run.path.as_posix()
        return _print_json({"run": path, "settings": vars(job.settings), "history": job.run.history(), **found})


def _seconds_left(options, parts, minutes):
    """What is left for training of the minutes that the user gave, with the time the report will take put aside."""
    after = report_seconds(len(parts.train) + len(parts.validation)) + RESERVE * 60 * minutes
    return max(60 * minutes - (time.monotonic() - options.began) - after, 5.0)


def _same_network(run, given):
    """Settings that come with another run's weights."""
    names = ("cell", "units", "layers", "embedding_dim")
    fixed = {name: run.settings["model"][name] for name in names}
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise ValueError(
                f"{name} {given[name]} is not the network's whose weights are taken: {value}. Leave it out."
            )
    return fixed


def _sample(options):
    run = Run.load(options.path)
    generator = run.generator()
    show, prompt = reader(run), _prompt(run, options.prompt)
    data = run.settings["data"] or {}
    names = ("temperature", "top_k", "top_p", "unknown", "replacement")
    sampling = {name: getattr(options, name) for name in names}
    stop = [written(run, stop) for stop in options.stop] if options.stop else None
    listed = data.get("feed") == "lines"
    count = options.count or (20 if listed else 1)
    if count > 1 or listed or options.json:
        stop = stop or ("\n" if listed else None)
        texts = generator.generate([prompt] * count, options.length, stop=stop, seed=options.seed, **sampling)
        texts = [show(text, True) for text in texts]
        if options.json:
            return _print_json({"run": run.path.as_posix(), "texts": texts})
        print(plain(("" if listed else "\n\n").join(texts)).rstrip("\n"))
        return
    for piece in generator.stream(prompt, options.length, stop=stop, seed=options.seed, **sampling):
        sys.stdout.write(plain(show(piece, False)))
        sys.stdout.flush()
    print(plain(show("", True)))


def _compare(options):
    run = Run.load(options.path)
    asked = _prompt(run, options.prompt), options.temperatures, options.length, options.seed
    found = run.generator().compare(*asked, unknown=options.unknown, replacement=options.replacement)
    texts = [reader(run)(text, True) for text in found.texts]
    if options.json:
        return _print_json({f"{t:g}": text for t, text in zip(found.temperatures, texts, strict=True)})
    print(side_by_side([f"temperature {t:g}" for t in found.temperatures], [plain(text) for text in texts]))


def _prompt(run, given):
    """The prompt, in the run's characters; where there is none, one that every vocabulary has."""
    if given or (run.settings["data"] or {}).get("feed") == "lines":
        return written(run, given)
    return "" if START in run.vocabulary else opening(run.vocabulary)


def _score(options):
    run = Run.load(options.path)
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        corpus = anytext.read_text(options.text, options.pattern, as_bytes(run), options.limit)
    ids = run.vocabulary.encode(corpus.text, options.unknown, options.replacement)
    lines = (run.settings["data"] or {}).get("feed") == "lines"
    score = evaluate_lines(run, ids, int(run.vocabulary.encode("\n")[0])) if lines else evaluate(run, ids, rows=64)
    if options.json:
        return _print_json(
            {"nats": score.nats, "bpc": score.bpc, "perplexity": score.perplexity, "characters": len(score.losses)}
        )
    print(f"{corpus.name}: {score}")
    if len(ids) < len(corpus.text):
        print(f"{len(corpus.text) - len(ids):,} characters that the network does not know were left out.")


def _info(options):
    run = Run.load(options.path)
    found, history = read_report(run), run.history()
    facts = {"run": run.path.as_posix(), **{k: v for k, v in run.settings.items() if k != "vocabulary"}}
    facts["vocabulary"] = len(run.vocabulary)
    if options.json:
        return _print_json({**facts, "history": history, "report": found})
    print("\n".join(description(run, history)))
    if found:
        print(f"\n{plain(show(found))}")
    print(f"\nHow to go on:\n{ways_on(run)}")


def _print_json(value):
    print(json.dumps(value, indent=2))


def _parser():
    parser = _Parser(prog="charlm", description="Train a character-level network on any text, and let it write.")
    parser.add_argument("--version", action="version", version=f"charlm {charlm.__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    _add(verbs, "corpora", _corpora, "list the texts that charlm knows by name")
    _add_train(verbs)
    sample = _add(verbs, "sample", _sample, "write text with a trained network")
    _run_argument(sample)
    _generation_options(sample)
    sample.add_argument(
        "--temperature", type=float, default=1.0, help="0 takes the likeliest, 1 draws as predicted (1.0)"
    )
    sample.add_argument("--top-k", type=int, help="draw among the k likeliest characters")
    sample.add_argument("--top-p", type=float, help="draw among the likeliest that reach this probability")
    sample.add_argument("--stop", action="append", help="text after which to stop; may be given again")
    sample.add_argument("--count", type=_whole, help="samples to write (1; of a list, 20 lines)")
    sample.set_defaults(length=500)
    compare = _add(verbs, "compare", _compare, "write one sample for each temperature, side by side")
    _run_argument(compare)
    _generation_options(compare)
    compare.add_argument(
        "--temperatures", type=float, nargs="+", default=[0.2, 0.5, 0.8, 1.0, 1.2], help="(0.2 0.5 0.8 1.0 1.2)"
    )
    compare.set_defaults(length=200, seed=0)
    score = _add(verbs, "score", _score, "measure how well a network expects a text")
    _run_argument(score)
    score.add_argument("text", metavar="TEXT", help="a file, a folder, a URL or a corpus's name")
    _source_options(score)
    _unknown_options(score)
    _run_argument(_add(verbs, "info", _info, "show what a run folder holds, its curve and how to go on"))
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(BAD_INPUT, f"charlm: {message} ({self.prog} --help tells more)\n")


def _add(verbs, name, run, purpose):
    examples = "\n".join(f"  {example}" for example in EXAMPLES[name])
    parser = verbs.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object to standard output")
    parser.set_defaults(run=run)
    return parser


def _add_train(verbs):
    train = _add(verbs, "train", _train, "train a network on a text, with settings that fit it")
    train.add_argument("text", metavar="TEXT", nargs="?", help="a file, a folder, a URL or a corpus's name")
    _source_options(train)
    train.add_argument("--as-bytes", action="store_true", default=None, help="read every byte as one character")
    train.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    train.add_argument(
        "--out",
        metavar="FOLDER",
        help="the run's folder (runs/ and the text's name; a number is added where it is taken)",
    )
    train.add_argument("--init-from", metavar="RUN", help="begin with the weights of a run, or of a reference model")
    train.add_argument("--minutes", type=_above_zero, help="that all of it may take (10, where --epochs is not given)")
    train.add_argument("--seed", type=_whole, help="of all that is random (0)")
    settings = train.add_argument_group(
        "settings", "what is not given is chosen to fit the text, the machine and the time"
    )
    for name, (kind, purpose) in SETTINGS.items():
        choices = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
        settings.add_argument(f"--{name.replace('_', '-')}", help=purpose, **choices)


def _run_argument(parser):
    parser.add_argument("path", metavar="RUN", help="the folder of a run, or the name of a reference model")


def _source_options(parser):
    parser.add_argument("--pattern", help="which files of a folder (*.txt)")
    parser.add_argument("--limit", type=_natural, help="characters to read at most")


def _generation_options(parser):
    parser.add_argument("--prompt", default="", help="text to continue")
    parser.add_argument("--length", type=_whole, help="characters to write")
    parser.add_argument("--seed", type=_whole, help="the same seed writes the same text")
    _unknown_options(parser)


def _unknown_options(parser):
    parser.add_argument(
        "--unknown",
        choices=("error", "drop", "replace"),
        default="error",
        help="characters the network does not know (error)",
    )
    parser.add_argument("--replacement", default=" ", help="what stands for them under replace (a blank)")


def _above_zero(text):
    return _number(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def _natural(text):
    return _number(text, int, lambda value: 1 <= value < MOST, "a whole number, at least 1 and below 2**53")


def _whole(text):
    return _number(text, int, lambda value: 0 <= value < MOST, "a whole number, at least 0 and below 2**53")


def _part(text):
    return _number(text, float, lambda value: 0 < value < 1, "a share, above 0 and below 1")


def _share(text):
    return _number(text, float, lambda value: 0 <= value < 1, "a share, at least 0 and below 1")


def _number(text, kind, holds, limits):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {limits}")
    return value


SETTINGS = {
    "feed": (("streams", "lines"), "a text that runs on, or a list, line by line"),
    "min_count": (_natural, "characters that occur less often share one mark"),
    "validation": (_part, "share of the text that is held out"),
    "cell": (("gru", "lstm", "rnn"), "recurrent layer"),
    "units": (_natural, "width of each recurrent layer"),
    "layers": (_natural, "recurrent layers"),
    "embedding_dim": (_natural, "width of a character's vector"),
    "dropout": (_share, "share of outputs dropped in training"),
    "batch_size": (_natural, "rows of a batch"),
    "sequence_length": (_natural, "characters of a row"),
    "epochs": (_natural, "times that the text is read"),
    "patience": (_natural, "epochs without a better validation loss, after which to stop"),
    "learning_rate": (_above_zero, "the highest of the run"),
    "weight_decay": (_share, "per step, as a share of the learning rate"),
    "precision": (("float32", "bfloat16", "float16"), "of the products"),
}
