"""Paraphrases by dependency trees: parses made by hand, of sentences whose answer one can read."""

import random
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tutorial_lib.augment.syntax import (
    _participle,
    active_to_passive,
    crop_tree,
    from_spacy,
    move_adverbial,
    spacy_parser,
)


def parsed(rows: str):
    """ "word/head/relation ..." -> the words, and a parser that knows this one sentence."""
    rows = [row.rsplit("/", 2) for row in rows.split()]
    tree = [(word, int(head), relation) for word, head, relation in rows]
    words = [word for word, _, _ in tree]

    def parse(tokens):
        assert tokens == words
        return tree

    return words, parse


def passive(rows: str) -> str:
    words, parse = parsed(rows)
    return " ".join(active_to_passive(words, parse=parse))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("The/1/det nurse/2/nsubj gave/-1/root insulin/2/obj ./2/punct", "Insulin was given by the nurse ."),
        ("Mary/1/nsubj treats/-1/root patients/1/obj", "Patients are treated by Mary"),
        ("He/1/nsubj took/-1/root two/3/nummod tablets/1/obj ./1/punct", "Two tablets were taken by him ."),
        ("They/1/nsubj examined/-1/root her/1/obj today/1/advmod", "She was examined by them today"),
        ("We/2/nsubj will/2/aux stop/-1/root the/4/det drug/2/obj", "The drug will be stopped by us"),
        ("She/2/nsubj has/2/aux seen/-1/root the/4/det doctors/2/obj", "The doctors have been seen by her"),
        ("He/3/nsubj did/3/aux not/3/advmod take/-1/root it/3/obj", "It was not taken by him"),
        ("He/2/nsubj didn't/2/aux take/-1/root them/2/obj", "They were not taken by him"),
        ("I/2/nsubj can't/2/aux find/-1/root it/2/obj", "It cannot be found by me"),
        ("They/2/nsubj are/2/aux monitoring/-1/root it/2/obj", "It is being monitored by them"),
        ("She/2/nsubj was/2/aux writing/-1/root it/2/obj", "It was being written by her"),
        ("He/2/nsubj quickly/2/advmod stopped/-1/root it/2/obj", "It was quickly stopped by him"),
        (
            "Yesterday/3/obl:tmod the/2/det doctor/3/nsubj ordered/-1/root a/5/det scan/3/obj ./3/punct",
            "Yesterday a scan was ordered by the doctor .",
        ),
        (
            "The/1/det doctor/2/nsubj ruled/-1/root out/2/compound:prt pneumonia/2/obj",
            "Pneumonia was ruled out by the doctor",
        ),
        (
            "The/1/det nurse/2/nsubj gave/-1/root aspirin/2/obj in/6/case the/6/det ward/2/obl ./2/punct",
            "Aspirin was given by the nurse in the ward .",
        ),
        ("It/1/nsubj causes/-1/root fever/1/obj and/4/cc chills/2/conj", "Fever and chills are caused by it"),
        ("She/1/nsubj carries/-1/root one/3/nummod series/1/obj", "One series is carried by her"),
        ("He/1/nsubj cut/-1/root it/1/obj", "It was cut by him"),
        ("Two/1/nummod tests/2/nsubj confirm/-1/root arthritis/2/obj", "Arthritis is confirmed by two tests"),
        # the same in spaCy's words
        ("The/1/det nurse/2/nsubj gave/2/ROOT insulin/2/dobj ./2/punct", "Insulin was given by the nurse ."),
        ("He/3/nsubj did/3/aux n't/3/neg take/3/ROOT it/3/dobj in/3/prep May/5/pobj", "It was not taken by him in May"),
    ],
)
def test_active_to_passive(rows, expected):
    words, _ = parsed(rows)
    assert passive(rows) == expected and passive(rows).split() != words


@pytest.mark.parametrize(
    "rows",
    [
        "He/1/nsubj sleeps/-1/root",  # no object
        "Did/2/aux he/2/nsubj take/-1/root it/2/obj ?/2/punct",  # a question
        "Who/1/nsubj took/-1/root it/1/obj",
        "It/2/nsubj:pass was/2/aux:pass taken/-1/root",  # passive already
        "He/1/nsubj gave/-1/root her/1/iobj aspirin/1/obj",  # two objects
        "He/1/nsubj took/-1/root it/1/obj and/4/cc left/1/conj",  # two verbs
        "He/1/nsubj wants/-1/root it/1/obj gone/1/xcomp",
        "He/1/nsubj is/-1/root ill/1/xcomp",
        "They/1/nsubj cut/-1/root it/1/obj",  # now or then?
        "He/3/nsubj may/3/aux have/3/aux taken/-1/root it/3/obj",  # more than one helping verb
        "Him/2/obj she/2/nsubj saw/-1/root",  # another order
        "a/-1/root b/-1/root c/1/obj",  # two roots
        "He/2/nsubj used/2/aux take/-1/root it/2/obj",  # an unknown helping verb
    ],
)
def test_what_the_rules_do_not_cover_stays(rows):
    words, _ = parsed(rows)
    assert passive(rows).split() == words


@pytest.mark.parametrize(
    ("form", "participle"),
    [
        ("treats", "treated"), ("treat", "treated"), ("treated", "treated"), ("treating", "treated"),
        ("stops", "stopped"), ("stopping", "stopped"), ("admits", "admitted"), ("visits", "visited"),
        ("uses", "used"), ("causes", "caused"), ("passes", "passed"), ("fixes", "fixed"), ("watches", "watched"),
        ("carries", "carried"), ("carry", "carried"), ("studying", "studied"), ("employs", "employed"),
        ("examining", "examined"), ("agrees", "agreed"), ("gives", "given"), ("giving", "given"), ("gave", "given"),
        ("took", "taken"), ("cutting", "cut"), ("does", "done"), ("shows", "shown"), ("feeds", "fed"),
        ("needs", "needed"), ("feed", "fed"), ("read", "read"),
    ],
)  # fmt: skip
def test_participles(form, participle):
    assert _participle(form) == participle


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("The/1/det man/2/nsubj coughs/-1/root at/4/case night/2/obl ./2/punct", "At night , the man coughs ."),
        ("He/1/nsubj sleeps/-1/root badly/1/advmod", "Badly , he sleeps"),
        ("Yesterday/3/obl:tmod ,/3/punct she/3/nsubj left/-1/root ./3/punct", "She left yesterday ."),
        ("After/1/case lunch/4/obl Mary/4/nsubj often/4/advmod sleeps/-1/root", "Mary often sleeps after lunch"),
        ("Mary/1/nsubj sleeps/-1/root in/1/prep May/2/pobj", "In May , Mary sleeps"),
    ],
)
def test_move_adverbial(rows, expected):
    words, parse = parsed(rows)
    assert " ".join(move_adverbial(words, parse=parse, rng=random.Random(0))) == expected


@pytest.mark.parametrize(
    "rows",
    [
        "He/2/nsubj never/2/advmod sleeps/-1/root",
        "He/2/nsubj does/2/aux sleep/-1/root not/2/advmod",  # "not" is no adverbial to move
        "Sleeps/-1/root well/0/advmod",  # no subject
        "Does/2/aux he/2/nsubj sleep/-1/root now/2/advmod ?/2/punct",
    ],
)
def test_what_does_not_move(rows):
    words, parse = parsed(rows)
    assert move_adverbial(words, parse=parse, rng=random.Random(0)) == words


def test_crop_tree_keeps_the_verb_its_negation_and_one_part():
    words, parse = parsed("He/3/nsubj does/3/aux not/3/advmod take/-1/root insulin/3/obj now/3/advmod ./3/punct")
    seen = {" ".join(crop_tree(words, parse=parse, rng=random.Random(seed))) for seed in range(40)}
    assert seen == {"He does not take .", "does not take insulin .", "does not take now ."}
    words, parse = parsed("He/1/nsubj sleeps/-1/root")
    assert crop_tree(words, parse=parse, rng=random.Random(0)) == words


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([("a", -1, "root")], "a row for each of the 2 tokens, got 1"),
        ([("a", -1, "root"), ("b", 2, "obj")], "head in -1 … 1"),
        ([("a", -1, "root"), ("b", 0)], "rows"),
        ([("a", 1, "x"), ("b", 0, "x")], "is below itself"),
    ],
)
def test_a_parser_that_breaks_the_protocol_is_named(tree, message):
    for method in (active_to_passive, move_adverbial, crop_tree):
        with pytest.raises(ValueError, match=message):
            method(["a", "b"], parse=lambda tokens: tree, rng=random.Random(0))
        with pytest.raises(ValueError, match="got one string"):
            method("a b", parse=lambda tokens: tree, rng=random.Random(0))


class Doc(list):
    """What spaCy gives: tokens that know their place, their head and their relation."""

    def __init__(self, vocab, words):
        super().__init__(SimpleNamespace(text=word, i=i) for i, word in enumerate(words))


def pipeline(doc):
    heads, relations = [1, 2, 2, 2], ["det", "nsubj", "ROOT", "dobj"]
    for token, head, relation in zip(doc, heads, relations):
        token.head, token.dep_ = doc[head], relation
    return doc


def test_spacy_documents_and_pipelines(monkeypatch):
    words = "The nurse gave insulin".split()
    rows = [("The", 1, "det"), ("nurse", 2, "nsubj"), ("gave", 2, "ROOT"), ("insulin", 2, "dobj")]
    doc = pipeline(Doc(None, words))
    assert from_spacy(doc) == rows
    assert [head for _, head, _ in from_spacy(doc[1:])] == [1, 1, 1]  # a sentence of a longer text
    spacy, tokens = ModuleType("spacy"), ModuleType("spacy.tokens")
    spacy.tokens, tokens.Doc = tokens, Doc
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    monkeypatch.setitem(sys.modules, "spacy.tokens", tokens)
    nlp = SimpleNamespace(vocab=None)
    parse = spacy_parser(type("Pipeline", (), {"vocab": nlp.vocab, "__call__": lambda self, doc: pipeline(doc)})())
    assert active_to_passive(words, parse=parse) == "Insulin was given by the nurse".split()


def test_without_spacy_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ImportError, match="pip install spacy"):
        spacy_parser(None)


def test_two_helpers_in_one_word_are_not_understood():
    """ "He might've taken it" has no passive "It might be taken": it would say something else."""
    rows = [("He", 2, "nsubj"), ("might've", 2, "aux"), ("taken", -1, "root"), ("it", 2, "obj")]
    words = [row[0] for row in rows]
    assert active_to_passive(words, parse=lambda tokens: rows) == words


def test_heads_may_be_numpys_numbers():
    rows = [("The", np.int64(1), "det"), ("nurse", np.int64(2), "nsubj"), ("gave", -1, "root"), ("insulin", 2, "obj")]
    words = [row[0] for row in rows]
    assert active_to_passive(words, parse=lambda tokens: rows)[0] == "Insulin"
