"""Pairs of labels counted step by step: :func:`count_pairs` equals :func:`plain_count_pairs`."""

import torch


def plain_count_pairs(
    pred: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int | None
) -> torch.Tensor:
    """How often each true class meets each predicted one.

    Args:
        pred: (pixels,) labels 0 ... C-1, of any integer type.
        target: (pixels,) true labels; what is ``ignore_index`` is left out.
        num_classes: C.
        ignore_index: a label of any value, or ``None``.

    Returns:
        (C * C,) int64, truth by truth.
    """
    pred, target = pred.long(), target.long()
    keep = target != ignore_index if ignore_index is not None else torch.ones_like(target, dtype=torch.bool)
    return torch.bincount(target[keep] * num_classes + pred[keep], minlength=num_classes**2)


# --- The same, step by step -----------------------------------------------------------------------------------------

# Pixels counted at a time on a CPU: the temporaries stay in cache, and a step is still long enough for torch's own
# threads. Measured from 2^15 to 2^21; beyond 2^17 new memory for the temporaries costs more than the counting.
_STEP = 1 << 16


def count_pairs(pred: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int | None) -> torch.Tensor:
    """The same counts, without a copy of the labels in 64 bits, and an error that names a label that is no class."""
    bins = num_classes**2
    limits = torch.iinfo(target.dtype)
    if ignore_index is not None and not limits.min <= ignore_index <= limits.max:
        ignore_index = None  # torch would wrap it: uint8 255 "equals" -1
    # A key as narrow as it may be: less memory to move, which is most of the time.
    key_type = torch.int16 if bins <= 2**15 else torch.int32 if bins <= 2**31 else torch.int64
    # One step a GPU; on a CPU small ones, but each larger than the histogram it fills.
    step = max(_STEP, 4 * bins) if pred.device.type == "cpu" else max(1, len(pred))
    counts = torch.zeros(bins, dtype=torch.int64, device=pred.device)
    for p, t in zip(pred.split(step), target.split(step)):
        if ignore_index is not None:
            keep = t != ignore_index
            p, t = p[keep], t[keep]
        if len(t) == 0:
            continue
        for labels, name in ((t, "target"), (p, "pred")):
            low, high = (int(value) for value in torch.aminmax(labels))
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"{name} holds the label {low if low < 0 else high}, outside 0 … {num_classes - 1} "
                    f"(num_classes={num_classes}); ignore_index leaves out pixels by their target label"
                )
        counts += torch.bincount(t.to(key_type).mul_(num_classes).add_(p.to(key_type)), minlength=bins)
    return counts
