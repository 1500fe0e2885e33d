"""A busy machine: many processes at once, processes that are stopped, full disks, very much of all.

Each at a size of seconds; `SAMEMIND_LOAD=full` makes them as large as docs/reliability.md says,
which takes an hour on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import torture
from samemind.errors import StoreError
from samemind.execution import InProcess
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.running import advance
from test_faults import file_system

SCRIPT = Path(__file__).with_name("overload.py")
IS_FULL = os.environ.get("SAMEMIND_LOAD") == "full"

pytestmark = pytest.mark.slow


def told(what: str, small: int, full: int, *more: object) -> dict[str, float]:
    """What the scenario tells, which ran in a process of its own."""
    count = full if IS_FULL else small
    asked = [sys.executable, str(SCRIPT), what, "--count", str(count), *map(str, more)]
    path = {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path])}
    found = subprocess.run(
        asked, capture_output=True, text=True, check=False, env=os.environ | path
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_comparisons_that_write_one_report_at_once_leave_one_whole():
    told("reports", 3, 16)


def test_overlapping_studies_on_one_store_survive_kills():
    kills = 30 if IS_FULL else 3
    assert told("company", 3, 8, "--kills", kills)["kills"] >= kills


def test_a_run_that_was_stopped_for_longer_than_patience_hurts_nothing():
    found = told("stopped", 1, 1)
    assert found["in_work"]
    assert found["left"] == []


def test_many_comparisons_in_one_process_hold_no_more_than_the_first():
    found = told("compares", 30, 200)
    assert found["end_mb"] < found["first_tenth_mb"] + 20


def test_twice_the_models_take_no_more_than_what_they_hold():
    """Four times the pairs; what is kept of each is a row of the table."""
    few, many = told("pairs", 8, 64), told("pairs", 16, 128)
    assert many["rows"] > 4 * few["rows"]
    assert many["peak_mb"] < 2.5 * few["peak_mb"] + 20


def test_a_folder_of_very_many_pictures_is_read_where_it_is_looked_at():
    found = told("pictures", 3_000, 100_000)
    assert found["pictures"] == (100_000 if IS_FULL else 3_000)


def test_the_page_of_very_many_models_stays_small():
    found = told("models", 100, 500, "--measures", 6 if IS_FULL else 3)
    assert found["page_mb"] < 15


# -- disks that fill up


def test_a_disk_that_fills_up_at_any_stage_is_one_clear_error_and_leaves_nothing(
    tmp_path, execution
):
    study = read_study(torture.TINY)
    needs = tmp_path / "needs"
    assert not advance(study, Store(needs), InProcess(), execution).failed
    total = sum(f.stat().st_size for f in needs.rglob("*") if f.is_file())
    stopped_at, told = set(), "The disk is full"
    with file_system(tmp_path / "disk", f"size={total // 16}") as disk:
        root = disk / "store"
        # The same store all the way: each stage is the first that finds the disk full once.
        for sixteenth in range(2, 32):
            size = f"remount,size={sixteenth * total // 16}"
            subprocess.run(["mount", "-o", size, str(disk)], check=True)
            before = torture.finished(root) if root.is_dir() else {}
            try:
                done = advance(study, Store(root), InProcess(), execution)
            except StoreError as error:  # not even the mark of a store can be written
                told = str(error)
                continue
            assert before.items() <= torture.finished(root).items()
            # What a long build had done so far may stay: the next run goes on with it.
            assert [n for n in torture.leftovers(root) if not n.startswith("scratch/")] == []
            if not done.failed:
                break
            assert len(done.failed) == 1
            assert isinstance(done.failed[0].error, StoreError)
            assert "The disk is full: free some space" in str(done.failed[0].error)
            stopped_at.add(done.failed[0].item.kind)
        else:
            raise AssertionError("the study never ended")
        assert torture.same_artifacts(root, needs)
        assert not torture.leftovers(root)
    assert "The disk is full" in told
    assert len(stopped_at) >= 3, stopped_at
