"""Exported files: the suffix decides, and nothing is left behind where there is nothing to write."""

import numpy as np
import pytest

from fastmlp import MLP, Population


@pytest.fixture
def net():
    return MLP((2, 3, 1), random_state=0)


@pytest.mark.parametrize("name", ["net", "net.pt", "net.onnx.gz", ".onnx", "net.c"])
def test_other_suffixes_are_refused(net, name, tmp_path):
    with pytest.raises(ValueError, match=r"should end in \.onnx, for ONNX, or \.h, for C, but it is"):
        net.export(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("net.onnx", {"prefix": "a"}, "prefix is 'a', but only a C file"),
        ("net.h", {"prefix": "1a"}, "prefix should begin names in C"),
        ("net.h", {"prefix": "a b"}, "prefix should begin names in C"),
    ],
)
def test_refused_arguments_leave_the_file_that_is_there(net, name, settings, message, tmp_path):
    if name.endswith(".onnx"):
        pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
    path = tmp_path / name
    MLP((1, 1)).export(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        net.export(path, **settings)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_a_folder_is_not(net, tmp_path):
    (tmp_path / "net.h").write_text("")
    net.export(tmp_path / "net.h", prefix="spam")
    net.export(tmp_path / "net.h")
    assert "predict(const float *x, float *y)" in (tmp_path / "net.h").read_text()
    (tmp_path / "folder.h").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder; add a file name"):
        net.export(tmp_path / "folder.h")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        net.export(tmp_path / "none" / "net.h")


@pytest.mark.parametrize("text", ("int work;\n", "\n\nint work;\n"))
def test_a_c_file_of_somebody_is_left_alone(net, tmp_path, text):
    path = tmp_path / "net.h"
    path.write_text(text)
    with pytest.raises(FileExistsError, match=r"is there and was not written by fastmlp, so it is left alone"):
        net.export(path)
    assert path.read_text() == text


def test_parameters_that_are_not_finite_are_refused(tmp_path):
    pop = Population((2, 3, 1), 3, random_state=0)
    pop.params[1, 2] = np.inf
    with pytest.raises(ValueError, match="The parameters are not all finite"):
        pop.export(tmp_path / "net.h")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_a_sentence_says_what_to_install(net, fresh_python, tmp_path):
    done = fresh_python(
        "import sys; sys.modules['onnx'] = None\n"
        "import fastmlp\n"
        "net = fastmlp.MLP((2, 3, 1), random_state=0)\n"
        f"try: net.export({str(tmp_path / 'net.onnx')!r})\n"
        "except ImportError as error: print(error)\n"
        f"net.export({str(tmp_path / 'net.h')!r})\n"
    )
    assert "A file .onnx needs the package onnx: pip install 'fastmlp[onnx]'" in done.stdout
    assert (done.stderr, [path.name for path in tmp_path.iterdir()]) == ("", ["net.h"])
