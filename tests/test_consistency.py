"""Dual-task consistency and mean teacher: known answers, the published code's numbers, gradients, properties."""

import copy
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from tutorial_lib.consistency import (
    MeanTeacher,
    TwoStreamBatchSampler,
    clipped_noise,
    dice_loss,
    dtc_loss,
    dtc_weights,
    ema_update,
    gaussian_rampup,
    mean_teacher_loss,
    task_consistency,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "dtc_published_code.json").read_text())


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(rows=4, labelled=2, shape=(6, 5), channels=1, dtype=torch.float32, seed=0):
    generator = seeded(seed)
    full = (rows, channels, *shape)
    logits = torch.randn(full, generator=generator, dtype=torch.float64).to(dtype)
    sdf = torch.tanh(torch.randn(full, generator=generator, dtype=torch.float64)).to(dtype)
    target = torch.rand(full, generator=generator)[:labelled] > 0.5
    target_sdf = torch.tanh(torch.randn(full, generator=generator, dtype=torch.float64)).to(dtype)[:labelled]
    return logits, sdf, target, target_sdf


# --- the DTC loss ---------------------------------------------------------------------------------------------------


def test_dtc_loss_against_numpy():
    logits, sdf, target, target_sdf = batch(dtype=torch.float64)
    loss = dtc_loss(logits, sdf, target, target_sdf, lam=0.7, beta=0.2, k=20.0)
    f1, f2, y, t = (array.numpy().astype(float) for array in (logits, sdf, target, target_sdf))
    p, q = 1 / (1 + np.exp(-f1)), 1 / (1 + np.exp(20 * f2))
    dice = 1 - (2 * (p[:2] * y).sum() + 1e-5) / ((p[:2] ** 2).sum() + (y**2).sum() + 1e-5)
    regression, consistency = ((f2[:2] - t) ** 2).mean(), ((p - q) ** 2).mean()
    np.testing.assert_allclose(
        [float(term) for term in loss],
        [dice + 0.2 * regression + 0.7 * consistency, dice, regression, consistency],
        rtol=1e-12,
    )


@pytest.mark.parametrize("case", VECTORS["losses"], ids=lambda case: case["name"])
def test_dtc_loss_of_the_published_code(case):
    """The step of HiLab-git/DTC code/train_la_dtc.py, run once by tests/vectors/make_dtc_vectors.py."""
    arrays = {name: torch.tensor(case[name], dtype=torch.float64) for name in ("logits", "sdf", "target", "target_sdf")}
    loss = dtc_loss(**arrays, lam=case["lam"], beta=case["beta"])
    for name in ("total", "dice", "sdf", "consistency"):
        assert float(getattr(loss, name)) == pytest.approx(case["loss"][name], abs=1e-9), name


def test_agreeing_and_right_is_zero_and_opposite_is_one():
    mask = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    logits, sdf = 40 * (mask - 0.5), -0.8 * (mask - 0.5)
    right = dtc_loss(logits, sdf, mask, sdf, lam=1.0)
    assert right.total.item() == pytest.approx(0, abs=1e-6)
    wrong = dtc_loss(-logits, sdf, mask, sdf, lam=1.0)
    assert wrong.dice.item() == pytest.approx(1, abs=1e-5)
    assert wrong.consistency.item() == pytest.approx(1, abs=1e-5)
    assert wrong.sdf.item() == 0


def test_labels_touch_the_first_rows_only():
    logits, sdf, target, target_sdf = batch()
    before = dtc_loss(logits, sdf, target, target_sdf, lam=0.5)
    moved = logits.clone()
    moved[2:] += 1
    after = dtc_loss(moved, sdf, target, target_sdf, lam=0.5)
    assert after.dice == before.dice and after.sdf == before.sdf
    assert after.consistency != before.consistency


def test_the_unlabelled_rows_get_gradient_from_the_consistency_alone():
    logits, sdf, target, target_sdf = batch(dtype=torch.float64)
    for lam, silent in ((0.0, True), (1.0, False)):
        f1, f2 = logits.clone().requires_grad_(), sdf.clone().requires_grad_()
        dtc_loss(f1, f2, target, target_sdf, lam=lam, k=5.0).total.backward()
        for gradient in (f1.grad, f2.grad):
            assert bool((gradient[2:] == 0).all()) is silent
            assert not (gradient[:2] == 0).all()


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 2, 2)])
def test_dtc_loss_gradcheck(shape):
    logits, sdf, target, target_sdf = batch(3, 1, shape, channels=2, dtype=torch.float64)
    inputs = (logits.requires_grad_(), (0.1 * sdf).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: dtc_loss(a, b, target, target_sdf, lam=0.5, k=10.0).total, inputs)


def test_k_1500_teaches_only_a_hairs_breadth():
    """The gradient through the transform is 0 in float32 for all but the pixels within 0.07 of the boundary."""
    sdf = torch.linspace(-1, 1, 2001).view(1, 1, -1).requires_grad_()
    task_consistency(torch.full((1, 1, 2001), 0.3), sdf).backward()
    far = sdf.detach().abs() > 0.07
    assert (sdf.grad[far] == 0).all() and (sdf.grad[sdf.detach().abs() < 0.003] != 0).any()
    gentle = sdf.detach().clone().requires_grad_()
    task_consistency(torch.full((1, 1, 2001), 0.3), gentle, k=10.0).backward()
    assert (gentle.grad != 0).all()


def test_empty_crop_of_the_official_sdf_pulls_towards_one_half():
    """Official SDF of an empty mask is 0, so its transform is 0.5: a sure and right 'nothing here' costs 0.25."""
    sure = torch.full((1, 1, 4, 4), -30.0)
    assert task_consistency(sure, torch.zeros(1, 1, 4, 4)).item() == pytest.approx(0.25)
    assert task_consistency(sure, torch.ones(1, 1, 4, 4)).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype(dtype):
    logits, sdf, target, target_sdf = batch(dtype=dtype)
    loss = dtc_loss(logits, sdf, target, target_sdf, lam=1.0)
    wide = torch.promote_types(dtype, torch.float32)
    assert all(term.dtype == wide and term.isfinite() for term in loss)
    exact = dtc_loss(logits.double(), sdf.double(), target, target_sdf.double(), lam=1.0)
    assert loss.total.item() == pytest.approx(exact.total.item(), rel=1e-5)


def test_half_precision_sums_do_not_overflow():
    many = torch.full((1, 1, 300, 300), 0.9, dtype=torch.float16)
    assert dice_loss(many, torch.ones_like(many)).item() == pytest.approx(1 - 2 * 0.9 / (0.81 + 1), rel=5e-3)


def test_no_labels_all_labels_and_no_rows():
    logits, sdf, target, target_sdf = batch()
    none = dtc_loss(logits, sdf, target[:0], target_sdf[:0], lam=0.5)
    assert none.dice == 0 and none.sdf == 0
    assert none.total == 0.5 * task_consistency(logits, sdf)
    everything = dtc_loss(logits[:2], sdf[:2], target, target_sdf, lam=0.0)
    assert everything.total == everything.dice + 0.3 * everything.sdf
    empty = dtc_loss(logits[:0], sdf[:0], target[:0], target_sdf[:0], lam=1.0)
    assert empty.total == 0


def test_dtc_loss_bad_input():
    logits, sdf, target, target_sdf = batch()
    with pytest.raises(ValueError, match="sdf must have the shape of logits"):
        dtc_loss(logits, sdf[:, :, :3], target, target_sdf, lam=1.0)
    with pytest.raises(ValueError, match=r"target must be \(L, 1, 6, 5\) with L at most 4.*got bool \(2, 6, 5\)"):
        dtc_loss(logits, sdf, target[:, 0], target_sdf, lam=1.0)
    with pytest.raises(ValueError, match="same number of rows"):
        dtc_loss(logits, sdf, target, target_sdf[:1], lam=1.0)
    with pytest.raises(ValueError, match="at most 1"):
        dtc_loss(logits[:1], sdf[:1], target, target_sdf, lam=1.0)
    with pytest.raises(ValueError, match="logits must be floating-point, got int64"):
        dtc_loss(logits.long(), sdf, target, target_sdf, lam=1.0)
    for name, value in (("lam", -1.0), ("lam", math.nan), ("beta", math.inf)):
        with pytest.raises(ValueError, match=f"{name} must be finite and at least 0"):
            dtc_loss(logits, sdf, target, target_sdf, **{"lam": 1.0, name: value})
    with pytest.raises(ValueError, match="k, .*, must be finite and above 0"):
        dtc_loss(logits, sdf, target, target_sdf, lam=1.0, k=-1500)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 4), labelled=st.integers(0, 4), channels=st.integers(1, 2), seed=st.integers(0, 99))
def test_dtc_loss_properties(rows, labelled, channels, seed):
    labelled = min(rows, labelled)
    arguments = batch(rows, labelled, (4, 3), channels, torch.float64, seed)
    loss = dtc_loss(*arguments, lam=0.4, k=30.0)
    assert 0 <= loss.consistency <= 1 and 0 <= loss.dice <= 1 and loss.sdf >= 0
    flipped = dtc_loss(*(array.flip(-1, -2) for array in arguments), lam=0.4, k=30.0)
    torch.testing.assert_close(flipped.total, loss.total)
    # The consistency is symmetric in its tasks: the distance of the other's logits gives the same number.
    logits, sdf, *_ = arguments
    torch.testing.assert_close(task_consistency(-30 * sdf, -logits / 30, k=30.0), loss.consistency)


# --- Dice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("squared", [True, False])
def test_dice_loss_against_monai(squared):
    monai = pytest.importorskip("monai.losses")
    logits, _, target, _ = batch(3, 3, channels=2, dtype=torch.float64)
    # MONAI pools over the batch with batch=True, and then takes the mean over channels.
    theirs = monai.DiceLoss(batch=True, squared_pred=squared, smooth_nr=1e-5, smooth_dr=1e-5)
    ours = dice_loss(logits.sigmoid(), target, squared=squared)
    assert ours.item() == pytest.approx(theirs(logits.sigmoid(), target.double()).item(), abs=1e-7)


def test_dice_loss_known_answers():
    p, y = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[1, 0]]])
    assert dice_loss(p, y).item() == pytest.approx(1 - 1 / 1.5, abs=1e-4)
    assert dice_loss(p, y, squared=False).item() == pytest.approx(0.5, abs=1e-4)
    soft = torch.tensor([[[0.25, 0.75]]])
    assert dice_loss(soft, soft).item() == pytest.approx(0, abs=1e-6)  # its squares on both sides
    nothing = torch.zeros(1, 1, 3)
    assert dice_loss(nothing, nothing).item() == 0
    with pytest.raises(ValueError, match="smooth must be finite and above 0"):
        dice_loss(p, y, smooth=0)
    with pytest.raises(ValueError, match="target must have the shape of probability"):
        dice_loss(p, y[0])
    with pytest.raises(ValueError, match="probability must be floating-point"):
        dice_loss(y, y)


# --- ramp-up and weights --------------------------------------------------------------------------------------------


def test_rampup_known_answers():
    assert gaussian_rampup(0, 100) == pytest.approx(math.exp(-5))
    assert gaussian_rampup(50, 100) == pytest.approx(math.exp(-1.25))
    assert gaussian_rampup(100, 100) == gaussian_rampup(1e9, 100) == gaussian_rampup(7, 0) == 1
    assert gaussian_rampup(-3, 100) == gaussian_rampup(0, 100)


@pytest.mark.parametrize("step, expected", VECTORS["rampup"])
def test_code_weights_are_those_of_the_published_code(step, expected):
    assert dtc_weights(step, 6000, source="code").lam == pytest.approx(expected, abs=1e-12)
    assert dtc_weights(step, 6000, source="flag").lam == pytest.approx(0.1 * expected, abs=1e-12)


def test_paper_and_code_weights_differ():
    """Smooth and up to 1 in the paper; in the code 40 stairs of 150 steps, of which the last is 0.9969."""
    code = [dtc_weights(step, 6000, source="code").lam for step in range(6000)]
    assert len(set(code)) == 40 and set(Counter(code).values()) == {150}
    assert max(code) == pytest.approx(math.exp(-5 / 1600)) and max(code) < 1
    paper = [dtc_weights(step, 6000).lam for step in range(6001)]
    assert len(set(paper)) == 6001 and paper[-1] == 1
    assert all(ours >= theirs for ours, theirs in zip(paper, code))
    assert dtc_weights(5, 10)[::2] == (0.3, 1500.0)


@given(st.floats(-10, 200), st.floats(0, 20), st.integers(1, 50))
def test_rampup_grows(step, more, stairs):
    for options in ({}, {"stairs": stairs}):
        low, high = gaussian_rampup(step, 100, **options), gaussian_rampup(step + more, 100, **options)
        assert math.exp(-5) <= low <= high <= 1


def test_rampup_bad_input():
    for bad in ({"step": math.nan, "total": 1}, {"step": 1, "total": -1}, {"step": 1, "total": math.inf}):
        with pytest.raises(ValueError, match="must be finite"):
            gaussian_rampup(**bad)
    with pytest.raises(ValueError, match="stairs must be a whole number of at least 1"):
        gaussian_rampup(1, 2, stairs=0)
    with pytest.raises(ValueError, match="source must be 'paper', 'code' or 'flag', got 'Paper'"):
        dtc_weights(1, 2, source="Paper")


# --- the sampler ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(st.integers(1, 9), st.integers(1, 20)),
    shares=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    batches=st.none() | st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_sampler_properties(counts, shares, batches, seed):
    labelled, unlabelled = range(counts[0]), range(counts[0], sum(counts))
    options = dict(labelled_per_batch=shares[0], unlabelled_per_batch=shares[1], batches=batches)
    if shares == (0, 0):
        with pytest.raises(ValueError, match="must not both be 0"):
            TwoStreamBatchSampler(labelled, unlabelled, **options)
        return
    sampler = TwoStreamBatchSampler(labelled, unlabelled, **options, generator=seeded(seed))
    rows = list(sampler)
    assert len(rows) == len(sampler)
    assert all(len(row) == sum(shares) for row in rows)
    for stream, part in ((labelled, slice(None, shares[0])), (unlabelled, slice(shares[0], None))):
        drawn = Counter(index for row in rows for index in row[part])
        assert set(drawn) <= set(stream)
        if shares[0 if part.stop else 1] if part.stop is not None else shares[1]:
            times = [drawn[index] for index in stream]
            assert max(times) - min(times) <= 1
    again = list(TwoStreamBatchSampler(labelled, unlabelled, **options, generator=seeded(seed)))
    assert again == rows


def test_sampler_pass_is_one_round_of_the_labelled():
    sampler = TwoStreamBatchSampler(range(5), range(5, 9), labelled_per_batch=2, unlabelled_per_batch=1)
    assert len(sampler) == 2
    assert len({index for row in sampler for index in row[:2]}) == 4


def test_sampler_draws_anew_each_pass_and_ignores_the_global_state():
    def make():
        return TwoStreamBatchSampler(
            range(8), range(8, 40), labelled_per_batch=2, unlabelled_per_batch=2, generator=seeded(1)
        )

    first, second = make(), make()
    one, two = list(first), list(first)
    torch.manual_seed(5)
    assert [list(second), list(second)] == [one, two] and one != two


def test_sampler_in_a_dataloader():
    """Batches of a DataLoader keep the order: labelled rows first, with workers too."""
    data = list(range(100, 112))
    for workers in (0, 1):
        sampler = TwoStreamBatchSampler(
            np.arange(4), torch.arange(4, 12), labelled_per_batch=2, unlabelled_per_batch=2, generator=seeded(3)
        )
        rows = [row.tolist() for row in DataLoader(data, batch_sampler=sampler, num_workers=workers)]
        expected = list(
            TwoStreamBatchSampler(
                range(4), range(4, 12), labelled_per_batch=2, unlabelled_per_batch=2, generator=seeded(3)
            )
        )
        assert rows == [[100 + index for index in row] for row in expected]


def test_sampler_bad_input():
    def make(labelled, unlabelled, a, b, **options):
        return TwoStreamBatchSampler(labelled, unlabelled, labelled_per_batch=a, unlabelled_per_batch=b, **options)

    with pytest.raises(ValueError, match="labelled is empty, but labelled_per_batch is 1"):
        make([], [1], 1, 1)
    with pytest.raises(ValueError, match="unlabelled is empty"):
        make([1], [], 1, 1)
    with pytest.raises(ValueError, match=r"no index in common, got \[2\]"):
        make([1, 2], [2, 3], 1, 1)
    with pytest.raises(ValueError, match="labelled_per_batch must be a whole number"):
        make([1], [2], -1, 1)
    with pytest.raises(ValueError, match="batches must be a whole number of at least 1"):
        make([1], [2], 1, 1, batches=0)
    assert list(make([1], [], 1, 0)) == [[1]] and list(make([], [1], 0, 1)) == [[1]]
    assert list(make([1], [2], 2, 0)) == [[1, 1]]


# --- mean teacher ---------------------------------------------------------------------------------------------------


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1))


def test_ema_against_torch_averaged_model():
    student = network()
    theirs = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    theirs.update_parameters(student)  # its first update copies
    ours = copy.deepcopy(student)
    for step in range(5):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter += torch.randn(parameter.shape, generator=seeded(step))
            student(torch.randn(4, 1, 8, 8, generator=seeded(step)))
        ema_update(ours, student, decay=0.9, buffers="average")
        theirs.update_parameters(student)
    for (name, mine), other in zip(ours.named_parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours[1], name), getattr(theirs.module[1], name))


@pytest.mark.parametrize("buffers", ["copy", "average", "keep"])
def test_ema_buffers(buffers):
    student, teacher = network(0), network(1)
    student.train()(torch.ones(2, 1, 8, 8))
    ema_update(teacher, student, decay=0.75, buffers=buffers)
    share = {"copy": 1.0, "average": 0.25, "keep": 0.0}[buffers]
    torch.testing.assert_close(teacher[1].running_mean, share * student[1].running_mean)
    assert teacher[1].num_batches_tracked == (0 if buffers == "keep" else 1)


def test_mean_teacher_is_the_plain_mean_at_first_and_then_exponential():
    student = nn.Linear(1, 1, bias=False)
    teacher = MeanTeacher(student, decay=0.75)
    expected, seen = None, []
    for step in range(8):
        with torch.no_grad():
            student.weight.fill_(float(step**2))
        seen.append(float(step**2))
        teacher.update(student)
        value = teacher.model.weight.item()
        if step < 4:  # 1 - 1/(t + 1) reaches 0.75 at t = 3
            expected = sum(seen) / len(seen)
        else:
            expected = 0.75 * expected + 0.25 * seen[-1]
        assert value == pytest.approx(expected, rel=1e-6)


def test_mean_teacher_has_no_gradient_and_resumes():
    student = network()
    teacher = MeanTeacher(student, decay=0.5)
    for _ in range(3):
        teacher.update(student)
    x = torch.randn(2, 1, 8, 8, requires_grad=True)
    assert not teacher(x).requires_grad and not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    fresh = MeanTeacher(network(7), decay=0.5)
    fresh.load_state_dict(teacher.state_dict())
    assert fresh.updates == 3
    torch.testing.assert_close(fresh.eval()(x), teacher.eval()(x))


def test_mean_teacher_does_not_change_the_student():
    student = network()
    before = copy.deepcopy(student.state_dict())
    teacher = MeanTeacher(student)
    teacher.update(student)
    teacher.train()(torch.randn(2, 1, 8, 8))
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_ema_bad_input():
    student = network()
    with pytest.raises(ValueError, match="teacher must be a copy of its own .* shares '0.weight'"):
        ema_update(student, student, decay=0.5)
    with pytest.raises(ValueError, match="same structure; only one has the parameter 'bias'"):
        ema_update(nn.Linear(1, 1), nn.Linear(1, 1, bias=False), decay=0.5)
    with pytest.raises(ValueError, match=r"equal shapes, got \(1, 1\) and \(1, 2\) for 'weight'"):
        ema_update(nn.Linear(1, 1), nn.Linear(2, 1), decay=0.5)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\], got 1.5"):
        MeanTeacher(student, decay=1.5)
    with pytest.raises(ValueError, match="buffers must be 'copy', 'average' or 'keep', got 'ema'"):
        ema_update(copy.deepcopy(student), student, decay=0.5, buffers="ema")


def test_mean_teacher_loss_known_answer_and_gradient():
    logits, teacher_logits, target, _ = batch(dtype=torch.float64)
    loss = mean_teacher_loss(logits, teacher_logits, target, lam=0.3)
    difference = (logits.sigmoid() - teacher_logits.sigmoid()).square().mean()
    torch.testing.assert_close(loss.consistency, difference)
    torch.testing.assert_close(loss.total, dice_loss(logits[:2].sigmoid(), target) + 0.3 * difference)
    student, teacher = logits.requires_grad_(), teacher_logits.requires_grad_()
    mean_teacher_loss(student, teacher, target, lam=1.0).total.backward()
    assert student.grad is not None and teacher.grad is None
    assert torch.autograd.gradcheck(lambda z: mean_teacher_loss(z, teacher.detach(), target, lam=0.3).total, (student,))
    assert mean_teacher_loss(logits[:0], teacher_logits[:0], target[:0], lam=1.0).total == 0
    with pytest.raises(ValueError, match="teacher_logits must have the shape of logits"):
        mean_teacher_loss(logits, teacher_logits[:1], target, lam=1.0)


def test_clipped_noise():
    x = torch.zeros(200, 200, dtype=torch.float16)
    noise = clipped_noise(x, generator=seeded())
    assert noise.dtype == x.dtype and noise.shape == x.shape
    assert noise.abs().max() <= 0.2 and torch.equal(noise, clipped_noise(x, generator=seeded()))
    # A normal variable clipped at two deviations has 0.9193 of its variance: 0.0959 of 0.1.
    assert noise.float().std().item() == pytest.approx(0.0959, rel=0.02)
    assert clipped_noise(x[:0]).shape == (0, 200)
    assert (clipped_noise(x, std=0.0) == 0).all()
    with pytest.raises(ValueError, match="std must be finite"):
        clipped_noise(x, std=-1)
    with pytest.raises(ValueError, match="inputs must be floating-point"):
        clipped_noise(torch.zeros(2, dtype=torch.long))


# --- kinds of faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_an_average_in_half_precision_moves(dtype, buffers):
    """A thousandth of the way a step is less than the last digit: the teacher stood still for ever."""
    student, plain = network(0).to(dtype), network(0)
    with torch.no_grad():
        student[1].running_mean += 1
        plain[1].running_mean += 1
    single, kept = copy.deepcopy(student), MeanTeacher(student, decay=0.999, buffers=buffers)
    wide = copy.deepcopy(plain)
    kept.updates = 10**6  # the first steps go further
    with torch.no_grad():
        for own in (student, plain):
            for value in own.parameters():
                value += 0.5
            own[1].running_mean += 0.5
    for _ in range(300):
        ema_update(single, student, decay=0.999, buffers=buffers)
        ema_update(wide, plain, decay=0.999, buffers=buffers)
        kept.update(student)
    for name, value in wide.state_dict().items():
        for teacher in (single, kept.model):
            found = teacher.state_dict()[name]
            assert found.dtype == (dtype if value.is_floating_point() else value.dtype)
            torch.testing.assert_close(found.float(), value.float(), rtol=0, atol=0.02, msg=name)
    moved = kept.model[0].weight - student[0].weight + 0.5
    torch.testing.assert_close(moved.float(), torch.full_like(moved, 0.5 * (1 - 0.999**300)).float(), rtol=0, atol=0.02)


def test_a_half_precision_teacher_resumes_where_it_was():
    student = nn.Linear(3, 2).to(torch.bfloat16)
    teacher, other = MeanTeacher(student, decay=0.999), MeanTeacher(nn.Linear(3, 2).to(torch.bfloat16), decay=0.999)
    assert teacher.get_extra_state() == {"updates": 0}
    for step in range(3):
        with torch.no_grad():
            student.weight += 2.0**-step
        teacher.update(student)
    other.load_state_dict(copy.deepcopy(teacher.state_dict()))
    for one in (teacher, other):
        for _ in range(20):
            one.update(student)
    assert torch.equal(teacher.model.weight, other.model.weight)
    assert torch.equal(teacher.model.weight.average, other.model.weight.average)
    # Whoever sets the parameters themselves is not overruled by the average that was.
    with torch.no_grad():
        other.model.weight.fill_(5.0)
    other.update(student)
    assert (other.model.weight > 4.7).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_consistency_is_computed_in_float32(dtype):
    logits, sdf, target, target_sdf = (value.to(dtype) for value in batch())
    wide = [value.float() for value in (logits, sdf, target, target_sdf)]
    for found, expected in (
        (dtc_loss(logits, sdf, target, target_sdf, lam=0.5), dtc_loss(*wide, lam=0.5)),
        (mean_teacher_loss(logits, sdf, target, lam=0.5), mean_teacher_loss(*wide[:3], lam=0.5)),
        ([task_consistency(logits, sdf)], [task_consistency(*wide[:2])]),
    ):
        assert [float(term) for term in found] == [float(term) for term in expected]


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, torch.tensor, lambda v: np.array(v, ">i4"), lambda v: range(*v[:1], v[-1] + 1)]
)
def test_indices_of_any_library(kind):
    options = {"labelled_per_batch": np.int64(1), "unlabelled_per_batch": torch.tensor(2), "batches": np.int32(3)}
    sampler = TwoStreamBatchSampler(kind([0, 1, 2]), kind([3, 4, 5]), **options, generator=seeded())
    plain = TwoStreamBatchSampler(
        [0, 1, 2], [3, 4, 5], labelled_per_batch=1, unlabelled_per_batch=2, batches=3, generator=seeded()
    )
    found = list(sampler)
    assert found == list(plain) and all(type(index) is int for some in found for index in some)


def test_numbers_of_any_library():
    logits, sdf, target, target_sdf = batch()
    expected = dtc_loss(logits, sdf, target, target_sdf, lam=0.5, beta=0.25, k=10.0)
    for number in (np.float32, np.float64, torch.tensor, np.array):
        found = dtc_loss(logits, sdf, target, target_sdf, lam=number(0.5), beta=number(0.25), k=number(10.0))
        assert found.total == expected.total
        assert gaussian_rampup(number(5.0), number(10.0), stairs=np.int64(4)) == gaussian_rampup(5, 10, stairs=4)
        assert MeanTeacher(nn.Linear(1, 1), decay=number(0.5)).decay == 0.5
        assert clipped_noise(logits, std=number(0.5), clip=number(0.25)).abs().max() <= 0.25
    for wrong in (True, "0.5", [0.5], math.nan, -1):
        for call in (
            lambda value: dtc_loss(logits, sdf, target, target_sdf, lam=value),
            lambda value: mean_teacher_loss(logits, sdf, target, lam=value),
            lambda value: clipped_noise(logits, std=value),
            lambda value: MeanTeacher(nn.Linear(1, 1), decay=value),
        ):
            with pytest.raises(ValueError, match="^(lam|std|decay) must be .*, got "):
                call(wrong)


def test_a_teacher_made_inside_a_mixing_or_an_attack_is_a_plain_network():
    from tutorial_lib.adversarial import attack
    from tutorial_lib.mixup import flow_mixup, manifold_mixup

    student, x = network().eval(), torch.randn(6, 1, 8, 8, generator=seeded())
    plain = student(x)
    for context in (
        lambda: manifold_mixup(student, ["0"], alpha=1.0, generator=seeded()),
        lambda: flow_mixup(student, ["0"], alpha=1.0, generator=seeded()),
        lambda: attack(student, "0", lambda: student(x).square().mean(), epsilon=1.0),
    ):
        with context():
            teacher = MeanTeacher(student).eval()
            torch.testing.assert_close(teacher(x), plain)
        torch.testing.assert_close(teacher(x), plain)
        teacher.update(student)
        torch.testing.assert_close(teacher(x), plain)
