"""Mistakes on the command line: conflicting options, and outputs that could not be written or read back."""

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.commands.predict_and_report import check_table_path, write_table
from fastmlp.tables.table_files import read_table


def test_stuck_and_nets_options_exclude_each_other():
    result = CliRunner().invoke(app, ["xor", "--stuck", "--nets", "5"])
    assert result.exit_code == 2
    assert "leave --nets out" in result.output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--device", "gpu"), "Unknown device 'gpu'. Did you mean 'cuda'?"),
        (("--class-weight", "balancd"), "--class-weight should be balanced"),
    ],
)
def test_unknown_names_are_refused_before_the_table_is_read(option, words):
    found = CliRunner().invoke(app, ["train", "no.csv", "--target", "y", *option])
    assert found.exit_code == 1
    assert words in " ".join(found.stderr.split())


@pytest.mark.parametrize("name", ("out.csv", "out.csv.gz", "out.tsv", "out.tsv.gz"))
def test_written_tables_can_be_read_back(name, tmp_path):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"prediction": ["a, b", "c"], "probability_c": [0.25, 0.5]})
    check_table_path(tmp_path / name)
    write_table(table, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), table)


@pytest.mark.parametrize("name", ("out.xyz", "out", "csv"))
def test_output_with_unknown_ending_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"A table should be a file ending in \.csv, .* but it is"):
        check_table_path(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
def test_unwritable_output_fails_before_training(tmp_path):
    """The output is checked even before the table is read."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    folder = "/proc/self" if Path("/proc/self").exists() else str(locked)  # root may write into a locked folder
    found = CliRunner().invoke(app, ["train", "no.csv", "--target", "y", "--output", f"{folder}/net.safetensors"])
    assert found.exit_code == 1
    assert "The output cannot be written to the folder" in " ".join(found.stderr.split())
