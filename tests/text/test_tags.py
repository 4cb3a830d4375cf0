"""Parts of speech: what the perceptron has learnt of sentences that it has not seen, and jieba's tags."""

import json
import random
from collections import Counter

import pytest

from tutorial_lib.text import (
    JIEBA_TAGS,
    PerceptronTagger,
    Tagged,
    chinese_tags,
    clinical_tagger,
    pos_tags,
    tagged_sentences,
    tags,
    tokenize,
)

UNIVERSAL = set("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())


def test_the_sentences_are_as_their_file_says():
    sentences = tagged_sentences()
    assert (len(sentences), sum(map(len, sentences))) == (155, 1128)
    assert {tag for sentence in sentences for _, tag in sentence} <= UNIVERSAL and set(JIEBA_TAGS.values()) <= UNIVERSAL
    for sentence in sentences:
        assert sentence[-1].tag == "PUNCT"
        assert all((tag == "PUNCT") == (word in ".,:?") for word, tag in sentence)
        assert all(tag in ("DET", "PART") for word, tag in sentence if word in ("no", "No", "not"))
    sentences[0].clear()
    assert tagged_sentences()[0]  # a copy


def most_frequent(train):
    own, every = {}, Counter(tag for sentence in train for _, tag in sentence)
    for word, tag in (pair for sentence in train for pair in sentence):
        own.setdefault(word.lower(), Counter())[tag] += 1
    return lambda tokens: [own.get(token.lower(), every).most_common(1)[0][0] for token in tokens]


def test_words_of_sentences_never_seen_against_the_most_frequent_tag():
    """Five folds: the perceptron gets about 81 % right, the baseline 73 %."""
    sentences, right, level, number = tagged_sentences(), 0, 0, 0
    for fold in range(5):
        train = [sentence for i, sentence in enumerate(sentences) if i % 5 != fold]
        tagger, baseline = PerceptronTagger().fit(train), most_frequent(train)
        for sentence in sentences[fold::5]:
            words, tags = zip(*sentence)
            right += sum(tag == guess for tag, (_, guess) in zip(tags, tagger.tag(words)))
            level += sum(tag == guess for tag, guess in zip(tags, baseline(words)))
            number += len(words)
    assert 0.78 < right / number < 0.84 and 0.71 < level / number < 0.75 and number == 1128


def test_the_context_decides():
    tagger = clinical_tagger()
    wrong = [pair for s in tagged_sentences() for pair, own in zip(s, tagger.tag([w for w, _ in s])) if pair != own]
    assert len(wrong) < 0.02 * 1128
    cough = {tagger.tag(text.split())[i].tag for text, i in (("They cough at night .", 1), ("The cough is worse .", 1))}
    assert cough == {"VERB", "NOUN"}
    assert clinical_tagger() is tagger and tagger.tag([]) == []


def test_a_step_by_hand():
    tagger = PerceptronTagger().fit([[("b", "Y"), ("b", "Y")]], epochs=1)
    assert tagger.tags == ("Y",) and tagger.weights == {}  # never wrong, nothing learnt
    tagger = PerceptronTagger().fit([[("b", "Y"), ("c", "X")]], epochs=1)
    # Step 0: all sums are 0, X is guessed for b: Y +1, X -1. Step 1: the bias alone says Y for c: X +1, Y -1.
    # The mean is over what a weight was after each step: b's 1 and 1, the bias's 1 and 0, c's 0 and 1.
    assert tagger.weights["word b"] == {"Y": 1, "X": -1} and tagger.weights["bias"] == {"Y": 1 / 2, "X": -1 / 2}
    assert tagger.weights["word c"] == {"X": 1 / 2, "Y": -1 / 2}


def test_the_weights_are_the_plain_mean_over_all_steps():
    """Without stamps: add all weights up after every step."""
    sentences, rng, steps = [list(s) for s in tagged_sentences()[:12]], random.Random(3), 0
    names, weights, sums = sorted({tag for s in sentences for _, tag in s}), Counter(), Counter()
    for _ in range(3):
        rng.shuffle(sentences)
        for sentence in sentences:
            forms, given = tags._forms([word for word, _ in sentence]), ["[B2]", "[B1]"]
            for i, (word, right) in enumerate(sentence):
                features = tags._features(i, word, forms, *given[-2:])
                guess = max(names, key=lambda name: sum(weights[feature, name] for feature in features))
                for feature in features:
                    weights[feature, right] += guess != right
                    weights[feature, guess] -= guess != right
                given.append(guess)
                sums.update(weights)
                steps += 1
    tagger = PerceptronTagger().fit(tagged_sentences()[:12], epochs=3, seed=3)
    ours = {(feature, tag): mean for feature, own in tagger.weights.items() for tag, mean in own.items()}
    assert ours == pytest.approx({key: total / steps for key, total in sums.items() if total})


def test_the_same_in_every_run_and_after_loading(tmp_path):
    sentences = tagged_sentences()[:40]
    one, two = PerceptronTagger().fit(sentences), PerceptronTagger().fit(iter(sentences))
    assert one.weights == two.weights != PerceptronTagger().fit(sentences, seed=1).weights
    one.save(tmp_path / "tagger.json")
    loaded = PerceptronTagger.load(tmp_path / "tagger.json")
    assert loaded.weights == one.weights and loaded.tags == one.tags
    words = tokenize("The nurse denies severe pain today.")
    assert loaded.tag(words) == one.tag(words)
    assert [file.name for file in tmp_path.iterdir()] == ["tagger.json"]
    for wrong in ("[]", "no json", '{"tags": "X"}', '{"tags": ["X"], "weights": {"a": {"X": "1"}}}',
                  json.dumps({"tags": ["X"], "weights": {"a": {"Y": 1}}})):  # fmt: skip
        (tmp_path / "tagger.json").write_text(wrong)
        with pytest.raises(ValueError, match="does not hold a tagger"):
            PerceptronTagger.load(tmp_path / "tagger.json")


def test_jiebas_tags():
    posseg = pytest.importorskip("jieba.posseg")
    text = "患者咳嗽三天，阿司匹林 100 mg，诊断为糖尿病。"
    ours = chinese_tags(text)
    assert ours == [(pair.word, pair.flag) for pair in posseg.cut(text) if pair.word.strip()]
    assert ours[:2] == [("患者", "n"), ("咳嗽", "v")] and ("阿司匹林", "nz") in ours
    universal = dict(chinese_tags(text, universal=True))
    expected = {
        "患者": "NOUN",
        "咳嗽": "VERB",
        "，": "PUNCT",
        "阿司匹林": "PROPN",
        "100": "NUM",
        "mg": "X",
        "为": "ADP",
    }
    assert expected.items() <= universal.items()
    assert pos_tags(text) == chinese_tags(text, universal=True)


def test_english_goes_sentence_by_sentence_to_the_tagger():
    asked = []

    def tagger(tokens):
        asked.append(tokens)
        return [(token, "X") for token in tokens]

    tags = pos_tags("No fever. He coughs.", tagger=tagger)
    assert asked == [["No", "fever", "."], ["He", "coughs", "."]] and tags[3] == Tagged("He", "X")
    assert [tag for _, tag in pos_tags("He denies pain.")] == ["PRON", "VERB", "NOUN", "PUNCT"]
    assert pos_tags("") == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PerceptronTagger().fit([]), "sentences must hold a tagged word, got none"),
        (lambda: PerceptronTagger().fit(["ab"]), r"sentences must be sequences of pairs \(word, tag\), got 'ab'"),
        (lambda: PerceptronTagger().fit([["ab"]]), r"sentences must hold pairs \(word, tag\), got 'ab'"),
        (lambda: PerceptronTagger().fit([[("a", "X")]], epochs=0), "epochs must be .* at least 1, got 0"),
        (lambda: PerceptronTagger().tag(["a"]), "the tagger has learnt nothing yet"),
        (lambda: pos_tags("a", language="de"), "language must be 'auto', 'en' or 'zh', got 'de'"),
        (lambda: chinese_tags(3), "text must be a string, got 3"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
