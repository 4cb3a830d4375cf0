"""Training tricks for medical imaging and text: short, tested PyTorch code.

Importing this package imports nothing else. A method's module is loaded when it is first used:

>>> import tutorial_lib
>>> "mixup" in dir(tutorial_lib)
True
"""

from importlib import import_module
from pkgutil import iter_modules

__version__ = "0.1.0"


def __getattr__(name: str):
    # Lazy modules: `import tutorial_lib` must not pay for torch.
    if name in _submodules():
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_submodules()})


def _submodules() -> set[str]:
    return {module.name for module in iter_modules(__path__)}
