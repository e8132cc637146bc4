"""Settings that fit a text, a machine and a time: what feeds the network, how large it is, how long it learns, and why.

The rules come from this project's own runs (README.md and the cards in charlm/pretrained): a network may have about as
many parameters as the text has characters, it should read several characters for each parameter, and the less text
there is, the more dropout it takes.
"""

import dataclasses
import math

from charlm.anytext.pace import VALIDATION_COST, batch_seconds, products_per_second
from charlm.anytext.split import VALIDATION, Split, cut
from charlm.pipelines import check_sizes
from charlm.support.machine import best_precision
from charlm.vocabulary import Vocabulary, count_characters

MINUTES = 10.0
SMALL, MIDDLE, LARGE = 200_000, 500_000, 2_500_000  # characters to train on, at which settings change
FREE_PARAMETERS = 250_000  # of a network for even the smallest text
READ_PER_PARAMETER = {"gru": 6, "lstm": 30, "rnn": 6}  # characters, all epochs together, that are enough
READ_IN_ALL = 3_000_000  # characters that a text is read for, in several epochs where it is shorter
UNITS = range(1024, 64, -64)  # widths to choose from, the widest first
MEASURED_WIDTH = 256  # whose products stand for every width until one is chosen
FEWEST_BATCHES = 50  # of an epoch
OFTEN = 9  # epochs that are enough for an LSTM, and from which on it is better than a GRU
SHORT = 2.5  # epochs, up to which a list is hardly memorised
LONG, VERY_LONG = 9, 16  # epochs, from which on a text has to be kept from being memorised, and more so
RATE = {"lstm": 3.4, "gru": 2.5, "rnn": 1.0}  # learning rate times units: a wider network takes smaller steps
MOST_RATE = 0.01
TUNING_RATE = 2e-3  # of a network that has learned from another text
FIRST_SECONDS, EPOCH_SECONDS = 5.0, 1.0  # beside training: to compile; for an epoch's sample and checkpoint
FEWEST_CHARACTERS = 100
PATIENCE = 4, 0.25  # epochs without a better loss, at least, and as a share of those that there are
MOST_CHARACTERS = 20_000  # distinct ones that a network can choose among in reasonable time and memory
MANY_CHARACTERS = 256  # distinct ones, above which rare ones are left out
RARE_SHARE = 0.001  # of a text that the unknown token may stand for


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train on a text; `reasons` says why, and `print` shows both."""

    feed: str  # "streams", or "lines" for a list
    min_count: int  # characters that occur less often are left out of the vocabulary
    validation: float  # share of the text
    cell: str
    units: int
    layers: int
    embedding_dim: int
    dropout: float
    weight_dropout: float
    batch_size: int
    sequence_length: int | None  # None for lines
    epochs: int
    patience: int  # epochs without a better validation loss, after which training stops
    learning_rate: float
    weight_decay: float
    precision: str
    minutes: float | None  # that training may take; None for no limit
    given: tuple = ()  # names of the settings that were not chosen but given
    reasons: tuple = ()

    def __str__(self):
        shown = ", ".join(f"{name} {getattr(self, name)}" for name in NAMES)
        return "\n".join([shown, *(f"- {reason}" for reason in self.reasons)])

    def network(self):
        """The arguments of `build_model`, but for the vocabulary's size and the batch."""
        names = ("cell", "units", "layers", "embedding_dim", "dropout", "weight_dropout", "precision")
        return {name: getattr(self, name) for name in names}


NAMES = tuple(field.name for field in dataclasses.fields(Settings) if field.name not in ("given", "reasons"))


def suggest(text, minutes=MINUTES, speed=None, **given):
    """Choose settings for a text, from its size, alphabet and lines, from this machine's speed, and from a time.

    Args:
        text: string, the whole text: the validation part is taken from it; or a `Split` of it.
        minutes: that training may take; None: as long as the epochs take that its size asks for.
        speed: multiplications and additions per second that this machine does in training; None measures it, by a
            few batches of the network, where there is a time.
        **given: settings of your own, named as in `Settings`; the others follow from them.

    Returns:
        `Settings`, of which `dataclasses.replace` makes others.

    Raises:
        ValueError: fewer than 100 characters, only one distinct, more than 20,000 distinct, a time that is not above
            0, or a given setting that is none or outside its limits.
    """
    _check(text, minutes, given)
    split = text if isinstance(text, Split) else cut(text, given.get("feed"), given.get("validation", VALIDATION))
    chosen = {"layers": 1, "minutes": minutes, **given, "feed": split.feed, "validation": split.validation}
    reasons, characters = [], len(split.train)
    if split.feed == "lines":
        reasons.append("Short lines without a text's punctuation: a list, fed line by line, its duplicates taken out.")
    distinct = _alphabet(split, chosen, reasons)
    if split.feed == "lines":
        _batches_of_lines(split.train.count("\n"), chosen, reasons)
    else:
        _batches(characters, chosen, reasons)
    chosen.setdefault("precision", best_precision())
    chosen.setdefault("embedding_dim", 64 if characters < SMALL else 128)
    rough = speed or _rough_speed(chosen)
    chosen.setdefault("cell", _cell(characters, distinct, chosen, rough))
    if "units" not in chosen:
        _choose_width(characters, distinct, chosen, rough, reasons)
    if speed is None and minutes is not None:
        speed = _own_speed(split, distinct, chosen, reasons, "units" in given)
    epochs = _choose_epochs(characters, distinct, chosen, speed, reasons)
    _regularise(characters, epochs, chosen, reasons)
    return Settings(**chosen, given=tuple(sorted(given)), reasons=tuple(reasons))


def resize(settings, characters, distinct, seconds, speed):
    """Choose the network's width, and what follows from it, anew for another time or speed; what was given stays.

    Args:
        settings: `Settings`.
        characters: to train on.
        distinct: size of the vocabulary.
        seconds: that training may take.
        speed: as in `suggest`.
    """
    followers = {"units", "epochs", "patience", "dropout", "weight_dropout", "weight_decay", "learning_rate"}
    free = followers - set(settings.given)
    kept = {name: getattr(settings, name) for name in NAMES if name not in free}
    chosen, reasons = {**kept, "minutes": seconds / 60}, []
    if "units" not in chosen:
        _choose_width(characters, distinct, chosen, speed, reasons)
    epochs = _choose_epochs(characters, distinct, chosen, speed, reasons)
    _regularise(characters, epochs, chosen, reasons)
    return Settings(**{**chosen, "minutes": settings.minutes}, given=settings.given, reasons=tuple(reasons))


def parameters(units, layers, embedding_dim, distinct, cell="gru"):
    """Count a network's weights, biases aside."""
    gates = {"gru": 3, "lstm": 4, "rnn": 1}[cell]
    recurrent = sum(gates * units * (units + (embedding_dim if layer == 0 else units)) for layer in range(layers))
    return recurrent + distinct * (embedding_dim + units)


def seconds_per_character(units, layers, distinct, speed, cell="gru"):
    """Estimate how long training takes for a character: three products for each weight, one forward, two backward."""
    return 6 * parameters(units, layers, 0, distinct, cell) / speed


def measured_speed(chosen, distinct, length, characters):
    """Measure how many multiplications and additions a second a network does in training.

    Args:
        chosen: its settings, by name.
        distinct: size of the vocabulary.
        length: steps of a batch.
        characters: of a batch, what rows are filled up with left out.
    """
    network = tuple((name, chosen[name]) for name in ("cell", "units", "layers", "embedding_dim", "precision"))
    # One character alone is refused where the vocabulary is made, which can say why.
    seconds = batch_seconds(network, max(distinct, 2), chosen["batch_size"], length, chosen["feed"] == "streams")
    needed = seconds_per_character(chosen["units"], chosen["layers"], distinct, 1, chosen["cell"])  # products
    return characters / seconds * needed


def rarest_kept(counts):
    """Choose the `min_count` under which at most a thousandth of a text falls.

    Args:
        counts: how often each distinct character occurs, an iterable of numbers.
    """
    counts, gone = sorted(counts), 0
    most = RARE_SHARE * sum(counts)
    for count in counts:
        gone += count
        if gone > most:
            return max(1, count)
    return 1


def suited_rate(cell, units, lines):
    """Choose the learning rate of a network, in two digits; lists keep one that was found on names."""
    if lines:
        return 4e-3 if units <= 512 else 3e-3
    return float(f"{min(MOST_RATE, RATE[cell] / units):.2g}")


def longest_training(characters):
    """How many epochs a text of so many characters is worth, where time does not matter."""
    return 60 if characters < SMALL else 24 if characters < LARGE else 12


def _check(text, minutes, given):
    names = sorted(set(NAMES) - {"minutes"})
    unknown = sorted(given.keys() - names)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no setting; choose among {', '.join(names)}.")
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise ValueError(f"minutes is {minutes}; training takes some time: give a number above 0.")
    characters = len(text.train) + len(text.held_out) if isinstance(text, Split) else len(text)
    if characters < FEWEST_CHARACTERS:
        raise ValueError(
            f"{characters:,} characters are too few to learn from; {FEWEST_CHARACTERS} are needed at least."
        )


def _alphabet(split, chosen, reasons):
    """Choose `min_count`; returns the distinct characters that are left."""
    distinct = len(set(split.train) | set(split.held_out))
    if distinct == 1:
        raise ValueError(
            f"The text is {split.train[0]!r} again and again: with one distinct character nothing can be learned."
        )
    if distinct <= MANY_CHARACTERS and "min_count" not in chosen:
        chosen["min_count"] = 1
        return distinct
    counts = count_characters(split.train)  # what is held out must not choose
    chosen.setdefault("min_count", rarest_kept(counts.values()))
    left = sum(count >= chosen["min_count"] for count in counts.values()) + 1
    if left == 1:
        Vocabulary.from_text(split.train, chosen["min_count"])  # says why, before a network is timed
    if left > MOST_CHARACTERS:
        raise ValueError(
            f"The text has {distinct:,} distinct characters, {left:,} of them not rare; {MOST_CHARACTERS:,} are the "
            "most. Raise min_count (--min-count 100), or read the text byte by byte (as_bytes=True, --as-bytes)."
        )
    if chosen["min_count"] > 1:
        reasons.append(
            f"{distinct:,} distinct characters: those that occur less than {chosen['min_count']} times share one "
            f"unknown token, \N{REPLACEMENT CHARACTER}, and {left - 1:,} are left."
        )
    return left


def _batches(characters, chosen, reasons):
    """Choose rows and length of a batch, wide for a long text, and at least `FEWEST_BATCHES` of them in an epoch."""
    rows = chosen.get("batch_size") or next(
        size for size, least in ((64, LARGE), (32, MIDDLE), (16, SMALL), (8, 0)) if characters >= least
    )
    length = chosen.get("sequence_length") or 64
    while characters < FEWEST_BATCHES * rows * length and rows * length > 8:
        if rows > 2 and "batch_size" not in chosen:
            rows //= 2
        elif length > 8 and "sequence_length" not in chosen:
            length //= 2
        elif rows > 1 and "batch_size" not in chosen:
            rows //= 2
        else:
            break
    check_sizes(characters, length, rows, rows * length + 1, f"sequence_length {length}")  # before a network is timed
    batches = (characters - 1) // (rows * length)
    if batches < FEWEST_BATCHES or ((rows, length) != (64, 64) and characters < MIDDLE):
        reasons.append(f"{rows} rows of {length} characters a batch make {batches:,} batches{_few(batches)}.")
    chosen["batch_size"], chosen["sequence_length"] = rows, length


def _batches_of_lines(items, chosen, reasons):
    """Choose how many lines make a batch: fewer where there are few lines."""
    chosen.setdefault("sequence_length", None)
    rows = chosen.get("batch_size") or 64
    while items < FEWEST_BATCHES * rows and rows > 1 and "batch_size" not in chosen:
        rows //= 2
    batches = math.ceil(items / rows)
    if batches < FEWEST_BATCHES or rows < 64:
        reasons.append(f"{items:,} lines to train on: {rows} a batch make {batches:,} batches{_few(batches)}.")
    chosen["batch_size"] = rows


def _rough_speed(chosen):
    """The products alone, before there is a network to time: never less than its own speed."""
    if chosen["minutes"] is None:
        return math.inf
    return products_per_second(chosen["precision"], chosen["batch_size"], MEASURED_WIDTH)


def _own_speed(split, distinct, chosen, reasons, fixed):
    """Time the network; where it is too slow for its time and its width is not fixed, a narrower one, too."""
    if chosen["feed"] == "lines":
        items = split.train.split("\n")[:-1]
        length = max(map(len, items)) + 1
        characters = len(split.train) / max(1, len(items) // chosen["batch_size"])
    else:
        length = chosen["sequence_length"]
        characters = chosen["batch_size"] * length
    speed, units = measured_speed(chosen, distinct, length, characters), chosen["units"]
    if not fixed:
        del reasons[-1]  # of a width that was chosen by the products alone
        _choose_width(len(split.train), distinct, chosen, speed, reasons)
    return speed if chosen["units"] == units else measured_speed(chosen, distinct, length, characters)


def _few(batches):
    return " (fewer than 50: expect little)" if batches < FEWEST_BATCHES else ""


def _cell(characters, distinct, chosen, speed):
    """Choose the cell: an LSTM where there is time to read a text often, else a GRU, which learns more in little time."""
    lstm = {**chosen, "cell": "lstm"}
    units = chosen.get("units") or _width(characters, distinct, lstm, speed)
    often = _epochs_in_time(units, characters, distinct, lstm, speed) >= OFTEN
    return "lstm" if often and chosen["feed"] != "lines" else "gru"


def _widths(characters, distinct, chosen):
    """List the widths that a text can teach, the widest first."""
    most = FREE_PARAMETERS + 0.9 * characters
    if characters > SMALL / 8:
        most = max(most, 1.01 * _weights(256, distinct, chosen))
    return [units for units in UNITS if _weights(units, distinct, chosen) <= most] or [UNITS[-1]]


def _weights(units, distinct, chosen):
    return parameters(units, chosen["layers"], chosen["embedding_dim"], distinct, chosen["cell"])


def _choose_width(characters, distinct, chosen, speed, reasons):
    """Choose the network's width: the widest that the text can teach and the time allows."""
    units = chosen["units"] = _width(characters, distinct, chosen, speed)
    limit = "the text" if units == _widths(characters, distinct, chosen)[0] else "the time"
    reasons.append(
        f"{chosen['cell'].upper()}-{units}, {_weights(units, distinct, chosen):,} weights for {characters:,} characters to train on: "
        f"{limit} allows no more."
    )


def _width(characters, distinct, chosen, speed):
    """Find the widest network that the text can teach and that reads enough of it in the time."""

    def reads_enough(units):
        epochs = _epochs_in_time(units, characters, distinct, chosen, speed)
        enough = READ_PER_PARAMETER[chosen["cell"]] * _weights(units, distinct, chosen)
        if chosen["cell"] == "lstm":
            enough = min(enough, OFTEN * characters)
        return epochs >= min(3, READ_IN_ALL / characters) and epochs * characters >= enough

    return next(filter(reads_enough, _widths(characters, distinct, chosen)), UNITS[-1])


def _choose_epochs(characters, distinct, chosen, speed, reasons):
    """Choose the most epochs; returns how many there is time for."""
    possible = _epochs_in_time(chosen["units"], characters, distinct, chosen, speed)
    if chosen["minutes"]:
        reasons.append(
            f"About {possible:.1f} epochs fit into {chosen['minutes']:.3g} minutes; the learning rate falls with the time."
        )
    chosen.setdefault("epochs", longest_training(characters))
    planned = min(possible, chosen["epochs"])
    chosen.setdefault("patience", max(PATIENCE[0], round(PATIENCE[1] * planned)))
    reasons.append(
        f"{chosen['epochs']} epochs at most; training stops after {chosen['patience']} without a better validation loss."
    )
    return planned


def _epochs_in_time(units, characters, distinct, chosen, speed):
    """How many epochs there is time for at some width, a fractional number."""
    if chosen["minutes"] is None:
        return float(longest_training(characters))
    each = seconds_per_character(units, chosen["layers"], distinct, speed, chosen["cell"]) * characters
    each = each * (1 + VALIDATION_COST * chosen["validation"]) + EPOCH_SECONDS
    return max(60 * chosen["minutes"] - FIRST_SECONDS, 0.0) / each


def _regularise(characters, epochs, chosen, reasons):
    """Choose dropout, weight decay and learning rate: more of the first two the less text there is, the oftener read."""
    lines, small = chosen["feed"] == "lines", characters < SMALL
    if lines and (small or epochs >= SHORT):
        dropout, weights = 0.5, 0.0
    elif small:
        dropout, weights = 0.4, 0.3
    elif epochs < LONG:  # what is read a few times is hardly memorised
        dropout, weights = 0.1, 0.0
    elif epochs < VERY_LONG:
        dropout, weights = (0.12, 0.12) if characters < LARGE else (0.1, 0.1)
    else:
        dropout, weights = (0.25, 0.25) if characters < LARGE else (0.2, 0.2)
    if "dropout" not in chosen:
        why = "so little text is soon memorised" if small else "for a text of this size and so many epochs"
        reasons.append(f"Dropout {dropout}, of recurrent weights {weights}: {why}.")
    chosen.setdefault("dropout", dropout)
    chosen.setdefault("weight_dropout", weights)
    chosen.setdefault("weight_decay", 0.1 if lines else 0.05)
    chosen.setdefault("learning_rate", suited_rate(chosen["cell"], chosen["units"], lines))
