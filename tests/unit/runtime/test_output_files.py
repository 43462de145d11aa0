"""Atomic output files: a write succeeds as a whole or changes nothing, and replaces only regular files, no inputs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.runtime.output_files import check_output, left_alone, replacing, write_bytes, write_text

as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "file"
    made.write_bytes(b"old")
    return made


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_in_utf_8_under_names_of_up_to_255_characters(tmp_path):
    write_text(tmp_path / ("n" * 255), "naïve\n")
    assert (tmp_path / ("n" * 255)).read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["n" * 255]


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
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' for the output; make it first\."):
        write(f"{tmp_path}/nowhere/file")  # a path may be a str
    with pytest.raises(IsADirectoryError, match=r"should be a file, but '\.' is a folder; add a file name"):
        write("")


def test_what_is_said_of_an_output_that_was_not_written(path, tmp_path):
    assert left_alone(path) == f"{str(path)!r} is as it was"
    assert left_alone(tmp_path / "none") == f"nothing was written to {str(tmp_path / 'none')!r}"


def test_read_only_file_is_not_replaced(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="is a file that you may not write to"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


# ---- what can go wrong while it is written


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), OSError),
        (OSError(5, "Input/output error"), OSError),
        (PermissionError(13, "Permission denied"), PermissionError),
    ],
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


def test_errors_without_an_errno_keep_their_message(path):
    with pytest.raises(OSError, match=r"^Three words only\.$"), replacing(path):
        raise OSError("Three words only.")


READ_ONLY = """
import os, resource, sys
import hashlib, platform, tempfile  # the other user may not find them
from fastmlp.runtime.output_files import check_output, write_bytes

if sys.argv[2] == "full":  # a limit on the file size ends the write in the middle, as a full disk does
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
else:
    os.setgid(12345)
    os.setuid(12345)
for write in (lambda path: write_bytes(path, bytes(1_000_000)), check_output):
    try:
        write(sys.argv[1])
    except OSError as error:
        print(error)
"""


@pytest.mark.parametrize("why", ["full", pytest.param("read-only", marks=as_root)])
def test_a_full_disk_and_a_read_only_folder_leave_the_old_file(why):
    """The folder is read-only to another user, since root may write everywhere."""
    top = Path("/tmp") / f"fastmlp-test-{os.getpid()}"  # where others can enter, unlike tmp_path
    top.mkdir(0o755)
    try:
        (top / "file").write_bytes(b"old")
        (top / "file").chmod(0o666)
        command = [sys.executable, "-c", READ_ONLY, str(top / "file"), why]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if why == "read-only" and ("No module named" in done.stderr or not done.stdout):
            pytest.skip(f"another user cannot import fastmlp here: {done.stderr[-200:]}")
        first, *second = done.stdout.splitlines()
        reason = "File too large" if why == "full" else "Permission denied"
        assert first.endswith(f"could not be written ({reason}); the existing file is unchanged.")
        if why == "read-only":
            assert second[0].startswith(f"The output cannot be written to the folder {str(top)!r} (Permission denied)")
        assert (top / "file").read_bytes() == b"old"
        assert names(top) == ["file"]
    finally:
        (top / "file").unlink()
        top.rmdir()


# ---- outputs that are inputs


def test_output_that_differs_from_all_inputs_is_accepted(path, tmp_path):
    check_output(tmp_path / "new", path, None, tmp_path / "absent")
    check_output(path, tmp_path / "absent", tmp_path)
    assert names(tmp_path) == ["file"]


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
