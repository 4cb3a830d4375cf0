"""The records are what their probabilities say, the same everywhere, and the best answer is the best."""

import hashlib
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.lab.record_words import DECIDED, DIAGNOSES, NOISE, RECORD_LANGUAGES
from tutorial_lib.lab.records import diagnosis_probs, electronic_records
from tutorial_lib.multilabel import f1_scores, tune_thresholds
from tutorial_lib.text import tokenize

LANGUAGES = ["en", "zh"]
KEYS = [diagnosis.key for diagnosis in DIAGNOSES]


@pytest.fixture(scope="module", params=LANGUAGES)
def many(request):
    return request.param, electronic_records(3000, language=request.param, seed=3)


def test_shapes(many):
    language, records = many
    words = RECORD_LANGUAGES[language]
    assert len(records.texts) == len(records.fields) == len(records.sex) == len(records.age) == 3000
    assert records.labels.shape == records.probs.shape == (3000, 36) and records.labels.dtype == torch.float32
    assert records.label_names == tuple(words.names[key] for key in [*KEYS, *NOISE]) and records.scored.sum() == 32
    assert all(tuple(fields) == words.fields and all(fields.values()) for fields in records.fields)
    assert set(records.sex) == {"male", "female"} and records.age.min() >= 18 and records.age.max() <= 94


def test_lengths_are_those_of_long_records(many):
    language, records = many
    lengths = [len(tokenize(text, language=language, characters=True)) for text in records.texts]
    assert min(lengths) >= 190 and max(lengths) <= 1600 and 350 < np.median(lengths) < 500
    assert sum(200 <= length <= 1500 for length in lengths) > 0.99 * len(lengths)


def test_the_text_tells_its_probabilities(many):
    language, records = many
    assert torch.equal(diagnosis_probs(records.texts, language=language), records.probs)


def test_the_labels_follow_the_probabilities(many):
    """Over all records with the same probability, the share that has the label is that probability."""
    _, records = many
    p, y = records.probs.numpy(), records.labels.numpy()
    for value in (0.95, 0.2, 0.04):
        same = np.isclose(p, value)
        assert abs(y[same].mean() - value) < 4 * (value * (1 - value) / same.sum()) ** 0.5, value
    # Each label: the sum of what is observed minus expected, in standard errors.
    z = (y - p).sum(0) / np.sqrt((p * (1 - p)).sum(0))
    assert abs(z).max() < 4 and (z**2).sum() < 75  # the 0.9999 quantile of a chi-square of 36 is 76


def test_given_the_text_labels_are_independent_but_for_parents(many):
    _, records = many
    rest = ((records.labels - records.probs) / (records.probs * (1 - records.probs)).sqrt()).numpy()
    together = np.corrcoef(rest.T) * len(rest) ** 0.5
    np.fill_diagonal(together, 0)
    pairs = {frozenset((KEYS.index(d.key), KEYS.index(d.parent))) for d in DIAGNOSES if d.parent}
    assert len(pairs) == 3
    mean = [together[i, j] for i in range(36) for j in range(i) if frozenset((i, j)) not in pairs]
    assert abs(np.mean(mean)) < 4 / len(mean) ** 0.5


def test_a_long_tail_and_diagnoses_that_come_together(many):
    _, records = many
    share = records.labels[:, records.scored].mean(0)
    assert share.max() > 0.2 and share.min() < 0.025 and 1.7 < float(share.sum()) < 2.4
    old = records.age > 60
    assert records.labels[old, 0].mean() > 1.3 * records.labels[~old, 0].mean()  # hypertension
    both = np.corrcoef(records.labels[:, KEYS.index("coronary")], records.labels[:, KEYS.index("lipids")])[0, 1]
    assert both > 0.15


def test_sex_age_and_the_last_sentence_decide(many):
    _, records = many
    sure = records.probs.numpy() > 0.9
    for one, other in (("prostate", "prolapse"), ("prostatitis", "endometriosis")):
        assert (records.sex[sure[:, KEYS.index(one)]] == "male").all()
        assert (records.sex[sure[:, KEYS.index(other)]] == "female").all()
    assert records.age[sure[:, KEYS.index("asthma")]].max() < 45 <= records.age[sure[:, KEYS.index("copd")]].min()
    assert (sure[:, KEYS.index("angina")] & sure[:, KEYS.index("myocardial")]).sum() == 0


def test_what_decides_stands_late(many):
    language, records = many
    words = RECORD_LANGUAGES[language]
    places = [
        record[words.fields[-1]].find(words.deciders[key]) / len(record[words.fields[-1]])
        for record in records.fields
        for pairs in DECIDED.values()
        for key, _ in pairs
        if words.deciders[key] in record[words.fields[-1]]
    ]
    assert len(places) > 300 and np.median(places) > 0.7
    before = words.fields[:-1]
    assert not any(
        decider in record[f] for record in records.fields for f in before for decider in words.deciders.values()
    )


def test_the_same_words_stand_where_they_do_not_count(many):
    """Of the records that mention a diagnosis by name, many deny it."""
    _, records = many
    for column, key in enumerate(KEYS[:6]):
        named = np.array([records.label_names[column].lower() in text.lower() for text in records.texts])
        assert 0.05 < float((records.probs[named, column] < 0.5).float().mean()) < 0.95, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_threshold_beats_those_of_the_true_probabilities(language):
    """Half of F* is where to cut; a score made worse by noise is lower; and there is headroom below 1."""
    records, fresh = (electronic_records(n, language=language, seed=seed) for n, seed in ((6000, 11), (3000, 12)))
    cut = tune_thresholds(records.probs[:, :32], records.labels[:, :32])
    halves = f1_scores(records.probs[:, :32] >= torch.tensor(cut.best_f1 / 2), records.labels[:, :32]).per_label
    assert (halves > cut.best_f1 - 0.02).all()
    best = f1_scores(fresh.probs[:, :32] >= torch.tensor(cut.thresholds), fresh.labels[:, :32]).macro
    generator = torch.Generator().manual_seed(0)
    worse = (fresh.probs.logit() + torch.randn(fresh.probs.shape, generator=generator)).sigmoid()[:, :32]
    assert 0.85 < best < 0.93 and f1_scores(worse >= torch.tensor(cut.thresholds), fresh.labels[:, :32]).macro < best


@pytest.mark.parametrize("language", LANGUAGES)
def test_reading_by_hand(language):
    """A record whose facts are put in by hand: what each sentence is worth."""
    words = RECORD_LANGUAGES[language]
    stop = words.sentence.strip()
    blank = " " if language == "en" else ""

    def probs(sex="male", age=60, story="", past="", examined="", tested=""):
        bodies = [words.sexes[sex], words.age.format(age), words.story[0], story, past, examined, tested]
        text = (stop + blank).join(f"{name}: {body or words.story[1]}" for name, body in zip(words.fields, bodies))
        return dict(zip(KEYS, diagnosis_probs([text + stop], language=language)[0].tolist()))

    share = {d.key: d.share for d in DIAGNOSES}
    nothing = probs()
    assert nothing["pneumonia"] == pytest.approx(share["pneumonia"] / 20)
    assert nothing["prolapse"] == pytest.approx(share["prolapse"] / 200)
    found = probs(tested=words.shows[0].format(words.findings["consolidation"][1]))
    assert found["pneumonia"] == pytest.approx(0.95) and found["copd"] == nothing["copd"]
    denied = probs(tested=words.no_finding[0].format(words.findings["consolidation"][1]))
    assert denied == nothing
    assert probs(past=words.family[0].format(words.names["gout"])) == nothing
    assert probs(past=words.no_name[1].format(words.names["gout"], 3)) == nothing
    assert probs(past=words.known[0].format(words.names["gout"], 3))["gout"] == pytest.approx(0.95)
    both = probs(story=words.reports[0].format(words.symptoms["cough"] + words.last + words.symptoms["fever"]))
    assert both["pneumonia"] == pytest.approx(0.2) and both["copd"] == nothing["copd"]
    scan = words.shows[0].format(words.findings["wheeze"][0])
    assert probs(examined=scan)["copd"] == pytest.approx(0.95) and probs(examined=scan, age=30)["copd"] < 0.001
    assert probs(examined=scan, age=44)["asthma"] == pytest.approx(0.95) and probs(examined=scan)["asthma"] < 0.001
    leads = words.shows[0].format(words.findings["st_changes"][0])
    assert probs(examined=leads)["angina"] == pytest.approx(share["angina"] / 200)
    raised = probs(examined=leads, tested=words.deciders["troponin_raised"])
    assert raised["myocardial"] == pytest.approx(0.95) and raised["angina"] == pytest.approx(share["angina"] / 200)
    artery = probs(tested=words.shows[0].format(words.findings["artery"][0]))
    assert artery["lipids"] == pytest.approx(1 - (1 - share["lipids"] / 20) * (1 - 0.35 * 0.95))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(LANGUAGES), st.integers(1, 4), st.integers(0, 4))
def test_a_longer_list_begins_with_the_shorter(seed, language, n, more):
    short, long = (electronic_records(count, language=language, seed=seed) for count in (n, n + more))
    assert long.texts[:n] == short.texts and torch.equal(long.labels[:n], short.labels)
    assert torch.equal(long.probs[:n], short.probs)


def test_the_same_on_every_machine():
    """The digest of thirty records a language, made once: no hash order, no platform's random numbers."""
    made = [electronic_records(30, language=language, seed=7) for language in LANGUAGES]
    content = "\n".join(text for part in made for text in part.texts) + str([part.labels.tolist() for part in made])
    assert (
        hashlib.sha256(content.encode()).hexdigest()
        == "c6dea9ef1e5d0846d8fdabd3676d5cbc377e02e22ef86dce84b6959eec8eb809"
    )


def test_a_thousand_in_a_second():
    start = time.process_time()
    electronic_records(1000, seed=9)
    assert time.process_time() - start < 1.5  # .3 s on a quiet machine


def test_no_records_at_all():
    records = electronic_records(0)
    assert records.texts == [] and records.labels.shape == records.probs.shape == (0, 36)
    assert diagnosis_probs([]).shape == (0, 36)


@pytest.mark.parametrize(("bad", "name"), [({"n": -1}, "n"), ({"language": "fr"}, "language"), ({"seed": 0.5}, "seed")])
def test_bad_input(bad, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        electronic_records(**{"n": 1, **bad})


@pytest.mark.parametrize(
    "text", ["", "Sex: male. Age: 60 years.", electronic_records(1).texts[0].replace("Sex: ", "Sex: un")]
)
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError, match="^texts must"):
        diagnosis_probs([text])


def test_the_wrong_language_is_refused():
    with pytest.raises(ValueError, match="^texts must be records with the fields Sex"):
        diagnosis_probs(electronic_records(1, language="zh").texts)
