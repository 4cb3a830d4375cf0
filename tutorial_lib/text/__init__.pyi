from tutorial_lib.text.cleaning import (
    DEFAULT_STEPS as DEFAULT_STEPS,
)
from tutorial_lib.text.cleaning import (
    Change as Change,
)
from tutorial_lib.text.cleaning import (
    audit as audit,
)
from tutorial_lib.text.cleaning import (
    chinese_punctuation as chinese_punctuation,
)
from tutorial_lib.text.cleaning import (
    clean as clean,
)
from tutorial_lib.text.cleaning import (
    collapse_repeats as collapse_repeats,
)
from tutorial_lib.text.cleaning import (
    compose as compose,
)
from tutorial_lib.text.cleaning import (
    lowercase as lowercase,
)
from tutorial_lib.text.cleaning import (
    mask_personal_data as mask_personal_data,
)
from tutorial_lib.text.cleaning import (
    normalize_unicode as normalize_unicode,
)
from tutorial_lib.text.cleaning import (
    normalize_whitespace as normalize_whitespace,
)
from tutorial_lib.text.cleaning import (
    remove_control as remove_control,
)
from tutorial_lib.text.cleaning import (
    remove_punctuation as remove_punctuation,
)
from tutorial_lib.text.cleaning import (
    strip_tags as strip_tags,
)
from tutorial_lib.text.cleaning import (
    to_halfwidth as to_halfwidth,
)
from tutorial_lib.text.cleaning import (
    unescape_html as unescape_html,
)
from tutorial_lib.text.duplicates import (
    Conflict as Conflict,
)
from tutorial_lib.text.duplicates import (
    conflicting_labels as conflicting_labels,
)
from tutorial_lib.text.duplicates import (
    find_duplicates as find_duplicates,
)
from tutorial_lib.text.duplicates import (
    jaccard as jaccard,
)
from tutorial_lib.text.entities import (
    FALSE_NEGATIONS as FALSE_NEGATIONS,
)
from tutorial_lib.text.entities import (
    JIEBA_NAMES as JIEBA_NAMES,
)
from tutorial_lib.text.entities import (
    NEGATION_CUES as NEGATION_CUES,
)
from tutorial_lib.text.entities import (
    NEGATION_CUES_AFTER as NEGATION_CUES_AFTER,
)
from tutorial_lib.text.entities import (
    NEGATION_STOPS as NEGATION_STOPS,
)
from tutorial_lib.text.entities import (
    Entity as Entity,
)
from tutorial_lib.text.entities import (
    find_entities as find_entities,
)
from tutorial_lib.text.entities import (
    negated as negated,
)
from tutorial_lib.text.forms import (
    STOP_WORDS as STOP_WORDS,
)
from tutorial_lib.text.forms import (
    add_boundaries as add_boundaries,
)
from tutorial_lib.text.forms import (
    lemmatize as lemmatize,
)
from tutorial_lib.text.forms import (
    ngrams as ngrams,
)
from tutorial_lib.text.forms import (
    remove_stop_words as remove_stop_words,
)
from tutorial_lib.text.forms import (
    stem as stem,
)
from tutorial_lib.text.language_model import (
    NgramModel as NgramModel,
)
from tutorial_lib.text.language_model import (
    ngram_counts as ngram_counts,
)
from tutorial_lib.text.lengths import (
    head as head,
)
from tutorial_lib.text.lengths import (
    head_tail as head_tail,
)
from tutorial_lib.text.lengths import (
    length_statistics as length_statistics,
)
from tutorial_lib.text.lengths import (
    windows as windows,
)
from tutorial_lib.text.pieces import (
    Piece as Piece,
)
from tutorial_lib.text.sentences import (
    sentence_pieces as sentence_pieces,
)
from tutorial_lib.text.sentences import (
    split_sentences as split_sentences,
)
from tutorial_lib.text.subwords import (
    BytePairs as BytePairs,
)
from tutorial_lib.text.subwords import (
    WordPieces as WordPieces,
)
from tutorial_lib.text.subwords import (
    apply_bpe as apply_bpe,
)
from tutorial_lib.text.subwords import (
    apply_wordpiece as apply_wordpiece,
)
from tutorial_lib.text.subwords import (
    learn_bpe as learn_bpe,
)
from tutorial_lib.text.subwords import (
    learn_wordpiece as learn_wordpiece,
)
from tutorial_lib.text.tagged_notes import (
    Tagged as Tagged,
)
from tutorial_lib.text.tagged_notes import (
    tagged_sentences as tagged_sentences,
)
from tutorial_lib.text.tags import (
    JIEBA_TAGS as JIEBA_TAGS,
)
from tutorial_lib.text.tags import (
    PerceptronTagger as PerceptronTagger,
)
from tutorial_lib.text.tags import (
    chinese_tags as chinese_tags,
)
from tutorial_lib.text.tags import (
    clinical_tagger as clinical_tagger,
)
from tutorial_lib.text.tags import (
    pos_tags as pos_tags,
)
from tutorial_lib.text.tokens import (
    detect_language as detect_language,
)
from tutorial_lib.text.tokens import (
    detokenize as detokenize,
)
from tutorial_lib.text.tokens import (
    token_pieces as token_pieces,
)
from tutorial_lib.text.tokens import (
    tokenize as tokenize,
)
from tutorial_lib.text.vocabulary import (
    BOS as BOS,
)
from tutorial_lib.text.vocabulary import (
    EOS as EOS,
)
from tutorial_lib.text.vocabulary import (
    PAD as PAD,
)
from tutorial_lib.text.vocabulary import (
    UNK as UNK,
)
from tutorial_lib.text.vocabulary import (
    Padded as Padded,
)
from tutorial_lib.text.vocabulary import (
    Vocabulary as Vocabulary,
)
