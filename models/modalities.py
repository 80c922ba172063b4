"""The three modalities, in the one order that every tensor, card and letter of an option follows.

The rule of this file: it imports nothing, so that a card can be read without torch.
"""

MODALITIES = ("text", "audio", "visual")
