"""A device that stands in for a GPU where there is none: tensors that say they lie elsewhere, computed on the CPU.

What goes wrong on a GPU alone can be seen with it. Tensors of two devices in one operation are refused, as CUDA refuses
them, and whatever lets the host wait until the device has caught up is counted: values that are asked for, sizes that
depend on values, and copies that block. It rests on a part of torch that is meant for trying out new devices, and
registers a device for the whole process: use it in a process of its own.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.utils.backend_registration as registration
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import augment.draws
import runs.hardware.trainer

NAME = "stand_in"
ROOT = str(Path(__file__).parents[2])
TO = ("_to_copy", "to")
"""Copies that may go to another device; the second is what is seen of them where no gradient is recorded."""
ANSWERS = ("_local_scalar_dense", "equal", "is_nonzero")
"""Operations that give the host a number."""
SIZED_BY_VALUES = ("nonzero", "masked_select", "bincount", "_unique2", "unique_dim", "repeat_interleave")
INDEXING = ("index", "index_put_", "_index_put_impl_")


class Backend:
    """What torch asks a module of device functions for."""

    def is_available(self) -> bool:
        """Say that there is one."""
        return True

    def device_count(self) -> int:
        """Say how many."""
        return 1

    def current_device(self) -> int:
        """Say which."""
        return 0

    def is_initialized(self) -> bool:
        """Say that it was begun with."""
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Do nothing: its random numbers are the CPU's."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Name the types of autocast."""
        return [torch.float16, torch.bfloat16]


class StandIn(Tensor):
    """A tensor of the device; ``held`` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> StandIn:
        """Make the shell, which has no memory."""
        place = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        shell: StandIn = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=f"{NAME}:0", **place)
        shell.held = held
        return shell

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute."""
        return compute(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"StandIn({self.held!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Copy the values."""
        copy: Tensor = StandIn(self.held.detach().clone())
        if getattr(self, "_is_param", False):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        return memo.setdefault(id(self), copy.requires_grad_(self.requires_grad))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be kept in files as a tensor of the CPU."""
        return self.held.detach().__reduce_ex__(protocol)

    def __getitem__(self, index: Any) -> Tensor:
        """Bring lists to the device first, as torch does where no Python can see it."""
        place = tuple(
            torch.tensor(one).to(NAME) if isinstance(one, list) else one
            for one in (index if isinstance(index, tuple) else (index,))
        )
        return Tensor.__getitem__(self, place)

    def tolist(self) -> Any:
        """Wait for the values."""
        count("tolist")
        return self.held.tolist()

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        """Send values."""
        return torch.tensor(data, dtype=dtype or self.dtype).to(NAME)

    def numpy(self, *arguments: Any, **options: Any) -> Any:
        """Refuse, as CUDA does."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    __array__ = numpy


class Watch(TorchDispatchMode):
    """Makes tensors on the device, and counts the waits while ``counting``."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.counting = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute."""
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on what the tensors hold.

    Raises:
        RuntimeError: If its tensors lie on two devices.
    """
    name = func._schema.name.removeprefix("aten::")
    leaves = tree_leaves((args, kwargs))
    tensors = [one for one in leaves if isinstance(one, Tensor)]
    here = [one for one in tensors if isinstance(one, StandIn)]
    goal = next((one for one in leaves if isinstance(one, torch.device)), None)
    to_device = goal is not None and goal.type == NAME
    if not here and not to_device:
        return func(*args, **kwargs)
    elsewhere = [one for one in tensors if not isinstance(one, StandIn) and one.dim()]
    if elsewhere and here and name not in ("copy_", *TO, *INDEXING):
        raise RuntimeError(f"{func}: tensors of shapes {[tuple(one.shape) for one in tensors]} lie on two devices")
    _count_waits(name, args, kwargs, bool(elsewhere), leaves=goal is not None and not to_device)

    shells: dict[int, StandIn] = {}

    def opened(value: Any) -> Any:
        if isinstance(value, StandIn):
            shells[id(value.held)] = value
            return value.held
        return torch.device("cpu") if isinstance(value, torch.device) else value

    held_args, held_kwargs = tree_map(opened, (args, kwargs))
    result = func(*held_args, **held_kwargs)
    stays = isinstance(args[0], StandIn) if name == "copy_" else to_device or goal is None
    if name in ANSWERS or not stays:
        return result

    def closed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return shells[id(value)] if id(value) in shells else StandIn(value)

    return tree_map(closed, result)


def _count_waits(name: str, args: Any, kwargs: dict[str, Any], sends: bool, leaves: bool) -> None:
    if name in ANSWERS or name in SIZED_BY_VALUES:
        count(name)
    elif name in INDEXING:
        if sends:
            count(f"{name} by an index that lies elsewhere")
        if any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]):
            count(f"{name} by a mask")
    elif name in TO and (leaves or (sends and not kwargs.get("non_blocking"))):
        count("a copy from the device" if leaves else "a blocking copy to the device")
    elif name == "copy_" and sends and not (len(args) > 2 and args[2]):
        count("a blocking copy")


WATCH = Watch()


def count(what: str) -> None:
    """Count a wait, with the lines of the project that asked for it."""
    if WATCH.counting:
        frames = [one for one in traceback.extract_stack() if one.filename.startswith(ROOT)]
        lines = [
            f"{one.filename.removeprefix(ROOT)[1:]}:{one.lineno}"
            for one in frames
            if "site-packages" not in one.filename and one.filename != __file__
        ]
        WATCH.waits[f"{what} ({' < '.join(lines[:-4:-1])})"] += 1


class Accelerator(CPUAccelerator):
    """The device, as Lightning sees it."""

    def setup_device(self, device: torch.device) -> None:
        """Do nothing: there is nothing to begin with."""


class TorchOfDraws:
    """torch, with generators for the device: the CPU's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def Generator(device: torch.device) -> torch.Generator:
        """Return one."""
        return torch.Generator()


def make_trainer(**options: Any) -> pl.Trainer:
    """Return a Trainer that computes on the device."""
    device = SingleDeviceStrategy(device=torch.device(NAME, 0), accelerator=Accelerator())
    return pl.Trainer(**options | {"accelerator": "auto", "devices": 1, "strategy": device})


@contextmanager
def in_use() -> Iterator[Watch]:
    """Let all trainers compute on the device."""
    real = {name: getattr(torch, name) for name in ("tensor", "as_tensor")}

    def sent(name: str) -> Any:
        def make(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
            made: Tensor = data if isinstance(data, StandIn) else real[name](data, *args, **kwargs)
            return made if device is None else made.to(device)

        return make

    class Lightning:
        Trainer = staticmethod(make_trainer)

    WATCH.waits.clear()
    try:
        for name in real:
            setattr(torch, name, sent(name))
        augment.draws.torch = TorchOfDraws()
        runs.hardware.trainer.pl = Lightning
        with WATCH:
            yield WATCH
    finally:
        runs.hardware.trainer.pl, augment.draws.torch = pl, torch
        for name, function in real.items():
            setattr(torch, name, function)


registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
