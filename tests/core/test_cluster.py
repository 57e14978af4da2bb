import msgpack
import pytest

from loadgen.data_port import OnEnd, Wanted
from loadgen.master.cluster import Cluster, CustomMessage, MemberChanged, MemberFailed, StopAsked
from loadgen.master.ledger import Ledger
from loadgen.master.members import MemberState
from loadgen.master.rows import RowLeases
from loadgen.master.store import MemoryStore
from loadgen.plan import ClassCount, UserPlan
from loadgen.wire.messages import FROM_MASTER, Header, MessageType, decode_header, decode_map, encode, encode_header
from tests.core.simulation import RUN_ID, SETTINGS

UID = b"u" * 16


class BlobStore(MemoryStore):
    """Keeps what it is given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}

    def save_blob(self, name: str, data: bytes) -> None:
        self.blobs[name] = data


class Wire:
    """A cluster, and one peer that says what a test wants it to say."""

    def __init__(self) -> None:
        self.store = BlobStore()
        self.cluster = Cluster(RUN_ID, SETTINGS.to_wire(), Ledger(), self.store)
        self.now_ns = 10**9

    def say(
        self, kind: MessageType, body: object = None, peer: bytes = b"p", uid: bytes = UID, run_id: bytes = RUN_ID
    ) -> None:
        header = encode_header(Header(kind, uid, run_id, 0, 0, 1))
        self.cluster.on_frames(peer, [header, encode(body if body is not None else {})], self.now_ns)

    def hello(self, peer: bytes = b"p", uid: bytes = UID) -> None:
        self.say(MessageType.HELLO, {"host": "h", "pid": 7}, peer, uid, bytes(16))

    def said(self) -> list[tuple[bytes, MessageType]]:
        sent = [(peer, decode_header(header, FROM_MASTER).type) for peer, header, _ in self.cluster.outgoing]
        self.cluster.outgoing.clear()
        return sent


def test_a_repeated_hello_is_welcomed_again_as_the_same_worker() -> None:
    wire = Wire()
    wire.hello()
    wire.hello()

    assert wire.said() == [(b"p", MessageType.WELCOME)] * 2
    assert [member.id for member in wire.cluster.members.values()] == ["w1"]


def test_a_worker_that_reconnects_is_spoken_to_on_its_new_connection() -> None:
    wire = Wire()
    wire.hello(b"old")
    wire.hello(b"new")
    wire.said()
    wire.say(MessageType.READY, {"classes": [["U", 1.0, 0]]}, b"old")
    wire.cluster.quit(wire.now_ns)

    assert wire.said() == [(b"old", MessageType.RESYNC), (b"new", MessageType.QUIT)]
    assert wire.cluster.rejected["stranger"] == 1


def test_a_peer_cannot_speak_for_another_worker() -> None:
    wire = Wire()
    wire.hello()
    wire.hello(b"q", b"v" * 16)
    wire.say(MessageType.BYE, {"reason": "forged"}, b"q", UID)

    assert {member.state for member in wire.cluster.members.values()} == {MemberState.JOINED}
    assert wire.cluster.rejected["stranger"] == 1


def test_another_major_version_is_told_why_it_is_refused() -> None:
    wire = Wire()
    header = msgpack.packb(["LG", 9, 0, 1, UID, bytes(16), 0, 0, 1])
    wire.cluster.on_frames(b"p", [header, encode({})], wire.now_ns)
    ((peer, sent, body),) = wire.cluster.outgoing

    assert (peer, decode_header(sent, FROM_MASTER).type) == (b"p", MessageType.REJECT)
    assert "peer speaks protocol 9" in decode_map(body)["text"]


def test_what_workers_report_becomes_events_once() -> None:
    wire = Wire()
    wire.hello()
    for _ in range(2):
        wire.say(MessageType.FAILED, {"code": "LG103", "text": "no", "traceback": "t"})
    wire.say(MessageType.CUSTOM, {"type": "rows", "data": [1]})
    wire.say(MessageType.ASK_STOP)

    assert wire.cluster.events == [
        MemberChanged("w1", MemberState.JOINED),
        MemberChanged("w1", MemberState.FAILED, "no"),
        MemberFailed("w1", "LG103", "no", "t"),
        CustomMessage("w1", "rows", [1]),
        StopAsked("w1"),
    ]


def test_a_command_is_repeated_until_it_is_acknowledged() -> None:
    wire = Wire()
    wire.hello()
    wire.cluster.stop(1.0, wire.now_ns)
    wire.said()
    for _ in range(3):
        wire.now_ns += 10**9
        wire.cluster.on_tick(wire.now_ns)
        assert (b"p", MessageType.STOP) in wire.said()
    header = encode_header(Header(MessageType.HEARTBEAT, UID, RUN_ID, 0, 1, 1))
    wire.cluster.on_frames(b"p", [header, encode({})], wire.now_ns)
    wire.now_ns += 10**9
    wire.cluster.on_tick(wire.now_ns)

    assert wire.said() == [(b"p", MessageType.HEARTBEAT)]


def test_hostile_bodies_of_a_known_worker_are_dropped_and_counted() -> None:
    wire = Wire()
    wire.hello()
    for kind, body in [
        (MessageType.READY, {"classes": [["U", "x", 0]]}),
        (MessageType.READY, {"classes": [[1]]}),
        (MessageType.READY, [1]),
        (MessageType.HELLO, {"pid": -1}),
        (MessageType.DELTA, {"rows": b"x"}),
    ]:
        wire.say(kind, body)

    assert wire.cluster.rejected["malformed"] == 4
    assert [member.state for member in wire.cluster.members.values()] == [MemberState.JOINED]


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param({"shares": 3}, id="a number"),
        pytest.param({"shares": [1]}, id="no row"),
        pytest.param({"shares": [[0, 0, 0, 2]]}, id="no step"),
        pytest.param({"shares": [[0, 0, 1, 3_000_000]]}, id="a huge claim"),
        pytest.param({"shares": [[0, 0, 1, 5]] * 9}, id="the same many times"),
        pytest.param({"shares": [[5, 0, 1, 1]]}, id="a class that is not in the plan"),
        pytest.param({"shares": [], "wave": 2**64 - 1}, id="a wave without end"),
        pytest.param({"wave": 0}, id="nothing"),
    ],
)
def test_a_returning_worker_cannot_claim_what_the_plan_does_not_have(claim: dict[str, object]) -> None:
    wire = Wire()
    wire.cluster.resume(UserPlan((ClassCount("U", 5),), 1.0), 1, [(UID, "w1", 0)], wire.now_ns)
    wire.say(MessageType.HELLO, {"state": "running", **claim})

    assert wire.cluster.rejected["malformed"] == 1
    assert wire.cluster.members[UID].silent
    wire.say(MessageType.HELLO, {"state": "running", "wave": 0, "shares": [[0, 1, 2, 2]]})
    assert wire.cluster.members[UID].held == {(0, 1), (0, 3)}


def test_leased_rows_are_in_the_store_before_the_worker_can_use_them() -> None:
    wire = Wire()
    wire.hello()
    wire.said()
    wanted = Wanted("users.csv", 10, OnEnd.STOP, number=1, count=4)
    wire.say(MessageType.ROWS_WANTED, wanted.to_wire())
    ((_, _, body),) = wire.cluster.outgoing

    leases = RowLeases.load(decode_map(wire.store.blobs["rows"]))
    assert decode_map(body)["rows"] == [[0, 4]]
    again = leases.want("w2", wanted)
    assert again is not None
    assert again.ranges[0].first == 4
