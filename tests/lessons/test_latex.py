"""Sampled LaTeX is mended so that everything closes, and compiled so that nothing of it is obeyed."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.evaluation.structure import closed_environments, closed_formulas
from charlm.lessons import latex

needs_latex = pytest.mark.skipif(not latex.is_installed(), reason="pdflatex is not installed")
SOUND = r"""\begin{lemma}
\label{lemma-one}
Let $R$ be a ring. Then $$ \begin{matrix} a & b \end{matrix} $$ is a matrix.
\end{lemma}

\begin{proof}
This is Lemma \ref{lemma-one}, see {\it there}. It costs \$ 5.
\end{proof}"""
PIECES = [r"\begin{lemma}", r"\end{lemma}", r"\begin{proof}", r"\end{proof}", r"\begin{matrix}", r"\end{matrix}"]
PIECES += ["$", "$$", "{", "}", r"\{", r"\$", "a ", "\n", "\n\n", r"\\", "\\", r"\begin{document}", r"\input{secret}"]


def test_what_is_sound_stays_as_it_is():
    mended = latex.mend("cut off\n\n" + SOUND + "\n\ncut o")
    assert mended.text == SOUND
    assert sum(mended.repairs.values()) == 0


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example(r"$$$\end{lemma}$")
@example("a $$\n}\nb")
@example("$\\begin{matrix}\n\\end{lemma}")
def test_whatever_is_mended_closes_its_environments_formulas_and_braces(text):
    mended = latex.mend(text).text
    assert closed_environments(mended) == 1 or closed_environments(mended).n == 0
    assert closed_formulas(mended) == 1 or closed_formulas(mended).n == 0
    plain = mended.replace(r"\\", "").replace(r"\{", "").replace(r"\}", "")
    depths = [plain[:end].count("{") - plain[:end].count("}") for end in range(len(plain) + 1)]
    assert min(depths) == 0 and depths[-1] == 0
    assert "document" not in mended and r"\input" not in mended


def test_repairs_are_named_and_counted():
    text = "a\n\nLet $x be } one.\n\n\\begin{lemma}\n{b\n\\end{proof}\n\nc"
    mended = latex.mend(text)
    assert mended.text == "Let $x be  one.$\n\n\\begin{lemma}\n{b\n}\n\\end{lemma}"
    found = {name: count for name, count in mended.repairs.items() if count}
    assert found == {
        "formulas closed": 1,
        "braces dropped": 1,
        "braces closed": 1,
        "ends of environments dropped": 1,
        "environments closed": 1,
    }


@needs_latex
def test_sound_text_becomes_a_page_without_an_error():
    page = latex.compile_page(SOUND)
    assert page.errors == ()
    assert page.picture is None or page.picture.shape[2] == 3


@needs_latex
def test_errors_are_counted_and_the_page_is_there_all_the_same():
    page = latex.compile_page(r"Let $x \foo$ be one, and \begin{lemma} open.")
    assert any("Undefined control sequence" in error for error in page.errors)


@needs_latex
def test_nothing_outside_its_folder_is_read_or_written(tmp_path):
    secret, target = tmp_path / "secret.tex", tmp_path / "written"
    secret.write_text(r"\errmessage{was read}")
    page = latex.compile_page(rf"\immediate\write18{{touch {target}}} \input{{{secret}}} text")
    assert not any("was read" in error for error in page.errors)
    latex.compile_page(rf"\newwrite\out \immediate\openout\out={target}.tex \immediate\write\out{{a}} text")
    assert not target.exists() and not Path(f"{target}.tex").exists()


def test_without_pdflatex_there_is_no_page(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not latex.is_installed()
    assert latex.compile_page("text") is None
