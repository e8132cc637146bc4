"""What a C compiler is asked about sampled text, and that nothing of that text is obeyed."""

import pytest

from charlm.lessons import compiler

needs_compiler = pytest.mark.skipif(compiler.compiler() is None, reason="no C compiler is installed")
SOUND = """\
static int opened(struct inode * inode, u_char kind)
{
	int i;
	for (i = 0; i < missing; i++)
		if (inode->i_dev == (u_char) kind)
			printk("found %d", i);
	return absent + i;
}
"""


@needs_compiler
def test_a_function_that_lacks_its_surroundings_has_sound_grammar_and_undeclared_names():
    verdict = compiler.judge(SOUND, ["u_char"])
    assert verdict.syntax == ()
    assert verdict.undeclared == {"missing", "absent"}
    assert verdict.errors >= 2


@needs_compiler
def test_what_breaks_the_grammar_is_found_on_its_line():
    verdict = compiler.judge(SOUND.replace("missing; i++)", "missing; i++"), ["u_char"])
    assert verdict.syntax[0][0] in (4, 5) and "expected" in verdict.syntax[0][1]


@needs_compiler
def test_a_function_of_unknown_types_is_read_to_its_end():
    verdict = compiler.judge("int f(foo_t x, bar_t *y)\n{\n\tif (x\n\t\treturn 1;\n}\n")
    assert verdict.syntax[0][0] in (3, 4) and verdict.errors >= 3
    assert compiler.judge("int f(foo_t x, bar_t *y)\n{\n\treturn x;\n}\n") == ((), frozenset(), 2)


@needs_compiler
@pytest.mark.parametrize("order", ['#include "{}"', '  # include "{}"', '%:include "{}"', '#\\\ninclude "{}"'])
def test_no_file_is_included(order, tmp_path):
    file = tmp_path / "secret.h"
    file.write_text("int secret(;\n")
    assert compiler.judge(order.format(file) + "\n" + SOUND, ["u_char"]).syntax == ()


@needs_compiler
def test_text_that_is_no_program_is_judged_too():
    assert compiler.judge('/* \x00 é " never closed').syntax
    assert compiler.judge("").errors == 0


def test_without_a_compiler_there_is_no_verdict(monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert compiler.compiler() is None and compiler.judge(SOUND) is None


@needs_compiler
def test_a_compiler_that_does_not_end_gives_no_verdict(monkeypatch):
    monkeypatch.setattr(compiler, "MOST_SECONDS", 0.0)
    assert compiler.judge(SOUND) is None


def test_names_of_types_are_those_that_typedef_gives():
    text = "typedef unsigned char u_char;\ntypedef struct point {\n\tint x;\n} Point;\nstruct other { int y; } none;\n"
    assert compiler.type_names(text) == ["Point", "u_char"]
