"""Libraries of which tests are skipped where they are missing or, with FASTMLP_REQUIRE_LIBRARIES=1, fail."""

import importlib
import os
from importlib.util import find_spec

import pytest


def needs(*names, extras):
    """Skip or fail, if a library is missing, the test or module that calls, and name the extras that have it."""
    if missing := [name for name in names if find_spec(name) is None]:
        reason = f"missing: {', '.join(missing)}; pip install 'fastmlp[{extras}]' has it"
        if os.environ.get("FASTMLP_REQUIRE_LIBRARIES"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason, allow_module_level=True)


def library(name, *, extras):
    """Return the module of a library that a test `needs`."""
    needs(name, extras=extras)
    return importlib.import_module(name)
