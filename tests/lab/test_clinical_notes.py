"""The notes are what their labels say, the same everywhere, and dirt does not change what was meant."""

import hashlib
import random
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

from tutorial_lib.lab import clinical_notes as module
from tutorial_lib.lab.clinical_notes import add_dirt, clinical_notes

LANGUAGES = ["en", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_shapes_and_shares(language):
    notes = clinical_notes(4000, language=language)
    assert notes.labels.shape == (4000, 8) and notes.labels.dtype == torch.float32
    shares = torch.tensor([c.share for c in module.LANGUAGES[language].conditions.values()])
    # Four standard errors of a share of 0.4 among 4,000.
    torch.testing.assert_close(notes.labels.mean(0), shares, atol=4 * (0.24 / 4000) ** 0.5, rtol=0)
    assert all(notes.texts) and notes.texts == notes.clean_texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_true_condition_is_asserted_and_every_absent_one_only_denied(language):
    """Read back from the templates: each sentence is matched against every template, and must fit the labels."""
    words = module.LANGUAGES[language]
    slots = {"symptom": "symptoms", "symptom2": "symptoms", "name": "names", "drug": "drugs", "finding": "findings"}

    def readings(sentence):
        for kind in ("asserts", "denies", "filler"):
            for template in getattr(words, kind):
                for name, condition in words.conditions.items():
                    pattern = re.escape(template)
                    for slot, field in slots.items():
                        options = "|".join(re.escape(option) for option in getattr(condition, field))
                        pattern = pattern.replace(re.escape("{" + slot + "}"), f"(?:{options})")
                    pattern = pattern.replace(re.escape("{time}"), "(?:" + "|".join(words.times) + ")")
                    if re.fullmatch(pattern, sentence, re.IGNORECASE):
                        yield kind, name

    notes = clinical_notes(60, language=language, seed=5)
    for text, row in zip(notes.clean_texts, notes.labels):
        there = {name for name, label in zip(notes.label_names, row) if label}
        sentences = re.findall(r".+?(?:\.(?= [A-Z]|$)|。)\s*", text)
        assert "".join(sentences) == text
        said = [set(readings(sentence.strip())) for sentence in sentences]
        assert all(said)
        # A symptom may belong to two conditions: one reading of the sentence must fit.
        for options in said:
            assert any(kind == "filler" or (kind == "asserts") == (name in there) for kind, name in options), (
                there,
                options,
            )
        for name in there:
            assert any(("asserts", name) in options for options in said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_longer_list_begins_with_the_shorter(language):
    short, long = (clinical_notes(n, language=language, dirt=0.4, seed=2) for n in (5, 9))
    assert long.texts[:5] == short.texts and torch.equal(long.labels[:5], short.labels)


def test_the_same_on_every_machine():
    """The digest of fifty notes a language, made once: no hash order, no platform's random numbers."""
    notes = [clinical_notes(50, language=language, dirt=0.5, seed=7) for language in LANGUAGES]
    digest = hashlib.sha256("\n".join(text for part in notes for text in part.texts).encode()).hexdigest()
    assert digest == "ef98d5377d9c9d40c1febd25fe0c27de0aad382552f132b29ee7ac0c116dc2b8"


@pytest.mark.parametrize("language", LANGUAGES)
def test_dirt_leaves_the_clean_note_and_the_labels_alone(language):
    clean, dirty = (clinical_notes(30, language=language, dirt=dirt, seed=3) for dirt in (0.0, 1.0))
    assert dirty.clean_texts == clean.texts and torch.equal(dirty.labels, clean.labels)
    assert all(a != b for a, b in zip(dirty.texts, clean.texts))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.floats(0, 1), st.sampled_from(LANGUAGES), st.integers(0, 2**32))
def test_any_text_can_be_dirtied(text, dirt, language, seed):
    once = add_dirt(text, dirt=dirt, language=language, rng=random.Random(seed))
    assert once == add_dirt(text, dirt=dirt, language=language, rng=random.Random(seed))
    assert once or not text
    if dirt == 0:
        assert once == text


def test_word_counts_alone_do_not_give_the_labels_away():
    """Denied and family conditions use the same words: with 2,000 notes, counting words is good but not perfect."""
    train, test = clinical_notes(2000, seed=0), clinical_notes(1000, seed=1)
    counter = CountVectorizer(binary=True)
    model = OneVsRestClassifier(LogisticRegression(max_iter=300)).fit(counter.fit_transform(train.texts), train.labels)
    score = f1_score(test.labels, model.predict(counter.transform(test.texts)), average="macro")
    assert 0.4 < score < 0.9


def test_no_notes_at_all():
    notes = clinical_notes(0)
    assert notes.texts == [] and notes.labels.shape == (0, 8)


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"n": -1}, "n"), ({"language": "fr"}, "language"), ({"dirt": 1.1}, "dirt"), ({"dirt": float("nan")}, "dirt")],
)
def test_bad_input(bad, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        clinical_notes(**{"n": 1, **bad})
