"""Hugging Face models as the functions ``fill``, ``translate`` and ``generate`` that augmentation takes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager

import torch

from tutorial_lib import _arguments as check
from tutorial_lib.text.characters import without_marks


def hf_fill(
    model, tokenizer=None, *, window: int = 100
) -> Callable[[Sequence[str], int, int], list[tuple[str, float]]]:
    """Make ``fill`` for :func:`mlm_replacement` from a Hugging Face masked language model (BERT and its kin).

    Only whole words are offered: no pieces that continue a word, no marks, no special tokens. In Chinese models a
    token is a character.

    Args:
        model: the model, on any device, or the name or folder to load model and tokenizer from.
        tokenizer: its tokenizer.
        window: how many words on either side the model sees; long texts are cut.

    Returns:
        ``fill(tokens, position, k)``.

    Raises:
        ImportError: if a name is given and the library is not there.
    """
    model, tokenizer = _hf_model(model, tokenizer, "AutoModelForMaskedLM")
    window = check.whole(window, "window", low=1)
    if tokenizer.mask_token is None:
        raise ValueError("tokenizer must have a mask token, as masked language models have, got one without")

    def fill(tokens: Sequence[str], position: int, k: int) -> list[tuple[str, float]]:
        before = list(check.strings(tokens, "tokens")[max(0, position - window) : position])
        words = [*before, tokenizer.mask_token, *tokens[position + 1 : position + 1 + window]]
        encoded = tokenizer(" ".join(words), return_tensors="pt", truncation=True).to(model.device)
        # The text may hold the mask token itself: ours is the one that comes after those before it.
        places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
        number = sum(word == tokenizer.mask_token for word in before)
        if number >= len(places):
            return []  # cut off
        with _evaluating(model):
            logits = model(**encoded).logits[0, places[number]]
        values, order = logits.float().softmax(-1).sort(descending=True, stable=True)
        found: list[tuple[str, float]] = []
        for index, value in zip(order.tolist(), values.tolist()):
            if len(found) == k:
                break
            piece = tokenizer.convert_ids_to_tokens(index)
            if index not in tokenizer.all_special_ids and not piece.startswith("##"):
                word = tokenizer.decode([index]).strip()
                if word and all(map(str.isalnum, without_marks(word))):
                    found.append((word, value))
        return found

    return fill


def hf_translate(
    models: Mapping[tuple[str, str], object], *, batch_size: int = 16, max_new_tokens: int = 256, **options
) -> Callable[[Sequence[str], str, str], list[str]]:
    """Make ``translate`` for :func:`back_translation` from Hugging Face sequence-to-sequence models (Marian, say).

    Args:
        models: (source, target) -> (model, tokenizer), or the name or folder to load both from.
        batch_size: how many texts at a time.
        max_new_tokens: where a translation ends at the latest.
        options: of the model's ``generate``; by default it takes the likeliest token each time.

    Returns:
        ``translate(texts, source, target)``; it raises ValueError for a pair of languages without a model.
    """
    batch_size = check.whole(batch_size, "batch_size", low=1)
    max_new_tokens = check.whole(max_new_tokens, "max_new_tokens", low=1)
    options = {"do_sample": False, "num_beams": 1, **options}
    loaded: dict[tuple[str, str], tuple] = {}

    def translate(texts: Sequence[str], source: str, target: str) -> list[str]:
        pair = (source, target)
        if pair not in models:
            raise ValueError(f"models must hold the pair {pair}, got {sorted(models)}")
        if pair not in loaded:
            given = models[pair]
            named = given if isinstance(given, tuple) else (given, None)
            loaded[pair] = _hf_model(named[0], named[1], "AutoModelForSeq2SeqLM")
        model, tokenizer = loaded[pair]
        found: list[str] = []
        for start in range(0, len(texts), batch_size):
            piece = list(texts[start : start + batch_size])
            encoded = tokenizer(piece, return_tensors="pt", padding=True, truncation=True).to(model.device)
            encoded.pop("token_type_ids", None)
            with _evaluating(model):
                made = model.generate(**encoded, max_new_tokens=max_new_tokens, **options)
            found += tokenizer.batch_decode(made, skip_special_tokens=True)
        return found

    return translate


def hf_generate(model, tokenizer=None, *, max_new_tokens: int = 40, **options) -> Callable[[str, int], str]:
    """Make ``generate`` for :func:`label_conditioned` from a Hugging Face causal language model (GPT-2, say).

    Args:
        model: the model, on any device, or the name or folder to load model and tokenizer from.
        tokenizer: its tokenizer.
        max_new_tokens: where the text ends at the latest.
        options: of the model's ``generate``; by default it samples with ``top_p=0.9``.

    Returns:
        ``generate(prompt, seed)``. It leaves torch's random generators as they were.
    """
    model, tokenizer = _hf_model(model, tokenizer, "AutoModelForCausalLM")
    max_new_tokens = check.whole(max_new_tokens, "max_new_tokens", low=1)
    options = {"do_sample": True, "top_p": 0.9, **options}

    def generate(prompt: str, seed: int) -> str:
        encoded = tokenizer(prompt, return_tensors="pt").to(model.device)
        encoded.pop("token_type_ids", None)
        end = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        with torch.random.fork_rng(), _evaluating(model):
            torch.manual_seed(seed)
            made = model.generate(**encoded, max_new_tokens=max_new_tokens, pad_token_id=end, **options)
        return tokenizer.decode(made[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)

    return generate


def _hf_model(model, tokenizer, kind: str) -> tuple:
    if not isinstance(model, str):
        if tokenizer is None:
            raise ValueError("tokenizer must be given with a model, or one name for both, got None")
        return model, tokenizer
    try:
        import transformers
    except ImportError as error:
        raise ImportError("Models by name come through Hugging Face's library: pip install transformers") from error
    return getattr(transformers, kind).from_pretrained(model), transformers.AutoTokenizer.from_pretrained(model)


@contextmanager
def _evaluating(model: torch.nn.Module):
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
