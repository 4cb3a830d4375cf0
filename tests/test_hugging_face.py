"""networks.hf_encoder beside the model itself: a tiny BERT with random weights, made here; nothing is downloaded."""

import builtins
from types import SimpleNamespace

import pytest
import torch
import transformers
from conftest import ROOT
from torch import nn

from tutorial_lib.attention import label_attention
from tutorial_lib.networks import hf_encoder

WORDS = "no fever cough today the patient has pain in chest and back since monday morning".split()
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A model that reads 12 tokens at once, special ones included, and its tokenizer, both saved in a folder."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), "utf-8")
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"))
    config = transformers.BertConfig(vocab_size=5 + len(WORDS), max_position_embeddings=12, **SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertModel(config).eval()
    for part in (model, tokenizer):
        part.save_pretrained(folder)
    return SimpleNamespace(model=model, tokenizer=tokenizer, folder=folder)


def directly(bert, text, window=None):
    """The states of a text's tokens, or of tokens [a, b) of it alone, by one plain call of the model."""
    ids = bert.tokenizer(text, add_special_tokens=False)["input_ids"][slice(*(window or (None,)))]
    with torch.no_grad():
        return bert.model(input_ids=torch.tensor([[2, *ids, 3]])).last_hidden_state[0, 1:-1]


def near(left, right):
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def long_text(n):
    return " ".join(WORDS[(7 * i + i * i) % len(WORDS)] for i in range(n))


def test_short_texts_get_what_the_model_gives(bert):
    texts = ["no fever today", "the patient has pain in chest and back", "cough"]
    hidden, mask, ids = hf_encoder(bert.model, bert.tokenizer)(texts)
    assert hidden.shape == (3, 8, 16) and hidden.dtype == torch.float32
    assert mask.sum(1).tolist() == [3, 8, 1] and ids[0].tolist() == [5, 6, 8, 0, 0, 0, 0, 0]
    for row, text in enumerate(texts):
        near(hidden[row, mask[row]], directly(bert, text))
    assert not hidden[~mask].any()
    both = bert.tokenizer(texts, return_tensors="pt", padding=True)
    near(hidden[1], bert.model(**both).last_hidden_state[1, 1:-1].detach())


def test_a_token_in_two_windows_has_the_state_of_the_wider_view(bert):
    """25 tokens in windows of 10, a new one every 6: 0-10, 6-16, 12-22, 18-25."""
    text = long_text(25)
    hidden, mask, _ = hf_encoder(bert.model, bert.tokenizer, stride=6)([text])
    assert mask.shape == (1, 25) and mask.all()
    windows = [(0, 10), (6, 16), (12, 22), (18, 25)]
    # Tokens 6 to 9 stand in the first two windows. Token 7 has two to its right in the first, one to its left in the
    # second; token 8 one and two.
    kept = [(0, 8), (8, 14), (14, 20), (20, 25)]
    for window, (a, b) in zip(windows, kept):
        near(hidden[0, a:b], directly(bert, text, window)[a - window[0] : b - window[0]])
    other = directly(bert, text, windows[1])[1]  # token 7 in the second window
    assert (hidden[0, 7] - other).abs().max() > 1e-3


def test_equal_views_go_to_the_first_and_a_token_may_stand_in_many_windows(bert):
    text = long_text(9)
    hidden = hf_encoder(bert.model, bert.tokenizer, window=5, stride=1)([text]).hidden[0]
    for t, a in enumerate([0, 0, 0, 1, 2, 3, 4, 4, 4]):  # the window that has token t nearest to its middle
        near(hidden[t], directly(bert, text, (a, a + 5))[t - a])
    even = hf_encoder(bert.model, bert.tokenizer, window=4, stride=1)([text]).hidden[0]
    near(even[4], directly(bert, text, (2, 6))[2])  # 2-6 shows two and one, 3-7 one and two


def test_by_default_windows_overlap_by_half_and_fill_the_positions(bert):
    text = long_text(23)
    ours = hf_encoder(bert.model, bert.tokenizer)([text]).hidden
    assert torch.equal(ours, hf_encoder(bert.model, bert.tokenizer, window=10, stride=5)([text]).hidden)


def test_neither_padding_nor_the_batch_changes_a_state(bert):
    texts = ["cough", long_text(31), "", "no fever", long_text(10), long_text(11)]
    encode = hf_encoder(bert.model, bert.tokenizer)
    together = encode(texts)
    assert together.mask.sum(1).tolist() == [1, 31, 0, 2, 10, 11]
    for row, text in enumerate(texts):
        near(together.hidden[row, together.mask[row]], encode([text]).hidden[0])
    one_by_one = hf_encoder(bert.model, bert.tokenizer, batch_size=1)(texts)
    near(together.hidden, one_by_one.hidden)
    assert torch.equal(together.ids, one_by_one.ids) and torch.equal(together.mask, one_by_one.mask)
    labels = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    seen = label_attention(together.hidden, labels, mask=together.mask).context
    assert seen.isfinite().all() and not seen[2].any()  # a text without a token
    near(seen[3], label_attention(encode(["no fever"]).hidden, labels).context[0])


def test_no_text_and_empty_texts(bert):
    encode = hf_encoder(bert.model, bert.tokenizer)
    assert encode([]).hidden.shape == (0, 0, 16) and encode([]).mask.shape == (0, 0)
    empty = encode(["", ""])
    assert empty.hidden.shape == (2, 0, 16) and empty.mask.shape == empty.ids.shape == (2, 0)


def test_it_is_loaded_from_a_folder(bert):
    text = long_text(17)
    ours = hf_encoder(bert.model, bert.tokenizer)([text])
    for name in (str(bert.folder), bert.folder):
        assert torch.equal(hf_encoder(name)([text]).hidden, ours.hidden)


def test_a_type_and_a_mode_are_kept(bert):
    model = transformers.BertModel(bert.model.config).double().train()
    model.encoder.layer[0].eval()
    modes = [layer.training for layer in model.modules()]
    encode = hf_encoder(model, bert.tokenizer)
    first, again = encode(["no fever"]).hidden, encode(["no fever"]).hidden
    assert first.dtype == torch.float64 and torch.equal(first, again)  # dropout played no part
    assert not first.requires_grad and modes == [layer.training for layer in model.modules()]
    assert encode([""]).hidden.dtype == torch.float64


def test_it_can_be_trained_further(bert):
    model = transformers.BertModel(bert.model.config).eval()
    hidden = hf_encoder(model, bert.tokenizer, frozen=False)([long_text(15), "cough"]).hidden
    hidden.square().sum().backward()
    gradient = model.embeddings.word_embeddings.weight.grad
    assert gradient is not None and gradient.isfinite().all() and gradient.abs().sum() > 0
    dropping = hf_encoder(model.train(), bert.tokenizer, frozen=False)
    assert not torch.equal(dropping(["no fever"]).hidden, dropping(["no fever"]).hidden)


def test_a_head_is_taken_off(bert):
    headed = transformers.BertForSequenceClassification(bert.model.config).eval()
    headed.bert.load_state_dict(bert.model.state_dict())
    near(
        hf_encoder(headed, bert.tokenizer)(["no fever"]).hidden,
        hf_encoder(bert.model, bert.tokenizer)(["no fever"]).hidden,
    )


def test_roberta_has_fewer_positions_than_its_table(bert):
    """It counts from behind the padding's number: of 14 places, 12 are for tokens."""
    config = transformers.RobertaConfig(
        vocab_size=5 + len(WORDS), max_position_embeddings=14, pad_token_id=1, **SMALL
    )  # fmt: skip
    model = transformers.RobertaModel(config).eval()
    encode = hf_encoder(model, bert.tokenizer)
    assert torch.equal(encode([long_text(40)]).hidden, hf_encoder(model, bert.tokenizer, window=10)([long_text(40)])[0])
    with pytest.raises(ValueError, match="window must be a whole number from 1 to 10, got 11"):
        hf_encoder(model, bert.tokenizer, window=11)


def test_of_a_model_that_also_writes_the_part_that_reads(bert):
    config = transformers.BartConfig(
        vocab_size=5 + len(WORDS), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=20, pad_token_id=0,
    )  # fmt: skip
    model = transformers.BartModel(config).eval()
    hidden = hf_encoder(model, bert.tokenizer)(["no fever"]).hidden[0]
    with torch.no_grad():
        near(hidden, model.get_encoder()(input_ids=torch.tensor([[2, 5, 6, 3]])).last_hidden_state[0, 1:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 11}, "window must be a whole number from 1 to 10, got 11"),
        ({"window": 0}, "window must be a whole number from 1 to 10, got 0"),
        ({"stride": 11}, "stride must be a whole number from 1 to 10, got 11"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"tokenizer": None}, "tokenizer must be given with a loaded model, got None"),
        ({"model": nn.Linear(2, 2)}, "model must be a model of Hugging Face's library, got Linear"),
        ({"model": 3}, r"model must be a string, got 3 \(int\)"),
        ({"model": "bert"}, "tokenizer must be None with a model's name, which has its own, got"),
    ],
)
def test_bad_arguments(bert, options, message):
    given = {"model": bert.model, "tokenizer": bert.tokenizer} | options
    with pytest.raises(ValueError, match=message):
        hf_encoder(given.pop("model"), given.pop("tokenizer"), **given)


def test_bad_texts(bert):
    encode = hf_encoder(bert.model, bert.tokenizer)
    with pytest.raises(ValueError, match="texts must be several strings, such as .*, got 'no fever'"):
        encode("no fever")
    with pytest.raises(ValueError, match="texts must be strings, got None at place 1"):
        encode(["cough", None])


def test_a_model_that_does_not_tell_its_positions(bert):
    """As T5, whose positions are relative."""
    config = transformers.T5Config(vocab_size=5 + len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    model = transformers.T5EncoderModel(config).eval()
    with pytest.raises(ValueError, match="window must be given for a model that does not tell .*, got None"):
        hf_encoder(model, bert.tokenizer)
    assert hf_encoder(model, bert.tokenizer, window=10)(["no fever"]).hidden.shape == (1, 2, 16)


def test_nothing_is_downloaded_unasked(monkeypatch, tmp_path):
    asked = []

    def refuse(name, **options):
        asked.append(options["local_files_only"])
        raise OSError("no such model here")

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", refuse)
    with pytest.raises(ValueError, match=r"on this machine \(local_files_only=False .*\), got 'some/model'"):
        hf_encoder("some/model")
    with pytest.raises(OSError, match="no such model here"):
        hf_encoder("some/model", local_files_only=False)
    assert asked == [True, False]


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="model must be a saved model's folder, or a name that is on this machine"):
        hf_encoder(tmp_path)


def test_without_the_library(monkeypatch, bert):
    plain = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'tutorial-lib\[hf\]'"):
        hf_encoder("some/model")
    assert hf_encoder(bert.model, bert.tokenizer)(["cough"]).hidden.shape == (1, 1, 16)  # a loaded one needs none


def test_the_extra_is_declared():
    assert 'hf = ["transformers>=4.46"]' in (ROOT / "pyproject.toml").read_text("utf-8")
