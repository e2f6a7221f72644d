"""How long requests are expected to take, from records of finished ones and from the pace of the one that runs."""

import pytest

from wan.serve.paces import Paces

RECORD = {
    "timing": {"model_load": 60.0, "text_encoding": 2.0, "inference": 100.0, "decode": 8.0, "save": 1.0},
    "forwards": {"executed_flops": 1e12},
}


@pytest.fixture
def paces() -> Paces:
    found = Paces()
    found.learn("a", RECORD)
    return found


def test_a_whole_run_takes_its_share_of_the_steps_and_all_of_the_rest(paces: Paces) -> None:
    assert paces.whole("a", 0.5e12) == pytest.approx(50 + 2 + 9)
    assert paces.whole("b", 0.5e12) is None


def test_after_its_last_step_only_the_decoder_is_left(paces: Paces) -> None:
    for done, now in ((0.0, 10.0), (0.25, 60.0), (0.5, 85.0)):
        paces.saw("one", done=done, now=now)
    assert paces.left("one", "a", 1e12) == pytest.approx(0.5 * 100 + 9)  # its own pace: a quarter in 25 s
    paces.saw("one", done=1.0, now=135.0)
    assert paces.left("one", "a", 1e12) == pytest.approx(9)


def test_before_its_first_step_it_is_expected_to_go_as_the_others_did(paces: Paces) -> None:
    paces.saw("one", done=0.0, now=10.0)
    assert paces.left("one", "a", 1e12) == pytest.approx(111)
    assert paces.left("one", "b", 1e12) is None


@pytest.mark.parametrize("record", [{}, {"timing": []}, {"timing": {"inference": "x"}, "forwards": {}}])
def test_what_is_no_record_teaches_nothing(record: dict[str, object]) -> None:
    paces = Paces()
    paces.learn("a", record)
    assert paces.whole("a", 1e12) is None
