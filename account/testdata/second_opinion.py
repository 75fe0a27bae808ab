"""MSAL Python and python-o365 at what package account does.

Run by python_test.go, with the address of the imitation of Entra in TESTKIT_ADDR, its CA in
REQUESTS_CA_BUNDLE and the cases as JSON on standard input. Prints one JSON list: what came of each.

A case has a flow, which MSAL Python goes through by itself, and the file of a record that package
account wrote in the same flow. MSAL Python refreshes the user in it and saves it, and so does python-o365.
"""
import json
import os
import socket
import sys
import traceback
from urllib.parse import parse_qs, urlparse

import msal
import requests
from O365 import Account, FileSystemTokenBackend

HOST, PORT = os.environ["TESTKIT_ADDR"].rsplit(":", 1)
real_getaddrinfo = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *args, **kwargs: real_getaddrinfo(HOST, int(PORT), *args, **kwargs)


def application(case, cache=None):
    kind = msal.ConfidentialClientApplication if case.get("credential") else msal.PublicClientApplication
    more = {"client_credential": case["credential"]} if case.get("credential") else {}
    return kind(case["client_id"], authority=case["authority"], token_cache=cache, **more)


def code(app, case):
    flow = app.initiate_auth_code_flow(case["scopes"], redirect_uri="http://localhost:8400")
    answer = requests.get(flow["auth_uri"], params={"login_hint": case["username"]}, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, (answer.status_code, answer.text)
    query = parse_qs(urlparse(answer.headers["Location"]).query)
    return app.acquire_token_by_auth_code_flow(flow, {name: values[0] for name, values in query.items()})


def device(app, case):
    flow = app.initiate_device_flow(case["scopes"])
    answer = requests.post("https://%s:%s/testkit/device" % (HOST, PORT), timeout=10,
                           json={"user_code": flow["user_code"], "username": case["username"]})
    assert answer.status_code == 200, answer.text
    return app.acquire_token_by_device_flow(flow)


def password(app, case):
    return app.acquire_token_by_username_password(case["username"], case["password"], case["scopes"])


def on_behalf_of(app, case):
    return app.acquire_token_on_behalf_of(case["assertion"], case["scopes"])


def credentials(app, case):
    return app.acquire_token_for_client(case["scopes"])


FLOWS = {f.__name__: f for f in (code, device, password, on_behalf_of, credentials)}


def names(scopes):
    return sorted(s.rsplit("/", 1)[-1] for s in scopes if s not in ("openid", "profile", "offline_access", "email"))


def own(case):
    """MSAL Python goes through the flow itself."""
    app = application(case)
    result = FLOWS[case["flow"]](app, case)
    if "access_token" not in result:
        return {"error": result["error"], "codes": result.get("error_codes", [])}
    accounts = app.get_accounts()
    return {
        "scopes": names(result.get("scope", "").split()),
        "username": accounts[0]["username"] if accounts else "",
        "home": accounts[0]["home_account_id"] if accounts else "",
    }


def refreshed(case):
    """MSAL Python finds the user in the record, refreshes, and saves the record."""
    cache = msal.SerializableTokenCache()
    with open(case["record"]) as f:
        cache.deserialize(f.read())
    app = application(case, cache)
    accounts = app.get_accounts(case["username"])
    assert len({a["home_account_id"] for a in accounts}) == 1, accounts
    result = app.acquire_token_silent(case["scopes"], account=accounts[0], force_refresh=True)
    assert result and "access_token" in result, result
    with open(case["record"], "w") as f:
        f.write(cache.serialize())
    return accounts[0]["home_account_id"]


def by_o365(case):
    """python-o365 reads the user's record, and calls Graph."""
    directory, name = os.path.split(case["record"])
    backend = FileSystemTokenBackend(token_path=directory, token_filename=name)
    account = Account((case["client_id"],), auth_flow_type="public", token_backend=backend, username=case["username"])
    assert account.is_authenticated
    me = account.con.get("https://graph.microsoft.com/v1.0/me").json()
    account.con.refresh_token()
    again = account.con.get("https://graph.microsoft.com/v1.0/me").json()
    return [account.username, me["userPrincipalName"], again["userPrincipalName"]]


def main():
    outcomes = []
    for case in json.load(sys.stdin):
        outcome = {}
        for what, run in ("own", own), ("refreshed", refreshed), ("o365", by_o365):
            if what in case["do"]:
                try:
                    outcome[what] = run(case)
                except Exception:
                    outcome["failed"] = what + ": " + traceback.format_exc()
        outcomes.append(outcome)
    json.dump(outcomes, sys.stdout)


main()
