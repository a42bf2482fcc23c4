"""What all readers share: parts, resuming, damage, workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_set import SESSIONS, TRIALS, ElsewhereReader, ToyOptions, ToyReader, write_toy_set

from laboratory import listing
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.preparation import prepare

HERE = Path(__file__).parent
KILLABLE = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from moments import Moment, stop_at
from toy_set import ToyReader
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.preparation import prepare
import os
for n, line in enumerate(sys.stdin):
    event, path, count, number, folder, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        stop_at(Moment(event, path, int(count), int(number)))
        try:
            prepare(ToyReader(), folder, out)
        except KeyboardInterrupt:
            os._exit(2)
        except NeuroalignError as error:
            os._exit(3 if "disk is full" in str(error) else 4)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy_set(tmp_path / "toy")


def test_every_number_arrives_beside_its_picture(toy: Path, tmp_path: Path) -> None:
    recordings = prepare(ToyReader(), toy, tmp_path / "out", options=ToyOptions(scale=2.0))
    assert len(recordings) == 2 * SESSIONS * TRIALS
    for position, trial in recordings.trials.iterrows():
        file = toy / trial["subject"] / f"session-{trial['session']}.npy"
        names = file.with_suffix(".csv").read_text().split()[1:]
        expected = 2 * np.load(file)[names.index(trial["stimulus"])]
        np.testing.assert_allclose(recordings.take([position]).read()[0], expected, rtol=1e-6)
    assert set(recordings.select(split="test").trials["stimulus"]) == {"p00", "p01"}
    assert np.load(tmp_path / "out" / "extra" / "s2.npy").tolist() == [0, 1, 2, 3, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "toy"]
    recordings.verify_checksums()


def test_killed_interrupted_or_short_of_disk_it_ends_the_same_to_the_last_byte(
    toy: Path, tmp_path: Path
) -> None:
    prepare(ToyReader(), toy, tmp_path / "whole")
    expected = listing(tmp_path / "whole")
    moments = [
        ("open", "*/parts/.*s1_session-2*signals.npy", 1),
        ("os.rename", "*/parts/s2_session-1", 1),
        ("os.rename", "*/people/s1", 1),
        ("open", "*/people/.s2*.npy", 1),
        ("os.rename", "*/out", 1),
        ("os.link", "*/s2.npy", 1),
        ("shutil.rmtree", "*/.out.unfinished", 1),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, str(HERE), str(HERE.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    for event, path, count in moments:
        for number, expected_status in (
            (signal.SIGINT, 2),
            (signal.SIGKILL, -signal.SIGKILL),
            (0, 3),
        ):
            if number == 0 and event != "open":
                continue  # a disk is full where something is written
            out = tmp_path / "out"
            fields = (event, path, count, int(number), toy, out)
            process.stdin.write("\t".join(map(str, fields)) + "\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            assert status == expected_status, (event, path)
            shutil.rmtree(out, ignore_errors=True)  # it may have been complete by then
            prepare(ToyReader(), toy, out)
            assert listing(out) == expected, (event, path, number)
            shutil.rmtree(out)
            assert {p.name for p in tmp_path.iterdir()} == {"toy", "whole"}
    process.communicate()


def test_what_was_finished_is_not_read_again(toy: Path, tmp_path: Path) -> None:
    read: list[str] = []

    class Failing(ToyReader):
        def stage(self, part, options, write):
            read.append(part.name)
            if part.name == "s2_session-1" and fail:
                raise NeuroalignError("this one cannot be read")
            return super().stage(part, options, write)

    fail = True
    with pytest.raises(NeuroalignError, match="cannot be read"):
        prepare(Failing(), toy, tmp_path / "out")
    assert read == ["s1_session-1", "s1_session-2", "s2_session-1"]
    fail = False
    read.clear()
    os.utime(toy / "s1" / "session-2.npy")  # changed since: its time says so
    prepare(Failing(), toy, tmp_path / "out")
    assert read == ["s1_session-2", "s2_session-1", "s2_session-2"]


def test_processes_change_nothing(toy: Path, tmp_path: Path) -> None:
    prepare(ToyReader(), toy, tmp_path / "one")
    prepare(ElsewhereReader(), toy, tmp_path / "many", jobs=2)
    assert listing(tmp_path / "one") == listing(tmp_path / "many")


def test_a_dask_cluster_of_two_worker_processes_changes_nothing(toy: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    prepare(ToyReader(), toy, tmp_path / "one")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        prepare(ElsewhereReader(), toy, tmp_path / "many", dask=address)
        file = toy / "s2" / "session-1.npy"
        np.save(file, np.full_like(np.load(file), np.nan))
        with pytest.raises(NeuroalignError, match="s2_session-1: 25 value"):
            prepare(ToyReader(), toy, tmp_path / "broken", dask=address)
    assert listing(tmp_path / "one") == listing(tmp_path / "many")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "tcp://127.0.0.1"])
def test_a_scheduler_that_is_not_there_is_said(toy: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(NeuroalignError, match="No Dask scheduler answers"):
        prepare(ToyReader(), toy, tmp_path / "out", dask=address)


def test_a_copy_under_another_name_is_refused(toy: Path, tmp_path: Path) -> None:
    shutil.copy(toy / "s1" / "session-1.npy", toy / "s2" / "session-2.npy")
    with pytest.raises(NeuroalignError, match=r"s2_session-2: 12 trial\(s\), 100%.*s1_session-1"):
        prepare(ToyReader(), toy, tmp_path / "out")


def test_all_that_is_fatal_is_listed(toy: Path, tmp_path: Path) -> None:
    (toy / "s1" / "session-1.npy").unlink()
    (toy / "s2" / "session-2.npy").unlink()
    with pytest.raises(NeuroalignError, match=r"(?s)s1: 1 sessions.*s2: 1 sessions"):
        prepare(ToyReader(), toy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_another_preparation_of_the_same_folder_is_refused(toy: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / ".out.unfinished").mkdir()
    with (
        FileLock(tmp_path / ".out.unfinished" / "lock"),
        pytest.raises(NeuroalignError, match="Another process"),
    ):
        prepare(ToyReader(), toy, tmp_path / "out")
    assert isinstance(prepare(ToyReader(), toy, tmp_path / "out"), Recordings)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_numbers_are_named(toy: Path, tmp_path: Path, value: float) -> None:
    file = toy / "s2" / "session-1.npy"
    signals = np.load(file)
    signals[7, 3] = value
    np.save(file, signals)
    with pytest.raises(NeuroalignError, match=r"s2_session-1: 1 value.*trial 7 .*session-1\.npy"):
        prepare(ToyReader(), toy, tmp_path / "out")
