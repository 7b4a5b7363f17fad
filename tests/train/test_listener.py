from tlexp.train.listener import Listener


def test_the_base_hears_everything_and_asks_nothing():
    listener = Listener()
    listener.phase("final", 3)
    listener.step(1, {"loss": 1.0, "lr": 0.1})
    listener.message("text")
    assert listener.should_stop() is None
