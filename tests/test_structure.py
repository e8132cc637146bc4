"""Structure: each share is 1 for well-kept form, says how much is broken, and is 0 where there is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm import structure

SHARES = [
    structure.balanced_brackets,
    structure.balanced_quotes,
    structure.balanced_tags,
    structure.well_formed_pages,
    structure.closed_environments,
    structure.speaker_heads,
]
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


def test_typographic_quotes_are_a_pair_of_brackets():
    assert structure.balanced_brackets("“Well, Prince,” “so", pairs=("“”",)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("paragraph", "balanced"),
    [
        ('"Well, Prince," he said, "so\nGenoa."', True),
        ('"Well, Prince, he said.', False),
        ('he said " well" then', False),
        ('an empty "" pair', False),
    ],
)
def test_quotes_open_before_and_close_after_a_character(paragraph, balanced):
    assert structure.balanced_quotes(paragraph) == balanced
    assert structure.balanced_quotes(f'{paragraph}\n\n"Yes."\n\nno quotes') == (1 + balanced) / 2


def test_tags_are_matched_by_name_and_nesting():
    assert structure.balanced_tags(PAGE) == 1
    assert structure.balanced_tags('<a href="x"><b></a></b>') == 1 / 2
    assert structure.balanced_tags("<a><b/>") == 2 / 3


def test_pages_are_well_formed_only_if_a_parser_accepts_them():
    broken = "<page><title>A</text></page>"
    assert structure.well_formed_pages(PAGE) == 1
    assert structure.well_formed_pages(f"text {PAGE}{broken} more {PAGE}") == pytest.approx(2 / 3)
    assert structure.well_formed_pages(f"<page><title>never closed{PAGE}") == 1 / 2
    assert structure.well_formed_pages("<page>a & b</page>") == 0


def test_a_page_cut_off_by_the_end_is_not_counted():
    assert structure.well_formed_pages(PAGE + PAGE[:40]) == 1
    assert structure.well_formed_pages(PAGE[:40]) == 0


def test_environments_are_matched_by_name_and_nesting():
    good = r"\begin{proof} \begin{align*} x \end{align*} \end{proof}"
    assert structure.closed_environments(good) == 1
    assert structure.closed_environments(good + r"\begin{lemma}") == 4 / 5
    assert structure.closed_environments(r"\begin{proof} \end{lemma}") == 0


def test_a_speakers_head_is_a_capitalised_line_that_ends_in_a_colon_before_speech():
    heads = "First Citizen:\nSpeak.\n\nKING RICHARD III:\nO Ratcliff!\n\nJULIET:\nAy me!\n\n"
    assert structure.speaker_heads(heads) == 1
    assert structure.speaker_heads(heads + "no head here:\nspeech") == 3 / 4
    assert structure.speaker_heads("ROMEO:\n\nROMEO: no\n\nRo3meo:\nspeech") == 0
