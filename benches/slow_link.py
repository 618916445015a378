"""A slow link: passes TCP connections on to a port of this host, so many bytes a second each way.

Usage: slow_link.py UPSTREAM_PORT BYTES_A_SECOND, which prints the port that it listens on.
All connections share the rate, as on one cable.
"""

import socket
import sys
import threading
import time

PIECE = 16 * 1024


class Rate:
    def __init__(self, bytes_a_second):
        self.bytes_a_second = bytes_a_second
        self.free_at = time.monotonic()
        self.lock = threading.Lock()

    def wait(self, size):
        with self.lock:
            start = max(self.free_at, time.monotonic())
            self.free_at = start + size / self.bytes_a_second
        time.sleep(max(0, start - time.monotonic()))


def pump(source, target, rate):
    try:
        while piece := source.recv(PIECE):
            rate.wait(len(piece))
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def main():
    upstream, bytes_a_second = int(sys.argv[1]), int(sys.argv[2])
    up, down = Rate(bytes_a_second), Rate(bytes_a_second)
    listener = socket.socket()
    # A small window, so that the sender feels the rate and not the buffers.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", upstream))
        for pair in ((client, server, up), (server, client, down)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


main()
