"""Google Cloud Storage's XML API for the tests, in front of a server that speaks S3.

    python gcs_shim.py --upstream http://127.0.0.1:PORT --token TOKEN [--account FILE] [--port N]

Prints the address that it listens on. What the two protocols have in common goes through; what
differs is done here: who may ask, the generation of an object, and a put on condition of it. Two
ways lead in, as on the real thing: a service account, whose file is made here with a fresh key and
whose signed tokens are checked, and the token itself, which the metadata address hands out.
"""

import argparse
import base64
import hashlib
import http.client
import itertools
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

EMAIL = "tests@sealift.invalid"
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
# The upstream checks no signature, but hides what is private from those who bring none.
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=shim/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def make_account(file):
    """Writes a service account's file with a fresh RSA key, and returns the key's modulus."""
    make = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    key = subprocess.run(make, check=True, capture_output=True).stdout
    modulus = ["openssl", "rsa", "-noout", "-modulus"]
    line = subprocess.run(modulus, check=True, capture_output=True, input=key).stdout
    account = {"type": "service_account", "client_email": EMAIL}
    account |= {"private_key_id": "tests", "private_key": key.decode()}
    Path(file).write_text(json.dumps(account))
    return int(line.decode().strip().removeprefix("Modulus="), 16)


def unpack(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed_by(modulus, token):
    """Whether the account has signed this token (RS256) and it has not run out."""
    try:
        message, signature = token.rsplit(".", 1)
        claims = json.loads(unpack(message.split(".")[1]))
        number = pow(int.from_bytes(unpack(signature), "big"), 65537, modulus)
        size = (modulus.bit_length() + 7) // 8
        tail = b"\0" + SHA256_INFO + hashlib.sha256(message.encode()).digest()
        block = b"\0\1" + b"\xff" * (size - len(tail) - 2) + tail
        valid = claims["iss"] == EMAIL and claims["exp"] > time.time()
        return valid and number.to_bytes(size, "big") == block
    except (ValueError, KeyError, IndexError, TypeError, OverflowError):
        return False


def renamed(headers, before, after, dropped):
    """Headers in the other protocol's words, but for those that concern one connection only."""
    headers = ((name.lower(), value) for name, value in headers)
    return {n.replace(before, after): v for n, v in headers if n not in dropped}


class Shim(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    generations, lock, counter = {}, threading.Lock(), itertools.count(time.time_ns() // 1000)

    def answer(self):
        # The body is read first, whatever comes of it: the connection is used again.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        # A client may encode more than it must: the same object has one name here.
        path = quote(unquote(path))
        if path == METADATA and self.headers.get("Metadata-Flavor") == "Google":
            token = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
            return self.send(200, {"Content-Type": "application/json"}, json.dumps(token).encode())
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        known = token == self.token or self.modulus and signed_by(self.modulus, token)
        if scheme != "Bearer" or not known:
            return self.refuse(401, "AuthenticationRequired")
        with self.lock:  # Nothing may come between an object and its generation.
            generation = self.generations.get(path, 0)
            if self.headers.get("x-goog-if-generation-match", str(generation)) != str(generation):
                return self.refuse(412, "PreconditionFailed")
            status, headers, content = self.forward(path, query, body)
            if self.command == "PUT" and status == 200:
                headers["x-goog-generation"] = self.generations[path] = next(self.counter)
            elif self.command == "DELETE" and status == 204 and not self.generations.pop(path, 0):
                return self.refuse(404, "NoSuchKey")
        return self.send(status, headers, content)

    def forward(self, path, query, body):
        own = ("host", "authorization", "connection", "content-length")
        own += ("x-goog-if-generation-match",)
        headers = renamed(self.headers.items(), "x-goog-", "x-amz-", own)
        headers["authorization"] = SIGNED
        upstream = http.client.HTTPConnection(self.upstream)
        upstream.request(self.command, path + ("?" + query if query else ""), body or None, headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        own = ("connection", "transfer-encoding", "server", "date", "x-amzn-requestid")
        headers = renamed(response.getheaders(), "x-amz-", "x-goog-", own)
        if path in self.generations and response.status in (200, 206):
            headers["x-goog-generation"] = self.generations[path]
        return response.status, headers, content

    def refuse(self, status, code):
        error = f"<Error><Code>{code}</Code><Message>{code}.</Message></Error>"
        error = "<?xml version='1.0' encoding='UTF-8'?>" + error
        self.send(status, {"Content-Type": "application/xml; charset=UTF-8"}, error.encode())

    def send(self, status, headers, content):
        self.send_response(status)
        if status != 204 and "content-length" not in headers:
            headers["content-length"] = len(content)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_DELETE = answer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--account", help="where to write a service account's file")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    Shim.upstream, Shim.token = urlsplit(given.upstream).netloc, given.token
    Shim.modulus = make_account(given.account) if given.account else None
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Shim)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
