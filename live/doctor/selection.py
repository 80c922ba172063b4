"""What would run with the present configuration, and why: words, ends of turns, faces, voices, emotion.

The rule of this file: it asks the functions that decide for a session, and decides nothing itself.
"""

import importlib.util
from collections.abc import Iterator

from erc_live.live.doctor.findings import UNUSABLE, Case, Check, Finding
from erc_live.live.doctor.probes import attempt
from erc_live.live.errors import EngineError


def selection_checks() -> Iterator[Check]:
    """In the order of an utterance's way."""
    yield Check("purpose", "session", _purpose)
    yield Check("words", "session", _words, "choosing a recogniser")
    yield Check("ends of turns", "session", _turns)
    yield Check("voices", "session", _voices)
    yield Check("faces", "session", _faces)
    yield Check("emotion", "session", _emotion, "trying CUDA in a process of its own")
    yield Check("alerts", "session", _alerts)


def _purpose(check: Check, case: Case) -> Finding:
    """Raises ConfigError where a session may not be."""
    from erc_live.live.privacy import purpose

    purpose.check(case.config.session)
    settings = case.config.session
    return check.finding("ok", f"{settings.purpose}, setting {settings.setting}, by your configuration")


def _words(check: Check, case: Case) -> Finding:
    """Raises EngineError for a model that was named and is not whole, and for a pool that does not answer."""
    from erc_live.live.asr.whisper_models import choose_model, recommended

    choice = case.config.transcriber
    if choice.engine == "pool":
        from erc_live.live.asr.pooled_words import pooled_name

        return check.finding("ok", f"by {pooled_name(choice)} of the pool at transcriber.pool, which answers")
    if choice.engine in ("none", "transcript", "pocketsphinx"):
        return _named(check, choice.engine, choice.language)
    model, wanted = choose_model(choice, case.models_folder), recommended(choice)
    fetch = f"erc-live models fetch {wanted}"
    if model is None:
        if choice.engine == "auto" and choice.model == "auto" and importlib.util.find_spec("pocketsphinx"):
            return check.finding("warning", f"by pocketsphinx, half of them wrong, for {wanted} is not here", fetch)
        why = f"the speech recogniser {wanted} is not on this disk"
        return check.finding("missing", why, fetch, UNUSABLE)
    by = f"by faster-whisper {model.name} on {model.device}"
    if choice.model != "auto":
        return check.finding("ok", f"{by}, for transcriber.model names it")
    if model.name == wanted:
        return check.finding("ok", f"{by}, for this machine keeps up with it and with nothing larger")
    return check.finding("ok", f"{by}, the best on this disk; {wanted} fits this machine better", fetch)


def _named(check: Check, engine: str, language: str) -> Finding:
    """Engines of which there is nothing to choose. Raises EngineError where one cannot run."""
    if engine == "none":
        return check.finding("ok", "none, for transcriber.engine is none: voice and face alone decide")
    if engine == "transcript":
        return check.finding("ok", "from the transcript of --transcript, for transcriber.engine is transcript")
    if importlib.util.find_spec("pocketsphinx") is None:
        raise EngineError("pocketsphinx is not installed: pip install 'erc-live[offline]'")
    return check.finding("ok", f"by pocketsphinx ({language}), for transcriber.engine names it; half of them are wrong")


def _turns(check: Check, case: Case) -> Finding:
    from erc_live.models.weights import locate

    wanted = case.config.perception.turn_detector
    if wanted == "none":
        return check.finding("ok", "by pauses alone, for perception.turn_detector is none")
    if locate("smart-turn", case.models_folder):
        return check.finding("ok", "by smart-turn on the processor, for it is on this disk")
    fetch = "erc-live models fetch smart-turn"
    if wanted == "smart-turn":
        why = "perception.turn_detector is smart-turn, which is not on this disk"
        return check.finding("missing", why, fetch, UNUSABLE)
    return check.finding("warning", "by pauses alone, for smart-turn is not on this disk: events come later", fetch)


def _voices(check: Check, case: Case) -> Finding:
    config = case.config
    emotion = "not judged (session.text_only)" if config.session.text_only else "judged by the shipped encoder"
    if config.speakers.most == 1:
        return check.finding("ok", f"{emotion}; nobody is told apart, for speakers.most is 1")
    owner = case.mic.speaker if case.mic else None
    shared = f"the microphone is {owner}'s alone" if owner else "people at a shared microphone are told apart by voice"
    return check.finding("ok", f"{emotion}; {shared}")


def _faces(check: Check, case: Case) -> Finding:
    config = case.config
    if config.session.text_only or config.visual.face_finder == "none":
        reason = "session.text_only" if config.session.text_only else "visual.face_finder is none"
        return check.finding("ok", f"not looked for ({reason})")
    from erc_live.live.vision.detector import open_face_finder

    finder = open_face_finder(config.visual, case.models_folder)
    fetch = "erc-live models fetch yunet"
    unseen = "" if case.camera else "; no camera was asked for"
    if finder is None:
        return check.finding("warning", f"no engine can find them here{unseen}", fetch)
    if finder.name == "yunet" or config.visual.face_finder != "auto":
        return check.finding("ok", f"by {finder.name}, for it is here and wanted{unseen}")
    return check.finding(
        "ok", f"by {finder.name}, for yunet is not on this disk{unseen}", "erc-live models fetch yunet"
    )


def _emotion(check: Check, case: Case) -> Finding:
    """Raises WeightsError."""
    from erc_live.models import card

    tracker = case.config.tracker
    described = card.read(tracker.weights)
    by = f"by {described.card.network} ({tracker.weights})"
    if tracker.device != "auto":
        return check.finding("ok", f"{by} on {tracker.device}, for tracker.device names it")
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("torch is not installed", name="torch")
    cuda = attempt("torch_cuda").values.get("available")
    return check.finding("ok", f"{by} on {'cuda, for a GPU is there' if cuda else 'cpu, for torch finds no GPU'}")


def _alerts(check: Check, case: Case) -> Finding:
    """Raises ConfigError where a rule cannot be kept, WeightsError without weights, which know the labels."""
    from erc_live.live.alerts.alert_checks import check_rules
    from erc_live.models import card

    rules = case.config.alerts
    if not rules:
        return check.finding("skipped", "no rule is configured ([[alerts]])")
    check_rules(rules, card.read(case.config.tracker.weights).card.labels)
    return check.finding("ok", f"rules: {', '.join(rule.name for rule in rules)}")
