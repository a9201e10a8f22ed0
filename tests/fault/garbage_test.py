#!/usr/bin/env python3
"""Bytes that mean nothing, on both ports of a server, in plain text and with TLS."""

import os
import random
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import yard  # noqa: E402  (its folder is known only now)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
ROUNDS = 60


def samples(seed):
    """Pure noise, and noise behind a beginning that makes sense."""
    noise = random.Random(seed)
    beginnings = [b"", PREFACE, PREFACE + SETTINGS, b"GET /metrics HTTP/1.1\r\n", b"\x16\x03\x01",
                  b"POST /readyz HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
                  b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                  b"GET /" + b"a" * 20000,
                  # A frame of HTTP/2 that claims 16 MB, a header block, a ping.
                  PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
                  PREFACE + SETTINGS + b"\x00\x00\x10\x01\x04\x00\x00\x00\x01",
                  PREFACE + SETTINGS + b"\x00\x00\x08\x06\x00\x00\x00\x00\x00"]
    for number in range(ROUNDS):
        size = noise.choice([0, 1, 9, 300, 5000])
        yield beginnings[number % len(beginnings)] + noise.randbytes(size)


class Garbage(yard.TestCase):
    def throw(self, address, data, tls=None):
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 20) as plain:
            plain.settimeout(5)
            connection = plain
            try:
                if tls is not None:
                    connection = tls.wrap_socket(plain)
                connection.sendall(data)
                plain.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass  # it is the server's to end what makes no sense
            finally:
                connection.close()

    def check(self, tls=None):
        http = self.yard.server.wait_for_line(r"metrics are at https?://([^/\s]+)/").group(1)
        for address in (self.yard.address, http):
            for data in samples(20240501):
                self.throw(address, data, tls)
                if tls is not None:
                    self.throw(address, data)  # and past TLS
        self.assertIsNone(self.yard.server.popen.poll(), self.yard.server.text())
        self.yard.ctl_ok("list")
        health = self.yard.run(yard.program("trainyard-server"), "--health", "--metrics-address",
                               http)
        self.assertEqual(health.code, 0, str(health))
        self.yard.server.send(15)
        self.assertEqual(self.yard.server.wait(), 0, self.yard.server.text())

    def test_plain(self):
        self.yard.start_server()
        self.check()

    def test_tls(self):
        security = self.yard.path("security")
        self.yard.ctl_ok("setup", "--dir", security, "--host", "localhost")
        self.yard.start_server("--tls-cert", f"{security}/server.crt", "--tls-key",
                               f"{security}/server.key", "--tls-client-ca", f"{security}/ca.crt")
        self.yard.env.update(TRAINYARD_TLS_CA=f"{security}/ca.crt",
                             TRAINYARD_TLS_CERT=f"{security}/client.crt",
                             TRAINYARD_TLS_KEY=f"{security}/client.key")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        tls.load_cert_chain(f"{security}/client.crt", f"{security}/client.key")
        tls.set_alpn_protocols(["h2", "http/1.1"])
        self.check(tls)


if __name__ == "__main__":
    yard.main(["trainyard-server", "trainctl"])
