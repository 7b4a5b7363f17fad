import json
from pathlib import Path

import pytest

from tlexp.errors import TrainingError
from tlexp.jobs.lease import LAPSE_SECONDS, LeaseWatch
from tlexp.jobs.peers import Peers, await_peers
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import PROCESS_FILE


def process(root: Path, peer: Peers, **changes: object) -> None:
    """Let a command be of another process than it is."""
    path = root / ".commands" / peer.name / PROCESS_FILE
    path.write_text(json.dumps(process_identity() | changes))


def test_commands_see_each_other_until_they_end(tmp_path: Path) -> None:
    with Peers(tmp_path) as first, Peers(tmp_path) as second:
        assert (first.others(), second.others()) == ([second.name], [first.name])
        first.require_place()
    assert Peers(tmp_path).others() == []
    assert not list(tmp_path.glob(".stop-*"))
    await_peers(tmp_path)


def test_one_that_is_dead_is_made_to_end_in_case_it_is_not(tmp_path: Path) -> None:
    with Peers(tmp_path) as dead, Peers(tmp_path) as living:
        process(tmp_path, dead, pid=1, started=0)
        assert living.others() == []
        assert dead.stop.exists()
        with pytest.raises(TrainingError, match="another one took its trials over; typed again it goes on"):
            dead.require_place()
        living.require_place()
        assert not living.stop.exists()


def test_one_of_another_host_is_taken_for_dead_when_it_is_silent_for_too_long(tmp_path: Path) -> None:
    now = 0.0
    with Peers(tmp_path) as elsewhere, Peers(tmp_path) as here:
        process(tmp_path, elsewhere, host="another")
        here._watches[elsewhere.name] = LeaseWatch(tmp_path / ".commands" / elsewhere.name, lambda: now)
        assert here.others() == [elsewhere.name]
        now = LAPSE_SECONDS
        assert here.others() == [elsewhere.name]
        now = LAPSE_SECONDS + 1
        assert here.others() == []
        assert elsewhere.stop.exists()


def test_who_does_not_share_waits_for_those_that_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Peers(tmp_path)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            sharing.__exit__(None, None, None)

    monkeypatch.setattr("tlexp.jobs.peers.time.sleep", sleep)
    sharing.__enter__()
    await_peers(tmp_path)
    assert len(slept) == 3
    assert "1 commands with hydra.sweeper.storage are at work" in capsys.readouterr().err
