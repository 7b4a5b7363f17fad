from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tlexp.jobs import lease as module
from tlexp.jobs.lease import LAPSE_SECONDS, Beat, LeaseWatch, give_up, last_lease, read_lease, take_lease


def test_of_many_that_take_a_lease_in_one_moment_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: module._make(tmp_path, 1), range(16)))
    assert sum(taken) == 1


def test_a_job_that_is_started_again_takes_the_next_lease_until_it_is_over(tmp_path: Path) -> None:
    first = take_lease(tmp_path)
    assert first is not None
    first.end(over=False)
    assert read_lease(tmp_path, 1) == Beat(left=True)
    second = take_lease(tmp_path)
    assert second is not None
    second.end(over=True)
    assert (last_lease(tmp_path), take_lease(tmp_path)) == (2, None)


def test_a_job_that_was_given_up_or_has_no_folder_does_not_begin(tmp_path: Path) -> None:
    assert give_up(tmp_path)
    assert take_lease(tmp_path) is None
    assert take_lease(tmp_path / "gone") is None


def test_either_a_job_begins_or_it_is_given_up(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(2) as pool:
            began, given_up = pool.submit(take_lease, folder), pool.submit(give_up, folder)
        lease = began.result()
        assert lease is not None or given_up.result()
        if lease is not None and given_up.result():  # one after the other: the holder finds out
            assert last_lease(folder) == 2


def test_a_holder_that_was_given_up_finds_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    lease = take_lease(tmp_path)
    assert lease is not None
    with lease:
        assert give_up(tmp_path)
        lease._thread.join(0.5)
        assert lease.lost
    assert (state := read_lease(tmp_path, 1)) is not None
    assert state.beat > 0


def test_a_watch_counts_by_its_own_clock_since_the_last_change(tmp_path: Path) -> None:
    now = [0.0]
    watch = LeaseWatch(tmp_path, clock=lambda: now[0])
    watch.look()
    assert (watch.number, watch.state, watch.lapsed) == (0, None, False)
    lease = take_lease(tmp_path)
    assert lease is not None
    now[0] = LAPSE_SECONDS
    watch.look()
    assert (watch.number, watch.state) == (1, Beat())
    now[0] += LAPSE_SECONDS
    watch.look()
    assert not watch.lapsed
    lease._state = Beat(beat=1)
    lease._write()
    watch.look()
    now[0] += LAPSE_SECONDS + 1
    watch.look()
    assert watch.lapsed


def test_a_lease_that_was_damaged_or_just_made_says_nothing(tmp_path: Path) -> None:
    assert module._make(tmp_path, 1)
    assert read_lease(tmp_path, 1) is None
    (tmp_path / "leases" / "001" / "lease.json").write_text("{")
    assert read_lease(tmp_path, 1) is None
    assert take_lease(tmp_path) is not None
