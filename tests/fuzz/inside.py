"""The process of one target: imports the product under atheris' instrumentation and does not return.

python -m tests.fuzz.inside TARGET [OPTION OF LIBFUZZER…]
"""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["rdv", "tundev", "vtunlib", "shlex", "tomllib"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    atheris.Setup([f"fuzz-{name}", *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
