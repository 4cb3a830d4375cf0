"""Built-in data: stated laws, effects visible in the signal, exact corruption, disjoint splits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from tutorial_lib.lab import datasets, ecg
from tutorial_lib.lab.datasets import (
    corrupt_labels,
    ecg_cooccurrence,
    ecg_latent,
    ecg_signals,
    load_blood_cells_task,
    load_digits_split,
    load_ecg_task,
    load_mitbih_task,
    long_tailed_counts,
    long_tailed_digits,
    split_rows,
)
from tutorial_lib.lab.real import prepared_path

AF, PVC, BBB, ST, TINV, LONG_PR, TACHY, LOW = range(8)


# --- splits ---------------------------------------------------------------------------------------------------------


@given(
    count=st.integers(5, 60),
    val=st.sampled_from([0.0, 0.1, 0.25]),
    test=st.sampled_from([0.0, 0.2, 0.4]),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_split_rows_is_a_partition_of_stated_sizes(count, val, test, seed):
    rows = split_rows(count, val=val, test=test, seed=seed)
    assert torch.equal(torch.cat(rows).sort().values, torch.arange(count))
    assert [len(rows.val), len(rows.test)] == [max(1, round(count * s)) if s else 0 for s in (val, test)]
    assert all(torch.equal(a, b) for a, b in zip(rows, split_rows(count, val=val, test=test, seed=seed)))


def test_split_rows_keeps_class_shares():
    classes = torch.tensor([0] * 100 + [1] * 20)
    rows = split_rows(120, val=0.2, test=0.3, seed=1, stratify=classes)
    counts = [torch.bincount(classes[part]).tolist() for part in rows]
    assert counts == [[50, 10], [20, 4], [30, 6]]


def test_split_rows_never_divides_a_patient():
    patient = np.repeat(["a", "b", "c", "d", "e"], [3, 9, 1, 4, 7])
    for seed in range(10):
        parts = [set(patient[part]) for part in split_rows(24, val=0.2, test=0.4, seed=seed, groups=patient)]
        assert [len(part) for part in parts] == [2, 1, 2]
        assert set.union(*parts) == set("abcde")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(val=0.5, test=0.5), "val and test"),
        (dict(val=-0.1, test=0.5), "val and test"),
        (dict(val=0.1, test=0.1, stratify=[0] * 9), "stratify must have one entry a row"),
        (dict(val=0.1, test=0.1, stratify=[0] * 10, groups=[0] * 10), "not both"),
        (dict(val=0.1, test=0.1, groups=[0] * 5 + [1] * 5), "too few groups"),
        (dict(val=0.1, test=0.1, stratify=[0] * 8 + [1] * 2), "too few rows of class 1"),
    ],
)
def test_split_rows_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_rows(10, seed=0, **arguments)


def test_digits_are_scikit_learns_and_every_class_is_divided():
    data = load_digits_split(seed=3)
    pixels, digits = load_digits(return_X_y=True)
    inputs, targets = (torch.cat([getattr(part, name) for part in data]) for name in ("inputs", "targets"))
    assert inputs.dtype == torch.float32 and inputs.min() == 0 and inputs.max() == 1
    # The same multiset of (image, label) rows, whatever the order.
    ours = np.column_stack([inputs.flatten(1).numpy() * 16, targets.numpy()])
    theirs = np.column_stack([pixels, digits])
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    for part, share in zip(data, (0.5, 0.2, 0.3)):
        assert np.allclose(np.bincount(part.targets) / np.bincount(digits), share, atol=0.01)
    again, other = load_digits_split(seed=3), load_digits_split(seed=4)
    assert torch.equal(data.train.inputs, again.train.inputs)
    assert not torch.equal(data.train.inputs, other.train.inputs)


# --- ECG-like signals: labels ---------------------------------------------------------------------------------------


def test_stated_law_is_a_correlation_matrix():
    prevalence, latent = ecg_latent()
    assert np.array_equal(latent, latent.T) and np.array_equal(np.diag(latent), np.ones(len(prevalence)))
    assert np.linalg.eigvalsh(latent).min() > 0.05


def test_exact_cooccurrence_where_it_has_a_closed_form():
    joint = ecg_cooccurrence()
    prevalence, latent = ecg_latent()
    # Independent latents: the product. Equal prevalences of one half would give the arcsine law; here the diagonal.
    assert joint[AF, BBB] == pytest.approx(0.2 * 0.2, abs=1e-6)
    assert joint[AF, LONG_PR] == 0
    assert np.allclose(np.delete(np.diag(joint), LONG_PR), np.delete(prevalence, LONG_PR), atol=1e-6)
    # AF and first-degree block are latently independent, so the exclusion leaves 0.2 * 0.8 of them.
    assert joint[LONG_PR, LONG_PR] == pytest.approx(0.2 * 0.8, abs=1e-6)
    # Sheppard's integral for the bivariate normal, by quadrature: an independent route to one correlated pair.
    rho, cut = latent[BBB, TINV], [-0.8416212335729142, -0.6744897501960817]
    r = np.linspace(0, rho, 20001)
    density = np.exp(-(cut[0] ** 2 - 2 * r * cut[0] * cut[1] + cut[1] ** 2) / (2 * (1 - r**2))) / (
        2 * np.pi * np.sqrt(1 - r**2)
    )
    assert joint[BBB, TINV] == pytest.approx(0.2 * 0.25 + np.trapezoid(density, r), abs=1e-5)


def test_labels_follow_the_stated_law_within_sampling_error():
    count = 40_000
    labels = ecg._ecg_labels(count, np.random.default_rng(7))
    joint = ecg_cooccurrence()
    error = labels.T @ labels / count - joint
    assert np.abs(error).max() < 4.5 * np.sqrt(joint * (1 - joint) / count).max()
    z = error / np.sqrt(np.maximum(joint * (1 - joint), 1e-12) / count)
    assert np.abs(z).max() < 4.5  # 36 entries; a wrong sign of any correlation gives |z| > 20
    assert not (labels[:, AF] * labels[:, LONG_PR]).any()


# --- ECG-like signals: waves ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean():
    return ecg_signals(1000, seed=11, noise=0.0)


def _at_beats(data, offsets):
    """Mean over a signal's beats of the signal at given seconds after the R peak: (N, len(offsets))."""
    signals, beats = data.signals[:, 0].numpy(), data.beats.numpy()
    time = np.arange(signals.shape[1]) / data.hz
    out = np.full((len(signals), len(offsets)), np.nan)
    for i, (signal, peaks) in enumerate(zip(signals, beats)):
        peaks = peaks[np.isfinite(peaks)]
        peaks = peaks[(peaks > 0.35) & (peaks < time[-1] - 0.35)]
        out[i] = np.nanmedian(np.interp(peaks[:, None] + offsets, time, signal), axis=0)
    return out


def _auc(label, data, score):
    return roc_auc_score(data.labels[:, label], score)


def test_each_label_can_be_read_off_the_clean_signal(clean):
    labels = clean.labels.bool()
    beats = clean.beats.numpy()
    intervals = np.sort(np.diff(beats, axis=1), axis=1)  # NaN last
    gain = np.ptp(clean.signals[:, 0].numpy(), axis=1)
    shape = _at_beats(clean, np.arange(-0.3, 0.35, 0.005)) / gain[:, None]

    def at(*seconds):
        return shape[:, np.rint((np.array(seconds) + 0.3) / 0.005).astype(int)].mean(axis=1)

    period = np.nanmedian(intervals, axis=1)
    assert _auc(TACHY, clean, -period) > 0.99
    assert _auc(LOW, clean, -gain) > 0.95  # a premature beat's deeper S adds to the range
    assert roc_auc_score(*_only(~labels[:, PVC], labels[:, LOW], -gain)) > 0.99
    scatter = np.nanstd(intervals, axis=1) / period
    assert roc_auc_score(*_only(~labels[:, PVC], labels[:, AF], scatter)) > 0.97
    # Width of QRS: the area between -0.06 and 0.12 s over the height at the peak, R' included.
    assert roc_auc_score(*_only(~labels[:, ST], labels[:, BBB], at(*np.arange(0.03, 0.11, 0.01)))) > 0.99
    slow = ~labels[:, TACHY]  # where one beat's T does not reach the next beat's P
    late = at(0.28)
    assert roc_auc_score(*_only(slow & ~labels[:, BBB] & ~labels[:, AF], labels[:, TINV], -late)) > 0.97
    quiet = slow & ~labels[:, AF] & ~labels[:, PVC]
    assert roc_auc_score(*_only(quiet, labels[:, LONG_PR], at(-0.26) - at(-0.16))) > 0.99
    plain_qrs = quiet & ~labels[:, BBB] & ~labels[:, TINV]
    assert roc_auc_score(*_only(plain_qrs, labels[:, ST], at(0.12))) > 0.99
    # A premature beat shortens one interval and lengthens the next.
    regular = ~labels[:, AF]
    longest = np.nanmax(intervals, axis=1) / np.nanmin(intervals, axis=1)
    inside = regular & torch.from_numpy(np.isfinite(beats).sum(axis=1) >= 3)
    assert roc_auc_score(*_only(inside, labels[:, PVC], longest)) > 0.97


def _only(rows, label, score):
    rows = rows.numpy()
    return label.numpy()[rows], np.asarray(score)[rows]


def test_reported_beats_are_the_r_peaks(clean):
    normal = torch.nonzero(clean.labels.sum(1) == 0)[:50, 0]
    for i in normal:
        peaks, _ = find_peaks(clean.signals[i, 0].numpy(), height=0.5)
        beats = clean.beats[i].numpy()
        beats = beats[(beats > 1 / clean.hz) & (beats < 4 - 2 / clean.hz)]
        found = peaks / clean.hz
        assert np.abs(beats[:, None] - found).min(axis=1).max() < 1 / clean.hz


def test_normal_beat_has_the_stated_wave_centres():
    data = ecg_signals(400, seed=2, noise=0.0, length=1024, hz=256)
    normal = data.labels.sum(1) == 0
    part = data._replace(signals=data.signals[normal], beats=data.beats[normal])
    offsets = np.arange(-0.25, 0.05, 0.004)
    shape = _at_beats(part, offsets).mean(axis=0)
    assert abs(offsets[shape.argmax()]) < 0.005  # R
    before = offsets < -0.08
    assert offsets[before][shape[before].argmax()] == pytest.approx(-0.16, abs=0.01)  # P
    assert shape[before].max() == pytest.approx(0.15, rel=0.1)


def test_noise_leaves_labels_and_beats_and_has_the_stated_size():
    clean, noisy = (ecg_signals(300, seed=5, noise=level) for level in (0.0, 1.0))
    assert torch.equal(clean.labels, noisy.labels)
    assert torch.equal(clean.beats.nan_to_num(-1), noisy.beats.nan_to_num(-1))
    # Variances add: a sine of amplitude 0.15 has 0.15**2 / 2.
    assert float((noisy.signals - clean.signals).var()) == pytest.approx(0.05**2 + 0.15**2 / 2, rel=0.1)


def test_ecg_signals_shapes_seeds_and_bad_input():
    data = ecg_signals(3, seed=0, length=100, hz=50)
    assert data.signals.shape == (3, 1, 100) and data.signals.dtype == torch.float32
    assert data.labels.shape == (3, len(data.names)) and data.labels.dtype == torch.float32
    assert torch.equal(data.signals, ecg_signals(3, seed=0, length=100, hz=50).signals)
    assert not torch.equal(data.signals, ecg_signals(3, seed=1, length=100, hz=50).signals)
    assert ecg_signals(0, seed=0).signals.shape == (0, 1, 256)
    for arguments in (dict(count=-1), dict(length=0), dict(hz=0), dict(noise=-1.0), dict(noise=float("nan"))):
        with pytest.raises(ValueError, match="must be"):
            ecg_signals(**({"count": 2, "seed": 0} | arguments))


# --- corrupted labels -----------------------------------------------------------------------------------------------


@given(
    rate=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    protocol=st.sampled_from(datasets.PROTOCOLS),
    rows=st.integers(0, 30),
)
@settings(max_examples=40, deadline=None)
def test_corrupt_labels_contract(rate, protocol, rows):
    labels = torch.randint(0, 2, (rows, 4), generator=torch.Generator().manual_seed(rows)).float()
    before = labels.clone()
    make = lambda: corrupt_labels(  # noqa: E731
        labels, rate=rate, protocol=protocol, generator=torch.Generator().manual_seed(1)
    )
    noisy, changed = make()
    assert torch.equal(labels, before)
    assert torch.equal(changed, noisy != labels) and noisy.dtype == labels.dtype
    assert torch.equal(noisy, make().labels)
    assert set(noisy.unique().tolist()) <= {0.0, 1.0}
    if rate == 0:
        assert not changed.any()
    if protocol == "missing":
        assert (noisy <= labels).all() and (rate < 1 or not noisy.any())
    if protocol == "flip" and rate == 1:
        assert changed.all()
    if protocol == "shuffle":
        assert torch.equal(noisy.T @ noisy, labels.T @ labels)  # prevalences and co-occurrences, exactly
        assert changed.any(dim=1).sum() <= round(rate * rows)


def test_corruption_rates():
    labels = (torch.rand(20_000, 8, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    generator = torch.Generator().manual_seed(1)
    flip = corrupt_labels(labels, rate=0.3, protocol="flip", generator=generator)
    assert float(flip.changed.float().mean()) == pytest.approx(0.3, abs=0.005)
    assert float(flip.changed[labels == 1].float().mean()) == pytest.approx(0.3, abs=0.012)
    missing = corrupt_labels(labels, rate=0.3, protocol="missing", generator=generator)
    assert float(missing.changed[labels == 1].float().mean()) == pytest.approx(0.3, abs=0.012)
    assert not missing.changed[labels == 0].any()
    # Rows that differ from one another: every chosen row must get another one's labels.
    own = torch.eye(50)
    assert int(corrupt_labels(own, rate=0.4, protocol="shuffle").changed.any(dim=1).sum()) == 20
    # The docstring's number: at prevalence 0.2 and rate 0.4, 27 % of the positives are true.
    flip = corrupt_labels(labels, rate=0.4, protocol="flip", generator=generator)
    assert float(labels[flip.labels == 1].mean()) == pytest.approx(0.2 * 0.6 / (0.2 * 0.6 + 0.8 * 0.4), abs=0.005)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
def test_corrupt_labels_keeps_dtype(dtype):
    labels = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    noisy = corrupt_labels(labels, rate=1.0, protocol="flip").labels
    assert noisy.dtype == dtype and torch.equal(noisy, torch.tensor([[1, 0], [0, 1]]).to(dtype))


@pytest.mark.parametrize(
    "labels, rate, protocol, message",
    [
        (torch.zeros(2, 2), 0.1, "swap", "protocol must be 'flip', 'missing' or 'shuffle', got 'swap'"),
        (torch.zeros(2, 2), 1.1, "flip", r"rate must be in \[0, 1\], got 1.1"),
        (torch.zeros(2, 2), float("nan"), "flip", r"rate must be in \[0, 1\]"),
        (
            torch.zeros(4),
            0.1,
            "flip",
            r"matrix of 0 and 1 \(one yes-or-no label a sample: labels\[:, None\]\), got float32",
        ),
        (
            torch.arange(4),
            0.1,
            "shuffle",
            r"matrix of 0 and 1 \(class numbers: .*one_hot\(labels\)\), got int64 \(4,\)",
        ),
        (torch.zeros(2, 3, 4), 0.1, "flip", r"matrix of 0 and 1, got float32 \(2, 3, 4\)"),
        (torch.full((2, 2), 0.5), 0.1, "flip", "matrix of 0 and 1, got 0.5"),
        (torch.eye(2).to_sparse(), 0.1, "flip", "labels must be a dense tensor, got sparse_coo"),
        ([[0, 1]], 0.1, "flip", "labels must be a tensor, got"),
    ],
)
def test_corrupt_labels_bad_input(labels, rate, protocol, message):
    with pytest.raises(ValueError, match=message):
        corrupt_labels(labels, rate=rate, protocol=protocol)


def test_what_the_error_advises_is_accepted():
    labels = torch.tensor([0, 1, 1, 0])
    assert corrupt_labels(labels[:, None], rate=1.0, protocol="flip").labels[:, 0].tolist() == [1, 0, 0, 1]
    classes = torch.nn.functional.one_hot(torch.tensor([0, 2, 1, 2, 0]))
    noisy = corrupt_labels(classes, rate=np.float32(1.0), protocol="shuffle").labels
    assert noisy.sum(1).tolist() == [1] * 5 and sorted(noisy.argmax(1).tolist()) == [0, 0, 1, 2, 2]


# --- the ECG tasks of chapter 02 ------------------------------------------------------------------------------------


def test_ecg_task_cuts_one_made_set():
    task = load_ecg_task(seed=4, train=6, val=3, test=2)
    made = ecg_signals(11, seed=4)
    assert torch.equal(torch.cat([part.inputs for part in task.data]), made.signals)
    assert torch.equal(torch.cat([part.targets for part in task.data]), made.labels)
    assert [len(part.inputs) for part in task.data] == [6, 3, 2]
    assert task.names == made.names and task.hz == made.hz


def fake_mitbih(folder):
    """Twelve train records (201 and 202 are one person) and three test records, ten windows each.

    A window's first sample is its record, the second its number. Label a is on in half of all windows, b in two train
    records only, c in one window of every record.
    """
    train = [101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 201, 202]
    record = np.repeat([*train, 100, 103, 105], 10).astype(np.int16)
    number = np.tile(np.arange(10), 15)
    signal = np.zeros((150, 2, 30), dtype=np.int8)
    signal[:, :, 0], signal[:, :, 1] = (record - 90)[:, None], number[:, None]
    label = np.stack([number % 2, np.isin(record, [101, 106, 100, 103, 105]), number == 3], axis=1).astype(np.uint8)
    path = folder / "mitbih" / "mitbih_windows_10s_90hz.npz"
    path.parent.mkdir()
    np.savez(
        path,
        signal=signal,
        label=label,
        label_names=np.array(["a", "b_b", "c"]),
        record=record,
        split=np.where(np.isin(record, train), "train", "test"),
        mv_per_unit=np.float32(0.5),
        hz=np.int16(90),
    )


def test_mitbih_task_divides_by_patient(tmp_path):
    fake_mitbih(tmp_path)
    seen = set()
    for seed in range(8):
        data = load_mitbih_task(seed=seed, per_record=4, patients=3, folder=tmp_path).data
        people = [set((part.inputs[:, 0, 0] * 2 + 90).int().tolist()) for part in data]
        people = [{201 if record == 202 else record for record in part} for part in people]
        assert people[2] == {100, 103, 105}
        assert not people[0] & people[1] and len(people[1]) == 2 and len(people[0] | people[1]) == 11
        seen |= people[1]
        assert len(data.test.inputs) == 12
    assert len(seen) > 4  # the seed decides who is held out


def test_mitbih_task_labels_windows_and_units(tmp_path):
    fake_mitbih(tmp_path)
    task = load_mitbih_task(seed=0, per_record=4, patients=3, folder=tmp_path)
    assert task.names == ("a", "c") and task.hz == 90  # two train patients are too few for b
    assert task.data.test.inputs.dtype == task.data.test.targets.dtype == torch.float32
    assert (task.data.test.inputs[:, 0, 1] * 2).tolist() == [0, 3, 6, 9] * 3
    for part in task.data:
        number = (part.inputs[:, 0, 1] * 2).int()
        assert torch.equal(part.targets, torch.stack([number % 2, number == 3], dim=1).float())
    again = load_mitbih_task(seed=0, per_record=4, patients=3, folder=tmp_path)
    assert torch.equal(task.data.train.inputs, again.data.train.inputs)
    assert load_mitbih_task(seed=0, patients=2, folder=tmp_path).names == ("a", "b b", "c")
    assert load_mitbih_task(seed=0, patients=2, share=0.12, folder=tmp_path).names == ("a", "b b")


def test_mitbih_task_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_scripts mitbih"):
        load_mitbih_task(seed=0, folder=tmp_path)
    with pytest.raises(ValueError, match="per_record"):
        load_mitbih_task(seed=0, per_record=0, folder=tmp_path)


def test_mitbih_task_on_the_real_windows(shared_data, tmp_path):
    source = shared_data / "ecg" / "mitbih_windows_10s_90hz.npz"
    (tmp_path / "mitbih").mkdir()
    (tmp_path / "mitbih" / source.name).symlink_to(source)
    task = load_mitbih_task(seed=0, folder=tmp_path)
    assert "ventricular premature" in task.names and "paced beat" not in task.names
    assert [len(part.inputs) for part in task.data][2] == 23 * 40
    assert task.data.train.inputs.shape[1:] == (1, 900)
    assert 0.1 < float(task.data.train.inputs.std()) < 2  # millivolt


# --- the long-tailed tasks of chapter 03 ----------------------------------------------------------------------------


def test_long_tailed_counts_by_hand_and_bad_input():
    # CIFAR-10 at 100:1 (5,000 images in the head): 5000 · 100**(-k/9).
    assert long_tailed_counts(10, head=5000, ratio=100).tolist() == [
        5000, 2997, 1797, 1077, 646, 387, 232, 139, 83, 50,
    ]  # fmt: skip
    assert long_tailed_counts(3, head=7, ratio=1).tolist() == [7, 7, 7]
    for arguments in (dict(classes=1), dict(ratio=0.5), dict(ratio=float("nan")), dict(head=40)):
        with pytest.raises(ValueError, match="must be|too small"):
            long_tailed_counts(**({"classes": 4, "head": 100, "ratio": 100} | arguments))


def test_long_tailed_digits_sizes_and_disjoint_sets():
    made = long_tailed_digits(seed=2, head=60, ratio=20, val=5, test=7)
    train, val, test = (torch.bincount(part.targets, minlength=10) for part in made.data)
    assert torch.equal(train, made.counts)
    assert made.counts[made.order].tolist() == long_tailed_counts(10, head=60, ratio=20).tolist()
    assert val.tolist() == [5] * 10 and test.tolist() == [7] * 10
    pixels, digits = load_digits(return_X_y=True)
    where = {row.tobytes(): k for row, k in zip(pixels.astype(np.float32), digits)}
    images = [{(image * 16).numpy().tobytes() for image in part.inputs} for part in made.data]
    assert not (images[0] & images[1] or images[0] & images[2] or images[1] & images[2])
    for part in made.data:
        assert [where[(image * 16).numpy().tobytes()] for image in part.inputs] == part.targets.tolist()


def test_long_tailed_digits_seed_draws_order_and_images():
    made, again = long_tailed_digits(seed=5), long_tailed_digits(seed=5)
    assert all(torch.equal(a, b) for x, y in zip(made.data, again.data) for a, b in zip(x, y))
    assert len({tuple(long_tailed_digits(seed=s).order.tolist()) for s in range(6)}) == 6
    with pytest.raises(ValueError, match="too few samples of digit"):
        long_tailed_digits(seed=0, head=150)


def fake_bccd(folder):
    """Red cells 30/8/6, white 20/5/4, platelets 20/9/7 in train/val/test; a cell's red value is its row."""
    sizes = {"train": (30, 20, 20), "val": (8, 5, 9), "test": (6, 4, 7)}
    label = np.concatenate([np.repeat([0, 1, 2], counts) for counts in sizes.values()]).astype(np.uint8)
    split = np.repeat(list(sizes), [sum(counts) for counts in sizes.values()])
    image = np.zeros((len(label), 28, 28, 3), np.uint8)
    image[..., 0] = np.arange(len(label))[:, None, None]
    path = prepared_path("bccd", folder)
    path.parent.mkdir(parents=True)
    np.savez(path, image=image, label=label, split=split, class_names=np.array(["RBC", "WBC", "Platelets"]))
    return label, split


def test_blood_cells_task_keeps_the_official_parts(tmp_path):
    label, split = fake_bccd(tmp_path)
    orders = set()
    for seed in range(6):
        made = load_blood_cells_task(seed=seed, head=20, ratio=10, folder=tmp_path)
        orders.add(tuple(made.order.tolist()))
        assert made.names == ("RBC", "WBC", "Platelets")
        assert made.counts[made.order].tolist() == [20, 6, 2]
        for part, name in zip(made.data, ("train", "val", "test")):
            row = (part.inputs[:, 0, 0, 0] * 255).round().long().numpy()
            assert len(set(row)) == len(row) and (split[row] == name).all()
            assert part.targets.tolist() == label[row].tolist()
        assert torch.bincount(made.data.val.targets).tolist() == [5] * 3
        assert torch.bincount(made.data.test.targets).tolist() == [4] * 3
        assert made.data.train.inputs.shape[1:] == (3, 28, 28) and not made.data.train.inputs[:, 1:].any()
    assert len(orders) > 2
    with pytest.raises(ValueError, match="too few samples of"):
        load_blood_cells_task(seed=0, head=31, ratio=10, folder=tmp_path)


def test_blood_cells_task_needs_the_prepared_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_scripts bccd"):
        load_blood_cells_task(seed=0, folder=tmp_path)
