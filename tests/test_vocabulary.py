"""The product speaks the field's language: no name says what another trade would say, and one name means one thing."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    path.relative_to(ROOT): ast.parse(path.read_text())
    for room in ("live", "models", "streams")
    for path in sorted((ROOT / room).rglob("*.py"))
}

# A word that is no part of a name, and what to say instead.
FORBIDDEN = {
    "heard": "transcribed, recognised, received, results",
    "hear": "transcribe, encode, check",
    "told": "published, notified, significant",
    "tell": "notify, report",
    "said": "reference, hypothesis, text, utterance",
    "shown": "displayed, drawn, labels",
    "found": "detected, extracted, digests: what it holds",
    "kept": "stored, cached",
    "desk": "scheduler",
    "agenda": "scheduler, queue",
    "bleed": "crosstalk",
    "ladder": "degradation level",
    "effort": "budget, repetitions",
    "early": "speculative, partial",
    "draft": "speculative, partial, provisional",
    "drafts": "speculative, partial, provisional",
    "drafted": "speculative, partial, provisional",
    "ear": "detector, recogniser",
    "ears": "detector, recogniser",
    "lesson": "batch, batch sampler",
    "material": "dataset",
    "gates": "thresholds, limits",
    "moving_mean": "EMA",
    "in_step": "microphone alignment",
    "picture": "frame, image, screenshot, log-mel",
    "pictures": "frames, images, log-mels",
}

# Where a word is the field's own after all: (beginning of the path, word, reason).
EXCEPTIONS = (
    ("live/vision/", "picture", "a decoded image"),
    ("live/vision/", "pictures", "decoded images"),
    ("live/demo/", "picture", "a drawn image"),
    ("live/demo/", "pictures", "drawn images"),
    ("models/encoders/face.py", "pictures", "images of faces"),
    ("models/training/face_", "pictures", "images of faces"),
    ("streams/jpeg.py", "picture", "a decoded image"),
    ("live/cli.py", "picture", "the option --picture: an image of the screen"),
    ("live/commands/", "picture", "the option --picture: an image of the screen"),
    ("live/session/spec.py", "picture", "what the option --picture asks for"),
    ("models/training/face_task.py", "early", "of the epochs; the name is in the cards on disk"),
)


WORDS = re.compile(rf"(?<![^_])(?:{'|'.join(sorted(FORBIDDEN))})(?![^_])")


def parts(name: str) -> str:
    """A name as underscore-separated words: `_FaceTrack` is `_face_track`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def names(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a file names for others to read, with the line: itself, its constants, classes, functions, parameters,
    fields and attributes; not what is local to a function.
    """
    yield path.stem, 1
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
                )
                yield from ((target.id, target.lineno) for target in targets if isinstance(target, ast.Name))


def forbidden(name: str) -> list[str]:
    return WORDS.findall(parts(name))


def test_names_say_what_the_field_says() -> None:
    offences, used = [], set()
    for path, tree in SOURCES.items():
        excused = {exception for exception in EXCEPTIONS if path.as_posix().startswith(exception[0])}
        for name, line in names(path, tree):
            for word in forbidden(name):
                excuse = [exception for exception in excused if exception[1] == word]
                used |= {*excuse}
                if not excuse:
                    offences.append(f"{path}:{line} {name}: not {word!r}; say {FORBIDDEN[word]}")
    assert not offences, "\n".join(offences)
    assert used == {*EXCEPTIONS}, "an exception that nothing needs"


def test_no_two_files_have_one_name() -> None:
    places = defaultdict(list)
    for path in SOURCES:
        if path.stem not in ("__init__", "errors"):
            places[path.stem.strip("_")].append(str(path))
    doubles = [f"{name}: {', '.join(files)}" for name, files in places.items() if len(files) > 1]
    assert not doubles, "\n".join(doubles)


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_").lower()].append(f"{path}:{node.lineno} {node.name}")
    doubles = [", ".join(classes) for classes in places.values() if len(classes) > 1]
    assert not doubles, "\n".join(doubles)


def test_a_name_is_seen_in_parts() -> None:
    assert forbidden("_WordsHeard") == ["heard"]
    assert forbidden("_ema_moving_mean") == ["moving_mean"]
    assert not forbidden("gateway")
    assert not forbidden("unheard")
    assert not forbidden("gate")
