"""Combining marks of every script belong to the character before them: in tokens, duplicates, steps and letters."""

import random
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notes import STEPS, step_name

from tutorial_lib.augment import hf_fill, homophone_noise, keyboard_noise, spelling_noise
from tutorial_lib.text import (
    detect_language,
    detokenize,
    find_duplicates,
    jaccard,
    lowercase,
    remove_punctuation,
    sentence_pieces,
    stem,
    token_pieces,
    tokenize,
)
from tutorial_lib.text.characters import MARK, letters, without_marks

#: By script: a few words as they are written, the marks as characters of their own.
WORDS = {
    "Devanagari": "क्या आपके पास मधुमेह हृदय स्थिति",
    "Bengali": "রোগী শ্বাসকষ্ট জ্বর",
    "Gurmukhi": "ਮਰੀਜ਼ ਬੁਖਾਰ",
    "Gujarati": "દર્દી ડાયાબિટીસ",
    "Tamil": "நீரிழிவு காய்ச்சல்",
    "Telugu": "రోగి జ్వరం",
    "Kannada": "ರೋಗಿ ಜ್ವರ",
    "Malayalam": "രോഗി പനി",
    "Sinhala": "රෝගියා උණ",
    "Thai": "ผู้ป่วยเป็นไข้ ที่",
    "Lao": "ຄົນເຈັບ ເປັນໄຂ້",
    "Khmer": "អ្នកជំងឺ គ្រុនក្តៅ",
    "Myanmar": "လူနာ ဖျားနာ",
    "Tibetan": "ནད་པ ཚ་བ",
    "Arabic": "مُحَمَّدٌ حُمَّى",
    "Persian": "می‌خواهم بیماری‌ها",
    "Hebrew": "חוֹלֶה שָׁלוֹם",
    "Syriac": "ܡܰܪܥܳܐ",
    "Latin": unicodedata.normalize("NFD", "café fièvre Ödem tiếng"),
    "Greek": unicodedata.normalize("NFD", "ασθενής πυρετός"),
    "Cyrillic": unicodedata.normalize("NFD", "йод больной"),
    "Hangul": unicodedata.normalize("NFD", "환자 발열"),
    "Kana": unicodedata.normalize("NFD", "がん プール"),
    "Mongolian": "ᠡᠪᠡᠳᠴᠢᠨ᠎ᠤ",
    "Ethiopic": "ህመም፟",
    "Han": "葛\U000e0100城 辻\ufe00",
}
EVERY_MARK = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"]


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def unattached(text: str, token: str, start: int) -> bool:
    """Whether a token begins with a mark though there was something before it that the mark could belong to."""
    return is_mark(token[0]) and start > 0 and not text[start - 1].isspace()


def test_the_class_of_marks_is_that_of_unicode():
    import re

    found = re.compile(MARK)
    assert all(found.fullmatch(mark) for mark in EVERY_MARK) and len(EVERY_MARK) > 2000
    others = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] != "M")
    assert not any(found.fullmatch(character) for character in others)


@pytest.mark.parametrize("script", WORDS)
def test_words_stay_whole(script):
    tokens = tokenize(WORDS[script], characters=False, language="zh" if script == "Han" else "auto")
    if script not in ("Tibetan", "Han", "Mongolian"):  # these have signs between syllables; no words; its own joiner
        assert tokens == WORDS[script].split()
    assert not any(is_mark(token[0]) for token in tokens)
    assert "".join(tokens) == "".join(WORDS[script].split())
    if script != "Han":
        assert tokenize(detokenize(tokens)) == tokens


@pytest.mark.parametrize("script", WORDS)
def test_words_that_differ_by_a_mark_are_different(script):
    """But for the selectors, which choose a glyph and are removed with all that cannot be seen."""
    for word in WORDS[script].split():
        bare = without_marks(word)
        if bare != word and script not in ("Han", "Mongolian"):
            assert find_duplicates([word, bare]) == [] and jaccard(word, bare) == 0
    assert find_duplicates([WORDS[script], WORDS[script] + "."]) == [[0, 1]]
    assert find_duplicates([unicodedata.normalize(form, WORDS[script]) for form in ("NFC", "NFD")]) == [[0, 1]]


def test_the_words_of_the_report():
    assert tokenize("क्या आपके पास") == ["क्या", "आपके", "पास"]
    assert find_duplicates(["कि", "का"]) == []
    assert tokenize("❤\ufe0f 1\u20e3 e\u0301.\u0308x") == ["❤\ufe0f", "1\u20e3", "e\u0301", ".\u0308", "x"]
    assert tokenize("葛\U000e0100城", characters=True) == ["葛\U000e0100", "城"]
    assert detect_language("क्या आपके पास 糖尿") == "en" and detect_language("कि 糖尿病") == "zh"
    assert stem(["कि"]) == ["कि"]


@pytest.mark.parametrize("mark", EVERY_MARK[::23])
def test_no_token_and_no_sentence_begins_with_a_mark(mark):
    parts = "a 3 .5 B P 120/80 . 患 者 。 ... ? i.v. x -y z ( ) ” 。” .) 5-HT mg/dL [PAD] 2nd C++ B超 +++".split()
    text = "".join(f"{part}{mark}{' ' * (i % 2)}" for i, part in enumerate(parts))
    for pieces in (token_pieces(text, characters=True), sentence_pieces(text)):
        assert not any(unattached(text, piece.content, piece.start) for piece in pieces)
        assert all(text[piece.start : piece.end] == piece.content for piece in pieces)
    assert letters(text)[0] == f"a{mark}" and "".join(letters(text)) == text


@given(text=st.text(st.sampled_from("aE1.,!?。患 \n<-'" + "".join(EVERY_MARK[::97]) + "\u200d"), max_size=30))
@settings(max_examples=300, deadline=None)
def test_marks_anywhere(text):
    for pieces in (token_pieces(text, characters=True), sentence_pieces(text)):
        assert not any(unattached(text, piece.content, piece.start) for piece in pieces)


@pytest.mark.parametrize("step", STEPS, ids=step_name)
@pytest.mark.parametrize("script", WORDS)
def test_steps_leave_words_of_every_script_whole(step, script):
    """What is removed because it cannot be seen (joiners, selectors), and what is composed, aside."""

    def seen(text):
        composed = unicodedata.normalize("NFKC", text)
        selectors = {*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0x180B, 0x1810)), "\U000e0100"}
        return "".join(c for c in composed if unicodedata.category(c) != "Cf" and c not in selectors)

    if step is remove_punctuation and script in ("Tibetan", "Ethiopic"):
        return
    assert seen(step(WORDS[script])) == seen(WORDS[script].lower() if "lowercase" in step_name(step) else WORDS[script])


def test_a_listed_word_is_another_with_a_mark():
    assert lowercase("CT CT\u0301 E\u0301", keep=["CT", "E"]) == "CT ct\u0301 e\u0301"
    assert remove_punctuation("a!\u0308b, c") == "a b  c"


@pytest.mark.parametrize("script", WORDS)
def test_noise_moves_letters_with_their_marks(script):
    for word in WORDS[script].split():
        for seed in range(30):
            (new,) = spelling_noise([word], p=1.0, misspellings={}, rng=random.Random(seed))
            assert {*letters(new)} <= {*letters(word)}  # no mark on another letter
            assert keyboard_noise([word], p=1.0, rng=random.Random(seed))[0].count("\u0301") <= word.count("\u0301")
    assert keyboard_noise(["e\u0301"], p=1.0, rng=random.Random(0)) == ["e\u0301"]  # é has no key
    assert homophone_noise(["疼\ufe00"], p=1.0, homophones={"疼": "腾"}, rng=random.Random(0)) == ["疼\ufe00"]


def test_spelling_noise_reaches_words_with_marks():
    seen = {spelling_noise(["मधुमेह"], p=1.0, misspellings={}, rng=random.Random(seed))[0] for seed in range(40)}
    assert len(seen) > 3


def test_a_language_model_may_offer_words_with_marks():
    import torch

    class Tokenizer:
        mask_token, mask_token_id, all_special_ids = "[M]", 0, [0]
        words = ["[M]", "कि", "##का", "!"]

        def __call__(self, text, **options):
            ids = torch.tensor([[0]])
            return type("Encoded", (dict,), {"to": lambda self, device: self})(input_ids=ids)

        def convert_ids_to_tokens(self, index):
            return self.words[index]

        def decode(self, ids):
            return self.words[ids[0]]

    class Model(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids):
            return type("Output", (), {"logits": torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])})

    assert [word for word, _ in hf_fill(Model(), Tokenizer())(["x"], 0, 5)] == ["कि"]
