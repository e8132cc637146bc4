"""The command line: verbs, options with their limits, and the examples that `--help` shows."""

import argparse

import charlm
from charlm.cli import verbs
from charlm.cli.sweep import sweep
from charlm.sweeps.space import between, choices

MOST = 2**53

EXAMPLES = {
    "corpora": ("charlm corpora", "charlm corpora --json", "CHARLM_OFFLINE=1 charlm corpora"),
    "train": (
        "charlm train recipes.txt --minutes 20",
        "charlm train notes/ --pattern '*.md' --out runs/notes",
        "charlm train letters.txt --init-from shakespeare",
    ),
    "sweep": (
        "charlm sweep recipes.txt --vary units=128,256 --vary dropout=0.2,0.4 --seeds 2 --minutes 60",
        "charlm sweep linux --vary learning_rate=0.002..0.02 --trials 12 --trial-minutes 5 --units 256",
        "charlm sweep --show sweeps/recipes",
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
    "share": (
        "charlm share shakespeare",
        "charlm share runs/recipes --out recipes.html",
        "charlm share runs/recipes --weights float16 --force",
    ),
    "info": ("charlm info runs/recipes", "charlm info shakespeare", "charlm info runs/recipes --json"),
}


def command_parser():
    """Return the parser of the command line; the options it gives have `run`, the verb's function."""
    parser = _Parser(prog="charlm", description="Train a character-level network on any text, and let it write.")
    parser.add_argument("--version", action="version", version=f"charlm {charlm.__version__}")
    add = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    _add(add, "corpora", verbs.corpora, "list the texts that charlm knows by name")
    _add_train(add)
    _add_sweep(add)
    _add_sample(add)
    _add_compare(add)
    score = _add(add, "score", verbs.score, "measure how well a network predicts a text")
    _run_argument(score)
    score.add_argument("text", metavar="TEXT", help="a file, a folder, a URL or a corpus's name")
    _source_options(score)
    _network_option(score)
    _unknown_options(score)
    _add_share(add)
    _run_argument(_add(add, "info", verbs.info, "show what a run folder holds, its curve and how to go on"))
    return parser


def _add_sample(add):
    sample = _add(add, "sample", verbs.sample, "write text with a trained network")
    _run_argument(sample)
    _generation_options(sample)
    sample.add_argument(
        "--temperature", type=float, default=1.0, help="0 takes the likeliest, 1 draws as predicted (1.0)"
    )
    sample.add_argument("--top-k", type=int, help="draw among the k likeliest characters")
    sample.add_argument("--top-p", type=float, help="draw among the likeliest that reach this probability")
    sample.add_argument("--stop", action="append", help="text after which to stop; may be given again")
    sample.add_argument("--count", type=_natural, help="samples to write (1; of a list, 20 lines)")
    sample.set_defaults(length=500)


def _add_compare(add):
    compare = _add(add, "compare", verbs.compare, "write one sample for each temperature, side by side")
    _run_argument(compare)
    _generation_options(compare)
    compare.add_argument(
        "--temperatures", type=float, nargs="+", default=[0.2, 0.5, 0.8, 1.0, 1.2], help="(0.2 0.5 0.8 1.0 1.2)"
    )
    compare.set_defaults(length=200, seed=0)


def _add_share(add):
    share = _add(add, "share", verbs.share, "make a page that lets a network write in any browser")
    _run_argument(share)
    share.add_argument("--out", metavar="FILE", help="the page (the run's name and .html)")
    share.add_argument("--force", action="store_true", help="replace a file that is there")
    share.add_argument("--prompt", help="text to begin with")
    share.add_argument(
        "--weights", choices=("int8", "float16"), help="how to round them (int8 where that costs little)"
    )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(verbs.BAD_INPUT, f"charlm: {message} ({self.prog} --help tells more)\n")


def _add(add, name, run, purpose):
    examples = "\n".join(f"  {example}" for example in EXAMPLES[name])
    parser = add.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object to standard output")
    parser.set_defaults(run=run)
    return parser


def _add_train(add):
    train = _add(add, "train", verbs.train, "train a network on a text, with settings that fit it")
    _text_options(train)
    train.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    train.add_argument(
        "--out",
        metavar="FOLDER",
        help="the run's folder (runs/ and the text's name; a number is added where it is taken)",
    )
    train.add_argument("--minutes", type=_above_zero, help="that all of it may take (10, where --epochs is not given)")
    train.add_argument("--seed", type=_whole, help="of all that is random (0)")
    train.add_argument(
        "--memory",
        type=_span,
        metavar="CHARACTERS",
        help="let units begin with memories of up to so many characters, where a text has long brackets (Keras' first weights)",
    )
    train.add_argument(
        "--devices",
        type=_natural,
        metavar="N",
        help="share each batch among so many GPUs, or without any among so many processes with their share of the cores "
        "(1); TF_CONFIG names workers on other machines",
    )
    _settings_options(train)


def _add_sweep(add):
    sweeping = _add(add, "sweep", sweep, "train many networks over settings and seeds, and compare them")
    _text_options(sweeping)
    sweeping.add_argument(
        "--vary",
        type=_varied,
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values to try, as units=128,256, or a range to draw from, as learning_rate=0.002..0.02; may be given again",
    )
    sweeping.add_argument("--seeds", type=_natural, default=1, help="trials for each setting, each with its seed (1)")
    sweeping.add_argument("--seed", type=_whole, default=0, help="the first of them (0)")
    sweeping.add_argument("--trials", type=_natural, help="settings to draw, where a range varies (10)")
    sweeping.add_argument("--minutes", type=_above_zero, help="that all of it may take in this process")
    sweeping.add_argument(
        "--trial-minutes", type=_above_zero, help="of training for each trial (its share of --minutes, or --epochs)"
    )
    sweeping.add_argument("--full", action="store_true", help="stop no trial early, however far behind the others")
    sweeping.add_argument(
        "--out",
        metavar="FOLDER",
        help="the sweep's folder (sweeps/ and the text's name); where it has been begun, the same command joins it",
    )
    sweeping.add_argument("--show", metavar="FOLDER", help="show what a sweep has found so far")
    _settings_options(sweeping)


def _text_options(parser):
    parser.add_argument("text", metavar="TEXT", nargs="?", help="a file, a folder, a URL or a corpus's name")
    _source_options(parser)
    parser.add_argument("--as-bytes", action="store_true", default=None, help="read every byte as one character")
    parser.add_argument("--init-from", metavar="RUN", help="begin with the weights of a run, or of a reference model")


def _settings_options(parser):
    settings = parser.add_argument_group(
        "settings", "what is not given is chosen to fit the text, the machine and the time"
    )
    for name, (kind, purpose) in SETTINGS.items():
        allowed = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
        settings.add_argument(f"--{name.replace('_', '-')}", help=purpose, **allowed)


def _run_argument(parser):
    parser.add_argument("path", metavar="RUN", help="the folder of a run, or the name of a reference model")


def _network_option(parser):
    parser.add_argument("--network", action="store_true", help="the network alone, without the n-grams beside it")


def _source_options(parser):
    parser.add_argument("--pattern", help="which files of a folder (*.txt)")
    parser.add_argument("--limit", type=_natural, help="characters to read at most")


def _generation_options(parser):
    parser.add_argument("--prompt", default="", help="text to continue")
    parser.add_argument("--length", type=_whole, help="characters to write")
    parser.add_argument("--seed", type=_whole, help="the same seed writes the same text")
    _network_option(parser)
    _unknown_options(parser)


def _unknown_options(parser):
    parser.add_argument(
        "--unknown",
        choices=("error", "drop", "replace"),
        default="error",
        help="characters the network does not know (error)",
    )
    parser.add_argument("--replacement", default=" ", help="what stands for them under replace (a blank)")


def _number(kind, holds, limits):
    """Return the type of an option whose value is a number within limits."""

    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {limits}")
        return value

    return read


def _varied(text):
    """Read what `--vary` is given: a setting's name, and its values or its range."""
    name, _, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in SETTINGS or not values:
        known = ", ".join(SETTINGS)
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE,VALUE or NAME=LOW..HIGH; the names are {known}")
    low, dots, high = values.partition("..")
    try:
        if dots and not isinstance(SETTINGS[name][0], tuple):
            return name, between(name, _value(name, low), _value(name, high))
        return name, choices(name, [_value(name, value) for value in values.split(",")])
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _value(name, text):
    kind = SETTINGS[name][0]
    if not isinstance(kind, tuple):
        return kind(text.strip())
    if text.strip() not in kind:
        raise ValueError(f"{text.strip()!r} is none of {', '.join(kind)}")
    return text.strip()


_above_zero = _number(float, lambda value: 0 < value < float("inf"), "a number above 0")
_natural = _number(int, lambda value: 1 <= value < MOST, "a whole number, at least 1 and below 2**53")
_span = _number(int, lambda value: 2 <= value < MOST, "a whole number, at least 2 and below 2**53")
_whole = _number(int, lambda value: 0 <= value < MOST, "a whole number, at least 0 and below 2**53")
_part = _number(float, lambda value: 0 < value < 1, "a share, above 0 and below 1")
_share = _number(float, lambda value: 0 <= value < 1, "a share, at least 0 and below 1")
SETTINGS = {
    "feed": (("streams", "lines"), "a text that runs on, or a list, line by line"),
    "min_count": (_natural, "characters that occur less often share one unknown token"),
    "validation": (_part, "share of the text that is held out"),
    "cell": (("gru", "lstm", "rnn"), "recurrent layer"),
    "units": (_natural, "width of each recurrent layer"),
    "layers": (_natural, "recurrent layers"),
    "embedding_dim": (_natural, "width of a character's vector"),
    "dropout": (_share, "share of outputs dropped in training"),
    "weight_dropout": (_share, "share of recurrent weights dropped in training"),
    "batch_size": (_natural, "rows of a batch"),
    "sequence_length": (_natural, "characters of a row"),
    "epochs": (_natural, "times that the text is read"),
    "patience": (_natural, "epochs without a better validation loss, after which to stop"),
    "learning_rate": (_above_zero, "the highest of the run"),
    "weight_decay": (_share, "per step, as a share of the learning rate"),
    "precision": (("float32", "bfloat16", "float16"), "of the products"),
}
