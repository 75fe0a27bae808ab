"""python-o365's own Firestore backend: o365.py NOW COLLECTION DOCUMENT [delete | encrypt KEY | USERNAME ACCESS REFRESH]

Deletes the token; or saves it again encrypted with Fernet; or files the tokens for the user, as MSAL does after
a refresh. Then prints, as one JSON value, whether it finds a token, and each user's. The client finds the server by
FIRESTORE_EMULATOR_HOST. The tokens' clock says NOW.
"""
import base64
import json
import sys
import time

from cryptography.fernet import Fernet
from google.cloud import firestore
from O365.utils.token import FirestoreBackend

now, collection, document, *given = sys.argv[1:]
client = firestore.Client()


def at_noon(f, *args, **kwargs):  # the client needs the real time
    real, time.time = time.time, lambda: float(now)
    try:
        return f(*args, **kwargs)
    finally:
        time.time = real


def open_backend():
    return FirestoreBackend(client, collection, document)


if given == ["delete"]:
    assert open_backend().delete_token()
elif given[:1] == ["encrypt"]:
    backend = open_backend()
    assert backend.load_token()
    fernet = Fernet(given[1])

    class Manager:
        def encrypt(self, data):
            return fernet.encrypt(data.encode())  # bytes, and so is the field

    backend.cryptography_manager = Manager()
    assert backend.save_token(force=True)
    sys.exit()
elif given:
    username, access, refresh = given
    backend = open_backend()
    assert backend.check_token() and backend.load_token()
    old = backend.get_refresh_token(username=username)
    uid, utid = old["home_account_id"].split(".")
    at_noon(backend.add, {
        "client_id": old["client_id"], "environment": old["environment"], "grant_type": "refresh_token",
        "token_endpoint": "https://%s/common/oauth2/v2.0/token" % old["environment"], "scope": old["target"].split(),
        "response": {"access_token": access, "refresh_token": refresh, "expires_in": 3599, "token_type": "Bearer",
                     "client_info": base64.urlsafe_b64encode(json.dumps({"uid": uid, "utid": utid}).encode()).decode()},
        "skip_account_creation": True,
    })
    assert backend.save_token()

backend = open_backend()
answer = {"Loaded": backend.load_token(), "Found": {}}
for account in backend.get_all_accounts() if answer["Loaded"] else []:
    username = account["username"]
    tokens = (at_noon(get, username=username) for get in (backend.get_access_token, backend.get_refresh_token))
    answer["Found"][username] = [token and token["secret"] for token in tokens]
json.dump(answer, sys.stdout)
