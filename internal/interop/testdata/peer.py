"""The Python side of the interoperability tests.

    peer.py COMMAND

What a command works on is in the environment, see script in interop_test.go; it prints one
JSON value. Every host name leads to TESTKIT_ADDR, or nowhere: nothing leaves the machine.
"""
import json
import os
import socket
import sys
import time

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


COMMANDS = [o365_file, o365_file_refresh, o365_env, o365_env_refresh]
json.dump({c.__name__: c for c in COMMANDS}[sys.argv[1]](), sys.stdout)
