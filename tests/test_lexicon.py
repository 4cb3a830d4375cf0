"""The word tables: well formed, in a fixed order; and the readers of larger ones."""

import gzip
import random
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tutorial_lib.augment import homophone_noise, lexicon, synonym_replacement
from tutorial_lib.augment.lexicon import (
    CONTRACTIONS,
    EXPANSIONS,
    HOMOPHONES,
    MISSPELLINGS,
    NEGATIONS,
    SYNONYMS,
    UNITS,
    has_number,
    read_homophones,
    read_synonyms,
    synonym_table,
    wordnet_synonyms,
)


def test_synonyms_are_symmetric_and_in_both_languages():
    for word, others in SYNONYMS.items():
        assert word == word.lower() and others and len(set(others)) == len(others) and word not in others
        for other in others:
            assert word in [back.lower() for back in SYNONYMS[other.lower()]]
    assert sum(word.isascii() for word in SYNONYMS) > 400 and sum(not word.isascii() for word in SYNONYMS) > 150
    assert len(SYNONYMS) > 650


def test_synonym_table_does_not_depend_on_the_order_of_a_set():
    assert synonym_table([{"b", "c", "a"}])["a"] == ["b", "c"]
    assert synonym_table([["alone"], []]) == {}
    assert synonym_table([["Pain", "ache"]]) == {"pain": ["ache"], "ache": ["Pain"]}


def test_a_unit_or_a_negation_has_no_synonym_that_drops_it():
    """What `keep=CLINICAL` protects is not what the built-in table replaces, but for words of saying no."""
    assert {word for word in UNITS if word in SYNONYMS} == set()
    assert {word for word in NEGATIONS if word in SYNONYMS} <= {"denies", "denied"}


def test_misspellings_are_wrong_and_close():
    for right, wrongs in MISSPELLINGS.items():
        assert wrongs and right not in wrongs and not set(wrongs) & set(MISSPELLINGS)
        for wrong in wrongs:
            assert abs(len(wrong) - len(right)) <= 3 and set(wrong) <= set("abcdefghijklmnopqrstuvwxyz")


def test_homophones_are_single_characters_and_symmetric():
    for char, others in HOMOPHONES.items():
        assert len(char) == 1 and others and char not in others
        assert all(char in HOMOPHONES[other] for other in others)


def test_expansions_have_one_reading_each():
    for short, words in EXPANSIONS.items():
        assert CONTRACTIONS.get(words, short).lower() == short
        assert [other for other, same in EXPANSIONS.items() if same == words] == [short]
    assert not {"she's", "he's", "it's", "i'd", "she'd", "they'd", "who's"} & set(EXPANSIONS)
    assert EXPANSIONS["don't"] == ("do", "not") and EXPANSIONS["i'm"] == ("i", "am")


@pytest.mark.parametrize("token", ["5", "2.5", "168/98", "30%", "500mg", "B12", "HbA1c", "三", "十二", "½", "１２"])
def test_numbers(token):
    assert has_number(token)


@pytest.mark.parametrize("token", ["mg", "five", "三叉神经", ".", "", "患者"])
def test_no_numbers(token):
    assert not has_number(token)


@pytest.mark.parametrize("name", ["table.tsv", "table.tsv.gz"])
def test_read_synonyms(tmp_path, name):
    text = "noun\tfever|febrility|high_temperature\nverb\tache|hurt\n\nplain|bare\nnoun\tlone\n"
    text += "noun\tfever|feverishness\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = read_synonyms(tmp_path / name)
    assert table["fever"] == ["febrility", "high temperature", "feverishness"]
    assert table["plain"] == ["bare"] and "lone" not in table
    assert "ache" not in read_synonyms(tmp_path / name, parts=["noun"])
    with pytest.raises(ValueError, match=r"holds no synonyms for parts=\['adj'\].*noun.*verb"):
        read_synonyms(tmp_path / name, parts=["adj"])


def test_read_homophones(tmp_path):
    (tmp_path / "sounds.tsv").write_text("zai\t在\t再\nle\t了\t乐\nyue\t乐\t月\nlone\t一\n", encoding="utf-8")
    table = read_homophones(tmp_path / "sounds.tsv")
    assert table == {"在": "再", "再": "在", "了": "乐", "乐": "了月", "月": "乐"}
    (tmp_path / "empty.tsv").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no line of a sound"):
        read_homophones(tmp_path / "empty.tsv")


def test_the_tables_beside_the_checkout(shared_data):
    table = read_synonyms(shared_data / "lexicon/synonyms_wordnet31_en.tsv.gz")
    assert len(table) > 80_000 and "febricity" in table["fever"] or "pyrexia" in table["fever"]
    assert synonym_replacement(["fever"], synonyms=table, rng=random.Random(0)) != ["fever"]
    sounds = read_homophones(shared_data / "lexicon/homophone_chars_zh.tsv")
    assert "再" in sounds["在"] and len(sounds) > 5000
    assert homophone_noise(["疼"], p=1, homophones=sounds, rng=random.Random(0)) != ["疼"]


# ---------------------------------------------------------------------------------------- WordNet


@pytest.fixture
def stub(monkeypatch):
    """NLTK's reader of WordNet, with a WordNet of two words."""
    asked = []
    senses = {"fever": [["fever", "febricity", "pyrexia"], ["fever", "high_temperature"]], "pain": [["pain"]]}

    def synsets(word, pos=None):
        asked.append((word, pos))
        return [SimpleNamespace(lemma_names=lambda names=names: names) for names in senses.get(word, [])]

    corpus = ModuleType("nltk.corpus")
    corpus.wordnet = SimpleNamespace(synsets=synsets, ensure_loaded=lambda: None)
    monkeypatch.setitem(sys.modules, "nltk", ModuleType("nltk"))
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)
    return asked


def test_wordnet_looks_up_once_and_keeps_its_order(stub):
    table = wordnet_synonyms(part="n")
    assert table["fever"] == table["fever"] == ["febricity", "pyrexia", "high temperature"]
    assert stub == [("fever", "n")]
    assert wordnet_synonyms(max_senses=1)["fever"] == ["febricity", "pyrexia"]
    assert "pain" not in table and "fever" in table and 3 not in table and table.get("unknown") is None and table
    with pytest.raises(KeyError):
        table["pain"]
    for what in (iter, len):
        with pytest.raises(TypeError, match="only looks words up"):
            what(table)
    with pytest.raises(ValueError, match="part must be"):
        wordnet_synonyms(part="noun")


def test_wordnet_serves_as_a_table(stub):
    seen = {tuple(synonym_replacement(["Fever"], synonyms=wordnet_synonyms(), rng=random.Random(s))) for s in range(30)}
    assert seen == {("Febricity",), ("Pyrexia",), ("High", "temperature")}


def test_without_nltk_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ImportError, match=r"tutorial-lib\[text\]"):
        wordnet_synonyms()


def test_the_real_wordnet_where_it_is_there():
    pytest.importorskip("nltk")
    try:
        table = wordnet_synonyms(part="n")
    except LookupError:
        pytest.skip("NLTK finds no WordNet")
    assert "pyrexia" in table["fever"]


def test_every_public_name_is_there():
    assert all(hasattr(lexicon, name) for name in lexicon.__all__)
