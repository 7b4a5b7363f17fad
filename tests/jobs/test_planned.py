import pytest

from tlexp.jobs.planned import way_out


@pytest.mark.parametrize("when", ["", " while it was planned, before any run"])
def test_an_interruption_says_what_it_met_and_how_to_go_on(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), way_out("; a page", when=when):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == f"interrupted{when}; the same command typed again goes on; a page\n"
