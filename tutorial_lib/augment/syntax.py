"""Paraphrases by the dependency tree of an English sentence: passive voice, moved adverbials, cropped clauses.

A parser is a function ``parse(tokens) -> [(token, head, relation), ...]``: for each token, in order, the place of its
head (its own place, or -1, for the root) and the name of the relation, in Universal Dependencies (``nsubj``, ``obj``,
``obl``, ``advmod``, ``aux``, ``root``, …) or in spaCy's English scheme (``dobj``, ``prep``, ``nsubjpass``, …). Any
parser serves; :func:`spacy_parser` makes one from a spaCy pipeline.

The rules are few and careful: a sentence that they do not fully understand comes back as it was.
"""

import random
from collections.abc import Callable, Sequence
from itertools import chain
from numbers import Integral

from tutorial_lib import _arguments as check
from tutorial_lib.augment.lexicon import EXPANSIONS

__all__ = ["active_to_passive", "crop_tree", "from_spacy", "move_adverbial", "spacy_parser"]

Parser = Callable[[list[str]], Sequence[tuple[str, int, str]]]

_SAME = {"dobj": "obj", "nsubjpass": "nsubj:pass", "auxpass": "aux:pass", "prt": "compound:prt", "dative": "iobj"}
_ADVERBIAL = frozenset(
    {"obl", "obl:tmod", "obl:npmod", "obl:unmarked", "nmod:tmod", "advcl", "advmod", "prep", "npadvmod"}
)
_TIMES = frozenset("today yesterday tomorrow now then here there recently lately often sometimes twice daily".split())
_NOT = frozenset({"not", "n't", "never"})
_OBJECT_FORM = {"i": "me", "he": "him", "she": "her", "we": "us", "they": "them"}
_SUBJECT_FORM = {"me": "I", "him": "he", "her": "she", "us": "we", "them": "they"}
_PLURALS = frozenset("them us you these those both many few people children men women teeth feet mice".split())
_SINGULAR = frozenset("a an this that one each every another me him her it".split())
_SMALL = frozenset(  # what is in lower case where it does not begin a sentence
    "the a an this that these those my your his her its our their he she it we they you some any no all both each "
    "every another one two three four five".split()
)
_MODALS = frozenset("will would can cannot could may might must shall should".split())
_BE = frozenset("am is are was were be been being".split())
_IRREGULAR = """\
be was been|become became become|begin began begun|bite bit bitten|bleed bled bled|bring brought brought
build built built|buy bought bought|catch caught caught|choose chose chosen|cut cut cut|do did done
draw drew drawn|drink drank drunk|eat ate eaten|feed fed fed|feel felt felt|find found found
forget forgot forgotten|get got got|give gave given|have had had|hear heard heard|hide hid hidden|hit hit hit
hold held held|hurt hurt hurt|keep kept kept|know knew known|lead led led|leave left left|let let let
lose lost lost|make made made|mean meant meant|meet met met|pay paid paid|put put put|read read read
say said said|see saw seen|sell sold sold|send sent sent|set set set|show showed shown|shut shut shut
speak spoke spoken|spend spent spent|take took taken|teach taught taught|tell told told|think thought thought
throw threw thrown|understand understood understood|wear wore worn|win won won|write wrote written"""
_FORMS = [verb.split() for line in _IRREGULAR.split("\n") for verb in line.split("|")]
_PAST = {past for _, past, _ in _FORMS}
_BASES = {base for base, _, _ in _FORMS}
_PARTICIPLE = {form: participle for base, past, participle in _FORMS for form in (base, past, participle)}
_DOUBLED = frozenset("admit commit control occur omit permit prefer refer submit transfer".split())


def active_to_passive(tokens: Sequence[str], *, parse: Parser, rng: random.Random | None = None) -> list[str]:
    """Turn an active sentence into the passive: "The nurse gave insulin." becomes "Insulin was given by the nurse."

    It takes a main verb with one subject before it and one object after it, in the present or past, also with a modal,
    "have", "do", a progressive "be", and "not". Questions, sentences that are passive already, that have a second
    object or a second main verb, and verbs whose tense cannot be told come back as they were.

    Args:
        tokens: the words of one sentence; never modified.
        parse: the parser; see the head of this module.
        rng: not used: there is one passive. It is here so that all methods are called alike.

    Returns:
        The new list.

    Raises:
        ValueError: if ``parse`` does not return what it should.

    References:
        Coulombe, Text Data Augmentation Made Simple By Leveraging NLP Cloud APIs, 2018 (arXiv:1812.04718).

    >>> def parse(tokens):
    ...     return [("The", 1, "det"), ("nurse", 2, "nsubj"), ("gave", -1, "root"), ("insulin", 2, "obj")]
    >>> active_to_passive(["The", "nurse", "gave", "insulin"], parse=parse)
    ['Insulin', 'was', 'given', 'by', 'the', 'nurse']
    """
    tree = _Tree(tokens, parse)
    words, verb = tree.words, tree.root
    if verb is None or words[-1] == "?":
        return words
    below = tree.below(verb)
    clause = {"nsubj", "obj", "aux", "neg", "punct", "compound:prt"} | _ADVERBIAL
    if {tree.relation[i] for i in below} - clause:
        return words
    subjects, objects, helpers = ([i for i in below if tree.relation[i] == kind] for kind in ("nsubj", "obj", "aux"))
    if len(subjects) != 1 or len(objects) != 1 or not subjects[0] < verb < objects[0]:
        return words
    subject, object_ = tree.span(subjects[0]), tree.span(objects[0])
    if subject is None or object_ is None or words[subjects[0]].lower() in {"who", "which", "that", "what"}:
        return words
    singular, plural = not _plural(tree, subjects[0]), _plural(tree, objects[0])
    forms = _passive(tree, verb, helpers, third_person=singular, plural=plural)
    if forms is None:
        return words
    auxiliaries, participle = forms

    # What stands between subject and verb and is neither helper nor "not" (an adverb) stays before the participle.
    spoken_for = {verb, *helpers, *subject, *object_, *(i for i in below if words[i].lower() in _NOT)}
    particles = [i for i in below if tree.relation[i] == "compound:prt"]
    front = [i for i in range(subject[0]) if i not in spoken_for]
    middle = [i for i in range(subject[-1] + 1, verb) if i not in spoken_for]
    rest = [i for i in range(verb + 1, len(words)) if i not in spoken_for and i not in particles]
    new_subject = [words[i] for i in object_]
    agent = [words[i] for i in subject]
    if len(object_) == 1:
        new_subject = [_SUBJECT_FORM.get(words[objects[0]].lower(), words[objects[0]])]
    if len(subject) == 1:
        agent = [_OBJECT_FORM.get(words[subjects[0]].lower(), words[subjects[0]])]
    if not front:
        if agent[0].lower() in _SMALL:
            agent[0] = agent[0].lower() if agent[0][0].isupper() else agent[0]
        if words[subject[0]][0].isupper():
            new_subject[0] = new_subject[0][0].upper() + new_subject[0][1:]
    first, *others = auxiliaries
    negation = [words[i] for i in below if words[i].lower() in _NOT] or (["not"] if _negated(tree, helpers) else [])
    negation = ["not" if word.lower() == "n't" else word for word in negation]
    return [
        *(words[i] for i in front), *new_subject, first, *negation, *others, *(words[i] for i in middle), participle,
        *(words[i] for i in particles), "by", *agent, *(words[i] for i in rest),
    ]  # fmt: skip


def _passive(
    tree: "_Tree", verb: int, helpers: list[int], *, third_person: bool, plural: bool
) -> tuple[list[str], str] | None:
    """The helping verbs of the passive, and the participle; None where the form is not understood."""
    word = tree.words[verb].lower()
    spoken = [EXPANSIONS.get(tree.words[i].lower(), (tree.words[i].lower(),))[0] for i in helpers]
    if len(spoken) > 1 or any("have" in EXPANSIONS.get(tree.words[i].lower(), ())[1:] for i in helpers):
        return None  # "might've" is two helpers
    past, present = ("were", "are") if plural else ("was", "is")
    helper = spoken[0] if spoken else None
    if helper is None:
        ambiguous = word in _PAST and word in _BASES  # cut, put, read
        if ambiguous and not third_person:
            return None
        return [past if word in _PAST or _regular_past(word) else present], _participle(word)
    if helper in {"do", "does", "did"}:
        return [past if helper == "did" else present], _participle(word)
    if helper in _MODALS:
        return [helper, "be"], _participle(word)
    if helper in {"have", "has", "had"}:
        return ["had" if helper == "had" else "have" if plural else "has", "been"], _participle(word)
    if helper in _BE and word.endswith("ing"):
        return [past if helper in {"was", "were"} else present, "being"], _participle(word)
    return None


def _negated(tree: "_Tree", helpers: list[int]) -> bool:
    return any(EXPANSIONS.get(tree.words[i].lower(), ("",))[-1] == "not" for i in helpers)


def _regular_past(word: str) -> bool:
    return word.endswith("ed") and len(word) > 3 and word not in {"need", "feed", "bleed", "exceed"}


def _participle(word: str) -> str:
    """The past participle, from any form of an English verb."""
    if word in _PARTICIPLE:
        return _PARTICIPLE[word]
    if _regular_past(word):
        return word
    if word.endswith("ing") and len(word) > 5:
        stem = word[:-3]
        for base in (stem, stem + "e", stem[:-1]):
            if base in _PARTICIPLE:
                return _PARTICIPLE[base]
        # A dropped e comes back with -ed, a doubled letter stays doubled.
        return stem[:-1] + "ied" if stem[-1] == "y" and stem[-2] not in "aeiou" else stem + "ed"
    if word.endswith("s") and not word.endswith("ss"):
        stems = [word[:-1]]
        if word.endswith("ies"):
            stems = [word[:-3] + "y"]
        elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
            stems = [word[:-2], word[:-1]]
        for stem in (*stems, word[:-1]):
            if stem in _PARTICIPLE:
                return _PARTICIPLE[stem]
        # "uses" is use, "passes" is pass.
        word = stems[-1] if word.endswith(("ses", "zes")) and not word.endswith(("sses", "zzes")) else stems[0]
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ied"
    vowels = sum(letter in "aeiou" for letter in word)
    short = vowels == 1 and len(word) > 2 and word[-2] in "aeiou" and word[-1] not in "aeiouwxy"
    return word + word[-1] + "ed" if short or word in _DOUBLED else word + "ed"


def _plural(tree: "_Tree", noun: int) -> bool:
    word = tree.words[noun].lower()
    below = tree.below(noun)
    before = {tree.words[i].lower() for i in below if i < noun}
    if any(tree.relation[i] == "conj" for i in below) or word in _PLURALS | {"we", "they", "i"}:
        return True
    if word in _SINGULAR or before & _SINGULAR:
        return False
    numbers = {tree.words[i].lower() for i in below if tree.relation[i] == "nummod"}
    if numbers:
        return not numbers <= {"1", "one"}
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "itis"))


def move_adverbial(tokens: Sequence[str], *, parse: Parser, rng: random.Random) -> list[str]:
    """Move an adverbial of the main verb: from behind it to the front, with a comma, or from the front to the end.

    Args:
        tokens: the words of one sentence; never modified.
        parse: the parser; see the head of this module.
        rng: draws one where several can be moved.

    Returns:
        The new list; the old one where there is nothing to move.

    Raises:
        ValueError: if ``parse`` does not return what it should.

    References:
        Coulombe, Text Data Augmentation Made Simple By Leveraging NLP Cloud APIs, 2018 (arXiv:1812.04718).

    >>> def parse(tokens):
    ...     return [("He", 1, "nsubj"), ("sleeps", -1, "root"), ("now", 1, "advmod"), (".", 1, "punct")]
    >>> move_adverbial(["He", "sleeps", "now", "."], parse=parse, rng=random.Random(0))
    ['Now', ',', 'he', 'sleeps', '.']
    """
    tree = _Tree(tokens, parse)
    words, verb = tree.words, tree.root
    if verb is None or words[-1] == "?":
        return words
    below = tree.below(verb)
    subject = next((tree.span(i) for i in below if tree.relation[i].startswith("nsubj") and i < verb), None)
    if not subject:
        return words
    end = len(words)
    while end and tree.relation[end - 1] == "punct":
        end -= 1
    moves = []
    for i in below:
        span = tree.span(i) if tree.relation[i] in _ADVERBIAL else None
        if not span or (tree.relation[i] == "advmod" and not _free_adverb(words[i])):
            continue
        if span[0] == 0 and span[-1] < subject[0]:
            moves.append((span, "end"))
        elif span[0] > verb and span[-1] < end and subject[0] == 0:
            moves.append((span, "front"))
    if not moves:
        return words
    span, where = moves[int(rng.random() * len(moves))]
    moved = [words[i] for i in span]
    if where == "front":
        rest = [word for i, word in enumerate(words) if i not in span]
        return [_capital(moved[0]), *moved[1:], ",", _small(rest[0]), *rest[1:]]
    start = span[-1] + 1
    start += words[start] == ","
    rest, marks = words[start:end], words[end:]
    return [_capital(rest[0]), *rest[1:], _small(moved[0], adverbial=True), *moved[1:], *marks]


def _free_adverb(word: str) -> bool:
    return word.lower() in _TIMES or (word.lower().endswith("ly") and word.lower() not in {"only", "hardly", "barely"})


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:] if word[:1].islower() else word


def _small(word: str, adverbial: bool = False) -> str:
    """In lower case, if that is sure to be right: not a name."""
    small = word.lower()
    prepositions = {"in", "on", "at", "after", "before", "during", "for", "since", "with", "when", "while", "if", "by"}
    return small if small in _SMALL or (adverbial and (small in prepositions or _free_adverb(word))) else word


def crop_tree(tokens: Sequence[str], *, parse: Parser, rng: random.Random) -> list[str]:
    """Keep the main verb, its helping verbs and "not", and one more part: the subject, an object, or an adverbial.

    The sentence gets shorter and says less; whether the label still holds is for you to judge.

    Args:
        tokens: the words of one sentence; never modified.
        parse: the parser; see the head of this module.
        rng: draws the part.

    Returns:
        The new list; the old one where the verb has fewer than two parts.

    Raises:
        ValueError: if ``parse`` does not return what it should.

    References:
        Şahin and Steedman, Data Augmentation via Dependency Tree Morphing for Low-Resource Languages, EMNLP 2018.

    >>> def parse(tokens):
    ...     return [("He", 1, "nsubj"), ("takes", -1, "root"), ("insulin", 1, "obj"), (".", 1, "punct")]
    >>> crop_tree(["He", "takes", "insulin", "."], parse=parse, rng=random.Random(0))
    ['takes', 'insulin', '.']
    """
    tree = _Tree(tokens, parse)
    if tree.root is None:
        return tree.words
    always = {"aux", "aux:pass", "cop", "neg", "compound:prt", "expl"}
    below = [i for i in tree.below(tree.root) if tree.relation[i] != "punct"]
    core = [i for i in below if tree.relation[i] in always or tree.words[i].lower() in _NOT]
    parts = [i for i in below if i not in core]
    if len(parts) < 2:
        return tree.words
    kept = {tree.root, *chain.from_iterable(map(tree.subtree, [*core, parts[int(rng.random() * len(parts))]]))}
    last = len(tree.words) - 1
    if tree.relation[last] == "punct":
        kept.add(last)
    return [word for i, word in enumerate(tree.words) if i in kept]


class _Tree:
    """A parse: ``words``, ``relation`` and the place of the one ``root`` (None where there is none, or several)."""

    def __init__(self, tokens: Sequence[str], parse: Parser):
        if isinstance(tokens, str):
            raise ValueError(
                f"tokens must be a list of strings, got one string; tokenize it first: {check.what(tokens)}"
            )
        self.words = list(tokens)
        rows = list(parse(list(tokens))) if self.words else []
        if len(rows) != len(self.words):
            raise ValueError(f"parse must return a row for each of the {len(self.words)} tokens, got {len(rows)}")
        for row in rows:
            if not (len(row) == 3 and isinstance(row[1], Integral) and -1 <= row[1] < len(rows)):
                wanted = f"rows (token, head, relation) with a head in -1 … {len(rows) - 1}"
                raise ValueError(f"parse must return {wanted}, got {row!r}")
        self.head = [-1 if row[1] == i else int(row[1]) for i, row in enumerate(rows)]
        self.relation = [_SAME.get(row[2].lower(), row[2].lower()) for row in rows]
        for i in range(len(rows)):
            seen, at = set(), i
            while at != -1:
                if at in seen:
                    raise ValueError(f"parse must return a tree, token {i} ({self.words[i]!r}) is below itself")
                seen.add(at)
                at = self.head[at]
        roots = [i for i, head in enumerate(self.head) if head == -1]
        self.root = roots[0] if len(roots) == 1 else None

    def below(self, place: int) -> list[int]:
        return [i for i, head in enumerate(self.head) if head == place]

    def subtree(self, place: int) -> list[int]:
        return sorted([place, *chain.from_iterable(map(self.subtree, self.below(place)))])

    def span(self, place: int) -> list[int] | None:
        """The subtree's places, where they are without a gap."""
        places = self.subtree(place)
        return places if places[-1] - places[0] + 1 == len(places) else None


def from_spacy(doc) -> list[tuple[str, int, str]]:
    """The rows ``(token, head, relation)`` of a parsed spaCy ``Doc``, or of a sentence of it (a ``Span``).

    Args:
        doc: a parsed ``Doc`` or a ``Span`` of one: its tokens have ``i``, ``text``, ``head`` and ``dep_``.

    Returns:
        A row a token; ``head`` counts from the first token, and the root is its own head.

    >>> from types import SimpleNamespace as Token
    >>> denies = Token(i=1, text="denies", dep_="ROOT")
    >>> denies.head, she = denies, Token(i=0, text="She", dep_="nsubj", head=denies)
    >>> from_spacy([she, denies])
    [('She', 1, 'nsubj'), ('denies', 1, 'ROOT')]
    """
    tokens = list(doc)
    first = tokens[0].i if tokens else 0
    return [(token.text, token.head.i - first, token.dep_) for token in tokens]


def spacy_parser(nlp) -> Parser:
    """Make a parser from a spaCy pipeline, as ``spacy.load("en_core_web_sm")`` gives one; our tokens are kept.

    Args:
        nlp: the pipeline; it must hold a tagger and a parser.

    Returns:
        ``parser(tokens)``, which gives the rows of :func:`from_spacy`.

    Raises:
        ImportError: if spaCy is not there.
    """
    try:
        from spacy.tokens import Doc
    except ImportError as error:
        raise ImportError("spaCy must be installed: pip install spacy") from error

    def parse(tokens: list[str]) -> list[tuple[str, int, str]]:
        return from_spacy(nlp(Doc(nlp.vocab, words=[str(token) for token in tokens])))

    return parse
