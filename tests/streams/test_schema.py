"""The published schema: real messages fulfil it, broken ones do not, and every field is explained."""

import json
from typing import Any

import examples
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from erc_live.streams import codec, event_schema
from erc_live.streams.messages import SCHEMA, PublicEvent
from erc_live.streams.schema import FIELDS

# Within the version: publishers of before do not send them.
ADDED = {"t_published_ns", "speaker_confidence", "valence", "arousal"}
DOCUMENT = event_schema()
VALIDATOR = Draft202012Validator(DOCUMENT)


def as_json(message: PublicEvent) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(codec.to_json(message))
    if "schema" in fields:
        fields["schema"] = SCHEMA
    return fields


def test_it_is_a_schema_and_names_itself() -> None:
    Draft202012Validator.check_schema(DOCUMENT)
    assert DOCUMENT["$id"].endswith(SCHEMA)
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


@given(examples.messages(*examples.PUBLIC_TYPES))
def test_every_public_message_fulfils_it(message: PublicEvent) -> None:
    VALIDATOR.validate(as_json(message))


@pytest.mark.parametrize(
    "broken",
    [
        {"probs": {"joy": 1.5}},
        {"probs": {"joy": "1"}},
        {"probs": [1.0]},
        {"seq": -1},
        {"seq": 1.5},
        {"label": None},
        {"t_start_ns": "0"},
        {"modalities": ["smell"]},
        {"final": "yes"},
        {"certain": "maybe"},
        {"face_coverage": 2.0},
        {"schema": "erc.event/1"},
        {"type": "AudioChunk"},
        {"type": "Hello"},
    ],
)
def test_broken_events_are_rejected(broken: dict[str, Any]) -> None:
    fields = as_json(examples.event(0))
    assert VALIDATOR.is_valid(fields)
    assert not VALIDATOR.is_valid(fields | broken)


@pytest.mark.parametrize("name", sorted(as_json(examples.event(0)).keys() - ADDED))
def test_every_field_of_an_event_is_required(name: str) -> None:
    fields = as_json(examples.event(0))
    del fields[name]
    assert not VALIDATOR.is_valid(fields)


def test_fields_of_a_later_version_are_allowed() -> None:
    assert VALIDATOR.is_valid(as_json(examples.event(0)) | {"valence": 0.3})


def test_every_field_is_explained_and_nothing_else_is() -> None:
    described = {
        name: field["description"]
        for message in DOCUMENT["$defs"].values()
        for name, field in message["properties"].items()
    }
    assert described == FIELDS
    assert "sum to 1" in described["probs"]
