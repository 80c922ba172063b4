"""Training what hears a voice: frozen layers listen once to all clips, a linear answer is learnt from what they say.

Temperature and usual distance come from people who taught nothing: without folds from dev, which is scored, too.
`voice_folds.py` takes them from people who are left out of folds, and scores these.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from erc_live.models.encoders.ctranslate2_file import read_variables
from erc_live.models.encoders.packing import pack, unpack
from erc_live.models.encoders.speaker import SpeakerEncoder
from erc_live.models.encoders.voice import KIND, VoiceEncoder
from erc_live.models.encoders.voice_network import Listener, VoiceConfig, VoiceNetwork
from erc_live.models.encoders.whisper_encoder import published
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.encoder_evaluation import evaluate_voice
from erc_live.models.training.run_folder import write_encoder
from erc_live.models.training.voice_dataset import CONDITIONS, DescribedVoices
from erc_live.models.training.voice_head import answers_of, calibrate, fit_head
from erc_live.models.weights import locate

WHISPER = "tiny.en"  # row of the table of weights


@dataclass(frozen=True)
class VoiceTraining:
    """How to train. `seed` draws the spoilt copies; `pull`: of the weights towards 0 (logistic_regression.py)."""

    seed: int = 0
    copies: int = 4  # of each clip, spoilt at random
    pull: float = 0.1
    network: VoiceConfig = field(default_factory=VoiceConfig)


def begun(config: VoiceConfig, models: Path, speakers: SpeakerEncoder) -> Listener:
    """What listens, as others taught it, from the fetched recogniser in the folder `models` and from what tells
    speakers apart. Its weights are in 8 bits already, so that all that is learnt is learnt from what is shipped.

    Raises:
        WeightsError: the recogniser has not been fetched, or cannot be read.
    """
    home = locate(WHISPER, models)
    if home is None:
        raise WeightsError(f"{WHISPER} is not in {models}: erc-live models fetch {WHISPER}")
    try:
        whisper = published(read_variables(home / "model.bin", "encoder/"), config.blocks)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{home / 'model.bin'} is damaged ({error}): erc-live models fetch {WHISPER}") from error
    listener = Listener(config)
    listener.begin_with(whisper, speakers.recurrent.state_dict())
    listener.load_state_dict(unpack(pack(listener.state_dict())))
    return listener.eval().requires_grad_(False)


def fit_voice(voices: DescribedVoices, config: VoiceTraining) -> VoiceNetwork:
    """A network that has learnt from clips, not calibrated yet."""
    torch.manual_seed(config.seed)
    network = VoiceNetwork(config.network).eval()
    network.listener = voices.listener
    fit_head(network, voices, config.pull)
    return network


def train_voice(
    learnt: DescribedVoices, dev: DescribedVoices, out: Path, config: VoiceTraining, about: Mapping[str, Any]
) -> VoiceEncoder:
    """Train, take temperature and usual distance from `dev`, write weights and card into the folder `out`.

    The scores on the card are those of the files as written.

    Args:
        learnt: at least one clip of each label that shall be heard.
        dev: of other people.
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (corpus, command, licence).

    Raises:
        CorpusError: there is nothing to learn from, or to be measured by.
        WeightsError: `out` cannot be written to.
    """
    if len(learnt.clips) < 2 or not dev.clips:
        raise CorpusError(
            f"{len(learnt.clips)} clips to learn from and {len(dev.clips)} to be measured by: there must be 2 and 1"
        )
    network = fit_voice(learnt, config)
    known = calibrate(network, answers_of(network, dev))

    def scores() -> dict[str, Any]:
        encoder = VoiceEncoder.load(out)
        return {", ".join(("dev", *names)): asdict(evaluate_voice(encoder, dev.clips, names)) for names in CONDITIONS}

    return write_voice(network, out, {**about, **asdict(config), **known}, scores)


def write_voice(
    network: VoiceNetwork, out: Path, training: Mapping[str, Any], scores: Callable[[], Mapping[str, Any]]
) -> VoiceEncoder:
    """Write weights and card, with what `scores` finds in the folder then. Raises WeightsError when it cannot."""
    card = {"format": KIND.format, "labels": list(KIND.labels or ()), "network": asdict(network.config)}
    write_encoder(network, out, {**card, "training": training}, scores, packed=True)
    return VoiceEncoder.load(out)
