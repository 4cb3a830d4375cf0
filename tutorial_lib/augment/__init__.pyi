from tutorial_lib.augment.contractions import (
    contract as contract,
)
from tutorial_lib.augment.contractions import (
    expand as expand,
)
from tutorial_lib.augment.embeddings import (
    sent_mixup as sent_mixup,
)
from tutorial_lib.augment.embeddings import (
    word_mixup as word_mixup,
)
from tutorial_lib.augment.hugging_face import (
    hf_fill as hf_fill,
)
from tutorial_lib.augment.hugging_face import (
    hf_generate as hf_generate,
)
from tutorial_lib.augment.hugging_face import (
    hf_translate as hf_translate,
)
from tutorial_lib.augment.images import (
    AUGMENT_RANGES as AUGMENT_RANGES,
)
from tutorial_lib.augment.images import (
    MagnitudeRange as MagnitudeRange,
)
from tutorial_lib.augment.images import (
    image_operation as image_operation,
)
from tutorial_lib.augment.images import (
    strong_augment as strong_augment,
)
from tutorial_lib.augment.images import (
    weak_augment as weak_augment,
)
from tutorial_lib.augment.letters import (
    homophone_noise as homophone_noise,
)
from tutorial_lib.augment.letters import (
    keyboard_noise as keyboard_noise,
)
from tutorial_lib.augment.letters import (
    spelling_noise as spelling_noise,
)
from tutorial_lib.augment.lexicon import (
    CONTRACTIONS as CONTRACTIONS,
)
from tutorial_lib.augment.lexicon import (
    EXPANSIONS as EXPANSIONS,
)
from tutorial_lib.augment.lexicon import (
    HOMOPHONES as HOMOPHONES,
)
from tutorial_lib.augment.lexicon import (
    KEYBOARD as KEYBOARD,
)
from tutorial_lib.augment.lexicon import (
    MISSPELLINGS as MISSPELLINGS,
)
from tutorial_lib.augment.lexicon import (
    NEGATIONS as NEGATIONS,
)
from tutorial_lib.augment.lexicon import (
    SYNONYMS as SYNONYMS,
)
from tutorial_lib.augment.lexicon import (
    UNITS as UNITS,
)
from tutorial_lib.augment.lexicon import (
    WordNetSynonyms as WordNetSynonyms,
)
from tutorial_lib.augment.lexicon import (
    has_number as has_number,
)
from tutorial_lib.augment.lexicon import (
    read_homophones as read_homophones,
)
from tutorial_lib.augment.lexicon import (
    read_synonyms as read_synonyms,
)
from tutorial_lib.augment.lexicon import (
    synonym_table as synonym_table,
)
from tutorial_lib.augment.lexicon import (
    wordnet_synonyms as wordnet_synonyms,
)
from tutorial_lib.augment.models import (
    Neighbours as Neighbours,
)
from tutorial_lib.augment.models import (
    TfIdf as TfIdf,
)
from tutorial_lib.augment.models import (
    WordSampler as WordSampler,
)
from tutorial_lib.augment.protection import (
    CLINICAL as CLINICAL,
)
from tutorial_lib.augment.protection import (
    is_punctuation as is_punctuation,
)
from tutorial_lib.augment.protection import (
    protect as protect,
)
from tutorial_lib.augment.records import (
    Augmented as Augmented,
)
from tutorial_lib.augment.records import (
    augment as augment,
)
from tutorial_lib.augment.records import (
    augment_batch as augment_batch,
)
from tutorial_lib.augment.records import (
    eda as eda,
)
from tutorial_lib.augment.records import (
    token_spans as token_spans,
)
from tutorial_lib.augment.syntax import (
    active_to_passive as active_to_passive,
)
from tutorial_lib.augment.syntax import (
    crop_tree as crop_tree,
)
from tutorial_lib.augment.syntax import (
    from_spacy as from_spacy,
)
from tutorial_lib.augment.syntax import (
    move_adverbial as move_adverbial,
)
from tutorial_lib.augment.syntax import (
    spacy_parser as spacy_parser,
)
from tutorial_lib.augment.wholes import (
    SENTENCE_ENDS as SENTENCE_ENDS,
)
from tutorial_lib.augment.wholes import (
    back_translation as back_translation,
)
from tutorial_lib.augment.wholes import (
    back_translations as back_translations,
)
from tutorial_lib.augment.wholes import (
    instance_crossover as instance_crossover,
)
from tutorial_lib.augment.wholes import (
    label_conditioned as label_conditioned,
)
from tutorial_lib.augment.wholes import (
    label_prompt as label_prompt,
)
from tutorial_lib.augment.wholes import (
    sentence_shuffle as sentence_shuffle,
)
from tutorial_lib.augment.words import (
    blank_noise as blank_noise,
)
from tutorial_lib.augment.words import (
    eda_operations as eda_operations,
)
from tutorial_lib.augment.words import (
    embedding_replacement as embedding_replacement,
)
from tutorial_lib.augment.words import (
    mlm_replacement as mlm_replacement,
)
from tutorial_lib.augment.words import (
    random_deletion as random_deletion,
)
from tutorial_lib.augment.words import (
    random_insertion as random_insertion,
)
from tutorial_lib.augment.words import (
    random_swap as random_swap,
)
from tutorial_lib.augment.words import (
    synonym_replacement as synonym_replacement,
)
from tutorial_lib.augment.words import (
    tfidf_replacement as tfidf_replacement,
)
from tutorial_lib.augment.words import (
    unigram_noise as unigram_noise,
)
