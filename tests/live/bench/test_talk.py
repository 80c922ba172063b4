"""Made conversations: what the reference says is what was put in, the same seed is the same bytes, benches read it."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live import config
from erc_live.live.bench import talk_maker
from erc_live.live.bench.diarization import bench_speakers
from erc_live.live.bench.endpoint import bench_endpoint
from erc_live.live.bench.recordings import SpeakerSegment, find, sounding
from erc_live.live.bench.talk import SpokenClip, TalkScript, VoiceInventory, write_script
from erc_live.live.bench.talk_maker import make_talk, rttm
from erc_live.live.bench.talk_sound import NOISES, TalkScene, draw_scene, render_talk
from erc_live.live.bench.talk_voices import from_clips, from_recording
from erc_live.live.demo import flite
from erc_live.live.errors import ConfigError
from erc_live.live.session.engines import segmenter_config
from erc_live.live.speakers.embedding import open_voice_reader
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ

DEMO = Path(flite.__file__).parent
QUIET = TalkScene(0.1, 100.0, (1.0,), 2.0, telephone=False, noise="hiss", snr_db=60, moved_s=None, level_db=-26)


def tone(*spans_s: tuple[float, float], hertz: float = 400.0, name: str = "tone", style: str = "") -> SpokenClip:
    """Sounds from and to the given seconds, with a tenth of a second of silence behind."""
    length = round((spans_s[-1][1] + 0.1) * SAMPLE_RATE_HZ)
    t = np.arange(length)
    spans = tuple((round(a * SAMPLE_RATE_HZ), round(b * SAMPLE_RATE_HZ)) for a, b in spans_s)
    loud = np.any([(t >= a) & (t < b) for a, b in spans], axis=0)
    pcm = np.where(loud, 8_000 * np.sin(2 * np.pi * hertz * t / SAMPLE_RATE_HZ), 0)
    return SpokenClip(name, style, pcm.astype(np.int16), spans)


@st.composite
def clips(draw: st.DrawFn) -> SpokenClip:
    at, spans = 0.1, []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.floats(0.1, 4.0))
        spans.append((at, at + length))
        at += length + draw(st.floats(0.2, 0.9))
    return tone(*spans, style=draw(st.sampled_from(["", "neutral", "angry"])))


@st.composite
def scripts(draw: st.DrawFn) -> TalkScript:
    people = draw(st.integers(1, 8))
    some = st.lists(clips(), min_size=1, max_size=3).map(tuple)
    short = (tone((0.1, 0.5)),)
    voices = [VoiceInventory(f"P{number}", draw(some), short) for number in range(people)]
    listeners = [voice.person for voice in voices[1 + draw(st.integers(0, people - 1)) :]]
    length_s, seed = draw(st.floats(1.0, 40.0)), draw(st.integers(0, 999))
    script = write_script(voices, listeners, length_s, np.random.default_rng(seed))
    assert script == write_script(voices, listeners, length_s, np.random.default_rng(seed))
    assert script.length >= length_s * SAMPLE_RATE_HZ
    return script


@given(scripts())
def test_everybody_speaks_and_nobody_over_themself(script: TalkScript) -> None:
    assert {turn.person for turn in script.turns} == {voice.person for voice in script.voices}
    for voice in script.voices:
        spans = sorted(span for turn in script.turns if turn.person == voice.person for span in turn.sounding)
        assert all(before[1] < after[0] for before, after in pairwise(spans))
        assert spans[0][0] >= 0
        assert spans[-1][1] <= script.length


@given(scripts())
def test_listeners_only_answer_and_all_others_talk_at_once_one_time(script: TalkScript) -> None:
    crowd = [turn.person for turn in script.turns if turn.kind == "all at once"]
    talkers = [voice.person for voice in script.voices if voice.person not in script.listeners]
    assert sorted(crowd) == (talkers if len(talkers) > 1 else [])
    assert {turn.kind for turn in script.turns if turn.person in script.listeners} <= {"backchannel"}
    barge_ins = [turn for turn in script.turns if turn.kind == "barge-in"]
    for turn in barge_ins:
        assert any(other.start < turn.start < other.end for other in script.turns if other.person != turn.person)


@given(scripts())
def test_the_reference_is_where_clips_sound(script: TalkScript) -> None:
    lines = [line.split() for line in rttm("x", script).splitlines()]
    for voice in script.voices:
        annotated = [(float(f[3]), float(f[3]) + float(f[4])) for f in lines if f[7] == voice.person]
        for turn in script.turns:
            for start, end in turn.sounding if turn.person == voice.person else ():
                inside = [
                    s
                    for s in annotated
                    if s[0] - 1e-6 <= start / SAMPLE_RATE_HZ and end / SAMPLE_RATE_HZ <= s[1] + 1e-6
                ]
                assert len(inside) == 1
    starts = [float(f[3]) for f in lines]
    assert starts == sorted(starts)


def test_what_the_microphone_hears_sounds_where_the_reference_says() -> None:
    voice = VoiceInventory("Ann", (tone((0.1, 1.4), (1.9, 3.0)), tone((0.1, 0.9))), (tone((0.1, 0.5)),))
    script = write_script([voice], [], 20.0, np.random.default_rng(0))
    pcm = render_talk(script, QUIET, np.random.default_rng(0))
    assert len(pcm) == script.length
    loud = sounding(pcm, [SpeakerSegment(0.0, len(pcm) / SAMPLE_RATE_HZ, "Ann")])
    expected = [span for turn in script.turns for span in turn.sounding]
    assert [s.start_s for s in loud] == pytest.approx([a / SAMPLE_RATE_HZ for a, _ in expected], abs=0.02)
    assert [s.end_s for s in loud] == pytest.approx([b / SAMPLE_RATE_HZ for _, b in expected], abs=0.06)  # echo


@pytest.mark.parametrize("noise", sorted(NOISES))
def test_noise_is_as_far_below_the_speech_as_it_should_be(noise: str) -> None:
    voice = VoiceInventory("Ann", (tone((0.1, 2.0)),), (tone((0.1, 0.5)),))
    script = write_script([voice], [], 20.0, np.random.default_rng(1))
    scene = TalkScene(0.1, 100.0, (1.0,), 2.0, telephone=False, noise=noise, snr_db=20, moved_s=None, level_db=-26)
    pcm = render_talk(script, scene, np.random.default_rng(0)) / 32_768
    sounds = np.zeros(len(pcm), bool)
    for start, end in (span for turn in script.turns for span in turn.sounding):
        sounds[start : end + SAMPLE_RATE_HZ // 5] = True  # and its echo
    level_db, floor_db = (10 * np.log10(np.square(pcm[where]).mean()) for where in (sounds, ~sounds))
    assert level_db == pytest.approx(-26, abs=1.5)
    assert floor_db == pytest.approx(-46, abs=1.5)


def test_the_telephone_leaves_its_band_and_a_moved_microphone_is_quieter() -> None:
    voice = VoiceInventory("Ann", tuple(tone((0.1, 2.0), hertz=hz) for hz in (100, 1_000, 6_000)), (tone((0.1, 0.5)),))
    script = write_script([voice], [], 20.0, np.random.default_rng(1))
    scene = TalkScene(0.1, 100.0, (1.0,), 2.0, telephone=True, noise="hiss", snr_db=40, moved_s=10.0, level_db=-26)
    pcm = render_talk(script, scene, np.random.default_rng(0)).astype(float)
    power = np.square(np.abs(np.fft.rfft(pcm)))
    hertz = np.fft.rfftfreq(len(pcm), 1 / SAMPLE_RATE_HZ)
    assert power[(hertz > 300) & (hertz < 3_400)].sum() > 0.99 * power.sum()
    before, after = (np.percentile(np.abs(part), 99) for part in np.split(pcm, [10 * SAMPLE_RATE_HZ]))
    assert after < 0.7 * before


@given(st.integers(0, 200))
def test_a_voice_recorded_by_telephone_is_met_by_telephone_alone(seed: int) -> None:
    clip = (tone((0.1, 2.0)),)
    voices = [VoiceInventory("Ann", clip, clip), VoiceInventory("Ben", clip, clip, narrow=True)]
    script = write_script(voices, [], 5.0, np.random.default_rng(seed))
    scene = draw_scene(script, np.random.default_rng(seed))
    assert scene.telephone
    assert len(scene.distances_m) == 2


@pytest.fixture(scope="module")
def demo_voices() -> list[VoiceInventory]:
    return [from_recording(DEMO / name) for name in ("ada.flac", "ben.flac")]


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Conversations of half a minute are enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(talk_maker, "LENGTH_S", (25.0, 30.0))
        yield


@pytest.fixture(scope="module")
def made(demo_voices: list[VoiceInventory], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    make_talk(folder, demo_voices, seed=3, number=2, people=[2, 1])
    return folder


def test_the_same_seed_makes_the_same_bytes(made: Path, demo_voices: list[VoiceInventory], tmp_path: Path) -> None:
    names = []
    make_talk(tmp_path / "again", demo_voices, seed=3, number=1, people=[2], progress=names.append)
    make_talk(tmp_path / "other", demo_voices, seed=4, number=1, people=[2])
    assert names == ["talk3-00-2p"]
    for ending in ("flac", "rttm"):
        again = (tmp_path / "again" / f"talk3-00-2p.{ending}").read_bytes()
        assert again == (made / f"talk3-00-2p.{ending}").read_bytes()
        assert again != (tmp_path / "other" / f"talk4-00-2p.{ending}").read_bytes()


def test_the_manifest_says_what_is_in_each(made: Path) -> None:
    manifest = json.loads((made / "talk.json").read_text())
    assert manifest["seed"] == 3
    assert [entry["name"] for entry in manifest["conversations"]] == ["talk3-00-2p", "talk3-01-1p"]
    for entry, recording in zip(manifest["conversations"], find([made]), strict=True):
        assert recording.segments is not None
        assert {segment.speaker for segment in recording.segments} == {*entry["people"]}
        assert entry["duration_s"] == recording.mixed().duration_s
        assert entry["duration_s"] > max(turn["end_s"] for turn in entry["turns"])
        assert entry["scene"]["noise"] in NOISES


def test_the_benches_take_the_folder_as_it_is(made: Path) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs the extra bench")
    reader = open_voice_reader(config.SpeakersSection())
    assert reader is not None
    two = find([made])[:1]
    (scored,) = bench_speakers(two, config.Config(), reader, lambda _name: None)
    assert scored.people == 2
    assert scored.at_once.share(scored.at_once.right_s) > 0.4
    report = bench_endpoint(two, segmenter_config(config.Config()), None, [0.4])
    row = report.used
    assert row.ends + row.missed + row.unheard >= 3


def test_a_recording_is_cut_into_turns_at_its_long_pauses(tmp_path: Path) -> None:
    whole = tone((1, 3), (3.4, 5), (7, 7.4), (9, 14), (14.3, 22), (22.5, 26))
    path = tmp_path / "two words.flac"
    path.write_bytes(encode_flac(whole.pcm))
    voice = from_recording(path)
    assert voice.person == "two_words"  # the fields of RTTM are parted by spaces
    assert not voice.narrow
    lengths = [(clip.sounding_to - clip.sounding_from) / SAMPLE_RATE_HZ for clip in voice.clips]
    assert lengths == pytest.approx([4, 5, 7.7, 3.5], abs=0.05)
    assert [len(clip.sounding) for clip in voice.clips] == [2, 1, 1, 1]
    assert len(voice.backchannels) == 1


def test_acted_clips_have_their_emotion_and_their_first_word_is_an_answer(tmp_path: Path) -> None:
    folder = tmp_path / "Actor_01"
    folder.mkdir()
    for name in ("03-01-05-01-01-01-01.flac", "03-01-01-01-01-01-01.flac", "other.flac"):
        (folder / name).write_bytes(encode_flac(tone((0.5, 2.5)).pcm))
    voice = from_clips(folder)
    assert {clip.name: clip.style for clip in voice.clips} == {
        "03-01-05-01-01-01-01.flac": "angry",
        "03-01-01-01-01-01-01.flac": "neutral",
        "other.flac": "",
    }
    for word in voice.backchannels:
        assert 0.3 <= (word.sounding_to - word.sounding_from) / SAMPLE_RATE_HZ <= 0.6


def test_silence_is_nobodys_voice(tmp_path: Path) -> None:
    (tmp_path / "x.flac").write_bytes(encode_flac(np.zeros(SAMPLE_RATE_HZ, np.int16)))
    with pytest.raises(ConfigError, match="nobody is to be heard in its 1 sound files"):
        from_clips(tmp_path)
    with pytest.raises(ConfigError, match="nobody speaks for longer than"):
        from_recording(tmp_path / "x.flac")
