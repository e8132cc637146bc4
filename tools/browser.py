"""Chromium without a screen, driven through a pipe by its DevTools protocol: what tests and benchmarks open pages with."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
FREE = 100  # file descriptors from here on are in nobody's way
PATIENCE = 60  # seconds for a page to do what is waited for


def find_chromium():
    """Return the path of a Chromium or Chrome; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with one page; use it as a context."""

    def __init__(self, width=1400, height=900, dark=False, motion=True):
        self.size, self.dark, self.motion = (width, height), dark, motion
        self.numbers, self.events = itertools.count(1), []

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe", "about:blank"]  # fmt: skip
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def connect():  # the protocol's ends are file descriptors 3 and 4, which one of the pipes may have now
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, FREE) for end in (theirs_in, theirs_out)]
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        self.process = subprocess.Popen(
            command, close_fds=False, preexec_fn=connect, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.input, self.output, self.buffer = ours_out, ours_in, b""
        page = next(t for t in self.send("Target.getTargets", session=None)["targetInfos"] if t["type"] == "page")
        attached = self.send("Target.attachToTarget", session=None, targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)
        width, height = self.size
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        features = {"prefers-color-scheme": "dark" if self.dark else "light"}
        features["prefers-reduced-motion"] = "no-preference" if self.motion else "reduce"
        self.send("Emulation.setEmulatedMedia", features=[{"name": k, "value": v} for k, v in features.items()])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        os.close(self.input)
        os.close(self.output)
        self.profile.cleanup()

    def send(self, method, session="own", **parameters):
        """Call a method of the protocol, and return its result; events that come meanwhile are kept in `events`.

        Raises:
            RuntimeError: the browser says no, or ends.
        """
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self.session
        self._write(message)
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, address, first=""):
        """Open a page, and wait until it has been loaded; `first` is a script that runs before its own."""
        early = self.send("Page.addScriptToEvaluateOnNewDocument", source=first)["identifier"]
        self.run("window.left = true")
        self.send("Page.navigate", url=address)
        self.wait("!window.left && document.readyState === 'complete'")
        self.send("Page.removeScriptToEvaluateOnNewDocument", identifier=early)

    def run(self, script):
        """Run a script in the page as if a person had asked for it; wait for its promise if it is one, return its value."""
        how = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        found = self.send("Runtime.evaluate", expression=script, **how)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def wait(self, condition, seconds=PATIENCE):
        """Wait until a script's value is true.

        Raises:
            TimeoutError: it is not, for a minute.
        """
        end = time.monotonic() + seconds
        while not self._holds(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"The page does not come to: {condition}")
            time.sleep(0.02)

    def _holds(self, condition):
        try:
            return self.run(f"Boolean({condition})")
        except RuntimeError as error:
            if "navigated" in str(error):  # away from the page that was asked, by `open`
                return False
            raise

    def requests(self):
        """List the addresses that pages asked for, and what was logged as wrong."""
        asked = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        wrong = [e["params"]["entry"]["text"] for e in self.events if e.get("method") == "Log.entryAdded"]
        thrown = [str(e["params"]) for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        return asked, wrong + thrown

    def picture(self, path, whole=True):
        """Save a picture of the page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _write(self, message):
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self.input, data) :]

    def _read(self):
        while b"\0" not in self.buffer:
            piece = os.read(self.output, 1 << 16)
            if not piece:
                raise RuntimeError("The browser has ended.")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)
