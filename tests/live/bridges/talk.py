"""A short session for the tests of bridges, as messages of the public stream."""

import examples

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import Gap, PublicEvent, SessionState

S = 1_000_000_000
NAME = "Åsa „7“"
TALK: tuple[PublicEvent, ...] = (
    examples.hello(session="s1", t_ns=5 * S, wall_ns=1_700_000_000 * S),
    SessionState(session="s1", t_ns=5 * S, recording=True, paused=False),
    examples.event(6, final=False),
    examples.event(7, speaker_name=NAME, text="schön, 好", valence=0.5, arousal=-0.25),
    Annotation(session="s1", t_ns=8 * S, wall_ns=0, author="Eve", kind="mark", text="door opens"),
    Alert(session="s1", t_ns=9 * S, rule="anger", on=True, text="Ada: anger above 0.6 for 5 s", value=0.7),
    Gap(source="mic-0", t_start_ns=9 * S, t_end_ns=10 * S, lost=31, cause="device"),
    examples.event(11, revision=1, label="anger"),
    examples.session_end(2),
)
FINALS = [message for message in TALK if getattr(message, "final", False)]
