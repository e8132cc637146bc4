"""Workers meet before they train: all are there in time and mean the same, or each says in one line what is wrong."""

import json
import socket
import threading

import pytest

from charlm.devices.local import asked_for, free_ports
from charlm.devices.meeting import Meeting, Place, check_same, place_in, seconds_to_wait

SOON = 0.5  # seconds to wait for one who does not come


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.fixture
def addresses():
    return tuple(f"127.0.0.1:{port}" for port in free_ports(3))


def meet(addresses, sayings, seconds=10.0, then=lambda told, place: told):
    """Let workers meet in threads, those with a saying; returns what each heard, or its error."""
    found = {}

    def one(rank, saying):
        place = Place(addresses, rank)
        try:
            with Meeting(place, seconds) as meeting:
                if isinstance(saying, Exception):
                    meeting.exchange({})
                    raise saying
                meeting.exchange({})
                found[rank] = then(meeting.exchange(saying), place)
        except (ValueError, RuntimeError) as error:
            found[rank] = str(error)

    threads = [threading.Thread(target=one, args=item) for item in sayings.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_all_workers_hear_what_all_say_the_chief_first(addresses):
    sayings = {rank: {"rank": rank} for rank in (2, 0, 1)}
    assert meet(addresses, sayings) == dict.fromkeys(range(3), [{"rank": 0}, {"rank": 1}, {"rank": 2}])


def test_a_worker_that_does_not_come_is_named_to_all_who_came(addresses):
    found = meet(addresses, {0: {}, 1: {}}, SOON)
    missing = f"worker 2 ({addresses[2]}) did not come within 0.5 s"
    assert missing in found[0] and missing in found[1] and "gave up" in found[1]


def test_a_chief_that_does_not_come_is_named(addresses):
    assert f"the chief ({addresses[0]}) did not come within 0.5 s" in meet(addresses, {1: {}}, SOON)[1]


def test_a_port_in_use_is_named(addresses):
    port = int(addresses[1].rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert f"Port {port}, which TF_CONFIG gives to worker 1" in meet(addresses, {1: {}}, SOON)[1]


def test_a_difference_is_told_in_the_same_words_by_every_worker(addresses):
    sayings = {0: {"keras": "3.15"}, 1: {"keras": "3.15"}, 2: {"keras": "3.8"}}
    found = meet(addresses, sayings, then=lambda told, place: check_same(told, place, {"keras": "Install one."}))
    line = f"keras is 3.15 on the chief ({addresses[0]}) and 3.8 on worker 2 ({addresses[2]}). Install one."
    assert found == dict.fromkeys(range(3), line)


@pytest.mark.parametrize("rank", [0, 1])
def test_why_a_worker_gives_up_is_told_to_the_others(addresses, rank):
    sayings = {0: {}, 1: {}, 2: {}, rank: RuntimeError("the text is gone")}
    found = meet(addresses, sayings)
    assert found.pop(rank) == "the text is gone" and len(found) == 2
    assert all("gave up" in said and "the text is gone" in said for said in found.values())


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"charlm": [1]}\n', b'{"charlm": 7}\n', b""])
def test_strangers_who_connect_are_left_alone(addresses, said):
    place, answers = Place(addresses[:2], 0), []
    with Meeting(place, 10.0) as meeting:
        with socket.create_connection(("127.0.0.1", int(addresses[0].rpartition(":")[2]))) as stranger:
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)

            def other():
                with Meeting(Place(addresses[:2], 1), 10.0) as theirs:
                    answers.append(theirs.exchange({"rank": 1}))

            thread = threading.Thread(target=other)
            thread.start()
            told = meeting.exchange({"rank": 0})
            thread.join()
    assert [told] == answers and told == [{"rank": 0}, {"rank": 1}]


def test_a_worker_of_other_addresses_is_told_so(addresses):
    found = {}

    def other():
        try:
            with Meeting(Place((addresses[0], addresses[2]), 1), 5.0) as meeting:
                meeting.exchange({})
        except ValueError as error:
            found[1] = str(error)

    thread = threading.Thread(target=other)
    thread.start()
    found |= meet(addresses[:2], {0: {}}, 2.0)
    thread.join()
    assert "TF_CONFIG names other workers there" in found[1] and "did not come" in found[0]


def test_tf_config_says_which_worker_this_is():
    assert place_in(None) is None and place_in(config({"worker": ["a:1"]})) is None
    assert place_in(config({"worker": ["a:1", "b:2"]}, index=1)) == (("a:1", "b:2"), 1)
    both = {"chief": ["a:1"], "worker": ["b:2", "b:3"]}
    assert place_in(config(both, "chief")).rank == 0
    last = place_in(config(both, "worker", 1))
    assert (last.addresses, last.rank, last.rank_on_host) == (("a:1", "b:2", "b:3"), 2, 1)
    assert [last.name_of(rank) for rank in (0, 2)] == ["the chief (a:1)", "worker 2 (b:3)"]


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        '{"cluster": {}}',
        config({"worker": ["a:1", "b:2"]}, index=2),
        config({"worker": ["a:1", "b:2"]}, index=-1),
        config({"worker": ["a:1", "b:2"], "ps": ["c:3"]}),
        config({"worker": ["a:1", "b:2"]}, "evaluator"),
        config({"worker": ["a", "b:2"]}),
    ],
)
def test_a_tf_config_that_cannot_be_meant_is_refused_with_the_shape_it_has_to_have(wrong):
    with pytest.raises(ValueError, match='TF_CONFIG has to look like {"cluster": '):
        place_in(wrong)


def test_the_number_of_devices_and_tf_config_must_agree():
    two = config({"worker": ["a:1", "b:2"]})
    assert asked_for(two, 2) == asked_for(two, None) and asked_for(None, 3) is None
    with pytest.raises(ValueError, match="--devices is 3, and TF_CONFIG names 2"):
        asked_for(two, 3)


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", "nan", "inf"])
def test_a_waiting_time_that_is_none_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("CHARLM_WAIT", wrong)
    with pytest.raises(ValueError, match="CHARLM_WAIT is"):
        seconds_to_wait()
