"""What a page knows: the newest word on everything, whoever looks how often."""

import msgspec
import recorded_talk as talk
from examples import PUBLIC_TYPES, messages
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.report.page_state import PageState
from erc_live.streams.messages import Hello


def fed(*messages: object, **options: object) -> PageState:
    state = PageState(talk.START_NS, **options)
    for message in messages:
        state.feed(message)
    return state


def items(state: PageState) -> dict[str, dict[str, dict[str, object]]]:
    """As a browser is given them."""
    return msgspec.json.decode(msgspec.json.encode(state.changes(0)[1]))


MESSAGES = talk.events()


@given(st.lists(st.tuples(st.sampled_from(MESSAGES), st.booleans()), max_size=30))
def test_what_changed_since_each_look_adds_up_to_what_there_is(steps):
    state = fed(talk.greeting(), live=True)
    version, page = state.changes(0)
    for message, looks in [*steps, (MESSAGES[2], True)]:
        state.feed(message)
        if looks:
            version, changed = state.changes(version)
            for kind, rows in changed.items():
                page[kind] = {k: row for k, row in (page.get(kind, {}) | rows).items() if row is not None}
    whole = state.changes(0)[1]
    assert {kind: rows for kind, rows in page.items() if rows} == {kind: rows for kind, rows in whole.items() if rows}


@given(st.lists(messages(*PUBLIC_TYPES), max_size=8))
def test_whatever_a_stream_says_is_a_page(stream):
    state = PageState(live=True)
    for message in (talk.greeting(), *stream):
        state.feed(message)
    page = items(state)
    assert page["status"]["now"]["t0"] <= page["status"]["now"]["t1"]
    assert all(row["speaker"] in page["speakers"] for row in page.get("utterances", {}).values())


def test_a_later_word_on_an_utterance_counts_whatever_comes_when():
    first, final, revised = (talk.said(0, 1, revision=n, final=n > 0, text=f"word {n}", words=()) for n in range(3))
    for order in ((first, final, revised), (revised, first, final), (final, revised, first)):
        assert items(fed(talk.greeting(), *order))["utterances"]["d/u0"]["text"] == "word 2"


def test_people_stand_beside_the_estimate_and_never_in_its_place():
    page = items(fed(*MESSAGES))
    row = page["utterances"]["d/u1"]
    assert row["label"] == "joy"
    assert row["probs"]["joy"] == 0.9
    assert row["people"] == [["Ann", "surprise"]]
    assert page["speakers"]["d/1"]["called"] == "Akiko"
    assert page["speakers"]["d/1"]["name"] == talk.NAMES[1]


def test_a_later_label_by_the_same_person_takes_the_place_of_the_earlier_one_also_before_the_event():
    said = [talk.annotation("label", 1, utterance="u0", label=label) for label in ("joy", "anger")]
    assert items(fed(talk.greeting(), *said, talk.said(0, 1)))["utterances"]["d/u0"]["people"] == [["Ann", "anger"]]


def test_what_was_said_later_counts_whenever_it_arrives():
    """As in `conversation_view`, by which exports go."""
    one, two = (
        msgspec.structs.replace(talk.annotation("label", 1, utterance="u0", label=label), wall_ns=n)
        for n, label in enumerate(("joy", "anger"))
    )
    names = [msgspec.structs.replace(talk.annotation("name", 1, speaker=0, text=f"n{n}"), wall_ns=n) for n in range(2)]
    for order in ((one, two, *names), (two, one, *names[::-1])):
        page = items(fed(talk.greeting(), talk.said(0, 1), *order))
        assert page["utterances"]["d/u0"]["people"] == [["Ann", "anger"]]
        assert page["speakers"]["d/0"]["called"] == "n1"


def test_an_utterance_that_turns_out_to_be_somebody_else_s_leaves_nothing_behind():
    state = fed(talk.greeting(), talk.said(0, 1), talk.said(1, 4, speaker=1))
    version, _ = state.changes(0)
    state.feed(talk.said(1, 4, speaker=0, revision=3))
    _, changed = state.changes(version)
    assert changed["speakers"]["d/1"] is None
    assert changed["speakers"]["d/0"].utterances == 2


def test_what_is_missing_is_there_once_and_what_goes_on_has_no_end():
    gap = MESSAGES[-2]
    page = items(fed(*MESSAGES[:7], gap, gap, MESSAGES[12]))
    assert sorted((band["cause"], band["t1"]) for band in page["bands"].values()) == [
        ("device", 27.0),
        ("overload", None),
    ]
    causes = [band["cause"] for band in items(fed(*MESSAGES))["bands"].values()]
    assert sorted(causes) == ["device", "overload", "paused", "paused"]


def test_sums_are_of_final_utterances():
    state = fed(talk.greeting(), talk.said(0, 1, 2.0), talk.said(1, 2, 3.0, speaker=1), talk.said(2, 9, final=False))
    one, other = items(state)["speakers"].values()
    assert (one["talk_s"], one["utterances"], one["overlap_s"], one["interrupted"]) == (2.0, 1, 1.0, 1)
    assert (other["talk_s"], other["share"], other["interruptions"]) == (3.0, 0.6, 1)


def test_latency_is_by_stage_and_a_correction_makes_nobody_wait():
    late = talk.said(0, 1, revision=2, t_published_ns=talk.START_NS + 90 * talk.S)
    rows = items(fed(talk.greeting(), talk.said(0, 1), late))["latency"]
    assert {name: row["p95_ms"] for name, row in rows.items()} == {
        "endpoint: end of speech to utterance closed": 200.0,
        "words: closed to words": 100.0,
        "features: words to features": 100.0,
        "graph: features to decision": 100.0,
        "publish: decision to sent": 1.0,
        "all": 501.0,
    }


def test_who_comes_late_reads_that_something_was_before():
    late = msgspec.structs.replace(talk.said(9, 30), seq=40)
    assert "first 40 events" in items(fed(talk.greeting(), late, live=True))["lacks"]["late"]["text"]
    assert "lacks" not in items(fed(talk.greeting(), talk.said(0, 1), live=True))


def test_a_name_that_the_events_have_too_is_there_once():
    named = talk.annotation("name", 9.0, speaker=0, text="Zed")
    state = fed(talk.greeting(), talk.said(0, 1), named)
    assert items(state)["speakers"]["d/0"]["called"] == "Zed"
    state.feed(talk.said(1, 10, speaker_name="Zed"))
    assert "called" not in items(state)["speakers"]["d/0"]


def test_another_session_begins_anew():
    state = fed(*MESSAGES, live=True)
    state.feed(msgspec.structs.replace(talk.greeting(), session="next", t_ns=0))
    page = items(state)
    assert state.epoch == 1
    assert page["head"]["session"]["session"] == "next"
    assert "utterances" not in page
    assert page["status"]["now"]["phase"] == "live"


def test_the_origin_of_labels_is_named_for_the_shipped_weights_alone():
    from erc_live.models import card

    model = card.read("default").hashes[card.WEIGHTS][:12]
    ours = items(fed(msgspec.structs.replace(MESSAGES[0], model=model)))["head"]["session"]["weights"]
    own = items(fed(*MESSAGES))["head"]["session"]["weights"]
    assert "MELD" in ours
    assert "MELD" not in own


def test_the_text_of_the_notice_is_on_the_page():
    assert isinstance(MESSAGES[0], Hello)
    assert items(fed(MESSAGES[0]))["head"]["session"]["notice"] == "People are told."
