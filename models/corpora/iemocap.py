"""IEMOCAP: acted conversations of two people, in the layout of the official release.

    Session1 .. Session5/dialog/transcriptions/Ses01F_impro01.txt    Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
                        /dialog/EmoEvaluation/Ses01F_impro01.txt     [6.2901 - 8.2357]  Ses01F_impro01_F000  neu  [...]
                        /dialog/wav/*.wav, /dialog/avi/DivX/*.avi    a dialogue each
                        /sentences/wav/Ses01F_impro01/*.wav          an utterance each

The folder is the one with the sessions in it, or the one above, `IEMOCAP_full_release`'s.

Labels: six (happy, sad, neutral, angry, excited, frustrated). With `:4way` behind the folder, four: excited counts as
happy, and frustrated is not labelled. What the raters called otherwise, or did not agree on, stays in the dialogue as
context without a label.

Splits: session 5 is test. Nobody published a dev split, so one sixth of the dialogues of sessions 1 to 4 is dev, which
is 20 of all 120, chosen by SHA-256 of their names (splits.held_out); the rest is train.

A dialogue has one man and one woman, who are called M and F, so the gender of a speaker is in the name.

Valence and arousal are the means of the raters, 1 to 5 in the release, here -1 to 1 as everywhere.

Sound is that of the sentences where a dialogue has them, otherwise a piece of the dialogue's; the picture is a piece of
the dialogue's. Marks such as [LAUGHTER] are no words, and no recogniser writes them: they are left out.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.corpora.splits import held_out
from erc_live.models.errors import CorpusError

NAME = "IEMOCAP"
SIX = {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "excited", "fru": "frustrated"}
FOUR = {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "happy"}
GENDER = {"M": "male", "F": "female"}  # by the letter of a speaker
FOUR_WAY = ":4way"
TEST_SESSION = "Session5"
DEV_SHARE = 20 / 120

SPOKEN = re.compile(r"(Ses\d\d[FM]_\S+)\s+\[([\d.]+)\s*-\s*([\d.]+)\]:\s*(.*)")
RATED = re.compile(r"\[[\d.]+\s*-\s*[\d.]+\]\s+(\S+)\s+(\w+)\s+\[(?:\s*([\d.]+)\s*,\s*([\d.]+))?")
MARK = re.compile(r"\[[A-Z _]+\]|\+\+[A-Z _]+\+\+|<[A-Z _]+>")


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not IEMOCAP."""
    sessions = {transcript.parents[2].name for transcript in _transcripts(_base(folder))}
    return (("train", "dev") if sessions - {TEST_SESSION} else ()) + (("test",) if TEST_SESSION in sessions else ())


def read(folder: Path, split: str) -> Split:
    """Read one split that `splits` names.

    Raises:
        CorpusError: a dialogue lacks the labels that belong to it.
    """
    four = folder.name.endswith(FOUR_WAY)
    transcripts = _transcripts(_base(folder))
    rest = [path.stem for path in transcripts if path.parents[2].name != TEST_SESSION]
    dev = held_out(rest, DEV_SHARE)
    wanted = {"train": set(rest) - dev, "dev": dev, "test": {path.stem for path in transcripts} - set(rest)}[split]
    words = FOUR if four else SIX
    dialogues = tuple(_dialogue(path, words) for path in transcripts if path.stem in wanted)
    return Split(f"{NAME} 4-way" if four else NAME, split, tuple(dict.fromkeys(words.values())), dialogues)


def _base(folder: Path) -> Path:
    folder = folder.with_name(folder.name.removesuffix(FOUR_WAY)) if folder.name.endswith(FOUR_WAY) else folder
    inner = folder / "IEMOCAP_full_release"
    return inner if inner.is_dir() else folder


def _transcripts(base: Path) -> list[Path]:
    return sorted(base.glob("Session[1-5]/dialog/transcriptions/Ses*.txt"))


def _dialogue(transcript: Path, words: Mapping[str, str]) -> Dialogue:
    session, name = transcript.parents[2], transcript.stem
    ratings = session / "dialog" / "EmoEvaluation" / transcript.name
    if not ratings.is_file():
        raise CorpusError(f"{ratings} is missing: the labels of {name} are in it")
    rated = {match[1]: match for match in _matches(ratings, RATED)}
    sentences, recording = session / "sentences" / "wav" / name, session / "dialog" / "wav" / f"{name}.wav"
    divided = sentences.is_dir()
    video = session / "dialog" / "avi" / "DivX" / f"{name}.avi"
    utterances = []
    for match in sorted(_matches(transcript, SPOKEN), key=lambda match: float(match[2])):
        key, rating = match[1], rated.get(match[1])
        audio = sentences / f"{key}.wav" if divided else recording
        letter = key.rpartition("_")[2][:1]
        utterances.append(
            Utterance(
                speaker=f"{name[:5]}_{letter}",
                text=" ".join(MARK.sub(" ", match[4]).split()),
                label=words.get(rating[2].lower()) if rating else None,
                start_s=float(match[2]),
                end_s=float(match[3]),
                audio=audio if audio.is_file() else None,
                video=video if video.is_file() else None,
                valence=_centred(rating[3]) if rating else None,
                arousal=_centred(rating[4]) if rating else None,
                gender=GENDER.get(letter),
            )
        )
    if not utterances:
        raise CorpusError(f"{transcript}: no utterances in it, such as: Ses01F_impro01_F000 [006.2901-008.2357]: Hi.")
    return Dialogue(name, tuple(utterances), occasion=session.name)


def _centred(rating: str | None) -> float | None:
    """From the raters' mean, 1 to 5, to -1 to 1."""
    return None if rating is None else (float(rating) - 3) / 2


def _matches(path: Path, form: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for line in path.read_text(encoding="cp1252", errors="replace").splitlines():
        if match := form.match(line.strip()):
            yield match
