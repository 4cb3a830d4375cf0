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


#: The golden rules of Pragmatic Segmenter, as it and pySBD publish them: texts and how they are to be cut.
#: Rule 40 (a line end inside a sentence) holds with ``newlines=False``; rule 42 is the default.
GOLDEN = [
    ["Hello World.", "My name is Jonas."],
    ["What is your name?", "My name is Jonas."],
    ["There it is!", "I found it."],
    ["My name is Jonas E. Smith."],
    ["Please turn to p. 55."],
    ["Were Jane and co. at the party?"],
    ["They closed the deal with Pitt, Briggs & Co. at noon."],
    ["Let's ask Jane and co.", "They should know."],
    ["They closed the deal with Pitt, Briggs & Co.", "It closed yesterday."],
    ["I can see Mt. Fuji from here."],
    ["St. Michael's Church is on 5th st. near the light."],
    ["That is JFK Jr.'s book."],
    ["I visited the U.S.A. last year."],
    ["I live in the E.U.", "How about you?"],
    ["I live in the U.S.", "How about you?"],
    ["I work for the U.S. Government in Virginia."],
    ["I have lived in the U.S. for 20 years."],
    ["She has $100.00 in her bag."],
    ["She has $100.00.", "It is in her bag."],
    ["He teaches science (He previously worked for 5 years as an engineer.) at the local University."],
    ["Her email is Jane.Doe@example.com.", "I sent her an email."],
    ["The site is: https://www.example.50.com/new-site/awesome_content.html.", "Please check it out."],
    ["She turned to him, 'This is great.' she said."],
    ['She turned to him, "This is great." she said.'],
    ['She turned to him, "This is great."', "She held the book out to show him."],
    ["Hello!!", "Long time no see."],
    ["Hello??", "Who is there?"],
    ["Hello!?", "Is that you?"],
    ["Hello?!", "Is that you?"],
    ["1.) The first item", "2.) The second item"],
    ["1.) The first item.", "2.) The second item."],
    ["1) The first item", "2) The second item"],
    ["1) The first item.", "2) The second item."],
    ["1. The first item", "2. The second item"],
    ["1. The first item.", "2. The second item."],
    ["• 9. The first item", "• 10. The second item"],
    ["⁃9. The first item", "⁃10. The second item"],
    ["a. The first item", "b. The second item", "c. The third list item"],
    ["This is a sentence\ncut off in the middle because pdf."],
    ["features", "contact manager", "events, activities"],
    ["You can find it at N°. 1026.253.553.", "That is where the treasure is."],
    ["She works at Yahoo! in the accounting department."],
    ["We make a good team, you and I.", "Did you see Albert I. Jones yesterday?"],
    ["Thoreau argues that by simplifying one’s life, “the laws of the universe will appear less complex. . . .”"],
    ['"Bohr [...] used the analogy of parallel stairways [...]" (Smith 55).'],
    [
        "If words are left off at the end of a sentence, and that is all that is omitted, indicate the omission with "
        "ellipsis marks (preceded and followed by a space) and then indicate the end of the sentence with a period "
        ". . . .",
        "Next sentence.",
    ],
    ["I never meant that....", "She left the store."],
    [
        "I wasn’t really ... well, what I mean...see . . . what I'm saying, the thing is . . . I didn’t mean it.",
    ],
    [
        "One further habit which was somewhat weakened . . . was that of combining words into self-interpreting "
        "compounds.",
        ". . . The practice was not abandoned. . . .",
    ],
]
#: The two that do not hold: who tells these apart knows what is meant; and we give back no text that was not there.
BEYOND = [
    [
        "At 5 a.m. Mr. Smith went to the bank.",
        "He left the bank at 6 P.M.",
        "Mr. Smith then went to the store.",
    ],
    ["It was a cold night in the city."],
]
GOLDEN_CHINESE = [
    [
        "安永已聯繫周怡安親屬，協助辦理簽證相關事宜，周怡安家屬1月1日晚間搭乘東方航空班機抵達上海，他們步入入境大廳時"
        "神情落寞、不發一語。",
        "周怡安來自台中，去年剛從元智大學畢業，同年9月加入安永。",
    ],
    ["我们明天一起去看《摔跤吧！爸爸》好吗？", "好！"],
]


def test_49_of_the_51_golden_rules_for_english():
    assert len(GOLDEN) == 49 and len(GOLDEN) + len(BEYOND) == 51


@pytest.mark.parametrize("sentences", GOLDEN, ids=lambda sentences: sentences[0][:40])
def test_golden_rules(sentences):
    broken = "\n" in sentences[0]
    text = ("\n" if sentences[0] == "features" else " ").join(sentences)
    assert split_sentences(text, newlines=not broken) == sentences


@pytest.mark.parametrize("sentences", GOLDEN_CHINESE, ids=lambda sentences: sentences[0][:20])
def test_golden_rules_for_chinese(sentences):
    assert split_sentences("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Infection with H. pylori was confirmed."],
        ["E. coli grew.", "S. aureus did not.", "C. difficile was not tested."],
        ["Stool grew S. Typhi.", "It was seen by J. Smith and K. Lee.", "She agreed with Dr. A. B. Chen."],
        ["She has hepatitis B.", "She takes vitamin K.", "Patients of type A.", "Group B."],
        ["He has a Ph.D. in biology and an M.Sc. from Oxford.", "She holds a Ph.D.", "They met."],
        ["Pt. was seen.", "Pt. denies pain.", "Temp. 38.5 C.", "Resp. 20.", "Vit. D low.", "Dx: pneumonia."],
        ["Temp. 38.5 C, pulse 90.", "Wt. 70 kg, ht. 1.8 m.", "Inj. ceftriaxone 1 g i.v. b.i.d. for 5 days."],
        ["Hx. of asthma, dx. unclear, rx. given.", "No abd. pain."],
        ["See Fig. S1, Tab. 2 and pp. 3-5.", "Done."],
        ["1. Hypertension", "2. Diabetes", "3. Asthma"],
        ["Plan: 1. Hypertension", "2. Diabetes"],
        ["1) Aspirin 100 mg daily", "2) Metformin", "3) Rest."],
        ["The dose was 1.", "Then 2.", "Then 3."],  # a number that ends a sentence begins no list
        ['"It hurts." she said.', '"Since when?" he asked.', "(Since Monday.)", "He noted it."],
        ["he feels dizzy.", "it began today.", "what is it?", "please help!"],
        ["他在看《你好，李焕英！》和《怎么办？》。", "好看！"],
        ["他说《论语》好。", "《诗经》呢？", "也好。"],
    ],
    ids=lambda sentences: sentences[0],
)
def test_clinical_sentences(sentences):
    joiner = "" if is_han(sentences[0][0]) else " "
    assert split_sentences(joiner.join(sentences)) == sentences
