"""Where the commands of learning find and keep things: weights that were trained here, an encoder, measurements."""

from pathlib import Path

import platformdirs

from erc_live.live import config as configuration
from erc_live.live.session.weight_cache import models_folder


def own_weights(network: str) -> Path:
    """Where weights that were trained here lie, so that `--network` finds them."""
    return platformdirs.user_data_path("erc-live") / "networks" / network


def encoder_folder(name: str) -> Path:
    """Where a fetched text encoder lies."""
    return models_folder(configuration.load().config.models) / name


def cache_folder() -> Path:
    """Where measurements and text vectors are kept. It may be deleted at any time."""
    return platformdirs.user_cache_path("erc-live") / "features"
