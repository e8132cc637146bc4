"""The `charlm` command: train a network on any text, let it write, and see how good it is.

A script can trust its exit codes: 0, done; 2, bad input, with one line that says what is wrong; 1, training failed;
130 or 143, stopped by SIGINT (Ctrl-C) or SIGTERM, and saved; 141, given up since nobody reads what training prints.
With `--json` standard output is one JSON object. `CHARLM_DEBUG=1` shows where an error comes from.
"""

import argparse
import errno
import os
import sys
import time

from charlm.cli.parser import command_parser
from charlm.cli.verbs import BAD_INPUT, complain, train
from charlm.support.startup import start_light

STARTED = time.monotonic()  # when the process began, nearly
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
UNREAD = 141  # training was given up because nobody reads what it prints, as SIGPIPE does


def main(arguments=None):
    """Run the command; returns its exit code.

    Args:
        arguments: list of strings; None for those of the process, whose minutes began when it was started.
    """
    began, given = time.monotonic(), arguments
    if arguments is None:
        began, given = STARTED, sys.argv[1:]
        start_light()
    options = command_parser().parse_args(given, argparse.Namespace(began=began, arguments=list(given)))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character should not end a training
    try:
        code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads the output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD if options.run is train else 0
    except KeyboardInterrupt:
        return complain("stopped.", 130)
    except Exception as error:
        if os.environ.get("CHARLM_DEBUG") == "1":
            raise
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
            return complain("there is not enough memory for this. Give a --limit, or fewer --units.", BAD_INPUT)
        if isinstance(error, OSError) and error.errno in FORBIDDEN and error.filename:
            way_out = "Change its permissions, or give another place: --out"
            return complain(f"{error.filename} cannot be used ({error.strerror}). {way_out}.", BAD_INPUT)
        if isinstance(error, (ValueError, OSError)):
            return complain(str(error), BAD_INPUT)
        raise
