"""Atomic output files: a write succeeds as a whole or changes nothing, and replaces only regular files, no inputs."""

import os
import socket
import subprocess
import sys

import pytest

from fastmlp.runtime.output_files import check_output, replacing, write_bytes


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "file"
    made.write_bytes(b"old")
    return made


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("permissions", [0o600, 0o644, 0o640, 0o666])
@pytest.mark.parametrize("ending", ["", ".interrupted", ".diverged"])
def test_files_have_the_permissions_of_what_they_replace_or_are_beside(path, ending, permissions):
    path.chmod(permissions)
    written = path.with_name(f"file{ending}")
    before = os.umask(0o077)
    try:
        with replacing(written) as file:
            assert os.fstat(file.fileno()).st_mode & 0o077 == 0, "the draft is private"
            file.write(b"new")
    finally:
        os.umask(before)
    assert (written.read_bytes(), written.stat().st_mode & 0o777) == (b"new", permissions)


def test_symbolic_links_are_followed(path, tmp_path):
    (tmp_path / "link").symlink_to("file")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert path.read_bytes() == b"new"
    (tmp_path / "dangling").symlink_to("made")
    write_bytes(tmp_path / "dangling", b"new")
    assert (tmp_path / "made").read_bytes() == b"new"
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="could not be written"):
        write_bytes(tmp_path / "circle", b"new")
    (tmp_path / "into").symlink_to("nowhere/file")
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' for the output; make it first\."):
        write_bytes(tmp_path / "into", b"new")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkfifo, "a pipe"), (lambda path: os.symlink("/dev/null", path), "a device"), (make_socket, "a socket")],
)
@pytest.mark.parametrize("write", [lambda path: write_bytes(path, b""), check_output])
def test_pipes_devices_and_sockets_are_refused(tmp_path, monkeypatch, make, kind, write):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a")
    before = os.lstat(tmp_path / "a")[:2]
    with pytest.raises(OSError, match=rf"should be a file, but '.*a' is {kind}; give the name of a file\."):
        write(tmp_path / "a")
    with pytest.raises(OSError, match=f"is {kind}; give the name of a file, or leave out --output"):
        check_output(tmp_path / "a", else_leave_out="--output")
    assert os.lstat(tmp_path / "a")[:2] == before, "it was replaced"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [lambda path: write_bytes(path, b""), check_output])
def test_folders_and_missing_folders_raise(tmp_path, write):
    with pytest.raises(IsADirectoryError, match=r"should be a file, but '.*' is a folder; add a file name"):
        write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' for the output; make it first\."):
        write(tmp_path / "nowhere" / "file")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*file' for the output"):
        write(tmp_path / "file" / "file")


def test_read_only_file_is_not_replaced(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="is a file that you may not write to"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


# ---- what can go wrong while it is written


@pytest.mark.parametrize(
    ("error", "kind"),
    [(OSError(28, "No space left on device"), OSError), (PermissionError(13, "Permission denied"), PermissionError)],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_failed_write_leaves_the_old_file(path, tmp_path, monkeypatch, error, kind, call):
    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(
            kind, match=rf"^The output '.*' could not be written \({error.strerror}\); the existing "
        ) as e:
            write_bytes(path, b"new")
        assert e.value.errno == error.errno
        with pytest.raises(kind, match=rf"could not be written \({error.strerror}\); no file was written\.$"):
            write_bytes(tmp_path / "another", b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


FULL = """
import resource, sys
from fastmlp.runtime.output_files import write_bytes

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # ends the write in the middle, as a full disk does
try:
    write_bytes(sys.argv[1], bytes(1_000_000))
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file(path, tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("could not be written (File too large); the existing file is unchanged.\n")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


# ---- outputs that are inputs


@pytest.mark.parametrize("name", ["file", "link", "hard", "folder/../file"])
def test_output_equal_to_an_input_is_refused_by_any_path(path, tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for one, other in ((tmp_path / name, path), (path, tmp_path / name)):
        with pytest.raises(
            ValueError, match=r"The output '.*' is the same file as the input '.*', which it would replace"
        ):
            check_output(one, None, other)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="The output 'file' is the same file as the input"):
        check_output("file", path)
