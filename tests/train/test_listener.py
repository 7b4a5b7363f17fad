from tlexp.train.listener import Listener


def test_the_base_hears_everything_and_asks_nothing():
    listener = Listener()
    listener.phase("final", 3)
    listener.step(1, {"loss": 1.0, "lr": 0.1})
    listener.message("text")
    listener.validated("select-000-fold0", 3, 3, 1.0)
    assert listener.should_stop() is None
    assert listener.looks(960, 100) == frozenset()
