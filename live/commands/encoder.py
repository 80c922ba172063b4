"""`erc-live encoder`: train and measure what turns sound, faces and words into vectors.

Each encoder has its commands in a file of its own, with the options that it needs.
"""

import typer

from erc_live.live.commands import encoder_face as face
from erc_live.live.commands import encoder_text as text
from erc_live.live.commands import encoder_voice as voice

encoder_app = typer.Typer(
    help="What turns sound, faces and words into vectors: train one, measure one.", no_args_is_help=True
)
train_app = typer.Typer(help="Train an encoder.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Measure an encoder, also as live use would spoil its input.", no_args_is_help=True)
encoder_app.add_typer(train_app, name="train")
encoder_app.add_typer(evaluate_app, name="evaluate")
train_app.command("voice")(voice.train)
evaluate_app.command("voice")(voice.evaluate)
train_app.command("face")(face.train)
evaluate_app.command("face")(face.evaluate)
train_app.command("text")(text.train)
