"""Where commands find and keep things: weights that were trained here, an encoder, measurements."""

import os
from pathlib import Path

import platformdirs

from erc_live.live import config as configuration
from erc_live.live.commands.options import NETWORK_NAMES
from erc_live.live.errors import ConfigError
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


def network_flags(network: str | None) -> dict[str, object]:
    """The key that the option --network sets. Raises ConfigError where there are no such weights."""
    if network is None:
        return {}
    weights = own_weights(network)
    if not weights.is_dir():
        raise ConfigError(f"--network {network}: no such weights in {weights.parent}{_known(weights.parent)}")
    return {"tracker.weights": str(weights)}


def _known(folder: Path) -> str:
    """What lies there, and how more comes there."""
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    there = f", which has {', '.join(names)}" if names else ""
    return (
        f"{there}; `erc-live train --corpus FOLDER --network NETWORK` puts weights there under the name of the network "
        f"({', '.join(NETWORK_NAMES)}), and with --out {folder}{os.sep}NAME under another; "
        "`erc-live labels new NAME --from FILE` makes some of example sentences"
    )
