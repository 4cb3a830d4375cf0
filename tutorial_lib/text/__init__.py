r"""Text, English and Chinese alike: cleaning step by step, sentences, tokens, vocabularies, duplicates, long texts.

Every cleaning step takes a string and gives a string, so that steps compose, and :func:`audit` shows what each one did.
Whatever cuts a text (:func:`token_pieces`, :func:`sentence_pieces`, :func:`windows`, ...) gives :class:`Piece` records:
``text[piece.start:piece.end] == piece.content``, so that nothing loses its place in the original.

===============  ===================================================================================================
cleaning.py      the steps, and :func:`clean`, :func:`compose`, :func:`audit`
sentences.py     :func:`split_sentences`
tokens.py        :func:`tokenize`, :func:`detokenize`, :func:`detect_language`
forms.py         stop words, stems, dictionary forms, n-grams
vocabulary.py    :class:`Vocabulary`: tokens as numbers
subwords.py      words cut into parts: :func:`learn_bpe`, :func:`learn_wordpiece`
tags.py          parts of speech: :func:`pos_tags`, :class:`PerceptronTagger`
entities.py      terms of a dictionary, and whether they are denied: :func:`find_entities`, :func:`negated`
language_model   the next word, out of counts: :func:`ngram_counts`, :class:`NgramModel`
lengths.py       long texts: :func:`head_tail`, :func:`windows`, :func:`length_statistics`
duplicates.py    :func:`find_duplicates`, :func:`conflicting_labels`
===============  ===================================================================================================

Every name can be had from here (``from tutorial_lib.text import clean``) and loads its own file when it is first used.
The Chinese dictionary, the stemmer and the lemmatiser come from jieba, NLTK and simplemma, imported on first use:
``pip install 'tutorial-lib[text]'``. Nothing here loads torch, but for :meth:`Vocabulary.pad`.
"""

from tutorial_lib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
