"""Build script: compiles the hot packages with mypyc where a C compiler is at hand.

Without a compiler, or with ``SKEP_PURE=1``, the same files are installed uncompiled.
"""

import os
import shutil
import sysconfig
from pathlib import Path

from setuptools import setup

HOT = ("isa", "btf", "verifier")


def hot_modules() -> list[str]:
    """Every module of the hot packages except their ``__init__`` files."""
    return sorted(
        str(path)
        for package in HOT
        for path in Path("src/skep", package).rglob("*.py")
        if path.name != "__init__.py"
    )


def extensions() -> list[object]:
    """C extensions for the hot modules, or none where they cannot be built."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if os.environ.get("SKEP_PURE") == "1" or not shutil.which(compiler) or not headers.exists():
        return []
    from mypyc.build import mypycify

    # The project's own strict settings are for `make check`; a build needs the types only.
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    made = list(mypycify(options + hot_modules(), opt_level="3", debug_level="0"))
    for extension in made:
        # Lets the compiler inline across functions of one module: the scalar domain runs twice
        # as fast.
        extension.extra_compile_args.append("-fno-semantic-interposition")
    return made


setup(ext_modules=extensions())
