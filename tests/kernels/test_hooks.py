"""Hooks act as PyTorch's own do while their context lasts, and no copy of the model keeps them."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from tutorial_lib._kernels.hooks import attached, owners, plain_attached
from tutorial_lib.consistency import MeanTeacher


class Own(nn.Linear):
    """A class that copies itself in its own way, as those of torch.fx do: what lies in it comes along."""

    def __deepcopy__(self, memo):
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def __reduce__(self):
        return _rebuilt, (type(self), self.__dict__.copy())


def _rebuilt(kind, state):
    twin = kind.__new__(kind)
    twin.__dict__ = state
    return twin


class Slots(nn.Linear):
    __slots__ = ("note",)


class Stateful(nn.Linear):
    def __getstate__(self):
        return {**self.__dict__, "noted": True}


def written(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": written,
    "MeanTeacher": lambda model: MeanTeacher(model).model,
    "AveragedModel": lambda model: torch.optim.swa_utils.AveragedModel(model).module,
}
KINDS = [nn.Linear, Own, Slots, Stateful]


def double(module, args, kwargs, output):
    return 2 * output


def model_of(kind):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), kind(3, 3))


def test_attached_is_the_plain_lines():
    model, x = model_of(nn.Linear), torch.randn(2, 3)
    with plain_attached(model[1], lambda module, args, output: 2 * output):
        expected = model(x)
    with attached("me", (model[1], "after", double)):
        found = model(x)
        assert owners(model[1]) == ["me"]
    assert torch.equal(found, expected) and not owners(model[1]) and not model[1]._forward_hooks


@pytest.mark.parametrize("when", ["before", "after", "finally"])
def test_what_a_hook_is_given(when):
    seen, layer, x = [], nn.Linear(3, 3), torch.randn(2, 3)
    with attached(None, (layer, when, lambda *given: seen.append(given))):
        y = layer(x)
        if when == "finally":
            with pytest.raises(RuntimeError):
                layer(torch.randn(2, 4))
            assert len(seen) == 2
    expected = {"before": (layer, (x,)), "after": (layer, (x,), {}, y), "finally": (layer, (x,), y)}[when]
    assert len(seen[0]) == len(expected) and all(
        found is given or found == given for found, given in zip(seen[0], expected)
    )


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("whole", [True, False])
def test_a_copy_is_a_plain_model(way, kind, whole):
    model, x = model_of(kind), torch.randn(2, 3)
    expected = model(x)
    mine = model[1].register_forward_hook(scaled)  # the user's own hook belongs to the model
    wanted = [(model[1], "after", double), (model[1], "before", lambda *given: None)]
    wanted += [(model, "finally", lambda *given: None)]
    with attached("me", *wanted), attached("another", (model[1], "after", double)):
        twin = COPIES[way](model if whole else model[1])
        assert torch.equal(model(x), 12 * expected)
    layer = twin[1] if whole else twin
    hidden = model[0](x)
    assert torch.equal(layer(hidden), 3 * expected) and not owners(layer)
    assert (
        "__getstate__" not in vars(layer) and "__getstate__" not in vars(model[1]) and "__getstate__" not in vars(model)
    )
    if kind is not Own:
        assert list(layer._forward_hooks.values()) == [scaled] and not layer._forward_pre_hooks
        assert not layer._forward_hooks_with_kwargs
    mine.remove()
    again = COPIES[way](twin)  # a copy can be copied
    assert torch.equal((again[1] if whole else again)(hidden), 3 * expected if way != "copy" else layer(hidden))


def scaled(module, args, output):
    return 3 * output
