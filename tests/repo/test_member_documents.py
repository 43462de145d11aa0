"""Members of the tables are named wherever all of them should be, apart from what test_reference.py checks.

After a new member, a failure says which names are missing in which file (CONTRIBUTING.md, "Add a member to a table").
"""

import re
from pathlib import Path

import pytest

import fastmlp
from fastmlp.devices import NAMES
from fastmlp.initialization import INITIALIZERS
from fastmlp.kernels.formulas.losses import CONSTANTS, LOSSES
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.population_result.stopped_by import CODES
from fastmlp.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
OPTIMIZER_CLASSES = tuple(kind.__name__ for kind in OPTIMIZERS.values())
SCHEDULE_CLASSES = tuple(kind.__name__ for kind in SCHEDULES.values())
NAMES_IN = {
    "docs/guide/training.md": (
        *(row.name for row in LOSSES),
        *CONSTANTS,
        *SCHEDULES,
        *INITIALIZERS,
        *(CODES.keys() - {"converged"}),
    ),
    "docs/guide/devices.md": tuple(f'"{name}"' for name in NAMES),
    "docs/reference/optimisers.md": (*OPTIMIZER_CLASSES, *SCHEDULE_CLASSES),
    "src/fastmlp/network/net_settings.py": tuple(CONSTANTS),
    "src/fastmlp/__init__.py": tuple(f"import {name} as {name}" for name in OPTIMIZER_CLASSES),  # for type checkers
}


@pytest.mark.parametrize("file", NAMES_IN)
def test_every_member_is_named(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    missing = [name for name in NAMES_IN[file] if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    assert missing == [], f"{file} does not name them"


def test_every_optimiser_is_a_public_name():
    assert set(OPTIMIZER_CLASSES) <= set(fastmlp.__all__)
