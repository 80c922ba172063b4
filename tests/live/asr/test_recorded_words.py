"""The words of a recorded session: of an utterance that was said again after a `Relabel`, once."""

from msgspec import structs

from erc_live.live.asr.transcript_file import read_cues
from erc_live.live.requests import Cue
from erc_live.streams.messages import Recogniser, UtteranceFeatures
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

SAID = UtteranceFeatures(
    dialogue="main", utterance="mic-0:1000", source="mic-0", speaker_name=None, text="well",
    engine=Recogniser(name="e"),
    face_coverage=None, final=True,
    t_start_ns=10**9, t_end_ns=2 * 10**9, t_closed_ns=3 * 10**9, closed_by="silence", t_text_ns=0, t_features_ns=0,
    revision=0, words=(), text_confidence=None, skipped=False,
)  # fmt: skip


def test_what_was_said_again_is_one_cue(tmp_path) -> None:
    with Recorder(
        tmp_path / "kept", new_manifest("s", 0, 0, [RecordedSource(name="mic-0", kind="audio", speaker="")], {})
    ) as kept:
        for revision, voice in enumerate(("mic-0#1", "mic-0#2")):
            kept.write(structs.replace(SAID, revision=revision, voice=voice))
    assert [(cue.text, cue.source) for cue in read_cues(tmp_path / "kept")] == [("well", "mic-0")]
    assert isinstance(read_cues(tmp_path / "kept")[0], Cue)
