"""python-o365's own Firestore backend: o365.py NOW COLLECTION DOCUMENT

Does what each line asks, a JSON array, and answers with a line of JSON: whether it finds a token, and each user's.

    []                           nothing but that
    [USERNAME, ACCESS, REFRESH]  files the tokens for the user first, as MSAL does after a refresh
    ["delete"]                   deletes the token first
    ["encrypt", KEY]             first saves the token again, encrypted with Fernet; then finds none it can read

The client finds the server by FIRESTORE_EMULATOR_HOST. The tokens' clock says NOW.
"""
import base64
import json
import sys
import time

from cryptography.fernet import Fernet
from google.cloud import firestore
from O365.utils.token import FirestoreBackend

now, collection, document = sys.argv[1:]
client = firestore.Client()


def at_now(f, *args, **kwargs):  # the client needs the real time
    real, time.time = time.time, lambda: float(now)
    try:
        return f(*args, **kwargs)
    finally:
        time.time = real


def open_backend():
    return FirestoreBackend(client, collection, document)


def put(username, access, refresh):
    backend = open_backend()
    assert backend.check_token() and backend.load_token()
    old = backend.get_refresh_token(username=username)
    uid, utid = old["home_account_id"].split(".")
    at_now(backend.add, {
        "client_id": old["client_id"], "environment": old["environment"], "grant_type": "refresh_token",
        "token_endpoint": "https://%s/common/oauth2/v2.0/token" % old["environment"], "scope": old["target"].split(),
        "response": {"access_token": access, "refresh_token": refresh, "expires_in": 3599, "token_type": "Bearer",
                     "client_info": base64.urlsafe_b64encode(json.dumps({"uid": uid, "utid": utid}).encode()).decode()},
        "skip_account_creation": True,
    })
    assert backend.save_token()


class Manager:
    def __init__(self, key):
        self.fernet = Fernet(key)

    def encrypt(self, data):
        return self.fernet.encrypt(data.encode())  # bytes, and so is the field


def encrypt(key):
    backend = open_backend()
    assert backend.load_token()
    backend.cryptography_manager = Manager(key)
    assert backend.save_token(force=True)


def look():
    backend = open_backend()
    found = {}
    if not backend.load_token():
        return {"Loaded": False}
    for account in backend.get_all_accounts():
        username = account["username"]
        tokens = [at_now(get, username=username) for get in (backend.get_access_token, backend.get_refresh_token)]
        found[username] = [token and token["secret"] for token in tokens]
    return {"Loaded": True, "Found": found}


for line in sys.stdin:
    asked = json.loads(line)
    if asked == ["delete"]:
        assert open_backend().delete_token()
    elif asked[:1] == ["encrypt"]:
        encrypt(asked[1])
    elif asked:
        put(*asked)
    print(json.dumps(look() if asked[:1] != ["encrypt"] else {"Loaded": False}), flush=True)
