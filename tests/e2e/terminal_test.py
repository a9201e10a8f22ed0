#!/usr/bin/env python3
"""trainctl top and metrics --plot in a real terminal (a pseudo one): what is drawn, that a server
that went away comes back, and that the terminal is given back however the program ends."""

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import yard

ENTER = b"\x1b[?1049h"
LEAVE = b"\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    """A program whose standard streams are a terminal of that size."""

    def __init__(self, command, env, columns=100, lines=24):
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        # The slave stays open here, so that its modes can be read at the end.
        self.popen = subprocess.Popen([str(word) for word in command], stdin=self.slave,
                                      stdout=self.slave, stderr=self.slave, env=env,
                                      preexec_fn=own_terminal)

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, patience=0.05):
        while select.select([self.master], [], [], patience)[0]:
            try:
                self.output += os.read(self.master, 65536)
            except OSError as error:
                if error.errno == errno.EIO:
                    return
                raise

    def wait_for(self, text, after=0):
        """Waits until it was written behind that place; returns the place behind it."""
        needle = text if isinstance(text, bytes) else text.encode()

        def found():
            self.read()
            return self.output.find(needle, after) >= 0
        yard.poll(found, f"{needle!r}", details=lambda: repr(self.output[-3000:]))
        return self.output.find(needle, after) + len(needle)

    def type(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Its exit status, once it ended by itself."""
        def ended():
            self.read(0.02)
            return self.popen.poll() is not None
        yard.poll(ended, "end of the program", details=lambda: repr(self.output[-3000:]))
        self.read()
        return self.popen.returncode

    def modes(self):
        return termios.tcgetattr(self.slave)

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self.slave)
        os.close(self.master)


class Terminals(yard.TestCase):
    def terminal(self, *arguments):
        return self.start([yard.program("trainctl"), *arguments])

    def start(self, command):
        env = dict(self.yard.env, TERM="xterm-256color", LC_ALL="C.UTF-8")
        env.pop("NO_COLOR", None)
        terminal = Terminal(command, env)
        self.addCleanup(terminal.close)
        return terminal

    def assert_given_back(self, terminal):
        self.assertEqual(terminal.output.count(ENTER), terminal.output.count(LEAVE),
                         terminal.output)
        self.assertGreater(terminal.output.rfind(LEAVE), terminal.output.rfind(ENTER))
        self.assertEqual(terminal.modes(), terminal.before)

    def wait_until_taken(self, terminal):
        terminal.wait_for("no answer for")
        self.assertIn(ENTER, terminal.output)
        self.assertFalse(terminal.modes()[3] & termios.ECHO)

    def test_gives_the_terminal_back_however_it_ends(self):
        # Nothing listens there: the view says so and stays.
        nobody = ("top", "--server", "127.0.0.1:1")
        for keys in (b"q", b"\x03"):
            with self.subTest(keys=keys):
                terminal = self.terminal(*nobody)
                self.wait_until_taken(terminal)
                terminal.type(keys)
                self.assertEqual(terminal.end(), 0)
                self.assert_given_back(terminal)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV,
                       signal.SIGABRT):
            with self.subTest(signal=number):
                terminal = self.terminal(*nobody)
                self.wait_until_taken(terminal)
                terminal.popen.send_signal(number)
                self.assertEqual(terminal.end(), -number)
                self.assert_given_back(terminal)

    def test_gives_the_terminal_back_while_it_is_stopped(self):
        # Ctrl-Z stops only what a shell with job control runs.
        shell = 'set -m; "$0" top --server 127.0.0.1:1; stty -a; echo between; fg'
        terminal = self.start(["bash", "-c", shell, yard.program("trainctl")])
        self.wait_until_taken(terminal)
        terminal.type(b"\x1a")
        left = terminal.wait_for(LEAVE)
        between = terminal.wait_for("between", left)
        modes = terminal.output[left:between].decode(errors="replace").split()
        self.assertIn("icanon", modes)
        self.assertIn("echo", modes)
        terminal.wait_for("no answer for", terminal.wait_for(ENTER, between))
        terminal.type(b"q")
        self.assertEqual(terminal.end(), 0)
        self.assert_given_back(terminal)

    def test_top_outlives_the_server_and_follows_the_size(self):
        server = self.yard.start_server()
        job = self.yard.submit({
            "name": "patient",
            "training": {"model": {"architecture": "mlp"},
                         "data": {"format": "idx", "source": {"path": "/data/none"}}},
            "resources": {"devices": [{"kind": "cuda"}]}})
        terminal = self.terminal("top")
        at = terminal.wait_for(job)
        terminal.wait_for("patient")
        terminal.resize(20, 5)
        small = terminal.wait_for("\x1b[H", at)
        terminal.resize(100, 24)
        at = terminal.wait_for("patient", small)
        server.kill()
        at = terminal.wait_for("no answer for", at)
        terminal.wait_for("patient", at)  # what was known stays
        self.yard.start_server()

        def back():
            frames = terminal.output.split(b"\x1b[H")
            terminal.read()
            return b"no answer" not in frames[-2] and b"patient" in frames[-2]
        yard.poll(back, "frame of the server that is back",
                  details=lambda: repr(terminal.output[-3000:]))
        terminal.type(b"q")
        self.assertEqual(terminal.end(), 0)
        self.assert_given_back(terminal)

    def test_a_plot_is_left_by_a_key(self):
        self.yard.start_server()
        job = self.yard.submit({
            "name": "patient",
            "training": {"model": {"architecture": "mlp"},
                         "data": {"format": "idx", "source": {"path": "/data/none"}}},
            "resources": {"devices": [{"kind": "cuda"}]}})
        terminal = self.terminal("metrics", job, "--plot", "--follow")
        terminal.wait_for("no figures yet")
        terminal.type(b"q")
        self.assertEqual(terminal.end(), 130)
        self.assert_given_back(terminal)


if __name__ == "__main__":
    yard.main(["trainctl", "trainyard-server"])
