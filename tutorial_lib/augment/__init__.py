"""Augmentation: new samples from old ones, whose labels still hold. Mostly of texts; of images at the end.

Every method of texts is a pure function of a list of tokens. ``rng``, a ``random.Random``, decides everything: the
same state gives the same tokens on every machine and in every process. A method never changes its argument, never
returns an empty list for one that is not, and returns the tokens as they were where it finds nothing to do.

==================  ==================================================  ==============================================
file                what                                                methods
==================  ==================================================  ==============================================
words.py            words for words                                     synonym_replacement, embedding_replacement,
                                                                        mlm_replacement, tfidf_replacement,
                                                                        unigram_noise, blank_noise
words.py            words come, go, move                                random_insertion, random_deletion, random_swap
letters.py          letters                                             spelling_noise, keyboard_noise,
                                                                        homophone_noise
contractions.py     forms                                               contract, expand
syntax.py           forms, by the dependency tree                       active_to_passive, move_adverbial, crop_tree
wholes.py           whole texts                                         sentence_shuffle, instance_crossover,
                                                                        back_translation, label_conditioned
embeddings.py       embeddings                                          word_mixup, sent_mixup
records.py          many texts                                          eda (strings), augment, augment_batch
                                                                        (records, with label and origin)
lexicon.py          the tables of words
models.py           what is learnt from a corpus or an embedding        Neighbours, WordSampler, TfIdf
==================  ==================================================  ==============================================

Every name can be had from here (``from tutorial_lib.augment import eda``) and loads its own file when it is first used.

**Protected tokens.** ``keep`` names the tokens that must stay as and where they are: a collection of words, or a
function of a token. ``keep=CLINICAL`` protects numbers, units and negations. A protected token is never replaced,
removed or moved, and nothing is inserted between two of them.

**Models.** Some methods need one; they take it as a function, and any library or network can stand behind it:

* ``fill(tokens, position, k) -> [(token, probability), ...]``: up to ``k`` words for the place ``position``, given the
  others; the token there is not to be looked at. Used by `mlm_replacement`.
* ``translate(texts, source, target) -> texts``: as many as came, in their order. Used by `back_translation`.
* ``generate(prompt, seed) -> text``: what follows the prompt, without it; the same seed, the same text. Used by
  `label_conditioned`.
* ``parse(tokens) -> [(token, head, relation), ...]``: the dependency tree; see `tutorial_lib.augment.syntax`. Used by
  `active_to_passive`, `move_adverbial` and `crop_tree`.

`hf_fill`, `hf_translate` and `hf_generate` (hugging_face.py) make the first three from Hugging Face models,
`spacy_parser` makes the last from a spaCy pipeline.

**Images** (images.py) are batches (B, C, H, W) on any device: `weak_augment` mirrors and shifts, `strong_augment` adds
operations of a pool (`AUGMENT_RANGES`) and cutout, `image_operation` is one of them. A ``torch.Generator`` decides;
masks can follow.
"""

from tutorial_lib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
