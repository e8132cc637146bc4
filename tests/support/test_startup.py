"""TensorFlow starts quietly, and only when it is needed; what XLA compiles is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.support import startup

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


COMPILE = "import tensorflow as tf; print(tf.function(lambda x: x * 2, jit_compile=True)(tf.constant(21)).numpy())"


def kept(folder):
    return sorted(file.name for file in folder.rglob("xla_compile_cache*"))


@pytest.mark.parametrize("first", ["charlm, tensorflow", "tensorflow, charlm"])
def test_what_xla_compiles_is_kept_and_found_again(tmp_path, first):
    cache = tmp_path / "a folder's cache"
    assert python(f"import {first}; {COMPILE}", CHARLM_CACHE=str(cache), TF_XLA_FLAGS="").stdout == "42\n"
    files = kept(cache)
    assert files
    assert python(f"import {first}; {COMPILE}", CHARLM_CACHE=str(cache), TF_XLA_FLAGS="").stdout == "42\n"
    assert kept(cache) == files


def test_without_a_folder_to_keep_them_in_functions_are_compiled_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    shown = python(f"import charlm; {COMPILE}", CHARLM_CACHE=str(tmp_path / "file"), TF_XLA_FLAGS="")
    assert (shown.stdout, shown.stderr) == ("42\n", "")


def test_a_file_that_a_crash_left_empty_is_compiled_anew(tmp_path):
    python(f"import charlm; {COMPILE}", CHARLM_CACHE=str(tmp_path), TF_XLA_FLAGS="")
    for file in tmp_path.rglob("xla_compile_cache*"):
        file.write_bytes(b"")
    shown = python(f"import charlm; {COMPILE}", CHARLM_CACHE=str(tmp_path), TF_XLA_FLAGS="")
    assert (shown.stdout, shown.stderr) == ("42\n", "")


def test_a_folder_of_one_s_own_is_respected(tmp_path):
    flags = f"--tf_xla_persistent_cache_directory={tmp_path / 'own'}"
    shown = python("import charlm, tensorflow, os; print(os.environ['TF_XLA_FLAGS'])", TF_XLA_FLAGS=flags)
    assert shown.stdout == flags + "\n"


def test_the_oldest_are_removed_where_there_are_too_many(tmp_path):
    for age in range(5):
        (tmp_path / str(age)).write_bytes(bytes(10))
        os.utime(tmp_path / str(age), (1_000 - age, 1_000 - age))
    startup._tidy(tmp_path, most=25)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]
