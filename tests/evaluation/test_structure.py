"""Structure: each share is 1 for well-kept form, says how much is broken, and is 0 where there is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.evaluation import structure

SHARES = [
    structure.balanced_brackets,
    structure.well_formed_pages,
    structure.balanced_lines,
    structure.closed_comments,
    structure.aligned_braces,
    structure.closed_environments,
    structure.closed_formulas,
    structure.known_references,
]
CODE = """\
static int opened(struct file * file, int *count)
{
	int i, n = start(file), *p = &table[i];
	unsigned long flags;
	struct inode * inode = file->f_inode;

	/* forgotten = 1; */
	save_flags(flags);
	for (i = 0; i < n; i++) {
		if (!inode)
			goto out;
		missing += p[i] + MAX_OPEN;
	}
	printk("unknown %d", i);
out:
	return -EBUSY;
}
"""
PAGE = "<page>\n<title>A &amp; B</title>\n<text xml:space='preserve'>a [[link]]<br /></text>\n</page>\n"


@pytest.mark.parametrize("share", SHARES)
@given(text=st.text(alphabet='ab:A \n"()[]{}<>/\\&') | st.text())
def test_every_share_is_between_0_and_1_for_any_text(share, text):
    assert 0 <= share(text) <= 1


@pytest.mark.parametrize("share", SHARES)
def test_a_text_without_the_form_scores_0(share):
    assert share("") == share("plain words") == 0.0


@pytest.mark.parametrize(
    ("text", "share"),
    [("f(a[i], {b}) ()", 1), ("{(}", 2 / 3), ("([)]", 1 / 2), (")(", 0), ("((a)", 2 / 3), ("(a))", 2 / 3)],
)
def test_brackets_are_matched_by_kind_and_nesting(text, share):
    assert structure.balanced_brackets(text) == pytest.approx(share)


@given(st.text(alphabet="([{}])a"))
def test_the_brackets_without_a_partner_are_what_is_left_of_the_share(text):
    share, left = structure.balanced_brackets(text), structure.unmatched_brackets(text)
    assert len(left) == share.n - share.hits
    assert all(text[place] in "([{}])" for place in left)


def test_the_places_of_brackets_without_a_partner_are_told():
    assert structure.unmatched_brackets("f(a[i]{)") == [6]
    assert structure.unmatched_brackets("f(a[i]{)", pairs=("{}",)) == [6]


def test_a_share_knows_of_how_many_it_is_one():
    share = structure.balanced_lines("f(a) (b\n")
    assert (share.hits, share.n) == (2, 3) and share == 2 / 3
    assert structure.closed_comments("plain words").n == 0


def test_texts_are_pooled_each_read_on_its_own():
    rule = structure.balanced_brackets
    assert structure.pooled(rule, ["f(a", "b)"]) == 0 and rule("f(ab)") == 1
    assert structure.pooled(rule, ["()", "(", ""]) == 2 / 3
    assert structure.pooled(rule, []).n == 0


def test_typographic_quotes_are_a_pair_of_brackets():
    assert structure.balanced_brackets("“Well, Prince,” “so", pairs=("“”",)) == pytest.approx(2 / 3)


def test_pages_are_well_formed_only_if_a_parser_accepts_them():
    broken = "<page><title>A</text></page>"
    assert structure.well_formed_pages(PAGE) == 1
    assert structure.well_formed_pages(f"text {PAGE}{broken} more {PAGE}") == pytest.approx(2 / 3)
    assert structure.well_formed_pages(f"<page><title>never closed{PAGE}") == 1 / 2
    assert structure.well_formed_pages("<page>a & b</page>") == 0


def test_a_page_cut_off_by_the_end_is_not_counted():
    assert structure.well_formed_pages(PAGE + PAGE[:40]) == 1
    assert structure.well_formed_pages(PAGE[:40]) == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [("f(a[i])\n", 1), ("f(a,\n  b)", 0), ("f(a,\n  g(b))", 1 / 2), ("[(])", 1 / 2), ("{", 0)],
)
def test_marks_are_matched_within_their_line(text, share):
    assert structure.balanced_lines(text) == share


def test_marks_of_several_characters_are_read_longest_first():
    marks = ("[[", "]]"), ("{{", "}}"), ("<id>", "</id>"), "[]"
    assert structure.balanced_lines("[[a]] [http://b c] {{cite}}\n<id>1</id>", marks) == 1
    assert structure.balanced_lines("[[a] b]]\n<id>1<id>", marks) == pytest.approx(2 / 5)


@given(st.text(alphabet="()[]ab\n"))
def test_balance_in_lines_never_exceeds_that_of_the_whole_text(text):
    assert structure.balanced_lines(text) <= structure.balanced_brackets(text, pairs=("()", "[]"))


def test_a_comment_must_close_before_the_next_begins():
    assert structure.closed_comments("/* a */ x; /* b\n */") == 1
    assert structure.closed_comments("/* a /* b */") == 1 / 2
    assert structure.closed_comments("/* a */ /* cut off") == 1


def test_a_brace_is_aligned_with_the_line_that_opened_its_block():
    assert structure.aligned_braces(CODE) == 1
    assert structure.aligned_braces("if (a)\n  {\n    b();\n  }") == 1
    assert structure.aligned_braces("if (a) {\n\tb();\n} else {\n\tc();\n\t}\n}") == 1 / 3
    assert structure.aligned_braces("        if (a) {\n\t}") == 1
    assert structure.aligned_braces('puts("{");\n/* { */\n}') == 0


def test_a_c_function_tells_its_declarations_from_its_uses():
    (function,) = structure.c_functions("int x;\n" + CODE + "struct a { int b; };\n")
    assert function.name == "opened"
    assert function.declared == {"file", "count", "i", "n", "p", "flags", "inode"}
    assert function.used == {"file", "table", "i", "n", "inode", "missing", "p", "flags", "MAX_OPEN", "EBUSY"}
    assert function.called == {"start", "save_flags", "printk"}


@pytest.mark.parametrize(
    "broken",
    [
        '\tprintk("words of a string that does not close\n\tx = 1;',
        "\tx = 1; /* a comment */\n\t * words of a\n\t * second\n\t comment */",
        "\tx = 1; words of a comment */",
        "\tx = 'words of a character;\n\tx = 1;",
    ],
)
def test_words_of_broken_comments_and_strings_are_no_variables(broken):
    (function,) = structure.c_functions("int f(int x)\n{\n" + broken + "\n\treturn y;\n}\n")
    assert function.used - {"x"} == {"y"}


@given(st.text(alphabet="a*/\"'\\#\n {}") | st.text())
def test_what_is_left_of_code_keeps_its_place(text):
    code = structure.code_only(text)
    assert len(code) == len(text)
    assert all(left in (" ", character) for left, character in zip(code, text, strict=True))
    assert code.count("\n") == text.count("\n")


def test_names_are_undeclared_unused_or_unknown_calls():
    functions = structure.c_functions(CODE)
    assert structure.undeclared_names(functions) == 2 / 8  # table, missing; capitals are macros
    assert structure.undeclared_names(functions, {"table"}) == 1 / 8
    assert structure.unused_names(functions) == pytest.approx(1 / 7)  # count
    assert structure.unknown_calls(functions, {"printk"}) == pytest.approx(2 / 3)
    assert structure.unknown_calls(structure.c_functions(CODE + "int start(int a)\n{\n}\n")) == pytest.approx(2 / 3)
    assert structure.undeclared_names([]) == structure.unused_names([]) == structure.unknown_calls([]) == 0


def test_global_names_are_used_without_a_declaration_more_often_than_with_one():
    code = "int a(int i)\n{\n\treturn i + jiffies;\n}\nint b(void)\n{\n\treturn i + jiffies;\n}\n"
    assert structure.global_names(structure.c_functions(code)) == {"jiffies"}


@given(st.text(alphabet="ab1 \n(){};,*=:/\"'#[]<>.") | st.text())
def test_any_text_can_be_searched_for_functions(text):
    for function in structure.c_functions("int f(int a)\n{\n" + text + "\n}\n"):
        assert all(name.isidentifier() for name in function.declared | function.used | function.called)


def test_environments_close_where_their_end_is_properly_nested():
    assert structure.closed_environments(r"\begin{lemma} \begin{enumerate} \end{enumerate} \end{lemma}") == 1
    crossed = structure.closed_environments(r"\begin{lemma} \begin{proof} \end{lemma} \end{proof}")
    assert (crossed, crossed.n) == (0.5, 4)
    assert structure.closed_environments("none").n == 0


@pytest.mark.parametrize(
    ("text", "closed", "paragraphs"),
    [
        ("Let $a$ be $b$.", 1, 1),
        ("Let $a be.\n\n$b$ and $$ c $$", 1, 2),
        ("$$ a $ b $$", 0, 1),
        ("$a$$b$", 1, 1),
        (r"it costs \$5 and $a$", 1, 1),
        ("no formula\n  \n$$ a\n\nb $$", 0, 2),
        (r"$a \\$", 1, 1),
    ],
)
def test_formulas_close_within_their_paragraph(text, closed, paragraphs):
    share = structure.closed_formulas(text)
    assert (share.hits, share.n) == (closed, paragraphs)


def test_references_are_known_where_their_label_is_in_the_text_or_given():
    text = r"\label{lemma-a} \ref{lemma-a} \ref{lemma-b} \ref{lemma-c}"
    assert structure.known_references(text) == pytest.approx(1 / 3)
    assert structure.known_references(text, structure.labels(r"\label{lemma-b}")) == pytest.approx(2 / 3)
