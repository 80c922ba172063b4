"""Engines and weights: whether the GPU computes, how fast each recogniser is here, and whether weights are whole.

The rule of this file: what may abort a process runs in one of its own (`probes.py`), and every byte of weights is
compared with its published digest.
"""

import importlib.util
from collections.abc import Iterator
from functools import partial

import msgspec

from erc_live.live.doctor.findings import UNUSABLE, Case, Check, Finding
from erc_live.live.doctor.probes import ProbeResult, attempt

LIBRARIES = ("torch", "torch_geometric", "transformers", "faster_whisper", "onnxruntime", "av")
_SPEECH = "speech to text"  # what the purpose of a recogniser begins with, in the table of weights
_BRISK = 0.5  # above this, two people who talk at once are too many for a machine


def engine_checks(case: Case) -> Iterator[Check]:
    """In the order in which people read them; one per recogniser on this disk."""
    from erc_live.live.session.weight_cache import rows

    yield Check("libraries", "engines", _libraries, "loading the libraries")
    yield Check("CUDA and cuDNN", "engines", _cuda, "trying CUDA in a process of its own")
    yield Check("emotion weights", "engines", _emotion_weights)
    for row in rows(case.models_folder):
        if row.folder is None:
            continue
        name = row.weight.name
        yield Check(f"weights {name}", "engines", partial(_fetched, name), f"reading {name}")
        if row.weight.purpose.startswith(_SPEECH) and case.speed_test:
            yield Check(f"speed {name}", "engines", partial(_speed, name), f"recognising the demo with {name}")


def _libraries(check: Check, case: Case) -> Finding:
    """Load all at once; only if that fails, one after the other, to learn which it is."""
    absent = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if absent:
        light = "no session can run here, but the events of others can be read"
        why = f"not installed: {', '.join(absent)}: {light}"
        return check.finding("missing", why, "pip install 'erc-live[live]'", UNUSABLE)
    if attempt("libraries", *LIBRARIES).failure:
        broken = {name: failure for name in LIBRARIES if (failure := attempt("libraries", name).failure)}
        if broken:
            why = f"cannot be loaded: {'; '.join(f'{name}: {failure}' for name, failure in broken.items())}"
            return check.finding("missing", why, "pip install --force-reinstall 'erc-live[live]'", UNUSABLE)
    return check.finding("ok", f"all load: {', '.join(LIBRARIES)}")


def _cuda(check: Check, case: Case) -> Finding:
    return cuda_finding(check, case.config.tracker.device, attempt("torch_cuda"))


def cuda_finding(check: Check, device: str, outcome: ProbeResult) -> Finding:
    """What follows from trying CUDA for a session whose `tracker.device` is this."""
    if importlib.util.find_spec("torch") is None:
        return check.finding("skipped", "torch is not installed")
    on_cpu = "--set tracker.device=cpu"
    if outcome.failure:
        if device == "cpu":
            return check.finding("skipped", f"torch on CUDA fails ({outcome.failure}), and tracker.device is cpu")
        return check.finding("missing", f"torch on CUDA fails: {outcome.failure}", on_cpu, UNUSABLE)
    values = outcome.values
    if not values["available"]:
        if device == "cuda":
            why = f"tracker.device is cuda, and torch {values['torch']} finds no GPU"
            return check.finding("missing", why, on_cpu, UNUSABLE)
        return check.finding("ok", f"torch {values['torch']} finds no GPU; none is needed")
    return check.finding("ok", f"torch {values['torch']} computes on {values['device']}, cuDNN {values['cudnn']}")


def _emotion_weights(check: Check, case: Case) -> Finding:
    """Raises WeightsError where a file is not the one of its card."""
    from erc_live.models import card

    described = card.read(case.config.tracker.weights)
    files = f"{described.folder}: as its card says (files: {len(described.hashes)})"
    return check.finding("ok", f"{files}; labels {', '.join(described.card.labels)}")


def _fetched(name: str, check: Check, case: Case) -> Finding:
    from erc_live.models.weights import verify

    problems = verify(name, case.models_folder)
    if problems:
        return check.finding("missing", "; ".join(problems), f"erc-live models fetch {name}", UNUSABLE)
    return check.finding("ok", "every digest is right")


def _speed(name: str, check: Check, case: Case) -> Finding:
    choice = msgspec.structs.replace(case.config.transcriber, engine="faster-whisper", model=name)
    return speed_finding(check, attempt("recogniser", msgspec.json.encode(choice).decode(), str(case.models_folder)))


def speed_finding(check: Check, outcome: ProbeResult) -> Finding:
    """What the measured speed of a recogniser means for a session."""
    if outcome.failure:
        return check.finding("warning", f"cannot be used: {outcome.failure}", "choose another transcriber.model")
    figures = {key: value for key, value in outcome.values.items() if isinstance(value, float)}
    factor = figures["real_time_factor"]
    detail = f"{outcome.values['name']}: {factor:.2f} s of work for 1 s of speech, loaded in {figures['load_s']:.1f} s"
    if factor > _BRISK:
        remedy = "a smaller transcriber.model, or end what else keeps the machine busy"
        return check.finding("warning", f"{detail}: too slow for people who interrupt each other", remedy, 0, figures)
    return check.finding("ok", detail, figures=figures)
