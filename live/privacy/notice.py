"""What people are told before they are listened to, in their language: in the stream, to read out, and as a sign.

Whoever joins a session, also late, and whoever reads a replay, is told first (AI Act, Article 50(3)). The rule of this
file: pure text of the settings alone, and no sentence that the settings do not bear out.
"""

import html
from dataclasses import dataclass

from msgspec import structs

from erc_live.live.config import Language, Purpose, SessionSection
from erc_live.streams.messages import Hello


@dataclass(frozen=True)
class Wording:
    """The sentences of one language. `responsible` has a place for who that is."""

    title: str
    estimates: str
    words: str
    words_voice: str
    words_voice_face: str
    inner: str
    purpose: str
    purposes: dict[Purpose, str]
    recorded: str
    unrecorded: str
    local: str
    responsible: str
    refusal: str


WORDINGS: dict[Language, Wording] = {
    "en": Wording(
        title="A computer estimates emotions here",
        estimates="A computer estimates which emotions are expressed here, from {}.",
        words="words alone",
        words_voice="words and voices",
        words_voice_face="words, voices and faces",
        inner="These are estimates of what is expressed, not of what anybody feels.",
        purpose="Purpose: {}.",
        purposes={
            "own-use": "the personal use of whoever runs it",
            "research": "research",
            "medical": "a medical reason",
            "safety": "safety",
            "entertainment": "entertainment",
            "accessibility": "accessibility",
        },
        recorded="It is being recorded.",
        unrecorded="It is not being recorded.",
        local="It runs on this machine, and sends nothing elsewhere.",
        responsible="Responsible: {}.",
        refusal="Say so if you do not want it, and it will be turned off.",
    ),
    "de": Wording(
        title="Hier schätzt ein Computer Emotionen",
        estimates="Ein Computer schätzt, welche Emotionen hier ausgedrückt werden, anhand von {}.",
        words="Worten allein",
        words_voice="Worten und Stimmen",
        words_voice_face="Worten, Stimmen und Gesichtern",
        inner="Das sind Schätzungen dessen, was ausgedrückt wird, nicht dessen, was jemand fühlt.",
        purpose="Zweck: {}.",
        purposes={
            "own-use": "eigener Gebrauch der Person, die es betreibt",
            "research": "Forschung",
            "medical": "ein medizinischer Grund",
            "safety": "Sicherheit",
            "entertainment": "Unterhaltung",
            "accessibility": "Barrierefreiheit",
        },
        recorded="Es wird aufgezeichnet.",
        unrecorded="Es wird nicht aufgezeichnet.",
        local="Es läuft auf diesem Gerät und sendet nichts nach außen.",
        responsible="Verantwortlich: {}.",
        refusal="Sagen Sie es, wenn Sie das nicht möchten; dann wird es abgeschaltet.",
    ),
    "fr": Wording(
        title="Ici, un ordinateur estime les émotions",
        estimates="Un ordinateur estime quelles émotions s'expriment ici, à partir {}.",
        words="des seules paroles",
        words_voice="des paroles et des voix",
        words_voice_face="des paroles, des voix et des visages",
        inner="Ce sont des estimations de ce qui est exprimé, et non de ce que chacun ressent.",
        purpose="Finalité : {}.",
        purposes={
            "own-use": "l'usage personnel de qui le fait fonctionner",
            "research": "la recherche",
            "medical": "une raison médicale",
            "safety": "la sécurité",
            "entertainment": "le divertissement",
            "accessibility": "l'accessibilité",
        },
        recorded="La séance est enregistrée.",
        unrecorded="La séance n'est pas enregistrée.",
        local="Il fonctionne sur cette machine et n'envoie rien ailleurs.",
        responsible="Responsable : {}.",
        refusal="Si vous ne le souhaitez pas, dites-le : il sera arrêté.",
    ),
}

# One page, on paper and on a screen; it names no font and no file, so that it calls nobody.
_SIGN = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
@page {{ size: A4; margin: 20mm; }}
body {{ margin: 0 auto; padding: 2rem 1rem; max-width: 42rem; color: #000; background: #fff;
  font: 1.5rem/1.45 sans-serif; }}
h1 {{ margin: 0 0 1.5rem; padding-bottom: 1rem; border-bottom: .4rem solid #000; font-size: 2.6rem;
  line-height: 1.15; }}
p {{ margin: 0 0 .9rem; }}
p.strong {{ font-weight: bold; }}
</style>
</head>
<body>
<h1>{title}</h1>
{paragraphs}
</body>
</html>
"""


def sentences(settings: SessionSection, recorded: bool, visual: bool) -> list[str]:
    """The notice of a session, sentence by sentence. `visual`: there is a camera."""
    wording = WORDINGS[settings.language]
    sources = wording.words_voice_face if visual else wording.words_voice
    responsible = settings.controller + (f" ({settings.contact})" if settings.controller and settings.contact else "")
    responsible = responsible or settings.contact
    return [
        wording.estimates.format(wording.words if settings.text_only else sources),
        wording.inner,
        wording.purpose.format(wording.purposes[settings.purpose]),
        wording.recorded if recorded else wording.unrecorded,
        wording.local,
        *([wording.responsible.format(responsible)] if responsible else []),
        wording.refusal,
    ]


def introduced(hello: Hello, settings: SessionSection, recorded: bool, visual: bool) -> Hello:
    """The greeting of a session with what people are to be told of it."""
    return structs.replace(
        hello,
        notice=" ".join(sentences(settings, recorded, visual)),
        language=settings.language,
        purpose=settings.purpose,
        setting=settings.setting,
        controller=settings.controller,
        contact=settings.contact,
    )


def sign(settings: SessionSection, recorded: bool, visual: bool) -> str:
    """The notice as one page of HTML that prints on one sheet and loads nothing."""
    first, *others = (html.escape(sentence) for sentence in sentences(settings, recorded, visual))
    paragraphs = [f'<p class="strong">{first}</p>', *(f"<p>{sentence}</p>" for sentence in others)]
    title = html.escape(WORDINGS[settings.language].title)
    return _SIGN.format(language=settings.language, title=title, paragraphs="\n".join(paragraphs))
