"""Tensors in, tensors out: the dialogue models, their encoders, training and weights. No sockets, devices or screens.

The rule of this file: it imports nothing, so that a program which only wants an error type does not load torch.
"""
