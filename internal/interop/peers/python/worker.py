"""MSAL Python as another program has it: it knows nothing but the record, a file, and holds no lock.

The protocol is that of ../../worker_test.go: one JSON object a line, commands in, answers out.
"""
import json
import os
import socket
import sys

import msal

PEER = json.loads(os.environ["PEER"])
os.environ["REQUESTS_CA_BUNDLE"] = PEER["ca"]
os.environ["NO_PROXY"] = "*"

real_getaddrinfo = socket.getaddrinfo


def to_loopback(host, port, *args, **kwargs):
    """Leads every name to the imitation of Entra."""
    host, port = PEER["address"].rsplit(":", 1)
    return real_getaddrinfo(host, int(port), *args, **kwargs)


socket.getaddrinfo = to_loopback


class Plugin(msal.SerializableTokenCache):
    """The cache persistence that MSAL's users write by hand, around every call."""

    def __enter__(self):
        if os.path.exists(PEER["record"]):
            with open(PEER["record"]) as f:
                self.deserialize(f.read())

    def __exit__(self, *_):
        if self.has_state_changed:
            with open(PEER["record"], "w") as f:
                f.write(self.serialize())


class Worker:
    def __init__(self):
        self.restart()

    def restart(self):
        self.cache = Plugin()
        self.app = msal.PublicClientApplication(PEER["client"], authority=PEER["authority"], token_cache=self.cache)
        return {}

    def account(self):
        found = self.app.get_accounts(username=PEER["user"])
        if not found:
            raise LookupError("no account is %s's" % PEER["user"])
        return found[0]  # of several with one home account

    def redeem(self, code, redirect, verifier, claims=None):
        return token(self.app.acquire_token_by_authorization_code(
            code, PEER["scopes"], redirect_uri=redirect, data={"code_verifier": verifier}))

    def silent(self):
        return token(self.app.acquire_token_silent_with_error(PEER["scopes"], account=self.account()))

    def refresh(self):
        return token(self.app.acquire_token_silent_with_error(PEER["scopes"], account=self.account(), force_refresh=True))

    def accounts(self):
        return {"accounts": [a["username"] for a in self.app.get_accounts()]}

    def sign_out(self):
        self.app.remove_account(self.account())
        return {}

    def service(self):
        return msal.ConfidentialClientApplication(
            PEER["confidential"], client_credential=PEER["secret"], authority=PEER["authority"], token_cache=self.cache)

    def application(self, claims=None):
        return token(self.service().acquire_token_for_client(["https://graph.microsoft.com/.default"]))

    def on_behalf(self, assertion):
        return token(self.service().acquire_token_on_behalf_of(assertion, PEER["scopes"]))


def token(result):
    if not result:
        return {"error": "nothing is cached"}
    if "access_token" not in result:
        return {"error": "%s: %s" % (result["error"], result.get("error_description"))}
    return {"token": result["access_token"]}


worker = Worker()
for line in sys.stdin:
    command = json.loads(line)
    do = getattr(worker, command.pop("do").replace(" ", "_"))
    try:
        with worker.cache:
            answer = do(**command)
    except Exception as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
