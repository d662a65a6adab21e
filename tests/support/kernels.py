"""Both kernels, for tests that hold for each."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

import pytest
from components import reason

from torq_codec.kernel import _pure

__all__ = ["kernel_parameters", "kernels"]

_MISSING = reason(
    "the compiled kernel", "apt-get install gcc libc6-dev && uv sync --reinstall-package torq-codec"
)


def kernels() -> list[ModuleType]:
    """Those that there are. Where all components are required, a missing one is an error."""
    try:
        return [_pure, importlib.import_module("torq_codec.kernel._native")]
    except ImportError:
        if os.environ.get("TORQ_REQUIRE_ALL") == "1":
            raise
        return [_pure]


def kernel_parameters() -> list[Any]:
    """For a fixture; a missing one is a skip that says how to get it."""
    found: list[Any] = [pytest.param(kernel, id=kernel.implementation) for kernel in kernels()]
    if len(found) == 1:
        found.append(pytest.param(None, id="missing", marks=pytest.mark.skip(reason=_MISSING)))
    return found
