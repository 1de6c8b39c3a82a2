"""A page in a real browser, driven through the DevTools protocol: without Playwright or Selenium."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager

import aiohttp

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars",
         "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage")  # fmt: skip


class Page:
    """A tab. ``problems`` collects console errors, warnings and uncaught exceptions."""

    def __init__(self, loop, socket):
        self.loop, self.socket, self.number, self.problems = loop, socket, 0, []

    def send(self, method, **params):
        return self.loop.run_until_complete(self._send(method, params))

    async def _send(self, method, params):
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            answer = json.loads((await asyncio.wait_for(self.socket.receive(), 60)).data)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        params = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"])
        if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append([argument.get("value") for argument in params["args"]])
        if event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"])

    def open(self, path, width=1280, height=900, dark=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.colours(dark)
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def colours(self, dark):
        """Let the screen be light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, expression):
        """Evaluate JavaScript and return its value."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition, seconds=60, meanwhile=lambda: None):
        """Wait until an expression is true, doing something again and again in the meantime."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, condition
            meanwhile()
            time.sleep(0.05)

    def mouse(self, x, y, click=False):
        """Move the pointer there, and click."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased")[: 3 if click else 1]:
            pressed = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def middle(self, selector, index=0):
        """Scroll an element into view and return its middle."""
        element = f"document.querySelectorAll({selector!r})[{index}]"
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        return self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({element}.getBoundingClientRect())")

    def screenshot(self, path, whole=True):
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile):
    """Start a browser with an empty profile, and yield its page."""
    process = subprocess.Popen([BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    loop = asyncio.new_event_loop()
    session = None
    try:
        port_file, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            assert process.poll() is None and time.monotonic() < end, "the browser did not start"
            time.sleep(0.05)
        session, socket = loop.run_until_complete(_connect(port_file.read_text().split()[0]))
        page = Page(loop, socket)
        for domain in ("Page", "Runtime", "Log"):
            page.send(f"{domain}.enable")
        yield page
        loop.run_until_complete(socket.close())
    finally:
        if session is not None:
            loop.run_until_complete(session.close())
        loop.close()
        process.terminate()
        process.wait(20)


async def _connect(port):
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json") as answer:
        targets = await answer.json()
    url = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
    return session, await session.ws_connect(url, max_msg_size=0)
