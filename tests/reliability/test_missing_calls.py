"""Processes in which POSIX calls are missing, as on Windows or macOS: fits, files and the command work."""

# Removed before `import fastmlp`: what Windows lacks of `os`, what macOS lacks of it, and modules that only POSIX has.
PROGRAM = """
import os, sys
import numpy, numba, llvmlite.binding  # of their own parts, which are not under test, none may be missing

WINDOWS = (
    "sched_getaffinity sched_setaffinity sched_setscheduler sched_yield sched_getcpu register_at_fork fork forkpty "
    "fchown fchmod chown getuid geteuid getgid getegid getpgid O_NOFOLLOW O_DIRECTORY O_CLOEXEC O_NONBLOCK "
    "posix_fadvise posix_fallocate pread pwrite preadv sysconf statvfs fstatvfs mkfifo WNOHANG getloadavg nice"
)
for name in WINDOWS.split():
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # `import` raises ImportError

import fastmlp

X = numpy.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
y = numpy.array([0, 1, 1, 0])
net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
history = net.fit(X, y, epochs=300, optimizer="adam", checkpoint=fastmlp.Checkpoint("run.ckpt", 100), verbose=0)
net.save("net.safetensors")
again = fastmlp.load("net.safetensors")
pop = fastmlp.Population((2, 4, 1), 40, random_state=0)
result = pop.fit(X, y, epochs=50, verbose=0)
pop.save("pop.safetensors")
print(history.epochs, bool((again.predict(X) == net.predict(X)).all()), result.loss.shape)
numpy.save("X.npy", numpy.tile(X, (50_000, 1)))  # 1.6 MB, and half as much of targets
numpy.save("y.npy", numpy.tile(y, 50_000))
files = {"memory_limit": "1MB"}
for is_second in (False, True):  # which goes on from the end of the first
    net = fastmlp.MLP((2, 4, 1), random_state=0)
    arguments = {**files, "epochs": 2 + is_second, "batch_size": 500}
    arguments["checkpoint"] = fastmlp.Checkpoint("stream.ckpt", resume=is_second)
    print(net.fit("X.npy", "y.npy", **arguments).epochs)
from fastmlp.commands.cli import main
sys.argv = ["fastmlp", "devices"]
main()
"""


def test_fits_and_files_work_without_posix_calls(fresh_python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = fresh_python(PROGRAM)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[:3] == ["300 True (40,)", "2", "3"]
    assert done.stderr.count("Reading 200,000 rows from disk in each epoch") == 2
    assert "cpu" in done.stdout
    assert "Traceback" not in done.stderr
