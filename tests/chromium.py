"""A headless Chromium for tests, driven over a pipe with its DevTools protocol: no port, no driver, no further package.

`ERC_LIVE_CHROMIUM` names the program; without it the usual names on PATH are tried.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 60.0
STILL_FRAMES = 5  # rows that come into view are laid out a frame later
KEYS = {"Enter": (13, "\r"), " ": (32, " "), "Tab": (9, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, ""),
        "ArrowRight": (39, ""), "ArrowDown": (40, ""), "Home": (36, ""), "End": (35, "")}  # fmt: skip


def program() -> str | None:
    """The browser's program; None where there is none."""
    named = os.environ.get("ERC_LIVE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser; `open` gives a page of it. A context manager."""

    def __init__(self, profile: Path) -> None:
        commands, self._out = os.pipe()
        self._in, replies = os.pipe()
        chosen = program()
        assert chosen is not None
        # The browser reads commands from descriptor 3 and writes to 4: the shell moves the pipes there.
        script = f'exec "$0" "$@" 3<&{commands} 4>&{replies}'
        options = [*OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, chosen, *options], pass_fds=(commands, replies), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(replies)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; an error of it is an error here."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            reply = self._receive(PATIENCE_S)
            assert reply is not None, f"no reply to {method}"
            if reply.get("id") == self._number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return dict(reply["result"])
            self.events.append(reply)

    def open(self, address: str, **media: str) -> "Page":
        """A page, loaded. `media`: features such as prefers_color_scheme="dark"."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.call("Page.navigate", url=address)
        page.wait("document.readyState === 'complete'")
        return page

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        deadline_s = time.monotonic() + timeout_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline_s - time.monotonic()))
            if not ready:
                return None
            self._buffer += os.read(self._in, 1 << 20)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


class Page:
    """One tab. `complaints` and `requests` are what it logged and asked for so far."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def js(self, expression: str) -> Any:
        """The value of an expression; what it throws is an error here."""
        reply = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true, asked in the page at each frame."""
        wanted = f"""new Promise((done, fail) => {{
            const end = performance.now() + {PATIENCE_S * 500};
            const look = () => {{
                let so = false;
                try {{ so = Boolean({expression}); }} catch (error) {{ }}
                if (so) done(true);
                else if (performance.now() > end) fail(new Error('never: ' + {json.dumps(expression)}));
                else setTimeout(look, 10);
            }};
            look();
        }})"""
        assert self.js(wanted) is True

    def click(self, selector: str) -> None:
        """Where a person would, once it has come into view and nothing moves any more."""
        box = self.js(f"""new Promise((done) => {{
            const element = document.querySelector({json.dumps(selector)});
            let [before, still] = ['', 0];
            const look = () => {{
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const {{ x, y, width, height }} = element.getBoundingClientRect();
                const now = [x + width / 2, y + height / 2];
                still = String(now) === before ? still + 1 : 0;
                if (still === {STILL_FRAMES}) return done(now);
                before = String(now);
                requestAnimationFrame(look);
            }};
            look();
        }})""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        for key in keys:
            code, text = KEYS[key]
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path) -> None:
        reply = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(reply["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def requests(self) -> list[str]:
        return [e["params"]["request"]["url"] for e in self._own("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings on the console, exceptions, and what the policy of the page refused."""
        logged = [f"{e['params']['entry']['text']}" for e in self._own("Log.entryAdded")]
        called = [f"{e['params']['args']}" for e in self._own("Runtime.consoleAPICalled")]
        thrown = [f"{e['params']['exceptionDetails']}" for e in self._own("Runtime.exceptionThrown")]
        return [*logged, *called, *thrown]

    def _own(self, method: str) -> list[dict[str, Any]]:
        self.js("0")  # what was reported before has arrived then
        return [e for e in self._browser.events if e.get("sessionId") == self._session and e.get("method") == method]
