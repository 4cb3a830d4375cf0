"""One small training loop, and the paired comparison every experiment of the course is made of."""

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar

import torch
from torch import nn

from .. import _arguments
from .._arguments import choice, whole, wholes, wide

if TYPE_CHECKING:
    import pandas as pd

Model = TypeVar("Model", bound=nn.Module)


class Batches:
    """A re-iterable of mini-batches cut from tensors that fit in memory. Made by :func:`batches`."""

    def __init__(
        self,
        tensors: tuple[torch.Tensor, ...],
        batch_size: int,
        shuffle: bool,
        generator: torch.Generator | None,
    ):
        self.tensors, self.batch_size = tensors, batch_size
        self.shuffle, self.generator = shuffle, generator

    def __len__(self) -> int:
        return math.ceil(len(self.tensors[0]) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        count = len(self.tensors[0])
        if self.shuffle:
            device = self.generator.device if self.generator is not None else "cpu"
            order = torch.randperm(count, generator=self.generator, device=device)
            order = order.to(self.tensors[0].device)
        for start in range(0, count, self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield tuple(tensor[order[rows]] if self.shuffle else tensor[rows] for tensor in self.tensors)


def batches(
    *tensors: torch.Tensor,
    batch_size: int,
    shuffle: bool = True,
    generator: torch.Generator | None = None,
) -> Batches:
    """Cut tensors into mini-batches, in a new order at every pass.

    Quicker than a ``DataLoader`` where everything is in memory, and its order depends on ``generator`` alone,
    so that two methods given equal generators see the same batches.

    Args:
        *tensors: one or more tensors with equal first dimension.
        batch_size: rows a batch; the last batch may be smaller.
        shuffle: draw a new order at every pass.
        generator: source of the order, on any device; ``None`` is torch's global CPU generator.

    Returns:
        An object with ``len`` that can be iterated again and again; each item is a tuple of tensors.

    Raises:
        ValueError: if no tensor is given, the lengths differ, or ``batch_size`` is below 1.

    >>> [len(x) for (x,) in batches(torch.arange(5), batch_size=2)]
    [2, 2, 1]
    """
    if not tensors:
        raise ValueError("tensors must be at least one tensor, got none")
    lengths = [len(tensor) for tensor in tensors]
    if len(set(lengths)) > 1:
        raise ValueError(f"tensors must have equal length, got {lengths}")
    batch_size, source = whole(batch_size, "batch_size", low=1), _arguments.generator(generator)
    return Batches(tensors, batch_size, shuffle, source)


@dataclass
class History:
    """What :func:`fit` saw: one row an epoch.

    Attributes:
        rows: a dict an epoch: ``epoch`` (from 1), ``loss`` (mean over the epoch's rows), and what ``validate`` gave.
        best_epoch: the epoch with the best ``monitor``; ``None`` without one.
        stopped_early: whether ``patience`` ran out.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_early: bool = False

    def column(self, name: str) -> list[float]:
        """Return one column, an entry an epoch."""
        if self.rows and name not in self.rows[0]:
            raise ValueError(
                f"history has no column {name!r}: name must be one of {', '.join(self.rows[0])}, got {name!r}"
            )
        return [row[name] for row in self.rows]

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch."""
        if self.best_epoch is None:
            raise ValueError("history has no best epoch: fit was called without monitor=")
        return self.rows[self.best_epoch - 1]

    def frame(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def fit(
    model: Model,
    train: Iterable,
    step: Callable[[Model, Any], torch.Tensor],
    *,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    validate: Callable[[Model], Mapping[str, SupportsFloat]] | None = None,
    monitor: str | None = None,
    mode: str = "max",
    patience: int | None = None,
    restore_best: bool = False,
    scheduler=None,
    progress: bool | None = None,
) -> History:
    r"""Train ``model`` by the loss that ``step`` computes.

    The trick under study lives in ``step``, a function of three lines in the chapter; nothing about it is hidden here.
    If the loss that ``step`` returns does not require a gradient, ``step`` has called ``backward`` itself (adversarial
    training does) and ``fit`` only makes the optimizer's step.

    Args:
        model: any module; it is trained in place.
        train: a re-iterable of batches, such as :func:`batches` or a ``DataLoader``.
        step: ``step(model, batch)`` → scalar loss.
        epochs: passes over ``train``.
        optimizer: any torch optimizer over the model's parameters.
        validate: ``validate(model)`` → scores, called after each epoch in ``eval`` mode without gradients.
        monitor: the score (a key of ``validate``'s result) that says which epoch is best.
        mode: ``"max"`` if a higher ``monitor`` is better, else ``"min"``.
        patience: stop after this many epochs without a better ``monitor``.
        restore_best: put the best epoch's weights back at the end.
        scheduler: a torch scheduler, stepped once an epoch.
        progress: show a bar; ``None`` shows one only where somebody watches.

    Returns:
        The :class:`History`.

    Raises:
        ValueError: if ``train`` is empty, ``monitor`` is unknown or missing where it is needed, or ``epochs`` < 0.
        FloatingPointError: if the loss is not finite; it names the epoch, so that no run ends in silent NaNs.

    >>> model = nn.Linear(1, 1)
    >>> data = batches(torch.ones(4, 1), torch.ones(4, 1), batch_size=2)
    >>> step = lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])
    >>> history = fit(model, data, step, epochs=2, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    >>> len(history.rows)
    2
    """
    epochs, mode = whole(epochs, "epochs", low=0), choice(mode, "mode", ("max", "min"))
    patience = None if patience is None else whole(patience, "patience", low=0)
    if monitor is None and (patience is not None or restore_best):
        raise ValueError("patience and restore_best need monitor=, the score that says which epoch is best, got None")
    if monitor is not None and validate is None:
        raise ValueError("monitor needs validate=, the function that computes it, got None")

    history, best_score, best_state = History(), None, None
    was_training = model.training
    bar = _progress_bar(epochs, progress)
    for epoch in range(1, epochs + 1):
        model.train()
        total, rows = None, 0
        for batch in train:
            optimizer.zero_grad(set_to_none=True)
            loss = step(model, batch)
            if loss.requires_grad:
                loss.backward()
            optimizer.step()
            size = len(batch[0]) if isinstance(batch, tuple | list) else len(batch)
            # Summed on the device: reading the loss at every step would make a GPU wait. In float32 at least: a sum
            # over an epoch is soon more than half precision can hold.
            weighted = wide(loss.detach()) * size
            total = weighted if total is None else total + weighted
            rows += size
        if total is None or not rows:
            raise ValueError(
                "train must give batches at every epoch, got no batch; is it a generator that was already used up?"
            )
        row = {"epoch": epoch, "loss": float(total) / rows}
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(f"the training loss is {row['loss']} in epoch {epoch}")
        if scheduler is not None:
            scheduler.step()
        if validate is not None:
            model.eval()
            with torch.no_grad():
                row |= {name: float(score) for name, score in validate(model).items()}
        history.rows.append(row)
        if monitor is not None:
            if monitor not in row:
                raise ValueError(
                    f"monitor {monitor!r} is not among the scores: it must be one of {', '.join(row)}, got {monitor!r}"
                )
            score = row[monitor] if mode == "max" else -row[monitor]
            if best_score is None or score > best_score:
                best_score, history.best_epoch = score, epoch
                if restore_best:
                    best_state = copy.deepcopy(model.state_dict())
            if patience is not None and history.best_epoch is not None and epoch - history.best_epoch >= patience:
                history.stopped_early = True
        bar.set_postfix({name: f"{value:.3g}" for name, value in row.items() if name != "epoch"}, refresh=False)
        bar.update()
        if history.stopped_early:
            break
    bar.close()
    if best_state is not None:
        model.load_state_dict(best_state)
    model.train(was_training)
    return history


@torch.no_grad()
def predict(model: nn.Module, inputs: torch.Tensor, *, batch_size: int = 256) -> torch.Tensor:
    """Return the model's output for all rows, in ``eval`` mode and without gradients.

    Args:
        model: any module; its mode is put back afterwards.
        inputs: (N, …); N may be 0 where the model allows it.
        batch_size: rows a forward pass.

    Returns:
        (N, …): what the model gives, on the inputs' device.

    Raises:
        ValueError: if ``batch_size`` is below 1.

    >>> predict(nn.Linear(3, 2), torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """
    batch_size = whole(batch_size, "batch_size", low=1)
    was_training = model.training
    model.eval()
    try:
        chunks = inputs.split(batch_size) if len(inputs) else (inputs,)
        return torch.cat([model(chunk) for chunk in chunks])
    finally:
        model.train(was_training)


def compare(
    run: Callable[..., Mapping[str, object]],
    methods: Sequence[str],
    seeds: Iterable[int],
    *,
    progress: bool | None = None,
    **fixed: Any,
) -> "pd.DataFrame":
    """Run every method on every seed, and return a tidy table.

    ``run(method, seed, **fixed)`` must draw its data, weights and batch order from ``seed`` alone. Then the rows
    of one seed differ in the method and in nothing else: they are *paired*, and :func:`claim` may subtract them.

    Args:
        run: trains one model and returns its scores.
        methods: names handed to ``run``.
        seeds: integers.
        progress: show a bar; ``None`` shows one only where somebody watches.
        **fixed: further arguments for ``run``; they become columns.

    Returns:
        A pandas DataFrame: ``method``, ``seed``, the fixed arguments, and the scores; one row a run.

    Raises:
        ValueError: if there is no method or no seed, or one is named twice.

    >>> compare(lambda method, seed: {"score": seed}, ["a", "b"], [1, 2])["score"].tolist()
    [1, 2, 1, 2]
    """
    import pandas as pd

    if isinstance(methods, str):
        raise ValueError(f"methods must be several names, such as [{methods!r}], got {methods!r}")
    seeds = list(seeds) if isinstance(seeds, Iterable) else seeds  # a generator too
    methods, seeds = list(methods), list(wholes(seeds, "seeds"))
    for name, values in (("methods", methods), ("seeds", seeds)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} must be non-empty and without repeats, got {values}")
    bar = _progress_bar(len(methods) * len(seeds), progress)
    # One bar is enough: each run's own would come and go, and leave a hundred empty places in the saved notebook.
    outer = _ONE_OF_MANY.set(True)
    rows = []
    try:
        for method in methods:
            for seed in seeds:
                bar.set_postfix({"method": method, "seed": seed}, refresh=False)
                row = {"method": method, "seed": seed, **fixed, **run(method, seed, **fixed)}
                # A score still a tensor, perhaps on a GPU, would be an object in the table, and no number.
                single = {k: v.item() for k, v in row.items() if isinstance(v, torch.Tensor) and v.numel() == 1}
                rows.append(row | single)
                bar.update()
    finally:
        _ONE_OF_MANY.reset(outer)
        bar.close()
    return pd.DataFrame(rows)


_ONE_OF_MANY = ContextVar("one_of_many", default=False)


def _progress_bar(total: int, show: bool | None):
    from tqdm import tqdm

    from .runtime import is_headless

    quiet = (is_headless() or _ONE_OF_MANY.get()) if show is None else not show
    if quiet or is_headless() or find_spec("ipywidgets") is None:
        return tqdm(total=total, disable=quiet, leave=False, file=sys.stderr)
    from tqdm.notebook import tqdm as notebook_tqdm

    from .widgets import show_widget

    # Shown by us: else a saved notebook says "0%" for ever where the finished bar was.
    bar = notebook_tqdm(total=total, leave=False, display=False)
    show_widget(bar.container, instead="")
    return bar
