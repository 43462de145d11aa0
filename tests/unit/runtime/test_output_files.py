"""Atomic output files: a write succeeds as a whole or changes nothing, and replaces only regular files, no inputs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.runtime.output_files import check_output, file_beside, left_alone, replacing, write_bytes, write_text

as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "file"
    made.write_bytes(b"old")
    return made


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return path.stat().st_mode & 0o777


def test_text_is_written_in_utf_8(tmp_path):
    write_text(tmp_path / "a", "naïve\n")
    assert (tmp_path / "a").read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["a"]


def test_names_of_255_characters_can_be_written(tmp_path):
    write_bytes(tmp_path / ("n" * 255), b"new")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("permissions", [0o600, 0o644, 0o640, 0o666])
def test_replaced_file_keeps_its_permissions(path, permissions):
    path.chmod(permissions)
    before = os.umask(0o077)
    try:
        write_bytes(path, b"new")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path)) == (b"new", permissions)


@pytest.mark.parametrize("ending", ["interrupted", "diverged"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_file_for_what_ended_early_has_the_permissions_of_its_output(path, ending, exists):
    path.chmod(0o600)
    beside, other = file_beside(path, ending), path.with_name("file.other")
    if exists:
        beside.write_bytes(b"old")
        beside.chmod(0o644)
    before = os.umask(0o022)
    try:
        for written in (beside, other):
            write_bytes(written, b"new")
    finally:
        os.umask(before)
    assert (beside.read_bytes(), mode(beside)) == (b"new", 0o600)
    assert mode(other) == 0o644


def test_draft_file_is_readable_by_its_owner_only(path):
    path.chmod(0o644)
    with replacing(path) as file:
        assert os.fstat(file.fileno()).st_mode & 0o077 == 0


@as_root
def test_replaced_file_keeps_owner_and_group(path):
    os.chown(path, 12345, 23456)
    write_bytes(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (12345, 23456, b"new")


def test_group_permissions_are_dropped_when_the_group_cannot_be_kept(path, monkeypatch):
    """Permissions meant for the old group must not go to the new file's group."""
    import fastmlp.runtime.output_files as module

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(module.os, "fchown", refused)
    before = os.stat_result((0o100664, 0, 0, 1, 12345, 23456, 0, 0, 0, 0))
    with open(path, "r+b") as file:
        module._keep_owner_and_permissions(file.fileno(), before)
    assert mode(path) == 0o644


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
    assert os.lstat(tmp_path / "a")[:2] == before, "it was replaced"
    assert names(tmp_path) == ["a"]


def test_refused_device_names_the_option_to_leave_out():
    before = os.stat("/dev/null")
    with pytest.raises(OSError, match="'/dev/null' is a device; give the name of a file, or leave out --output"):
        check_output("/dev/null", else_leave_out="--output")
    assert os.stat("/dev/null").st_rdev == before.st_rdev


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


TOO_LARGE = """
import resource, sys
from fastmlp.runtime.output_files import write_bytes

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
write_bytes(sys.argv[1], bytes(1_000_000))
"""


def test_full_disk_leaves_the_old_file(path, tmp_path):
    """A limit on the file size ends the write in the middle, as a full disk does."""
    done = subprocess.run([sys.executable, "-c", TOO_LARGE, str(path)], capture_output=True, text=True, check=False)
    assert "could not be written (File too large); the existing file is unchanged." in done.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


READ_ONLY = """
import os, sys
import hashlib, platform, tempfile  # the other user may not find them
from fastmlp.runtime.output_files import check_output, write_bytes

os.setgid(12345)
os.setuid(12345)
for write in (lambda path: write_bytes(path, b"new"), check_output):
    try:
        write(sys.argv[1])
    except PermissionError as error:
        print(error)
"""


@as_root
def test_read_only_folder_raises_permission_error(path):
    """Runs as another user, since root may write everywhere."""
    top = Path("/tmp") / f"fastmlp-test-{os.getpid()}"  # where others can enter, unlike tmp_path
    top.mkdir(0o755)
    try:
        (top / "file").write_bytes(b"old")
        (top / "file").chmod(0o666)
        command = [sys.executable, "-c", READ_ONLY, str(top / "file")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "No module named" in done.stderr or not done.stdout:
            pytest.skip(f"another user cannot import fastmlp here: {done.stderr[-200:]}")
        first, second = done.stdout.splitlines()
        assert first.endswith("could not be written (Permission denied); the existing file is unchanged.")
        assert second.startswith(f"The output cannot be written to the folder {str(top)!r} (Permission denied)")
        assert (top / "file").read_bytes() == b"old"
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
