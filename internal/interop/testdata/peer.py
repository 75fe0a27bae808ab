"""The Python side of the interoperability tests.

    peer.py COMMAND

What a command works on is in the environment, see script in interop_test.go; it prints one
JSON value. Every host name leads to TESTKIT_ADDR, or nowhere: nothing leaves the machine.
"""
import base64
import json
import os
import socket
import sys
import time

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from O365.utils.token import EnvTokenBackend, FileSystemTokenBackend

if "PEER_NOW" in os.environ:  # the files in testdata expired long ago
    time.time = lambda: float(os.environ["PEER_NOW"])

real_getaddrinfo = socket.getaddrinfo


def to_loopback(host, port, *args, **kwargs):
    """Leads every name to the imitation of Entra."""
    host, port = os.environ["TESTKIT_ADDR"].rsplit(":", 1)
    return real_getaddrinfo(host, int(port), *args, **kwargs)


socket.getaddrinfo = to_loopback

USER = os.environ.get("PEER_USER")


def secret(token):
    return token and token["secret"]


def seen_by_o365(backend):
    """What python-o365 finds for each user, and for nobody in particular."""
    assert backend.load_token()
    users = {}
    for name in [a["username"] for a in backend.get_all_accounts()] + [None]:
        users[name or ""] = {
            "access": secret(backend.get_access_token(username=name)),
            "refresh": secret(backend.get_refresh_token(username=name)),
            "home": (backend.get_account(username=name) or {}).get("home_account_id"),
            "scopes": backend.get_token_scopes(username=name, remove_reserved=True),
            "long_lived": backend.token_is_long_lived(username=name),
        }
    return users


def refresh_by_o365(backend):
    """Files a refresh as MSAL does after the network, and saves."""
    old = backend.get_refresh_token(username=USER)
    backend.add({
        "client_id": old["client_id"], "environment": old["environment"], "grant_type": "refresh_token",
        "token_endpoint": "https://%s/common/oauth2/v2.0/token" % old["environment"], "scope": old["target"].split(),
        "response": {"access_token": "at-python", "refresh_token": "rt-python", "expires_in": 3599, "token_type": "Bearer",
                     "client_info": os.environ["PEER_CLIENT_INFO"]},
        "skip_account_creation": True,
    })
    assert backend.save_token()


def file_backend():
    return FileSystemTokenBackend(os.environ["PEER_DIR"], os.environ["PEER_NAME"])


def o365_file():
    return seen_by_o365(file_backend())


def o365_file_refresh():
    backend = file_backend()
    assert backend.load_token()
    refresh_by_o365(backend)
    return seen_by_o365(file_backend())


def o365_env():
    return seen_by_o365(EnvTokenBackend())


def o365_env_refresh():
    backend = EnvTokenBackend()
    assert backend.load_token()
    refresh_by_o365(backend)
    return os.environ["O365TOKEN"]


def fernet():
    return MultiFernet([Fernet(k) for k in os.environ["PEER_KEYS"].split()])


class FernetManager:
    """A cryptography manager as python-o365's documentation has users write it."""

    def encrypt(self, data):
        return fernet().encrypt(data.encode()).decode()

    def decrypt(self, data):
        return fernet().decrypt(data.encode()).decode()


def fernet_file():
    backend = file_backend()
    backend.cryptography_manager = FernetManager()
    return backend


def o365_fernet_file():
    return seen_by_o365(fernet_file())


def o365_fernet_file_refresh():
    backend = fernet_file()
    assert backend.load_token()
    refresh_by_o365(backend)
    return seen_by_o365(fernet_file())


def fernet_env():
    backend = EnvTokenBackend()
    backend.cryptography_manager = FernetManager()
    return backend


def o365_fernet_env():
    return seen_by_o365(fernet_env())


def o365_fernet_env_refresh():
    backend = fernet_env()
    assert backend.load_token()
    refresh_by_o365(backend)
    return os.environ["O365TOKEN"]


def fernet_round():
    """Decrypts what Go encrypted, and encrypts it again; the tokens are one to a line of a file, the plaintexts in base64."""
    with open(os.environ["PEER_TOKENS"], "rb") as tokens:
        plain = [fernet().decrypt(line) for line in tokens.read().split()]
    return [{"plain": base64.b64encode(p).decode(), "token": fernet().encrypt(p).decode()} for p in plain]


def base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_and_place(v):
    key = base64url(v["key"].removeprefix("gtkey1_"))[:32] if "key" in v else bytes.fromhex(v["key_bytes"])
    return key, base64.b64decode(v["associated_data"])


def vectors():
    with open(os.environ["PEER_VECTORS"]) as f:
        return json.load(f)


def envelopes():
    """Opens envelopes with the program that docs/envelope.md has."""
    with open(os.environ["PEER_PAGE"]) as f:
        program = {}
        exec(f.read().split("```python\n")[1].split("```")[0], program)
    return [base64.b64encode(program["decrypt"](key, base64.b64decode(v["envelope"]), place)).decode()
            for v in vectors() for key, place in [key_and_place(v)]]


def older_envelopes():
    """Opens envelopes of the formats 1 and 2, whose body is text."""
    plain = []
    for v in vectors():
        key, place = key_and_place(v)
        header, sealed = v["envelope"].rsplit(":", 1)
        header, sealed = (header + ":").encode(), base64url(sealed)
        data = len(header).to_bytes(8, "big") + header + place
        plain.append(base64.b64encode(AESGCM(key).decrypt(sealed[:12], sealed[12:], data)).decode())
    return plain


COMMANDS = [o365_file, o365_file_refresh, o365_env, o365_env_refresh, o365_fernet_file, o365_fernet_file_refresh, o365_fernet_env,
            o365_fernet_env_refresh, fernet_round, envelopes, older_envelopes]
json.dump({c.__name__: c for c in COMMANDS}[sys.argv[1]](), sys.stdout)
