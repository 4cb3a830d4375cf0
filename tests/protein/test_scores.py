"""Recovery, similarity, perplexity and letters: by hand, Biopython's table where it is installed, bad input."""

import math

import pytest
import torch

from tutorial_lib.protein import (
    AMINO_ACIDS,
    BLOSUM62,
    decode_sequence,
    encode_sequence,
    perplexity,
    recovery,
    similarity,
)


def test_letters_there_and_back():
    assert decode_sequence(encode_sequence(AMINO_ACIDS)) == AMINO_ACIDS == "".join(sorted(AMINO_ACIDS))
    assert encode_sequence("").shape == (0,) and decode_sequence([]) == ""


def test_the_table_is_that_of_blosum62():
    table = torch.tensor(BLOSUM62)
    assert table.shape == (20, 20) and torch.equal(table, table.T)
    assert table.diagonal().tolist() == [4, 9, 6, 5, 6, 6, 8, 4, 5, 4, 5, 6, 7, 5, 5, 4, 5, 4, 11, 7]
    at = {(a, b): BLOSUM62[AMINO_ACIDS.index(a)][AMINO_ACIDS.index(b)] for a in AMINO_ACIDS for b in AMINO_ACIDS}
    assert (at["I", "V"], at["D", "E"], at["W", "Y"], at["W", "C"], at["K", "R"]) == (3, 2, 2, -2, 2)
    assert table.sum().item() == 2 * sum(BLOSUM62[i][j] for i in range(20) for j in range(i)) + 116


def test_the_table_is_biopythons():
    matrices = pytest.importorskip("Bio.Align.substitution_matrices")
    theirs = matrices.load("BLOSUM62")
    assert [[int(theirs[a][b]) for b in AMINO_ACIDS] for a in AMINO_ACIDS] == [list(row) for row in BLOSUM62]


def test_recovery_and_similarity_by_hand():
    native = encode_sequence("ILKDW")
    assert recovery(native, native) == similarity(native, native) == 1
    other = encode_sequence("VLRAW")  # I like V, L, K like R, D unlike A, W
    assert recovery(other, native) == pytest.approx(0.4) and similarity(other, native) == pytest.approx(0.8)
    both = torch.stack((native, other))
    assert recovery(both, native) == pytest.approx(0.7) and similarity(both, native) == pytest.approx(0.9)
    none = encode_sequence("")
    assert math.isnan(recovery(none, none)) and math.isnan(similarity(none, none))


def test_perplexity_by_hand():
    probs = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    assert perplexity(probs.log(), torch.tensor([0, 0])) == pytest.approx(math.sqrt(8))
    assert math.isnan(perplexity(torch.zeros(0, 20), torch.zeros(0, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: encode_sequence("ACX"), "got 'X' at place 2"),
        (lambda: encode_sequence("acd"), "got 'a'"),
        (lambda: encode_sequence(None), "string"),
        (lambda: decode_sequence([20]), "types"),
        (lambda: recovery(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)), "as long as native"),
        (lambda: recovery(torch.zeros(3), torch.zeros(3)), "whole numbers"),
        (lambda: similarity(torch.tensor([20]), torch.tensor([0])), "sequence must hold residue types"),
        (lambda: perplexity(torch.zeros(3, 20), torch.zeros(2, dtype=torch.int64)), "one type a row"),
        (lambda: perplexity(torch.zeros(1, 20), torch.tensor([-1])), "native must hold"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()
