"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts and sizes (bytes) of one run of the bench."""

    start_rounds: int
    mount_rounds: int
    import_rounds: int
    layer_rounds: int
    stacks: tuple[int, ...]  # numbers of layers
    packages: int  # of the tree that is imported
    modules: int  # in each of its packages, `__init__` with them
    module_size: int
    data: int  # files beside the modules
    data_size: int
    cold: bool  # whether to import once more with the caches of the whole machine dropped
    own_files: int  # in a layer of many files
    own_size: int  # of a large layer
    compressions: int | None  # how many of them, the first ones; None is all


FULL = Scale(
    start_rounds=31, mount_rounds=11, import_rounds=7, layer_rounds=5,
    stacks=(1, 8, 64, 128),
    packages=200, modules=10, module_size=10_000, data=3, data_size=32 << 20, cold=True,
    own_files=100, own_size=50 << 20, compressions=None,
)  # fmt: skip
QUICK = Scale(
    start_rounds=7, mount_rounds=5, import_rounds=3, layer_rounds=3,
    stacks=(1, 8, 64),
    packages=40, modules=10, module_size=10_000, data=2, data_size=4 << 20, cold=True,
    own_files=100, own_size=5 << 20, compressions=None,
)  # fmt: skip
SMOKE = Scale(
    start_rounds=1, mount_rounds=1, import_rounds=1, layer_rounds=1,
    stacks=(2,),
    packages=2, modules=2, module_size=500, data=1, data_size=1000, cold=False,
    own_files=2, own_size=10_000, compressions=2,
)  # fmt: skip
