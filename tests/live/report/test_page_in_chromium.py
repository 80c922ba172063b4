"""The page in a real browser: it draws, plays, filters, follows, and asks for nothing.

One browser for all of them. It is found on PATH or by ERC_LIVE_CHROMIUM (`apt-get install chromium`).
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import chromium
import pytest
import recorded_talk as talk
from chromium import Chromium, Page

from erc_live.live.report.bundle_report import report
from erc_live.live.report.page_state import PageState
from erc_live.live.report.web_server import WebServer

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    '<script>alert(1)</script><rect width="9" height="9"/></svg>'
)
WHY_NOT = "needs Chromium: apt-get install chromium, or ERC_LIVE_CHROMIUM"
pytestmark = [
    pytest.mark.skipif(chromium.program() is None, reason=WHY_NOT),
    pytest.mark.xdist_group("chromium"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    talk.record(folder / "talk", [*talk.sound(), *talk.events()])
    report(folder / "talk", folder / "page.html", explanations={"u1": SVG})
    return folder / "page.html"


@pytest.fixture
def page(browser: Chromium, page_file: Path) -> Iterator[Page]:
    page = browser.open(page_file.as_uri(), prefers_color_scheme="light")
    yield page
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [page_file.as_uri()]
    page.close()


def text(page: Page, selector: str) -> str:
    return page.js(f"document.querySelector({json.dumps(selector)}).textContent")


def count(page: Page, selector: str) -> int:
    """Of those that can be seen."""
    every = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return page.js(f"{every}.filter((element) => element.offsetParent !== null).length")


def test_everything_is_drawn_and_what_people_said_is_text(page):
    assert text(page, "#title") == "Session talk"
    assert count(page, ".mark") == count(page, "#transcript li") == 6
    assert page.js("document.images.length") == 1
    assert page.js("document.querySelectorAll('script').length") == 2
    assert talk.HOSTILE in text(page, "#transcript")
    assert talk.OWN_LABEL in text(page, "#by-label")
    assert "(words skipped: the machine was too slow)" in text(page, "#transcript")
    assert "✎ Su surprise Ann" in text(page, "#transcript li:nth-child(2) .people")
    assert "joy 90 %" in text(page, "#transcript li:nth-child(2) .label")
    assert "Akiko" in text(page, "#people")
    assert "paused" in text(page, "#lacks")
    assert count(page, "#gaps .gap") == 2  # the pause and the overload, of all
    assert [count(page, f".lane:nth-child({n}) .gap") for n in (1, 2, 3)] == [1, 1, 0]
    assert count(page, ".moment") == 5
    assert page.js("document.images[0].complete && document.images[0].naturalWidth") == 9


def test_a_click_on_a_word_plays_that_word(page):
    page.click("#transcript li:nth-child(2) .word:nth-child(4)")
    page.wait("!audio.paused && audio.currentTime >= 4")
    page.js("audio.pause()")
    assert 4.0 <= page.js("audio.currentTime") < 6.0
    assert page.js("Math.abs(audio.duration - 30) < 0.2")
    page.js("audio.currentTime = 4.2")
    page.wait("document.querySelector('.spoken')?.textContent === 'w1.3'")


def test_an_utterance_is_chosen_also_where_something_is_missing(page):
    page.click('.mark[data-key="d/u4"]')
    assert "0:13" in text(page, "#detail")
    page.wait("!audio.paused && audio.currentTime >= 13")


def test_what_is_below_stays_where_it_is_while_another_utterance_is_looked_at(page):
    top = "document.querySelector('#transcript').getBoundingClientRect().top + scrollY"
    before = page.js(top)
    for key in ("d/u0", "d/u3", "d/u5"):
        page.js(f"choose({key!r}, false)")
        assert page.js(top) == before


def test_keys_reach_everything(page):
    page.js("document.querySelector('.track [tabindex=\"0\"]').focus()")
    key = "document.activeElement.dataset.key"
    assert page.js(key) == "d/u0"
    page.press("ArrowRight")
    assert page.js(key) == "d/u4"
    page.press("Home", "ArrowDown")
    assert page.js(key) == "d/u1"
    assert "joy" in text(page, "#detail")
    page.press("Enter")
    page.wait("!audio.paused && audio.currentTime >= 2.5")
    page.js("document.activeElement.blur()")
    page.press(" ")
    page.wait("audio.paused")
    page.js("document.querySelector('#transcript [tabindex=\"0\"]').focus()")
    page.press("ArrowDown", "ArrowRight", "ArrowRight", "Enter")
    page.wait("!audio.paused && audio.currentTime >= 3 && audio.currentTime < 5")
    stops = page.js("[...document.querySelectorAll('*')].filter((element) => element.tabIndex >= 0).length")
    assert stops < 40


def test_each_thing_has_a_name_that_can_be_read_aloud(page):
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"option", "button", "checkbox", "img", "listbox", "region", "meter"}
    named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in tree if not node.get("ignored")]
    assert [role for role, name in named if role in roles and not name] == []
    assert sum(role == "option" for role, _ in named) == 6


def test_filters_hide_in_both_places_and_say_how_many_are_left(page):
    page.click('#by-label [data-key="joy"] input')
    assert (count(page, ".mark"), count(page, "#transcript li")) == (5, 5)
    assert text(page, "#count") == "5 of 6 utterances"
    page.click('#by-speaker [data-key="d/2"] input')
    assert (count(page, ".mark"), count(page, "#transcript li")) == (2, 2)
    page.click('#by-label [data-key="joy"] input')
    page.click('#by-speaker [data-key="d/2"] input')
    assert text(page, "#count") == "6 utterances"


def test_zooming_shows_less_time_and_nothing_is_lost(page):
    page.click("#zoom button:nth-child(4)")
    page.click("#bands-on")
    assert page.js("$('time').style.getPropertyValue('--zoom')") == "1"  # 30 s are all there is
    page.js("zoomTo(5)")
    assert page.js("$('scroller').scrollWidth > 5 * $('scroller').clientWidth")
    assert count(page, ".mark") == 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_can_be_read_in_both_schemes_and_on_narrow_screens(browser, page_file, scheme):
    page = browser.open(page_file.as_uri(), prefers_color_scheme=scheme)
    page.resize(360, 700)
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    back = page.js("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.js(CONTRAST) >= 4.5
    assert page.complaints == []
    page.close()


# The least contrast of text to what is behind it (WCAG 2, relative luminance), of chips and of the page.
CONTRAST = """(() => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const page = getComputedStyle(document.body).backgroundColor;
    return Math.min(...[...document.querySelectorAll('.chip, .hint, .alarm, small, td, h2')].map((element) => {
        const style = getComputedStyle(element);
        const behind = element.classList.contains('chip') ? style.backgroundColor : page;
        return ratio(light(style.color), light(behind));
    }));
})()"""


def test_it_prints_on_paper_without_what_is_for_screens(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    assert count(page, "#player, .bar, #detail") == 0
    assert count(page, "#transcript li") == 6
    assert page.pdf().startswith(b"%PDF")


def test_a_sound_beside_the_page_is_played(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("erc_live.live.report.bundle_report.PAGE_BYTES", 100_000)
    talk.record(tmp_path / "talk", [*talk.sound(), *talk.events()])
    report(tmp_path / "talk", tmp_path / "a b.html")
    page = browser.open((tmp_path / "a b.html").as_uri())
    page.click("#transcript li:nth-child(2) .time")
    page.wait("!audio.paused && audio.currentTime >= 2.5")
    assert page.complaints == []
    page.close()


def test_a_page_of_nothing_is_whole(browser, tmp_path):
    talk.record(tmp_path / "talk", [])
    report(tmp_path / "talk", tmp_path / "page.html")
    page = browser.open((tmp_path / "page.html").as_uri())
    assert text(page, "#count") == "No utterance was classified."
    assert page.complaints == []
    page.close()


def test_a_running_session_is_followed(browser):
    state = PageState(live=True)
    with closing(WebServer(state, 0)) as server:
        page = browser.open(server.address)
        for message in talk.events()[:3]:
            server.feed(message)
        page.wait("$('status').textContent === 'LIVE · REC' && document.querySelectorAll('.mark').length === 1")
        server.feed(talk.said(7, 6.0, final=False, text="and then", words=()))
        page.wait("document.querySelector('#transcript li:last-child').className === 'partial'")
        server.feed(talk.said(7, 6.0, revision=3, speaker=1))
        page.wait("document.querySelector('#transcript li:last-child').className === '' && lanes.size === 2")
        assert count(page, ".mark") == 2
        assert "w7.0" in text(page, "#detail")
        for message in talk.events()[8:]:
            server.feed(message)
        page.wait("$('status').textContent === 'Ended · stopped'")
        server.feed(talk.greeting(session="next"))
        page.wait("$('title').textContent === 'Session next' && !document.querySelector('.mark, #transcript li')")
        server.say("lost", "no sign of life")
        page.wait("$('status').textContent === 'LOST · no sign of life'")
        assert page.complaints == []
        assert {url.split("?")[0] for url in page.requests if not url.startswith("data:")} == {
            server.address,
            f"{server.address}updates",
        }
    page.wait("$('status').textContent.includes('does not answer')")
    page.close()


def test_what_went_on_when_a_recording_was_cut_off_goes_on_to_its_end(browser, tmp_path):
    recorder = talk.begin(tmp_path / "talk")
    for message in talk.events()[:13]:  # up to an overload that goes on
        recorder.write(message)
    talk.cut_off(recorder)
    report(tmp_path / "talk", tmp_path / "page.html")
    page = browser.open((tmp_path / "page.html").as_uri())
    assert "0:12 to the end: the machine did not keep up" in text(page, "#lacks")
    assert text(page, "#status") == "Cut off · the recording was not closed"
    page.close()
