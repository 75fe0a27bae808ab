"""python-o365 as another program has it: it knows its token backend and nothing else, and holds no lock.

The protocol is that of ../../worker_test.go: one JSON object a line, commands in, answers out.
"""
import functools
import json
import os
import socket
import sys
import time

import requests
from cryptography.fernet import Fernet
from O365 import Account

PEER = json.loads(os.environ["PEER"])
PLACE = PEER["place"]
REDIRECT = "http://localhost:8400/callback"
os.environ["REQUESTS_CA_BUNDLE"] = PEER["ca"]
os.environ["NO_PROXY"] = "*"

real_getaddrinfo = socket.getaddrinfo


def to_loopback(host, port, *args, **kwargs):
    """Leads every name to the imitation of Entra; the stores have addresses."""
    if host != "127.0.0.1":
        host, port = PEER["address"].rsplit(":", 1)
    return real_getaddrinfo(host, int(port), *args, **kwargs)


socket.getaddrinfo = to_loopback

real_time = time.time
ahead = 0
time.time = lambda: real_time() + ahead


def file():
    from O365.utils.token import FileSystemTokenBackend
    return FileSystemTokenBackend(PLACE["directory"], PLACE["name"])


def env():
    from O365.utils.token import EnvTokenBackend
    return EnvTokenBackend(PLACE["name"])


def firestore():
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.firestore import Client
    from O365.utils.token import FirestoreBackend
    client = Client(project=PLACE["project"], credentials=AnonymousCredentials())
    return FirestoreBackend(client, PLACE["collection"], PLACE["name"])


def s3():
    from O365.utils.token import AWSS3Backend
    return AWSS3Backend(PLACE["bucket"], PLACE["name"])


def secrets_manager():
    from O365.utils.token import AWSSecretsBackend
    return AWSSecretsBackend(PLACE["name"], PLACE["region"])


def bitwarden():
    import bitwarden_sdk
    from O365.utils.token import BitwardenSecretsManagerBackend
    # The backend has no setting for another server than Bitwarden's cloud.
    settings = bitwarden_sdk.client_settings_from_dict(
        {"apiUrl": PLACE["api"], "identityUrl": PLACE["identity"], "deviceType": "SDK", "userAgent": "Python"})
    real_client = bitwarden_sdk.BitwardenClient
    bitwarden_sdk.BitwardenClient = functools.partial(real_client, settings)
    try:
        backend = BitwardenSecretsManagerBackend(PLACE["access token"], PLACE["name"])
    finally:
        bitwarden_sdk.BitwardenClient = real_client
    secrets = backend.client.secrets()
    new_order = secrets.update

    def update(id, key, note, organization_id, value, project_ids):
        """The order of arguments in bitwarden-sdk 0.1, which python-o365 2.1.10 is
        written for; since 1.0 it is another one, and save_token fails."""
        return new_order(organization_id, id, key, value, note, project_ids)

    secrets.update = update
    backend.client.secrets = lambda: secrets
    return backend


@functools.cache
def token_model():
    """The model of python-o365's documentation, in the table that Django makes of it."""
    import django
    from django.conf import settings
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": PLACE["database"]}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True)
    django.setup()
    from django.db import connection, models

    class TokenModel(models.Model):
        token = models.JSONField()
        created_at = models.DateTimeField(auto_now_add=True)
        updated_at = models.DateTimeField(auto_now=True)

        class Meta:
            app_label = "myapp"

    assert TokenModel._meta.db_table == PLACE["name"]
    with connection.schema_editor() as editor:
        editor.create_model(TokenModel)
    return TokenModel


def django():
    from O365.utils.token import DjangoTokenBackend
    return DjangoTokenBackend(token_model())


class Manager:
    """A cryptography manager as users of python-o365 write it. It is handed text, but what was stored in S3 is bytes."""

    def __init__(self):
        self.fernet = Fernet(PEER["fernet"])

    def encrypt(self, data):
        assert isinstance(data, str), type(data)
        return self.fernet.encrypt(data.encode()).decode()

    def decrypt(self, data):
        assert isinstance(data, bytes if PLACE["kind"] == "s3" else str), type(data)
        return self.fernet.decrypt(data).decode()


class Worker:
    def __init__(self):
        self.backend = {b.__name__: b for b in (file, env, firestore, s3, secrets_manager, bitwarden, django)}[PLACE["kind"]]
        self.restart()

    def restart(self):
        backend = self.backend()
        if PEER.get("fernet"):
            backend.cryptography_manager = Manager()
        self.account = Account((PEER["client"],), auth_flow_type="public", token_backend=backend, requests_delay=0)
        self.connection = self.account.con
        return {}

    def wait(self):
        """A second goes by: of several refresh tokens MSAL Python takes the one of the newest second."""
        global ahead
        ahead += 1
        return {}

    def sign_in(self):
        assert not self.account.is_authenticated
        url, flow = self.connection.get_authorization_url(PEER["scopes"], redirect_uri=REDIRECT)
        back = requests.get(url, params={"login_hint": PEER["user"]}, allow_redirects=False, timeout=10).headers["Location"]
        assert self.connection.request_token(back, flow=flow)
        return self.token()

    def refresh(self):
        """Calls Graph with the token that is there, and refreshes."""
        me = self.connection.get("https://graph.microsoft.com/v1.0/me").json()
        assert me["userPrincipalName"] == PEER["user"], me
        found = self.token()["token"]
        assert self.connection.refresh_token()
        return {"found": found, **self.token()}

    def reload(self):
        assert self.connection.load_token_from_backend()
        return {}

    def look(self):
        """Says which token is there for a program that starts; none if nobody is signed in."""
        self.restart()
        return self.token() if self.account.is_authenticated else {}

    def token(self):
        return {"token": self.connection.token_backend.get_access_token(username=PEER["user"])["secret"]}


worker = Worker()
for line in sys.stdin:
    command = json.loads(line)
    variable = command.pop("variable", None)
    if variable:
        os.environ[PLACE["name"]] = variable
    elif PLACE["kind"] == "env":
        os.environ.pop(PLACE["name"], None)
    try:
        answer = getattr(worker, command.pop("do").replace(" ", "_"))(**command)
    except Exception as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    if PLACE["kind"] == "env":
        answer["variable"] = os.environ.get(PLACE["name"], "")
    print(json.dumps(answer), flush=True)
