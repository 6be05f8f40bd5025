"""Names of a package that are imported when they are asked for: what is slow to load waits."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

Places = Mapping[str, tuple[str, ...]]  # module of the package -> names that it gives


def names(places: Places) -> list[str]:
    """What `__all__` holds."""
    return sorted(name for given in places.values() for name in given)


def asked(package: str, places: Places, name: str) -> Any:
    """What `__getattr__` gives of that name (AttributeError: none of the package's)."""
    for module, given in places.items():
        if name in given:
            return getattr(import_module(f"{package}.{module}"), name)
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
