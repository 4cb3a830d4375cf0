"""The recipe: known answers, the real record 207, and an independent reading of the raw format."""

import hashlib

import numpy as np
import pytest

from data_scripts.manifest import read_manifest
from data_scripts.mitbih import LABEL_NAMES, RHYTHMS, TRAIN, Annotations, prepare, read_record, window_labels, windows

SAMPLES = 650_000  # what a record of the database has: the windows end before the signal does
EDGE = 10  # the filter reaches 40 samples at 360 Hz, and sees zeros before the start of the record

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")
COLUMN = {name: column for column, name in enumerate(LABEL_NAMES)}


def note(*marks):
    """Annotations from (sample, code or rhythm) pairs, in order."""
    sample = np.array([at for at, _ in marks], dtype=int)
    symbol = ["+" if text.startswith("(") else text for _, text in marks]
    return Annotations(sample, symbol, [text if text.startswith("(") else "" for _, text in marks])


def on(label, name):
    return np.flatnonzero(label[:, COLUMN[name]]).tolist()


# --- the real record, where it lies beside the checkout ---


@pytest.fixture
def shared_ecg(shared_data):
    return shared_data / "ecg"


@pytest.fixture
def reference(shared_ecg):
    with np.load(shared_ecg / "mitbih_windows_10s_90hz.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_record_207_gives_the_reference_arrays(shared_ecg, reference):
    arrays = prepare(shared_ecg / "raw_mitbih", ["207.atr", "207.dat", "207.hea"])
    rows = reference["record"] == 207
    assert set(arrays) == set(reference) and rows.sum() == 180
    for name, array in arrays.items():
        expected = reference[name][rows] if reference[name].shape[:1] == rows.shape else reference[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)
        if array.dtype.kind != "U":  # the width of a text dtype depends on the longest text of all records
            assert array.dtype == expected.dtype, name
    assert arrays["label"].any(axis=0).sum() >= 5 and np.abs(arrays["signal"]).max() == 127  # not an easy record


def test_record_207_is_the_one_of_the_manifest(shared_ecg):
    known = {file.name: file for file in read_manifest()["mitbih"].files}
    for name in ("207.dat", "207.atr", "207.hea"):
        data = (shared_ecg / "raw_mitbih" / name).read_bytes()
        if name == "207.hea":  # came through git, which changed CRLF to LF and added an empty line
            data = data.removesuffix(b"\n").replace(b"\n", b"\r\n")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (known[name].size, known[name].sha256)


def test_wfdb_reads_what_the_format_says(shared_ecg):
    """Format 212 by hand: two 12-bit samples in three bytes; 200 steps a millivolt around 1024."""
    triples = np.fromfile(shared_ecg / "raw_mitbih/207.dat", np.uint8).reshape(-1, 3).astype(int)
    first = triples[:, 0] + ((triples[:, 1] & 0x0F) << 8)
    second = triples[:, 2] + ((triples[:, 1] >> 4) << 8)
    steps = np.stack([first, second])
    steps[steps > 2047] -= 4096
    millivolt, names, _ = read_record(shared_ecg / "raw_mitbih/207")
    assert names == ["MLII", "V1"]
    np.testing.assert_allclose(millivolt, (steps - 1024) / 200, atol=1e-12)


def test_the_reference_split_and_lead_order_are_ours(reference):
    train = set(reference["record"][reference["split"] == "train"].tolist())
    assert train == set(TRAIN)
    assert tuple(reference["label_names"]) == LABEL_NAMES


# --- known answers ---


def test_no_patient_is_on_both_sides():
    records = {int(file.name[:3]) for file in read_manifest()["mitbih"].files}
    assert TRAIN < records and len(TRAIN) == 25 and len(records - TRAIN) == 23
    assert {201, 202} <= TRAIN  # one person


def test_a_flat_signal_is_zero_whatever_its_level():
    cut = windows(np.stack([np.full(SAMPLES, 0.4), np.full(SAMPLES, -3.0)]))
    assert not cut[1:].any() and not cut[0, :, EDGE:].any()
    assert cut[0, :, 0].all()


def test_slow_waves_pass_at_their_size_and_fast_ones_do_not():
    time = np.arange(SAMPLES) / 360
    slow, fast = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 80 * time)  # 80 Hz would fold to 10 Hz
    cut = windows(np.stack([slow, fast]))
    assert cut.shape == (180, 2, 900) and cut.dtype == np.int8
    expected = 50 * np.sin(2 * np.pi * 5 * np.arange(162_000) / 90).reshape(180, 900)
    assert np.abs(cut[1:, 0] - expected[1:]).max() <= 1.0  # no delay, no damping
    assert np.abs(cut[1:, 1]).max() <= 1


def test_what_is_beyond_the_range_is_clipped_on_both_sides():
    millivolt = np.zeros((1, SAMPLES))
    millivolt[0, 5000:5100], millivolt[0, 5500:5600] = 9.0, -9.0
    cut = windows(millivolt)
    assert cut[1].max() == 127 and cut[1].min() == -127
    assert not cut[3:].any()


def test_a_beat_counts_in_the_window_that_holds_it():
    label = window_labels(note((0, "V"), (3599, "L"), (3600, "R"), (647_999, "F"), (648_000, "V"), (649_000, "/")))
    assert on(label, "ventricular_premature") == [0]
    assert on(label, "left_bundle_branch_block") == [0]
    assert on(label, "right_bundle_branch_block") == [1]
    assert on(label, "fusion_beat") == [179]
    assert label.sum() == 4 and label.shape == (180, 11) and label.dtype == np.uint8


@pytest.mark.parametrize(
    ("codes", "name"),
    [
        ("Nej", "normal_beat"),
        ("AaJS", "atrial_premature"),
        ("VE", "ventricular_premature"),
        ("/f", "paced_beat"),
        ("F", "fusion_beat"),
        ("L", "left_bundle_branch_block"),
        ("R", "right_bundle_branch_block"),
    ],
)
def test_codes_of_a_beat(codes, name):
    for code in codes:
        label = window_labels(note((10, code)))
        assert on(label, name) == [0] and label.sum() == 1


def test_marks_that_are_no_labelled_beat_are_left_out():
    assert window_labels(note(*[(10, code) for code in 'Q!x|~"[]'])).sum() == 0
    assert window_labels(note()).sum() == 0


def test_a_rhythm_lasts_until_the_next_one():
    label = window_labels(note((10, "(N"), (3599, "(AFIB"), (7200, "(B"), (7201, "(N"), (640_000, "(VT")))
    assert on(label, "atrial_fibrillation_or_flutter") == [0, 1]  # ends before sample 7200, the first of window 2
    assert on(label, "bigeminy") == [2]  # one sample is enough
    assert on(label, "ventricular_tachycardia") == [177, 178, 179]  # until the end
    assert on(label, "trigeminy") == []


def test_codes_of_a_rhythm():
    for name, codes in RHYTHMS.items():
        for code in codes:
            assert on(window_labels(note((0, code), (3600, "(N"))), name) == [0]
    for code in ("(N", "(SVTA", "(P", "(BII", "(PREX", "(VFL"):
        assert window_labels(note((0, code))).sum() == 0


def test_a_rhythm_after_the_last_window_is_no_label():
    assert window_labels(note((649_000, "(VT"))).sum() == 0


def test_the_small_records_whole(records):
    arrays = prepare(records, ["101.hea", "100.hea", "100.dat", "101.dat", "100.atr", "101.atr"])
    assert arrays["record"].tolist() == [100] * 180 + [101] * 180
    assert arrays["split"].tolist() == ["test"] * 180 + ["train"] * 180
    assert arrays["start_s"].tolist() == list(range(0, 1800, 10)) * 2
    assert arrays["lead_names"][0].tolist() == ["MLII", "V5"]  # swapped: MLII comes first
    assert arrays["lead_names"][-1].tolist() == ["MLII", "V1"]
    assert arrays["signal"].shape == (360, 2, 900)
    assert np.abs(arrays["signal"][5, 0]).max() == 50 and not arrays["signal"][1:179, 1].any()
    for start in (0, 180):
        label = arrays["label"][start : start + 180]
        assert on(label, "normal_beat") == [0] and on(label, "ventricular_premature") == [1]
        assert on(label, "atrial_premature") == [2] and on(label, "paced_beat") == [3]
        assert on(label, "atrial_fibrillation_or_flutter") == [2, 3]
    assert arrays["hz"] == 90 and arrays["mv_per_unit"] == np.float32(0.02)


def test_a_record_of_another_kind_is_refused(tmp_path):
    import wfdb

    wfdb.wrsamp(
        "900",
        fs=250,
        units=["mV", "mV"],
        sig_name=["a", "b"],
        d_signal=np.zeros((1000, 2), int),
        fmt=["212", "212"],
        adc_gain=[200, 200],
        baseline=[0, 0],
        write_dir=str(tmp_path),
    )
    with pytest.raises(ValueError, match="2 leads at 360 Hz .* got 2 at 250 Hz and 1000"):
        read_record(tmp_path / "900")
