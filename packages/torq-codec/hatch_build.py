"""Compiles the kernel while the wheel (or the editable install) is built.

Without a C compiler the wheel is still complete: it then holds only the pure kernel, and
``torq_codec.kernel.implementation`` says so.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds ``_native.pyx`` in place and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the files are collected."""
        if os.environ.get("TORQ_NO_COMPILE") == "1":
            return
        root = Path(self.root)
        source = root / "src" / "torq_codec" / "kernel" / "_native.pyx"
        try:
            built = self._compile(root, source)
        except (ImportError, SystemExit) as error:
            self.app.display_warning(f"torq-codec: only the pure kernel is built: {error}")
            return
        if version == "editable":
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(built)] = f"torq_codec/kernel/{built.name}"

    @staticmethod
    def _compile(root: Path, source: Path) -> Path:
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension

        extension = Extension(
            "torq_codec.kernel._native",
            [os.path.relpath(source, root)],
            include_dirs=[os.path.relpath(source.parent, root)],
            extra_compile_args=["-O3"],
        )
        previous = Path.cwd()
        os.chdir(root)
        try:
            modules = cythonize(
                [extension],
                language_level=3,
                quiet=True,
                force=True,
                include_path=[os.path.relpath(source.parent, root)],
            )
            distribution = Distribution({"name": "torq-codec-kernel", "ext_modules": modules})
            command = distribution.get_command_obj("build_ext")
            command.build_lib = str(root / "src")
            command.build_temp = str(root / "build")
            command.ensure_finalized()
            # What setuptools raises when there is no compiler, or it fails.
            from setuptools.errors import CCompilerError, ExecError, PlatformError

            try:
                command.run()
            except (CCompilerError, ExecError, PlatformError) as error:
                raise SystemExit(str(error)) from error
            return Path(command.get_ext_fullpath("torq_codec.kernel._native"))
        finally:
            os.chdir(previous)
            print("torq-codec: kernel build finished", file=sys.stderr)
