"""Full disks, read-only ones, and folders that vanish: nothing is lost, and the error names a file.

A disk is a file system of some kilobytes that a process of its own may mount (Linux).
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_callbacks import at, fit_state, regularized, variables
from test_sweeps import GRID, data, dense

from epochlab import sweep
from epochlab.training import grid

KEPT = ["folder", "runs.jsonl", "state"]
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def run(path, n, callbacks=()):
    """Sweep or fit with what is kept at `path`, the more the greater `n`; return what came out."""
    if path.name == "state":
        model = regularized()
        history, report = fit_state(model, path, epochs=3 * n, callbacks=callbacks)
        return history.epoch, history.history, report, [v.tolist() for v in variables(model)]
    table = sweep(dense, data, GRID, seeds=n, epochs=2, cache=path)
    return table.drop(columns="seconds").to_dict()


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.stat().st_size}


def fails(disk, number, path, n):
    with pytest.raises(OSError) as caught:
        run(path, n)
    assert caught.value.errno == number and str(disk) in str(caught.value)


def on_a_disk(disk, name):
    """Of a full and a read-only disk; in a process that may mount."""
    disk, elsewhere = Path(disk), Path(disk).with_name("elsewhere")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], check=True)
    path, filler = disk / name, disk / "filler"
    expected = run(elsewhere / name, 2)
    before = {}
    for kilobytes in (0, 4, 8, 16):
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(room - 1024 * kilobytes))
        try:
            assert run(path, 2) == expected
        except OSError as error:
            assert error.errno == errno.ENOSPC and str(disk) in str(error)
        filler.unlink()
        kept = contents(disk)
        assert not [each for each in kept if each.endswith(".part")]
        assert before.keys() <= kept.keys()  # what was finished is still there
        before = kept
    assert run(path, 2) == expected

    before = contents(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    if name != "state":
        assert run(path, 2) == expected  # no run is missing, so nothing is written
    fails(disk, errno.EROFS, path, 3)
    fails(disk, errno.EROFS, disk / "new" / name, 1)
    assert contents(disk) == before


@pytest.mark.slow
def test_a_full_disk_and_a_read_only_one(tmp_path):
    may_mount = [*IN_A_NAMESPACE, "true"]
    if not shutil.which("unshare") or subprocess.run(may_mount, check=False).returncode:
        pytest.skip("there is no unshare, or it may not be used")
    code = "from test_faults import on_a_disk"
    for name in KEPT:
        (disk := tmp_path / name / "disk").mkdir(parents=True)
        code += f"; on_a_disk({str(disk)!r}, {name!r})"
    command = [*IN_A_NAMESPACE, sys.executable, "-c", code]
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_a_folder_that_vanishes(name, tmp_path, monkeypatch):
    folder, run_job, done = tmp_path / "gone", grid.run_job, []

    def vanish():
        folder.rename(tmp_path / "elsewhere")

    def vanishing(job):
        done.append(job)
        if len(done) == 6:
            vanish()
        return run_job(job)

    path = folder / name
    with monkeypatch.context() as patch:
        patch.setattr(grid, "run_job", vanishing)
        try:
            run(path, 4, callbacks=[at(2, vanish)])
        except OSError as error:
            assert name != "runs.jsonl" and str(folder) in str(error)
        else:
            assert name == "runs.jsonl"  # the rest is recorded anew
    # What was finished is not lost, and what is there can be gone on with.
    assert run(path, 4) == run(tmp_path / "elsewhere" / name, 4)
