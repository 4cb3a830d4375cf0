"""What a method may be given: one rule for each kind of argument, whatever library the value comes from."""

import math
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from tutorial_lib import _arguments as arguments
from tutorial_lib._arguments import number, numbers, whole, wholes

FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
TENSORS = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.uint8,
    torch.int32,
    torch.int64,
]

FLOATING = {"f", *map(str, (torch.float16, torch.bfloat16, torch.float32, torch.float64))}

THREES = [3, 3.0, Fraction(3), *(kind(3) for kind in FLOATS + INTEGERS)]
THREES += [np.array(3, kind) for kind in FLOATS + INTEGERS] + [np.array(3, kind) for kind in (">i4", ">f8")]
THREES += [torch.tensor(3, dtype=kind) for kind in TENSORS] + [torch.tensor(3.0, requires_grad=True)]
NO_NUMBERS = [
    "3",
    b"3",
    None,
    True,
    np.True_,
    torch.tensor(True),
    np.array(True),
    3j,
    np.complex64(3),
    torch.tensor(3j),
]
NO_NUMBERS += [[3], (3,), np.array([3]), torch.tensor([3]), {3}, object(), np.ma.masked, np.ma.array(3), math.nan]
NO_NUMBERS += [torch.tensor(math.nan), np.float32("nan"), torch.tensor(3.0).to_sparse(), torch.zeros((), device="meta")]


def named(value):
    """Without addresses: every process must give a case the same name."""
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return f"{type(value).__name__} {getattr(value, 'dtype', '')} {shown}"[:50].replace("\n", " ")


# --- numbers ---


@pytest.mark.parametrize("value", THREES, ids=named)
def test_a_number_of_any_library(value):
    found = number(value, "x", low=3, high=3)
    assert type(found) is float and found == 3


@pytest.mark.parametrize("value", NO_NUMBERS, ids=named)
def test_what_is_no_number(value):
    for function in (number, whole):
        with pytest.raises(ValueError, match="^x must be (a .*number|finite), got "):
            function(value, "x")


@pytest.mark.parametrize("value", [v for v in THREES if not isinstance(v, float | Fraction)], ids=named)
def test_a_whole_number_of_any_library(value):
    if not isinstance(value, int) and getattr(value.dtype, "kind", str(value.dtype)) in FLOATING:
        with pytest.raises(ValueError, match="x must be a whole number, got 3.0"):
            whole(value, "x")
    else:
        assert type(whole(value, "x", low=3, high=3)) is int


def test_whole_numbers_keep_every_digit():
    assert whole(np.uint64(2**64 - 1), "x") == 2**64 - 1 and whole(10**30, "x") == 10**30


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"),
    [
        ({"low": 0}, [0, 1e300], [-1e-300, math.inf], "finite and at least 0"),
        ({"above": 0}, [5e-324], [0, -0.0, math.inf], "finite and above 0"),
        ({"high": 2}, [2, -1e9], [2.5, -math.inf], "finite and at most 2"),
        ({"low": 0, "high": 1}, [0, 1], [-0.1, 1.1, math.inf], r"in \[0, 1\]"),
        ({"low": 0, "below": 1}, [0], [1], r"in \[0, 1\)"),
        ({"above": 0, "high": 1}, [1], [0], r"in \(0, 1\]"),
        ({"above": 0, "below": 1}, [0.5], [0, 1], r"in \(0, 1\)"),
        ({"low": 0, "finite": False}, [math.inf], [-1], "at least 0"),
        ({}, [-3], [math.inf, 10**400], "finite"),
        ({"finite": False}, [-math.inf], [], "a number"),
    ],
)
def test_ranges(rule, good, bad, expected):
    for value in good:
        assert number(value, "x", **rule) == value
    for value in [*bad, math.nan]:
        with pytest.raises(ValueError, match=f"^x must be {expected}, got "):
            number(value, "x", **rule)
    with pytest.raises(ValueError, match=f"^x must be a (number, {expected}|(finite )?number), got '0.5'"):
        number("0.5", "x", **rule)


def test_ranges_of_whole_numbers():
    for rule, value, expected in (
        ({"low": 1}, 0, " of at least 1"),
        ({"high": 4}, 5, " of at most 4"),
        ({"low": 2, "high": 3}, 1, " from 2 to 3"),
    ):
        with pytest.raises(ValueError, match=f"^x must be a whole number{expected}, got {value}$"):
            whole(value, "x", **rule)


def test_a_decimal_is_no_number_of_ours():
    with pytest.raises(ValueError, match="got Decimal"):
        number(Decimal(3), "x")


# --- sequences ---

SEQUENCES = [
    (1, 2), [1, 2], range(1, 3), np.array([1, 2]), np.array([1, 2], ">i2"), torch.tensor([1, 2]), torch.Size([1, 2]),
    pd.Series([1, 2]), [np.int64(1), torch.tensor(2)], np.array([[1, 0], [2, 0]])[:, 0],
]  # fmt: skip


@pytest.mark.parametrize("values", SEQUENCES, ids=named)
def test_a_sequence_of_any_library(values):
    for function, kind in ((numbers, float), (wholes, int)):
        found = function(values, "x", length=2)
        assert found == (1, 2) and all(type(value) is kind for value in found)


@pytest.mark.parametrize(
    "values", [torch.tensor([1.5, 2]), np.array([1.5, 2], ">f4"), [torch.tensor(1.5), np.float16(2)]]
)
def test_sequences_of_other_numbers(values):
    assert numbers(values, "x") == (1.5, 2)
    with pytest.raises(ValueError, match=r"x\[0\] must be a whole number, got 1.5"):
        wholes(values, "x")


@pytest.mark.parametrize(
    "values",
    ["12", b"12", {1, 2}, {1: 2}, None, iter([1, 2]), np.zeros((2, 1)), torch.zeros(2, 1), [[1], [2]], [1, True],
     [1, "2"], [1, None], np.array([True, False]), np.array(["1", "2"]), torch.tensor([1.0, 2]).to_sparse(), (1, 2, 3)],
    ids=named,
)  # fmt: skip
def test_what_is_no_sequence_of_two_numbers(values):
    for function in (numbers, wholes):
        with pytest.raises(ValueError, match=r"^x(\[\d\])? must be .*number.*, got "):
            function(values, "x", length=2)


@pytest.mark.parametrize("value", [v for v in THREES if v is not THREES[2]], ids=named)
def test_one_number_for_all(value):
    assert numbers(value, "x", length=2, broadcast=True) == (3, 3)
    with pytest.raises(ValueError, match="x must be 2 numbers, got 3"):
        numbers(value, "x", length=2)


def test_the_wrong_one_is_named():
    with pytest.raises(ValueError, match=r"^sizes\[1\] must be finite and above 0, got -2$"):
        numbers([1, -2], "sizes", above=0)
    with pytest.raises(ValueError, match=r"^window must be one whole number, or 2 whole numbers, got \(3, 3, 3\)$"):
        wholes((3, 3, 3), "window", length=2, broadcast=True)


# --- words ---


def test_choices():
    assert arguments.choice(None, "norm", ("batch", None)) is None and arguments.reduction("sum") == "sum"
    for value in ("avg", None, 3, ["sum"], np.array(["sum", "mean"]), torch.zeros(2)):
        with pytest.raises(ValueError, match="^reduction must be 'none', 'mean' or 'sum', got "):
            arguments.reduction(value)


def test_strings():
    for values in (["a", "b"], ("a", "b"), np.array(["a", "b"]), pd.Series(["a", "b"]), (w for w in "ab")):
        assert arguments.strings(values, "terms") == ("a", "b")
    assert arguments.strings([], "terms") == ()
    for values in ("ab", b"ab", 3, None):
        with pytest.raises(ValueError, match="^terms must be several strings.*, got "):
            arguments.strings(values, "terms")
    with pytest.raises(ValueError, match="^terms must be strings, got 3 at place 1$"):
        arguments.strings(["a", 3], "terms")


def test_generators():
    source = torch.Generator()
    assert arguments.generator(source) is source and arguments.generator(None) is None
    for value in (0, np.random.default_rng(0)):
        with pytest.raises(ValueError, match="^generator must be a torch.Generator or None, got "):
            arguments.generator(value)


# --- arrays ---


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_of_a_kind_and_a_shape(dtype):
    value = torch.zeros(2, 3, 4, 5, dtype=dtype)
    for shape in ("(B, C, ...)", "(B, C, H, W)", "(..., 5)", "(B, ..., 5)", "(...)", "(2, 3, 4, 5)", ""):
        assert arguments.tensor(value, "x", shape, kind="floating-point") is value
    for shape in ("(B, C)", "(B, C, H, W, D, ...)", "(..., 4)", "(K, 4)", "(2, 3, 4, 6)"):
        with pytest.raises(ValueError, match=r"^x must be floating-point \(.*\), got \w+ \(2, 3, 4, 5\)$"):
            arguments.tensor(value, "x", shape, kind="floating-point")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(torch.zeros(2).bool(), "real"), (torch.zeros(2).bool(), "whole"), (torch.zeros(2), "whole"),
     (torch.zeros(2).long(), "floating-point"), (torch.zeros(2) * 1j, "real"), (torch.zeros(2).to_sparse(), "real"),
     (torch.zeros(2, 2).to_sparse(), "floating-point"), (np.zeros(2), "floating-point"), ([0.0], "real")],
    ids=named,
)  # fmt: skip
def test_what_is_no_such_tensor(value, kind):
    with pytest.raises(ValueError, match="^x must be .*, got "):
        arguments.tensor(value, "x", kind=kind)


@pytest.mark.parametrize("values", [[0, 1, 1], (0, 1, 1), np.array([0, 1, 1], ">i4"), np.array([0, 1, 1], ">f2")])
def test_an_array_of_any_order_of_bytes(values):
    found = arguments.array(values, "x")
    assert found.tolist() == [0, 1, 1] and found.dtype.isnative
    torch.from_numpy(found)


MASKED = [np.ma.array([0, 1], mask=[0, 1]), [np.ma.array([0, 1], mask=[0, 1])], ((np.ma.array([0, 1]),),)]


@pytest.mark.parametrize("values", MASKED, ids=named)
def test_a_masked_array_does_not_lose_its_mask(values):
    for function in (arguments.array, arguments.mask, numbers, wholes):
        with pytest.raises(ValueError, match=r"^x must be a plain array.*filled\(255\).*ignore_index=255.*got masked"):
            function(values, "x")
    with pytest.raises(ValueError, match="masked"):
        arguments.pair(np.zeros(2, int), values if isinstance(values, np.ndarray) else values[0])
    with pytest.raises(ValueError, match="masked"):
        arguments.class_counts(values)
    with pytest.raises(ValueError, match="masked"):
        arguments.class_weight(values, "weight", torch.zeros(1, 2))


@pytest.mark.parametrize(
    "values",
    [np.array([0, 1]), np.array([0, 1], bool), np.array([0.0, 1.0], ">f8"), [0, 1], [False, True], torch.tensor([0, 1]),
     *(torch.tensor([0, 1], dtype=kind) for kind in TENSORS), torch.tensor([0.0, 1.0], requires_grad=True)],
    ids=named,
)  # fmt: skip
def test_a_mask_of_any_type(values):
    found = arguments.mask(values, "x")
    assert found.dtype == bool and found.tolist() == [False, True]


@pytest.mark.parametrize(
    "values", [[0, 2], np.array([0, 255], np.uint8), torch.tensor([0.5]), [math.nan], [-1]], ids=named
)
def test_what_is_no_mask(values):
    with pytest.raises(ValueError, match="^x must hold only 0 and 1, got .*labels == c$"):
        arguments.mask(values, "x")


@pytest.mark.parametrize(
    "values", ["ab", [object()], [1j], torch.tensor([1j]), torch.zeros(2).to_sparse(), [[1], [1, 2]]]
)
def test_what_is_no_array_of_numbers(values):
    with pytest.raises(ValueError, match="^x must .*, got "):
        arguments.mask(values, "x")


@pytest.mark.parametrize("dtype", TENSORS)
def test_values_from_0_to_1(dtype):
    arguments.unit(torch.tensor([0, 1], dtype=dtype), "x")
    arguments.unit(torch.zeros(0, dtype=dtype), "x")
    with pytest.raises(ValueError, match=r"^x must be in \[0, 1\], got 2"):
        arguments.unit(torch.tensor([0, 2], dtype=dtype), "x")


def test_values_outside_of_0_to_1():
    for value in (-0.01, 1.01, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"^x must be in \[0, 1\], got {str(value)[:4]}"):
            arguments.unit(torch.tensor([0.5, value]), "x")
    for value in (np.zeros(2), 0.5, torch.zeros(2).to_sparse()):
        with pytest.raises(ValueError, match="^x must be a .*tensor"):
            arguments.unit(value, "x")


# --- space ---


def test_the_axes_of_space_are_told_or_seen():
    told = arguments.spatial_dims
    assert told(None, np.zeros(3), "mask", None) == 1 and told(None, np.zeros((3, 3)), "mask", 2.0) == 2
    volume = np.zeros((3, 3, 3))
    for value in (2, np.int64(2), torch.tensor(2)):
        assert told(value, volume, "mask", None) == 2
    for spacing in ((1, 1), [1, 1], np.ones(2), torch.ones(2)):
        assert told(None, volume, "mask", spacing) == 2
    for spacing in (None, 2.0, np.float64(2), torch.tensor(2.0)):
        with pytest.raises(ValueError, match=r"^spatial_dims must be given .*mask.*2 for images.*, got .*\(3, 3, 3\)$"):
            told(None, volume, "mask", spacing)


@pytest.mark.parametrize(
    "value",
    [(3, 1, 1), [3, 1, 1], np.array([3.0, 1, 1]), torch.tensor([3.0, 1, 1]), torch.tensor([3, 1, 1])],
    ids=named,
)
def test_a_spacing_of_any_library(value):
    assert arguments.spacing(value, 3) == (3.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="^spacing must be one number, or 2 numbers, got "):
        arguments.spacing(value, 2)


def test_one_spacing_for_all_and_none():
    for value in (2, np.float32(2), torch.tensor(2.0), np.array(2)):
        assert arguments.spacing(value, 2) == (2.0, 2.0)
    assert arguments.spacing(None, 3) == (1.0, 1.0, 1.0)
    for value in (0, -1, math.inf, math.nan, "1", True, (1, 0)):
        with pytest.raises(ValueError, match=r"^spacing(\[1\])? must be .*, got "):
            arguments.spacing(value, 2)


# --- classes ---


@pytest.mark.parametrize(
    "values",
    [[5, 2], (5, 2), np.array([5, 2], ">i4"), torch.tensor([5, 2]), pd.Series([5, 2]), [np.int32(5), torch.tensor(2)]],
    ids=named,
)
def test_counts_and_weights_of_classes(values):
    counts = arguments.class_counts(values)
    assert counts.dtype == torch.float64 and counts.tolist() == [5, 2]
    weight = arguments.class_weight(values, "weight", torch.zeros(1, 2))
    assert weight.dtype == torch.float32 and weight.tolist() == [5, 2]


def test_large_counts_keep_their_digits():
    assert arguments.class_counts([2**40 + 1]).item() == 2**40 + 1


@pytest.mark.parametrize(
    "values", [7, [], [[1, 2]], torch.tensor(7), torch.ones(1, 2), torch.ones(0), "12", None], ids=named
)
def test_what_are_no_counts(values):
    with pytest.raises(ValueError, match=r"^class_counts(\[0\])? must be .*, got "):
        arguments.class_counts(values)


@pytest.mark.parametrize("wrong", [0, -2, math.nan, math.inf, True, "3"])
def test_the_wrong_count_is_named(wrong):
    with pytest.raises(ValueError, match=f"^class_counts must be at least 1, got '?{wrong}'? for class 1$"):
        arguments.class_counts([5, wrong])
    with pytest.raises(ValueError, match="^weight must be finite and at least 0, got "):
        arguments.class_weight([5, -1.0 if wrong in (0, True) else wrong], "weight", torch.zeros(1, 2))


# --- how things are named ---


@pytest.mark.parametrize(
    ("value", "name"),
    [(torch.zeros(2, 3), "float32 (2, 3)"), (torch.tensor(2.5), "2.5"), (np.zeros(3, np.uint8), "uint8 array (3,)"),
     (np.float64(2.5), "2.5"), (np.array(2), "2"), ("a", "'a'"), (None, "None"), (True, "True"),
     ([1, np.int8(2)], "[1, 2]"), ((1,), "(1,)"), ({1}, "set"), (1j, "1j"),
     (torch.zeros(2).to_sparse(), "sparse_coo float32 (2,)"),
     (torch.zeros((), device="meta"), "float32 ()"), (np.ma.zeros(2), "masked float64 array (2,)")],
    ids=named,
)  # fmt: skip
def test_names_of_values(value, name):
    assert arguments.what(value) == name


def test_names_are_short():
    for value in ("x" * 10000, list(range(10000)), [["x" * 100] * 100] * 100, np.zeros(10000)):
        assert len(arguments.what(value)) < 170


def test_checks_wait_for_nobody():
    code = (
        "import sys; from tutorial_lib import _arguments as a; a.number(1, 'x'); a.wholes(range(3), 'x'); "
        "a.strings(['a'], 'x'); a.what([1]); a.choice('a', 'x', ('a', 'b'))\n"
        "print([n for n in ('torch', 'numpy', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
