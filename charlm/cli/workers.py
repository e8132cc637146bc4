"""What `charlm train` does besides where several workers train: who takes part, and that all mean the same training."""

import contextlib
import os

from charlm.devices.local import asked_for, workers_on_this_machine
from charlm.devices.meeting import Meeting, check_same

MAY_DIFFER = ("arguments", "began", "devices", "init_from", "json", "out", "resume", "run", "text")
SAME_OPTIONS = "Give all workers the same options."
SAME_TEXT = "Give all workers the same text."


@contextlib.contextmanager
def places(options):
    """Find out which worker this process is, and start the others that `--devices` asks for.

    Yields:
        A `Place`, or None for a training on one device.
    """
    place = asked_for(os.environ.get("TF_CONFIG"), options.devices)
    if place or (options.devices or 1) == 1:
        yield place
        return
    with workers_on_this_machine(options.devices, options.arguments) as place:
        yield place


def gather(options, place, find, read):
    """Meet the other workers, see that all mean the same training, and connect with them.

    Args:
        options: of the command.
        place: a `Place`.
        find: a function that tells where the text is, a `Source`; with `--resume` only the chief can ask it.
        read: a function that reads the text of a `Source`: a `Corpus`.

    Returns:
        `(workers, corpus)`.

    Raises:
        ValueError: as for `join_workers`, or workers have other options or another text.
    """
    from charlm.corpora import resolve_source
    from charlm.devices.workers import SAME_VERSIONS, Workers, versions

    with Meeting(place) as meeting:
        facts = {f"--{name.replace('_', '-')}": v for name, v in vars(options).items() if name not in MAY_DIFFER}
        facts["--resume"] = bool(options.resume)
        ways_out = {**dict.fromkeys(versions(), SAME_VERSIONS), **dict.fromkeys(facts, SAME_OPTIONS)}
        check_same(meeting.exchange({**versions(), **facts}), place, ways_out)
        found = find() if place.rank == 0 else None
        notes = meeting.exchange(found.notes() if found else {})[0]
        if found is None:  # a file may be elsewhere on another machine
            where = notes["source"] if options.resume else options.text
            found = resolve_source(where, notes["pattern"], notes["as_bytes"], notes["limit"])
        corpus = read(found)
        facts = {"The text's sha256": corpus.sha256, "The text's length": len(corpus.text)}
        check_same(meeting.exchange(facts), place, dict.fromkeys(facts, SAME_TEXT))
    return Workers(place), corpus


@contextlib.contextmanager
def explained(workers):
    """Tell the others if the chief fails before it has announced its job."""
    try:
        yield
    except Exception as error:
        workers.tell({"error": str(error) or type(error).__name__})
        raise
