"""From labelled dialogues to weights: every seed by itself, then the one that is best on dev.

The text encoder is either left as it is, and then a seed takes minutes, or tuned together with the graph.
With `folds` nothing is chosen on what is scored: `graph_folds.py`.

Where several processes work on it (`torchrun`), the first of them writes and the others wait.

A run leaves `seed-N/` with weights and card of each seed, and the files of the best seed beside them.
"""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState

from erc_live.models import checkpoint
from erc_live.models.blocks.heads import shift_logits
from erc_live.models.encoders.text import TextEncoder, TextHead, fingerprint_with_head
from erc_live.models.errors import CorpusError
from erc_live.models.files import writing
from erc_live.models.training.augment import UNDISTURBED
from erc_live.models.training.dialogue_dataset import (
    DialogueDataset,
    EncodedDialogues,
)
from erc_live.models.training.fold_encoders import open_encoders
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.graph_task import GraphTask, new_network, offsets
from erc_live.models.training.judgement import Judged
from erc_live.models.training.published_task import PublishedTask, schedule
from erc_live.models.training.ratings import with_dimensions
from erc_live.models.training.run_folder import GraphRun, finished, write_best, write_seed
from erc_live.models.training.trainer import RESUME, Recipe, Trainer

EPOCHS_APART = 100_003  # between the first seeds of two runs; a prime, as the figures of the README were drawn with
ENCODER = "encoder"  # folder of a run: the packed text encoder, where one that is not packed is used as it is


def train_graph(
    dataset: DialogueDataset,
    encoder: Path,
    config: TrainConfig,
    run: Run,
    judged: Judged | None = None,
    head: Path | None = None,
) -> checkpoint.Checkpoint:
    """Train every seed on `train` and write the one that is best on `dev`.

    The same seed on the same machine gives the same weights, whether the run was interrupted or not.

    Args:
        dataset: the dialogues, their text not yet encoded.
        encoder: folder of the text encoder to use, or to begin with if it is tuned.
        config: how to train.
        run: where it goes, and who watches it.
        judged: what folds said of the recipe, whose scores, temperature and threshold are then those of the weights.
        head: folder of the encoder whose own answer the network begins with, if it has one; None: that of `encoder`.

    Raises:
        CorpusError: nothing in the corpus has a label, or one of the modalities; or it brings text vectors, and a text
            encoder is to be tuned.
        WeightsError: encoder or start weights cannot be read or do not fit, the loss is no number any more, or the
            results cannot be written.
    """
    workers = PartialState(cpu=not torch.accelerator.is_available())  # this process, or all that `torchrun` started
    config = with_dimensions(config, dataset.train)
    dataset = dataset.only(config.modalities)
    dataset.check()
    config = replace(config, tune_text=config.tune_text and "text" in dataset.modalities())
    if dataset.brought():
        config = _as_published(dataset, config)
    head = head or encoder
    names = [fingerprint_with_head(folder) for folder in (encoder, head)]
    key = hashlib.sha256(repr((dataset.digest(), names, replace(config, seeds=()))).encode()).hexdigest()[:16]
    if config.tune_text:
        data = dataset.ready(dataset.train, None, dataset.dev)
    else:
        if not (text := TextEncoder.load(encoder)).packed:
            encoder = _packed(text, run.out)
        unmarked = config.disturbance.unpunctuated > 0.0
        data = dataset.encoded(open_encoders(encoder, workers.device), run.cache, run.watch, unmarked)
    return _seeds(GraphRun(dataset, config, run, key, encoder, head, judged), data)


def _as_published(dataset: DialogueDataset, config: TrainConfig) -> TrainConfig:
    """Without what prepares for live use, for no session makes the vectors that a corpus brought."""
    if "text" in dataset.brought() and config.tune_text:
        raise CorpusError(
            f"{' and '.join(dataset.corpora)}: it brings text vectors, and no text encoder can be trained on them: "
            "leave out --tune-text"
        )
    return replace(config, disturbance=UNDISTURBED)


def _seeds(graph_run: GraphRun, data: EncodedDialogues) -> checkpoint.Checkpoint:
    config, run, workers = graph_run.config, graph_run.run, PartialState()
    for seed in config.seeds:
        folder = run.out / f"seed-{seed}"
        if run.resume and finished(folder, graph_run.key):
            continue
        if workers.is_main_process and not run.resume:
            shutil.rmtree(folder, ignore_errors=True)
        workers.wait_for_everyone()
        torch.manual_seed(seed)
        text = TextEncoder.load(graph_run.text)
        brought = "text" in graph_run.dataset.brought()  # then the vectors are none that a head was made for
        text.head = None if brought else TextHead.load(graph_run.head)
        network = new_network(data, text, config)
        recipe = Recipe(
            key=graph_run.key,
            seed=seed,
            first_seed=seed * EPOCHS_APART + 1,
            epochs=config.epochs,
            ema=config.ema,
            clip=config.clip,
            patience=config.patience,
            chosen=config.patience is not None,
            stop=config.stop,
            **schedule(config),
        )
        task = GraphTask if config.published is None else PublishedTask
        fit = Trainer(task(network, data, config), recipe, folder / RESUME, run.watch).fit()
        if workers.is_main_process:
            network.load_state_dict(fit.weights)
            shift_logits(network.cpu().eval().model, -offsets(data, config))
            write_seed(graph_run, network.model, text, fit, seed)
        workers.wait_for_everyone()
    if workers.is_main_process:
        write_best(graph_run)
    workers.wait_for_everyone()
    return checkpoint.load(str(run.out.resolve()))  # absolute: a folder may be called like shipped weights


def _packed(text: TextEncoder, out: Path) -> Path:
    """The folder of the encoder as it will lie beside the weights: what is learnt from must be what is used later."""
    folder, workers = out / ENCODER, PartialState()
    if workers.is_main_process:
        with writing(folder):
            shutil.rmtree(folder, ignore_errors=True)
            text.save(folder)
    workers.wait_for_everyone()
    return folder
