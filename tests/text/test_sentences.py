"""Where a sentence ends, in English, in Chinese and in notes; and where each one lies."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from notes import is_han, texts

from tutorial_lib.text import (
    sentence_pieces,
    split_sentences,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "sentences",
    [
        ["发热3天。", "咳嗽？", "无！", "结束"],
        ["他说：“不痛。”", "医生走了。"],
        ["“好！”，他说。", "再见。"],
        ["体温38.5℃。", "血压120/80mmHg。"],
        ["1.高血压 2.糖尿病。", "无过敏史。"],
        ["患者发热.", "给予退热."],
        ["痛……", "很痛。"],
        ["太痛了！！！", "怎么办？？"],
        ["（昨日呕吐。）", "今日好转。"],
        ["He took 3.5 mg.", "It helped."],
        ["Dr. Wu and Prof. Li saw Mr. Smith vs. nobody.", "Then they left."],
        ["Smith et al. found it in Fig. 3 and No. 5.", "We did not."],
        ["We asked Smith et al.", "They agreed."],
        ["Give 5 mg i.v. or p.o. b.i.d. for days.", "Stop."],
        ["She has hepatitis B.", "She is well."],
        ["Dr. J. R. Smith came.", "He left."],
        ["1. Hypertension.", "The dose was 5.", "Then 10."],
        ['"Why?" he asked.', "Nobody knew!", "Right?"],
        ["Well... maybe.", "Wait...", "What?"],
        ["See www.who.int for p<.05 and v2.0.", "Done."],
        ["(It was high.)", "It fell."],
        ["BP was 120/80.", "患者无不适。", "He left."],
    ],
    ids=lambda sentences: sentences[0],
)
def test_sentences(sentences):
    joiner = "" if sum(map(is_han, "".join(sentences))) and "BP" not in sentences[0] else " "
    assert split_sentences(joiner.join(sentences)) == sentences


def test_a_line_end_ends_a_sentence_unless_the_text_was_wrapped():
    assert split_sentences("主诉：发热\n现病史：咳嗽") == ["主诉：发热", "现病史：咳嗽"]
    assert split_sentences("No fever or\ncough. Rash.", newlines=False) == ["No fever or\ncough.", "Rash."]


def test_abbreviations_of_ones_own():
    assert split_sentences("Hx. Asthma. None.") == ["Hx.", "Asthma.", "None."]
    assert split_sentences("Hx. Asthma. None.", abbreviations=["Hx."]) == ["Hx. Asthma.", "None."]


@given(text=texts)
@settings(max_examples=300, deadline=None)
def test_sentences_lie_where_they_say_and_between_them_is_only_space(text):
    pieces, place = sentence_pieces(text), 0
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.content == piece.content.strip() != ""
        assert not text[place : piece.start].strip()
        place = piece.end
    assert not text[place:].strip()
