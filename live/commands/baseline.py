"""`erc-live experiment baseline`: whether it helps to know how a person usually sounds, on clips of acted emotions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from erc_live.live.commands.encoder_voice import ALL, Clips, clips_of, read
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import counting
from erc_live.models.corpora import ravdess
from erc_live.models.errors import CorpusError

if TYPE_CHECKING:
    from erc_live.models.training.own_baseline import Comparison, Voices
    from erc_live.models.training.voice_dataset import VoiceClip


def baseline(
    corpus: Clips,
    first: Annotated[int, typer.Option(min=1, help="Utterances of each actor that are the baseline.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the utterances.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure what a person's own baseline is worth, on actors whom nothing was learnt from.

    Prosody on every actor, by a classifier that was fitted on all others; the voice network on actors 17-20,
    as networks heard them that did not learn from them.
    """
    from erc_live.models.training.own_baseline import compare

    listed = clips_of(corpus, ALL)
    actors = {clip.path.stem: clip.actor for clip in listed}
    recordings, missing = read(listed, "reading clips")
    for line in missing:
        print_line(f"left out: {line}")
    voices = _measured(recordings, actors)
    try:
        rows = compare(voices, list(ravdess.ACTORS["dev"]), first, seed)
    except ValueError as error:
        raise CorpusError(f"{corpus}: {error}") from error
    if as_json:
        out.print_json(data={"first": first, "seed": seed, "comparisons": [asdict(row) for row in rows]})
        return
    out.print(_table(rows))
    print_line("UAR; in brackets 95 % of 5,000 resamples of the actors (paired bootstrap).", out)


def _measured(clips: "list[VoiceClip]", actors: dict[str, int]) -> "Voices":
    """Prosody and voice of clips in which there is something to measure, with a bar."""
    import numpy as np
    import torch

    from erc_live.models.card import PRETRAINED
    from erc_live.models.encoders.audio import ProsodyEncoder
    from erc_live.models.encoders.voice import VoiceEncoder
    from erc_live.models.training.own_baseline import Voices
    from erc_live.models.training.voice_dataset import classes_of
    from erc_live.models.training.voice_folds import stored_answers

    torch.set_num_threads(1)  # the tensors are small: threads that wait for each other are far slower on a busy machine
    prosody, voice = ProsodyEncoder(), VoiceEncoder.load(PRETRAINED / "voice")
    folds = stored_answers(PRETRAINED / "voice")  # of networks that learnt nothing from the actor of a clip
    usable = [clip for clip in clips if clip.usable()]

    def measured(clip: "VoiceClip") -> tuple[np.ndarray, np.ndarray]:
        return prosody(clip.pcm), folds[clip.name].numpy() if clip.name in folds else voice(clip.pcm)

    with counting() as shown:
        vectors = [measured(clip) for clip in shown.track(usable, description="measuring")]
    if not vectors:
        raise CorpusError("no clip holds anything that can be measured")
    values, log_probs = (torch.from_numpy(np.stack(column)) for column in zip(*vectors, strict=True))
    people = torch.tensor([actors[clip.name] for clip in usable])
    return Voices(people, classes_of(usable), values, log_probs)


def _table(rows: "list[Comparison]") -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("what", "actors", "without", "with", "gain"):
        table.add_column(title, justify="left" if title == "what" else "right")
    for row in rows:
        gain = f"{row.with_baseline - row.without:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        figures = (f"{row.people}", f"{row.without:.3f}", f"{row.with_baseline:.3f}", gain)
        table.add_row(*map(Text, (row.what, *figures)))
    return table
