"""Fits have the bits that they had when digests were last written, where these are of this kind of processor.

A change that is meant to change bits writes them anew: python tests/digests/digest.py write
"""

import json

import pytest
from digests.digest import circumstances, differences, digests_of, file_of_this_processor
from digests.fits import EMULATED, FITS


@pytest.fixture(scope="module")
def written():
    file = file_of_this_processor()
    if not file.exists():
        pytest.skip(f"no digests of this kind of processor, {file.stem}")
    content = json.loads(file.read_text())
    if changed := differences(content["circumstances"], circumstances()):
        pytest.skip(f"digests of another environment: {', '.join(changed)}")
    return content["fits"]


def test_each_fit_is_written(written):
    assert written.keys() == (FITS | EMULATED).keys()


@pytest.mark.parametrize("name", FITS)
def test_bits_of_a_fit(name, written):
    assert differences(written[name], digests_of(name)) == []


@pytest.mark.parametrize("name", EMULATED)
def test_bits_of_an_emulated_fit(name, written, emulated_cuda):
    assert differences(written[name], digests_of(name)) == []
