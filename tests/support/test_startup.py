"""TensorFlow starts quietly, and only when it is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(code, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_a_later_import_of_keras_is_quiet_and_importing_charlm_alone_is_light():
    code = "import sys, charlm; print('tensorflow' in sys.modules); import keras; print(keras.ops.add(1, 1))"
    shown = python(code)
    assert shown.stdout.startswith("False\n") and shown.stderr == ""


def test_without_a_stderr_charlm_starts_all_the_same():
    python("import os, sys; os.close(2); sys.stderr = None; import charlm; charlm.build_model(4, units=2)")


@pytest.mark.parametrize(("verbose", "kept"), [("0", True), ("1", False)])
def test_messages_are_held_back_unless_verbose(verbose, kept):
    code = (
        "import os, charlm; from charlm.support.startup import quiet_stderr\n"
        "with quiet_stderr(): os.write(2, b'native noise')"
    )
    assert (python(code, CHARLM_VERBOSE=verbose).stderr == "") == kept


def test_what_was_held_back_is_shown_where_the_block_fails():
    code = (
        "import os, charlm; from charlm.support.startup import quiet_stderr\n"
        "try:\n    with quiet_stderr():\n        os.write(2, b'the reason'); raise ValueError\nexcept ValueError: pass"
    )
    assert python(code).stderr == "the reason"
