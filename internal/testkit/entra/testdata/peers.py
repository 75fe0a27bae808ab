"""MSAL Python and python-o365 against the imitation of Entra.

Run by python_test.go with TESTKIT_ADDR (host:port of the server), TESTKIT_USER,
TESTKIT_PASSWORD, TESTKIT_PUBLIC, TESTKIT_CONFIDENTIAL, TESTKIT_SECRET and REQUESTS_CA_BUNDLE set.
Prints one JSON object: the name of each case and what went wrong in it ("" for nothing).
"""
import json
import os
import socket
import sys
import tempfile
import traceback
from urllib.parse import parse_qs, urlparse

import msal
import requests
from O365 import Account, FileSystemTokenBackend

ADDR = os.environ["TESTKIT_ADDR"]
HOST, PORT = ADDR.rsplit(":", 1)
USER = os.environ["TESTKIT_USER"]
PUBLIC = os.environ["TESTKIT_PUBLIC"]
CONFIDENTIAL = os.environ["TESTKIT_CONFIDENTIAL"]
SECRET = os.environ["TESTKIT_SECRET"]
MICROSOFT = "https://login.microsoftonline.com/"
REDIRECT = "http://localhost:8400/callback"
SCOPES = ["https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.ReadWrite"]


def to_loopback(host, port, *args, **kwargs):
    """Every name leads to the server: nothing leaves the machine."""
    return real_getaddrinfo(HOST, int(PORT), *args, **kwargs)


real_getaddrinfo, socket.getaddrinfo = socket.getaddrinfo, to_loopback

CASES = {}


def case(name):
    def register(function):
        CASES[name] = function
        return function
    return register


def browse(url):
    """What the user's browser does: returns where the application is sent."""
    answer = requests.get(url, params={"login_hint": USER}, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, (answer.status_code, answer.text)
    return answer.headers["Location"]


def query(url):
    return {name: values[0] for name, values in parse_qs(urlparse(url).query).items()}


def succeeded(result):
    assert "access_token" in result, {k: result.get(k) for k in ("error", "error_description")}
    return result


def sign_in(app):
    flow = app.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    return succeeded(app.acquire_token_by_auth_code_flow(flow, query(browse(flow["auth_uri"]))))


def refreshes(app):
    result = sign_in(app)
    assert result["id_token_claims"]["preferred_username"] == USER, result["id_token_claims"]
    account = app.get_accounts(username=USER)[0]
    again = succeeded(app.acquire_token_silent(SCOPES, account=account, force_refresh=True))
    assert again["access_token"] != result["access_token"]


@case("MSAL signs in and refreshes at login.microsoftonline.com")
def _():
    refreshes(msal.PublicClientApplication(PUBLIC, authority=MICROSOFT + "common"))


@case("MSAL signs in and refreshes at the server's own address")
def _():
    refreshes(msal.PublicClientApplication(
        PUBLIC, authority="https://%s/common" % ADDR, instance_discovery=False))


@case("a confidential MSAL client signs a user in")
def _():
    refreshes(msal.ConfidentialClientApplication(
        CONFIDENTIAL, client_credential=SECRET, authority=MICROSOFT + "common"))


@case("MSAL signs in by device code")
def _():
    app = msal.PublicClientApplication(PUBLIC, authority=MICROSOFT + "common")
    flow = app.initiate_device_flow(SCOPES)
    pending = app.acquire_token_by_device_flow(dict(flow), exit_condition=lambda _: True)
    assert pending.get("error") == "authorization_pending", pending.get("error")
    answer = requests.post("https://%s/testkit/device" % ADDR, timeout=10,
                           json={"user_code": flow["user_code"], "username": USER})
    assert answer.status_code == 200, answer.text
    succeeded(app.acquire_token_by_device_flow(flow))


@case("MSAL gets an application's token")
def _():
    def acquire(secret):
        return msal.ConfidentialClientApplication(
            CONFIDENTIAL, client_credential=secret, authority=MICROSOFT + "contoso.com",
        ).acquire_token_for_client(["https://graph.microsoft.com/.default"])
    succeeded(acquire(SECRET))
    refused = acquire("wrong")
    assert refused.get("error") == "invalid_client" and 7000215 in refused["error_codes"], refused


@case("a refresh token spent twice is refused, and so is its successor")
def _():
    cache = msal.SerializableTokenCache()
    app = msal.PublicClientApplication(PUBLIC, authority=MICROSOFT + "common", token_cache=cache)
    spent = sign_in(app)["refresh_token"]
    successor = succeeded(app.acquire_token_by_refresh_token(spent, SCOPES))["refresh_token"]
    for token in spent, successor:
        refused = app.acquire_token_by_refresh_token(token, SCOPES)
        assert refused.get("error") == "invalid_grant", refused


@case("python-o365 signs in, calls Graph and refreshes when Graph answers 401")
def _():
    with tempfile.TemporaryDirectory() as directory:
        account = Account((PUBLIC,), auth_flow_type="public",
                          token_backend=FileSystemTokenBackend(token_path=directory))
        connection = account.con
        url, flow = connection.get_authorization_url(SCOPES, redirect_uri=REDIRECT)
        assert connection.request_token(browse(url), flow=flow)
        assert connection.get("https://graph.microsoft.com/v1.0/me").json()["userPrincipalName"] == USER
        answer = requests.post("https://%s/testkit/revoke" % ADDR, timeout=10,
                               json={"user": USER, "access_only": True})
        assert answer.status_code == 200, answer.text
        # It refreshes after a 401 only if the token is old by its own clock.
        for token in account.con.token_backend._cache["AccessToken"].values():
            token["expires_on"] = token["extended_expires_on"] = "1"
        assert connection.get("https://graph.microsoft.com/v1.0/me").json()["userPrincipalName"] == USER


@case("python-o365 signs in by password")
def _():
    with tempfile.TemporaryDirectory() as directory:
        account = Account((PUBLIC,), auth_flow_type="password", username=USER,
                          password=os.environ["TESTKIT_PASSWORD"], tenant_id="organizations",
                          token_backend=FileSystemTokenBackend(token_path=directory))
        assert account.authenticate(requested_scopes=SCOPES)
        assert account.con.get("https://graph.microsoft.com/v1.0/me").json()["userPrincipalName"] == USER


@case("python-o365 gets an application's token")
def _():
    with tempfile.TemporaryDirectory() as directory:
        account = Account((CONFIDENTIAL, SECRET), auth_flow_type="credentials", tenant_id="contoso.com",
                          token_backend=FileSystemTokenBackend(token_path=directory))
        assert account.authenticate()
        user = account.con.get("https://graph.microsoft.com/v1.0/users/" + USER).json()
        assert user["userPrincipalName"] == USER, user


def main():
    outcomes = {}
    for name, run in CASES.items():
        try:
            run()
            outcomes[name] = ""
        except Exception:
            outcomes[name] = traceback.format_exc()
    json.dump(outcomes, sys.stdout)


main()
