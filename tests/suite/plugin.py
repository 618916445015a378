#!/usr/bin/env python3
"""age-plugin-locker: speaks the age plugin protocol (C2SP age-plugin), and keeps no secret.

It masks the file key with a constant, so that a test can seal to a plugin and open again.
"""
import base64
import sys

MASK = 0x5A


def stanza():
    head = sys.stdin.readline().split()
    body = ""
    while True:
        line = sys.stdin.readline().rstrip("\n")
        body += line
        if len(line) < 64:
            return head[1:], base64.b64decode(body + "=" * (-len(body) % 4))


def send(*words, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    if not lines or len(lines[-1]) == 64:
        lines.append("")
    print("->", *words)
    print("\n".join(lines), flush=True)


def masked(key):
    return bytes(byte ^ MASK for byte in key)


machine = sys.argv[1].partition("=")[2]
asked = []
while True:
    words, body = stanza()
    if words[0] == "done":
        break
    asked.append((words, body))
for words, body in asked:
    if machine == "recipient-v1" and words[0] == "wrap-file-key":
        send("recipient-stanza", "0", "locker", body=masked(body))
        stanza()
    if machine == "identity-v1" and words[0] == "recipient-stanza" and words[2] == "locker":
        send("file-key", words[1], body=masked(body))
        stanza()
        break
send("done")
