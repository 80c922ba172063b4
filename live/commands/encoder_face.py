"""`erc-live encoder train face` and `erc-live encoder evaluate face`: the pictures on disk, live curves,
the scores.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live.commands.degradations import confusion_table, degradations
from erc_live.live.screen.console import err, out
from erc_live.models.corpora import ferplus
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.training.encoder_evaluation import FaceScores
    from erc_live.models.training.face_dataset import FaceDataset

ABOUT = {
    "corpus": "FER+ train (Training); epoch and temperature chosen on dev (PublicTest)",
    "source": "FER2013 pictures (Goodfellow et al. 2013) with the FER+ votes (Barsoum et al. 2016), ten people each",
    "licence": "pictures of FER2013: research only, and so are weights that were trained on them; votes of FER+: MIT",
    "limits": [
        "stills from the web, many posed, of uneven origin, age and sex; grey, 48 px; faces in talk show far less",
        "a mouth that speaks looks like surprise or happiness in single pictures: mean over an utterance",
        "disgust, fear and contempt are rare in FER+ and are found least; sadness is often taken for neutral",
        "a grimace of pain or weeping, with narrowed eyes and drawn lips, is often taken for happiness",
        "the probabilities are calibrated to the votes of the crowd on dev, not to what a face means in a conversation",
        "says what a face shows, never what a person feels; not for decisions about people",
    ],
}

FerCorpus = Annotated[
    Path, typer.Option("--corpus", help="Folder of FER+: train.npz and valid.npz, or fer2013.csv and fer2013new.csv.")
]


def train(
    corpus: FerCorpus,
    into: Annotated[Path, typer.Option("--out", help="Folder for the weights and their card.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: those of the shipped weights.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights on one machine.")] = 0,
) -> None:
    """Train what reads a face, on the votes of FER+ train; the epoch is chosen on its dev split.

    A run that was interrupted goes on when the same command is given again.
    """
    from erc_live.live.commands.curves import print_precision, watched
    from erc_live.models.training.face_task import FaceTraining, train_face

    config = FaceTraining(seed=seed) if epochs is None else FaceTraining(seed=seed, epochs=epochs)
    dev, every = read(corpus, "dev"), read(corpus, "train")
    data = {"train": every.apart_from(dev.pictures), "dev": dev}
    if twice := len(every.labels) - len(data["train"].labels):
        err.print(
            f"{counted(twice, 'picture')} of train left out: they, or near copies, stand in dev, too", soft_wrap=True
        )
    about = {"command": " ".join(["erc-live", *sys.argv[1:]]), **ABOUT}
    print_precision()
    with watched(config.epochs, f"the same command goes on in {into}") as curves:
        train_face(data, into, config, about, curves)
    out.print(f"{into}: weights and card written", markup=False, soft_wrap=True)


def evaluate(
    corpus: FerCorpus,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "dev",
    degrade: Annotated[
        list[str] | None,
        typer.Option(help="blur, dark, small or tiny; several are done one after the other.", metavar="NAME"),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder of weights. Default: the shipped ones.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Score what reads a face on the pictures of a split: against the label with most votes, of eight."""
    from erc_live.models.card import PRETRAINED
    from erc_live.models.encoders.face import FaceEncoder
    from erc_live.models.training.encoder_evaluation import evaluate_face
    from erc_live.models.training.face_images import DEGRADATIONS

    names = degradations(degrade, DEGRADATIONS)
    encoder = FaceEncoder.load(weights or PRETRAINED / "face")
    faces = read(corpus, split)
    with err.status(f"looking at {counted(len(faces.labels), 'face')}"):
        scores = evaluate_face(encoder, faces, names)
    if as_json:
        out.print_json(data={"weights": encoder.fingerprint, "split": split, "degrade": names, **asdict(scores)})
        return
    _show(scores)


def read(corpus: Path, split: str) -> "FaceDataset":
    """The labelled faces of a split. Raises CorpusError when they cannot be read."""
    import torch

    from erc_live.models.training.face_dataset import FaceDataset

    found = ferplus.read(corpus, split)
    return FaceDataset.of(torch.from_numpy(found.pixels), torch.from_numpy(found.votes))


def _show(scores: "FaceScores") -> None:
    from erc_live.models.encoders.face import FACE_LABELS

    headings = [label[:4] for label in FACE_LABELS]  # whole, they would not fit in 80 columns
    out.print(confusion_table(FACE_LABELS, headings, scores.recall, scores.confusion))
    clear = (
        ""
        if scores.clear_accuracy is None
        else f" ({scores.clear_accuracy:.4f} of the {scores.clear_faces} clear ones)"
    )
    out.print(
        f"{counted(scores.faces, 'face')}: accuracy {scores.accuracy:.4f}{clear}, UAR {scores.uar:.4f}, "
        f"calibration error {scores.calibration_error:.4f}, cross-entropy to the votes {scores.votes_nll:.4f}",
        highlight=False,
        soft_wrap=True,
    )
